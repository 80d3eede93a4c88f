"""What Linux 6.18 does otherwise with segments, text and numbers of a connection that is established."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, FIN, RST, SYN
from xsocket_tools.fuzzing.case import Call, Icmp
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    came_of,
    has,
    is_about,
    is_there,
    lacks,
    place,
    says_nothing,
    wanted,
)
from xsocket_tools.fuzzing.options import read
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.shadow import AFTER_PEERS_FIN, LEAST_MSS, MASK, ahead, length_of
from xsocket_tools.fuzzing.oracle.then import Then


def _has_no_flags(moment: Moment) -> bool:
    due = is_about(moment, rules.UNACCEPTABLE, rules.OLD_TIMESTAMP) and wanted(moment, Want.ACK)
    socket = moment.shadow is not None and not moment.shadow.is_small
    return socket and due and lacks(moment, ACK | RST | SYN) and says_nothing(moment) and is_there(moment)


def _has_fin_before_text(moment: Moment) -> bool:
    """Whether the FIN is taken where it stands, though text from behind it has come before."""
    segment, shadow = moment.segment, moment.shadow
    if (
        segment is None
        or shadow is None
        or not has(moment, FIN)
        or lacks(moment, ACK)
        or len(moment.sent) != 1
    ):
        return False
    end = (segment.seq + length_of(segment)) & MASK
    differs = is_about(moment, rules.SENT_ACK) and ahead(end, shadow.rcv_nxt) > 0
    stays = (
        is_about(moment, rules.STATE) and moment.after in AFTER_PEERS_FIN and ahead(end, shadow.rcv_nxt) >= 0
    )
    return (differs or stays) and moment.sent[0].acknowledgment == end and lacks(moment, SYN)


def _has_block_with_fin(moment: Moment) -> bool:
    """Whether the blocks are those that are due, but for the number of a FIN past a gap."""
    shadow = moment.shadow
    if shadow is None or shadow.fin_at is None or not is_about(moment, rules.SACK_BLOCKS):
        return False
    if len(moment.sent) != 1 or not is_there(moment):
        return False
    held = [(piece.seq, (piece.seq + len(piece.text)) & MASK) for piece in shadow.pieces]
    numbers = {(left + at) & MASK for left, right in held for at in range(ahead(left, right))} | {
        shadow.fin_at
    }
    if moment.segment is not None and has(moment, FIN):
        numbers.add((moment.segment.seq + len(moment.segment.payload)) & MASK)
    blocks = [each for each in read(moment.sent[0].options).sack if ahead(shadow.rcv_nxt, each[0]) > 0]
    said = {(left + at) & MASK for left, right in blocks for at in range(max(0, ahead(left, right)))}
    return bool(blocks) and shadow.fin_at in said and said <= numbers


def _is_octet_missing(moment: Moment) -> bool:
    """Whether one octet of the text, which was urgent, was not given."""
    call, answer, shadow = moment.operation, moment.answer, moment.shadow
    if not isinstance(call, Call) or call.name != "receive" or answer is None or shadow is None:
        return False
    if not is_about(moment, rules.RECEIVE) or not isinstance(answer.value, bytes) or not shadow.had_urgent:
        return False
    got = answer.value
    due = bytes(shadow.text[: len(got) + 1])
    return any(due[:at] + due[at + 1 :] == got for at in range(len(due)))


def _is_full_of_small_segments(moment: Moment) -> bool:
    call, answer, shadow = moment.operation, moment.answer, moment.shadow
    if not isinstance(call, Call) or call.name != "send" or answer is None or shadow is None:
        return False
    waits = shadow.iss is not None and shadow.unsent + shadow.flight > 0
    return is_about(moment, rules.SEND) and answer.error == "BlockingIOError" and waits and is_there(moment)


def _is_path_too_narrow(moment: Moment) -> bool:
    icmp, shadow = moment.operation, moment.shadow
    if not isinstance(icmp, Icmp) or shadow is None or not is_about(moment, rules.ICMP_MTU):
        return False
    narrow = shadow.path_mss < LEAST_MSS and shadow.version == 4
    return narrow and wanted(moment, Want.TEXT) and says_nothing(moment) and is_there(moment)


def _has_old_ack_on_fast_path(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not came_of(moment, rules.ACK_TOO_OLD):
        return False
    next_text = bool(segment.payload) and place(moment) == 0 and lacks(moment, SYN | FIN | RST)
    end = (segment.seq + length_of(segment)) & MASK
    return next_text and len(moment.sent) == 1 and moment.sent[0].acknowledgment == end


def _is_old_ack_with_old_stamp(moment: Moment) -> bool:
    """Whether it is a bare ACK from before RCV.NXT."""
    segment = moment.segment
    bare = segment is not None and length_of(segment) == 0 and has(moment, ACK) and lacks(moment, RST)
    due = is_about(moment, rules.OLD_TIMESTAMP) and wanted(moment, Want.ACK) and bare and place(moment) < 0
    return due and says_nothing(moment) and is_there(moment)


def _is_reset_behind_blocks(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not shadow.sack or not is_about(moment, rules.RST_IN_WINDOW):
        return False
    ends = {(each.seq + len(each.text)) & MASK for each in shadow.pieces}
    if shadow.fin_at is not None:
        ends.add((shadow.fin_at + 1) & MASK)
    return segment.seq in ends and has(moment, RST) and says_nothing(moment) and moment.after is None


DATA: Final = (
    Deviation(
        "an old ACK with an old timestamp",
        "RFC 7323 5.3 R1",
        "Bare ACKs that have been overtaken are common, so Linux drops them in silence. The RFC acknowledges "
        "whatever has an old timestamp.",
        "tcp_disordered_ack_check, tcp_validate_incoming",
        _is_old_ack_with_old_stamp,
        Then.GOES_ON,
    ),
    Deviation(
        "a reset right behind the last block",
        "RFC 5961 3.2",
        "A peer that has sent text past a gap resets with the number behind that. Linux takes it where SACK is in "
        "use, and the number is the end of the last block. The RFC takes RCV.NXT alone.",
        "tcp_validate_incoming",
        _is_reset_behind_blocks,
        Then.GONE,
    ),
    Deviation(
        "text with an acknowledgment that is too old",
        "RFC 5961 5.2",
        "A segment that is just what was expected next, with the window of the one before, goes the fast path, on "
        "which its acknowledgment may be any number of the half of the circle before SND.NXT: its text is taken "
        "before the acknowledgment is looked at. The RFC discards text with an acknowledgment older than the "
        "largest window.",
        "tcp_rcv_established",
        _has_old_ack_on_fast_path,
        finding="text-with-an-old-acknowledgment",
    ),
    Deviation(
        "neither ACK nor RST nor SYN",
        "RFC 9293 3.10.7.4 first",
        "Linux throws a segment without any of the three away before it looks at the sequence number. The RFC "
        "checks the number first, and acknowledges what lies outside the window.",
        "tcp_rcv_established, tcp_rcv_state_process",
        _has_no_flags,
        Then.GOES_ON,
    ),
    Deviation(
        "a FIN in front of text that has come already",
        "RFC 9293 3.10.7.4 eighth",
        "A peer that sends text behind its FIN contradicts itself. Linux looks at the FIN before it closes gaps, "
        "and throws what lies behind it away; text before FIN, as the RFC has it, would never reach the FIN.",
        "tcp_data_queue, tcp_fin",
        _has_fin_before_text,
    ),
    Deviation(
        "a FIN past a gap is in the blocks",
        "RFC 2018 3",
        "Linux puts the number of a FIN that came past a gap into its blocks, for it takes one like text. The RFC "
        "speaks of data.",
        "tcp_data_queue_ofo",
        _has_block_with_fin,
        Then.GOES_ON,
    ),
    Deviation(
        "an urgent octet is no text",
        "RFC 9293 3.8.5, RFC 6093 3.1",
        "The RFCs leave urgent text in the stream. Linux takes the last octet of it out, unless its user has set "
        "SO_OOBINLINE.",
        "tcp_check_urg, tcp_recvmsg_locked",
        _is_octet_missing,
    ),
    Deviation(
        "small segments fill the send buffer",
        "RFC 9293 3.10.2",
        "The send buffer is counted in memory, and a segment takes some of it beside its text. Where the peer's "
        "window is small Linux cuts text into small segments, and takes less of it.",
        "tcp_sendmsg_locked, sk_stream_memory_free",
        _is_full_of_small_segments,
        Then.GOES_ON,
    ),
    Deviation(
        "a path too narrow for the least segment",
        "RFC 1191 3",
        "Linux cuts no text into segments of less than 48 octets (CVE-2019-11479). If the path takes less with its "
        "headers, nothing goes there any more, as no fragments are sent. It takes a least path MTU (min_pmtu) "
        "below 88 to come so far.",
        "tcp_mtu_to_mss, tcp_simple_retransmit, ip_fragment",
        _is_path_too_narrow,
    ),
)
