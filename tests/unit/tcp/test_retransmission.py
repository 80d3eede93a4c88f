"""The retransmission queue: what is under way, what arrived out of order, what was lost."""

from itertools import pairwise

import pytest

from xsocket.tcp.retransmission import RetransmissionQueue

MSS = 100
NEAR_THE_END = 2**32 - 250


def queue_of(segments: int, start: int = 0) -> RetransmissionQueue:
    queue = RetransmissionQueue()
    edges = [(start + MSS * number) % 2**32 for number in range(segments + 1)]
    for seq, right in pairwise(edges):
        queue.append(seq, right)
    return queue


def lost(queue: RetransmissionQueue) -> list[int]:
    """Send everything held for lost again, and return where it began, in order."""
    found = []
    while (sent := queue.first_lost()) is not None:
        found.append(sent.seq)
        queue.resent(sent)
    return found


@pytest.mark.parametrize("start", [0, NEAR_THE_END], ids=["low numbers", "across the wrap"])
def test_acknowledged_segments_leave(start: int) -> None:
    queue = queue_of(5, start)
    queue.acknowledge((start + 3 * MSS) % 2**32)
    assert (len(queue), queue.pipe) == (2, 2 * MSS)


def test_of_a_segment_acknowledged_in_part_the_rest_stays() -> None:
    queue = queue_of(2)
    queue.acknowledge(30)
    first = queue.first()
    assert first is not None
    assert (first.seq, first.size, queue.pipe) == (30, 70, 170)


def test_what_the_peer_holds_is_not_under_way() -> None:
    queue = queue_of(5)
    assert queue.note_blocks([(200, 400)])
    assert (queue.pipe, queue.sacked) == (300, 200)


def test_a_block_seen_before_is_no_news() -> None:
    queue = queue_of(5)
    queue.note_blocks([(200, 400)])
    assert not queue.note_blocks([(200, 400)])
    assert queue.pipe == 300


def test_a_block_that_covers_half_a_segment_says_nothing_of_it() -> None:
    queue = queue_of(3)
    assert not queue.note_blocks([(150, 250)])


@pytest.mark.parametrize(
    ("held", "found"), [(300, []), (400, [0])], ids=["two overtook it", "three overtook it"]
)
def test_a_segment_overtaken_by_the_threshold_is_lost(held: int, found: list[int]) -> None:
    queue = queue_of(5)
    queue.note_blocks([(100, held)])
    assert queue.find_losses(3) == (0 if found else None)
    assert lost(queue) == found


def test_a_loss_is_news_once() -> None:
    queue = queue_of(5)
    queue.note_blocks([(100, 400)])
    assert queue.find_losses(3) == 0
    assert queue.find_losses(3) is None
    assert queue.pipe == 100


def test_a_retransmission_is_under_way_again() -> None:
    queue = queue_of(5)
    queue.note_blocks([(100, 400)])
    queue.find_losses(3)
    assert lost(queue) == [0]
    assert queue.pipe == 200


def test_a_retransmission_that_is_lost_again_is_found_by_what_was_sent_after_it() -> None:
    queue = queue_of(4)
    queue.note_blocks([(100, 400)])
    queue.find_losses(3)
    lost(queue)
    for seq in (400, 500, 600):
        queue.append(seq, seq + MSS)
    queue.note_blocks([(100, 600)])
    assert queue.find_losses(3) is None
    queue.note_blocks([(100, 700)])
    assert queue.find_losses(3) == 4, "its second place in the order of sending"
    assert lost(queue) == [0]


def test_an_acknowledgment_delivers_too() -> None:
    queue = queue_of(2)
    first = queue.first()
    assert first is not None
    queue.lose_first()
    queue.resent(first)
    queue.append(200, 300)
    queue.acknowledge(100)
    queue.note_blocks([(200, 300)])
    assert queue.find_losses(2) == 1, (
        "the second segment was overtaken by the retransmission and by the third"
    )


def test_after_a_timeout_all_is_lost_but_what_the_peer_holds() -> None:
    queue = queue_of(4)
    queue.note_blocks([(100, 200)])
    queue.lose_all()
    assert queue.pipe == 0
    assert lost(queue) == [0, 200, 300]


def test_a_peer_that_reneged_is_believed_no_more() -> None:
    """RFC 2018 section 8: it holds the first segment, it said, and does not acknowledge it."""
    queue = queue_of(3)
    queue.note_blocks([(0, 100)])
    queue.lose_all()
    assert lost(queue) == [0, 100, 200]
    assert queue.pipe == 300


def test_an_empty_queue_has_nothing_lost() -> None:
    queue = RetransmissionQueue()
    queue.lose_first()
    queue.lose_all()
    assert (queue.first(), queue.first_lost(), queue.pipe) == (None, None, 0)
