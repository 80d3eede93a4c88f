"""Each of Linux's reasons has a sentence, and the rule that ours cites where both mean the same."""

from __future__ import annotations

from itertools import product

import pytest

from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.rules.catalogue import catalogue
from xsocket_tools.teaching.kernel_reasons import DROPPED, RESET, meaning, why_dropped, why_reset

SEGMENTS = {
    name: Segment(1, 1, flags)
    for name, flags in {"ACK": ACK, "RST": RST, "SYN": SYN, "SYN+FIN": SYN | FIN, "none": 0}.items()
}
LINUX_6_18 = (
    "TCP_CSUM",
    "TCP_AUTH_HDR",
    "TCP_MD5NOTFOUND",
    "TCP_MD5UNEXPECTED",
    "TCP_MD5FAILURE",
    "TCP_AONOTFOUND",
    "TCP_AOUNEXPECTED",
    "TCP_AOKEYNOTFOUND",
    "TCP_AOFAILURE",
    "TCP_FLAGS",
    "TCP_ABORT_ON_DATA",
    "TCP_ZEROWINDOW",
    "TCP_OLD_DATA",
    "TCP_OVERWINDOW",
    "TCP_OFOMERGE",
    "TCP_RFC7323_PAWS",
    "TCP_RFC7323_PAWS_ACK",
    "TCP_RFC7323_TW_PAWS",
    "TCP_RFC7323_TSECR",
    "TCP_LISTEN_OVERFLOW",
    "TCP_OLD_SEQUENCE",
    "TCP_INVALID_SEQUENCE",
    "TCP_INVALID_END_SEQUENCE",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_RESET",
    "TCP_INVALID_SYN",
    "TCP_CLOSE",
    "TCP_FASTOPEN",
    "TCP_OLD_ACK",
    "TCP_TOO_OLD_ACK",
    "TCP_ACK_UNSENT_DATA",
    "TCP_OFO_QUEUE_PRUNE",
    "TCP_OFO_DROP",
    "TCP_MINTTL",
)
"""As the format of skb:kfree_skb has them there."""
LINUX_6_18_RESETS = (
    "NO_SOCKET",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_RFC7323_PAWS",
    "TCP_TOO_OLD_ACK",
    "TCP_ACK_UNSENT_DATA",
    "TCP_FLAGS",
    "TCP_OLD_ACK",
    "TCP_ABORT_ON_DATA",
    "TCP_TIMEWAIT_SOCKET",
    "INVALID_SYN",
    "TCP_ABORT_ON_CLOSE",
    "TCP_ABORT_ON_LINGER",
    "TCP_ABORT_ON_MEMORY",
    "TCP_STATE",
    "TCP_KEEPALIVE_TIMEOUT",
    "TCP_DISCONNECT_WITH_DATA",
    "ERROR",
)
SYNCHRONIZED = State.ESTABLISHED
RULES = sorted(
    {why_dropped(*each).rule for each in product(DROPPED, SEGMENTS.values(), State)}.union(
        why_reset(*each).rule for each in product(RESET, State)
    )
    - {""}
)


@pytest.mark.parametrize("name", LINUX_6_18)
def test_every_reason_for_a_drop_has_a_sentence(name: str) -> None:
    assert DROPPED[name]


@pytest.mark.parametrize("name", LINUX_6_18_RESETS)
def test_every_reason_for_a_reset_has_a_sentence(name: str) -> None:
    assert RESET[name]


@pytest.mark.parametrize(
    ("name", "flags", "before", "expected"),
    [
        pytest.param("NO_SOCKET", "RST", State.CLOSED, DropReason.RST_FOR_NOBODY, id="a reset for nobody"),
        pytest.param("NO_SOCKET", "SYN", State.CLOSED, None, id="a SYN for nobody"),
        pytest.param("TCP_OLD_SEQUENCE", "RST", SYNCHRONIZED, DropReason.RST_OUTSIDE_WINDOW, id="old reset"),
        pytest.param("TCP_OLD_SEQUENCE", "ACK", SYNCHRONIZED, DropReason.OUTSIDE_WINDOW, id="old"),
        pytest.param("TCP_INVALID_SEQUENCE", "ACK", SYNCHRONIZED, DropReason.OUTSIDE_WINDOW, id="beyond"),
        pytest.param("TCP_RESET", "RST", SYNCHRONIZED, DropReason.RST_CHALLENGED, id="reset in the window"),
        pytest.param("TCP_RESET", "RST", State.SYN_SENT, DropReason.RST_WITHOUT_ACK, id="in SYN-SENT"),
        pytest.param("TCP_RESET", "RST", State.LISTEN, DropReason.RST_IN_LISTEN, id="in LISTEN"),
        pytest.param("TCP_FLAGS", "none", SYNCHRONIZED, DropReason.MISSING_ACK, id="no ACK"),
        pytest.param(
            "TCP_FLAGS", "ACK", State.SYN_SENT, DropReason.NEITHER_SYN_NOR_RST, id="ACK in SYN-SENT"
        ),
        pytest.param("TCP_FLAGS", "SYN+FIN", State.LISTEN, DropReason.SYN_WITH_FIN, id="SYN and FIN"),
        pytest.param("TCP_FLAGS", "none", State.LISTEN, DropReason.NO_CONTROL_IN_LISTEN, id="no flags"),
        pytest.param("TCP_FLAGS", "ACK", State.LISTEN, None, id="an ACK for a listener"),
        pytest.param("TCP_INVALID_ACK_SEQUENCE", "ACK", State.SYN_SENT, DropReason.ACK_NOT_OURS, id="wrong"),
        pytest.param("TCP_INVALID_SYN", "SYN", SYNCHRONIZED, DropReason.SYN_CHALLENGED, id="SYN"),
        pytest.param("TCP_RFC7323_PAWS", "ACK", SYNCHRONIZED, DropReason.PAWS, id="PAWS"),
        pytest.param("SOMETHING_NEW", "ACK", SYNCHRONIZED, None, id="unknown"),
    ],
)
def test_a_reason_means_what_ours_says(
    name: str, flags: str, before: State, expected: DropReason | None
) -> None:
    assert meaning(name, SEGMENTS[flags], before) is expected


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_in_the_catalogue(rule: str) -> None:
    assert catalogue().explaining(rule)


@pytest.mark.parametrize(
    ("name", "before", "rule"),
    [
        pytest.param("NO_SOCKET", State.CLOSED, "3.10.7.1", id="nobody there"),
        pytest.param("TCP_FLAGS", State.LISTEN, "3.10.7.2 second", id="an ACK for a listener"),
        pytest.param("TCP_INVALID_ACK_SEQUENCE", State.SYN_SENT, "3.10.7.3 first", id="in SYN-SENT"),
        pytest.param("TCP_STATE", SYNCHRONIZED, "3.10.5", id="abort"),
        pytest.param("TCP_ABORT_ON_MEMORY", SYNCHRONIZED, "", id="no RFC"),
    ],
)
def test_a_reset_cites_its_rule(name: str, before: State, rule: str) -> None:
    assert why_reset(name, before).rule == rule


def test_one_name_of_a_reset_stands_for_a_full_queue_as_well() -> None:
    of_a_syn = why_reset("INVALID_SYN", State.SYN_RECEIVED)
    of_an_ack = why_reset("INVALID_SYN", State.SYN_RECEIVED, of_ack=True)
    assert (of_a_syn.rule, of_an_ack.rule) == ("3.10.7.4 fourth", "")
    assert "the queue is full" in of_an_ack.sentence


def test_an_unknown_reason_has_no_sentence() -> None:
    assert why_dropped("SOMETHING_NEW", SEGMENTS["ACK"], SYNCHRONIZED) == ("", "")
    assert why_reset("SOMETHING_NEW", SYNCHRONIZED) == ("", "")
