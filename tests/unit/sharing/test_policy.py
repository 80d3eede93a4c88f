"""Who may claim what, and what becomes of claims that ask for more."""

import pytest

from xsocket.errors import PoolAccessError
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.sharing.policy import EVERYTHING, ClaimPolicy, Peer, narrowed
from xsocket.waiting import Wanted

SERVER = 500
WEB = Pattern(local_port=80)
MAIL = Pattern(local_port=25)
POLICY = ClaimPolicy(users={1000: WEB, 1001: None}, groups={33: MAIL, 34: None})

PEERS = [
    pytest.param(Peer(1, 1000), WEB, id="named"),
    pytest.param(Peer(1, 1000, (34,)), WEB, id="named, before the group"),
    pytest.param(Peer(1, 1001), EVERYTHING, id="named for everything"),
    pytest.param(Peer(1, 2000, (5, 33)), MAIL, id="of a group"),
    pytest.param(Peer(1, 2000, (34, 33)), MAIL, id="of two groups, the first that is named"),
    pytest.param(Peer(1, 2000, (34,)), EVERYTHING, id="of a group for everything"),
    pytest.param(Peer(1, 0), EVERYTHING, id="root"),
    pytest.param(Peer(1, SERVER), EVERYTHING, id="the server's own"),
    pytest.param(Peer(1, 2000, (5,)), None, id="not named"),
]


@pytest.mark.parametrize(("peer", "allowed"), PEERS)
def test_who_may_claim_what(peer: Peer, allowed: Pattern | None) -> None:
    assert POLICY.allowed(peer, SERVER) == allowed


def test_root_can_be_named() -> None:
    assert ClaimPolicy(users={0: WEB}).allowed(Peer(1, 0), SERVER) == WEB


LOCAL = FourTuple("10.0.0.2", 80, "10.0.0.1", 40000)
OFFICE = Pattern(local_port="80,443", remote="10.0.0.0/24")

CLAIMS: list[object] = [
    pytest.param(None, OFFICE, OFFICE, id="any"),
    pytest.param(LOCAL, OFFICE, LOCAL, id="4-tuple"),
    pytest.param(Pattern(), OFFICE, OFFICE, id="open pattern"),
    pytest.param(
        Pattern(local_port="1-100", local="10.0.0.2"),
        OFFICE,
        Pattern(local_port=80, remote="10.0.0.0/24", local="10.0.0.2"),
        id="pattern",
    ),
    pytest.param(
        Pattern(remote="10.0.0.128-10.0.1.3"),
        OFFICE,
        Pattern(local_port="80,443", remote="10.0.0.128-10.0.0.255"),
        id="addresses",
    ),
    pytest.param(None, EVERYTHING, None, id="any, all allowed"),
    pytest.param(WEB, EVERYTHING, WEB, id="pattern, all allowed"),
]


@pytest.mark.parametrize(("wanted", "allowed", "got"), CLAIMS)
def test_a_claim_is_narrowed_to_what_is_allowed(wanted: Wanted, allowed: Pattern, got: Wanted) -> None:
    assert narrowed(wanted, allowed) == got


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(FourTuple("10.0.0.2", 22, "10.0.0.1", 40000), id="port"),
        pytest.param(FourTuple("10.0.0.2", 80, "10.0.1.1", 40000), id="source"),
        pytest.param(FourTuple("fd00::2", 80, "fd00::1", 40000), id="family"),
        pytest.param(Pattern(local_port="1-79"), id="pattern"),
        pytest.param(Pattern(remote="fd00::/64"), id="addresses"),
    ],
)
def test_what_is_not_allowed_is_refused(wanted: Wanted) -> None:
    with pytest.raises(PoolAccessError):
        narrowed(wanted, OFFICE)
