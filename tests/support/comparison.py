"""Samples of a comparison that nobody measured."""

from collections.abc import Sequence
from typing import Any

from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.measurement import Figures, measure
from xsocket_tools.compare.messages import End, Event, Outcome, Sample
from xsocket_tools.compare.parameters import Parameters
from xsocket_tools.compare.result import Machine, Result
from xsocket_tools.compare.situations import Situation
from xsocket_tools.compare.trial import Trial

MS = 1_000_000
WORKERS = 2


def answered(syn_ms: float, first_ms: float, worker: int = 1, **fields: Any) -> Sample:  # noqa: ANN401
    """Return a request that was sent at *syn_ms* and answered *first_ms* later; established in between."""
    syn_ns, first_ns = int(syn_ms * MS), int((syn_ms + first_ms) * MS)
    middle_ns = (syn_ns + first_ns) // 2
    sample = Sample(syn_ns, syn_ns, syn_ns, first_ns, End.ANSWERED, worker, middle_ns, int(syn_ms) + 1)
    return sample._replace(**fields)


def lost(syn_ms: float, end: End, *, established: bool = True, **fields: Any) -> Sample:  # noqa: ANN401
    """Return a request that was sent at *syn_ms* and never answered."""
    syn_ns = int(syn_ms * MS)
    at_ns = syn_ns if established else None
    sample = Sample(syn_ns, syn_ns, at_ns, None, end, None, None, int(syn_ms) + 1)
    return sample._replace(**fields)


def event(began_ms: float, ended_ms: float, held: Sequence[int] = ()) -> Event:
    """Return what happened to worker 0."""
    return Event(int(began_ms * MS), int(ended_ms * MS), list(held))


def figures(samples: Sequence[Sample], what: Event | None = None) -> Figures:
    """Return what *samples* come to with two workers."""
    return measure(Outcome(list(samples), what), WORKERS)


def result(trials: dict[tuple[Design, Situation], Outcome], **pool: int) -> Result:
    """Return a comparison of *trials*; *pool* is what the pool's server counted in each of its own."""
    done = [
        Trial(design, situation, outcome, measure(outcome, WORKERS), pool if design is Design.POOL else {})
        for (design, situation), outcome in trials.items()
    ]
    return Result(Machine("6.1", 2, "3.11", "0"), Parameters(workers=WORKERS, requests=100, crowd=0), done)
