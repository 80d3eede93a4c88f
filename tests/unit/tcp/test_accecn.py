"""More accurate feedback by itself: how its counters go round, and what one acknowledgment may hide."""

import pytest

from xsocket.segment import ACK, CE, ECT_0, ECT_1, Segment
from xsocket.tcp.accecn import AccurateEcn
from xsocket.tcp.options import AccEcn, parse

MSS = 1000
ROOM = 40


def made(options: int = 1) -> AccurateEcn:
    return AccurateEcn(0, options, sends_ect=True)


def marked(octets: int = 0, ecn: int = CE) -> Segment:
    return Segment(1, 1, ACK, payload=bytes(octets), ecn=ecn)


def with_ace(ace: int) -> Segment:
    return Segment(1, 1, ACK | ace << 6)


def option_of(ecn: AccurateEcn) -> AccEcn | None:
    return parse(ecn.option(ROOM, new_text=False, again=False)).acc_ecn


def delivered(ecn: AccurateEcn, ace: int, packets: int, option: AccEcn | None = None) -> int:
    """Return how many marks an acknowledgment adds."""
    before = ecn.info.delivered_ce
    assert ecn.says_marked(with_ace(ace), option, packets, MSS) is (ecn.info.delivered_ce > before)
    return ecn.info.delivered_ce - before


@pytest.mark.parametrize("ecn", [ECT_0, ECT_1, CE], ids=["ECT(0)", "ECT(1)", "CE"])
def test_octets_are_counted_modulo_2_to_the_24th(ecn: int) -> None:
    counter = made()
    for _ in range(17):
        counter.arrived(marked(1 << 20, ecn), owes_text=True)
    option = option_of(counter)
    assert option is not None
    began = 0 if ecn == CE else 1
    assert option.counters[1 if ecn == CE else 0] == (1 << 20) + began


def test_a_counter_of_octets_that_goes_round_is_followed() -> None:
    counter = made()
    assert delivered(counter, 6, 1, AccEcn(0, (1, 1000))) == 1
    almost = (1 << 24) - 500
    assert delivered(counter, 7, 1, AccEcn(0, (1, almost))) > 16_000  # as many octets cannot be in one packet
    before = counter.info.delivered_ce
    ace = (5 + before + 1) % 8
    assert delivered(counter, ace, 1, AccEcn(0, (1, 500))) == 1


def test_the_option_has_news_once() -> None:
    counter = made()
    assert option_of(counter) is None
    counter.arrived(marked(10, ECT_0), owes_text=False)
    assert option_of(counter) == AccEcn(0, (11,))
    assert option_of(counter) is None


def test_what_has_no_mark_or_no_text_is_no_news_to_the_option() -> None:
    counter = made()
    counter.arrived(marked(10, 0), owes_text=False)
    counter.arrived(marked(0, ECT_0), owes_text=False)
    assert option_of(counter) is None


def test_news_stay_news_until_there_is_room() -> None:
    counter = made()
    counter.arrived(marked(10, ECT_0), owes_text=False)
    assert counter.option(7, new_text=False, again=False) == b""
    counter.arrived(marked(0, ECT_0), owes_text=False)
    assert len(counter.option(8, new_text=False, again=False)) == 8


def test_where_acknowledgments_cover_many_packets_each_one_that_does_hides_nothing() -> None:
    """RFC 9768 appendix A.2.1: its peer thins them out, or takes in whole batches."""
    counter = made()
    assert delivered(counter, 5, 20) == 16  # the first one may be what is left of many
    ace = (5 + 16) % 8
    while counter.says_marked(with_ace(ace), None, 20, MSS):
        pass
    assert delivered(counter, ace, 20) == 0


def test_an_acknowledgment_without_marks_reports_none() -> None:
    counter = made()
    assert [delivered(counter, 5, 2) for _ in range(10)] == [0] * 10
