"""What became of a run: `Outcome`, with the failure, the path that was taken, and what a report needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xsocket import Event, FourTuple, State
    from xsocket_tools.scenarios.script import Script
    from xsocket_tools.scenarios.settings import IpVersion


class Status(Enum):
    """How a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    XFAILED = "xfailed"
    """It failed, as the script says it will."""
    XPASSED = "xpassed"
    """It passed, and the script says that it will fail: as bad as a failure."""
    SKIPPED = "skipped"
    UNSUPPORTED = "unsupported"
    ERROR = "error"
    """It could not be run: a command failed, the machine refused."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self in (Status.PASSED, Status.XFAILED, Status.SKIPPED)


class Difference(NamedTuple):
    """One field in which a packet or a call is not as the script has it."""

    field: str
    expected: str
    actual: str


class Failure(NamedTuple):
    """Where and why a run failed.

    Attributes:
        line: The script's line, counted from 1.
        message: In one sentence.
        at_s: When, seconds of the script.
        expected: The packet or result as the script has it, in its notation; empty where there is none.
        actual: What came instead, in the same notation; empty for nothing.
        differences: Field by field.
        remedy: What to do about it, where it is not the target that failed.
    """

    line: int
    message: str
    at_s: float = 0.0
    expected: str = ""
    actual: str = ""
    differences: tuple[Difference, ...] = ()
    remedy: str = ""


class Seen(NamedTuple):
    """One thing that happened in a run, in the script's notation: for the path, and to compare paths.

    Attributes:
        line: The script's line; 0 for a packet that no line stands for.
        at_us: When, microseconds of the script.
        text: A packet such as ``> S. 0:0(0) ack 1 win 65535 <mss 1460>``, or a call with its result.
    """

    line: int
    at_us: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run of one script on one target.

    Attributes:
        script: The script.
        target: ``sim``, ``wire`` or ``kernel``.
        ip_version: See `Settings.ip_version`.
        status: How it ended.
        reason: Why, where it is not simply passed: the verdict's reason, or what is unsupported.
        failure: Where it failed; also of one that was to fail.
        path: What happened, in order.
        events: The engine's trace of the script's connections; empty for Linux.
        frames: Every packet with its direction (``<`` or ``>``), in order: instant in seconds and octets.
        state: The state of the connection at the end, where one is known.
        rule: The rule that the engine applied last, such as ``RFC 9293 3.10.7.4 first``; empty for none.
        duration_s: How long it took, of real time.
        runs: How often it was run, because the machine was too slow for its times the other times.
        was_late: Whether it may have been too slow this time, too.
        states: Where the target stood after each of *frames*, by connection, its own end first; None for no
            connection. Empty where it was not asked.
    """

    script: Script
    target: str
    ip_version: IpVersion
    status: Status
    reason: str = ""
    failure: Failure | None = None
    path: tuple[Seen, ...] = ()
    events: tuple[Event, ...] = ()
    frames: tuple[tuple[str, float, bytes], ...] = ()
    state: str = ""
    rule: str = ""
    duration_s: float = 0.0
    runs: int = 1
    was_late: bool = False
    states: tuple[Mapping[FourTuple, State | None], ...] = ()

    @property
    def name(self) -> str:
        """The script's name with target and IP version, as a test is called."""
        return f"{self.script.name}[{self.target}-{self.ip_version}]"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold, without trace and frames."""
        plain: dict[str, Any] = {
            "script": self.script.name,
            "target": self.target,
            "ip_version": self.ip_version,
            "status": self.status.value,
            "duration_s": round(self.duration_s, 6),
            "runs": self.runs,
        }
        if self.reason:
            plain["reason"] = self.reason
        if self.failure is not None:
            failure = self.failure
            plain["failure"] = {
                "line": failure.line,
                "message": failure.message,
                "at_s": failure.at_s,
                "expected": failure.expected,
                "actual": failure.actual,
                "differences": [each._asdict() for each in failure.differences],
                "remedy": failure.remedy,
                "state": self.state,
                "rule": self.rule,
            }
        return plain
