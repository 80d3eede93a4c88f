from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from xsocket_netns import LabNameError, NoSuchHostError, NoSuchLabError, RuntimeDirectoryError, registry
from xsocket_netns.processes import Process
from xsocket_netns.registry import CarrierRecord, InterfaceRecord, LabRecord, LabState


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory for each test."""
    directory = tmp_path / "runtime"
    monkeypatch.setenv(registry.RUNTIME_VARIABLE, str(directory))
    return directory


def made(name: str = "some", **changes: object) -> LabRecord:
    record = replace(LabRecord(name, "0123abcd", Process.current()), **changes)  # type: ignore[arg-type]
    registry.create(record)
    return record


def test_a_record_reads_back_as_it_was_written() -> None:
    record = made(hosts={"client": "/run/netns/xs-0123abcd-client"}, user_namespace=True)
    record.links.append([InterfaceRecord("client", "eth0", "02:00:00:00:01:00", ["10.0.0.1/24"])])
    record.carriers["middle"] = CarrierRecord(Process.current(), ["--loss 5%"])
    record.save()
    assert LabRecord.load("some") == record
    assert registry.records() == [record]


def test_a_name_is_taken_once() -> None:
    first = made()
    with pytest.raises(LabNameError, match="there is a lab some already"):
        made()
    assert registry.records() == [first]
    registry.forget("some")
    made()
    assert registry.lab_names() == ["some"]


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NoSuchLabError, match="no lab none"):
        LabRecord.load("none")
    with pytest.raises(NoSuchHostError, match="it has: client"):
        made(hosts={"client": "/nowhere"}).host_namespace("server")
    assert registry.lab_names() == ["some"]


GONE = Process(Process.current().pid, 1)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        pytest.param({}, LabState.RUNNING, id="owner-runs"),
        pytest.param({"owner": GONE}, LabState.LEFTOVER, id="owner-is-gone"),
        pytest.param({"owner": None}, LabState.LEFTOVER, id="nobody-owns-it"),
        pytest.param({"persistent": True}, LabState.PERSISTENT, id="holder-runs"),
        pytest.param({"persistent": True, "owner": GONE}, LabState.LEFTOVER, id="holder-is-gone"),
        pytest.param({"persistent": True, "owner": None}, LabState.PERSISTENT, id="needs-no-holder"),
        pytest.param(
            {"persistent": True, "owner": None, "hosts": {"client": "/nowhere"}},
            LabState.LEFTOVER,
            id="namespaces-are-gone",
        ),
    ],
)
def test_the_state_of_a_lab(change: dict[str, object], state: LabState) -> None:
    assert made(**change).state is state


def test_processes_are_noted_until_dropped() -> None:
    made()
    single, leader = Process(10, 100), Process(11, 110, leads_group=True)
    for process in (single, leader, leader):
        registry.note_process("some", process)
    assert list(registry.noted_processes("some")) == [single, leader]
    registry.drop_process("some", single)
    registry.drop_process("some", single)
    assert list(registry.noted_processes("some")) == [leader]
    assert list(registry.noted_processes("none")) == []


def test_names_of_namespaces_are_in_the_runtime_directory_that_was_chosen(runtime: Path) -> None:
    assert registry.namespace_directory() == runtime / "netns"
    assert runtime.stat().st_mode & 0o777 == 0o700


def loosened(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


def linked(directory: Path) -> None:
    (directory.parent / "elsewhere").mkdir()
    directory.symlink_to(directory.parent / "elsewhere")


def filed(directory: Path) -> None:
    directory.touch()


def parentless(directory: Path) -> None:
    directory.parent.rmdir()


@pytest.mark.parametrize("spoil", [loosened, linked, filed, parentless])
def test_a_runtime_directory_that_cannot_be_trusted_is_refused(
    runtime: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(runtime)
    with pytest.raises(RuntimeDirectoryError, match="runtime"):
        registry.runtime_directory()
