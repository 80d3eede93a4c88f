"""Directives that write reference tables from the code, so that they cannot disagree with it.

``drop-reasons`` has every `xsocket.DropReason`, ``tcp-config`` every rule of `xsocket.TcpConfig`,
``tcp-differences`` those in which Linux and the RFCs differ, ``grid`` and ``grid-differences`` what segments
do in each state, ``command-line`` the help of every command, and ``doctor-checks`` what `xsocket doctor`
tries.
"""

from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from math import inf
from typing import Any, get_args

import click
from generated import Generated, linked, table
from sphinx.application import Sphinx

from xsocket import DropReason, TcpConfig
from xsocket.config import Rule
from xsocket_tools.cli import main
from xsocket_tools.doctor import BEFORE_PRIVILEGES, PRIVILEGES, WITH_PRIVILEGES
from xsocket_tools.grid.cells import cells
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.report import answers, differences_of, rows_of
from xsocket_tools.steps import cite


def drop_reasons() -> str:
    """Return a Markdown table of every reason for which a frame or segment is ignored."""
    rows = [(f"`{reason.name}`", linked(reason.value)) for reason in DropReason]
    return table(("Reason", "What it says"), rows)


def tcp_config() -> str:
    """Return a Markdown table of every rule, with its default, its range and where it comes from."""
    rows = []
    for each in fields(TcpConfig):
        rule: Rule = each.metadata["rule"]
        rfc = linked(f"RFC {rule.rfc}") if rule.rfc else ""
        linux = f"`{rule.linux}`" if rule.linux else ""
        name, default = f"`{each.name}`", f"`{each.default!r}`"
        rows.append((name, default, _range_of(each.type, rule), rule.what, rfc, linux))
    return table(("Rule", "Default", "Range", "What it does", "RFC", "Linux"), rows)


def tcp_differences() -> str:
    """Return a Markdown table of the rules in which Linux, and so the default, differs from the RFCs."""
    rows = []
    for each in fields(TcpConfig):
        rule: Rule = each.metadata["rule"]
        if rule.strict is not None:
            rows.append((f"`{each.name}`", f"`{each.default!r}`", f"`{rule.strict!r}`", linked(rule.why)))
    return table(("Rule", "Default, as in Linux", "`TcpConfig.strict()`", "Why"), rows)


def grid() -> str:
    """Return a Markdown section for each state: what each kind of segment does there, and by which rules."""
    head = ("Segment", "Sequence", "Ack", "Reply", "Then", "Rules")
    sections = []
    for state, rows in groupby(rows_of(answers(cells())), lambda row: row.patch.cells[0].state):
        lines = [
            (
                patch.cells[0].segment,
                patch.sequences,
                patch.acknowledgments,
                _code(reply),
                after,
                "; ".join(map(linked, rules)),
            )
            for patch, reply, after, rules in rows
        ]
        sections.append(f"### {state.value}\n\n{table(head, lines)}\n")
    return "\n".join(sections)


def grid_differences() -> str:
    """Return a Markdown section for each reason for which Linux does otherwise, with its cells."""
    outcomes = {answer.cell: answer.outcome for answer in answers(cells())}
    head = ("State", "Segment", "Sequence", "Ack", "The engine", "Linux")
    sections = []
    for each in DIFFERENCES:
        count = sum(map(each.covers, cells()))
        lines = [
            (
                patch.cells[0].state.value,
                patch.cells[0].segment,
                patch.sequences,
                patch.acknowledgments,
                *(f"{_code(reply)} {after}" for reply, after in (engine, linux)),
            )
            for patch, engine, linux in differences_of(each, outcomes)
        ]
        sources = f"The engine: {linked(cite(each.rule))}. Linux: {each.source}."
        text = f"{count} {'cell' if count == 1 else 'cells'}. {linked(each.reason)}\n\n{sources}"
        title = each.name[0].upper() + each.name[1:]
        sections.append(f"### {title}\n\n{text}\n\n{table(head, lines)}\n")
    return "\n".join(sections)


def _code(reply: str) -> str:
    return "silence" if reply == "-" else f"`{reply}`"


def command_line() -> str:
    """Return a Markdown section for every command, with the help it prints."""
    return "\n".join(_sections(main, "xsocket", None))


def _sections(command: click.Command, name: str, above: click.Context | None) -> Iterator[str]:
    context = command.make_context(name, [], above, resilient_parsing=True, terminal_width=90)
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if not isinstance(command, click.Group):
        return
    for each in command.list_commands(context):
        below = command.get_command(context, each)
        assert below is not None, f"{context.command_path} lists {each} and does not have it"
        yield from _sections(below, each, context)


def doctor_checks() -> str:
    """Return a Markdown table of what is tried on a machine, and what to do where it does not work."""
    rows = [
        (f"`{check.name}`", "yes" if check.needed else "", check.remedy or "The line says it, and why.")
        for check in (*BEFORE_PRIVILEGES, PRIVILEGES, *WITH_PRIVILEGES)
    ]
    return table(("Check", "Needed for everything", "Where it says NO"), rows)


def _range_of(kind: Any, rule: Rule) -> str:  # noqa: ANN401  # whatever an annotation may be
    if choices := get_args(kind):
        return ", ".join(f"`{choice!r}`" for choice in choices)
    if (rule.low, rule.high) == (-inf, inf):
        return "on, off"
    return f"{rule.low:,} to {rule.high:,} {rule.unit}"


class DropReasons(Generated):
    """``{drop-reasons}``."""

    text = staticmethod(drop_reasons)


class TcpConfigRules(Generated):
    """``{tcp-config}``."""

    text = staticmethod(tcp_config)


class TcpDifferences(Generated):
    """``{tcp-differences}``."""

    text = staticmethod(tcp_differences)


class Grid(Generated):
    """``{grid}``."""

    text = staticmethod(grid)


class GridDifferences(Generated):
    """``{grid-differences}``."""

    text = staticmethod(grid_differences)


class CommandLine(Generated):
    """``{command-line}``."""

    text = staticmethod(command_line)


class DoctorChecks(Generated):
    """``{doctor-checks}``."""

    text = staticmethod(doctor_checks)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("drop-reasons", DropReasons)
    app.add_directive("tcp-config", TcpConfigRules)
    app.add_directive("tcp-differences", TcpDifferences)
    app.add_directive("grid", Grid)
    app.add_directive("grid-differences", GridDifferences)
    app.add_directive("command-line", CommandLine)
    app.add_directive("doctor-checks", DoctorChecks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
