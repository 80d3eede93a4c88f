"""Scenario scripts in packetdrill's language: read, run on the engine and on Linux, told apart, written.

`script.py` has what a script consists of, `running.py` what becomes of it; read these two first.
"""
