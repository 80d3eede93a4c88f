"""Learning state machines: what a TCP answers to abstract letters, as a Mealy machine.

Data flows one way: `alphabet` says what can be done, `asking` does it to a target of `xsocket_tools.fuzzing`,
`learner` makes a `machine` of the answers, and `differences` tells two machines apart.
"""
