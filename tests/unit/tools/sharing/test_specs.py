"""Claims as people write them."""

import pytest

from xsocket import FourTuple, Pattern
from xsocket.waiting import Wanted
from xsocket_tools.sharing.specs import parse_claim

CLAIMS: list[object] = [
    pytest.param("any", None, id="any"),
    pytest.param("80", Pattern(local_port=80), id="port"),
    pytest.param(" 80,8000-8099 ", Pattern(local_port="80,8000-8099"), id="ports"),
    pytest.param(
        "local_port=80 remote=10.0.0.0/24,fd00::/64 local=10.0.0.2 remote_port=1024-65535",
        Pattern(80, ["10.0.0.0/24", "fd00::/64"], "10.0.0.2", "1024-65535"),
        id="fields",
    ),
    pytest.param("10.0.0.2:80<-10.0.0.1:40000", FourTuple("10.0.0.2", 80, "10.0.0.1", 40000), id="ipv4"),
    pytest.param("[fd00::2]:80 <- [fd00::1]:1", FourTuple("fd00::2", 80, "fd00::1", 1), id="ipv6"),
]


@pytest.mark.parametrize(("text", "wanted"), CLAIMS)
def test_what_a_claim_means(text: str, wanted: Wanted) -> None:
    assert parse_claim(text) == wanted


@pytest.mark.parametrize(
    "four_tuple",
    [FourTuple("10.0.0.2", 80, "10.0.0.1", 1), FourTuple("fd00::2", 80, "fd00::1", 65535)],
    ids=["ipv4", "ipv6"],
)
def test_a_four_tuple_is_read_as_it_is_printed(four_tuple: FourTuple) -> None:
    assert parse_claim(str(four_tuple)) == four_tuple


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("all", id="unknown word"),
        pytest.param("80-", id="half a range"),
        pytest.param("local_port=", id="empty field"),
        pytest.param("local_port=80 any", id="half a field"),
        pytest.param("port=80", id="unknown field"),
        pytest.param("local_port=80 local_port=81", id="twice"),
        pytest.param("10.0.0.2:80<-", id="half a 4-tuple"),
        pytest.param("10.0.0.2:80<-[fd00::1]:1", id="two families"),
        pytest.param("10.0.0.2:80<-10.0.0.1:0", id="port 0"),
        pytest.param("fd00::2:80<-fd00::1:1", id="no brackets"),
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_claim(text)
