"""Every move, segment sent and drop of a trace cites a rule that the catalogue explains."""

from dataclasses import fields

import pytest

from support.virtual import DAY_S, FAR, NEAR, PORT, PROMPT, World, world
from xsocket import Admission, DropReason, Event, EventKind, FourTuple, Segment, Simulation, State, TcpConfig
from xsocket.segment import ACK, FIN, RST, SYN
from xsocket.seqnum import add
from xsocket.tcp.options import for_segment, parse
from xsocket_tools.rules.catalogue import catalogue
from xsocket_tools.rules.citation import cited_by_reason

KNOWN = catalogue()
FIELDS = {field.name for field in fields(TcpConfig)}
STRANGER = FourTuple(FAR, PORT, NEAR, 55_555)
"""A connection that nobody has opened, as the server would name it."""


def is_explained(event: Event) -> bool:
    """Return whether what *event* cites is in the catalogue, or a limit that is a field of `TcpConfig`."""
    if event.reason is None:
        return event.rule is not None and bool(KNOWN.explaining(event.rule))
    cited = cited_by_reason(event.reason)
    named = event.reason.value.partition(": ")[0] in FIELDS | {"Admission"}
    return all(each in KNOWN for each in cited) if cited else named


def rules_of(sim: Simulation) -> set[str]:
    """Return what the trace of *sim* cites: rules, and names of drop reasons; each has its explanation."""
    kinds = (EventKind.MOVED, EventKind.SENT, EventKind.DROPPED)
    events = [event for event in sim.trace if event.kind in kinds]
    assert [event for event in events if not is_explained(event)] == []
    return {event.reason.name if event.reason else str(event.rule) for event in events}


def forge(
    at: World,
    four_tuple: FourTuple,
    flags: int,
    seq: int = 0,
    ack: int = 0,
    text: bytes = b"",
    options: bytes = b"",
) -> None:
    """Let the host at the local end of *four_tuple* receive a segment that nobody sent."""
    at.link.inject(four_tuple.reversed, Segment(seq, ack, flags, 1000, options, text))


def sent_text(event: Event) -> int:
    """How many octets a segment carries that was sent."""
    return len(event.segment.payload) if event.kind is EventKind.SENT and event.segment else 0


def test_a_handshake_text_and_an_orderly_close() -> None:
    at = world(config=TcpConfig(), delay_s=0.01)
    ours, theirs = at.open()
    ours.sendall(b"question")
    assert theirs.recv(100) == b"question"
    theirs.sendall(bytes(100_000))
    theirs.close()
    assert sum(map(len, iter(lambda: ours.recv(65_536), b""))) == 100_000
    ours.close()
    at.sim.run()
    assert rules_of(at.sim) >= {
        *("3.10.1", "3.10.2", "3.10.4", "3.10.8", "3.10.7.2 third"),
        *("3.10.7.3 fourth", "3.10.7.4 fifth", "3.10.7.4 seventh", "3.10.7.4 eighth"),
    }


def test_both_ends_open_at_once_and_close_at_once() -> None:
    at = world(delay_s=0.01)
    at.sim.run()  # each knows where the other is
    ours = at.near.open(FAR, PORT, local_port=PORT)
    theirs = at.far.open(NEAR, PORT, local_port=PORT)
    at.sim.run(1.0)
    assert ours.info.state is theirs.info.state is State.ESTABLISHED
    ours.close()
    theirs.close()
    at.sim.run()
    assert "3.5 figure 7, appendix A.2" in rules_of(at.sim)


def test_nobody_is_there() -> None:
    sim = Simulation(seed=1)
    near = sim.host(f"{NEAR}/24", config=PROMPT)
    far = sim.host(f"{FAR}/24", admission=Admission(ports="1"), config=PROMPT)
    sim.link(near, far)
    with pytest.raises(ConnectionRefusedError):
        near.connect(FAR, PORT, timeout=DAY_S)
    assert rules_of(sim) >= {"3.10.7.1", "3.10.7.3 second"}


def test_nobody_answers() -> None:
    at = world()
    at.link.drop(lambda sent: sent.segment.syn)
    with pytest.raises(TimeoutError):
        at.near.connect(FAR, PORT, timeout=DAY_S)
    assert rules_of(at.sim) >= {"3.8.1", "3.8.3"}


def test_an_abort() -> None:
    at = world()
    ours, theirs = at.open()
    ours.abort()
    at.sim.run()
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    assert rules_of(at.sim) >= {"3.10.5", "3.10.7.4 second"}


def test_forged_segments() -> None:
    at = world(config=TcpConfig(invalid_ratelimit_s=0.1, challenge_ack_limit=2))
    ours, _ = at.open()
    info = ours.info
    forged = (
        (RST, 100, 0),
        (RST, 1 << 30, 0),
        (SYN, 5, 0),
        (ACK, 0, 1000),
        (ACK, 0, -(1 << 30)),
        (ACK, 1 << 30, 0),
        (ACK, 1 << 30, 0),
        (FIN, 0, 0),
    )
    for flags, seq, ack in forged:
        forge(at, ours.four_tuple, flags, add(info.rcv_nxt, seq), add(info.snd_nxt, ack))
        at.sim.run(0.06)
    assert ours.info.state is State.ESTABLISHED
    assert rules_of(at.sim) >= {
        *("3.10.7.4 second, 3)", "RST_CHALLENGED", "RST_OUTSIDE_WINDOW", "3.10.7.4 first", "OUTSIDE_WINDOW"),
        *("3.10.7.4 fourth", "SYN_CHALLENGED", "3.10.7.4 fifth", "ACK_UNSENT", "ACK_TOO_OLD"),
        *("CHALLENGE_RATE", "MISSING_ACK"),
    }


def test_strangers() -> None:
    at = world()
    at.sim.run()
    for flags in (RST, ACK, SYN | FIN, 0):
        forge(at, STRANGER, flags)
    at.sim.run()
    assert rules_of(at.sim) >= {
        *("RST_FOR_NOBODY", "3.10.7.2 second", "SYN_WITH_FIN", "NO_CONTROL_IN_LISTEN"),
    }


@pytest.mark.parametrize("sack", [True, False], ids=["with SACK", "without SACK"])
def test_losses(sack: bool) -> None:
    at = world(config=TcpConfig(sack=sack), delay_s=0.02)
    ours, theirs = at.open()
    at.link.drop(lambda sent: len(sent.segment.payload) > 0, nth=[12, 14, 30])
    at.link.drop(lambda sent: sent.segment.fin, nth=1)
    ours.sendall(bytes(120_000))
    ours.close()
    assert sum(map(len, iter(lambda: theirs.recv(65_536), b""))) == 120_000
    theirs.close()
    at.sim.run()
    by_duplicates = {"RFC 6675 5 step 4.3"} if sack else {"RFC 5681 3.2", "RFC 6582 3.2 step 3"}
    assert rules_of(at.sim) >= {"RFC 5681 4.2", "RFC 6298 5.4"} | by_duplicates


@pytest.mark.parametrize(
    ("mode", "cited"),
    [(1, {"RFC 3168 6.1.3"}), (3, {"RFC 9768 3.2.2.1", "RFC 9768 3.2.2.5"})],
    ids=["RFC 3168", "AccECN"],
)
def test_marks(mode: int, cited: set[str]) -> None:
    at = world(config=TcpConfig(ecn=mode), delay_s=0.02, mark=0.1)
    ours, theirs = at.open()
    ours.sendall(bytes(120_000))
    ours.close()
    assert sum(map(len, iter(lambda: theirs.recv(65_536), b""))) == 120_000
    theirs.close()
    at.sim.run()
    assert rules_of(at.sim) >= cited


def test_a_segment_older_than_the_last() -> None:
    at = world()
    ours, theirs = at.open()
    ours.sendall(b"x")
    theirs.recv(1)
    info = ours.info
    before = [
        event.segment for event in at.sim.trace if event.host == "near" and event.kind is EventKind.RECEIVED
    ]
    assert before[-1] is not None
    latest = parse(before[-1].options).ts_val
    assert latest is not None
    stamps = for_segment((add(latest, -1), 0))
    forge(at, ours.four_tuple, ACK, info.rcv_nxt, info.snd_nxt, b"old", stamps)
    at.sim.run()
    assert rules_of(at.sim) >= {"PAWS", "RFC 7323 5.3 R1"}


def test_a_window_that_stays_closed_for_a_time() -> None:
    at = world(config=TcpConfig(rmem=4096))
    ours, theirs = at.open()
    ours.settimeout(0)
    ours.send(bytes(10_000))
    at.sim.run(60.0)
    received = len(theirs.recv(65_536))
    at.sim.run(60.0)
    while received < 10_000:
        received += len(theirs.recv(65_536))
    assert rules_of(at.sim) >= {"3.8.6.1", "3.8.6.2.2"}
    assert next(event.rule for event in at.sim.trace if sent_text(event) == 1) == "3.8.6.1"


def test_keep_alives_that_nobody_answers() -> None:
    at = world(config=TcpConfig(keepalive=True))
    ours, _ = at.open()
    at.sim.run(8000.0)
    at.link.impair(loss=1.0)
    at.sim.run(DAY_S)
    with pytest.raises(TimeoutError):
        ours.recv(1)
    assert rules_of(at.sim) >= {"3.8.4"}


def test_users_who_have_gone() -> None:
    at = world()
    ours, theirs = at.open()
    ours.close()
    theirs.sendall(b"too late")
    at.sim.run()
    ours, _ = at.open()
    ours.close()  # and the peer never does
    at.sim.run()
    assert rules_of(at.sim) >= {"3.6.1", "TEXT_AFTER_CLOSE", "RST_FOR_NOBODY"}


def test_time_wait_is_reopened_and_left_early() -> None:
    at = world(config=TcpConfig(max_tw_buckets=1, rfc1337=True))
    for port in (1000, 1000, 2000):
        ours = at.near.connect(FAR, PORT, local_port=port, timeout=DAY_S)
        theirs = at.far.pool.claim(timeout=DAY_S)
        theirs.close()  # TIME-WAIT is the server's
        at.sim.run(0.1)
        ours.close()
        at.sim.run(2.0)
        forge(at, theirs.four_tuple, RST, theirs.info.rcv_nxt)
        at.sim.run(1.0)
    assert rules_of(at.sim) >= {"3.6.1", "TIME_WAIT_EVICTED", "RST_IN_TIME_WAIT"}


def test_fast_open() -> None:
    at = world(config=TcpConfig(fastopen=3, fastopen_qlen=16))
    for _ in range(2):
        ours = at.near.connect(FAR, PORT, timeout=DAY_S, data=b"text")
        assert at.far.pool.claim(timeout=DAY_S).recv(100) == b"text"
        ours.close()
    at.sim.run()
    assert rules_of(at.sim) >= {"RFC 7413 4.2.1", "RFC 7413 4.2.2"}


def test_text_that_a_fast_open_did_not_bring() -> None:
    at = world(
        config=TcpConfig(fastopen=7, fastopen_qlen=16)
    )  # the server wants a cookie, the client has none
    at.near.connect(FAR, PORT, timeout=DAY_S, data=b"text")
    at.sim.run(1.0)
    with_text = [event for event in at.sim.trace if sent_text(event)]
    assert [event.rule for event in with_text] == ["RFC 7413 4.2.2"] * 2


def test_cookies() -> None:
    at = world(config=TcpConfig(syn_cookies="always"))
    ours, _ = at.open()
    forge(at, STRANGER, ACK, 5, 6)
    at.sim.run(1.0)
    assert ours.info.state is State.ESTABLISHED
    assert rules_of(at.sim) >= {"RFC 4987 3.6", "COOKIE_INVALID"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (TcpConfig(max_syn_backlog=1, syn_cookies="never"), DropReason.HALF_OPEN_FULL),
        (
            TcpConfig(max_syn_backlog=1, syn_cookies="never", half_open_policy="evict"),
            DropReason.HALF_OPEN_EVICTED,
        ),
        (
            TcpConfig(max_syn_backlog_per_source=1, syn_cookies="never", half_open_policy="refuse"),
            DropReason.SOURCE_HALF_OPEN_FULL,
        ),
        (TcpConfig(max_connections=1), DropReason.CONNECTIONS_FULL),
    ],
    ids=lambda value: value.name if isinstance(value, DropReason) else "",
)
def test_a_flood(config: TcpConfig, reason: DropReason) -> None:
    at = world(config=config)
    at.sim.run()
    for port in range(1000, 1003):
        forge(at, STRANGER._replace(remote_port=port), SYN)
    at.sim.run()
    assert reason.name in rules_of(at.sim)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("ignore", DropReason.POOL_FULL_IGNORED),
        ("refuse", DropReason.POOL_FULL_REFUSED),
        ("evict", DropReason.POOL_FULL_EVICTED),
    ],
)
def test_a_full_pool(policy: str, reason: DropReason) -> None:
    at = world(config=TcpConfig(pool_capacity=1, pool_policy=policy, pool_timeout_s=30.0))  # type: ignore[arg-type]
    for _ in range(2):
        at.near.connect(FAR, PORT, timeout=DAY_S)
    at.sim.run(600.0)
    assert rules_of(at.sim) >= {reason.name, "POOL_TIMED_OUT"}
