"""A flood: SYNs with false addresses, such that nobody is there who could reset what answers them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.segment import SYN, Segment
from xsocket.seqnum import add
from xsocket_tools.path import Lose, Seen
from xsocket_tools.teaching.stage import ADDRESSES, FROM_PORT, PORT
from xsocket_tools.teaching.story import Kind, Step, Story

NOBODYS: Final = "198.51.100.0/24"
"""Addresses that belong to nobody: RFC 5737 keeps them for documents."""
_NETWORK: Final = ip_network(NOBODYS)
MOST: Final = _NETWORK.num_addresses - 2
"""How many SYNs there are in one run, at most."""
_STRIDE: Final = 64_000
"""Between the sequence numbers of two SYNs: any will do, and nobody needs to remember them."""


class Flood:
    """Makes the SYNs of one run.

    Attributes:
        four_tuples: Of those that it has made, as their sender names them.
    """

    def __init__(self) -> None:
        self.four_tuples: list[FourTuple] = []

    def syns(self, count: int) -> list[tuple[FourTuple, Segment]]:
        """Return SYNs to the server, each with a false address that none had before.

        Args:
            count: How many, at least one.

        Raises:
            ValueError: There are none, or more than `MOST` in all.
        """
        before = len(self.four_tuples)
        if count < 1 or before + count > MOST:
            raise ValueError(
                f"{count} SYNs after {before}: a flood has at least 1, and {MOST} in all at most"
            )
        made = [_syn(before + number) for number in range(count)]
        self.four_tuples += [four_tuple for four_tuple, _ in made]
        return made

    def named_in(self, story: Story) -> Story:
        """Return *story* so that it says of each segment of these connections who it is from, or for."""
        own = frozenset(self.four_tuples)
        spoofed = tuple(number for number, each in enumerate(story.four_tuples) if each in own)
        steps = (
            step._replace(title=_title(story, step)) if step.connection in spoofed else step
            for step in story.steps
        )
        return story._replace(steps=tuple(steps), spoofed=spoofed)


def _title(story: Story, step: Step) -> str:
    if step.connection is None or step.packet is None:
        return step.title
    address = story.four_tuples[step.connection].local_address
    if step.kind is Kind.FORGED:
        return f"{story.ends[1 - step.end].name} gets {step.packet} from {address}, a false address"
    return f"{story.ends[step.end].name} sends {step.packet} to {address}, where nobody is"


def _syn(number: int) -> tuple[FourTuple, Segment]:
    four_tuple = FourTuple(str(_NETWORK[1 + number]), FROM_PORT, ADDRESSES["server"], PORT)
    return four_tuple, Segment(add(0, _STRIDE * (number + 1)), 0, SYN, 65_535)


def dead_end() -> Lose:
    """Return what becomes of segments on the way to such an address: they reach nobody."""
    return Lose(_is_for_nobody)


def _is_for_nobody(seen: Seen) -> bool:
    return ip_address(seen.four_tuple.remote_address) in _NETWORK
