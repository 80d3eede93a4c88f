"""Active opens: which local address they take, and which remote ones are none."""

import pytest

from xsocket import BadAddressError, EventKind, HostUnreachableError, Simulation, State
from xsocket.segment import SYN
from xsocket.simulation import SimulatedHost
from xsocket.wire.codec import TcpPacket, decode

NEAR, NEAR_TOO, FAR, FAR_TOO = "10.1.0.1", "10.0.0.1", "10.0.0.2", "10.1.0.2"
GATEWAYS = ["10.0.0.2", "fd00::2"]


def multihomed() -> tuple[Simulation, SimulatedHost, SimulatedHost]:
    """Return two hosts that have an address on each of two networks, and one of IPv6."""
    sim = Simulation()
    near = sim.host(f"{NEAR}/24", f"{NEAR_TOO}/24", "fd00::1/64", gateway=GATEWAYS, name="near")
    far = sim.host(f"{FAR}/24", f"{FAR_TOO}/24", "fd00::2/64", name="far")
    sim.link(near, far)
    return sim, near, far


@pytest.mark.parametrize(
    ("remote", "local"), [(FAR, NEAR_TOO), (FAR_TOO, NEAR), ("192.0.2.1", NEAR), ("fd00::2", "fd00::1")]
)
def test_the_ip_layer_chooses_the_local_address(remote: str, local: str) -> None:
    """RFC 9293 section 3.9.1.1 (MUST-44): one on the network of the remote address, or else the first."""
    _, near, _ = multihomed()
    assert near.open(remote, 80).four_tuple.local_address == local


def test_the_caller_may_choose_the_local_address() -> None:
    """RFC 9293 section 3.9.1.1 (MUST-43)."""
    _, near, _ = multihomed()
    assert near.connect(FAR, 80, local_address=NEAR).four_tuple.local_address == NEAR
    with pytest.raises(BadAddressError):
        near.connect(FAR, 80, local_address=FAR)


@pytest.mark.parametrize("remote", [FAR, FAR_TOO, "fd00::2"])
def test_a_connection_keeps_the_address_it_was_opened_to(remote: str) -> None:
    """RFC 9293 section 3.9.1.1 (MUST-45): in SYN+ACK, text and FIN."""
    sim, near, far = multihomed()
    ours = near.connect(remote, 80)
    theirs = far.pool.claim(timeout=1.0)
    theirs.sendall(b"text")
    theirs.close()
    assert ours.recv(100) == b"text"
    ours.close()
    sim.run(for_s=10.0)
    frames = [event.frame for event in sim.trace if event.host == "far" and event.kind is EventKind.SENT]
    packets = [packet for packet in map(decode, frames) if isinstance(packet, TcpPacket)]
    assert len(packets) >= 3
    assert {packet.ip.source for packet in packets} == {remote}
    assert packets[0].segment.flags & SYN


@pytest.mark.parametrize(
    "remote",
    [
        pytest.param("10.0.0.255", id="broadcast"),
        pytest.param("255.255.255.255", id="broadcast to everybody"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("ff02::1", id="multicast, IPv6"),
        pytest.param("0.0.0.0", id="nobody"),  # noqa: S104
        pytest.param("::", id="nobody, IPv6"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("::1", id="loopback, IPv6"),
        pytest.param("::ffff:10.0.0.2", id="IPv4-mapped"),
        pytest.param(NEAR, id="ourselves"),
    ],
)
def test_an_open_to_what_is_no_host_is_refused(remote: str) -> None:
    """RFC 9293 section 3.9.1.1 (MUST-46)."""
    sim, near, _ = multihomed()
    before = near.counters().segments_sent
    with pytest.raises(HostUnreachableError):
        near.open(remote, 80)
    assert near.connections() == {}
    sim.run(for_s=5.0)
    assert near.counters().segments_sent == before


def test_an_open_to_what_is_no_address_is_refused() -> None:
    """RFC 9293 section 3.9.1.1 (MUST-46)."""
    _, near, _ = multihomed()
    with pytest.raises(BadAddressError):
        near.open("10.0.0.256", 80)


def test_an_abort_and_a_close_are_told_apart() -> None:
    """RFC 9293 section 3.6 (MUST-12)."""
    _, near, far = multihomed()
    closed, aborted = near.connect(FAR, 80), near.connect(FAR, 80)
    far.pool.claim(closed.four_tuple.reversed).close()
    far.pool.claim(aborted.four_tuple.reversed).abort()
    assert closed.recv(1) == b""
    assert closed.state is State.CLOSE_WAIT
    with pytest.raises(ConnectionResetError):
        aborted.recv(1)
