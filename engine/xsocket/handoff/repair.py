"""TCP_REPAIR (Linux 3.5): give a new kernel socket the state of a connection that was opened without it.

For as long as a socket is being made it is "transparent" (IP_TRANSPARENT), and the guard lets nothing through
to transparent sockets: so it is finished before the first segment reaches it, and becomes reachable in one
system call. Should anything fail before that, nobody has heard of it.
"""

import ctypes
import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import ENOBUFS
from struct import Struct
from typing import Final

from xsocket.config import TcpConfig
from xsocket.handoff.disconnection import disconnect
from xsocket.handoff.image import Image
from xsocket.seqnum import add, distance
from xsocket.tcp.handover import Returned
from xsocket.wire.address import address_octets

_TCP: Final = socket.IPPROTO_TCP
_REPAIR: Final = 19  # linux/tcp.h, here and below
_REPAIR_QUEUE: Final = 20
_QUEUE_SEQ: Final = 21
_REPAIR_OPTIONS: Final = 22
_TIMESTAMP: Final = 24
_REPAIR_WINDOW: Final = 29
_REPAIR_OFF: Final = 0
_REPAIR_ON: Final = 1
_REPAIR_OFF_QUIETLY: Final = -1  # sends no window probe; Linux 4.19
_RECEIVE_QUEUE: Final = 1
_SEND_QUEUE: Final = 2
_OPTION: Final = Struct("=II")  # struct tcp_repair_opt
_MSS: Final = 2  # option kinds, RFC 9293 section 3.2, RFC 7323, RFC 2018
_WINDOW_SCALE: Final = 3
_SACK_PERMITTED: Final = 4
_TIMESTAMPS: Final = 8
_WINDOW: Final = Struct("=IIIII")  # struct tcp_repair_window
_NUMBER: Final = Struct("=I")

_TRANSPARENT: Final = {
    4: (socket.IPPROTO_IP, 19),  # IP_TRANSPARENT, linux/in.h
    6: (socket.IPPROTO_IPV6, 75),  # IPV6_TRANSPARENT, linux/in6.h
}
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_IP_OPTIONS: Final = {
    4: (socket.IPPROTO_IP, socket.IP_TTL, socket.IP_TOS),
    6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, socket.IPV6_TCLASS),
}
_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h
_SO_RCVBUFFORCE: Final = 33
_SO_BUF_LOCK: Final = 72  # Linux 5.14

_ROOMY: Final = 32_768
"""Octets that the queues of a new socket hold in any case; for more they are made larger for the time."""

_ESTABLISHED: Final = 1  # linux/tcp_states.h
_CLOSE_WAIT: Final = 8
_TCPI_OPTIONS_AT: Final = 5  # of struct tcp_info, linux/tcp.h
_TCPI_OPT_TIMESTAMPS: Final = 1
_SIOCINQ: Final = 0x541B  # linux/sockios.h, tcp(7)
_SIOCOUTQ: Final = 0x5411
_SIOCOUTQNSD: Final = 0x894B
_SOCKADDR_IN: Final = Struct("=H2s4s8x")  # linux/in.h
_SOCKADDR_IN6: Final = Struct("=H2sI16sI")  # linux/in6.h
_LIBC: Final = ctypes.PyDLL(None, use_errno=True)
"""It keeps the interpreter lock, which the methods of Python's sockets give away: then the engine's thread
runs, for a frame or two, and this one waits until it has the lock again, which costs more than the call."""
_CHUNK: Final = 16_384
"""Octets given to a queue at once: the kernel looks for memory in one piece."""
_DEFAULTS: Final = TcpConfig()


def new_socket(version: int) -> socket.socket:
    """Return a TCP socket of the calling thread's network namespace.

    Raises:
        OSError: EMFILE, ENFILE, ENOBUFS: the process, or the machine, has not the means.
    """
    family = _FAMILIES[version]
    number = _LIBC.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0)
    _check(min(number, 0))
    return socket.socket(family, socket.SOCK_STREAM, 0, number)


def restore(made: socket.socket, image: Image) -> None:
    """Make *made*, a new TCP socket, the connection that *image* shows. It stays hidden: see `reveal`.

    Raises:
        OSError: EPERM: it takes CAP_NET_ADMIN. ENOPROTOOPT: the kernel has no TCP_REPAIR. EADDRNOTAVAIL: the
            local address is not the kernel's. EADDRINUSE, EADDRNOTAVAIL: the kernel has this 4-tuple. Close
            the socket then; that sends nothing.
    """
    local, local_port, remote, remote_port = image.four_tuple
    made.setsockopt(_TCP, _REPAIR, _REPAIR_ON)
    _call_with(_LIBC.bind, made, local, local_port)
    hide(made, image.four_tuple.family)
    _make_room(made, image)
    _set_first_numbers(made, image)
    _call_with(_LIBC.connect, made, remote, remote_port)
    _set_options(made, image)
    _fill(made, _RECEIVE_QUEUE, image.unread)
    _fill(made, _SEND_QUEUE, image.in_flight)
    window = (image.snd_wl1, image.snd_wnd, image.max_snd_wnd, image.rcv_wnd, image.rcv_nxt)
    _set(made, _REPAIR_WINDOW, _WINDOW.pack(*window))
    _set_rules(made, image.four_tuple.family, image.config)


def start(made: socket.socket, image: Image) -> None:
    """Let the kernel's TCP go on from here with a socket that `restore` has made; it is still hidden.

    Raises:
        OSError: ENOBUFS: the kernel is out of memory for what is to be sent.
    """
    if image.in_flight:
        made.setsockopt(_TCP, _REPAIR, _REPAIR_OFF)  # its window probe has the peer say what has come
    else:
        _stop_repair_quietly(made)
    if image.unsent:
        _send_on(made, image.unsent)


def _send_on(made: socket.socket, unsent: bytes) -> None:
    """Send what never was; should not all of it be taken, go back to where closing sends nothing."""
    taken = 0
    with suppress(OSError):
        taken = made.send(unsent, socket.MSG_DONTWAIT)
    if taken != len(unsent):
        made.setsockopt(_TCP, _REPAIR, _REPAIR_ON)
        raise OSError(ENOBUFS, os.strerror(ENOBUFS))


def withdraw(made: socket.socket, version: int, end_of_text: int, first_unread: int) -> Returned | None:
    """Take the connection out of *made*, which is then unconnected, for all who hold it; sends nothing.

    Args:
        made: What `start` has started.
        version: Of IP.
        end_of_text: The number that the next octet written to it had at the start.
        first_unread: The number of the next octet to be read from it, at the start.

    Returns:
        None when one of these has changed or the connection is not in ESTABLISHED or CLOSE-WAIT any more:
        then nothing has happened to it.

    Raises:
        OSError: EPERM: it takes CAP_NET_ADMIN.
    """
    hide(made, version)
    made.setsockopt(_TCP, _REPAIR, _REPAIR_ON)
    returned = _read(made, end_of_text, first_unread)
    if returned is None:
        _stop_repair_quietly(made)
        reveal(made, version)
    else:
        disconnect(made)
    return returned


def _read(made: socket.socket, end_of_text: int, first_unread: int) -> Returned | None:
    state = made.getsockopt(_TCP, socket.TCP_INFO, 1)[0]
    if state not in (_ESTABLISHED, _CLOSE_WAIT):
        return None
    finished = state == _CLOSE_WAIT
    waiting, unacknowledged, unsent = (
        _count(made, request) for request in (_SIOCINQ, _SIOCOUTQ, _SIOCOUTQNSD)
    )
    rcv_nxt, written = _next_number(made, _RECEIVE_QUEUE), _next_number(made, _SEND_QUEUE)
    if written != end_of_text or add(rcv_nxt, -waiting - finished) != first_unread:
        return None
    made.setsockopt(_TCP, _REPAIR_QUEUE, _RECEIVE_QUEUE)
    unread = made.recv(waiting, socket.MSG_PEEK | socket.MSG_DONTWAIT) if waiting else b""
    window = made.getsockopt(_TCP, _REPAIR_WINDOW, _WINDOW.size)
    has_timestamps = made.getsockopt(_TCP, socket.TCP_INFO, _TCPI_OPTIONS_AT + 1)[-1] & _TCPI_OPT_TIMESTAMPS
    snd_wl1, snd_wnd, max_snd_wnd, rcv_wnd, rcv_wup = _WINDOW.unpack(window)
    return Returned(
        snd_una=add(written, -unacknowledged),
        snd_nxt=add(written, -unsent),
        rcv_nxt=rcv_nxt,
        finished=finished,
        unread=unread,
        snd_wnd=snd_wnd,
        max_snd_wnd=max_snd_wnd,
        snd_wl1=snd_wl1,
        rcv_wnd=max(0, rcv_wnd - distance(rcv_wup, rcv_nxt)),
        tsval=add(_timestamp(made), 1) if has_timestamps else None,  # the lowest bit has another meaning
    )


def _next_number(made: socket.socket, queue: int) -> int:
    made.setsockopt(_TCP, _REPAIR_QUEUE, queue)
    number: int = _NUMBER.unpack(made.getsockopt(_TCP, _QUEUE_SEQ, _NUMBER.size))[0]
    return number


def _timestamp(made: socket.socket) -> int:
    number: int = _NUMBER.unpack(made.getsockopt(_TCP, _TIMESTAMP, _NUMBER.size))[0]
    return number


def _count(made: socket.socket, request: int) -> int:
    number: int = _NUMBER.unpack(fcntl.ioctl(made, request, bytes(_NUMBER.size)))[0]
    return number


def _call_with(call: Callable[[int, bytes, int], int], made: socket.socket, address: str, port: int) -> None:
    """Call bind(2) or connect(2), neither of which waits for anything here."""
    octets = address_octets(address)
    if len(octets) == 4:
        name = _SOCKADDR_IN.pack(socket.AF_INET, port.to_bytes(2), octets)
    else:
        name = _SOCKADDR_IN6.pack(socket.AF_INET6, port.to_bytes(2), 0, octets, 0)
    _check(call(made.fileno(), name, len(name)))


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def hide(made: socket.socket, version: int) -> None:
    """Let the guard keep the peer's segments from it. Takes CAP_NET_RAW or CAP_NET_ADMIN."""
    made.setsockopt(*_TRANSPARENT[version], 1)


def reveal(made: socket.socket, version: int) -> None:
    """Let the peer's segments reach it from now on."""
    made.setsockopt(*_TRANSPARENT[version], 0)


def _set_first_numbers(made: socket.socket, image: Image) -> None:
    """Say which number the first octet of each queue has; only before the socket is connected."""
    first_unread = add(image.rcv_nxt, -len(image.unread))
    for queue, number in ((_SEND_QUEUE, image.snd_una), (_RECEIVE_QUEUE, first_unread)):
        made.setsockopt(_TCP, _REPAIR_QUEUE, queue)
        made.setsockopt(_TCP, _QUEUE_SEQ, _signed(number))


def _set_options(made: socket.socket, image: Image) -> None:
    """Say what was agreed on in the handshake."""
    options = _OPTION.pack(_MSS, image.mss)
    if image.scales is not None:
        theirs, ours = image.scales
        options += _OPTION.pack(_WINDOW_SCALE, theirs | ours << 16)
    if image.sack:
        options += _OPTION.pack(_SACK_PERMITTED, 0)
    if image.tsval is not None:
        options += _OPTION.pack(_TIMESTAMPS, 0)
    _set(made, _REPAIR_OPTIONS, options)
    if image.tsval is not None:
        # An odd one would have the clock of this socket count microseconds from now on (Linux 6.7); ours
        # counts milliseconds, so that a connection that was taken back would send older ones.
        made.setsockopt(_TCP, _TIMESTAMP, _signed(image.tsval + (image.tsval & 1) & 0xFFFF_FFFF))


def _set(made: socket.socket, option: int, value: bytes) -> None:
    """Set an option of TCP that is a structure.

    Python's own method takes bytes, too, after it has made two errors of why they are no number.
    """
    _check(_LIBC.setsockopt(made.fileno(), _TCP, option, value, len(value)))


def _signed(number: int) -> int:
    """Return the C int with the bits of an unsigned one."""
    return number - (1 << 32) if number >> 31 else number


def _fill(made: socket.socket, queue: int, text: bytes) -> None:
    """Put *text* into a queue, as received or as sent, without a segment on the wire."""
    if not text:
        return
    made.setsockopt(_TCP, _REPAIR_QUEUE, queue)
    view = memoryview(text)
    while view:
        view = view[made.send(view[:_CHUNK], socket.MSG_DONTWAIT) :]


def _make_room(made: socket.socket, image: Image) -> None:
    """Enlarge the buffers for what they must hold now; they go on adapting themselves afterwards."""
    to_send = len(image.in_flight) + len(image.unsent)
    if len(image.unread) > _ROOMY:
        _enlarge(made, _SO_RCVBUFFORCE, socket.SO_RCVBUF, len(image.unread))
    if to_send > _ROOMY:
        _enlarge(made, _SO_SNDBUFFORCE, socket.SO_SNDBUF, to_send)


def _enlarge(made: socket.socket, force: int, ask: int, octets: int) -> None:
    wanted = octets + _ROOMY  # Linux doubles it for what it adds
    try:
        made.setsockopt(socket.SOL_SOCKET, force, wanted)
    except (
        PermissionError
    ):  # takes CAP_NET_ADMIN over the whole machine; net.core.rmem_max or wmem_max is enough
        made.setsockopt(socket.SOL_SOCKET, ask, wanted)
    with suppress(OSError):  # before Linux 5.14 it stays as large as this
        made.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)


def _set_rules(made: socket.socket, version: int, config: TcpConfig) -> None:
    """Set what a socket has an option for and the connection has otherwise than a new socket."""
    if config.nodelay:
        made.setsockopt(_TCP, socket.TCP_NODELAY, 1)
    if config.user_timeout_s:
        made.setsockopt(_TCP, socket.TCP_USER_TIMEOUT, int(config.user_timeout_s * 1000))
    if config.keepalive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(_TCP, socket.TCP_KEEPIDLE, max(1, round(config.keepalive_time_s)))
        made.setsockopt(_TCP, socket.TCP_KEEPINTVL, max(1, round(config.keepalive_intvl_s)))
        made.setsockopt(_TCP, socket.TCP_KEEPCNT, max(1, config.keepalive_probes))
    level, time_to_live, traffic_class = _IP_OPTIONS[version]
    if config.ttl != _DEFAULTS.ttl:
        made.setsockopt(level, time_to_live, config.ttl)
    if config.dscp:
        made.setsockopt(level, traffic_class, config.dscp << 2)


def _stop_repair_quietly(made: socket.socket) -> None:
    try:
        made.setsockopt(_TCP, _REPAIR, _REPAIR_OFF_QUIETLY)
    except OSError:  # before Linux 4.19
        made.setsockopt(_TCP, _REPAIR, _REPAIR_OFF)
