"""`xsocket fuzz`: put cases to a TCP until a rule is broken; play cases again, and write them for others."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from xsocket_tools.fuzzing.campaign import Campaign, Plan, Record
from xsocket_tools.fuzzing.directory import Directory, DirectoryError, campaign_directory
from xsocket_tools.fuzzing.exporting import Exports
from xsocket_tools.fuzzing.opening import TARGETS, ensure_allowed, opened
from xsocket_tools.fuzzing.replaying import Replayed, judged, read_file
from xsocket_tools.fuzzing.session import Session
from xsocket_tools.fuzzing.stopping import stopped_by_signals

DEFAULT_S: Final = 60.0
_command_option = click.option(
    "--command",
    metavar="CMD",
    default="",
    help="For foreign: what starts the other stack on a tap interface.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")


@click.group(invoke_without_command=True)
@click.option(
    "--on",
    "target",
    type=click.Choice(TARGETS),
    help="What to put cases to: the engine in this process (which it is by itself), the engine on the wire, "
    "this machine's kernel, or any other stack.",
)
@_command_option
@click.option("--seed", type=click.IntRange(0), help="Of the cases; 1 by itself.")
@click.option(
    "--time", "seconds", type=click.FloatRange(0, min_open=True), help="Stop after so many seconds; 60."
)
@click.option("--cases", type=click.IntRange(1), help="Stop after so many cases, instead.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 64), help="How many processes play; by itself this one alone."
)
@click.option(
    "--corpus",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what is found in this directory: findings, cases that show something, a report.",
)
@click.option("--resume", is_flag=True, help="Go on where the campaign in --corpus has ended.")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Play on the workers of a Dask cluster, such as tcp://10.0.0.1:8786; "
    "takes the extra xsocket[campaign].",
)
@click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with the findings and the coverage, too.",
)
@_json_option
@click.pass_context
def fuzz(
    context: click.Context,
    target: str | None,
    command: str,
    seed: int | None,
    seconds: float | None,
    cases: int | None,
    jobs: int | None,
    directory: Path | None,
    resume: bool,
    scheduler: str | None,
    report: Path | None,
    as_json: bool,
) -> int:
    """Put cases to a TCP until a rule is broken, and make them small.

    A case is a list of segments, calls and pauses. The oracles hold every answer against the RFCs. The same
    seed and number of cases give the same findings, however many processes play. Exit status: 0 if nothing
    was found, 1 if something was, 3 if the target cannot be had, 130 after Ctrl-C, which keeps everything.
    """
    if context.invoked_subcommand is not None:
        return 0
    _check(seconds, cases, jobs, directory, resume, scheduler)
    with ExitStack() as stack:
        place = None if directory is None else stack.enter_context(campaign_directory(directory))
        before = _beginning(place, resume, seed, target, command)
        if not scheduler:
            ensure_allowed([before.plan.target])
        deadline = None if cases is not None else time.time() + (seconds or DEFAULT_S)
        session = Session(Campaign(before, cases, deadline), place, report)
        with stopped_by_signals() as stop:
            session.play(jobs or 1, scheduler, stop)
        session.finish()
    _print(session, as_json)
    if stop.signal is not None:
        return 128 + stop.signal
    return int(bool(session.record.total.findings))


def _check(
    seconds: float | None,
    cases: int | None,
    jobs: int | None,
    directory: Path | None,
    resume: bool,
    scheduler: str | None,
) -> None:
    """Raise if options do not go together."""
    if seconds is not None and cases is not None:
        raise click.UsageError("--time and --cases: one of them says when to stop")
    if jobs is not None and scheduler is not None:
        raise click.UsageError("--jobs is for this machine; with --scheduler the cluster decides")
    if resume and directory is None:
        raise click.UsageError("--resume takes the directory of a campaign: --corpus DIR")


def _beginning(
    directory: Directory | None, resume: bool, seed: int | None, target: str | None, command: str
) -> Record:
    """Return how far the campaign is: at its beginning, or as far as it was."""
    if directory is not None and resume:
        before = directory.read()
        _check_same(before.plan, directory.path, seed, target, command)
        return before
    if directory is not None and directory.has_campaign:
        raise DirectoryError(
            f"there is a campaign in {directory.path} already",
            remedy="Go on with it by --resume, or name another directory.",
        )
    plan = Plan(1 if seed is None else seed, target or "engine", command)
    if command and plan.target != "foreign":
        raise click.UsageError("--command is for --on foreign")
    if plan.target == "foreign" and not command:
        raise click.UsageError("--on foreign takes --command, which says how to start the other stack")
    return Record(plan, extra=directory.added() if directory is not None else ())


def _check_same(plan: Plan, path: Path, seed: int | None, target: str | None, command: str) -> None:
    for name, given, has in (
        ("--seed", seed, plan.seed),
        ("--on", target, plan.target),
        ("--command", command or None, plan.command),
    ):
        if given is not None and given != has:
            raise DirectoryError(
                f"the campaign in {path} has {name} {has}, not {given}",
                remedy=f"Leave {name} out to go on with it, or name another directory.",
            )


def _print(session: Session, as_json: bool) -> None:
    if as_json:
        from xsocket_tools.fuzzing.summary import as_dict

        click.echo(json.dumps(as_dict(session.record), indent=2))
    else:
        from xsocket_tools.fuzzing.printing import print_summary

        print_summary(session.record, session.findings)
    if session.unexported:
        click.echo(f"no scripts and captures of the findings: {session.unexported}", err=True)


@fuzz.command()
@click.argument("files", metavar="CASE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on",
    "names",
    metavar="TARGET,...",
    default="engine",
    show_default=True,
    help=f"On what, with commas between several: {', '.join(TARGETS)}.",
)
@_command_option
@_json_option
def replay(files: tuple[Path, ...], names: str, command: str, as_json: bool) -> int:
    """Play cases again, and say whether targets agree.

    Each CASE is a file with a case or a finding.
    Exit status: 0 if no rule is broken anywhere, 1 if one is, 3 if a target cannot be had.
    """
    targets = _targets_of(names, command)
    read = [read_file(path) for path in files]
    ensure_allowed(targets)
    replayed = {each.path: Replayed(each) for each in read}
    for name in targets:
        with opened(name, command) as target:
            for each in replayed.values():
                each.verdicts.append(judged(each.read.case, target))
    if as_json:
        click.echo(json.dumps({"cases": [each.as_dict() for each in replayed.values()]}, indent=2))
    else:
        from xsocket_tools.fuzzing.printing import print_replayed

        for each in replayed.values():
            print_replayed(each)
    return int(any(verdict.violation for each in replayed.values() for verdict in each.verdicts))


@fuzz.command()
@click.argument("files", metavar="CASE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on",
    "target",
    type=click.Choice(TARGETS),
    default="engine",
    show_default=True,
    help="What the script is to expect, and the capture to hold: what this target does.",
)
@_command_option
@click.option(
    "--into",
    "directory",
    metavar="DIR",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write them.",
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
@_json_option
def export(
    files: tuple[Path, ...], target: str, command: str, directory: Path, force: bool, as_json: bool
) -> int:
    """Write cases as scripts and captures.

    Each CASE is a file with a case or a finding.
    Each is played once more. The script, for xsocket run, expects what the target does; where it cannot say
    all of the case, it says so. The capture is a pcapng file with a comment at each packet.

    Exit status: 0 if all are written, 3 if the target cannot be had, or a file cannot be written.
    """
    _targets_of(target, command)
    read = [read_file(path) for path in files]
    exports = Exports(directory, [each.path for each in read], overwrite=force)
    ensure_allowed([target])
    with opened(target, command) as found:
        written = [exports.write(each, found) for each in read]
    if as_json:
        click.echo(json.dumps({"cases": [each.as_dict() for each in written]}, indent=2))
    else:
        from xsocket_tools.fuzzing.printing import print_written

        for each in written:
            print_written(each)
    return 0


def _targets_of(names: str, command: str) -> list[str]:
    targets = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in targets:
        if name not in TARGETS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(TARGETS)}", param_hint="--on")
    if ("foreign" in targets) != bool(command):
        raise click.UsageError("--on foreign and --command go together")
    return targets
