"""`Port`: one host's wire to its link. Here a frame takes its time, waits its turn, or goes wrong."""

from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from typing import Final, NamedTuple, TypedDict

from xsocket.errors import BadConfigError
from xsocket.simulation.timeline import Timeline
from xsocket.wire.ethernet import HEADER_OCTETS
from xsocket.wire.faults import (
    PERFECT,
    FaultCounts,
    FaultRates,
    Faults,
    check_rates,
    corrupted_frame,
    marked_frame,
)
from xsocket.wire.link import Frame

REORDER_PATIENCE_S: Final = 0.01
"""How long a frame waits for the next one to change places with, seconds."""


class Impairments(NamedTuple):
    """What happens to the frames that a host sends.

    Attributes:
        delay_s: Seconds on the way.
        jitter_s: What the delay varies by, either way, seconds, evenly spread. It keeps the order of frames.
        rate_bps: Bits per second that the wire takes; infinite for no limit. Frames count with their
            Ethernet header, 14 octets.
        queue_octets: What may wait for the wire, octets; a frame that finds more is lost.
        loss: Probability that a frame is lost.
        duplicate: Probability that a frame arrives twice.
        reorder: Probability that a frame changes places with the next one. When none comes within 10 ms, it
            goes alone.
        corrupt: Probability that one bit of an IP packet is turned.
        mark: Probability that an ECN-capable packet arrives as CE (RFC 3168 section 5).
        drop_every: Lose every Nth frame exactly; 0 for none.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate_bps: float = inf
    queue_octets: int = 150_000
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    drop_every: int = 0
    mark: float = 0.0

    @property
    def rates(self) -> FaultRates:
        """Those that are decided frame by frame."""
        return FaultRates(self.drop_every, self.loss, self.duplicate, self.reorder, self.corrupt, self.mark)


class ImpairmentFields(TypedDict, total=False):
    """The fields of `Impairments`, as keyword arguments."""

    delay_s: float
    jitter_s: float
    rate_bps: float
    queue_octets: int
    loss: float
    duplicate: float
    reorder: float
    corrupt: float
    drop_every: int
    mark: float


class LinkCounts(NamedTuple):
    """What became of the frames that one host sent, or all of a link, so far.

    Attributes:
        sent: Frames that hosts gave to the link.
        scripted: How many of them scripts dropped or held; what is let go again counts no second time.
        too_big: Longer than the link's MTU.
        overflowed: Found the queue for the wire full.
        astray: For a station that is not on the link.
        faults: What went wrong by chance.
    """

    sent: int = 0
    scripted: int = 0
    too_big: int = 0
    overflowed: int = 0
    astray: int = 0
    faults: FaultCounts = FaultCounts()


class Port:
    """One host's end of a link.

    Args:
        timeline: The simulation's.
        mtu: The largest IP packet the link carries, octets.
        impairments: Of the frames that the host sends.
        seed: Of everything random.
        switch: Takes each frame that came through, with this port and its instant of arrival.

    Attributes:
        arrive: Takes the frames that reach the host.
        sent, scripted, astray: Counters that the link keeps; see `LinkCounts`.
    """

    def __init__(
        self,
        timeline: Timeline,
        mtu: int,
        impairments: Impairments,
        seed: str,
        switch: "Callable[[Port, bytes, float], None]",
    ) -> None:
        self._timeline = timeline
        self._largest = mtu + HEADER_OCTETS
        self._faults = Faults(PERFECT, Random(f"{seed} faults"), corrupted_frame, marked_frame)
        self._random = Random(f"{seed} jitter")
        self._switch = switch
        self._wire_free_at = self._last_at = 0.0
        self._batch: list[Frame] = []
        self._batch_at = -inf
        self.sent = self.scripted = self.astray = 0
        self._too_big = self._overflowed = 0
        self.arrive: Callable[[list[Frame]], None] = _nobody
        self.impairments = self.impair(impairments)

    def impair(self, impairments: Impairments) -> Impairments:
        """Let *impairments* hold from now on.

        Raises:
            BadConfigError: One is outside its range.
        """
        delay_s, jitter_s, rate_bps, queue_octets = impairments[:4]
        if not (0 <= jitter_s <= delay_s < inf and rate_bps > 0 and queue_octets >= 0):
            raise BadConfigError(
                f"{impairments} is not a set of impairments: the jitter is at most the delay, the rate not 0"
            )
        self._faults.rates = check_rates(impairments.rates)
        self._is_faulty = impairments.rates != PERFECT
        self.impairments = impairments
        return impairments

    def counts(self) -> LinkCounts:
        """Return what became of frames on this wire."""
        return LinkCounts(
            self.sent, self.scripted, self._too_big, self._overflowed, self.astray, self._faults.counts
        )

    # What the host sends

    def transmit(self, frame: bytes) -> None:
        """Put *frame* on the wire."""
        if len(frame) > self._largest:
            self._too_big += 1
            return
        at = self._wire_is_through(len(frame) * 8)
        if at == inf:
            self._overflowed += 1
        elif not self._is_faulty and self._faults.held is None:
            self._pass_on(frame, at)
        else:
            for survivor in self._faults.pass_on(frame):
                self._pass_on(survivor, at)
            if self._faults.held is frame:
                self._timeline.at(at + REORDER_PATIENCE_S, partial(self._go_alone, frame))

    def _wire_is_through(self, bits: int) -> float:
        """Return when the last bit is on the wire; infinite when the queue has no room for it."""
        now = self._timeline.now()
        rate = self.impairments.rate_bps
        if rate == inf:
            return now
        start = max(now, self._wire_free_at)
        if (start - now) * rate > self.impairments.queue_octets * 8:
            return inf
        self._wire_free_at = start + bits / rate
        return self._wire_free_at

    def _pass_on(self, frame: bytes, at: float) -> None:
        """Let *frame*, which leaves at *at*, arrive in its time, and never before an earlier one."""
        delay_s, jitter_s, *_ = self.impairments
        at += delay_s
        if jitter_s:
            at += jitter_s * (2 * self._random.random() - 1)
        at = self._last_at = max(at, self._last_at)
        self._switch(self, frame, at)

    def _go_alone(self, frame: bytes) -> None:
        if self._faults.held is frame:
            for survivor in self._faults.release():
                self._pass_on(survivor, self._timeline.now())

    # What reaches it

    def deliver(self, frame: bytes, at: float) -> None:
        """Let *frame* reach the host at *at*; what arrives at one instant arrives together."""
        if at != self._batch_at:
            self._batch, self._batch_at = [], at
            self._timeline.at(at, partial(self._arrive, self._batch))
        self._batch.append(Frame(frame, round(at * 1e9)))

    def _arrive(self, batch: list[Frame]) -> None:
        if batch is self._batch:
            self._batch_at = -inf  # what is sent at this very instant comes later
        self.arrive(batch)


def _nobody(_: list[Frame]) -> None:
    """Take what arrives before there is a host."""
