"""A box between two simulated hosts is given frames and time, and what it lets out arrives."""

from math import inf

from support.virtual import DAY_S, FAR, PORT, world
from xsocket.simulation.box import Leaving


class Shelf:
    """Keeps every frame for a while."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._kept: list[tuple[float, Leaving]] = []

    @property
    def deadline(self) -> float:
        return min((at for at, _ in self._kept), default=inf)

    def take(self, now: float, to_second: bool, frame: bytes) -> list[Leaving]:
        self._kept.append((now + self._for_s, Leaving(to_second, frame)))
        return []

    def wake(self, now: float) -> list[Leaving]:
        due = [leaving for at, leaving in self._kept if at <= now]
        self._kept = [entry for entry in self._kept if entry[0] > now]
        return due


class Mirror:
    """Sends every frame back to where it came from."""

    deadline = inf

    def take(self, now: float, to_second: bool, frame: bytes) -> list[Leaving]:
        del now
        return [Leaving(not to_second, frame)]

    def wake(self, now: float) -> list[Leaving]:
        del now
        return []


def test_what_a_box_keeps_arrives_when_it_lets_go() -> None:
    there = world(delay_s=0.25)
    there.sim.run(for_s=1.0)  # the hosts have announced themselves
    there.link.insert(shelf := Shelf(0.5))
    there.near.connect(FAR, PORT, timeout=DAY_S)
    assert there.sim.now == 1.0 + 4 * 0.75  # ARP and its answer, the SYN and its answer
    assert shelf.deadline == inf  # the third segment is still on the wire
    there.sim.run(for_s=0.25)
    assert shelf.deadline == 4.75


def test_what_it_sends_back_comes_back() -> None:
    there = world()
    there.link.insert(Mirror())
    there.near.open(FAR, PORT)
    there.sim.run(for_s=1.0)
    assert there.far.counters().drops == {}
    assert sum(there.near.counters().drops.values()) > 0
