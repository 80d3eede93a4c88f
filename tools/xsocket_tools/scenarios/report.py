"""What became of runs, for people: a failure with script and ladder, and several targets side by side.

Everything is a rich renderable. Where there are no colours, marks stand below what differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from io import StringIO
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xsocket.patherror import PathError
from xsocket.trace import Event, EventKind
from xsocket.wire.codec import TcpPacket, decode
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket_tools.ladder import ladder
from xsocket_tools.ladder_view import LadderView
from xsocket_tools.scenarios.outcome import Failure, Outcome, Seen, Status
from xsocket_tools.steps import cite

if TYPE_CHECKING:
    from xsocket import FourTuple

LINES_BEFORE: Final = 4
LINES_AFTER: Final = 2
MOST_LADDERS: Final = 3
"""How many connections of a run are drawn; the last ones."""
STEPS_AFTER_PARTING: Final = 3
GAP: Final = 3
INDENT: Final = 2

WORDS: Final = {
    Status.PASSED: ("ok", "green"),
    Status.FAILED: ("FAIL", "bold red"),
    Status.XFAILED: ("xfail", "yellow"),
    Status.XPASSED: ("XPASS", "bold red"),
    Status.SKIPPED: ("skip", "yellow"),
    Status.UNSUPPORTED: ("unsup", "magenta"),
    Status.ERROR: ("ERROR", "bold red"),
}
"""A run's status in a table, and its style."""

Span = tuple[int, int]

_NOTHING: Final = "nothing"
_TOKEN: Final = re.compile(r"\s+|\w+|[^\w\s]")
_RANDOM: Final = re.compile(r"\b(TS val|FO|FOEXP|md5) [0-9a-f]+")
"""What each run draws anew, or computes from that."""
_STATION: Final = bytes(6)
_WORST_FIRST: Final = (
    Status.ERROR,
    Status.FAILED,
    Status.XPASSED,
    Status.UNSUPPORTED,
    Status.SKIPPED,
    Status.XFAILED,
    Status.PASSED,
)


def as_text(renderable: RenderableType, width: int = 100) -> str:
    """Return *renderable* as text without colours, for logs, files and other programs' reports."""
    screen = StringIO()
    console = Console(file=screen, width=width, force_terminal=False, color_system=None, highlight=False)
    console.print(renderable, crop=False)
    return "\n".join(line.rstrip() for line in screen.getvalue().splitlines())


class FailureReport:
    """A rich renderable: where and why a run failed, what was expected and what came, and how it got there.

    Args:
        outcome: Of the run; one that could not be run, or passed against its script's word, is told of too.
        capture: Where its packets are, if anywhere.
        titled: Whether it begins with a title, the name of the run; else the first line names the place.
    """

    def __init__(self, outcome: Outcome, capture: Path | None = None, *, titled: bool = True) -> None:
        self._outcome = outcome
        self._capture = capture
        self._titled = titled

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, no wider than *options* allow."""
        outcome, failure = self._outcome, self._outcome.failure
        if self._titled:
            yield Text(f"{WORDS[outcome.status][0]} {outcome.name}", style="bold red")
        if failure is None or failure.line == 0:
            yield Text(told(outcome) if self._titled else f"{outcome.script.name}: {told(outcome)}")
        else:
            place = f"line {failure.line}, " if self._titled else f"{outcome.script.name}:{failure.line}: "
            yield Text(f"{place}{_seconds(failure.at_s)}: {failure.message}")
            yield _indented(_excerpt(outcome, failure.line))
            if failure.expected or failure.actual:
                yield Text()
                yield _indented(_Comparison(failure))
            yield from _fields(failure)
        if failure is not None and failure.remedy:
            yield Text(f"remedy: {failure.remedy}")
        yield from self._engine()
        yield from _ladders(outcome)
        if self._capture is not None:
            yield Text(f"capture: {self._capture}", no_wrap=True, overflow="ignore")  # to be copied whole

    def _engine(self) -> Iterator[Text]:
        if self._outcome.state:
            yield Text(f"the connection is in {self._outcome.state}")
        if self._outcome.rule:
            yield Text(f"the rule applied last is {cite(self._outcome.rule)}")


def told(outcome: Outcome) -> str:
    """Return in words why a run ended as it did; nothing where it simply passed."""
    match outcome.status:
        case Status.PASSED:
            return ""
        case Status.FAILED if outcome.failure is not None:
            return outcome.failure.message
        case Status.XFAILED if outcome.failure is not None:
            return f"{outcome.reason} (line {outcome.failure.line}: {outcome.failure.message})"
        case Status.UNSUPPORTED:
            where = f"line {outcome.failure.line}: " if outcome.failure and outcome.failure.line else ""
            return f"{where}unsupported: {outcome.reason.removeprefix('unsupported: ')}"
        case _:
            return outcome.reason


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, INDENT), expand=False)


def _seconds(at_s: float) -> str:
    return f"at {at_s:.6f}".rstrip("0").rstrip(".") + " s"


def _excerpt(outcome: Outcome, failing: int) -> Table:
    """Return the lines of the script around the failing one."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    last = min(failing + LINES_AFTER, outcome.script.source.rstrip("\n").count("\n") + 1)
    for number in range(max(failing - LINES_BEFORE, 1), last + 1):
        here = number == failing
        text = Text(outcome.script.line(number).expandtabs(4), style="bold" if here else "")
        table.add_row(Text(">", style="bold red") if here else "", str(number), text)
    return table


class _Comparison:
    """Expected and actual side by side, or below each other where they are too long, with marks."""

    def __init__(self, failure: Failure) -> None:
        self._expected, self._actual = failure.expected or _NOTHING, failure.actual or _NOTHING
        self._told = bool(failure.expected and failure.actual)
        self._differences = failure.differences

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        expected, actual = self._sides(console.color_system is None)
        width = max(expected.longest, len("expected")) + max(actual.longest, len("actual")) + GAP
        if width <= options.max_width:
            table = Table.grid(padding=(0, GAP, 0, 0))
            table.add_row(Text("expected", style="dim"), Text("actual", style="dim"))
            for left, right in zip_longest(expected.lines, actual.lines, fillvalue=Text()):
                table.add_row(left, right)
        else:
            table = Table.grid(padding=(0, 1))
            table.add_column(style="dim", no_wrap=True)
            for name, side in (("expected", expected), ("actual", actual)):
                for line in side.lines:
                    table.add_row(name, line)
                    name = ""  # only the first line has it
        yield table

    def _sides(self, marks: bool) -> tuple[_Side, _Side]:
        if not self._told:
            return _Side.of(self._expected, [], "green", marks), _Side.of(self._actual, [], "red", marks)
        ours, theirs = self._spans()
        return (
            _Side.of(self._expected, ours, "bold green", marks),
            _Side.of(self._actual, theirs, "bold red", marks),
        )

    def _spans(self) -> tuple[list[Span], list[Span]]:
        """Return what to mark: the fields that differ, where each of them can be found; else the words."""
        ours: list[Span] = []
        theirs: list[Span] = []
        for field, expected, actual in self._differences:
            found, other = _place(self._expected, field, expected), _place(self._actual, field, actual)
            if found is None or other is None:
                return differing(self._expected, self._actual)
            ours.append(found)
            theirs.append(other)
        return (ours, theirs) if ours else differing(self._expected, self._actual)


def _place(text: str, field: str, value: str) -> Span | None:
    """Return where a field's value stands in a packet or a call; None if it is not there, or twice."""
    if not value:
        return None
    word = rf"(?<!\w){re.escape(value)}(?!\w)"
    named = list(re.finditer(rf"(?<!\w){re.escape(field)} ({re.escape(value)})(?!\w)", text))
    if len(named) == 1:
        return named[0].span(1)
    alone = list(re.finditer(word, text))
    return alone[0].span() if len(alone) == 1 else None


class _Side(NamedTuple):
    """One side of a comparison: its text, and below it the marks if there are any."""

    lines: list[Text]

    @property
    def longest(self) -> int:
        return max(len(line) for line in self.lines)

    @classmethod
    def of(cls, text: str, spans: Sequence[Span], style: str, marks: bool) -> _Side:
        styled = Text(text)
        below = [" "] * len(text)
        for start, end in spans:
            styled.stylize(style, start, end)
            below[start:end] = "^" * (end - start)
        return cls([styled, Text("".join(below).rstrip())] if marks and spans else [styled])


def differing(expected: str, actual: str) -> tuple[list[Span], list[Span]]:
    """Return which stretches of two texts differ, word by word: start and end in each.

    What one of them lacks is marked in the other alone.
    """
    left, right = ([match.span() for match in _TOKEN.finditer(text)] for text in (expected, actual))
    expected_words = [expected[start:end] for start, end in left]
    actual_words = [actual[start:end] for start, end in right]
    blocks = SequenceMatcher(a=expected_words, b=actual_words, autojunk=False).get_opcodes()
    ours: list[Span] = []
    theirs: list[Span] = []
    for tag, start, end, other_start, other_end in blocks:
        if tag != "equal":
            ours += _stretch(left[start:end])
            theirs += _stretch(right[other_start:other_end])
    return ours, theirs


def _stretch(spans: Sequence[Span]) -> list[Span]:
    return [(spans[0][0], spans[-1][1])] if spans else []


def _fields(failure: Failure) -> Iterator[RenderableType]:
    """Yield the fields that differ, by name."""
    if not failure.differences:
        return
    table = Table.grid(padding=(0, 2))
    for name, style in (("field", "dim"), ("expected", "green"), ("actual", "red")):
        table.add_column(name, style=style, overflow="fold")
    for each in failure.differences:
        table.add_row(*map(Text, (each.field, f"expected {each.expected}", f"got {each.actual}")))
    yield _indented(table)


# Ladders


def _ladders(outcome: Outcome) -> Iterator[RenderableType]:
    """Yield the ladders of a run's connections; its path as a list where no segment is in them."""
    events = outcome.events or tuple(events_of(outcome.frames))
    # Of each connection the last event decides which are the last ones.
    connections = list(dict.fromkeys(_connections(reversed(events))))[:MOST_LADDERS]
    if not connections:
        yield from _path(outcome.path)
        return
    name = "Linux" if outcome.target == "kernel" else "engine"
    for four_tuple in reversed(connections):
        yield Text()
        yield LadderView(ladder(events, four_tuple), peer_name="script", engine_name=name)


def _connections(events: Iterable[Event]) -> Iterator[FourTuple]:
    for event in events:
        if event.four_tuple is not None and event.segment is not None:
            yield event.four_tuple


def events_of(frames: Iterable[tuple[str, float, bytes]]) -> Iterator[Event]:
    """Yield a trace of the segments and ICMP errors among the packets of a target that keeps none.

    It knows no states.

    Args:
        frames: As `Outcome.frames` has them.
    """
    for direction, at, octets in frames:
        outbound = direction == ">"
        ethertype = IPV6 if octets[:1] and octets[0] >> 4 == 6 else IPV4
        frame = build_ethernet(Ethernet(_STATION, _STATION), ethertype) + octets
        packet = decode(frame, checksum_ready=False)
        if isinstance(packet, TcpPacket):
            yield Event(
                EventKind.SENT if outbound else EventKind.RECEIVED,
                round(at * 10**9),
                four_tuple=packet.four_tuple.reversed if outbound else packet.four_tuple,
                segment=packet.segment,
                frame=frame,
                checksum_ready=False,
            )
        elif isinstance(packet, IcmpPacket) and packet.is_error and not outbound:
            error = path_error(packet)
            if isinstance(error, PathError):
                at_ns = round(at * 10**9)
                yield Event(EventKind.ICMP, at_ns, four_tuple=error.four_tuple, frame=frame, path_error=error)


def _path(path: Iterable[Seen]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for seen in path:
        table.add_row(f"{seen.at_us / 1e6:.6f}", _line(seen), Text(seen.text))
    if table.row_count:
        yield Text("what happened:")
        yield _indented(table)


def _line(seen: Seen) -> str:
    return f"line {seen.line}" if seen.line else ""


# Several targets


def targets_table(outcomes: Sequence[Outcome]) -> Table:
    """Return a table with a row for each script and a column for each target and IP version."""
    columns = list(dict.fromkeys(_column(outcome) for outcome in outcomes))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("script", overflow="fold")
    for column in columns:
        table.add_column("\n".join(column), no_wrap=True)
    for name in dict.fromkeys(outcome.script.name for outcome in outcomes):
        row = [each for each in outcomes if each.script.name == name]
        table.add_row(
            Text(name), *(_cell([each for each in row if _column(each) == column]) for column in columns)
        )
    return table


def _column(outcome: Outcome) -> tuple[str, str]:
    return outcome.target, outcome.ip_version


def _cell(outcomes: Sequence[Outcome]) -> Text:
    """Return the worst of repeated runs, and how many were as bad."""
    if not outcomes:
        return Text("-", style="dim")
    worst = min((outcome.status for outcome in outcomes), key=_WORST_FIRST.index)
    word, style = WORDS[worst]
    count = sum(outcome.status is worst for outcome in outcomes)
    return Text(word if count == len(outcomes) else f"{word} {count}/{len(outcomes)}", style=style)


class Branch(NamedTuple):
    """What some targets did where the paths of a script part.

    Attributes:
        targets: Those that did it.
        steps: The next things that happened; empty where the path ends.
    """

    targets: tuple[str, ...]
    steps: tuple[Seen, ...]


class Parting(NamedTuple):
    """The place in a script from which targets took different paths.

    Attributes:
        script: The script's name.
        ip_version: Of the runs.
        last: The last thing that all of them did; None where they differ from the start.
        branches: What each of them did then.
        is_good: Whether the runs ended well nevertheless.
    """

    script: str
    ip_version: str
    last: Seen | None
    branches: tuple[Branch, ...]
    is_good: bool = True


def partings(outcomes: Iterable[Outcome]) -> list[Parting]:
    """Return where the paths of the same script on different targets part; times do not count, nor chance.

    Of repeated runs the first counts. A run without a path (skipped, for instance) is left out.
    """
    groups: dict[tuple[str, str], dict[str, Outcome]] = {}
    for outcome in outcomes:
        if outcome.path:
            runs = groups.setdefault((outcome.script.name, outcome.ip_version), {})
            runs.setdefault(outcome.target, outcome)
    found = (_parting(name, version, runs) for (name, version), runs in groups.items())
    return [parting for parting in found if parting is not None]


def _parting(name: str, version: str, runs: dict[str, Outcome]) -> Parting | None:
    paths = {target: outcome.path for target, outcome in runs.items()}
    texts = [_texts(path) for path in paths.values()]
    if all(each == texts[0] for each in texts):
        return None
    common = 0
    for together in zip(*texts, strict=False):
        if len(set(together)) > 1:
            break
        common += 1
    first = next(iter(paths.values()))
    rest = {target: path[common : common + STEPS_AFTER_PARTING] for target, path in paths.items()}
    while len({len(steps) for steps in rest.values()}) == 1 and _end_alike(rest.values()):
        rest = {target: steps[:-1] for target, steps in rest.items()}
    by_text = sorted(rest, key=lambda target: _texts(rest[target]))
    same = [list(targets) for _, targets in groupby(by_text, key=lambda target: _texts(rest[target]))]
    order = list(paths)
    branches = sorted(
        (Branch(tuple(sorted(targets, key=order.index)), rest[targets[0]]) for targets in same),
        key=lambda branch: order.index(branch.targets[0]),
    )
    is_good = all(outcome.status.is_good for outcome in runs.values())
    return Parting(name, version, first[common - 1] if common else None, tuple(branches), is_good)


def _end_alike(ways: Iterable[Sequence[Seen]]) -> bool:
    """Whether there is more than one step, and the last is the same."""
    return all(len(steps) > 1 for steps in ways) and len({_texts(steps[-1:])[0] for steps in ways}) == 1


def _texts(steps: Iterable[Seen]) -> list[str]:
    return [_RANDOM.sub(r"\1 *", step.text) for step in steps]


class PartingView:
    """A rich renderable of where targets part: what they had in common last, then each of them."""

    def __init__(self, parting: Parting) -> None:
        self._parting = parting

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        name, version, last, branches, _ = self._parting
        after = "from the start" if last is None else "after"
        yield Text(f"{name}, {version}: the paths part {after}", style="bold")
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        if last is not None:
            table.add_row(Text("all", style="dim"), _line(last), Text(last.text))
        for branch in branches:
            who = ", ".join(branch.targets)
            for step in branch.steps or (Seen(0, 0, "(nothing more)"),):
                table.add_row(Text(who, style="bold"), _line(step), Text(step.text))
                who = ""
        yield _indented(table)
