"""Workers and clients of a comparison, on this machine's own loopback interface."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from xsocket_tools.compare.load import run
from xsocket_tools.compare.messages import End, Orders, Outcome, Sample
from xsocket_tools.compare.worker import Answer, parse, read_line, serve

LOOPBACK = "127.0.0.1"
PATIENCE_S = 0.3


@contextmanager
def listener(serving: Callable[[socket.socket], None]) -> Iterator[int]:
    """Have a thread serve at a port of the loopback interface; yield the port."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        threading.Thread(target=_until_closed, args=(serving, listening), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _until_closed(serving: Callable[[socket.socket], None], listening: socket.socket) -> None:
    try:
        serving(listening)
    except OSError:
        return  # the listener was shut down


def requests(port: int, count: int, patience_s: float = 10.0) -> Outcome:
    return run(Orders(LOOPBACK, port, [0.001 * each for each in range(count)], 1, patience_s, None))


def one(serving: Callable[[socket.socket], None]) -> Sample:
    with listener(serving) as port:
        (sample,) = run(Orders(LOOPBACK, port, [0.0], 0, PATIENCE_S, None)).samples
    return sample


def test_a_worker_answers_each_request() -> None:
    with listener(lambda listening: serve(lambda: listening.accept()[0], 3, 0.0)) as port:
        samples = requests(port, 20).samples
    assert len(samples) == 20
    assert {each.end for each in samples} == {End.ANSWERED}
    assert {each.worker for each in samples} == {3}
    for each in samples:
        assert each.planned_ns <= each.syn_ns <= (each.taken_ns or 0) <= (each.first_ns or 0)
        assert each.established_ns is not None


def test_a_slow_worker_answers_late() -> None:
    with listener(lambda listening: serve(lambda: listening.accept()[0], 0, 0.05)) as port:
        (sample,) = requests(port, 1).samples
    assert (sample.first_ns or 0) - (sample.taken_ns or 0) >= 50_000_000


def test_requests_come_when_they_were_planned_whatever_becomes_of_those_before() -> None:
    silence = threading.Event()
    with listener(lambda _listening: silence.wait() and None) as port:
        samples = run(Orders(LOOPBACK, port, [0.01 * each for each in range(5)], 0, PATIENCE_S, None)).samples
    silence.set()
    assert [each.planned_ns - samples[0].planned_ns for each in samples] == [
        0,
        10_000_000,
        20_000_000,
        30_000_000,
        40_000_000,
    ]
    assert {each.end for each in samples} == {End.SILENT}
    assert all(each.established_ns is not None for each in samples)


def test_a_reset_is_seen() -> None:
    def reset(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            connection.recv(1, socket.MSG_PEEK)  # closing it with something unread resets it
        listening.accept()

    sample = one(reset)
    assert sample.end is End.RESET
    assert sample.established_ns is not None


def test_a_refusal_is_a_reset_of_what_was_never_established() -> None:
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
    (sample,) = run(Orders(LOOPBACK, port, [0.0], 0, PATIENCE_S, None)).samples
    assert (sample.end, sample.established_ns) == (End.RESET, None)


def test_an_end_without_an_answer_is_seen() -> None:
    def close(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            read_line(connection)
        listening.accept()

    assert one(close).end is End.CLOSED


def test_an_answer_to_another_request_is_none() -> None:
    def confuse(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            read_line(connection)
            connection.sendall(b"99 1 1\n")
        listening.accept()

    assert one(confuse).end is End.FAILED


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        pytest.param(b"17 2 5\n", Answer(17, 2, 5), id="whole"),
        pytest.param(b"17 2 5", None, id="cut short"),
        pytest.param(b"17 2\n", None, id="too little"),
        pytest.param(b"17 2 5 6\n", None, id="too much"),
        pytest.param(b"17 -2 5\n", None, id="no numbers"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_only_whole_answers_are_understood(line: bytes, answer: Answer | None) -> None:
    assert parse(line) == answer


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        pytest.param([b"1", b"7\n"], b"17", id="in pieces"),
        pytest.param([b"17"], b"", id="the stream ends"),
        pytest.param([b"x" * 300], b"", id="too long"),
    ],
)
def test_a_request_is_a_line(sent: list[bytes], line: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for octets in sent:
            theirs.sendall(octets)
        theirs.shutdown(socket.SHUT_WR)
        assert read_line(ours) == line
