"""A link by way of a third host: nothing passes by itself, and what comes is complete."""

import select
import socket
import sys
from collections.abc import Callable

import pytest

from support.live import PATIENCE_S
from xsocket.wire.codec import TcpPacket, decode
from xsocket.wire.link import Frame
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Detour, Host, Lab, LabNameError, LabUsageError, NetlinkRefusedError, NoSuchHostError
from xsocket_netns.offload import disable_offload
from xsocket_netns.registry import LabRecord

pytestmark = pytest.mark.netns

ADDRESSES = (["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00::2/64"])


@pytest.fixture
def ends(lab: Lab) -> tuple[Host, Host, Detour]:
    left, right = lab.host("left"), lab.host("right")
    return left, right, lab.detour("middle", left, right, addresses=ADDRESSES)


def frames_until(link: PacketLink, wanted: Callable[[Frame], bool]) -> list[Frame]:
    """Return the frames that come, up to the first that is *wanted*."""
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    seen: list[Frame] = []
    while not any(map(wanted, seen)):
        assert poll.poll(PATIENCE_S * 1000), "it does not come"
        seen += link.receive()
    return seen


def test_what_a_kernel_sends_is_complete(ends: tuple[Host, Host, Detour]) -> None:
    left, _, detour = ends
    left.neighbour("eth0", "10.0.0.2", detour["right"].mac)
    link = detour.middle.run(PacketLink, detour.left_port.name, None)
    with left.run(socket.socket) as opener:
        opener.setblocking(False)
        opener.connect_ex(("10.0.0.2", 80))
        (*_, last) = frames_until(link, lambda frame: isinstance(decode(frame.data), TcpPacket))
        assert last.checksum_ready
    link.close()


def test_nothing_passes_by_itself(ends: tuple[Host, Host, Detour]) -> None:
    left, right, detour = ends
    link = right.run(PacketLink, "eth0", None)
    asking = detour.middle.run(PacketLink, detour.left_port.name, None)
    with left.run(socket.socket) as opener:
        opener.setblocking(False)
        opener.connect_ex(("10.0.0.2", 80))
        frames_until(asking, lambda frame: frame.data[12:14] == b"\x08\x06")
    assert [frame for frame in link.receive() if frame.data[12:14] == b"\x08\x06"] == []
    link.close()
    asking.close()


def test_it_is_recorded_beside_bridges(lab: Lab, ends: tuple[Host, Host, Detour]) -> None:
    detour = ends[2]
    found = LabRecord.load(lab.name)
    assert list(found.hosts) == ["left", "right"]
    assert list(found.bridges) == ["middle"]
    assert detour["left"].addresses == tuple(ADDRESSES[0])
    with pytest.raises(NoSuchHostError):
        detour["middle"]


def test_what_cannot_be_joined_is_said(lab: Lab, ends: tuple[Host, Host, Detour]) -> None:
    left, right, _ = ends
    with pytest.raises(LabUsageError, match="to itself"):
        lab.detour("other", left, left)
    with pytest.raises(LabNameError, match="has a host middle already"):
        lab.detour("middle", left, right)


def test_an_interface_that_is_not_there_has_no_offloads(lab: Lab) -> None:
    with pytest.raises(NetlinkRefusedError, match="offloads of eth7"):
        lab.host("alone").run(disable_offload, "eth7")


def test_a_released_program_ends_with_the_lab() -> None:
    with Lab() as lab:
        host = lab.host("alone")
        process = host.release(host.popen([sys.executable, "-c", "import signal; signal.pause()"]))
        assert process.is_running()
    assert not process.is_running()
