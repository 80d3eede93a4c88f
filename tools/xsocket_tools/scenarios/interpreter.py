"""A script's events in order: wait for the time of each, make it happen or compare it, say what became of it.

The same code for every target. Times are microseconds of the script; a target's are seconds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from contextlib import suppress
from textwrap import dedent
from typing import Final, NamedTuple

from xsocket import Event as TraceEvent
from xsocket import FourTuple, State
from xsocket.seqnum import MASK
from xsocket.wire.icmp import IcmpPacket
from xsocket_tools.scenarios import packets, symbols
from xsocket_tools.scenarios.calls import Begun, Calls, result_text
from xsocket_tools.scenarios.errors import ScriptError, UnsupportedError
from xsocket_tools.scenarios.notation import action_text
from xsocket_tools.scenarios.outcome import Difference, Failure, Outcome, Seen, Status
from xsocket_tools.scenarios.packets import Live
from xsocket_tools.scenarios.script import (
    ANYTHING,
    Call,
    Code,
    Command,
    Direction,
    Event,
    IcmpSpec,
    Kind,
    OtherPacket,
    PoolCheck,
    Script,
    Silence,
    StateCheck,
    TcpSpec,
    When,
)
from xsocket_tools.scenarios.settings import Settings
from xsocket_tools.scenarios.space import Space
from xsocket_tools.scenarios.target import Returned, Sniffed, Target
from xsocket_tools.steps import cite
from xsocket_tools.unwinding import Terminated

_LATE_US: Final = 1_500
"""A run in which this machine was later than this proves nothing when it fails."""
_ANY_PATIENCE_US: Final = {"sim": 600_000_000, "wire": 30_000_000, "kernel": 30_000_000}
"""How long an event waits that may come at any time."""
_LATE_PATIENCE_US: Final = {"sim": 300_000_000, "wire": 1_000_000, "kernel": 1_000_000}
"""How long beyond its time a packet is waited for, so that a report can say when it came."""
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Failed(Exception):  # noqa: N818  # it carries what a run ends with
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TooSlowError(_Failed):
    """This machine was late, not the target: the run says nothing."""


class _Blocked(NamedTuple):
    """A call that is under way, and when it is to return."""

    event: Event
    call: Call
    begun: Begun
    outcome: Callable[[float], Returned | None]
    began_us: int
    until_us: int


class Interpreter:
    """Goes through a script's events on a target, once.

    Args:
        script: What is to happen.
        target: Entered already.
        settings: With the script's own flags.
        directory: Where the commands of the script run.
        asking: Whether to ask the target after each packet where it stands; see `Outcome.states`.
    """

    def __init__(
        self, script: Script, target: Target, settings: Settings, directory: str, *, asking: bool = False
    ) -> None:
        self._script = script
        self._target = target
        self._settings = settings
        self._directory = directory
        self._space = Space(settings)
        self._calls = Calls(target.sockets, settings)
        self._blocked: _Blocked | None = None
        self._last_us = 0
        self._was_late = False
        self._path: list[Seen] = []
        self._frames: list[tuple[str, float, bytes]] = []
        self._asking = asking
        self._states: list[dict[FourTuple, State | None]] = []

    def outcome(self) -> Outcome:
        """Run every event; return what became of it, and let the cleanup commands run in any case.

        Raises:
            TooSlowError: This machine was late.
        """
        try:
            status, reason, failure = self._ended()
            events, state = self._own_events(), self._state_now()
        finally:
            self._clean_up()
        return Outcome(
            self._script,
            self._target.name,
            self._settings.ip_version,
            status,
            reason,
            failure,
            tuple(self._path),
            tuple(events),
            tuple(self._frames),
            state,
            _last_rule(events),
            was_late=self._was_late,
            states=tuple(self._states),
        )

    def _ended(self) -> tuple[Status, str, Failure | None]:
        """Run every event; return how it ended, why and where."""
        try:
            self._execute()
        except TooSlowError:
            raise
        except _Failed as failed:
            return Status.FAILED, failed.failure.message, failed.failure
        except UnsupportedError as error:
            return Status.UNSUPPORTED, error.construct, self._failure(error, error.line)
        except ScriptError as error:
            return Status.ERROR, error.message, self._failure(error)
        return Status.PASSED, "", None

    def _failure(self, error: ScriptError, line: int = 0) -> Failure:
        return Failure(line or self._line, error.message, self._target.now(), remedy=error.remedy)

    def _execute(self) -> None:
        events = self._script.events
        first = next(at for at, event in enumerate(events) if event.when is not None)
        for event in events[:first]:
            self._line = event.line
            assert isinstance(event.action, Command)
            self._command(event.action)
        self._target.start()
        self._has_begun = False
        for event in events[first:]:
            if event.when is None:
                break
            if not event.targets or self._target.name in event.targets:
                self._line = event.line
                self._happen(event, event.when)
        self._line = events[-1].line
        self._finish_call()

    def _clean_up(self) -> None:
        last = self._script.events[-1]
        if last.when is None and isinstance(last.action, Command):
            with suppress(ScriptError):
                self._command(last.action)
        self._calls.close_all()

    # Time

    def _now_us(self) -> int:
        return round(self._target.now() * 1e6)

    def _start_of(self, when: When, *, own: bool) -> int:
        """Return what the time of an event counts from.

        What the script does itself counts from the time that the event before was to have, so that small
        delays do not add up; what it expects counts from now.
        """
        if when.kind in (Kind.ABSOLUTE, Kind.ABSOLUTE_RANGE):
            return 0
        return self._last_us if own else self._now_us()

    def _tolerance_us(self, at_us: int, since_us: int) -> int:
        given = self._settings.tolerance_us
        exact = self._target.exact_us if given is None else given
        if self._target.name == "sim" and given is None:
            return exact
        share = self._settings.tolerance_percent / 100 * max(0, at_us - since_us)
        return max(exact, int(share))

    def _happen(self, event: Event, when: When) -> None:
        action = event.action
        if isinstance(action, TcpSpec) and action.direction is Direction.OUTBOUND:
            self._expect(action, when)
            return
        if isinstance(action, IcmpSpec) and action.direction is Direction.OUTBOUND:
            raise UnsupportedError("ICMP that the target is to send", event.line)
        if isinstance(action, OtherPacket):
            raise UnsupportedError(action.what, event.line)
        if isinstance(action, Call):
            self._finish_call()  # one call at a time
        start = self._start_of(when, own=True)
        at_us = start + when.at_us
        self._target.wait_until(at_us / 1e6)
        self._check_lateness(event, at_us)
        self._act(event, start, at_us)
        self._last_us = self._now_us() if isinstance(action, Command) else at_us  # it takes its time

    def _check_lateness(self, event: Event, at_us: int) -> None:
        """Give up a run in which this machine did not manage to do its own part in time."""
        late_us = self._now_us() - at_us
        if not self._has_begun:  # nothing has happened yet that it could be late for
            self._has_begun = True
            return
        self._was_late = self._was_late or late_us > _LATE_US
        if late_us > self._tolerance_us(at_us, self._last_us):
            message = f"the run was late by {late_us} us: this event was to happen at {_seconds(at_us)}"
            raise TooSlowError(Failure(event.line, message, at_us / 1e6))

    # Events

    def _act(self, event: Event, start: int, at_us: int) -> None:
        match event.action:
            case TcpSpec() as spec:
                packet = self._space.packet(spec)
                self._note(event.line, at_us, action_text(spec))
                self._send(packet)
            case IcmpSpec() as spec:
                packet = self._space.icmp(spec)
                self._note(event.line, at_us, action_text(spec))
                self._send(packet)
            case Call() as call:
                self._call(event, call, start)
            case Command() as command:
                self._command(command)
            case Code(text):
                self._code(event, text)
            case StateCheck() as check:
                self._check_state(check)
            case PoolCheck(comparison, number):
                waiting = self._target.waiting()
                if not _COMPARISONS[comparison](waiting, number):
                    message = f"the pool holds {waiting} connections"
                    self._fail(message, f"pool {comparison} {number}", f"pool == {waiting}")
            case Silence():
                self._check_silence()
            case other:
                raise AssertionError(f"no event is {other}")

    def _send(self, packet: bytes) -> None:
        self._frames.append(("<", self._target.now(), packet))
        self._target.inject(packet)
        self._ask()

    def _keep(self, sniffed: Sniffed) -> None:
        self._frames.append((">", sniffed.at, sniffed.packet))
        self._ask()

    def _ask(self) -> None:
        if self._asking:
            self._states.append({key: self._target.state(key) for key in self._space.four_tuples()})

    def _note(self, line: int, at_us: int, text: str) -> None:
        self._path.append(Seen(line, at_us, text))

    def _fail(
        self, message: str, expected: str = "", actual: str = "", differences: Iterable[Difference] = ()
    ) -> None:
        at_s = self._target.now()
        raise _Failed(Failure(self._line, message, at_s, expected, actual, tuple(differences)))

    def _command(self, command: Command) -> None:
        environment = {
            "TDRILL_IPV": "6" if self._settings.version == 6 else "4",
            "LOCAL_IP": self._settings.local,
            "REMOTE_IP": self._settings.remote,
        }
        self._target.command(command.text.strip("`"), self._directory, environment)

    # Packets that are expected

    def _expect(self, spec: TcpSpec, when: When) -> None:
        start = self._start_of(when, own=False)
        at_us = start + when.at_us
        end_us = at_us if when.until_us is None else start + when.until_us
        tolerance = self._tolerance_us(at_us, self._last_us)
        wanted = action_text(spec)
        if when.kind is Kind.ANY:
            deadline = self._now_us() + _ANY_PATIENCE_US[self._target.name]
        else:
            deadline = end_us + tolerance + _LATE_PATIENCE_US[self._target.name]
        sniffed = self._next_packet(deadline / 1e6)
        if sniffed is None:
            self._fail("no packet came", wanted)
            return
        came_us = round(sniffed.at * 1e6)
        self._keep(sniffed)
        actual = self._compared(spec, sniffed, wanted)
        self._note(self._line, came_us, actual)
        if when.kind is not Kind.ANY and not at_us - tolerance <= came_us <= end_us + tolerance:
            self._fail_at(wanted, actual, came_us, at_us, end_us, tolerance)
        self._last_us = came_us

    def _next_packet(self, until: float) -> Sniffed | None:
        """Return the next packet of connections that the script still speaks of."""
        while (sniffed := self._target.next_packet(until)) is not None:
            live = packets.parse(sniffed.packet)
            if not isinstance(live, Live) or not self._space.is_retired(live):
                break
        return sniffed

    def _compared(self, spec: TcpSpec, sniffed: Sniffed, wanted: str) -> str:
        """Return the packet that came in the script's notation; fail if it is another."""
        live = packets.parse(sniffed.packet)
        if not isinstance(live, Live):
            self._fail("another packet came", wanted, _not_tcp(live))
            return ""
        actual = self._space.expect(spec, live)
        if actual is None:
            described = action_text(_as_shown(spec, self._space.describe(live)))
            self._note(0, round(sniffed.at * 1e6), described)
            self._fail("a packet of another connection came", wanted, described)
            return ""
        if not self._settings.strict_segments:
            actual = self._joined(spec, actual)
        differences = self._space.differences(spec, actual)
        shown = action_text(_as_shown(spec, actual))
        if differences:
            self._note(0, round(sniffed.at * 1e6), shown)
            names = ", ".join(difference.field for difference in differences)
            self._fail(f"another packet came: {names} differs", wanted, shown, differences)
        return shown

    def _joined(self, spec: TcpSpec, actual: TcpSpec) -> TcpSpec:
        """Return a packet with those that continue it, where the script has them as one.

        Linux hands large segments to its interface, which cuts them; a script may have them either way.
        """
        while (
            0 < actual.length < spec.length and actual.seq == spec.seq and not set("SR") & set(actual.flags)
        ):
            sniffed = self._next_packet(self._target.now())
            live = None if sniffed is None else packets.parse(sniffed.packet)
            if sniffed is None or not isinstance(live, Live):
                break
            more = self._space.expect(spec, live)
            self._keep(sniffed)
            if more is None or actual.seq is ANYTHING or more.seq != (actual.seq + actual.length) & MASK:
                break
            text = (actual.payload or b"") + (more.payload or b"")
            actual = more._replace(seq=actual.seq, length=len(text), payload=text)
        return actual

    def _fail_at(
        self, wanted: str, actual: str, came_us: int, at_us: int, end_us: int, tolerance: int
    ) -> None:
        span = _seconds(at_us) if end_us == at_us else f"{_seconds(at_us)} to {_seconds(end_us)}"
        how = "too early" if came_us < at_us else "too late"
        message = (
            f"the packet came {how}: at {_seconds(came_us)}, expected at {span}, tolerance {tolerance} us"
        )
        self._was_late = self._target.name != "sim"
        self._fail(message, wanted, actual, [Difference("time", span, _seconds(came_us))])

    def _check_silence(self) -> None:
        sniffed = self._next_packet(self._target.now())
        if sniffed is None:
            return
        live = packets.parse(sniffed.packet)
        shown = (
            action_text(_as_shown(None, self._space.describe(live))) if isinstance(live, Live) else "a packet"
        )
        self._keep(sniffed)
        self._note(0, round(sniffed.at * 1e6), shown)
        self._fail(f"a packet came at {_seconds(round(sniffed.at * 1e6))} that no event expects", "", shown)

    # System calls

    def _call(self, event: Event, call: Call, start: int) -> None:
        begun = self._calls.begin(call)
        if call.name == "close":
            self._space.close()
        elif self._calls.opens(call):
            self._space.open()
        outcome = self._target.call(begun.work)
        if call.until_us is None:
            patience_us = max(self._tolerance_us(0, 0), 100_000) if self._target.name != "sim" else 0
            returned = outcome(self._target.now() + patience_us / 1e6)
            if returned is None:
                self._blocked_for_good(call)
                return
            self._verify(call, begun, returned)
            return
        until_us = call.until_us if start == 0 else start + call.until_us
        assert event.when is not None
        if event.when.kind is Kind.RELATIVE:
            until_us = start + call.until_us
        self._blocked = _Blocked(event, call, begun, outcome, self._now_us(), until_us)

    def _blocked_for_good(self, call: Call) -> None:
        shown = action_text(call)
        self._note(self._line, self._now_us(), f"{call.name} blocks")
        self._fail(f"{call.name} has not returned", shown, f"{call.name} blocks")

    def _finish_call(self) -> None:
        """Wait for the call that is under way, and compare its time and result."""
        blocked, self._blocked = self._blocked, None
        if blocked is None:
            return
        line, self._line = self._line, blocked.event.line
        tolerance = self._tolerance_us(blocked.until_us, blocked.began_us)
        deadline = blocked.until_us + tolerance + _LATE_PATIENCE_US[self._target.name]
        returned = blocked.outcome(deadline / 1e6)
        if returned is None:
            self._blocked_for_good(blocked.call)
            return
        came_us = round(returned.at * 1e6)
        if abs(came_us - blocked.until_us) > tolerance:
            how = "too early" if came_us < blocked.until_us else "too late"
            message = (
                f"{blocked.call.name} returned {how}: at {_seconds(came_us)}, expected at "
                f"{_seconds(blocked.until_us)}, tolerance {tolerance} us"
            )
            self._was_late = self._target.name != "sim"
            self._fail(message, action_text(blocked.call), result_text(returned))
        self._verify(blocked.call, blocked.begun, returned)
        self._line = line
        self._last_us = max(self._last_us, came_us)

    def _verify(self, call: Call, begun: Begun, returned: Returned) -> None:
        differences = begun.verdict(returned)
        before, _, wanted = action_text(call).rpartition(") = ")
        as_wanted = begun.opens and not differences and returned.error is None
        shown = f"{before}) = {wanted if as_wanted else result_text(begun.returns(returned))}"
        self._note(self._line, round(returned.at * 1e6), shown)
        if differences:
            names = ", ".join(difference.field for difference in differences)
            message = f"{call.name} did otherwise: {names} differs"
            found = ", ".join(
                f"{difference.field} {difference.actual}"
                for difference in differences
                if difference.field not in ("result", "errno")
            )
            self._fail(message, action_text(call), f"{shown} {found}".rstrip(), differences)

    # Checks

    def _code(self, event: Event, text: str) -> None:
        """Run Python that sees TCP_INFO; as in packetdrill, of the socket that was made last."""
        names: dict[str, object] = dict(symbols.FOR_CODE)
        if self._calls.under_test is not None:
            with suppress(OSError):
                names |= self._target.sockets.tcp_info(self._calls.under_test)
        try:
            exec(compile(_unindented(text), f"{self._script.name}:{event.line}", "exec"), names)  # noqa: S102
        except Terminated:
            raise
        except SystemExit as error:
            self._fail(f"code failed: it would end the whole run, with status {error}")
        except AssertionError as error:
            self._was_late = self._target.name != "sim"  # it may be about a time that was measured
            self._fail("an assertion failed", " ".join(text.split()), str(error))
        except NameError as error:
            if "tcpi_" in str(error):
                raise UnsupportedError(f"code that asks for more than this target knows: {error}") from None
            self._fail(f"code failed: {error}")
        except Exception as error:
            self._fail(f"code failed: {type(error).__name__}: {error}")

    def _check_state(self, check: StateCheck) -> None:
        key = self._space.named(check.ports).four_tuple
        state = None if key is None else self._target.state(key)
        found = (state or State.CLOSED).name
        self._note(self._line, self._now_us(), f"state {found}")
        if found != check.state:
            self._fail(f"the connection is in {found}", action_text(check), f"state {found}")

    # What a report shows

    def _own_events(self) -> list[TraceEvent]:
        known = set(self._space.four_tuples())
        return [event for event in self._target.events() if event.four_tuple in known]

    def _state_now(self) -> str:
        key = self._space.first.four_tuple
        if key is None:
            return ""
        state = self._target.state(key)
        return (state or State.CLOSED).value


def _as_shown(expected: TcpSpec | None, actual: TcpSpec) -> TcpSpec:
    """Return a packet with no more of it than the script speaks of: its IP header, its urgent pointer."""
    ip = actual.ip
    if expected is None:
        return actual._replace(
            ip=ip._replace(ecn=None, tos=None, ttl=None, flow_label=None),
            urgent=actual.urgent or None,
            payload=None,
        )
    wanted = expected.ip
    shown = ip._replace(
        ecn=None if wanted.ecn is None else ip.ecn,
        tos=None if wanted.tos is None else ip.tos,
        ttl=None if wanted.ttl is None else ip.ttl,
        flow_label=None if wanted.flow_label is None else ip.flow_label,
    )
    return actual._replace(
        ip=shown,
        urgent=actual.urgent or None,
        payload=None if expected.payload is None else actual.payload,
    )


def _not_tcp(packet: IcmpPacket | None) -> str:
    if packet is None:
        return "a packet that is neither TCP nor ICMP"
    kind, code = packets.icmp_name(packet)
    return f"> icmp {kind} {code}"


def _last_rule(events: Iterable[TraceEvent]) -> str:
    rule = ""
    for event in events:
        if event.rule is not None:
            rule = cite(event.rule)
        elif event.reason is not None:
            rule = event.reason.value
    return rule


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:.6f} s"


def _unindented(text: str) -> str:
    lines = text.strip(" \t\n").splitlines()
    return "\n".join([lines[0], *dedent("\n".join(lines[1:])).splitlines()]) if lines else ""
