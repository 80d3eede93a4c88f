"""The demonstration: many Linux clients at once, an engine without a listener, three ways to claim.

Runs it and measures it; `demo` prints. What is reported is counted at both ends, never assumed.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from xsocket import Engine, Event, EventKind, FourTuple, Pattern, TcpConfig, Trace, XsocketError
from xsocket.runtime import EngineStatistics
from xsocket_netns import Host, Lab
from xsocket_tools import clients as crowd
from xsocket_tools.clients import Client, Report
from xsocket_tools.consumers import Answer, Consumer, ExactConsumer, Pool, WaitingConsumer, echo

PORT: Final = 80
CLIENT_ADDRESSES: Final = ("10.0.0.1", "fd00::1")
ENGINE_ADDRESSES: Final = ("10.0.0.2", "fd00::2")
CLIENT_NETWORKS: Final = ("10.0.0.0/24", "fd00::/64")
_PREFIX_LENGTHS = (24, 64)

EVENTS_PER_CLIENT: Final = 100
"""More than a connection of the demonstration has, so that a capture is complete."""

_OCTETS_TO_QUEUE: Final = 1 << 26
_GLANCE_S: Final = 0.0005


class Claims(NamedTuple):
    """What one consumer got.

    Attributes:
        consumer: Its name.
        by: How it claims, in words.
        connections: How many it was handed.
        example: The first of them.
    """

    consumer: str
    by: str
    connections: int
    example: FourTuple | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured.

    Attributes:
        clients: How many there were.
        claims: Who claimed what.
        claimed: Connections of clients that exactly one consumer was handed.
        claimed_twice: ... that were handed out more than once.
        lost: ... whose client had connected, and that nobody was handed.
        payloads_ok: Clients that got their own payload back, whole.
        failures: What the others report, and how many of them.
        resets_by_kernel: Resets that the kernel of the engine's namespace sent (Tcp OutRsts, IPv4 and IPv6).
        seconds: From the first SYN to the last answer.
        statistics: What the engine counted.
        trace: What the engine recorded.
        example: A 4-tuple whose whole life is in the trace, if possible one claimed exactly.
    """

    clients: int
    claims: list[Claims]
    claimed: int
    claimed_twice: int
    lost: int
    payloads_ok: int
    failures: dict[str, int]
    resets_by_kernel: int
    seconds: float
    statistics: EngineStatistics
    trace: Trace
    example: FourTuple | None

    @property
    def ok(self) -> bool:
        """Whether every payload came back intact and every connection was claimed exactly once."""
        everything = self.payloads_ok == self.claimed == self.clients
        return everything and not (self.claimed_twice or self.lost or self.resets_by_kernel)

    def handshake(self, four_tuple: FourTuple) -> list[Event]:
        """Return the events of one connection up to its claim; all of them when nobody claimed it."""
        events = self.trace.of(four_tuple)
        ends = [number for number, event in enumerate(events, 1) if event.pool_event == "claimed"]
        return events[: ends[0]] if ends else events

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` says."""
        host = self.statistics.host
        return {
            "ok": self.ok,
            "clients": self.clients,
            "consumers": len(self.claims),
            "established": host.established,
            "claimed": self.claimed,
            "claimed_twice": self.claimed_twice,
            "lost": self.lost,
            "resets_by_kernel": self.resets_by_kernel,
            "resets_by_engine": host.resets_sent,
            "payloads_ok": self.payloads_ok,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "segments_received": host.segments_received,
            "segments_sent": host.segments_sent,
            "drops": {reason.name: count for reason, count in host.drops.items()},
            "dropped_by_kernel": self.statistics.link.dropped_by_kernel,
            "claims": [
                {
                    "consumer": each.consumer,
                    "by": each.by,
                    "connections": each.connections,
                    "example": None if each.example is None else list(each.example),
                }
                for each in self.claims
            ],
        }


def demonstrate(
    clients: int,
    consumers: int,
    *,
    answer: Answer = echo,
    patience_s: float = 30.0,
    whole_trace: bool = False,
    on_done: Callable[[], object] = lambda: None,
) -> Outcome:
    """Make a lab of two hosts, run clients and consumers in it, and return what was measured.

    Args:
        clients: How many, at most `xsocket_tools.clients.MOST`; each takes a file descriptor.
        consumers: How many threads claim.
        answer: What the consumers send back; the demonstration succeeds with an echo only.
        patience_s: When to give up on clients that are not done.
        whole_trace: Keep all events, not only the last 100,000.
        on_done: Called after each client.

    Raises:
        LabError: The machine does not allow labs.
        XsocketError: It does not allow packet sockets, or the engine lost its interface.
        OSError: There are not enough file descriptors.
    """
    with Lab() as lab:
        left, right = lab.host("client"), lab.host("server")
        link = lab.link(left, right, addresses=(_with_prefix_lengths(CLIENT_ADDRESSES), []))
        _queue_everything(left, link["client"].name)
        engine = Engine(
            link["server"].name,
            _with_prefix_lengths(ENGINE_ADDRESSES),
            config=TcpConfig(max_syn_backlog=max(clients, 4096)),
            trace=Trace(max(clients * EVENTS_PER_CLIENT, 100_000)) if whole_trace else Trace(),
        )
        planned = crowd.plan(clients, CLIENT_ADDRESSES, ENGINE_ADDRESSES, PORT)
        resets_before = right.run(resets_sent_by_kernel)
        with right.enter():
            engine.start()
        try:
            claimers = _start_consumers(engine.pool, consumers, planned, answer, patience_s)
            sockets = left.run(crowd.open_sockets, planned)
            started = time.monotonic()
            reports = crowd.run(planned, sockets, started + patience_s, on_done)
            seconds = time.monotonic() - started
        except BaseException:
            _stop_at_once(engine)
            raise
        engine.stop()
        for claimer in claimers:
            claimer.join(patience_s)
        resets = right.run(resets_sent_by_kernel) - resets_before
    return _outcome(engine, reports, claimers, resets, seconds)


def resets_sent_by_kernel() -> int:
    """Return the Tcp OutRsts counter of the calling thread's namespace; it counts IPv4 and IPv6 alike."""
    # tcp_v6_send_response (net/ipv6/tcp_ipv6.c) counts in the same place as tcp_v4_send_reset.
    names, values = (
        line.split()
        for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("OutRsts")])


def _with_prefix_lengths(addresses: Sequence[str]) -> list[str]:
    return [f"{address}/{length}" for address, length in zip(addresses, _PREFIX_LENGTHS, strict=True)]


def _queue_everything(host: Host, interface: str) -> None:
    """Let all SYNs wait for the engine's station address; the kernel keeps about 100 by default."""
    for family in ("ipv4", "ipv6"):
        host.sysctl(f"net/{family}/neigh/{interface}/unres_qlen_bytes", _OCTETS_TO_QUEUE)


def _start_consumers(
    pool: Pool, count: int, planned: Sequence[Client], answer: Answer, patience_s: float
) -> list[Consumer]:
    """Start *count* consumers: every third claims whichever is next, exact 4-tuples, or a pattern.

    All claims are in place on return, the exact ones first: the earliest that matches gets a connection.
    """
    patterns = [Pattern(local_port=PORT, remote=network) for network in CLIENT_NETWORKS]
    exact_numbers = [number for number in range(count) if number % 3 == 1]
    reserved = planned[: len(planned) * len(exact_numbers) // count]
    consumers: list[Consumer] = []
    for number in range(count):
        name = f"consumer {number + 1}"
        if number in exact_numbers:
            share = reserved[exact_numbers.index(number) :: len(exact_numbers)]
            keys = [client.four_tuple for client in share]
            consumers.append(ExactConsumer(name, pool, answer, patience_s, keys))
        else:
            wanted = patterns[number // 3 % len(patterns)] if number % 3 == 2 else None
            consumers.append(WaitingConsumer(name, pool, answer, patience_s, wanted))
    deadline = time.monotonic() + patience_s
    placed = 0
    for consumer in sorted(consumers, key=lambda each: not isinstance(each, ExactConsumer)):
        consumer.start()
        placed += consumer.claims_at_once
        while pool.statistics().waiting_claims < placed and time.monotonic() < deadline:
            time.sleep(_GLANCE_S)
    return consumers


def _stop_at_once(engine: Engine) -> None:
    """Stop in the midst of an error, which matters more than one on the way out."""
    with contextlib.suppress(XsocketError):
        engine.stop(linger=0)


def _outcome(
    engine: Engine, reports: Sequence[Report], consumers: Sequence[Consumer], resets: int, seconds: float
) -> Outcome:
    times = Counter(key for consumer in consumers for key in consumer.claimed)
    expected = [report.client.four_tuple for report in reports]
    assert engine.trace is not None
    return Outcome(
        clients=len(reports),
        claims=[
            Claims(each.name, each.way, len(each.claimed), each.claimed[0] if each.claimed else None)
            for each in consumers
        ],
        claimed=sum(times[key] == 1 for key in expected),
        claimed_twice=sum(times[key] > 1 for key in expected),
        lost=sum(report.connected and not times[report.client.four_tuple] for report in reports),
        payloads_ok=sum(report.intact for report in reports),
        failures=dict(Counter(report.failure for report in reports if report.failure is not None)),
        resets_by_kernel=resets,
        seconds=seconds,
        statistics=engine.statistics(),
        trace=engine.trace,
        example=_example(engine.trace, consumers),
    )


def _example(trace: Trace, consumers: Sequence[Consumer]) -> FourTuple | None:
    """Return a connection whose SYN the trace still holds; rather one that was claimed by its 4-tuple."""
    begun = [event.four_tuple for event in trace if _is_first_syn(event)]
    exact = {key for each in consumers if isinstance(each, ExactConsumer) for key in each.claimed}
    return next((key for key in begun if key in exact), begun[0] if begun else None)


def _is_first_syn(event: Event) -> bool:
    return event.kind is EventKind.RECEIVED and event.segment is not None and event.segment.syn
