"""The engine as a target: its stack in virtual time."""

from typing import Final

from xsocket.actions import Action, Dropped, Moved, Send
from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.stack import Stack
from xsocket.state import State
from xsocket.tcp.isn import SECRET_OCTETS

CONFIG: Final = TcpConfig(
    timestamps=False,
    sack=False,
    window_scaling=False,
    rmem=65_535,
    invalid_ratelimit_s=0,
    challenge_ack_limit=1 << 30,
)
"""No options, and no limit on answers: every cell is asked as if it were the first."""

_LISTENING: Final = 80
_CLOSED: Final = 81
_PEER_PORT: Final = 40_000


class EngineTarget:
    """A fresh stack for each connection.

    Attributes:
        config: The rules it plays by.
        reasons: The rules and drop reasons that the last segment met, in order.
    """

    def __init__(self, config: TcpConfig = CONFIG) -> None:
        self.config = config
        self.reasons: list[str] = []
        self.begin(State.CLOSED)

    def begin(self, state: State) -> None:
        """See `Target.begin`."""
        self._now = 0.0
        self._port = _CLOSED if state in (State.CLOSED, State.SYN_SENT) else _LISTENING
        self._four_tuple = FourTuple("10.0.0.1", self._port, "10.0.0.2", _PEER_PORT)
        self._stack = Stack(
            self.config,
            Admission(ports=str(_LISTENING)),
            secret=bytes(SECRET_OCTETS),
            mss={4: 1460, 6: 1440},
            has_room=lambda _: True,
        )

    def inject(self, segment: Segment) -> list[Segment]:
        """See `Target.inject`."""
        return self._did(self._stack.receive(self._now, [(self._four_tuple, segment)]))

    def connect(self) -> list[Segment]:
        """See `Target.connect`."""
        return self._did(self._stack.connect(self._now, self._four_tuple))

    def shut_down(self) -> list[Segment]:
        """See `Target.shut_down`."""
        tcb = self._stack.tcb(self._four_tuple)
        assert tcb is not None, "only a connection is shut down"
        return self._did(self._stack.close(self._now, tcb))

    def settle(self) -> list[Segment]:
        """See `Target.settle`: the first acknowledgments of a connection are not delayed."""
        return []

    def state(self) -> State:
        """See `Target.state`."""
        tcb = self._stack.tcb(self._four_tuple)
        if tcb is not None:
            return tcb.state
        return State.LISTEN if self._port == _LISTENING else State.CLOSED

    def _did(self, actions: list[Action]) -> list[Segment]:
        self.reasons = [reason for action in actions if (reason := _reason(action))]
        return [action.segment for action in actions if isinstance(action, Send)]


def _reason(action: Action) -> str | None:
    if isinstance(action, Send | Moved):
        return action.rule
    return action.reason.value if isinstance(action, Dropped) else None
