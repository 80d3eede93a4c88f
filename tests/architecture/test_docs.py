"""Pages and code agree: names, commands and tables; every public name has its place."""

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import click
import from_code
import pytest
import rules_from_code
from click.testing import CliRunner

import xsocket
import xsocket_netns
from support.markdown import PAGES, ROOT, blocks, inline_commands, local_links
from xsocket_tools.cli import SUBCOMMANDS, main
from xsocket_tools.rules.catalogue import catalogue

DOCS = ROOT / "docs"
SOURCES = ("engine", "netns", "tools")
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))


def name_of(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def test_every_extra_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        name: {re.match(r"[a-z-]+", each).group() for each in packages}
        for name, packages in project["optional-dependencies"].items()
        if name not in ("docs", "dev")
    }
    lines = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", (DOCS / "how-to/extras.md").read_text(), re.MULTILINE)
    assert {name: set(packages.split(", ")) for name, packages in lines} == extras


def test_remedies_name_extras_that_there_are() -> None:
    sources = "".join(path.read_text() for place in SOURCES for path in (ROOT / place).rglob("*.py"))
    named = set(re.findall(r"to_install\(['\"](\w+)['\"]\)", sources))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert named == set(project["optional-dependencies"]) - {"docs", "dev"}


@pytest.mark.parametrize(
    ("package", "page"), [(xsocket, "api.md"), (xsocket_netns, "labs.md")], ids=["xsocket", "xsocket_netns"]
)
def test_every_public_name_is_in_the_reference(package: ModuleType, page: str) -> None:
    text = (DOCS / "reference" / page).read_text()
    named = re.findall(rf"^\.\. auto\w+:: {package.__name__}\.(\w+)(?:\(\))?$", text, re.MULTILINE)
    assert sorted(named) == sorted(package.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    assert [link for link in local_links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_programs_compile_and_use_public_names(page: Path) -> None:
    for block in blocks(page, "python"):
        tree = compile(block.text, str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        unknown = [name for name in _names_of_ours(tree) if not _is_public(name)]
        assert unknown == []


def _names_of_ours(tree: ast.AST) -> Iterator[str]:
    """Yield ``package.Name`` for each name of ours that a program uses or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_public(name: str) -> bool:
    package, _, rest = name.rpartition(".")
    if package not in ("xsocket", "xsocket_netns"):
        return True
    return rest in importlib.import_module(package).__all__


@pytest.mark.parametrize("page", [page for page in PAGES if inline_commands(page)], ids=name_of)
def test_commands_in_a_sentence_exist_with_the_options_shown(page: Path) -> None:
    for command in inline_commands(page):
        _check_command(shlex.split(re.sub(r"--lessons \w+", "", command))[1:])  # an option of the group


def _check_command(words: list[str]) -> None:
    command: click.Command = main
    context = click.Context(main)
    for position, word in enumerate(words):
        if not isinstance(command, click.Group) or (command.invoke_without_command and word.startswith("-")):
            options = {name for each in command.params for name in each.opts}
            shown = words[position : words.index("--") if "--" in words else None]
            assert {each.partition("=")[0] for each in shown if each.startswith("-")} <= options, words
            return
        below = command.get_command(context, word)
        assert below is not None, f"there is no command xsocket {' '.join(words)}"
        command = below


SECTIONS = sorted(
    {
        words[2]
        for page in PAGES
        for words in map(shlex.split, inline_commands(page))
        if words[1] == "rules" and len(words) == 3
    }
)


@pytest.mark.parametrize("section", SECTIONS)
def test_rules_that_a_page_sends_to_are_there(section: str) -> None:
    assert CliRunner().invoke(main, ["rules", section]).exit_code == 0


def test_every_command_is_in_the_reference() -> None:
    text = from_code.command_line()
    assert [name for name in SUBCOMMANDS if f"## xsocket {name}\n" not in text] == []


def test_no_list_of_commands_is_cut() -> None:
    groups = [(name, main.get_command(click.Context(main), name)) for name in SUBCOMMANDS]
    listed = {
        f"xsocket {name} {line.split()[0]}": line
        for name, group in groups
        if isinstance(group, click.Group)
        for line in CliRunner()
        .invoke(main, [name, "--help"])
        .stdout.partition("\nCommands:\n")[2]
        .splitlines()
    }
    assert len(listed) > 20
    assert [line for line in listed.values() if line.endswith("...")] == []


def test_every_drop_reason_is_in_the_reference() -> None:
    text = from_code.drop_reasons()
    assert [reason.name for reason in xsocket.DropReason if f"| `{reason.name}` |" not in text] == []


def test_every_rule_is_in_the_reference() -> None:
    text = from_code.tcp_config()
    assert [rule.name for rule in fields(xsocket.TcpConfig) if f"| `{rule.name}` |" not in text] == []


def test_every_rule_of_the_catalogue_is_in_the_reference() -> None:
    text = rules_from_code.rules()
    assert [rule.key for rule in catalogue() if f"# {rule.key}: {rule.title}\n" not in text] == []
    assert "- FIN-WAIT-2: the peer never sent its FIN; goes to CLOSED\n" in text
    assert "- `TcpConfig`: `keepalive`, `keepalive_time_s`" in text


def test_sections_of_rfcs_are_links() -> None:
    text = from_code.drop_reasons()
    assert "[RFC 9293 3.10.7.1](https://www.rfc-editor.org/rfc/rfc9293.html#section-3.10.7.1)" in text
    assert "[RFC 826](https://www.rfc-editor.org/rfc/rfc826.html): " in text


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_names_its_alternative(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Rejected", "Consequence"]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
