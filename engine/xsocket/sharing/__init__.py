"""A pool for other processes: a server on a Unix socket, clients who claim, and programs that run on claims.

`protocol` has the messages, `server` and `client` the two ends; `serving` and `asgi` put programs on claimed
sockets that would listen and accept elsewhere.
"""
