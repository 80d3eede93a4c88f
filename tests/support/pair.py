"""Two stacks joined by a cable in memory: no sockets, no sleeping, the test sets the time."""

from collections.abc import Callable, Iterable
from typing import Final

from xsocket.actions import Action, Deleted, Dropped, Established, Moved, Send
from xsocket.admission import Admission, AdmissionPolicy
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.stack import Stack
from xsocket.state import State
from xsocket.tcp.tcb import Tcb

CLIENT: Final = FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80)
SERVER: Final = CLIENT.reversed
MSS: Final = {4: 1460, 6: 1440}


class End:
    """One stack and everything it has done."""

    def __init__(
        self,
        name: str,
        config: TcpConfig | None = None,
        admission: AdmissionPolicy | None = None,
        has_room: Callable[[FourTuple], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self.stack = Stack(
            config or TcpConfig(),
            admission or Admission(),
            secret=name.encode().ljust(32, b"."),
            mss=MSS,
            has_room=has_room,
        )
        self.actions: list[Action] = []
        self.outbox: list[tuple[FourTuple, Segment]] = []

    def perform(self, actions: Iterable[Action]) -> None:
        """Keep *actions*; what they send goes to the outbox."""
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Send):
                self.outbox.append((action.four_tuple, action.segment))

    def path(self, four_tuple: FourTuple) -> list[State]:
        """Return the states the connection went through, oldest first."""
        return [act.after for act in self.actions if isinstance(act, Moved) and act.four_tuple == four_tuple]

    def sent(self) -> list[str]:
        """Return the letters of every segment sent, in order."""
        return [action.segment.letters for action in self.actions if isinstance(action, Send)]

    def drops(self) -> list[DropReason]:
        """Return the reason of everything dropped, in order."""
        return [action.reason for action in self.actions if isinstance(action, Dropped)]

    def established(self) -> list[FourTuple]:
        """Return what was established, in order."""
        return [action.four_tuple for action in self.actions if isinstance(action, Established)]

    def deleted(self) -> list[type[OSError] | None]:
        """Return the error of every connection deleted, in order."""
        return [action.error for action in self.actions if isinstance(action, Deleted)]


class Pair:
    """A client and a server end, a virtual clock, and a cable that can lose what a test names.

    Attributes:
        now: Virtual time in seconds.
        lose: Asked for each segment, with its number on the cable from 1 on; True loses it.
    """

    def __init__(self, client: End | None = None, server: End | None = None) -> None:
        self.client = client or End("client")
        self.server = server or End("server")
        self.now = 0.0
        self.lose: Callable[[int, Segment], bool] = lambda _number, _segment: False
        self.cable: list[tuple[str, Segment]] = []

    def tcb(self, end: End, four_tuple: FourTuple) -> Tcb:
        """Return a connection that must exist."""
        tcb = end.stack.tcb(four_tuple)
        assert tcb is not None, f"{end.name} has no {four_tuple}"
        return tcb

    def connect(self, four_tuple: FourTuple = CLIENT) -> None:
        """Let the client open *four_tuple*, and carry what follows."""
        self.client.perform(self.client.stack.connect(self.now, four_tuple))
        self.run()

    def run(self, most: int = 100_000) -> None:
        """Carry segments until the cable is empty."""
        while self.client.outbox or self.server.outbox:
            self._carry(self.client, self.server)
            self._carry(self.server, self.client)
            most -= 1
            assert most, "the two ends never fall silent"

    def _carry(self, sender: End, receiver: End) -> None:
        batch, sender.outbox = sender.outbox, []
        arrivals = []
        for four_tuple, segment in batch:
            self.cable.append((sender.name, segment))
            if not self.lose(len(self.cable), segment):
                arrivals.append((four_tuple.reversed, segment))
        receiver.perform(receiver.stack.receive(self.now, arrivals))

    def advance(self, to: float) -> None:
        """Move the clock to *to*, letting every timer on the way fire and every answer arrive."""
        while (due := min(self.client.stack.deadline, self.server.stack.deadline)) <= to:
            self.now = max(self.now, due)
            for end in (self.client, self.server):
                end.perform(end.stack.timers_fired(self.now))
            self.run()
        self.now = to

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
