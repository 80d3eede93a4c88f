"""Every block of every page is run by a test, or stands here with the reason why none can run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from support.documents import declared
from support.markdown import PAGES, ROOT, Block, blocks

BY_CI: Final = "targets of the Makefile, which CI runs; tests/unit/test_readme.py says that they are there"

LEFT_OUT: Final[dict[str, dict[str, str]]] = {
    "CONTRIBUTING.md": {"sh 1": BY_CI},
    "README.md": {"sh 1": BY_CI},
    "docs/how-to/kernels.md": {"sh 1": "takes a Docker daemon, and an image"},
}
"""Page, block, reason."""

ALL: Final = [
    block for page in PAGES for block in blocks(page) if block.language and not block.language.startswith("{")
]


def marked() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each test that is marked with `runs`, in the words of the mark."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "mark.runs(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for words in _marks(node):
                    yield f"{path.relative_to(ROOT)}::{node.name}", words


def _marks(function: ast.FunctionDef) -> Iterator[tuple[str, ...]]:
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.runs":
                yield tuple(ast.literal_eval(argument) for argument in node.args)


MARKED: Final = list(marked())


def label(block: Block) -> str:
    return f"{block.page}, {block.name}"


@pytest.fixture(scope="module")
def run() -> dict[str, list[str]]:
    """The tests that run a block, by its label."""
    found: dict[str, list[str]] = {label(block): [] for block in ALL}
    for test, words in MARKED:
        for block in declared(*words):
            found[label(block)].append(test)
    return found


def test_every_block_of_a_page_is_run(run: dict[str, list[str]]) -> None:
    left_out = {f"{page}, {name}" for page, reasons in LEFT_OUT.items() for name in reasons}
    missing = [each for each, tests in run.items() if not tests and each not in left_out]
    assert not missing, "run by no test:\n" + "\n".join(missing)


@pytest.mark.parametrize("page", LEFT_OUT)
def test_what_is_left_out_is_there_and_run_by_nothing(page: str, run: dict[str, list[str]]) -> None:
    assert {name: run[f"{page}, {name}"] for name in LEFT_OUT[page]} == {name: [] for name in LEFT_OUT[page]}
    assert all(LEFT_OUT[page].values())


@pytest.mark.parametrize(("test", "words"), MARKED, ids=[test for test, _ in MARKED])
def test_what_a_test_says_it_runs_is_there(test: str, words: tuple[str, ...]) -> None:
    assert declared(*words), test


def test_every_block_has_a_language() -> None:
    bare = [label(block) for page in PAGES for block in blocks(page) if not block.language]
    assert bare == []
