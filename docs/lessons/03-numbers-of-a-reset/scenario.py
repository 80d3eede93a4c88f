"""Lesson 3: resets of ends that never had a connection, that have one, and that have it no more."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet

CLOSED_PORT = 81


def play(stage: Stage) -> None:
    """Knock at a closed port; abort a connection; speak to an end that has forgotten the connection."""
    refused = stage.client.open(CLOSED_PORT)
    try:
        refused.wait_established()
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("nobody serves that port")
    stage.settle()

    client = stage.client.open()
    client.wait_established()
    stage.server.accept().abort()
    stage.settle()
    client.close()

    client = stage.client.open()
    client.wait_established()
    stage.lose("R.")
    stage.server.accept().abort()
    stage.settle()
    client.send(b"Still there?")
    stage.settle()
    client.close()


def resets(run: Run) -> list[Packet]:
    """Return every reset that the server sent, in order."""
    sent = (step.packet for step in run.sent(1))
    return [packet for packet in sent if packet is not None and "RST" in packet.flags]


def _told(packet: Packet) -> str:
    seq = "0 as it stands on the wire" if packet.absolute_seq == 0 else f"{packet.seq}"
    return f"{packet.flags}, seq {seq}" + ("" if packet.ack is None else f", ack {packet.ack}")


EXPECTATIONS = (
    Expectation("the server sends four resets, one of which is lost", lambda run: len(resets(run)) == 4),
    Expectation(
        "a SYN for nobody is answered with sequence number 0 and an acknowledgment of the SYN",
        lambda run: (resets(run)[0].absolute_seq, resets(run)[0].ack) == (0, 1),
    ),
    Expectation(
        "an end that aborts resets at SND.NXT", lambda run: (resets(run)[1].seq, resets(run)[1].ack) == (1, 1)
    ),
    Expectation(
        "an end that knows no connection takes its number from the acknowledgment it was sent",
        lambda run: (resets(run)[3].flags, resets(run)[3].seq) == ("RST", 1),
    ),
    Expectation("every reset that arrives ends the connection", lambda run: run.states(0)[-1] == "CLOSED"),
)

QUESTIONS = (
    Question(
        "Which numbers does the reset carry that answers a SYN for a closed port?",
        lambda run: _told(resets(run)[0]),
        "There is no connection, so there is no number of its own. What makes it credible is the "
        "acknowledgment: only who has seen the SYN can know it.",
    ),
    Question(
        "Which does the reset carry by which the server aborts?",
        lambda run: _told(resets(run)[1]),
        "SND.NXT: exactly the number that the client expects next. A number that is only within the window "
        "would be challenged (lesson 7).",
    ),
    Question(
        "And the one that answers text for a connection that the server has forgotten?",
        lambda run: _told(resets(run)[3]),
        "The acknowledgment number of the segment that it answers, which is the number that its sender "
        "expects. It needs no ACK bit: the number proves enough.",
    ),
)


def _judge(run: Run) -> str | None:
    found = [packet for packet in resets(run) if packet.ack is None]
    if not found:
        return "The server has sent no reset without ACK."
    return None if found[-1].seq > 1 else "The number of that reset is 1 still."


def _solution(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    server.send(b"Something first.")
    client.read()
    stage.settle()
    stage.lose("R.")
    server.abort()
    stage.settle()
    client.send(b"Still there?")
    stage.settle()
    client.close()


EXERCISE = Exercise(
    "Make the server send a reset without an ACK bit whose sequence number is larger than 1.",
    play,
    _judge,
    _solution,
)
