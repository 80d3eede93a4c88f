"""Frames: the Links that carry them, the codec that reads and writes them, the neighbours they go to."""
