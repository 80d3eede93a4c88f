"""Stories of scripts on Linux, which is asked after each packet where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from xsocket.state import State
from xsocket_tools.teaching.lesson import Run, digest, lesson, play
from xsocket_tools.teaching.story import Source

pytestmark = pytest.mark.netns

SCRIPT = lesson(20).play
assert isinstance(SCRIPT, Path)
SOLUTION = SCRIPT.with_name("solution.pkt")
REFUSED = """\
--ip_version=ipv4
0 < S 0:0(0) win 1000 <mss 1000>
+0 > R. 0:0(0) ack 1
"""


def on_linux(path: Path, **rules: object) -> Run:
    """Run a script on Linux."""
    run = play(path, "kernel", rules, title="t")
    assert run.error == ""
    return run


def test_linux_is_asked_where_it_stands() -> None:
    run = on_linux(SOLUTION)
    assert [end.source for end in run.story.ends] == [Source.INFERRED, Source.ASKED]
    stood = [(step.packet.flags, step.views[1].state) for step in run.sent() if step.packet is not None]
    assert stood == [
        ("SYN", State.SYN_RECEIVED),
        ("SYN+ACK", State.SYN_RECEIVED),
        ("ACK", State.SYN_RECEIVED),
        ("RST", State.SYN_RECEIVED),
        ("ACK", State.ESTABLISHED),
        ("PSH+ACK", State.ESTABLISHED),
        ("ACK", State.ESTABLISHED),
    ]
    assert {tables for step in run.story.steps for tables in step.tables} == {None}, "nobody saw accept"


def test_what_is_refused_has_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "refused.pkt"
    path.write_text(REFUSED)
    run = on_linux(path)
    assert [step.views[1].state for step in run.sent()] == [State.CLOSED, State.CLOSED]
    assert run.story.steps[-1].views[1].variables == ()


def test_a_rule_is_set_before_the_script_begins() -> None:
    assert digest(on_linux(SCRIPT).story) == digest(on_linux(SCRIPT, timestamps=False).story)
    outcome = on_linux(SCRIPT, synack_retries=1).found["outcome"]
    assert [each.action.text for each in outcome.script.events[:1]] == [
        "sysctl -q net.ipv4.tcp_synack_retries=1"
    ]
