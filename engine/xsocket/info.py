"""What people get to see of a connection: a snapshot of its TCB, for `Connection.info` and for traces."""

from typing import NamedTuple

from xsocket.state import State, Timer


class AuthenticationInfo(NamedTuple):
    """How a connection is protected, for people; no secrets. KeyIDs are 0 to 255, None with MD5.

    Attributes:
        algorithm: ``"MD5"``, ``"SHA1"`` or ``"AES128"``: of the current key.
        current: SendID of current_key: the KeyID of segments we send.
        rnext: RecvID of rnext_key: the KeyID we would rather receive.
        received: KeyID of the last segment that was authentic; None before.
        received_rnext: Its RNextKeyID.
        keys: SendID and RecvID of every key of the connection, the preferred one first.
    """

    algorithm: str
    current: int | None = None
    rnext: int | None = None
    received: int | None = None
    received_rnext: int | None = None
    keys: tuple[tuple[int, int], ...] = ()


class FastOpenInfo(NamedTuple):
    """What a connection has of Fast Open, for people.

    Attributes:
        cookie: Of a client, what its first SYN carried: empty for a request, None where none was needed. Of
            a server, what the peer's SYN carried.
        experimental: Whether in the experimental option (kind 254) instead of the standard one (kind 34).
        syn_data: Octets of text in the first SYN.
        syn_data_acked: Those of them that the SYN+ACK acknowledged.
        given: Cookie in the SYN+ACK; None without one.
    """

    cookie: bytes | None
    experimental: bool
    syn_data: int
    syn_data_acked: int
    given: bytes | None


class UserTimeoutInfo(NamedTuple):
    """What a connection has of the user timeout option, for people; seconds.

    Attributes:
        advertised_s: ADV_UTO, what we tell the peer.
        remote_s: REMOTE_UTO, what the peer told us last; None when it has not.
        adopted_s: USER_TIMEOUT, what is kept to on its account; None when it changes nothing.
    """

    advertised_s: float
    remote_s: float | None
    adopted_s: float | None


class EcnInfo(NamedTuple):
    """What a connection has of ECN, for people.

    Attributes:
        accurate: Whether the ends count marks (RFC 9768); else they say that there was one (RFC 3168).
        sends_ect: Whether our text goes in packets that routers may mark.
        received_ce: Packets that came with a mark; by RFC 3168, those with text.
        delivered_ce: Packets of ours that the peer says came with a mark; by RFC 3168, all that it
            acknowledged while it repeated one.
    """

    accurate: bool
    sends_ect: bool
    received_ce: int
    delivered_ce: int


class Info(NamedTuple):
    """A snapshot of a TCB for people: the variables of RFC 9293 section 3.3.1 and what was negotiated.

    Windows in octets, times in seconds; see `Tcb` for each name. *deadline* is when the timer fires, an
    instant of the engine's monotonic clock, infinite while none runs; *unsent* is text the user gave that
    was never sent.
    """

    state: State
    passive: bool
    iss: int
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    snd_wl1: int
    snd_wl2: int
    snd_mss: int
    snd_wscale: int | None
    irs: int
    rcv_nxt: int
    rcv_wnd: int
    rcv_mss: int
    rcv_wscale: int | None
    sack: bool
    timestamps: bool
    cwnd: int | None
    ssthresh: int | None
    srtt_s: float | None
    rttvar_s: float | None
    rto_s: float
    retries: int
    timer: Timer | None
    deadline: float
    unacknowledged: int
    unsent: int
    unread: int
    authentication: AuthenticationInfo | None
    fast_open: FastOpenInfo | None
    user_timeout: UserTimeoutInfo | None
    ecn: EcnInfo | None
    soft_error: type[OSError] | None
    error: type[OSError] | None
    """What the next call will raise."""
