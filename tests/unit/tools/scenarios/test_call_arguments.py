"""Calls with any arguments at all: a script is at fault then, and is told so; nothing here may fail of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scenarios import HANDSHAKE
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.settings import Settings

NAMES = (
    *(
        "socket",
        "bind",
        "listen",
        "accept",
        "accept4",
        "connect",
        "claim",
        "shutdown",
        "close",
        "fcntl",
        "ioctl",
    ),
    *("write", "writev", "send", "sendto", "sendmsg", "read", "readv", "recv", "recvfrom", "recvmsg"),
    *("setsockopt", "getsockopt", "poll", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait"),
)
DESCRIPTORS = ("3", "4", "5")
LEVELS = ("SOL_SOCKET", "SOL_TCP", "SOL_IP")
OPTIONS = (
    *("SO_LINGER", "SO_SNDBUF", "SO_RCVTIMEO", "SO_ERROR", "IP_TTL", "IP_TOS"),
    *("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_CONGESTION", "TCP_FASTOPEN", "TCP_SYNCNT", "TCP_INFO", "TCP_CORK"),
)
OTHERS = (
    *("...", "NULL", "-1", "0", "1", "1000", "1099511627776", "-99999999999", "[]", "[1]", "[1, 2]", '"abc"'),
    *("AF_UNSPEC", "O_RDWR|O_NONBLOCK", "F_GETFL", "F_SETFL", "SIOCINQ", "SHUT_RD", "MSG_FASTOPEN"),
    *("EPOLL_CTL_ADD", "{onoff=1, linger=0}", "{tv_sec=1, tv_usec=5}", "{events=EPOLLIN, fd=4}", "{...}"),
    *("{fd=3, events=POLLIN, revents=0}", "[{fd=3, events=POLLIN, revents=POLLIN}]"),
    '{sa_family = AF_INET, sin_port = htons(99999), sin_addr = inet_addr("x")}',
    "{msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}",
    '{msg_iov(1)=[{"abc", 3}], msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=5}]}',
)
ARGUMENTS = st.lists(st.sampled_from((*DESCRIPTORS, *LEVELS, *OPTIONS, *OTHERS)), max_size=6)
FITTING = st.builds(
    lambda *parts: list(parts),
    st.sampled_from(DESCRIPTORS),
    st.sampled_from(LEVELS),
    st.sampled_from(OPTIONS),
    st.sampled_from(OTHERS),
    st.sampled_from(("4", "...", "[8]", "[16]")),
)
RESULTS = st.sampled_from(("0", "7", "-1", "-1 EBADF", "..."))
BEFORE = f"{HANDSHAKE}+0 epoll_create(1) = 5\n"


def ran(call: str) -> Outcome:
    return run(read(f"{BEFORE}+0 {call}\n", "a.pkt"), "sim", Settings())


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), arguments=st.one_of(ARGUMENTS, FITTING), result=RESULTS)
def test_no_arguments_are_a_fault_of_ours(name: str, arguments: list[str], result: str) -> None:
    outcome = ran(f"{name}({', '.join(arguments)}) = {result}")
    assert outcome.status in (Status.PASSED, Status.FAILED, Status.UNSUPPORTED)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("write(4, ..., 1099511627776) = 1", "write with these arguments (1099511627776 octets"),
        ("read(4, ..., -1) = -1", "read with these arguments (-1 octets"),
        ("poll([{events=POLLIN}], 1, 0) = 0", "poll with these arguments ('fd')"),
        ("setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [99999999999], 4) = 0", "setsockopt with these arguments"),
        ("setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0", "setsockopt TCP_CORK"),
        ("getsockopt(4, SOL_SOCKET, SO_MAX_PACING_RATE, [0], [4]) = 0", "getsockopt SO_MAX_PACING_RATE"),
        ("setsockopt(4, SOL_TCP, 99, [1], 4) = 0", "setsockopt level 6 option 99"),
    ],
)
def test_what_a_call_cannot_have_is_named(call: str, reason: str) -> None:
    outcome = ran(call)
    assert outcome.status is Status.UNSUPPORTED
    assert reason in outcome.reason


def test_code_sees_no_field_that_the_engine_does_not_have() -> None:
    assert "tcpi_ca_state" in ran("%{ assert tcpi_ca_state == TCP_CA_Open }%").reason


def test_the_size_of_an_epoll_is_checked() -> None:
    assert ran("epoll_create(0) = -1 EINVAL").status is Status.PASSED
    assert ran("epoll_create1(0) = 6").status is Status.PASSED
