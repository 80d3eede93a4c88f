"""A story as a capture: each segment once, with what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from scapy.utils import PcapNgReader

from xsocket import Simulation
from xsocket.wire.codec import TcpPacket, decode
from xsocket_tools.capture import INBOUND, OUTBOUND
from xsocket_tools.teaching.capturing import captured
from xsocket_tools.teaching.lesson import lesson, play
from xsocket_tools.teaching.lesson_command import lesson as command
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.telling import of_simulation


def story_of(number: int) -> Story:
    """Return what happens in a lesson."""
    found = lesson(number)
    return play(found.play, "engine", found.rules, title=found.title).story


@pytest.mark.parametrize("number", [1, 4, 5, 8])
def test_each_segment_is_there_once_as_it_was_sent(number: int) -> None:
    story = story_of(number)
    frames = captured(story)
    segments = [step for step in story.steps if step.kind.is_segment and step.kind.value != "arrived"]
    assert len(frames) == len(segments)
    for frame, step in zip(frames, segments, strict=True):
        packet = decode(frame.frame)
        assert isinstance(packet, TcpPacket)
        assert step.packet is not None
        assert (packet.segment.seq, len(packet.segment.payload)) == (
            step.packet.absolute_seq,
            step.packet.length,
        )
        assert frame.direction == (INBOUND if step.end == 0 else OUTBOUND)
        assert frame.comment.startswith(step.title)


def test_a_comment_has_states_rules_and_what_came_of_it_later() -> None:
    sim = Simulation(seed=1)
    client, server = sim.host("10.0.0.1/24", name="client"), sim.host("10.0.0.2/24", name="server")
    sim.link(client, server, delay_s=0.01)
    client.open("10.0.0.2", 4000, local_port=4001)
    server.open("10.0.0.1", 4001, local_port=4000)
    sim.run(for_s=1.0)
    first, *_ = captured(of_simulation(sim.trace, "client", "server", title="t"))
    assert "client: CLOSED -> SYN-SENT" in first.comment
    assert "client: sent SYN, SYN-SENT by active OPEN by RFC 9293 3.10.1" in first.comment
    assert "server gets SYN seq 0; server: SYN-SENT -> SYN-RECEIVED" in first.comment


def test_the_capture_beside_a_page_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["report", "1", "--capture"], catch_exceptions=False)
    assert "wrote lesson-1.pcapng" in result.output
    with PcapNgReader(str(tmp_path / "lesson-1.pcapng")) as reader:
        packets = list(reader)
    assert packets[0].comment.startswith(b"client sends SYN seq 0")
    assert len(packets) == len(captured(story_of(1)))
