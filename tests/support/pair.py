"""Two stacks joined by a cable in memory: no sockets, no sleeping, the test sets the time."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf
from typing import Final

from xsocket.actions import Action, Deleted, Dropped, Established, Moved, Send, TimerFired
from xsocket.admission import Admission, AdmissionPolicy
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import ACK, CE, ECT_0, ECT_1, SYN, Segment
from xsocket.seqnum import distance
from xsocket.stack import Stack
from xsocket.state import State, Timer
from xsocket.tcp.keys import Key
from xsocket.tcp.tcb import Tcb

CLIENT: Final = FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80)
SERVER: Final = CLIENT.reversed
MSS: Final = {4: 1460, 6: 1440}


class End:
    """One stack and everything it has done.

    Attributes:
        actions: What the stack answered, in order.
        outbox: What it sent that the cable has not taken yet.
        story: The path: ``"name STATE"`` for each move, ``"name > S seq 0"`` for each segment sent, numbers
            relative to the first SYN of either direction. The ends of a pair share one.
    """

    def __init__(
        self,
        name: str,
        config: TcpConfig | None = None,
        admission: AdmissionPolicy | None = None,
        has_room: Callable[[FourTuple], bool] = lambda _: True,
        keys: Iterable[Key] = (),
    ) -> None:
        self.name = name
        self.stack = Stack(
            config or TcpConfig(),
            admission or Admission(),
            secret=name.encode().ljust(32, b"."),
            mss=MSS,
            has_room=has_room,
            keys=keys,
        )
        self.actions: list[Action] = []
        self.outbox: list[tuple[FourTuple, Segment]] = []
        self.story: list[str] = []
        self.starts: dict[tuple[FourTuple, str], int] = {}

    def perform(self, actions: Iterable[Action]) -> None:
        """Keep *actions*; what they send goes to the outbox."""
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Send):
                self.outbox.append((action.four_tuple, action.segment))
                self.story.append(f"{self.name} > {self.describe(action.four_tuple, action.segment)}")
            elif isinstance(action, Moved):
                self.story.append(f"{self.name} {action.after.value}")

    def describe(self, four_tuple: FourTuple, segment: Segment) -> str:
        """Return a segment this end sends as ``P. seq 1 ack 1 len 5``."""
        ours, theirs = (four_tuple, "sends"), (four_tuple.reversed, "sends")
        if segment.flags & SYN:
            self.starts.setdefault(ours, segment.seq)
        text = f"{segment.letters} seq {distance(self.starts.get(ours, 0), segment.seq)}"
        if segment.flags & ACK:
            text += f" ack {distance(self.starts.get(theirs, 0), segment.acknowledgment)}"
        return text + (f" len {len(segment.payload)}" if segment.payload else "")

    def path(self, four_tuple: FourTuple) -> list[State]:
        """Return the states the connection went through, oldest first."""
        return [act.after for act in self.actions if isinstance(act, Moved) and act.four_tuple == four_tuple]

    def segments(self) -> list[Segment]:
        """Return every segment sent, in order."""
        return [action.segment for action in self.actions if isinstance(action, Send)]

    def sent(self) -> list[str]:
        """Return the letters of every segment sent, in order."""
        return [segment.letters for segment in self.segments()]

    def drops(self) -> list[DropReason]:
        """Return the reason of everything dropped, in order."""
        return [action.reason for action in self.actions if isinstance(action, Dropped)]

    def established(self) -> list[FourTuple]:
        """Return what was established, in order."""
        return [action.four_tuple for action in self.actions if isinstance(action, Established)]

    def deleted(self) -> list[type[OSError] | None]:
        """Return the error of every connection deleted, in order."""
        return [action.error for action in self.actions if isinstance(action, Deleted)]

    def timers(self) -> list[Timer]:
        """Return every timer that ran out, in order."""
        return [action.timer for action in self.actions if isinstance(action, TimerFired)]


class Pair:
    """A client and a server end, a virtual clock, and a cable that does to a segment what a test names.

    The cable is asked about each segment with its number, from 1 on, and the segment.

    Attributes:
        now: Virtual time in seconds.
        lose: True loses the segment.
        duplicate: True delivers it twice.
        mark: True delivers it with CE, if it may be marked.
        delay: Seconds it is on its way; whatever is not zero is delivered by `advance`.
        cable: Everything that was put on the cable, with the sender's name, lost or not.
        times: When each of these was put on it.
        story: The path of both ends; see `End`.
    """

    def __init__(self, client: End | None = None, server: End | None = None) -> None:
        self.client = client or End("client")
        self.server = server or End("server")
        self.client.starts = self.server.starts = {}
        self.story: list[str] = []
        self.client.story = self.server.story = self.story
        self.now = 0.0
        self.lose: Callable[[int, Segment], bool] = lambda _number, _segment: False
        self.duplicate: Callable[[int, Segment], bool] = lambda _number, _segment: False
        self.mark: Callable[[int, Segment], bool] = lambda _number, _segment: False
        self.delay: Callable[[int, Segment], float] = lambda _number, _segment: 0.0
        self.cable: list[tuple[str, Segment]] = []
        self.times: list[float] = []
        self._late: list[tuple[float, int, End, FourTuple, Segment]] = []
        self._copies = 0

    def tcb(self, end: End, four_tuple: FourTuple) -> Tcb:
        """Return a connection that must exist."""
        tcb = end.stack.tcb(four_tuple)
        assert tcb is not None, f"{end.name} has no {four_tuple}"
        return tcb

    def connect(self, four_tuple: FourTuple = CLIENT, text: bytes | None = None) -> None:
        """Let the client open *four_tuple*, fast if there is *text*, and carry what follows."""
        self.client.perform(self.client.stack.connect(self.now, four_tuple, text))
        self.run()

    def connect_both(self, four_tuple: FourTuple = CLIENT) -> None:
        """Let both ends open *four_tuple* before either hears of the other, and carry what follows."""
        self.client.perform(self.client.stack.connect(self.now, four_tuple))
        self.server.perform(self.server.stack.connect(self.now, four_tuple.reversed))
        self.run()

    def run(self, most: int = 100_000) -> None:
        """Carry segments until nothing waits but what is delayed."""
        while self.client.outbox or self.server.outbox:
            ends = [(self.client, self.server), (self.server, self.client)]
            batches = []
            for sender, receiver in ends:
                batches.append((receiver, self._put_on_cable(sender, receiver)))
            for receiver, arrivals in batches:
                receiver.perform(receiver.stack.receive(self.now, arrivals))
            most -= 1
            assert most, "the two ends never fall silent"

    def _put_on_cable(self, sender: End, receiver: End) -> list[tuple[FourTuple, Segment]]:
        batch, sender.outbox = sender.outbox, []
        arrivals = []
        for four_tuple, segment in batch:
            self.cable.append((sender.name, segment))
            self.times.append(self.now)
            number = len(self.cable)
            if self.lose(number, segment):
                continue
            if segment.ecn in (ECT_0, ECT_1) and self.mark(number, segment):
                segment = segment._replace(ecn=CE)
            delay = self.delay(number, segment)
            for _ in range(2 if self.duplicate(number, segment) else 1):
                if delay:
                    self._copies += 1
                    at = self.now + delay
                    heappush(self._late, (at, self._copies, receiver, four_tuple.reversed, segment))
                else:
                    arrivals.append((four_tuple.reversed, segment))
        return arrivals

    @property
    def deadline(self) -> float:
        """When something happens next by itself; infinite for never."""
        late = self._late[0][0] if self._late else inf
        return min(self.client.stack.deadline, self.server.stack.deadline, late)

    def advance(self, to: float) -> None:
        """Move the clock to *to*, letting every timer on the way fire and every segment arrive."""
        while self.deadline <= to:
            self.step()
        self.now = to

    def step(self) -> None:
        """Move the clock to the next instant at which something happens, and let it."""
        self.now = max(self.now, self.deadline)
        while self._late and self._late[0][0] <= self.now:
            _, _, receiver, four_tuple, segment = heappop(self._late)
            receiver.perform(receiver.stack.receive(self.now, [(four_tuple, segment)]))
        for end in (self.client, self.server):
            end.perform(end.stack.timers_fired(self.now))
        self.run()

    def send(self, end: End, four_tuple: FourTuple, text: bytes) -> int:
        """Give *text* to the connection; return how much it took, after the cable fell silent."""
        taken, actions = end.stack.send(self.now, self.tcb(end, four_tuple), memoryview(text))
        end.perform(actions)
        self.run()
        return taken

    def read(self, end: End, four_tuple: FourTuple, most: int = 1 << 30) -> bytes:
        """Read what has arrived, and carry the window update."""
        text, actions = end.stack.receive_text(self.now, self.tcb(end, four_tuple), most)
        end.perform(actions)
        self.run()
        return text

    def close(self, end: End, four_tuple: FourTuple) -> None:
        """CLOSE, and carry what follows."""
        end.perform(end.stack.close(self.now, self.tcb(end, four_tuple)))
        self.run()

    def release(self, end: End, four_tuple: FourTuple) -> None:
        """CLOSE by a user who reads no more, and carry what follows."""
        end.perform(end.stack.release(self.now, self.tcb(end, four_tuple)))
        self.run()

    def abort(self, end: End, four_tuple: FourTuple) -> None:
        """ABORT, and carry what follows."""
        end.perform(end.stack.abort(self.now, self.tcb(end, four_tuple)))
        self.run()
