"""The pure core: RFC 9293's state machine, one connection at a time.

Here: state, table, guards, options, initial sequence numbers, timeouts, the byte stream, congestion.
Not here: sockets, threads, clocks, randomness; `now` and secrets are arguments, actions are the answer.
"""
