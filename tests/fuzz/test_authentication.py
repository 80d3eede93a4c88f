"""Whatever comes without the right signature: no reply, no move, no exception."""

from random import Random

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from xsocket import AoKey, Md5Key, Segment, State
from xsocket.tcp.keys import Key

KEYS: list[Key] = [
    Md5Key(peer="10.0.0.0/24", secret="secret"),
    AoKey(peer="10.0.0.0/24", send_id=1, recv_id=1, secret="secret"),
]


def any_options(random: Random) -> bytes:
    """Return up to ten words, in which the kinds of signatures and likely lengths are frequent."""
    likely = [0, 1, 2, 3, 4, 5, 8, 10, 16, 18, 19, 29, 255]
    octets = random.choices(
        [*likely, *range(256)], [20] * len(likely) + [1] * 256, k=4 * random.randrange(11)
    )
    return bytes(octets)


def any_segment(random: Random, near: tuple[int, int]) -> Segment:
    seq, ack = (
        (number + random.choice([0, 0, 1, -1, 1000, random.getrandbits(32)])) % (1 << 32) for number in near
    )
    text = random.randbytes(random.choice([0, 0, 1, 7, 100]))
    return Segment(seq, ack, random.getrandbits(12), random.getrandbits(16), any_options(random), text)


@pytest.mark.parametrize("key", KEYS, ids=["MD5", "AO"])
@pytest.mark.parametrize("seed", range(100))
def test_nobody_without_the_key_is_heard(key: Key, seed: int) -> None:
    random = Random(seed)
    pair = Pair(End("client", keys=[key]), End("server", keys=[key]))
    if seed % 2:
        pair.connect()
    near = (0, 0)
    if (tcb := pair.server.stack.tcb(SERVER)) is not None:
        near = (tcb.rcv_nxt, tcb.snd_nxt)
    sent, state = len(pair.server.sent()), tcb and tcb.state
    forged = [(SERVER, any_segment(random, near)) for _ in range(50)]
    pair.server.perform(pair.server.stack.receive(pair.now, forged))
    assert len(pair.server.drops()) == 50
    assert len(pair.server.sent()) == sent
    assert (tcb and tcb.state) == state
    if state is State.ESTABLISHED:
        pair.send(pair.client, CLIENT, b"authentic")
        assert pair.read(pair.server, SERVER) == b"authentic"
