"""Alphabets: the ones that are built in, and those from files."""

import json
from pathlib import Path

import pytest

from xsocket.segment import ACK, SYN
from xsocket_tools.fuzzing.case import Call, Place, Say
from xsocket_tools.learning.alphabet import BUILT_IN, PEERS, alphabet_of, as_list, from_list
from xsocket_tools.learning.errors import AlphabetError

SERVER = PEERS["server"]


@pytest.mark.parametrize(("name", "letters"), [("basic", 13), ("invalid", 44), ("flags", 129), ("calls", 19)])
def test_how_many_letters_there_are(name: str, letters: int) -> None:
    assert len(alphabet_of(name, "server")) == letters


def test_a_client_opens_and_does_not_claim() -> None:
    assert list(alphabet_of("basic", "client")) == ["open", *alphabet_of("basic", "server")]
    assert "claim" in alphabet_of("calls", "server")
    assert "claim" not in alphabet_of("calls", "client")


def test_every_flag_set_is_a_letter_with_and_without_text() -> None:
    said = [letter for letter in alphabet_of("flags", "server").values() if isinstance(letter, Say)]
    usual = {(letter.flags, letter.text) for letter in said if letter.seq == Place("next")}
    assert usual == {(flags, text) for flags in range(64) for text in (0, 1)}


@pytest.mark.parametrize("role", PEERS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_letters_survive_json(name: str, role: str) -> None:
    letters = alphabet_of(name, role)
    assert from_list(json.loads(json.dumps(as_list(letters))), PEERS[role]) == letters


def write(directory: Path, text: str) -> str:
    path = directory / "letters.json"
    path.write_text(text)
    return str(path)


def test_a_file_of_letters(tmp_path: Path) -> None:
    letters = [
        {"letter": "hello", "do": "say", "flags": "S"},
        {"letter": "late", "do": "say", "flags": ".", "seq": "old", "ack": "beyond+5", "text": 3},
        {"letter": "take", "do": "call", "name": "claim"},
    ]
    assert alphabet_of(write(tmp_path, json.dumps({"version": 1, "letters": letters})), "server") == {
        "hello": Say(SERVER, SYN),
        "late": Say(SERVER, ACK, Place("old"), Place("beyond", 5), text=3),
        "take": Call(SERVER, "claim"),
    }


CLOSE = '{"letter": "a", "do": "call", "name": "close"}'


def of(letters: str) -> str:
    """Return a file's text."""
    return f'{{"version": 1, "letters": [{letters}]}}'


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param("", "no JSON", id="nothing"),
        pytest.param("[]", "an alphabet is a JSON object", id="a list"),
        pytest.param("[" * 100_000, "nested too deeply", id="too deep"),
        pytest.param('{"letters": []}', "has version None, and this is for 1", id="no version"),
        pytest.param('{"version": 2}', "has version 2, and this is for 1", id="a later version"),
        pytest.param('{"version": 1, "letters": [], "more": 1}', "has no more", id="something else"),
        pytest.param('{"version": 1, "letters": []}', "a list of 1 to 500", id="no letters"),
        pytest.param('{"version": 1, "letters": {}}', "a list of 1 to 500", id="letters are no list"),
        pytest.param(of('{"do": "say", "flags": "S"}'), "letter 1: an object with its name", id="no name"),
        pytest.param(of("7"), "letter 1: an object with its name", id="a number"),
        pytest.param(of('{"letter": "a", "do": "say"}'), "letter 1: flags is missing", id="no flags"),
        pytest.param(of('{"letter": "a", "do": "say", "flags": "Q"}'), "letter 1: flags are", id="bad flags"),
        pytest.param(of('{"letter": "a", "do": "tick", "seconds": 1}'), "say or call", id="time"),
        pytest.param(of(f"{CLOSE}, {CLOSE}"), "letter 2: there is a 'a' already", id="twice"),
    ],
)
def test_what_is_no_file_of_letters(tmp_path: Path, text: str, wrong: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(AlphabetError) as caught:
        alphabet_of(path, "server")
    assert wrong in caught.value.message
    assert caught.value.message.startswith(path)
    assert caught.value.exit_status == 2


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(AlphabetError, match="No such file"):
        alphabet_of(str(tmp_path / "none"), "server")
    (tmp_path / "octets").write_bytes(b"\xff")
    with pytest.raises(AlphabetError, match="UTF-8"):
        alphabet_of(str(tmp_path / "octets"), "server")
