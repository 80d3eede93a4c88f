"""What pages show, done: which blocks a test has to run, and how programs, commands and sessions are run."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from support.markdown import PAGES, ROOT, Block, Step, blocks, steps_of
from xsocket_tools.cli import main

PATIENCE_S: Final = 60.0
_OF_THE_SHELL: Final = re.compile(r"[&|;<>$*{}()]")
_PRINTED: Final = re.compile(r"^\s*print\(.*\)\s+# (.+)$", re.MULTILINE)


def declared(page: str, *names: str) -> list[Block]:
    """Return the blocks of which `pytest.mark.runs` speaks.

    Args:
        page: Below the root; with a `*` in it, every page that matches.
        *names: Languages, or blocks such as `python 2`; every block but those of Sphinx without any.
    """
    pages = [path for path in PAGES if path.relative_to(ROOT).match(page)]
    found = [block for path in pages for block in blocks(path) if not block.language.startswith("{")]
    missing = [name for name in names if not any(name in (each.name, each.language) for each in found)]
    assert found, f"there is no block in {page}"
    assert not missing, f"there is no block {', '.join(missing)} in {page}"
    return [each for each in found if not names or {each.name, each.language} & {*names}]


class Shown:
    """The blocks that a test has said it runs; it has to take all of them."""

    def __init__(self, *marks: Sequence[str]) -> None:
        self.left = [block for mark in marks for block in declared(*mark)]

    def blocks(self, *names: str) -> list[Block]:
        """Take those that have this language or name, or all that are left."""
        taken = [each for each in self.left if not names or {each.language, each.name} & {*names}]
        self.left = [each for each in self.left if each not in taken]
        return taken

    def steps(self, *names: str) -> list[Step]:
        """Take sessions, and return their commands."""
        return [step for block in self.blocks(*(names or ("console",))) for step in steps_of(block)]

    def text(self, name: str) -> str:
        """Take one block, and return what is inside."""
        (block,) = self.blocks(name)
        return block.text


# What is shown, and what is printed


def assert_printed(shown: str, printed: str, where: str, *, all_of_it: bool = True) -> None:
    """Compare line by line. `...` stands for anything: in a line for a part of it, alone for any lines.

    Args:
        shown: On the page.
        printed: In truth.
        where: Of what this is, for the message.
        all_of_it: Whether nothing else may be printed, before or behind.
    """
    lines = [re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + "\n" for line in shown.splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == ".*\n" else line for line in lines)
    printed = re.sub(r" \(\d+ reruns?\)", "", printed.replace("\t", "   "))  # where the machine is busy
    plain = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    look = re.fullmatch if all_of_it else re.search
    assert look(pattern if all_of_it else rf"(?m:^){pattern}", plain), (
        f"{where} shows\n{shown}\nand this is printed:\n{printed}"
    )


def assert_shown(steps: Iterable[Step], printed: str) -> None:
    """Look for each line that the steps show, in this order, in what a session prints."""
    rest = printed
    for line in (line for step in steps for line in step.shown if line != "..."):
        match = re.search(re.escape(line).replace(r"\.\.\.", ".*"), rest)
        assert match is not None, f"not printed where it is shown: {line}\n{printed}"
        rest = rest[match.end() :]


# Programs and commands


def follow(
    shown: Iterable[Block],
    names: dict[str, Any] | None = None,
    *,
    more: Mapping[str, str] | None = None,
    ends: Mapping[str, int] | None = None,
) -> None:
    """Do what the blocks of a page show, in their order, in this process and its current directory.

    Programs share their names, and print what the next `text` has, or what comments behind `print(...)` say.
    What a command prints is what stands under it, or has in it what the next `text` has.

    Args:
        shown: In the languages python, console, sh and text.
        names: Of what the programs find there.
        more: What is added to a command, so that it takes less time.
        ends: The exit status of a command, where it is not zero.
    """
    names = {} if names is None else names
    more, ends = dict(more or {}), dict(ends or {})
    printed, whole = "", True
    for block in shown:
        where = f"{block.page}, {block.name}"
        if block.language == "text":
            assert_printed(block.text, printed, where, all_of_it=whole)
        elif block.language == "python":
            printed, whole = executed(block, names), True
            for line in _PRINTED.findall(block.text):
                assert line in printed.splitlines(), f"{where}: {line}\n{printed}"
        else:
            assert block.language in ("console", "sh"), where
            printed, whole = "", False
            for step in steps_of(block):
                command = f"{step.command} {more.pop(step.command, '')}"
                output = _commanded(command, ends.pop(step.command, 0))
                if step.shown:
                    assert_printed("\n".join(step.shown), output, where)
                printed += output
    assert not {*more, *ends}, f"the page has none of these commands any more: {sorted({*more, *ends})}"


def executed(program: Block, names: dict[str, Any]) -> str:
    """Run a program in this process; return what it prints. It may have `await` outside of functions."""
    code = compile(program.text, program.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        made = eval(code, names)  # noqa: S307  # the page is ours
        if inspect.iscoroutine(made):
            asyncio.run(made)
    return screen.getvalue()


def _commanded(command: str, status: int) -> str:
    """Run a command, our own in this process (but for those which become another); return what it prints."""
    words = shlex.split(command)
    if words[0] == "xsocket" and words[1] != "lab" and not _OF_THE_SHELL.search(command):
        result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
        assert result.exit_code == status, f"{command}\n{result.output}"
        return result.stdout
    ran = _in_shell(command, Path.cwd(), os.environ, stderr=subprocess.PIPE)
    assert ran.returncode == status, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


# Sessions


def session(
    steps: Iterable[Step], place: Path, environment: Mapping[str, str], *, ends: Sequence[int] = (0,)
) -> str:
    """Run the commands of a session one after the other in one shell; compare, and return what is printed.

    Args:
        steps: The commands; a shell's jobs may be among them.
        place: Where.
        environment: Of the shell, which has the commands `python` and `xsocket` of this interpreter.
        ends: The exit statuses that the last of them may have.
    """
    steps = list(steps)
    shell = "\n".join(step.command for step in steps)
    ran = _in_shell(f"set -e -m\n{shell}\nwait", place, environment)
    assert ran.returncode in ends, ran.stdout
    assert "Traceback" not in ran.stdout, ran.stdout
    assert_shown(steps, ran.stdout)
    return ran.stdout


def _in_shell(
    commands: str, place: Path, environment: Mapping[str, str], *, stderr: int = subprocess.STDOUT
) -> subprocess.CompletedProcess[str]:
    own = place / ".bin"
    own.mkdir(exist_ok=True)
    for name, arguments in (("python", ""), ("xsocket", "-m xsocket_tools.cli")):
        (own / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (own / name).chmod(0o755)
    path = f"{own}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", commands],
        cwd=place,
        env={"COLUMNS": "200", **environment, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
