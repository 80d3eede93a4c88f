"""What people run: the command line, the demo, the benches, the ladder. Above the engine and the labs."""

__all__: list[str] = []
