"""`xsocket run`: runs scripts on the engine and on Linux, and says what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from xsocket_tools.progress import progress_bar
from xsocket_tools.scenarios.errors import ScriptUsageError
from xsocket_tools.scenarios.execution import outcomes, perform, workers_for
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job, definitions_in, files_in, jobs_for, read_all, selection_of
from xsocket_tools.scenarios.results import BAD, Results
from xsocket_tools.scenarios.script import TARGETS, Flag
from xsocket_tools.scenarios.settings import IP_VERSIONS, IpVersion

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED: Final = 130
MOST_WORKERS: Final = 64
MOST_PARTINGS: Final = 10
"""Of paths that part where all is well: more than these are counted only."""

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: Final = {
    "local_ip": ("ADDRESS", "The target's."),
    "remote_ip": ("ADDRESS", "The script's."),
    "bind_port": ("PORT", "Local port where a call says '...'."),
    "connect_port": ("PORT", "Remote port where a call says '...'."),
    "mtu": ("OCTETS", "Of the target's interface."),
    "mss": ("OCTETS", "How packetdrill cuts what it injects; nothing here."),
    "tolerance_usecs": ("N", "How far from its time an event may come."),
    "tolerance_percent": ("N", "The same, of the time since the event before."),
    "tcp_ts_tick_usecs": ("N", "What a tick of the target's timestamps takes."),
}
"""Flags of scripts that the command line has, too: what they take, and what they set."""


def _words_of(choices: Sequence[str]) -> Callable[[click.Context, click.Parameter, Any], tuple[str, ...]]:
    """Return what makes one list of an option's values, each one word out of *choices* or several."""

    def words(context: click.Context, option: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
        found = [word for value in values for word in value.split(",")]
        for word in found:
            if word not in choices:
                raise click.BadParameter(f"{word!r} is none of {', '.join(choices)}", context, option)
        return tuple(dict.fromkeys(found))

    return words


def _flag_options(command: F) -> F:
    """Give *command* an option for each flag of `_FLAGS`."""
    for name, (takes, what) in reversed(_FLAGS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=takes, help=what)(command)
    return command


def _with_hyphens(option: str) -> str:
    """Return an option as it is spelled here; packetdrill has underscores."""
    return option.replace("_", "-")


class Wanted(NamedTuple):
    """How the results are to be shown."""

    as_json: bool
    as_tap: bool
    verbose: bool
    junit: Path | None

    @property
    def for_people(self) -> bool:
        """Whether standard output is for reading, not for another program."""
        return not (self.as_json or self.as_tap)


@click.command(context_settings={"ignore_unknown_options": True, "token_normalize_func": _with_hyphens})
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--on",
    "targets",
    metavar="TARGET,...",
    multiple=True,
    callback=_words_of(TARGETS),
    default=("sim",),
    help="Where: sim (the engine in virtual time, the default), wire (the engine on a link), kernel (Linux).",
)
@click.option(
    "--ip-version",
    "versions",
    metavar="VERSION,...",
    multiple=True,
    callback=_words_of(IP_VERSIONS),
    help="ipv4, ipv6 or ipv4-mapped-ipv6; by itself what a script says, or ipv4 and ipv6.",
)
@click.option(
    "-k", "selection", metavar="EXPR", default="", help="Only runs whose name it fits: 'fin and not v6'."
)
@click.option(
    "-j",
    "--jobs",
    "workers",
    metavar="N",
    type=click.IntRange(1, MOST_WORKERS),
    help="How many runs at once; by itself 1 in virtual time, else a few.",
)
@click.option("--repeat", metavar="N", type=click.IntRange(1), default=1, help="How often to do each run.")
@click.option("-x", "--exitfirst", "first_only", is_flag=True, help="Stop at the first failure.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every run, and every place where paths part.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
@click.option("--tap", "as_tap", is_flag=True, help="Print TAP version 14.")
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write JUnit's XML to this file.",
)
@click.option(
    "--capture",
    "captures",
    metavar="DIR",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    help="Write a pcapng file for each run into this directory.",
)
@click.option(
    "-D",
    "--define",
    "definitions",
    metavar="NAME=VALUE",
    multiple=True,
    help="What a name in scripts stands for.",
)
@_flag_options
def run(
    paths: tuple[str, ...],
    targets: tuple[str, ...],
    versions: tuple[IpVersion, ...],
    selection: str,
    workers: int | None,
    repeat: int,
    first_only: bool,
    captures: Path | None,
    definitions: tuple[str, ...],
    as_json: bool,
    as_tap: bool,
    verbose: bool,
    junit: Path | None,
    **flags: str | None,
) -> int:
    """Run scenario scripts, files or all *.pkt below directories, on the engine and on Linux.

    Each script runs once on each target with each IP version. Exit status: 0 if all is well, 1 if a run
    failed, 3 if a script cannot be read, 4 if one has something in it that a target cannot do. Flags may be
    spelled as packetdrill spells them, with underscores.
    """
    wanted = Wanted(as_json, as_tap, verbose, junit)
    if as_json and as_tap:
        raise click.UsageError("--json and --tap are two answers to one question: choose one")
    if set(targets) - {"sim"}:
        _ensure_privileges()
    others = [path for path in paths if path.startswith("-")]
    given = [*_flags_in(others), *(Flag("define", each, 0) for each in definitions)]
    given += [Flag(name, value, 0) for name, value in flags.items() if value is not None]
    reading = read_all(files_in(Path(path) for path in paths if path not in others), definitions_in(given))
    jobs = jobs_for(
        reading.scripts,
        targets,
        versions=versions,
        flags=given,
        repeat=repeat,
        selection=selection_of(selection),
        captures=captures,
    )
    if captures is not None:
        captures.mkdir(parents=True, exist_ok=True)
    results = Results(len(jobs), reading.broken)
    whole = _carry_out(results, jobs, workers or workers_for(targets), first_only, wanted)
    _tell(results, wanted)
    return results.exit_status if whole else INTERRUPTED


def _ensure_privileges() -> None:
    from xsocket_netns import ensure_privileges  # half a second that virtual time does without

    ensure_privileges()


def _flags_in(words: Sequence[str]) -> Iterator[Flag]:
    """Yield the flags that are no options here: whether they are packetdrill's is for `with_flags` to say."""
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if name == "":
            raise ScriptUsageError(f"{word} is neither an option nor a path")
        yield Flag(name, value if equals else None, 0)


def _carry_out(results: Results, jobs: Sequence[Job], workers: int, first_only: bool, wanted: Wanted) -> bool:
    """Do *jobs*, and show what ends in the order of the plan; return whether nobody interrupted it."""
    from rich.console import Console

    screen = Console(highlight=False, quiet=not wanted.for_people)
    waiting: dict[int, Outcome] = {}
    begun = time.monotonic()
    try:
        with progress_bar("runs", len(jobs)) as bar, closing(outcomes(jobs, workers, perform)) as coming:
            for place, outcome in coming:
                waiting[place] = outcome
                bar.advance()
                while len(results.runs) in waiting:
                    _take(results, jobs[len(results.runs)], waiting.pop(len(results.runs)), screen, wanted)
                if first_only and outcome.status in BAD:
                    break
    except KeyboardInterrupt:
        return False
    finally:
        for place in sorted(waiting):
            _take(results, jobs[place], waiting[place], screen, wanted)
        results.seconds = time.monotonic() - begun
    return True


def _take(results: Results, job: Job, outcome: Outcome, screen: Console, wanted: Wanted) -> None:
    from xsocket_tools.scenarios.report import WORDS, FailureReport

    results.runs.append((job, outcome))
    if screen.quiet:
        return
    if outcome.status in BAD:
        screen.print(FailureReport(outcome, job.capture), crop=False)
        screen.print()
    elif wanted.verbose or outcome.status is not Status.PASSED:
        from rich.text import Text

        from xsocket_tools.scenarios.report import told

        word, style = WORDS[outcome.status]
        why = told(outcome)
        screen.print(Text.assemble((f"{word:<5}", style), f" {job.name}", f": {why}" if why else ""))


def _tell(results: Results, wanted: Wanted) -> None:
    """Show the results as a whole, and why files are no scripts."""
    from xsocket_tools.scenarios.junit import write_junit
    from xsocket_tools.scenarios.tap import tap

    for error in results.broken.values():
        click.echo(f"error: {error.message}\nremedy: {error.remedy}", err=True)
    if wanted.as_json:
        click.echo(json.dumps(results.as_dict(), indent=2))
    elif wanted.as_tap:
        click.echo("\n".join(tap(results)))
    else:
        _show(results, whole=wanted.verbose)
    if wanted.junit is not None:
        try:
            write_junit(wanted.junit, results)
        except OSError as error:
            raise click.FileError(str(wanted.junit), error.strerror) from error


def _show(results: Results, *, whole: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from xsocket_tools.scenarios.report import targets_table

    console = Console(highlight=False)
    if len({outcome.target for outcome in results.outcomes}) > 1:
        console.print(targets_table(results.outcomes))
        _show_partings(results, console, whole=whole)
        console.print()
    style = "bold red" if results.exit_status == 1 else "" if results.exit_status else "green"
    console.print(Text(results.in_words(), style=style))


def _show_partings(results: Results, console: Console, *, whole: bool) -> None:
    """Show where the paths of targets part; of many that are well only how many there are."""
    from xsocket_tools.scenarios.report import PartingView, partings

    found = partings(results.outcomes)
    well = [parting for parting in found if parting.is_good]
    few = whole or len(well) <= MOST_PARTINGS
    for parting in found:
        if few or not parting.is_good:
            console.print()
            console.print(PartingView(parting))
    if not few:
        console.print(f"\n{len(well)} more paths part where all is well; -v shows where.")
