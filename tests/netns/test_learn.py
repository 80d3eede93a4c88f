"""Learning the kernel of this machine, and the engine on the wire."""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.learning import STORED, check_stored, told_apart
from support.linux import RELEASE, only_there
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.target import Target
from xsocket_tools.learning.alphabet import alphabet_of
from xsocket_tools.learning.learner import learn
from xsocket_tools.learning.machine import load

pytestmark = pytest.mark.netns

Record = Callable[[str, object], None]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@only_there
@pytest.mark.parametrize(("role", "alphabet"), STORED, ids=["-".join(each) for each in STORED])
def test_linux_is_as_stored(linux: Target, role: str, alphabet: str, record_property: Record) -> None:
    took_s = check_stored(linux, f"linux-{RELEASE}", role, alphabet)
    record_property(f"seconds to learn the kernel, {role}, {alphabet}", round(took_s, 2))


def test_the_engine_on_the_wire_is_as_in_virtual_time() -> None:
    with opened("wire") as wire:
        learned = learn(wire, alphabet_of("basic", "server"), "server").machine
    stored = load("engine-server-basic")
    assert told_apart(stored, learned) == []
    assert learned.table == stored.table


def test_the_command_says_what_it_took(xsocket: Run, parsed: Callable[[Any], Any]) -> None:
    found = parsed(xsocket("learn", "--on", "kernel", "--json"))
    assert found["letters"] == 13
    assert found["seconds"] > 0
    assert found["machine"]["release"] == os.uname().release


def test_an_ordinary_user_can_learn(as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-m", "xsocket_tools.cli", "learn", "--on", "kernel", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["states"] == 4
