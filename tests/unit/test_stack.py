"""The stack: strangers, limits and their policies, the pool's answer, TIME-WAIT, the timer heap."""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest

from support.pair import CLIENT, SERVER, End
from support.peer import AFTER_SYN, Peer
from xsocket.actions import Deleted, Received, Send
from xsocket.admission import Admission, AdmissionPolicy, Verdict
from xsocket.config import HalfOpenPolicy, TcpConfig
from xsocket.errors import AddressInUseError
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.stack import Stack
from xsocket.state import State, Timer
from xsocket.tcp.options import for_segment, for_syn


def from_port(port: int) -> FourTuple:
    return FourTuple("10.0.0.2", 80, "10.0.0.1", port)


class Changing:
    """An admission policy that can be told otherwise."""

    def __init__(self) -> None:
        self.verdict = Verdict.ADMIT

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:  # noqa: ARG002
        return self.verdict


# Strangers: RFC 9293 sections 3.10.7.1 and 3.10.7.2, 3.5.2 group 1


@pytest.mark.parametrize(
    ("letters", "closed", "listening"),
    [
        pytest.param("S", ["R. seq 0 ack 8"], ["S. seq 0 ack 8"], id="SYN"),
        pytest.param("S.", ["R seq 9"], ["R seq 9"], id="SYN ACK"),
        pytest.param(".", ["R seq 9"], ["R seq 9"], id="ACK"),
        pytest.param("F.", ["R seq 9"], ["R seq 9"], id="FIN ACK"),
        pytest.param("F", ["R. seq 0 ack 8"], [], id="FIN"),
        pytest.param("SF", ["R. seq 0 ack 9"], [], id="SYN FIN"),
        pytest.param("-", ["R. seq 0 ack 7"], [], id="no flags"),
        pytest.param("R", [], [], id="RST"),
        pytest.param("R.", [], [], id="RST ACK"),
        pytest.param("SR", [], [], id="SYN RST"),
    ],
)
def test_what_a_stranger_is_answered(letters: str, closed: list[str], listening: list[str]) -> None:
    assert Peer(End("end", admission=Admission(ports=())), iss=0).send(letters, 7, 9) == closed
    answers = Peer(End("end"), iss=0).send(letters, 7, 9)
    assert answers == listening


def test_the_reset_of_text_counts_it() -> None:
    peer = Peer(End("end", admission=Admission(ports=())), iss=0)
    assert peer.send("S", 0xFFFF_FFFE, text=b"1234") == ["R. seq 0 ack 3"]


@pytest.mark.parametrize("letters", ["S", ".", "F.", "R", "-"], ids=["SYN", "ACK", "FIN", "RST", "none"])
def test_an_ignored_port_is_silent(letters: str) -> None:
    peer = Peer(End("end", admission=Admission(ignored_ports="80")))
    assert peer.send(letters) == []
    assert peer.end.drops() in ([DropReason.ADMISSION_IGNORES], [DropReason.RST_FOR_NOBODY])


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        pytest.param("R", DropReason.RST_FOR_NOBODY, id="RST"),
        pytest.param("SF", DropReason.SYN_WITH_FIN, id="SYN FIN"),
        pytest.param("F", DropReason.NO_CONTROL_IN_LISTEN, id="FIN"),
        pytest.param("-", DropReason.NO_CONTROL_IN_LISTEN, id="no flags"),
    ],
)
def test_silence_has_a_reason(letters: str, reason: DropReason) -> None:
    peer = Peer(End("end"))
    assert peer.send(letters) == []
    assert peer.end.drops() == [reason]
    assert len(peer.end.stack) == 0


@pytest.mark.parametrize(
    ("admission", "answers"),
    [
        pytest.param(Admission(), ["S. seq 0 ack 1"], id="admit all"),
        pytest.param(Admission(ports="80", sources="10.0.0.0/24"), ["S. seq 0 ack 1"], id="admit"),
        pytest.param(Admission(ports="81"), ["R. seq 0 ack 1"], id="refuse port"),
        pytest.param(Admission(sources="10.9.0.0/16"), ["R. seq 0 ack 1"], id="refuse source"),
        pytest.param(Admission(ports="81", otherwise="ignore"), [], id="ignore"),
    ],
)
def test_admission_judges_syns(admission: AdmissionPolicy, answers: list[str]) -> None:
    peer = Peer(End("end", admission=admission), iss=0)
    assert peer.send("S", 0) == answers


def test_admission_does_not_judge_the_segments_of_a_connection() -> None:
    policy = Changing()
    peer = Peer(End("end", admission=policy)).reach(State.SYN_RECEIVED)
    policy.verdict = Verdict.REFUSE
    peer.send(".")
    assert peer.send("P.", text=b"hello") == [". seq 1 ack 6"]


# Limits


def fill(end: End, count: int) -> list[Peer]:
    return [Peer(end, from_port(1000 + number)).reach(State.SYN_RECEIVED) for number in range(count)]


@pytest.mark.parametrize(
    ("policy", "answers", "drops", "left"),
    [
        pytest.param("ignore", [], [DropReason.HALF_OPEN_FULL], [True, True, False], id="ignore"),
        pytest.param(
            "refuse", ["R. seq 0 ack 1"], [DropReason.HALF_OPEN_FULL], [True, True, False], id="refuse"
        ),
        pytest.param(
            "evict", ["S. seq 0 ack 1"], [DropReason.HALF_OPEN_EVICTED], [False, True, True], id="evict"
        ),
    ],
)
def test_a_full_half_open_table(
    policy: str, answers: list[str], drops: list[DropReason], left: list[bool]
) -> None:
    rules = TcpConfig(max_syn_backlog=2, syn_cookies="never", half_open_policy=policy)  # type: ignore[arg-type]
    end = End("end", rules)
    fill(end, 2)
    assert Peer(end, from_port(1002)).send("S", 0) == answers
    assert end.drops() == drops
    assert [from_port(1000 + number) in end.stack for number in range(3)] == left
    assert end.stack.statistics().half_open == 2
    assert end.stack.statistics().half_open_high_water == 2


def test_an_established_connection_leaves_the_half_open_table() -> None:
    end = End("end", TcpConfig(max_syn_backlog=1))
    (first,) = fill(end, 1)
    first.send(".")
    assert end.stack.statistics().half_open == 0
    assert Peer(end, from_port(2000)).reach(State.SYN_RECEIVED)


PER_SOURCE = TcpConfig(max_syn_backlog=8, max_syn_backlog_per_source=2, syn_cookies="never")


def test_a_source_gets_no_more_than_its_share_of_the_half_open_table() -> None:
    end = End("end", PER_SOURCE)
    fill(end, 2)
    assert Peer(end, from_port(1002)).send("S", 0) == []
    assert end.drops() == [DropReason.SOURCE_HALF_OPEN_FULL]
    other = FourTuple("10.0.0.2", 80, "10.0.0.9", 1000)
    assert Peer(end, other).send("S", 0) == ["S. seq 0 ack 1"]


@pytest.mark.parametrize(
    ("cookies", "policy", "answers"),
    [
        pytest.param("auto", "ignore", ["S. seq 0 ack 1"], id="a cookie"),
        pytest.param("never", "refuse", ["R. seq 0 ack 1"], id="refused"),
        pytest.param("never", "evict", [], id="evicts nobody"),
    ],
)
def test_what_a_source_gets_beyond_its_share(cookies: str, policy: str, answers: list[str]) -> None:
    rules = replace(PER_SOURCE, syn_cookies=cookies, half_open_policy=policy)
    end = End("end", rules)
    fill(end, 2)
    assert Peer(end, from_port(1002)).send("S", 0) == answers
    assert end.stack.statistics().half_open == 2


@pytest.mark.parametrize("ending", ["established", "reset", "timed out"])
def test_a_source_gets_its_share_back(ending: str) -> None:
    end = End("end", PER_SOURCE)
    first, _ = fill(end, 2)
    if ending == "timed out":
        first.advance(64)
    else:
        first.send("." if ending == "established" else "R")
    assert Peer(end, from_port(1002)).send("S", 0) == ["S. seq 0 ack 1"]


@pytest.mark.parametrize(
    ("remote", "answers"),
    [
        pytest.param("fd00::1:0:0:3", [], id="the same /64"),
        pytest.param("fd00:0:0:1::1", ["S. seq 0 ack 1"], id="another /64"),
    ],
)
def test_a_source_is_a_64_in_ipv6(remote: str, answers: list[str]) -> None:
    end = End("end", PER_SOURCE)
    for number in (1, 2):
        Peer(end, FourTuple("fd00::2", 80, f"fd00::{number}", 1000)).send("S", 0)
    assert Peer(end, FourTuple("fd00::2", 80, remote, 1000)).send("S", 0) == answers


def test_an_active_open_is_not_half_open() -> None:
    end = End("end", TcpConfig(max_syn_backlog=1))
    peer = Peer(end).reach(State.SYN_SENT)
    peer.send("S", 0)
    assert peer.state is State.SYN_RECEIVED
    assert end.stack.statistics().half_open == 0


def test_a_full_connection_table() -> None:
    end = End("end", TcpConfig(max_connections=2))
    fill(end, 2)
    assert Peer(end, from_port(1002)).send("S", 0) == []
    assert end.drops() == [DropReason.CONNECTIONS_FULL]
    assert len(end.stack) == 2


def test_a_connection_exists_once() -> None:
    end = End("end")
    Peer(end).reach(State.ESTABLISHED)
    with pytest.raises(AddressInUseError):
        end.stack.connect(0.0, SERVER)


# A full pool


class Room:
    """The pool's answer."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, _: FourTuple) -> bool:
        return self.left > 0


def test_a_full_pool_that_ignores_takes_the_peer_when_it_tries_again() -> None:
    room = Room()
    end = End("end", TcpConfig(pool_policy="ignore"), has_room=room)
    peer = Peer(end).reach(State.SYN_RECEIVED)
    assert peer.send(".") == []
    assert end.drops() == [DropReason.POOL_FULL_IGNORED]
    assert peer.advance(1) == ["S. seq 0 ack 1"]
    room.left = 1
    assert peer.send(".") == []
    assert end.established() == [SERVER]
    assert end.path(SERVER) == [State.LISTEN, State.SYN_RECEIVED, State.ESTABLISHED]


def test_a_full_pool_that_ignores_gives_up_in_the_end() -> None:
    end = End("end", TcpConfig(pool_policy="ignore"), has_room=Room())
    peer = Peer(end).reach(State.SYN_RECEIVED)
    peer.send(".")
    assert len(peer.advance(63)) == 5
    assert peer.state is State.CLOSED
    assert peer.send(".") == ["R seq 1"]


def test_a_full_pool_that_ignores_loses_no_text() -> None:
    room = Room()
    peer = Peer(End("end", has_room=room)).reach(State.SYN_RECEIVED)
    assert peer.send("P.", text=b"hello") == []
    room.left = 1
    assert peer.send("P.", text=b"hello") == [". seq 1 ack 6"]
    assert peer.read() == b"hello"


def test_a_full_pool_that_refuses() -> None:
    end = End("end", TcpConfig(pool_policy="refuse"), has_room=Room())
    peer = Peer(end).reach(State.SYN_RECEIVED)
    assert peer.send(".") == ["R. seq 1 ack 1"]
    assert end.drops() == [DropReason.POOL_FULL_REFUSED]
    assert end.path(SERVER) == [State.LISTEN, State.SYN_RECEIVED, State.CLOSED]
    assert end.established() == []
    assert end.stack.statistics().half_open == 0


def test_a_full_pool_that_evicts_lets_the_handshake_end() -> None:
    end = End("end", TcpConfig(pool_policy="evict"), has_room=Room())
    Peer(end).reach(State.ESTABLISHED)
    assert end.established() == [SERVER]


def test_a_full_pool_does_not_concern_an_active_open() -> None:
    end = End("end", TcpConfig(pool_policy="refuse"), has_room=Room())
    peer = Peer(end).reach(State.SYN_SENT)
    assert peer.send("S.", 0, 1) == [". seq 1 ack 1"]
    assert peer.state is State.ESTABLISHED


def test_a_full_pool_does_not_concern_a_simultaneous_open() -> None:
    end = End("end", TcpConfig(pool_policy="refuse"), has_room=Room())
    peer = Peer(end).reach(State.SYN_SENT)
    peer.send("S", 0)
    peer.send(".", 1, 1)
    assert peer.state is State.ESTABLISHED


def test_a_pool_is_not_asked_about_an_acknowledgment_that_completes_nothing() -> None:
    asked: list[FourTuple] = []
    end = End("end", has_room=lambda four_tuple: asked.append(four_tuple) is None)
    peer = Peer(end).reach(State.SYN_RECEIVED)
    assert peer.send(".", 1, 2) == ["R seq 2"]
    assert asked == [], "it would keep a place for a connection that does not come"
    peer.send(".", 1, 1)
    assert asked == [SERVER]


def test_a_full_pool_is_not_asked_about_a_reset() -> None:
    end = End("end", TcpConfig(pool_policy="refuse"), has_room=Room())
    peer = Peer(end).reach(State.SYN_RECEIVED)
    assert peer.send("R") == []
    assert peer.state is State.CLOSED


# TIME-WAIT


def in_time_wait(config: TcpConfig | None = None, admission: AdmissionPolicy | None = None) -> Peer:
    return Peer(End("end", config, admission)).reach(State.TIME_WAIT)


def test_time_wait_ends() -> None:
    peer = in_time_wait()
    peer.advance(59.999)
    assert peer.state is State.TIME_WAIT
    peer.advance(60)
    assert peer.state is State.CLOSED
    assert peer.end.stack.statistics().time_wait == 0
    assert peer.end.deleted() == [None]


def test_a_retransmitted_fin_restarts_time_wait() -> None:
    peer = in_time_wait()
    peer.advance(50)
    assert peer.send("F.", 1) == [". seq 2 ack 2"]
    peer.advance(109.999)
    assert peer.state is State.TIME_WAIT
    peer.advance(110)
    assert peer.state is State.CLOSED


def test_a_higher_syn_reopens_from_time_wait() -> None:
    peer = in_time_wait()
    old = peer.tcb
    assert peer.send("S", 3) == [f"S. seq {65_537 + 2} ack 4"]
    assert peer.end.path(SERVER)[-3:] == [State.CLOSED, State.LISTEN, State.SYN_RECEIVED]
    assert peer.tcb is not old
    assert peer.end.stack.statistics()[:3] == (1, 1, 0)


def test_the_iss_of_a_reopened_connection_follows_the_clock_when_that_is_larger() -> None:
    peer = in_time_wait()
    peer.advance(30)
    peer.send("S", 3)
    assert peer.tcb.iss - peer.irs == 0
    assert peer.end.segments()[-1].seq - peer.end.segments()[0].seq == 30 * 250_000


@pytest.mark.parametrize("seq", [1, 2, -1000], ids=["the FIN's", "the next", "far below"])
def test_a_lower_syn_does_not_reopen(seq: int) -> None:
    peer = in_time_wait()
    assert peer.send("S", seq) == [". seq 2 ack 2"]
    assert peer.end.drops() == [DropReason.SYN_CHALLENGED]
    assert peer.state is State.TIME_WAIT


@pytest.mark.parametrize(
    ("seq", "stamp", "reopens"),
    [
        pytest.param(3, 101, True, id="higher, newer"),
        pytest.param(-1000, 101, True, id="lower, newer"),
        pytest.param(3, 100, True, id="higher, same"),
        pytest.param(-1000, 100, False, id="lower, same"),
        pytest.param(3, 99, False, id="higher, older"),
        pytest.param(-1000, 99, False, id="lower, older"),
        pytest.param(3, None, True, id="higher, none"),
        pytest.param(-1000, None, False, id="lower, none"),
    ],
)
def test_timestamps_tell_a_new_syn_from_an_old_one(seq: int, stamp: int | None, reopens: bool) -> None:
    """RFC 6191 section 2."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (100, 0))).reach(State.TIME_WAIT)
    peer.send("S", seq, options=b"" if stamp is None else for_syn(1460, None, False, (stamp, 0)))
    assert peer.state is (State.SYN_RECEIVED if reopens else State.TIME_WAIT)


@pytest.mark.parametrize("letters", ["S.", "SF"], ids=["SYN ACK", "SYN FIN"])
def test_only_a_plain_syn_reopens(letters: str) -> None:
    peer = in_time_wait()
    assert peer.send(letters, 3) == [". seq 2 ack 2"]
    assert peer.state is State.TIME_WAIT


@pytest.mark.parametrize("verdict", [Verdict.REFUSE, Verdict.IGNORE], ids=["refuse", "ignore"])
def test_a_syn_that_is_not_admitted_leaves_time_wait_alone(verdict: Verdict) -> None:
    policy = Changing()
    peer = in_time_wait(admission=policy)
    policy.verdict = verdict
    assert peer.send("S", 3) == []
    assert peer.state is State.TIME_WAIT
    assert peer.end.drops() == [DropReason.ADMISSION_IGNORES]


def test_a_reset_with_a_syn_ends_time_wait_and_opens_nothing() -> None:
    peer = in_time_wait()
    assert peer.send("SR") == []
    assert peer.state is State.CLOSED
    assert peer.end.drops() == []


@pytest.mark.parametrize("most", [0, 1], ids=["none", "one"])
def test_time_wait_beyond_the_limit_ends_at_once(most: int) -> None:
    end = End("end", TcpConfig(max_tw_buckets=most))
    peers = [Peer(end, from_port(1000 + number)).reach(State.FIN_WAIT_2) for number in range(most + 1)]
    answers = [peer.send("F.") for peer in peers]
    assert answers == [[". seq 2 ack 2"]] * (most + 1), "every FIN is acknowledged"
    assert peers[0].state is State.CLOSED
    assert end.drops() == [DropReason.TIME_WAIT_EVICTED]
    assert end.deleted() == [None]
    assert end.stack.statistics().time_wait == most


def test_a_batch_that_fills_time_wait_acknowledges_every_fin() -> None:
    end = End("end", TcpConfig(max_tw_buckets=1))
    peers = [Peer(end, from_port(1000 + number)).reach(State.FIN_WAIT_2) for number in range(3)]
    actions = end.stack.receive(0.0, [(peer.four_tuple, peer.segment("F.")) for peer in peers])
    assert sum(isinstance(action, Send) for action in actions) == 3
    assert end.stack.statistics().time_wait == 1


def test_text_can_be_read_after_time_wait_was_cut_short() -> None:
    peer = Peer(End("end", TcpConfig(max_tw_buckets=0))).reach(State.FIN_WAIT_2)
    tcb = peer.tcb
    peer.send("FP.", text=b"last")
    assert tcb.error is None
    assert peer.end.stack.receive_text(0.0, tcb, 100)[0] == b"last"


# Batches and the trace


def test_a_batch_is_acknowledged_once() -> None:
    """RFC 9293 section 3.10.7.4, MUST-58 and MUST-59."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    segments = [peer.segment("P.", seq, text=b"x" * 100) for seq in range(1, 1001, 100)]
    assert peer.deliver(*segments) == [". seq 1 ack 1001"]


def test_a_traced_stack_shows_each_segment_before_what_came_of_it() -> None:
    stack = Stack(
        TcpConfig(), Admission(), secret=bytes(32), mss={4: 1460}, has_room=lambda _: True, traced=True
    )
    actions = stack.receive(0.0, [(SERVER, Peer(End("end")).segment("S"))])
    first = actions[0]
    assert isinstance(first, Received)
    assert (first.before, first.after) == (State.CLOSED, State.SYN_RECEIVED)


# The timer heap


def churn(end: End, count: int) -> None:
    """Let *count* connections be established and reset, each of which leaves a timer in the heap."""
    for number in range(count):
        peer = Peer(end, from_port(2000 + number)).reach(State.ESTABLISHED)
        peer.send("R")


def test_a_rested_connection_keeps_its_timers_when_the_heap_is_tidied() -> None:
    end = End("end")
    peer = Peer(end).reach(State.ESTABLISHED)
    churn(end, 1100)
    peer.advance(10)
    assert peer.write(b"hello") == ["P. seq 1 ack 1 len 5"]
    assert peer.tcb.timer is Timer.RETRANSMISSION
    assert end.stack.deadline <= peer.tcb.deadline
    assert peer.advance(11) != [], "it is sent again"


def test_the_heap_is_tidied() -> None:
    end = End("end")
    churn(end, 3000)
    fired = 0
    while end.stack.deadline < inf:
        end.perform(end.stack.timers_fired(end.stack.deadline))
        fired += 1
    assert end.timers() == []
    assert fired <= 1


def test_a_stopped_timer_does_not_fire() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.end.stack.deadline == 1.0, "the heap looks once more"
    assert peer.advance(100) == []
    assert peer.end.timers() == []
    assert peer.end.stack.deadline == inf


# Deletion


@pytest.mark.parametrize("state", [State.SYN_SENT, *AFTER_SYN], ids=lambda state: state.value)
def test_abort_deletes_in_every_state(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    sent = peer.abort()
    resets = {
        State.SYN_RECEIVED: "R. seq 1 ack 1",
        State.ESTABLISHED: "R. seq 1 ack 1",
        State.FIN_WAIT_1: "R. seq 2 ack 1",
        State.FIN_WAIT_2: "R. seq 2 ack 1",
        State.CLOSE_WAIT: "R. seq 1 ack 2",
    }
    assert sent == ([resets[state]] if state in resets else [])
    assert peer.end.path(SERVER)[-1] is State.CLOSED
    assert len(peer.end.stack) == 0
    assert peer.end.stack.statistics()[:3] == (0, 0, 0)
    assert sum(isinstance(action, Deleted) for action in peer.end.actions) == 1
    assert peer.advance(1000) == []


def test_an_abort_in_time_wait_is_no_error() -> None:
    """RFC 9293 section 3.10.5: respond with "ok" and delete the TCB."""
    peer = in_time_wait()
    peer.abort()
    assert peer.end.deleted() == [None]


def test_abort_twice() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    tcb = peer.tcb
    peer.abort()
    assert peer.did(peer.end.stack.abort(peer.now, tcb)) == []


@pytest.mark.parametrize(
    "lead", [lambda stack: stack.tcbs, lambda stack: stack.statistics], ids=["tcbs", "statistics"]
)
def test_what_is_shown_is_a_snapshot(lead: Callable[[Stack], Callable[[], object]]) -> None:
    end = End("end")
    before = lead(end.stack)()
    Peer(end, CLIENT).reach(State.SYN_RECEIVED)
    assert lead(end.stack)() != before


def test_the_mss_follows_the_ip_version() -> None:
    end = End("end")
    for four_tuple, mss in ((SERVER, 1460), (FourTuple("fd00::2", 80, "fd00::1", 5), 1440)):
        peer = Peer(end, four_tuple).reach(State.SYN_RECEIVED)
        assert peer.tcb.rcv_mss == mss


def test_paws_keeps_an_old_fin_from_nothing_but_time_wait() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (100, 0))).reach(State.ESTABLISHED)
    assert peer.send("F.", options=for_segment((99, 0))) == [". seq 1 ack 1"]
    assert peer.end.drops() == [DropReason.PAWS]
    assert peer.state is State.ESTABLISHED


@pytest.mark.parametrize("policy", ["ignore", "refuse"])
def test_a_syn_for_which_there_is_no_place_does_not_end_time_wait(policy: HalfOpenPolicy) -> None:
    """RFC 6191 section 2: and it gets no answer, for a reset would end the peer's attempt."""
    config = TcpConfig(max_syn_backlog=1, half_open_policy=policy, syn_cookies="never")
    peer = Peer(End("end", config)).reach(State.TIME_WAIT)
    Peer(peer.end, FourTuple("10.0.0.2", 80, "10.0.0.9", 4000)).send("S", 0)
    assert peer.send("S", 100) == []
    assert peer.state is State.TIME_WAIT
    assert peer.end.drops()[-1] is DropReason.HALF_OPEN_FULL
