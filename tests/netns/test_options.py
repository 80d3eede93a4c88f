"""Options as they should not be, and a Linux kernel: the engine reads them as that does."""

from collections.abc import Iterator
from random import Random
from socket import IPPROTO_TCP, TCP_MAXSEG
from typing import Final, NamedTuple

import pytest

from xsocket.config import TcpConfig
from xsocket.segment import ACK, PSH, SYN, Segment
from xsocket.seqnum import add, distance
from xsocket.state import State
from xsocket.tcp.options import Malformed, decode, for_segment, for_syn, padded, parse
from xsocket_tools.grid.engine import EngineTarget
from xsocket_tools.grid.kernel import SYSCTLS, KernelTarget, kernel_target

pytestmark = pytest.mark.netns

ON: Final = {"tcp_timestamps": 1, "tcp_sack": 1, "tcp_window_scaling": 1}
RULES: Final = TcpConfig(invalid_ratelimit_s=0, challenge_ack_limit=1 << 30)
ISS: Final = 1000
MSS, SCALE, SACK, STAMPS = b"\x02\x04\x03\xe8", b"\x03\x03\x07", b"\x04\x02", b"\x08\x0a\0\0\0\x05\0\0\0\0"
NOP, END = b"\x01", b"\0"
SIGNATURE_OCTETS: Final = 18
"""Of an MD5 signature; a kernel with TCP-AO looks as long as there are 4."""
ALL: Final = MSS + SACK + STAMPS + SCALE

ODD: Final = {
    "nothing": b"",
    "everything": ALL,
    "each once, backwards": SCALE + STAMPS + SACK + MSS,
    "end first": END + ALL,
    "end in between": MSS + SACK + END + STAMPS + SCALE,
    "only NOPs": NOP * 12,
    "MSS 0": b"\x02\x04\0\0" + SACK,
    "MSS 1": b"\x02\x04\0\x01" + SACK,
    "MSS 65535": b"\x02\x04\xff\xff" + SACK,
    "two MSS": MSS + b"\x02\x04\x02\0",
    "two MSS, the second zero": MSS + b"\x02\x04\0\0",
    "MSS of length 3": b"\x02\x03\x03" + SACK + STAMPS,
    "MSS of length 5": b"\x02\x05\x03\xe8\0" + SACK + STAMPS,
    "length 0": MSS + b"\x03\0\x07" + SACK + STAMPS,
    "length 1": MSS + b"\x03\x01\x07" + SACK + STAMPS,
    "past the end": MSS + SACK + b"\x08\x20\0\0\0\x05\0\0\0\0",
    "kind without a length": MSS + SACK + NOP + b"\x08",
    "scale 0": MSS + b"\x03\x03\0",
    "scale 14": MSS + b"\x03\x03\x0e",
    "scale 15": MSS + b"\x03\x03\x0f",
    "scale 255": MSS + b"\x03\x03\xff",
    "two scales": MSS + SCALE + b"\x03\x03\x02",
    "scale of length 2": MSS + b"\x03\x02" + SACK,
    "scale of length 4": MSS + b"\x03\x04\x07\0" + SACK,
    "SACK permitted of length 3": MSS + b"\x04\x03\0" + STAMPS,
    "SACK permitted twice": SACK + SACK + MSS,
    "stamps of length 9": MSS + b"\x08\x09\0\0\0\x05\0\0\0" + SACK,
    "stamps of length 11": MSS + b"\x08\x0b\0\0\0\x05\0\0\0\0\0" + SACK,
    "two stamps": STAMPS + b"\x08\x0a\0\0\0\x09\0\0\0\0",
    "stamps with an echo": b"\x08\x0a\0\0\0\x05\0\0\0\x07" + MSS,
    "blocks on a SYN": MSS + SACK + b"\x05\x0a" + bytes(8),
    "unknown": MSS + b"\x4d\x06abcd" + SACK + STAMPS + SCALE,
    "unknown, empty": b"\x4d\x02" + ALL,
    "unknown, of length 1, where a signature might be": b"\x4d\x01" + ALL,
    "length 0, where a signature might be": MSS + b"\x03\0" + STAMPS + NOP * 12,
    "kind 255": b"\xff\x04ab" + ALL,
    "experiment": b"\xfe\x06\xab\xcdxy" + ALL,
    "user timeout": b"\x1c\x04\x80\x05" + ALL,
    "AccECN": b"\xac\x02" + ALL,
    "forty octets": ALL + b"\x4d\x15" + bytes(19),
}
"""Options of a SYN."""


class Answer(NamedTuple):
    """What an end makes of the options of a SYN."""

    sack: bool
    echo: int | None
    scaled: bool
    mss: int


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelTarget]:
    with kernel_target(SYSCTLS | ON) as target:
        yield target


def is_dropped_by_linux(raw: bytes) -> bool:
    """Whether Linux drops a segment because of its options.

    It looks for signatures first, if only as long as there is room for one. A length that is wrong there
    counts as a forgery; further back, or in a shorter list, it costs the options behind it. So it does in the
    engine throughout, which looks for signatures where it has keys.
    """
    malformed = [option.raw for option in decode(padded(raw)) if isinstance(option, Malformed)]
    return any(len(rest) >= SIGNATURE_OCTETS for rest in malformed)


def opened(target: KernelTarget | EngineTarget, options: bytes) -> tuple[Segment, Segment] | None:
    """Open a connection with *options*; return the SYN+ACK and our acknowledgment of it, if one comes."""
    target.begin(State.LISTEN)
    answers = target.inject(Segment(ISS, 0, SYN, 65_535, padded(options)))
    if not answers:
        return None
    (syn_ack,) = answers
    stamp = parse(syn_ack.options).ts_val
    stamps = b"" if stamp is None else for_segment(((parse(options).ts_val or 0) + 1, stamp))
    third = Segment(ISS + 1, add(syn_ack.seq, 1), ACK, 65_535, stamps)
    target.inject(third)
    return syn_ack, third


def check(kernel: KernelTarget, options: bytes) -> None:
    """Have both ends read *options* on a SYN, and compare."""
    target = EngineTarget(RULES)
    ours, theirs = opened(target, options), opened(kernel, options)
    assert ours is not None
    if is_dropped_by_linux(options):
        assert theirs is None
        return
    assert theirs is not None, options.hex()
    mss = kernel.socket().getsockopt(IPPROTO_TCP, TCP_MAXSEG)
    assert answered(ours[0], target.tcb.snd_mss) == answered(theirs[0], mss), options.hex()


def answered(syn_ack: Segment, mss: int) -> Answer:
    options = parse(syn_ack.options)
    echo = None if options.ts_val is None else options.ts_ecr
    return Answer(options.sack_permitted, echo, options.window_scale is not None, mss)


@pytest.mark.parametrize("name", ODD)
def test_odd_options_of_a_syn_are_read_as_linux_reads_them(kernel: KernelTarget, name: str) -> None:
    check(kernel, ODD[name])


@pytest.mark.parametrize("seed", range(4))
def test_random_options_of_a_syn_are_read_as_linux_reads_them(kernel: KernelTarget, seed: int) -> None:
    """Whole options, options of wrong lengths, and octets, 100 times."""
    random = Random(seed)
    for _ in range(100):
        check(kernel, random_options(random))


def random_options(random: Random) -> bytes:
    parts = []
    for _ in range(random.randrange(6)):
        kind = random.choice([0, 1, 2, 3, 4, 8, 8, 2, 77])
        whole = random.choice([MSS, SCALE, SACK, STAMPS, NOP])
        size = random.randrange(12)
        parts.append(random.choice([whole, whole, bytes((kind, size)) + random.randbytes(max(0, size - 2))]))
    return b"".join(parts)[:40]


LATER: Final = {
    "stamps": for_segment((9, 0)),
    "none": b"",
    "older stamps": for_segment((1, 0)),
    "stamps of length 9": b"\x08\x09\0\0\0\x09\0\0\0\x01\x01\x01",
    "two stamps, the older last": STAMPS.replace(b"\x05", b"\x09") + NOP * 2 + for_segment((1, 0)),
    "stamps behind the end": END + NOP + STAMPS,
    "stamps behind an unknown option": b"\x4d\x04ab" + NOP * 2 + b"\x08\x0a\0\0\0\x09\0\0\0\0",
    "stamps, and one past the end": b"\x08\x0a\0\0\0\x09\0\0\0\0\x4d\x09",
    "scale again": for_segment((9, 0)) + SCALE + NOP,
    "half a block": for_segment((9, 0)) + b"\x05\x06" + bytes(6),
    "empty blocks": for_segment((9, 0)) + b"\x05\x02\x01\x01",
}
"""Options of text on a connection with timestamps, whose last one was 6."""


def takes(target: KernelTarget | EngineTarget, options: bytes) -> tuple[int, int]:
    """Send text with *options*; return how far it is acknowledged, and which stamp the answer echoes."""
    handshake = opened(target, for_syn(1000, 7, True, (5, 0)))
    assert handshake is not None
    third = handshake[1]
    text = Segment(third.seq, third.acknowledgment, ACK | PSH, 65_535, options, b"text")
    (answer,) = target.inject(text)
    return distance(ISS, answer.acknowledgment), parse(answer.options).ts_ecr


@pytest.mark.parametrize("name", LATER)
def test_odd_options_of_text_are_read_as_linux_reads_them(kernel: KernelTarget, name: str) -> None:
    assert takes(EngineTarget(RULES), LATER[name]) == takes(kernel, LATER[name])
