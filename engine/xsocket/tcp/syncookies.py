"""SYN cookies: a SYN+ACK that holds all we would have to remember of the SYN (RFC 4987, 3.6 and appendix A).

Pure: nothing is kept between the SYN and the ACK that brings the cookie back. Whether to send or to accept
one is the stack's decision; here is what stands in it:

    sequence number    H(key of the period, 4-tuple, IRS) + index of the MSS
    timestamp          the millisecond clock, its low six bits: window scale (4), SACK (1), ECN (1)

Keys are drawn from the engine's secret, a new one for each period; that of the period before stays valid. A
forger who sees nothing has one chance in 2^28: 8 indices and 2 periods. The peer's number is inside the hash,
not beside it as in Linux: there, text that overtakes the ACK and begins an octet later passes for the cookie
of a smaller MSS, and what it overtook is lost. One hash is all that a SYN costs, and as little code as can
be: this is what answers a flood.
"""

from bisect import bisect_right
from functools import lru_cache
from hashlib import blake2s
from typing import TYPE_CHECKING, Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, ECE, SYN, Segment
from xsocket.seqnum import MASK, add, distance
from xsocket.tcp.accecn import FLAGS
from xsocket.tcp.ecn import flags_recalled, of_syn
from xsocket.tcp.options import DEFAULT_MSS, MAX_SHIFT, Parsed, for_syn
from xsocket.tcp.output import window_shift
from xsocket.tcp.tcb import MAX_UNSCALED_WINDOW

if TYPE_CHECKING:
    import hashlib

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

# The low bits of the timestamp, as Linux has them (cookie_init_timestamp).
_TS_MASK: Final = 0x3F
_NO_SCALE: Final = 0xF
_SACK: Final = 0x10
_ECN: Final = 0x20

_new = tuple.__new__
"""Makes a NamedTuple without the call through its Python-level constructor: half the time."""


class Recalled(NamedTuple):
    """What a cookie says of the peer's SYN.

    Attributes:
        options: Those that were agreed on.
        ts_offset: The offset of our timestamps.
        ecn_flags: The flags with which it asked for ECN.
    """

    options: Parsed
    ts_offset: int
    ecn_flags: int


class SynCookies:
    """What the cookies of one engine have in common.

    Args:
        rules: What may be agreed on.
        mss: The largest text we take in one segment, octets.
        secret: `isn.SECRET_OCTETS` octets that no peer knows.
    """

    def __init__(self, rules: TcpConfig, mss: int, secret: bytes) -> None:
        self._rules = rules
        self._mss = mss
        self._secret = secret
        self._timestamps, self._sack, self._scaling = rules.timestamps, rules.sack, rules.window_scaling
        self._shift = window_shift(rules)
        self._window = min(rules.rmem, MAX_UNSCALED_WINDOW)  # RFC 7323 section 2.2: never scaled on a SYN

    def syn_ack(self, now: float, four_tuple: FourTuple, syn: Segment, options: Parsed) -> Segment:
        """Return the answer to *syn* that needs no memory of it.

        Without timestamps on both sides there is no room for window scale, SACK and the ECN of RFC 3168: they
        are not agreed on.

        Args:
            now: Monotonic instant in seconds.
            four_tuple: The connection, our end first.
            syn: The peer's.
            options: Those of *syn*.
        """
        mss, seq, ts_val = options.mss or DEFAULT_MSS[four_tuple.family], syn.seq, options.ts_val
        number, ts_offset = _hash(int(now) // PERIOD_S, four_tuple, seq, self._secret)
        if not self._timestamps:
            ts_val = None
        flags = SYN | ACK
        if syn.flags & FLAGS:
            agreed = of_syn(self._rules, syn)
            if agreed is not None and (agreed.accurate or ts_val is not None):
                flags |= agreed.syn_ack_flags(0)
        if ts_val is not None:
            sack = self._sack and options.sack_permitted
            peers_shift = options.window_scale if self._scaling else None
            stamp = _marked(int(now * 1000), peers_shift, sack, flags & FLAGS == ECE) + ts_offset
            shift = None if peers_shift is None else self._shift
            raw = for_syn(self._mss, shift, sack, (stamp & MASK, ts_val))
        else:
            raw = for_syn(self._mss, None, False, None)
        index = bisect_right(MSS_VALUES, mss, 1) - 1
        seq_and_ack = (number + index) & MASK, (seq + 1) & MASK
        return _new(Segment, (*seq_and_ack, flags, self._window, raw, b"", 0, 0))

    def recall(self, now: float, four_tuple: FourTuple, ack: Segment, options: Parsed) -> Recalled | None:
        """Return what *ack* brings back.

        Args:
            now: Monotonic instant in seconds.
            four_tuple: The connection, our end first.
            ack: A segment with ACK and neither SYN nor RST.
            options: Those of *ack*.

        Returns:
            None when it brings back no cookie, or one that is too old.
        """
        irs, cookie = add(ack.seq, -1), add(ack.acknowledgment, -1)
        period = int(now) // PERIOD_S
        for age in range(LIFETIME_PERIODS):
            number, ts_offset = _hash(period - age, four_tuple, irs, self._secret)
            index = distance(number, cookie)
            if index < len(MSS_VALUES):
                return self._remembered(MSS_VALUES[index], ack, options, ts_offset)
        return None

    def _remembered(self, mss: int, ack: Segment, options: Parsed, ts_offset: int) -> Recalled:
        """Return *mss*, and what the timestamp that *ack* echoes says."""
        if options.ts_val is None:
            flags = flags_recalled(self._rules, ack, is_classic=False)
            return Recalled(Parsed(mss=mss), ts_offset, flags)
        marks = (options.ts_ecr - ts_offset) & _TS_MASK
        shift = marks & _NO_SCALE
        of_the_syn = Parsed(
            mss=mss,
            window_scale=None if shift == _NO_SCALE else shift,
            sack_permitted=marks & _SACK != 0,
            ts_val=options.ts_val,
            ts_ecr=options.ts_ecr,
        )
        flags = flags_recalled(self._rules, ack, is_classic=marks & _ECN != 0)
        return Recalled(of_the_syn, ts_offset, flags)


def _marked(clock_ms: int, shift: int | None, sack: bool, ecn: bool) -> int:
    """Return the latest instant that is not after *clock_ms* and whose low bits say what was agreed on.

    Not after it, or the timestamps that follow would seem older to the peer (RFC 7323 section 5.3).
    """
    marks = _NO_SCALE if shift is None else shift if shift <= MAX_SHIFT else MAX_SHIFT
    if sack:
        marks |= _SACK
    if ecn:
        marks |= _ECN
    stamp = clock_ms & ~_TS_MASK | marks
    return stamp if stamp <= clock_ms else stamp - _TS_MASK - 1


def _hash(period: int, four_tuple: FourTuple, irs: int, secret: bytes) -> tuple[int, int]:
    """Return the number that a cookie of *period* is counted from, and the offset of its timestamps."""
    local, local_port, remote, remote_port = four_tuple
    keyed = _keyed(period, secret).copy()
    keyed.update(f"{local} {local_port} {remote} {remote_port} {irs}".encode())
    digest = int.from_bytes(keyed.digest())
    return digest >> 32, digest & MASK


@lru_cache(maxsize=64)
def _keyed(period: int, secret: bytes) -> "hashlib.blake2s":
    """Return a hash that has taken in the key of *period*, to be copied: a third faster than a new one."""
    return blake2s(key=blake2s(b"SYN cookies %d" % period, key=secret).digest(), digest_size=8)
