"""SYN cookies: a SYN+ACK that holds all we would have to remember of the SYN (RFC 4987, 3.6 and appendix A).

Pure: nothing is kept between the SYN and the ACK that brings the cookie back. Whether to send or to accept
one is the stack's decision; here is what stands in it:

    sequence number    F(4-tuple) + IRS + period << 24 + (H(period, 4-tuple, IRS) + MSS index) mod 2^24
    timestamp          the millisecond clock, its low six bits: window scale (4), SACK (1), ECN (1)

F is the keyed hash of `xsocket.tcp.isn` and hides the period; H has a key of its own in each period. Both are
drawn from the engine's one secret. Numbers grow with the peer's and with time, as those of an ordinary ISN
do. A forger who sees nothing has one chance in 2^28 (8 indices, 2 periods).
"""

from functools import lru_cache
from hashlib import blake2s
from typing import Final

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, SYN, Segment
from xsocket.seqnum import MASK, add
from xsocket.tcp import isn
from xsocket.tcp.handshake import DEFAULT_MSS
from xsocket.tcp.options import MAX_SHIFT, Parsed, for_syn
from xsocket.tcp.output import window_shift
from xsocket.tcp.tcb import MAX_UNSCALED_WINDOW

PERIOD_S: Final = 64
"""How long a key makes cookies, seconds."""
LIFETIME_PERIODS: Final = 2
"""In how many periods a cookie is taken back, its own included: it lives for 64 to 128 s."""
LIFETIME_S: Final = PERIOD_S * LIFETIME_PERIODS
"""After how long without cookies no ACK can bring a valid one, seconds."""
MSS_VALUES: Final = (48, 536, 1220, 1300, 1400, 1440, 1460, 8940)
"""What the index stands for, octets: the peer's MSS rounded down. In order: the least the machine sends
whatever the peer says, the defaults of RFC 9293 section 3.7.1, tunnels, IPv6 and IPv4 on Ethernet, jumbo
frames."""

RULE: Final = "RFC 4987 3.6"

_HASH_BITS: Final = 24
_HASH_MASK: Final = (1 << _HASH_BITS) - 1
_AGE_MASK: Final = 0xFF

# The low bits of the timestamp, as Linux has them (cookie_init_timestamp).
_TS_BITS: Final = 6
_TS_MASK: Final = (1 << _TS_BITS) - 1
_NO_SCALE: Final = 0xF
_SACK: Final = 0x10


def syn_ack(
    now: float,
    four_tuple: FourTuple,
    syn: Segment,
    options: Parsed,
    rules: TcpConfig,
    mss: int,
    secret: bytes,
) -> Segment:
    """Return the answer to *syn* that needs no memory of it.

    Without timestamps on both sides there is no room for window scale and SACK: they are not agreed on then.

    Args:
        now: Monotonic instant in seconds.
        four_tuple: The connection, our end first.
        syn: The peer's.
        options: Those of *syn*.
        rules: What may be agreed on.
        mss: The largest text we take in one segment, octets.
        secret: `isn.SECRET_OCTETS` octets that no peer knows.
    """
    base, ts_offset = isn.hashed(four_tuple, secret)
    sack, shift, stamps = False, None, None
    if rules.timestamps and options.ts_val is not None:
        sack = rules.sack and options.sack_permitted
        peers_shift = options.window_scale if rules.window_scaling else None
        if peers_shift is not None:
            shift = window_shift(rules.rmem)
        stamps = (add(_marked(int(now * 1000), peers_shift, sack), ts_offset), options.ts_val)
    peers_mss = options.mss if options.mss else DEFAULT_MSS[four_tuple.family]
    period = int(now) // PERIOD_S
    number = base + syn.seq + (period << _HASH_BITS) + _tail(period, four_tuple, syn.seq, secret, peers_mss)
    window = min(rules.rmem, MAX_UNSCALED_WINDOW)  # RFC 7323 section 2.2: never scaled on a SYN
    return Segment(number & MASK, add(syn.seq, 1), SYN | ACK, window, for_syn(mss, shift, sack, stamps))


def recall(now: float, four_tuple: FourTuple, ack: Segment, options: Parsed, secret: bytes) -> Parsed | None:
    """Return the options of the SYN whose cookie *ack* brings back; None when it brings none that is valid.

    Args:
        now: Monotonic instant in seconds.
        four_tuple: The connection, our end first.
        ack: A segment with ACK and neither SYN nor RST.
        options: Those of *ack*.
        secret: The one given to `syn_ack`.
    """
    base, ts_offset = isn.hashed(four_tuple, secret)
    irs = add(ack.seq, -1)
    rest = (ack.acknowledgment - 1 - base - irs) & MASK
    period = int(now) // PERIOD_S
    age = (period - (rest >> _HASH_BITS)) & _AGE_MASK
    if age >= LIFETIME_PERIODS:
        return None
    index = (rest - _hash(period - age, four_tuple, irs, secret)) & _HASH_MASK
    if index >= len(MSS_VALUES):
        return None
    if options.ts_val is None:
        return Parsed(mss=MSS_VALUES[index])
    marks = (options.ts_ecr - ts_offset) & _TS_MASK
    shift = marks & _NO_SCALE
    return Parsed(
        mss=MSS_VALUES[index],
        window_scale=None if shift == _NO_SCALE else shift,
        sack_permitted=marks & _SACK != 0,
        ts_val=options.ts_val,
        ts_ecr=options.ts_ecr,
    )


def _marked(clock_ms: int, shift: int | None, sack: bool) -> int:
    """Return the latest instant that is not after *clock_ms* and whose low bits say what was agreed on.

    Not after it, or the timestamps that follow would seem older to the peer (RFC 7323 section 5.3).
    """
    marks = _NO_SCALE if shift is None else min(shift, MAX_SHIFT)
    if sack:
        marks |= _SACK
    stamp = clock_ms & ~_TS_MASK | marks
    return stamp if stamp <= clock_ms else stamp - (1 << _TS_BITS)


def _tail(period: int, four_tuple: FourTuple, irs: int, secret: bytes, mss: int) -> int:
    index = len(MSS_VALUES) - 1
    while index and MSS_VALUES[index] > mss:
        index -= 1
    return (_hash(period, four_tuple, irs, secret) + index) & _HASH_MASK


def _hash(period: int, four_tuple: FourTuple, irs: int, secret: bytes) -> int:
    local, local_port, remote, remote_port = four_tuple
    name = f"{local} {local_port} {remote} {remote_port} {irs}"
    digest = blake2s(name.encode(), key=_key(period, secret), digest_size=3).digest()
    return int.from_bytes(digest)


@lru_cache(maxsize=64)
def _key(period: int, secret: bytes) -> bytes:
    """Return the key of *period*; another each time, so that none is used for long."""
    return blake2s(b"SYN cookies %d" % period, key=secret).digest()
