"""A peer made of crafted segments: one stack under test, and a hand that writes what the other end sends."""

from typing import Final

from support.pair import MSS, SERVER, End
from xsocket.actions import Action, Send
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, AE, CWR, ECE, FIN, NOT_ECT, PSH, RST, SYN, URG, Segment
from xsocket.seqnum import add
from xsocket.state import State
from xsocket.tcp.options import for_syn
from xsocket.tcp.tcb import Tcb

_BITS: Final = {
    "S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK, "U": URG, "E": ECE, "W": CWR, "A": AE, "-": 0,
}  # fmt: skip

AFTER_SYN: Final = (
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)
"""Every state a connection can be in once it has seen the peer's SYN."""
WITH_TCB: Final = (State.SYN_SENT, *AFTER_SYN)


class Peer:
    """The remote end of one connection of *end*.

    Numbers are given relative to the two initial sequence numbers, as packetdrill has them: the peer's SYN is
    0, the first octet of text is 1.

    Attributes:
        iss: The peer's own initial sequence number.
        irs: The engine's; known after its first SYN.
        seq, ack: What `send` writes unless it is told otherwise.
        now: Virtual time in seconds.
    """

    def __init__(
        self, end: End, four_tuple: FourTuple = SERVER, *, iss: int = 1000, options: bytes | None = None
    ) -> None:
        self.end = end
        self.four_tuple = four_tuple
        self.iss, self.irs = iss, 0
        self.options = for_syn(MSS[four_tuple.family], None, False, None) if options is None else options
        self.seq = self.ack = 0
        self.now = 0.0

    @property
    def tcb(self) -> Tcb:
        """The connection, which must exist."""
        tcb = self.end.stack.tcb(self.four_tuple)
        assert tcb is not None
        return tcb

    @property
    def state(self) -> State:
        """Where the connection stands; CLOSED when there is none."""
        tcb = self.end.stack.tcb(self.four_tuple)
        return tcb.state if tcb is not None else State.CLOSED

    def segment(
        self,
        letters: str,
        seq: int | None = None,
        ack: int | None = None,
        text: bytes = b"",
        window: int = 65_535,
        options: bytes = b"",
        ecn: int = NOT_ECT,
    ) -> Segment:
        """Return a segment with relative numbers; without an ACK bit its acknowledgment field is zero."""
        flags = sum(_BITS[letter] for letter in letters)
        number = add(self.irs, self.ack if ack is None else ack) if flags & ACK else 0
        begins = add(self.iss, self.seq if seq is None else seq)
        return Segment(begins, number, flags, window, options, text, 0, ecn)

    def send(
        self,
        letters: str,
        seq: int | None = None,
        ack: int | None = None,
        text: bytes = b"",
        window: int = 65_535,
        options: bytes = b"",
        ecn: int = NOT_ECT,
    ) -> list[str]:
        """Let the engine receive a segment; return what it sends back."""
        return self.deliver(self.segment(letters, seq, ack, text, window, options, ecn))

    def deliver(self, *segments: Segment) -> list[str]:
        """Let the engine receive *segments* as one batch; return what it sends back."""
        arrivals = [(self.four_tuple, segment) for segment in segments]
        return self.did(self.end.stack.receive(self.now, arrivals))

    def did(self, actions: list[Action]) -> list[str]:
        """Let the end keep *actions*; return what they send, as `End.describe` has it."""
        self.end.starts[self.four_tuple.reversed, "sends"] = self.iss
        self.end.perform(actions)
        sent = []
        for action in actions:
            if isinstance(action, Send):
                if action.segment.syn:
                    self.irs = action.segment.seq
                sent.append(self.end.describe(self.four_tuple, action.segment))
        return sent

    def advance(self, to: float) -> list[str]:
        """Let every timer up to *to* fire; return what the engine sends."""
        sent = []
        while self.end.stack.deadline <= to:
            self.now = max(self.now, self.end.stack.deadline)
            sent += self.did(self.end.stack.timers_fired(self.now))
        self.now = to
        return sent

    # The engine's user

    def connect(self, text: bytes | None = None) -> list[str]:
        """Let the engine open the connection, fast if there is *text*."""
        return self.did(self.end.stack.connect(self.now, self.four_tuple, text))

    def write(self, text: bytes) -> list[str]:
        """Let the engine's user send *text*."""
        _, actions = self.end.stack.send(self.now, self.tcb, memoryview(text))
        return self.did(actions)

    def read(self, most: int = 1 << 30) -> bytes:
        """Let the engine's user read."""
        text, actions = self.end.stack.receive_text(self.now, self.tcb, most)
        self.did(actions)
        return text

    def close(self) -> list[str]:
        """CLOSE."""
        return self.did(self.end.stack.close(self.now, self.tcb))

    def release(self) -> list[str]:
        """CLOSE by a user who reads no more."""
        return self.did(self.end.stack.release(self.now, self.tcb))

    def abort(self) -> list[str]:
        """ABORT."""
        return self.did(self.end.stack.abort(self.now, self.tcb))

    # Ways into a state

    def establish(self, window: int = 65_535) -> "Peer":
        """Complete a handshake that the peer began."""
        self.send("S", 0, options=self.options, window=window)
        self.seq = self.ack = 1
        self.send(".", window=window)
        return self

    def reach(self, state: State) -> "Peer":
        """Lead the connection into *state*, by passive open wherever that is possible."""
        if state is State.SYN_SENT:
            self.connect()
        elif state is State.SYN_RECEIVED:
            self.send("S", 0, options=self.options)
            self.seq = self.ack = 1
        else:
            self.establish()
            self._reach_synchronized(state)
        assert self.state is state
        return self

    def _reach_synchronized(self, state: State) -> None:
        if state in (State.CLOSE_WAIT, State.LAST_ACK):
            self.send("F.")
            self.seq = 2
        if state not in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.close()
        if state in (State.FIN_WAIT_2, State.TIME_WAIT):
            self.ack = 2
            self.send(".")
        if state in (State.CLOSING, State.TIME_WAIT):
            self.send("F.")
            self.seq = 2
