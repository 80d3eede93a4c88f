"""Telling two machines apart: the shortest words, the letter that does it, the rule."""

from collections.abc import Mapping

import pytest

from xsocket_tools.learning.alphabet import PEERS, alphabet_of, from_list
from xsocket_tools.learning.differences import compare, rows_of
from xsocket_tools.learning.errors import MachineError
from xsocket_tools.learning.machine import Machine, Move, load, stored

LETTERS = from_list(
    [
        {"letter": "SYN", "do": "say", "flags": "S"},
        {"letter": "ACK", "do": "say", "flags": "."},
        {"letter": "FIN", "do": "say", "flags": "F."},
    ],
    PEERS["server"],
)


def machine(table: Mapping[str, tuple[str, str, str]], system: str = "Xsocket") -> Machine:
    """Return a machine from what SYN, ACK and FIN do in each state: ``answer STATE``."""
    full = {
        state: {letter: Move(*move.split(" ", 1)) for letter, move in zip(LETTERS, moves, strict=True)}
        for state, moves in table.items()
    }
    return Machine({"target": "x", "system": system}, "server", {}, LETTERS, next(iter(table)), full)


FIRST = machine(
    {
        "LISTEN": ("SA SYN-RECEIVED", "R LISTEN", "R LISTEN"),
        "SYN-RECEIVED": ("- LISTEN", "- ESTABLISHED", "A CLOSE-WAIT"),
        "ESTABLISHED": ("A ESTABLISHED", "- ESTABLISHED", "A CLOSE-WAIT"),
        "CLOSE-WAIT": ("A CLOSE-WAIT", "- CLOSE-WAIT", "- CLOSE-WAIT"),
    }
)


def test_nothing_tells_a_machine_from_itself() -> None:
    assert compare(FIRST, FIRST) == ([], [])


def test_a_state_of_another_name_makes_no_difference_from_outside() -> None:
    table = {
        state.replace("CLOSE-WAIT", "CLOSING"): {
            letter: move._replace(to=move.to.replace("CLOSE-WAIT", "CLOSING"))
            for letter, move in moves.items()
        }
        for state, moves in FIRST.table.items()
    }
    assert compare(FIRST, FIRST._replace(table=table)).differences == []


def changed(state: str, letter: str, move: str) -> Machine:
    """Return the first machine with one move changed."""
    table = {name: dict(moves) for name, moves in FIRST.table.items()}
    table[state][letter] = Move(*move.split(" ", 1))
    return FIRST._replace(table=table)


@pytest.mark.parametrize(
    ("state", "letter", "move", "word", "rule"),
    [
        ("LISTEN", "ACK", "- LISTEN", "ACK", "RFC 9293 3.10.7.2 second"),
        ("SYN-RECEIVED", "SYN", "R LISTEN", "SYN, SYN", "RFC 9293 3.10.7.4 fourth"),
        ("ESTABLISHED", "SYN", "- ESTABLISHED", "SYN, ACK, SYN", "RFC 9293 3.10.7.4 fourth"),
        ("CLOSE-WAIT", "FIN", "A CLOSE-WAIT", "SYN, FIN, FIN", "RFC 9293 3.10.7.4 eighth"),
    ],
)
def test_another_answer(state: str, letter: str, move: str, word: str, rule: str) -> None:
    (found,) = compare(FIRST, changed(state, letter, move)).differences
    assert ", ".join(found.word) == word
    assert (found.letter, found.states) == (letter, (state, state))
    assert str(found.rule) == rule


def test_what_is_silent_at_first_is_blamed_on_the_letter_that_did_it() -> None:
    differences = compare(FIRST, changed("SYN-RECEIVED", "ACK", "- LISTEN")).differences
    assert [", ".join(each.word) for each in differences] == ["SYN, ACK, SYN"]
    (found,) = differences
    assert (found.letter, found.parting, found.states) == ("ACK", 1, ("SYN-RECEIVED", "SYN-RECEIVED"))
    assert (found.first[1].to, found.second[1].to) == ("ESTABLISHED", "LISTEN")
    assert str(found.rule) == "RFC 9293 3.10.7.4 fifth"
    assert found.as_dict()["word"] == ["SYN", "ACK", "SYN"]


def test_every_letter_that_differs_has_a_word() -> None:
    second = machine(
        {
            "LISTEN": ("SA SYN-RECEIVED", "R LISTEN", "R LISTEN"),
            "SYN-RECEIVED": ("R LISTEN", "R LISTEN", "R LISTEN"),
        }
    )
    found = compare(FIRST, second).differences
    assert [each.word for each in found] == [("SYN", "SYN"), ("SYN", "ACK"), ("SYN", "FIN")]


def test_letters_that_do_the_same_share_a_row() -> None:
    differences = compare(load("engine-server-flags"), load("linux-6.18-server-flags")).differences
    rows = rows_of(differences)
    assert sum(map(len, rows)) == len(differences) > 5 * len(rows)


def test_letters_of_one_machine_alone_are_left_out() -> None:
    basic, calls = load("engine-server-basic"), load("engine-server-calls")
    found = compare(basic, calls)
    assert found.differences == []
    assert found.left_out == [name for name in calls.alphabet if name not in basic.alphabet]


def test_what_cannot_be_compared() -> None:
    with pytest.raises(MachineError, match="one is of a server, the other of a client"):
        compare(load("engine-server-basic"), load("engine-client-basic"))
    with pytest.raises(MachineError, match="no letter in common"):
        compare(FIRST, FIRST._replace(alphabet={"open": alphabet_of("basic", "client")["open"]}))
    with pytest.raises(MachineError, match="the letter 'SYN' is not the same in both"):
        compare(FIRST, FIRST._replace(alphabet={**LETTERS, "SYN": LETTERS["ACK"]}))


@pytest.mark.parametrize(
    ("name", "word", "rule"),
    [
        ("server-basic", "SYN, SYN", "another SYN where the third segment was due"),
        ("server-calls", "SYN, ACK, claim, shutdown, FIN+ACK, ACK future", "in TIME-WAIT"),
        ("server-invalid", "SYN, FIN+ACK, RST old, SYN", "a reset with the number of the peer's FIN"),
        ("server-invalid", "SYN, ACK, ACK beyond the window", "RFC 9293 3.10.7.4 first"),
    ],
)
@pytest.mark.parametrize("is_swapped", [False, True], ids=["engine first", "Linux first"])
def test_what_is_known_of_linux_is_named(name: str, word: str, rule: str, is_swapped: bool) -> None:
    pair = [load(f"engine-{name}"), load(f"linux-6.18-{name}")]
    found = compare(*(reversed(pair) if is_swapped else pair)).differences
    by_word = {", ".join(each.word): str(each.rule) for each in found}
    assert rule in by_word[word]


@pytest.mark.parametrize("name", [name for name in stored() if name.startswith("engine")])
def test_each_word_tells_them_apart_and_none_that_is_shorter(name: str) -> None:
    engine, linux = load(name), load(name.replace("engine", "linux-6.18"))
    found = compare(engine, linux).differences
    assert found
    for each in found:
        outputs = [[move.output for move in machine.run(each.word)] for machine in (engine, linux)]
        assert outputs[0][:-1] == outputs[1][:-1]
        assert outputs[0][-1] != outputs[1][-1]
    assert [len(each.word) for each in found] == sorted(len(each.word) for each in found)
