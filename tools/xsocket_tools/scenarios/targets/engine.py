"""What the two targets with an engine have in common: its sockets, calls that wait, its rules by sysctl."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import inf
from typing import Any, Final

from xsocket import Event, FourTuple, State, TcpConfig
from xsocket_tools.scenarios.commands import Shell, steps_of
from xsocket_tools.scenarios.engine_sockets import EngineSockets, Node, NotYet
from xsocket_tools.scenarios.errors import UnsupportedError
from xsocket_tools.scenarios.settings import Settings
from xsocket_tools.scenarios.target import BUFFERS, Returned, Sniffed, Target

_PREFIX: Final = {4: "/0", 6: "/0"}
"""Everything is on the engine's link: the counterpart answers for all addresses."""


class Pending:
    """A call that is under way: made again whenever something has happened, until it returns."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self.returned: Returned | None = None
        self.until = inf

    def attempt(self, now: float) -> bool:
        """Make the call, if it has not returned; say whether it has."""
        if self.returned is None:
            try:
                self.returned = Returned(now, self._work())
            except NotYet as wait:
                self.until = wait.until
            except OSError as error:
                self.returned = Returned(now, None, error)
        return self.returned is not None


class EngineTarget(Target):
    """An engine at `Settings.local`, and the script at all other addresses.

    Args:
        settings: Of the run.
    """

    node: Node
    sockets: EngineSockets

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sysctls: dict[str, str] = dict(BUFFERS)
        self.packets: deque[Sniffed] = deque()
        self.pending: Pending | None = None

    @property
    def interface_address(self) -> str:
        """The engine's address with its prefix length."""
        return self.settings.local + _PREFIX[self.settings.version]

    def rules(self) -> TcpConfig:
        """Return the rules by the sysctls that were set."""
        return TcpConfig.of_sysctls(self.sysctls)

    @staticmethod
    def rule_names() -> frozenset[str]:
        """Return the names of the sysctls that set a rule of the engine, with dots."""
        sysctls = (each.metadata["rule"].sysctl for each in fields(TcpConfig))
        return frozenset(f"net.{each.path.replace('/', '.')}" for each in sysctls if each is not None)

    def sysctl(self, name: str, value: str) -> None:
        """See `Target.sysctl`."""
        self.sysctls[name] = value
        self.node.set_config(self.rules())

    def begin_call(self, work: Callable[[], Any]) -> Pending:
        """Make a call for the first time."""
        self.sockets.began = self.now()
        pending = self.pending = Pending(work)
        self.attempt()
        return pending

    def attempt(self) -> bool:
        """Make the call that is under way again; say whether none is any more."""
        if self.pending is not None and self.pending.attempt(self.now()):
            self.pending = None
        return self.pending is None

    def state(self, four_tuple: FourTuple) -> State | None:
        """See `Target.state`."""
        return self.node.connections().get(four_tuple)

    def waiting(self) -> int:
        """See `Target.waiting`."""
        return len(self.node.pool)

    def command(self, text: str, directory: str, environment: Mapping[str, str]) -> None:
        """See `Target.command`: sysctls, and nothing that takes a shell."""
        del directory, environment
        for step in steps_of(text):
            if isinstance(step, Shell):
                raise UnsupportedError(
                    f"the command {step.text.splitlines()[0]!r}: the engine needs no shell"
                )
            self.sysctl(step.name, step.value)

    def events(self) -> Sequence[Event]:
        """See `Target.events`."""
        return ()
