"""A bad cable: wraps any Link and lets frames go wrong as `faults` says, the same ones for the same seed."""

from collections.abc import Sequence
from random import Random

from xsocket.fourtuple import FourTuple
from xsocket.wire.faults import FaultCounts, FaultRates, Faults, corrupted_frame, marked_frame
from xsocket.wire.link import Frame, Link, LinkStatistics


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
        self._outgoing = Faults(outgoing, Random(f"{seed} outgoing"), corrupted_frame, marked_frame)
        self._incoming = Faults(
            outgoing if incoming is None else incoming,
            Random(f"{seed} incoming"),
            _corrupted_arrival,
            _marked_arrival,
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

    def shed(self, connections: Sequence[FourTuple]) -> None:
        """Let the wrapped Link leave out *connections*."""
        self._inner.shed(connections)

    def fileno(self) -> int:
        """Return the wrapped Link's descriptor."""
        return self._inner.fileno()

    def statistics(self) -> LinkStatistics:
        """Return the wrapped Link's counters."""
        return self._inner.statistics()

    def close(self) -> None:
        """Close the wrapped Link."""
        self._inner.close()


def _corrupted_arrival(frame: Frame, random: Random) -> Frame:
    """Spare what has no checksum yet, as from a local kernel: nobody would see it."""
    return frame._replace(data=corrupted_frame(frame.data, random)) if frame.checksum_ready else frame


def _marked_arrival(frame: Frame) -> Frame:
    marked = marked_frame(frame.data)
    return frame if marked is frame.data else frame._replace(data=marked)
