"""What a `Connection` makes of its engine's answers; that it does as sockets do, the namespace tests show."""

import gc
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from xsocket.config import TcpConfig
from xsocket.connection import SHUT_RD, SHUT_RDWR, SHUT_WR, Connection
from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.state import State
from xsocket.tcp.tcb import Tcb, snapshot

T = TypeVar("T")

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
KEY_6 = FourTuple("fd00::2", 80, "fd00::1", 40_000)


class Recorder:
    """Calls that note what is asked of them, give what a test put in, and never wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.inbox = b""
        self.room = 0
        self.outbox = b""
        self.timeouts: list[float | None] = []

    def receive(self, tcb: Tcb, most: int, *, peek: bool) -> bytes | None:
        del tcb
        text = self.inbox[:most]
        if not peek:
            self.inbox = self.inbox[most:]
        return text or None

    def send(self, tcb: Tcb, text: memoryview) -> int | None:
        del tcb
        taken = min(self.room, len(text))
        self.room -= taken
        self.outbox += text[:taken]
        return taken or None

    def shutdown(self, tcb: Tcb) -> None:
        del tcb
        self.asked.append("shutdown")

    def nudge(self, tcb: Tcb) -> None:
        del tcb
        self.asked.append("nudge")

    def release(self, tcb: Tcb, connection: Connection) -> None:
        del tcb, connection
        self.asked.append("release")

    def configure(self, tcb: Tcb, rules: Mapping[str, Any]) -> None:
        del tcb
        self.asked.append(f"configure {dict(rules)}")

    def abort(self, tcb: Tcb, connection: Connection) -> None:
        del tcb, connection
        self.asked.append("abort")

    def abandon(self, tcb: Tcb) -> bool:
        del tcb
        self.asked.append("abandon")
        return True

    def snapshot(self, tcb: Tcb) -> Info:
        return snapshot(tcb)

    def wait(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        del tcb
        self.timeouts.append(timeout)
        return attempt()

    async def wait_async(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        return self.wait(tcb, attempt, timeout)


@pytest.fixture
def calls() -> Recorder:
    return Recorder()


def established(four_tuple: FourTuple = KEY) -> Tcb:
    tcb = Tcb(four_tuple, TcpConfig(), iss=1, ts_offset=0, rcv_mss=1460, passive=True)
    tcb.state = State.ESTABLISHED
    return tcb


@pytest.fixture
def connection(calls: Recorder) -> Connection:
    return Connection(established(), calls)


def test_it_says_what_it_is(connection: Connection, calls: Recorder) -> None:
    assert (connection.four_tuple, connection.state) == (KEY, State.ESTABLISHED)
    assert connection.info.iss == 1
    assert "10.0.0.1:40000" in repr(connection)
    assert "ESTABLISHED" in repr(connection)
    connection.close()
    assert connection.closed
    assert "closed" in repr(connection)
    assert calls.asked == ["release"]


@pytest.mark.parametrize(
    ("four_tuple", "local", "remote"),
    [
        pytest.param(KEY, ("10.0.0.2", 80), ("10.0.0.1", 40_000), id="ipv4"),
        pytest.param(KEY_6, ("fd00::2", 80, 0, 0), ("fd00::1", 40_000, 0, 0), id="ipv6"),
    ],
)
def test_addresses_are_written_as_sockets_write_them(
    calls: Recorder, four_tuple: FourTuple, local: tuple[object, ...], remote: tuple[object, ...]
) -> None:
    with Connection(established(four_tuple), calls) as connection:
        assert (connection.getsockname(), connection.getpeername()) == (local, remote)


def test_sendall_waits_once_whatever_it_takes(connection: Connection, calls: Recorder) -> None:
    """So that its timeout is that of the whole call."""
    calls.room = 10
    connection.settimeout(3)
    with connection:
        connection.sendall(b"0123456789")
        with pytest.raises(TimeoutError):
            connection.sendall(b"more")
    assert calls.outbox == b"0123456789"
    assert calls.timeouts == [3.0, 3.0]


def test_nothing_is_sent_once_the_writing_side_is_shut(connection: Connection, calls: Recorder) -> None:
    """Also while the loop has not yet come to it and would still take text."""
    calls.room = 10
    with connection:
        connection.shutdown(SHUT_WR)
        with pytest.raises(BrokenPipeError):
            connection.send(b"x")
    assert calls.outbox == b""
    assert calls.asked == ["shutdown", "release"]


@pytest.mark.parametrize(
    ("how", "asked"), [(SHUT_RD, ["nudge"]), (SHUT_WR, ["shutdown"]), (SHUT_RDWR, ["nudge", "shutdown"])]
)
def test_shutdown_wakes_readers_and_finishes_sending(
    connection: Connection, calls: Recorder, how: int, asked: list[str]
) -> None:
    with connection:
        connection.shutdown(how)
        assert calls.asked == asked


def test_a_shut_reading_side_gives_what_is_there(connection: Connection, calls: Recorder) -> None:
    calls.inbox = b"text"
    with connection:
        connection.shutdown(SHUT_RD)
        assert [connection.recv(10), connection.recv(10)] == [b"text", b""]


@pytest.mark.parametrize("state", [State.CLOSED, State.TIME_WAIT], ids=lambda state: str(state.value))
def test_what_is_gone_is_not_connected(calls: Recorder, state: State) -> None:
    tcb = established()
    with Connection(tcb, calls) as connection:
        tcb.state = state
        with pytest.raises(OSError, match="not connected"):
            connection.shutdown(SHUT_WR)


def test_a_file_asks_for_no_more_than_it_was_asked_for(connection: Connection, calls: Recorder) -> None:
    calls.inbox = b"line\nrest"
    with connection, connection.makefile("rb", buffering=0) as file:
        assert file.read(2) == b"li"
        assert calls.inbox == b"ne\nrest"


def test_the_last_of_connection_and_files_releases(connection: Connection, calls: Recorder) -> None:
    files = connection.makefile("rb"), connection.makefile("rb")
    connection.close()
    files[0].close()
    assert calls.asked == []
    files[1].close()
    files[1].close()
    assert calls.asked == ["release"]


def test_an_abort_is_no_release(connection: Connection, calls: Recorder) -> None:
    connection.abort()
    connection.close()
    assert connection.closed
    assert calls.asked == ["abort"]


def drop_one(calls: Recorder) -> None:
    connection = Connection(established(), calls)
    del connection
    gc.collect()


def test_dropping_one_unclosed_warns_and_lets_go_of_it(calls: Recorder) -> None:
    with pytest.warns(ResourceWarning, match="unclosed"):
        drop_one(calls)
    assert calls.asked == ["abandon"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_is_let_go_of_though_the_warning_is_an_error(calls: Recorder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        drop_one(calls)
    assert calls.asked == ["abandon"]


def test_dropping_a_dead_one_is_no_offence(calls: Recorder) -> None:
    tcb = established()
    connection = Connection(tcb, calls)
    tcb.state = State.CLOSED
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del connection
        gc.collect()
    assert calls.asked == []


def test_one_connection_plays_by_other_rules(connection: Connection, calls: Recorder) -> None:
    connection.configure(nodelay=True, keepalive=True)
    assert calls.asked == ["configure {'nodelay': True, 'keepalive': True}"]
    connection.close()


@pytest.mark.parametrize("rule", ["pool_capacity", "sack", "no_such_rule"])
def test_a_rule_of_the_engine_is_no_rule_of_one_connection(connection: Connection, rule: str) -> None:
    with pytest.raises(BadConfigError, match=f"{rule}: not a rule of one connection"):
        connection.configure(**{rule: 1})
    connection.close()


def test_a_closed_connection_is_not_configured(connection: Connection) -> None:
    connection.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.configure(nodelay=True)
