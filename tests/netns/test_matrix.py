"""Every combination of what a Linux peer offers, as client and as server, over a path that loses frames.

Each conversation is established, carries text both ways and closes in order; what the engine says was
negotiated is what the kernel's TCP_INFO says, and is what was offered.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, combinations, count, islice
from struct import unpack_from
from typing import Final, NamedTuple

import pytest

from support import kernelkeys
from support.live import (
    ADDRESSES,
    FAMILY,
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEERS,
    Network,
    Task,
    linux_counters,
    listener,
    network,
    stopping,
    tcp_counters,
    text_of,
)
from xsocket import Connection, DropReason, Engine, Md5Key, Pattern, State, TcpConfig, Trace
from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.trace import Event, EventKind
from xsocket.wire.faulty_link import FaultRates, FaultyLink
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, SysctlError

pytestmark = pytest.mark.netns

LOSS: Final = 0.05
TEXT: Final = text_of(1_000_000)
TEXTS: Final = {"kernel": TEXT, "engine": TEXT[::-1]}
"""What each end says."""
GREETING_OCTETS: Final = 500
"""How much of it the end that opens the connection says at once: in its SYN, if it may."""
AT_ONCE: Final = 32
"""How many conversations go on at the same time."""
LIMIT_S: Final = 4 * PATIENCE_S
"""How long one may take; see `hurry`."""
TRIES: Final = 10
"""How often to make an offer whose SYN is lost: one time in ten, so never this often."""
RULES: Final = TcpConfig(ecn=1, fastopen=3, fastopen_qlen=AT_ONCE, max_rto_s=1.0)
MSG_FASTOPEN: Final = 0x2000_0000
TCP_FASTOPEN: Final = 23
TCPI_OPTIONS: Final = 5

Offer = frozenset[str]
"""What the peer's kernel offers and takes: names of `SWITCHES`, and `MD5`."""
MD5: Final = "md5"
MD5_PORTS: Final = 5000
"""From this port on a key protects connections."""
MD5_FAULTS: Final = ("TCPMD5Failure", "TCPMD5NotFound", "TCPMD5Unexpected")
WITH_MD5: Final = f"{MD5_PORTS}-5999"
KEYS: Final = [
    Md5Key(peer=Pattern(local_port=WITH_MD5), secret="secret"),
    Md5Key(peer=Pattern(remote_port=WITH_MD5), secret="secret"),
]


class Switch(NamedTuple):
    """Something that the peer's kernel offers and takes, or does not.

    Attributes:
        sysctl: Where.
        on: For yes; 0 is for no.
        bit: In tcpi_options, that it was agreed on.
        agreed: Whether the engine says that it was.
        by_first_syn: Whether it is not offered by a SYN that is sent again.
    """

    sysctl: str
    on: int
    bit: int
    agreed: Callable[[Info], bool]
    by_first_syn: bool = False


def was_fast(info: Info) -> bool:
    return info.fast_open is not None and info.fast_open.syn_data_acked > 0


SWITCHES: Final = {
    "timestamps": Switch("net.ipv4.tcp_timestamps", 1, 0x01, lambda info: info.timestamps),
    "sack": Switch("net.ipv4.tcp_sack", 1, 0x02, lambda info: info.sack),
    "window_scaling": Switch(
        "net.ipv4.tcp_window_scaling", 1, 0x04, lambda info: info.snd_wscale is not None
    ),
    "ecn": Switch("net.ipv4.tcp_ecn", 1, 0x08, lambda info: info.ecn is not None, by_first_syn=True),
    "fast_open": Switch("net.ipv4.tcp_fastopen", 3, 0x20, was_fast, by_first_syn=True),
}
BY_FIRST_SYN: Final = frozenset(name for name, switch in SWITCHES.items() if switch.by_first_syn)


def every_offer() -> list[Offer]:
    names = [*SWITCHES, MD5]
    return [frozenset(some) for some in chain(*(combinations(names, size) for size in range(len(names) + 1)))]


def apply(offer: Offer, peer: Host) -> None:
    for name, switch in SWITCHES.items():
        peer.sysctl(switch.sysctl, switch.on if name in offer else 0)


def expected(offer: Offer, opener: str) -> Offer:
    """Return what comes of *offer*: all of it, but for what has no room beside a signature.

    MD5 takes 20 of the 40 octets of options, and the MSS 4. Beside it Linux offers no timestamps (12), and
    the engine none with SACK, whose blocks would find no room. A cookie (12) does not go with both SACK (4)
    and window scaling (4): whoever opens then opens slowly. The engine offers all there is.
    """
    if MD5 not in offer:
        return offer
    is_full = opener == "engine" or {"sack", "window_scaling"} <= offer
    return offer - ({"timestamps", "fast_open"} if is_full else {"timestamps"})


def hurry(peer: Host) -> None:
    """Have no timeout of the kernel's be longer than a second, as of the engine, where it can (Linux 6.15).

    Without SACK, what it sends again and is lost again waits for a timeout. Each is twice as long as the last
    until a round trip is measured, and without timestamps text that was sent twice is no measure (RFC 6298
    section 3). Now and then two kernels, too, take half a minute for a megabyte.
    """
    with suppress(SysctlError):
        peer.sysctl("net.ipv4.tcp_rto_max_ms", 1000)


class Ends:
    """Where each connection of an engine went last, as its trace tells."""

    def __init__(self) -> None:
        self.resets: list[Event] = []
        """Sent by connections; one to a FIN that comes again after its connection has ended is no fault."""
        self._last: dict[FourTuple, State] = {}
        self._moved = threading.Condition()

    def note(self, event: Event) -> None:
        if event.kind is EventKind.SENT and event.segment is not None and event.segment.rst:
            self.resets += [event] if event.before is not State.CLOSED else []
        if event.kind is EventKind.MOVED and event.four_tuple is not None and event.after is not None:
            with self._moved:
                self._last[event.four_tuple] = event.after
                self._moved.notify_all()

    def wait_for_the_end_of(self, four_tuple: FourTuple) -> None:
        def is_over() -> bool:
            return self._last.get(four_tuple) in (State.TIME_WAIT, State.CLOSED)

        with self._moved:
            assert self._moved.wait_for(is_over, PATIENCE_S), self._last.get(four_tuple)


class Stage(NamedTuple):
    """Where conversations are held."""

    net: Network
    version: int
    link: FaultyLink
    engine: Engine

    @property
    def lost(self) -> int:
        """How many frames were lost so far."""
        return self.link.outgoing.dropped + self.link.incoming.dropped


class Conversation(NamedTuple):
    """The two ends of one connection, and which of them opened it."""

    kernel: socket.socket
    engine: Connection
    opener: str

    @property
    def ends(self) -> dict[str, socket.socket | Connection]:
        return {"kernel": self.kernel, "engine": self.engine}


@contextmanager
def lossy_stage(version: int, ends: Ends) -> Iterator[Stage]:
    with network(offload=False) as net:
        hurry(net.peer)
        inner = net.home.run(PacketLink, INTERFACE, ADDRESSES)
        link = FaultyLink(inner, FaultRates(loss=LOSS), seed=5)
        trace = Trace(limit=1, listener=ends.note)
        engine = Engine(link=link, addresses=ADDRESSES, config=RULES, keys=KEYS, trace=trace)
        engine.start()
        with stopping(engine):
            yield Stage(net, version, link, engine)


Open = Callable[[Stage, Offer, int], Conversation]


def opened_by_the_kernel(stage: Stage, offer: Offer, port: int) -> Conversation:
    with stage.net.peer.enter():
        kernel = socket.socket(FAMILY[stage.version], socket.SOCK_STREAM)
    if MD5 in offer:
        kernelkeys.protect(kernel, OURS[stage.version], KEYS[0])
    address, greeting = (OURS[stage.version], port), TEXTS["kernel"][:GREETING_OCTETS]
    if "fast_open" in offer:
        assert kernel.sendto(greeting, MSG_FASTOPEN, address) == GREETING_OCTETS
    else:
        kernel.connect(address)
        kernel.sendall(greeting)
    claimed = stage.engine.pool.claim(Pattern(local_port=port), PATIENCE_S)
    return Conversation(kernel, claimed, "kernel")


def opened_by_the_engine(stage: Stage, offer: Offer, port: int) -> Conversation:
    peer, greeting = PEERS[stage.version], TEXTS["engine"][:GREETING_OCTETS]
    with listener(stage.net.peer, port, stage.version) as waiting:
        waiting.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, AT_ONCE)
        if MD5 in offer:
            kernelkeys.protect(waiting, OURS[stage.version], KEYS[0])
        opened = stage.engine.connect(peer, port, PATIENCE_S, data=greeting)
        return Conversation(waiting.accept()[0], opened, "engine")


def conversations(stage: Stage, open_one: Open) -> Iterator[Conversation]:
    """Open a connection with each offer; again where that says less than it might, for want of a SYN."""
    for first_port, with_md5 in ((1000, False), (MD5_PORTS, True)):
        ports = count(first_port)
        for offer in (each for each in every_offer() if (MD5 in each) is with_md5):
            apply(offer, stage.net.peer)
            for _ in range(TRIES):
                lost = stage.lost
                opened = open_one(stage, offer, next(ports))
                missing = what_is_missing(opened, offer, lost=stage.lost > lost)
                yield opened
                if not missing:
                    break
            else:
                pytest.fail(f"{sorted(missing)} never came of {sorted(offer)}")


def what_is_missing(opened: Conversation, offer: Offer, *, lost: bool) -> Offer:
    """Check what was negotiated; return what there is an excuse for.

    Args:
        opened: The connection.
        offer: What the kernel offered.
        lost: Whether a frame was lost meanwhile: it may have been the first SYN.
    """
    info = opened.engine.info
    agreed = negotiated_by_the_kernel(opened.kernel)
    assert agreed == negotiated_by_the_engine(info), sorted(offer)
    assert (info.authentication is not None) == (MD5 in offer)
    missing = expected(offer, opened.opener) - {MD5} ^ agreed[0]
    excused = BY_FIRST_SYN if lost else frozenset[str]()
    if info.fast_open is not None and info.fast_open.cookie == b"":
        excused |= {"fast_open"}  # it asked for a cookie: the first time, and until an answer arrives
    assert missing <= excused, f"{sorted(missing)} of {sorted(offer)}"
    return missing


def negotiated_by_the_kernel(kernel: socket.socket) -> tuple[Offer, int | None, int | None, int]:
    """Return what TCP_INFO says: options, shift counts of the peer and of its own, its segment size."""
    info = kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    options, shifts = info[TCPI_OPTIONS], info[TCPI_OPTIONS + 1]
    (mss,) = unpack_from("I", info, 16)
    agreed = frozenset(name for name, switch in SWITCHES.items() if options & switch.bit)
    scaled = "window_scaling" in agreed
    return agreed, shifts & 0xF if scaled else None, shifts >> 4 if scaled else None, mss


def negotiated_by_the_engine(info: Info) -> tuple[Offer, int | None, int | None, int]:
    """Return the same as `negotiated_by_the_kernel`, seen from the other end."""
    agreed = frozenset(name for name, switch in SWITCHES.items() if switch.agreed(info))
    return agreed, info.rcv_wscale, info.snd_wscale, info.rcv_mss - (12 if info.timestamps else 0)


def send(end: socket.socket | Connection, text: bytes) -> None:
    end.sendall(text)
    end.shutdown(socket.SHUT_WR)


def receive(end: socket.socket | Connection) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 18), b""))


def exchange(conversations: Sequence[Conversation]) -> None:
    """Send text both ways in every conversation at the same time, and check what arrives."""
    readers, writers = [], []
    for each in conversations:
        for (name, end), other in zip(each.ends.items(), reversed(each.ends), strict=True):
            end.settimeout(LIMIT_S)
            said = GREETING_OCTETS if name == each.opener else 0
            readers.append((Task(receive, end), TEXTS[other]))
            writers.append(Task(send, end, TEXTS[name][said:]))
    for writer in writers:
        writer.result(LIMIT_S)
    for reader, text in readers:
        assert reader.result(LIMIT_S) == text


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("open_one", [opened_by_the_kernel, opened_by_the_engine], ids=["client", "server"])
def test_every_combination_with_a_linux_peer(version: int, open_one: Open) -> None:
    ends = Ends()
    with lossy_stage(version, ends) as stage:
        opening = conversations(stage, open_one)
        while batch := list(islice(opening, AT_ONCE)):
            exchange(batch)
            for each in batch:
                each.kernel.close()
                each.engine.close()
                ends.wait_for_the_end_of(each.engine.four_tuple)
        check_that_all_is_well(stage)
        assert ends.resets == []


def check_that_all_is_well(stage: Stage) -> None:
    """Ask the kernel's counters and the engine's whether a connection or a signature failed."""
    seen = tcp_counters(stage.net.peer) | linux_counters(stage.net.peer)
    # It may reset what comes again after its own end is closed: no connection is lost by that.
    faults = ("EstabResets", "AttemptFails", "InCsumErrors", *MD5_FAULTS)
    assert {name: seen[name] for name in faults} == dict.fromkeys(faults, 0)
    drops = stage.engine.statistics().host.drops
    assert not {DropReason.SIGNATURE_WRONG, DropReason.SIGNATURE_MISSING} & drops.keys()
