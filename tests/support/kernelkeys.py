"""TCP MD5 signatures and TCP-AO of the kernel, by socket options: linux/tcp.h."""

import errno
import socket
from struct import pack
from typing import Final

from xsocket import AoKey, Md5Key
from xsocket.tcp.keys import Key

_TCP_MD5SIG: Final = 14
_TCP_AO_ADD_KEY: Final = 38
_ALGORITHMS: Final = {"SHA1": b"hmac(sha1)", "AES128": b"cmac(aes128)"}
_EXCLUDE_OPTIONS: Final = 1
_MAC_OCTETS: Final = 12


def protect(made: socket.socket, peer: str, key: Key) -> None:
    """Have the kernel protect what *made* does with *peer*; the key is the engine's, seen from its end."""
    if isinstance(key, Md5Key):
        request = pack("=128sBBHi80s", _storage(peer), 0, 0, len(key.secret), 0, key.secret)
        made.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, request)
    else:
        made.setsockopt(socket.IPPROTO_TCP, _TCP_AO_ADD_KEY, _ao_request(peer, key))


def has_ao() -> bool:
    """Whether this kernel has TCP-AO (CONFIG_TCP_AO)."""
    key = AoKey(peer="10.0.0.1", send_id=1, recv_id=1, secret=b"probe")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        try:
            protect(made, "10.0.0.1", key)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            return False
    return True


def _storage(address: str) -> bytes:
    """Return a struct sockaddr_storage."""
    if ":" in address:
        return pack("=H2xI16sI", socket.AF_INET6, 0, socket.inet_pton(socket.AF_INET6, address), 0)
    return pack("=H2x4s", socket.AF_INET, socket.inet_aton(address))


def _ao_request(peer: str, key: AoKey) -> bytes:
    """Return a struct tcp_ao_add: what the engine sends the kernel receives."""
    whole = 128 if ":" in peer else 32
    flags = 0 if key.include_options else _EXCLUDE_OPTIONS
    numbers = (whole, key.recv_id, key.send_id, _MAC_OCTETS, flags, len(key.secret))
    name = _ALGORITHMS[key.algorithm]
    return pack("=128s64siIH6B80s", _storage(peer), name, 0, 0, 0, *numbers, key.secret)
