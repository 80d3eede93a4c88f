"""What the requests of one trial come to: counts, times, shares. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil, inf
from statistics import pstdev
from typing import Final, NamedTuple

from xsocket_tools.compare.messages import End, Event, Outcome, Sample
from xsocket_tools.compare.situations import ODD

LATE_MS: Final = 10.0
"""How late the clients may be in one of a hundred requests, milliseconds; a crowd needs 3 to set out."""

_NS_PER_MS: Final = 1e6


class Spread(NamedTuple):
    """How evenly requests went to the workers.

    Attributes:
        max_over_min: The largest share divided by the smallest; infinite when one worker answered nothing.
        deviation: The standard deviation of the shares, 0 when they are equal.
    """

    max_over_min: float
    deviation: float


class Times(NamedTuple):
    """Quantiles of durations, milliseconds.

    Those of requests that were never answered count as infinite in `p50` and `p99`, and not in `longest`.
    """

    p50: float
    p99: float
    longest: float


class Figures(NamedTuple):
    """What one trial came to.

    Attributes:
        requests: How many were made.
        done: How many were answered.
        lost: How many were not.
        lost_taken: Of those, connections that the stopped or killed worker had taken.
        lost_unclaimed: The others.
        ends: What became of the lost ones, by `End`; only what occurred.
        established_meanwhile: Connections that were established while the worker was stopped; for a killed
            one, those that were established and not answered when it was.
        stranded: Connections that were established, that no worker had taken, and that waited for one worker
            in vain; see `stranded`.
        held: Connections that the stopped or killed worker had taken.
        first_ms: From SYN to the first octet of the answer.
        others_first_ms: The same, of those that other workers than worker 0 answered.
        taken_ms: From SYN to the moment at which a worker took the connection.
        late_ms: How late the clients themselves were: from the planned instant to the SYN.
        shares: Each worker's part of what was answered.
        spread: How evenly.
    """

    requests: int
    done: int
    lost: int
    lost_taken: int
    lost_unclaimed: int
    ends: dict[str, int]
    established_meanwhile: int
    stranded: int
    held: int
    first_ms: Times
    others_first_ms: Times
    taken_ms: Times
    late_ms: Times
    shares: list[float]
    spread: Spread

    @property
    def is_late(self) -> bool:
        """Whether the clients were so late that the figures are about the machine, and not the design."""
        return self.late_ms.p99 > LATE_MS

    @property
    def reset(self) -> int:
        """How many connections were reset, established or not."""
        return self.ends.get(End.RESET.value, 0)


def measure(outcome: Outcome, workers: int) -> Figures:
    """Return what *outcome* comes to, of a design with that many *workers*."""
    samples, event = outcome
    held = set(event.held) if event else set()
    lost = [each for each in samples if each.end is not End.ANSWERED]
    taken = sum(each.port in held for each in lost)
    shares = shares_of(samples, workers)
    return Figures(
        requests=len(samples),
        done=len(samples) - len(lost),
        lost=len(lost),
        lost_taken=taken,
        lost_unclaimed=len(lost) - taken,
        ends=dict(Counter(each.end.value for each in lost)),
        established_meanwhile=sum(_waited_meanwhile(each, event) for each in samples) if event else 0,
        stranded=stranded(samples, event),
        held=len(held),
        first_ms=times([first_ms(each) for each in samples]),
        others_first_ms=times([first_ms(each) for each in samples if each.worker not in (ODD, None)]),
        taken_ms=times([_taken_ms(each) for each in samples]),
        late_ms=times([(each.syn_ns - each.planned_ns) / _NS_PER_MS for each in samples]),
        shares=shares,
        spread=spread(shares),
    )


def _waited_meanwhile(sample: Sample, event: Event) -> bool:
    """Whether a connection was established and not answered at some moment of *event*."""
    if sample.established_ns is None:
        return False
    return sample.established_ns <= event.ended_ns and (sample.first_ns or inf) > event.began_ns


def stranded(samples: Sequence[Sample], event: Event | None) -> int:
    """Return how many connections were established, were not taken, and waited for one worker in vain.

    Those that got no answer, and those that the stopped worker answered after it went on, though meanwhile
    others were free: they took connections that had not even begun when this one was established. What only
    waited its turn, with all workers busy, is not stranded.
    """
    held = set(event.held) if event else set()
    waited = [each for each in samples if each.established_ns is not None and each.port not in held]
    unanswered = sum(each.end is not End.ANSWERED for each in waited)
    if event is None:
        return unanswered
    last_syn_ns = max((each.syn_ns for each in samples if _is_taken_meanwhile(each, event)), default=0)
    late = [each for each in waited if each.worker == ODD and _is_answered_after(each, event)]
    return unanswered + sum((each.established_ns or 0) < last_syn_ns for each in late)


def _is_taken_meanwhile(sample: Sample, event: Event) -> bool:
    """Whether another worker took a connection before *event* was over."""
    return sample.worker != ODD and sample.taken_ns is not None and sample.taken_ns < event.ended_ns


def _is_answered_after(sample: Sample, event: Event) -> bool:
    return sample.first_ns is not None and sample.first_ns > event.ended_ns


def first_ms(sample: Sample) -> float:
    """Return the time from SYN to the first octet of the answer, milliseconds; infinite without one."""
    return inf if sample.first_ns is None else (sample.first_ns - sample.syn_ns) / _NS_PER_MS


def _taken_ms(sample: Sample) -> float:
    return inf if sample.taken_ns is None else (sample.taken_ns - sample.syn_ns) / _NS_PER_MS


def times(durations_ms: Sequence[float]) -> Times:
    """Return the quantiles of *durations_ms*; all infinite when there is none."""
    ordered = sorted(durations_ms)
    finite = [each for each in ordered if each < inf]
    return Times(quantile(ordered, 0.5), quantile(ordered, 0.99), finite[-1] if finite else inf)


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest of the sorted values that at least *part* of them do not exceed (nearest rank)."""
    return ordered[max(ceil(part * len(ordered)), 1) - 1] if ordered else inf


def shares_of(samples: Sequence[Sample], workers: int) -> list[float]:
    """Return each worker's part of the answered requests; zeros when none was answered."""
    answered = Counter(each.worker for each in samples if each.end is End.ANSWERED)
    total = answered.total() or 1
    return [answered[number] / total for number in range(workers)]


def spread(shares: Sequence[float]) -> Spread:
    """Return how evenly *shares* are spread."""
    least, most = min(shares), max(shares)
    return Spread(most / least if least else inf, pstdev(shares))


def survival(durations_ms: Sequence[float], points: int = 300) -> list[tuple[float, float]]:
    """Return how many last longer than what: pairs of a duration and the part that exceeds it, in order.

    The longest ones are all there; the others are thinned out, evenly in the logarithm of that part, to
    *points* at most. Infinite ones come last.
    """
    ordered = sorted(durations_ms, reverse=True)
    total = len(ordered)
    ranks = sorted({round(total ** (step / points)) for step in range(points + 1)} | {1}) if total else []
    return [(ordered[rank - 1], (rank - 1) / total) for rank in reversed(ranks)]
