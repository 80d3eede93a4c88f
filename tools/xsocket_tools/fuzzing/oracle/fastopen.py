"""TCP Fast Open at a server: RFC 7413, over a shadow. What becomes of a SYN beside a half-open connection."""

from __future__ import annotations

from typing import Final

from xsocket.segment import Segment
from xsocket_tools.fuzzing.options import Options
from xsocket_tools.fuzzing.oracle.shadow import Shadow, World

SERVER, WITHOUT_COOKIE, ALL_LISTENERS, CLIENT = 0x2, 0x200, 0x400, 0x1
RESET_COUNTS_S: Final = 60.0
"""For how long a connection that was reset before its SYN was acknowledged takes its place (section 5.1)."""


def judge(world: World, shadow: Shadow, syn: Segment, options: Options, now: float) -> None:
    """Note whether the connection is established at once, and whether the SYN+ACK owes a cookie."""
    config = world.config
    most = config.fastopen_qlen or (config.max_syn_backlog if config.fastopen & ALL_LISTENERS else 0)
    without = bool(config.fastopen & WITHOUT_COOKIE)
    if not config.fastopen & SERVER or not most:
        return
    if options.cookie is None and not (syn.payload and without):
        return
    if not _has_room(world, shadow.version, most, now):
        return
    has_room = not world.is_pool_full(shadow) or config.pool_policy == "evict"
    known = world.cookies.get(shadow.four_tuple.remote_address)
    valid = without or (bool(options.cookie) and options.cookie == known)
    shadow.fast = valid and has_room
    shadow.owes_cookie = not without and not shadow.fast
    if shadow.fast:
        world.pending.append(shadow)


def _has_room(world: World, version: int, most: int, now: float) -> bool:
    """Whether one more may be pending; an old reset makes room for one at a time, as in Linux."""
    alone = world.queues is not None
    until = [each for each in world.pending_until if not alone or each[0] == version]
    pending = sum(not alone or each.version == version for each in world.pending)
    if pending + len(until) >= most and until and until[0][1] <= now:
        world.pending_until.remove(until.pop(0))
    return pending + len(until) < most
