"""Linux as a target of scripts: a namespace whose only link is a tun interface, and real system calls.

What is set here, so that a script gives the same on every machine:

- What a new namespace takes over from the machine it is made on: buffer sizes, the congestion control. They
  get the values that Linux has by itself, and `reno`, since `cubic` is not open to every namespace.
- ``tcp_no_metrics_save``: what one connection learns of the peer does not change the next.
- A queue that paces nothing, and no quickack on the route: acknowledgments are delayed as Linux does it.

Everything else is as Linux has it.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from xsocket_netns import Host, Lab, Tun
from xsocket_tools.scenarios.commands import Shell, SysctlSet, plain_value, steps_of
from xsocket_tools.scenarios.errors import UnsupportedError
from xsocket_tools.scenarios.kernel_sockets import KernelSockets
from xsocket_tools.scenarios.shell import run_shell, set_sysctl
from xsocket_tools.scenarios.target import BUFFERS, Returned, Sniffed, Target
from xsocket_tools.scenarios.worker import Worker
from xsocket_tools.sockdiag import SockDiag

if TYPE_CHECKING:
    from types import TracebackType

    from xsocket import FourTuple, State
    from xsocket_tools.scenarios.settings import Settings

INTERFACE: Final = "tun0"
"""The interface's name, which packetdrill's scripts use in commands."""
SYSCTLS: Final = BUFFERS | {
    "net.ipv4.tcp_congestion_control": "reno",
    "net.ipv4.tcp_no_metrics_save": "1",
}
"""What every run begins with; see above."""

_PREFIX: Final = {4: 16, 6: 48}
_EVERYWHERE: Final = {4: "0.0.0.0/0", 6: "::/0"}
_IPV6_MINIMUM_MTU: Final = 1280  # RFC 8200 section 5
_PATIENCE_S: Final = 2.0
"""How long a system call that waits may take to return at the end."""

_TCP: Final = 6
_ICMP: Final = 1
_ICMPV6: Final = 58
_ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_FIRST_ICMPV6_MESSAGE: Final = 128
"""Types below are errors (RFC 4443 section 2.1)."""


class KernelTarget(Target):
    """Linux in a namespace of its own. All methods are for one thread.

    Args:
        settings: Of the run.
    """

    name = "kernel"
    exact_us = 10_000  # timers count in jiffies, of 4 ms where HZ is 250, and may be one late
    sockets: KernelSockets

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._began = 0.0
        self._came: deque[Sniffed] = deque()
        self._everything = contextlib.ExitStack()
        self._host: Host
        self._tun: Tun
        self._diag: SockDiag
        self._worker: Worker

    def __enter__(self) -> Self:
        """See `Target.__enter__`.

        Raises:
            UnsupportedError: The MTU is less than Linux has IPv6 for.
            LabError: The machine gives no namespace, or no tun interface.
        """
        settings = self._settings
        if settings.version == 6 and settings.mtu < _IPV6_MINIMUM_MTU:
            raise UnsupportedError(f"IPv6 with an MTU of {settings.mtu}; {_IPV6_MINIMUM_MTU} is the least")
        with contextlib.ExitStack() as made:
            self._host = made.enter_context(Lab()).host(self.name)
            for name, value in SYSCTLS.items():
                self._host.sysctl(name, value)
            local = f"{settings.local}/{_PREFIX[settings.version]}"
            self._tun = Tun(self._host, INTERFACE, mtu=settings.mtu, addresses=[local])
            made.callback(self._tun.close)
            self._host.route(_EVERYWHERE[settings.version], interface=INTERFACE)
            self._diag = SockDiag(self._host.namespace)
            made.callback(self._diag.close)
            self.sockets = KernelSockets(self._host)
            self._worker = Worker(self.now)
            made.callback(self._end_calls)
            self._everything = made.pop_all()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Target.__exit__`."""
        self._everything.__exit__(kind, value, trace)

    def start(self) -> None:
        """See `Target.start`; what was sent before is forgotten."""
        self._tun.sent()
        self._came.clear()
        self._began = time.monotonic()

    def now(self) -> float:
        """See `Target.now`; any thread may call it."""
        return time.monotonic() - self._began

    def wait_until(self, instant: float) -> None:
        """See `Target.wait_until`."""
        while (left_s := instant - self.now()) > 0:
            if self._tun.wait(left_s):
                self._collect()

    def next_packet(self, until: float) -> Sniffed | None:
        """See `Target.next_packet`."""
        self._collect()
        while not self._came and (left_s := until - self.now()) > 0:
            self._tun.wait(left_s)
            self._collect()
        return self._came.popleft() if self._came else None

    def inject(self, packet: bytes) -> None:
        """See `Target.inject`; Linux has dealt with the packet on return."""
        self._tun.write(packet)

    def call(self, work: Callable[[], Any]) -> Callable[[float], Returned | None]:
        """See `Target.call`."""
        return self._worker.begin(partial(_through_python, work))

    def command(self, text: str, directory: str, environment: Mapping[str, str]) -> None:
        """See `Target.command`: sysctls are set without a program, the rest is for /bin/sh."""
        for step in steps_of(text):
            match step:
                case SysctlSet():
                    set_sysctl(self._host, step)
                case Shell(lines):
                    run_shell(self._host, lines, directory, environment)

    def sysctl(self, name: str, value: str) -> None:
        """See `Target.sysctl`.

        Raises:
            CommandError: There is none of that name in a namespace, or it does not take the value.
        """
        set_sysctl(self._host, SysctlSet(name, plain_value(value)))

    def state(self, four_tuple: FourTuple) -> State | None:
        """See `Target.state`."""
        return self._diag.state(four_tuple)

    def waiting(self) -> int:
        """See `Target.waiting`: the length of the accept queues."""
        return self._diag.waiting()

    def _collect(self) -> None:
        self._came.extend(
            Sniffed(at - self._began, packet) for at, packet in self._tun.sent() if is_expected(packet)
        )

    def _end_calls(self) -> None:
        """Get rid of a call that waits, of sockets, and of connections that nobody has a socket of."""

        def wake() -> None:
            self.sockets.wake()
            self._diag.destroy()

        self._worker.stop(wake, _PATIENCE_S)
        self.sockets.close_all()
        self._diag.destroy()


def _through_python(work: Callable[[], Any]) -> Any:  # noqa: ANN401  # what the call returns
    """Make a system call; say so where Python refuses its arguments, so that Linux is not asked at all."""
    try:
        return work()
    except (OverflowError, TypeError, ValueError) as error:
        raise UnsupportedError(f"a call with these arguments ({error})") from error


def is_expected(packet: bytes) -> bool:
    """Return whether an IP packet is one that scripts expect: a TCP segment, or an ICMP error."""
    if packet[0] >> 4 == 4:
        protocol, at = packet[9], (packet[0] & 0xF) * 4
    else:
        protocol, at = packet[6], 40
    if protocol == _TCP:
        return True
    if at >= len(packet):
        return False
    if packet[0] >> 4 == 4:
        return protocol == _ICMP and packet[at] in _ICMP_ERRORS
    return protocol == _ICMPV6 and packet[at] < _FIRST_ICMPV6_MESSAGE
