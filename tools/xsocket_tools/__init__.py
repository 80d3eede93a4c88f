"""What people run: the command line, the demo, the benches, the ladder. Sits above the engine and the labs."""

__all__: list[str] = []
