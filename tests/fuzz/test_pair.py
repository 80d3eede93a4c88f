"""Two stacks, random calls at both ends, a bad path: text arrives whole, and everything ends."""

from dataclasses import replace
from random import Random
from typing import Final

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.state import State
from xsocket.tcp.tcb import Tcb

SEEDS: Final = 150
STEPS: Final = 60


class User:
    """Somebody at one end who does what comes to mind; keeps what was sent and what was read."""

    def __init__(self, pair: Pair, end: End, four_tuple: FourTuple, random: Random) -> None:
        self.pair, self.end, self.four_tuple, self.random = pair, end, four_tuple, random
        self.sent = self.got = b""
        self.tcb: Tcb | None = None
        self.gone = self.aborted = False

    def notice(self) -> None:
        """Take the connection as soon as it is established: a close before that ends it."""
        if self.tcb is None and self.four_tuple in self.end.established():
            self.tcb = self.end.stack.tcb(self.four_tuple)

    @property
    def alive(self) -> bool:
        return self.tcb is not None and not self.gone and self.tcb.state is not State.CLOSED

    def act(self) -> None:
        if not self.alive or self.tcb is None:
            return
        stack, now = self.end.stack, self.pair.now
        what = self.random.random()
        if what < 0.45 and self.tcb.writable:
            text = self.random.randbytes(self.random.choice((1, 100, 3000, 9000)))
            taken, actions = stack.send(now, self.tcb, memoryview(text))
            self.sent += text[:taken]
            self.end.perform(actions)
        elif what < 0.8:
            self.read(self.random.choice((1, 500, 10_000)))
        elif what < 0.83:
            self.end.perform(stack.close(now, self.tcb))
        elif what < 0.835:
            self.gone = self.aborted = True
            self.end.perform(stack.abort(now, self.tcb))
        self.pair.run()

    def read(self, most: int) -> None:
        if self.tcb is not None and not self.gone:
            text, actions = self.end.stack.receive_text(self.pair.now, self.tcb, most)
            self.got += text
            self.end.perform(actions)
            self.pair.run()

    def finish(self) -> None:
        """Close, and read to the end."""
        if self.alive and self.tcb is not None:
            self.end.perform(self.end.stack.close(self.pair.now, self.tcb))
            self.pair.run()
        self.read(1 << 20)

    def leave(self) -> None:
        if self.alive and self.tcb is not None:
            self.gone = True
            self.end.perform(self.end.stack.release(self.pair.now, self.tcb))
            self.pair.run()


def path_of(random: Random, pair: Pair) -> None:
    loss = random.choice((0.0, 0.02, 0.15))

    def lose(_number: int, _segment: Segment) -> bool:
        return random.random() < loss

    def delay(_number: int, _segment: Segment) -> float:
        return random.choice((0.0, 0.01, 0.01, 0.05))

    pair.lose, pair.duplicate, pair.delay = lose, lose, delay


def config_of(random: Random) -> TcpConfig:
    return TcpConfig(
        sack=random.random() < 0.5,
        timestamps=random.random() < 0.5,
        window_scaling=random.random() < 0.5,
        rmem=random.choice((3000, 70_000, 262_144)),
        wmem=random.choice((256, 5000, 262_144)),
    )


def converse(pair: Pair, users: tuple[User, User], random: Random) -> None:
    """Let both do what comes to mind, then finish and leave; what each reads the other has sent."""
    for _ in range(STEPS):
        for user in users:
            user.notice()
            user.act()
        pair.advance(pair.now + random.choice((0.0, 0.01, 0.3, 2.0)))
    for _ in range(600):
        for user in users:
            user.notice()
            user.finish()
        pair.advance(pair.now + 0.5)
    for user in users:
        user.leave()
    pair.advance(pair.now + 2000)
    assert all(other.sent.startswith(user.got) for user, other in (users, users[::-1]))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_two_users_lose_nothing_and_everything_ends(seed: int) -> None:
    random = Random(seed)
    pair = Pair(End("client", config_of(random)), End("server", config_of(random)))
    path_of(random, pair)
    users = User(pair, pair.client, CLIENT, random), User(pair, pair.server, SERVER, random)
    if random.random() < 0.3:
        pair.connect_both()
    else:
        pair.connect()
    converse(pair, users, random)
    assert len(pair.client.stack) == len(pair.server.stack) == 0, "nothing waits for ever"
    if not any(user.aborted for user in users):
        assert pair.client.deleted() == pair.server.deleted() == [None], "nothing goes wrong by itself"
        assert [user.got for user in users] == [user.sent for user in reversed(users)], "nothing is lost"


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_connection_by_cookie_delivers_in_order_or_is_reset(seed: int) -> None:
    """Text that overtakes the ACK is reset; a late copy of the ACK opens the connection again."""
    random = Random(seed)
    rules = replace(config_of(random), syn_cookies="always")
    pair = Pair(End("client", config_of(random)), End("server", rules))
    path_of(random, pair)
    users = User(pair, pair.client, CLIENT, random), User(pair, pair.server, SERVER, random)
    pair.connect()
    converse(pair, users, random)
    assert len(pair.client.stack) == 0, "nothing waits for ever"
    opened_again = max(0, pair.server.stack.statistics().cookies_accepted - 1)
    assert len(pair.server.stack) <= opened_again
    ended_well = pair.client.deleted() == pair.server.deleted() == [None]
    if ended_well and not any(user.aborted for user in users):
        assert [user.got for user in users] == [user.sent for user in reversed(users)], "nothing is lost"
