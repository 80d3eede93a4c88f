"""What a case is put to: a TCP that takes frames and gives frames. One protocol for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.frames import Stations


class TargetError(ToolError):
    """A target does not do what it takes to put cases to it."""

    remedy = "See `xsocket doctor` for what this machine allows."
    exit_status = 3


class StalledError(TargetError):
    """A target did not answer the fence behind a step; the case has to be played again."""


class Answer(NamedTuple):
    """What came of a call.

    Attributes:
        frames: What the target sent meanwhile.
        value: ``send``: how many octets were taken; ``receive``: the text, empty at its end; ``claim``: the
            4-tuple of the connection that was claimed, the target's end first. None for nothing.
        error: The name of the exception that ended it, such as ``BlockingIOError``; empty for none.
    """

    frames: Sequence[Frame]
    value: Any = None
    error: str = ""


class Counts(NamedTuple):
    """How full the tables of a target are.

    Attributes:
        connections: TCBs in any state.
        half_open: Those in SYN-RECEIVED by passive open, without Fast Open.
        time_wait: Those in TIME-WAIT.
        waiting: Established connections that nobody has claimed.
    """

    connections: int
    half_open: int
    time_wait: int
    waiting: int


@runtime_checkable
class TakesBatches(Protocol):
    """A target that several frames can reach at the same instant, before it answers any."""

    def batch(self, frames: Sequence[bytes], now: float) -> Sequence[Frame]:
        """Let *frames* arrive together at *now*; return what it sent."""
        ...


class Target(Protocol):
    """A TCP to put cases to, one after the other.

    Attributes:
        name: As ``--on`` has it.
        is_virtual: Whether time is what `step` says, and costs nothing.
        stations: Station addresses of the target and of its peers.
    """

    name: str
    is_virtual: bool
    stations: Stations

    def begin(self, rules: tuple[tuple[str, Any], ...], seed: int) -> None:
        """Forget the last case; nothing of it may matter to the next, which plays by *rules*.

        Raises:
            TargetError: It cannot.
        """
        ...

    def four_tuple(self, peer: int) -> FourTuple:
        """Return the 4-tuple of one of `cast.PEERS`, the target's end first; it may change with ``open``."""
        ...

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        """Let *frame* arrive at *now*, or let time pass until then; return what it sent, and when.

        Args:
            frame: An Ethernet frame; None for none.
            now: Seconds since the case began.

        Raises:
            StalledError: It did not answer in time.
        """
        ...

    def call(self, peer: int, name: str, now: float, text: bytes = b"", size: int = 0) -> Answer:
        """Let its user make the call *name*, one of `case.CALLS`; never raises for what the target refuses.

        Args:
            peer: Whose connection.
            name: The call.
            now: Seconds since the case began.
            text: What ``send`` sends.
            size: How much ``receive`` takes at most.
        """
        ...

    def state(self, peer: int) -> State | None:
        """Return where the connection stands; None where there is none."""
        ...

    def timers(self) -> Sequence[tuple[FourTuple, str, float]]:
        """Return whose timer runs, which timer, and when it fires; nothing where nobody can tell."""
        ...

    def counts(self) -> Counts | None:
        """Return how full its tables are; None where nobody can tell."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
