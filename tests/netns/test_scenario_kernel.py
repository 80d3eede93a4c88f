"""Linux as a target of scripts: packets by hand through a tun interface, real system calls, commands."""

import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from xsocket import FourTuple, State
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.wire.codec import TcpPacket, decode, encode_segment
from xsocket_netns import Namespace
from xsocket_tools.scenarios.errors import CommandError, UnsupportedError
from xsocket_tools.scenarios.kernel_sockets import KernelSockets
from xsocket_tools.scenarios.settings import IP_VERSIONS, IpVersion, Settings
from xsocket_tools.scenarios.target import Message, Returned
from xsocket_tools.scenarios.targets.kernel import KernelTarget
from xsocket_tools.sockdiag import SockDiag

pytestmark = pytest.mark.netns

PATIENCE_S: Final = 10.0
QUIET_S: Final = 0.02
ISS: Final = 1000
REMOTE_PORT: Final = 40_000
TCP_INQ: Final = 36  # linux/tcp.h
MSG_FASTOPEN: Final = 0x2000_0000
EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3  # sys/epoll.h
ETHERTYPES: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}

every_version = pytest.mark.parametrize("version", IP_VERSIONS)


class Peer:
    """The remote end of one connection, by hand, and calls of the target that are waited for."""

    def __init__(self, target: KernelTarget, settings: Settings) -> None:
        self.target = target
        self.settings = settings
        self.four_tuple = FourTuple(settings.local, settings.bind_port, settings.remote, REMOTE_PORT)
        self.family = socket.AF_INET if settings.ip_version == "ipv4" else socket.AF_INET6
        self.seq = ISS
        self.ack = 0

    @property
    def sockets(self) -> KernelSockets:
        return self.target.sockets

    @property
    def local(self) -> tuple[str, int]:
        return self._mapped(self.settings.local), self.settings.bind_port

    @property
    def remote(self) -> tuple[str, int]:
        return self._mapped(self.settings.remote), REMOTE_PORT

    def _mapped(self, address: str) -> str:
        return f"::ffff:{address}" if self.settings.ip_version == "ipv4-mapped-ipv6" else address

    def begin(self, function: Callable[..., Any], *arguments: object) -> Callable[[float], Returned | None]:
        return self.target.call(lambda: function(*arguments))

    def outcome(self, function: Callable[..., Any], *arguments: object) -> Returned:
        return self.end(self.begin(function, *arguments))

    def end(self, ask: Callable[[float], Returned | None]) -> Returned:
        returned = ask(self.target.now() + PATIENCE_S)
        assert returned is not None, "the call did not return"
        return returned

    def does(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - of any call
        returned = self.outcome(function, *arguments)
        assert returned.error is None, returned.error
        return returned.value

    def fails(self, number: int, function: Callable[..., Any], *arguments: object) -> None:
        error = self.outcome(function, *arguments).error
        assert error is not None
        assert errno.errorcode[error.errno or 0] == errno.errorcode[number]

    def waits(self, ask: Callable[[float], Returned | None]) -> None:
        assert ask(self.target.now() + QUIET_S) is None

    def send(self, flags: int, payload: bytes = b"", options: bytes = b"") -> None:
        segment = Segment(self.seq, self.ack, flags, 65_535, options, payload)
        self.target.inject(encode_segment(b"", self.four_tuple.reversed, segment))
        self.seq += segment.length

    def expect(self, letters: str, payload: bytes = b"") -> Segment:
        sniffed = self.target.next_packet(self.target.now() + PATIENCE_S)
        assert sniffed is not None, f"nothing came instead of {letters}"
        packet = decode(bytes(12) + ETHERTYPES[self.settings.version] + sniffed.packet)
        assert isinstance(packet, TcpPacket), packet
        segment = packet.segment
        assert (packet.four_tuple.reversed, segment.letters) == (self.four_tuple, letters)
        assert segment.payload == payload
        self.ack = (segment.seq + segment.length) % 2**32
        return segment

    def silence(self) -> None:
        assert self.target.next_packet(self.target.now() + QUIET_S) is None

    def socket(self) -> int:
        fd = self.does(self.sockets.socket, self.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        assert isinstance(fd, int)
        return fd

    def nonblocking(self) -> int:
        fd = self.socket()
        flags = self.does(self.sockets.fcntl, fd, fcntl.F_GETFL, 0)
        self.does(self.sockets.fcntl, fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        return fd

    def listener(self, backlog: int = 1) -> int:
        fd = self.socket()
        self.does(self.sockets.bind, fd, self.local)
        self.does(self.sockets.listen, fd, backlog)
        return fd

    def establish(self) -> None:
        self.send(SYN)
        self.expect("S.")
        self.send(ACK)

    def connection(self) -> int:
        """Return a descriptor of an established connection from the peer."""
        listener = self.listener()
        self.establish()
        fd = self.does(self.sockets.accept, listener)
        assert isinstance(fd, int)
        return fd


@pytest.fixture
def version() -> IpVersion:
    return "ipv4"


@pytest.fixture
def settings(version: IpVersion) -> Settings:
    return Settings(ip_version=version)


@pytest.fixture
def target(settings: Settings) -> Iterator[KernelTarget]:
    with KernelTarget(settings) as made:
        made.start()
        yield made


@pytest.fixture
def peer(target: KernelTarget, settings: Settings) -> Peer:
    return Peer(target, settings)


@every_version
def test_a_connection_from_its_handshake_to_its_end(peer: Peer, target: KernelTarget) -> None:
    listener = peer.listener()
    assert (target.state(peer.four_tuple), target.waiting()) == (None, 0)
    peer.send(SYN)
    peer.expect("S.")
    assert (target.state(peer.four_tuple), target.waiting()) == (State.SYN_RECEIVED, 0)
    peer.send(ACK)
    assert (target.state(peer.four_tuple), target.waiting()) == (State.ESTABLISHED, 1)
    fd = peer.does(peer.sockets.accept, listener)
    assert target.waiting() == 0
    peer.send(PSH | ACK, b"question")
    assert peer.does(peer.sockets.recv, fd, 100) == b"question"
    peer.expect(".")
    assert peer.does(peer.sockets.send, fd, b"answer") == 6
    peer.expect("P.", b"answer")
    peer.send(ACK)
    peer.send(FIN | ACK)
    peer.expect(".")
    assert peer.does(peer.sockets.recv, fd, 100) == b""
    assert target.state(peer.four_tuple) is State.CLOSE_WAIT
    peer.does(peer.sockets.close, fd)
    peer.expect("F.")
    assert target.state(peer.four_tuple) is State.LAST_ACK
    peer.send(ACK)
    assert target.state(peer.four_tuple) is None
    peer.silence()


def test_a_connection_that_its_user_closes_first_ends_in_time_wait(peer: Peer, target: KernelTarget) -> None:
    fd = peer.connection()
    peer.does(peer.sockets.close, fd)
    peer.expect("F.")
    assert target.state(peer.four_tuple) is State.FIN_WAIT_1
    peer.send(ACK)
    assert target.state(peer.four_tuple) is State.FIN_WAIT_2
    peer.send(FIN | ACK)
    peer.expect(".")
    assert target.state(peer.four_tuple) is State.TIME_WAIT


@every_version
def test_accept_waits_for_a_connection(peer: Peer, target: KernelTarget) -> None:
    accepting = peer.begin(peer.sockets.accept, peer.listener())
    peer.waits(accepting)
    peer.establish()
    established = target.now()
    returned = peer.end(accepting)
    assert returned.error is None
    assert returned.at == pytest.approx(established, abs=0.01)
    assert accepting(0.0) == returned


@every_version
def test_connect_waits_for_the_handshake(peer: Peer, target: KernelTarget) -> None:
    fd = peer.socket()
    peer.does(peer.sockets.bind, fd, peer.local)
    connecting = peer.begin(peer.sockets.connect, fd, peer.remote)
    peer.expect("S")
    assert target.state(peer.four_tuple) is State.SYN_SENT
    peer.waits(connecting)
    peer.send(SYN | ACK)
    peer.expect(".")
    assert peer.end(connecting).error is None
    assert target.state(peer.four_tuple) is State.ESTABLISHED


def test_connect_is_refused(peer: Peer) -> None:
    fd = peer.socket()
    peer.does(peer.sockets.bind, fd, peer.local)
    connecting = peer.begin(peer.sockets.connect, fd, peer.remote)
    peer.expect("S")
    peer.send(RST | ACK)
    error = peer.end(connecting).error
    assert isinstance(error, ConnectionRefusedError)


def test_recv_waits_for_text(peer: Peer) -> None:
    reading = peer.begin(peer.sockets.recv, peer.connection(), 100)
    peer.waits(reading)
    peer.send(PSH | ACK, b"late")
    assert peer.end(reading).value == b"late"


@every_version
def test_connect_to_nowhere_dissolves_a_connection(peer: Peer, target: KernelTarget) -> None:
    fd = peer.socket()
    peer.does(peer.sockets.bind, fd, peer.local)
    connecting = peer.begin(peer.sockets.connect, fd, peer.remote)
    peer.expect("S")
    peer.send(SYN | ACK)
    peer.expect(".")
    peer.end(connecting)
    peer.does(peer.sockets.connect, fd, None)
    peer.expect("R.")
    assert target.state(peer.four_tuple) is None
    peer.does(peer.sockets.listen, fd, 1)


def test_a_descriptor_that_may_not_wait_does_not(peer: Peer) -> None:
    fd = peer.nonblocking()
    peer.does(peer.sockets.bind, fd, peer.local)
    peer.fails(errno.EINPROGRESS, peer.sockets.connect, fd, peer.remote)
    peer.expect("S")
    peer.fails(errno.EALREADY, peer.sockets.connect, fd, peer.remote)
    peer.send(SYN | ACK)
    peer.expect(".")
    peer.fails(errno.EAGAIN, peer.sockets.recv, fd, 100)
    other = peer.nonblocking()
    peer.does(peer.sockets.bind, other, (peer.local[0], 81))
    peer.does(peer.sockets.listen, other, 1)
    peer.fails(errno.EAGAIN, peer.sockets.accept, other)


def test_accept4_makes_a_descriptor_that_does_not_wait(peer: Peer) -> None:
    listener = peer.listener()
    peer.establish()
    fd = peer.does(peer.sockets.accept, listener, socket.SOCK_NONBLOCK)
    assert peer.does(peer.sockets.fcntl, fd, fcntl.F_GETFL, 0) & os.O_NONBLOCK
    peer.fails(errno.EAGAIN, peer.sockets.recv, fd, 100)


@every_version
def test_text_with_the_syn_wants_a_cookie_first(peer: Peer) -> None:
    peer.target.sysctl("net.ipv4.tcp_fastopen", "0x1")
    fd = peer.nonblocking()
    peer.does(peer.sockets.bind, fd, peer.local)
    peer.fails(errno.EINPROGRESS, peer.sockets.send, fd, b"text", MSG_FASTOPEN, peer.remote)
    syn = peer.expect("S")
    assert bytes([34, 2]) in syn.options
    peer.target.sysctl("net.ipv4.tcp_fastopen", "0")
    other = peer.nonblocking()
    peer.fails(errno.EOPNOTSUPP, peer.sockets.send, other, b"text", MSG_FASTOPEN, peer.remote)
    peer.fails(errno.EOPNOTSUPP, peer.sockets.sendmsg, other, b"text", [], MSG_FASTOPEN, peer.remote)


@pytest.mark.parametrize(
    ("name", "number"),
    [("recv", errno.ENOTCONN), ("shutdown", errno.ENOTCONN), ("accept", errno.EINVAL)],
)
def test_a_call_fails_as_it_does_in_linux(peer: Peer, name: str, number: int) -> None:
    peer.fails(number, getattr(peer.sockets, name), peer.socket(), 0)


@pytest.mark.parametrize("name", ["recv", "shutdown", "listen", "accept", "epoll_wait"])
def test_a_descriptor_that_is_none_is_refused(peer: Peer, name: str) -> None:
    arguments = (1, 0) if name == "epoll_wait" else (0,)
    peer.fails(errno.EBADF, getattr(peer.sockets, name), 1 << 20, *arguments)


@pytest.mark.parametrize("name", ["fcntl", "ioctl"])
def test_no_descriptor_at_all_is_refused_as_well(peer: Peer, name: str) -> None:
    arguments = (-1, termios.FIONREAD, 0)[: 3 if name == "fcntl" else 2]
    error = peer.outcome(getattr(peer.sockets, name), *arguments).error
    assert error is not None
    assert error.errno == errno.EBADF


def test_a_number_that_python_does_not_pass_on_is_unsupported(peer: Peer) -> None:
    made = peer.socket()
    with pytest.raises(UnsupportedError, match="a call with these arguments"):
        peer.outcome(peer.sockets.listen, made, 1 << 40)


def test_a_socket_is_no_epoll_nor_the_other_way_round(peer: Peer) -> None:
    peer.fails(errno.EINVAL, peer.sockets.epoll_wait, peer.socket(), 1, 0)
    peer.fails(errno.ENOTSOCK, peer.sockets.recv, peer.does(peer.sockets.epoll_create), 1)


def test_an_ipv6_address_is_no_address_for_an_ipv4_socket(peer: Peer) -> None:
    peer.fails(errno.EAFNOSUPPORT, peer.sockets.connect, peer.socket(), ("2001:db8::1", 80))


def test_an_ipv4_address_is_mapped_for_an_ipv6_socket(peer: Peer, target: KernelTarget) -> None:
    fd = peer.does(peer.sockets.socket, socket.AF_INET6, socket.SOCK_STREAM, 0)
    peer.does(peer.sockets.bind, fd, (peer.settings.local, peer.settings.bind_port))
    peer.does(peer.sockets.listen, fd, 1)
    peer.establish()
    assert target.waiting() == 1


def test_poll_says_what_is_there(peer: Peer) -> None:
    fd, other = peer.connection(), peer.socket()
    wanted = [(fd, select.POLLIN | select.POLLOUT), (-1, select.POLLIN), (other, 0)]
    assert peer.does(peer.sockets.poll, wanted, 0) == [select.POLLOUT, 0, select.POLLHUP]
    polling = peer.begin(peer.sockets.poll, [(fd, select.POLLIN)], -1)
    peer.waits(polling)
    peer.send(PSH | ACK, b"text")
    assert peer.end(polling).value == [select.POLLIN]
    assert peer.does(peer.sockets.poll, [(1 << 20, select.POLLIN)], 0) == [select.POLLNVAL]


def test_poll_gives_up_in_time(peer: Peer, target: KernelTarget) -> None:
    began = target.now()
    returned = peer.outcome(peer.sockets.poll, [(peer.connection(), select.POLLIN)], 30)
    assert (returned.value, returned.at - began >= 0.03) == ([0], True)


def test_epoll_gives_back_the_data_it_was_given(peer: Peer) -> None:
    sockets, fd = peer.sockets, peer.connection()
    epfd = peer.does(sockets.epoll_create)
    peer.does(sockets.epoll_ctl, epfd, EPOLL_CTL_ADD, fd, select.EPOLLIN, 2**40)
    peer.fails(errno.EEXIST, sockets.epoll_ctl, epfd, EPOLL_CTL_ADD, fd, select.EPOLLIN, 1)
    assert peer.does(sockets.epoll_wait, epfd, 1, 0) == []
    waiting = peer.begin(sockets.epoll_wait, epfd, 1, -1)
    peer.waits(waiting)
    peer.send(PSH | ACK, b"text")
    assert peer.end(waiting).value == [(select.EPOLLIN, 2**40)]
    peer.does(sockets.epoll_ctl, epfd, EPOLL_CTL_MOD, fd, select.EPOLLOUT, 7)
    assert peer.does(sockets.epoll_wait, epfd, 1, 0) == [(select.EPOLLOUT, 7)]
    peer.does(sockets.epoll_ctl, epfd, EPOLL_CTL_DEL, fd, 0, 0)
    peer.fails(errno.ENOENT, sockets.epoll_ctl, epfd, EPOLL_CTL_DEL, fd, 0, 0)
    peer.fails(errno.EINVAL, sockets.epoll_wait, epfd, 0, 0)
    peer.fails(errno.EINVAL, sockets.epoll_ctl, epfd, 99, fd, 0, 0)
    peer.does(sockets.close, epfd)
    peer.fails(errno.EBADF, sockets.epoll_wait, epfd, 1, 0)


def test_siocinq_counts_what_can_be_read(peer: Peer) -> None:
    fd = peer.connection()
    peer.send(PSH | ACK, b"seven..")
    assert peer.does(peer.sockets.ioctl, fd, termios.FIONREAD) == 7


def test_options_are_octets(peer: Peer) -> None:
    fd = peer.socket()
    one = struct.pack("i", 1)
    peer.does(peer.sockets.setsockopt, fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, one)
    assert peer.does(peer.sockets.getsockopt, fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, 4) == one
    assert peer.does(peer.sockets.getsockopt, fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0) == b""
    peer.fails(errno.ENOPROTOOPT, peer.sockets.getsockopt, fd, socket.IPPROTO_TCP, 9999, 4)


def test_the_congestion_control_is_the_same_on_every_machine(peer: Peer) -> None:
    name = peer.does(peer.sockets.getsockopt, peer.socket(), socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    assert name.rstrip(b"\0") == b"reno"


def test_tcp_info_has_its_fields_by_name(peer: Peer) -> None:
    fd = peer.connection()
    info = peer.does(peer.sockets.tcp_info, fd)
    assert (info["tcpi_state"], info["tcpi_snd_cwnd"], info["tcpi_snd_mss"]) == (1, 10, 536)
    assert (info["tcpi_snd_wnd"], info["tcpi_unacked"]) == (65_535, 0)


def test_messages_carry_control_data(peer: Peer) -> None:
    fd = peer.connection()
    peer.does(peer.sockets.setsockopt, fd, socket.IPPROTO_TCP, TCP_INQ, struct.pack("i", 1))
    peer.send(PSH | ACK, b"text and more")
    message = peer.does(peer.sockets.recvmsg, fd, 4, 100)
    left = (socket.IPPROTO_TCP, TCP_INQ, struct.pack("i", len(b" and more")))
    assert message == Message(b"text", (left,), 0)
    peer.expect(".")
    assert peer.does(peer.sockets.sendmsg, fd, b"answer", []) == 6
    peer.expect("P.", b"answer")


def test_what_work_raises_by_itself_is_for_who_asks(peer: Peer) -> None:
    def refuses() -> None:
        raise UnsupportedError("this")

    with pytest.raises(UnsupportedError):
        peer.end(peer.target.call(refuses))


def test_a_packet_has_the_time_when_it_was_sent(peer: Peer, target: KernelTarget) -> None:
    peer.listener()
    before = target.now()
    peer.send(SYN)
    after = target.now()
    target.wait_until(after + 0.05)
    sniffed = target.next_packet(target.now())
    assert sniffed is not None
    assert before - 0.001 <= sniffed.at <= after + 0.001


def test_waiting_takes_the_time_it_is_to_take(target: KernelTarget) -> None:
    """It never ends early, and is not rounded to milliseconds: one in many is on time on any machine."""
    late_by = []
    while len(late_by) < 200 and min(late_by, default=1) >= 0.001:
        instant = target.now() + 0.0203
        target.wait_until(instant)
        late_by.append(target.now() - instant)
    assert 0 <= min(late_by) < 0.001


def test_acknowledgments_are_delayed_as_linux_does(peer: Peer, target: KernelTarget) -> None:
    peer.connection()
    for _ in range(20):  # it acknowledges the first ones at once (tcp_enter_quickack_mode)
        peer.send(PSH | ACK, bytes(100))
        sent = target.now()
        if target.next_packet(sent + 0.03) is None:
            break
    else:
        pytest.fail("no acknowledgment was delayed")
    sniffed = target.next_packet(sent + PATIENCE_S)
    assert sniffed is not None
    assert sniffed.at - sent >= 0.035


@every_version
def test_nothing_but_tcp_and_errors_comes_out(peer: Peer) -> None:
    peer.silence()
    fd = peer.does(peer.sockets.socket, peer.family, socket.SOCK_DGRAM, 0)
    peer.does(peer.sockets.connect, fd, peer.remote)
    peer.does(peer.sockets.send, fd, b"no segment")
    peer.silence()


def test_an_icmp_error_comes_out(peer: Peer, target: KernelTarget) -> None:
    packet = bytearray(encode_segment(b"", peer.four_tuple.reversed, Segment(1, 0, SYN)))
    packet[9] = socket.IPPROTO_UDP  # the header's checksum goes with it
    total = int.from_bytes(packet[10:12]) + socket.IPPROTO_TCP - socket.IPPROTO_UDP
    packet[10:12] = (total % 65_535).to_bytes(2)
    packet[24:28] = (20).to_bytes(2) + bytes(2)  # of the datagram: length, and no checksum
    target.inject(bytes(packet))
    sniffed = target.next_packet(target.now() + PATIENCE_S)
    assert sniffed is not None
    assert (sniffed.packet[9], sniffed.packet[20:22]) == (socket.IPPROTO_ICMP, bytes([3, 3]))


def test_the_mtu_is_that_of_the_settings(peer: Peer) -> None:
    with KernelTarget(replace(peer.settings, given_mtu=1040)) as target:
        smaller = Peer(target, peer.settings)
        smaller.listener()
        smaller.send(SYN)
        assert smaller.expect("S.").options == bytes([2, 4]) + (1000).to_bytes(2)


def test_an_mtu_that_ipv6_does_not_have_is_unsupported() -> None:
    with (
        pytest.raises(UnsupportedError, match="1280"),
        KernelTarget(Settings(ip_version="ipv6", given_mtu=1000)),
    ):
        pass


def test_addresses_are_those_of_the_settings() -> None:
    settings = Settings(local_ip="10.9.8.7", remote_ip="203.0.113.5")
    with KernelTarget(settings) as target:
        peer = Peer(target, settings)
        peer.listener()
        peer.establish()
        assert target.state(peer.four_tuple) is State.ESTABLISHED


# Commands


def test_a_command_sets_sysctls_without_a_program(peer: Peer, target: KernelTarget) -> None:
    text = "`/nowhere/defaults.sh\nsysctl -q net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_fastopen=0x5`"
    target.command(text, "/", {"PATH": ""})
    target.command("`:`", "/", {})
    target.command('test "$(cat /proc/sys/net/ipv4/tcp_fastopen)" = 5', "/", {})
    target.command('test "$(cat /proc/sys/net/ipv4/tcp_syn_retries)" = 5', "/", {})
    peer.listener()
    peer.send(SYN, options=bytes([3, 3, 7, 0]))
    assert len(peer.expect("S.").options) == 4  # the MSS alone


def test_a_command_runs_in_the_directory_of_its_script(target: KernelTarget, tmp_path: Path) -> None:
    there = tmp_path / "with 'blank"
    there.mkdir()
    target.command('ls /sys/class/net >/dev/null; echo "$WORD" > said', str(there), {"WORD": "so"})
    assert (there / "said").read_text() == "so\n"


def test_a_command_runs_in_the_namespace(target: KernelTarget, tmp_path: Path) -> None:
    target.command("cat /proc/net/dev > devices", str(tmp_path), {})
    names = {line.split(":")[0].strip() for line in (tmp_path / "devices").read_text().splitlines()[2:]}
    assert {"lo", "tun0"} <= names


def test_a_command_that_fails_says_how(target: KernelTarget) -> None:
    with pytest.raises(CommandError, match=r"`echo first >&2; .*`: status 3: the last words"):
        target.command("echo first >&2; echo the last words >&2; exit 3", "/", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("net.ipv4.tcp_nonsense", "1", id="no such sysctl"),
        pytest.param("net.ipv4.tcp_congestion_control", "nonsense", id="no such value"),
        pytest.param("vm.swappiness", "60", id="not of a namespace"),
    ],
)
def test_a_sysctl_that_does_not_take_is_an_error(target: KernelTarget, name: str, value: str) -> None:
    with pytest.raises(CommandError, match=name):
        target.command(f"sysctl -q {name}={value}", "/", {})
    with pytest.raises(CommandError, match=name):
        target.sysctl(name, value)


# The end


@pytest.mark.parametrize(
    "name",
    ["accept", "connect", "recv", "send", "poll", "epoll_wait", "close"],
)
def test_a_call_that_waits_does_not_outlive_the_target(settings: Settings, name: str) -> None:
    before = threading.active_count()
    with KernelTarget(settings) as target:
        peer = Peer(target, settings)
        waiting = {
            "accept": lambda: peer.begin(peer.sockets.accept, peer.listener()),
            "connect": lambda: peer.begin(peer.sockets.connect, peer.socket(), peer.remote),
            "recv": lambda: peer.begin(peer.sockets.recv, peer.connection(), 100),
            "send": lambda: peer.begin(peer.sockets.send, peer.connection(), bytes(1 << 24)),
            "poll": lambda: peer.begin(peer.sockets.poll, [], -1),
            "epoll_wait": lambda: peer.begin(
                peer.sockets.epoll_wait, peer.does(peer.sockets.epoll_create), 1, -1
            ),
            "close": lambda: peer.begin(peer.sockets.close, lingering(peer)),
        }[name]()
        peer.waits(waiting)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    assert threading.active_count() == before


def lingering(peer: Peer) -> int:
    """Return a connection that has unacknowledged text, and whose close waits for that."""
    fd = peer.connection()
    linger = struct.pack("ii", 1, 60)
    peer.does(peer.sockets.setsockopt, fd, socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.does(peer.sockets.send, fd, b"text")
    return fd


def test_a_call_may_be_begun_at_the_very_end(settings: Settings) -> None:
    before = threading.active_count()
    with KernelTarget(settings) as target:
        peer = Peer(target, settings)
        peer.begin(peer.sockets.connect, peer.socket(), peer.remote)
    assert threading.active_count() == before


def test_descriptors_are_given_back(settings: Settings) -> None:
    def used() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with KernelTarget(settings):
        pass
    before = used()
    with KernelTarget(settings) as target:
        peer = Peer(target, settings)
        peer.connection()
        peer.does(peer.sockets.epoll_create)
    with pytest.raises(RuntimeError), KernelTarget(settings):
        raise RuntimeError("in the middle of a script")
    assert used() == before


def test_a_connection_that_was_closed_ends_with_the_target(
    settings: Settings, runtime_directory: Path
) -> None:
    with KernelTarget(settings) as target:
        peer = Peer(target, settings)
        fd = peer.connection()
        peer.does(peer.sockets.close, fd)
        peer.expect("F.")
        (path,) = (runtime_directory / "netns").iterdir()
        with Namespace.open(path) as namespace:
            diag = SockDiag(namespace)
        assert diag.state(peer.four_tuple) is State.FIN_WAIT_1
    assert diag.state(peer.four_tuple) is None
    diag.close()


def test_how_long_a_target_takes(settings: Settings, record_property: Callable[[str, object], None]) -> None:
    made_s, removed_s = [], []
    for _ in range(5):
        began = time.perf_counter()
        with KernelTarget(settings):
            made_s.append(time.perf_counter() - began)
            began = time.perf_counter()
        removed_s.append(time.perf_counter() - began)
    record_property(
        "kernel target", f"made in {min(made_s) * 1e3:.1f} ms, removed in {min(removed_s) * 1e3:.1f} ms"
    )
    assert min(made_s) < 0.25  # a tenth of it, if nothing else runs on the machine
