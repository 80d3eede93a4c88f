"""A played case as a script: events in order, with what was seen of the target as what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xsocket.state import State
from xsocket_tools.fuzzing.case import Call as Said
from xsocket_tools.fuzzing.case import Icmp, Say, Tick
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.export.calls import Calls, Means, Nothing
from xsocket_tools.fuzzing.export.connections import connections
from xsocket_tools.fuzzing.export.layout import Line, commented
from xsocket_tools.fuzzing.export.segments import Inexpressible, Segments
from xsocket_tools.fuzzing.export.stage import Role, Stage
from xsocket_tools.fuzzing.export.words import (
    operation_text,
    peer_text,
    segment_text,
    violation_lines,
)
from xsocket_tools.fuzzing.oracle.judge import Sent
from xsocket_tools.fuzzing.playing import Played, Step
from xsocket_tools.scenarios.notation import COLUMN, call_text, event_text
from xsocket_tools.scenarios.script import (
    Action,
    Call,
    Dots,
    Event,
    Flag,
    IcmpSpec,
    Kind,
    Silence,
    StateCheck,
    TcpSpec,
    Verdict,
    When,
)

_LATER: Final = "    "


class Writer:
    """Writes one script.

    Args:
        played: With its steps.
        stage: Who is in it.
        means: What it has.

    Attributes:
        gaps: What the language cannot express, a sentence each.
        left_out: The operations that are therefore not there, counted from 0.
        lines: The events, and comments between them.
        is_confused: Whether packets without ports are another connection's from some call on, where it ends.
        is_in_any_order: Whether some packets might come in another order.
    """

    def __init__(self, played: Played, stage: Stage, means: Means) -> None:
        self._played, self._stage, self._means = played, stage, means
        self._segments = Segments(stage, on_kernel=means.on_kernel)
        peers = {four_tuple: peer for peer, four_tuple in connections(played.steps).items()}
        self._calls = Calls(stage, means, peers)
        self._latest_us = 0
        self._has_begun = False
        self._states: dict[int, State | None] = {}
        self.gaps: list[str] = []
        self.left_out: list[int] = []
        self.lines: list[Line] = []
        self._claims = False
        self.is_confused = self.is_in_any_order = False

    @property
    def flags(self) -> list[Flag]:
        """The flags of the script; known at its end."""
        echoes = [Flag("tcp_ts_ecr_scaled", None, 0)] if self._segments.echoes_unseen else []
        return [*self._stage.flags(), *echoes]

    @property
    def verdicts(self) -> list[Verdict]:
        """What is expected of the script on some targets; known at its end."""
        reason = "Linux gives the oldest connection, whoever is asked for"
        return [Verdict(frozenset({"kernel"}), "skip", reason, 0)] if self._claims else []

    @property
    def told(self) -> list[str]:
        """The events alone."""
        return [line.text for line in self.lines if line.kind != "remark"]

    def write(self) -> None:
        """Write everything."""
        violation = self._played.violation
        for call in self._calls.prologue():
            self._do(call, 0)
        steps = self._played.steps
        for at, step in enumerate(steps):
            is_wrong = violation is not None and violation.at == at
            self._step(at, step, is_wrong=is_wrong)
            if is_wrong or self.is_confused:
                return
        if violation is not None and violation.at >= len(steps):
            self._never_ended(violation.at)
        if violation is None:
            end = _us(steps[-1].at[1]) if steps else 0
            self._do(Silence(), max(end, self._latest_us))

    # Lines

    def _do(self, action: Action, at_us: int) -> None:
        """Write what the script does, or checks."""
        if not self._has_begun and at_us == 0:
            when = When(Kind.ABSOLUTE, 0)
        else:
            when = When(Kind.RELATIVE, max(0, at_us - self._latest_us))
        self._has_begun = True
        self._latest_us = max(self._latest_us, at_us)
        kind = "call" if isinstance(action, Call) else "packet"
        self.lines.append(Line(event_text(Event(when, action, 0), COLUMN), kind))

    def _remark(self, text: str) -> None:
        self.lines.append(Line(commented(text), "remark"))

    def _gap(self, at: int, step: Step, why: str) -> None:
        what = f"operation {at + 1}, {operation_text(step.operation)}: {why}"
        self.gaps.append(what)
        self.left_out.append(at)
        self._remark(f"not expressible: {what}")
        for each in step.sent:
            self._remark(f"{_LATER}came of it: {_shown(each)}")

    # Steps

    def _step(self, at: int, step: Step, *, is_wrong: bool) -> None:
        operation = step.operation
        if isinstance(operation, Tick):
            self._expect(at, step, is_wrong=is_wrong)
        else:
            role = self._stage.roles.get(operation.peer)
            if role is None:
                version = PEERS[operation.peer].version
                self._gap(at, step, f"IPv{version}, and a script has one IP version")
            elif role.peer in self._segments.lost:
                self._gap(at, step, "the target has begun anew, and no script can tell")
            else:
                if not self._came_together(at):
                    self._check(role, step.before, _us(step.at[0]))
                self._act(at, role, step, is_wrong=is_wrong)
        if is_wrong:
            self._show_wrong(step)

    def _came_together(self, at: int) -> bool:
        """Return whether a step began with the one before, whose connection was looked at."""
        before = self._played.steps[at - 1].operation if at else None
        return isinstance(before, Say) and before.joined

    def _act(self, at: int, role: Role, step: Step, *, is_wrong: bool) -> None:
        operation, at_us = step.operation, _us(step.at[0])
        if isinstance(operation, Said):
            done = self._call(at, role, step, is_wrong=is_wrong)
        else:
            done = self._inject(role, step)
        if isinstance(done, Inexpressible):
            self._gap(at, step, done.why)
        elif not self.is_confused:
            self._expect(at, step, is_wrong=is_wrong)
            if not is_wrong:
                self._check(role, step.after, at_us)

    def _inject(self, role: Role, step: Step) -> Inexpressible | None:
        operation, frame = step.operation, step.frame
        assert isinstance(operation, Say | Icmp)
        assert frame is not None
        spec: TcpSpec | IcmpSpec | Inexpressible
        if isinstance(operation, Say):
            spec = self._segments.said(role, operation, frame)
        else:
            spec = self._segments.error(role, operation, frame)
        if isinstance(spec, Inexpressible):
            return spec
        self._do(spec, _us(step.at[0]))
        return None

    def _call(self, at: int, role: Role, step: Step, *, is_wrong: bool) -> Inexpressible | None:
        made = self._calls.made(role, step)
        if isinstance(made, Inexpressible):
            return made
        if isinstance(made, Nothing):
            self._remark(f"operation {at + 1}, {operation_text(step.operation)}: {made.why}.")
            return None
        self._make(made, _us(step.at[0]), is_wrong=is_wrong)
        return None

    def _make(self, calls: list[Call], at_us: int, *, is_wrong: bool) -> None:
        """Write calls, and notice what a run makes of them; of what was wrong they may return anything."""
        space = self._segments.space
        first = space.first
        for call in calls:
            if is_wrong and call.name in ("accept", "claim"):
                self.lines += [Line(f"// +0      {call_text(each)}", "remark") for each in calls]
                return
            self._do(call._replace(result=Dots(), errno="") if is_wrong and _may_vary(call) else call, at_us)
            self._claims |= call.name == "claim"
            if call.name == "close":
                space.close()
            elif call.name in ("connect", "sendto"):
                space.open()
        self.is_confused |= space.first is not first and not self._stage.is_alone

    def _expect(self, at: int, step: Step, *, is_wrong: bool) -> None:
        """Write what the target sent; of what was wrong only in a comment."""
        if is_wrong:
            return
        self._look_for_order(at, step)
        for each in step.sent:
            role = self._stage.roles.get(each.peer)
            if role is None:
                what = f"what goes to {peer_text(each.peer) if each.peer >= 0 else 'nobody of the cast'}"
                self.gaps.append(f"operation {at + 1}: {what}")
                self._remark(f"not expressible: {what}: {_shown(each)}")
                continue
            if role.peer in self._segments.lost:
                self.gaps.append(f"operation {at + 1}: what goes to {peer_text(each.peer)} now")
            self._do(self._segments.sent(role, each.segment), self._at_us(step, each))

    def _at_us(self, step: Step, sent: Sent) -> int:
        """Return when something was sent. In real time answers come at once, all else after milliseconds."""
        if self._means.is_virtual:
            return _us(sent.at)
        return round(sent.at * 1e3) * 1_000 if isinstance(step.operation, Tick) else _us(step.at[0])

    def _look_for_order(self, at: int, step: Step) -> None:
        """Notice if timers of several connections run out at one instant, in whatever order."""
        whom: dict[int, set[int]] = {}
        for each in step.sent:
            if each.peer in self._stage.roles:
                whom.setdefault(_us(each.at), set()).add(each.peer)
        if isinstance(step.operation, Tick) and any(len(peers) > 1 for peers in whom.values()):
            self.is_in_any_order = True
            self.gaps.append(
                f"operation {at + 1}: timers of several connections run out at once, in any order"
            )

    def _check(self, role: Role, state: State | None, at_us: int) -> None:
        if self._states.get(role.peer) is not state:
            self._states[role.peer] = state
            self._do(StateCheck((state or State.CLOSED).name, role.outbound), at_us)

    # What was wrong

    def _show_wrong(self, step: Step) -> None:
        violation = self._played.violation
        assert violation is not None
        said = dict(violation_lines(violation))
        if isinstance(step.operation, Tick):
            self._remark(operation_text(step.operation))
        self._remark(said["rule"])
        self._remark(f"expected: {said['expected']}")
        self._remark(f"got: {said['got']}")
        self.lines += [Line(f"// {text}", "remark") for text in self._as_it_was(step)]

    def _as_it_was(self, step: Step) -> Iterator[str]:
        """Yield the events that what the target did in the step would be."""
        for each in step.sent:
            role = self._stage.roles.get(each.peer)
            if role is None:
                yield _shown(each)
                continue
            at_us = self._at_us(step, each)
            when = When(Kind.RELATIVE, max(0, at_us - self._latest_us))
            self._latest_us = max(self._latest_us, at_us)
            yield event_text(Event(when, self._segments.sent(role, each.segment), 0), COLUMN)
        if not step.sent:
            yield "+0      silence"

    def _never_ended(self, at: int) -> None:
        violation = self._played.violation
        assert violation is not None
        said = dict(violation_lines(violation))
        operation = operation_text(self._played.case.operations[at])
        self.gaps.append(f"operation {at + 1}, {operation}: it did not end")
        self._remark(f"not expressible: operation {at + 1}, {operation}: it did not end")
        for name in ("rule", "expected", "got"):
            self._remark(said[name] if name == "rule" else f"{name}: {said[name]}")


def _may_vary(call: Call) -> bool:
    """Return whether what a call returns is what the case is about, and no descriptor or setting of ours."""
    return call.name in ("connect", "sendto", "read", "write", "shutdown", "close")


def _shown(sent: Sent) -> str:
    return f"at {sent.at:g} s, {segment_text(sent.segment)}"


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
