"""``python -m xsocket_tools.path.carrier``: carries the frames of a lab's path until it is told to stop.

It runs in the namespace in the middle, belongs to the lab, and ends with it: when `xsocket lab clean` ends
it, when the process that holds the lab is gone, or when the interfaces are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xsocket.errors import XsocketError
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Detour, Lab, LabRefusedError
from xsocket_netns.processes import Process
from xsocket_tools.path.element import Chain
from xsocket_tools.path.forwarder import Forwarder
from xsocket_tools.path.live import start_recording
from xsocket_tools.path.settings import Settings

_READY: Final = "ready"
_STOP: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def start(
    lab: Lab, detour: Detour, settings: Settings, *, captures: Path | None = None, does: Sequence[str] = ()
) -> Process:
    """Start the process for *detour* and return when it carries frames.

    Args:
        lab: Remembers it; see `xsocket_netns.Lab.note_carrier`.
        detour: What it carries.
        settings: What happens to frames.
        captures: A directory for the captures of both ends.
        does: What `xsocket lab list` says of it.

    Raises:
        LabRefusedError: It could not begin; the message says why.
    """
    owner = lab.record.owner
    command = [sys.executable, "-m", "xsocket_tools.path.carrier", settings.dumped()]
    command += [detour.left_port.name, detour.right_port.name, detour.left.host, detour.right.host]
    command += ["" if captures is None else str(captures.absolute()), str(owner.pid if owner else 0)]
    child = detour.middle.popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdout is not None
    with child.stdout as report:
        message, _, remedy = report.read().partition("\n")
    if message != _READY:
        child.wait()
        raise LabRefusedError(message or "what carries the frames ended early", remedy=remedy or None)
    process = detour.middle.release(child)
    lab.note_carrier(detour, process, does)
    return process


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process was told on its command line."""

    settings: Settings
    ports: tuple[str, str]
    hosts: tuple[str, str]
    captures: Path | None
    owner: int

    @classmethod
    def read(cls, arguments: Sequence[str]) -> _Order:
        settings, left_port, right_port, left, right, captures, owner = arguments
        return cls(
            Settings.load(settings),
            (left_port, right_port),
            (left, right),
            Path(captures) if captures else None,
            int(owner),
        )


def main() -> None:
    """Carry; say on standard output whether it begins, and close that."""
    stop = _signals()
    with ExitStack() as stack:
        try:
            forwarder, ends = _prepared(_Order.read(sys.argv[1:]), stack)
        except XsocketError as error:
            _report(str(error.args[0]), error.remedy)
        except OSError as error:
            _report(str(error), "")
        else:
            _report(_READY)
            forwarder.run([stop, *ends])


def _signals() -> int:
    """Return a descriptor that is readable once a signal says that it is over."""
    rung, ring = os.pipe()  # a handler alone may be run only when the poll that should end is over
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring)
    for number in _STOP:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)  # a lab's holder has them blocked
    return rung


def _prepared(order: _Order, stack: ExitStack) -> tuple[Forwarder, list[int]]:
    """Return what carries, and what else ends it."""
    chain = Chain(order.settings.elements())
    observe = None
    if order.captures is not None:
        recording = start_recording(order.captures, *order.hosts)
        stack.callback(recording.close)
        observe = recording.observe
    left, right = (PacketLink(port, None) for port in order.ports)
    ends = [os.pidfd_open(order.owner)] if order.owner else []
    return Forwarder(left, right, chain, observe=observe), ends


def _report(*lines: str) -> None:
    """Tell who started this process, and nobody after that."""
    with suppress(BrokenPipeError):
        print(*lines, sep="\n", end="", flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


if __name__ == "__main__":
    main()
