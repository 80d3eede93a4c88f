"""Experiments with the TCP of a stage: it is fuzzed, its state machine is learned, a case is acted out.

For the fuzzer and the learner that TCP is opened anew, beside the two ends of the stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from xsocket.segment import SYN
from xsocket_tools.fuzzing.case import Case, Operation, Place, Say
from xsocket_tools.fuzzing.export.words import operation_text
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.fuzzing.opening import ensure_allowed, opened
from xsocket_tools.fuzzing.replaying import judged
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.shard import Shard, run
from xsocket_tools.fuzzing.shrinking import shrunk
from xsocket_tools.fuzzing.target import Target
from xsocket_tools.learning.alphabet import alphabet_of
from xsocket_tools.learning.asked import facts_of
from xsocket_tools.learning.extra import imported_learner
from xsocket_tools.learning.machine import Machine
from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.stage import FLAGS, Stage, bits

_KNOWN: Final = bits("+".join(FLAGS))
_FAR: Final = {"far": 1 << 30, "wrapped": 1 << 31}
_SEQUENCES: Final = {"next": 0, "left": 0, "old": -1, "duplicate": -1, "start": -1, **_FAR}
_ACKNOWLEDGMENTS: Final = {"next": 0, "beyond": 1, "duplicate": -1, "start": -1, "old": -2, **_FAR}
"""Places of a half-open connection as numbers that count from RCV.NXT or SND.NXT of whom a segment is for."""


class Fuzzed(NamedTuple):
    """What came of fuzzing.

    Attributes:
        result: Of all cases; each of its findings has the first case that showed it, as long as it was.
        smallest: The finding that most cases showed, in the smallest case that does; None for no finding.
        before: How many operations that case had; 0 for no finding.
    """

    result: Result
    smallest: Finding | None
    before: int


def fuzz(stage: Stage, *, seed: int, cases: int) -> Fuzzed:
    """Put the cases of a seed to the TCP of a stage, and allow it nothing that the RFCs do not.

    Args:
        stage: Whose TCP.
        seed: Of the cases.
        cases: How many.

    Raises:
        TargetError: The machine allows no namespaces, which the kernel needs.
    """
    with _tcp_of(stage) as target:
        result = run(Shard(seed, 0, cases, shrink=False), target)
        if not result.findings:
            return Fuzzed(result, None, 0)
        most = max(result.findings, key=lambda each: each.times)

        def finds(case: Case) -> bool:
            violation = judged(case, target).violation
            return violation is not None and violation.signature == most.signature

        last = judged(shrunk(most.case, finds), target)
    assert last.violation is not None, "it found that when it was made smaller"
    smallest = most._replace(case=last.played.case, violation=last.violation)
    return Fuzzed(result, smallest, len(most.case.operations))


def learn(stage: Stage, letters: str = "basic") -> Machine:
    """Learn the state machine of the TCP of a stage, as a server.

    Args:
        stage: Whose TCP.
        letters: An alphabet; see `xsocket_tools.learning.alphabet`.

    Raises:
        LearningUnavailableError: The extra is not installed.
        LearningError: The TCP contradicts itself, or does not answer in time.
        TargetError: The machine allows no namespaces, which the kernel needs.
    """
    learner = imported_learner()
    with _tcp_of(stage) as target:
        alphabet, facts = alphabet_of(letters, "server"), facts_of(stage.name)
        machine = learner.learn(target, alphabet, "server", facts=facts).machine
    assert isinstance(machine, Machine)
    return machine


@contextmanager
def _tcp_of(stage: Stage) -> Iterator[Target]:
    """Give the TCP of a stage to put cases to."""
    ensure_allowed([stage.name])
    with opened(stage.name) as target:
        if stage.name == "kernel":
            from xsocket_tools.fuzzing.targets.kernel import KernelTarget

            assert isinstance(target, KernelTarget)
            target.deviations = ()
        yield target


def act_out(stage: Stage, case: Case) -> None:
    """Let both ends of a stage do what a case says: its SYN is the client's, what follows is forged.

    Args:
        stage: Where.
        case: A SYN, and one segment without text for the half-open connection.

    Raises:
        NotOnThisStageError: There is something else in it.
    """
    try:
        opening, forged = (_plain(each) for each in case.operations)
    except ValueError:
        raise NotOnThisStageError("a stage acts out two operations, no more and no fewer") from None
    if opening.flags != SYN:
        raise NotOnThisStageError("the first operation is to be a SYN")
    stage.client.open()
    stage.settle()
    flags = "+".join(name for name, bit in FLAGS.items() if forged.flags & bit)
    seq, ack = _offset(forged.seq, _SEQUENCES), _offset(forged.ack, _ACKNOWLEDGMENTS)
    stage.forge("server", flags, seq=seq, ack=ack)
    stage.settle()


def _plain(operation: Operation) -> Say:
    if not isinstance(operation, Say) or operation.text or operation.twist or operation.flags & ~_KNOWN:
        raise NotOnThisStageError(f"no stage can act out: {operation_text(operation)}")
    return operation


def _offset(place: Place, known: dict[str, int]) -> int:
    if place.name not in known:
        raise NotOnThisStageError(f"no stage can say where {place} is")
    return known[place.name] + place.offset
