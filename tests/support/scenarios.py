"""Scenario scripts and outcomes for tests of what shows them, and runs that need no engine."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from xsocket import Event, EventKind, Simulation
from xsocket_tools.scenarios.errors import UnsupportedError
from xsocket_tools.scenarios.outcome import Difference, Failure, Outcome, Seen, Status
from xsocket_tools.scenarios.plan import Job
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.script import Script
from xsocket_tools.scenarios.settings import Settings

HANDSHAKE: Final = """\
// A handshake.
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+.1 < S 0:0(0) win 1000 <mss 1460>
+0 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
"""
FAILING_LINE: Final = 6

Run = Callable[..., Outcome]


def script(source: str = HANDSHAKE, name: str = "tests/handshake.pkt") -> Script:
    """Return *source*, read."""
    return read(source, name)


def outcome(status: Status = Status.PASSED, **changes: Any) -> Outcome:  # noqa: ANN401
    """Return an outcome of the handshake; of a failure the second packet has another window."""
    given: dict[str, Any] = {"script": script(), "target": "sim", "ip_version": "ipv4", "duration_s": 0.25}
    if status in (Status.FAILED, Status.XFAILED):
        given["failure"] = Failure(
            FAILING_LINE,
            "another packet came: window differs",
            0.1,
            "> S. 0:0(0) ack 1 win 65535 <mss 1460>",
            "> S. 0:0(0) ack 1 win 64240 <mss 1460>",
            (Difference("window", "65535", "64240"),),
        )
    return Outcome(**{**given, "status": status, **changes})


def seen(*texts: str) -> tuple[Seen, ...]:
    """Return a path, one line of the script after the other."""
    return tuple(Seen(number, number * 1000, text) for number, text in enumerate(texts, 1))


def handshake_events(version: int = 4) -> tuple[Event, ...]:
    """Return an engine's trace of a handshake that a peer opened."""
    sim = Simulation()
    ours, theirs = ("10.0.0.2", "10.0.0.1") if version == 4 else ("fd00::2", "fd00::1")
    length = 24 if version == 4 else 64
    peer = sim.host(f"{theirs}/{length}", name="peer")
    engine = sim.host(f"{ours}/{length}", name="engine")
    sim.link(peer, engine)
    peer.connect(ours, 80)
    sim.run(for_s=0.1)
    return tuple(event for event in sim.trace if event.host == "engine" and event.four_tuple is not None)


def handshake_frames(version: int = 4) -> tuple[tuple[str, float, bytes], ...]:
    """Return the packets of the same handshake, as a target without a trace has them."""
    events = [event for event in handshake_events(version) if event.frame is not None]
    return tuple(
        (">" if event.kind is EventKind.SENT else "<", event.at_ns / 1e9, event.frame[14:])
        for event in events
        if event.frame is not None
    )


def runner(statuses: Mapping[str, Status] | None = None, calls: list[Any] | None = None) -> Run:
    """Return a runner for scripts that runs none.

    Args:
        statuses: How runs end whose name has a part in it: ``{"b.pkt[sim": Status.FAILED}``; others pass.
        calls: Gets script, target, settings and directory of each run.
    """

    def run(script: Script, target: str, settings: Settings, *, directory: str = ".") -> Outcome:
        if calls is not None:
            calls.append((script, target, settings, directory))
        name = f"{script.name}[{target}-{settings.ip_version}]"
        status = next((status for part, status in (statuses or {}).items() if part in name), Status.PASSED)
        changes: dict[str, Any] = {"script": script, "target": target, "ip_version": settings.ip_version}
        if status is Status.UNSUPPORTED:
            error = UnsupportedError("sendfile", 3)
            changes |= {"reason": error.construct, "failure": Failure(error.line, error.message)}
        elif status not in (Status.PASSED, Status.FAILED):
            changes["reason"] = "the moon # is full"
        return outcome(status, **changes)

    return run


# What workers do, one after the other; each is a function of a module, so that other processes find it.


def passes(job: Job) -> Outcome:
    """Pass, and say in which process."""
    return outcome(script=job.script, target=job.target, reason=str(os.getpid()))


def dies_on_wire(job: Job) -> Outcome:
    """End the whole process, on one of the targets."""
    if job.target == "wire":
        os.kill(os.getpid(), signal.SIGKILL)
    return passes(job)


def waits_for_ever_on_kernel(job: Job) -> Outcome:
    """Say that it began, wait for ever, and say that it was ended; on another target wait for that beginning.

    ``directory`` of the job has a pipe for the beginning.
    """
    pipe = Path(job.directory, "begun")
    if job.target != "kernel":
        assert pipe.read_text() == "begun"
        return passes(job)
    try:
        pipe.write_text("begun")
        signal.pause()
    finally:
        Path(job.directory, "removed").write_text("removed")
    raise AssertionError("nobody ends it in another way")
