"""`xsocket lesson`: lessons that run, are checked, reported, compared and begun anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Any, Final, cast

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from xsocket import TcpConfig
from xsocket_tools.progress import progress_bar
from xsocket_tools.teaching import comparison
from xsocket_tools.teaching import lesson as teaching
from xsocket_tools.teaching.checking import Checked, check_lesson, check_work, play_work
from xsocket_tools.teaching.console import StoryView
from xsocket_tools.teaching.errors import CannotWriteLessonError, NoMutantError, NotOnThisStageError
from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.glossary import MEANINGS
from xsocket_tools.teaching.template import answer_to, new_lesson, suffix_of_answer
from xsocket_tools.teaching.tui import check_terminal, step_through

if TYPE_CHECKING:
    from xsocket_tools.teaching.lesson import Lesson, Run

STAGES: Final = {"engine": ("engine",), "kernel": ("kernel",), "both": ("engine", "kernel")}
_DIRECTORY: Final = f"{__name__}.directory"
_DEFAULTS: Final = {name: getattr(TcpConfig(), name) for name in TcpConfig.__dataclass_fields__}
_LADDER: Final = re.compile(r"```\{lesson-ladder\} \d+\n```\n\n")
_QUESTIONS: Final = re.compile(r"```\{lesson-questions\} \d+\n```\n")
_UNNAMED: Final = re.compile(r"\[\]\(([^)#]+)\)")
"""A link to a page that is named after its title, which the built documentation knows."""
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
_SWITCH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _rules(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, Any]:
    """Return the rules that ``RULE=VALUE`` set, each with a value of its type."""
    rules = {}
    for text in values:
        name, equals, value = text.partition("=")
        if name not in _DEFAULTS or not equals:
            near = [] if name in _DEFAULTS else get_close_matches(name, _DEFAULTS)
            among = f", such as {', '.join(near)}" if near else ""
            raise click.BadParameter(
                f"{text} is no RULE=VALUE; the rules are those of xsocket.TcpConfig{among}"
            )
        rules[name] = _value(name, value)
    return rules


def _value(name: str, text: str) -> Any:  # noqa: ANN401
    kind = type(_DEFAULTS[name])
    try:
        if kind is int:
            return int(text, 0)  # sums of bits, such as those of fastopen, are written as 0x207, too
        return _SWITCH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise click.BadParameter(f"{name} is {_KINDS[kind]}, not {text}") from None


_seed = click.option(
    "--seed", type=int, default=1, show_default=True, help="Of what is left to chance, on the engine."
)
_set = click.option(
    "--set",
    "rules",
    multiple=True,
    metavar="RULE=VALUE",
    callback=_rules,
    help="Play with another value of a rule, one of xsocket.TcpConfig; may be repeated.",
)
_on = click.option(
    "--on",
    "where",
    type=click.Choice(list(STAGES)),
    default="engine",
    show_default=True,
    help="Both ends are engines, in virtual time; or Linux, in namespaces; or first the one, then the other.",
)
_work = click.option(
    "--play",
    "work",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An answer to the exercise: a Python file with a function play(stage), or a script (.pkt).",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
_number = click.argument("number", type=click.IntRange(1, 99))


@click.group()
@click.option(
    "--lessons",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory of lessons; those that come with Xsocket without it.",
)
@click.pass_context
def lesson(context: click.Context, directory: Path | None) -> None:
    """Learn how TCP opens a connection, by lessons that run."""
    context.meta[_DIRECTORY] = directory


def _directory() -> Path | None:
    """Return the directory of lessons that the command line names, if it does."""
    return cast("Path | None", click.get_current_context().meta[_DIRECTORY])


def _lesson(number: int) -> Lesson:
    return teaching.lesson(number, _directory())


@lesson.command("list")
@_json
def list_lessons(as_json: bool) -> None:
    """List the lessons."""
    found = teaching.lessons(_directory())
    if as_json:
        plain = [
            {"number": each.number, "title": each.title, "objective": each.objective, "on": list(each.stages)}
            for each in found
        ]
        click.echo(json.dumps({"lessons": plain}, indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("lesson")
    table.add_column("objective", overflow="fold")
    for each in found:
        table.add_row(str(each.number), Text(each.title), Text(each.objective))
    Console().print(table)
    click.echo("\nBegin with: xsocket lesson show 1")


@lesson.command()
@_json
def variables(as_json: bool) -> None:
    """Say what each variable means."""
    if as_json:
        plain = [{"name": name, **meaning._asdict()} for name, meaning in MEANINGS.items()]
        click.echo(json.dumps({"variables": plain}, indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("variable", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    table.add_column("defined in", no_wrap=True)
    for name, meaning in MEANINGS.items():
        table.add_row(Text(name), Text(meaning.sentence), Text(meaning.rule))
    Console().print(table)


@lesson.command()
@_number
def show(number: int) -> None:
    """Show the text of a lesson."""
    found = _lesson(number)
    questions = "".join(f"{place}. {each.text}\n" for place, each in enumerate(found.questions, 1))
    text = _LADDER.sub("", found.text)  # `xsocket lesson run` draws it
    text = _UNNAMED.sub(lambda link: f"`{normpath(f'docs/lessons/{number}/{link[1]}')}`", text)
    Console().print(Markdown(_QUESTIONS.sub(lambda _: questions, text)))


@lesson.command()
@_number
@_on
@_set
@_seed
@_work
@click.option("--absolute", is_flag=True, help="Show sequence numbers as they are on the wire.")
@_json
def run(
    number: int,
    where: str,
    rules: dict[str, Any],
    seed: int,
    work: Path | None,
    absolute: bool,
    as_json: bool,
) -> None:
    """Play a lesson, and answer its questions.

    With --play it is an answer to the exercise that is played, and judged in the place of questions.
    """
    found = _lesson(number)
    if work is not None:
        found = found._replace(questions=())
    runs = [_played(found, stage, rules, seed, work) for stage in _stages(found, where)]
    if as_json:
        click.echo(
            json.dumps({"lesson": number, "runs": [_run_as_dict(found, each) for each in runs]}, indent=2)
        )
        return
    console = Console()
    for each in runs:
        console.rule(f"{found.number}. {found.title}: {each.stage}")
        console.print(StoryView(each.story, absolute=absolute), crop=False)
        for number_of, question in enumerate(found.questions, 1):
            console.print(Text(f"\nQuestion {number_of}: {question.text}", style="bold"))
            answer = question.answered(each)
            console.print(
                Text(f"  {answer or 'This run has no answer.'}", style="green" if answer else "yellow")
            )
            console.print(Text(f"  {question.why}"))
    console.print(Text(f"\nExercise: {found.exercise.text}", style="bold"))
    if work is None:
        click.echo(f"  xsocket lesson check {number} --set RULE=VALUE, or --play FILE")
        return
    for each in runs:
        wrong = found.exercise.wrong(each)
        console.print(Text(f"  {each.stage}: {wrong or 'done'}", style="yellow" if wrong else "green"))


@lesson.command()
@_number
@_on
@_set
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file; lesson-N.html if not given.")
@click.option("--capture", is_flag=True, help="Write a pcapng file beside it, with the same as comments.")
@_seed
@_work
def report(
    number: int,
    where: str,
    rules: dict[str, Any],
    output: Path | None,
    capture: bool,
    seed: int,
    work: Path | None,
) -> None:
    """Play a lesson and write a page to step through.

    One HTML file for each stage; it fetches nothing.
    """
    from xsocket_tools.teaching.report import write_report

    found = _lesson(number)
    stages = _stages(found, where)
    for stage in stages:
        path = output or Path(f"lesson-{number}.html")
        if len(stages) > 1:
            path = path.with_stem(f"{path.stem}-{stage}")
        played = _played(found, stage, rules, seed, work)
        write_report(played.story, path)
        click.echo(f"wrote {path}: {len(folded(played.story).steps)} steps; open it in a browser")
        if capture:
            _write_capture(path.with_suffix(".pcapng"), played)


def _write_capture(path: Path, played: Run) -> None:
    from xsocket_tools.teaching.capturing import write_capture_of

    try:
        count = write_capture_of(path, played.story)
    except OSError as error:
        raise CannotWriteLessonError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}: {count} frames; open it in Wireshark")


@lesson.command()
@_number
@_on
@_set
@_seed
@_work
@click.option("--absolute", is_flag=True, help="Begin with sequence numbers as they are on the wire.")
def step(
    number: int, where: str, rules: dict[str, Any], seed: int, work: Path | None, absolute: bool
) -> None:
    """Play a lesson and step through it in the terminal.

    Beside each step stand both ends' variables. Takes the extra xsocket[tui].
    """
    found = _lesson(number)
    check_terminal()
    for stage in _stages(found, where):
        step_through(_played(found, stage, rules, seed, work).story, absolute=absolute)


@lesson.command()
@click.argument("number", type=click.IntRange(1, 99), required=False)
@click.option("--all", "everything", is_flag=True, help="Check every lesson.")
@_on
@_set
@_work
@_json
@click.pass_context
def check(
    ctx: click.Context,
    number: int | None,
    everything: bool,
    where: str,
    rules: dict[str, Any],
    work: Path | None,
    as_json: bool,
) -> None:
    """Judge an answer to an exercise, or check a lesson.

    With --set or --play it is an answer that is judged. Without, the lesson itself: what it says of each run,
    that its exercise is not done to begin with, and that its solution solves it.
    """
    if (number is None) != everything:
        raise click.UsageError("Name a lesson, or --all.")
    if everything and (rules or work):
        raise click.UsageError("--set and --play are an answer to the exercise of one lesson.")
    found = teaching.lessons(_directory()) if number is None else [_lesson(number)]
    jobs = [(each, stage) for each in found for stage in _stages(each, where, strict=not everything)]
    checked = []
    with progress_bar("checking", len(jobs)) as bar:
        for each, stage in jobs:
            bar.describe(f"lesson {each.number} on {stage}")
            is_answer = bool(rules or work)
            checked.append(check_work(each, stage, rules, work) if is_answer else check_lesson(each, stage))
            bar.advance()
    good = all(each.ok for each in checked)
    if as_json:
        click.echo(json.dumps({"ok": good, "checked": [each.as_dict() for each in checked]}, indent=2))
    else:
        _print_checked(checked)
    if not good:
        ctx.exit(1)


@lesson.command()
@_number
@_on
@_set
@_json
def compare(number: int, where: str, rules: dict[str, Any], as_json: bool) -> None:
    """Play a lesson twice, and show where rules make it part.

    Once it is played as it is, and once with the rules that --set names.
    """
    if not rules:
        raise click.UsageError("Say with --set which rule is to be another one.")
    found = _lesson(number)
    results = []
    for stage in _stages(found, where):
        results.append(comparison.compare(_played(found, stage, {}, 1), _played(found, stage, rules, 1)))
    if as_json:
        click.echo(json.dumps({"lesson": number, "compared": [each.as_dict() for each in results]}, indent=2))
        return
    given = ", ".join(f"{name}={value}" for name, value in rules.items())
    for each in results:
        Console().print(comparison.ComparisonView(each, given))
    for name in rules:
        rule = TcpConfig.__dataclass_fields__[name].metadata["rule"]
        source = f" (RFC {rule.rfc})" if rule.rfc else ""
        Console().print(Text(f"  {name}: {rule.what}{source}"))


@lesson.command()
@_number
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The file; standard output if not given."
)
def exercise(number: int, output: Path | None) -> None:
    """Write the beginning of an answer to a lesson's exercise."""
    found = _lesson(number)
    text, suffix = answer_to(found), suffix_of_answer(found)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.suffix != suffix:
        raise CannotWriteLessonError(
            f"{output} is to end in {suffix}", remedy=f"Name it {output.with_suffix(suffix)}."
        )
    if output.exists():
        raise CannotWriteLessonError(f"{output} exists")
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWriteLessonError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"wrote {output}. {found.exercise.text}")
    click.echo(f"xsocket lesson run {number} --play {output}    shows what happens then")
    click.echo(f"xsocket lesson check {number} --play {output}  says whether that is it")


@lesson.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("docs/lessons"),
    show_default=True,
    help="The directory of lessons.",
)
@click.option("--script", "by_script", is_flag=True, help="Let a scenario script say what happens.")
def new(name: str, into: Path, by_script: bool) -> None:
    """Begin a lesson of your own.

    Makes a folder for the lesson NAME, such as the-third-segment: a text and a scenario that hold.
    """
    path = new_lesson(name, into, by_script=by_script)
    click.echo(f"wrote {path}: {', '.join(sorted(each.name for each in path.iterdir()))}")


@lesson.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_number
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def mutant(number: int, command: tuple[str, ...]) -> int:
    """Run a command on the engine of a lesson that has a bug.

    COMMAND is one of xsocket, such as: fuzz --cases 200. Its engine is a copy with the bug in it. The exit
    status is that of COMMAND. Without one the bug is shown.
    """
    path = _lesson(number).mutant
    if path is None:
        raise NoMutantError(f"the engine of lesson {number} has no bug")
    from xsocket_tools.mutants.mutant import read
    from xsocket_tools.teaching.planted import command_on

    found = read(path)
    if command:
        return command_on(found, command)
    click.echo(f"{found.file}: {found.what}\nIt breaks {found.rule}.\n\n- the engine:\n{found.before}")
    click.echo(f"- the engine with the bug:\n{found.after}", nl=False)
    return 0


def _stages(found: Lesson, where: str, *, strict: bool = True) -> list[str]:
    """Return where to play a lesson, which this process may do from then on.

    Raises:
        NotOnThisStageError: It can be played nowhere there.
        PrivilegeError: The machine allows no namespaces.
    """
    stages = [stage for stage in STAGES[where] if stage in found.stages]
    if not stages and strict:
        raise NotOnThisStageError(f"lesson {found.number} cannot be played on {where}")
    if "kernel" in stages:
        from xsocket_netns import ensure_privileges  # half a second that virtual time does without

        ensure_privileges()
    return stages


def _played(found: Lesson, stage: str, rules: Mapping[str, Any], seed: int, work: Path | None = None) -> Run:
    if work is not None:
        return play_work(found, stage, rules, work, seed=seed)
    title = f"{found.number}. {found.title}"
    return teaching.play(found.play, stage, {**found.rules, **rules}, title=title, seed=seed)


def _run_as_dict(found: Lesson, run: Run) -> dict[str, Any]:
    return {
        "on": run.stage,
        "digest": teaching.digest(run.story),
        "story": run.story.as_dict(),
        "questions": [
            {"question": each.text, "answer": each.answered(run), "why": each.why} for each in found.questions
        ],
    }


def _print_checked(checked: Sequence[Checked]) -> None:
    console = Console()
    for each in checked:
        style, word = ("green", "ok") if each.ok else ("bold red", "FAIL")
        console.print(Text.assemble((word, style), f" lesson {each.number} on {each.stage}  {each.digest}"))
        for failure in each.failures:
            console.print(Text(f"   {failure}"))
        if each.was_late:
            console.print(Text("   This machine was busy: timers may have run out for that alone.", "yellow"))
