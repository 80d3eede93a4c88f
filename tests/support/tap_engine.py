"""The engine as a program at the far end of a tap interface: another TCP, as far as a fuzzer can tell.

Run as a script, with the environment that `xsocket_tools.fuzzing.targets.foreign` describes.
"""

import fcntl
import os
import signal
import struct
from collections.abc import Sequence

from xsocket import Admission, Engine
from xsocket.fourtuple import FourTuple
from xsocket.wire.link import Frame, LinkStatistics

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000


class TapLink:
    """Frames through a tap's descriptor; obeys `Link`."""

    mac = b"\x02\x00\x00\x00\x00\x07"
    mtu = 1500

    def __init__(self, name: str) -> None:
        self._descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(
            self._descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_WITHOUT_HEADER)
        )

    def receive(self) -> list[Frame]:
        frames = []
        try:
            while True:
                frames.append(Frame(os.read(self._descriptor, 2000), 0))
        except BlockingIOError:
            return frames

    def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            os.write(self._descriptor, frame)

    def shed(self, connections: Sequence[FourTuple]) -> None:
        pass

    def fileno(self) -> int:
        return self._descriptor

    def statistics(self) -> LinkStatistics:
        return LinkStatistics()

    def close(self) -> None:
        os.close(self._descriptor)


def main() -> None:
    addresses = [os.environ["XSOCKET_TARGET4"], os.environ["XSOCKET_TARGET6"]]
    admission = Admission(ports=os.environ["XSOCKET_LISTEN"])
    with Engine(addresses=addresses, admission=admission, link=TapLink(os.environ["XSOCKET_TAP"])):
        signal.pause()


if __name__ == "__main__":
    main()
