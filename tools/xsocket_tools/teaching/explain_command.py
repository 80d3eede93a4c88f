"""`xsocket explain`: what happened in a capture or a scenario script, step by step, with both ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.segment import Segment
from xsocket_tools.teaching.console import StoryView
from xsocket_tools.teaching.errors import NothingToExplainError
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.telling import of_packets
from xsocket_tools.teaching.tui import check_terminal, step_through

SCRIPT: Final = ".pkt"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--flow", type=click.IntRange(1), help="Only this connection, counted from 1.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write a page to step through, one HTML file."
)
@click.option("--step", "in_steps", is_flag=True, help="Step through it here in the terminal.")
@click.option("--absolute", is_flag=True, help="Show sequence numbers as they are on the wire.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def explain(
    file: Path, flow: int | None, report: Path | None, in_steps: bool, absolute: bool, as_json: bool
) -> None:
    """Tell step by step what happens in FILE: a pcap or pcapng capture, or a scenario script (.pkt).

    A script is run on the engine in virtual time; the engine's end is shown as it was. Of a capture only the
    segments are known: where both ends stood is inferred from them by the transition table, and marked so.
    """
    if in_steps:
        if report is not None or as_json:
            raise click.UsageError("--step shows it here; it goes with neither --report nor --json.")
        check_terminal(otherwise="xsocket explain without --step")
    story = of_script(file) if file.suffix == SCRIPT else of_capture(file)
    if flow is not None and flow > len(story.connections):
        count = len(story.connections)
        raise click.UsageError(f"{file} has {count} connection{'s' * (count != 1)}; there is no flow {flow}.")
    number = None if flow is None else flow - 1
    if in_steps:
        step_through(story, connection=number, absolute=absolute)
        return
    if report is not None:
        from xsocket_tools.teaching.report import write_report

        write_report(story, report)
    if as_json:
        click.echo(json.dumps(story.as_dict(), indent=2))
    elif report is not None:
        click.echo(f"wrote {report}: {len(story.steps)} steps; open it in a browser")
    else:
        Console().print(StoryView(story, connection=number, absolute=absolute), crop=False)


def of_capture(path: Path) -> Story:
    """Return the story of a capture.

    Raises:
        RecordingError: It cannot be read, or its link type is unknown.
        NothingToExplainError: There is no TCP segment in it.
    """
    story = of_packets(_packets(path), title=path.name)
    if not story.steps:
        raise NothingToExplainError(f"{path} has no TCP segment")
    return story


def _packets(path: Path) -> Iterator[tuple[float, FourTuple, Segment | PathError]]:
    from xsocket_tools.scenarios.capture_files import captured_packets
    from xsocket_tools.scenarios.report import events_of

    for event in events_of(("<", each.at_us / 1e6, each.octets) for each in captured_packets(path)):
        if event.four_tuple is not None and event.segment is not None:
            yield event.at_ns / 1e9, event.four_tuple.reversed, event.segment
        elif event.path_error is not None:
            yield event.at_ns / 1e9, event.path_error.four_tuple, event.path_error


def of_script(path: Path) -> Story:
    """Run a scenario script on the engine, in virtual time, and return its story.

    Raises:
        ScriptError: It is no script.
        NothingToExplainError: No segment was sent.
    """
    from xsocket_tools.scenarios.plan import read_file
    from xsocket_tools.teaching.scripted import outcome_of, story_of, why

    outcome = outcome_of(read_file(path), path, "sim")
    story = story_of(outcome, path.name)
    if not story.steps:
        raise NothingToExplainError(f"{path}: no segment was sent: {why(outcome) or outcome.status.value}")
    return story
