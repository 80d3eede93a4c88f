"""Findings: grouped by what was wrong, merged whatever the order, written and read again."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from xsocket.segment import ACK, RST, SYN
from xsocket.state import State
from xsocket_tools.fuzzing.case import Case, CaseError, Say, Tick
from xsocket_tools.fuzzing.findings import Finding, finding_of, merged, read_all, size_of, write
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.shadow import Violation

LONG = Case((Say(0, SYN), Tick(1.0), Say(0, ACK)))
SHORT = Case((Say(0, SYN), Say(0, ACK)))
ODD = Case((Say(0, SYN), Say(0, RST)))
WRONG = Violation(rules.ACK_OF_SYN, 1, 0, State.SYN_RECEIVED, "a segment", "ESTABLISHED", "SYN-RECEIVED")
OTHER = WRONG._replace(rule=rules.RST_EXACT)

FIRST = Finding(LONG, WRONG._replace(at=2), "engine", 40, 3)
SECOND = Finding(SHORT, WRONG, "engine", 70, 2)
THIRD = Finding(ODD, OTHER, "engine", 7)


def test_those_of_one_rule_and_state_are_one() -> None:
    one, other = sorted(merged([FIRST, SECOND, THIRD]), key=lambda each: each.number)
    assert one == THIRD
    assert other == SECOND._replace(number=40, times=5)


def test_the_order_makes_no_difference() -> None:
    equal = SECOND._replace(case=SHORT._replace(isn=1), number=1)
    found = {tuple(merged(order)) for order in permutations([FIRST, SECOND, THIRD, equal])}
    assert len(found) == 1


def test_another_state_is_another_finding() -> None:
    elsewhere = SECOND._replace(violation=WRONG._replace(state=State.ESTABLISHED))
    assert len(merged([SECOND, elsewhere])) == 2
    assert SECOND.slug != elsewhere.slug


def test_a_slug_says_rule_and_state() -> None:
    assert THIRD.slug.startswith("rfc-9293-3.10.7.4-second-2-syn-received-")
    assert FIRST.slug == SECOND.slug


def test_fewer_operations_are_smaller_and_no_two_cases_are_equal() -> None:
    assert sorted([LONG, ODD, SHORT], key=size_of)[-1] == LONG
    assert size_of(SHORT) != size_of(ODD)


def test_they_are_written_and_read_again(tmp_path: Path) -> None:
    found = merged([SECOND, THIRD, Finding(SHORT, OTHER._replace(state=None, peer=None), "kernel", 1)])
    paths = write(found, tmp_path / "findings")
    assert [path.stem for path in paths] == [each.slug for each in found]
    assert merged(read_all(tmp_path / "findings")) == found


def test_a_rule_that_is_not_known_any_more_is_still_read() -> None:
    plain = {**SECOND.as_dict(), "rule": "RFC 0 1", "text": "Nothing is."}
    assert str(finding_of(plain).violation.rule) == "RFC 0 1: Nothing is."


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"case": {}}, id="no case"),
        pytest.param({"state": "ASLEEP"}, id="no state"),
        pytest.param({"rule": 1}, id="no rule"),
        pytest.param({"times": "3"}, id="no number"),
        pytest.param({"version": 2}, id="a later version"),
    ],
)
def test_what_is_no_finding_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({**SECOND.as_dict(), **change}))
    with pytest.raises(CaseError, match=r"wrong\.json: "):
        read_all(tmp_path)


def test_a_finding_without_a_field_is_refused() -> None:
    plain = SECOND.as_dict()
    del plain["got"]
    with pytest.raises(CaseError, match="got"):
        finding_of(plain)
