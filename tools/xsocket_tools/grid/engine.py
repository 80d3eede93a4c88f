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
from xsocket.tcp.tcb import Tcb
from xsocket_tools.steps import cite

CONFIG: Final = TcpConfig(
    timestamps=False,
    sack=False,
    window_scaling=False,
    rmem=65_535,
    invalid_ratelimit_s=0,
    challenge_ack_limit=1 << 30,
)
"""No options, and no limit on answers: every cell is asked as if it were the first."""

TAKEN: Final = "RFC 9293 3.10.7.4 fifth"
"""Cited where the engine cites nothing: the segment was acceptable, and nothing was owed for it."""

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
        port = _CLOSED if state in (State.CLOSED, State.SYN_SENT) else _LISTENING
        self._four_tuple = FourTuple("10.0.0.1", port, "10.0.0.2", _PEER_PORT)
        self._stack = Stack(
            self.config,
            Admission(ports=str(_LISTENING)),
            secret=bytes(SECRET_OCTETS),
            mss={4: 1460, 6: 1440},
            has_room=lambda _: True,
        )

    def inject(self, segment: Segment) -> list[Segment]:
        """See `Target.inject`."""
        known = self._four_tuple in self._stack
        sent = self._did(self._stack.receive(self._now, [(self._four_tuple, segment)]))
        if known and not self.reasons:
            self.reasons = [TAKEN]
        return sent

    def connect(self) -> list[Segment]:
        """See `Target.connect`."""
        return self._did(self._stack.connect(self._now, self._four_tuple))

    def shut_down(self) -> list[Segment]:
        """See `Target.shut_down`."""
        return self._did(self._stack.close(self._now, self.tcb))

    def state(self) -> State | None:
        """See `Target.state`."""
        tcb = self._stack.tcb(self._four_tuple)
        return None if tcb is None else tcb.state

    @property
    def tcb(self) -> Tcb:
        """The connection, which must exist."""
        tcb = self._stack.tcb(self._four_tuple)
        assert tcb is not None, "there is no connection"
        return tcb

    def _did(self, actions: list[Action]) -> list[Segment]:
        reasons = [reason for action in actions if (reason := _reason(action))]
        self.reasons = list(dict.fromkeys(reasons))  # in order, each once
        return [action.segment for action in actions if isinstance(action, Send)]


def _reason(action: Action) -> str | None:
    if isinstance(action, Send | Moved):
        return cite(action.rule)
    return action.reason.value if isinstance(action, Dropped) else None
