"""A `Connection` does what a `socket.socket` does: one suite over both, each talking to a kernel's socket."""

import asyncio
import errno
import gc
import itertools
import math
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, NamedTuple

import pytest

from support.live import PATIENCE_S, Network, Task, client, engine_in, network, text_of
from xsocket import Connection, Engine, FourTuple

pytestmark = pytest.mark.netns

PORTS: Final = itertools.count(1024)
SMALL_BUFFER: Final = 65_536
LARGE: Final = text_of(5_000_000)
SHORT_S: Final = 0.05
"""A timeout that is meant to expire."""

Stream = Any
"""A `socket.socket` or a `Connection`: each test does the same with both."""


class Ends(NamedTuple):
    """A connection's two ends: the one under test, and a kernel's socket."""

    ours: Stream
    peer: socket.socket


Maker = Callable[..., Ends]


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def engine(net: Network) -> Iterator[Engine]:
    with engine_in(net.home) as running:
        yield running


@pytest.fixture
def connect(net: Network, engine: Engine) -> Maker:
    """Make a claimed connection and the kernel's socket at its other end."""

    def made(version: int = 4) -> Ends:
        peer = client(net.peer, next(PORTS), version)
        remote, local = peer.getsockname()[:2], peer.getpeername()[:2]
        ours = engine.pool.claim(FourTuple(*local, *remote), timeout=PATIENCE_S)
        ours.settimeout(PATIENCE_S)
        return Ends(ours, peer)

    return made


def kernel_pair(net: Network) -> Maker:
    """Make two kernel sockets, with buffers no larger than an engine's."""

    def made(version: int = 4) -> Ends:
        address = {4: "127.0.0.1", 6: "::1"}[version]
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
        with net.peer.run(socket.create_server, (address, 0), family=family) as listener:
            peer = net.peer.run(socket.create_connection, listener.getsockname()[:2], PATIENCE_S)
            ours, _ = listener.accept()
        ours.settimeout(PATIENCE_S)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        return Ends(ours, peer)

    return made


@pytest.fixture(params=["kernel", "xsocket"])
def make(request: pytest.FixtureRequest, net: Network) -> Maker:
    """Make a pair, ours of the one kind or the other."""
    if request.param == "kernel":
        return kernel_pair(net)
    connect: Maker = request.getfixturevalue("connect")
    return connect


@contextmanager
def closing_both(ends: Ends) -> Iterator[Ends]:
    try:
        yield ends
    finally:
        ends.ours.close()
        ends.peer.close()


@pytest.fixture
def ends(make: Maker) -> Iterator[Ends]:
    with closing_both(make()) as made:
        yield made


def peek(stream: Stream, most: int) -> bytes:
    octets: bytes
    if isinstance(stream, Connection):
        octets = stream.recv(most, peek=True)
    else:
        octets = stream.recv(most, socket.MSG_PEEK)
    return octets


def read_exactly(stream: Stream, count: int) -> bytes:
    octets = bytearray()
    while len(octets) < count:
        more = stream.recv(count - len(octets))
        assert more, f"the stream ended after {len(octets)} of {count}"
        octets += more
    return bytes(octets)


def read_all(stream: Stream) -> bytes:
    return b"".join(iter(lambda: stream.recv(1 << 16), b""))


def write_and_finish(peer: socket.socket) -> None:
    peer.sendall(LARGE)
    peer.shutdown(socket.SHUT_WR)


def reset(peer: socket.socket) -> None:
    """Close *peer* in such a way that it sends a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def fill(stream: Stream) -> int:
    """Send until there is no room; return how much went."""
    stream.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += stream.send(bytes(100_000))
    return sent


def send_until_it_fails(stream: Stream) -> OSError:
    """Send one octet after another; return the first error. The peer's answer needs no time of ours."""
    try:
        while True:
            stream.send(b"x")
    except OSError as error:
        return error


# Reading


def test_recv_gives_what_came_and_no_more_than_asked(ends: Ends) -> None:
    ends.peer.sendall(b"hello")
    assert peek(ends.ours, 100)[:1] == b"h"
    assert read_exactly(ends.ours, 5) == b"hello"
    ends.peer.sendall(b"again")
    assert len(ends.ours.recv(2)) <= 2


def test_peek_leaves_everything_in_place(ends: Ends) -> None:
    ends.peer.sendall(b"x")
    assert peek(ends.ours, 10) == b"x"
    assert peek(ends.ours, 10) == b"x"
    assert ends.ours.recv(10) == b"x"


@pytest.mark.parametrize("wrap", [bytearray, lambda octets: memoryview(bytearray(octets))])
def test_recv_into_fills_a_buffer(ends: Ends, wrap: Callable[[bytes], Any]) -> None:
    ends.peer.sendall(b"hello")
    assert peek(ends.ours, 5)
    buffer = wrap(bytes(8))
    taken = ends.ours.recv_into(buffer, 3)
    taken += ends.ours.recv_into(memoryview(buffer)[taken:])
    assert bytes(buffer[:taken]) == b"hello"[:taken]
    assert bytes(buffer[taken:]) == bytes(8 - taken)


@pytest.mark.parametrize("count", [-1, 5], ids=["negative", "more than the buffer"])
def test_recv_into_refuses_a_wrong_count_and_loses_nothing(ends: Ends, count: int) -> None:
    ends.peer.sendall(b"hello")
    assert peek(ends.ours, 5)
    with pytest.raises(ValueError, match="buffer"):
        ends.ours.recv_into(bytearray(4), count)
    assert read_exactly(ends.ours, 5) == b"hello"


def test_recv_refuses_a_negative_count(ends: Ends) -> None:
    with pytest.raises(ValueError, match="negative buffersize"):
        ends.ours.recv(-1)


def test_recv_of_nothing_does_not_wait(ends: Ends) -> None:
    assert ends.ours.recv(0) == b""
    assert ends.ours.recv_into(bytearray()) == 0


def test_a_timeout_ends_a_read(ends: Ends) -> None:
    ends.ours.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        ends.ours.recv(1)
    ends.peer.sendall(b"x")
    ends.ours.settimeout(PATIENCE_S)
    assert ends.ours.recv(1) == b"x"


def test_without_blocking_a_read_fails_at_once(ends: Ends) -> None:
    ends.ours.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        ends.ours.recv(1)
    assert caught.value.errno == errno.EAGAIN


def test_a_blocked_read_gets_what_comes(ends: Ends) -> None:
    ends.ours.settimeout(None)
    reading = Task(ends.ours.recv, 10)
    ends.peer.sendall(b"x")
    assert reading.result() == b"x"


def test_the_end_is_read_again_and_again(ends: Ends) -> None:
    ends.peer.sendall(b"last words")
    ends.peer.close()
    assert read_all(ends.ours) == b"last words"
    assert [ends.ours.recv(1), ends.ours.recv_into(bytearray(1))] == [b"", 0]


# Writing


def test_sendall_waits_for_a_slow_reader(ends: Ends) -> None:
    writing = Task(ends.ours.sendall, LARGE)
    received = read_exactly(ends.peer, 1000)
    assert writing.running, "that was more than all buffers hold"
    received += read_exactly(ends.peer, len(LARGE) - 1000)
    writing.result()
    assert received == LARGE


def test_a_large_text_arrives(ends: Ends) -> None:
    writing = Task(ends.peer.sendall, LARGE)
    assert read_exactly(ends.ours, len(LARGE)) == LARGE
    writing.result()


def test_text_goes_both_ways_at_once(ends: Ends) -> None:
    writers = [Task(end.sendall, LARGE) for end in ends]
    readers = [Task(read_exactly, end, len(LARGE)) for end in ends]
    assert [reader.result() == LARGE for reader in readers] == [True, True]
    for writer in writers:
        writer.result()


def test_many_small_texts_stay_in_order(ends: Ends) -> None:
    def write() -> None:
        for number in range(5000):
            assert ends.ours.send(number.to_bytes(2)) == 2

    writing = Task(write)
    received = read_exactly(ends.peer, 10_000)
    writing.result()
    assert received == b"".join(number.to_bytes(2) for number in range(5000))


def test_send_takes_what_there_is_room_for(ends: Ends) -> None:
    ends.ours.setblocking(False)
    first = ends.ours.send(LARGE)
    assert 0 < first < len(LARGE)
    sent = first
    with suppress(BlockingIOError):
        while True:
            sent += ends.ours.send(LARGE[sent:])
    assert read_exactly(ends.peer, sent) == LARGE[:sent]


def test_a_blocked_send_goes_on_when_there_is_room(ends: Ends) -> None:
    sent = fill(ends.ours)
    ends.ours.settimeout(None)
    writing = Task(ends.ours.send, b"x")
    read_exactly(ends.peer, sent)
    assert writing.result() == 1


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_a_timeout_ends_a_write(ends: Ends, method: str) -> None:
    ends.ours.settimeout(SHORT_S)

    def write_for_ever() -> None:
        while True:  # what is taken may go to the peer's buffer and make room
            getattr(ends.ours, method)(LARGE)

    with pytest.raises(TimeoutError):
        write_for_ever()


def test_the_timeout_is_that_of_the_whole_sendall(ends: Ends) -> None:
    """And not of each part of it: a reader that takes a little now and then does not prolong it."""
    ends.ours.settimeout(0.3)
    writing = Task(ends.ours.sendall, LARGE * 20)
    while writing.running:
        ends.peer.recv(10)
    with pytest.raises(TimeoutError):
        writing.result()


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_what_is_no_buffer_is_refused(ends: Ends, method: str) -> None:
    with pytest.raises(TypeError):
        getattr(ends.ours, method)("text")


def test_any_buffer_can_be_sent(ends: Ends) -> None:
    for text in (
        b"a",
        bytearray(b"b"),
        memoryview(b"xcx")[1:2],
        memoryview(struct.pack("H", 0x6464)).cast("H"),
    ):
        ends.ours.sendall(text)
    assert read_exactly(ends.peer, 5) == b"abcdd"
    assert ends.ours.send(b"") == 0
    ends.ours.sendall(b"")


# Ending


def test_after_a_half_close_reading_goes_on(ends: Ends) -> None:
    ends.ours.sendall(b"question")
    ends.ours.shutdown(socket.SHUT_WR)
    assert read_all(ends.peer) == b"question"
    ends.peer.sendall(b"answer")
    ends.peer.close()
    assert read_all(ends.ours) == b"answer"


def test_after_the_peers_half_close_writing_goes_on(ends: Ends) -> None:
    ends.peer.shutdown(socket.SHUT_WR)
    assert ends.ours.recv(1) == b""
    ends.ours.sendall(b"answer")
    ends.ours.close()
    assert read_all(ends.peer) == b"answer"


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR], ids=["SHUT_WR", "SHUT_RDWR"])
def test_writing_after_shutdown_breaks_the_pipe(ends: Ends, how: int) -> None:
    ends.ours.shutdown(how)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            ends.ours.send(b"x")
    assert ends.peer.recv(1) == b""


def test_shutdown_twice_is_harmless(ends: Ends) -> None:
    ends.ours.shutdown(socket.SHUT_WR)
    ends.ours.shutdown(socket.SHUT_WR)
    ends.ours.shutdown(socket.SHUT_RDWR)


def test_once_both_ends_have_finished_there_is_nothing_to_shut_down(ends: Ends) -> None:
    ends.ours.shutdown(socket.SHUT_WR)
    assert ends.peer.recv(1) == b""
    ends.peer.close()
    assert ends.ours.recv(1) == b""
    with pytest.raises(OSError, match="not connected"):
        ends.ours.shutdown(socket.SHUT_RDWR)


def test_after_shutting_the_reading_side_what_had_come_is_read(ends: Ends) -> None:
    ends.peer.sendall(b"x")
    assert peek(ends.ours, 1) == b"x"
    ends.ours.shutdown(socket.SHUT_RD)
    assert [ends.ours.recv(10), ends.ours.recv(10)] == [b"x", b""]
    ends.ours.sendall(b"y")
    assert ends.peer.recv(1) == b"y"


def test_shutting_the_reading_side_ends_a_read_that_waits(ends: Ends) -> None:
    ends.ours.settimeout(None)
    reading = Task(ends.ours.recv, 1)
    ends.ours.shutdown(socket.SHUT_RD)
    assert reading.result() == b""


def test_an_unknown_way_to_shut_down_is_refused(ends: Ends) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        ends.ours.shutdown(7)
    assert caught.value.errno == errno.EINVAL


def test_a_reset_is_told_once(ends: Ends) -> None:
    reset(ends.peer)
    with pytest.raises(ConnectionResetError) as caught:
        ends.ours.recv(1)
    assert caught.value.errno == errno.ECONNRESET
    assert ends.ours.recv(1) == b""
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            ends.ours.send(b"x")
    with pytest.raises(OSError, match="not connected") as not_connected:
        ends.ours.shutdown(socket.SHUT_WR)
    assert not_connected.value.errno == errno.ENOTCONN


def test_what_came_before_a_reset_is_read_first(ends: Ends) -> None:
    ends.peer.sendall(b"last words")
    assert peek(ends.ours, 1) == b"l"
    reset(ends.peer)
    assert isinstance(send_until_it_fails(ends.ours), ConnectionResetError)
    assert ends.ours.recv(100) == b"last words"
    assert ends.ours.recv(100) == b""


def test_a_reset_ends_a_read_that_waits(ends: Ends) -> None:
    ends.ours.settimeout(None)
    reading = Task(ends.ours.recv, 1)
    reset(ends.peer)
    with pytest.raises(ConnectionResetError):
        reading.result()


def test_a_reset_ends_a_write_that_waits(ends: Ends) -> None:
    fill(ends.ours)
    ends.ours.settimeout(None)
    writing = Task(send_until_it_fails, ends.ours)
    reset(ends.peer)
    assert isinstance(writing.result(), ConnectionResetError)


def test_writing_to_a_peer_that_has_closed_breaks_the_pipe(ends: Ends) -> None:
    """The first octet brings the reset; it comes after the peer's FIN, which makes it a broken pipe."""
    ends.peer.close()
    assert ends.ours.recv(1) == b""
    assert isinstance(send_until_it_fails(ends.ours), BrokenPipeError)
    assert ends.ours.recv(1) == b""


CALLS: Final[list[Any]] = [
    pytest.param(lambda ours: ours.recv(1), id="recv"),
    pytest.param(lambda ours: ours.recv_into(bytearray(1)), id="recv_into"),
    pytest.param(lambda ours: ours.send(b"x"), id="send"),
    pytest.param(lambda ours: ours.send(b""), id="send nothing"),
    pytest.param(lambda ours: ours.sendall(b"x"), id="sendall"),
    pytest.param(lambda ours: ours.shutdown(socket.SHUT_RD), id="shutdown"),
    pytest.param(lambda ours: ours.getpeername(), id="getpeername"),
    pytest.param(lambda ours: ours.getsockname(), id="getsockname"),
    pytest.param(lambda ours: ours.settimeout(1.0), id="settimeout"),
    pytest.param(lambda ours: ours.setblocking(True), id="setblocking"),
]


@pytest.mark.parametrize("call", CALLS)
def test_after_close_nothing_works(ends: Ends, call: Callable[[Stream], object]) -> None:
    ends.ours.close()
    ends.ours.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        call(ends.ours)
    assert caught.value.errno == errno.EBADF


def test_closing_sends_what_was_given(ends: Ends) -> None:
    def write_and_close() -> None:
        with ends.ours as ours:
            ours.sendall(LARGE)

    writing = Task(write_and_close)
    assert read_all(ends.peer) == LARGE
    writing.result()


def test_closing_with_unread_text_resets_the_peer(ends: Ends) -> None:
    ends.peer.sendall(b"nobody reads this")
    assert peek(ends.ours, 1) == b"n"
    ends.ours.close()
    with pytest.raises(ConnectionResetError):
        ends.peer.recv(1)


def test_text_for_a_closed_end_is_reset(ends: Ends) -> None:
    ends.ours.close()
    assert ends.peer.recv(1) == b""
    assert isinstance(send_until_it_fails(ends.peer), BrokenPipeError)


def test_what_is_dropped_unclosed_is_closed_with_a_warning(make: Maker) -> None:
    ours, peer = make()
    with peer:
        with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031  # either may drop it
            del ours
            gc.collect()
        assert peer.recv(1) == b""


# Names and timeouts


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_both_ends_call_the_connection_the_same(make: Maker, version: int) -> None:
    with closing_both(make(version)) as (ours, peer):
        assert ours.getsockname() == peer.getpeername()
        assert ours.getpeername() == peer.getsockname()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(-1, ValueError, id="negative"),
        pytest.param(-0.5, ValueError, id="negative fraction"),
        pytest.param(math.nan, ValueError, id="not a number"),
        pytest.param(math.inf, OverflowError, id="infinite"),
        pytest.param(1e30, OverflowError, id="too long"),
        pytest.param("1", TypeError, id="text"),
    ],
)
def test_what_is_no_timeout_is_refused(ends: Ends, value: Any, error: type[Exception]) -> None:  # noqa: ANN401
    with pytest.raises(error):
        ends.ours.settimeout(value)
    assert ends.ours.gettimeout() == PATIENCE_S


def test_timeouts_and_blocking_are_two_names_of_one_thing(ends: Ends) -> None:
    seen = []
    for setting in (None, 0, 2, 0.5):
        ends.ours.settimeout(setting)
        seen.append((ends.ours.gettimeout(), ends.ours.getblocking()))
    for flag in (True, False):
        ends.ours.setblocking(flag)
        seen.append((ends.ours.gettimeout(), ends.ours.getblocking()))
    assert seen == [(None, True), (0.0, False), (2.0, True), (0.5, True), (None, True), (0.0, False)]


# Files


def test_lines_of_text_are_read(ends: Ends) -> None:
    ends.peer.sendall("one\r\ntw\u00f6\nthree".encode())
    ends.peer.close()
    with ends.ours.makefile("r", encoding="utf-8") as file:
        assert list(file) == ["one\n", "tw\u00f6\n", "three"]


def test_text_is_written_when_it_is_flushed(ends: Ends) -> None:
    with ends.ours.makefile("w", encoding="utf-8", newline="\r\n") as file:
        file.write("h\u00e9llo\n")
        file.flush()
        assert read_exactly(ends.peer, 8) == "h\u00e9llo\r\n".encode()


def test_octets_are_read_and_written_by_one_file(ends: Ends) -> None:
    with ends.ours.makefile("rwb") as file:
        ends.peer.sendall(b"one\ntwo\n")
        assert [file.readline(), file.readline()] == [b"one\n", b"two\n"]
        file.write(b"answer")
        file.flush()
        assert read_exactly(ends.peer, 6) == b"answer"
        ends.peer.close()
        assert file.read() == b""


def test_text_is_read_and_written_by_one_file(ends: Ends) -> None:
    with ends.ours.makefile("rw", encoding="ascii", newline="\n") as file:
        ends.peer.sendall(b"question\n")
        assert file.readline() == "question\n"
        file.write("answer\n")
        file.flush()
        assert read_exactly(ends.peer, 7) == b"answer\n"


def test_an_unbuffered_file_hands_on_each_call(ends: Ends) -> None:
    with ends.ours.makefile("rwb", buffering=0) as file:
        assert file.write(b"x") == 1
        assert ends.peer.recv(1) == b"x"
        ends.peer.sendall(b"hello")
        assert peek(ends.ours, 5)
        assert file.read(1) == b"h"
        buffer = bytearray(4)
        taken = file.readinto(buffer)
        assert bytes(buffer[:taken]) == b"ello"[:taken]
        ends.ours.setblocking(False)
        while file.read(4):
            pass
        assert file.read(1) is None


@pytest.mark.parametrize(
    ("mode", "able"),
    [("r", "r"), ("rb", "r"), ("w", "w"), ("wb", "w"), ("rw", "rw"), ("rwb", "rw"), ("b", "r"), ("", "r")],
)
def test_a_file_says_what_it_can(ends: Ends, mode: str, able: str) -> None:
    with ends.ours.makefile(mode) as file:
        assert (file.readable(), file.writable(), file.seekable()) == ("r" in able, "w" in able, False)


@pytest.mark.parametrize(("mode", "buffering"), [("a", None), ("r+", None), ("r", 0), ("w", 0)])
def test_a_file_that_cannot_be_is_refused(ends: Ends, mode: str, buffering: int | None) -> None:
    with pytest.raises(ValueError, match=r"mode|unbuffered"):
        ends.ours.makefile(mode, buffering)


def test_files_keep_a_closed_connection_open(ends: Ends) -> None:
    reader, writer = ends.ours.makefile("rb"), ends.ours.makefile("wb")
    ends.ours.close()
    ends.peer.sendall(b"question\n")
    assert reader.readline() == b"question\n"
    writer.write(b"answer")
    writer.close()
    assert read_exactly(ends.peer, 6) == b"answer"
    reader.close()
    assert ends.peer.recv(1) == b""


def test_closing_a_file_leaves_the_connection_open(ends: Ends) -> None:
    with ends.ours.makefile("wb") as file:
        file.write(b"x")
    assert ends.peer.recv(1) == b"x"
    ends.ours.sendall(b"y")
    assert ends.peer.recv(1) == b"y"


def test_a_file_whose_read_timed_out_reads_no_more(ends: Ends) -> None:
    """For nobody knows what a buffer in between had taken."""
    ends.ours.settimeout(SHORT_S)
    with ends.ours.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.read(1)
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.read(1)


def test_a_large_text_goes_through_files(ends: Ends) -> None:
    def write() -> None:
        with ends.ours.makefile("wb") as file:
            for start in range(0, len(LARGE), 10_000):
                file.write(LARGE[start : start + 10_000])
        ends.ours.shutdown(socket.SHUT_WR)

    writing = Task(write)
    with ends.peer.makefile("rb") as file:
        assert file.read() == LARGE
    writing.result()


# asyncio: only a connection has these forms


def run(coroutine: Any) -> Any:  # noqa: ANN401
    async def bounded() -> Any:  # noqa: ANN401
        async with asyncio.timeout(PATIENCE_S):
            return await coroutine

    return asyncio.run(bounded())


def test_a_task_reads_and_writes(connect: Maker) -> None:
    async def echo(connection: Connection) -> None:
        async with connection:
            while octets := await connection.recv_async(1 << 16):
                await connection.sendall_async(octets)

    ours, peer = connect()
    with peer:
        writing = Task(write_and_finish, peer)
        reading = Task(read_all, peer)
        run(echo(ours))
        writing.result()
        assert reading.result() == LARGE


def test_tasks_claim_connections(net: Network, engine: Engine) -> None:
    async def serve() -> list[bytes]:
        async def one() -> bytes:
            connection = await engine.pool.claim_async(timeout=PATIENCE_S)
            async with connection:
                return await connection.recv_async(10)

        tasks = [asyncio.create_task(one()) for _ in range(10)]
        sockets = [await asyncio.to_thread(client, net.peer, next(PORTS)) for _ in tasks]
        for number, each in enumerate(sockets):
            each.sendall(str(number).encode())
        received = await asyncio.gather(*tasks)
        for each in sockets:
            each.close()
        return received

    assert sorted(run(serve())) == [str(number).encode() for number in range(10)]


def test_a_cancelled_read_loses_nothing(connect: Maker) -> None:
    """Text comes while reads are cancelled again and again; each octet is read once."""
    ours, peer = connect()
    total = 300_000

    async def read_with_cancellations() -> bytes:
        received = bytearray()
        turns = itertools.cycle(range(4))
        while len(received) < total:
            task = asyncio.create_task(ours.recv_async(1000))
            for _ in range(next(turns)):
                await asyncio.sleep(0)  # let it get as far as it does in so many turns
            task.cancel()
            with suppress(asyncio.CancelledError):
                received += await task
        return bytes(received)

    with peer, ours:
        writing = Task(peer.sendall, LARGE[:total])
        assert run(read_with_cancellations()) == LARGE[:total]
        writing.result()


def test_a_read_that_times_out_loses_nothing(connect: Maker) -> None:
    ours, peer = connect()
    total = 300_000

    async def read_impatiently() -> bytes:
        received = bytearray()
        ours.settimeout(0.0001)
        while len(received) < total:
            with suppress(TimeoutError):
                received += await ours.recv_async(1000)
        return bytes(received)

    with peer, ours:
        writing = Task(peer.sendall, LARGE[:total])
        assert run(read_impatiently()) == LARGE[:total]
        writing.result()


def test_a_cancelled_claim_leaves_its_connection_to_others(net: Network, engine: Engine) -> None:
    async def cancel_claims() -> None:
        claims = [asyncio.create_task(engine.pool.claim_async()) for _ in range(5)]
        await asyncio.sleep(0)
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)

    run(cancel_claims())
    with closing(client(net.peer, next(PORTS))), engine.pool.claim(timeout=PATIENCE_S) as claimed:
        assert not claimed.closed


def test_asyncio_forms_fail_as_the_others_do(connect: Maker) -> None:
    ours, peer = connect()
    ours.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        run(ours.recv_async(1))
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        run(ours.recv_async(1))
    ours.settimeout(PATIENCE_S)
    reset(peer)
    with pytest.raises(ConnectionResetError):
        run(ours.recv_async(1))
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        run(ours.sendall_async(b"x"))


def test_many_threads_share_an_engine(connect: Maker) -> None:
    pairs = [connect() for _ in range(16)]

    def exchange(ends: Ends, text: bytes) -> bool:
        with closing_both(ends):
            writing = Task(ends.ours.sendall, text)
            received = read_exactly(ends.peer, len(text))
            writing.result()
            return received == text

    texts = [LARGE[number:][:200_000] for number in range(len(pairs))]
    tasks = [Task(exchange, pair, text) for pair, text in zip(pairs, texts, strict=True)]
    assert all(task.result() for task in tasks)
    assert threading.active_count() < 10
