"""Results in the Test Anything Protocol, version 14 (testanything.org), for test harnesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from xsocket_tools.scenarios.errors import ScriptSyntaxError
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job
from xsocket_tools.scenarios.report import told
from xsocket_tools.scenarios.results import Results


def tap(results: Results) -> Iterator[str]:
    """Yield the lines. What is unsupported is not ok: it shows nothing."""
    points = [
        *(_run(job, outcome) for job, outcome in results.runs),
        *(_broken(path, error) for path, error in results.broken.items()),
    ]
    yield "TAP version 14"
    yield f"1..{len(points)}"
    for number, (verdict, description, details) in enumerate(points, 1):
        yield f"{verdict} {number} - {description}"
        yield from _block(details)


Point = tuple[str, str, dict[str, object]]


def _run(job: Job, outcome: Outcome) -> Point:
    details = {} if outcome.status.is_good else _details(outcome)
    return _verdict(outcome), f"{_escaped(job.name)}{_directive(outcome)}", details


def _broken(path: Path, error: ScriptSyntaxError) -> Point:
    return "not ok", _escaped(str(path)), {"message": error.message, "severity": "error", "line": error.line}


def _verdict(outcome: Outcome) -> str:
    """A test that is to be done (TODO) is one that is not ok yet."""
    return "ok" if outcome.status in (Status.PASSED, Status.SKIPPED) else "not ok"


def _directive(outcome: Outcome) -> str:
    word = {Status.XFAILED: "TODO", Status.SKIPPED: "SKIP"}.get(outcome.status)
    return f" # {word} {_escaped(outcome.reason)}" if word else ""


def _escaped(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("#", "\\#").split())


def _details(outcome: Outcome) -> dict[str, object]:
    failure = outcome.failure
    details: dict[str, object] = {"message": told(outcome), "severity": outcome.status.value}
    if failure is not None:
        details |= {
            "line": failure.line,
            "at_s": failure.at_s,
            "script": outcome.script.line(failure.line).strip(),
            "expected": failure.expected,
            "actual": failure.actual,
        }
    if outcome.state:
        details["state"] = outcome.state
    if outcome.rule:
        details["rule"] = outcome.rule
    return details


def _block(details: dict[str, object]) -> Iterator[str]:
    """Yield a YAML block; JSON's scalars are YAML's."""
    if not details:
        return
    yield "  ---"
    yield from (f"  {name}: {json.dumps(value)}" for name, value in details.items())
    yield "  ..."
