"""The path between the two kernels of a stage: one thread does everything, and asks after each thing it did.

It calls what the play calls, hands frames over one at a time, and waits until the host is through with each:
behind each goes a marker, a frame of a type of our own, which the host's kernel gets to when it has answered
what came before. So the order of what happens, and what the kernels say when asked, hangs on no race.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from math import ceil, inf
from typing import Any, Final, TypeVar

from xsocket.bell import Bell
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.state import State, Trigger
from xsocket.trace import Event, EventKind
from xsocket.wire.codec import TcpPacket
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket.wire.ip import Ipv4
from xsocket.wire.link import Frame
from xsocket_netns import Host, Lab
from xsocket_tools.capture import finished
from xsocket_tools.path import Chain, Element, Impair, Parcel, Towards
from xsocket_tools.path.errors import PathBrokenError
from xsocket_tools.sockdiag import Told
from xsocket_tools.teaching.orders import PATIENCE_S, Order
from xsocket_tools.teaching.records import LEFT, RIGHT, Record
from xsocket_tools.teaching.stage import ADDRESSES, DELAY_S, PREFIX
from xsocket_tools.teaching.tracepoints import NOTHING, Heard, Tracepoints
from xsocket_tools.teaching.variables import Onlooker, asked
from xsocket_tools.teaching.watched_host import WatchedHost
from xsocket_tools.tracefs import TracefsError, Tracing

GRACE_S: Final = 0.2
"""So long nothing arrives after a call has returned, unless the play waits for something: what it does next
comes before what is under way, however slow the machine is."""
TIE_S: Final = 0.05
"""Nothing arrives while a handshake's timer is due within this time. Linux lets one of a second run out up to
32 ms late, so by itself chance would say what is first: that it runs out, or what would have stopped it."""
_OVERDUE_S: Final = 0.005
"""A timer that is due within this time may be about to run out, or have been meant to before another one."""
_LATEST_S: Final = 3 * TIE_S
"""So long such a timer is waited for."""
_LONGEST_WAIT_S: Final = 3600.0
_HANDSHAKE: Final = (State.SYN_SENT, State.SYN_RECEIVED)
_ACKNOWLEDGED: Final = "tcpi_bytes_acked"

T = TypeVar("T")


class WatchedPath:
    """Joins two hosts of *lab* and keeps a record of what passes, and of what their kernels say of it.

    Any thread may give it orders. It is at work from `start` until `stop`.

    Args:
        lab: Of both hosts.
        hosts: The left one and the right one, without interfaces so far.
        traced: Whether to listen to the kernel's tracepoints as well, where the machine lets us.

    Attributes:
        late_s: How much later than it was due something was done, at most, so far; the machine was busy then.
    """

    def __init__(self, lab: Lab, hosts: tuple[Host, Host], *, traced: bool = True) -> None:
        self._stack = ExitStack()
        addresses = [f"{address}/{PREFIX}" for address in ADDRESSES.values()]
        detour = lab.detour("path", *hosts, addresses=(addresses[:1], addresses[1:]))
        self._sides: list[WatchedHost] = []
        self._impair = Impair(delay_s=DELAY_S)
        self._way = Chain()
        self._due: deque[tuple[float, Parcel]] = deque()
        self._unasked: list[tuple[int, Frame]] = []
        self._tied_since: float | None = None
        self._tied_at = -inf
        self.late_s = 0.0
        self._orders: list[Order[Any]] = []
        self._given: queue.SimpleQueue[Order[Any] | None] = queue.SimpleQueue()
        self._bell = Bell()
        self._held_until = time.monotonic() + GRACE_S
        self._last_at = time.monotonic()
        self._records: list[Record] = []
        self._states: dict[tuple[int, FourTuple], State] = {}
        self._onlookers: dict[tuple[int, FourTuple], Onlooker] = {}
        self._newest: FourTuple | None = None
        self._workers: dict[int, str] = {}
        self._thread: threading.Thread | None = None
        self._tracepoints: Tracepoints | None = None
        with ExitStack() as stack:
            self._tracing = _tracing(stack) if traced else None
            for host, port in zip(hosts, (detour.left_port, detour.right_port), strict=True):
                self._sides.append(WatchedHost(stack, detour.middle, port.name, host))
            self._stack = stack.pop_all()

    def start(self) -> None:
        """Begin to carry frames."""
        self._thread = threading.Thread(target=self._work, name="xsocket-watched-path", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End that, and every connection of both hosts."""
        if self._thread is not None:
            self._given.put(None)
            self._bell.ring()
            self._thread.join()
            self._thread = None
            for side in self._sides:
                side.end_connections()

    def close(self) -> None:
        """Stop, and let go of both hosts; whoever has sockets there closes them before."""
        self.stop()
        self._stack.close()

    # What any thread may call

    def do(self, order: Order[T]) -> T:
        """Have *order* done; return or raise what it returns or raises.

        Raises:
            TimeoutError: It could not be done in time.
            PathBrokenError: Frames are no longer carried.
        """
        if self._thread is None:
            raise PathBrokenError("this path is closed")
        self._given.put(order)
        self._bell.ring()
        return order.outcome()

    def insert(self, element: Element) -> None:
        """Let every frame pass *element* from now on, before the way takes its time."""
        self.do(Order(lambda: self._way.append(element)))

    def forge(self, end: int, segment: Callable[[Onlooker], Segment]) -> None:
        """Hand a segment to the host at *end*, as if the other one had sent it in the newest connection.

        Args:
            end: Of the victim.
            segment: Makes it, given what is known of the victim.

        Raises:
            LookupError: There was no connection so far.
        """
        self.do(Order(lambda: self._forge(end, segment), end))

    def spoof(self, end: int, packets: Sequence[tuple[FourTuple, Segment]]) -> None:
        """Hand segments to the host at *end*, one behind the other, that neither host has sent.

        Args:
            end: Of the victim.
            packets: Each connection, as its pretended sender names it, and the segment.
        """

        def attempt() -> None:
            for four_tuple, segment in packets:
                self._deliver_forged(end, four_tuple.reversed, segment)

        self.do(Order(attempt, end))

    def settle(self, quiet_s: float) -> None:
        """Wait until nothing is under way, and nothing was for *quiet_s* seconds."""

        def attempt() -> None:
            under_way = self._due or self._unasked or self._impair.deadline < inf
            if under_way or time.monotonic() < self._last_at + quiet_s:
                raise BlockingIOError

        self.do(Order(attempt, patience_s=inf, look_at=lambda: self._last_at + quiet_s))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = time.monotonic() + seconds

        def attempt() -> None:
            if time.monotonic() < until:
                raise BlockingIOError

        self.do(Order(attempt, patience_s=inf, look_at=lambda: until))

    def note(self, end: int, what: str, four_tuple: FourTuple | None = None, worker: str = "") -> None:
        """Note that a connection was ``accepted``, or else what a worker did; for the attempts of orders."""
        event = Event(EventKind.POOL, time.time_ns(), four_tuple=four_tuple, pool_event=what)
        self._add(Record(end, event, worker=worker))

    def belongs(self, listener: int, worker: str) -> None:
        """Note whose what falls to a listener is, by its SO_COOKIE; for the attempts of orders."""
        self._workers[listener] = worker

    def listener(self, end: int, four_tuple: FourTuple) -> int:
        """Return which listener would get a SYN, by its SO_COOKIE, 0 if none; for the attempts of orders."""
        told = self._sides[end].ask(four_tuple)
        return 0 if told is None else told.listener

    def records(self) -> list[Record]:
        """Return what happened so far."""
        return self.do(Order(lambda: list(self._records)))

    # The thread

    def _work(self) -> None:
        try:
            _stay_on_one_processor()
            if self._tracing is not None:
                self._tracepoints = Tracepoints(self._tracing)
            while self._turn():
                pass
        except BaseException as error:
            self._fail(error)
            while (order := self._given.get()) is not None:  # whoever still comes is told
                self._orders.append(order)
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        for order in self._orders:
            broken = PathBrokenError(f"frames are no longer carried: {error}")
            broken.__cause__ = error
            order.finish(error=broken)
        self._orders.clear()

    def _turn(self) -> bool:
        """Wait for something to do, and do it; return whether there may be more."""
        self._sleep()
        self._bell.hush()
        self._take_unasked()
        with suppress(queue.Empty):
            while True:
                order = self._given.get_nowait()
                if order is None:
                    return False
                self._held_until = time.monotonic() + GRACE_S
                self._orders.append(order)
                self._try(order)
        self._try_all()
        self._collect(self._impair.deadline, self._impair.wake(time.monotonic()))
        while self._due and not self._is_held() and not self._is_tied(TIE_S):
            due_at, parcel = self._due.popleft()
            self._note_late(time.monotonic() - max(due_at, self._tied_at))
            end = LEFT if parcel.towards is Towards.LEFT else RIGHT
            self._deliver(end, parcel)
            self._try_all()
        return True

    def _take_unasked(self) -> None:
        """Take what the hosts have sent by themselves, for timers: in the order in which these were set."""
        self._unasked += [(end, frame) for end, side in enumerate(self._sides) for frame in side.take()]
        if self._unasked and not self._is_tied(_OVERDUE_S):
            self._notice_given_up()
            unasked, self._unasked = self._unasked, []
            for end, frame in sorted(unasked, key=self._last_sent):
                self._take(end, [frame])

    def _notice_given_up(self) -> None:
        """Make a record of each handshake that a server's timer has ended, before what timers sent since."""
        for end, four_tuple in [key for key, state in self._states.items() if state is State.SYN_RECEIVED]:
            self._notice(end, four_tuple)

    def _last_sent(self, unasked: tuple[int, Frame]) -> int:
        end, frame = unasked
        packet = Parcel(Towards.RIGHT, frame.data).tcp
        if packet is not None:
            for record in reversed(self._records):
                event = record.event
                if (
                    event.kind is EventKind.SENT
                    and record.end == end
                    and event.four_tuple == packet.four_tuple.reversed
                    and event.segment is not None
                    and event.segment.seq == packet.segment.seq
                ):
                    return event.at_ns
        return frame.at_ns

    def _is_tied(self, within_s: float) -> bool:
        """Whether a handshake's timer will run out *within_s* seconds, or should have."""
        now = time.monotonic()
        told = (
            self._sides[end].ask(four_tuple)
            for (end, four_tuple), state in self._states.items()
            if state in _HANDSHAKE
        )
        if not any(each is not None and each.timer_s <= within_s for each in told):
            self._tied_since = None
            return False
        self._tied_since, self._tied_at = self._tied_since or now, now
        return now < self._tied_since + _LATEST_S

    def _sleep(self) -> None:
        poll = select.poll()
        for number in (self._bell.fileno(), *(side.fileno() for side in self._sides)):
            poll.register(number, select.POLLIN)
        for order in self._orders:
            if order.descriptor is not None:
                poll.register(order.descriptor, select.POLLIN | select.POLLOUT)
        now = time.monotonic()
        instants = [min(order.deadline, order.look_at()) for order in self._orders]
        arrival = now if self._due else self._impair.deadline
        if self._tied_since is not None:
            arrival = max(arrival, self._tied_since + _LATEST_S)
        instants.append(max(arrival, self._held_until) if self._is_held() else arrival)
        poll.poll(ceil(1000 * max(0.0, min(min(instants) - now, _LONGEST_WAIT_S))))

    def _is_held(self) -> bool:
        """Whether the play is about to say what happens next."""
        return not self._orders and time.monotonic() < self._held_until

    # Orders

    def _try_all(self) -> None:
        for order in tuple(self._orders):
            self._try(order)

    def _try(self, order: Order[Any]) -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = order.attempt()
        except BlockingIOError:
            if time.monotonic() < order.deadline:
                return
            error = TimeoutError(f"nothing came of it in {PATIENCE_S:g} s")
        except Exception as raised:
            error = raised
        self._orders.remove(order)
        if order.end is not None:
            self._take(order.end, self._sides[order.end].all_sent())
        for end, four_tuple in self._states:
            if order.end is None:
                self._notice(end, four_tuple)
            elif (end, four_tuple) == (order.end, order.four_tuple):
                self._notice(end, four_tuple, order.trigger)
        self._held_until = time.monotonic() + GRACE_S
        order.finish(result, error)

    def _forge(self, end: int, segment: Callable[[Onlooker], Segment]) -> None:
        if self._newest is None:
            raise LookupError("there is no connection yet")
        four_tuple = self._newest if end == LEFT else self._newest.reversed
        self._deliver_forged(end, four_tuple, segment(self._onlooker(end, four_tuple)))

    def _deliver_forged(self, end: int, four_tuple: FourTuple, segment: Segment) -> None:
        victim, other = self._sides[end], self._sides[1 - end]
        packet = TcpPacket(
            four_tuple,
            segment,
            Ethernet(victim.mac, other.mac),
            Ipv4(four_tuple.remote_address, four_tuple.local_address),
        )
        self._deliver(end, Parcel(Towards.LEFT if end == LEFT else Towards.RIGHT, packet), forged=True)

    # Frames

    def _take(self, end: int, frames: list[Frame]) -> None:
        """Let frames in that the host at *end* has sent."""
        towards = Towards.RIGHT if end == LEFT else Towards.LEFT
        for frame in frames:
            parcel = Parcel(towards, finished(frame.data, frame.checksum_ready))
            passed = self._way.take(time.monotonic(), parcel)
            if parcel.tcp is not None:
                lost = not any(each.towards is towards for each in passed)
                self._note_sent(end, frame.at_ns, parcel.tcp, parcel.frame, lost=lost)
            self._note_late((time.time_ns() - frame.at_ns) / 1e9)
            for each in passed:
                self._collect(self._impair.deadline, self._impair.take(time.monotonic(), each))

    def _collect(self, due_at: float, parcels: Sequence[Parcel]) -> None:
        self._due += ((due_at, parcel) for parcel in parcels)

    def _note_late(self, seconds: float) -> None:
        self.late_s = max(self.late_s, seconds)

    def _note_sent(self, end: int, at_ns: int, packet: TcpPacket, frame: bytes, *, lost: bool) -> None:
        four_tuple, segment = packet.four_tuple.reversed, packet.segment
        before = self._states.get((end, four_tuple), State.CLOSED)
        if segment.syn and segment.ack is None and before is State.CLOSED:
            self._newest = four_tuple if end == LEFT else four_tuple.reversed
            self._onlookers[end, four_tuple] = Onlooker()
        onlooker = self._onlooker(end, four_tuple)
        is_old = onlooker.has_sent(segment)
        onlooker.sent(segment)
        told = self._ask(end, four_tuple)
        self._last_at = time.monotonic()
        event = Event(EventKind.SENT, at_ns, four_tuple, segment, frame, before=before, after=told.state)
        record = Record(end, event, tuple(asked(told, onlooker)), lost=lost)
        if self._tracepoints is not None and (is_old or segment.rst):  # each look takes its time
            self._tracepoints.listen()
            again = self._tracepoints.again(four_tuple) if is_old else None
            reset = self._tracepoints.reset(four_tuple) if segment.rst else ""
            record = record._replace(again=again, timeouts=told.retransmissions, reset=reset)
        self._add(record)

    def _deliver(self, end: int, parcel: Parcel, *, forged: bool = False) -> None:
        """Hand a frame to the host at *end*, and take what it answers."""
        side, packet = self._sides[end], parcel.tcp
        if packet is None:
            at_ns = time.time_ns()
            self._hand_over(end, parcel.frame)
            self._note_error(end, at_ns, parcel)
            self._take(end, side.all_sent())
            return
        four_tuple, segment = packet.four_tuple, packet.segment
        if (end, four_tuple) in self._states:
            self._notice(end, four_tuple)
        asked_before = self._ask(end, four_tuple)
        before = asked_before.state
        at_ns = time.time_ns()
        heard = self._hand_over(end, parcel.frame, four_tuple)
        told = self._ask(end, four_tuple)
        if segment.syn and before in (State.CLOSED, State.LISTEN):
            self._onlookers[end, four_tuple] = Onlooker()
        onlooker = self._onlooker(end, four_tuple)
        # What a forged one does is seen from what the host sends next; in SYN-SENT it has heard nothing yet.
        was_dropped = bool(heard.drop) and told.state is before
        if not forged and not was_dropped and told.state is not State.SYN_SENT:
            onlooker.received(segment)
        _believe(onlooker, heard, asked_before, told)
        self._last_at = time.monotonic()
        event = Event(
            EventKind.RECEIVED, at_ns, four_tuple, segment, parcel.frame, before=before, after=told.state
        )
        self._add(Record(end, event, tuple(asked(told, onlooker)), forged=forged, drop=heard.drop))
        worker = self._workers.get(asked_before.listener, "")
        if worker and told.state not in (State.CLOSED, State.LISTEN):
            self.note(end, "given", four_tuple, worker)
        self._take(end, side.all_sent())

    def _note_error(self, end: int, at_ns: int, parcel: Parcel) -> None:
        """Make a record of a frame that was handed over, if it is an ICMP error about a connection."""
        packet = parcel.packet
        error = path_error(packet) if isinstance(packet, IcmpPacket) and packet.is_error else None
        if not isinstance(error, PathError) or (end, error.four_tuple) not in self._states:
            return
        before = self._states[end, error.four_tuple]
        told = self._ask(end, error.four_tuple)
        event = Event(
            EventKind.ICMP,
            at_ns,
            error.four_tuple,
            frame=parcel.frame,
            before=before,
            after=told.state,
            path_error=error,
        )
        self._add(Record(end, event, tuple(asked(told, self._onlooker(end, error.four_tuple)))))

    def _hand_over(self, end: int, frame: bytes, four_tuple: FourTuple | None = None) -> Heard:
        """Give the host a frame, and return what its kernel tells of it, beyond what one can ask."""
        if self._tracepoints is None:
            self._sides[end].hand_over(frame)
            return NOTHING
        self._tracepoints.listen()
        self._sides[end].hand_over(frame)
        return self._tracepoints.heard(four_tuple, len(frame))

    def _add(self, record: Record) -> None:
        """Make *record* the last one, and no earlier than the one before."""
        if self._records and record.event.at_ns < (at_ns := self._records[-1].event.at_ns):
            record = record._replace(event=record.event._replace(at_ns=at_ns))
        self._records.append(record)

    # Asking

    def _ask(self, end: int, four_tuple: FourTuple) -> Told:
        """Return what the kernel at *end* says of a connection; that it is CLOSED if it knows none."""
        told = self._sides[end].ask(four_tuple) or Told(State.CLOSED)
        known = self._states.get((end, four_tuple), State.LISTEN)
        if told.state is State.LISTEN and known is not State.LISTEN:
            # The listener is there as before; this connection is over.
            told = Told(State.CLOSED, listener=told.listener)
        self._states[end, four_tuple] = told.state
        return told

    def _notice(self, end: int, four_tuple: FourTuple, trigger: Trigger | None = None) -> None:
        """Make a record if a connection has moved by no segment."""
        before = self._states[end, four_tuple]
        if before in (State.CLOSED, State.LISTEN):
            return
        told = self._ask(end, four_tuple)
        if told.state is before:
            return
        event = Event(
            EventKind.MOVED,
            time.time_ns(),
            four_tuple=four_tuple,
            before=before,
            after=told.state,
            trigger=trigger,
        )
        variables = asked(told, self._onlooker(end, four_tuple))
        self._add(Record(end, event, tuple(variables)))

    def _onlooker(self, end: int, four_tuple: FourTuple) -> Onlooker:
        return self._onlookers.setdefault((end, four_tuple), Onlooker())


def _believe(onlooker: Onlooker, heard: Heard, earlier: Told, told: Told) -> None:
    """Let an onlooker have what a kernel tells of its own numbers.

    It told how they stood when the segment came, and sock_diag how much that has acknowledged. What it
    answers is a step of its own.
    """
    infos = earlier.tcp_info, told.tcp_info
    if heard.snd_una is None or heard.snd_nxt is None or not all(_ACKNOWLEDGED in each for each in infos):
        return
    acknowledged = infos[1][_ACKNOWLEDGED] - infos[0][_ACKNOWLEDGED]
    onlooker.told(add(heard.snd_una, acknowledged), heard.snd_nxt)


def _tracing(stack: ExitStack) -> Tracing | None:
    """Return an instance that *stack* closes; None where there is none to be had, which is no harm."""
    try:
        tracing = Tracing()
    except TracefsError:
        return None
    stack.callback(tracing.close)
    return tracing


def _stay_on_one_processor() -> None:
    """Keep the calling thread where it is: the kernel keeps frames in order that one processor sends."""
    with suppress(OSError):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[threading.get_native_id() % len(allowed)]})
