"""What the fuzzer puts cases to gives the same on all of them: the engine in memory, on the wire, Linux."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Final

import pytest

from xsocket import State
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.seqnum import add
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.case import rules_of
from xsocket_tools.fuzzing.frames import Heard, icmp_frame, quoted_packet, read, segment_frame
from xsocket_tools.fuzzing.target import Answer, StalledError, Target, TargetError
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.fuzzing.targets.foreign import ForeignTarget, foreign_target
from xsocket_tools.fuzzing.targets.kernel import KernelTarget, kernel_target
from xsocket_tools.fuzzing.targets.wire import WireTarget, wire_target
from xsocket_tools.sockdiag import SockDiag

pytestmark = pytest.mark.netns

ISS: Final = 0xFFFF_FFF0
MSS: Final = bytes.fromhex("020405b4")
FIRST, OTHER, ELSEWHERE, OVER_IPV6 = 0, 1, 2, 3
UNSERVED, UNSERVED_OVER_IPV6 = 4, 6
A_PROGRAM: Final = [sys.executable, "-m", "support.tap_engine"]

over_both = pytest.mark.parametrize("number", [FIRST, OVER_IPV6], ids=["IPv4", "IPv6"])
unserved = pytest.mark.parametrize("number", [UNSERVED, UNSERVED_OVER_IPV6], ids=["IPv4", "IPv6"])

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@contextmanager
def in_memory() -> Iterator[EngineTarget]:
    yield EngineTarget()


TARGETS: Final[dict[str, Callable[[], AbstractContextManager[Target]]]] = {
    "engine": in_memory,
    "wire": wire_target,
    "kernel": kernel_target,
}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A target whose case has just begun."""
    with TARGETS[request.param]() as made:
        yield made


@pytest.fixture
def wire() -> Iterator[WireTarget]:
    with wire_target(traced=True) as made:
        yield made


@pytest.fixture
def kernel() -> Iterator[KernelTarget]:
    with kernel_target() as made:
        yield made


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Iterator[ForeignTarget]:
    prepare(monkeypatch, environment)
    with foreign_target(A_PROGRAM, listening=range(8000, 8004)) as made:
        yield made


def prepare(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Let programs that are started find our packages and the tests' own."""
    path = environment["PYTHONPATH"].split(":")[0].removesuffix("engine")
    monkeypatch.setenv("PYTHONPATH", f"{environment['PYTHONPATH']}:{path}tests")


class Peer:
    """One end of a connection, by hand; it knows what it has heard last."""

    def __init__(self, target: Target, number: int) -> None:
        self.target = target
        self.number = number
        self.four_tuple: FourTuple = target.four_tuple(number)
        self.seq, self.ack = ISS, 0

    @property
    def state(self) -> State | None:
        return self.target.state(self.number)

    def say(
        self, flags: int, text: bytes = b"", *, seq: int | None = None, now: float = 0.0
    ) -> list[Segment]:
        """Send a segment; return the answers."""
        segment = Segment(
            self.seq if seq is None else seq, self.ack, flags, 65_535, MSS if flags & SYN else b"", text, 0, 0
        )
        frame = segment_frame(self.target.stations, self.four_tuple.reversed, segment)
        if seq is None and not flags & RST:
            self.seq = add(self.seq, segment.length)
        return self.hear(self.target.step(frame, now))

    def call(self, name: str, text: bytes = b"", size: int = 0, now: float = 0.0) -> Answer:
        """Let the target's user make a call; what was sent meanwhile counts as heard."""
        answer = self.target.call(self.number, name, now, text, size)
        return answer._replace(frames=self.hear(answer.frames))

    def hear(self, frames: Any) -> list[Segment]:  # noqa: ANN401
        """Return the segments for this peer, whose end is acknowledged from now on."""
        heard = [read(frame.data) for frame in frames]
        segments = [
            each.segment for each in heard if isinstance(each, Heard) and each.four_tuple == self.four_tuple
        ]
        for segment in segments:
            if not segment.flags & RST:
                self.ack = add(segment.seq, segment.length)
        return segments

    def establish(self) -> None:
        """Open the connection from here."""
        (answer,) = self.say(SYN)
        assert answer.flags == SYN | ACK
        assert self.say(ACK) == []


def flags_of(segments: Any) -> list[int]:  # noqa: ANN401
    return [segment.flags for segment in segments]


# The same on each


@over_both
def test_a_connection_from_its_first_segment_to_its_last(target: Target, number: int) -> None:
    peer = Peer(target, number)
    assert peer.state is None
    (answer,) = peer.say(SYN)
    assert (answer.flags, answer.acknowledgment) == (SYN | ACK, add(ISS, 1))
    assert peer.state is State.SYN_RECEIVED
    assert peer.say(ACK) == []
    assert peer.state is State.ESTABLISHED
    assert peer.call("claim") == Answer([], peer.four_tuple)
    assert flags_of(peer.say(ACK | PSH, b"question")) == [ACK]
    assert peer.call("receive", size=100) == Answer([], b"question")
    sent = peer.call("send", b"answer")
    assert (sent.value, [each.payload for each in sent.frames]) == (6, [b"answer"])
    assert flags_of(peer.say(ACK | FIN)) == [ACK]
    assert peer.state is State.CLOSE_WAIT
    assert peer.call("receive", size=100) == Answer([], b"")
    assert flags_of(peer.call("close").frames) == [ACK | FIN]
    assert peer.state is State.LAST_ACK
    assert peer.say(ACK) == []
    assert peer.state is None


@over_both
def test_an_active_close_ends_in_time_wait(target: Target, number: int) -> None:
    peer = Peer(target, number)
    peer.establish()
    peer.call("claim")
    assert flags_of(peer.call("shutdown").frames) == [ACK | FIN]
    assert peer.say(ACK) == []
    assert peer.state is State.FIN_WAIT_2
    assert flags_of(peer.say(ACK | FIN)) == [ACK]
    assert peer.state is State.TIME_WAIT


@over_both
def test_a_reset_ends_a_connection(target: Target, number: int) -> None:
    peer = Peer(target, number)
    peer.establish()
    peer.call("claim")
    assert peer.say(RST) == []
    assert peer.state is None
    assert peer.call("receive", size=1).error == "ConnectionResetError"


@unserved
def test_a_closed_port_answers_with_a_reset(target: Target, number: int) -> None:
    (answer,) = Peer(target, number).say(SYN)
    assert (answer.flags, answer.seq, answer.acknowledgment) == (RST | ACK, 0, add(ISS, 1))


@unserved
def test_an_active_open(target: Target, number: int) -> None:
    peer = Peer(target, number)
    assert flags_of(peer.call("open").frames) == [SYN]
    assert peer.state is State.SYN_SENT
    assert peer.call("claim").error == "ClaimTimeout"
    assert flags_of(peer.say(SYN | ACK)) == [ACK]
    assert peer.state is State.ESTABLISHED
    assert peer.call("open").error == "AddressInUseError"
    assert flags_of(peer.say(ACK, b"text")) == [ACK]
    assert peer.call("open").error == "AddressInUseError"


@unserved
def test_text_to_send_first_goes_when_it_can(target: Target, number: int) -> None:
    target.begin(rules_of({"fastopen": 0}), 0)
    peer = Peer(target, number)
    assert flags_of(peer.call("open", b"first").frames) == [SYN]
    answers = peer.say(SYN | ACK)
    assert b"".join(each.payload for each in answers) == b"first"


@unserved
def test_an_open_that_is_refused(target: Target, number: int) -> None:
    peer = Peer(target, number)
    peer.call("open")
    assert peer.say(RST | ACK, seq=0) == []
    assert peer.state is None
    assert peer.call("receive", size=1).error == "ConnectionRefusedError"


@unserved
def test_both_open_at_once(target: Target, number: int) -> None:
    peer = Peer(target, number)
    (syn,) = peer.call("open").frames
    assert flags_of(peer.say(SYN)) == [SYN | ACK]
    assert peer.state is State.SYN_RECEIVED
    peer.ack = add(syn.seq, 1)
    peer.say(SYN | ACK, seq=ISS)
    assert peer.state is State.ESTABLISHED


@pytest.mark.parametrize("second", [OTHER, ELSEWHERE], ids=["by port", "by address"])
def test_two_peers_are_told_apart(target: Target, second: int) -> None:
    first, other = Peer(target, FIRST), Peer(target, second)
    assert len({first.four_tuple[2:], other.four_tuple[2:]}) == 2
    other.establish()
    first.establish()
    assert first.call("claim").value == first.four_tuple
    assert other.call("claim").value == other.four_tuple
    assert first.call("claim").error == "AlreadyClaimedError"


def test_the_oldest_goes_to_whom_any_will_do(target: Target) -> None:
    order = (OVER_IPV6, OTHER, FIRST)
    peers = [Peer(target, number) for number in order]
    for peer in peers:
        peer.establish()
    assert peers[1].call("claim").value == peers[1].four_tuple
    assert peers[0].call("claim any").value == peers[0].four_tuple
    assert peers[0].call("claim any").value == peers[2].four_tuple
    assert peers[0].call("claim any").error == "ClaimTimeout"
    assert peers[2].call("send", b"text").value == 4


def test_one_that_was_reset_is_passed_over(target: Target) -> None:
    first, other = Peer(target, FIRST), Peer(target, OTHER)
    first.establish()
    other.establish()
    first.say(RST)
    assert other.call("claim any").value == other.four_tuple


def test_what_is_in_the_way_is_kept(target: Target) -> None:
    peers = [Peer(target, number) for number in (OVER_IPV6, FIRST, OTHER)]
    for peer in peers:
        peer.establish()
    assert peers[2].call("claim").value == peers[2].four_tuple
    assert peers[0].call("claim any").value == peers[0].four_tuple
    assert peers[1].call("claim").value == peers[1].four_tuple


def test_nobody_claims_what_is_not_there(target: Target) -> None:
    peer = Peer(target, FIRST)
    assert peer.call("claim").error == "ClaimTimeout"
    assert peer.call("send", b"text").error == "NotClaimedError"
    peer.say(SYN)
    assert peer.call("claim").error == "ClaimTimeout"
    peer.say(ACK)
    peer.say(RST)
    assert peer.call("claim").error == "ClaimTimeout"


def test_who_aborts_sends_a_reset(target: Target) -> None:
    peer = Peer(target, FIRST)
    peer.establish()
    peer.call("claim")
    (reset,) = peer.call("abort").frames
    assert reset.flags & RST
    assert peer.state is None
    assert peer.call("send", b"text").error == "EBADF"


def test_what_was_closed_can_still_be_aborted(target: Target) -> None:
    peer = Peer(target, FIRST)
    peer.establish()
    peer.call("claim")
    peer.call("close")
    (reset,) = peer.call("abort").frames
    assert reset.flags & RST
    assert peer.call("abort") == Answer([])
    assert flags_of(Peer(target, OTHER).say(SYN)) == [SYN | ACK]


def test_a_new_case_knows_nothing_of_the_last(target: Target) -> None:
    for number in (FIRST, OTHER, OVER_IPV6):
        Peer(target, number).establish()
    target.begin((), 0)
    for number in (FIRST, OTHER, OVER_IPV6):
        peer = Peer(target, number)
        assert peer.state is None
        assert flags_of(peer.say(ACK)) == [RST]
        assert peer.call("claim").error == "ClaimTimeout"


def test_rules_are_those_of_the_case(target: Target) -> None:
    target.begin(rules_of({"ttl": 7}), 0)
    peer = Peer(target, OVER_IPV6)
    segment = Segment(ISS, 0, SYN, 65_535, MSS, b"", 0, 0)
    frame = segment_frame(target.stations, peer.four_tuple.reversed, segment)
    (first,) = map(read, (each.data for each in target.step(frame, 0.0)))
    target.begin((), 0)
    frame = segment_frame(target.stations, target.four_tuple(OVER_IPV6).reversed, segment)
    (second,) = map(read, (each.data for each in target.step(frame, 0.0)))
    assert isinstance(first, Heard)
    assert isinstance(second, Heard)
    assert (first.ttl, second.ttl) == (7, 64)


def test_what_time_brings_has_its_instant(target: Target) -> None:
    target.begin(rules_of({"loss_probe": False}), 0)
    peer = Peer(target, FIRST)
    peer.establish()
    peer.call("claim")
    peer.call("send", b"text")
    frames: list[Frame] = list(target.step(None, 0.45))
    (again,) = peer.hear(frames)
    assert again.payload == b"text"
    assert 190_000_000 <= frames[0].at_ns <= 450_000_000


def test_what_is_late_is_not_waited_for(target: Target) -> None:
    peer = Peer(target, FIRST)
    target.step(None, 0.02)
    assert flags_of(peer.say(SYN, now=0.01)) == [SYN | ACK]


# One alone


def test_an_engine_on_the_wire_counts(wire: WireTarget) -> None:
    Peer(wire, FIRST).establish()
    Peer(wire, OVER_IPV6).say(SYN)
    counts = wire.counts()
    assert (counts.connections, counts.half_open, counts.waiting) == (2, 1, 1)
    assert wire.trace is not None
    assert [event for event in wire.trace if event.four_tuple == wire.four_tuple(FIRST)]


def test_linux_says_what_it_cannot_do(kernel: KernelTarget) -> None:
    rules = rules_of({"time_wait_s": 1.0, "sack": False, "half_open_policy": "evict"})
    assert kernel.unsupported(rules) == ["half_open_policy", "time_wait_s"]
    with pytest.raises(TargetError, match="half_open_policy, time_wait_s"):
        kernel.begin(rules, 0)


def test_linux_has_a_rule_as_long_as_the_case(kernel: KernelTarget) -> None:
    kernel.begin(rules_of({"syn_retries": 2}), 0)
    assert kernel.host.sysctl("net.ipv4.tcp_syn_retries") == "2"
    kernel.begin((), 0)
    assert kernel.host.sysctl("net.ipv4.tcp_syn_retries") == "6"


@over_both
def test_linux_forgets_the_path_with_the_case(kernel: KernelTarget, number: int) -> None:
    kind, largest = ((3, 4), 1460) if number == FIRST else ((2, 0), 1440)
    for _ in range(2):
        kernel.begin((), 0)
        peer = Peer(kernel, number)
        peer.establish()
        peer.call("claim")
        sent = peer.call("send", bytes(1500)).frames
        assert len(sent[0].payload) == largest
        router, own = peer.four_tuple.remote_address, peer.four_tuple.local_address
        quoted = quoted_packet(peer.four_tuple, sent[0].seq, 20)
        again = peer.hear(kernel.step(icmp_frame(kernel.stations, router, own, kind, 1300, quoted), 0.0))
        assert len(again[0].payload) == largest - 200


def test_linux_forgets_a_cookie_with_the_case(kernel: KernelTarget) -> None:
    for _ in range(2):
        kernel.begin(rules_of({"fastopen": 1}), 0)
        peer = Peer(kernel, UNSERVED)
        (syn,) = peer.call("open", b"text").frames
        assert syn.payload == b""
        cookie = MSS + bytes.fromhex("220a01020304050607080101")
        answer = Segment(ISS, peer.ack, SYN | ACK, 65_535, cookie, b"", 0, 0)
        kernel.step(segment_frame(kernel.stations, peer.four_tuple.reversed, answer), 0.0)


@pytest.mark.parametrize("ends", ["shutdown", "close"])
def test_nothing_of_a_case_stays_in_linux(kernel: KernelTarget, ends: str) -> None:
    with closing(SockDiag(kernel.host.namespace)) as diag:
        for closes_first in (True, False):
            kernel.begin((), 0)
            peer = Peer(kernel, FIRST)
            peer.establish()
            peer.call("claim")
            peer.call(ends)
            if closes_first:
                peer.say(ACK | FIN)
            assert diag.state(peer.four_tuple) is not None
            kernel.begin((), 0)
            assert diag.state(peer.four_tuple) is None


def test_a_kernel_that_answers_no_ping_is_stalled(kernel: KernelTarget) -> None:
    peer = Peer(kernel, FIRST)
    kernel.host.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
    with pytest.raises(StalledError):
        peer.say(SYN)
    kernel.host.sysctl("net.ipv4.icmp_echo_ignore_all", 0)
    kernel.begin((), 0)
    assert flags_of(Peer(kernel, FIRST).say(SYN)) == [SYN | ACK]


@pytest.mark.parametrize("made", [kernel_target, wire_target], ids=["kernel", "wire"])
def test_an_error_in_the_block_leaves_nothing(made: Callable[[], AbstractContextManager[Target]]) -> None:
    def fail() -> None:
        with made() as target:
            Peer(target, FIRST).establish()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()


def test_an_ordinary_user_can_put_cases_to_linux(as_ordinary_user: Run) -> None:
    program = (
        "from xsocket_netns import ensure_privileges\n"
        "from xsocket_tools.fuzzing.targets.kernel import kernel_target\n"
        "ensure_privileges()\n"
        "with kernel_target() as target:\n"
        "    target.begin((('sack', False),), 0)\n"
        "    print(target.call(target.four_tuple(0) and 0, 'claim', 0.0).error)\n"
    )
    done = as_ordinary_user("-c", program)
    assert (done.returncode, done.stdout) == (0, "ClaimTimeout\n"), done.stderr


# Another program


@over_both
def test_another_program_is_a_target(foreign: ForeignTarget, number: int) -> None:
    for _ in range(3):
        foreign.begin((), 0)
        peer = Peer(foreign, number)
        peer.establish()
        assert flags_of(peer.say(ACK | PSH, b"question")) == [ACK]
        assert flags_of(peer.say(ACK | FIN)) == [ACK]
        assert peer.state is None
        assert foreign.counts() is None


def test_another_program_takes_neither_calls_nor_rules(foreign: ForeignTarget) -> None:
    with pytest.raises(TargetError, match="takes no calls"):
        foreign.call(FIRST, "claim", 0.0)
    with pytest.raises(TargetError, match="cannot play by sack"):
        foreign.begin(rules_of({"sack": False}), 0)
    foreign.begin(rules_of({"sack": True}), 0)


def test_a_program_can_be_known_to_play_by_a_rule(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    prepare(monkeypatch, environment)
    with foreign_target(A_PROGRAM, plays_by={"sack": False}, quiet_s=0.01) as target:
        assert target.unsupported(rules_of({"sack": False})) == []
        assert target.unsupported(rules_of({"sack": True})) == ["sack"]
        Peer(target, FIRST).establish()


def test_a_program_that_ends_is_told_of() -> None:
    with (
        pytest.raises(TargetError, match="ended with status 3: no stack today"),
        foreign_target([sys.executable, "-c", "print('no stack today'); raise SystemExit(3)"]),
    ):
        pass


def test_a_program_that_is_none_is_told_of() -> None:
    with pytest.raises(TargetError, match="cannot start /nowhere/stack"), foreign_target(["/nowhere/stack"]):
        pass


def test_a_program_that_says_nothing_is_not_waited_for() -> None:
    with (
        pytest.raises(TargetError, match="nobody answered"),
        foreign_target([sys.executable, "-c", "import signal; signal.pause()"], start_patience_s=0.2),
    ):
        pass
