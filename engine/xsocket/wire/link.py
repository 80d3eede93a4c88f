"""What every Link does: it carries Ethernet frames and knows nothing inside them. Wrappers are Links too."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from xsocket.fourtuple import FourTuple


class Frame(NamedTuple):
    """One frame as a Link received it.

    Attributes:
        data: The frame from its destination address to the end of its payload, without FCS.
        at_ns: When it arrived, in nanoseconds of Unix time, by the kernel's clock where there is one.
        checksum_ready: False when the sender's kernel left the TCP checksum to hardware that is not there
            (TP_STATUS_CSUMNOTREADY), so that the field holds no checksum to verify.
    """

    data: bytes
    at_ns: int
    checksum_ready: bool = True


class LinkStatistics(NamedTuple):
    """Counters of a Link since it was opened, in frames.

    Attributes:
        received: Frames handed over by `Link.receive`.
        sent: Frames accepted by `Link.send`.
        dropped_by_kernel: Frames for us that the receive buffer had no room for.
        truncated: Frames that arrived cut and were thrown away.
        send_failures: Frames that the kernel refused to send.
    """

    received: int = 0
    sent: int = 0
    dropped_by_kernel: int = 0
    truncated: int = 0
    send_failures: int = 0


class Link(Protocol):
    """A place to send frames to and receive them from. One thread receives; any one at a time sends."""

    @property
    def mac(self) -> bytes:
        """Our own station address, six octets."""
        ...

    @property
    def mtu(self) -> int:
        """The largest IP packet it carries, in octets."""
        ...

    def receive(self) -> list[Frame]:
        """Return *all frames that are ready*, oldest first, and an empty list when none is; never block.

        Raises:
            EnvironmentRefusedError: What it stands on went down or away. Frames from the network never raise.
        """
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send *frames* in order; what cannot be sent is counted, never raised."""
        ...

    def shed(self, connections: Sequence[FourTuple]) -> None:
        """Leave out what comes for *connections*, SYNs excepted, as far as it can; and no others any more."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that polls readable while frames are ready."""
        ...

    def statistics(self) -> LinkStatistics:
        """Return the counters so far."""
        ...

    def close(self) -> None:
        """Let go of what it holds; safe to call twice."""
        ...
