"""TCP Fast Open (RFC 7413): the cookies a server makes, those a client keeps, and what one connection has.

Pure: keys are arguments. What the machine does with a SYN's text is its business; here is who may send text
before the handshake is complete, and how many at once.

A cookie is a keyed hash of both addresses, eight octets: it says that this client has answered from there
before, and nothing else (RFC 7413 section 4.1.2). It may be replayed, within the bound of `Pending`.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from hashlib import blake2s
from hmac import compare_digest
from math import inf
from typing import Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.info import FastOpenInfo
from xsocket.segment import Segment
from xsocket.tcp.options import DEFAULT_MSS, MAX_OCTETS, AccEcn, FastOpen, UserTimeout, filled_up, parse

ASKS: Final = "RFC 7413 4.2.1"
OPENS: Final = "RFC 7413 4.2.2"
"""The rules by which a client asks for a cookie, and by which both ends open fast."""

CLIENT: Final = 0x1
SERVER: Final = 0x2
CLIENT_WITHOUT_COOKIE: Final = 0x4
SERVER_WITHOUT_COOKIE: Final = 0x200
ALL_LISTENERS: Final = 0x400
"""The bits of `TcpConfig.fastopen`, as in Linux's tcp_fastopen."""

KEY_OCTETS: Final = 16
"""The length of a server's key, as of Linux's tcp_fastopen_key."""
COOKIE_OCTETS: Final = 8
"""The length of the cookies we make, as Linux's; a peer's may have 4 to 16 octets."""
RESET_COUNTS_S: Final = 60.0
"""For how long a pending connection that was reset goes on taking its place, as in Linux: a reset shows that
the address in the SYN had not sent it (RFC 7413 section 5.1)."""
MAX_COOKIES: Final = 4096
"""How many servers' cookies are kept; the one not used for longest makes room."""
MAX_PAUSE_DOUBLINGS: Final = 6
"""How often the pause after a black hole is doubled, as in Linux."""
TIMEOUTS_OF_A_BLACK_HOLE: Final = 3
"""After how many timeouts in a row the path is held for one, as in Linux."""


class FastOpenState:
    """What one TCB has of Fast Open. Only connections that try it have one.

    Attributes:
        offered: The option of the SYN: ours, or the peer's; None where there was none.
        given: The option of the SYN+ACK: of a server, to be sent; of a client, received.
        accepted: Of a server, whether the connection is its user's before the third segment.
        syn_data: Octets of text in the first SYN.
        syn_data_acked: Those of them that the SYN+ACK acknowledged.
        peer_mss: Of a client, the MSS option of the SYN+ACK, None without one.
        syn_again: Of a client, whether the SYN was sent again, without text and option.
        room: Of a client, how much text its SYN may carry, octets.
    """

    __slots__ = (
        "accepted",
        "given",
        "offered",
        "peer_mss",
        "room",
        "syn_again",
        "syn_data",
        "syn_data_acked",
    )

    def __init__(
        self,
        offered: FastOpen | None,
        *,
        given: FastOpen | None = None,
        accepted: bool = False,
        room: int = 0,
    ) -> None:
        self.offered = offered
        self.given = given
        self.accepted = accepted
        self.syn_data = self.syn_data_acked = 0
        self.peer_mss: int | None = None
        self.syn_again = False
        self.room = room

    @property
    def rule(self) -> str:
        """By which rule a client's SYN goes."""
        return ASKS if self.offered is not None and not self.offered.cookie else OPENS

    @property
    def info(self) -> FastOpenInfo:
        """What there is to say of it."""
        option, given = self.offered or self.given, self.given
        return FastOpenInfo(
            cookie=None if self.offered is None else self.offered.cookie,
            experimental=option is not None and option.experimental,
            syn_data=self.syn_data,
            syn_data_acked=self.syn_data_acked,
            given=None if given is None else given.cookie,
        )


class FastOpenStatistics(NamedTuple):
    """What both ends of Fast Open have counted; the names are those of Linux's ``TCPFastOpen`` counters.

    Attributes:
        active: Our SYNs whose text was acknowledged.
        active_fail: Our SYNs whose text was not, or not all of it.
        passive: Connections handed over before their third segment.
        passive_fail: SYNs whose cookie was not valid.
        passive_alt_key: SYNs whose cookie was of the backup key: they were given a new one.
        cookie_reqd: SYNs that asked for a cookie.
        listen_overflow: SYNs that found too many connections pending.
        blackhole: How often Fast Open was paused because nothing came through.
        pending: Connections now that were handed over and whose peers have acknowledged nothing yet, and
            those of the last minute that were reset.
        cookies: Servers' cookies kept now.
        cookies_evicted: Those that made room for others.
    """

    active: int = 0
    active_fail: int = 0
    passive: int = 0
    passive_fail: int = 0
    passive_alt_key: int = 0
    cookie_reqd: int = 0
    listen_overflow: int = 0
    blackhole: int = 0
    pending: int = 0
    cookies: int = 0
    cookies_evicted: int = 0


def derived_key(secret: bytes) -> bytes:
    """Return the key of an engine that was given none."""
    return blake2s(b"Fast Open", key=secret, digest_size=KEY_OCTETS).digest()


def checked_keys(primary: bytes, backup: bytes | None) -> tuple[bytes, ...]:
    """Return the keys there are, the one that makes cookies first.

    Raises:
        BadConfigError: One has not `KEY_OCTETS` octets.
    """
    keys = (primary,) if backup is None else (primary, backup)
    if any(len(key) != KEY_OCTETS for key in keys):
        raise BadConfigError(f"a Fast Open key has {KEY_OCTETS} octets")
    return keys


def cookie_for(four_tuple: FourTuple, key: bytes) -> bytes:
    """Return the cookie of the remote address, at this local one; ports do not count (RFC 7413 4.1.2)."""
    name = f"{four_tuple.local_address} {four_tuple.remote_address}".encode()
    return blake2s(name, key=key, digest_size=COOKIE_OCTETS).digest()


class Pending:
    """PendingFastOpenRequests: connections handed over on the word of a cookie (RFC 7413 section 5.1).

    Whoever replays a cookie from a forged address fills this, and no more than this: a connection leaves it
    when its peer acknowledges our SYN. One that is reset keeps its place for a minute.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: set[FourTuple] = set()
        self._resets: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._resets)

    def has_room(self, now: float) -> bool:
        """Whether there may be another; like Linux, this forgets one old reset at a time."""
        if len(self) >= self.limit and self._resets and self._resets[0] <= now:
            self._resets.popleft()
        return len(self) < self.limit

    def add(self, four_tuple: FourTuple) -> None:
        """Add a connection."""
        self._waiting.add(four_tuple)

    def discard(self, four_tuple: FourTuple) -> None:
        """Let a connection go whose peer has acknowledged our SYN, or that has ended."""
        self._waiting.discard(four_tuple)

    def note_reset(self, now: float, four_tuple: FourTuple) -> None:
        """Let a connection go that its peer has reset, and keep its place."""
        if four_tuple in self._waiting:
            self._waiting.remove(four_tuple)
            self._resets.append(now + RESET_COUNTS_S)


class Server:
    """The server's end of Fast Open, for every port of an engine.

    Args:
        rules: With the bits that let a server take part.
        keys: See `checked_keys`.
    """

    def __init__(self, rules: TcpConfig, keys: Sequence[bytes]) -> None:
        self.keys = tuple(keys)
        self.pending = Pending(_most_pending(rules))
        self._without_cookie = bool(rules.fastopen & SERVER_WITHOUT_COOKIE)
        self.passive = self.passive_fail = self.passive_alt_key = 0
        self.cookie_reqd = self.listen_overflow = 0

    def set_rules(self, rules: TcpConfig) -> None:
        """Play by *rules* from now on; what is pending stays so."""
        self.pending.limit = _most_pending(rules)
        self._without_cookie = bool(rules.fastopen & SERVER_WITHOUT_COOKIE)

    def judge(
        self, now: float, four_tuple: FourTuple, syn: Segment, has_room: Callable[[FourTuple], bool]
    ) -> FastOpenState | None:
        """Say what becomes of a SYN, beside a half-open connection.

        Args:
            now: Monotonic seconds.
            four_tuple: The connection, our end first.
            syn: The peer's.
            has_room: Whether the pool would take a connection now; asked of one that may be handed over.

        Returns:
            None for an ordinary handshake.
        """
        option = parse(syn.options).fast_open
        asks = option is not None and not option.cookie
        self.cookie_reqd += asks
        if option is None and not (syn.payload and self._without_cookie):
            return None
        if not self.pending.has_room(now):
            self.listen_overflow += 1
            return None
        if self._without_cookie:
            return self._take(four_tuple, option) if has_room(four_tuple) else None
        assert option is not None
        fresh = option._replace(cookie=cookie_for(four_tuple, self.keys[0]))
        if asks:
            return FastOpenState(option, given=fresh)
        which = self._which_key(four_tuple, option.cookie)
        if which is None or not has_room(four_tuple):
            self.passive_fail += 1
            return FastOpenState(option, given=fresh)
        self.passive_alt_key += which > 0
        return self._take(four_tuple, option, fresh if which else None)

    def _take(
        self, four_tuple: FourTuple, option: FastOpen | None, given: FastOpen | None = None
    ) -> FastOpenState:
        self.passive += 1
        self.pending.add(four_tuple)
        return FastOpenState(option, given=given, accepted=True)

    def _which_key(self, four_tuple: FourTuple, cookie: bytes) -> int | None:
        """Return the index of the key that made *cookie*."""
        for index, key in enumerate(self.keys):
            if compare_digest(cookie_for(four_tuple, key), cookie):
                return index
        return None


def _most_pending(rules: TcpConfig) -> int:
    """Linux gives each listener its own backlog when it turns Fast Open on for all."""
    return rules.fastopen_qlen or (rules.max_syn_backlog if rules.fastopen & ALL_LISTENERS else 0)


def serves(rules: TcpConfig) -> bool:
    """Whether *rules* let a server take part."""
    return bool(rules.fastopen & SERVER) and _most_pending(rules) > 0


def fits(option: FastOpen | AccEcn | UserTimeout, others: int) -> bool:
    """Whether there is room for *option* beside *others*, octets (RFC 7413 section 4.2.2, 1.a)."""
    return others + len(filled_up(option)) <= MAX_OCTETS


class _Server(NamedTuple):
    """What a client remembers of a server: the MSS it sent, its cookie, and whether to ask the old way."""

    mss: int | None = None
    cookie: FastOpen | None = None
    try_experimental: int = 0


class Client:
    """The client's end of Fast Open, for every connection an engine opens: its cookies, and when to pause.

    Args:
        rules: The engine's.
    """

    def __init__(self, rules: TcpConfig) -> None:
        self._rules = rules
        self._servers: OrderedDict[tuple[str, str], _Server] = OrderedDict()
        self._paused_until = -inf
        self._black_holes = 0
        self.active = self.active_fail = self.blackhole = self.evicted = 0

    def set_rules(self, rules: TcpConfig) -> None:
        """Play by *rules* from now on; what is remembered of servers stays so."""
        self._rules = rules

    def __len__(self) -> int:
        """How many servers are remembered."""
        return len(self._servers)

    def propose(self, now: float, four_tuple: FourTuple, path_mss: int) -> FastOpenState | None:
        """Say how to open a connection.

        Args:
            now: Monotonic seconds.
            four_tuple: The connection.
            path_mss: The largest text that the path carries in a segment without options, octets.

        Returns:
            None for an ordinary handshake.
        """
        if not self._rules.fastopen & CLIENT or now < self._paused_until:
            return None
        path = _path_of(four_tuple)
        known = self._servers.get(path, _NOTHING_KNOWN)
        if known is not _NOTHING_KNOWN:
            self._servers.move_to_end(path)
        # Like Linux, leave room for as many options as a segment can have: some may be added on the way.
        mss = min(known.mss or DEFAULT_MSS[four_tuple.family], path_mss)
        room = max(0, mss - MAX_OCTETS)
        if self._rules.fastopen & CLIENT_WITHOUT_COOKIE:
            return FastOpenState(None, room=room)
        if known.cookie is not None:
            return FastOpenState(known.cookie, room=room)
        return FastOpenState(FastOpen(b"", experimental=known.try_experimental == 1))

    def cookie(self, local: str, remote: str) -> bytes | None:
        """Return the cookie that goes from *local* to the server at *remote*, None if none is known."""
        known = self._servers.get((local, remote), _NOTHING_KNOWN)
        return None if known.cookie is None else known.cookie.cookie

    def learn(self, four_tuple: FourTuple, state: FastOpenState) -> None:
        """Remember what the SYN+ACK said (RFC 7413 section 4.1.3)."""
        if state.syn_data:
            complete = state.syn_data_acked == state.syn_data
            self.active += complete
            self.active_fail += not complete
            if complete:
                self._black_holes = 0
        path = _path_of(four_tuple)
        known = self._servers.pop(path, _NOTHING_KNOWN)
        if state.peer_mss:
            known = known._replace(mss=state.peer_mss)
        if state.given is not None and state.given.cookie:
            known = known._replace(cookie=state.given)
        elif state.given is None and known.cookie is None:
            known = known._replace(try_experimental=max(known.try_experimental, _next_try(state)))
        self._servers[path] = known
        if len(self._servers) > MAX_COOKIES:
            self._servers.popitem(last=False)
            self.evicted += 1

    def timed_out(self, now: float, retries: int, *, gave_up: bool) -> None:
        """Note a timeout of a connection that was opened fast, the *retries*-th in a row, or its last."""
        if retries == TIMEOUTS_OF_A_BLACK_HOLE or (gave_up and retries < TIMEOUTS_OF_A_BLACK_HOLE):
            self._note_black_hole(now)

    def _note_black_hole(self, now: float) -> None:
        """Pause: nothing came through of a connection that was opened fast (RFC 7413 section 4.1.3.1).

        For all servers, as in Linux: what swallows such segments stands near the client, mostly.
        """
        pause_s = self._rules.fastopen_blackhole_timeout_s
        if pause_s:
            self._paused_until = now + pause_s * (1 << min(self._black_holes, MAX_PAUSE_DOUBLINGS))
            self._black_holes += 1
            self.blackhole += 1


_NOTHING_KNOWN: Final = _Server()


def _path_of(four_tuple: FourTuple) -> tuple[str, str]:
    return four_tuple.local_address, four_tuple.remote_address


def _next_try(state: FastOpenState) -> int:
    """Which option to ask with after a request that got no answer: the experimental one once, as in Linux."""
    if state.offered is None or state.syn_again or state.syn_data:
        return 0
    return 2 if state.offered.experimental else 1


def statistics(client: Client, server: Server | None) -> FastOpenStatistics:
    """Return what both ends have counted."""
    counted = FastOpenStatistics(
        active=client.active,
        active_fail=client.active_fail,
        blackhole=client.blackhole,
        cookies=len(client),
        cookies_evicted=client.evicted,
    )
    if server is None:
        return counted
    return counted._replace(
        passive=server.passive,
        passive_fail=server.passive_fail,
        passive_alt_key=server.passive_alt_key,
        cookie_reqd=server.cookie_reqd,
        listen_overflow=server.listen_overflow,
        pending=len(server.pending),
    )
