"""`xsocket live`: a page of one's own that shows an engine at work, and lets its reader act on it.

`world` has lab, engine and clients, `feed` tells what the trace says, `watching` puts the two together,
`server` and the page show it. Only `server` knows HTTP.
"""
