"""`xsocket rules`: list the rules that the engine cites, or explain one."""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xsocket_tools.rules.catalogue import Catalogue, Rule, catalogue
from xsocket_tools.rules.citing import Citing, Moves, citing


@click.command()
@click.argument("rule", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def rules(rule: tuple[str, ...], as_json: bool) -> None:
    """List the rules that the engine cites, or explain RULE.

    RULE is a citation as it stands in a trace: 3.10.7.4 is a section of RFC 9293, 3.10.7.4 fifth a part of
    it, RFC 5961 5.2 a section of another RFC. 5961 is all of that RFC. The explanations are not the RFCs' own
    words, and take no place of them.
    """
    known, console = catalogue(), Console()
    shown = _asked_for(known, " ".join(rule)) if rule else list(known)
    if as_json:
        click.echo(json.dumps({"rules": [_entry(known, each) for each in shown]}, indent=2))
    elif rule:
        for each in shown:
            _explain(console, known, each)
    else:
        console.print(_table(known))


def _asked_for(known: Catalogue, words: str) -> list[Rule]:
    """Return the rules that *words* name: one, or those of a citation of several.

    Raises:
        click.UsageError: They name none.
    """
    found = known.find(words)
    if found is not None:
        return [found]
    try:
        several = known.explaining(words)
    except KeyError:
        several = ()
    if not several:
        near = ", ".join(each.key for each in known.near(words))
        hint = f"Near: {near}." if near else "Without RULE, all of them are listed."
        raise click.UsageError(f"There is no rule {words!r}. {hint}")
    return list(several)


def _entry(known: Catalogue, rule: Rule) -> dict[str, Any]:
    by = citing(rule.citation)
    return {
        "rule": rule.key,
        **rule.citation._asdict(),
        "title": rule.title,
        "text": rule.text,
        "url": rule.citation.url,
        "parts": [each.key for each in known.parts(rule)],
        "cited_by": {
            "moves": [_move_as_dict(each) for each in by.moves],
            "drop_reasons": [reason.name for reason in by.reasons],
            "fields": list(by.fields),
            "differences": list(by.differences),
        },
    }


def _move_as_dict(moves: Moves) -> dict[str, Any]:
    return {
        "trigger": moves.trigger.value,
        "before": [state.value for state in moves.before],
        "after": None if moves.after is None else moves.after.value,
        "reply": None if moves.reply is None else moves.reply.value,
    }


def _table(shown: Iterable[Rule], title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("rule", overflow="fold")
    table.add_column("about")
    table.add_column("cited by")
    rfc = None
    for rule in shown:
        if rfc not in (None, rule.citation.rfc):
            table.add_section()
        rfc = rule.citation.rfc
        style = None if rule.citation.section else "bold"
        table.add_row(escape(rule.key), escape(rule.title), citing(rule.citation).counts(), style=style)
    return table


def _explain(console: Console, known: Catalogue, rule: Rule) -> None:
    parent = known.parent(rule)
    console.print(f"[bold]{escape(rule.key)}[/]  {escape(rule.title)}", highlight=False)
    if parent is not None:
        console.print(f"[dim]of {escape(parent.key)}, {escape(parent.title)}[/]", highlight=False)
    console.print(f"\n{rule.text}\n", markup=False, highlight=False)
    parts = known.parts(rule)
    if parts:
        console.print(_table(parts, "Its parts"))
    _print_citing(console, citing(rule.citation))
    console.print(f"[dim]{rule.citation.url}[/]", highlight=False)


def _print_citing(console: Console, by: Citing) -> None:
    if by.moves:
        console.print(_moves_table(by.moves))
    for name, cited in (
        ("Drop reasons", [reason.name for reason in by.reasons]),
        ("Fields of TcpConfig", by.fields),
        ("Linux differs (xsocket grid --against kernel)", by.differences),
    ):
        if cited:
            console.print(f"{name}: {'; '.join(cited)}", markup=False, highlight=False)


def _moves_table(moves: Iterable[Moves]) -> Table:
    table = Table(title="Moves that cite it", title_justify="left")
    for name in ("what happens", "in", "then", "sent"):
        table.add_column(name)
    for each in moves:
        before = ", ".join(state.value for state in each.before)
        after = "stays" if each.after is None else each.after.value
        table.add_row(each.trigger.value, before, after, "" if each.reply is None else each.reply.value)
    return table
