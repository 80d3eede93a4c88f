"""No frame makes an element raise, and no stream of frames makes its tables grow without limit."""

from random import Random

import pytest

from support.paths import KEY, KEY_6, LEFT, RIGHT, framed, left, right, segment
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.tcp.options import for_segment, for_syn
from xsocket_tools.path import (
    Chain,
    ClampMss,
    ForgetfulFirewall,
    Impair,
    InjectReset,
    LimitMtu,
    Lose,
    LoseBursts,
    Nat,
    Parcel,
    RewriteSequence,
    Stranger,
    StripOptions,
    SynProxy,
)
from xsocket_tools.path.nat import OUTSIDE

SEEDS = range(8)
OPTIONS = (b"", for_syn(1460, 7, True, (1, 2)), for_segment((1, 2), ((3, 4), (5, 6))), b"\x02\xff\x01\x01")


def everything(seed: int) -> Chain:
    return Chain(
        [
            StripOptions("timestamps", remove=True),
            ClampMss(900),
            RewriteSequence(seed=seed),
            SynProxy(seed=seed, pending=10, limit=10),
            ForgetfulFirewall(5.0, limit=10, strangers=Stranger.RESET),
            InjectReset("any", range(3, 1000, 7)),
            Nat(seed=seed, limit=10),
            Lose("F"),
            LimitMtu(1000),
            LoseBursts(0.01, 0.5, seed=seed),
            Impair(delay_s=0.1, jitter_s=0.1, reorder=0.1, corrupt=0.1, duplicate=0.1, seed=seed),
        ]
    )


def any_frame(random: Random) -> bytes:
    """Return the frame of some segment of one of few connections; every third one damaged."""
    towards = random.choice((LEFT, RIGHT))
    key = random.choice((KEY, KEY_6))
    client = OUTSIDE[key.family == 6] if towards is LEFT and random.random() < 0.5 else key.local_address
    key = FourTuple(client, random.randrange(1, 30), key.remote_address, key.remote_port)
    held = Segment(
        random.getrandbits(32),
        random.getrandbits(32),
        random.choice((0x02, 0x12, 0x10, 0x18, 0x04, 0x11, random.getrandbits(9))),
        random.getrandbits(16),
        random.choice(OPTIONS),
        bytes(random.choice((0, 1, 1400))),
    )
    frame = bytearray(framed(towards, held, key))
    if random.random() < 0.3:
        frame[random.randrange(12, len(frame))] ^= 1 << random.randrange(8)
    if random.random() < 0.05:
        del frame[random.randrange(len(frame)) :]
    return bytes(frame)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_raises_and_nothing_grows(seed: int) -> None:
    random = Random(seed)
    chain = everything(seed)
    now = 0.0
    out: list[Parcel] = []
    for _ in range(1_500):
        now += random.expovariate(20)
        out += chain.wake(now)
        # Answers of one end to the other are errors about what went before, too.
        again = [parcel.frame for parcel in out[-3:]]
        frame = random.choice(again) if again and random.random() < 0.3 else any_frame(random)
        out += chain.take(now, Parcel(random.choice((LEFT, RIGHT)), frame))
    assert all(isinstance(parcel.frame, bytes) for parcel in out)
    counts = chain.counts()
    assert all(count <= 10 for name, count in counts.items() if name.endswith("entries"))
    assert len(out) > 100


def test_frames_under_way_are_limited() -> None:
    element = Impair(delay_s=3600, limit=3)
    for number in range(5):
        element.take(0.0, right(segment("S", number)))
    assert element.counts()["overflowed"] == 2
    assert len(element.wake(3600.0)) == 3
    assert element.take(3600.0, left(segment("S"))) == []
    assert element.counts()["overflowed"] == 2
