"""A TPACKET_V2 receive ring (Linux, packet_mmap.rst): frames without a system call each.

Knows slots and flags, nothing of interfaces or filters. A frame larger than its slot (a local kernel hands
over up to 64 kB at once, far above the MTU) waits whole in the socket's queue and is fetched from there.
"""

import ctypes
import mmap
import socket
from errno import EINVAL, ENOMEM
from struct import Struct, pack
from typing import Final

from xsocket.errors import CaptureError
from xsocket.wire.link import Frame

SOL_PACKET: Final = 263
PACKET_RX_RING: Final = 5
PACKET_COPY_THRESH: Final = 7
PACKET_VERSION: Final = 10
TPACKET_V2: Final = 1

TP_STATUS_COPY: Final = 1 << 1
TP_STATUS_CSUMNOTREADY: Final = 1 << 3
TP_STATUS_VLAN_VALID: Final = 1 << 4
TP_STATUS_VLAN_TPID_VALID: Final = 1 << 6

SLOT_OCTETS: Final = 2048
LEAST_SLOTS: Final = 64
LARGEST_FRAME: Final = 0x0004_0000

_PACKET_OUTGOING: Final = 4
_PACKET_TYPE_AT: Final = 42  # sll_pkttype of the sockaddr_ll behind the header of 32 octets
_HEADER: Final = Struct("=IIIHHIIHH")  # struct tpacket2_hdr
_WORDS_PER_SLOT: Final = SLOT_OCTETS // 4
_VLAN_TPID: Final = 0x8100


class ReceiveRing:
    """The ring of one packet socket, which must not be bound to a protocol yet. Only one thread reads it.

    Args:
        packet_socket: The AF_PACKET socket; it stays the caller's.
        slots: Frames that may wait; halved until the kernel has the memory.

    Raises:
        CaptureError: The kernel has no memory for even a small ring.
    """

    def __init__(self, packet_socket: socket.socket, slots: int) -> None:
        packet_socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        packet_socket.setsockopt(SOL_PACKET, PACKET_COPY_THRESH, 1)
        self._fileno = packet_socket.fileno()
        self.slots = _allocate(packet_socket, slots)
        self._memory = mmap.mmap(self._fileno, self.slots * SLOT_OCTETS)
        self._words = memoryview(self._memory).cast("I")
        self._head = 0
        self._large = ctypes.create_string_buffer(LARGEST_FRAME)
        # Keeps the interpreter lock, as sendmmsg does and for the same reason; it never blocks.
        self._recv = ctypes.PyDLL(None).recv
        self._recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self._recv.restype = ctypes.c_ssize_t
        self.skip_outgoing = False
        self.truncated = 0

    def read(self) -> list[Frame]:
        """Return all frames that are ready, oldest first; at most as many as the ring has slots."""
        words, memory, unpack = self._words, self._memory, _HEADER.unpack_from
        head, slots = self._head, self.slots
        frames: list[Frame] = []
        # The kernel writes the status last and, once a slot is ours, leaves it alone. Python cannot ask for a
        # memory barrier; between reading the status and the octets lie thousands of instructions and, on x86,
        # loads stay in order.
        for _ in range(slots):
            if not words[head * _WORDS_PER_SLOT]:
                break
            base = head * SLOT_OCTETS
            status, length, captured, mac_at, _, seconds, nanoseconds, tci, tpid = unpack(memory, base)
            start = base + mac_at
            data: bytes | None = memory[start : start + captured]
            if captured < length:
                data = self._fetch_large(status, length)
            unwanted = self.skip_outgoing and memory[base + _PACKET_TYPE_AT] == _PACKET_OUTGOING
            words[head * _WORDS_PER_SLOT] = 0
            head = head + 1 if head + 1 < slots else 0
            if data is None or unwanted:
                continue
            if status & TP_STATUS_VLAN_VALID:
                data = _with_tag(data, tci, tpid if status & TP_STATUS_VLAN_TPID_VALID else _VLAN_TPID)
            at_ns = seconds * 1_000_000_000 + nanoseconds
            frames.append(tuple.__new__(Frame, (data, at_ns, not status & TP_STATUS_CSUMNOTREADY)))
        self._head = head
        return frames

    def _fetch_large(self, status: int, length: int) -> bytes | None:
        """Return the whole of a frame that did not fit its slot; None when the kernel could not keep it."""
        if status & TP_STATUS_COPY:
            got: int = self._recv(
                self._fileno, self._large, LARGEST_FRAME, socket.MSG_DONTWAIT | socket.MSG_TRUNC
            )
            if got == length <= LARGEST_FRAME:
                return ctypes.string_at(self._large, got)
        self.truncated += 1
        return None

    def close(self) -> None:
        """Unmap it."""
        self._words.release()
        self._memory.close()


def _allocate(packet_socket: socket.socket, slots: int) -> int:
    """Ask for *slots* or, memory being short, half of them and so on; return how many it became."""
    per_page = mmap.PAGESIZE // SLOT_OCTETS
    while True:
        slots = max(slots // per_page * per_page, LEAST_SLOTS)
        request = pack("IIII", mmap.PAGESIZE, slots // per_page, SLOT_OCTETS, slots)
        try:
            packet_socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        except OSError as error:
            if error.errno not in (ENOMEM, EINVAL) or slots <= LEAST_SLOTS:
                raise CaptureError(f"no receive ring of {slots} slots: {error.strerror}") from error
            slots //= 2
        else:
            return slots


def _with_tag(data: bytes, tci: int, tpid: int) -> bytes:
    """Put back the 802.1Q tag that the kernel took off."""
    return data[:12] + tpid.to_bytes(2) + tci.to_bytes(2) + data[12:]
