"""The target ``wire``: the engine on a link of a lab, in real time, and a packet socket at the other end."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from xsocket import Engine, Event, Trace
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, Lab
from xsocket_tools.scenarios.commands import Shell, SysctlSet, plain_value, steps_of
from xsocket_tools.scenarios.engine_sockets import EngineSockets
from xsocket_tools.scenarios.shell import run_shell, set_sysctl
from xsocket_tools.scenarios.target import Returned, Sniffed
from xsocket_tools.scenarios.targets.counterpart import Counterpart, packet_of
from xsocket_tools.scenarios.targets.engine import EngineTarget

if TYPE_CHECKING:
    from types import TracebackType

    from xsocket_tools.scenarios.settings import Settings

_INTERFACE: Final = "eth0"
_ASK_AGAIN_S: Final = 0.0005
"""How often a call that waits is made again: what ends the wait may happen in the engine's thread alone."""
_SPIN_S: Final = 0.0002
"""How long before an instant waiting becomes looking at the clock: a sleep ends late by about as much."""
_FENCE_PATIENCE_S: Final = 1.0


class WireTarget(EngineTarget):
    """An engine in a namespace of its own, and the script at the other end of its cable."""

    name = "wire"
    exact_us = 4000
    node: Engine

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._stack = ExitStack()
        self._zero = 0.0
        self._wall_offset_s = 0.0
        self._fences = 0
        self._trace = Trace()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            lab = stack.enter_context(Lab())
            ours, theirs = lab.host("engine"), lab.host("script")
            cable = lab.link(ours, theirs, mtu=self.settings.mtu)
            self._host: Host = ours
            with ours.enter():
                self.node = Engine(
                    cable[ours.name].name, [self.interface_address], config=self.rules(), trace=self._trace
                )
                self.node.start()
            stack.callback(self.node.stop, linger=0)  # whoever is at the other end has gone
            self._link = theirs.run(PacketLink, cable[theirs.name].name, [self.settings.remote])
            stack.callback(self._link.close)
            mac = bytes.fromhex(cable[ours.name].mac.replace(":", ""))
            self._counterpart = Counterpart(mac, [self.settings.local], self._link.mac)
            self.sockets = EngineSockets(self.node, self.now)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """See `Target.start`."""
        self._look()
        self.packets.clear()
        self._zero = time.monotonic()
        self._wall_offset_s = time.time() - self._zero

    def now(self) -> float:
        """See `Target.now`."""
        return time.monotonic() - self._zero

    def wait_until(self, instant: float) -> None:
        """See `Target.wait_until`."""
        self._pass(instant, lambda: False)

    def next_packet(self, until: float) -> Sniffed | None:
        """See `Target.next_packet`."""
        if not self.packets:
            self._look()
            self._pass(until, lambda: bool(self.packets))
        return self.packets.popleft() if self.packets else None

    def inject(self, packet: bytes) -> None:
        """See `Target.inject`: a ping goes behind it, so that the engine has dealt with it on return."""
        self._fences += 1
        fence = self._counterpart.fence(self._fences, self.settings.remote, self.settings.local)
        self._link.send([self._counterpart.frame(packet), fence])
        self._pass(self.now() + _FENCE_PATIENCE_S, lambda: self._counterpart.fences == self._fences)
        self.attempt()

    def call(self, work: Callable[[], Any]) -> Callable[[float], Returned | None]:
        """See `Target.call`."""
        pending = self.begin_call(work)

        def outcome(until: float) -> Returned | None:
            if pending.returned is None:
                self._pass(until, lambda: pending.returned is not None)
            return pending.returned

        return outcome

    def _pass(self, until: float, enough: Callable[[], bool]) -> None:
        """Let time pass to *until*, or until it is *enough*."""
        while not enough():
            left = until - self.now()
            if left <= 0:
                return
            if left > _SPIN_S:
                waits = self.pending is not None
                seconds = min(left - _SPIN_S, _ASK_AGAIN_S) if waits else left - _SPIN_S
                select.select([self._link.fileno()], [], [], seconds)
            self._look()

    def _look(self) -> None:
        """Take what the engine has sent, answer for neighbours, and make the waiting call again."""
        for frame, answer in self._counterpart.read(self._link.receive()):
            if answer is None:
                at = frame.at_ns / 1e9 - self._wall_offset_s - self._zero
                self.packets.append(Sniffed(at, packet_of(frame)))
            else:
                self._link.send([answer])
        self.attempt()

    def sysctl(self, name: str, value: str) -> None:
        """See `Target.sysctl`: the namespace has it, too, for what a shell reads."""
        required = name not in self.rule_names()  # of its own rules the engine knows more than some kernels
        set_sysctl(self._host, SysctlSet(name, plain_value(value), required))
        super().sysctl(name, value)

    def command(self, text: str, directory: str, environment: Mapping[str, str]) -> None:
        """See `Target.command`."""
        for step in steps_of(text):
            match step:
                case SysctlSet(name, value):
                    self.sysctl(name, value)
                case Shell(lines):
                    run_shell(self._host, lines, directory, environment)

    def events(self) -> Sequence[Event]:
        """See `Target.events`."""
        return list(self._trace)
