"""The directory of a campaign: what is written is read again, whole, and by one process at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xsocket.tcp import guards
from xsocket_tools.fuzzing.campaign import Campaign, Plan, Record, play_here
from xsocket_tools.fuzzing.case import Case, CaseError, Tick, as_json
from xsocket_tools.fuzzing.directory import (
    Directory,
    DirectoryError,
    DirectoryRefusedError,
    campaign_directory,
    read_case,
)
from xsocket_tools.fuzzing.targets.engine import EngineTarget

PLAN = Plan(seed=4, shard_cases=30)
OWN = Case((Tick(9.0), Tick(8.0)))


def played(before: Record, cases: int) -> Record:
    campaign = Campaign(before, cases)
    play_here(campaign, EngineTarget(), lambda _: None, lambda: False)
    return campaign.record


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """A campaign that has found something."""
    monkeypatch.setattr(guards, "in_closed", lambda _: None)
    return played(Record(PLAN), 60)


def test_what_is_written_is_read_again(record: Record, tmp_path: Path) -> None:
    assert record.total.findings
    with campaign_directory(tmp_path / "new") as directory:
        assert not directory.has_campaign
        directory.write(record)
        assert directory.has_campaign
        assert directory.read() == record


def test_the_corpus_has_the_cases_that_are_the_smallest_for_something(record: Record, tmp_path: Path) -> None:
    with campaign_directory(tmp_path) as directory:
        directory.write(record)
        more = played(directory.read(), 60)
        directory.write(more)
        assert set(directory.corpus().values()) == set(more.total.corpus)
        assert set(record.total.corpus) - set(more.total.corpus), "some have become redundant"


def test_what_is_new_or_smaller_is_told_once(record: Record, tmp_path: Path) -> None:
    with campaign_directory(tmp_path) as directory:
        assert directory.write(record) == list(record.total.findings)
        assert directory.write(record) == []
        counted = [each._replace(times=each.times + 1) for each in record.total.findings]
        larger = record._replace(total=record.total._replace(findings=tuple(counted)))
        assert directory.write(larger) == []
        assert directory.read().total.findings == tuple(counted)


def test_cases_of_others_stay_and_are_varied(record: Record, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "mine.json").write_text(as_json(OWN))
    with campaign_directory(tmp_path) as directory:
        assert directory.added() == (OWN,)
        directory.write(record._replace(extra=(OWN,)))
        assert directory.read().extra == (OWN,)
        assert read_case(tmp_path / "corpus" / "mine.json") == OWN
    shard = Campaign(record._replace(extra=(OWN,))).next_shard()
    assert shard is not None
    assert shard.corpus[-1] == OWN


def test_nothing_half_written_is_left(record: Record, tmp_path: Path) -> None:
    with campaign_directory(tmp_path) as directory:
        directory.write(record)
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".new")] == []


def test_another_process_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from xsocket_tools.fuzzing.directory import *\n"
        "with campaign_directory(Path(sys.argv[1])): print('in', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(DirectoryRefusedError, match="another campaign is using"),
            campaign_directory(tmp_path),
        ):
            pass
        other.communicate("\n")
    with campaign_directory(tmp_path):
        pass


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryRefusedError, match="cannot use"), campaign_directory(tmp_path / "file"):
        pass


def test_where_no_campaign_was_nothing_is_read(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="there is no campaign in"):
        Directory(tmp_path).read()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"version": 2}, "version 2, and this is for 1", id="a later version"),
        pytest.param({"seed": None, "done": 7}, "TypeError", id="no ranges"),
        pytest.param({"coverage": [["LISTEN", "SYN", "S.", "gone"]]}, "KeyError.*gone", id="a case is gone"),
    ],
)
def test_what_is_no_campaign_is_refused(
    record: Record, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    with campaign_directory(tmp_path) as directory:
        directory.write(record)
        path = tmp_path / "campaign.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(DirectoryError, match=problem):
            directory.read()


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000], ids=["nothing", "a list", "deep"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "campaign.json").write_text(text)
    with pytest.raises(DirectoryError, match=r"campaign\.json cannot be read"):
        Directory(tmp_path).read()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"\xff", "cannot be read", id="no text"),
        pytest.param(b"{}", "version None", id="no case"),
        pytest.param(b" " * 10_000_001, "larger than 10,000,000 octets", id="large"),
    ],
)
def test_a_file_that_is_no_case_is_refused_by_its_name(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "case.json"
    path.write_bytes(content)
    with pytest.raises(CaseError, match=problem) as raised:
        read_case(path)
    assert raised.value.message.startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="No such file"):
        read_case(tmp_path / "none.json")
