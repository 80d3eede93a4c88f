"""`xsocket bench fuzz`: how many cases are played per second of one core, and what the oracles cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from statistics import median
from typing import Any, Final, NamedTuple

import click

from xsocket_tools.fuzzing.case import Call, Case
from xsocket_tools.fuzzing.fitting import fits
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.opening import ensure_allowed, opened
from xsocket_tools.fuzzing.playing import Step, play
from xsocket_tools.fuzzing.target import StalledError, Target
from xsocket_tools.fuzzing.view import targets_text
from xsocket_tools.progress import progress

OPERATIONS: Final = 10
"""Of each case."""
TARGETS: Final = {"judged": 1000.0, "not_judged": 5000.0, "kernel": 500.0}
"""Cases per second of one core, the aim."""


class Round(NamedTuple):
    """The same cases, in each way: how long it took, seconds of real time.

    Attributes:
        judged: On the engine, with the oracles.
        not_judged: Without them.
        engine: The engine alone, given the same frames and calls as they were recorded.
    """

    judged: float
    not_judged: float
    engine: float


@click.command("fuzz")
@click.option("--cases", "number", type=click.IntRange(1, 1_000_000), default=2_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the cases.")
@click.option("--kernel/--no-kernel", default=True, help="Whether to put them to Linux, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def fuzz(number: int, rounds: int, seed: int, kernel: bool, as_json: bool) -> None:
    """Measure how many cases are played per second of one core.

    Each has ten operations. They are put to the engine in this process with all oracles, without, and once
    more as frames and calls that were recorded, which takes as long as the engine itself; then to Linux, with
    all oracles.
    """
    if kernel:
        ensure_allowed(["kernel"])
    cases = [*islice(cases_of(seed), number)]
    with progress(as_json) as report:
        measured = []
        with opened("engine") as target:
            recorded = [
                Recorded(case, play(case, target, judged=False, with_steps=True).steps) for case in cases
            ]
            for each in range(1, rounds + 1):
                report(f"{number:,} cases, round {each} of {rounds}")
                measured.append(one_round(cases, recorded, target))
        found = {name: number / median(getattr(each, name) for each in measured) for name in Round._fields}
        if kernel:
            report(f"{number:,} cases on Linux")
            found["kernel"] = _on_kernel(cases)
    if as_json:
        click.echo(json.dumps(_as_object(number, measured, found), indent=2))
        return
    click.echo(
        f"{found['judged']:,.0f} cases per second with all oracles, {found['not_judged']:,.0f} without"
    )
    click.echo(f"{found['engine']:,.0f} of the engine alone")
    if kernel:
        click.echo(f"{found['kernel']:,.0f} on Linux with all oracles")


def cases_of(seed: int) -> Iterator[Case]:
    """Yield cases of ten operations: what a campaign begins with, cut to that length."""
    generator = Generator(seed)
    for number in count():
        case = generator.case(number)
        if len(case.operations) >= OPERATIONS:
            yield case._replace(operations=case.operations[:OPERATIONS])


class Recorded:
    """What a case puts to the engine: frames, calls and time.

    Args:
        case: Whose.
        steps: It was played.
    """

    def __init__(self, case: Case, steps: Sequence[Step]) -> None:
        self._case = case
        self._inputs = [self._input(step) for step in steps]

    def _input(self, step: Step) -> Callable[[Target], object]:
        operation, now = step.operation, step.at[1]
        if not isinstance(operation, Call):
            frame = step.frame
            return lambda target: target.step(frame, now)
        peer, name, size = operation.peer, operation.name, operation.size
        text = targets_text(0, size) if name in ("send", "open") else b""
        return lambda target: target.call(peer, name, now, text, size)

    def play(self, target: Target) -> None:
        """Put it to *target* again."""
        target.begin(self._case.rules, self._case.seed)
        for each in self._inputs:
            each(target)


def one_round(cases: Sequence[Case], recorded: Sequence[Recorded], target: Target) -> Round:
    """Play all of *cases* in each way."""
    return Round(
        _seconds(lambda: [play(case, target) for case in cases]),
        _seconds(lambda: [play(case, target, judged=False) for case in cases]),
        _seconds(lambda: _play_all(recorded, target)),
    )


def _play_all(recorded: Sequence[Recorded], target: Target) -> None:
    for each in recorded:
        each.play(target)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _on_kernel(cases: Sequence[Case]) -> float:
    """Return how many cases per second Linux plays; what stalls is left out."""
    played = 0
    with opened("kernel") as target:
        start = time.perf_counter()
        for case in cases:
            try:
                play(fits(case, target), target)
                played += 1
            except StalledError:
                continue
        return played / (time.perf_counter() - start)


def _as_object(number: int, measured: Sequence[Round], found: dict[str, float]) -> dict[str, Any]:
    return {
        "cases": number,
        "operations": OPERATIONS,
        "per_second": {name: round(value, 1) for name, value in found.items()},
        "oracles_cost": round(found["not_judged"] / found["judged"], 3),
        "harness_costs": round(found["engine"] / found["not_judged"], 3),
        "rounds": [each._asdict() for each in measured],
        "targets": TARGETS,
    }
