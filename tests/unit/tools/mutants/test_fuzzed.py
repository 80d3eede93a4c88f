"""Mutants of the engine itself, tried with cases of the fuzzer."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Called

from xsocket.tcp import guards
from xsocket_tools.cli import main
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.mutants import fuzzed
from xsocket_tools.mutants.fuzzed import Verdict, attempt
from xsocket_tools.mutants.mutant import Mutant, MutantError

RESETS = Mutant(
    "resets_answer_resets",
    "xsocket/tcp/guards.py",
    "RFC 9293 3.5.2",
    "A reset for no connection is answered by one.",
    "    return DropReason.RST_FOR_NOBODY if segment.flags & RST else None\n",
    "    return None\n",
)
HARMLESS = RESETS._replace(
    name="harmless",
    what="Nothing is different.",
    after="    # said otherwise\n    return DropReason.RST_FOR_NOBODY if segment.flags & RST else None\n",
)
NEW_ISN = "    clock = int(now * TICKS_PER_SECOND)\n"
RAISES = Mutant(
    "raises", "xsocket/tcp/isn.py", "RFC 9293 3.4.1", "It raises.", NEW_ISN, "    clock = 1 // 0\n"
)
ENDLESS = RAISES._replace(name="endless", after="    while True:\n        clock = 1\n")
DIES = RAISES._replace(name="dies", after="    import os\n    os._exit(7)\n")
UNIMPORTABLE = RAISES._replace(
    name="unimportable",
    before='SECRET_OCTETS: Final = 32\n"""How many',
    after='SECRET_OCTETS: Final = NOTHING\n"""How many',
)


def test_every_seed_tells_after_how_many_cases_it_found_the_bug_and_by_which_rule() -> None:
    result = attempt(RESETS, [1, 2], limit_s=60)
    assert not result.survived
    assert [verdict.seed for verdict in result.verdicts] == [1, 2]
    for verdict in result.verdicts:
        assert verdict.how == "violation"
        assert verdict.finding is not None
        assert verdict.cases == verdict.finding.number + 1 > 0
    plain = result.as_dict()
    assert (plain["name"], plain["killed"]) == ("resets_answer_resets", True)
    assert plain["seeds"][0]["rule"].startswith("RFC 9293 3.")


def test_what_linux_is_allowed_is_a_bug_unless_it_is_allowed() -> None:
    """As Linux does, it answers another SYN where the third segment was due."""
    like_linux = Mutant(
        "like_linux",
        "xsocket/tcp/arrival.py",
        "RFC 9293 3.10.7.4 fourth",
        "Another SYN in SYN-RECEIVED is answered by a reset.",
        "    Trigger.SYN_INSTEAD: _gone,\n",
        "    Trigger.SYN_INSTEAD: lambda at: (\n"
        "        at.out.append(output.send(at.tcb, output.reset_for(at.segment), '')),\n"
        "        _gone(at),\n"
        "    ),\n",
    )
    told = attempt(like_linux, [1], limit_s=60)
    assert not told.survived
    assert told.verdicts[0].section == "RFC 9293 3.10.7.4 fourth"
    assert attempt(like_linux, [1], limit_s=2, like_linux=True).survived


def test_a_bug_that_no_case_shows_survives() -> None:
    result = attempt(HARMLESS, [1], limit_s=0.5)
    assert result.survived
    (verdict,) = result.verdicts
    assert (verdict.how, verdict.finding) == ("", None)
    assert result.as_dict()["seeds"][0]["killed"] is None


def test_one_seed_that_does_not_find_it_is_enough_to_survive() -> None:
    verdicts = (Verdict(1, "violation", 3), Verdict(2, "", 9000))
    assert fuzzed.Result(RESETS, verdicts).survived
    assert not fuzzed.Result(RESETS, verdicts[:1]).survived


def test_an_engine_that_raises_is_a_crash() -> None:
    (verdict,) = attempt(RAISES, [1], limit_s=60).verdicts
    assert verdict.how == "crash"
    assert verdict.finding is not None
    assert verdict.finding.violation.rule == rules.NEVER_RAISES
    assert "ZeroDivisionError" in verdict.as_dict()["got"]


def test_an_engine_that_ends_its_process_is_a_crash() -> None:
    (verdict,) = attempt(DIES, [1], limit_s=60).verdicts
    assert (verdict.how, verdict.finding, verdict.section) == ("crash", None, "exit status 7")


def test_an_engine_that_never_ends_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzed, "GRACE_S", 1.0)
    (verdict,) = attempt(ENDLESS, [1], limit_s=2).verdicts
    assert verdict.how == "hang"
    assert verdict.section == "it had not ended after 3 s"


def test_an_engine_that_cannot_be_imported_is_an_error() -> None:
    with pytest.raises(MutantError, match="unimportable cannot be tried: NameError: name 'NOTHING' is"):
        attempt(UNIMPORTABLE, [1], limit_s=60)


def test_a_case_that_finds_something_without_the_bug_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "in_closed", lambda _: None)
    with pytest.raises(MutantError, match="the engine without a bug breaks a rule in the case") as raised:
        attempt(RESETS, [1], limit_s=60)
    assert "xsocket fuzz --seed 1" in raised.value.remedy


# The command


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for mutant in (RESETS, HARMLESS):
        fields = {name: value for name, value in mutant._asdict().items() if name != "name" and value}
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        (tmp_path / f"{mutant.name}.toml").write_text(text)
    return tmp_path


def called(place: Path, *words: str) -> Called:
    return CliRunner(env={"COLUMNS": "120"}).invoke(main, ["mutants", "--mutants", str(place), *words])


def test_the_command_prints_cases_and_sections(place: Path) -> None:
    result = called(place, "--with", "fuzz", "--seed", "1", "--time", "0.5")
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert any(line[:1] == ["resets_answer_resets"] and line[4].isdigit() for line in lines)
    assert any(line[:1] == ["harmless"] and "SURVIVED" in line for line in lines)
    assert "harmless (xsocket/tcp/guards.py): Nothing is different." in result.stdout
    assert "2 mutants: 1 killed, 1 survived, by " in result.stdout


def test_the_command_prints_json(place: Path) -> None:
    words = ("--with", "fuzz", "--json", "--seed", "4", "--seed", "5", "resets_answer_resets")
    result = called(place, *words)
    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert (printed["mutants"], printed["killed"], printed["survived"]) == (1, 1, 0)
    assert (printed["seeds"], printed["time"]) == ([4, 5], 60.0)
    needed = [each["cases"] for each in printed["results"][0]["seeds"]]
    assert printed["cases"] == {"median": sum(needed) / 2, "most": max(needed)}


@pytest.mark.parametrize("words", [["--seed", "1"], ["--time", "5"]], ids=["a seed", "a time"])
def test_seeds_and_times_are_for_the_fuzzer(place: Path, words: list[str]) -> None:
    result = called(place, *words)
    assert result.exit_code == 2
    assert "--seed, --time and --like-linux are for --with fuzz" in result.stderr
