"""`xsocket compare`: the same load on a shared listener, on SO_REUSEPORT and on the pool, in four situations.

`trial.py` is the file to read first: one design in one situation. `origin` (the workers) and `load` (the
clients) run as processes of their own; what is made of their reports is in `measurement` and `verdicts`.
"""
