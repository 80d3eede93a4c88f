"""How many challenge ACKs one connection sends: RFC 5961 section 7.

Without the side channel of CVE-2016-5696: the count belongs to the connection, so that nobody
learns from his own connection about another, and each period draws its own limit, so that nobody learns much
from counting either.
"""

from hashlib import blake2s

from xsocket.tcp.tcb import Tcb


def take(tcb: Tcb, now: float) -> bool:
    """Return whether one more may be sent at *now*, and count it."""
    period = int(now / tcb.config.challenge_ack_period_s)
    if tcb.challenges is None or tcb.challenges[0] != period:
        tcb.challenges = period, allowance(tcb, period)
    remaining = tcb.challenges[1]
    if remaining:
        tcb.challenges = period, remaining - 1
    return remaining > 0


def allowance(tcb: Tcb, period: int) -> int:
    """Return how many *period* has: half of `TcpConfig.challenge_ack_limit` to one and a half times as many.

    Drawn from numbers that only the two ends know.
    """
    limit = tcb.config.challenge_ack_limit
    if limit == 0:
        return 0
    numbers = f"{tcb.iss} {tcb.irs} {tcb.ts_offset} {period}"
    drawn = int.from_bytes(blake2s(numbers.encode(), digest_size=8).digest())
    least = (limit + 1) // 2
    return least + drawn % (limit + 1)
