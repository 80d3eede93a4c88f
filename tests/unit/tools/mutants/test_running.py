"""Trials of mutants of the engine itself, with scripts that notice some of them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from xsocket_tools.mutants.mutant import Mutant, MutantError
from xsocket_tools.mutants.running import (
    PACKAGE,
    Library,
    Result,
    Verdict,
    attempt,
    library,
    results,
    time_limit,
)
from xsocket_tools.mutants.trial import nearest_first
from xsocket_tools.scenarios.errors import ScriptSyntaxError
from xsocket_tools.scenarios.plan import Job
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.settings import Settings

LISTEN = """0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""
HANDSHAKE = (
    LISTEN
    + """+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 1 win 65535 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0 state ESTABLISHED
"""
)
REFUSED = "0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1 win 0\n"

WRONG_RESET = Mutant(
    "wrong_reset",
    "xsocket/tcp/output.py",
    "RFC 9293 3.5.2",
    "A reset acknowledges too little.",
    "    return Segment(0, add(segment.seq, segment.length), RST | ACK)\n",
    "    return Segment(0, segment.seq, RST | ACK)\n",
)
NEW_ISN = """    clock = int(now * TICKS_PER_SECOND)
"""
SLOW_CLOCK = Mutant(
    "slow_clock",
    "xsocket/tcp/isn.py",
    "RFC 9293 3.4.1",
    "The clock of initial sequence numbers is slow.",
    NEW_ISN,
    "    clock = int(now)\n",
)
ENDLESS = SLOW_CLOCK._replace(name="endless", after="    while True:\n        clock = 1\n")
CRASHES = SLOW_CLOCK._replace(name="crashes", after="    clock = 1 // 0\n")
HUNGRY = SLOW_CLOCK._replace(name="hungry", after='    raise SystemExit("MemoryError")\n')
"""Ends as a process does that has no memory left to say more."""
UNIMPORTABLE = SLOW_CLOCK._replace(
    name="unimportable",
    before='SECRET_OCTETS: Final = 32\n"""How many',
    after='SECRET_OCTETS: Final = NOTHING\n"""How many',
)


@pytest.fixture
def scripts(tmp_path: Path) -> Library:
    (tmp_path / "a_handshake.pkt").write_text(HANDSHAKE)
    (tmp_path / "refused.pkt").write_text(REFUSED)
    return library([tmp_path])


def test_a_library_has_all_scripts_of_a_directory(scripts: Library) -> None:
    assert scripts.scripts == 2


def test_a_script_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.pkt").write_text("+0 what is this\n")
    with pytest.raises(ScriptSyntaxError, match=r"bad\.pkt:1"):
        library([tmp_path])


def test_the_script_that_fails_has_killed_the_mutant(scripts: Library, tmp_path: Path) -> None:
    result = attempt(WRONG_RESET, scripts, limit_s=60)
    assert not result.survived
    assert result.as_dict() == {
        "name": "wrong_reset",
        "file": "xsocket/tcp/output.py",
        "rule": "RFC 9293 3.5.2",
        "what": "A reset acknowledges too little.",
        "killed_by": str(tmp_path / "refused.pkt"),
        "line": 2,
        "message": "another packet came: ack differs",
    }


def test_a_mutant_that_no_script_notices_survives(scripts: Library) -> None:
    result = attempt(SLOW_CLOCK, scripts, limit_s=60)
    assert result.survived
    plain = result.as_dict()
    assert (plain["killed_by"], plain["line"], plain["message"]) == (None, 0, "")


def test_a_mutant_that_never_ends_is_killed_by_the_time_limit_and_leaves_nothing(
    scripts: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    verdict = attempt(ENDLESS, scripts, limit_s=3).verdict
    assert verdict.script == str(tmp_path / "a_handshake.pkt")
    assert verdict.message == "time limit: it had not ended after 3 s"
    assert list(place.iterdir()) == []


def test_a_mutant_that_raises_is_killed_by_the_script_in_which_it_does(
    scripts: Library, tmp_path: Path
) -> None:
    verdict = attempt(CRASHES, scripts, limit_s=60).verdict
    assert verdict.script == str(tmp_path / "a_handshake.pkt")
    assert verdict.message.startswith("ZeroDivisionError: ")


def test_a_mutant_that_asks_for_all_memory_is_killed_by_the_script_in_which_it_does(
    scripts: Library, tmp_path: Path
) -> None:
    verdict = attempt(HUNGRY, scripts, limit_s=60).verdict
    assert verdict.script == str(tmp_path / "a_handshake.pkt")
    assert verdict.message == "memory limit: it asked for more and more"


def test_an_engine_that_cannot_be_imported_is_an_error(scripts: Library) -> None:
    with pytest.raises(MutantError, match="unimportable cannot be tried: NameError: name 'NOTHING' is"):
        attempt(UNIMPORTABLE, scripts, limit_s=60)


def test_what_does_not_fit_is_found_before_anything_is_tried(
    scripts: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: tried.append(1))
    wrong = SLOW_CLOCK._replace(name="wrong", before="nothing that is there")
    other = SLOW_CLOCK._replace(name="other", file="xsocket/nowhere.py")
    with pytest.raises(MutantError, match=r"wrong: `before` occurs 0 times .*\nother: there is no file"):
        next(results([WRONG_RESET, wrong, other], scripts, limit_s=60))
    assert tried == []


def test_several_at_once_keep_their_places(scripts: Library) -> None:
    mutants = [SLOW_CLOCK, WRONG_RESET, SLOW_CLOCK]
    found = dict(results(mutants, scripts, limit_s=60, workers=2))
    assert [found[at].survived for at in range(3)] == [True, False, True]


def test_the_engine_itself_stays_as_it_was(scripts: Library) -> None:
    before = (PACKAGE / "tcp" / "output.py").read_bytes()
    attempt(WRONG_RESET, scripts, limit_s=60)
    assert (PACKAGE / "tcp" / "output.py").read_bytes() == before


def test_the_limit_is_many_times_what_the_engine_takes(scripts: Library) -> None:
    assert time_limit(scripts) >= 3


def test_a_library_that_fails_without_a_bug_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.pkt").write_text(REFUSED.replace("ack 1", "ack 2"))
    with pytest.raises(MutantError, match=r"the engine without a bug fails .*wrong\.pkt:2: ") as raised:
        time_limit(library([tmp_path]))
    assert "xsocket run" in raised.value.remedy


def test_a_result_without_a_script_has_survived() -> None:
    assert Result(SLOW_CLOCK, Verdict()).survived
    assert not Result(SLOW_CLOCK, Verdict("a.pkt", 3, "no packet came")).survived


def test_scripts_of_the_rule_come_first() -> None:
    directories = [
        "tests/rfc2018-sack",
        "tests/rfc9293-3.10.7.4-acceptability",
        "tests/rfc9293-3.6-closing",
        "tests/rfc9293-3.6.1-time-wait",
        "tests/rfc9293-3.10.7.3-syn-sent",
        "elsewhere",
    ]
    jobs = [Job(read(HANDSHAKE), "sim", Settings(), directory) for directory in directories]

    def ordered(rule: str) -> list[int]:
        return [directories.index(job.directory) for job in nearest_first(jobs, rule)]

    assert ordered("RFC 9293 3.6.1") == [3, 2, 1, 4, 0, 5]
    assert ordered("RFC 9293 3.10.7.3 second") == [4, 1, 2, 3, 0, 5]
    assert ordered("RFC 2018 3") == [0, 1, 2, 3, 4, 5]
    assert ordered("") == [0, 1, 2, 3, 4, 5]


def test_scripts_that_are_called_as_the_bug_is_come_first() -> None:
    names = ["reset_in_closing.pkt", "the_text_in_time_wait.pkt", "reset_in_time_wait.pkt", "any_other.pkt"]
    script = read(HANDSHAKE)
    jobs = [Job(replace(script, name=f"tests/{name}"), "sim", Settings(), "tests") for name in names]
    found = nearest_first(jobs, "RFC 1337", "any_reset_ends_the_time_wait")
    assert [names.index(Path(job.script.name).name) for job in found] == [2, 1, 0, 3]
