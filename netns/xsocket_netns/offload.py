"""What a kernel leaves to hardware when it sends, switched off: checksums, and the cutting of large segments.

A veth has no such hardware, so a program that carries frames from one to another would meet segments of up to
64 kB whose checksums were never made. ethtool's ioctl does it without ethtool.
"""

from __future__ import annotations

import array
import fcntl
import socket
from struct import pack
from typing import Final

from xsocket_netns.errors import NetlinkRefusedError

_SIOCETHTOOL: Final = 0x8946  # linux/sockios.h
_ETHTOOL_STXCSUM: Final = 0x17  # linux/ethtool.h


def disable_offload(interface: str) -> None:
    """Have the kernel finish what it sends on *interface*, of the current network namespace.

    Without checksums in hardware Linux cuts no segments there either (`netdev_fix_features`).

    Raises:
        NetlinkRefusedError: There is no such interface, or its driver refuses.
    """
    value = array.array("B", pack("II", _ETHTOOL_STXCSUM, 0))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = pack("16sP16x", interface.encode(), value.buffer_info()[0])
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    except OSError as error:
        raise NetlinkRefusedError(
            f"cannot switch off the offloads of {interface}: {error.strerror}"
        ) from error
