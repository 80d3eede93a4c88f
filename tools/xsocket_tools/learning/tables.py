"""What `xsocket learn` prints for people: a machine, what tells two apart, two answers to one word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xsocket_tools.learning.machine import Machine, Move, nearest

if TYPE_CHECKING:
    from xsocket_tools.learning.differences import Difference
    from xsocket_tools.learning.errors import NonDeterminismError

MOST_LETTERS: Final = 3
"""How many letters that do the same are named in a row."""


def show_machine(machine: Machine) -> None:
    """Print a table for each state: what each letter is answered, and the state after."""
    console = Console(highlight=False)
    for state, word in nearest(machine.table, machine.initial).items():
        table = Table(title=Text(f"{state} ({', '.join(word) or 'at first'})"), title_justify="left")
        for heading in ("letter", "answer", "then"):
            table.add_column(heading, overflow="fold")
        by_move: dict[Move, list[str]] = {}
        for letter, move in machine.table[state].items():
            by_move.setdefault(move, []).append(letter)
        for move, letters in by_move.items():
            table.add_row(Text(", ".join(letters)), Text(move.output), Text(move.to))
        console.print(table)


def show_differences(first: str, second: str, rows: Iterable[Sequence[Difference]]) -> None:
    """Print a table for each rule; words that differ only in what sets the two apart share a row.

    Args:
        first: What the first of the two machines is called.
        second: What the other one is.
        rows: What tells them apart.
    """
    console = Console(highlight=False)
    by_rule: dict[str, list[Sequence[Difference]]] = {}
    for row in rows:
        by_rule.setdefault(str(row[0].rule), []).append(row)
    for rule, some in by_rule.items():
        table = Table(title=Text(rule, "bold"), title_justify="left")
        for heading in ("letters", "in", first, second):
            table.add_column(Text(heading), overflow="fold")
        for row in some:
            sample = row[0]
            table.add_row(
                Text(_words(row)),
                Text(" / ".join(dict.fromkeys(sample.states))),
                Text(_what(sample, sample.first)),
                Text(_what(sample, sample.second)),
            )
        console.print(table)


def _words(row: Sequence[Difference]) -> str:
    """Return the letters; those that set the two apart, each by itself, are in brackets."""
    word, at = row[0].word, row[0].parting
    letters = [each.letter for each in row[:MOST_LETTERS]]
    if len(row) > MOST_LETTERS:
        letters.append(f"{len(row) - MOST_LETTERS} more")
    return ", ".join([*word[:at], f"[{' | '.join(letters)}]", *word[at + 1 :]])


def _what(difference: Difference, moves: Sequence[Move]) -> str:
    """Return what one of the two did where they part, and in the end, if that is what shows it."""
    parting = moves[difference.parting]
    text = f"{parting.output} then {parting.to}"
    return text if difference.parting == len(moves) - 1 else f"{text}; in the end {moves[-1].output}"


def show_non_determinism(error: NonDeterminismError) -> None:
    """Print both traces side by side."""
    table = Table(title=Text("the same letters, and two answers", "bold red"), title_justify="left")
    for heading in ("letter", "once", "another time"):
        table.add_column(heading, overflow="fold")
    for letter, once, again in zip(error.word, error.first, error.second, strict=True):
        style = "" if once == again else "bold red"
        table.add_row(letter, Text(once, style), Text(again, style))
    Console(highlight=False).print(table)
