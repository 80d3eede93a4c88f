"""Bugs on purpose: each is put into a copy of the engine, and scenarios or the fuzzer have to notice.

`mutant.py` has what a mutant is, `running.py` what becomes of it; read these two first.
"""
