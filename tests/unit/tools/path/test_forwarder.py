"""The loop between two Links, without kernels: what comes out where, and when."""

import io
from collections.abc import Sequence

from support.paths import LEFT, RIGHT, framed, segment
from xsocket.clock import ManualClock
from xsocket.errors import LinkDownError, NoSuchInterfaceError
from xsocket.wire.link import Frame, LinkStatistics
from xsocket_tools.capture import INBOUND, OUTBOUND, CapturedFrame
from xsocket_tools.path.element import Chain, Element
from xsocket_tools.path.forwarder import Forwarder
from xsocket_tools.path.impairments import Impair, LimitMtu
from xsocket_tools.path.parcel import Towards
from xsocket_tools.path.spool import pack, records

SYN = framed(RIGHT, segment("S", 1))
SYN_ACK = framed(LEFT, segment("S.", 1, 2))


class Cable:
    """A Link of which a test sees both sides."""

    mac, mtu = bytes(6), 1500

    def __init__(self) -> None:
        self.arriving: list[Frame] = []
        self.sent: list[bytes] = []
        self.error: Exception | None = None

    def receive(self) -> list[Frame]:
        if self.error is not None:
            raise self.error
        frames, self.arriving = self.arriving, []
        return frames

    def send(self, frames: Sequence[bytes]) -> None:
        self.sent += frames

    def fileno(self) -> int:
        return -1

    def statistics(self) -> LinkStatistics:
        return LinkStatistics()

    def close(self) -> None:
        pass


class Between:
    """A forwarder between two cables."""

    def __init__(self, *elements: Element) -> None:
        self.left, self.right, self.clock = Cable(), Cable(), ManualClock()
        self.seen: list[tuple[Towards, int, bytes]] = []
        self.forwarder = Forwarder(
            self.left,
            self.right,
            Chain(elements),
            clock=self.clock,
            observe=lambda end, direction, _at_ns, frame: self.seen.append((end, direction, frame)),
        )

    def sent(self) -> tuple[list[bytes], list[bytes]]:
        """Turn once; return what came out at the left and at the right since the last time."""
        self.forwarder.turn()
        out = self.left.sent, self.right.sent
        self.left.sent, self.right.sent = [], []
        return out


def test_each_frame_comes_out_at_the_other_end() -> None:
    there = Between()
    there.left.arriving.append(Frame(SYN, 5))
    there.right.arriving.append(Frame(SYN_ACK, 6))
    assert there.sent() == ([SYN_ACK], [SYN])
    assert sorted(there.seen, key=str) == sorted(
        [
            (LEFT, OUTBOUND, SYN),
            (RIGHT, INBOUND, SYN),
            (RIGHT, OUTBOUND, SYN_ACK),
            (LEFT, INBOUND, SYN_ACK),
        ],
        key=str,
    )


def test_time_is_that_of_the_clock() -> None:
    there = Between(Impair(delay_s=1.0))
    there.left.arriving.append(Frame(SYN, 5))
    assert there.sent() == ([], [])
    there.clock.advance_to(0.5)
    assert there.sent() == ([], [])
    there.clock.advance_to(1.0)
    assert there.sent() == ([], [SYN])


def test_an_answer_of_an_element_comes_out_where_its_cause_came_in() -> None:
    there = Between(LimitMtu(1000))
    there.right.arriving.append(Frame(framed(LEFT, segment(".", 1, 1, payload=bytes(1200))), 5))
    to_left, to_right = there.sent()
    assert (len(to_left), len(to_right)) == (0, 1)


def test_a_checksum_that_was_left_to_hardware_is_filled_in() -> None:
    there = Between()
    unfinished = SYN[:50] + b"\x12\x34" + SYN[52:]
    there.left.arriving.append(Frame(unfinished, 5, checksum_ready=False))
    assert there.sent() == ([], [SYN])


def test_one_end_that_is_down_does_not_stop_the_other() -> None:
    there = Between()
    there.right.error = LinkDownError("down")
    there.left.arriving.append(Frame(SYN, 5))
    assert there.sent() == ([], [SYN])
    assert not there.forwarder.broken
    there.right.error = None
    there.right.arriving.append(Frame(SYN_ACK, 5))
    assert there.sent() == ([SYN_ACK], [])


def test_an_interface_that_is_gone_ends_it() -> None:
    there = Between()
    there.right.error = NoSuchInterfaceError("gone")
    there.sent()
    assert there.forwarder.broken


def test_frames_pass_the_pipe_to_the_recorder() -> None:
    written = pack(1, OUTBOUND, 7, SYN) + pack(0, INBOUND, 8, SYN_ACK)
    expected = [(1, CapturedFrame(7, SYN, OUTBOUND, "")), (0, CapturedFrame(8, SYN_ACK, INBOUND, ""))]
    assert list(records(io.BytesIO(written))) == expected
    assert list(records(io.BytesIO(written[:-1]))) == expected[:1]
    assert list(records(io.BytesIO(written[:5]))) == []
