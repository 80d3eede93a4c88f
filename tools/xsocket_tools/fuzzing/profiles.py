"""The rules that cases play by: tables small enough to fill, times short enough to pass."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

BASE: Final[dict[str, Any]] = {
    "invalid_ratelimit_s": 0.0,
    "challenge_ack_limit": 1 << 24,
    "loss_probe": False,
    "ecn": 0,
    "fastopen": 0,
    "fastopen_blackhole_timeout_s": 0.0,
}
"""No limit on answers and no probe between timeouts (where time is real, two round trips have soon passed):
what is right follows from the segments alone."""


def rules_for(random: Random) -> dict[str, Any]:
    """Return the rules of one case."""
    rules = dict(BASE)
    chance = random.random()
    if chance < 0.45:
        return rules
    made = _PROFILES[int(random.random() * len(_PROFILES))]
    rules.update(made(random))
    return rules


def _small_backlog(random: Random) -> dict[str, Any]:
    return {
        "max_syn_backlog": random.choice((1, 2)),
        "syn_cookies": random.choice(("never", "never", "auto")),
        "half_open_policy": random.choice(("ignore", "refuse", "evict")),
    }


def _small_pool(random: Random) -> dict[str, Any]:
    return {
        "pool_capacity": random.choice((1, 2)),
        "pool_policy": random.choice(("ignore", "refuse", "evict")),
        "syn_cookies": random.choice(("never", "always")),
    }


def _few_connections(random: Random) -> dict[str, Any]:
    if random.random() < 0.5:
        return {"max_connections": random.choice((1, 2))}
    return {
        "max_syn_backlog_per_source": 1,
        "syn_cookies": random.choice(("never", "auto")),
        "half_open_policy": random.choice(("ignore", "refuse")),
    }


def _cookies(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {"syn_cookies": "always"}
    return made | {"max_connections": 1} if random.random() < 0.2 else made


def _short_times(random: Random) -> dict[str, Any]:
    return {
        "synack_retries": random.choice((0, 1, 2)),
        "syn_retries": random.choice((0, 1, 2)),
        "syn_linear_timeouts": random.choice((0, 2)),
        "retries2": random.choice((1, 2, 3)),
        "orphan_retries": random.choice((1, 2)),
        "time_wait_s": random.choice((1.0, 2.0, 0.0)),
        "fin_timeout_s": random.choice((1.0, 3.0)),
    }


def _switches(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        name: not default
        for name, default in (
            ("rfc1337", False),
            ("timestamps_required", False),
            ("timestamps", True),
            ("sack", True),
            ("window_scaling", True),
            ("dsack", True),
            ("nodelay", False),
            ("soft_errors_abort", True),
            ("minshall", True),
        )
        if random.random() < 0.3
    }
    return made


def _small_buffers(random: Random) -> dict[str, Any]:
    return {
        "rmem": random.choice((256, 1000, 4096)),
        "wmem": random.choice((256, 2000, 4096)),
        "quickacks": random.choice((0, 1)),
    }


def _slow_acks(random: Random) -> dict[str, Any]:
    return {
        "quickacks": random.choice((0, 0, 1)),
        "delayed_ack_s": random.choice((0.04, 0.2, 0.499, 0.0)),
    }


def _watchful(random: Random) -> dict[str, Any]:
    return {
        "keepalive": True,
        "keepalive_time_s": random.choice((1.0, 5.0)),
        "keepalive_intvl_s": random.choice((1.0, 2.0)),
        "keepalive_probes": random.choice((1, 2)),
    }


def _fast_open(random: Random) -> dict[str, Any]:
    return {
        "fastopen": random.choice((2, 3, 0x402, 0x202)),
        "fastopen_qlen": random.choice((1, 5)),
    }


def _clients_fast_open(random: Random) -> dict[str, Any]:
    return {"fastopen": random.choice((1, 5))}


def _marks(random: Random) -> dict[str, Any]:
    return {"ecn": random.choice((1, 2)), "quickacks": random.choice((0, 16))}


def _limits(random: Random) -> dict[str, Any]:
    return {
        "challenge_ack_limit": random.choice((1, 2, 4, 1 << 24)),
        "invalid_ratelimit_s": random.choice((0.0, 0.0, 0.5)),
    }


def _few_that_end(random: Random) -> dict[str, Any]:
    return {
        "max_tw_buckets": random.choice((0, 1, 2)),
        "max_orphans": random.choice((0, 1, 2)),
        "tw_reuse": random.random() < 0.5,
    }


def _impatience(random: Random) -> dict[str, Any]:
    return {"user_timeout_s": random.choice((0.5, 3.0, 20.0))}


def _large_windows(random: Random) -> dict[str, Any]:
    return {"initial_cwnd": 100, "wmem": 1 << 20, "tw_reuse": random.random() < 0.5}


def _pool_patience(random: Random) -> dict[str, Any]:
    return {"pool_timeout_s": random.choice((20.0, 60.0))}


def _strict(random: Random) -> dict[str, Any]:
    return {"min_rto_s": 1.0, "min_pmtu": random.choice((68, 552)), "quickacks": 0}


_PROFILES: Final[tuple[Callable[[Random], dict[str, Any]], ...]] = (
    _small_backlog,
    _small_pool,
    _few_connections,
    _cookies,
    _short_times,
    _switches,
    _small_buffers,
    _slow_acks,
    _watchful,
    _strict,
    _fast_open,
    _fast_open,
    _marks,
    _limits,
    _few_that_end,
    _impatience,
    _large_windows,
    _clients_fast_open,
    _pool_patience,
)
