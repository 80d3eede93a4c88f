"""Lesson 6: an end crashes without a word, comes back, and opens from the port that it had before."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet, Step

OWN_PORT = 40_000


def play(stage: Stage) -> None:
    """Connect; crash, which is an abort that nobody hears of; and connect again from the same port."""
    client = stage.client.open(from_port=OWN_PORT)
    client.wait_established()
    server = stage.server.accept()
    client.send(b"I am about to crash.")
    server.read()
    stage.settle()
    stage.lose("R.")
    client.abort()
    stage.settle()
    client = stage.client.open(from_port=OWN_PORT)
    client.wait_established()
    stage.server.accept()
    stage.settle()


def afterwards(run: Run) -> list[Step]:
    """Return the steps in which a segment is sent after the crash."""
    sent = run.sent()
    crashed = next(
        at for at, step in enumerate(sent) if step.packet is not None and "RST" in step.packet.flags
    )
    return sent[crashed + 1 :]


def packets(run: Run) -> list[Packet]:
    """Return what is sent after the crash."""
    return [step.packet for step in afterwards(run) if step.packet is not None]


def pause(run: Run) -> float:
    """Return how long the client waits between its reset and the next SYN, in seconds."""
    sent = afterwards(run)
    return sent[3].at_s - sent[2].at_s


EXPECTATIONS = (
    Expectation(
        "the SYN gets an ACK, the ACK a reset, and the next SYN what it asked for",
        lambda run: (
            [packet.flags for packet in packets(run)] == ["SYN", "ACK", "RST", "SYN", "SYN+ACK", "ACK"]
        ),
    ),
    Expectation(
        "the SYN moves neither end",
        lambda run: not afterwards(run)[0].views[1].moved and not afterwards(run)[1].views[0].moved,
    ),
    Expectation(
        "the reset has the number that the ACK acknowledged",
        lambda run: packets(run)[2].absolute_seq == packets(run)[1].absolute_ack,
    ),
    Expectation(
        "the reset ends the old connection at the server, and the SYN begins a new one",
        lambda run: run.states(1)[-4:] == ["ESTABLISHED", "CLOSED", "SYN-RECEIVED", "ESTABLISHED"],
    ),
    Expectation(
        "the client is in SYN-SENT all the while",
        lambda run: run.states(0)[-3:] == ["CLOSED", "SYN-SENT", "ESTABLISHED"],
    ),
    Expectation(
        "its second SYN goes when the retransmission timer runs out",
        lambda run: 0.9 < afterwards(run)[3].at_s - afterwards(run)[0].at_s < 1.2,
        stages=("engine",),
    ),
    Expectation(
        "Linux sends its second SYN right behind the reset", lambda run: pause(run) < 0.1, stages=("kernel",)
    ),
)


def _answer_to_syn(run: Run) -> str:
    syn, answer = packets(run)[:2]
    assert answer.absolute_ack is not None
    return (
        f"{answer.flags}, which acknowledges up to {answer.absolute_ack:,}; the SYN has {syn.absolute_seq:,} "
        f"(as they stand on the wire)"
    )


def _number_of_reset(run: Run) -> str:
    _, challenge, reset = packets(run)[:3]
    assert challenge.absolute_ack is not None
    return f"{reset.absolute_seq:,}, from the acknowledgment number {challenge.absolute_ack:,}"


QUESTIONS = (
    Question(
        "What does the server answer to the SYN?",
        _answer_to_syn,
        "Not SYN+ACK: it is ESTABLISHED, and says where the connection stands that it has. To a peer that "
        "knows nothing of that, it is the acknowledgment of something that was never sent.",
    ),
    Question(
        "Which number has the reset, and where is it from?",
        _number_of_reset,
        "The client has no number of its own that would mean anything to the server. It takes the one it "
        "was told, and that is exactly RCV.NXT of the server.",
    ),
    Question(
        "How long does the client wait after its reset, until it sends the SYN again?",
        lambda run: f"{pause(run):.2f} s",
        "On the engine what is left of the second of its retransmission timer. Linux sets that timer anew "
        "when it has sent such a reset, to the least that it can be, if that was its first SYN.",
    ),
)


def _judge(run: Run) -> str | None:
    if run.flags(0).count("SYN") != 1:
        return "The client has sent a SYN after its crash."
    if any("RST" in flags for flags in run.flags(1)):
        return "It was the server that sent a reset."
    if run.states(1)[-1] != "CLOSED":
        return f"The server still is in {run.states(1)[-1]}."
    return None


def _no_return(stage: Stage) -> None:
    client = stage.client.open(from_port=OWN_PORT)
    client.wait_established()
    server = stage.server.accept()
    client.send(b"I am about to crash.")
    server.read()
    stage.settle()
    stage.lose("R.")
    client.abort()
    stage.settle()


def _solution(stage: Stage) -> None:
    client = stage.client.open(from_port=OWN_PORT)
    client.wait_established()
    server = stage.server.accept()
    stage.lose("R.")
    client.abort()
    stage.settle()
    server.send(b"Are you there?")
    stage.settle()


EXERCISE = Exercise(
    "The client has crashed and does not come back. Let the server find out, although the client sends no "
    "SYN any more.",
    _no_return,
    _judge,
    _solution,
)
