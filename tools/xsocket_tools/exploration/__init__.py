"""Exploration: every interleaving of what two real stacks may do and suffer, up to a bound, checked."""
