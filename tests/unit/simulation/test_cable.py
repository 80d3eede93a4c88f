"""A cable whose other end is the caller's: frames in, frames out, no time between."""

import pytest

from xsocket import FourTuple, Segment, Simulation, SimulationStateError, State
from xsocket.segment import SYN
from xsocket.wire.arp import REPLY, ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import Ethernet

OURS, THEIRS = "10.0.0.2", "10.0.0.1"
MAC = bytes.fromhex("020000000099")


def test_a_host_announces_itself_on_its_cable() -> None:
    simulation = Simulation()
    cable = simulation.cable(simulation.host(f"{OURS}/24"))
    assert [type(decode(frame.data)) for frame in cable.frames] == [ArpPacket]


def test_frames_go_in_and_answers_come_out_in_no_time() -> None:
    simulation = Simulation()
    host = simulation.host(f"{OURS}/24")
    cable = simulation.cable(host)
    cable.frames.clear()
    simulation.run(for_s=1.5)
    prefix = host.mac + MAC + b"\x08\x00"
    cable.send(encode_segment(prefix, FourTuple(THEIRS, 4000, OURS, 80), Segment(7, 0, SYN, 1000)))
    question = decode(cable.frames.popleft().data)
    assert isinstance(question, ArpPacket)
    assert question.target_address == THEIRS
    cable.send(encode(ArpPacket(Ethernet(host.mac, MAC), REPLY, MAC, THEIRS, host.mac, OURS)))
    [frame] = cable.frames
    answer = decode(frame.data)
    assert isinstance(answer, TcpPacket)
    assert (answer.segment.letters, answer.segment.ack, frame.at_ns) == ("S.", 8, 1_500_000_000)
    assert host.connections() == {FourTuple(OURS, 80, THEIRS, 4000): State.SYN_RECEIVED}


def test_a_host_has_one_cable() -> None:
    simulation = Simulation()
    host = simulation.host(f"{OURS}/24")
    simulation.cable(host)
    with pytest.raises(SimulationStateError, match="on a link already"):
        simulation.cable(host)
    with pytest.raises(SimulationStateError, match="on a link already"):
        simulation.link(host, simulation.host(f"{THEIRS}/24"))


def test_a_host_of_another_simulation_has_no_cable_here() -> None:
    with pytest.raises(SimulationStateError, match="another simulation"):
        Simulation().cable(Simulation().host(f"{OURS}/24"))
