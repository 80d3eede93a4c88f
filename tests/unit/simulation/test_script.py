"""Scripted faults: the second SYN+ACK, and what becomes of it."""

import pytest

from support.virtual import FAR, NEAR, PORT, world
from xsocket import BadConfigError, DropReason, FourTuple, Segment, State, TcpConfig
from xsocket.segment import CE
from xsocket.simulation import Sent


def is_syn_ack(sent: Sent) -> bool:
    return sent.segment.letters == "S."


def has_text(sent: Sent) -> bool:
    return bool(sent.segment.payload)


def letters_sent(seen: list[Sent]) -> list[tuple[str, str]]:
    return [(sent.sender.name, sent.segment.letters) for sent in seen]


def test_a_predicate_sees_who_sends_what_and_when() -> None:
    there = world(delay_s=0.25)
    seen: list[Sent] = []
    there.link.drop(lambda sent: seen.append(sent))
    ours, _theirs = there.open()
    assert letters_sent(seen) == [("near", "S"), ("far", "S."), ("near", ".")]
    assert [sent.at for sent in seen] == [0.25, 0.5, 0.75]  # the SYN waited for the far station's address
    assert seen[0].sender is there.near
    assert [sent.four_tuple for sent in seen[:2]] == [ours.four_tuple, ours.four_tuple.reversed]
    assert seen[1].frame[:6] == there.near.mac


def test_every_match_is_dropped_by_default() -> None:
    there = world()
    script = there.link.drop(is_syn_ack)
    with pytest.raises(TimeoutError):
        there.near.connect(FAR, PORT, timeout=2.5)
    assert script.hits == there.link.counts(there.far).scripted == 3
    assert there.near.counters().segments_received == 0


def test_the_second_syn_ack_is_dropped() -> None:
    there = world()
    script = there.link.drop(is_syn_ack, nth=2)
    there.open()
    assert (script.hits, there.sim.now) == (0, 0.0)
    there.open()
    assert (script.hits, there.sim.now) == (1, pytest.approx(1.0))
    there.open()
    assert (script.hits, there.sim.now) == (1, pytest.approx(1.0))


def test_a_segment_can_be_marked() -> None:
    there = world(config=TcpConfig(ecn=3))
    there.link.alter(has_text, nth=2, with_=lambda segment: segment._replace(ecn=CE))
    ours, theirs = there.open()
    for _ in range(3):
        ours.sendall(b"text")
        theirs.recv(100)
    heard = ours.info.ecn
    assert heard is not None
    assert heard.delivered_ce == 1


@pytest.mark.parametrize("nth", [(1, 2), range(1, 3), {1, 2}], ids=str)
def test_several_matches_can_be_named(nth: tuple[int, ...]) -> None:
    there = world()
    script = there.link.drop(lambda sent: sent.segment.letters == "S", nth=nth)
    there.open()
    assert script.hits == 2
    assert there.sim.now == pytest.approx(3.0)  # sent at 0, 1 and 3 seconds


def test_numbers_count_from_one() -> None:
    with pytest.raises(BadConfigError):
        world().link.drop(is_syn_ack, nth=0)


def test_a_segment_is_held_for_a_while() -> None:
    there = world(delay_s=0.01)
    there.link.hold(is_syn_ack, for_s=0.5)
    there.near.connect(FAR, PORT, timeout=10.0)
    assert there.sim.now == pytest.approx(0.53)
    assert there.near.counters().drops == {}


def test_a_segment_is_held_until_another_has_passed() -> None:
    there = world(delay_s=0.01)
    ours, theirs = there.open()
    hold = there.link.hold(has_text, nth=1, until=has_text)
    ours.sendall(b"first ")
    assert hold.held == 1
    ours.sendall(b"second")
    assert hold.held == 0
    there.sim.run(for_s=0.02)
    assert theirs.recv(100) == b"first second"
    assert there.link.counts(there.near).scripted == 1


def test_a_segment_is_held_until_it_is_released() -> None:
    there = world()
    hold = there.link.hold(is_syn_ack)
    ours = there.near.open(FAR, PORT)
    there.sim.run(for_s=0.5)
    assert (hold.held, ours.state) == (1, State.SYN_SENT)
    hold.cancel()
    hold.release()
    there.sim.run(for_s=0.1)
    assert (hold.held, ours.state) == (0, State.ESTABLISHED)


def test_a_segment_is_altered() -> None:
    there = world()
    there.link.alter(is_syn_ack, with_=lambda segment: segment._replace(window=1234, options=b""))
    ours, _theirs = there.open()
    info = ours.info
    assert (info.snd_wnd, info.timestamps, info.sack) == (1234, False, False)
    assert there.near.counters().drops == {}  # its checksum was right


def test_an_altered_segment_meets_the_scripts_behind() -> None:
    there = world()
    there.link.alter(
        lambda sent: sent.segment.letters == "S", nth=1, with_=lambda segment: segment._replace(flags=0)
    )
    dropped = there.link.drop(lambda sent: sent.segment.letters == "-")
    there.open()
    assert dropped.hits == 1


def test_an_altered_segment_is_judged_like_any_other() -> None:
    there = world()
    there.link.alter(is_syn_ack, nth=1, with_=lambda syn_ack: syn_ack._replace(acknowledgment=1))
    there.open()
    assert there.near.counters().resets_sent == 1  # RFC 9293 3.10.7.3 first


def test_options_that_fill_no_words_are_refused() -> None:
    there = world()
    there.link.alter(is_syn_ack, with_=lambda segment: segment._replace(options=b"\x01"))
    with pytest.raises(BadConfigError, match="1 octets of options"):
        there.open()


def test_a_cancelled_script_does_nothing() -> None:
    there = world()
    script = there.link.drop(lambda _sent: True)
    script.cancel()
    there.open()
    assert script.hits == 0


def test_scripts_see_whole_conversations_and_forgeries_do_not_reach_them() -> None:
    there = world()
    script = there.link.drop(lambda _sent: True)
    there.link.inject(FourTuple(NEAR, 1, FAR, PORT), Segment(1, 0, 0))
    there.sim.run(for_s=0.0)
    assert script.hits == 0
    assert there.far.counters().drops == {DropReason.NO_CONTROL_IN_LISTEN: 1}
