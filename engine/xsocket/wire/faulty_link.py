"""A bad cable: wraps any Link and loses, doubles and reorders frames, the same ones for the same seed."""

from collections.abc import Sequence
from random import Random
from typing import Generic, NamedTuple, TypeVar

from xsocket.errors import BadConfigError
from xsocket.wire.link import Frame, Link, LinkStatistics


class FaultRates(NamedTuple):
    """What goes wrong in one direction.

    Attributes:
        drop_every: Lose every Nth frame exactly; 0 for none.
        loss: Probability that a frame is lost.
        duplicate: Probability that a frame arrives twice.
        reorder: Probability that a frame changes places with the next one. The last frame before a silence
            waits for the next one, however long that takes.
    """

    drop_every: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class FaultCounts(NamedTuple):
    """What went wrong in one direction so far, in frames."""

    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0


_Item = TypeVar("_Item")


class _Faults(Generic[_Item]):
    """The faults of one direction."""

    def __init__(self, rates: FaultRates, random: Random) -> None:
        probabilities = (rates.loss, rates.duplicate, rates.reorder)
        if rates.drop_every < 0 or not all(0.0 <= rate <= 1.0 for rate in probabilities):
            raise BadConfigError(f"{rates} is not a set of fault rates")
        self._rates = rates
        self._random = random
        self._seen = 0
        self._held: _Item | None = None
        self.counts = FaultCounts()

    def apply(self, items: Sequence[_Item]) -> list[_Item]:
        """Return what comes out at the other end of the bad cable."""
        return [survivor for item in items for survivor in self._pass(item)]

    def _pass(self, item: _Item) -> list[_Item]:
        self._seen += 1
        rates, counts = self._rates, self.counts
        # Drawn whatever the rates are, so that changing one leaves the others' frames the same.
        lost, doubled, swapped = (self._random.random() for _ in range(3))
        if (rates.drop_every and self._seen % rates.drop_every == 0) or lost < rates.loss:
            self.counts = counts._replace(dropped=counts.dropped + 1)
            return []
        if self._held is None and swapped < rates.reorder:
            self.counts = counts._replace(reordered=counts.reordered + 1)
            self._held = item
            return []
        survivors = [item]
        if doubled < rates.duplicate:
            self.counts = counts._replace(duplicated=counts.duplicated + 1)
            survivors.append(item)
        if self._held is not None:
            survivors.append(self._held)
            self._held = None
        return survivors


class FaultyLink:
    """Wrap any Link; the wrapped one does not know.

    Args:
        inner: The Link that carries the frames.
        outgoing: Faults of what is sent.
        incoming: Faults of what is received; those of *outgoing* when not given.
        seed: Of the random faults; each direction draws from its own sequence.

    Raises:
        BadConfigError: A rate is outside its range.
    """

    def __init__(
        self, inner: Link, outgoing: FaultRates, incoming: FaultRates | None = None, *, seed: int = 0
    ) -> None:
        self._inner = inner
        self._outgoing: _Faults[bytes] = _Faults(outgoing, Random(f"{seed} outgoing"))
        self._incoming: _Faults[Frame] = _Faults(
            outgoing if incoming is None else incoming, Random(f"{seed} incoming")
        )

    @property
    def mac(self) -> bytes:
        """Our own station address, six octets."""
        return self._inner.mac

    @property
    def mtu(self) -> int:
        """The largest IP packet it carries, in octets."""
        return self._inner.mtu

    @property
    def outgoing(self) -> FaultCounts:
        """What went wrong with frames sent."""
        return self._outgoing.counts

    @property
    def incoming(self) -> FaultCounts:
        """What went wrong with frames received."""
        return self._incoming.counts

    def receive(self) -> list[Frame]:
        """Return the frames that are ready and were spared."""
        return self._incoming.apply(self._inner.receive())

    def send(self, frames: Sequence[bytes]) -> None:
        """Send the frames that are spared."""
        self._inner.send(self._outgoing.apply(frames))

    def fileno(self) -> int:
        """Return the wrapped Link's descriptor."""
        return self._inner.fileno()

    def statistics(self) -> LinkStatistics:
        """Return the wrapped Link's counters."""
        return self._inner.statistics()

    def close(self) -> None:
        """Close the wrapped Link."""
        self._inner.close()
