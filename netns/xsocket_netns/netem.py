"""The kernel's own impairments (tc-netem(8)), where it has them; many kernels and user namespaces do not."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xsocket_netns import netlink
from xsocket_netns.errors import LabUsageError, NetemUnavailableError, NetlinkRefusedError
from xsocket_netns.namespace import Namespace

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

_HANDLE = "1:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Netem:
    """What happens to the frames that leave by an interface; random, and not the same from run to run.

    Attributes:
        delay_s: How long each waits, seconds.
        jitter_s: How far from that it may be; frames may overtake each other.
        loss, duplicate, corrupt: Probabilities, 0 to 1.
        reorder: Probability that a frame does not wait; needs a delay.
        rate_bps: Bits per second; None for no limit.
        limit: Frames that may wait.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    rate_bps: float | None = None
    limit: int = 1000

    def parameters(self) -> dict[str, Any]:
        """Return them in pyroute2's words: microseconds, percent, octets per second.

        Raises:
            LabUsageError: A value is outside its range.
        """
        probabilities = (self.loss, self.duplicate, self.reorder, self.corrupt)
        if (
            not all(0.0 <= each <= 1.0 for each in probabilities)
            or not 0 <= self.jitter_s <= self.delay_s
            or (self.reorder and not self.delay_s)
            or (self.rate_bps is not None and self.rate_bps < 8)
            or self.limit < 1
        ):
            raise LabUsageError(
                f"netem cannot do that: {self}",
                remedy="Probabilities are 0 to 1, the jitter at most the delay; reordering needs a delay.",
            )
        found: dict[str, Any] = {
            "delay": round(self.delay_s * 1e6),
            "jitter": round(self.jitter_s * 1e6),
            "loss": self.loss * 100,
            "duplicate": self.duplicate * 100,
            "prob_reorder": self.reorder * 100,
            "prob_corrupt": self.corrupt * 100,
            "limit": self.limit,
        }
        if self.rate_bps is not None:
            found["rate"] = int(self.rate_bps / 8)
        return found


def add(namespace: Namespace, index: int, netem: Netem) -> None:
    """Let *netem* hold for what leaves *namespace* by the interface *index*.

    Raises:
        NetemUnavailableError: The kernel has no netem, or may not load it from here.
        LabUsageError: A value is outside its range.
    """
    parameters = netem.parameters()

    def action(route: IPRoute) -> None:
        route.tc("add", "netem", index, _HANDLE, **parameters)

    try:
        netlink.on(namespace, action)
    except NetlinkRefusedError as error:
        if getattr(error.__cause__, "code", None) in (errno.ENOENT, errno.EOPNOTSUPP):
            raise NetemUnavailableError("this kernel has no netem") from error
        raise
