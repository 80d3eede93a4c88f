"""`Shadow`: what a connection's history means by the RFCs. `World`: a case's shadows, and its limits."""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import FIN, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.cast import PEERS, Peer
from xsocket_tools.fuzzing.oracle.backlog import AcceptQueues
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.rules import Rule

if TYPE_CHECKING:
    from xsocket_tools.fuzzing.oracle.timing import Clock

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000
LINK_MSS: Final = {4: 1460, 6: 1440}
"""What the target's link takes: an MTU of 1,500 octets less the fixed headers."""
DEFAULT_MSS: Final = {4: 536, 6: 1220}
LEAST_MSS: Final = 48
"""What a target sends at once whatever the peer says; Linux: TCP_MIN_SND_MSS."""
STAMP_OCTETS: Final = 12
MANY: Final = 100
"""More connections than any case has."""

SYNCHRONIZED: Final = frozenset(
    {
        State.ESTABLISHED,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.CLOSE_WAIT,
        State.CLOSING,
        State.LAST_ACK,
        State.TIME_WAIT,
    }
)
TAKES_TEXT: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
MAY_SEND: Final = frozenset(
    {State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK}
)
ORPHANED: Final = frozenset(
    {State.SYN_RECEIVED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK}
)
"""Where a connection that its user has closed still waits for its peer."""
AFTER_PEERS_FIN: Final = frozenset({State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})


def ahead(start: int, end: int) -> int:
    """Return how far *end* is ahead of *start* on the circle: -2**31 to 2**31 - 1."""
    return ((end - start + HALF) & MASK) - HALF


class Violation(NamedTuple):
    """A target did not do what a rule wants.

    Attributes:
        rule: Which.
        at: Which operation of the case, counted from 0.
        peer: Whose connection; None where it is nobody's.
        state: Where the connection stood before.
        stimulus: What happened to it.
        expected: What the rule wants.
        got: What the target did.
    """

    rule: Rule
    at: int
    peer: int | None
    state: State | None
    stimulus: str
    expected: str
    got: str

    @property
    def signature(self) -> tuple[str, str, str]:
        """What violations of one cause have in common: section, state, and what was expected."""
        return (self.rule.where, self.state.value if self.state else "CLOSED", self.rule.text)


class Piece(NamedTuple):
    """Text that came past a gap: where it begins, and what it is."""

    seq: int
    text: bytes


class Cookie(NamedTuple):
    """A SYN cookie that the target has sent.

    Attributes:
        iss: Its number.
        irs: That of the SYN.
        at: When.
        syn: The SYN.
        answer: The SYN+ACK.
        used: Whether it has established a connection.
    """

    iss: int
    irs: int
    at: float
    syn: Segment
    answer: Segment
    used: bool = False


class Left(NamedTuple):
    """What the user of a connection that has ended still has of it.

    Attributes:
        error: The name of what the next call raises; empty for nothing.
        has_text: Whether there was text to read.
        has_ended: Whether the peer had ended its text.
    """

    error: str
    has_text: bool
    has_ended: bool = False


class Shadow:
    """One connection, or the 4-tuple for one. Names are those of RFC 9293 section 3.3.1.

    Attributes:
        state: None where there is no TCB.
        text: What came in order and the user has not read.
        pieces: What came past a gap, the latest last.
        queued: How much text the user has given in all.
        is_known: Whether the shadow can tell what is right; False after a deviation that is allowed.
        left: What is left of the last connection for its user; None for nothing that can be told.
        fast: Whether a Fast Open cookie has established it before the third segment (RFC 7413).
        sent_sizes: Number and size of each text segment that is in flight.
    """

    def __init__(
        self, peer: int, four_tuple: FourTuple, config: TcpConfig, habits: frozenset[Enum] = frozenset()
    ) -> None:
        self.peer = peer
        self.who: Peer = PEERS[peer]
        self.version = self.who.version
        self.four_tuple = four_tuple
        self.config = config
        self.habits = habits
        self.cookies: list[Cookie] = []
        self.isns: list[tuple[float, int]] = []
        self.last_end: int | None = None
        self.left: Left | None = None
        self.forget()

    def forget(self) -> None:
        """There is no connection."""
        self.state: State | None = None
        self.is_known = True
        self.passive = True
        self.fast = False  # established before the third segment
        self.iss: int | None = None
        self.irs = 0
        self.snd_una = self.snd_nxt = self.snd_wnd = self.max_wnd = 0
        self.wl1 = self.wl2 = 0
        self.rcv_nxt = self.rcv_adv = self.rcv_was = 0
        self.peer_shift = self.own_shift = 0
        self.scaled = self.ts = self.sack = False
        self.ts_recent, self.ts_recent_at, self.last_ack_sent = 0, 0.0, 0
        self.ts_zero: tuple[int, int] | None = None
        self.last_stamp = 0  # of a SYN+ACK
        self.cookie_stamp: tuple[int, int] | None = None
        self.mss = self.path_mss = LINK_MSS[self.version]
        self.text = bytearray()
        self.early = b""
        self.pieces: list[Piece] = []
        self.fin_at: int | None = None
        self.queued = self.right_sent = 0
        self.closing = self.fin_sent = self.user_gone = False
        self.waiting = False  # in the pool
        self.place = 0  # in the queue of its listener
        self.was_established = self.claimed = False
        self.established_at = 0.0
        self.syn_sent_at: list[float] = []
        self.ack_by = inf
        self.ends_at = inf
        self.challenges: list[float] = []
        self.asked = 0
        self.invalid_at = -inf
        self.waiting_since = 0.0
        self.soft_error = ""
        self.sent_sizes: list[tuple[int, int]] = []
        self.short_right: int | None = None
        self.owes_cookie = self.owes_ack = False
        self.early_sent = 0
        self.had_urgent = self.took_over = False
        self.is_whole = False  # in FIN-WAIT-2 with a socket, though it has no user
        self.fin_waits = self.fin_is_joined = False  # to be read
        self.fins: set[int] = set()
        self.past_fin: set[int] = set()  # where text ended that came before it
        self.asked_fast, self.first_wnd, self.said_mss = False, 0, 0  # by our SYN
        self.ecn: bool | None = False
        self.echoes_mark = False
        self.open_rtx = 0
        self.opening_due = inf
        self.from_cookie = self.told_blocks = False  # by the third segment
        self.probes = 0
        self.keep_alive_at = inf
        self.heard_at = 0.0
        self.clock: Clock | None = None
        self.reopened_from: int | None = None

    # What the numbers say

    @property
    def rcv_wnd(self) -> int:
        """The window as the peer knows it."""
        return max(0, ahead(self.rcv_nxt, self.rcv_adv))

    @property
    def flight(self) -> int:
        """Numbers sent and not acknowledged."""
        return ahead(self.snd_una, self.snd_nxt)

    @property
    def stream_end(self) -> int:
        """The number after the last octet that the user has given."""
        assert self.iss is not None
        return (self.iss + 1 + self.queued) & MASK

    @property
    def unsent(self) -> int:
        """Octets that were given and never sent."""
        return 0 if self.fin_sent else max(0, ahead(self.snd_nxt, self.stream_end))

    @property
    def is_half_open(self) -> bool:
        """Whether it takes a place in the half-open table."""
        return self.state is State.SYN_RECEIVED and self.passive and not self.fast

    @property
    def is_small(self) -> bool:
        """Whether Linux keeps but little of it: half-open, in TIME-WAIT, or an orphan in FIN-WAIT-2."""
        if self.state is State.FIN_WAIT_2:
            return self.user_gone and not self.is_whole
        return self.state is State.TIME_WAIT or self.is_half_open

    def in_window(self, seq: int) -> bool:
        """Whether *seq* is one of the numbers of the window."""
        return 0 <= ahead(self.rcv_nxt, seq) < self.rcv_wnd

    def acceptable(self, segment: Segment) -> bool:
        """RFC 9293 section 3.10.7.4, first: table 6. In TIME-WAIT nothing can come any more."""
        length = length_of(segment)
        if self.state is State.TIME_WAIT:
            return segment.seq == self.rcv_nxt and length == 0
        if segment.seq == self.rcv_nxt or self.in_window(segment.seq):
            return True
        return length > 0 and self.in_window((segment.seq + length - 1) & MASK)

    def left_of(self, seq: int, size: int) -> int:
        """Return how much of a segment has not been acknowledged."""
        return size - max(0, ahead(seq, self.snd_una))

    def acks_our_syn(self, ack: int) -> bool:
        """Whether *ack* is in the range SND.UNA < SEG.ACK =< SND.NXT."""
        return 0 < ahead(self.snd_una, ack) <= self.flight

    @property
    def most_text(self) -> int:
        """How much text one segment to the peer may hold."""
        most, stamps = min(self.mss, self.path_mss), STAMP_OCTETS if self.ts else 0
        if Habit.LEAST_WITH_STAMPS in self.habits:
            return max(LEAST_MSS, most) - stamps
        return max(LEAST_MSS, most - stamps)


def length_of(segment: Segment) -> int:
    """SEG.LEN."""
    return len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)


class World:
    """The shadows of one case.

    Attributes:
        config: The rules of the target.
        habits: Ways of the target that are allowed.
        shadows: By peer.
        half_open: Those that are half-open, the oldest first.
        waiting: Those that wait in the pool, the oldest first.
        tcbs: How many connections there are.
        is_lost: Whether nobody but the target can know any more what is right.
        time_wait: Those in TIME-WAIT, the oldest first.
        orphans: Those whose user has gone, and which still wait for their peers.
        paths: The largest text that goes to an address, and until when that is remembered.
        cookies: The Fast Open cookie that the target gave an address.
        pending: Those that Fast Open has established and whose SYN is not acknowledged.
        pending_until: IP version of each that was reset before that, and until when it takes its place.
        queues: What waits at the listeners, where each has a limit of its own.
    """

    def __init__(self, config: TcpConfig, habits: frozenset[Enum] = frozenset()) -> None:
        self.config = config
        self.habits = habits
        self.shadows: dict[int, Shadow] = {}
        self.half_open: list[Shadow] = []
        self.waiting: list[Shadow] = []
        self.tcbs = 0
        self.is_lost = False
        self.time_wait: list[Shadow] = []
        self.orphans: list[Shadow] = []
        self.paths: dict[str, tuple[int, float]] = {}
        self.cookies: dict[str, bytes] = {}
        self.pending: list[Shadow] = []
        self.pending_until: list[tuple[int, float]] = []
        limit = min(config.max_syn_backlog, config.pool_capacity)
        self.queues = AcceptQueues(limit) if Habit.ONE_BACKLOG in habits else None

    def shadow(self, peer: int, four_tuple: FourTuple) -> Shadow:
        """Return the shadow of a peer's connection."""
        found = self.shadows.get(peer)
        if found is None:
            found = self.shadows[peer] = Shadow(peer, four_tuple, self.config, self.habits)
        return found

    def enter(self, shadow: Shadow, state: State | None) -> None:
        """Let a connection change its state; its tables follow."""
        was = shadow.state
        if was is state:
            return
        before = shadow.is_half_open
        shadow.state = state
        self.tcbs += (state is not None) - (was is not None)
        if before and not shadow.is_half_open:
            self.half_open.remove(shadow)
        elif shadow.is_half_open and not before:
            self.half_open.append(shadow)
        if was is State.TIME_WAIT:
            self.time_wait.remove(shadow)
        elif state is State.TIME_WAIT:
            self.time_wait.append(shadow)
        if state not in ORPHANED and shadow in self.orphans:
            self.orphans.remove(shadow)

    def end(self, shadow: Shadow, error: str | None = None) -> None:
        """Let a connection be gone; *error* is what its user's next call raises, None if nobody can tell."""
        if shadow.waiting:
            self.waiting.remove(shadow)
        if shadow in self.pending:
            self.pending.remove(shadow)
        has_user = shadow.claimed and not shadow.user_gone
        ended = shadow.state in AFTER_PEERS_FIN
        shadow.left = Left(error, bool(shadow.text), ended) if has_user and error is not None else None
        self.enter(shadow, None)
        shadow.last_end = shadow.snd_nxt
        shadow.forget()

    def path_mss(self, shadow: Shadow, now: float) -> int:
        """Return the largest text that is known to go to the peer of *shadow*."""
        known = self.paths.get(shadow.four_tuple.remote_address)
        return known[0] if known is not None and now < known[1] else LINK_MSS[shadow.version]

    def limit_time_wait(self, shadow: Shadow) -> None:
        """Let the oldest in TIME-WAIT make room, where there are too many; *shadow* may be a new one."""
        if Habit.FULL_TIME_WAIT in self.habits:
            small = [each for each in self.shadows.values() if each.is_small and not each.is_half_open]
            if shadow in small and len(small) > self.config.max_tw_buckets:
                self.end(shadow, "")
            return
        while len(self.time_wait) > self.config.max_tw_buckets:
            self.end(self.time_wait[0], "")

    def wait_in_pool(self, shadow: Shadow) -> None:
        """Let an established connection wait to be claimed."""
        shadow.waiting = True
        self.waiting.append(shadow)
        if self.queues is not None:
            shadow.place = self.queues.add(shadow.version)

    @property
    def is_narrow(self) -> bool:
        """Whether one connection matters to the others, because all of them may be too many."""
        config = self.config
        return (
            min(config.max_syn_backlog, config.pool_capacity, config.max_tw_buckets) < MANY
            or config.fastopen != 0
        )

    def is_half_open_full(self, shadow: Shadow) -> bool:
        """Whether no connection more can be half-open, such as that of *shadow*."""
        if self.queues is None:
            return len(self.half_open) >= self.config.max_syn_backlog
        return sum(each.version == shadow.version for each in self.half_open) >= self.queues.limit

    def is_pool_full(self, shadow: Shadow) -> bool:
        """Whether nobody more can wait, such as *shadow*."""
        if self.queues is None:
            return len(self.waiting) >= self.config.pool_capacity
        return self.queues.is_full(shadow.version)

    def from_source(self, shadow: Shadow) -> int:
        """How many half-open connections come from the source of *shadow*: its IPv4 address, or IPv6 /64."""
        if shadow.version == 6:
            return sum(each.version == 6 for each in self.half_open)
        return sum(each.who.address == shadow.who.address for each in self.half_open)
