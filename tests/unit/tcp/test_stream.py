"""The stream's two ends against simple models: text by number."""

from hypothesis import given, settings
from hypothesis import strategies as st

from xsocket.seqnum import add, distance
from xsocket.tcp.stream import MAX_BLOCKS, ReceiveQueue, SendQueue

STARTS = st.sampled_from([0, 5000, 2**31 - 20, 2**32 - 20, 2**32 - 1])
SPAN = 60


class Model:
    """The octets by offset: what came first stays until its turn, then it is read."""

    def __init__(self) -> None:
        self.early: dict[int, int] = {}
        self.ready = bytearray()

    @property
    def next(self) -> int:
        return len(self.ready)

    def arrive(self, offset: int, text: bytes) -> None:
        if offset == self.next:
            self.ready += text
        else:
            for at, octet in enumerate(text, offset):
                self.early.setdefault(at, octet)
        while self.next in self.early:
            self.ready.append(self.early.pop(self.next))
        self.early = {at: octet for at, octet in self.early.items() if at >= self.next}

    def stretches(self) -> set[tuple[int, int]]:
        lefts = [at for at in self.early if at - 1 not in self.early]
        rights = [at + 1 for at in self.early if at + 1 not in self.early]
        return set(zip(sorted(lefts), sorted(rights), strict=True))


@settings(max_examples=300)
@given(
    start=STARTS,
    arrivals=st.lists(st.tuples(st.integers(0, SPAN), st.binary(min_size=1, max_size=15)), max_size=25),
)
def test_reassembly_is_that_of_the_model(start: int, arrivals: list[tuple[int, bytes]]) -> None:
    queue, model, rcv_nxt = ReceiveQueue(), Model(), start
    for offset, text in arrivals:
        if offset < model.next:  # the machine cuts off what is old
            text, offset = text[model.next - offset :], model.next
        if not text:
            continue
        if offset == model.next:
            rcv_nxt = queue.append(rcv_nxt, text)
        else:
            assert queue.hold(add(start, offset), text)
        model.arrive(offset, text)
        assert distance(start, rcv_nxt) == model.next
        assert queue.peek(1 << 20) == model.ready
        assert {
            (distance(start, left), distance(start, right)) for left, right in queue.blocks()
        } == model.stretches()
        assert queue.early == len(model.early)
        assert queue.has_gap == bool(model.early)
        held = dict(queue.blocks())
        if offset > model.next:
            newest, right = queue.blocks()[0]
            assert distance(start, newest) <= offset < distance(start, right), (
                "the newest stretch comes first"
            )
            assert held[newest] == right


@settings(max_examples=100)
@given(start=STARTS, order=st.permutations(range(12)), size=st.integers(1, 7))
def test_any_order_gives_the_text(start: int, order: list[int], size: int) -> None:
    text = bytes(range(12 * size))
    queue, rcv_nxt = ReceiveQueue(), start
    for number in order:
        seq, piece = add(start, number * size), text[number * size : (number + 1) * size]
        if seq == rcv_nxt:
            rcv_nxt = queue.append(seq, piece)
        else:
            queue.hold(seq, piece)
    assert queue.read(1000) == text
    assert not queue.has_gap


def test_stretches_are_bounded() -> None:
    queue = ReceiveQueue()
    assert all(queue.hold(2 * number, b"x") for number in range(1, MAX_BLOCKS + 1))
    assert not queue.hold(2 * MAX_BLOCKS + 2, b"x")
    assert queue.hold(3, b"x"), "what joins others needs no room"
    assert len(queue.blocks()) == MAX_BLOCKS - 1
    assert queue.early == MAX_BLOCKS + 1


def test_reading_in_pieces() -> None:
    queue = ReceiveQueue()
    queue.append(0, b"hello")
    assert [queue.read(2), queue.peek(2), queue.read(9), queue.read(9)] == [b"he", b"ll", b"llo", b""]
    assert len(queue) == 0


def test_forgetting_what_came_early() -> None:
    queue = ReceiveQueue()
    queue.append(0, b"ab")
    queue.hold(5, b"late")
    queue.forget_early()
    assert (queue.has_gap, queue.blocks(), queue.early, len(queue)) == (False, (), 0, 2)


@settings(max_examples=200)
@given(
    start=STARTS,
    steps=st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.integers(-5, 40)), max_size=20),
)
def test_the_send_queue_is_that_of_the_model(start: int, steps: list[bytes | int]) -> None:
    queue, text, left = SendQueue(start), b"", 0
    for step in steps:
        if isinstance(step, bytes):
            queue.append(memoryview(step))
            text += step
        else:
            expected = max(0, min(step, len(text) - left))
            assert queue.acknowledge(add(queue.left, step)) == expected
            left += expected
        assert len(queue) == len(text) - left
        assert (distance(start, queue.left), distance(start, queue.right)) == (left, len(text))
        assert queue.peek(queue.left, 10) == text[left : left + 10]
        assert queue.peek(queue.right, 10) == b""
