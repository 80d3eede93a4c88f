"""Mutants as files, and as source with a bug in it; what is wrong with those that are none."""

from pathlib import Path

import pytest

from support.documents import Shown
from support.markdown import ROOT
from xsocket_tools.mutants.mutant import Mutant, MutantError, mutated, read, read_all
from xsocket_tools.mutants.running import PACKAGE

WRITTEN = """
file = "toy/sums.py"
rule = "RFC 0 1"
what = "The sum is a difference."
before = '''
    return a + b
'''
after = '''
    return a - b
'''
"""
SUMS = """def total(a, b):
    return a + b


def product(a, b):
    return a * b
"""
MUTANT = Mutant("less", "toy/sums.py", "RFC 0 1", "It subtracts.", "return a + b", "return a - b")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    toy = tmp_path / "toy"
    toy.mkdir()
    (toy / "sums.py").write_text(SUMS)
    return toy


def test_a_file_is_a_mutant_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "less.toml"
    path.write_text(WRITTEN)
    assert read(path) == Mutant(
        name="less",
        file="toy/sums.py",
        rule="RFC 0 1",
        what="The sum is a difference.",
        before="    return a + b\n",
        after="    return a - b\n",
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param('rule = "RFC 0 1"', "", "rule is missing", id="a field less"),
        pytest.param('rule = "RFC 0 1"', 'rule = "1"\nwhy = "2"', "a mutant has no why", id="a field more"),
        pytest.param('"RFC 0 1"', "1", "rule has to be text", id="a number"),
        pytest.param('"RFC 0 1"', '""', "rule has to be text", id="nothing"),
        pytest.param('"RFC 0 1"', "RFC 0 1", "Invalid value", id="no TOML"),
    ],
)
def test_another_file_is_none(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "less.toml"
    path.write_text(WRITTEN.replace(old, new))
    with pytest.raises(MutantError, match=problem) as raised:
        read(path)
    assert str(path) in raised.value.message
    assert "docs/how-to/mutants.md" in str(raised.value)


def test_lines_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "less.toml"
    path.write_text(WRITTEN.partition("after = ")[0] + 'after = ""')
    assert read(path).after == ""


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name in ("b", "c", "a"):
        (tmp_path / f"{name}.toml").write_text(WRITTEN)
    (tmp_path / "notes.txt").write_text("no mutant")
    return tmp_path


def test_all_of_a_directory_come_by_their_names(three: Path) -> None:
    assert [mutant.name for mutant in read_all(three)] == ["a", "b", "c"]


def test_names_choose(three: Path) -> None:
    assert [mutant.name for mutant in read_all(three, ["c", "a"])] == ["a", "c"]


def test_a_name_that_nothing_has_is_an_error(three: Path) -> None:
    with pytest.raises(MutantError, match="there is no mutant d in"):
        read_all(three, ["a", "d"])


@pytest.mark.parametrize("place", ["", "nowhere"], ids=["an empty directory", "no directory"])
def test_a_directory_without_mutants_is_an_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(MutantError, match="there is no mutant in") as raised:
        read_all(tmp_path / place)
    assert "--mutants DIR" in raised.value.remedy


def test_the_source_has_other_lines_then(package: Path) -> None:
    assert mutated(MUTANT, package) == SUMS.replace("a + b", "a - b")
    assert (package / "sums.py").read_text() == SUMS


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(
            {"before": "return c"}, "`before` occurs 0 times in toy/sums.py, not once", id="nowhere"
        ),
        pytest.param({"before": "return a"}, "`before` occurs 2 times in toy/sums.py, not once", id="twice"),
        pytest.param({"after": "return a + b"}, "`after` is the same as `before`", id="no change"),
        pytest.param({"after": "return a +"}, "no Python comes out: invalid syntax, line 2", id="no Python"),
        pytest.param({"file": "toy/more.py"}, "there is no file toy/more.py", id="no file"),
        pytest.param({"file": "sums.py"}, "there is no file sums.py in the package toy", id="not from above"),
        pytest.param({"file": "toy/../toy/sums.py"}, "there is no file toy/../toy", id="a way out"),
    ],
)
def test_what_does_not_fit_the_source_is_an_error(
    package: Path, change: dict[str, str], problem: str
) -> None:
    with pytest.raises(MutantError, match=problem) as raised:
        mutated(MUTANT._replace(**change), package)  # type: ignore[arg-type]  # names of fields
    assert raised.value.message.startswith("less: ")


def test_the_mutants_of_the_engine_fit_it() -> None:
    mutants = read_all(ROOT / "tests" / "mutants")
    assert len(mutants) >= 80
    assert all(mutated(mutant, PACKAGE) for mutant in mutants)
    assert all(mutant.rule and mutant.what.endswith(".") for mutant in mutants)


@pytest.mark.runs("docs/how-to/mutants.md", "toml")
def test_the_mutant_of_the_page_fits_the_engine(shown: Shown, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(shown.text("toml 1"))
    assert mutated(read(path), PACKAGE)
