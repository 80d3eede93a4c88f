"""`TcpConfig`: every rule of the machine that can be switched, with RFC section, Linux name, unit and range.

A rule is named after its Linux sysctl without the ``tcp_`` prefix where one exists; durations are in seconds
and end in ``_s``. Values only; what a rule does stands where the machine applies it.
"""

from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, Literal, NamedTuple, get_args

from xsocket.errors import BadConfigError

SynCookies = Literal["auto", "always", "never"]
HalfOpenPolicy = Literal["ignore", "refuse", "evict"]
PoolPolicy = Literal["refuse", "ignore", "evict"]


class Rule(NamedTuple):
    """What is known of a rule beside its value; in the field's metadata under ``"rule"``."""

    what: str
    rfc: str
    linux: str | None
    unit: str
    low: float
    high: float


def _rule(
    default: Any,  # noqa: ANN401
    what: str,
    *,
    rfc: str,
    linux: str | None = None,
    unit: str = "",
    low: float = -inf,
    high: float = inf,
) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"rule": Rule(what, rfc, linux, unit, low, high)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConfig:
    """The rules an engine plays by; immutable, so that a running engine's rules are the ones it was given.

    Raises:
        BadConfigError: A value is outside the range of its rule, or not one of its choices.
    """

    # Opening
    initial_rto_s: float = _rule(
        1.0, "First retransmission timeout, before any round trip was measured",
        rfc="6298 section 2.1", linux="tcp_rto_initial (TCP_TIMEOUT_INIT)", unit="s", low=0.001, high=120,
    )  # fmt: skip
    syn_retries: int = _rule(
        6, "How often a SYN is sent again before connect gives up",
        rfc="9293 section 3.8.3", linux="tcp_syn_retries", unit="retransmissions", low=0, high=127,
    )  # fmt: skip
    synack_retries: int = _rule(
        5, "How often a SYN+ACK is sent again before a half-open connection is dropped",
        rfc="9293 section 3.8.3", linux="tcp_synack_retries", unit="retransmissions", low=0, high=255,
    )  # fmt: skip
    max_syn_backlog: int = _rule(
        4096, "How many connections may be half-open (SYN-RECEIVED by passive open)",
        rfc="4987 section 3.3", linux="tcp_max_syn_backlog", unit="connections", low=1, high=1 << 24,
    )  # fmt: skip
    syn_cookies: SynCookies = _rule(
        "auto", "When a SYN is answered with a cookie, which takes no place in the half-open table: "
        "when that is full, always, or never",
        rfc="4987 section 3.6", linux="tcp_syncookies (1, 2, 0)",
    )  # fmt: skip
    half_open_policy: HalfOpenPolicy = _rule(
        "ignore", "What becomes of a SYN that finds the half-open table full and gets no cookie: ignore, "
        "refuse with a reset, or evict the oldest",
        rfc="4987 section 3.3", linux=None,
    )  # fmt: skip
    pool_capacity: int = _rule(
        65_536, "How many established connections may wait in the pool",
        rfc="", linux="net.core.somaxconn is its kin", unit="connections", low=1, high=1 << 24,
    )  # fmt: skip
    pool_policy: PoolPolicy = _rule(
        "ignore", "What becomes of a handshake that completes when the pool is full: refuse it with a reset, "
        "ignore the final ACK so that the peer tries again, or evict the oldest from the pool",
        rfc="", linux="tcp_abort_on_overflow",
    )  # fmt: skip
    max_connections: int = _rule(
        262_144, "How many TCBs may exist in all; a SYN beyond that is ignored",
        rfc="", linux=None, unit="connections", low=1, high=1 << 24,
    )  # fmt: skip

    # Options offered and taken
    window_scaling: bool = _rule(
        True, "Offer and accept window scale", rfc="7323 section 2", linux="tcp_window_scaling"
    )
    timestamps: bool = _rule(
        True, "Offer and accept timestamps", rfc="7323 section 3", linux="tcp_timestamps"
    )
    sack: bool = _rule(True, "Offer and accept selective acknowledgment", rfc="2018", linux="tcp_sack")

    # The stream
    rmem: int = _rule(
        262_144, "Receive buffer: the most text held for the user, and the largest window offered",
        rfc="9293 section 3.8.6", linux="tcp_rmem (SO_RCVBUF)", unit="octets", low=256, high=1 << 30,
    )  # fmt: skip
    wmem: int = _rule(
        262_144, "Send buffer: the most text held that the peer has not acknowledged",
        rfc="9293 section 3.9.1.2", linux="tcp_wmem (SO_SNDBUF)", unit="octets", low=256, high=1 << 30,
    )  # fmt: skip
    initial_cwnd: int = _rule(
        10, "Congestion window at the start", rfc="6928 section 2", linux="TCP_INIT_CWND (route's initcwnd)",
        unit="segments", low=1, high=1000,
    )  # fmt: skip
    reordering: int = _rule(
        3, "Duplicate acknowledgments that stand for a loss", rfc="5681 section 3.2", linux="tcp_reordering",
        unit="segments", low=1, high=300,
    )  # fmt: skip
    min_rto_s: float = _rule(
        0.2, "Smallest retransmission timeout; the RFC wants one second, Linux a fifth",
        rfc="6298 section 2.4", linux="tcp_rto_min_us (route's rto_min)", unit="s", low=0.001, high=60,
    )  # fmt: skip
    max_rto_s: float = _rule(
        120.0, "Largest retransmission timeout", rfc="6298 section 2.5", linux="tcp_rto_max_ms (TCP_RTO_MAX)",
        unit="s", low=1, high=3600,
    )  # fmt: skip
    retries2: int = _rule(
        15, "How often text or FIN is sent again before the connection is given up",
        rfc="9293 section 3.8.3 (R2)", linux="tcp_retries2", unit="retransmissions", low=0, high=255,
    )  # fmt: skip

    # Closing, and what nobody owns any more
    time_wait_s: float = _rule(
        60.0, "TIME-WAIT, twice the segment lifetime; the RFC has four minutes, Linux one",
        rfc="9293 section 3.4.2", linux="TCP_TIMEWAIT_LEN", unit="s", low=0, high=3600,
    )  # fmt: skip
    max_tw_buckets: int = _rule(
        65_536, "How many connections may be in TIME-WAIT; beyond that the oldest goes at once",
        rfc="", linux="tcp_max_tw_buckets", unit="connections", low=0, high=1 << 24,
    )  # fmt: skip
    fin_timeout_s: float = _rule(
        60.0, "How long a connection its user has closed waits for the peer's FIN",
        rfc="9293 section 3.6.1", linux="tcp_fin_timeout", unit="s", low=0, high=3600,
    )  # fmt: skip

    # Defence
    invalid_ratelimit_s: float = _rule(
        0.5, "Shortest time between two acknowledgments of segments that were not acceptable",
        rfc="5961 section 7", linux="tcp_invalid_ratelimit", unit="s", low=0, high=60,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.type, each.metadata["rule"])


def _check(name: str, value: object, kind: object, rule: Rule) -> None:
    choices = get_args(kind)
    if choices:
        if value not in choices:
            raise BadConfigError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        return
    if kind is bool:
        if not isinstance(value, bool):
            raise BadConfigError(f"{name} is True or False, not {value!r}")
        return
    allowed = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise BadConfigError(f"{name} is a number of {rule.unit}, not {value!r}")
    if not (rule.low <= value <= rule.high):  # so that NaN is refused, too
        raise BadConfigError(f"{name} is {value} {rule.unit}, outside {rule.low} to {rule.high}")
