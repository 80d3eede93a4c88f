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

PEER_ISS: Final = 1_000_000
"""The peer's initial sequence number, and RCV.NXT where nothing was received yet."""
STRANGER_ACK: Final = 5_000_000
"""What the peer acknowledges where the target has no numbers: SND.NXT in CLOSED and LISTEN."""
TEXT: Final = b"0123456789"
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
SEQUENCES: Final = {"next": 0, "old": -100, "in window": 100, "out of window": 200_000}
"""From RCV.NXT. Old is in SYN-RECEIVED, where only a SYN came before, the number of that SYN."""
ACKNOWLEDGMENTS: Final = {"good": 0, "old": -1, "future": 1000}
"""Good from SND.NXT, all that was sent; old from SND.UNA; future from SND.NXT."""

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


class Cell(NamedTuple):
    """One question: keys of `SEGMENTS`, `SEQUENCES` and `ACKNOWLEDGMENTS`, put in a state."""

    state: State
    segment: str
    sequence: str
    acknowledgment: str

    @property
    def flags(self) -> int:
        """The control bits of its segment."""
        return SEGMENTS[self.segment]

    def __str__(self) -> str:
        return f"{self.state.value}: {self.segment}, seq {self.sequence}, ack {self.acknowledgment}"


class Outcome(NamedTuple):
    """What a target made of a cell.

    Attributes:
        replies: Segments it sent at once, such as ``"RA seq 0 ack 1"``; numbers relative to the initial
            sequence numbers, those of a stranger to `STRANGER_ACK` and `PEER_ISS`.
        state: Where the connection went; CLOSED when there is none any more.
    """

    replies: tuple[str, ...]
    state: State

    def __str__(self) -> str:
        return f"{', '.join(self.replies) or 'silence'}; {self.state.value}"


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

    def settle(self) -> list[Segment]:
        """Let it send at once what it would put off, such as a delayed acknowledgment; return that."""
        ...

    def state(self) -> State:
        """Return where the connection stands; CLOSED or LISTEN when there is none."""
        ...


class LostStepError(Exception):
    """The target was not where it was to be led: a frame was lost, or a timer came between."""


def cells() -> Iterator[Cell]:
    """Yield every cell, state by state."""
    for state, segment, sequence, acknowledgment in product(STATES, SEGMENTS, SEQUENCES, ACKNOWLEDGMENTS):
        yield Cell(state, segment, sequence, acknowledgment)


def ask(target: Target, cell: Cell) -> Outcome:
    """Lead *target* into the cell's state, put the segment to it, and return what came of it.

    Raises:
        LostStepError: It could not be led there.
    """
    talk = _Talk(target)
    talk.lead_to(cell.state)
    segment = talk.segment_of(cell)
    sent = target.inject(segment) + target.settle()
    return Outcome(tuple(talk.describe(reply, segment) for reply in sent), target.state())


class _Talk:
    """The peer's side of one connection: its numbers, and what it knows of the target's."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._iss = PEER_ISS
        self._rcv_nxt = PEER_ISS
        self._irs = self._snd_una = self._snd_nxt = STRANGER_ACK
        self._in_syn_received = False

    def lead_to(self, state: State) -> None:
        """Bring the target into *state*."""
        self._target.begin(state)
        if state is State.SYN_SENT:
            self._learn(self._target.connect())
        elif state not in (State.CLOSED, State.LISTEN):
            self._say(SYN, options=for_syn(PEER_MSS, None, False, None))
            self._rcv_nxt = add(self._iss, 1)
            self._in_syn_received = state is State.SYN_RECEIVED
            if not self._in_syn_received:
                self._say(ACK)
                self._snd_una = self._snd_nxt
                self._close_to(state)
        if self._target.state() is not state:
            raise LostStepError(f"{self._target.state().value} instead of {state.value}")

    def _close_to(self, state: State) -> None:
        if state in (State.CLOSE_WAIT, State.LAST_ACK):
            self._finish()
        if state not in (State.ESTABLISHED, State.CLOSE_WAIT):
            self._learn(self._target.shut_down())
        if state in (State.FIN_WAIT_2, State.TIME_WAIT):
            self._say(ACK)
            self._snd_una = self._snd_nxt
        if state is State.CLOSING:
            self._finish(acknowledging=self._snd_una)
        elif state is State.TIME_WAIT:
            self._finish()

    def _finish(self, acknowledging: int | None = None) -> None:
        self._say(FIN | ACK, acknowledging)
        self._rcv_nxt = add(self._rcv_nxt, 1)

    def _say(self, flags: int, ack: int | None = None, options: bytes = b"") -> None:
        number = (self._snd_nxt if ack is None else ack) if flags & ACK else 0
        self._learn(self._target.inject(Segment(self._rcv_nxt, number, flags, WINDOW, options)))
        self._learn(self._target.settle())

    def _learn(self, sent: list[Segment]) -> None:
        """Follow the target's numbers by what it sends."""
        for segment in sent:
            if segment.flags & SYN:
                self._irs = self._snd_una = segment.seq
            if segment.length:
                self._snd_nxt = add(segment.seq, segment.length)

    def segment_of(self, cell: Cell) -> Segment:
        """Return the cell's segment with its numbers."""
        offset = SEQUENCES[cell.sequence]
        if self._in_syn_received and cell.sequence == "old":
            offset = -1
        base = self._snd_una if cell.acknowledgment == "old" else self._snd_nxt
        ack = add(base, ACKNOWLEDGMENTS[cell.acknowledgment]) if cell.flags & ACK else 0
        text = TEXT if cell.segment == "ACK+data" else b""
        return Segment(add(self._rcv_nxt, offset), ack, cell.flags, WINDOW, b"", text)

    def describe(self, reply: Segment, asked: Segment) -> str:
        """Return *reply* with relative numbers; a SYN+ACK that opens anew has numbers of its own."""
        if reply.flags & SYN and reply.seq not in (self._irs, add(self._snd_nxt, -1)):
            return f"{reply.letters} seq ISS ack {_signed(asked.seq, reply.acknowledgment)} past the SYN"
        text = f"{reply.letters} seq {_signed(self._irs, reply.seq)}"
        if reply.seq == 0 and reply.flags & RST:
            text = f"{reply.letters} seq zero"
        if reply.flags & ACK:
            text += f" ack {_signed(self._iss, reply.acknowledgment)}"
        return text + (f" len {len(reply.payload)}" if reply.payload else "")


def _signed(base: int, number: int) -> int:
    ahead = distance(base, number)
    return ahead if ahead < 1 << 31 else ahead - (1 << 32)
