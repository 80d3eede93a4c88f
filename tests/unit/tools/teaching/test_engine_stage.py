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


def shown(story: Story, *, absolute: bool) -> str:
    console = Console(record=True, width=160, file=StringIO())
    console.print(StoryView(story, absolute=absolute))
    return console.export_text()


def test_absolute_numbers_are_those_on_the_wire_in_options_and_titles_too() -> None:
    stage = EngineStage(TcpConfig())
    client = stage.client.open()
    client.wait_established()
    stage.settle()
    stage.lose(".")
    client.send(bytes(2 * 1448))
    stage.settle()
    story = stage.story("one of two is lost")
    acknowledging = next(
        each for each in story.steps if each.packet is not None and "sack 1449:2897" in each.packet.options
    )
    packet = acknowledging.packet
    assert packet is not None
    edge = packet.absolute_ack
    assert edge is not None
    block = f"sack {edge + 1448}:{edge + 2896}"
    assert block in packet.absolute_options
    assert "sack 1449:2897" in shown(story, absolute=False)
    assert block not in shown(story, absolute=False)
    assert block in shown(story, absolute=True)
    assert "sack 1449:2897" not in shown(story, absolute=True)
    assert block in render(story)


def test_absolute_numbers_are_those_on_the_wire_where_a_segment_arrives_too() -> None:
    stage = EngineStage(TcpConfig())
    client = stage.client.open()
    client.wait_established()
    client.send(bytes(2 * 1448))
    stage.settle()
    story = stage.story("two are under way")
    packet = next(each.packet for each in story.steps if each.kind is Kind.ARRIVED)
    assert packet is not None
    assert f"gets {packet}" in shown(story, absolute=False)
    assert f"gets {packet.on_the_wire}" in shown(story, absolute=True)
    assert f"gets {packet}" not in shown(story, absolute=True)


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
