"""Lesson 4: each of the three segments of a handshake is lost once."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage


def play(stage: Stage) -> None:
    """Lose the SYN, then the SYN+ACK, then the ACK, each of another connection."""
    stage.lose("S")
    connect(stage)
    stage.lose("S.")
    stage.lose("S", first=2)  # the client's own retransmission would mend it, too
    connect(stage)
    stage.lose(".")
    connect(stage)


def connect(stage: Stage) -> None:
    """Open a connection, wait until both ends have it, and reset it."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.abort()
    stage.settle()
    server.close()


def instants(run: Run, connection: int, flags: str) -> list[float]:
    """Return when segments with these flags were sent in a connection, seconds since its first segment."""
    sent = [step for step in run.sent() if step.connection == connection and step.packet is not None]
    return [
        step.at_s - sent[0].at_s for step in sent if step.packet is not None and step.packet.flags == flags
    ]


def about(found: list[float], *expected: float) -> bool:
    """Whether instants are as expected, but for the time on the way and what a timer may be late by."""
    pairs = zip(found, expected, strict=False)
    return len(found) == len(expected) and all(-0.01 <= one - other < 0.2 for one, other in pairs)


def _told(found: list[float]) -> str:
    return ", ".join(f"{each:.1f} s" for each in found)


EXPECTATIONS = (
    Expectation("a lost SYN is sent again after a second", lambda run: about(instants(run, 0, "SYN"), 0, 1)),
    Expectation("it gets one answer", lambda run: len(instants(run, 0, "SYN+ACK")) == 1),
    Expectation(
        "a lost SYN+ACK is sent again after a second", lambda run: about(instants(run, 1, "SYN+ACK"), 0, 1)
    ),
    Expectation(
        "where the third segment is lost, the SYN+ACK is sent again",
        lambda run: about(instants(run, 2, "SYN+ACK"), 0, 1),
    ),
    Expectation("and the client answers again", lambda run: len(instants(run, 2, "ACK")) >= 2),
)

QUESTIONS = (
    Question(
        "When was the SYN of the first connection sent?",
        lambda run: _told(instants(run, 0, "SYN")),
        "Before any round trip was measured, the timeout is one second (RFC 6298 section 2.1).",
    ),
    Question(
        "Who notices that the SYN+ACK is lost?",
        lambda run: (
            f"both: SYNs at {_told(instants(run, 1, 'SYN'))}, "
            f"SYN+ACKs at {_told(instants(run, 1, 'SYN+ACK'))}"
        ),
        "The client cannot tell it from a lost SYN, and the server not from a lost ACK. Each has a timer. "
        "Here the client's second SYN is lost as well, so that the server's timer is what mends it.",
    ),
    Question(
        "Where was the client while the server waited for the third segment?",
        lambda run: _clients_state_at_second_syn_ack(run),
        "It is established, and does not know that the server is not. A SYN+ACK that comes again tells it: "
        "it answers with an ACK.",
    ),
)


def _clients_state_at_second_syn_ack(run: Run) -> str:
    sent = [
        step
        for step in run.sent(1)
        if step.connection == 2 and step.packet is not None and step.packet.flags == "SYN+ACK"
    ]
    state = sent[-1].views[0].before
    return "unknown" if state is None else state.value


def _two_lost(stage: Stage) -> None:
    stage.lose("S.", count=2)
    stage.lose("S", first=2, count=9)  # only the server's timer is to help
    client = stage.client.open()
    try:
        client.wait_established()
    except OSError:
        return
    server = stage.server.accept()
    client.abort()
    stage.settle()
    server.close()


def _judge(run: Run) -> str | None:
    if "ESTABLISHED" not in run.states(0):
        return (
            f"The client never was established; SYN+ACKs were sent at {_told(instants(run, 0, 'SYN+ACK'))}."
        )
    return None


EXERCISE = Exercise(
    "Two SYN+ACKs are lost, and the server sends its SYN+ACK again only once. Change a rule so that the "
    "handshake survives.",
    _two_lost,
    _judge,
    {"synack_retries": 2},
    {"synack_retries": 1},
)
