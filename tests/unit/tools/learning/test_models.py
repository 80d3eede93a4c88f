"""The stored machines: those of the engine are learned anew, and each can be read."""

import pytest

from support.learning import STORED, check_stored
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.learning.alphabet import alphabet_of
from xsocket_tools.learning.machine import load, nearest, state_of, stored


@pytest.mark.parametrize(("role", "alphabet"), STORED, ids=["-".join(each) for each in STORED])
def test_the_engine_is_as_stored(role: str, alphabet: str) -> None:
    check_stored(EngineTarget(), "engine", role, alphabet)


def test_what_is_stored() -> None:
    both = (f"{prefix}-{role}-{alphabet}" for prefix in ("engine", "linux-6.18") for role, alphabet in STORED)
    assert stored() == sorted(both)


@pytest.mark.parametrize("name", stored())
def test_a_stored_machine_has_the_letters_of_today_and_every_state_can_be_reached(name: str) -> None:
    *_, role, alphabet = name.split("-")
    machine = load(name)
    assert machine.role == role
    assert machine.alphabet == alphabet_of(alphabet, role)
    assert list(nearest(machine.table, machine.initial)) == list(machine.table)


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("engine-server-basic", "LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT"),
        ("linux-6.18-server-basic", "LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT"),
        ("linux-6.18-server-flags", "LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT"),
        ("linux-6.18-client-basic", "CLOSED SYN-SENT SYN-RECEIVED ESTABLISHED CLOSE-WAIT"),
    ],
)
def test_states_seen_from_the_wire(name: str, states: str) -> None:
    assert list(load(name).table) == states.split()


@pytest.mark.parametrize("prefix", ["engine", "linux-6.18"])
def test_with_calls_every_state_is_there(prefix: str) -> None:
    found = {state_of(name) for role in ("server", "client") for name in load(f"{prefix}-{role}-calls").table}
    assert found == {
        *("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2"),
        *("CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"),
    }
