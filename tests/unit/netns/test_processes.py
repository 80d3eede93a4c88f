from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from xsocket_netns.processes import Process

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1000; done"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(["sleep", "1000"], text=True, process_group=0) as running:
        yield running
        running.kill()


def found(pid: int, *, leads_group: bool = False) -> Process:
    process = Process.of(pid, leads_group=leads_group)
    assert process is not None
    return process


def test_the_current_process_runs() -> None:
    assert Process.current().pid == os.getpid()
    assert Process.current().is_running()


def test_a_pid_that_nobody_has_is_no_process() -> None:
    assert Process.of(2**22 + 1) is None  # above PID_MAX_LIMIT of linux/threads.h


def test_a_process_that_ended_does_not_run(child: subprocess.Popen[str]) -> None:
    process = found(child.pid)
    process.end()
    assert not process.is_running()
    assert child.wait() == -15
    process.end()


def test_another_process_with_its_pid_is_left_alone(child: subprocess.Popen[str]) -> None:
    earlier = replace(found(child.pid), started=1)
    earlier.end()
    assert not earlier.is_running()
    assert child.poll() is None


def test_a_process_that_will_not_end_is_killed() -> None:
    with subprocess.Popen(
        ["sh", "-c", STUBBORN], stdout=subprocess.PIPE, text=True, process_group=0
    ) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        found(stubborn.pid, leads_group=True).end(grace_s=0.05)
        assert stubborn.wait() == -9


def test_a_group_ends_with_its_leader() -> None:
    argv = ["sh", "-c", f"sh -c '{STUBBORN.replace(chr(39), chr(34))}' & wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, process_group=0) as leader:
        assert leader.stdout is not None
        leader.stdout.readline()
        found(leader.pid, leads_group=True).end(grace_s=5.0)
        assert leader.stdout.read() == ""  # the end of the file: nobody is left to write
