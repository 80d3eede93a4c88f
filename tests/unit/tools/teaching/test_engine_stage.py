"""The stage of two engines: what the path does to segments shows in the story."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from xsocket import TcpConfig
from xsocket_tools.path import LimitMtu
from xsocket_tools.teaching.capturing import captured
from xsocket_tools.teaching.console import StoryView
from xsocket_tools.teaching.engine_stage import EngineStage
from xsocket_tools.teaching.report import render
from xsocket_tools.teaching.story import Kind, Story


def too_big() -> Story:
    """Return what happens where a router says that a packet was too big."""
    stage = EngineStage(TcpConfig())
    stage.insert(LimitMtu(600))
    client = stage.client.open()
    client.wait_established()
    stage.server.accept()
    client.send(b"." * 1400)
    stage.settle()
    return stage.story("a narrow path")


def test_an_icmp_error_is_a_step_at_the_end_whose_segment_it_quotes() -> None:
    story = too_big()
    (error,) = [step for step in story.steps if step.kind is Kind.ICMP]
    assert (error.end, error.connection) == (0, 0)
    assert error.title == "client gets ICMP: too big, the next hop takes 600 octets"
    assert error.notes == ("It quotes the segment with seq 1.",)
    assert {"Eff.snd.MSS", "cwnd"} <= {each.name for each in error.views[0].variables if each.changed}
    assert not any(each.changed for each in error.views[1].variables)
    again = story.steps[error.number]
    assert again.packet is not None
    assert (again.packet.seq, again.packet.length) == (1, 548)
    assert [each.key for each in again.because] == ["RFC 1191 3"]


def test_an_icmp_error_is_in_the_page_the_terminal_and_the_capture() -> None:
    story = too_big()
    assert "An exclamation mark on a lifeline is an ICMP error" in render(story)
    assert "an ICMP error arrives at client" in render(story)
    (frame,) = [each for each in captured(story) if "ICMP" in each.comment]
    assert frame.frame[14 + 9] == 1  # the protocol in the IPv4 header
    assert frame.comment.startswith("client gets ICMP: too big")
    console = Console(record=True, width=120, file=StringIO())
    console.print(StoryView(story))
    assert "client gets ICMP" in console.export_text()
