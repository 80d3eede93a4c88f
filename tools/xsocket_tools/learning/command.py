"""`xsocket learn`: learn the Mealy machine of a target, write it, and tell two machines apart."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from xsocket_tools.fuzzing.opening import ensure_allowed, opened
from xsocket_tools.learning.alphabet import BUILT_IN, PEERS, Alphabet, alphabet_of
from xsocket_tools.learning.asked import TARGETS, facts_of
from xsocket_tools.learning.errors import NonDeterminismError
from xsocket_tools.learning.extra import imported_learner
from xsocket_tools.learning.files import files_for, write
from xsocket_tools.learning.machine import as_dict, load, stored
from xsocket_tools.progress import progress

EQUIVALENCES: Final = ("w-method", "random-walk")


@click.group(invoke_without_command=True)
@click.option("--on", type=click.Choice(TARGETS), default="engine", show_default=True, help="Whom to ask.")
@click.option(
    "--alphabet",
    "letters",
    metavar="NAME|FILE",
    default="basic",
    show_default=True,
    help=f"What to say: {', '.join(BUILT_IN)}, or a JSON file of letters.",
)
@click.option(
    "--role", type=click.Choice(list(PEERS)), default="server", show_default=True, help="The target's."
)
@click.option(
    "--equivalence",
    type=click.Choice(EQUIVALENCES),
    default=EQUIVALENCES[0],
    show_default=True,
    help="How to look for states that were missed.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random walks.")
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write the machine: a file for .json, .dot or .svg, or a directory for all three; "
    "may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
@click.pass_context
def learn(
    context: click.Context,
    on: str,
    letters: str,
    role: str,
    equivalence: str,
    seed: int,
    outputs: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Learn the state machine of a TCP, from outside.

    Letters are segments with numbers relative to the live connection, and calls; no time passes. What comes
    out is a Mealy machine: for each state, what each letter is answered and the state after, with the names
    that the stack itself has for its states. Exit status: 0 if it was learned, 1 if the target answered the
    same letters in two ways, which are printed.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return 0
    alphabet = alphabet_of(letters, role)
    name = f"{on}-{role}-{Path(letters).stem}"
    files = [file for output in outputs for file in files_for(output, name)]
    try:
        return _learn(on, alphabet, role, equivalence, seed, files, as_json)
    except NonDeterminismError as error:
        return _two_answers(error, as_json)


def _refuse_options(context: click.Context) -> None:
    """Raise if there are options before a subcommand, which they would not reach."""
    given = (each for each in context.command.params if each.name is not None)
    for each in given:
        if context.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{each.opts[-1]} is no option of all: it goes behind {context.invoked_subcommand}"
            )


def _learn(
    on: str, alphabet: Alphabet, role: str, equivalence: str, seed: int, files: list[Path], as_json: bool
) -> int:
    learner = imported_learner()
    ensure_allowed([on])
    with opened(on) as target, progress(quiet=True) as report:
        began = time.monotonic()
        learned = learner.learn(
            target, alphabet, role, equivalence=equivalence, seed=seed, facts=facts_of(on), report=report
        )
        seconds = time.monotonic() - began
    machine = learned.machine
    write(machine, files)
    if as_json:
        counts = {
            "states": len(machine.table),
            "letters": len(alphabet),
            "queries": learned.queries,
            "steps": learned.steps,
            "seconds": round(seconds, 3),
        }
        files_written = [str(file) for file in files]
        click.echo(json.dumps({**counts, "files": files_written, "machine": as_dict(machine)}, indent=2))
        return 0
    from xsocket_tools.learning.tables import show_machine

    show_machine(machine)
    click.echo(
        f"{machine.name}, {role}: {len(machine.table)} states by {len(alphabet)} letters, "
        f"from {learned.queries} words of {learned.steps} letters in {seconds:.1f} s"
    )
    return 0


def _two_answers(error: NonDeterminismError, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"nondeterminism": error.as_dict()}, indent=2))
    else:
        from xsocket_tools.learning.tables import show_non_determinism

        show_non_determinism(error)
        click.echo(f"remedy: {error.remedy}", err=True)
    return 1


@learn.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="The most words, or rows of words, to print.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def diff(first: str, second: str, limit: int, as_json: bool) -> int:
    """Tell two machines apart, by the shortest input words.

    A and B are JSON files, or names of machines that are stored; `xsocket learn stored` lists those. For each
    pair of states and each letter that sets them apart there is one word, with the rule that it is about.
    Exit status: 0 if nothing tells them apart, 1 if something does.
    """
    from xsocket_tools.learning.differences import compare, rows_of

    one, other = load(first), load(second)
    found, left_out = compare(one, other)
    if as_json:
        plain = {
            "machines": [one.name, other.name],
            "words": len(found),
            "letters left out": left_out,
            "differences": [each.as_dict() for each in found[:limit]],
        }
        click.echo(json.dumps(plain, indent=2))
        return int(bool(found))
    from xsocket_tools.learning.tables import show_differences

    rows = rows_of(found)
    # Of two versions of one TCP only what was asked for tells which is which.
    headings = (first, second) if one.name == other.name else (one.name, other.name)
    show_differences(*headings, rows[:limit])
    if left_out:
        click.echo(f"Only one of them knows: {', '.join(left_out)}")
    if not found:
        click.echo("Nothing tells them apart")
        return 0
    click.echo("In brackets: the letter that sets them apart, and others that do the same.")
    shown = f"; {limit} of {len(rows)} rows shown" if len(rows) > limit else ""
    click.echo(f"words that tell them apart: {len(found)}{shown}")
    return 1


@learn.command("stored")
@click.option("--json", "as_json", is_flag=True, help="Print one list on standard output.")
def list_stored(as_json: bool) -> int:
    """List the machines that come with Xsocket, by name.

    `diff` takes these names.
    """
    names = stored()
    click.echo(json.dumps(names, indent=2) if as_json else "\n".join(names))
    return 0
