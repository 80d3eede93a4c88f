"""The guards in the order of RFC 9293 section 3.10.7, with numbers on both sides of the wrap."""

from typing import Final

import pytest

from support.pair import SERVER
from support.peer import AFTER_SYN
from xsocket.config import TcpConfig
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from xsocket.seqnum import HALF, add
from xsocket.state import State, Trigger
from xsocket.tcp import guards
from xsocket.tcp.options import NOTHING, Parsed
from xsocket.tcp.tcb import Tcb

WINDOW: Final = 1000
SYNCHRONIZED: Final = AFTER_SYN[1:]
STARTS: Final = [
    pytest.param(5000, id="low numbers"),
    pytest.param(2**32 - 500, id="window across the wrap"),
    pytest.param(2**32 - 1, id="last number"),
    pytest.param(0, id="zero"),
    pytest.param(HALF, id="half"),
]


def tcb_in(
    state: State,
    *,
    rcv_nxt: int = 5000,
    window: int = WINDOW,
    snd_una: int = 100,
    flight: int = 0,
    passive: bool = True,
) -> Tcb:
    """Return a TCB with the numbers of a connection whose SYNs both took one."""
    tcb = Tcb(SERVER, TcpConfig(), iss=snd_una, ts_offset=0, rcv_mss=1460, passive=passive)
    tcb.state = state
    tcb.irs = add(rcv_nxt, -1)
    tcb.rcv_nxt, tcb.rcv_adv = rcv_nxt, add(rcv_nxt, window)
    tcb.snd_una = snd_una
    tcb.snd_nxt = add(snd_una, 1 if state in (State.SYN_SENT, State.SYN_RECEIVED) else flight)
    tcb.max_snd_wnd = 1000
    tcb.acked = 5000
    return tcb


def judged(tcb: Tcb, flags: int, seq: int, ack: int = 0, size: int = 0, options: Parsed = NOTHING) -> object:
    return guards.in_other_states(tcb, 0.0, Segment(seq, ack, flags, payload=bytes(size)), options)


# 3.10.7.1 CLOSED


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        pytest.param(RST, DropReason.RST_FOR_NOBODY, id="RST"),
        pytest.param(RST | ACK, DropReason.RST_FOR_NOBODY, id="RST ACK"),
        pytest.param(SYN | RST, DropReason.RST_FOR_NOBODY, id="SYN RST"),
        pytest.param(SYN, None, id="SYN"),
        pytest.param(ACK, None, id="ACK"),
        pytest.param(FIN, None, id="FIN"),
        pytest.param(0, None, id="no flags"),
    ],
)
def test_closed(flags: int, verdict: DropReason | None) -> None:
    assert guards.in_closed(Segment(0, 0, flags)) is verdict


# 3.10.7.2 LISTEN


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        pytest.param(RST, DropReason.RST_IN_LISTEN, id="first: RST"),
        pytest.param(RST | ACK | SYN, DropReason.RST_IN_LISTEN, id="first: RST before ACK and SYN"),
        pytest.param(ACK, Trigger.WRONG_ACK, id="second: ACK"),
        pytest.param(SYN | ACK, Trigger.WRONG_ACK, id="second: ACK before SYN"),
        pytest.param(ACK | FIN, Trigger.WRONG_ACK, id="second: FIN ACK"),
        pytest.param(SYN, Trigger.SYN, id="third: SYN"),
        pytest.param(SYN | URG | PSH, Trigger.SYN, id="third: SYN with URG and PSH"),
        pytest.param(SYN | 0xEC0, Trigger.SYN, id="third: SYN with ECN and reserved bits"),
        pytest.param(SYN | FIN, DropReason.SYN_WITH_FIN, id="third: SYN FIN"),
        pytest.param(FIN, DropReason.NO_CONTROL_IN_LISTEN, id="fourth: FIN"),
        pytest.param(0, DropReason.NO_CONTROL_IN_LISTEN, id="fourth: no flags"),
        pytest.param(URG | PSH, DropReason.NO_CONTROL_IN_LISTEN, id="fourth: URG PSH"),
    ],
)
def test_listen(flags: int, verdict: Trigger | DropReason) -> None:
    assert guards.in_listen(Segment(7, 9, flags)) is verdict


# 3.10.7.3 SYN-SENT


@pytest.mark.parametrize("iss", STARTS)
@pytest.mark.parametrize(
    ("flags", "ack", "verdict"),
    [
        pytest.param(ACK, 0, Trigger.WRONG_ACK, id="first: ACK of ISS"),
        pytest.param(ACK, 2, Trigger.WRONG_ACK, id="first: ACK past SND.NXT"),
        pytest.param(ACK, HALF, Trigger.WRONG_ACK, id="first: ACK half the circle ahead"),
        pytest.param(ACK, HALF + 1, Trigger.WRONG_ACK, id="first: ACK just behind that"),
        pytest.param(SYN | ACK, -1, Trigger.WRONG_ACK, id="first: SYN ACK of what was before"),
        pytest.param(SYN | ACK, 2, Trigger.WRONG_ACK, id="first: SYN ACK past SND.NXT"),
        pytest.param(RST | ACK, 0, DropReason.ACK_NOT_OURS, id="first: RST with a wrong ACK"),
        pytest.param(RST | ACK, 2, DropReason.ACK_NOT_OURS, id="first: RST past SND.NXT"),
        pytest.param(RST | ACK, 1, Trigger.RST_FOR_US, id="second: RST"),
        pytest.param(RST | ACK | SYN, 1, Trigger.RST_FOR_US, id="second: RST before SYN"),
        pytest.param(RST, 1, DropReason.RST_WITHOUT_ACK, id="second: RST without ACK"),
        pytest.param(SYN | ACK, 1, Trigger.SYN_ACK_OF_OURS, id="fourth: SYN ACK"),
        pytest.param(SYN | ACK | FIN, 1, Trigger.SYN_ACK_OF_OURS, id="fourth: SYN ACK FIN"),
        pytest.param(SYN, 0, Trigger.SYN, id="fourth: SYN"),
        pytest.param(ACK, 1, DropReason.NEITHER_SYN_NOR_RST, id="fifth: ACK"),
        pytest.param(FIN, 0, DropReason.NEITHER_SYN_NOR_RST, id="fifth: FIN"),
        pytest.param(0, 0, DropReason.NEITHER_SYN_NOR_RST, id="fifth: no flags"),
    ],
)
def test_syn_sent(iss: int, flags: int, ack: int, verdict: Trigger | DropReason) -> None:
    tcb = tcb_in(State.SYN_SENT, snd_una=iss)
    assert guards.in_syn_sent(tcb, Segment(77, add(iss, ack), flags)) is verdict


# 3.10.7.4 first: the sequence number


@pytest.mark.parametrize("rcv_nxt", STARTS)
@pytest.mark.parametrize(
    ("size", "window", "offset", "verdict"),
    [
        pytest.param(0, 0, 0, True, id="no text, no window, next"),
        pytest.param(0, 0, 1, False, id="no text, no window, one ahead"),
        pytest.param(0, 0, -1, False, id="no text, no window, one behind"),
        pytest.param(0, 1000, 0, True, id="no text, next"),
        pytest.param(0, 1000, 999, True, id="no text, last of the window"),
        pytest.param(0, 1000, 1000, False, id="no text, after the window"),
        pytest.param(0, 1000, -1, False, id="no text, one behind"),
        pytest.param(0, 1000, HALF, False, id="no text, half the circle away"),
        # Table 6 says "not acceptable"; the text after it wants valid ACKs processed. The text is cut off.
        pytest.param(10, 0, 0, True, id="text, no window, next"),
        pytest.param(10, 0, 1, False, id="text, no window, one ahead"),
        pytest.param(10, 0, -1, False, id="text, no window, one behind"),
        pytest.param(10, 1000, 0, True, id="text, next"),
        pytest.param(10, 1000, 999, True, id="text, begins in the window"),
        pytest.param(10, 1000, 1000, False, id="text, after the window"),
        pytest.param(10, 1000, -9, True, id="text, ends in the window"),
        pytest.param(10, 1000, -10, False, id="text, ends before the window"),
        pytest.param(10, 1000, HALF, False, id="text, half the circle away"),
    ],
)
def test_acceptable(rcv_nxt: int, size: int, window: int, offset: int, verdict: bool) -> None:
    tcb = tcb_in(State.ESTABLISHED, rcv_nxt=rcv_nxt, window=window)
    assert guards.acceptable(tcb, Segment(add(rcv_nxt, offset), 0, ACK, payload=bytes(size))) is verdict


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [pytest.param(ACK, False, id="nothing"), pytest.param(ACK | FIN, True, id="a FIN counts as one")],
)
def test_a_control_bit_takes_a_number(flags: int, verdict: bool) -> None:
    tcb = tcb_in(State.ESTABLISHED, rcv_nxt=0)
    assert guards.acceptable(tcb, Segment(add(0, -10), 0, flags, payload=bytes(10))) is verdict


@pytest.mark.parametrize("state", AFTER_SYN, ids=lambda state: state.value)
def test_what_is_outside_the_window_is_unacceptable(state: State) -> None:
    assert judged(tcb_in(state), ACK, 6000, 101) is Trigger.UNACCEPTABLE


@pytest.mark.parametrize("state", AFTER_SYN, ids=lambda state: state.value)
def test_an_old_fin_restarts_time_wait_and_is_unacceptable_elsewhere(state: State) -> None:
    verdict = judged(tcb_in(state), ACK | FIN, 4999, 101)
    assert verdict is (Trigger.FIN if state is State.TIME_WAIT else Trigger.UNACCEPTABLE)


@pytest.mark.parametrize(
    ("agreed", "stamp", "fresh"),
    [
        pytest.param(True, 50, True, id="same"),
        pytest.param(True, 51, True, id="newer"),
        pytest.param(True, 49, False, id="older"),
        pytest.param(True, add(50, HALF - 1), True, id="much newer"),
        pytest.param(True, add(50, HALF), False, id="half the circle away"),
        pytest.param(True, None, True, id="none"),
        pytest.param(False, 49, True, id="not agreed on"),
    ],
)
def test_paws(agreed: bool, stamp: int | None, fresh: bool) -> None:
    """RFC 7323 section 5.3 R1."""
    tcb = tcb_in(State.ESTABLISHED)
    tcb.timestamps, tcb.ts_recent = agreed, 50
    assert guards.is_fresh(tcb, 0.0, Parsed(ts_val=stamp)) is fresh
    verdict = judged(tcb, ACK, 5000, 100, options=Parsed(ts_val=stamp))
    assert verdict is (None if fresh else Trigger.UNACCEPTABLE)


def test_paws_does_not_judge_resets() -> None:
    tcb = tcb_in(State.ESTABLISHED)
    tcb.timestamps, tcb.ts_recent = True, 50
    assert judged(tcb, RST, 5000, options=Parsed(ts_val=1)) is Trigger.RST_FOR_US


# 3.10.7.4 second: the RST bit (RFC 5961 section 3)


@pytest.mark.parametrize("state", AFTER_SYN, ids=lambda state: state.value)
@pytest.mark.parametrize("rcv_nxt", STARTS)
@pytest.mark.parametrize(
    ("offset", "window", "verdict"),
    [
        pytest.param(0, 1000, Trigger.RST_FOR_US, id="next"),
        pytest.param(0, 0, Trigger.RST_FOR_US, id="next, no window"),
        pytest.param(1, 1000, Trigger.RST_IN_WINDOW, id="one ahead"),
        pytest.param(999, 1000, Trigger.RST_IN_WINDOW, id="last of the window"),
        pytest.param(1, 0, DropReason.RST_OUTSIDE_WINDOW, id="one ahead, no window"),
        pytest.param(1000, 1000, DropReason.RST_OUTSIDE_WINDOW, id="after the window"),
        pytest.param(-1, 1000, DropReason.RST_OUTSIDE_WINDOW, id="one behind"),
        pytest.param(HALF, 1000, DropReason.RST_OUTSIDE_WINDOW, id="half the circle away"),
    ],
)
def test_resets(state: State, rcv_nxt: int, offset: int, window: int, verdict: Trigger | DropReason) -> None:
    tcb = tcb_in(state, rcv_nxt=rcv_nxt, window=window)
    if state is State.TIME_WAIT and verdict is Trigger.RST_IN_WINDOW:
        verdict = DropReason.RST_OUTSIDE_WINDOW  # nothing has a place there any more
    assert judged(tcb, RST, add(rcv_nxt, offset)) is verdict


@pytest.mark.parametrize("flags", [RST | ACK, RST | SYN, RST | FIN | ACK], ids=["ACK", "SYN", "FIN ACK"])
def test_a_reset_is_a_reset_whatever_else_it_says(flags: int) -> None:
    assert judged(tcb_in(State.ESTABLISHED), flags, 5000, 12345, size=10) is Trigger.RST_FOR_US


# 3.10.7.4 fourth: the SYN bit


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=lambda state: state.value)
@pytest.mark.parametrize("flags", [SYN, SYN | ACK, SYN | FIN], ids=["SYN", "SYN ACK", "SYN FIN"])
@pytest.mark.parametrize("seq", [4999, 5000, 4000], ids=["the old SYN", "next", "outside"])
def test_a_syn_on_a_synchronized_connection_is_challenged(state: State, flags: int, seq: int) -> None:
    """RFC 5961 section 4: irrespective of the sequence number."""
    assert judged(tcb_in(state), flags, seq, 100) is Trigger.SYN_IN_WINDOW


@pytest.mark.parametrize("rcv_nxt", STARTS)
@pytest.mark.parametrize(
    ("offset", "verdict"),
    [
        pytest.param(1, Trigger.SYN_REOPENS, id="one ahead"),
        pytest.param(HALF - 1, Trigger.SYN_REOPENS, id="far ahead"),
        pytest.param(0, Trigger.SYN_IN_WINDOW, id="next"),
        pytest.param(-1, Trigger.SYN_IN_WINDOW, id="behind"),
        pytest.param(HALF, Trigger.SYN_IN_WINDOW, id="half the circle away"),
    ],
)
def test_a_syn_in_time_wait(rcv_nxt: int, offset: int, verdict: Trigger) -> None:
    assert judged(tcb_in(State.TIME_WAIT, rcv_nxt=rcv_nxt), SYN, add(rcv_nxt, offset)) is verdict


@pytest.mark.parametrize(
    ("passive", "flags", "seq", "ack", "verdict"),
    [
        pytest.param(True, SYN, 4999, 0, Trigger.SYN_AGAIN, id="passive: the same SYN"),
        pytest.param(True, SYN, 5000, 0, Trigger.SYN_INSTEAD, id="passive: another, in the window"),
        pytest.param(True, SYN, 6000, 0, Trigger.UNACCEPTABLE, id="passive: another, outside"),
        pytest.param(True, SYN | ACK, 4999, 101, Trigger.UNACCEPTABLE, id="passive: the same with ACK"),
        pytest.param(True, SYN | ACK, 5000, 101, Trigger.SYN_INSTEAD, id="passive: SYN ACK in the window"),
        pytest.param(False, SYN, 4999, 0, Trigger.SYN_AGAIN, id="active: the same SYN"),
        pytest.param(False, SYN | ACK, 4999, 101, Trigger.SYN_ACK_OF_OURS, id="active: with our ACK"),
        pytest.param(False, SYN | ACK, 4999, 102, Trigger.SYN_IN_WINDOW, id="active: with another ACK"),
        pytest.param(False, SYN, 5000, 0, Trigger.SYN_IN_WINDOW, id="active: another SYN"),
        pytest.param(False, SYN | ACK, 5000, 101, Trigger.SYN_IN_WINDOW, id="active: another SYN ACK"),
    ],
)
def test_a_syn_in_syn_received(passive: bool, flags: int, seq: int, ack: int, verdict: Trigger) -> None:
    assert judged(tcb_in(State.SYN_RECEIVED, passive=passive), flags, seq, ack) is verdict


# 3.10.7.4 fifth: the ACK field


@pytest.mark.parametrize("state", AFTER_SYN, ids=lambda state: state.value)
@pytest.mark.parametrize("flags", [0, PSH, FIN, URG], ids=["none", "PSH", "FIN", "URG"])
def test_without_ack_bit(state: State, flags: int) -> None:
    past_the_end = state is State.TIME_WAIT and flags == FIN
    verdict = Trigger.UNACCEPTABLE if past_the_end else DropReason.MISSING_ACK
    assert judged(tcb_in(state), flags, 5000) is verdict


@pytest.mark.parametrize("iss", STARTS)
@pytest.mark.parametrize(
    ("ack", "verdict"),
    [
        pytest.param(1, Trigger.ACK_OF_SYN, id="of our SYN"),
        pytest.param(0, Trigger.WRONG_ACK, id="of ISS"),
        pytest.param(2, Trigger.WRONG_ACK, id="of what was never sent"),
        pytest.param(-1, Trigger.WRONG_ACK, id="of what was before"),
        pytest.param(HALF, Trigger.WRONG_ACK, id="half the circle away"),
    ],
)
def test_ack_in_syn_received(iss: int, ack: int, verdict: Trigger) -> None:
    tcb = tcb_in(State.SYN_RECEIVED, snd_una=iss)
    assert judged(tcb, ACK, 5000, add(iss, ack)) is verdict


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=lambda state: state.value)
@pytest.mark.parametrize("snd_una", STARTS)
@pytest.mark.parametrize(
    ("ack", "verdict"),
    [
        pytest.param(0, None, id="SND.UNA"),
        pytest.param(1, None, id="in flight"),
        pytest.param(300, None, id="SND.NXT"),
        pytest.param(301, Trigger.WRONG_ACK, id="past SND.NXT"),
        pytest.param(300 + HALF - 1, Trigger.WRONG_ACK, id="far past SND.NXT"),
        pytest.param(300 + HALF, DropReason.ACK_TOO_OLD, id="half the circle from SND.NXT"),
        pytest.param(HALF, Trigger.WRONG_ACK, id="half the circle from SND.UNA"),
        pytest.param(-1, None, id="old"),
        pytest.param(-1000, None, id="as old as the largest window"),
        pytest.param(-1001, DropReason.ACK_TOO_OLD, id="older"),
    ],
)
def test_ack_range(state: State, snd_una: int, ack: int, verdict: Trigger | DropReason | None) -> None:
    """RFC 5961 section 5: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT."""
    tcb = tcb_in(state, snd_una=snd_una, flight=300)
    assert judged(tcb, ACK, 5000, add(snd_una, ack)) is verdict


@pytest.mark.parametrize(
    ("acked", "ack", "verdict"),
    [
        pytest.param(0, -1, DropReason.ACK_TOO_OLD, id="before the first octet"),
        pytest.param(10, -10, None, id="of the first octet"),
        pytest.param(10, -11, DropReason.ACK_TOO_OLD, id="before the first of ten"),
    ],
)
def test_no_ack_is_older_than_the_connection(acked: int, ack: int, verdict: DropReason | None) -> None:
    """Linux limits RFC 5961 section 5 so: what was never sent was never acknowledged."""
    tcb = tcb_in(State.ESTABLISHED)
    tcb.acked = acked
    assert judged(tcb, ACK, 5000, add(tcb.snd_una, ack)) is verdict


@pytest.mark.parametrize(("flags", "size"), [(ACK, 1), (PSH | ACK, 10), (SYN, 0)])
def test_nothing_that_takes_numbers_is_acceptable_in_time_wait(flags: int, size: int) -> None:
    segment = Segment(5000, 100, flags, payload=bytes(size))
    assert not guards.acceptable(tcb_in(State.TIME_WAIT), segment)
    assert guards.acceptable(tcb_in(State.TIME_WAIT), Segment(5000, 100, ACK))


def test_no_ack_half_the_circle_away_is_in_range() -> None:
    tcb = tcb_in(State.ESTABLISHED)
    assert judged(tcb, ACK, 5000, add(tcb.snd_una, HALF), size=10) is DropReason.ACK_TOO_OLD


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=lambda state: state.value)
@pytest.mark.parametrize(
    ("sent", "ack", "acks"),
    [
        pytest.param(True, 300, True, id="all of it"),
        pytest.param(True, 299, False, id="all but the FIN"),
        pytest.param(False, 300, False, id="all, but the FIN was not sent"),
    ],
)
def test_ack_of_fin(state: State, sent: bool, ack: int, acks: bool) -> None:
    tcb = tcb_in(state, flight=300)
    tcb.fin_sent = sent
    waits = state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
    assert judged(tcb, ACK, 5000, 100 + ack) is (Trigger.ACK_OF_FIN if acks and waits else None)
