"""A tun interface of a host: whole packets in and out, each with the time when it was sent."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from xsocket.wire.ethernet import Ethernet
from xsocket.wire.icmp import ECHO_REQUEST, IcmpPacket, build_icmp
from xsocket.wire.ip import Ipv4
from xsocket_netns import Host, Lab, NetlinkRefusedError, Tun, TunError
from xsocket_netns.tun import add_tap

pytestmark = pytest.mark.netns

PATIENCE_S: Final = 10.0
LOCAL, REMOTE = "10.0.0.1", "10.0.0.2"
PING: Final = build_icmp(
    IcmpPacket(Ethernet(bytes(6), bytes(6)), Ipv4(REMOTE, LOCAL), ECHO_REQUEST, 0, b"\0\1\0\2ping")
)[14:]


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.host("alice")


@pytest.fixture
def tun(host: Host) -> Iterator[Tun]:
    made = Tun(host, mtu=1400, addresses=[f"{LOCAL}/24", "fd00::1/64"])
    yield made
    made.close()


def test_the_host_answers_what_is_written(tun: Tun) -> None:
    before = time.monotonic()
    tun.write(PING)
    after = time.monotonic()
    assert tun.wait(PATIENCE_S)
    (sent,) = tun.sent()
    assert sent.packet.endswith(b"ping")
    assert sent.packet[12:20] == socket.inet_aton(LOCAL) + socket.inet_aton(REMOTE)
    assert before - 0.001 <= sent.at <= after + 0.001
    assert tun.sent() == []


def test_more_packets_than_its_queue_holds_are_kept_in_order(tun: Tun) -> None:
    tun.sent()
    for _ in range(1000):  # nobody reads the descriptor meanwhile, whose queue has room for 500
        tun.write(PING)
    sent = tun.sent()
    assert len(sent) == 1000
    instants = [each.at for each in sent]
    assert instants == sorted(instants)


def test_waiting_ends_when_there_is_nothing(tun: Tun) -> None:
    began = time.monotonic()
    assert not tun.wait(0.0105)
    assert 0.0105 <= time.monotonic() - began < PATIENCE_S
    assert not tun.wait(-1.0)


def test_a_host_sends_nothing_by_itself(tun: Tun) -> None:
    assert not tun.wait(0.05)


def test_it_has_no_link_local_address(tun: Tun, host: Host) -> None:
    del tun
    addresses = host.run(Path("/proc/thread-self/net/if_inet6").read_text)
    assert [line.split()[0] for line in addresses.splitlines() if line.endswith("tun0")] == [
        "fd000000000000000000000000000001"
    ]


def test_it_goes_when_it_is_closed(host: Host) -> None:
    tun = Tun(host, "tun7")
    assert host.run(socket.if_nametoindex, "tun7") == host.interface("tun7").index
    tun.close()
    tun.close()
    with pytest.raises(OSError, match="no interface"):
        host.run(socket.if_nametoindex, "tun7")


def test_what_is_no_packet_is_refused(tun: Tun) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        tun.write(b"\xff")


def test_a_name_is_given_once(tun: Tun, host: Host) -> None:
    del tun
    with pytest.raises(TunError, match="tun0"):
        Tun(host)


def test_an_mtu_that_is_none_is_refused(host: Host) -> None:
    with pytest.raises(NetlinkRefusedError):
        Tun(host, mtu=10)
    Tun(host).close()


def test_a_tap_waits_for_another_program(host: Host) -> None:
    made = add_tap(host, mtu=1400)
    assert host.run(socket.if_nametoindex, "tap0") == host.interface("tap0").index == made.index
    shown = host.command(["ip", "-details", "link", "show", "tap0"]).stdout
    assert "type tap" in shown
    assert "persist on" in shown
    assert "mtu 1400" in shown
