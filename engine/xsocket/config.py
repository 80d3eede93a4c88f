"""`TcpConfig`: every rule of the machine that can be switched, with RFC section, Linux name, unit and range.

A rule is named after its Linux sysctl without the ``tcp_`` prefix where one exists; durations are in seconds
and end in ``_s``. Values only; what a rule does stands where the machine applies it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, Self, TypeVar, get_args

from xsocket.errors import BadConfigError

SynCookies = Literal["auto", "always", "never"]
HalfOpenPolicy = Literal["ignore", "refuse", "evict"]
PoolPolicy = Literal["refuse", "ignore", "evict"]
UnexpectedSignatures = Literal["drop", "accept"]


T = TypeVar("T")


class EntersNamespace(Protocol):
    """What runs a function in a network namespace, such as `xsocket_netns.Host`."""

    def run(self, function: Callable[[], T], /) -> T:
        """Call *function* there and return what it returns."""
        ...


class Sysctl(NamedTuple):
    """Where Linux keeps a rule, and how to read it.

    Attributes:
        path: The file below ``/proc/sys/net``.
        convert: Makes the rule's value of the file's text.
    """

    path: str
    convert: Callable[[str], bool | float | str]


class Rule(NamedTuple):
    """What is known of a rule beside its value; in the field's metadata under ``"rule"``.

    Attributes:
        what: What it does, as a phrase.
        rfc: Number and section of the RFC that has it; empty for a limit that no RFC has.
        linux: The sysctl or socket option that has it in Linux; None if there is none.
        unit: Of a number.
        low, high: The range of a number, ends included.
        strict: What the RFC has where Linux, which is the default, differs; None where it does not.
        why: The difference, as a phrase.
        sysctl: Where `TcpConfig.linux` reads it; None for what Linux has built in or leaves to the socket.
    """

    what: str
    rfc: str
    linux: str | None
    unit: str
    low: float
    high: float
    strict: bool | float | str | None
    why: str
    sysctl: Sysctl | None


def _rule(
    default: Any,  # noqa: ANN401
    what: str,
    *,
    rfc: str,
    linux: str | None = None,
    unit: str = "",
    low: float = -inf,
    high: float = inf,
    strict: bool | float | str | None = None,
    why: str = "",
    sysctl: Sysctl | None = None,
) -> Any:  # noqa: ANN401
    rule = Rule(what, rfc, linux, unit, low, high, strict, why, sysctl)
    return field(default=default, metadata={"rule": rule})


def _count(path: str) -> Sysctl:
    return Sysctl(path, int)


def _switch(path: str) -> Sysctl:
    return Sysctl(path, lambda text: int(text) > 0)


def _duration(path: str, per_second: int = 1) -> Sysctl:
    return Sysctl(path, lambda text: int(text) / per_second)


def _largest(path: str) -> Sysctl:
    """The last of three: minimum, default, and what autotuning may grow to."""
    return Sysctl(path, lambda text: int(text.split()[2]))


def _choice(path: str, *choices: str) -> Sysctl:
    """One of *choices* by its number; the last stands for all above."""
    return Sysctl(path, lambda text: choices[min(int(text), len(choices) - 1)])


def _exactly_one(path: str) -> Sysctl:
    return Sysctl(path, lambda text: int(text) == 1)


def _never_zero(path: str, default: int) -> Sysctl:
    """A count for which 0 stands for *default*."""
    return Sysctl(path, lambda text: int(text) or default)


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
        strict=8, why="RFC 9293 section 3.8.3 goes on for three minutes (MUST-23)",
        sysctl=_count("ipv4/tcp_syn_retries"),
    )  # fmt: skip
    syn_linear_timeouts: int = _rule(
        4, "How many timeouts of a SYN pass before the next is twice as long; not counted in syn_retries",
        rfc="6298 section 5.5", linux="tcp_syn_linear_timeouts", unit="retransmissions", low=0, high=127,
        strict=0, why="RFC 6298 section 5.5 doubles the timeout each time",
        sysctl=_count("ipv4/tcp_syn_linear_timeouts"),
    )  # fmt: skip
    synack_retries: int = _rule(
        5, "How often a SYN+ACK is sent again before a half-open connection is dropped",
        rfc="9293 section 3.8.3", linux="tcp_synack_retries", unit="retransmissions", low=0, high=255,
        strict=8, why="RFC 9293 section 3.8.3 goes on for three minutes (MUST-23)",
        sysctl=_count("ipv4/tcp_synack_retries"),
    )  # fmt: skip
    max_syn_backlog: int = _rule(
        4096, "How many connections may be half-open (SYN-RECEIVED by passive open)",
        rfc="4987 section 3.2", linux="tcp_max_syn_backlog", unit="connections", low=1, high=1 << 24,
        sysctl=_count("ipv4/tcp_max_syn_backlog"),
    )  # fmt: skip
    syn_cookies: SynCookies = _rule(
        "auto", "When a SYN is answered with a cookie, which takes no place in the half-open table: "
        "when that is full, always, or never",
        rfc="4987 section 3.6", linux="tcp_syncookies (1, 2, 0)",
        sysctl=_choice("ipv4/tcp_syncookies", "never", "auto", "always"),
    )  # fmt: skip
    ecn: int = _rule(
        2, "Which ECN our SYNs request, and which is accepted of a peer's: 0 none; 1 that of RFC 3168, both; "
        "2 that, accepted only; 3 that of RFC 9768 (AccECN) or else of RFC 3168, both; 4 as 1 requested and "
        "as 3 accepted; 5 as 3, accepted only",
        rfc="3168 section 6.1.1, RFC 9768 section 3.1.1", linux="tcp_ecn", unit="(mode)", low=0, high=5,
        sysctl=_count("ipv4/tcp_ecn"),
    )  # fmt: skip
    ecn_fallback: bool = _rule(
        True, "Ask no more for ECN when SYNs, or SYN+ACKs, that do get no answer",
        rfc="3168 section 6.1.1.1, RFC 9768 section 3.1.4", linux="tcp_ecn_fallback",
        sysctl=_switch("ipv4/tcp_ecn_fallback"),
    )  # fmt: skip
    ecn_option: int = _rule(
        2, "When accurate feedback goes with the option that counts octets: 0 never, 1 when a counter has "
        "changed, 2 always where there is room",
        rfc="9768 section 3.2.3", linux="tcp_ecn_option", unit="(mode)", low=0, high=2,
        sysctl=_count("ipv4/tcp_ecn_option"),
    )  # fmt: skip
    fastopen: int = _rule(
        1, "Which parts of TCP Fast Open are played, a sum: 1 as client, 2 as server, 4 as client without a "
        "cookie, 512 (0x200) as server without asking for one, 1024 (0x400) as server even if fastopen_qlen "
        "is 0; other bits do nothing",
        rfc="7413 section 4", linux="tcp_fastopen", unit="(bits)", low=0, high=(1 << 31) - 1,
        sysctl=_count("ipv4/tcp_fastopen"),
    )  # fmt: skip
    fastopen_qlen: int = _rule(
        0, "How many connections that Fast Open has handed over may wait for their third segment "
        "(PendingFastOpenRequests); 0 is none, or with 1024 in fastopen as many as max_syn_backlog",
        rfc="7413 section 5.1", linux="TCP_FASTOPEN", unit="connections", low=0, high=1 << 24,
    )  # fmt: skip
    fastopen_blackhole_timeout_s: float = _rule(
        0.0, "For how long no connection is opened fast after one was swallowed, doubled up to six times "
        "while that goes on; 0 is not at all",
        rfc="7413 section 4.1.3.1", linux="tcp_fastopen_blackhole_timeout_sec", unit="s", low=0, high=1e9,
        strict=3600.0, why="RFC 7413 section 4.1.3.1: a client must remember that it got no answer",
        sysctl=_duration("ipv4/tcp_fastopen_blackhole_timeout_sec"),
    )  # fmt: skip
    half_open_policy: HalfOpenPolicy = _rule(
        "ignore", "What becomes of a SYN that finds the half-open table full and gets no cookie: ignore, "
        "refuse with a reset, or evict the oldest",
        rfc="4987 section 2.2", linux=None,
    )  # fmt: skip
    max_syn_backlog_per_source: int = _rule(
        0, "How many of them may come from one IPv4 address or one IPv6 /64; a SYN beyond that gets a cookie "
        "or, without cookies, is ignored (or refused, if half_open_policy says so); 0 is no limit",
        rfc="", unit="connections", low=0, high=1 << 24,
    )  # fmt: skip
    pool_capacity: int = _rule(
        65_536, "How many established connections may wait in the pool",
        rfc="", linux="net.core.somaxconn is its kin", unit="connections", low=1, high=1 << 24,
    )  # fmt: skip
    pool_policy: PoolPolicy = _rule(
        "ignore", "What becomes of a handshake that completes when the pool is full: refuse it with a reset, "
        "ignore the final ACK so that the peer tries again, or evict the oldest from the pool",
        rfc="", linux="tcp_abort_on_overflow",
        sysctl=_choice("ipv4/tcp_abort_on_overflow", "ignore", "refuse"),
    )  # fmt: skip
    pool_timeout_s: float = _rule(
        0.0, "How long a connection may wait in the pool for somebody to claim it before it is reset; "
        "0 is for ever",
        rfc="", unit="s", low=0, high=1e9,
    )  # fmt: skip
    max_connections: int = _rule(
        262_144, "How many TCBs may exist in all; a SYN beyond that is ignored",
        rfc="", linux=None, unit="connections", low=1, high=1 << 24,
    )  # fmt: skip

    # Options offered and taken
    window_scaling: bool = _rule(
        True,
        "Offer and accept window scale",
        rfc="7323 section 2",
        linux="tcp_window_scaling",
        sysctl=_switch("ipv4/tcp_window_scaling"),
    )
    timestamps: bool = _rule(
        True,
        "Offer and accept timestamps",
        rfc="7323 section 3",
        linux="tcp_timestamps",
        sysctl=_switch("ipv4/tcp_timestamps"),
    )
    sack: bool = _rule(
        True,
        "Offer and accept selective acknowledgment",
        rfc="2018",
        linux="tcp_sack",
        sysctl=_switch("ipv4/tcp_sack"),
    )
    loss_probe: bool = _rule(
        True, "Probe after two round trips whether the end of what was sent came through, with SACK",
        rfc="8985 section 7", linux="tcp_early_retrans = 3",
        sysctl=Sysctl("ipv4/tcp_early_retrans", lambda text: int(text) in (3, 4)),
    )  # fmt: skip
    dsack: bool = _rule(
        True, "Report text that came twice, where SACK was agreed on",
        rfc="2883 section 4", linux="tcp_dsack",
        sysctl=_switch("ipv4/tcp_dsack"),
    )  # fmt: skip

    # The stream
    rmem: int = _rule(
        262_144, "Receive buffer: the most text held for the user, and the largest window offered",
        rfc="9293 section 3.8.6", linux="tcp_rmem (SO_RCVBUF)", unit="octets", low=256, high=1 << 30,
        sysctl=_largest("ipv4/tcp_rmem"),
    )  # fmt: skip
    rmem_max: int = _rule(
        0, "What the receive buffer may become after a hand-over, for which the shift count has to do; with "
        "it no more than 65,535 octets are offered before somebody reads. 0 is none or, where the kernel has "
        "the address, too, what the kernel's may become",
        rfc="7323 section 2.3", linux="tcp_rmem, net.core.rmem_max", unit="octets", low=0, high=1 << 30,
    )  # fmt: skip
    wmem: int = _rule(
        262_144, "Send buffer: the most text held that the peer has not acknowledged",
        rfc="9293 section 3.9.1.2", linux="tcp_wmem (SO_SNDBUF)", unit="octets", low=256, high=1 << 30,
        sysctl=_largest("ipv4/tcp_wmem"),
    )  # fmt: skip
    initial_cwnd: int = _rule(
        10, "Congestion window at the start", rfc="6928 section 2", linux="TCP_INIT_CWND (route's initcwnd)",
        unit="segments", low=1, high=1000,
    )  # fmt: skip
    slow_start_after_idle: bool = _rule(
        True, "Begin again with the initial congestion window when nothing was sent for longer than the "
        "retransmission timeout; Linux only halves the window for each timeout that passed",
        rfc="5681 section 4.1", linux="tcp_slow_start_after_idle",
        sysctl=_switch("ipv4/tcp_slow_start_after_idle"),
    )  # fmt: skip
    reordering: int = _rule(
        3, "Duplicate acknowledgments that stand for a loss", rfc="5681 section 3.2", linux="tcp_reordering",
        unit="segments", low=1, high=300,
        sysctl=_count("ipv4/tcp_reordering"),
    )  # fmt: skip
    min_rto_s: float = _rule(
        0.2, "Smallest retransmission timeout; the RFC wants one second, Linux a fifth",
        rfc="6298 section 2.4", linux="tcp_rto_min_us (route's rto_min)", unit="s", low=0.001, high=60,
        strict=1.0, why="RFC 6298 section 2.4 rounds up to one second",
        sysctl=_duration("ipv4/tcp_rto_min_us", 1_000_000),
    )  # fmt: skip
    max_rto_s: float = _rule(
        120.0, "Largest retransmission timeout", rfc="6298 section 2.5", linux="tcp_rto_max_ms (TCP_RTO_MAX)",
        unit="s", low=1, high=3600,
        sysctl=_duration("ipv4/tcp_rto_max_ms", 1000),
    )  # fmt: skip
    retries2: int = _rule(
        15, "How often text or FIN is sent again before the connection is given up",
        rfc="9293 section 3.8.3 (R2)", linux="tcp_retries2", unit="retransmissions", low=0, high=255,
        sysctl=_count("ipv4/tcp_retries2"),
    )  # fmt: skip

    min_pmtu: int = _rule(
        552, "The least path MTU that is believed of IPv4",
        rfc="5927 section 7.1", linux="net.ipv4.route.min_pmtu", unit="octets", low=68, high=65_535,
        strict=68, why="RFC 1191 section 3 goes down to 68",
        sysctl=_count("ipv4/route/min_pmtu"),
    )  # fmt: skip
    mtu_expires_s: float = _rule(
        600.0, "How long a path MTU is remembered for connections to the same address",
        rfc="8201 section 5.3", linux="net.ipv4.route.mtu_expires", unit="s", low=1, high=86_400,
        sysctl=_duration("ipv4/route/mtu_expires"),
    )  # fmt: skip
    mtu_probing: bool = _rule(
        False, "Send smaller segments after retries1 timeouts: the path may be a black hole for large ones",
        rfc="4821 section 7.7", linux="tcp_mtu_probing = 1",
        sysctl=_switch("ipv4/tcp_mtu_probing"),
    )  # fmt: skip
    base_mss: int = _rule(
        1024, "The segment size that mtu_probing tries first; it then halves it each time",
        rfc="4821 section 7.2", linux="tcp_base_mss", unit="octets", low=48, high=65_535,
        sysctl=_count("ipv4/tcp_base_mss"),
    )  # fmt: skip
    retries1: int = _rule(
        3, "Timeouts after which the path is in doubt", rfc="9293 section 3.8.3 (R1)",
        linux="tcp_retries1", unit="retransmissions", low=0, high=255,
        sysctl=_count("ipv4/tcp_retries1"),
    )  # fmt: skip
    soft_errors_abort: bool = _rule(
        True, "Let any ICMP error end an attempt to open a connection, not only a hard one",
        rfc="5461 section 4.1", linux="built in", strict=False,
        why="RFC 1122 section 4.2.3.9: a soft error must not abort a connection",
    )  # fmt: skip
    user_timeout_s: float = _rule(
        0.0, "How long text may go unacknowledged before the connection is given up; 0 for retries2",
        rfc="5482 section 3", linux="TCP_USER_TIMEOUT", unit="s", low=0, high=2_147_483,
    )  # fmt: skip
    user_timeout_option: bool = _rule(
        False, "Send and read the user timeout option (the RFC's ENABLED)", rfc="5482 section 3",
    )  # fmt: skip
    user_timeout_advertised_s: float = _rule(
        0.0, "The user timeout that the option tells the peer of (ADV_UTO); 0 for user_timeout_s or, without "
        "one, five minutes",
        rfc="5482 section 3", unit="s", low=0, high=32_767 * 60,
    )  # fmt: skip
    user_timeout_changeable: bool = _rule(
        True, "Let the peer's option set the user timeout (CHANGEABLE); never where user_timeout_s is set",
        rfc="5482 section 3.1",
    )  # fmt: skip
    user_timeout_least_s: float = _rule(
        100.0, "The shortest user timeout that the peer's option can set (L_LIMIT); the retransmission "
        "timeout, if that is longer",
        rfc="5482 section 3.1", unit="s", low=1, high=32_767 * 60,
    )  # fmt: skip
    user_timeout_most_s: float = _rule(
        3600.0, "The longest user timeout that the peer's option can set (U_LIMIT)",
        rfc="5482 section 3.1", unit="s", low=1, high=32_767 * 60,
    )  # fmt: skip
    nodelay: bool = _rule(
        False, "Send short segments at once: no Nagle algorithm", rfc="9293 section 3.7.4",
        linux="TCP_NODELAY",
    )  # fmt: skip
    minshall: bool = _rule(
        True, "Hold a short segment back only while another short one is unacknowledged, "
        "not while anything is",
        rfc="9293 section 3.7.4", linux="built in", strict=False,
        why="the Nagle algorithm waits for every octet; Minshall's change to it is in no RFC",
    )  # fmt: skip
    delayed_ack_s: float = _rule(
        0.04, "How long an acknowledgment of text may wait for a second segment or for text to go with; "
        "0 for never",
        rfc="9293 section 3.8.6.3", linux="TCP_DELACK_MIN", unit="s", low=0, high=0.499,
    )  # fmt: skip
    quickacks: int = _rule(
        16, "How many acknowledgments go at once at the start of a connection before any is delayed",
        rfc="9293 section 3.8.6.3", linux="TCP_MAX_QUICKACKS (TCP_QUICKACK)", unit="acknowledgments",
        low=0, high=1 << 30,
        strict=0, why="the RFC has no such start: Linux adds it to speed slow start up",
    )  # fmt: skip
    keepalive: bool = _rule(
        False, "Probe a peer that has been silent", rfc="9293 section 3.8.4", linux="SO_KEEPALIVE"
    )
    keepalive_time_s: float = _rule(
        7200.0, "Silence after which the first keep-alive probe goes",
        rfc="9293 section 3.8.4", linux="tcp_keepalive_time (TCP_KEEPIDLE)", unit="s", low=1, high=32_767,
        sysctl=_duration("ipv4/tcp_keepalive_time"),
    )  # fmt: skip
    keepalive_intvl_s: float = _rule(
        75.0, "Time between keep-alive probes",
        rfc="9293 section 3.8.4", linux="tcp_keepalive_intvl (TCP_KEEPINTVL)", unit="s", low=1, high=32_767,
        sysctl=_duration("ipv4/tcp_keepalive_intvl"),
    )  # fmt: skip
    keepalive_probes: int = _rule(
        9, "Keep-alive probes without an answer before the connection is reset",
        rfc="9293 section 3.8.4", linux="tcp_keepalive_probes (TCP_KEEPCNT)", unit="probes", low=1, high=127,
        sysctl=_count("ipv4/tcp_keepalive_probes"),
    )  # fmt: skip

    # The IP packets
    ttl: int = _rule(
        64, "Time to live, or hop limit, of the packets that carry segments",
        rfc="9293 section 3.9.2", linux="net.ipv4.ip_default_ttl (IP_TTL, IPV6_UNICAST_HOPS)", unit="hops",
        low=1, high=255, sysctl=_count("ipv4/ip_default_ttl"),
    )  # fmt: skip
    dscp: int = _rule(
        0, "Differentiated services codepoint of these packets",
        rfc="9293 section 3.9.1.9", linux="IP_TOS, IPV6_TCLASS: six bits of them", unit="(codepoint)",
        low=0, high=63,
    )  # fmt: skip

    # Closing, and what nobody owns any more
    time_wait_s: float = _rule(
        60.0, "TIME-WAIT, twice the segment lifetime; the RFC has four minutes, Linux one",
        rfc="9293 section 3.4.2", linux="TCP_TIMEWAIT_LEN", unit="s", low=0, high=3600,
        strict=240.0, why="RFC 9293 section 3.4.2 has a segment lifetime of two minutes",
    )  # fmt: skip
    max_tw_buckets: int = _rule(
        65_536, "How many connections may be in TIME-WAIT; beyond that the oldest goes at once",
        rfc="", linux="tcp_max_tw_buckets", unit="connections", low=0, high=1 << 24,
        sysctl=_count("ipv4/tcp_max_tw_buckets"),
    )  # fmt: skip
    fin_timeout_s: float = _rule(
        60.0, "How long a connection its user has closed waits for the peer's FIN",
        rfc="9293 section 3.6.1", linux="tcp_fin_timeout", unit="s", low=0, high=3600,
        sysctl=_duration("ipv4/tcp_fin_timeout"),
    )  # fmt: skip

    orphan_retries: int = _rule(
        8, "How often text or FIN is sent again for a connection that its user has closed",
        rfc="9293 section 3.8.3", linux="tcp_orphan_retries", unit="retransmissions", low=0, high=255,
        sysctl=_never_zero("ipv4/tcp_orphan_retries", 8),
    )  # fmt: skip
    max_orphans: int = _rule(
        65_536, "How many connections that their user has closed may wait for their peers to finish, too; "
        "beyond that, a closed one is reset",
        rfc="", linux="tcp_max_orphans", unit="connections", low=0, high=1 << 24,
        sysctl=_count("ipv4/tcp_max_orphans"),
    )  # fmt: skip
    orphan_timeout_s: float = _rule(
        0.0, "How long a connection that its user has closed may take to finish, even if its peer goes on "
        "taking text little by little, before it is reset; 0 is for ever",
        rfc="", unit="s", low=0, high=1e9,
    )  # fmt: skip
    rfc1337: bool = _rule(
        False,
        "Let no reset end TIME-WAIT",
        rfc="1337 section 3",
        linux="tcp_rfc1337",
        sysctl=_switch("ipv4/tcp_rfc1337"),
    )
    tw_reuse: bool = _rule(
        False, "Let an active open take a connection in TIME-WAIT whose timestamps are a second old",
        rfc="6191 section 2", linux="tcp_tw_reuse",
        sysctl=_exactly_one("ipv4/tcp_tw_reuse"),
    )  # fmt: skip

    # Defence
    invalid_ratelimit_s: float = _rule(
        0.5, "Shortest time between two acknowledgments of segments that were not acceptable",
        rfc="5961 section 7", linux="tcp_invalid_ratelimit", unit="s", low=0, high=60,
        sysctl=_duration("ipv4/tcp_invalid_ratelimit", 1000),
    )  # fmt: skip
    challenge_ack_limit: int = _rule(
        10, "How many challenge ACKs one connection sends in a period, on average: each period draws its "
        "own number, from half of it to one and a half times as many",
        rfc="5961 section 7", linux="tcp_challenge_ack_limit (of a whole namespace)",
        unit="acknowledgments", low=0, high=1 << 30,
    )  # fmt: skip
    challenge_ack_period_s: float = _rule(
        5.0, "The period of challenge_ack_limit",
        rfc="5961 section 7", linux="one second", unit="s", low=0.001, high=3600,
    )  # fmt: skip
    unexpected_signatures: UnexpectedSignatures = _rule(
        "drop", "What becomes of a segment with an MD5 signature or TCP-AO where no key protects the "
        "connection, once the engine has keys; without any, both options are unknown and skipped",
        rfc="5925 section 7.3", linux="built in: dropped", strict="accept",
        why="RFC 5925 section 7.3 accepts such a connection (SHOULD) unless told otherwise",
    )  # fmt: skip
    timestamps_required: bool = _rule(
        False, "Drop a segment without timestamps where they were agreed on",
        rfc="7323 section 3.2", linux="built in: never dropped", strict=True,
        why="RFC 7323 section 3.2 asks to drop it (SHOULD); Linux takes it",
    )  # fmt: skip

    @classmethod
    def strict(cls, **changes: Any) -> Self:  # noqa: ANN401
        """Return the rules as the RFCs have them where Linux, and so the default, differs.

        Args:
            **changes: Rules to set otherwise.

        Raises:
            BadConfigError: A value is outside the range of its rule.
        """
        rules = {each.name: each.metadata["rule"].strict for each in fields(cls)}
        return cls(**{name: value for name, value in rules.items() if value is not None} | changes)

    @classmethod
    def linux(cls, namespace: EntersNamespace | None = None, **changes: Any) -> Self:  # noqa: ANN401
        """Return the rules that a network namespace's sysctls set, and the defaults for all others.

        A sysctl that this kernel lacks leaves the default; one beyond a rule's range is cut to it.

        Args:
            namespace: Which, such as a `xsocket_netns.Host`; the current one without it.
            **changes: Rules to set otherwise.

        Raises:
            BadConfigError: A value of *changes* is outside the range of its rule.
        """
        read = _read_sysctls if namespace is None else partial(namespace.run, _read_sysctls)
        return cls.of_sysctls(read(), **changes)

    @classmethod
    def of_sysctls(cls, values: Mapping[str, str], **changes: Any) -> Self:  # noqa: ANN401
        """Return the rules that sysctls of given values would set, and the defaults for all others.

        A value beyond a rule's range is cut to it.

        Args:
            values: By name, such as ``net.ipv4.tcp_syn_retries``, or ``net/ipv4/tcp_syn_retries``; names that
                set no rule are passed over.
            **changes: Rules to set otherwise.

        Raises:
            BadConfigError: A value of *values* is no number where Linux has one, or one of *changes* is
                outside the range of its rule.
        """
        given = {name.replace("/", ".").removeprefix("net."): value for name, value in values.items()}
        rules: dict[str, bool | float | str] = {}
        for each in fields(cls):
            rule = each.metadata["rule"]
            text = None if rule.sysctl is None else given.get(rule.sysctl.path.replace("/", "."))
            if text is None:
                continue
            try:
                rules[each.name] = _cut(rule.sysctl.convert(text), rule)
            except (ValueError, IndexError):
                raise BadConfigError(f"net/{rule.sysctl.path} cannot be {text!r}") from None
        return cls(**rules | changes)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.type, each.metadata["rule"])


PER_CONNECTION: Final = frozenset(
    {
        *("nodelay", "minshall", "delayed_ack_s", "user_timeout_s", "retries1", "retries2", "mtu_probing"),
        *("user_timeout_advertised_s", "user_timeout_changeable"),
        *("user_timeout_least_s", "user_timeout_most_s"),
        *("keepalive", "keepalive_time_s", "keepalive_intvl_s", "keepalive_probes"),
        *("time_wait_s", "fin_timeout_s", "orphan_retries", "rfc1337", "ttl", "dscp"),
    }
)
"""The rules that `Connection.configure` may change: those that matter once a connection is established."""


def _read_sysctls() -> dict[str, str]:
    """Return the text of each sysctl of the current namespace that sets a rule."""
    values: dict[str, str] = {}
    for each in fields(TcpConfig):
        sysctl = each.metadata["rule"].sysctl
        if sysctl is None:
            continue
        with suppress(OSError):  # another kernel
            values[sysctl.path] = Path("/proc/sys/net", sysctl.path).read_text()
    return values


def _cut(value: bool | float | str, rule: Rule) -> bool | float | str:
    if isinstance(value, bool | str):
        return value
    return type(value)(min(max(value, rule.low), rule.high))


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
