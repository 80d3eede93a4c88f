"""Lines of a kernel's trace are read as they are; whatever is none, is passed over."""

from __future__ import annotations

import pytest

from xsocket_tools.tracefs import Told, told

DROPPED = (
    "          python-6902    [000] ..s2. 11968.326390: kfree_skb: skbaddr=000000002da1e2cd "
    "rx_sk=00000000110d72b9 protocol=2048 location=tcp_validate_incoming+0x15b/0x7a0 reason: TCP_OLD_SEQUENCE"
)
"""Of Linux 6.18, as the others."""
SENT = "  python-6902    [000] b.... 11968.326348: net_dev_queue: dev=eth0 skbaddr=000000002da1e2cd len=54"


def test_a_drop_has_its_reason() -> None:
    assert told(DROPPED) == Told(
        6902,
        is_call=False,
        name="kfree_skb",
        fields={
            "skbaddr": "000000002da1e2cd",
            "rx_sk": "00000000110d72b9",
            "protocol": "2048",
            "location": "tcp_validate_incoming+0x15b/0x7a0",
            "reason": "TCP_OLD_SEQUENCE",
        },
    )


@pytest.mark.parametrize(
    ("line", "is_call"),
    [
        pytest.param(SENT, True, id="a call"),
        pytest.param(DROPPED, False, id="a softirq"),
        pytest.param(SENT.replace("b....", "d.h1."), False, id="an interrupt"),
    ],
)
def test_whether_the_thread_did_it_itself(line: str, is_call: bool) -> None:
    event = told(line)
    assert event is not None
    assert event.is_call == is_call


@pytest.mark.parametrize(
    "name", [pytest.param("kworker/1:0", id="kernel thread"), pytest.param("a b-1 [x]", id="odd name")]
)
def test_a_task_may_have_any_name(name: str) -> None:
    event = told(SENT.replace("python", name))
    assert event is not None
    assert event.pid == 6902


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("CPU:1 [LOST 24 EVENTS]", id="lost events"),
        pytest.param("# tracer: nop", id="comment"),
        pytest.param(SENT[:50], id="cut in the head"),
        pytest.param(SENT.replace("-6902", "-<...>"), id="no number"),
        pytest.param("\ufffd\0\ufffd", id="octets"),
    ],
)
def test_what_is_no_event_is_none(line: str) -> None:
    assert told(line) is None


def test_an_event_may_be_cut_short() -> None:
    event = told(DROPPED[: DROPPED.index(" location")])
    assert event is not None
    assert "reason" not in event.fields
