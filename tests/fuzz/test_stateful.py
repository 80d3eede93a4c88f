"""Hypothesis drives the engine operation by operation: what it finds, it shrinks to a few of them."""

from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket_tools.fuzzing.case import (
    ACKNOWLEDGMENTS,
    DAMAGES,
    ICMP_KINDS,
    SEQUENCES,
    Call,
    Case,
    Icmp,
    Operation,
    Place,
    Say,
    Tick,
    rules_of,
)
from xsocket_tools.fuzzing.cast import OPENED, PEERS
from xsocket_tools.fuzzing.playing import Player
from xsocket_tools.fuzzing.profiles import BASE
from xsocket_tools.fuzzing.targets.engine import EngineTarget

PEERS_OF_A_RUN: Final = st.sampled_from((0, 1, 3, 4))
OPTIONS: Final = st.sampled_from(
    ((), ("mss 1460",), ("mss 1460", "sackok", "ts", "nop", "wscale 7"), ("ts",))
)
FLAGS: Final = (ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, FIN, 0, SYN | FIN)
OFFSETS: Final = st.sampled_from((0, 0, 0, 1, -1, 100))
SEQ: Final = st.builds(Place, st.sampled_from(SEQUENCES), OFFSETS)
ACKS: Final = st.builds(Place, st.sampled_from(ACKNOWLEDGMENTS), OFFSETS)
TEXTS: Final = st.sampled_from((0, 1, 10, 1000))


class Handshakes(RuleBasedStateMachine):
    """Peers that say and users that do anything; after each step the oracles have nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0

    @initialize(
        isn=st.sampled_from((0, 0xFFFF_FFC0, 0x7FFF_FFFF)), cookies=st.sampled_from(("never", "always"))
    )
    def begin(self, isn: int, cookies: str) -> None:
        case = Case((), rules_of(BASE | {"syn_cookies": cookies}), isn)
        self.player = Player(case, EngineTarget(), judged=True, with_steps=False)

    def do(self, operation: Operation) -> None:
        violation = self.player.do(self.at, operation)
        self.at += 1
        assert violation is None, f"{violation.rule}: {violation.expected}, not {violation.got}"

    @rule(peer=PEERS_OF_A_RUN, options=OPTIONS)
    def open(self, peer: int, options: tuple[str, ...]) -> None:
        """A whole handshake, so that what follows has a connection."""
        if peer in OPENED:
            self.do(Call(peer, "open"))
            self.do(Say(peer, SYN | ACK, options=options))
        else:
            self.do(Say(peer, SYN, options=options))
            self.do(Say(peer, ACK, options=("ts",) if "ts" in options else ()))
            self.do(Call(peer, "claim"))

    @rule(peer=PEERS_OF_A_RUN, flags=st.sampled_from(FLAGS), seq=SEQ, ack=ACKS, text=TEXTS, options=OPTIONS)
    def say(self, peer: int, flags: int, seq: Place, ack: Place, text: int, options: tuple[str, ...]) -> None:
        self.do(Say(peer, flags, seq, ack, text, options))

    @rule(peer=PEERS_OF_A_RUN, flags=st.sampled_from(FLAGS))
    def say_what_is_next(self, peer: int, flags: int) -> None:
        self.do(Say(peer, flags))

    @rule(peer=PEERS_OF_A_RUN, twist=st.sampled_from(tuple(DAMAGES)))
    def say_nothing_that_can_be_read(self, peer: int, twist: str) -> None:
        self.do(Say(peer, ACK, twist=twist))

    @rule(
        peer=PEERS_OF_A_RUN, kind=st.sampled_from(tuple(ICMP_KINDS)), seq=ACKS, mtu=st.sampled_from((0, 1280))
    )
    def err(self, peer: int, kind: str, seq: Place, mtu: int) -> None:
        self.do(Icmp(peer, kind, seq, mtu))

    @rule(
        peer=PEERS_OF_A_RUN,
        name=st.sampled_from(("claim", "send", "receive", "shutdown", "close", "abort")),
        size=st.sampled_from((1, 100, 3000)),
    )
    def call(self, peer: int, name: str, size: int) -> None:
        self.do(Call(peer, name, size if name in ("send", "receive") else 0))

    @precondition(lambda self: self.at > 1)
    @rule(seconds=st.sampled_from((0.05, 0.3, 1.1, 61.0)))
    def wait(self, seconds: float) -> None:
        self.do(Tick(seconds))


Handshakes.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestHandshakes = Handshakes.TestCase


def test_the_peers_of_a_run_are_of_both_roles_and_versions() -> None:
    cast = [PEERS[index] for index in (0, 1, 3, 4)]
    assert {peer.served for peer in cast} == {True, False}
    assert {peer.version for peer in cast} == {4, 6}
