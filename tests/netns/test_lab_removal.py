"""Labs whose process ended badly: nothing is left, at once or after `xsocket lab clean`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xsocket_netns import Lab, LabInUseError, Namespace, NoSuchLabError, clean, privileges, registry
from xsocket_netns.processes import Process

pytestmark = pytest.mark.netns

PATIENCE_S = 20.0
Start = Callable[[str], "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Parsed = Callable[["subprocess.CompletedProcess[str]"], Any]

HOLD_A_LAB = """\
import os, select, signal
from xsocket_netns import Lab

rung, ring = os.pipe()  # with `signal.pause`, a signal just before it would be waited for in vain
os.set_blocking(ring, False)
signal.set_wakeup_fd(ring)
with Lab("held") as lab:
    client, server = lab.host("client"), lab.host("server")
    lab.link(client, server, addresses=(["10.0.0.1/24"], ["10.0.0.2/24"]))
    child = server.popen(["sleep", "1000"])
    os.write(1, b"%d\\n" % child.pid)  # in one go: another process writes there, too
    select.select([rung], [], [])
"""

HOLD_A_LAB_IN_A_COMMAND = f"""\
from xsocket_tools.cli import main

@main.command("hold")
def hold() -> None:
    exec({HOLD_A_LAB!r})

main(["hold"])
"""


def held(program: subprocess.Popen[str]) -> Process:
    """Wait until the program holds its lab; return what runs in a host of it."""
    assert program.stdout is not None
    process = Process.of(int(program.stdout.readline()))
    assert process is not None
    return process


@pytest.mark.parametrize(
    ("text", "number", "status"),
    [
        pytest.param(HOLD_A_LAB, signal.SIGINT, -signal.SIGINT, id="interrupted-program"),
        pytest.param(HOLD_A_LAB_IN_A_COMMAND, signal.SIGINT, 130, id="interrupted-command"),
        pytest.param(HOLD_A_LAB_IN_A_COMMAND, signal.SIGTERM, 143, id="terminated-command"),
        pytest.param(HOLD_A_LAB_IN_A_COMMAND, signal.SIGHUP, 129, id="command-whose-terminal-closed"),
    ],
)
def test_an_interrupted_process_removes_its_lab(
    start: Start, text: str, number: signal.Signals, status: int
) -> None:
    program = start(text)
    sleeper = held(program)
    program.send_signal(number)
    assert program.wait(PATIENCE_S) == status
    assert not sleeper.is_running()
    assert registry.lab_names() == []


def test_clean_removes_what_a_killed_process_left(start: Start, xsocket: Run, parsed: Parsed) -> None:
    program = start(HOLD_A_LAB)
    sleeper = held(program)
    program.kill()
    program.wait(PATIENCE_S)
    assert sleeper.is_running()
    assert [lab["state"] for lab in parsed(xsocket("lab", "list", "--json"))] == ["leftover"]
    removed = parsed(xsocket("lab", "clean", "--json"))
    assert removed == {"labs": ["held"], "namespaces": 2, "kept": [], "tables": []}
    assert not sleeper.is_running()
    assert parsed(xsocket("lab", "list", "--json")) == []


def test_clean_ends_what_left_its_process_group(start: Start) -> None:
    program = start(
        HOLD_A_LAB.replace('["sleep", "1000"]', '["setsid", "sh", "-c", "echo away; exec sleep 1000"]')
    )
    assert program.stdout is not None
    assert "away\n" in {program.stdout.readline(), program.stdout.readline()}
    program.kill()
    program.wait(PATIENCE_S)
    clean()
    assert program.stdout.read() == ""  # the end of the file: nobody is left to write


def test_clean_keeps_the_lab_of_a_running_process(start: Start, xsocket: Run, parsed: Parsed) -> None:
    program = start(HOLD_A_LAB)
    sleeper = held(program)
    removed = parsed(xsocket("lab", "clean", "--json"))
    assert removed == {"labs": [], "namespaces": 0, "kept": ["held"], "tables": []}
    refused = xsocket("lab", "clean", "held")
    assert refused.returncode == 1
    assert f"process {program.pid}, which is running" in refused.stderr
    assert sleeper.is_running()
    assert parsed(xsocket("lab", "clean", "--all", "--json")) == {
        "labs": ["held"],
        "namespaces": 2,
        "kept": [],
        "tables": [],
    }
    assert not sleeper.is_running()
    program.send_signal(signal.SIGINT)
    assert program.wait(PATIENCE_S) == -signal.SIGINT


def test_clean_removes_named_labs_only() -> None:
    for name in ("one", "two"):
        with Lab(name, persistent=True) as lab:
            lab.host("alone")
    assert clean(["one"]).labs == ["one"]
    assert registry.lab_names() == ["two"]
    assert clean().labs == ["two"]
    with pytest.raises(NoSuchLabError):
        clean(["two"])


def test_clean_refuses_a_named_lab_in_use(lab: Lab) -> None:
    lab.host("alone")
    with pytest.raises(LabInUseError):
        clean([lab.name])
    assert lab.hosts["alone"].path.exists()


def test_clean_removes_a_namespace_of_ours_without_a_record(runtime_directory: Path) -> None:
    stray, strange = (runtime_directory / "netns" / name for name in ("xs-0123abcd-host", "somebody-elses"))
    stray.parent.mkdir(exist_ok=True)
    with Namespace.create() as namespace:
        namespace.pin(stray)
    strange.touch()
    assert clean().namespaces == 1
    assert not stray.exists()
    assert strange.exists()
    strange.unlink()


def test_clean_removes_a_record_that_was_never_finished(runtime_directory: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    process = Process.of(child)  # still a zombie, so that nobody else has its number
    assert process is not None
    unfinished = runtime_directory / "labs" / f".{process.pid}.{process.started}.0123abcd"
    unfinished.mkdir(parents=True)
    assert registry.lab_names() == []
    clean()
    os.waitpid(child, 0)
    assert not unfinished.exists()


def test_a_persistent_lab_stays_after_its_block_but_not_after_an_error() -> None:
    with Lab("stays", persistent=True) as lab:
        path = lab.host("alone").path
    assert path.exists()
    assert clean().labs == ["stays"]
    with pytest.raises(KeyError), Lab("goes", persistent=True):
        raise KeyError
    assert registry.lab_names() == []


def test_the_default_place_of_names_is_where_ip_netns_looks(start: Start) -> None:
    if privileges.in_user_namespace():
        pytest.skip("an ordinary user may not write there")
    program = start(
        "import os; del os.environ['XSOCKET_RUNTIME_DIR']\n"
        "from xsocket_netns import Lab\n"
        "import json\n"
        "with Lab() as lab:\n"
        "    path = lab.host('alone').path\n"
        "    print(json.dumps([str(path), path.exists()]))\n"
    )
    assert program.stdout is not None
    path, existed = json.loads(program.stdout.readline())
    assert program.wait(PATIENCE_S) == 0
    assert existed
    assert not Path(path).exists()
    assert Path(path).parent == Path("/run/netns")
