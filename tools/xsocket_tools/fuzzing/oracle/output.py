"""What a target sends, segment by segment: numbers, text, windows and options, whatever caused it."""

from __future__ import annotations

from typing import NamedTuple

from xsocket.segment import ACK, ECE, FIN, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.options import Options
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.edges import (
    MOST_IN_FIELD,
    acceptable_seq,
    is_request,
    mss_in_use,
    offered_mss,
)
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import MASK, MAY_SEND, STAMP_OCTETS, Shadow, ahead, length_of
from xsocket_tools.fuzzing.view import targets_text

RESERVED: int = 0xE00
COOKIE_BITS: int = 64
"""How far the timestamp of a SYN cookie is behind the clock at most, ms: its low bits hold options."""


class Fault(NamedTuple):
    """What is wrong with a segment.

    Attributes:
        rule: The rule that it breaks.
        expected: What the rule wants.
        got: What stands there.
    """

    rule: Rule
    expected: str
    got: str


def fault_in(
    shadow: Shadow, segment: Segment, options: Options, at: float, *, is_virtual: bool
) -> Fault | None:
    """Return what is wrong with a segment of a connection that is no reset, and note what it says.

    Args:
        shadow: The connection, after whatever caused the segment.
        segment: What the target sent.
        options: Those of *segment*.
        at: When, seconds.
        is_virtual: Whether instants are exact.
    """
    if segment.flags & RESERVED:
        return Fault(rules.RESERVED, "no reserved bit", f"{segment.flags & RESERVED:#x}")
    if shadow.ecn is not None and not segment.flags & SYN and bool(segment.flags & ECE) != shadow.echoes_mark:
        rule = rules.ECN_ECHO if shadow.ecn else rules.ECN_UNWANTED
        return Fault(rule, "ECE" if shadow.echoes_mark else "no ECE", "the other")
    if segment.flags & SYN:
        return _syn(shadow, segment, options)
    found = (
        _numbers(shadow, segment)
        or _options(shadow, segment, options, at, is_virtual=is_virtual)
        or _window(shadow, segment)
    )
    if found is None and segment.flags & ACK:
        shadow.last_ack_sent = segment.acknowledgment
    return found


# SYN and SYN+ACK


def _syn(shadow: Shadow, segment: Segment, options: Options) -> Fault | None:
    if shadow.iss is not None and segment.seq != shadow.iss:
        return Fault(rules.SENT_SYN, f"seq {shadow.iss}", f"seq {segment.seq}")
    if segment.flags & ACK and segment.acknowledgment != shadow.rcv_nxt:
        return Fault(rules.SENT_ACK, f"ack {shadow.rcv_nxt}", f"ack {segment.acknowledgment}")
    agreed = bool(segment.flags & ACK)
    if agreed and not shadow.passive and Habit.SYN_IS_REPEATED in shadow.habits:
        echo = shadow.ts_recent if options.ts is not None else 0
        known = options.mss == shadow.said_mss  # the path may be narrower by now: whether it has heard so
        mss = shadow.said_mss if known else offered_mss(shadow)
        return syn_options(shadow, segment, options, mss, agreed=False, echo=echo)
    return syn_options(shadow, segment, options, offered_mss(shadow), agreed=agreed, echo=shadow.ts_recent)


def syn_options(
    shadow: Shadow, segment: Segment, options: Options, mss: int, *, agreed: bool, echo: int
) -> Fault | None:
    """Return what is wrong with what a SYN or, if *agreed* counts, a SYN+ACK offers; *echo* is its TSecr."""
    config = shadow.config
    if options.mss != mss:
        return Fault(rules.OFFERED_MSS, f"MSS {mss}", f"MSS {options.mss}")
    wanted = shadow.scaled if agreed else config.window_scaling
    if (options.shift is not None) != wanted or (options.shift or 0) > 14:
        return Fault(rules.OFFERED_SCALE, "a shift count" if wanted else "none", f"{options.shift}")
    wanted = shadow.sack if agreed else config.sack
    if options.sack_ok != wanted:
        return Fault(rules.OFFERED_SACK, f"{wanted}", f"{options.sack_ok}")
    wanted = shadow.ts if agreed else config.timestamps
    if (options.ts is not None) != wanted:
        return Fault(rules.OFFERED_TS, "timestamps" if wanted else "none", f"{options.ts}")
    if options.ts is not None and options.ts[1] != echo:
        return Fault(rules.TS_ECHO, f"TSecr {echo}", f"TSecr {options.ts[1]}")
    if (options.cookie is not None) != shadow.owes_cookie and not (not agreed and config.fastopen & 1):
        return Fault(rules.TFO_COOKIE, "a cookie" if shadow.owes_cookie else "none", f"{options.cookie!r}")
    if agreed and options.cookie is not None and not 4 <= len(options.cookie) <= 16:
        return Fault(rules.TFO_COOKIE, "4 to 16 octets", f"{len(options.cookie)}")
    if segment.window > min(config.rmem, 65_535):
        return Fault(rules.SYN_WINDOW, f"at most {min(config.rmem, 65_535)}", f"{segment.window}")
    return None


# Numbers and text


def _numbers(shadow: Shadow, segment: Segment) -> Fault | None:
    acks = (shadow.rcv_nxt,) if is_bare(segment) else (shadow.rcv_nxt, shadow.rcv_was)
    if not segment.flags & ACK or segment.acknowledgment not in acks:
        ack = f"ack {segment.acknowledgment}" if segment.flags & ACK else "no ACK"
        return Fault(rules.SENT_ACK, f"ack {shadow.rcv_nxt}", ack)
    if segment.payload or segment.flags & FIN:
        return _text(shadow, segment)
    due = acceptable_seq(shadow)
    if segment.seq == due:
        return None
    if segment.seq == (shadow.snd_nxt - 1) & MASK and shadow.config.keepalive:
        return None
    return Fault(rules.SENT_SEQ, f"seq {due}", f"seq {segment.seq}")


def _text(shadow: Shadow, segment: Segment) -> Fault | None:
    seq, text, fin = segment.seq, segment.payload, bool(segment.flags & FIN)
    if shadow.state not in MAY_SEND and not (shadow.fast and shadow.state is State.SYN_RECEIVED):
        where = shadow.state.value if shadow.state else "CLOSED"
        return Fault(rules.SENT_TEXT_SEQ, f"nothing in {where}", f"{len(text)} octets{' and FIN' * fin}")
    offset = ahead(((shadow.iss or 0) + 1) & MASK, seq)
    behind, beyond = ahead(seq, shadow.snd_una), ahead(shadow.snd_nxt, seq)
    if behind > 0 or beyond > 0 or offset < 0:
        return Fault(rules.SENT_TEXT_SEQ, f"seq from {shadow.snd_una} to {shadow.snd_nxt}", f"seq {seq}")
    if offset + len(text) > shadow.queued or text != targets_text(offset, len(text)):
        return Fault(rules.SENT_TEXT, f"octets {offset} to {shadow.queued} of the text", repr(text[:16]))
    if len(text) > shadow.most_text:
        return Fault(rules.SENT_MSS, f"at most {shadow.most_text} octets", f"{len(text)} octets")
    if fin and not (shadow.closing and offset + len(text) == shadow.queued):
        return Fault(rules.SENT_FIN, "no FIN" if not shadow.closing else "a FIN behind the text", "a FIN")
    end = (seq + length_of(segment)) & MASK
    past = ahead((shadow.snd_una + shadow.snd_wnd) & MASK, (seq + len(text)) & MASK)
    is_new = ahead(shadow.snd_nxt, end) > 0
    if is_new and text and past > (1 if shadow.probes else 0):
        return Fault(rules.SENT_WINDOW, f"nothing beyond {shadow.snd_wnd} octets", f"{past} octets beyond")
    if is_new and text and len(text) < _room_in(shadow, segment):
        fault = _held_back(shadow, seq, text, fin) or _too_small(shadow, segment)
        if fault is not None:
            return fault
    if text:
        shadow.sent_sizes.append((seq, len(text)))
    if is_new:
        shadow.snd_nxt = end
        cut = Habit.CUT_WHEN_GIVEN in shadow.habits and _ends_before(shadow, seq, text)
        if text and not cut and len(text) < _room_in(shadow, segment):
            shadow.short_right = end
    shadow.fin_sent = shadow.fin_sent or fin
    return None


def _room_in(shadow: Shadow, segment: Segment) -> int:
    """Return how much text a segment with these options can hold; timestamps are counted already."""
    stamps = STAMP_OCTETS if shadow.ts else 0
    most = shadow.most_text
    if Habit.CUT_WHEN_GIVEN in shadow.habits:
        most = min(most, mss_in_use(shadow) - stamps)
    return most - max(0, len(segment.options) - stamps)


def _ends_before(shadow: Shadow, seq: int, text: bytes) -> bool:
    """Whether the user has given more text than goes up to here."""
    return ahead((seq + len(text)) & MASK, shadow.stream_end) > 0


def _held_back(shadow: Shadow, seq: int, text: bytes, fin: bool) -> Fault | None:
    """The Nagle algorithm, in Minshall's form or the RFC's own: one short segment in flight at a time."""
    config = shadow.config
    if config.nodelay or fin or not shadow.flight or shadow.probes:
        return None
    if shadow.pieces or shadow.ecn is not False or shadow.from_cookie:
        return None  # options that come and go make what is short
    if Habit.CUT_WHEN_GIVEN in shadow.habits and _ends_before(shadow, seq, text):
        return None
    if config.minshall:
        waits = shadow.short_right is not None and ahead(shadow.snd_una, shadow.short_right) > 0
    else:
        waits = shadow.snd_una != shadow.iss or shadow.flight > 1
    if not waits:
        return None
    return Fault(rules.NAGLE, "no short segment", f"{len(text)} octets with {shadow.flight} in flight")


INITIAL_SEGMENTS: int = 10
"""RFC 6928: so much goes whatever the congestion window becomes later."""


def _too_small(shadow: Shadow, segment: Segment) -> Fault | None:
    """Where there is more to send, and the windows let it, a segment is as large as the path takes."""
    clock, size = shadow.clock, _room_in(shadow, segment)
    if clock is None or clock.has_timed_out or shadow.from_cookie or shadow.habits:
        return None
    if shadow.pieces or shadow.ecn is not False or shadow.early_sent:
        return None
    end = (segment.seq + size) & MASK
    has_more = ahead(end, shadow.stream_end) >= 0
    has_room = ahead(end, (shadow.snd_una + shadow.snd_wnd) & MASK) >= 0
    if has_more and has_room and shadow.flight + size <= INITIAL_SEGMENTS * size:
        return Fault(rules.FULL_SIZED, f"{size} octets", f"{len(segment.payload)} octets")
    return None


# Options


def _options(
    shadow: Shadow, segment: Segment, options: Options, at: float, *, is_virtual: bool
) -> Fault | None:
    if options.mss is not None or options.shift is not None or options.sack_ok:
        return Fault(rules.SENT_SYN_OPTIONS, "none of a SYN's options", segment.options.hex())
    if shadow.ts and options.ts is None:
        return Fault(rules.TS_MISSING, "timestamps", "none")
    if not shadow.ts and options.ts is not None:
        return Fault(rules.TS_UNWANTED, "none", f"{options.ts}")
    return stamp_fault(shadow, options, at, is_virtual=is_virtual) or _sack(shadow, segment, options)


def stamp_fault(shadow: Shadow, options: Options, at: float, *, is_virtual: bool) -> Fault | None:
    """Return what is wrong with the timestamps of a segment without SYN."""
    if options.ts is None:
        return None
    value, echo = options.ts
    if echo != shadow.ts_recent:
        return Fault(rules.TS_ECHO, f"TSecr {shadow.ts_recent}", f"TSecr {echo}")
    return clock_fault(shadow, value, at, is_virtual=is_virtual)


def clock_fault(shadow: Shadow, value: int, at: float, *, is_virtual: bool) -> Fault | None:
    """Return what is wrong with a TSval; the first one sets the clock."""
    now = int(at * 1000)
    if shadow.ts_zero is None:
        return _first_stamp(shadow, value, now, slack=1 if is_virtual else 1_000)
    began, first = shadow.ts_zero
    due = (first + now - began) & MASK
    off = abs(ahead(due, value))
    if off > (1 if is_virtual else 1_000):
        return Fault(rules.TS_CLOCK, f"TSval {due}", f"TSval {value}")
    return None


def _first_stamp(shadow: Shadow, value: int, now: int, *, slack: int) -> Fault | None:
    """The first TSval sets the clock; that of a SYN cookie was behind it by as much as it had to hold."""
    if shadow.cookie_stamp is not None:
        began, first = shadow.cookie_stamp
        due = (first + now - began) & MASK
        if not -slack <= ahead(due, value) <= COOKIE_BITS + slack - 1:
            return Fault(rules.TS_CLOCK, f"TSval {due} to {due + COOKIE_BITS}", f"TSval {value}")
    shadow.ts_zero = now, value
    return None


def _sack(shadow: Shadow, segment: Segment, options: Options) -> Fault | None:
    if not shadow.sack:
        return Fault(rules.SACK_UNWANTED, "no blocks", f"{options.sack}") if options.sack else None
    blocks = list(options.sack)
    if not blocks and shadow.is_small and Habit.ORPHANS_HAVE_NO_BLOCKS in shadow.habits:
        return None
    if not shadow.pieces:
        # RFC 2883: one block may say what came twice.
        if len(blocks) > 1 or (blocks and not shadow.config.dsack):
            return Fault(rules.SACK_BLOCKS, "no blocks", f"{blocks}")
        return None
    held = _held(shadow)
    if shadow.config.dsack and blocks and blocks[0] not in held:
        del blocks[0]
    if segment.flags & FIN and Habit.LATE_SHUTDOWN in shadow.habits:
        return None  # it may go before the text is taken in
    if not blocks and not segment.payload and not options.sack:
        return Fault(rules.SACK_MISSING, f"{held[:1]}", "none")
    if any(block not in held for block in blocks):
        return Fault(rules.SACK_BLOCKS, f"{held}", f"{blocks}")
    latest = next(
        block
        for block in held
        if ahead(block[0], shadow.pieces[-1].seq) >= 0 > ahead(block[1], shadow.pieces[-1].seq)
    )
    if blocks and blocks[0] != latest:
        return Fault(rules.SACK_BLOCKS, f"{latest} first", f"{blocks}")
    return None


def _held(shadow: Shadow) -> list[tuple[int, int]]:
    """Return what has come past a gap, as blocks that neither touch nor overlap."""
    base = shadow.rcv_nxt
    edges = sorted(
        (ahead(base, piece.seq), ahead(base, piece.seq) + len(piece.text)) for piece in shadow.pieces
    )
    if Habit.FIN_IN_BLOCKS in shadow.habits:
        fins = (ahead(base, number) for number in shadow.fins)
        edges = sorted((*edges, *((at, at + 1) for at in fins if at > 0)))
    joined: list[list[int]] = []
    for left, right in edges:
        if joined and left <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], right)
        else:
            joined.append([left, right])
    return [((base + left) & MASK, (base + right) & MASK) for left, right in joined]


# The window


def _most_said(shadow: Shadow) -> int:
    """Return what the field of a large window says. Linux: ``tcp_synack_window``, ``tcp_select_window``."""
    return MOST_IN_FIELD >> (shadow.own_shift if is_request(shadow) else 0)


def _window(shadow: Shadow, segment: Segment) -> Fault | None:
    if Habit.LARGE_WINDOW in shadow.habits and segment.window == _most_said(shadow):
        return None  # it may be larger
    if Habit.LOW_BITS in shadow.habits and shadow.is_small and not shadow.is_half_open:
        came = ahead((shadow.irs + 1) & MASK, shadow.rcv_nxt) > 1
        has_text = shadow.pieces or shadow.past_fin or came  # then it may have grown
        low = (shadow.rcv_wnd >> shadow.own_shift) & MOST_IN_FIELD
        if (segment.window - low + 1) & MOST_IN_FIELD <= 2 or (
            has_text and not shadow.own_shift
        ):  # 1: that of the FIN
            return None
    edge = (segment.acknowledgment + (segment.window << shadow.own_shift)) & MASK
    moved = ahead(shadow.rcv_adv, edge)
    grain = (1 << shadow.own_shift) - 1
    if moved < -grain:
        return Fault(rules.SHRINKS, f"no less than {shadow.rcv_wnd} octets", f"{-moved} less")
    unread = len(shadow.text)
    room = shadow.config.rmem - unread
    if moved > 0 and segment.window << shadow.own_shift > max(room, shadow.rcv_wnd):
        return Fault(rules.TOO_MUCH_WINDOW, f"at most {room} octets", f"{segment.window << shadow.own_shift}")
    if moved > 0:
        shadow.rcv_adv = edge
    return None


def is_bare(segment: Segment) -> bool:
    """Whether a segment carries nothing that the user gave: neither text nor FIN."""
    return not segment.payload and not segment.flags & FIN


def is_reset(segment: Segment) -> bool:
    """Whether it is a reset."""
    return bool(segment.flags & RST)
