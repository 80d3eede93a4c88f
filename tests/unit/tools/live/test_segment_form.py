"""The form for a segment by hand: what it makes of good input, and what it says of bad input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsocket import FourTuple, Segment, State, TcpConfig
from xsocket.info import Info
from xsocket.segment import ACK, AE, SYN
from xsocket.simulation import Simulation
from xsocket_tools.live.segment_form import FLAGS, Known, Order, read
from xsocket_tools.live.world import NET

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
NAME = "10.0.0.1:40000 to 80"


def info(**values: Any) -> Info:  # noqa: ANN401
    """The TCB of a connection, with other values."""
    sim = Simulation(seed=1)
    client, server = sim.host("10.0.0.1/24", config=TcpConfig()), sim.host("10.0.0.2/24")
    sim.link(client, server)
    return client.connect("10.0.0.2", 80).info._replace(**values)


KNOWN = {
    NAME: Known(KEY, info(state=State.ESTABLISHED, rcv_nxt=2**32 - 1, snd_nxt=500)),
    "unknown": Known(FourTuple("10.0.0.2", 80, "10.0.0.1", 40_001), None),
}


def form(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A form that is filled in well, but for *changes*."""
    filled: dict[str, Any] = {
        "connection": "",
        "address": "10.0.0.66",
        "source_port": "40000",
        "port": "81",
        "flags": ["SYN"],
        "seq": "1000",
        "seq_from": "absolute",
        "ack": "0",
        "ack_from": "absolute",
        "window": "64240",
        "options": "",
        "text": "",
    }
    return {**filled, **changes}


def test_a_forged_address_sends_what_was_filled_in() -> None:
    got = read(form(flags=["SYN", "AE"], options="02 04 05 b4", text="hé", ack="7"), KNOWN, NET)
    assert got == Order(
        FourTuple("10.0.0.66", 40_000, "10.0.0.2", 81),
        Segment(1000, 7, SYN | AE, 64_240, bytes.fromhex("020405b4"), "hé".encode()),
    )


def test_numbers_may_count_from_those_of_the_connection() -> None:
    chosen = form(
        connection=NAME, seq="+3", seq_from="relative", ack="-1", ack_from="relative", flags=["ACK"]
    )
    got = read({**chosen, "address": "nonsense", "port": "nonsense"}, KNOWN, NET)
    assert got == Order(KEY.reversed, Segment(2, 499, ACK, 64_240))


def test_numbers_may_be_absolute_with_a_connection_too() -> None:
    got = read(form(connection=NAME, seq="4294967295"), KNOWN, NET)
    assert isinstance(got, Order)
    assert got.segment.seq == 2**32 - 1


def test_options_are_filled_up_to_whole_words() -> None:
    got = read(form(options="0x03:03,07"), KNOWN, NET)
    assert isinstance(got, Order)
    assert got.segment.options == b"\x03\x03\x07\x00"


def test_every_flag_has_its_bit() -> None:
    assert sorted(FLAGS.values()) == [1 << bit for bit in range(9)]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        pytest.param("connection", "10.0.0.9:1 to 80", "not there any more", id="a connection that has gone"),
        pytest.param("address", "<b>10.0.0.66</b>", "no IP address", id="no address"),
        pytest.param("address", "", "no IP address", id="no address at all"),
        pytest.param("address", "10.0.1.66", "10.0.0.0/24", id="of another network"),
        pytest.param("address", "fd00::66", "10.0.0.0/24", id="IPv6"),
        pytest.param("address", "10.0.0.2", "engine's own", id="the engine's"),
        pytest.param("address", "10.0.0.1", "one of its connections", id="the client's"),
        pytest.param("source_port", "0", "1 to 65,535", id="port 0"),
        pytest.param("port", "65536", "65,536 is out of range", id="port too large"),
        pytest.param("port", "http", "no number", id="a port's name"),
        pytest.param("port", "8_0", "no number", id="a number as Python writes it"),
        pytest.param("port", "٨٠", "no number", id="digits of another script"),
        pytest.param("port", 80, "no text", id="a number of JSON"),
        pytest.param("flags", "SYN", "no list", id="flags that are no list"),
        pytest.param("flags", [7], "no list", id="flags that are no text"),
        pytest.param("flags", ["SYN", "<img src=x onerror=alert(1)>"], "no flag <img", id="an unknown flag"),
        pytest.param("flags", ["\ud800"], r"no flag \ud800", id="half of a character"),
        pytest.param("seq", "-1", "0 to 4,294,967,295", id="a negative absolute number"),
        pytest.param("seq", "4294967296", "out of range", id="33 bits"),
        pytest.param("seq", "1" * 5000, "no number", id="many digits"),
        pytest.param("seq", "", "no number", id="nothing"),
        pytest.param("ack", None, "no text", id="null"),
        pytest.param("seq_from", "sideways", "absolute, or relative", id="counted from nowhere"),
        pytest.param("seq_from", "relative", "connection that is chosen", id="relative to no connection"),
        pytest.param("window", "65536", "0 to 65,535", id="the window"),
        pytest.param("options", "0", "hexadecimal", id="half an octet"),
        pytest.param("options", "02 04 05 zz", "hexadecimal", id="no hexadecimal"),
        pytest.param("options", "00" * 41, "41 octets", id="too many options"),
        pytest.param("text", "é" * 701, "1,402 octets", id="too much text"),
    ],
)
def test_bad_input_is_explained_beside_its_field(field: str, value: object, says: str) -> None:
    wrong = read(form(**{field: value}), KNOWN, NET)
    assert isinstance(wrong, dict)
    assert list(wrong) == [field.removesuffix("_from")]
    assert says in wrong[field.removesuffix("_from")]


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = read(form(address="x", seq="x", options="x"), KNOWN, NET)
    assert isinstance(wrong, dict)
    assert sorted(wrong) == ["address", "options", "seq"]


def test_a_connection_of_which_nothing_is_known_has_no_numbers_to_count_from() -> None:
    wrong = read(form(connection="unknown", seq_from="relative"), KNOWN, NET)
    assert isinstance(wrong, dict)
    assert list(wrong) == ["seq"]


@pytest.mark.parametrize("given", [None, [], "x", 7, {"<script>": "1"}, {"\ud800": "1"}], ids=repr)
def test_what_is_no_form_is_refused(given: object) -> None:
    assert isinstance(read(given, KNOWN, NET), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(form())), JSON | st.text("0123456789abcdef.-+ x", max_size=12)))
def test_whatever_comes_nothing_is_raised_and_what_is_sent_fits(changes: dict[str, Any]) -> None:
    got = read(form(**changes), KNOWN, NET)
    if isinstance(got, dict):
        assert got
        assert all(isinstance(each, str) and each for each in got.values())
        return
    segment = got.segment
    assert max(segment.seq, segment.acknowledgment) < 2**32
    assert min(segment.seq, segment.acknowledgment, segment.window) >= 0
    assert (len(segment.options) % 4, len(segment.options) <= 40) == (0, True)
