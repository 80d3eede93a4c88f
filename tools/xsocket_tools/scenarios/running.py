"""Runs of a script: what its verdicts make of them, and another one where this machine was late."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from xsocket_tools.scenarios.errors import ScriptError, UnsupportedError
from xsocket_tools.scenarios.interpreter import Interpreter, TooSlowError
from xsocket_tools.scenarios.outcome import Failure, Outcome, Status
from xsocket_tools.scenarios.script import Script
from xsocket_tools.scenarios.settings import Settings, with_flags
from xsocket_tools.scenarios.target import Target

MOST_RUNS: Final = 8
"""How often a script is run, in real time, before it fails by its times alone: the machine may be busy."""


def run(
    script: Script, target: str, settings: Settings, *, directory: str = ".", asking: bool = False
) -> Outcome:
    """Run *script* once on a target.

    Args:
        script: The script; its own flags and verdicts count.
        target: ``sim``, ``wire`` or ``kernel``.
        settings: The IP version, and what a command line gave, which counts more than the script's flags.
        directory: Where the script lies: its commands run there.
        asking: Whether to ask the target after each packet where it stands.

    Returns:
        What became of it. Nothing that a script does raises.

    Raises:
        LabError: The machine allows no namespaces, which ``wire`` and ``kernel`` need.
    """
    began = time.perf_counter()
    verdicts = [verdict for verdict in script.verdicts if target in verdict.targets]
    skipped = next((verdict for verdict in verdicts if verdict.kind == "skip"), None)
    if skipped is not None:
        return Outcome(script, target, settings.ip_version, Status.SKIPPED, skipped.reason)
    outcome = _run_until_in_time(script, target, settings, directory, asking)
    expected = next((verdict for verdict in verdicts if verdict.kind == "xfail"), None)
    if expected is not None and outcome.status in (Status.FAILED, Status.PASSED):
        failed = outcome.status is Status.FAILED
        status = Status.XFAILED if failed else Status.XPASSED
        reason = expected.reason if failed else f"it passed, and was to fail: {expected.reason}"
        outcome = replace(outcome, status=status, reason=reason)
    return replace(outcome, duration_s=time.perf_counter() - began)


def _run_until_in_time(
    script: Script, name: str, settings: Settings, directory: str, asking: bool
) -> Outcome:
    for runs in range(1, MOST_RUNS + 1):
        try:
            outcome = _run_once(script, name, settings, directory, asking)
        except TooSlowError as late:
            failure = late.failure
            continue
        if outcome.status is Status.FAILED and outcome.was_late and runs < MOST_RUNS:
            continue
        return replace(outcome, runs=runs)
    return Outcome(
        script,
        name,
        settings.ip_version,
        Status.ERROR,
        failure.message,
        failure=failure,
        runs=MOST_RUNS,
        was_late=True,
    )


def _run_once(script: Script, name: str, settings: Settings, directory: str, asking: bool) -> Outcome:
    version = settings.ip_version
    try:
        own = with_flags(Settings(ip_version=version), script.flags, version=version)
        settings = with_flags(own, settings.given, version=version)
        with make_target(name, settings) as target:
            return Interpreter(script, target, settings, directory, asking=asking).outcome()
    except UnsupportedError as error:
        return _unrun(script, name, settings, Status.UNSUPPORTED, error, error.line)
    except ScriptError as error:
        return _unrun(script, name, settings, Status.ERROR, error, 0)


def _unrun(
    script: Script, name: str, settings: Settings, status: Status, error: ScriptError, line: int
) -> Outcome:
    failure = Failure(line, error.message, remedy=error.remedy)
    return Outcome(script, name, settings.ip_version, status, error.message, failure)


def make_target(name: str, settings: Settings) -> Target:
    """Return a target, not entered yet."""
    if name == "sim":
        from xsocket_tools.scenarios.targets.sim import SimTarget

        return SimTarget(settings)
    if name == "wire":
        from xsocket_tools.scenarios.targets.wire import WireTarget

        return WireTarget(settings)
    from xsocket_tools.scenarios.targets.kernel import KernelTarget

    return KernelTarget(settings)
