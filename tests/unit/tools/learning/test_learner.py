"""Learning the engine: whichever way, it is the same machine."""

import pytest

from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.learning import equivalence
from xsocket_tools.learning.alphabet import PEERS, alphabet_of, from_list
from xsocket_tools.learning.errors import TooManyStatesError
from xsocket_tools.learning.learner import learn
from xsocket_tools.learning.machine import Move, load


@pytest.mark.parametrize("role", PEERS)
def test_random_walks_find_the_same_machine(role: str) -> None:
    found = learn(EngineTarget(), alphabet_of("basic", role), role, equivalence="random-walk").machine
    assert found.table == load(f"engine-{role}-basic").table
    assert found.facts["equivalence"] == {"method": "random-walk", "seed": 1}


def test_learning_twice_asks_the_same() -> None:
    first, second = (learn(EngineTarget(), alphabet_of("basic", "server"), "server") for _ in range(2))
    assert first == second


def test_states_of_one_name_are_numbered() -> None:
    letters = [
        {"letter": "SYN", "do": "say", "flags": "S"},
        {"letter": "ACK", "do": "say", "flags": "."},
        {"letter": "take", "do": "call", "name": "claim"},
    ]
    machine = learn(EngineTarget(), from_list(letters, PEERS["server"]), "server").machine
    assert list(machine.table) == ["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "ESTABLISHED 2"]
    assert machine.table["ESTABLISHED"]["take"] == Move("-", "ESTABLISHED 2")
    assert machine.table["ESTABLISHED 2"]["take"] == Move("refused", "ESTABLISHED 2")


def test_a_target_of_one_state_is_learned() -> None:
    letters = from_list([{"letter": "RST", "do": "say", "flags": "R"}], PEERS["server"])
    machine = learn(EngineTarget(), letters, "server").machine
    assert machine.table == {"LISTEN": {"RST": Move("-", "LISTEN")}}


def test_progress_is_reported() -> None:
    told: list[str] = []
    learn(EngineTarget(), alphabet_of("basic", "server"), "server", report=told.append)
    assert told[0] == "asking"
    assert told[-1] == "4 states, looking for more"


def test_more_states_than_anybody_could_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "MOST_STATES", 3)
    with pytest.raises(TooManyStatesError, match="more than 3 states"):
        learn(EngineTarget(), alphabet_of("basic", "server"), "server")
