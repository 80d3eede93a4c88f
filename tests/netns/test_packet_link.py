"""`PacketLink` on a veth against a live kernel: what it sees, what the filter keeps out, what it answers."""

import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pyroute2 import IPRoute  # type: ignore[import-untyped]

from support.interpreter import lets_go
from xsocket.errors import LinkDownError, NoSuchInterfaceError
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import ACK, SYN, Segment
from xsocket.wire.codec import Arrival, encode_segment
from xsocket.wire.ethernet import IPV4, Ethernet, build_ethernet
from xsocket.wire.ingress import Ingress
from xsocket.wire.link import Frame
from xsocket.wire.neighbours import Neighbours
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, Lab

pytestmark = pytest.mark.netns

PATIENCE_S = 5.0
OURS = ["10.0.0.2/24", "fd00::2/64"]
PEERS = ["10.0.0.1/24", "fd00::1/64"]
PER_TURN_S = 0.02
ENGINE = Path(__file__).resolve().parents[2] / "engine"
MSS_AND_WINDOW_SCALE = bytes.fromhex("020405b401030307")

ECHO = [
    pytest.param(socket.AF_INET, socket.IPPROTO_ICMP, b"\x08", "10.0.0.2", 1472, id="ping"),
    pytest.param(socket.AF_INET6, socket.IPPROTO_ICMPV6, b"\x80", "fd00::2", 1452, id="ping6"),
]


class Answering:
    """The least that answers: a Link, what is for us, and neighbours; in a thread of its own."""

    def __init__(self, link: PacketLink) -> None:
        self.ingress = Ingress(link.mac, OURS)
        self.neighbours = Neighbours(link.mac, OURS, mtu=link.mtu)
        self.link = link
        self.segments: list[tuple[Frame, Arrival]] = []
        self.drops: list[DropReason] = []
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()

    def segment(self, number: int) -> tuple[Frame, Arrival]:
        """Wait for the segment of that number, counted from 0, and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.segments) > number, PATIENCE_S), "no segment came"
            return self.segments[number]

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self.link.fileno(), select.POLLIN)
        while not self._stopping:
            poller.poll(PER_TURN_S * 1_000)
            now = time.monotonic()
            with self._changed:
                for frame in self.link.receive():
                    self._receive(now, frame)
                self._changed.notify_all()

    def _receive(self, now: float, frame: Frame) -> None:
        packet = self.ingress.classify(frame)
        if isinstance(packet, DropReason):
            self.drops.append(packet)
        elif isinstance(packet, Arrival):
            self.segments.append((frame, packet))
        else:
            self.link.send(self.neighbours.receive(now, packet))


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """The host of an engine, without addresses, and a peer with some."""
    with Lab() as lab:
        ours, peer = lab.host("ours"), lab.host("peer")
        ours.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # or that kernel talks too
        lab.link(ours, peer, addresses=((), PEERS))
        yield ours, peer


@pytest.fixture
def link(hosts: tuple[Host, Host]) -> Iterator[PacketLink]:
    opened = hosts[0].run(PacketLink, "eth0", OURS)
    yield opened
    opened.close()


@pytest.fixture
def peer(hosts: tuple[Host, Host]) -> Host:
    return hosts[1]


@pytest.fixture
def raw(peer: Host) -> Iterator[socket.socket]:
    """A packet socket of the peer's: whatever it sends, arrives at the Link's interface."""
    opened = peer.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.bind(("eth0", 0))
    with opened:
        yield opened


def frames_until(link: PacketLink, count: int, timeout_s: float = PATIENCE_S) -> list[Frame]:
    """Receive until there are *count* frames or time is up."""
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    frames: list[Frame] = []
    until = time.monotonic() + timeout_s
    while len(frames) < count and time.monotonic() < until:
        poller.poll(PER_TURN_S * 1_000)
        frames += link.receive()
    return frames


def syn(link: PacketLink, *, to: str = "10.0.0.2", seq: int = 1) -> bytes:
    """A SYN of a station that is not the peer's kernel."""
    prefix = build_ethernet(Ethernet(link.mac, b"\x02" * 6), IPV4)
    return encode_segment(prefix, FourTuple("10.0.0.9", 40_000, to, 80), Segment(seq, 0, SYN))


@pytest.mark.parametrize(("family", "protocol", "kind", "address", "largest"), ECHO)
def test_the_kernel_finds_us_and_its_ping_is_answered(
    link: PacketLink,
    peer: Host,
    family: socket.AddressFamily,
    protocol: int,
    kind: bytes,
    address: str,
    largest: int,
) -> None:
    """Also at the MTU. The kernel asks for our station first, or nothing would come back."""
    with Answering(link), peer.run(socket.socket, family, socket.SOCK_RAW, protocol) as echo:
        echo.settimeout(PATIENCE_S)
        for octets in (8, largest):
            data = bytes(octets)
            echo.sendto(kind + bytes(3) + checked_by_kernel(family, kind, data), (address, 0))
            assert echo_reply(echo, family) == data


def checked_by_kernel(family: socket.AddressFamily, kind: bytes, data: bytes) -> bytes:
    """Return identifier, sequence number and data; over IPv4 the identifier makes zero the right checksum."""
    if family == socket.AF_INET6:
        return bytes(4) + data  # the kernel fills ICMPv6 checksums in
    return (0xFFFF - (kind[0] << 8)).to_bytes(2) + bytes(2) + data


def echo_reply(echo: socket.socket, family: socket.AddressFamily) -> bytes:
    """Return the data of the next echo reply; a raw socket sees other messages too."""
    while True:
        message = echo.recv(2_000)
        if family == socket.AF_INET:
            message = message[20:]
        if message[0] in (0, 129):
            return message[8:]


def connecting(peer: Host) -> socket.socket:
    """Have the peer's kernel send a SYN to port 80 of ours."""
    client = peer.run(socket.socket)
    client.setblocking(False)
    client.connect_ex(("10.0.0.2", 80))
    return client


def test_a_segment_from_a_local_kernel_has_no_checksum_yet(link: PacketLink, peer: Host) -> None:
    with Answering(link) as answering, connecting(peer) as client:
        frame, packet = answering.segment(0)
        port = client.getsockname()[1]
    assert not frame.checksum_ready
    assert packet.four_tuple == FourTuple("10.0.0.2", 80, "10.0.0.1", port)
    assert packet.segment.flags == SYN
    assert abs(frame.at_ns - time.time_ns()) < 60e9
    assert answering.drops == []


def test_a_frame_of_64_kilobytes_arrives_whole(link: PacketLink, peer: Host) -> None:
    """A local kernel leaves the cutting to hardware (TSO), which a veth has not: frames far above the MTU."""
    text = bytes(range(256)) * 4_000
    with Answering(link) as answering, connecting(peer) as client:
        frame, first = answering.segment(0)
        prefix = build_ethernet(Ethernet(frame.data[6:12], link.mac), IPV4)
        start = first.segment.seq + 1

        def acknowledge(flags: int, seq: int, octets: int, options: bytes = b"") -> None:
            segment = Segment(seq, (start + octets) % (1 << 32), flags, 65_535, options)
            link.send([encode_segment(prefix, first.four_tuple, segment)])

        acknowledge(SYN | ACK, 1_000, 0, MSS_AND_WINDOW_SCALE)
        answering.segment(1)
        client.setblocking(True)
        sending = threading.Thread(target=client.sendall, args=(text,))
        sending.start()
        got, number, largest = bytearray(), 2, 0
        while len(got) < len(text):
            frame, packet = answering.segment(number)
            number += 1
            if (packet.segment.seq - start) % (1 << 32) == len(got):
                got += packet.segment.payload
            largest = max(largest, len(frame.data))
            acknowledge(ACK, 1_001, len(got))
        sending.join()
    assert bytes(got) == text
    assert largest > 60_000
    assert link.statistics().truncated == 0
    assert answering.drops == []


def test_the_filter_keeps_out_what_is_not_ours(link: PacketLink, raw: socket.socket) -> None:
    """The kernel counts what it hands over: the receiver never sees the others."""
    udp = bytearray(syn(link))
    udp[23] = 17
    for frame in (syn(link, to="10.0.0.3"), bytes(udp), b"\xff" * 12 + b"\x88\xcc" + bytes(46), syn(link)):
        raw.send(frame)
    assert [frame.data for frame in frames_until(link, 1)] == [syn(link)]
    assert frames_until(link, 1, timeout_s=0.1) == []
    assert link.statistics().received == 1


def test_without_addresses_everything_passes(hosts: tuple[Host, Host], raw: socket.socket) -> None:
    everything = hosts[0].run(PacketLink, "eth0", None)
    stray = b"\xff" * 12 + b"\x88\xcc" + bytes(46)
    raw.send(stray)
    assert stray in [frame.data for frame in frames_until(everything, 1)]
    everything.close()


def test_our_own_frames_do_not_come_back(hosts: tuple[Host, Host], link: PacketLink) -> None:
    """Neither what the Link sends nor what the kernel beside it does."""
    kernel = hosts[0].run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    kernel.bind(("eth0", 0))
    with kernel:
        kernel.send(syn(link))
    link.send([syn(link)])
    assert frames_until(link, 1, timeout_s=0.1) == []


def test_a_tag_the_kernel_took_off_is_put_back(link: PacketLink, raw: socket.socket) -> None:
    plain = syn(link)
    tagged = plain[:12] + b"\x81\x00\x60\x05" + plain[12:]
    raw.send(tagged)
    assert [frame.data for frame in frames_until(link, 1)] == [tagged]


def test_an_overflow_is_counted_and_the_oldest_stay(hosts: tuple[Host, Host], raw: socket.socket) -> None:
    small = hosts[0].run(PacketLink, "eth0", OURS, slots=64)
    for seq in range(100):
        raw.send(syn(small, seq=seq))
    frames = frames_until(small, 64)
    assert [frame.data for frame in frames] == [syn(small, seq=seq) for seq in range(64)]
    assert small.statistics().dropped_by_kernel == 36
    raw.send(syn(small, seq=7))
    assert [frame.data for frame in frames_until(small, 1)] == [syn(small, seq=7)]
    assert small.statistics().dropped_by_kernel == 36
    small.close()


def test_the_ring_goes_round_without_a_gap(hosts: tuple[Host, Host], raw: socket.socket) -> None:
    small = hosts[0].run(PacketLink, "eth0", OURS, slots=64)
    for turn in range(10):
        sent = [syn(small, seq=50 * turn + place) for place in range(50)]
        for frame in sent:
            raw.send(frame)
        frames = frames_until(small, 50)
        assert [frame.data for frame in frames] == sent
        assert all(earlier.at_ns <= later.at_ns for earlier, later in pairwise(frames))
    small.close()


def test_an_interface_set_down_is_said_once_and_comes_back(
    hosts: tuple[Host, Host], link: PacketLink, raw: socket.socket
) -> None:
    set_flags(hosts[0], up=False)
    with pytest.raises(LinkDownError):
        link.receive()
    assert link.receive() == []
    link.send([syn(link)] * 3)
    assert link.statistics().send_failures == 3
    set_flags(hosts[0], up=True)
    raw.send(syn(link))
    assert len(frames_until(link, 1)) == 1


def set_flags(host: Host, *, up: bool) -> None:
    with host.enter(), IPRoute() as netlink:
        netlink.link("set", ifname="eth0", state="up" if up else "down")


def test_an_interface_that_goes_away_while_it_is_down_closes_the_link(
    hosts: tuple[Host, Host], link: PacketLink
) -> None:
    """Linux says nothing of it, and sets an interface down before it removes it."""
    set_flags(hosts[0], up=False)
    with pytest.raises(LinkDownError):
        link.receive()
    with hosts[0].enter(), IPRoute() as netlink:
        netlink.link("del", ifname="eth0")
    with pytest.raises(NoSuchInterfaceError):
        link.receive()
    assert link.closed


def test_an_interface_that_goes_away_closes_the_link(hosts: tuple[Host, Host], link: PacketLink) -> None:
    with hosts[0].enter(), IPRoute() as netlink:
        netlink.link("del", ifname="eth0")
    with pytest.raises(NoSuchInterfaceError):
        link.receive()
    assert link.closed
    assert link.receive() == []


@pytest.mark.parametrize("name", ["lo", "nowhere", "", "a name far too long for an interface"])
def test_what_is_no_ethernet_is_refused(hosts: tuple[Host, Host], name: str) -> None:
    before = open_descriptors()
    with pytest.raises(NoSuchInterfaceError):
        hosts[0].run(PacketLink, name, OURS)
    assert open_descriptors() == before


def test_closing_leaves_nothing_open(hosts: tuple[Host, Host]) -> None:
    before = open_descriptors(), mappings()
    opened = hosts[0].run(PacketLink, "eth0", OURS)
    assert (open_descriptors(), mappings()) > before
    opened.close()
    assert (open_descriptors(), mappings()) == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mappings() -> int:
    """How many packet rings are mapped."""
    return Path("/proc/self/maps").read_text().count("socket:")


def test_without_privileges_there_is_a_remedy() -> None:
    program = (
        "import os; os.setresgid(*3 * [65534]); os.setresuid(*3 * [65534])\n"
        "from xsocket.errors import CaptureError\n"
        "try: PacketLink('lo', [])\n"
        "except CaptureError as error: print(error)"
    )
    argv = [sys.executable, "-c", "from xsocket.wire.packet_link import PacketLink\n" + program]
    done = subprocess.run(argv, env={"PYTHONPATH": str(ENGINE)}, capture_output=True, text=True, check=True)
    assert "xsocket doctor" in done.stdout


def test_sending_does_not_let_go_of_the_interpreter(link: PacketLink) -> None:
    """Or a thread that computes would hold up each batch for a switch interval, 5 ms."""
    frames = [syn(link)] * 64
    assert not lets_go(lambda: link.send(frames))
    assert link.statistics().sent == len(frames)
