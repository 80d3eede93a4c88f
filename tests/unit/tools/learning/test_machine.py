"""Machines as values and as files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xsocket_tools.learning.errors import MachineError
from xsocket_tools.learning.machine import as_dict, as_json, from_json, load, nearest, state_of

NAME = "linux-6.18-server-basic"


def test_a_machine_survives_json() -> None:
    machine = load(NAME)
    assert from_json(as_json(machine)) == machine
    assert json.loads(as_json(machine)) == as_dict(machine)


def test_a_transition_is_a_line() -> None:
    assert '      "SYN": ["RA(0, +len)", "LISTEN"],\n' in as_json(load(NAME))


def test_what_a_word_does() -> None:
    moves = load(NAME).run(["SYN", "ACK", "FIN+ACK"])
    assert [move.output for move in moves] == ["SA(iss, +1)", "-", "A(+len)"]
    assert moves[-1].to == "CLOSE-WAIT"


def test_the_nearest_words() -> None:
    machine = load(NAME)
    assert nearest(machine.table, machine.initial) == {
        "LISTEN": (),
        "SYN-RECEIVED": ("SYN",),
        "ESTABLISHED": ("SYN", "ACK"),
        "CLOSE-WAIT": ("SYN", "FIN+ACK"),
    }


@pytest.mark.parametrize(
    ("name", "state"),
    [("ESTABLISHED", "ESTABLISHED"), ("ESTABLISHED 12", "ESTABLISHED"), ("FIN-WAIT-1 2", "FIN-WAIT-1")],
)
def test_the_stacks_name_of_a_state(name: str, state: str) -> None:
    assert state_of(name) == state


def changed(change: Callable[[dict[str, Any]], None]) -> str:
    """Return the text of a file that has been changed."""
    plain = as_dict(load(NAME))
    change(plain)
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param("{", "no JSON", id="half of a file"),
        pytest.param("[" * 100_000, "nested too deeply", id="too deep"),
        pytest.param("[]", "a machine is a JSON object", id="a list"),
        pytest.param("{}", "has version None, and this is for 1", id="no version"),
        pytest.param(changed(lambda each: each.update(version=9)), "has version 9", id="a later version"),
        pytest.param(changed(lambda each: each.update(role="king")), "`role` is one of", id="role"),
        pytest.param(changed(lambda each: each.update(letters=7)), "`letters` is a list", id="letters"),
        pytest.param(changed(lambda each: each.update(rules=[])), "`rules` is an object", id="rules"),
        pytest.param(changed(lambda each: each.update(states={})), "`states` is an object", id="no states"),
        pytest.param(changed(lambda each: each.update(initial="X")), "`initial` is one of", id="initial"),
        pytest.param(
            changed(lambda each: each["states"]["LISTEN"].pop("SYN")),
            "state 'LISTEN' has a move for each letter",
            id="a move is missing",
        ),
        pytest.param(
            changed(lambda each: each["states"]["LISTEN"].update(SYN="-")),
            "'LISTEN', 'SYN': a move is a list",
            id="a move is none",
        ),
        pytest.param(
            changed(lambda each: each["states"]["LISTEN"].update(SYN=["-", "HOME"])),
            "'LISTEN', 'SYN': there is no state 'HOME'",
            id="to nowhere",
        ),
    ],
)
def test_what_is_no_machine(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "machine.json"
    path.write_text(text)
    with pytest.raises(MachineError) as caught:
        load(str(path))
    assert caught.value.message.startswith(str(path))
    assert wrong in caught.value.message
    assert caught.value.exit_status == 2


def test_a_machine_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file") as caught:
        load("engine-server-bacis")
    assert "engine-server-basic" in caught.value.remedy
    (tmp_path / "octets").write_bytes(b"\xff")
    with pytest.raises(MachineError, match="UTF-8"):
        load(str(tmp_path / "octets"))
