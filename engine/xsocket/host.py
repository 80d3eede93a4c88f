"""`Host`: one station on the wire. Frames and calls go in with `now`, frames come out; the pool gets filled.

Everything of an engine but its thread, its clock and its Link, so that the same host runs live and in virtual
time. Not safe for threads: the runtime holds a lock around it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from errno import ENETUNREACH
from typing import TYPE_CHECKING, Any, NamedTuple

from xsocket.actions import (
    Action,
    Changed,
    Deleted,
    Dropped,
    Established,
    HandedOver,
    Moved,
    Received,
    Send,
    TakenBack,
    TimerFired,
)
from xsocket.admission import Admission, AdmissionPolicy
from xsocket.config import TcpConfig
from xsocket.connection import Calls, Connection
from xsocket.errors import AddressInUseError, BadAddressError, BadConfigError, HostUnreachableError
from xsocket.fourtuple import FourTuple
from xsocket.handoff.image import image_of
from xsocket.info import Info
from xsocket.patherror import PathError
from xsocket.pool import ConnectionPool
from xsocket.reasons import DropReason
from xsocket.segment import RST
from xsocket.stack import Stack
from xsocket.state import State, Trigger
from xsocket.tcp.handover import end_of_text, first_unread
from xsocket.tcp.keys import Key
from xsocket.tcp.tcb import Tcb, snapshot
from xsocket.trace import Event, EventKind, Trace
from xsocket.wire.codec import Arrival, encode_segment
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket.wire.ingress import Ingress
from xsocket.wire.link import Frame
from xsocket.wire.neighbours import Neighbours

if TYPE_CHECKING:
    from socket import socket

    from xsocket.handoff.kernel import KernelTcp

IP_AND_TCP_OCTETS = {4: 40, 6: 60}
"""Header octets without options: what the MTU exceeds the MSS by (RFC 9293 section 3.7.1)."""
UNKNOWN_STATION = bytes(6)
"""What the trace shows as destination of a frame that waits for the neighbour's station address."""


class HostCounters(NamedTuple):
    """What a host has counted.

    Attributes:
        segments_received: TCP segments for our addresses that were well formed.
        segments_sent: TCP segments sent, resets included.
        resets_sent: Resets among them.
        established: Handshakes completed, by passive and active open.
        drops: How often something was ignored, by reason; only reasons that occurred.
        ended: How many connections ended, by what moved them to CLOSED; only triggers that occurred.
    """

    segments_received: int
    segments_sent: int
    resets_sent: int
    established: int
    drops: dict[DropReason, int]
    ended: dict[Trigger, int]


class Host:
    """A stack, its neighbours and its pool.

    Args:
        mac: Our station address.
        mtu: The largest IP packet the link carries, octets.
        addresses: Our own, with prefix lengths.
        gateways: Where packets for other networks go, at most one of each IP version.
        config: The rules.
        admission: Judges SYNs.
        pool: Gets every connection that a peer opened.
        calls: What the connections will call.
        secret: 32 octets for initial sequence numbers.
        keys: What protects connections, in order of preference; see `xsocket.AoKey`.
        on_change: Told the 4-tuple of a connection at which a waiting caller should look again.
        trace: Where to record what happens.
        wall_ns: Gives Unix time in nanoseconds, for the trace.
        kernel: The kernel's TCP, where it has addresses of ours, too.

    Raises:
        BadAddressError: An address is not one.
        BadConfigError: Two of the keys do not go together.
    """

    def __init__(
        self,
        *,
        mac: bytes,
        mtu: int,
        addresses: Sequence[str],
        gateways: Sequence[str],
        config: TcpConfig,
        admission: AdmissionPolicy,
        pool: ConnectionPool[Connection],
        calls: Calls,
        secret: bytes,
        on_change: Callable[[FourTuple], None],
        trace: Trace | None,
        wall_ns: Callable[[], int],
        keys: Iterable[Key] = (),
        kernel: "KernelTcp | None" = None,
    ) -> None:
        self.pool = pool
        self.kernel = kernel
        self.ingress = Ingress(mac, addresses)
        silent = () if kernel is None else kernel.addresses
        self.neighbours = Neighbours(mac, addresses, gateways, mtu=mtu, silent=silent)
        mss = {version: mtu - octets for version, octets in IP_AND_TCP_OCTETS.items()}
        self.stack = Stack(
            config,
            admission,
            secret=secret,
            mss=mss,
            has_room=self._has_room,
            traced=trace is not None,
            keys=keys,
        )
        self._calls = calls
        self._on_change = on_change
        self._trace = trace
        self._wall_ns = wall_ns
        self._outbox: list[bytes] = []
        self._unaddressed = {
            version: build_ethernet(Ethernet(UNKNOWN_STATION, mac), ethertype)
            for version, ethertype in ((4, IPV4), (6, IPV6))
        }
        self._drops: Counter[DropReason] = Counter()
        self._ended: Counter[Trigger] = Counter()
        self._received = self._sent = self._resets = self._established = 0
        self._promised = 0
        self._performers: dict[type, Callable[[float, Any, list[Action]], None]] = {
            Send: self._on_send,
            Moved: self._on_moved,
            Changed: self._on_changed,
            Established: self._on_established,
            Deleted: self._on_deleted,
            Dropped: self._on_dropped,
        }

    # Three inputs

    def receive(self, now: float, frames: Iterable[Frame]) -> None:
        """Process a batch of frames, oldest first. *now* is monotonic seconds, here and everywhere."""
        arrivals: list[Arrival] = []
        errors: list[tuple[IcmpPacket, Frame]] = []
        traced: list[Frame] = []
        classify, kernel = self.ingress.classify, self.kernel
        for frame in frames:
            packet = classify(frame)
            if isinstance(packet, Arrival):
                if kernel is not None and (reason := kernel.takes(packet, frame.at_ns)) is not None:
                    self._drop(reason, frame)
                    continue
                arrivals.append(packet)
                if self._trace is not None:
                    traced.append(frame)
            elif isinstance(packet, DropReason):
                self._drop(packet, frame)
            elif isinstance(packet, IcmpPacket) and packet.is_error:
                errors.append((packet, frame))
            else:
                self._outbox += self.neighbours.receive(now, packet)
        self._received += len(arrivals)
        self._perform(now, self.stack.receive(now, arrivals), traced)
        self._promised = 0
        for packet, frame in errors:
            self._receive_error(now, packet, frame)

    def _receive_error(self, now: float, packet: IcmpPacket, frame: Frame) -> None:
        error = path_error(packet)
        if isinstance(error, DropReason):
            self._drop(error, frame)
            return
        actions = self.stack.receive_error(now, error)
        if self._trace is not None:
            self._record_error(error, frame)
        self._perform(now, actions)

    def timers_fired(self, now: float) -> None:
        """Act on every timer that has run out by *now*."""
        if self.stack.deadline <= now:
            self._perform(now, self.stack.timers_fired(now))
        patience_s = self.stack.config.pool_timeout_s
        if patience_s and self.pool.expires_at(patience_s) <= now:
            self._expire_unclaimed(now, patience_s)
        if self.kernel is not None and self.kernel.deadline <= now:
            self.kernel.timers_fired(now)
        due = self.neighbours.deadline
        if due is not None and due <= now:
            self._outbox += self.neighbours.timers_fired(now)
            self._fail_unreachable(now)

    @property
    def deadline(self) -> float:
        """When `timers_fired` wants to be called next, monotonic seconds; infinite for never."""
        due = self.neighbours.deadline
        own = self.stack.deadline
        patience_s = self.stack.config.pool_timeout_s
        if patience_s:
            own = min(own, self.pool.expires_at(patience_s))
        if self.kernel is not None:
            own = min(own, self.kernel.deadline)
        return own if due is None else min(own, due)

    @property
    def has_frames(self) -> bool:
        """Whether there are frames to send; any thread may ask."""
        return bool(self._outbox)

    def take_frames(self) -> list[bytes]:
        """Return the frames to send, oldest first, and forget them."""
        frames, self._outbox = self._outbox, []
        return frames

    def announce(self, now: float) -> None:
        """Tell the neighbours who has our addresses."""
        self._outbox += self.neighbours.start(now)

    def add_neighbour(self, now: float, address: str, mac: bytes) -> None:
        """See `Neighbours.add_permanent`."""
        self._outbox += self.neighbours.add_permanent(now, address, mac)

    def collect_from_kernel(self, now: float) -> int:
        """Let go of the connections whose kernel socket has ended; return how many."""
        assert self.kernel is not None
        ended = self.kernel.collect(now)
        for four_tuple in ended:
            self.pool.remove(four_tuple)
        return len(ended)

    def _expire_unclaimed(self, now: float, patience_s: float) -> None:
        """Reset what nobody has claimed in time."""
        for connection in self.pool.expire(now, patience_s):
            tcb = self.stack.tcb(connection.four_tuple)
            if tcb is not None:
                reason = Dropped(tcb.four_tuple, None, DropReason.POOL_TIMED_OUT)
                self._perform(now, [reason, *self.stack.abort(now, tcb)])

    # Calls

    def connect(self, now: float, four_tuple: FourTuple, text: bytes | None = None) -> Tcb:
        """Open *four_tuple* actively and return its TCB; *text* goes first, see `Stack.connect`.

        Raises:
            AddressInUseError: There is such a connection already.
            HostUnreachableError: No network of ours holds the remote address, and there is no gateway.
        """
        if self.neighbours.next_hop(four_tuple.remote_address) is None:
            raise HostUnreachableError(ENETUNREACH, f"no route to {four_tuple.remote_address}")
        actions = self.stack.connect(now, four_tuple, text)
        tcb = self.stack.tcb(four_tuple)
        assert tcb is not None
        self._perform(now, actions)
        return tcb

    def local_address_for(self, remote: str) -> str:
        """Return which of our addresses to talk to *remote* from.

        Raises:
            BadAddressError: None has its IP version.
        """
        local = self.neighbours.source_for(remote)
        if local is None:
            raise BadAddressError(f"the engine has no address of the version of {remote}")
        return local

    def free_port(
        self, now: float, local: str, remote: str, remote_port: int, candidates: Iterable[int]
    ) -> int:
        """Return the first of *candidates* that an active open between these ends may use.

        Raises:
            AddressInUseError: All are in use.
        """
        for port in candidates:
            four_tuple = FourTuple.trusted(local, port, remote, remote_port)
            if self.stack.is_free(now, four_tuple) and not self._is_kernels(four_tuple):
                return port
        raise AddressInUseError(f"no local port is free towards {remote} port {remote_port}")

    def _is_kernels(self, four_tuple: FourTuple) -> bool:
        return self.kernel is not None and self.kernel.has(four_tuple)

    def hand_over(self, now: float, tcb: Tcb, made: "socket") -> None:
        """Let *made*, a new kernel socket, carry the connection on.

        It must be established, with no FIN sent.

        Raises:
            HandoffError: The kernel refused; the connection is as it was.
        """
        assert self.kernel is not None
        self.kernel.take(image_of(tcb, now), made)
        self._perform(now, self.stack.hand_over(now, tcb))

    def take_back(self, now: float, tcb: Tcb, made: "socket") -> bool:
        """Carry on what `hand_over` gave to *made*, which then is of no use any more.

        Returns:
            Whether it is ours again: not when an octet was read or written since, or it has ended.
        """
        assert self.kernel is not None
        returned = self.kernel.take_back(tcb.four_tuple, made, end_of_text(tcb), first_unread(tcb))
        if returned is None:
            return False
        self._perform(now, self.stack.take_back(now, tcb, returned))
        return True

    def send(self, now: float, tcb: Tcb, text: memoryview) -> int:
        """Give text to a connection; return how many octets it took."""
        taken, actions = self.stack.send(now, tcb, text)
        self._perform(now, actions)
        return taken

    def receive_text(self, now: float, tcb: Tcb, most: int) -> bytes:
        """Take up to *most* octets that arrived."""
        text, actions = self.stack.receive_text(now, tcb, most)
        self._perform(now, actions)
        return text

    def configure(self, now: float, tcb: Tcb, config: TcpConfig) -> None:
        """Let a connection play by other rules."""
        self._perform(now, self.stack.configure(now, tcb, config))

    def close(self, now: float, tcb: Tcb) -> None:
        """Finish sending."""
        self._perform(now, self.stack.close(now, tcb))

    def release(self, now: float, tcb: Tcb) -> None:
        """Finish sending, and nobody will read any more."""
        self._perform(now, self.stack.release(now, tcb))

    def abort(self, now: float, tcb: Tcb) -> None:
        """Reset a connection."""
        self._perform(now, self.stack.abort(now, tcb))

    def set_config(self, config: TcpConfig) -> None:
        """Let connections that are opened from now on play by *config*; see `Stack.set_config`.

        Raises:
            BadConfigError: It changes the pool, which is made once.
        """
        now = self.stack.config
        for rule in ("pool_capacity", "pool_policy"):
            if getattr(config, rule) != getattr(now, rule):
                raise BadConfigError(f"{rule} is {getattr(now, rule)} for as long as the pool lives")
        self.stack.set_config(config)

    def refuse_all(self) -> None:
        """Admit nobody any more."""
        self.stack.admission = Admission(ports=())

    @property
    def is_closing(self) -> bool:
        """Whether a connection that its user has closed has text or a FIN that was not acknowledged."""
        return any(tcb.user_gone and tcb.state in _UNFINISHED for tcb in self.stack.tcbs())

    def abort_all(self, now: float) -> None:
        """Reset every connection there is."""
        for tcb in self.stack.tcbs():
            self.abort(now, tcb)

    def counters(self) -> HostCounters:
        """Return what was counted so far."""
        drops = self._drops + self.neighbours.drops
        return HostCounters(
            self._received, self._sent, self._resets, self._established, dict(drops), dict(self._ended)
        )

    def _fail_unreachable(self, now: float) -> None:
        """Tell those who are opening a connection through a next hop that nobody answers for."""
        hops = set(self.neighbours.take_unreachable())
        if not hops:
            return
        for tcb in self.stack.tcbs():
            if (
                tcb.state is State.SYN_SENT
                and self.neighbours.next_hop(tcb.four_tuple.remote_address) in hops
            ):
                self._perform(now, self.stack.give_up(tcb, HostUnreachableError))

    # One output

    def _perform(self, now: float, actions: list[Action], frames: Sequence[Frame] = ()) -> None:
        """Carry out *actions* in order; what one of them brings about goes to the end of the list."""
        if self._trace is not None:
            self._perform_traced(now, actions, frames)
            return
        for action in actions:
            kind = type(action)
            if kind in self._performers:
                self._performers[kind](now, action, actions)

    def _on_send(self, now: float, action: Send, _: list[Action]) -> None:
        self._transmit(now, action)

    def _on_moved(self, _now: float, action: Moved, _: list[Action]) -> None:
        if action.after is State.CLOSED:
            self._ended[action.trigger] += 1

    def _on_changed(self, _now: float, action: Changed, _: list[Action]) -> None:
        self._on_change(action.four_tuple)

    def _on_deleted(self, _now: float, action: Deleted, _: list[Action]) -> None:
        self.pool.remove(action.four_tuple)

    def _on_dropped(self, _now: float, action: Dropped, _: list[Action]) -> None:
        self._drops[action.reason] += 1

    def _transmit(self, now: float, order: Send) -> bytes:
        """Send a segment; return its frame, which may have to wait for the neighbour's station address."""
        four_tuple, segment, _, ttl, dscp = order
        self._sent += 1
        if segment.flags & RST:
            self._resets += 1
        remote = four_tuple.remote_address
        prefix = self.neighbours.frame_for(now, remote)
        if prefix is not None:
            frame = encode_segment(prefix, four_tuple, segment, ttl, dscp=dscp)
            self._outbox.append(frame)
            return frame
        packet = encode_segment(b"", four_tuple, segment, ttl, dscp=dscp)
        self._outbox += self.neighbours.enqueue(now, remote, packet)
        return self._unaddressed[four_tuple.family] + packet

    def _has_room(self, four_tuple: FourTuple) -> bool:
        """Ask the pool, and remember what was promised: a batch is judged before any of it is put there."""
        room = self.pool.has_room(four_tuple, self._promised)
        self._promised += room
        return room

    def _on_established(self, now: float, action: Established, actions: list[Action]) -> None:
        """Hand an established connection to the pool; whoever opened one actively has it already."""
        self._established += 1
        four_tuple = action.four_tuple
        tcb = self.stack.tcb(four_tuple)
        if tcb is None or not tcb.passive:
            self._on_change(four_tuple)
            return
        left_over = self.pool.put(Connection(tcb, self._calls))
        if left_over is not None:
            loser = self.stack.tcb(left_over.four_tuple)
            if loser is not None:
                reason = DropReason.POOL_FULL_REFUSED if loser is tcb else DropReason.POOL_FULL_EVICTED
                actions.append(Dropped(loser.four_tuple, None, reason))
                actions += self.stack.abort(now, loser)

    def _drop(self, reason: DropReason, frame: Frame) -> None:
        self._drops[reason] += 1
        if self._trace is not None:
            self._trace.record(
                Event(
                    kind=EventKind.DROPPED,
                    at_ns=frame.at_ns,
                    frame=frame.data,
                    checksum_ready=frame.checksum_ready,
                    reason=reason,
                )
            )

    # The trace

    def _perform_traced(self, now: float, actions: list[Action], frames: Sequence[Frame]) -> None:
        """Do as `_perform` does, and record each action; each `Received` belongs to the next of *frames*."""
        waiting = list(reversed(frames))
        # The actions of a whole batch are carried out at its end, when a TCB may be further than at the time.
        states: dict[FourTuple, State] = {}
        infos: dict[FourTuple, Info | None] = {}
        for action in actions:
            if isinstance(action, Received):
                states[action.four_tuple], infos[action.four_tuple] = action.before, action.info
                self._record_received(action, waiting.pop())
                if not waiting:
                    infos.clear()  # what is owed for the batch comes last: ACKs that move a window's edge
            elif isinstance(action, Send):
                frame = self._transmit(now, action)
                info = self._info_of(action.four_tuple, infos)
                self._record_sent(action, frame, states.get(action.four_tuple), info)
            else:
                if isinstance(action, Moved):
                    states[action.four_tuple] = action.after
                self._record_other(action, self._info_of(action.four_tuple, infos))
                if type(action) in self._performers:
                    self._performers[type(action)](now, action, actions)

    def _record_received(self, action: Received, frame: Frame) -> None:
        self._record(
            EventKind.RECEIVED,
            action.four_tuple,
            at_ns=frame.at_ns,
            segment=action.segment,
            frame=frame.data,
            checksum_ready=frame.checksum_ready,
            before=action.before,
            after=action.after,
            info=action.info,
        )

    def _info_of(self, four_tuple: FourTuple, known: Mapping[FourTuple, Info | None]) -> Info | None:
        """Return the TCB as it stands, or as it stood after the segment whose actions are carried out."""
        if four_tuple in known:
            return known[four_tuple]
        tcb = self.stack.tcb(four_tuple)
        return None if tcb is None else snapshot(tcb)

    def _record_sent(self, action: Send, frame: bytes, state: State | None, info: Info | None) -> None:
        if state is None:
            tcb = self.stack.tcb(action.four_tuple)
            state = tcb.state if tcb is not None else State.CLOSED
        self._record(
            EventKind.SENT,
            action.four_tuple,
            segment=action.segment,
            frame=frame,
            before=state,
            after=state,
            rule=action.rule,
            info=info,
        )

    def _record_error(self, error: PathError, frame: Frame) -> None:
        self._record(
            EventKind.ICMP,
            error.four_tuple,
            at_ns=frame.at_ns,
            frame=frame.data,
            checksum_ready=frame.checksum_ready,
            path_error=error,
            info=self._info_of(error.four_tuple, {}),
        )

    def _record_other(self, action: Action, info: Info | None) -> None:
        key = action.four_tuple
        if isinstance(action, Moved):
            self._record(
                EventKind.MOVED,
                key,
                before=action.before,
                after=action.after,
                trigger=action.trigger,
                rule=action.rule,
                info=info,
            )
        elif isinstance(action, TimerFired):
            self._record(EventKind.TIMER, key, timer=action.timer, info=info)
        elif isinstance(action, HandedOver):
            self._record(EventKind.POOL, key, pool_event="handed_over")
        elif isinstance(action, TakenBack):
            self._record(EventKind.POOL, key, pool_event="taken_back")
        elif isinstance(action, Dropped):
            self._record(EventKind.DROPPED, key, segment=action.segment, reason=action.reason)

    def _record(
        self, kind: EventKind, four_tuple: FourTuple, at_ns: int | None = None, **fields: object
    ) -> None:
        assert self._trace is not None
        stamp = at_ns if at_ns is not None else self._wall_ns()
        self._trace.record(Event(kind=kind, at_ns=stamp, four_tuple=four_tuple, **fields))  # type: ignore[arg-type]


_UNFINISHED = frozenset({State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
