"""What the page tells of a trace: cards that move, words for what happened, and what is left out."""

from __future__ import annotations

import pytest

from xsocket import DropReason, Event, EventKind, FourTuple, Segment, State
from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket.state import Timer, Trigger
from xsocket_tools.ladder import endpoint
from xsocket_tools.live.feed import ENDED, REMEMBERED, ROWS, Feed, Inbox, Place, name_of

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
OTHER = FourTuple("10.0.0.2", 80, "10.0.0.66", 40_001)
MANY = ROWS + 50


def received(
    segment: Segment, before: State, after: State, key: FourTuple = KEY, frame: bytes = b""
) -> Event:
    return Event(
        EventKind.RECEIVED, 1_000_000, key, segment=segment, before=before, after=after, frame=frame or None
    )


def sent(segment: Segment, state: State, rule: str = "3.10.7.2 third", key: FourTuple = KEY) -> Event:
    return Event(EventKind.SENT, 2_000_000, key, segment=segment, before=state, after=state, rule=rule)


def moved(before: State, after: State, trigger: Trigger, key: FourTuple = KEY) -> Event:
    return Event(
        EventKind.MOVED, 2_000_000, key, before=before, after=after, trigger=trigger, rule="3.10.7.4 fifth"
    )


def pool(what: str, key: FourTuple | None = KEY) -> Event:
    return Event(EventKind.POOL, 3_000_000, key, pool_event=what)


def dropped(segment: Segment, reason: DropReason, key: FourTuple = KEY) -> Event:
    return Event(EventKind.DROPPED, 2_000_000, key, segment=segment, reason=reason)


SYN_CAME = [
    received(Segment(100, 0, SYN), State.CLOSED, State.SYN_RECEIVED),
    moved(State.CLOSED, State.LISTEN, Trigger.PASSIVE_OPEN),
    moved(State.LISTEN, State.SYN_RECEIVED, Trigger.SYN),
    sent(Segment(7000, 101, SYN | ACK), State.SYN_RECEIVED),
]
ACK_CAME = [
    received(Segment(101, 7001, ACK), State.SYN_RECEIVED, State.ESTABLISHED),
    moved(State.SYN_RECEIVED, State.ESTABLISHED, Trigger.ACK_OF_SYN),
    pool("put"),
]


def told(*events: Event) -> Feed:
    feed = Feed({"10.0.0.1": "client"})
    for event in events:
        feed.take(event)
    return feed


def test_a_connection_goes_from_half_open_to_the_pool_to_its_owner_and_ends() -> None:
    feed, places = Feed(), []
    last = moved(State.ESTABLISHED, State.CLOSED, Trigger.RST_FOR_US)
    for events in (SYN_CAME, ACK_CAME, [pool("claimed")], [pool("given_back")], [pool("claimed")]):
        for event in events:
            feed.take(event)
        card = feed.cards[KEY]
        places.append((card.place, card.state))
    assert places == [
        (Place.HALF_OPEN, State.SYN_RECEIVED),
        (Place.POOL, State.ESTABLISHED),
        (Place.CLAIMED, State.ESTABLISHED),
        (Place.POOL, State.ESTABLISHED),
        (Place.CLAIMED, State.ESTABLISHED),
    ]
    feed.take(last)
    assert feed.cards == {}
    assert [(each.four_tuple, each.how) for each in feed.ended] == [(KEY, "RST at RCV.NXT")]


def test_it_is_told_in_plain_words_with_relative_numbers_and_rules() -> None:
    feed = told(
        *SYN_CAME,
        *ACK_CAME,
        received(Segment(101, 7001, PSH | ACK, payload=b"hi\n"), State.ESTABLISHED, State.ESTABLISHED),
        Event(EventKind.TIMER, 0, KEY, timer=Timer.RETRANSMISSION),
        moved(State.ESTABLISHED, State.FIN_WAIT_1, Trigger.CLOSE),
    )
    assert [(row.text, row.notes) for row in feed.rows] == [
        ("client sends SYN seq 0", ("CLOSED → SYN-RECEIVED",)),
        ("engine sends SYN+ACK seq 0 ack 1", ("RFC 9293 3.10.7.2 third",)),
        ("client sends ACK seq 1 ack 1", ("SYN-RECEIVED → ESTABLISHED",)),
        ("engine: the connection goes to the pool", ()),
        ("client sends PSH+ACK seq 1 ack 1 len 3", ("“hi·”",)),
        ("engine: the retransmission timer runs out", ()),
        ("engine: CLOSE", ("RFC 9293 3.10.7.4 fifth", "ESTABLISHED → FIN-WAIT-1")),
    ]
    assert {row.remote for row in feed.rows} == {"10.0.0.1:40000"}
    assert feed.rows[1].absolute == "engine sends SYN+ACK seq 7000 ack 101"


def test_a_drop_has_its_reason() -> None:
    stray = Segment(9, 0, RST)
    feed = told(
        received(stray, State.CLOSED, State.CLOSED, OTHER), dropped(stray, DropReason.RST_FOR_NOBODY, OTHER)
    )
    assert feed.cards == {}
    assert [row.text for row in feed.rows] == ["10.0.0.66:40001 sends RST seq 1", "engine drops a frame"]
    assert feed.rows[-1].notes == (f"dropped, RST_FOR_NOBODY: {DropReason.RST_FOR_NOBODY.value}",)


def test_a_frame_without_a_connection_is_told_too() -> None:
    feed = told(Event(EventKind.DROPPED, 0, frame=b"?", reason=DropReason.FRAME_TOO_SHORT))
    assert [(row.remote, row.text) for row in feed.rows] == [("", "engine drops a frame")]


def test_what_a_segment_by_hand_brings_about_is_kept_together() -> None:
    feed = Feed()
    syn = Segment(5, 0, SYN)
    feed.expect(b"frame")
    feed.take(SYN_CAME[0])
    feed.take(received(syn, State.CLOSED, State.CLOSED, OTHER, b"frame"))
    feed.take(sent(Segment(0, 6, RST | ACK), State.CLOSED, "3.10.7.1", OTHER))
    feed.take(SYN_CAME[3])
    assert [row.text for row in feed.outcome(b"frame")] == [
        "you send SYN seq 0",
        "engine sends RST+ACK seq 0 ack 1",
    ]
    assert [row.by_hand for row in feed.rows] == [False, True, False, False]
    feed.forget(b"frame")
    assert feed.outcome(b"frame") == ()


def test_a_timer_ends_what_a_segment_by_hand_brings_about() -> None:
    feed = Feed()
    feed.expect(b"frame")
    feed.take(received(Segment(100, 0, SYN), State.CLOSED, State.SYN_RECEIVED, frame=b"frame"))
    feed.take(Event(EventKind.TIMER, 0, KEY, timer=Timer.RETRANSMISSION))
    feed.take(SYN_CAME[3])
    assert len(feed.outcome(b"frame")) == 1


def test_a_frame_by_hand_that_is_dropped_unread_has_its_reason() -> None:
    feed = Feed()
    feed.expect(b"frame")
    feed.take(Event(EventKind.DROPPED, 0, frame=b"frame", reason=DropReason.SOURCE_IS_BROADCAST))
    (row,) = feed.outcome(b"frame")
    assert row.by_hand
    assert "SOURCE_IS_BROADCAST" in row.notes[0]


def test_a_forged_syn_does_not_begin_the_count_of_a_connection_anew() -> None:
    feed = told(*SYN_CAME, *ACK_CAME)
    feed.expect(b"frame")
    forged = received(Segment(5_000_101, 0, SYN), State.ESTABLISHED, State.ESTABLISHED, frame=b"frame")
    feed.take(forged)
    feed.take(sent(Segment(7001, 101, ACK), State.ESTABLISHED, "3.10.7.4 fourth"))
    assert [row.text for row in feed.outcome(b"frame")] == [
        "you send SYN seq 5000001",
        "engine sends ACK seq 1 ack 1",
    ]


def test_only_so_much_is_kept() -> None:
    keys = [FourTuple("10.0.0.2", 80, "10.0.0.1", 1000 + number) for number in range(MANY)]
    feed = Feed()
    for key in keys:
        feed.take(received(Segment(1, 0, SYN), State.CLOSED, State.SYN_RECEIVED, key))
        feed.take(moved(State.SYN_RECEIVED, State.CLOSED, Trigger.GIVE_UP, key))
    assert (len(feed.rows), feed.told) == (ROWS, 2 * MANY)
    assert [each.four_tuple for each in feed.ended] == keys[: -ENDED - 1 : -1]


def test_of_only_so_many_4_tuples_it_is_remembered_where_their_numbers_begin() -> None:
    feed = told(*SYN_CAME)
    for port in range(1, REMEMBERED + 1):
        key = FourTuple("10.0.0.2", 80, "10.0.0.66", port)
        feed.take(received(Segment(1, 0, RST), State.CLOSED, State.CLOSED, key))
    feed.take(received(Segment(5000, 7001, ACK), State.SYN_RECEIVED, State.SYN_RECEIVED))
    assert feed.rows[-1].text == "client sends ACK seq 1 ack 1"


def test_a_4_tuple_that_is_opened_anew_counts_from_its_new_syn() -> None:
    again = received(Segment(5_000_000, 0, SYN), State.CLOSED, State.SYN_RECEIVED)
    feed = told(*SYN_CAME, moved(State.SYN_RECEIVED, State.CLOSED, Trigger.GIVE_UP), again)
    assert feed.rows[-1].text == "client sends SYN seq 0"
    assert list(feed.cards) == [KEY]


def test_after_events_were_left_out_the_engine_is_believed() -> None:
    third = FourTuple("10.0.0.2", 80, "10.0.0.1", 3)
    feed = told(*SYN_CAME)
    feed.resync({OTHER: State.ESTABLISHED, third: State.SYN_RECEIVED}, [OTHER], 5)
    assert {key: card.place for key, card in feed.cards.items()} == {
        OTHER: Place.POOL,
        third: Place.HALF_OPEN,
    }
    assert [each.four_tuple for each in feed.ended] == [KEY]
    feed.resync({OTHER: State.CLOSE_WAIT}, [], 6)
    assert [(card.place, card.state) for card in feed.cards.values()] == [(Place.CLAIMED, State.CLOSE_WAIT)]


def test_the_inbox_is_bounded_and_counts_what_it_leaves_out() -> None:
    inbox = Inbox(limit=3)
    events = [pool("put", FourTuple("10.0.0.2", 80, "10.0.0.1", 1 + number)) for number in range(5)]
    for event in events:
        inbox.put(event)
    assert inbox.left_out == 2
    assert list(inbox.take(2)) == events[2:4]
    assert list(inbox.take(2)) == events[4:]
    assert list(inbox.take(2)) == []


def test_a_peer_that_says_nothing_printable_does_no_harm() -> None:
    nasty = b"<script>\x1b[2J\x00\xff" + "‮".encode() + b"a" * 100
    feed = told(received(Segment(1, 0, ACK | FIN, payload=nasty), State.CLOSED, State.CLOSED))
    (text,) = feed.rows[0].notes
    assert text.startswith("“<script>·[2J·")
    assert all(each.isprintable() for each in text)
    assert len(text) <= 42


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param(KEY, "10.0.0.1:40000 to 80", id="IPv4"),
        pytest.param(FourTuple("fd00::2", 80, "fd00::1", 5), "[fd00::1]:5 to 80", id="IPv6"),
    ],
)
def test_a_connection_has_a_name(key: FourTuple, name: str) -> None:
    assert name_of(key) == name
    assert name.startswith(endpoint(*key[2:]))
