"""The ladder of a played case: peers on the left, the target on the right, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from xsocket.segment import RST, Segment
from xsocket.seqnum import add
from xsocket_tools.fuzzing.case import Call, Icmp, Say, Tick, letters_of
from xsocket_tools.fuzzing.export.words import call_text, state_text
from xsocket_tools.fuzzing.frames import Heard, read
from xsocket_tools.fuzzing.oracle.judge import Sent
from xsocket_tools.fuzzing.playing import Played, Step
from xsocket_tools.fuzzing.target import Answer
from xsocket_tools.ladder import Numbering
from xsocket_tools.scenarios.notation import options_text
from xsocket_tools.scenarios.packets import option_specs

MOST_RUNGS: Final = 80
"""How many there are at most; of longer cases the last count."""


class Rung(NamedTuple):
    """One thing that happened.

    Attributes:
        operation: Its number, counted from 1; 0 for what the target sent.
        at_s: When, seconds since the case began.
        who: The peer, or who else says it; empty for calls and time.
        way: ``in`` for what reaches the target, ``out`` for what it sends, empty for what has no frame.
        text: What, with numbers that count from the initial ones.
        state: Where the connection stands afterwards, and before that where it stood, if it has moved.
        is_wrong: Whether this is where a rule was broken.
    """

    operation: int
    at_s: float
    who: str
    way: str
    text: str
    state: str = ""
    is_wrong: bool = False

    @property
    def ms(self) -> str:
        """When, in milliseconds."""
        return f"{self.at_s * 1000:.3f}".rstrip("0").rstrip(".")


def rungs(played: Played) -> list[Rung]:
    """Return the ladder of a case that was played with its steps."""
    numberings: dict[int, Numbering] = {}
    found: list[Rung] = []
    at_wrong = -1 if played.violation is None else played.violation.at
    for at, step in enumerate(played.steps):
        found += _of_step(at, step, numberings, is_wrong=at == at_wrong)
    return found[-MOST_RUNGS:]


def _of_step(at: int, step: Step, numberings: dict[int, Numbering], *, is_wrong: bool) -> Iterator[Rung]:
    operation, (began, _) = step.operation, step.at
    rung = Rung(at + 1, began, "", "", "", _moved(step), is_wrong)
    if isinstance(operation, Tick):
        yield rung._replace(text=f"{operation.seconds:g} s pass")
    elif isinstance(operation, Call):
        assert step.answer is not None
        yield rung._replace(text=f"{call_text(operation)}: {_answer(step.answer)}")
    elif isinstance(operation, Icmp):
        mtu = f", MTU {operation.mtu}" if operation.mtu else ""
        text = f"ICMP {operation.kind}{mtu} about {operation.seq}"
        yield rung._replace(who=f"router to peer {operation.peer}", way="in", text=text)
    else:
        text = _said(operation, step.frame, numberings)
        yield rung._replace(who=f"peer {operation.peer}", way="in", text=text)
    for each in step.sent:
        yield _sent(each, numberings, is_wrong=is_wrong)


def _sent(sent: Sent, numberings: dict[int, Numbering], *, is_wrong: bool) -> Rung:
    who = f"peer {sent.peer}" if sent.peer >= 0 else "nobody of the cast"
    numbering = numberings.setdefault(sent.peer, Numbering(absolute=False))
    text = _segment(sent.segment, numbering, to_engine=False)
    return Rung(0, sent.at, who, "out", text, is_wrong=is_wrong)


def _said(say: Say, frame: bytes | None, numberings: dict[int, Numbering]) -> str:
    heard = None if frame is None else read(frame)
    twist = f" ({say.twist})" if say.twist else ""
    if not isinstance(heard, Heard):
        return f"{letters_of(say.flags)}{twist}"
    numbering = numberings.setdefault(say.peer, Numbering(absolute=False))
    return _segment(heard.segment, numbering, to_engine=True) + twist


def _segment(segment: Segment, numbering: Numbering, *, to_engine: bool) -> str:
    numbering.learn(segment, to_engine=to_engine)
    start = numbering.seq(segment.seq, to_engine=to_engine)
    if segment.flags & RST and segment.seq == 0:
        start = 0
    parts = [letters_of(segment.flags), f"{start}:{add(start, len(segment.payload))}({len(segment.payload)})"]
    if segment.ack is not None:
        parts.append(f"ack {numbering.seq(segment.ack, to_engine=not to_engine)}")
    parts.append(f"win {segment.window}")
    parts += [f"urg {segment.urgent}"] if segment.urgent else []
    parts += [options_text(option_specs(segment.options))] if segment.options else []
    return " ".join(parts)


def _moved(step: Step) -> str:
    operation = step.operation
    if isinstance(operation, Tick):
        return ""
    before, after = (state_text(state, operation.peer) for state in (step.before, step.after))
    return after if before == after else f"{before} → {after}"


def _answer(answer: Answer) -> str:
    if answer.error:
        return answer.error
    if isinstance(answer.value, bytes):
        return _octets(len(answer.value)) if answer.value else "the end"
    return _octets(answer.value) if isinstance(answer.value, int) else "done"


def _octets(count: int) -> str:
    return f"{count} octet{'s' * (count != 1)}"
