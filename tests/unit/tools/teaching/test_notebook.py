"""What a notebook shows of a trace: the story of whoever kept it."""

from __future__ import annotations

import re

import pytest

from xsocket import Admission, Simulation, Trace
from xsocket_tools.teaching.report.notebook import MOST_EVENTS


def simulation(*, hosts: int = 2) -> Simulation:
    """Return one in which a client connected to a server, and nobody to the others."""
    made = Simulation(1)
    names = ["server", "client", *(f"other{number}" for number in range(hosts - 2))]
    all_hosts = [
        made.host(f"10.0.0.{number}/24", name=name, admission=Admission(ports=[80]))
        for number, name in enumerate(names, 1)
    ]
    made.link(*all_hosts)
    connection = all_hosts[1].connect("10.0.0.1", 80)
    connection.sendall(b"hello")
    made.run(for_s=1.0)
    return made


def test_a_simulation_is_shown_with_both_of_its_ends() -> None:
    shown = simulation().trace._repr_html_()
    assert shown is not None
    assert re.findall(r"client sends (\S+) seq 0", shown)[0] == "SYN"
    assert re.findall(r"server sends (\S+) seq 0", shown)[0] == "SYN+ACK"
    assert "<script" not in shown


def test_hosts_that_have_no_part_in_it_are_not_shown() -> None:
    shown = simulation(hosts=4).trace._repr_html_()
    assert shown is not None
    assert "client sends SYN" in shown
    assert "other" not in shown


def test_the_trace_of_one_end_is_shown_with_the_other_inferred() -> None:
    trace = Trace()
    for event in simulation().trace:
        if event.host == "server":
            trace.record(event._replace(host=None))
    shown = trace._repr_html_()
    assert shown is not None
    assert "peer sends SYN" in shown
    assert "inferred" in shown


def test_what_is_too_much_for_a_notebook_is_said_to_be_left_out() -> None:
    once, trace = list(simulation().trace), Trace(limit=MOST_EVENTS + 7)
    while not trace.forgotten:
        for event in once:
            trace.record(event)
    shown = trace._repr_html_()
    assert shown is not None
    assert "7 later events are left out." in shown
    assert f"{trace.forgotten} earlier events were forgotten" in shown


def test_an_empty_trace_is_shown_by_its_name() -> None:
    assert Trace()._repr_html_() is None
    assert repr(Trace()) == "<xsocket.Trace: 0 events>"


@pytest.mark.parametrize("limit", [3, 100])
def test_its_name_says_how_much_it_has(limit: int) -> None:
    trace = Trace(limit)
    events = list(simulation().trace)[:5]
    for event in events:
        trace.record(event)
    told = "3 events, 2 older ones forgotten" if limit == 3 else "5 events"
    assert repr(trace) == f"<xsocket.Trace: {told}>"
