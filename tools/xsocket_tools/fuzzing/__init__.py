"""Fuzzing the handshake: cases with numbers relative to the live connection, judged by what the RFCs say.

Data flows one way: `generation` makes a `case`, `playing` turns it into frames for a `target` and tells a
shadow of each connection what came of it, whose oracles say what was wrong. Read `playing` first.
"""
