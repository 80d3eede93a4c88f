"""The command `xsocket mutants`: what it prints, its exit status, and the whole set against the library."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.markdown import ROOT
from xsocket_tools.cli import main
from xsocket_tools.mutants.mutant import read_all

SCRIPT = "0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1 win 0\n"
WRONG_RESET = """
file = "xsocket/tcp/output.py"
rule = "RFC 9293 3.5.2"
what = "A reset acknowledges too little."
before = "RST | ACK)\\n\\n\\ndef syn("
after = "RST)\\n\\n\\ndef syn("
"""
SLOW_CLOCK = """
file = "xsocket/tcp/isn.py"
rule = "RFC 9293 3.4.1"
what = "The clock of initial sequence numbers is slow."
before = "int(now * TICKS_PER_SECOND)"
after = "int(now)"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as that of the engine's sources; the current one."""
    for name in ("tests/mutants", "tests/scenarios/closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tests/scenarios/closed/refused.pkt").write_text(SCRIPT)
    (tmp_path / "tests/mutants/wrong_reset.toml").write_text(WRONG_RESET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def called(*words: str) -> Result:
    return CliRunner().invoke(main, ["mutants", *words])


@pytest.mark.usefixtures("place")
def test_all_killed_is_success() -> None:
    result = called()
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["wrong_reset", "RFC", "9293", "3.5.2", "closed/refused.pkt:2"] in lines
    assert "1 mutants: 1 killed, 0 survived, by 1 scripts in" in result.stdout


def test_a_survivor_is_a_failure(place: Path) -> None:
    (place / "tests/mutants/slow_clock.toml").write_text(SLOW_CLOCK)
    result = called("-j", "2")
    assert result.exit_code == 1
    assert ["slow_clock", "RFC", "9293", "3.4.1", "SURVIVED"] in map(str.split, result.stdout.splitlines())
    assert "slow_clock (xsocket/tcp/isn.py): The clock of initial sequence numbers is slow." in result.stdout
    assert "2 mutants: 1 killed, 1 survived, by 1 scripts in" in result.stdout


def test_what_no_script_can_show_is_no_failure(place: Path) -> None:
    (place / "tests/mutants/slow_clock.toml").write_text(SLOW_CLOCK + 'beyond_scripts = "it has no words"\n')
    result = called("-j", "2")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["slow_clock", "RFC", "9293", "3.4.1", "none", "can:", "it", "has", "no", "words"] in lines
    assert "2 mutants: 1 killed, 0 survived, 1 beyond scripts, by 1 scripts in" in result.stdout
    printed = json.loads(called("--json", "-j", "2").stdout)
    assert (printed["killed"], printed["survived"], printed["beyond_scripts"]) == (1, 0, 1)


def test_json_has_numbers_and_results(place: Path) -> None:
    (place / "tests/mutants/slow_clock.toml").write_text(SLOW_CLOCK)
    result = called("--json", "-j", "2")
    assert result.exit_code == 1
    printed = json.loads(result.stdout)
    assert printed.pop("seconds") > 0
    slow, wrong = printed.pop("results")
    assert printed == {"mutants": 2, "killed": 1, "survived": 1, "beyond_scripts": 0, "scripts": 1}
    assert (slow["name"], slow["killed_by"], slow["line"]) == ("slow_clock", None, 0)
    assert wrong == {
        "name": "wrong_reset",
        "file": "xsocket/tcp/output.py",
        "rule": "RFC 9293 3.5.2",
        "what": "A reset acknowledges too little.",
        "killed_by": "tests/scenarios/closed/refused.pkt",
        "line": 2,
        "message": "another packet came: flags, ack differs",
    }


def test_names_and_paths_choose(place: Path) -> None:
    (place / "tests/mutants").rename(place / "bugs")
    (place / "bugs/slow_clock.toml").write_text(SLOW_CLOCK)
    script = "tests/scenarios/closed/refused.pkt"
    result = called("wrong_reset", "--mutants", "bugs", "--scenarios", script, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["mutants"] == 1


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        pytest.param(["other"], 3, "error: there is no mutant other in tests/mutants\n", id="a name"),
        pytest.param(["--mutants", "no"], 3, "error: there is no mutant in no\nremedy: ", id="a directory"),
        pytest.param(["--scenarios", "no"], 2, "error: no does not exist\nremedy: ", id="a path"),
        pytest.param(["-j", "0"], 2, "Invalid value for '-j'", id="a number"),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_is_not_there_is_an_error(words: list[str], status: int, problem: str) -> None:
    result = called(*words)
    assert result.exit_code == status
    assert result.stdout == ""
    assert problem in result.stderr


def test_a_script_that_fails_anyway_is_an_error(place: Path) -> None:
    (place / "tests/scenarios/wrong.pkt").write_text(SCRIPT.replace("ack 1", "ack 2"))
    result = called("--json")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "error: the engine without a bug fails tests/scenarios/wrong.pkt:2: " in result.stderr


def test_a_mutant_that_does_not_fit_is_an_error(place: Path) -> None:
    (place / "tests/mutants/gone.toml").write_text(SLOW_CLOCK.replace("int(now *", "int(then *"))
    result = called()
    assert result.exit_code == 3
    assert "error: gone: `before` occurs 0 times in xsocket/tcp/isn.py, not once" in result.stderr


def test_the_library_kills_every_mutant_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no script can show are left out: they would be tried with every script, for nothing."""
    monkeypatch.chdir(ROOT)
    mutants = read_all(ROOT / "tests/mutants")
    names = [each.name for each in mutants if not each.beyond_scripts]
    result = called("--json", "-j", "1", *names)  # other tests have the other processors
    assert result.exit_code == 0, result.stdout + result.stderr
    printed = json.loads(result.stdout)
    assert printed["killed"] == len(names) > len(mutants) * 3 // 4
    assert len(mutants) >= 80
