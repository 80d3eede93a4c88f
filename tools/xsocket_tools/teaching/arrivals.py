"""Finds when each segment that was sent arrived, changed on the way or not, and what nobody has sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xsocket.segment import AE, CWR, ECE, NOT_ECT, Segment
from xsocket.trace import EventKind
from xsocket_tools.teaching.holding import WAITING_CLAIMS
from xsocket_tools.teaching.records import Moment


def without_silent(moments: Sequence[Moment]) -> tuple[list[Moment], dict[int, list[Moment]]]:
    """Return the moments that make steps, and those before each that make none; by its id."""
    told: list[Moment] = []
    silent: dict[int, list[Moment]] = {}
    pending: list[Moment] = []
    for moment in moments:
        if moment.step.event.pool_event in WAITING_CLAIMS:
            pending.append(moment)
        else:
            told.append(moment)
            if pending:
                silent[id(moment)], pending = pending, []
    return told, silent


def matched(moments: Sequence[Moment]) -> tuple[dict[int, Moment], set[int]]:
    """Return the arrival of each segment that was sent, and which arrivals nobody sent; by id of the step."""
    arrivals: dict[int, Moment] = {}
    under_way: list[Moment] = []
    delays: dict[int, int] = {}
    unasked = set()
    for moment in moments:
        if not moment.step.is_arrow:
            continue
        record = moment.record
        if moment.step.event.kind is EventKind.SENT:
            if record is None or not record.lost:
                under_way.append(moment)
            continue
        sent = None if record is not None and record.forged else _sent_as(moment, under_way, delays)
        if sent is None:
            unasked.add(id(moment.step))
        else:
            under_way.remove(sent)
            arrivals[id(sent.step)] = moment
            delays[moment.end] = moment.step.event.at_ns - sent.step.event.at_ns
    return arrivals, unasked


def _sent_as(arrived: Moment, under_way: Iterable[Moment], delays: Mapping[int, int]) -> Moment | None:
    """Return what *arrived* was when it was sent: the same, or else what the path may have made it of.

    Of several that are the same, one was lost and sent again. It is the one that was under way for about as
    long as the last segment that came this way (*delays*, by end); before any has come, the latest.
    """
    got = arrived.step.event
    candidates = [
        each
        for each in under_way
        if each.end != arrived.end
        and each.step.event.four_tuple is not None
        and each.step.event.four_tuple.reversed == got.four_tuple
    ]
    expected = got.at_ns - delays.get(arrived.end, 0)
    candidates.sort(key=lambda each: abs(each.step.event.at_ns - expected))
    same = (each for each in candidates if not _differs(each.step.event.segment, got.segment))
    alike = (each for each in candidates if _outline(each.step.event.segment) == _outline(got.segment))
    cleared = (each for each in candidates if _bare(each.step.event.segment) == _bare(got.segment))
    return next(same, None) or next(alike, None) or next(cleared, None)


def _outline(segment: Segment | None) -> tuple[int, int, int]:
    assert segment is not None
    return segment.seq, segment.flags, len(segment.payload)


def _bare(segment: Segment | None) -> tuple[int, int, int]:
    """Return its outline without the flags of ECN, which old routers clear."""
    seq, flags, length = _outline(segment)
    return seq, flags & ~(ECE | CWR | AE), length


def _differs(sent: Segment | None, got: Segment | None) -> bool:
    """Whether the path has changed a segment, but for a mark of congestion."""
    assert sent is not None
    assert got is not None
    return sent._replace(ecn=NOT_ECT) != got._replace(ecn=NOT_ECT)
