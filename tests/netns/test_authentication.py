"""Keys and real kernels: clients and servers with TCP MD5 signatures and, where the kernel has it, TCP-AO.

A kernel without TCP-AO takes part with MD5 alone; TCP-AO is then shown between two engines, and Scapy judges
every frame (`test_scapy_finds_every_segment_authentic`).
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from scapy.contrib.tcpao import build_message_from_packet, calc_tcpao_traffic_key, get_alg
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from support import kernelkeys
from support.live import (
    FAMILY,
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEER_ADDRESSES,
    PEERS,
    Network,
    Task,
    engine_in,
    linux_counters,
    network,
    stopping,
    text_of,
)
from xsocket import (
    Admission,
    AoKey,
    Connection,
    DropReason,
    Engine,
    Event,
    EventKind,
    Md5Key,
    Pattern,
    TcpConfig,
    Trace,
)
from xsocket.segment import SYN
from xsocket.tcp.keys import Key
from xsocket.tcp.options import parse, signatures
from xsocket_netns import Host

pytestmark = pytest.mark.netns

TEXT_OCTETS = 1_000_000
EVERYBODY = "0.0.0.0/0,::/0"


def ao(send_id: int = 61, recv_id: int = 84, secret: str = "secret", **options: object) -> AoKey:
    return AoKey(peer=EVERYBODY, send_id=send_id, recv_id=recv_id, secret=secret, **options)  # type: ignore[arg-type]


KEYS = {"MD5": Md5Key(peer=EVERYBODY, secret="secret")}
WRONG = {"MD5": Md5Key(peer=EVERYBODY, secret="other")}
if kernelkeys.has_ao():
    KEYS |= {"SHA1": ao(), "AES128": ao(algorithm="AES128"), "SHA1 alone": ao(include_options=False)}
    WRONG |= {"SHA1": ao(secret="other"), "AES128": ao(algorithm="AES128", secret="other")}

versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
keys = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
wrong_keys = pytest.mark.parametrize("key", WRONG.values(), ids=WRONG.keys())


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        made.peer.sysctl("net.ipv4.tcp_syn_retries", 1)
        yield made


class Log:
    """What an engine has sent and dropped, as it happens."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self.trace = Trace(0, self._note)

    def _note(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    def drops(self) -> set[DropReason]:
        return {event.reason for event in self.of(EventKind.DROPPED) if event.reason is not None}

    def wait_for(self, reason: DropReason, times: int = 1) -> None:
        def came() -> bool:
            return sum(event.reason is reason for event in self.events) >= times

        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_S), f"no {reason} in {self.drops()}"


@contextmanager
def kernel_socket(peer: Host, version: int, key: Key | None) -> Iterator[socket.socket]:
    """Give a socket of the kernel's that a key protects."""
    with closing(peer.run(socket.socket, FAMILY[version], socket.SOCK_STREAM)) as made:
        made.settimeout(PATIENCE_S)
        if key is not None:
            kernelkeys.protect(made, OURS[version], key)
        yield made


@contextmanager
def kernel_listener(peer: Host, version: int, key: Key | None, port: int) -> Iterator[socket.socket]:
    with kernel_socket(peer, version, key) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((PEERS[version], port))
        made.listen()
        yield made


def exchange(ours: Connection, theirs: socket.socket) -> None:
    """Carry text in both directions at once, then close."""
    text = text_of(TEXT_OCTETS)
    ours.settimeout(PATIENCE_S)
    theirs.settimeout(PATIENCE_S)
    sending = [Task(ours.sendall, text), Task(theirs.sendall, text)]
    reading = [Task(read_all, each) for each in (ours, theirs)]
    for task in sending:
        task.result()
    for read in reading:
        assert read.result() == text


def read_all(end: Connection | socket.socket) -> bytes:
    received = bytearray()
    while len(received) < TEXT_OCTETS:
        received += end.recv(1 << 20)
    return bytes(received)


# Both directions


@versions
@keys
@pytest.mark.parametrize("lossy", [False, True], ids=["no loss", "every tenth frame lost"])
def test_a_kernels_client_and_the_engine_share_a_key(
    net: Network, key: Key, version: int, *, lossy: bool
) -> None:
    log = Log()
    with engine_in(net.home, keys=[key], trace=log.trace, lossy=lossy) as engine:
        with kernel_socket(net.peer, version, key) as theirs:
            theirs.connect((OURS[version], 80))
            with engine.pool.claim(timeout=PATIENCE_S) as ours:
                exchange(ours, theirs)
        assert not {reason for reason in log.drops() if reason.name.startswith("SIGNATURE_")}
    sent = log.of(EventKind.SENT)
    assert len(sent) > 100
    assert all(len(signatures(each.segment.options)) == 1 for each in sent if each.segment is not None)


@versions
@keys
def test_the_engine_and_a_kernels_server_share_a_key(net: Network, key: Key, version: int) -> None:
    with (
        engine_in(net.home, keys=[key]) as engine,
        kernel_listener(net.peer, version, key, 1790) as server,
        engine.connect(PEERS[version], 1790, PATIENCE_S) as ours,
    ):
        theirs, _ = server.accept()
        with theirs:
            exchange(ours, theirs)


@pytest.mark.parametrize("sack", [0, 1], ids=["no SACK", "SACK"])
@pytest.mark.parametrize("timestamps", [0, 1], ids=["no timestamps", "timestamps"])
def test_the_engine_leaves_out_what_a_kernel_leaves_out_beside_md5(
    net: Network, timestamps: int, sack: int
) -> None:
    """No SACK block fits beside timestamps: of the two, Linux takes SACK, and never offers timestamps."""
    key, log = KEYS["MD5"], Log()
    net.peer.sysctl("net.ipv4.tcp_sack", sack)
    net.peer.sysctl("net.ipv4.tcp_timestamps", timestamps)
    config = TcpConfig(timestamps=bool(timestamps), sack=bool(sack))
    with engine_in(net.home, keys=[key], config=config, trace=log.trace) as engine:
        with kernel_socket(net.peer, 4, key) as theirs:
            theirs.connect((OURS[4], 80))
            with engine.pool.claim(timeout=PATIENCE_S) as ours:
                exchange(ours, theirs)
                passive = ours.info
        with (
            kernel_listener(net.peer, 4, key, 1791) as server,
            engine.connect(PEERS[4], 1791, PATIENCE_S) as ours,
            closing(server.accept()[0]) as theirs,
        ):
            exchange(ours, theirs)
            active = ours.info
    syns = [each.segment for each in log.events if each.segment is not None and each.segment.syn]
    offers = [parse(segment.options) for segment in syns]
    stamps = [offer.ts_val is not None for offer in offers]
    kernels_syn, our_answer, our_syn, kernels_answer = stamps
    assert not kernels_syn
    assert not our_answer
    assert our_syn == kernels_answer == bool(timestamps and not sack)
    assert (passive.timestamps, passive.sack) == (False, bool(sack))
    assert (active.timestamps, active.sack) == (our_syn, bool(sack))
    net.peer.sysctl("net.ipv4.tcp_sack", 1)
    net.peer.sysctl("net.ipv4.tcp_timestamps", 1)


# Who has no key, or another


@versions
@wrong_keys
def test_a_kernels_client_with_another_key_is_not_heard(net: Network, key: Key, version: int) -> None:
    log = Log()
    right = KEYS["MD5" if isinstance(key, Md5Key) else key.algorithm]
    with engine_in(net.home, keys=[right], trace=log.trace) as engine:
        with kernel_socket(net.peer, version, key) as theirs:
            theirs.setblocking(False)
            theirs.connect_ex((OURS[version], 80))
            log.wait_for(DropReason.SIGNATURE_WRONG, times=2)
        assert engine.statistics().host.segments_sent == 0
        assert engine.connections() == {}


@versions
@keys
@pytest.mark.parametrize("port", [80, 443], ids=["admitted", "refused"])
def test_a_kernels_client_without_a_key_is_not_heard(net: Network, key: Key, version: int, port: int) -> None:
    log = Log()
    with engine_in(net.home, keys=[key], trace=log.trace, admission=Admission(80)) as engine:
        with kernel_socket(net.peer, version, None) as theirs:
            theirs.setblocking(False)
            theirs.connect_ex((OURS[version], port))
            log.wait_for(DropReason.SIGNATURE_MISSING, times=2)
        assert engine.statistics().host.segments_sent == 0


@versions
def test_a_refused_client_learns_it_by_a_signed_reset(net: Network, version: int) -> None:
    """RFC 2385 section 4.1 cannot send one; MD5 needs no more than the key, and Linux signs them too."""
    with (
        engine_in(net.home, keys=[KEYS["MD5"]], admission=Admission(443)),
        kernel_socket(net.peer, version, KEYS["MD5"]) as theirs,
        pytest.raises(ConnectionRefusedError),
    ):
        theirs.connect((OURS[version], 80))


@pytest.mark.parametrize(
    ("ours", "theirs", "counter"),
    [
        pytest.param(None, KEYS["MD5"], "TCPMD5NotFound", id="we have no key"),
        pytest.param(KEYS["MD5"], None, "TCPMD5Unexpected", id="the kernel has no key"),
        pytest.param(WRONG["MD5"], KEYS["MD5"], "TCPMD5Failure", id="another key"),
    ],
)
def test_a_kernels_server_does_not_hear_us_either(
    net: Network, ours: Key | None, theirs: Key | None, counter: str
) -> None:
    """So the kernel drops a signature it has no key for: `TcpConfig.unexpected_signatures`."""
    before = linux_counters(net.peer)[counter]
    config = TcpConfig(syn_retries=0, syn_linear_timeouts=0)
    with (
        engine_in(net.home, keys=[ours] if ours else [], config=config) as engine,
        kernel_listener(net.peer, 4, theirs, 1792),
        pytest.raises(TimeoutError),
    ):
        engine.connect(PEERS[4], 1792)
    assert linux_counters(net.peer)[counter] > before


# TCP-AO, as Scapy sees it


@pytest.fixture
def two_engines(net: Network) -> Iterator[tuple[Engine, Engine, Log]]:
    """Engines on both ends of the cable, the other one with addresses that no kernel has."""
    log = Log()
    addresses = [each.replace("10.0.0.1/", "10.0.0.9/").replace("::1/", "::9/") for each in PEER_ADDRESSES]
    with engine_in(net.home, trace=log.trace) as ours:
        theirs = Engine(INTERFACE, addresses)
        net.peer.run(theirs.start)
        with stopping(theirs):
            yield ours, theirs, log


@versions
@pytest.mark.parametrize("algorithm", ["SHA1", "AES128"])
@pytest.mark.parametrize("include_options", [True, False], ids=["options covered", "options not covered"])
def test_scapy_finds_every_segment_authentic(
    two_engines: tuple[Engine, Engine, Log], version: int, algorithm: str, *, include_options: bool
) -> None:
    ours, theirs, log = two_engines
    old, new = (
        ao(send, recv, secret, algorithm=algorithm, include_options=include_options)
        for send, recv, secret in ((1, 2, "old"), (3, 4, "new"))
    )
    ours.set_keys([old])
    theirs.set_keys([turned(old)])
    with (
        theirs.connect(OURS[version], 80, PATIENCE_S) as one,
        ours.pool.claim(Pattern(local_port=80), timeout=PATIENCE_S) as other,
    ):
        converse(one, other, b"old")
        ours.set_keys([old, new])
        theirs.set_keys([turned(new), turned(old)])
        converse(one, other, b"new")
        assert key_ids(other) == (3, 2)
        ours.set_keys([new, old])
        converse(one, other, b"end")
        assert key_ids(other) == (3, 4)
    frames = [each.frame for each in log.events if each.segment is not None and each.reason is None]
    assert len(frames) > 10
    isns: dict[str, int] = {}
    used = {judge(frame, {1: old, 2: old, 3: new, 4: new}, isns) for frame in frames if frame is not None}
    assert used == {1, 2, 3, 4}


def key_ids(end: Connection) -> tuple[int | None, int | None]:
    """Return the KeyID that this end sends and the one it last received."""
    protection = end.info.authentication
    assert protection is not None
    return protection.current, protection.received


def turned(key: AoKey) -> AoKey:
    """Return the key as the other end has it."""
    return AoKey(
        peer=key.peer,
        send_id=key.recv_id,
        recv_id=key.send_id,
        secret=key.secret,
        algorithm=key.algorithm,
        include_options=key.include_options,
    )


def converse(one: Connection, other: Connection, text: bytes) -> None:
    """Say *text* twice in each direction."""
    for sender, receiver in ((one, other), (other, one)) * 2:
        sender.sendall(text)
        receiver.settimeout(PATIENCE_S)
        assert receiver.recv(100) == text


def judge(frame: bytes, by_id: dict[int, AoKey], isns: dict[str, int]) -> int:
    """Fail unless Scapy computes the MAC that the frame has; return its KeyID."""
    packet = Ether(frame)
    tcp = packet[TCP]
    option = dict(tcp.options)["AO"]
    key_id, mac = option.keyid, bytes(option.mac)
    key = by_id[key_id]
    source, destination = packet.payload.src, packet.payload.dst
    if tcp.flags & SYN:
        isns[source] = tcp.seq
    algorithm = get_alg({"SHA1": "HMAC-SHA-1-96", "AES128": "AES-128-CMAC-96"}[key.algorithm])
    is_syn = tcp.flags & 0x12 == SYN
    traffic_key = calc_tcpao_traffic_key(
        packet, algorithm, key.secret, isns[source], 0 if is_syn else isns[destination]
    )
    message = build_message_from_packet(packet, include_options=key.include_options)
    assert algorithm.mac(traffic_key, message) == mac, packet.summary()
    return int(key_id)
