"""How a notebook shows a trace: as the story that it tells; the entry point of ``xsocket.trace_html``."""

from __future__ import annotations

from itertools import islice
from typing import Final

from xsocket.trace import Event, EventKind, Trace
from xsocket_tools.teaching.report.pages import fragment
from xsocket_tools.teaching.story import End, Source, Story
from xsocket_tools.teaching.telling import of_simulation, of_trace

MOST_EVENTS: Final = 500
"""So many events are shown, from the first one on; nobody looks through more in a notebook."""


def trace_html(trace: Trace) -> str:
    """Return a trace as a piece of HTML: the ladder, and a table of its steps.

    Of a simulation with several hosts these are the first one that sends something, and the one that gets it.
    """
    events = list(islice(trace, MOST_EVENTS))
    return fragment(_with_what_is_left_out(_story(events), len(trace) - len(events), trace.forgotten))


def _story(events: list[Event]) -> Story:
    hosts = _two_hosts(events)
    if len(hosts) == 2:
        return of_simulation(events, *hosts, title=f"{hosts[0]} and {hosts[1]}")
    name = hosts[0] if hosts else "engine"
    return of_trace(events, title=name, engine=End(name, "engine", Source.RECORDED))


def _two_hosts(events: list[Event]) -> list[str]:
    """Return who sends first and who gets it; one host, or none with a name, if there are no two."""
    named = dict.fromkeys(event.host for event in events if event.host is not None)
    sent = next((each for each in events if each.kind is EventKind.SENT and each.host is not None), None)
    if sent is None or sent.host is None or sent.four_tuple is None:
        return list(named)[:1]
    theirs = sent.four_tuple.reversed
    got = (each.host for each in events if each.kind is EventKind.RECEIVED and each.four_tuple == theirs)
    return [sent.host, *(host for host in got if host is not None)][:2]


def _with_what_is_left_out(story: Story, later: int, forgotten: int) -> Story:
    notes = story.notes
    if later:
        notes += (f"{later} later events are left out.",)
    if forgotten:
        notes += (f"{forgotten} earlier events were forgotten; the trace keeps only so many.",)
    return story._replace(notes=notes)
