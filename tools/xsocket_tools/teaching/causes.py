"""Why something happened: the rules that an engine cites, and what a kernel says at its tracepoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from xsocket.state import State
from xsocket.trace import Event, EventKind
from xsocket_tools.ladder import flag_names
from xsocket_tools.rules.catalogue import catalogue
from xsocket_tools.rules.citation import citations
from xsocket_tools.steps import cite
from xsocket_tools.teaching.kernel_reasons import why_dropped, why_reset
from xsocket_tools.teaching.records import Moment, Record
from xsocket_tools.teaching.story import Because
from xsocket_tools.teaching.tracepoints import Again


def because_of(moment: Moment) -> list[Because]:
    """Return the rules that had their say at one end: of what was sent, and of each move."""
    step, did = moment.step, defaultdict[str, list[str]](list)
    event = step.event
    if event.rule is not None and event.kind is EventKind.SENT and event.segment is not None:
        did[event.rule].append(f"sent {flag_names(event.segment)}")
    for move in step.moves:
        if move.rule is not None and move.trigger is not None and move.after is not None:
            moved = f"{move.after.value} by " if move.before is not move.after else ""
            did[move.rule].append(f"{moved}{move.trigger.value}")
    found = [_explained(moment.end, rule, ", ".join(dict.fromkeys(what))) for rule, what in did.items()]
    return found if moment.record is None else [*found, *_kernelsbecause_of(moment.record)]


def _kernelsbecause_of(record: Record) -> Iterator[Because]:
    """Yield the rules behind what a kernel said at its tracepoints."""
    event, end = record.event, record.end
    assert event.segment is not None or not (record.drop or record.reset or record.again)
    if record.again is not None and event.segment is not None:
        did = f"sent {flag_names(event.segment)} again"
        if record.again is Again.BY_TIMER:
            yield _explained(end, _timers_rule(record), did)
        else:
            yield Because(end, "Linux", did, "Lost", "What came shows that it has not arrived.")
    if record.reset:
        of_ack = event.segment is not None and event.segment.ack is None
        why = why_reset(record.reset, event.before, of_ack=of_ack)
        said = record.reset + (f", {why.sentence}." if why.sentence else ".")
        if not why.rule:
            yield Because(end, "Linux", "sent RST", "A reset", said)
        else:
            by = _explained(end, why.rule, "sent RST")
            yield by._replace(sentence=f"Linux: {said} {by.sentence}")
    if _was_dropped(record) and event.segment is not None:
        rule = why_dropped(record.drop, event.segment, event.before).rule
        if rule:
            yield _explained(end, rule, "dropped")


def _timers_rule(record: Record) -> str:
    """Return the rule by which a timer has a segment sent again; that of loss probes counts no timeouts."""
    in_handshake = record.event.before in (State.SYN_SENT, State.SYN_RECEIVED)
    return "RFC 6298 5.4" if record.timeouts or in_handshake else "RFC 8985 7.3"


def _was_dropped(record: Record) -> bool:
    """Whether a kernel dropped a segment for which it did nothing; it drops what it is through with, too."""
    return bool(record.drop) and record.event.before is record.event.after


@cache
def _explained(end: int, rule: str, did: str) -> Because:
    key = cite(rule)
    try:
        entries = catalogue().explaining(rule)
    except KeyError:
        entries = ()
    if not entries:
        return Because(end, key, did)
    entry = entries[-1]
    return Because(end, key, did, entry.title, _first_sentence(entry.text), citations(rule)[-1].url)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    head, stop, _ = paragraph.partition(". ")
    return head + stop.rstrip() if stop else paragraph


def drops_of(moment: Moment) -> list[str]:
    """Return why what came was dropped; nothing if it was not."""
    record = moment.record
    if record is None or record.event.segment is None or not _was_dropped(record):
        return [why_ignored(drop) for drop in moment.step.drops]
    why = why_dropped(record.drop, record.event.segment, record.event.before)
    return [": ".join(filter(None, (f"dropped, {record.drop}", why.rule and cite(why.rule), why.sentence)))]


def why_ignored(event: Event) -> str:
    """Return an engine's reason."""
    assert event.reason is not None
    return f"dropped, {event.reason.name}: {event.reason.value}"
