"""Lesson 1: a client connects, both ends say something, both close."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage


def play(stage: Stage) -> None:
    """Open, speak, close."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.send(b"Who is there?")
    server.read()
    server.send(b"The server.")
    client.read()
    client.close()
    stage.settle()
    server.close()
    stage.settle()


def handshake(run: Run) -> list[str]:
    """Return the flags of the segments up to the one that established the server."""
    found = []
    for step in run.sent():
        assert step.packet is not None
        found.append(step.packet.flags)
        if step.views[1].state is not None and step.views[1].state.value == "ESTABLISHED":
            break
    return found


def gap(run: Run) -> str:
    """Return how long the server waited between its SYN+ACK and its being established."""
    sent = run.at("SYN+ACK", 1)[0]
    entered = next(
        step.until_s
        for step in run.story.steps
        if step.views[1].state is not None and step.views[1].state.value == "ESTABLISHED"
    )
    return f"{(entered - sent) * 1000:.0f} ms"


EXPECTATIONS = (
    Expectation(
        "three segments establish both ends", lambda run: handshake(run) == ["SYN", "SYN+ACK", "ACK"]
    ),
    Expectation(
        "the client goes by way of SYN-SENT",
        lambda run: run.states(0)[:3] == ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1"],
    ),
    Expectation(
        "the server goes by way of SYN-RECEIVED",
        lambda run: (
            [each for each in run.states(1) if each not in ("LISTEN", "CLOSED")][:2]
            == ["SYN-RECEIVED", "ESTABLISHED"]
        ),
    ),
    Expectation("who closes first waits in TIME-WAIT", lambda run: "TIME-WAIT" in run.states(0)),
    Expectation("the other end never does", lambda run: "TIME-WAIT" not in run.states(1)),
)

QUESTIONS = (
    Question(
        "How many segments does it take until the server is established?",
        lambda run: f"{len(handshake(run))}: {', '.join(handshake(run))}",
        "The SYN+ACK is two segments in one: the server's SYN, and its ACK of the client's.",
    ),
    Question(
        "Which end is established first?",
        lambda run: _first_established(run),
        "The client knows that the server hears it as soon as its SYN is acknowledged. The server learns the "
        "same of the client only from the third segment.",
    ),
    Question(
        "For how long is the connection half-open at the server?",
        gap,
        "One round trip: its SYN+ACK there, and the ACK back.",
    ),
)


def _first_established(run: Run) -> str:
    for step in run.story.steps:
        for end, view in zip(run.story.ends, step.views, strict=True):
            if view.state is not None and view.state.value == "ESTABLISHED":
                return f"the {end.name}, in step {step.number}"
    return "none"


def _judge(run: Run) -> str | None:
    if "TIME-WAIT" not in run.states(1):
        return "The server never was in TIME-WAIT."
    if "TIME-WAIT" in run.states(0):
        return "The client was in TIME-WAIT, too."
    return None


def _solution(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    server.close()
    stage.settle()
    client.close()
    stage.settle()


EXERCISE = Exercise(
    "Change what happens so that the server ends up in TIME-WAIT, and the client does not.",
    play,
    _judge,
    _solution,
)
