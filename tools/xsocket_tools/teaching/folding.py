"""Folds what a flood repeats: it is told once, and how often it came. For pages and terminals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, groupby
from typing import Final

from xsocket_tools.teaching.records import RIGHT
from xsocket_tools.teaching.story import Kind, Step, Story

Turn = tuple[Step, ...]
"""What happens to one connection without a break."""

FEWEST: Final = 2
"""So many turns like the one before are folded; less would be shorter as they are."""


def folded(story: Story) -> Story:
    """Return *story*, shorter: of spoofed connections to which the same happens in turn one is told.

    Behind it comes a step that says how often it came again, and has the tables that both ends have after all
    of it. Steps are numbered anew.
    """
    if not story.spoofed:
        return story
    numbers = count(1)
    steps = (step._replace(number=next(numbers)) for step in _steps(story))
    return story._replace(steps=tuple(steps))


def _steps(story: Story) -> Iterator[Step]:
    for _, alike in groupby(_turns(story), key=lambda turn: _shape(story, turn)):
        first, *others = alike
        yield from first
        if len(others) >= FEWEST:
            yield _told_in_one(story, first, others)
        else:
            for turn in others:
                yield from turn


def _turns(story: Story) -> Iterable[Turn]:
    """Return the steps as turns; each that is of no spoofed connection is one by itself."""
    for connection, steps in groupby(story.steps, key=lambda step: step.connection):
        if connection in story.spoofed:
            yield tuple(steps)
        else:
            yield from ((step,) for step in steps)


def _shape(story: Story, turn: Turn) -> object:
    """Return what two turns have in common that are told in one."""
    if turn[0].connection not in story.spoofed:
        return turn[0].number
    return tuple(
        (step.kind, step.end, _said(step), tuple(view.state for view in step.views), step.notes)
        for step in turn
    )


def _said(step: Step) -> object:
    return step.title if step.packet is None else (str(step.packet), step.packet.options)


def _told_in_one(story: Story, first: Turn, others: list[Turn]) -> Step:
    last = others[-1][-1]
    begun, ended = (_source(story, turn) for turn in (others[0], others[-1]))
    sources = f"{begun} to .{ended.rpartition('.')[2]}"  # all of them are in one network
    left, right = first[-1].views
    return first[-1]._replace(
        kind=Kind.REPEATED,
        title=f"{story.ends[RIGHT].name}: the same {len(others)} times more, {sources}",
        end=RIGHT,
        at_s=others[0][0].at_s,
        until_s=last.until_s,
        views=(left.at_rest(), right.at_rest()),
        packet=None,
        changed_on_the_way=None,
        because=(),
        notes=(),
        tables=last.tables,
        frame=None,
    )


def _source(story: Story, turn: Turn) -> str:
    """Return the false address."""
    connection = turn[0].connection
    assert connection is not None, "a connection is spoofed"
    return story.four_tuples[connection].local_address
