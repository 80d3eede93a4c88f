"""What every element of a path does, what most have in common, and `Chain`: several, one behind the other.

Elements are pure: time is an argument, chance comes from a seed. So they do the same in virtual time, in
tests, as on a live link.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar, Protocol

from xsocket.simulation.box import Box, Leaving
from xsocket.wire.codec import TcpPacket
from xsocket.wire.icmp import IcmpPacket
from xsocket_tools.path.parcel import Parcel, Towards


class Element(Protocol):
    """Something on the path: an impairment, a middlebox, or several of them."""

    @property
    def deadline(self) -> float:
        """When it wants `wake` to be called next; infinite for never."""
        ...

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """Return what leaves it when *parcel* comes in: forwards or backwards, in order, or nothing."""
        ...

    def wake(self, now: float) -> Sequence[Parcel]:
        """Return what leaves it because *now* has come."""
        ...

    def counts(self) -> dict[str, int]:
        """Return what it did so far, by name."""
        ...


class Middlebox:
    """An element that keeps nothing back; subclasses look into TCP segments, or into ICMP errors, too.

    Attributes:
        COUNTED: The names of what it counts.
    """

    COUNTED: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._counter: Counter[str] = Counter(dict.fromkeys(self.COUNTED, 0))

    @property
    def deadline(self) -> float:
        """See `Element.deadline`."""
        return inf

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """See `Element.take`."""
        packet = parcel.packet
        if isinstance(packet, TcpPacket):
            return self._take_segment(now, parcel, packet)
        if isinstance(packet, IcmpPacket) and packet.is_error:
            return self._take_error(now, parcel, packet)
        return self._take_other(now, parcel)

    def wake(self, now: float) -> Sequence[Parcel]:
        """See `Element.wake`."""
        del now
        return ()

    def counts(self) -> dict[str, int]:
        """See `Element.counts`."""
        return dict(self._counter)

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now, packet
        return (parcel,)

    def _take_error(self, now: float, parcel: Parcel, packet: IcmpPacket) -> Sequence[Parcel]:
        del packet
        return self._take_other(now, parcel)

    def _take_other(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        del now
        return (parcel,)

    def _count(self, name: str) -> None:
        self._counter[name] += 1


class Chain:
    """Elements one behind the other, itself an element.

    Args:
        elements: From the left end of the path to the right one.

    Attributes:
        elements: The same.
    """

    def __init__(self, elements: Iterable[Element] = ()) -> None:
        self.elements: tuple[Element, ...] = tuple(elements)

    def append(self, element: Element) -> None:
        """Put one more at the right end; whoever drives the chain may be another thread."""
        self.elements = (*self.elements, element)

    @property
    def deadline(self) -> float:
        """See `Element.deadline`."""
        return min((element.deadline for element in self.elements), default=inf)

    def take(self, now: float, parcel: Parcel) -> list[Parcel]:
        """Let *parcel* in at the end it comes from; return what comes out, at either end."""
        first = 0 if parcel.towards is Towards.RIGHT else len(self.elements) - 1
        return self._travel(now, deque([(first, parcel)]))

    def wake(self, now: float) -> list[Parcel]:
        """Wake the elements that are due, as often as they want; return what comes out, at either end."""
        out: list[Parcel] = []
        while self.deadline <= now:
            for place, element in enumerate(self.elements):
                if element.deadline <= now:
                    out += self._travel(now, deque(_onward(place, element.wake(now))))
        return out

    def counts(self) -> dict[str, int]:
        """Return the counts of all its elements, each name with its element's place before it, from 0."""
        return {
            f"{place} {type(element).__name__} {name}": count
            for place, element in enumerate(self.elements)
            for name, count in element.counts().items()
        }

    def boxed(self) -> Box:
        """Return it for `xsocket.simulation.SimulatedLink.insert`; the link's first host is the left end."""
        return _Boxed(self)

    def _travel(self, now: float, waiting: deque[tuple[int, Parcel]]) -> list[Parcel]:
        """Take each parcel from the element it has reached to the next, until all are out or kept."""
        out: list[Parcel] = []
        while waiting:
            place, parcel = waiting.popleft()
            if not 0 <= place < len(self.elements):
                out.append(parcel)
                continue
            # What leaves an element goes all its way before what waited behind it does.
            waiting.extendleft(reversed(_onward(place, self.elements[place].take(now, parcel))))
        return out


def _onward(place: int, parcels: Iterable[Parcel]) -> list[tuple[int, Parcel]]:
    """Return each of *parcels*, which leave the element at *place*, with where it gets to next."""
    return [(place + (1 if parcel.towards is Towards.RIGHT else -1), parcel) for parcel in parcels]


class _Boxed:
    """An element between two simulated hosts; obeys the `Box` protocol."""

    def __init__(self, element: Element) -> None:
        self._element = element

    @property
    def deadline(self) -> float:
        return self._element.deadline

    def take(self, now: float, to_second: bool, frame: bytes) -> list[Leaving]:
        towards = Towards.RIGHT if to_second else Towards.LEFT
        return _leaving(self._element.take(now, Parcel(towards, frame)))

    def wake(self, now: float) -> list[Leaving]:
        return _leaving(self._element.wake(now))


def _leaving(parcels: Iterable[Parcel]) -> list[Leaving]:
    return [Leaving(parcel.towards is Towards.RIGHT, parcel.frame) for parcel in parcels]
