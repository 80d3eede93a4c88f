"""The messages between a pool server and its clients: what is written is read, what is hostile is refused."""

import json
from random import Random
from typing import Any

import pytest

from xsocket.errors import (
    AddressInUseError,
    ClaimTimeout,
    NetworkUnreachableError,
    PoolProtocolError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.handoff.kernel import HandoffStatistics
from xsocket.pattern import Pattern
from xsocket.pool import PoolStatistics
from xsocket.sharing import protocol
from xsocket.sharing.happening import LONGEST_REASON, Happening, ServerStatistics
from xsocket.sharing.protocol import (
    Acknowledge,
    AskStatistics,
    Claim,
    Events,
    Given,
    List,
    Listing,
    Refused,
    Statistics,
    Watch,
    Withdraw,
    Withdrawn,
)

V4 = FourTuple("10.0.0.2", 80, "10.0.0.1", 40000)
LONG = ":".join(["ffff"] * 8)
V6 = FourTuple(LONG, 65535, LONG, 65535)
MILLION = 1_000_000

REQUESTS = [
    pytest.param(Claim(), id="any"),
    pytest.param(Claim(V4, 5.0), id="ipv4"),
    pytest.param(Claim(V6, 0), id="ipv6"),
    pytest.param(Claim(Pattern(), 1.5), id="open pattern"),
    pytest.param(
        Claim(Pattern("80,8000-8099", ["10.0.0.0/24", "fd00::/64"], "10.0.0.2", "1024-65535")), id="pattern"
    ),
    pytest.param(Claim(Pattern(remote=[], local_port=[])), id="nothing"),
    pytest.param(Withdraw(), id="withdraw"),
    pytest.param(Acknowledge(), id="acknowledge"),
    pytest.param(List(), id="list"),
    pytest.param(AskStatistics(), id="statistics"),
    pytest.param(Watch(), id="watch"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_are_read_as_they_were_written(request_: protocol.Request) -> None:
    assert protocol.parse_request(protocol.encode_request(request_)) == request_


ALL = 10**18
HAPPENING = Happening(
    1795666667.4108856, "refused_descriptor", V6, 4294967295, 4194304, "\\" * LONGEST_REASON
)

ANSWERS = [
    pytest.param(Given(V6), id="connection"),
    pytest.param(Withdrawn(), id="withdrawn"),
    pytest.param(Refused("ClaimTimeout", "nothing came"), id="error"),
    pytest.param(Refused("PoolProtocolError", '"\x00é\U0001f600' * 128), id="largest error"),
    pytest.param(Listing((), more=False), id="nothing"),
    pytest.param(Listing((V6,) * protocol.LISTED, more=True), id="largest listing"),
    pytest.param(
        Statistics(
            PoolStatistics(*[ALL] * len(PoolStatistics._fields)),
            ServerStatistics(*[ALL] * len(ServerStatistics._fields)),
            HandoffStatistics(*[ALL] * len(HandoffStatistics._fields)),
        ),
        id="statistics",
    ),
    pytest.param(
        Events((Happening(1.0, "put", V4), Happening(2.5, "connected", None, 0, 1)), 3), id="events"
    ),
    pytest.param(Events((HAPPENING,) * protocol.TOLD, ALL), id="most events"),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_read_as_they_were_written(answer: protocol.Answer) -> None:
    octets = protocol.encode_answer(answer)
    assert len(octets) <= protocol.MOST_OCTETS
    assert protocol.parse_answer(octets) == answer


NO_REQUESTS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\xff\xfe", id="no text"),
    pytest.param(b"claim", id="no JSON"),
    pytest.param(b'{"ask":"claim"', id="half"),
    pytest.param(b"[" * 4096, id="nested too deep"),
    pytest.param(b'{"ask":' * 500, id="objects too deep"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b"{}", id="nothing"),
    pytest.param(b'{"ask":null}', id="null"),
    pytest.param(b'{"ask":["claim"]}', id="a list of one"),
    pytest.param(b'{"ask":"format"}', id="unknown"),
    pytest.param(b'{"ask":"list","wanted":null}', id="of another request"),
    pytest.param(b'{"ask":"claim","port":80}', id="unknown field"),
    pytest.param(b'{"ask":"claim","timeout":-1}', id="negative"),
    pytest.param(b'{"ask":"claim","timeout":NaN}', id="no number"),
    pytest.param(b'{"ask":"claim","timeout":Infinity}', id="infinite"),
    pytest.param(b'{"ask":"claim","timeout":1e999}', id="more than a float"),
    pytest.param(b'{"ask":"claim","timeout":' + b"9" * 4000 + b"}", id="4,000 digits"),
    pytest.param(b'{"ask":"claim","timeout":true}', id="truth"),
    pytest.param(b'{"ask":"claim","timeout":"1"}', id="text"),
    pytest.param(b'{"ask":"claim","wanted":[]}', id="no 4-tuple"),
    pytest.param(b'{"ask":"claim","wanted":["10.0.0.2",80,"10.0.0.1"]}', id="3-tuple"),
    pytest.param(b'{"ask":"claim","wanted":["10.0.0.2",80,"fd00::1",1]}', id="two families"),
    pytest.param(b'{"ask":"claim","wanted":["10.0.0.2",true,"10.0.0.1",1]}', id="true port"),
    pytest.param(b'{"ask":"claim","wanted":["10.0.0.2",0,"10.0.0.1",1]}', id="port 0"),
    pytest.param(b'{"ask":"claim","wanted":["10.0.0.2",8e1,"10.0.0.1",1]}', id="broken port"),
    pytest.param(b'{"ask":"claim","wanted":"80"}', id="wanted as text"),
    pytest.param(b'{"ask":"claim","wanted":{"port":"80"}}', id="unknown field of a pattern"),
    pytest.param(b'{"ask":"claim","wanted":{"local_port":80}}', id="number in a pattern"),
    pytest.param(b'{"ask":"claim","wanted":{"local_port":["80"]}}', id="list in a pattern"),
    pytest.param(b'{"ask":"claim","wanted":{"local_port":"80-1"}}', id="backward"),
    pytest.param(b'{"ask":"claim","wanted":{"remote":"' + b"9" * 4000 + b'"}}', id="long address"),
    pytest.param(b'{"ask":"claim"}' + b" " * 4096, id="too long"),
]


@pytest.mark.parametrize("octets", NO_REQUESTS)
def test_what_is_no_request_is_named(octets: bytes) -> None:
    with pytest.raises(PoolProtocolError) as caught:
        protocol.parse_request(octets)
    told = protocol.encode_answer(Refused.because(caught.value))
    assert protocol.parse_answer(told) == Refused.because(caught.value)


NO_ANSWERS = [
    pytest.param({"answer": "connection"}, id="no 4-tuple"),
    pytest.param({"answer": "connection", "four_tuple": 7}, id="number"),
    pytest.param({"answer": "connection", "four_tuple": ["x", 1, "y", 2]}, id="no addresses"),
    pytest.param({"answer": "error", "name": 1, "message": "x"}, id="number as name"),
    pytest.param({"answer": "listing", "connections": None, "more": False}, id="no list"),
    pytest.param({"answer": "statistics", "pool": {}, "server": {}, "handoff": {}}, id="no counters"),
    pytest.param(
        {"answer": "events", "events": [{"at_s": "now", "event": "put"}], "missed": 0}, id="no time"
    ),
    pytest.param({"answer": "events", "events": [{"shell": "rm"}], "missed": 0}, id="unknown field"),
    pytest.param({"answer": 3}, id="no name"),
    pytest.param([], id="a list"),
]


@pytest.mark.parametrize("plain", NO_ANSWERS)
def test_what_is_no_answer_is_named(plain: object) -> None:
    with pytest.raises(PoolProtocolError):
        protocol.parse_answer(json.dumps(plain).encode())


def test_a_million_malformed_requests_raise_nothing_else() -> None:
    random = Random(5)
    seeds = [bytearray(protocol.encode_request(each.values[0])) for each in REQUESTS]  # type: ignore[arg-type]
    refused = 0
    for _ in range(MILLION):
        octets = random.choice(seeds).copy()
        octets[random.randrange(len(octets))] = random.randrange(256)
        try:
            protocol.parse_request(bytes(octets))
        except PoolProtocolError:
            refused += 1
    assert refused > MILLION // 2


def test_a_pattern_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    ports = ",".join(str(port) for port in range(1, 3000, 2))
    with pytest.raises(PoolProtocolError, match="4096 fit"):
        protocol.encode_request(Claim(Pattern(local_port=ports)))


def test_a_timeout_of_centuries_is_a_long_one() -> None:
    sent = protocol.parse_request(protocol.encode_request(Claim(None, 1e15)))
    assert sent == Claim(None, protocol.LONGEST_TIMEOUT_S)


ERRORS: list[Any] = [
    pytest.param(ClaimTimeout("nothing came"), "ClaimTimeout", id="its own name"),
    pytest.param(NetworkUnreachableError("nowhere"), "PoolProtocolError", id="not among those told"),
    pytest.param(AddressInUseError("taken"), "PoolProtocolError", id="nor this"),
]


@pytest.mark.parametrize(("error", "name"), ERRORS)
def test_an_error_is_told_without_its_remedy(error: XsocketError, name: str) -> None:
    told = protocol.parse_answer(protocol.encode_answer(Refused.because(error)))
    assert isinstance(told, Refused)
    assert told.name == name
    assert error.remedy not in told.message
    assert str(error.args[0]) in told.error().args[0]


def test_an_error_that_only_a_later_server_knows() -> None:
    told = protocol.parse_answer(b'{"answer":"error","name":"NewError","message":"new"}')
    assert told == Refused("PoolProtocolError", "NewError: new")
