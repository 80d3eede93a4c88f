"""The cells of the grid, how a target is led into each state, and what is seen of its answer.

A cell is a state, a kind of segment and how its two numbers stand to the connection's. The same cells are put
to any `Target`. Timers are no part of it: only what answers the segment at once.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple, Protocol

from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.seqnum import add, distance
from xsocket.state import State
from xsocket.tcp.options import for_syn

PEER_ISS: Final = 0xFFFF_FFC0
"""The peer's initial sequence number: just below the seam of the circle, so that windows span the seam."""
STRANGER_ISS: Final = 5_000_000
"""Stands for the target's initial sequence number where it has none: in CLOSED and LISTEN."""
TEXT: Final = b"x"
WINDOW: Final = 65_535
PEER_MSS: Final = 1460

SEGMENTS: Final = {
    "SYN": SYN,
    "SYN+ACK": SYN | ACK,
    "ACK": ACK,
    "ACK+data": ACK,
    "FIN+ACK": FIN | ACK,
    "RST": RST,
    "RST+ACK": RST | ACK,
    "SYN+FIN": SYN | FIN,
    "no flags": 0,
}
SEQUENCES: Final = {"next": 0, "old": -1, "in window": 100, "out of window": 1 << 28}
"""From RCV.NXT. Old is what came last: the peer's SYN or, once that has come, its FIN.

Before its SYN has come there is no RCV.NXT; next is then the number with which the peer begins.
"""
ACKNOWLEDGMENTS: Final = {"good": 0, "old": -1, "future": 1000}
"""From SND.NXT. Old leaves out what was sent last: the target's SYN or, once that is sent, its FIN."""

STATES: Final = (
    State.CLOSED,
    State.LISTEN,
    State.SYN_SENT,
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)

_BEFORE_PEERS_SYN: Final = (State.CLOSED, State.LISTEN, State.SYN_SENT)
_AFTER_PEERS_FIN: Final = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT)
_AFTER_OUR_FIN: Final = (
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)


class Cell(NamedTuple):
    """One question: keys of `SEGMENTS`, `SEQUENCES` and `ACKNOWLEDGMENTS`, put in a state.

    Its numbers are relative to the initial ones. They follow from the state, for no text goes either way
    before.
    """

    state: State
    segment: str
    sequence: str
    acknowledgment: str

    @property
    def flags(self) -> int:
        """The control bits of its segment."""
        return SEGMENTS[self.segment]

    @property
    def text(self) -> bytes:
        """The text of its segment: one octet at most."""
        return TEXT if self.segment == "ACK+data" else b""

    @property
    def length(self) -> int:
        """SEG.LEN of its segment."""
        return len(self.text) + bool(self.flags & SYN) + bool(self.flags & FIN)

    @property
    def rcv_nxt(self) -> int:
        """What the target expects next; see `SEQUENCES`."""
        return (self.state not in _BEFORE_PEERS_SYN) + (self.state in _AFTER_PEERS_FIN)

    @property
    def snd_nxt(self) -> int:
        """What the target sends next; a SYN is taken for sent in CLOSED and LISTEN, too."""
        return 1 + (self.state in _AFTER_OUR_FIN)

    @property
    def seq(self) -> int:
        """The sequence number of its segment."""
        return self.rcv_nxt + SEQUENCES[self.sequence]

    @property
    def ack(self) -> int:
        """The acknowledgment number of its segment; without the ACK bit the field has it, too, in vain."""
        return self.snd_nxt + ACKNOWLEDGMENTS[self.acknowledgment]

    def __str__(self) -> str:
        return f"{self.state.value}: {self.segment}, seq {self.sequence}, ack {self.acknowledgment}"


class Reply(NamedTuple):
    """A segment as a target sent it.

    Attributes:
        letters: Its control bits, as `Segment.letters` has them.
        seq: Its sequence number, relative to the target's initial one; 0 for a SYN, whose own number is the
            initial one. None for the absolute zero of a reset that answers a segment without ACK.
        ack: Its acknowledgment number, relative to the peer's initial one; None without ACK.
        length: Octets of text.
    """

    letters: str
    seq: int | None
    ack: int | None
    length: int = 0

    def __str__(self) -> str:
        text = self.letters + (" seq zero" if self.seq is None else f" seq {self.seq}")
        text += "" if self.ack is None else f" ack {self.ack}"
        return text + (f" len {self.length}" if self.length else "")


class Outcome(NamedTuple):
    """What a target made of a cell.

    Attributes:
        replies: Segments it sent at once.
        state: Where the connection went. Where there is none any more: LISTEN if it never got further than a
            half-open one on a port that is listened on, CLOSED otherwise.
    """

    replies: tuple[Reply, ...]
    state: State

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.replies)) or 'silence'}; {self.state.value}"


class Target(Protocol):
    """A TCP that can be asked. One connection at a time."""

    def begin(self, state: State) -> None:
        """Forget the last connection; the next is to be led into *state*, from CLOSED or LISTEN."""
        ...

    def inject(self, segment: Segment) -> list[Segment]:
        """Let it receive *segment* from the peer; return what it sends at once."""
        ...

    def connect(self) -> list[Segment]:
        """Let its user open the connection; return what it sends at once."""
        ...

    def shut_down(self) -> list[Segment]:
        """Let its user finish sending and go on reading; return what it sends at once."""
        ...

    def state(self) -> State | None:
        """Return where the connection stands; None when there is none."""
        ...


class LostStepError(Exception):
    """The target was not where it was to be led: a frame was lost, or a timer came between."""

    remedy = "Try again when the machine has less to do."


def cells() -> Iterator[Cell]:
    """Yield every cell, state by state."""
    for state, segment, sequence, acknowledgment in product(STATES, SEGMENTS, SEQUENCES, ACKNOWLEDGMENTS):
        yield Cell(state, segment, sequence, acknowledgment)


def ask(target: Target, cell: Cell) -> Outcome:
    """Lead *target* into the cell's state, put the segment to it, and return what came of it.

    Raises:
        LostStepError: It could not be led there.
    """
    talk = Talk(target)
    talk.lead_to(cell.state)
    if (talk.seq, talk.ack) != (cell.rcv_nxt, cell.snd_nxt):
        raise LostStepError(f"numbers {talk.seq}, {talk.ack} in {cell.state.value}")
    replies = talk.say(cell.flags, cell.seq, cell.ack, cell.text)
    return Outcome(replies, target.state() or _left_without(cell.state))


def _left_without(before: State) -> State:
    """A passive open that came to nothing is back in LISTEN (RFC 9293 section 3.10.7.4)."""
    return State.LISTEN if before in (State.LISTEN, State.SYN_RECEIVED) else State.CLOSED


class Talk:
    """The peer's side of one connection: writes segments with numbers relative to the two initial ones.

    Attributes:
        seq: What the peer sends next: RCV.NXT of the target.
        ack: What follows everything that the target has sent: its SND.NXT.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._irs = STRANGER_ISS
        self.seq, self.ack = 0, 1

    def say(self, flags: int, seq: int, ack: int, text: bytes = b"") -> tuple[Reply, ...]:
        """Let the target receive a segment; return what it answers at once."""
        options = for_syn(PEER_MSS, None, False, None) if flags & SYN else b""
        segment = Segment(add(PEER_ISS, seq), add(self._irs, ack), flags, WINDOW, options, text)
        return self._learn(self._target.inject(segment))

    def lead_to(self, state: State) -> None:
        """Bring the target into *state*, by passive open wherever there is one; no text goes either way.

        Raises:
            LostStepError: It is somewhere else.
        """
        self._target.begin(state)
        if state is State.SYN_SENT:
            self._learn(self._target.connect())
        elif state not in (State.CLOSED, State.LISTEN):
            self.say(SYN, 0, 0)
            self.seq = 1
            if state is not State.SYN_RECEIVED:
                self.say(ACK, self.seq, self.ack)
                self._close_to(state)
        reached = self._target.state()
        if reached is not (None if state in (State.CLOSED, State.LISTEN) else state):
            raise LostStepError(f"{reached.value if reached else 'nothing'} instead of {state.value}")

    def _close_to(self, state: State) -> None:
        if state in (State.CLOSE_WAIT, State.LAST_ACK):
            self._finish(self.ack)
        if state not in (State.ESTABLISHED, State.CLOSE_WAIT):
            self._learn(self._target.shut_down())
        if state in (State.FIN_WAIT_2, State.TIME_WAIT):
            self.say(ACK, self.seq, self.ack)
        if state is State.CLOSING:
            self._finish(self.ack - 1)  # the FINs cross: the peer's does not acknowledge the target's
        elif state is State.TIME_WAIT:
            self._finish(self.ack)

    def _finish(self, ack: int) -> None:
        self.say(FIN | ACK, self.seq, ack)
        self.seq += 1

    def _learn(self, sent: list[Segment]) -> tuple[Reply, ...]:
        """Follow the target's numbers by what it sends."""
        for segment in sent:
            if segment.flags & SYN and self._irs == STRANGER_ISS:
                self._irs = segment.seq
            if segment.length:
                self.ack = max(self.ack, _signed(self._irs, add(segment.seq, segment.length)))
        return tuple(self._reply(segment) for segment in sent)

    def _reply(self, segment: Segment) -> Reply:
        seq: int | None = _signed(self._irs, segment.seq)
        if segment.flags & SYN:
            seq = 0
        elif segment.flags & RST and segment.seq == 0:
            seq = None
        ack = None if segment.ack is None else _signed(PEER_ISS, segment.ack)
        return Reply(segment.letters, seq, ack, len(segment.payload))


def _signed(base: int, number: int) -> int:
    ahead = distance(base, number)
    return ahead if ahead < 1 << 31 else ahead - (1 << 32)
