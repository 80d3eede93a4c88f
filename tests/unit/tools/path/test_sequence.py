"""Sequence numbers that are others on either side, and consistent on both."""

import pytest

from support.paths import KEY, KEY_6, LEFT, RIGHT, error_in, held_by, left, right, segment, through
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.seqnum import add, distance
from xsocket.tcp.options import for_segment, parse
from xsocket.wire.icmp import path_error
from xsocket_tools.path.element import Chain
from xsocket_tools.path.impairments import LimitMtu
from xsocket_tools.path.sequence import RewriteSequence

KEYS = pytest.mark.parametrize("key", [KEY, KEY_6], ids=["ipv4", "ipv6"])


def offsets(element: RewriteSequence, key: FourTuple = KEY) -> tuple[int, int]:
    """Return how far numbers are moved towards the right and towards the left."""
    there = through(element, right(segment("S", 1000), key))
    back = through(element, left(segment("S.", 2000, there.seq + 1), key))
    return distance(1000, there.seq), distance(2000, back.seq)


@KEYS
def test_numbers_are_moved_and_acknowledgments_moved_back(key: FourTuple) -> None:
    element = RewriteSequence(seed=1)
    there, back = offsets(element, key)
    assert there != back
    assert 0 not in (there, back)
    syn_ack = through(element, left(segment("S.", 2000, add(1001, there)), key))
    assert (syn_ack.seq, syn_ack.ack) == (add(2000, back), 1001)
    ack = through(element, right(segment(".", 1001, add(2001, back)), key))
    assert (ack.seq, ack.ack) == (add(1001, there), 2001)


def test_a_field_that_acknowledges_nothing_is_left_alone() -> None:
    assert through(RewriteSequence(), right(segment("S", 1000, 0))).acknowledgment == 0


def test_offsets_are_those_of_connection_and_seed() -> None:
    assert offsets(RewriteSequence(seed=1)) == offsets(RewriteSequence(seed=1))
    assert offsets(RewriteSequence(seed=1)) != offsets(RewriteSequence(seed=2))
    other = FourTuple("10.0.0.1", 40_001, "10.0.0.2", 80)
    assert offsets(RewriteSequence(seed=1)) != offsets(RewriteSequence(seed=1), other)


@pytest.mark.parametrize("sack", [True, False], ids=["put-right", "forgotten"])
def test_sack_blocks_are_put_right_both_ways(sack: bool) -> None:
    element = RewriteSequence(seed=1, sack=sack)
    there, back = offsets(element)
    for towards, offset in ((left, there), (right, back)):
        blocks = ((add(10, offset), add(20, offset)), (add(40, offset), add(50, offset)))
        out = through(element, towards(segment(".", options=for_segment((5, 6), blocks))))
        assert parse(out.options).sack == (((10, 20), (40, 50)) if sack else blocks)
        assert parse(out.options).ts_val == 5
    assert element.counts()["blocks"] == (4 if sack else 0)


@KEYS
def test_an_error_quotes_the_number_that_was_sent(key: FourTuple) -> None:
    chain = Chain([RewriteSequence(seed=1), LimitMtu(1000)])
    (answer,) = chain.take(0.0, right(segment(".", 5000, payload=bytes(1200)), key))
    error = path_error(error_in(answer))
    assert isinstance(error, PathError)
    assert (answer.towards, error.four_tuple, error.seq) == (LEFT, key, 5000)
    mirrored = Chain([LimitMtu(1000), RewriteSequence(seed=1)])
    (answer,) = mirrored.take(0.0, left(segment(".", 5000, payload=bytes(1200)), key))
    error = path_error(error_in(answer))
    assert isinstance(error, PathError)
    assert (answer.towards, error.four_tuple, error.seq) == (RIGHT, key.reversed, 5000)


def test_two_boxes_behind_one_another_do_not_disturb_each_other() -> None:
    chain = Chain([RewriteSequence(seed=1), RewriteSequence(seed=2)])
    (syn,) = chain.take(0.0, right(segment("S", 1000)))
    (answer,) = chain.take(0.0, left(segment("S.", 7, add(held_by(syn).seq, 1))))
    assert held_by(answer).ack == 1001
