"""The retransmission timeout of RFC 6298: pure functions of what was measured."""

from typing import Final, NamedTuple

ALPHA: Final = 1 / 8
BETA: Final = 1 / 4
K: Final = 4
GRANULARITY_S: Final = 0.001
"""G in the RFC: our timestamps count milliseconds."""


class RoundTrip(NamedTuple):
    """What is known of the path's round trip, in seconds."""

    srtt: float
    rttvar: float


def measured(known: RoundTrip | None, sample_s: float) -> RoundTrip:
    """Return the estimate after one more round trip of *sample_s* seconds (RFC 6298 sections 2.2 and 2.3)."""
    if known is None:
        return RoundTrip(sample_s, sample_s / 2)
    rttvar = (1 - BETA) * known.rttvar + BETA * abs(known.srtt - sample_s)
    return RoundTrip((1 - ALPHA) * known.srtt + ALPHA * sample_s, rttvar)


def timeout(known: RoundTrip, low_s: float, high_s: float) -> float:
    """Return the timeout in seconds, between *low_s* and *high_s* (RFC 6298 sections 2.3 to 2.5)."""
    return min(high_s, max(low_s, known.srtt + max(GRANULARITY_S, K * known.rttvar)))


def backed_off(timeout_s: float, retries: int, high_s: float) -> float:
    """Return the timeout after *retries* retransmissions: doubled each time (RFC 6298 section 5.5)."""
    return min(high_s, timeout_s * float(1 << min(retries, 32)))
