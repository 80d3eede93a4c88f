"""What Linux 6.18 does otherwise in what its user is given, or told, and when he lets go of a connection."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, FIN, RST
from xsocket.state import State
from xsocket_tools.fuzzing.case import Call
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import came_of, is_about, is_gone, is_there, was_in
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.then import Then

_HALF_OPEN: Final = State.SYN_RECEIVED
_FINISHED: Final = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def _is_octet_missing(moment: Moment) -> bool:
    """Whether one octet of the text, which was urgent, was not given."""
    call, answer, shadow = moment.operation, moment.answer, moment.shadow
    if not isinstance(call, Call) or call.name != "receive" or answer is None or shadow is None:
        return False
    if not is_about(moment, rules.RECEIVE) or not shadow.had_urgent:
        return False
    got = b"" if answer.error == "BlockingIOError" else answer.value
    if not isinstance(got, bytes):
        return False
    due = bytes(shadow.text[: len(got) + 1])
    return any(due[:at] + due[at + 1 :] == got for at in range(len(due)))


def _is_full_of_small_segments(moment: Moment) -> bool:
    call, answer, shadow = moment.operation, moment.answer, moment.shadow
    if not isinstance(call, Call) or call.name != "send" or answer is None or shadow is None:
        return False
    opened = shadow.iss is not None and moment.before not in (State.SYN_SENT, State.SYN_RECEIVED)
    waits = opened and shadow.unsent + shadow.flight > 0
    return is_about(moment, rules.SEND) and answer.error == "BlockingIOError" and waits and is_there(moment)


def _is_abort_before_fin(moment: Moment) -> bool:
    call, shadow = moment.operation, moment.shadow
    aborts = isinstance(call, Call) and call.name == "abort" and came_of(moment, rules.ABORT)
    if not aborts or len(moment.sent) != 1 or not was_in(moment, State.CLOSING, State.LAST_ACK):
        return False
    return moment.sent[0].flags & (RST | ACK) == RST | ACK and is_gone(moment) and shadow is not None


def _is_close_with_unread(moment: Moment) -> bool:
    call, shadow = moment.operation, moment.shadow
    if not isinstance(call, Call) or call.name != "close" or shadow is None or len(moment.sent) != 1:
        return False
    unread = (
        bool(shadow.text) and was_in(moment, State.CLOSING, State.LAST_ACK) and is_about(moment, rules.CLOSE)
    )
    sent = moment.sent[0]
    return unread and sent.flags & RST != 0 and sent.ack == shadow.rcv_nxt and is_gone(moment)


def _is_abort_in_time_wait(moment: Moment) -> bool:
    call = moment.operation
    aborts = isinstance(call, Call) and call.name == "abort" and is_about(moment, rules.STATE)
    return aborts and came_of(moment, rules.ABORT) and moment.after is State.TIME_WAIT


def _is_told_of_a_reset(moment: Moment) -> bool:
    answer = moment.answer
    if answer is None or not is_about(moment, rules.ERROR) or answer.error != "ConnectionResetError":
        return False
    return moment.violation.got.startswith("ConnectionRefusedError was due")


def _has_fin_without_text(moment: Moment) -> bool:
    """Whether this end has finished with nothing of the text that OPEN was given."""
    shadow = moment.shadow
    if shadow is None or shadow.passive or shadow.iss is None or not shadow.closing:
        return False
    finished = is_about(moment, rules.STATE, rules.SENT_TEXT_SEQ) and was_in(moment, _HALF_OPEN)
    early = is_about(moment, rules.SENT_FIN) and any(each.flags & FIN for each in moment.sent)
    return (finished or early) and shadow.unsent > 0 and moment.after in _FINISHED


def _is_told_by_another_name(moment: Moment) -> bool:
    answer = moment.answer
    if answer is None or not is_about(moment, rules.ERROR) or answer.error not in ("EPROTO", "ENOPROTOOPT"):
        return False
    return moment.violation.got.startswith(("HostUnreachableError was due", "ConnectionRefusedError was due"))


def _is_send_too_early(moment: Moment) -> bool:
    call, answer = moment.operation, moment.answer
    if (
        not isinstance(call, Call)
        or call.name != "send"
        or answer is None
        or not is_about(moment, rules.SEND)
    ):
        return False
    active = moment.shadow is not None and not moment.shadow.passive
    return active and was_in(moment, State.SYN_SENT, _HALF_OPEN) and answer.error == "BlockingIOError"


CALLS: Final = (
    Deviation(
        "an urgent octet is no text",
        "RFC 9293 3.8.5, RFC 6093 3.1",
        "The RFCs leave urgent text in the stream. Linux takes the last octet of it out, unless its user "
        "has set SO_OOBINLINE.",
        "tcp_check_urg, tcp_recvmsg_locked",
        _is_octet_missing,
    ),
    Deviation(
        "small segments fill the send buffer",
        "RFC 9293 3.10.2",
        "The send buffer is counted in memory, and a segment takes some of it beside its text. Where the "
        "peer's window is small Linux cuts text into small segments, and takes less of it.",
        "tcp_sendmsg_locked, sk_stream_memory_free",
        _is_full_of_small_segments,
        Then.GOES_ON,
    ),
    Deviation(
        "ABORT before the FIN could go",
        "RFC 9293 3.10.4, 3.10.5",
        "With text that waits for the peer's window the RFC stays in CLOSE-WAIT, or in FIN-WAIT-1, until "
        "the FIN goes, and ABORT sends a reset there. Linux is in LAST-ACK or CLOSING by then, and looks at "
        "the text.",
        "tcp_disconnect",
        _is_abort_before_fin,
        Then.GONE,
    ),
    Deviation(
        "CLOSE with text unread in LAST-ACK or CLOSING",
        "RFC 9293 3.10.4",
        "A connection that is closed with text unread is reset (RFC 1122 section 4.2.2.13). Linux does so "
        "even where the peer has said all, and knows that it was acknowledged.",
        "__tcp_close",
        _is_close_with_unread,
        Then.GONE,
    ),
    Deviation(
        "ABORT in TIME-WAIT",
        "RFC 9293 3.10.5",
        "The RFC deletes the connection. In Linux TIME-WAIT no longer belongs to the socket, which can only "
        "be closed.",
        "tcp_close, tcp_time_wait",
        _is_abort_in_time_wait,
    ),
    Deviation(
        "a reset in SYN-RECEIVED after an active OPEN",
        "RFC 9293 3.10.7.4 second",
        'The RFC says "connection refused" to the user. Linux does so in SYN-SENT alone, and says '
        "ECONNRESET in all states behind it.",
        "tcp_reset",
        _is_told_of_a_reset,
        Then.GOES_ON,
    ),
    Deviation(
        "CLOSE before the text of OPEN could go",
        "RFC 9293 3.10.4",
        "The RFC queues CLOSE behind the text of OPEN. Linux takes no text before the connection is "
        "established, and then only as much as the send buffer holds: who closes before his last word is "
        "taken has not said it.",
        "tcp_close_state",
        _has_fin_without_text,
    ),
    Deviation(
        "errors of routers by other names",
        "RFC 9293 3.9.2.2",
        "The RFC leaves open how an error is told. Linux says EPROTO or ENOPROTOOPT where this project says "
        "that the host is unreachable, or the connection refused.",
        "icmp_err_convert, icmpv6_err_convert",
        _is_told_by_another_name,
        Then.GOES_ON,
    ),
    Deviation(
        "SEND before the connection is established",
        "RFC 9293 3.10.2",
        "The RFC queues the text. A socket of Linux that does not wait says EAGAIN until the connection is "
        "established; one that waits does so until then.",
        "tcp_sendmsg_locked, sk_stream_wait_connect",
        _is_send_too_early,
        Then.GOES_ON,
    ),
)
