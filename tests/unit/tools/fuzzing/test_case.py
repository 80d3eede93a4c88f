"""Cases as JSON: what is written is read again, and what is no case is refused with the reason."""

import json
from typing import Any

import pytest

from support.documents import Shown
from xsocket.segment import ACK, SYN
from xsocket_tools.fuzzing.case import (
    MOST_OPERATIONS,
    Call,
    Case,
    CaseError,
    Icmp,
    Place,
    Say,
    Tick,
    as_dict,
    as_json,
    from_json,
)
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.options import TOKENS, is_token

CASE = Case(
    (
        Say(0, SYN, options=("mss 1460", "sackok"), window=1000),
        Say(1, ACK | 0x200, Place("next", -3), Place("left"), 10, twist="flip 12"),
        Icmp(0, "too big", Place("duplicate"), 576, 8),
        Tick(0.25),
        Call(0, "send", 100),
    ),
    (("rmem", 1000), ("time_wait_s", 1.0)),
    7,
    8,
)


@pytest.mark.parametrize("number", range(0, 200))
def test_a_generated_case_is_the_same_after_it_was_written(number: int) -> None:
    case = Generator(5).case(number)
    assert from_json(as_json(case)) == case


def test_every_kind_of_operation_is_written_and_read() -> None:
    assert from_json(as_json(CASE)) == CASE


def test_a_file_has_an_operation_a_line_and_leaves_out_what_is_usual() -> None:
    lines = as_json(CASE).splitlines()
    assert '    {"do": "tick", "seconds": 0.25},' in lines
    assert '    {"do": "call", "peer": 0, "name": "send", "size": 100}' in lines


@pytest.mark.runs("docs/reference/fuzz-cases.md")
def test_the_case_of_the_page_is_one(shown: Shown) -> None:
    assert len(from_json(shown.text("json 1")).operations) == 5


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"version": 2}, "the case has version 2, and this is for 1", id="a later version"),
        pytest.param({"version": None}, "the case has version None", id="no version"),
        pytest.param({"why": 1}, "a case has no why", id="a field more"),
        pytest.param({"operations": {}}, "`operations` is a list of at most", id="no list"),
        pytest.param({"operations": [{}] * (MOST_OPERATIONS + 1)}, "`operations` is a list", id="too many"),
        pytest.param({"isn": -1}, "isn is a whole number from 0 to 4294967295, not -1", id="below zero"),
        pytest.param({"seed": True}, "seed is a whole number", id="a truth"),
        pytest.param({"rules": []}, "`rules` is an object with fields of TcpConfig", id="rules as a list"),
        pytest.param({"rules": {"nagle": 1}}, "TcpConfig has no rule 'nagle'", id="an unknown rule"),
        pytest.param({"rules": {"rmem": -1}}, "rules: ", id="an impossible rule"),
    ],
)
def test_what_is_no_case_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(CaseError) as raised:
        from_json(json.dumps({**as_dict(CASE), **change}))
    assert raised.value.message.startswith(problem)
    assert (raised.value.exit_status, "docs/reference/fuzz-cases.md" in raised.value.remedy) == (2, True)


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        pytest.param(1, "`do` is one of say, icmp, tick, call", id="a number"),
        pytest.param({"do": "shout"}, "`do` is one of", id="an unknown one"),
        pytest.param({"do": "tick"}, "seconds is missing", id="a field less"),
        pytest.param({"do": "tick", "seconds": 1, "peer": 0}, "tick has no peer", id="a field more"),
        pytest.param({"do": "tick", "seconds": -1}, "seconds is a number from 0 to", id="back in time"),
        pytest.param({"do": "tick", "seconds": "1"}, "seconds is a number", id="time as text"),
        pytest.param({"do": "call", "peer": 99, "name": "claim"}, "peer is a whole number", id="a peer"),
        pytest.param({"do": "call", "peer": 0, "name": "hang up"}, "name is one of open,", id="a call"),
        pytest.param({"do": "say", "peer": 0, "flags": "Q"}, "flags are letters", id="a flag"),
        pytest.param({"do": "say", "peer": 0, "flags": 2}, "flags are letters", id="flags as a number"),
        pytest.param({"do": "say", "peer": 0, "flags": "S", "seq": "here"}, "seq is one of", id="a place"),
        pytest.param({"do": "say", "peer": 0, "flags": "S", "seq": "next+"}, "seq is one of", id="an offset"),
        pytest.param({"do": "say", "peer": 0, "flags": "S", "twist": "x"}, "twist is one of", id="a twist"),
        pytest.param(
            {"do": "say", "peer": 0, "flags": "S", "options": ["mss"]}, "options is", id="an option"
        ),
        pytest.param({"do": "say", "peer": 0, "flags": "S", "options": "ts"}, "options is", id="no list"),
        pytest.param({"do": "say", "peer": 0, "flags": "S", "text": 10**6}, "text is a whole", id="a flood"),
        pytest.param({"do": "icmp", "peer": 0, "kind": "bad day"}, "kind is one of net", id="an error"),
    ],
)
def test_what_is_no_operation_is_refused_with_its_place(operation: Any, problem: str) -> None:  # noqa: ANN401
    plain = {**as_dict(CASE), "operations": [{"do": "tick", "seconds": 1}, operation]}
    with pytest.raises(CaseError) as raised:
        from_json(json.dumps(plain))
    assert raised.value.message.startswith(f"operation 2: {problem}")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="half"),
        pytest.param("[]", id="a list"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(CaseError):
        from_json(text)


@pytest.mark.parametrize("token", TOKENS)
def test_each_token_is_one(token: str) -> None:
    filled = token.replace("HEX", "02ff").replace("A-B", "0-10").replace(" N", " 3")
    assert is_token(filled)


@pytest.mark.parametrize(
    "token", ["mss", "mss 70000", "wscale 256", "raw", "raw 0", "sack 1", "ts new", 1, None]
)
def test_anything_else_is_no_token(token: object) -> None:
    assert not is_token(token)
