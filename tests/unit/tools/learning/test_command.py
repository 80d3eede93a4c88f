"""The command `xsocket learn`: what it prints and writes, and its exit status."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xsocket.state import State
from xsocket_tools.cli import main
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.learning import command
from xsocket_tools.learning.machine import Move, as_dict, load, stored

LETTERS = {
    "version": 1,
    "letters": [
        {"letter": "SYN", "do": "say", "flags": "S"},
        {"letter": "ACK", "do": "say", "flags": "."},
    ],
}


@pytest.fixture
def letters(tmp_path: Path) -> str:
    path = tmp_path / "two.json"
    path.write_text(json.dumps(LETTERS))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["learn", *arguments], env={"COLUMNS": "100"})


def test_a_table_for_each_state() -> None:
    done = run()
    assert done.exit_code == 0
    assert "SYN-RECEIVED (SYN)" in done.output
    assert "server: 4 states by 13 letters, from " in done.output.splitlines()[-1]


def test_json_has_the_machine() -> None:
    done = run("--json")
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert (found["states"], found["letters"]) == (4, 13)
    assert found["machine"]["states"] == as_dict(load("engine-server-basic"))["states"]
    assert found["machine"]["system"].startswith("Xsocket ")
    assert 0 < found["queries"] < found["steps"]


def test_letters_from_a_file(letters: str) -> None:
    found = json.loads(run("--alphabet", letters, "--equivalence", "random-walk", "--json").output)
    assert list(found["machine"]["states"]) == ["LISTEN", "SYN-RECEIVED", "ESTABLISHED"]


def test_files_by_their_suffix_and_all_in_a_directory(letters: str, tmp_path: Path) -> None:
    one, many = tmp_path / "machine.svg", tmp_path / "new" / "place"
    done = run("--alphabet", letters, "-o", str(one), "--output", str(many), "--json")
    assert done.exit_code == 0
    assert one.read_text().startswith("<svg")
    written = [f"engine-server-two{suffix}" for suffix in (".dot", ".json", ".svg")]
    assert sorted(path.name for path in many.iterdir()) == written
    assert load(str(many / written[1])).role == "server"
    assert json.loads(done.output)["files"][0] == str(one)


@pytest.mark.parametrize("place", ["none/machine.json", "two.json/below"])
def test_a_place_where_nothing_can_be_written(place: str, letters: str, tmp_path: Path) -> None:
    done = run("--alphabet", letters, "-o", str(tmp_path / place))
    assert done.exit_code == 1
    assert "remedy: Name a directory that exists" in done.output


def test_a_file_of_letters_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    done = run("--alphabet", str(bad))
    assert done.exit_code == 2
    assert f"error: {bad}: no JSON" in done.output
    assert "remedy: docs/how-to/learn.md" in done.output


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("aalpy", "xsocket_tools.learning."))]:
        if name.startswith("aalpy") or name.endswith((".learner", ".equivalence")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("xsocket_tools.learning.learner", raising=False)
    monkeypatch.setitem(sys.modules, "aalpy", None)
    done = run()
    assert done.exit_code == 1
    assert "error: aalpy is not installed" in done.output
    assert 'remedy: pip install "xsocket[learn]"' in done.output


class Forgetful(EngineTarget):
    """Does not know of any connection in every second case."""

    def __init__(self) -> None:
        self._cases = count()
        super().__init__()

    def begin(self, rules: tuple[tuple[str, Any], ...], seed: int) -> None:
        super().begin(rules, seed)
        self._forgets = next(self._cases) % 2 == 0

    def state(self, peer: int) -> State | None:
        return None if self._forgets else super().state(peer)


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def forgetful(name: str) -> Iterator[Forgetful]:
        del name
        yield Forgetful()

    monkeypatch.setattr(command, "opened", forgetful)


@pytest.mark.usefixtures("_forgetful")
def test_two_answers_to_the_same_letters_are_printed() -> None:
    done = run()
    assert done.exit_code == 1
    assert "the same letters, and two answers" in done.output
    assert "SA(iss, +1) then LISTEN" in done.output
    assert "SA(iss, +1) then SYN-RECEIVED" in done.output


@pytest.mark.usefixtures("_forgetful")
def test_two_answers_to_the_same_letters_as_json() -> None:
    done = run("--json")
    assert done.exit_code == 1
    found = json.loads(done.output)["nondeterminism"]
    assert len(found["word"]) == len(found["first"]) == len(found["second"])
    assert found["first"][:-1] == found["second"][:-1]
    assert found["first"][-1] != found["second"][-1]


def test_differences_with_their_rules() -> None:
    done = run("diff", "engine-server-basic", "linux-6.18-server-basic")
    assert done.exit_code == 1
    assert "RFC 9293 3.10.7.4 fourth: another SYN where the third segment was due" in done.output
    assert "SYN, [SYN | SYN+FIN]" in done.output
    assert done.output.splitlines()[-1] == "words that tell them apart: 3"


def test_machines_of_one_name_are_told_apart_by_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = load("engine-server-basic")
    machine.table["SYN-RECEIVED"]["ACK future"] = Move("-", "ESTABLISHED")
    (tmp_path / "mine.json").write_text(json.dumps(as_dict(machine)))
    monkeypatch.chdir(tmp_path)
    done = run("diff", "engine-server-basic", "mine.json")
    (heading,) = (
        line for line in done.output.splitlines() if "letters " in line and "in " in line and "┃" in line
    )
    assert [each.strip() for each in heading.split("┃")[1:-1]] == [
        "letters",
        "in",
        "engine-server-basic",
        "mine.json",
    ]


def test_differences_as_json() -> None:
    done = run("diff", "engine-server-flags", "linux-6.18-server-flags", "--limit", "2", "--json")
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert found["words"] > 2 == len(found["differences"])
    assert found["differences"][0]["rule"] == "RFC 9293 3.10.7.4 fourth"


def test_no_difference() -> None:
    done = run("diff", "engine-server-basic", "engine-server-calls")
    assert done.exit_code == 0
    assert "Only one of them knows: FIN+ACK crossing, claim" in done.output
    assert "Nothing tells them apart" in done.output


def test_a_machine_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    for pair in ((str(bad), "engine-server-basic"), ("engine-server-basic", str(bad))):
        done = run("diff", *pair)
        assert done.exit_code == 2
        assert f"error: {bad}: a machine is a JSON object" in done.output
        assert "remedy: Write one with" in done.output


def test_what_is_stored_is_listed() -> None:
    assert run("stored").output.split() == stored()
    assert json.loads(run("stored", "--json").output) == stored()


def test_an_option_before_a_subcommand_is_refused() -> None:
    done = run("--json", "diff", "engine-server-basic", "engine-server-basic")
    assert done.exit_code == 2
    assert "it goes behind diff" in done.output
