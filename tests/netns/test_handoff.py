"""Connections of the engine that go on as kernel sockets: what their users, the peer and the pool see."""

import asyncio
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import pytest

from support.capabilities import drop_capabilities
from support.live import (
    OURS,
    PATIENCE_S,
    PEERS,
    Task,
    client,
    engine_in,
    linux_counters,
    listener,
    network,
    tcp_counters,
    until,
)
from xsocket import (
    AddressInUseError,
    Admission,
    AlreadyClaimedError,
    CannotHandOverError,
    Connection,
    DropReason,
    Engine,
    FourTuple,
    HandoffError,
    NotKernelAddressError,
    State,
    TcpConfig,
    Trace,
)
from xsocket_netns import Host

pytestmark = pytest.mark.netns

PORT: Final = 80
LINUX_PORT: Final = 81
LEAST_TALKERS: Final = 60
MOST_TALKERS: Final = 1000
TCPI_OPT_USEC_TS: Final = 64  # linux/tcp.h
OPTIONS: Final = {"timestamps": 1, "sack": 2, "wscale": 4}  # TCPI_OPT_*, linux/tcp.h


class Scene(NamedTuple):
    """A peer, and a home whose kernel has the engine's addresses, too."""

    peer: Host
    home: Host
    engine: Engine


@contextmanager
def scene(**options: object) -> Iterator[Scene]:
    options.setdefault("admission", Admission(ports=PORT))
    with network(shared=True) as (_, peer, home):
        with engine_in(home, **options) as engine:
            yield Scene(peer, home, engine)
        assert tcp_counters(peer)["InErrs"] == 0


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene() as made:
        yield made


def joined(live: Scene, version: int = 4, text: bytes = b"") -> tuple[socket.socket, Connection]:
    """Return both ends of a new connection; *text* has come before it was claimed."""
    far = client(live.peer, PORT, version)
    if text:
        far.sendall(text)
    near = live.engine.pool.claim(timeout=PATIENCE_S)
    until(lambda: near.info.unread == len(text))
    near.settimeout(PATIENCE_S)
    return far, near


def exchange(one: socket.socket, other: socket.socket, text: bytes) -> bytes:
    """Send *text* from one to the other; return what comes there."""
    sending = Task(one.sendall, text)
    got = b""
    while len(got) < len(text):
        got += other.recv(1 << 20)
    sending.result()
    return got


class Negotiated(NamedTuple):
    """What a kernel socket says was agreed on: struct tcp_info of linux/tcp.h."""

    state: int
    options: int
    their_scale: int
    our_scale: int
    mss: int


def negotiated(kernel: socket.socket) -> Negotiated:
    info = kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    state, options, scales = info[0], info[5], info[6]
    mss = struct.unpack_from("=I", info, 16)[0]
    return Negotiated(state, options & 7, scales & 15, scales >> 4, mss)


def no_reset(*hosts: Host) -> bool:
    return all(tcp_counters(host)["OutRsts"] == 0 for host in hosts)


# What goes along


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_carries_the_connection_on_in_both_directions(live: Scene, version: int) -> None:
    far, near = joined(live, version, b"early")
    before = near.info
    with far, near.to_kernel() as kernel:
        assert kernel.family == (socket.AF_INET if version == 4 else socket.AF_INET6)
        assert (kernel.getsockname()[:2], kernel.getpeername()[:2]) == (
            (OURS[version], PORT),
            far.getsockname()[:2],
        )
        assert kernel.recv(100) == b"early"
        text = bytes(range(256)) * 4096
        assert exchange(kernel, far, text) == text
        assert exchange(far, kernel, text) == text
        here = negotiated(kernel)
        assert here.options == sum(OPTIONS.values())
        assert (here.their_scale, here.our_scale, here.mss) == (
            before.snd_wscale,
            before.rcv_wscale,
            before.snd_mss,
        )
        far.shutdown(socket.SHUT_WR)
        assert kernel.recv(100) == b""
    assert no_reset(live.peer, live.home)
    assert live.engine.statistics().host.resets_sent == 0


def linux_scale(live: Scene) -> int:
    """Return the shift count that the kernel offers for connections of its own."""
    listening = live.home.run(socket.create_server, (OURS[4], LINUX_PORT))
    with listening, client(live.peer, LINUX_PORT):
        accepted, _ = listening.accept()
        with accepted:
            return negotiated(accepted).our_scale


def test_the_window_may_grow_as_far_as_a_connection_of_the_kernels_own(live: Scene) -> None:
    far, near = joined(live)
    with far, near.to_kernel() as kernel:
        assert negotiated(kernel).our_scale == linux_scale(live)


def test_a_receive_buffer_larger_than_any_window_has_the_largest_shift_count() -> None:
    with network(shared=True) as (_, peer, home):
        home.sysctl("net.ipv4.tcp_rmem", f"4096 131072 {(1 << 31) - 1}")
        with engine_in(home, admission=Admission(ports=PORT)) as engine:
            far, near = joined(Scene(peer, home, engine))
            with far, near.to_kernel() as kernel:
                assert negotiated(kernel).our_scale == 14


@pytest.mark.parametrize(("rmem_max", "scale"), [(65_535, 2), (1 << 30, 14)])
def test_how_far_it_may_grow_can_be_said(live: Scene, rmem_max: int, scale: int) -> None:
    live.engine.set_config(TcpConfig(rmem=131_072, rmem_max=rmem_max))
    far, near = joined(live)
    with far, near.to_kernel() as kernel:
        assert negotiated(kernel).our_scale == scale


@pytest.mark.parametrize(
    ("rules", "option"),
    [
        (TcpConfig(timestamps=False), "timestamps"),
        (TcpConfig(sack=False), "sack"),
        (TcpConfig(window_scaling=False), "wscale"),
    ],
    ids=["no timestamps", "no sack", "no window scale"],
)
def test_what_was_not_agreed_on_stays_off(rules: TcpConfig, option: str) -> None:
    with scene(config=rules) as live:
        far, near = joined(live)
        with far, near.to_kernel() as kernel:
            assert negotiated(kernel).options == sum(OPTIONS.values()) - OPTIONS[option]
            assert exchange(far, kernel, b"there") == b"there"
            assert exchange(kernel, far, b"back" * 50_000) == b"back" * 50_000
        assert no_reset(live.peer, live.home)


def test_the_peer_takes_no_timestamp_of_the_kernel_for_an_old_one(live: Scene) -> None:
    far, near = joined(live)
    near.sendall(b"with a timestamp of the engine")
    assert far.recv(100)
    with far, near.to_kernel() as kernel:
        assert exchange(kernel, far, b"with one of the kernel") == b"with one of the kernel"
    assert linux_counters(live.peer)["PAWSEstab"] == 0


def test_the_kernels_timestamps_count_milliseconds_as_ours_do(live: Scene) -> None:
    """An odd one would have them count microseconds, and no connection could come back."""
    for _ in range(20):
        far, near = joined(live)
        with far, near.to_kernel() as kernel:
            info = kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
            assert info[5] & TCPI_OPT_USEC_TS == 0


def test_timestamps_never_go_back_between_the_two(live: Scene) -> None:
    far, near = joined(live)
    far.settimeout(PATIENCE_S)
    for number in range(50):
        text = b"%d" % number
        near.sendall(text)
        assert far.recv(100) == text
        assert near.from_kernel(near.to_kernel())
    near.close()
    far.close()
    assert linux_counters(live.peer)["PAWSEstab"] == 0


def test_text_that_came_before_fills_more_than_a_new_sockets_buffer(live: Scene) -> None:
    text = bytes(range(256)) * 900
    far, near = joined(live, text=b"!")
    assert near.recv(1) == b"!"  # before that, less is offered
    far.sendall(text)
    until(lambda: near.info.unread == len(text))
    with far, near.to_kernel() as kernel:
        got = b""
        while len(got) < len(text):
            got += kernel.recv(1 << 20)
        assert got == text
        assert exchange(far, kernel, text * 10) == text * 10


def test_as_much_text_as_linux_would_offer_room_for_comes_before_anybody_reads(live: Scene) -> None:
    """More would have the kernel believe in a path that needs the largest of buffers."""
    far, near = joined(live)
    text = bytes(range(256)) * 900
    sending = Task(far.sendall, text)
    until(lambda: near.info.rcv_wnd < near.info.rcv_mss)
    assert 60_000 < near.info.unread <= 65_535
    with far, near.to_kernel() as kernel:
        got = b""
        while len(got) < len(text):
            got += kernel.recv(1 << 20)
        sending.result()
        assert got == text


def test_text_that_the_peer_has_no_room_for_goes_along(live: Scene) -> None:
    """The peer reads nothing: a part was sent, a part acknowledged, and the rest never sent."""
    far, near = joined(live)
    text = bytes(range(256)) * 8192
    given = near.send(text)
    until(lambda: near.info.snd_wnd < 1000)
    assert near.info.unacknowledged > 100_000
    near.settimeout(PATIENCE_S)
    with far, near.to_kernel() as kernel:
        sending = Task(kernel.sendall, text[given:])
        got = b""
        while len(got) < len(text):
            got += far.recv(1 << 20)
        sending.result()
        assert got == text
    assert no_reset(live.peer, live.home)


def test_text_on_its_way_is_sent_again_by_the_kernel(live: Scene) -> None:
    far, near = joined(live)
    far.settimeout(PATIENCE_S)
    cut(live.peer)
    near.sendall(b"lost on its way, ")
    until(lambda: near.info.unacknowledged == 17)
    with far, near.to_kernel() as kernel:
        mend(live.peer)
        kernel.sendall(b"and sent again")
        got = b""
        while len(got) < 31:
            got += far.recv(100)
        assert got == b"lost on its way, and sent again"


@pytest.mark.parametrize("text", [b"", b"last words"], ids=["nothing unread", "unread text"])
def test_a_fin_that_came_before_is_the_end_of_the_stream(live: Scene, text: bytes) -> None:
    far, near = joined(live, text=text)
    far.shutdown(socket.SHUT_WR)
    until(lambda: near.state is State.CLOSE_WAIT)
    with far, near.to_kernel() as kernel:
        with kernel.makefile("rb") as stream:
            assert stream.read() == text
        assert negotiated(kernel).state == 8  # CLOSE-WAIT, linux/tcp_states.h
        assert exchange(kernel, far, b"still open this way") == b"still open this way"
    assert no_reset(live.peer, live.home)


def test_what_comes_during_the_hand_over_arrives_once_and_in_order(live: Scene) -> None:
    """Peers that never stop talking, in small segments; it takes some of them until one hits the moment."""
    size, done, injected = 4000, 0, 0
    while done < LEAST_TALKERS or (not injected and done < MOST_TALKERS):
        far, near = joined(live)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talking = Task(talk, far, size)
        assert near.recv(2, peek=True)
        with far, near.to_kernel() as kernel, kernel.makefile("rb") as stream:
            assert stream.read(2 * size) == numbers(size)
            talking.result()
            far.close()  # first, so that no name is in TIME-WAIT at our end when the peer takes it again
            assert stream.read(1) == b""
        done += 1
        injected = live.engine.statistics().handoff.injected
    assert injected > 0
    handoff = live.engine.statistics().handoff
    assert (handoff.handed_over, handoff.failed, handoff.injection_failures) == (done, 0, 0)
    assert no_reset(live.peer, live.home)


def talk(far: socket.socket, count: int) -> None:
    text = numbers(count)
    for start in range(0, len(text), 10):
        far.sendall(text[start : start + 10])


def numbers(count: int) -> bytes:
    return b"".join(number.to_bytes(2) for number in range(count))


def cut(peer: Host) -> None:
    """Let nothing of the engine's through to the peer."""
    peer.sysctl("net.ipv4.conf.all.rp_filter", 0)
    peer.run(filter_input, add=True)


def mend(peer: Host) -> None:
    peer.run(filter_input, add=False)


def filter_input(*, add: bool) -> None:
    from pyroute2.nftables.expressions import verdict
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=1) as nft:
        if add:
            nft.table("add", name="cut")
            nft.chain("add", table="cut", name="input", hook="input", type="filter", policy=1)
            nft.rule("add", table="cut", chain="input", expressions=((), verdict(0)))
        else:
            nft.table("del", name="cut")


# What the object does


def test_the_timeout_goes_along_and_the_connection_is_closed(live: Scene) -> None:
    far, near = joined(live)
    near.settimeout(7.5)
    with far, near.to_kernel() as kernel:
        assert kernel.gettimeout() == 7.5
        assert not kernel.get_inheritable()
        assert near.closed
        with pytest.raises(OSError, match="Bad file descriptor"):
            near.recv(1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            near.to_kernel()


def test_rules_of_the_connection_become_socket_options() -> None:
    rules = TcpConfig(
        nodelay=True, keepalive=True, keepalive_time_s=77.0, ttl=33, user_timeout_s=9.0, dscp=10
    )
    with scene(config=rules) as live:
        far, near = joined(live)
        with far, near.to_kernel() as kernel:
            tcp = socket.IPPROTO_TCP
            assert kernel.getsockopt(tcp, socket.TCP_NODELAY) == 1
            assert kernel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert kernel.getsockopt(tcp, socket.TCP_KEEPIDLE) == 77
            assert kernel.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 9000
            assert kernel.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 33
            assert kernel.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 40


def test_it_waits_for_the_end_of_the_handshake(live: Scene) -> None:
    with listener(live.peer, 9000) as listening:
        opening = live.engine.open(PEERS[4], 9000)
        opening.settimeout(PATIENCE_S)
        with opening.to_kernel() as kernel, listening.accept()[0] as far:
            assert exchange(kernel, far, b"from an active open") == b"from an active open"


@pytest.mark.parametrize("version", [4, 6])
def test_an_active_open_goes_to_the_kernel(live: Scene, version: int) -> None:
    with listener(live.peer, 9000, version) as listening:
        near = live.engine.connect(PEERS[version], 9000, PATIENCE_S)
        assert 61_000 <= near.four_tuple.local_port <= 65_535
        with near.to_kernel() as kernel, listening.accept()[0] as far:
            assert exchange(kernel, far, b"there") == b"there"
            assert exchange(far, kernel, b"back") == b"back"
    assert no_reset(live.peer, live.home)


def test_a_thread_in_the_engines_namespace_needs_no_other(live: Scene) -> None:
    far, near = joined(live)
    with far, live.home.run(near.to_kernel) as kernel:
        assert exchange(far, kernel, b"text") == b"text"


def test_for_asyncio_the_socket_does_not_block(live: Scene) -> None:
    far, near = joined(live)

    async def answer() -> None:
        with await near.to_kernel_async() as kernel:
            assert not kernel.getblocking()
            reader, writer = await asyncio.open_connection(sock=kernel)
            writer.write(await reader.readexactly(5))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    far.sendall(b"hello")
    asyncio.run(answer())
    with far:
        assert far.recv(100) == b"hello"


def test_who_waits_in_another_thread_is_told(live: Scene) -> None:
    far, near = joined(live)
    reading = Task(near.recv, 100)
    with far, near.to_kernel(), pytest.raises(OSError, match="Bad file descriptor"):
        reading.result()


# When it cannot be


def test_without_privilege_the_connection_stays_whole(live: Scene) -> None:
    far, near = joined(live, text=b"before")
    with pytest.raises(HandoffError, match="CAP_NET_ADMIN"):
        Task(without_privileges, near.to_kernel).result()
    assert live.engine.statistics().handoff.failed == 1
    with far, near:
        assert near.recv(100) == b"before"
        near.sendall(b"still here")
        assert far.recv(100) == b"still here"
        far.sendall(b"so am I")
        assert near.recv(100) == b"so am I"
    assert no_reset(live.peer, live.home)


def without_privileges(call: Callable[[], object]) -> object:
    """Run *call* in a thread that has given up all capabilities; they belong to threads."""
    drop_capabilities()
    return call()


def test_an_address_of_the_engine_alone_is_refused() -> None:
    with network() as (_, peer, home), engine_in(home) as engine:
        far, near = joined(Scene(peer, home, engine))
        with far, near:
            with pytest.raises(NotKernelAddressError, match=r"10\.0\.0\.2 is not an address of the kernel"):
                near.to_kernel()
            near.sendall(b"still here")
            assert far.recv(100) == b"still here"


def test_without_a_descriptor_to_spare_the_connection_stays_whole(live: Scene) -> None:
    far, near = joined(live)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            near.to_kernel()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with far, near:
        near.sendall(b"still here")
        assert far.recv(100) == b"still here"


def test_an_end_that_has_finished_sending_is_refused(live: Scene) -> None:
    far, near = joined(live)
    near.shutdown(socket.SHUT_WR)
    until(lambda: near.state is State.FIN_WAIT_2)
    with far, near, pytest.raises(CannotHandOverError, match="FIN-WAIT-2"):
        near.to_kernel()


def test_an_open_file_is_refused(live: Scene) -> None:
    far, near = joined(live)
    with far, near, near.makefile("rb"), pytest.raises(CannotHandOverError, match="makefile"):
        near.to_kernel()


def test_a_connection_that_was_reset_says_so(live: Scene) -> None:
    far, near = joined(live)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    until(lambda: near.state is State.CLOSED)
    with pytest.raises(ConnectionResetError):
        near.to_kernel()
    with pytest.raises(OSError, match="not connected"):
        near.to_kernel()
    near.close()


def test_a_port_that_is_the_kernels_cannot_be_opened_from(live: Scene) -> None:
    with pytest.raises(AddressInUseError, match="port 5000"):
        live.engine.connect(PEERS[4], 9000, local_port=5000)


# Names


def test_its_name_has_an_owner_until_the_socket_is_gone(live: Scene) -> None:
    far, near = joined(live)
    key = near.four_tuple
    kernel = near.to_kernel()
    with pytest.raises(AlreadyClaimedError):
        live.engine.pool.claim(key, timeout=0)
    assert live.engine.statistics().handoff.in_kernel == 1
    far.close()
    assert kernel.recv(1) == b""
    kernel.close()
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    assert live.engine.pool.statistics().owned_connections == 0


@pytest.mark.parametrize("first", ["peer", "engine"])
def test_the_same_name_can_be_opened_again(live: Scene, first: str) -> None:
    """Where our end closed first, the kernel keeps it in TIME-WAIT and has a say in it."""
    with live.peer.enter():
        far = socket.socket()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    far.bind((PEERS[4], 40_000))
    far.connect((OURS[4], PORT))
    kernel = live.engine.pool.claim(timeout=PATIENCE_S).to_kernel()
    ends = (far, kernel) if first == "peer" else (kernel, far)
    for end in ends:
        end.shutdown(socket.SHUT_WR)
    for end in ends:
        assert end.recv(1) == b""
        end.close()
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    with live.peer.enter():
        again = socket.socket()
    with again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((PEERS[4], 40_000))
        again.settimeout(PATIENCE_S)
        again.connect((OURS[4], PORT))
        key = FourTuple(OURS[4], PORT, PEERS[4], 40_000)
        with live.engine.pool.claim(key, timeout=PATIENCE_S).to_kernel() as second:
            assert exchange(again, second, b"again") == b"again"
    assert linux_counters(live.peer)["TCPSynRetrans"] == 0


def test_a_socket_that_was_reset_is_gone(live: Scene) -> None:
    """Linux says of such a one that it ended, but no longer with whom it was connected."""
    far, near = joined(live)
    kernel = near.to_kernel()
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    kernel.close()
    with far, pytest.raises(ConnectionResetError):
        far.recv(1)
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    assert live.engine.pool.statistics().owned_connections == 0


def test_a_stray_segment_for_a_socket_that_is_gone_is_reset(live: Scene) -> None:
    """It would be silence for ever if the engine left it to the kernel, which the guard keeps from it."""
    far, near = joined(live)
    kernel = near.to_kernel()
    far.sendall(b"unread")
    assert kernel.recv(6, socket.MSG_PEEK) == b"unread"
    cut(live.peer)
    kernel.close()  # with a reset, which is lost
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    mend(live.peer)
    far.settimeout(PATIENCE_S)
    far.sendall(b"hello?")
    with far, pytest.raises(ConnectionResetError):
        far.recv(1)


# The engine ends


def test_the_connection_outlives_the_engine() -> None:
    with network(shared=True) as (_, peer, home):
        with engine_in(home, admission=Admission(ports=PORT)) as engine:
            far, near = joined(Scene(peer, home, engine))
            kernel = near.to_kernel()
        with far, kernel:
            text = b"without the engine" * 10_000
            assert exchange(far, kernel, text) == text
            assert exchange(kernel, far, text) == text


def test_the_trace_shows_where_it_went() -> None:
    trace = Trace(1000)
    with scene(trace=trace) as live:
        far, near = joined(live)
        with far, near.to_kernel():
            pass
    assert "handed_over" in [event.pool_event for event in trace]


# And back


def test_an_untouched_socket_comes_back(live: Scene) -> None:
    far, near = joined(live, text=b"early, ")
    kernel = near.to_kernel()
    far.sendall(b"and later")
    until(lambda: len(kernel.recv(100, socket.MSG_PEEK)) == 16)
    assert near.from_kernel(kernel)
    assert kernel.fileno() == -1
    with far, near:
        assert near.recv(100) == b"early, and later"
        near.sendall(b"answer")
        assert far.recv(100) == b"answer"
        far.sendall(b"more")
        assert near.recv(100) == b"more"
        far.shutdown(socket.SHUT_WR)
        assert near.recv(100) == b""
    assert live.engine.statistics().handoff[:2] == (1, 1)
    assert no_reset(live.peer, live.home)


def test_it_can_be_claimed_and_handed_over_again(live: Scene) -> None:
    far, near = joined(live, text=b"text")
    assert near.from_kernel(near.to_kernel())
    assert live.engine.pool.give_back(near)
    assert live.engine.pool.claim(timeout=0) is near
    with far, near.to_kernel() as kernel:
        assert kernel.recv(100) == b"text"
        assert exchange(kernel, far, b"answer") == b"answer"


def test_a_fin_that_came_to_the_socket_comes_back(live: Scene) -> None:
    far, near = joined(live)
    kernel = near.to_kernel()
    far.sendall(b"the end")
    far.shutdown(socket.SHUT_WR)
    until(lambda: negotiated(kernel).state == 8)
    assert near.from_kernel(kernel)
    with far, near:
        assert near.state is State.CLOSE_WAIT
        assert (near.recv(100), near.recv(100)) == (b"the end", b"")
        near.sendall(b"answer")
        assert far.recv(100) == b"answer"


def test_text_that_was_not_acknowledged_comes_back(live: Scene) -> None:
    far, near = joined(live)
    far.settimeout(PATIENCE_S)
    cut(live.peer)
    near.sendall(b"lost on its way")
    kernel = near.to_kernel()
    assert near.from_kernel(kernel)
    assert near.info.unacknowledged == 15
    mend(live.peer)
    with far, near:
        assert far.recv(100) == b"lost on its way"


def use_read(kernel: socket.socket) -> None:
    assert kernel.recv(1) == b"t"


def use_write(kernel: socket.socket) -> None:
    kernel.sendall(b"answer")


def use_shutdown(kernel: socket.socket) -> None:
    kernel.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("use", [use_read, use_write, use_shutdown], ids=["read", "written", "shut down"])
def test_a_used_socket_does_not_come_back_and_goes_on(
    live: Scene, use: Callable[[socket.socket], None]
) -> None:
    far, near = joined(live, text=b"text")
    with far, near.to_kernel() as kernel:
        use(kernel)
        assert not near.from_kernel(kernel)
        assert near.closed
        far.sendall(b"goes on")
        until(lambda: b"goes on" in kernel.recv(100, socket.MSG_PEEK))


def test_whoever_else_holds_it_has_a_dead_socket(live: Scene) -> None:
    far, near = joined(live)
    kernel = near.to_kernel()
    with far, kernel.dup() as other:
        assert near.from_kernel(kernel)
        other.settimeout(PATIENCE_S)
        with pytest.raises(OSError, match=r"abort|not connected|[Bb]roken pipe"):
            other.send(b"nobody's")
        near.sendall(b"the engine's")
        assert far.recv(100) == b"the engine's"
        near.close()


def test_only_its_own_socket_comes_back(live: Scene) -> None:
    far, near = joined(live)
    with far, near.to_kernel() as kernel, socket.socket() as other:
        with pytest.raises(ValueError, match="is not what became of"):
            near.from_kernel(other)
        assert exchange(far, kernel, b"untouched") == b"untouched"


def test_the_engine_looks_away_from_busy_connections(live: Scene) -> None:
    far, near = joined(live)
    with far, near.to_kernel() as kernel:
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(2000):
            far.sendall(b"%04d" % number)
            assert kernel.recv(4, socket.MSG_WAITALL) == b"%04d" % number
        seen = live.engine.statistics().host.drops[DropReason.HANDED_OVER]
        assert 0 < seen < 1000
    # Its name is not shed for ever: the next connection with it is seen.
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)


def test_threads_hand_over_at_once(live: Scene) -> None:
    """Sixteen threads claim, hand over, echo and close; nothing is lost, and no descriptor stays."""
    count, failures = 400, []

    def serve() -> None:
        try:
            while True:
                with live.engine.pool.claim(timeout=PATIENCE_S).to_kernel() as kernel:
                    text = kernel.recv(100)
                    if text == b"stop":
                        return
                    kernel.sendall(text)
                    assert kernel.recv(100) == b""
        except BaseException as failure:
            failures.append(failure)
            raise

    serving = [threading.Thread(target=serve) for _ in range(16)]
    for thread in serving:
        thread.start()
    for number in range(count):
        with client(live.peer, PORT, 4 if number % 2 else 6) as far:
            far.sendall(b"%d" % number)
            assert far.recv(100) == b"%d" % number
    for _ in serving:
        with client(live.peer, PORT) as far:
            far.sendall(b"stop")
            far.recv(100)
    for thread in serving:
        thread.join(PATIENCE_S)
    assert failures == []
    until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    assert live.engine.statistics().handoff[:3] == (count + 16, 0, 0)
