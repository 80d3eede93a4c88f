"""What two kernels tell of their segments at tracepoints: why one was dropped or reset, and which came again.

A tracepoint says nothing of namespaces, and others may play with the same addresses at the same time. So what
counts is told of the very buffer that our thread has handed over, or by our thread in a call; and a
retransmission counts where the path sees it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeVar

from xsocket.fourtuple import FourTuple
from xsocket_tools.tracefs import Told, TracefsError

FRAME: Final = "net/net_dev_queue"
DROP: Final = "skb/kfree_skb"
RESET: Final = "tcp/tcp_send_reset"
PROBE: Final = "tcp/tcp_probe"
AGAIN: Final = ("tcp/tcp_retransmit_skb", "tcp/tcp_retransmit_synack")
_IPV4: Final = 0x0800
_AF_INET: Final = 2
MOST_KEPT: Final = 256
_MEMORY_S: Final = 0.5
"""What was told and is not asked for in this time belongs to somebody else."""


class Tells(Protocol):
    """What a `Tracing` does."""

    def fields(self, event: str) -> frozenset[str]:
        """See `Tracing.fields`."""
        ...

    def number(self, event: str, symbol: str) -> int | None:
        """See `Tracing.number`."""
        ...

    def enable(self, event: str, only: str) -> bool:
        """See `Tracing.enable`."""
        ...

    def read(self) -> Iterable[Told]:
        """See `Tracing.read`."""
        ...


class Again(Enum):
    """How a kernel came to send a segment again."""

    BY_TIMER = "timer"
    FOR_AN_ANSWER = "answer"
    """What it got has shown that the segment is lost."""


class Heard(NamedTuple):
    """What a kernel tells of a segment that it got.

    Attributes:
        drop: The name of the reason for which it dropped it, such as ``TCP_OLD_SEQUENCE``; else empty.
        snd_una, snd_nxt: How these stood when the segment came; None where the kernel does not tell.
    """

    drop: str = ""
    snd_una: int | None = None
    snd_nxt: int | None = None


NOTHING: Final = Heard()

T = TypeVar("T")


class Tracepoints:
    """Follows the calling thread, which hands the frames over and makes the calls.

    Args:
        tracing: Where to enable the events; whoever has made it closes it.
    """

    def __init__(self, tracing: Tells) -> None:
        self._tracing = tracing
        self._thread = threading.get_native_id()
        self._resets: dict[FourTuple, tuple[float, str]] = {}
        self._again: dict[FourTuple, tuple[float, Again]] = {}
        """Of whatever connections the machine has; `MOST_KEPT` of each at most, the newest."""
        self._enable()

    def _enable(self) -> None:
        tracing, ours = self._tracing, f"common_pid == {self._thread}"
        processors = os.sched_getaffinity(0)
        # A frame is worked on in its sender's name, or by the same processor's ksoftirqd.
        here = f"CPU == {min(processors)}" if len(processors) == 1 else ours
        tracing.enable(FRAME, ours)
        if "reason" in tracing.fields(DROP):
            number = tracing.number(DROP, "OTHERHOST")  # what our capture sees
            tracing.enable(
                DROP, f"{here} && protocol == {_IPV4}" + (f" && reason != {number}" if number else "")
            )
        if "reason" in tracing.fields(RESET):
            tracing.enable(RESET, here)
        if "skbaddr" in tracing.fields(PROBE):
            tracing.enable(PROBE, f"{here} && family == {_AF_INET}")
        for event in AGAIN:
            tracing.enable(event, f"family == {_AF_INET}")

    def listen(self) -> None:
        """Take in what was told so far, of no frame."""
        for each in self._read():
            self._take(each)

    def heard(self, answered: FourTuple | None, octets: int) -> Heard:
        """Return what the kernel tells of a frame that it is through with; ask after each.

        Args:
            answered: The connection of which it is, local end first; None if it is of none.
            octets: Of the whole frame.
        """
        ours, calls, found = "", 0, NOTHING
        for each in self._read():
            address = each.fields.get("skbaddr", "")
            if each.name == "net_dev_queue":
                calls += each.is_call and each.pid == self._thread
                is_first = calls == 1 and each.is_call and each.fields.get("len") == str(octets)
                if is_first or address == ours:  # a buffer is used again when the kernel is through with it
                    ours = address if is_first else ""
            elif address == ours and each.name == "kfree_skb":
                found = found._replace(drop=_named(each))
            elif address == ours and each.name == "tcp_send_reset":
                if answered is not None:
                    _keep(self._resets, answered, _named(each))
            elif address == ours and each.name == "tcp_probe":
                found = _probed(found, each)
            else:
                self._take(each, answers=each.pid == self._thread and bool(ours))
        return found

    def reset(self, four_tuple: FourTuple) -> str:
        """Return why a kernel has just sent a reset, local end first; empty where it does not tell."""
        at, reason = self._resets.pop(four_tuple, (0.0, ""))
        return reason if _is_new(at) else ""

    def again(self, four_tuple: FourTuple) -> Again | None:
        """Return how a kernel came to send a segment again just now, local end first; None if it did not."""
        at, how = self._again.pop(four_tuple, (0.0, None))
        return how if _is_new(at) else None

    def _take(self, each: Told, *, answers: bool = False) -> None:
        """Keep what was told of no frame: an abort, or a retransmission."""
        fields = each.fields
        if each.name.startswith("tcp_retransmit_"):
            four_tuple = _four_tuple(
                f"{fields.get('saddr')}:{fields.get('sport')}", f"{fields.get('daddr')}:{fields.get('dport')}"
            )
            if four_tuple is not None:
                how = Again.FOR_AN_ANSWER if answers else Again.BY_TIMER
                _keep(self._again, four_tuple, how)
        elif each.name == "tcp_send_reset" and each.is_call and each.pid == self._thread:
            four_tuple = _four_tuple(fields.get("src", ""), fields.get("dest", ""))
            if four_tuple is not None:
                _keep(self._resets, four_tuple, _named(each))

    def _read(self) -> Iterable[Told]:
        try:
            return list(self._tracing.read())
        except TracefsError:
            return []


def _keep(kept: dict[FourTuple, tuple[float, T]], four_tuple: FourTuple, what: T) -> None:
    """Keep what was told just now of a connection; the oldest makes room."""
    kept.pop(four_tuple, None)
    kept[four_tuple] = time.monotonic(), what
    if len(kept) > MOST_KEPT:
        del kept[next(iter(kept))]


def _named(event: Told) -> str:
    """Return the reason that an event gives; empty if it is that there is none."""
    return event.fields.get("reason", "").replace("NOT_SPECIFIED", "")


def _is_new(at: float) -> bool:
    return time.monotonic() <= at + _MEMORY_S


def _probed(found: Heard, event: Told) -> Heard:
    try:
        una, nxt = (int(event.fields[name], 0) for name in ("snd_una", "snd_nxt"))
    except (KeyError, ValueError):
        return found
    return found._replace(snd_una=una, snd_nxt=nxt)


def _four_tuple(source: str, destination: str) -> FourTuple | None:
    """Return the 4-tuple of two endpoints such as ``10.0.0.1:80``; None for what is none."""
    (here, _, from_port), (there, _, to_port) = source.rpartition(":"), destination.rpartition(":")
    try:
        return FourTuple(here, int(from_port), there, int(to_port))
    except ValueError:
        return None
