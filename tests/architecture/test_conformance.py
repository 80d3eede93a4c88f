"""docs/conformance is complete and true: every label, a reason for what is not met, tests that exist."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import conformance
import pytest
from conformance import DIRECTORY, STATUSES, Requirement

from support.markdown import ROOT

FILES = sorted(DIRECTORY.glob("*.toml"))
APPENDIX_B = [
    *(f"MUST-{number}" for number in range(1, 70)),
    *(f"SHLD-{number}" for number in range(1, 32)),
    *(f"MAY-{number}" for number in range(1, 19)),
    "REC-1",
]
"""Every label of RFC 9293 appendix B. There is no gap; six of them stand in several rows (MUST-15, MUST-20,
MUST-46, MUST-56, MUST-57, SHLD-5) and are one requirement each."""
LEVELS_OF_LABEL = {
    "MUST": {"MUST", "MUST NOT"},
    "SHLD": {"SHOULD", "SHOULD NOT"},
    "MAY": {"MAY"},
    "REC": {"RECOMMENDED"},
}
LEVELS = {
    *("MUST", "MUST NOT", "REQUIRED", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT"),
    *("RECOMMENDED", "NOT RECOMMENDED", "MAY", "OPTIONAL", "rule"),
}
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def requirements(path: Path) -> tuple[Requirement, ...]:
    return conformance.read(path).requirements


@cache
def written_in(path: Path) -> frozenset[str]:
    """Return the tests of a file: ``test_name``, or ``TestClass::test_name``."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = ROOT / file
    return file.startswith("tests/") and path.is_file() and name in written_in(path)


def test_every_rfc_that_the_machine_follows_is_accounted_for() -> None:
    expected = {
        *(1191, 1337, 2018, 2385, 2883, 3168, 4821, 4987, 5482, 5681, 5925, 5927, 5961),
        *(6191, 6298, 6528, 6582, 6675, 6928, 7323, 7413, 8201, 8985, 9293, 9768),
    }
    assert {conformance.read(path).rfc for path in FILES} == expected


def test_every_label_of_appendix_b_is_there_once() -> None:
    counts = Counter(each.label for each in requirements(DIRECTORY / "rfc9293.toml"))
    assert sorted(set(APPENDIX_B) - counts.keys()) == []
    assert sorted(counts.keys() - set(APPENDIX_B)) == []
    assert [label for label, count in counts.items() if count > 1] == []


def test_a_label_of_appendix_b_says_the_level() -> None:
    wrong = [
        each.label
        for each in requirements(DIRECTORY / "rfc9293.toml")
        if each.level not in LEVELS_OF_LABEL[each.label.partition("-")[0]]
    ]
    assert wrong == []


@EVERY_FILE
def test_a_file_is_named_after_its_rfc(path: Path) -> None:
    found = conformance.read(path)
    assert path.stem == f"rfc{found.rfc}"
    assert found.title


@EVERY_FILE
def test_a_requirement_is_there_once(path: Path) -> None:
    counts = Counter(each.label for each in requirements(path))
    assert [label for label, count in counts.items() if count > 1] == []


@EVERY_FILE
def test_where_an_rfc_has_no_labels_the_section_and_a_number_name_a_requirement(path: Path) -> None:
    found = conformance.read(path)
    pattern = r"(MUST|SHLD|MAY|REC)-\d+" if found.rfc == 9293 else r"{section}-\d+"
    wrong = [
        each.label
        for each in found.requirements
        if not re.fullmatch(pattern.replace("{section}", re.escape(each.section)), each.label)
    ]
    assert wrong == []


@EVERY_FILE
def test_a_requirement_says_what_it_is(path: Path) -> None:
    for each in requirements(path):
        assert each.level in LEVELS, each.label
        assert each.status in STATUSES, each.label
        assert each.section, each.label
        assert each.what.endswith("."), each.label


@EVERY_FILE
def test_what_is_not_simply_met_has_a_reason(path: Path) -> None:
    assert [
        each.label for each in requirements(path) if each.status != "met" and not each.reason.endswith(".")
    ] == []


@EVERY_FILE
def test_what_the_engine_does_is_shown_by_tests(path: Path) -> None:
    shown = {"met", "switched"}
    assert [each.label for each in requirements(path) if each.status in shown and not each.tests] == []


@EVERY_FILE
def test_every_test_named_exists(path: Path) -> None:
    assert [
        f"{each.label}: {test}"
        for each in requirements(path)
        for test in each.tests
        if not exists(test) or each.tests.count(test) > 1
    ] == []


@pytest.mark.parametrize(
    "test",
    [
        pytest.param("tests/pair/test_transfer.py::test_that_nobody_wrote", id="no such test"),
        pytest.param("tests/pair/test_nothing.py::test_text_is_acknowledged", id="no such file"),
        pytest.param("tests/pair/test_transfer.py::text_of", id="no test"),
        pytest.param("tests/pair/test_transfer.py", id="no name"),
        pytest.param("tests/pair/test_transfer.py::test_text_is_acknowledged[1]", id="one row of a test"),
    ],
)
def test_a_test_that_does_not_exist_is_noticed(test: str) -> None:
    assert exists("tests/pair/test_transfer.py::test_text_is_acknowledged")
    assert not exists(test)


def test_the_page_has_every_requirement() -> None:
    page = conformance.conformance()
    assert [
        each.label
        for found in conformance.read_all()
        for each in found.requirements
        if f"| [{each.label}](" not in page
    ] == []
