"""Texts that are put on a terminal as they are, and cannot do anything to it."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


def printable(text: str) -> str:
    r"""Return *text* with what a terminal would act on, or not show, as an escape such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def cut(text: str, most: int) -> str:
    """Return *text*, shortened to *most* columns."""
    if cell_len(text) <= most:
        return text
    return f"{set_cell_size(text, most - 1).rstrip()}…" if most > 0 else ""


def padded(text: str, width: int, *, to_the_right: bool = False) -> str:
    """Return *text* in exactly *width* columns, cut or filled up."""
    shortened = cut(text, width)
    blanks = " " * (width - cell_len(shortened))
    return blanks + shortened if to_the_right else shortened + blanks
