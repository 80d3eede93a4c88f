"""What a recorded connection tells of its target: MTU, what it offers, what it was told to. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket import Segment
from xsocket.segment import ACK, AE, CWR, ECE, SYN
from xsocket.seqnum import MASK
from xsocket.tcp.options import DEFAULT_MSS, Parsed, parse
from xsocket_tools.scenarios.conversations import Conversation, End
from xsocket_tools.scenarios.settings import Settings

_EVERYTHING: Final = Parsed(mss=0, window_scale=0, sack_permitted=True, ts_val=0)
"""What a SYN can offer."""
_TIMESTAMPS_OCTETS: Final = 12
_FAST_OPEN_CLIENT, _FAST_OPEN_SERVER = 5, 2
"""tcp_fastopen of Linux (ip-sysctl.rst): client, with text in the SYN without a cookie; server."""
_FAST_OPEN_WITHOUT_COOKIE: Final = 0x200
_USUAL_SHIFT: Final = 7
_USUAL_WINDOW: Final = 64_240
"""What Linux offers, and at least opens with, by the buffers that scripts have (tcp_rmem)."""


class Circumstances(NamedTuple):
    """What both ends said of themselves in their first segments.

    Attributes:
        settings: Of a run with the same IP version.
        syn: The target's SYN, or SYN+ACK; None where it has sent none.
        remote_syn: The other end's; None where it has sent none.
        is_client: Whether the target opened the connection, alone or as the other end did so too.
    """

    settings: Settings
    syn: Segment | None
    remote_syn: Segment | None
    is_client: bool

    @property
    def fast_open(self) -> bool:
        """Whether the target, a server, does Fast Open."""
        return self.syn is not None and (bool(parse(self.syn.options).fast_open) or self._takes_text)

    @property
    def _takes_text(self) -> bool:
        """Whether the target acknowledges text of a SYN with its own."""
        both = self.syn is not None and self.remote_syn is not None
        if not both or self.is_client:
            return False
        assert self.syn is not None
        assert self.remote_syn is not None
        return (self.syn.acknowledgment - self.remote_syn.seq) & MASK > 1

    @property
    def shift(self) -> int:
        """By how much the target's windows are scaled (RFC 7323 section 2.3)."""
        ours, theirs = (_offer(syn).window_scale for syn in (self.syn, self.remote_syn))
        return 0 if ours is None or theirs is None else ours

    @property
    def receive_buffer(self) -> int | None:
        """What to set SO_RCVBUF to, octets, for windows as small as the target's; None for nothing."""
        if self.syn is None:
            return None
        shift = parse(self.syn.options).window_scale
        if shift is not None and 0 < shift < _USUAL_SHIFT:
            return _scaled_by(shift)
        is_small = self.syn.window < _USUAL_WINDOW
        return self.syn.window if shift == 0 or (shift is None and is_small) else None

    @property
    def full_octets(self) -> int:
        """The text of a segment that is full, as the target sends it."""
        ours, theirs = _offer(self.syn), _offer(self.remote_syn)
        default = DEFAULT_MSS[self.settings.version]
        least = min(ours.mss or default, theirs.mss or default)
        with_timestamps = ours.ts_val is not None and theirs.ts_val is not None
        return least - (_TIMESTAMPS_OCTETS if with_timestamps else 0)

    def flags(self) -> list[tuple[str, str]]:
        """Return the script's flags: the IP version, and the MTU that the target's MSS tells of."""
        settings = self.settings
        found: list[tuple[str, str]] = [("ip_version", settings.ip_version)]
        mss = _offer(self.syn).mss
        if mss is not None and mss + settings.header_octets != settings.mtu:
            found.append(("mtu", str(min(0xFFFF, mss + settings.header_octets))))
        return found

    def sysctls(self, longest_write: int) -> list[tuple[str, str]]:
        """Return the sysctls by which a target of Linux's defaults does what this one did.

        Args:
            longest_write: How many octets it has to take at once.
        """
        if self.syn is None:
            return []
        offered = parse(self.syn.options)
        possible = _EVERYTHING if self.is_client else _offer(self.remote_syn)
        found = [
            (name, "0")
            for name, missing in (
                ("tcp_timestamps", offered.ts_val is None and possible.ts_val is not None),
                ("tcp_window_scaling", offered.window_scale is None and possible.window_scale is not None),
                ("tcp_sack", not offered.sack_permitted and possible.sack_permitted),
            )
            if missing
        ]
        found += self._ecn(self.syn) + self._fast_open(self.syn)
        if offered.window_scale is not None and offered.window_scale > _USUAL_SHIFT:
            found.append(("tcp_rmem", f'"4096 131072 {_scaled_by(offered.window_scale)}"'))
        if longest_write > _LONG_WRITE:
            buffer = 1 << (4 * longest_write).bit_length()
            found.append(("tcp_wmem", f'"4096 {buffer} {buffer}"'))
        return [(f"net.ipv4.{name}", value) for name, value in found]

    def _ecn(self, syn: Segment) -> list[tuple[str, str]]:
        """RFC 3168 section 6.1.1, RFC 9768 section 3.1; Linux answers to the former, and asks for neither."""
        if self.is_client:
            return [("tcp_ecn", "3" if syn.flags & AE else "1")] if syn.flags & (ECE | CWR) else []
        asked = 0 if self.remote_syn is None else self.remote_syn.flags
        if asked & (ECE | CWR) != ECE | CWR:
            return []
        if asked & AE and syn.flags & (AE | CWR):
            return [("tcp_ecn", "3")]
        return [] if syn.flags & ECE else [("tcp_ecn", "0")]

    def _fast_open(self, syn: Segment) -> list[tuple[str, str]]:
        if self.is_client:
            without_cookie = syn.payload and not parse(syn.options).fast_open
            return [("tcp_fastopen", str(_FAST_OPEN_CLIENT))] if without_cookie else []
        if not self.fast_open:
            return []
        return [
            ("tcp_fastopen", str(_FAST_OPEN_SERVER | (_FAST_OPEN_WITHOUT_COOKIE if self._takes_text else 0)))
        ]


_LONG_WRITE: Final = 1 << 14
"""Linux takes as much at once whatever its buffers."""


def circumstances(conversation: Conversation, local: End) -> Circumstances:
    """Return those of a connection whose end *local* is the target."""
    ours = [each for each in conversation.segments(local) if each.syn]
    theirs = [each for each in conversation.segments(conversation.other(local)) if each.syn]
    return Circumstances(
        Settings(ip_version="ipv6" if conversation.version == 6 else "ipv4"),
        ours[0] if ours else None,
        theirs[0] if theirs else None,
        any(each.flags & (SYN | ACK) == SYN for each in ours),
    )


def _scaled_by(shift: int) -> int:
    """Return a buffer that Linux scales by *shift* bits, one in the middle of those."""
    return 3 << (14 + shift)


def _offer(syn: Segment | None) -> Parsed:
    return Parsed() if syn is None else parse(syn.options)
