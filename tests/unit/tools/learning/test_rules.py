"""The rule that a letter is about: the step of RFC 9293 section 3.10.7 that decides."""

import pytest

from xsocket_tools.fuzzing.case import Call, Place, Say
from xsocket_tools.learning.alphabet import BUILT_IN, PEERS, alphabet_of
from xsocket_tools.learning.machine import Move, load, stored
from xsocket_tools.learning.rules import rule_of
from xsocket_tools.rules.catalogue import catalogue

SERVER = alphabet_of("basic", "server") | alphabet_of("invalid", "server") | alphabet_of("flags", "server")


@pytest.mark.parametrize(
    ("state", "letter", "section"),
    [
        ("CLOSED", "SYN", "3.10.7.1"),
        ("LISTEN", "RST+ACK", "3.10.7.2 first"),
        ("LISTEN", "SYN+ACK", "3.10.7.2 second"),
        ("LISTEN", "SYN+FIN", "3.10.7.2 third"),
        ("LISTEN", "no flags", "3.10.7.2 fourth"),
        ("SYN-SENT", "SYN+ACK", "3.10.7.3 first"),
        ("SYN-SENT", "RST", "3.10.7.3 second"),
        ("SYN-SENT", "SYN", "3.10.7.3 fourth"),
        ("SYN-SENT", "FIN", "3.10.7.3 fifth"),
        ("ESTABLISHED", "ACK+data old", "3.10.7.4 first"),
        ("ESTABLISHED", "SYN far", "3.10.7.4 first"),
        ("ESTABLISHED 3", "RST beyond the window", "3.10.7.4 second, 1)"),
        ("CLOSE-WAIT", "RST+ACK", "3.10.7.4 second, 2)"),
        ("SYN-RECEIVED", "RST in window", "3.10.7.4 second, 3)"),
        ("SYN-RECEIVED", "SYN at the right edge", "3.10.7.4 fourth"),
        ("FIN-WAIT-1", "ACK ack wrapped", "3.10.7.4 fifth"),
        ("FIN-WAIT-2", "FIN", "3.10.7.4 fifth"),
        ("FIN-WAIT-2", "PSH+ACK+URG", "3.10.7.4 sixth"),
        ("FIN-WAIT-2", "ACK+data", "3.10.7.4 seventh"),
        ("TIME-WAIT", "FIN+ACK", "3.10.7.4 eighth"),
    ],
)
def test_steps(state: str, letter: str, section: str) -> None:
    assert str(rule_of(state, SERVER[letter], None)) == f"RFC 9293 {section}"


@pytest.mark.parametrize(
    ("call", "section"), [("open", "3.10.1"), ("send", "3.10.2"), ("close", "3.10.4"), ("abort", "3.10.5")]
)
def test_calls(call: str, section: str) -> None:
    assert rule_of("ESTABLISHED", Call(0, call), None).section == f"RFC 9293 {section}"


def test_a_known_difference_of_linux_counts_only_where_linux_does_that() -> None:
    reset = Move("RA(0, +len)", "LISTEN")
    assert rule_of("SYN-RECEIVED", SERVER["SYN"], reset).why == "another SYN where the third segment was due"
    assert rule_of("SYN-RECEIVED", SERVER["SYN"], reset._replace(to="ESTABLISHED")).why == ""
    assert rule_of("SYN-RECEIVED", SERVER["SYN"], reset._replace(output="-")).why == ""
    assert rule_of("SYN-RECEIVED", Say(0, 0x12, Place("left", 5)), reset).why != ""


@pytest.mark.parametrize("role", PEERS)
@pytest.mark.parametrize("alphabet", BUILT_IN)
def test_every_rule_is_in_the_catalogue(alphabet: str, role: str) -> None:
    states = {state for name in stored() for state in load(name).table}
    sections = {
        rule_of(state, letter, None).section
        for state in states
        for letter in alphabet_of(alphabet, role).values()
    }
    assert [section for section in sections if catalogue().find(section) is None] == []
