"""Two engines on a cable in memory: the loop, its waits, and its end, without privileges or namespaces."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from support.live import PATIENCE_S, Task, text_of
from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.connection import SHUT_WR, Connection
from xsocket.errors import (
    BadAddressError,
    BadConfigError,
    EngineStateError,
    HostUnreachableError,
    NoSuchInterfaceError,
)
from xsocket.runtime import Engine
from xsocket.state import State
from xsocket.trace import EventKind, Trace
from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.link import Frame
from xsocket.wire.memory_link import MemoryLink, memory_pair

LEFT, RIGHT = "10.0.0.1", "10.0.0.2"
TEXT = text_of(1_000_000)


class Engines(NamedTuple):
    left: Engine
    right: Engine


@pytest.fixture
def engines() -> Iterator[Engines]:
    left, right = memory_pair()
    with (
        Engine(link=left, addresses=[f"{LEFT}/24"]) as one,
        Engine(link=right, addresses=[f"{RIGHT}/24"]) as two,
    ):
        yield Engines(one, two)


class Ends(NamedTuple):
    near: Connection
    far: Connection


@pytest.fixture
def ends(engines: Engines) -> Iterator[Ends]:
    with open_pair(engines) as near, engines.right.pool.claim(timeout=PATIENCE_S) as far:
        near.settimeout(PATIENCE_S)
        far.settimeout(PATIENCE_S)
        yield Ends(near, far)


def open_pair(engines: Engines) -> Connection:
    return engines.left.connect(RIGHT, 80, timeout=PATIENCE_S)


def read_all(connection: Connection) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def write_all(connection: Connection, text: bytes) -> None:
    connection.sendall(text)
    connection.shutdown(SHUT_WR)


class GoesAway(MemoryLink):
    """A Link whose interface is removed when a test says so."""

    gone = False

    def receive(self) -> list[Frame]:
        if self.gone:
            raise NoSuchInterfaceError("the interface was removed")
        return super().receive()


@pytest.fixture
def going() -> Iterator[tuple[Engine, Engine, Callable[[], None]]]:
    """Two engines, and what makes the interface of the first go away."""
    left, right = (GoesAway(bytes([2, 0, 0, 0, 0, number]), 1500, 4096, lambda: 0) for number in (1, 2))
    left.join(right)
    one = Engine(link=left, addresses=[f"{LEFT}/24"])
    one.start()
    with Engine(link=right, addresses=[f"{RIGHT}/24"]) as two:

        def remove() -> None:
            left.gone = True
            right.send([bytes(60)])  # something to wake up for

        yield one, two, remove
        with pytest.raises(NoSuchInterfaceError):
            one.stop()


# What can be asked for


def test_an_engine_has_an_interface_or_a_link() -> None:
    link, _ = memory_pair()
    with pytest.raises(EngineStateError):
        Engine("eth0", [f"{LEFT}/24"], link=link)
    with pytest.raises(EngineStateError):
        Engine(addresses=[f"{LEFT}/24"])


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1/33"], ["nowhere"]], ids=["none", "prefix", "name"])
def test_an_engine_has_addresses(addresses: list[str]) -> None:
    with pytest.raises(BadAddressError):
        Engine("eth0", addresses)


def test_its_repr_says_how_it_is() -> None:
    link, _ = memory_pair()
    engine = Engine(link=link, addresses=[f"{LEFT}/24"])
    assert "new" in repr(engine)
    with engine:
        assert "running" in repr(engine)
    assert "stopped" in repr(engine)


def test_no_way_to_an_address(engines: Engines) -> None:
    with pytest.raises(HostUnreachableError):
        engines.left.connect("192.0.2.1", 80)


# Two talking


def test_text_goes_both_ways(ends: Ends) -> None:
    writers = [Task(write_all, end, TEXT) for end in ends]
    readers = [Task(read_all, end) for end in ends]
    assert [reader.result() == TEXT for reader in readers] == [True, True]
    for writer in writers:
        writer.result()


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(FaultRates(drop_every=10), id="every tenth lost"),
        pytest.param(FaultRates(loss=0.05, duplicate=0.05, reorder=0.05), id="lost, doubled and swapped"),
    ],
)
def test_text_survives_a_bad_cable(rates: FaultRates) -> None:
    left, right = memory_pair()
    bad = FaultyLink(left, rates, seed=1)
    with ExitStack() as running:
        one = running.enter_context(Engine(link=bad, addresses=[f"{LEFT}/24"]))
        two = running.enter_context(Engine(link=right, addresses=[f"{RIGHT}/24"]))
        claim = Task(two.pool.claim, None, PATIENCE_S)
        near = running.enter_context(one.connect(RIGHT, 80, timeout=PATIENCE_S))
        far = running.enter_context(claim.result())
        writers = [Task(write_all, end, TEXT[:200_000]) for end in (near, far)]
        readers = [Task(read_all, end) for end in (near, far)]
        assert [reader.result() == TEXT[:200_000] for reader in readers] == [True, True]
        for writer in writers:
            writer.result()


def test_a_refusal_is_told() -> None:
    left, right = memory_pair()
    with (
        Engine(link=left, addresses=[f"{LEFT}/24"]) as one,
        Engine(link=right, addresses=[f"{RIGHT}/24"], admission=Admission(ports=())),
    ):
        with pytest.raises(ConnectionRefusedError):
            one.connect(RIGHT, 80, timeout=PATIENCE_S)
        assert one.connections() == {}


def test_silence_is_given_up_by_the_rules() -> None:
    left, right = memory_pair()
    with (
        Engine(
            link=left,
            addresses=[f"{LEFT}/24"],
            config=TcpConfig(initial_rto_s=0.05, syn_retries=1, syn_linear_timeouts=0),
        ) as one,
        Engine(
            link=right, addresses=[f"{RIGHT}/24"], admission=Admission(ports=(), otherwise="ignore")
        ) as two,
    ):
        with pytest.raises(TimeoutError):
            one.connect(RIGHT, 80)
        assert one.connections() == {}
        assert two.statistics().host.segments_received == 2


def test_what_was_closed_is_seen_at_once(engines: Engines, ends: Ends) -> None:
    """A close is only posted to the loop; whoever asks afterwards must not be told of before."""
    ends.near.abort()
    assert engines.left.connections() == {}
    with pytest.raises(ConnectionResetError):
        ends.far.recv(1)
    assert engines.right.connections() == {}


def test_closing_is_seen_in_order(ends: Ends, engines: Engines) -> None:
    ends.near.shutdown(SHUT_WR)
    assert ends.far.recv(1) == b""
    assert engines.right.connections() == {ends.far.four_tuple: State.CLOSE_WAIT}
    ends.far.close()
    assert ends.near.recv(1) == b""
    assert engines.left.connections() == {ends.near.four_tuple: State.TIME_WAIT}


# Waiting


def test_each_of_many_readers_is_woken(engines: Engines) -> None:
    nears = [open_pair(engines) for _ in range(50)]
    fars = [engines.right.pool.claim(near.four_tuple.reversed, timeout=PATIENCE_S) for near in nears]
    readers = [Task(far.recv, 100) for far in fars]
    for near in nears:
        near.sendall(str(near.four_tuple.local_port).encode())
    assert [reader.result() for reader in readers] == [
        str(near.four_tuple.local_port).encode() for near in nears
    ]
    for end in (*nears, *fars):
        end.close()


def test_several_readers_of_one_connection_share_what_comes(ends: Ends) -> None:
    readers = [Task(read_all, ends.far) for _ in range(4)]
    write_all(ends.near, TEXT)
    assert sum(len(reader.result()) for reader in readers) == len(TEXT)


def test_tasks_and_threads_wait_for_the_same_connection(ends: Ends) -> None:
    async def read() -> bytes:
        return await ends.far.recv_async(1)

    reading, waiting = Task(ends.far.recv, 1), Task(asyncio.run, read())
    ends.near.sendall(b"ab")
    assert {reading.result(), waiting.result()} == {b"a", b"b"}


def test_an_event_loop_may_end_while_its_task_waits(ends: Ends) -> None:
    async def give_up() -> None:
        reading = asyncio.create_task(ends.far.recv_async(1))
        await asyncio.sleep(0)
        del reading

    asyncio.run(give_up())
    ends.near.sendall(b"x")
    assert ends.far.recv(1) == b"x"


@pytest.mark.parametrize("method", ["close", "abort"])
def test_a_read_that_waits_ends_when_another_thread_closes(engines: Engines, ends: Ends, method: str) -> None:
    """A socket's read would wait on; nothing good comes of that."""
    ends.far.settimeout(None)
    reading = Task(ends.far.recv, 1)
    getattr(ends.far, method)()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        reading.result()
    assert caught.value.errno == errno.EBADF
    assert ends.far.four_tuple not in engines.right.pool


# The end


def test_when_the_interface_goes_everybody_is_told(
    going: tuple[Engine, Engine, Callable[[], None]],
) -> None:
    one, two, remove = going
    near = one.connect(RIGHT, 80, timeout=PATIENCE_S)
    far = two.pool.claim(timeout=PATIENCE_S)
    reading = Task(near.recv, 1)
    opening = Task(one.connect, "10.0.0.9", 80)
    remove()
    with pytest.raises(ConnectionAbortedError):
        reading.result()
    with pytest.raises((ConnectionAbortedError, EngineStateError)):
        opening.result()
    with pytest.raises(EngineStateError):
        one.connect(RIGHT, 80)
    with pytest.raises(BrokenPipeError):
        near.send(b"x")
    assert near.state is State.CLOSED
    near.close()
    far.abort()


def test_no_thread_outlives_its_engine(engines: Engines) -> None:
    during = threading.active_count()
    for engine in engines:
        engine.stop()
    assert threading.active_count() == during - 2


def test_calls_after_the_stop_do_no_harm(engines: Engines) -> None:
    near = open_pair(engines)
    for engine in engines:
        engine.stop()
    with pytest.raises(ConnectionAbortedError):
        near.recv(1)
    assert near.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        near.send(b"x")
    assert near.info.state is State.CLOSED
    near.close()
    near.abort()


def test_the_trace_tells_the_whole_story() -> None:
    left, right = memory_pair()
    trace = Trace()
    with (
        Engine(link=left, addresses=[f"{LEFT}/24"]) as one,
        Engine(link=right, addresses=[f"{RIGHT}/24"], trace=trace) as two,
        one.connect(RIGHT, 80, timeout=PATIENCE_S) as near,
        two.pool.claim(timeout=PATIENCE_S) as far,
    ):
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        story = trace.of(far.four_tuple)
    assert [event.after for event in story if event.kind is EventKind.MOVED][:3] == [
        State.LISTEN,
        State.SYN_RECEIVED,
        State.ESTABLISHED,
    ]
    assert [event.pool_event for event in story if event.kind is EventKind.POOL] == ["put", "claimed"]
    assert all(event.frame for event in story if event.kind in (EventKind.SENT, EventKind.RECEIVED))


def test_a_connection_is_configured_by_its_owner(ends: Ends) -> None:
    ends.near.configure(nodelay=True)
    with pytest.raises(BadConfigError):
        ends.near.configure(keepalive_probes=0)
    ends.near.sendall(b"a")
    ends.near.sendall(b"b")
    assert ends.far.recv(1) + ends.far.recv(1) == b"ab"


# Changing while it runs


def test_an_open_does_not_wait(engines: Engines) -> None:
    with engines.left.open(RIGHT, 80) as near, engines.right.pool.claim(timeout=PATIENCE_S) as far:
        near.settimeout(PATIENCE_S)
        near.sendall(b"given before it was open, or after")
        far.settimeout(PATIENCE_S)
        assert far.recv(100).startswith(b"given")


def test_rules_and_admission_change_in_a_running_engine(engines: Engines) -> None:
    engines.right.set_config(TcpConfig(timestamps=False))
    with open_pair(engines) as near:
        assert not near.info.timestamps
    assert not engines.right.config.timestamps
    engines.right.set_admission(Admission(ports=()))
    with pytest.raises(ConnectionRefusedError):
        open_pair(engines)
    with pytest.raises(BadConfigError, match="pool_capacity"):
        engines.right.set_config(TcpConfig(pool_capacity=1))


def test_an_engine_knows_the_cookies_it_was_given(engines: Engines) -> None:
    for engine in engines:
        engine.set_config(TcpConfig(fastopen=3, fastopen_qlen=16))
    assert engines.left.fastopen_cookie(RIGHT) is None
    with engines.left.connect(RIGHT, 80, timeout=PATIENCE_S, data=b""):
        cookie = engines.left.fastopen_cookie(RIGHT)
    assert cookie is not None
    with pytest.raises(BadAddressError):
        engines.left.fastopen_cookie("fd00::1")


def test_what_was_given_back_wakes_the_engine_to_begin_its_time() -> None:
    left, right = memory_pair()
    patient = TcpConfig(pool_timeout_s=0.05)
    with (
        Engine(link=left, addresses=[f"{LEFT}/24"]) as one,
        Engine(link=right, addresses=[f"{RIGHT}/24"], config=patient) as two,
    ):
        near = one.connect(RIGHT, 80, timeout=PATIENCE_S)
        near.settimeout(PATIENCE_S)
        assert two.pool.give_back(two.pool.claim(timeout=PATIENCE_S))
        with pytest.raises(ConnectionResetError):
            near.recv(1)
