"""Who may connect to a pool server, and what each may claim. Pure; others look up the names of users."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from xsocket.errors import PoolAccessError
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.waiting import Wanted

EVERYTHING: Final = Pattern()
ROOT: Final = 0


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel vouches for it (unix(7), SO_PEERCRED).

    Attributes:
        pid: The process that connected.
        uid: Its user then.
        groups: Its group and supplementary groups then.
    """

    pid: int
    uid: int
    groups: tuple[int, ...] = ()


class ClaimPolicy:
    """What each user may claim: a `Pattern`, or None for everything. Immutable.

    Of several entries that fit, that of the user counts, else the first of a group. Root and the server's own
    user may claim everything, unless they are named. Whoever else is not named may not even connect.

    Args:
        users: By number.
        groups: By number.
    """

    __slots__ = ("_groups", "_users")

    def __init__(
        self,
        users: Mapping[int, Pattern | None] | None = None,
        groups: Mapping[int, Pattern | None] | None = None,
    ) -> None:
        self._users = dict(users or {})
        self._groups = dict(groups or {})

    def allowed(self, peer: Peer, server_uid: int) -> Pattern | None:
        """Return what *peer* may claim of a server that *server_uid* runs; None for nothing."""
        if peer.uid in self._users:
            return self._users[peer.uid] or EVERYTHING
        if peer.uid in (ROOT, server_uid):
            return EVERYTHING
        for group, pattern in self._groups.items():
            if group in peer.groups:
                return pattern or EVERYTHING
        return None

    def __repr__(self) -> str:
        return f"ClaimPolicy(users={self._users!r}, groups={self._groups!r})"


def narrowed(wanted: Wanted, allowed: Pattern) -> Wanted:
    """Return what of *wanted* is *allowed*; what comes of it claims nothing else.

    Raises:
        PoolAccessError: Nothing of it is.
    """
    if isinstance(wanted, FourTuple):
        if not allowed.matches(wanted):
            raise PoolAccessError(f"{wanted} is not among what you may claim: {allowed}")
        return wanted
    if allowed == EVERYTHING:
        return wanted
    if wanted is None:
        return allowed
    both = wanted & allowed
    if both is None:
        raise PoolAccessError(f"nothing of {wanted} is among what you may claim: {allowed}")
    return both
