"""What the oracles say of a target that does otherwise than the rules have it, one thing at a time."""

from collections.abc import Callable
from typing import Final

import pytest

from support.liar import Liar
from xsocket.segment import ACK, ECE, FIN, PSH, RST, SYN, Segment
from xsocket.state import State
from xsocket.tcp import machine
from xsocket_tools.fuzzing.case import NEXT, Call, Case, Operation, Place, Say, Tick, rules_of
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.profiles import BASE
from xsocket_tools.fuzzing.target import Answer

STAMPED: Final = ("mss 1460", "sackok", "ts", "nop", "wscale 7")
SHAKEN: Final[tuple[Operation, ...]] = (Say(0, SYN), Say(0, ACK), Call(0, "claim"))
SHAKEN_WITH_OPTIONS: Final[tuple[Operation, ...]] = (
    Say(0, SYN, options=STAMPED),
    Say(0, ACK, options=("ts",)),
    Call(0, "claim"),
)


def case(*operations: Operation, **changes: object) -> Case:
    return Case(operations, rules_of(BASE | changes))


def of(segment: Segment, **changes: int | bytes) -> Segment:
    return segment._replace(**changes)  # type: ignore[arg-type]


def silent(_: Segment) -> None:
    """Send nothing."""


def broken(operations: tuple[Operation, ...], liar: Liar, **changes: object) -> Rule | None:
    """Return the rule that is broken when the last of *operations* is played on *liar*."""
    assert play(case(*operations, **changes), Liar()).violation is None, "the engine itself keeps the rules"
    violation = play(case(*operations, **changes), liar).violation
    return None if violation is None else violation.rule


CASES: Final[list[tuple[tuple[Operation, ...], Callable[[Segment], Segment | None], Rule]]] = [
    ((Say(4, SYN),), silent, rules.NOT_RST_CLOSED),
    ((Say(4, ACK),), lambda s: of(s, seq=s.seq + 1), rules.RESET_NUMBERS),
    ((Say(4, SYN),), lambda s: of(s, acknowledgment=s.acknowledgment - 1), rules.RESET_NUMBERS),
    ((Say(0, SYN),), silent, rules.SYN_LISTEN),
    ((Say(0, SYN),), lambda s: of(s, acknowledgment=s.acknowledgment + 1), rules.SENT_ACK),
    ((Say(0, SYN),), lambda s: of(s, flags=ACK), rules.SYN_LISTEN),
    ((Say(0, SYN),), lambda s: of(s, options=b""), rules.OFFERED_MSS),
    ((Say(0, SYN),), lambda s: of(s, options=s.options + b"\x03\x03\x07\x00"), rules.OFFERED_SCALE),
    ((Say(0, SYN),), lambda s: of(s, options=s.options + b"\x04\x02\x00\x00"), rules.OFFERED_SACK),
    ((Say(0, SYN),), lambda s: of(s, options=s.options + b"\x08\x0a" + bytes(10)), rules.OFFERED_TS),
    ((Say(0, SYN), Say(0, SYN, Place("start"))), lambda s: of(s, seq=s.seq + 1), rules.SENT_SYN),
    ((Say(0, SYN), Say(0, ACK, ack=Place("beyond"))), silent, rules.WRONG_ACK_SYN_RECEIVED),
    ((*SHAKEN, Say(0, RST, Place("next", 1))), silent, rules.RST_IN_WINDOW),
    ((*SHAKEN, Say(0, SYN)), silent, rules.SYN_SYNCHRONIZED),
    ((*SHAKEN, Say(0, ACK, Place("old"))), silent, rules.UNACCEPTABLE),
    ((*SHAKEN, Say(0, ACK, ack=Place("beyond"))), silent, rules.ACK_UNSENT),
    ((*SHAKEN, Say(0, ACK, ack=Place("below"))), silent, rules.ACK_TOO_OLD),
    ((*SHAKEN, Say(0, ACK, Place("old"))), lambda s: of(s, seq=s.seq + 1), rules.SENT_SEQ),
    ((*SHAKEN, Say(0, ACK, Place("old"))), lambda s: of(s, flags=s.flags | 0x200), rules.RESERVED),
    ((*SHAKEN, Say(0, ACK, Place("old"))), lambda s: of(s, flags=s.flags | ECE), rules.ECN_UNWANTED),
    ((*SHAKEN, Say(0, ACK, Place("old"))), lambda s: of(s, window=10), rules.SHRINKS),
    (
        (*SHAKEN, Say(0, ACK | PSH, text=5)),
        lambda s: of(s, acknowledgment=s.acknowledgment - 1),
        rules.SENT_ACK,
    ),
    ((*SHAKEN, Say(0, ACK | FIN)), silent, rules.FIN),
    ((*SHAKEN, Say(0, ACK, Place("next", 9), text=1)), silent, rules.TEXT_OUT_OF_ORDER),
    ((*SHAKEN, Call(0, "send", 10)), silent, rules.MUST_SEND),
    ((*SHAKEN, Call(0, "send", 10)), lambda s: of(s, payload=b"0123456789"), rules.SENT_TEXT),
    ((*SHAKEN, Call(0, "send", 10)), lambda s: of(s, flags=s.flags | FIN), rules.SENT_FIN),
    ((*SHAKEN, Call(0, "send", 10)), lambda s: of(s, seq=s.seq + 1), rules.SENT_TEXT_SEQ),
    ((*SHAKEN, Call(0, "shutdown")), silent, rules.CLOSE),
    ((*SHAKEN, Call(0, "abort")), silent, rules.ABORT),
    ((*SHAKEN, Call(0, "abort")), lambda s: of(s, acknowledgment=7), rules.RESET_NUMBERS),
    ((*SHAKEN, Call(0, "shutdown"), Tick(0.3)), silent, rules.RETRANSMISSION),
    ((Say(0, SYN), Tick(1.1)), silent, rules.SYN_RETRANSMISSION),
    ((*SHAKEN_WITH_OPTIONS, Say(0, ACK, Place("old"))), lambda s: of(s, options=b""), rules.TS_MISSING),
    (
        (*SHAKEN_WITH_OPTIONS, Say(0, ACK, Place("old"), options=("ts",))),
        lambda s: of(s, options=s.options[:-4] + bytes(4)),
        rules.TS_ECHO,
    ),
    (
        (*SHAKEN_WITH_OPTIONS, Say(0, ACK, Place("next", 9), text=1, options=("ts",))),
        lambda s: of(s, options=s.options[:12]),
        rules.SACK_MISSING,
    ),
    ((Call(4, "open"), Say(4, SYN | ACK, ack=Place("beyond"))), silent, rules.WRONG_ACK_SYN_SENT),
    ((Call(4, "open"), Say(4, SYN | ACK)), silent, rules.SYN_ACK_SYN_SENT),
    ((Call(4, "open"), Say(4, SYN)), silent, rules.SYN_SYN_SENT),
]


@pytest.mark.parametrize(
    ("operations", "change", "rule"),
    [pytest.param(*each, id=f"{index} {each[2].where}") for index, each in enumerate(CASES)],
)
def test_what_is_sent_otherwise_breaks_a_rule(
    operations: tuple[Operation, ...], change: Callable[[Segment], Segment | None], rule: Rule
) -> None:
    assert broken(operations, Liar(change, after=len(operations) - 1)) == rule


def test_a_state_that_nothing_led_to_breaks_a_rule() -> None:
    liar = Liar(after=2, state=lambda _: State.CLOSE_WAIT)
    assert broken((*SHAKEN, Say(0, ACK)), liar) == rules.STATE


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("connections", rules.TCB_COUNT),
        ("half_open", rules.HALF_OPEN_COUNT),
        ("time_wait", rules.TIME_WAIT_COUNT),
        ("waiting", rules.POOL_COUNT),
    ],
)
def test_tables_that_count_otherwise_break_a_rule(field: str, rule: Rule) -> None:
    liar = Liar(after=0, counts=lambda counts: counts._replace(**{field: 9}))
    assert broken((Say(0, SYN), Say(0, ACK)), liar) == rule


@pytest.mark.parametrize(
    ("operations", "answer", "rule"),
    [
        pytest.param(SHAKEN, lambda a: a._replace(value="another"), rules.CLAIM, id="another connection"),
        pytest.param(SHAKEN, lambda a: a._replace(error="ClaimTimeout"), rules.CLAIM, id="nothing"),
        pytest.param(
            (*SHAKEN, Say(0, ACK | PSH, text=5), Call(0, "receive", 9)),
            lambda a: a._replace(value=b"12345"),
            rules.RECEIVE,
            id="other text",
        ),
        pytest.param(
            (*SHAKEN, Say(0, RST), Call(0, "receive", 9)),
            lambda a: a._replace(value=b"", error=""),
            rules.ERROR,
            id="the end of the stream after a reset",
        ),
    ],
)
def test_answers_to_calls_that_are_wrong_break_a_rule(
    operations: tuple[Operation, ...], answer: Callable[[Answer], Answer], rule: Rule
) -> None:
    assert broken(operations, Liar(after=len(operations) - 1, answer=answer)) == rule


def test_a_reset_that_answers_a_reset_breaks_a_rule() -> None:
    liar = Liar(lambda segment: of(segment, flags=RST), after=2)
    assert broken((*SHAKEN, Say(0, RST, Place("next", 1))), liar) == rules.RST_FOR_RST


def test_what_nobody_can_tell_is_not_judged() -> None:
    """A SYN cookie that comes back a second time, with whatever echo: what it says then is up to chance."""
    again = (Say(0, SYN), Say(0, ACK), Call(0, "claim"), Call(0, "abort"), Say(0, ACK, NEXT, NEXT))
    assert play(case(*again, syn_cookies="always"), Liar(silent, after=4)).violation is None


def test_who_goes_on_beyond_the_limit_of_retransmissions_breaks_a_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operations = (*SHAKEN, Call(0, "send", 1), Tick(0.3), Tick(0.4), Tick(3.0))
    assert play(case(*operations, retries2=3), Liar()).violation is None
    monkeypatch.setattr(machine, "_retry_limit", lambda tcb: tcb.config.retries2 + 1)
    violation = play(case(*operations, retries2=3), Liar()).violation
    assert violation is not None
    assert (violation.rule, violation.expected) == (rules.GIVES_UP, "the end")


def test_a_retransmission_at_the_end_of_the_user_timeout_breaks_no_rule() -> None:
    """They are due at the same instant, 3.7 s; which of them comes first is up to rounding."""
    operations = (*SHAKEN, Tick(0.7), Call(0, "send", 1), Tick(4.0))
    played = play(case(*operations, user_timeout_s=3.0), Liar(), with_steps=True)
    assert played.violation is None
    assert played.steps[-1].after is None


def test_an_end_that_rounding_puts_just_behind_a_step_breaks_no_rule() -> None:
    ending = case(Tick(700.0), *SHAKEN, Tick(0.3), Call(0, "send", 1), Tick(3.0), retries2=3)
    played = play(ending, Liar(), with_steps=True)
    assert played.steps[-1].after is None, "it ends with the step, or a rounding error after it"
    assert played.violation is None
