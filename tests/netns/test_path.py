"""A kernel's router between the engine and a kernel's server: what the router says by ICMP is obeyed."""

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from typing import Final, NamedTuple

import pytest

from support.live import ADDRESSES, FAMILY, PATIENCE_S, Task, engine_in, text_of
from xsocket import Engine
from xsocket.errors import HostUnreachableError, NetworkUnreachableError
from xsocket.reasons import DropReason
from xsocket_netns import Host, Lab
from xsocket_netns.offload import disable_offload

pytestmark = pytest.mark.netns

GATEWAYS = ("10.0.0.1", "fd00::1")
FAR = {4: "10.9.0.2", 6: "fd09::2"}
NOWHERE = {4: "10.77.0.1", 6: "fd77::1"}
ABSENT = {4: "10.9.0.77", 6: "fd09::77"}
_SIOCSIFMTU: Final = 0x8922
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


class Routed(NamedTuple):
    engine: Engine
    far: Host


@contextmanager
def routed(mtu: int = 1500) -> Iterator[Routed]:
    """Run an engine whose gateway is a kernel that sends packets of *mtu* octets to the server behind it."""
    with Lab() as lab:
        home, router, far = lab.host("home"), lab.host("router"), lab.host("far")
        lab.link(home, router, addresses=((), ("10.0.0.1/24", "fd00::1/64")))
        lab.link(router, far, addresses=(("10.9.0.1/24", "fd09::1/64"), ("10.9.0.2/24", "fd09::2/64")))
        router.run(set_mtu, "eth1", mtu)
        router.sysctl("net.ipv4.ip_forward", 1)
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        far.route("10.0.0.0/24", via="10.9.0.1")
        far.route("fd00::/64", via="fd09::1")
        far.run(disable_offload, "eth0")
        with engine_in(home, addresses=ADDRESSES, gateway=GATEWAYS) as engine:
            yield Routed(engine, far)


def set_mtu(interface: str, mtu: int) -> None:
    """Set the MTU of this end alone, so that the server does not know of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFMTU, pack("16si20x", interface.encode(), mtu))


def receive_all(listener: socket.socket) -> bytes:
    with listener, listener.accept()[0] as conversation:
        conversation.settimeout(PATIENCE_S)
        parts = []
        while part := conversation.recv(65_536):
            parts.append(part)
        return b"".join(parts)


@VERSIONS
def test_text_fits_a_path_with_a_smaller_mtu(version: int) -> None:
    text = text_of(200_000)
    with routed(mtu=1300) as (engine, far):
        listener = far.run(socket.create_server, (FAR[version], 80), family=FAMILY[version])
        listener.settimeout(PATIENCE_S)
        server = Task(receive_all, listener)
        with engine.connect(FAR[version], 80, PATIENCE_S) as connection:
            headers = (40 if version == 4 else 60) + 12
            assert connection.info.snd_mss == 1500 - headers
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            assert server.result() == text
            assert connection.info.snd_mss == 1300 - headers


@VERSIONS
def test_a_router_without_a_route_says_so(version: int) -> None:
    with routed() as (engine, _), pytest.raises(NetworkUnreachableError):
        engine.connect(NOWHERE[version], 80, PATIENCE_S)


@VERSIONS
def test_a_router_that_finds_nobody_says_so(version: int) -> None:
    with routed() as (engine, _), pytest.raises(HostUnreachableError):
        engine.connect(ABSENT[version], 80, PATIENCE_S)


def test_errors_about_nothing_in_flight_are_counted() -> None:
    with routed() as (engine, _):
        with pytest.raises(NetworkUnreachableError):
            engine.connect(NOWHERE[4], 80, PATIENCE_S)
        assert DropReason.ICMP_MALFORMED not in engine.statistics().host.drops
