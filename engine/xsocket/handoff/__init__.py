"""To the kernel's TCP: a connection of the engine goes on as an ordinary socket, and the kernel stays away.

`kernel` has the whole of it; `image` what is taken along, `repair` how a socket gets it, `guard` the rules
that keep the kernel off what is the engine's, `ledger` what is the kernel's now.
"""
