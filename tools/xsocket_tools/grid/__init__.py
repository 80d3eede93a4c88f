"""The grid: what every kind of segment does to a connection in every state, in the engine and in Linux."""
