"""A stage of two kernels: what they say when asked, the same each time the same thing is played."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from xsocket.errors import BadConfigError
from xsocket_netns import Host, LabUsageError
from xsocket_tools.path import LimitMtu
from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.kernel_stage import KernelStage
from xsocket_tools.teaching.lesson import Run, digest, play
from xsocket_tools.teaching.stage import Connection, Play, Stage
from xsocket_tools.teaching.story import Kind, Source, Story, Tables

pytestmark = pytest.mark.netns

REPEATS = 3
OUTSIDE, INSIDE, EXACTLY = 1 << 30, 1, 0


def joined(stage: Stage) -> tuple[Connection, Connection]:
    """Return both ends of a new connection, of which nothing is under way any more."""
    ours = stage.client.open()
    ours.wait_established()
    theirs = stage.server.accept()
    stage.settle()
    return ours, theirs


def talk(stage: Stage) -> None:
    """Say something both ways; the client closes first."""
    ours, theirs = joined(stage)
    ours.send(b"hello")
    assert theirs.read() == b"hello"
    theirs.send(b"world!")
    assert ours.read() == b"world!"
    stage.settle()
    ours.close()
    assert theirs.read() == b""
    stage.settle()
    theirs.close()
    stage.settle()


def losing(flags: str) -> Play:
    """Return the play that loses the first segment with *flags*."""

    def handshake(stage: Stage) -> None:
        stage.lose(flags)
        joined(stage)

    return handshake


def forging(flags: str, seq: int) -> Play:
    """Return the play in which the server gets a forged segment."""

    def attack(stage: Stage) -> None:
        joined(stage)
        stage.forge("server", flags, seq=seq)
        stage.settle()

    return attack


def open_both(stage: Stage) -> None:
    """Open from both ends at once."""
    ours = stage.client.open(4001, from_port=4000)
    theirs = stage.server.open(4000, from_port=4001)
    ours.wait_established()
    theirs.wait_established()
    stage.settle()


def close_at_once(stage: Stage) -> None:
    """Close a connection that nobody has answered."""
    stage.lose("S")
    stage.client.open().close()
    stage.settle()


def reset_half_open(stage: Stage) -> None:
    """Reset what the server has only half; and abort the client's end, unheard."""
    stage.lose(".")
    stage.lose("R.")
    ours = stage.client.open()
    ours.wait_established()
    stage.forge("server", "RST", seq=EXACTLY)
    ours.abort()
    stage.settle()


class Case(NamedTuple):
    """A play, and its steps: kind, who sends what, and the states of client and server afterwards."""

    play: Play
    steps: list[str]


HANDSHAKE = [
    "carried client SYN: SYN-SENT, SYN-RECEIVED",
    "carried server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
    "carried client ACK: ESTABLISHED, ESTABLISHED",
    "pool server: ESTABLISHED, ESTABLISHED",
]
CASES = {
    "talk": Case(
        talk,
        [
            *HANDSHAKE,
            "carried client PSH+ACK: ESTABLISHED, ESTABLISHED",
            "sent server ACK: ESTABLISHED, ESTABLISHED",
            "sent server PSH+ACK: ESTABLISHED, ESTABLISHED",
            "arrived server ACK: ESTABLISHED, ESTABLISHED",
            "arrived server PSH+ACK: ESTABLISHED, ESTABLISHED",
            "carried client ACK: ESTABLISHED, ESTABLISHED",
            "carried client FIN+ACK: FIN-WAIT-1, CLOSE-WAIT",
            "carried server ACK: FIN-WAIT-2, CLOSE-WAIT",
            "carried server FIN+ACK: TIME-WAIT, LAST-ACK",
            "carried client ACK: TIME-WAIT, CLOSED",
        ],
    ),
    "SYN lost": Case(losing("S"), ["lost client SYN: SYN-SENT, None", *HANDSHAKE]),
    "SYN+ACK lost": Case(
        losing("S."),
        [
            "carried client SYN: SYN-SENT, SYN-RECEIVED",
            "lost server SYN+ACK: SYN-SENT, SYN-RECEIVED",
            "sent client SYN: SYN-SENT, SYN-RECEIVED",
            "sent server SYN+ACK: SYN-SENT, SYN-RECEIVED",
            "arrived client SYN: SYN-SENT, SYN-RECEIVED",
            "sent server SYN+ACK: SYN-SENT, SYN-RECEIVED",
            "arrived server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            "sent client ACK: ESTABLISHED, SYN-RECEIVED",
            "arrived server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            "sent client ACK: ESTABLISHED, SYN-RECEIVED",
            "arrived client ACK: ESTABLISHED, ESTABLISHED",
            "pool server: ESTABLISHED, ESTABLISHED",
            "arrived client ACK: ESTABLISHED, ESTABLISHED",
        ],
    ),
    "ACK lost": Case(
        losing("."),
        [
            "carried client SYN: SYN-SENT, SYN-RECEIVED",
            "carried server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            "lost client ACK: ESTABLISHED, SYN-RECEIVED",
            "carried server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            *HANDSHAKE[2:],
        ],
    ),
    "RST outside the window": Case(
        forging("RST", OUTSIDE), [*HANDSHAKE, "forged client RST: ESTABLISHED, ESTABLISHED"]
    ),
    "RST inside the window": Case(
        forging("RST", INSIDE),
        [
            *HANDSHAKE,
            "forged client RST: ESTABLISHED, ESTABLISHED",
            "carried server ACK: ESTABLISHED, ESTABLISHED",
        ],
    ),
    "RST at RCV.NXT": Case(forging("RST", EXACTLY), [*HANDSHAKE, "forged client RST: ESTABLISHED, CLOSED"]),
    "both open": Case(
        open_both,
        [
            "sent client SYN: SYN-SENT, None",
            "sent server SYN: SYN-SENT, SYN-SENT",
            "arrived client SYN: SYN-SENT, SYN-RECEIVED",
            "sent server SYN+ACK: SYN-SENT, SYN-RECEIVED",
            "arrived server SYN: SYN-RECEIVED, SYN-RECEIVED",
            "sent client SYN+ACK: SYN-RECEIVED, SYN-RECEIVED",
            "arrived server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            "sent client ACK: ESTABLISHED, SYN-RECEIVED",
            "arrived client SYN+ACK: ESTABLISHED, ESTABLISHED",
            "sent server ACK: ESTABLISHED, ESTABLISHED",
            "arrived client ACK: ESTABLISHED, ESTABLISHED",
            "arrived server ACK: ESTABLISHED, ESTABLISHED",
        ],
    ),
    "closed unanswered": Case(
        close_at_once, ["lost client SYN: SYN-SENT, None", "call client: CLOSED, None"]
    ),
    "half open and reset": Case(
        reset_half_open,
        [
            "carried client SYN: SYN-SENT, SYN-RECEIVED",
            "carried server SYN+ACK: ESTABLISHED, SYN-RECEIVED",
            "lost client ACK: ESTABLISHED, SYN-RECEIVED",
            "forged client RST: ESTABLISHED, CLOSED",
            "lost client RST+ACK: CLOSED, CLOSED",
        ],
    ),
}


def told(story: Story) -> list[str]:
    """Return a story's steps as a `Case` has them."""
    lines = []
    for step in story.steps:
        packet = "" if step.packet is None else f" {step.packet.flags}"
        states = ", ".join("None" if view.state is None else view.state.value for view in step.views)
        lines.append(f"{step.kind.value} {('client', 'server')[step.end]}{packet}: {states}")
    return lines


def story_of(what: Play) -> Story:
    """Return the story of a play."""
    return play(what, "kernel", {}, title="").story


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_play_is_the_same_each_time(case: Case) -> None:
    with ThreadPoolExecutor(REPEATS) as pool:
        stories = list(pool.map(story_of, [case.play] * REPEATS))
    assert told(stories[0]) == case.steps
    assert len({digest(story) for story in stories}) == 1


@contextmanager
def staged(rules: Mapping[str, Any] | None = None) -> Iterator[KernelStage]:
    """Open a stage for the length of a block."""
    stage = KernelStage(rules or {})
    try:
        yield stage
    finally:
        stage.close()


def test_what_is_told_was_asked() -> None:
    with staged() as stage:
        joined(stage)
        story = stage.story("a handshake")
    first, second, third, accepted = story.steps
    assert {end.source for end in story.ends} == {Source.ASKED}
    assert first.views[1].before is not None
    assert first.views[1].before.value == "LISTEN"
    assert [step.tables[1] for step in story.steps] == [
        Tables(half_open=("10.0.0.1:40000",)),
        Tables(half_open=("10.0.0.1:40000",)),
        Tables(pool=("10.0.0.1:40000",)),
        Tables(claimed=1),
    ]
    names = [[variable.name for variable in view.variables] for view in third.views]
    assert names[0] == names[1]
    assert names[0][:3] == ["ISS", "SND.UNA", "SND.NXT"]
    assert {"SND.WND", "RCV.WND", "Eff.snd.MSS", "Snd.Wind.Shift", "cwnd", "ssthresh", "SRTT", "RTO"} < set(
        names[0]
    )
    run = Run(story, "kernel")
    assert [run.variable(end, "SND.UNA") for end in (0, 1)] == [1, 1]
    assert [run.variable(end, "cwnd") for end in (0, 1)] == [10 * 1448] * 2
    assert run.variable(0, "ISS", absolute=True) == run.variable(1, "IRS", absolute=True)
    assert accepted.title == "server: the connection is accepted"
    assert second.because == ()


def test_a_lost_syn_is_sent_again_after_a_second() -> None:
    with staged() as stage:
        losing("S")(stage)
        run = Run(stage.story(""), "kernel")
    first, second = run.at("SYN")
    assert 0.99 < second - first < 1.2
    assert run.variable(0, "retransmissions", step=1) == 1


def test_text_is_cut_into_packets_that_fit() -> None:
    with staged() as stage:
        ours, theirs = joined(stage)
        ours.send(bytes(20_000))
        got = 0
        while got < 20_000:
            got += len(theirs.read())
        lengths = [
            step.packet.length for step in Run(stage.story(""), "kernel").sent(0) if step.packet is not None
        ]
    assert sum(lengths) == got
    assert max(lengths) == 1448


def test_a_closed_port_refuses() -> None:
    with staged() as stage:
        with pytest.raises(ConnectionRefusedError):
            stage.client.open(81).wait_established()
        assert told(stage.story("")) == [
            "carried client SYN: SYN-SENT, CLOSED",
            "carried server RST+ACK: CLOSED, CLOSED",
        ]


def test_a_timer_that_ends_a_connection_is_told() -> None:
    with staged({"synack_retries": 0}) as stage:
        stage.lose(".")
        stage.client.open().wait_established()
        stage.wait(1.2)
        assert told(stage.story(""))[-1] == "timer server: ESTABLISHED, CLOSED"


def test_what_a_timer_has_ended_is_told_before_what_a_later_one_sends() -> None:
    with staged({"synack_retries": 0}) as stage:
        stage.flood(1)
        stage.wait(0.3)
        stage.lose("S")
        stage.client.open()
        stage.wait(1.2)
        assert told(stage.story(""))[2:5] == [
            "lost client SYN: SYN-SENT, None",
            "timer server: None, CLOSED",
            "carried client SYN: SYN-SENT, SYN-RECEIVED",
        ]


def test_rules_are_set_for_both() -> None:
    with staged({"syn_retries": 1, "sack": False, "window_scaling": False}) as stage:
        hosts: list[Host] = [stage.client.host, stage.server.host]
        assert [host.sysctl("net.ipv4.tcp_syn_retries") for host in hosts] == ["1", "1"]
        joined(stage)
        syn, syn_ack, *_ = stage.story("").steps
    for step in (syn, syn_ack):
        assert step.packet is not None
        assert [option.partition(" ")[0] for option in step.packet.options] == ["mss", "TS"]


def test_the_size_of_the_pool_is_the_listeners_backlog() -> None:
    with staged({"pool_capacity": 1}) as stage:
        for _ in range(2):
            stage.client.open()
            stage.settle()
        story = stage.story("")
    assert told(story)[2:] == [
        "carried client ACK: ESTABLISHED, ESTABLISHED",
        "carried client SYN: SYN-SENT, LISTEN",
    ]
    assert story.steps[-1].tables[1] == Tables(pool=("10.0.0.1:40000",))


PLACES = 8
NO_COOKIES = {"max_syn_backlog": PLACES, "syn_cookies": "never"}


def half_open(story: Story) -> int:
    """Return how many connections are half-open at the server in the end."""
    tables = story.steps[-1].tables[1]
    assert isinstance(tables, Tables)
    return len(tables.half_open)


def test_a_flood_is_told_as_what_it_is() -> None:
    with staged(NO_COOKIES) as stage:
        stage.flood(2)
        story = stage.story("")
    assert (
        told(story)
        == [
            "forged client SYN: None, SYN-RECEIVED",
            "lost server SYN+ACK: None, SYN-RECEIVED",
        ]
        * 2
    )
    assert [step.title for step in story.steps[:2]] == [
        "server gets SYN seq 0 from 198.51.100.1, a false address",
        "server sends SYN+ACK seq 0 ack 1 to 198.51.100.1, where nobody is",
    ]
    assert story.spoofed == (0, 1)


@pytest.mark.parametrize(
    ("cookies", "most", "states"),
    [
        pytest.param("never", PLACES - 1, ["SYN-SENT", "LISTEN"], id="without cookies"),
        pytest.param("auto", PLACES, ["ESTABLISHED", "ESTABLISHED"], id="with cookies"),
    ],
)
def test_a_stranger_in_a_flood(cookies: str, most: int, states: list[str]) -> None:
    with staged({**NO_COOKIES, "syn_cookies": cookies}) as stage:
        stage.flood(PLACES)
        stage.client.open()
        stage.settle()
        story = stage.story("")
    assert half_open(story) == most
    assert [view.state.value for view in story.steps[-1].views if view.state is not None] == states


@pytest.mark.parametrize(
    ("leave", "states"),
    [
        pytest.param(lambda ours: ours.close(), ["ESTABLISHED", "ESTABLISHED"], id="by FIN"),
        pytest.param(lambda ours: ours.abort(), ["SYN-SENT", "LISTEN"], id="by a reset"),
    ],
)
def test_the_last_place_is_for_those_of_whom_linux_has_a_note(
    leave: Callable[[Connection], None], states: list[str]
) -> None:
    with staged(NO_COOKIES) as stage:
        ours, theirs = joined(stage)
        leave(ours)
        stage.settle()
        theirs.close()
        stage.settle()
        stage.flood(PLACES)
        assert half_open(stage.story("")) == PLACES - 1
        stage.client.open()
        stage.settle()
        last = stage.story("").steps[-1]
    assert [view.state.value for view in last.views if view.state is not None] == states


@pytest.mark.parametrize(
    ("fastopen", "lengths"),
    [
        pytest.param(0, [0, 0, 5], id="not at all"),
        pytest.param(1, [0, 0, 5], id="by a client alone"),
        pytest.param(3, [5], id="with a cookie"),
    ],
)
def test_text_that_is_given_to_open_comes_first(fastopen: int, lengths: list[int]) -> None:
    with staged({"fastopen": fastopen, "fastopen_qlen": 1}) as stage:
        for _ in range(2):
            ours = stage.client.open(text=b"first")
            ours.wait_established()
            ours.send(b", then")
            theirs = stage.server.accept()
            got = b""
            while len(got) < 11:
                got += theirs.read()
            assert got == b"first, then"
            stage.settle()
        run = Run(stage.story(""), "kernel")
    sent = [step.packet for step in run.sent(0) if step.connection == 1 and step.packet is not None]
    assert [packet.length for packet in sent][: len(lengths)] == lengths


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        pytest.param({"initial_rto_s": 3.0}, NotOnThisStageError, "initial_rto_s", id="no sysctl"),
        pytest.param({"max_rto_s": 0.0007}, BadConfigError, "max_rto_s", id="out of range"),
        pytest.param({"keepalive_time_s": 1.5}, NotOnThisStageError, "keepalive_time_s", id="no such value"),
    ],
)
def test_rules_that_linux_has_not_are_refused(
    rules: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        KernelStage(rules)


def test_nobody_to_be_deceived() -> None:
    with staged() as stage, pytest.raises(LookupError):
        stage.forge("server", "RST", seq=0)


def test_an_interrupted_play_leaves_nothing() -> None:
    threads = threading.active_count()

    def broken_off() -> None:
        with staged() as stage:
            ours, theirs = joined(stage)
            ours.send(b"unread")
            theirs.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert threading.active_count() == threads


def test_a_stage_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LabUsageError("no route today")

    threads = threading.active_count()
    monkeypatch.setattr(Host, "route", refuse)
    with pytest.raises(LabUsageError):
        KernelStage({})
    assert threading.active_count() == threads


def test_an_icmp_error_is_a_step_at_the_end_whose_segment_it_quotes() -> None:
    with staged() as stage:
        stage.insert(LimitMtu(600))
        ours, _ = joined(stage)
        ours.send(b"." * 1400)
        stage.settle()
        story = stage.story("")
    (error,) = [step for step in story.steps if step.kind is Kind.ICMP]
    assert error.title == "client gets ICMP: too big, the next hop takes 600 octets"
    assert "Eff.snd.MSS" in {each.name for each in error.views[0].variables if each.changed}
