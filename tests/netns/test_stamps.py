"""A packet is stamped when it is sent, not when it is read, even just after the first socket asked for it."""

from __future__ import annotations

import itertools
import socket
import time
from typing import Final

import pytest

from xsocket_netns import Host, Lab, stamps

pytestmark = pytest.mark.netns

PATIENCE_S: Final = 10.0
PACKETS: Final = 100


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.host("alice")


def test_stamps_tell_when_a_packet_was_sent(host: Host) -> None:
    sent_ns, stamps_ns = [], []
    with host.run(stamps.stamped, receiver) as made:
        for _ in range(PACKETS):
            sent_ns.append(time.time_ns())
            made.sendto(b"x", made.getsockname())
        sent_ns.append(time.time_ns())
        for _ in range(PACKETS):
            _, ancillary, _, _ = made.recvmsg(1, stamps.CONTROL_OCTETS)
            stamps_ns.append(stamps.stamp_ns(ancillary))
    assert all(
        before <= stamp <= after
        for stamp, (before, after) in zip(stamps_ns, itertools.pairwise(sent_ns), strict=True)
    )


def test_a_socket_is_made_when_the_kernel_stamps_packets(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stamp from after the sending is one of reading; here the clock says three times that it is."""
    asked = itertools.count()
    real = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: 0 if next(asked) < 3 else real())

    def make() -> socket.socket:
        assert next(asked) == 4, "made too early"
        return receiver()

    host.run(stamps.stamped, make).close()


def test_without_a_loopback_nobody_waits(host: Host) -> None:
    host.command(["ip", "link", "set", "lo", "down"])
    host.run(stamps.stamped, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).close()


def test_what_has_no_stamp_has_the_time_of_now() -> None:
    before = time.time_ns()
    assert before <= stamps.stamp_ns([]) <= time.time_ns()


def receiver() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE_S)
    made.bind(("127.0.0.1", 0))
    return made
