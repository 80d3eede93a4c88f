"""Octets without sense for the codec and the options: what must hold of any, and a harness for libFuzzer.

`python -m xsocket_tools.fuzzing.harness` lets atheris (extra `xsocket[harness]`) look for octets by which a
check fails; its arguments are those of libFuzzer, such as ``-max_total_time=60``.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from xsocket.errors import to_install
from xsocket.reasons import DropReason
from xsocket.tcp import options
from xsocket.wire.codec import Arrival, TcpPacket, decode, encode, read_plain
from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing import frames
from xsocket_tools.fuzzing import options as other


class HarnessError(ToolError):
    """The harness cannot run."""

    remedy = f"{to_install('harness')}. Atheris needs Linux and a Python that it has a wheel for."
    exit_status = 3


class WrongError(Exception):
    """Two ways to read the same octets disagree, or one raises."""


def check_frame(frame: bytes) -> None:
    """See that any octets are a frame or a named reason, in both of the engine's ways to read, and in ours.

    Raises:
        WrongError: They are not, or the ways disagree.
    """
    packet = decode(frame)
    plain = read_plain(frame, True)
    whole = (packet.four_tuple, packet.segment) if isinstance(packet, TcpPacket) else None
    if isinstance(plain, Arrival) and plain != whole:
        raise WrongError(f"read_plain has {plain}, and decode {packet}")
    heard = frames.read(frame)
    if isinstance(packet, TcpPacket):
        again = decode(encode(packet))
        if not isinstance(again, TcpPacket) or again.segment != packet.segment:
            raise WrongError(f"{packet.segment} is not what it is after encode")
        _compare(packet, heard)
    elif not isinstance(packet, DropReason):
        encode(packet)


def _compare(packet: TcpPacket, heard: frames.Heard | str | None) -> None:
    """Compare with the reader that knows no IPv6 extension headers."""
    if isinstance(heard, frames.Heard) and heard.segment != packet.segment:
        raise WrongError(f"the engine reads {packet.segment}, and the oracle {heard.segment}")


def check_options(raw: bytes) -> None:
    """See that any octets are options: the same for the machine, for people, and for the oracle.

    Raises:
        WrongError: They are not.
    """
    parsed, read = options.parse(raw), other.read(raw)
    ours = (parsed.mss, parsed.window_scale, parsed.sack_permitted, parsed.sack)
    if ours != (read.mss, read.shift, read.sack_ok, read.sack):
        raise WrongError(f"{raw.hex()}: the engine has {parsed}, and the oracle {read}")
    stamps = None if parsed.ts_val is None else (parsed.ts_val, parsed.ts_ecr)
    if stamps != read.ts:
        raise WrongError(f"{raw.hex()}: the engine has {stamps}, and the oracle {read.ts}")
    if options.encode(options.decode(raw)) != raw:
        raise WrongError(f"{raw.hex()} is not what it is after encode")


def check(octets: bytes) -> None:
    """Check *octets* as a frame, and their end as options."""
    check_frame(octets)
    check_options(octets[-40:])


def main() -> NoReturn:
    """Do what the module says."""
    try:
        import atheris
    except ImportError:
        raise HarnessError("atheris is not installed") from None
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
    raise SystemExit(0)


if __name__ == "__main__":
    main()
