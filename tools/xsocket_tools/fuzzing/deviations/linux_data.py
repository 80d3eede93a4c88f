"""What Linux 6.18 does otherwise with segments, text and numbers of a connection that is established."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, CE, ECE, FIN, RST, SYN
from xsocket.state import State
from xsocket_tools.fuzzing.case import Icmp
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    came_of,
    has,
    has_answered_of_late,
    is_about,
    is_there,
    lacks,
    place,
    says_nothing,
    says_one_ack,
    wanted,
    was_in,
)
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.shadow import (
    AFTER_PEERS_FIN,
    DEFAULT_MSS,
    LEAST_MSS,
    LINK_MSS,
    MASK,
    ahead,
    length_of,
)
from xsocket_tools.fuzzing.oracle.then import Then

_HEADERS_V4: Final = 40


def _has_no_flags(moment: Moment) -> bool:
    due = is_about(moment, rules.UNACCEPTABLE, rules.OLD_TIMESTAMP) and wanted(moment, Want.ACK)
    socket = moment.shadow is not None and not moment.shadow.is_small
    return socket and due and lacks(moment, ACK | RST | SYN) and says_nothing(moment) and is_there(moment)


_LIMITED: Final = (
    rules.UNACCEPTABLE,
    rules.OLD_TIMESTAMP,
    rules.SYN_SYNCHRONIZED,
    rules.SYN_AGAIN,
    rules.ACK_UNSENT,
    rules.ACK_TOO_OLD,
    rules.RST_IN_WINDOW,
)
"""Rules by which an invalid segment is acknowledged."""


def _is_counted_otherwise(moment: Moment) -> bool:
    """Whether an invalid segment is answered where the limit would have silence, or the other way round."""
    if not has_answered_of_late(moment) or not is_there(moment):
        return False
    more = is_about(moment, rules.INVALID_RATE) and says_one_ack(moment)
    due = is_about(moment, *_LIMITED) and wanted(moment, Want.ACK, Want.CHALLENGE)
    return more or (due and says_nothing(moment))


def _has_fin_before_text(moment: Moment) -> bool:
    """Whether the FIN is taken where it stands, though text from behind it has come before."""
    shadow = moment.shadow
    if (
        moment.segment is None
        or shadow is None
        or len({each.acknowledgment for each in moment.sent}) != 1
        or moment.after not in AFTER_PEERS_FIN
    ):
        return False
    acked = moment.sent[0].acknowledgment
    ends_there = any((number + 1) & MASK == acked for number in shadow.fins)
    differs = is_about(moment, rules.SENT_ACK) and acked != shadow.rcv_nxt
    blocks = is_about(moment, rules.SACK_MISSING, rules.SACK_BLOCKS) and not is_there(moment)
    stays = (is_about(moment, rules.STATE) or blocks) and ahead(acked, shadow.rcv_nxt) >= 0
    joined = is_about(moment, rules.SENT_ACK) and came_of(moment, rules.FIN) and acked in shadow.past_fin
    over = any(ahead(shadow.rcv_was, number) >= 0 and ahead(number, acked) > 0 for number in shadow.fins)
    joined = joined or (is_about(moment, rules.STATE) and acked == shadow.rcv_nxt and over)
    return (ends_there and (differs or stays)) or joined


def _is_path_too_narrow(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.ICMP_MTU, rules.MUST_SEND, rules.TEXT_OUT_OF_ORDER):
        return False
    narrow = shadow.path_mss < LEAST_MSS and shadow.version == 4
    return narrow and says_nothing(moment) and is_there(moment)


def _has_old_ack_on_fast_path(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not came_of(moment, rules.ACK_TOO_OLD, rules.INVALID_RATE):
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
    if segment is None or shadow is None or not shadow.sack:
        return False
    limited = is_about(moment, rules.STATE) and came_of(moment, rules.INVALID_RATE)
    if not limited and not is_about(moment, rules.RST_IN_WINDOW):
        return False
    ends = {(each.seq + len(each.text)) & MASK for each in shadow.pieces}
    if shadow.fin_at is not None:
        ends.add((shadow.fin_at + 1) & MASK)
    return segment.seq in ends and has(moment, RST) and says_nothing(moment) and moment.after is None


def _is_lost_on_the_way_out(moment: Moment) -> bool:
    """Whether text is missing that was larger than the path, of which another connection has learnt."""
    shadow = moment.shadow
    if (
        shadow is None
        or shadow.version != 6
        or shadow.iss is None
        or not is_about(moment, rules.SENT_TEXT_SEQ)
    ):
        return False
    narrowed = shadow.path_mss < LINK_MSS[6] and bool(moment.sent)
    return narrowed and ahead(shadow.snd_nxt, moment.sent[0].seq) > shadow.path_mss and is_there(moment)


def _is_fin_unlinked(moment: Moment) -> bool:
    shadow = moment.shadow
    if (
        shadow is None
        or not shadow.had_urgent
        or not shadow.fin_waits
        or not is_about(moment, rules.UNACCEPTABLE)
    ):
        return False
    return moment.before in AFTER_PEERS_FIN and has(moment, ACK) and says_nothing(moment) and is_there(moment)


def _is_fragment(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or shadow.version != 4 or not is_about(moment, rules.FRAME_SENT):
        return False
    path, icmp, least = shadow.path_mss, moment.operation, shadow.config.min_pmtu
    if isinstance(icmp, Icmp) and icmp.kind == "too big":
        path = min(path, max(icmp.mtu or least, least) - _HEADERS_V4)
    narrow = path < LEAST_MSS or (least - _HEADERS_V4 < LEAST_MSS and not shadow.is_known)
    return moment.violation.got == "a fragment" and narrow


def _is_without_mss(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or shadow.passive or not shadow.asked_fast:
        return False
    if is_about(moment, rules.MUST_SEND):
        return says_nothing(moment) and shadow.mss == DEFAULT_MSS[shadow.version]
    if not is_about(moment, rules.SENT_MSS):
        return False
    most = max(len(each.payload) for each in moment.sent)
    return shadow.mss == DEFAULT_MSS[shadow.version] and most <= LINK_MSS[shadow.version]


def _is_behind_the_syn(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not shadow.fast or not is_about(moment, rules.SENT_WINDOW):
        return False
    return was_in(moment, State.SYN_RECEIVED) and moment.violation.got == "1 octets beyond"


def _is_mark_after_fin(moment: Moment) -> bool:
    segment = moment.segment
    if segment is None or not is_about(moment, rules.ECN_ECHO):
        return False
    marked = segment.ecn == CE or came_of(moment, rules.ECN_ECHO)  # a mark, or CWR
    silent = all(not each.flags & ECE for each in moment.sent)
    return marked and silent and moment.before in AFTER_PEERS_FIN and is_there(moment)


def _has_blocks_of_nobody(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.SACK_UNWANTED):
        return False
    return shadow.passive and shadow.told_blocks and is_there(moment)


def _is_marked_fin(moment: Moment) -> bool:
    """Whether the mark on a FIN without text is echoed."""
    segment = moment.segment
    if segment is None or segment.payload or not has(moment, FIN) or segment.ecn != CE:
        return False
    echoed = all(each.flags & ECE for each in moment.sent)
    return is_about(moment, rules.ECN_ECHO) and bool(moment.sent) and echoed and is_there(moment)


DATA: Final = (
    Deviation(
        "blocks that nobody agreed on",
        "RFC 2018 2",
        "Where the third segment has a block, which says that the SYN+ACK came twice, Linux has SACK in use "
        "from then on, whether the peer has said that it knows it or not.",
        "tcp_check_req, tcp_dsack_seen",
        _has_blocks_of_nobody,
        finding="blocks-that-nobody-agreed-on",
    ),
    Deviation(
        "a mark on a FIN without text",
        "RFC 3168 6.1.3",
        "The RFC speaks of marks on data packets. To Linux a FIN past a gap is one, and it echoes the mark.",
        "tcp_data_queue_ofo",
        _is_marked_fin,
    ),
    Deviation(
        "one answer more or less at the limit of answers",
        "RFC 5961 7",
        "The RFC leaves open what counts for the limit on answers to invalid segments. Linux counts by "
        "socket, and anew in TIME-WAIT; a SYN that nobody could take there, and whatever has text, is "
        "answered without being counted.",
        "tcp_oow_rate_limited, tcp_timewait_check_oow_rate_limit, tcp_v4_rcv",
        _is_counted_otherwise,
        Then.GOES_ON,
    ),
    Deviation(
        "a mark on text after the peer's FIN",
        "RFC 3168 6.1.3",
        "Text after a FIN is dropped before its mark is looked at, so that nothing echoes it.",
        "tcp_rcv_state_process",
        _is_mark_after_fin,
    ),
    Deviation(
        "no MSS in the SYN+ACK of a Fast Open",
        "RFC 9293 3.7.1",
        "A peer that says no MSS takes 536 octets, or 1,220 of IPv6. If its SYN asked for a cookie of Fast "
        "Open, or had one, Linux has begun with its own MSS, and goes on with that, be it that it waits for "
        "room for so much.",
        "tcp_send_syn_data",
        _is_without_mss,
        finding="fast-open-without-mss",
    ),
    Deviation(
        "the window of a SYN begins behind it",
        "RFC 9293 3.10.7.2 third",
        "Before the SYN+ACK is acknowledged the window of the SYN counts from there by the RFC, so that one "
        "octet less of text goes than the window says. Linux counts text alone.",
        "tcp_fastopen_create_child, tcp_create_openreq_child",
        _is_behind_the_syn,
    ),
    Deviation(
        "fragments on a path that is too narrow",
        "RFC 1191 3",
        "A router that says an MTU below the least that is believed makes Linux use that, and leave the DF "
        "bit away: if the least segment of 48 octets does not fit it either, fragments go.",
        "__ip_rt_update_pmtu, ip_dont_fragment",
        _is_fragment,
        Then.LOST,
    ),
    Deviation(
        "an old ACK with an old timestamp",
        "RFC 7323 5.3 R1",
        "Bare ACKs that have been overtaken are common, so Linux drops them in silence. The RFC "
        "acknowledges whatever has an old timestamp.",
        "tcp_disordered_ack_check, tcp_validate_incoming",
        _is_old_ack_with_old_stamp,
        Then.GOES_ON,
    ),
    Deviation(
        "a reset right behind the last block",
        "RFC 5961 3.2",
        "A peer that has sent text past a gap resets with the number behind that. Linux takes it where SACK "
        "is in use, and the number is the end of the last block. The RFC takes RCV.NXT alone.",
        "tcp_validate_incoming",
        _is_reset_behind_blocks,
        Then.GONE,
    ),
    Deviation(
        "text with an acknowledgment that is too old",
        "RFC 5961 5.2",
        "A segment that is just what was expected next, with the window of the one before, goes the fast "
        "path, on which its acknowledgment may be any number of the half of the circle before SND.NXT: its "
        "text is taken before the acknowledgment is looked at. The RFC discards text with an acknowledgment "
        "older than the largest window.",
        "tcp_rcv_established",
        _has_old_ack_on_fast_path,
        finding="text-with-an-old-acknowledgment",
    ),
    Deviation(
        "neither ACK nor RST nor SYN",
        "RFC 9293 3.10.7.4 first",
        "Linux throws a segment without any of the three away before it looks at the sequence number. The "
        "RFC checks the number first, and acknowledges what lies outside the window.",
        "tcp_rcv_established, tcp_rcv_state_process",
        _has_no_flags,
        Then.GOES_ON,
    ),
    Deviation(
        "a FIN in front of other text, or of another FIN",
        "RFC 9293 3.10.7.4 eighth",
        "A peer that sends something behind its FIN contradicts itself. Linux looks at the FIN before it "
        "closes gaps, and throws what lies behind it away; text before FIN, as the RFC has it, would never "
        "reach the FIN. Where both wait behind a gap it joins them, and counts the octets of the text only.",
        "tcp_data_queue, tcp_ofo_queue, tcp_try_coalesce, tcp_fin",
        _has_fin_before_text,
    ),
    Deviation(
        "an urgent octet where the FIN is",
        "RFC 9293 3.10.7.4 first",
        "Whether text may go past the right edge depends on what there is to read, a FIN too. A second "
        "urgent pointer makes Linux take the first urgent octet out, even if that is the FIN.",
        "tcp_check_urg, tcp_sequence",
        _is_fin_unlinked,
    ),
    Deviation(
        "text is lost on its way out",
        "RFC 8201 4",
        "A connection over IPv6 does not hear that another has learnt of a narrower path. Its next segments "
        "are too large for that, and dropped before they go; then it knows.",
        "ip6_finish_output_gso_slowpath_drop, inet6_csk_xmit",
        _is_lost_on_the_way_out,
    ),
    Deviation(
        "a path too narrow for the least segment",
        "RFC 1191 3",
        "Linux cuts no text into segments of less than 48 octets (CVE-2019-11479). If the path takes less "
        "with its headers, no text goes there any more, as no fragments are sent, and no acknowledgment with "
        "it. It takes a least path MTU (min_pmtu) below 88 to come so far.",
        "tcp_mtu_to_mss, tcp_simple_retransmit, ip_fragment",
        _is_path_too_narrow,
    ),
)
