"""Oracles: what the RFCs want of a TCP in every step of a case, and what it did instead.

A `shadow` of each connection follows the case by the RFCs alone. It shares values with the engine, such as
`Segment` and `State`, and no behaviour: neither its machine nor its codec, so that a bug of either shows.
"""
