"""The rules: what each section that the engine cites asks, and why, in words of our own.

The words are in `texts/`, a Markdown file for each RFC: edit them there. Which moves, drop reasons and fields
of `TcpConfig` cite a section is found in the engine.
"""
