"""The clients of one trial: ``python -m xsocket_tools.compare.load``, in a namespace of their own.

Reads orders, carries them out, and prints what became of it. Requests come when they were planned to,
whatever became of those before: what is due goes first, and only then is looked at what has come. The first
octet of an answer has the instant at which the kernel received it, not that at which it was read.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from xsocket_tools.compare.disturbance import Disturbance
from xsocket_tools.compare.messages import End, Orders, Outcome, Sample, orders_from, outcome_as_text
from xsocket_tools.compare.worker import LINE_OCTETS, parse

_SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h
_TIMESPEC: Final = struct.Struct("@ll")
_SPARE_DESCRIPTORS: Final = 32
_EVENTS_PER_TURN: Final = 16
_LOOK_AGAIN_NS: Final = 1_000_000
_NO_WAY: Final = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}


class _Request:
    """One request under way."""

    __slots__ = (
        "end",
        "established_ns",
        "first_ns",
        "number",
        "planned_ns",
        "port",
        "socket",
        "syn_ns",
        "who",
    )

    def __init__(self, number: int, planned_ns: int) -> None:
        self.number, self.planned_ns = number, planned_ns
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.syn_ns = self.port = 0
        self.established_ns: int | None = None
        self.first_ns: int | None = None
        self.who: tuple[int, int] | None = None
        self.end: End | None = None

    def begin(self, address: tuple[str, int]) -> None:
        """Send the SYN."""
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.syn_ns = time.time_ns()
        if self.socket.connect_ex(address) not in (0, errno.EINPROGRESS):
            self.end = End.FAILED
        self.port = self.socket.getsockname()[1]

    def go_on(self) -> None:
        """Do what the socket is ready for."""
        try:
            if self.established_ns is None:
                self._send()
            else:
                self._receive()
        except ConnectionError:
            self.end = End.RESET
        except OSError as error:
            self.end = End.UNCONNECTED if error.errno in _NO_WAY else End.FAILED

    def _send(self) -> None:
        status = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status in (0, errno.ECONNRESET):  # a handshake that was reset is ECONNREFUSED
            self.established_ns = time.time_ns()
        if status:
            raise OSError(status, "")
        self.socket.send(b"%d\n" % self.number)

    def _receive(self) -> None:
        try:
            line, ancillary, _, _ = self.socket.recvmsg(LINE_OCTETS, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            return
        if not line:
            self.end = End.CLOSED
            return
        answer = parse(line)
        if answer is None or answer.request != self.number:
            self.end = End.FAILED
            return
        self.end, self.who = End.ANSWERED, (answer.worker, answer.taken_ns)
        self.first_ns = _stamp(ancillary)

    def give_up(self) -> None:
        """Let it end as it stands."""
        self.end = End.UNCONNECTED if self.established_ns is None else End.SILENT

    def sample(self) -> Sample:
        """Return what became of it."""
        assert self.end is not None, "only of one that has ended"
        worker, taken_ns = self.who or (None, None)
        times = (self.planned_ns, self.syn_ns, self.established_ns, self.first_ns)
        return Sample(*times, self.end, worker, taken_ns, self.port)


def _stamp(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Return when the kernel received what was read; where it does not say, the time now."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()


class _Load:
    """Makes requests when they are due, and follows those under way."""

    def __init__(self, orders: Orders) -> None:
        self._address = (orders.address, orders.port)
        self._patience_ns = int(orders.patience_s * 1e9)
        self._epoll = select.epoll()
        self._open: dict[int, _Request] = {}
        self._waiting: deque[_Request] = deque()
        self._disturbance = Disturbance(orders.disturbance) if orders.disturbance else None
        self._after = orders.disturbance.after if orders.disturbance else -1

    def warm_up(self, requests: int) -> None:
        """Make *requests*, one after the other, and forget them."""
        for number in range(requests):
            self._start(_Request(number, time.time_ns()))
            while self._open:
                self._turn(None)

    def run(self, at_s: Sequence[float]) -> Outcome:
        """Make a request at each instant of *at_s*, and return what became of all."""
        began_ns = time.time_ns()
        requests = []
        for number, instant in enumerate(at_s):
            due_ns = began_ns + int(instant * 1e9)
            while time.time_ns() < due_ns:
                self._turn(due_ns)
            requests.append(_Request(number, due_ns))
            self._start(requests[-1])
            if self._disturbance and number == self._after:
                self._disturbance.begin()
        while self._open or (self._disturbance and self._disturbance.pending):
            self._turn(None)
        event = self._disturbance.event if self._disturbance else None
        return Outcome([each.sample() for each in requests], event)

    def _start(self, request: _Request) -> None:
        request.begin(self._address)
        self._open[request.socket.fileno()] = request
        self._waiting.append(request)
        if request.end is not None:
            self._finish(request)
            return
        self._epoll.register(request.socket, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _turn(self, due_ns: int | None) -> None:
        """Wait until something happens, or it is time for something; then do it."""
        now_ns = time.time_ns()
        while self._waiting and (
            self._waiting[0].end or now_ns > self._waiting[0].syn_ns + self._patience_ns
        ):
            request = self._waiting.popleft()
            if request.end is None:
                request.give_up()
                self._finish(request)
        wait_ns = _LOOK_AGAIN_NS if due_ns is None else max(min(due_ns - now_ns, _LOOK_AGAIN_NS), 0)
        select.select([self._epoll], (), (), wait_ns / 1e9)  # epoll itself counts in milliseconds
        events = self._epoll.poll(0, _EVENTS_PER_TURN)
        self._handle(events)
        if len(events) < _EVENTS_PER_TURN and self._disturbance and self._disturbance.pending:
            self._disturbance.step()  # not before it has been seen which connections are established

    def _handle(self, events: Sequence[tuple[int, int]]) -> None:
        for number, _ in events:
            request = self._open[number]
            request.go_on()
            if request.end is not None:
                self._finish(request)

    def _finish(self, request: _Request) -> None:
        del self._open[request.socket.fileno()]
        request.socket.close()


def run(orders: Orders) -> Outcome:
    """Do what *orders* say, and return what became of it."""
    _allow_descriptors(descriptors_for(len(orders.at_s)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stamping:
        # The kernel stamps what comes in for as long as there is one socket that wants it.
        stamping.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        load = _Load(orders)
        load.warm_up(orders.warm_up)
        return load.run(orders.at_s)


def descriptors_for(requests: int) -> int:
    """Return how many open files a load may need: one for each request, if none is answered."""
    return requests + _SPARE_DESCRIPTORS


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Read orders, carry them out, print the outcome."""
    print(outcome_as_text(run(orders_from(sys.stdin.read()))))


if __name__ == "__main__":
    main()
