"""Lesson 5: both ends open at once, and nobody listens."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet


def play(stage: Stage) -> None:
    """Open from both sides before either SYN has arrived, then speak both ways."""
    client = stage.client.open(4001, from_port=4000)
    server = stage.server.open(4000, from_port=4001)
    client.wait_established()
    server.wait_established()
    stage.settle()
    client.send(b"I called you.")
    server.read()
    server.send(b"And I called you.")
    client.read()
    stage.settle()


def opening(run: Run, end: int | None = None) -> list[Packet]:
    """Return every segment that one end sent, or both, before the first text."""
    found: list[Packet] = []
    for step in run.sent():
        assert step.packet is not None
        if step.packet.length:
            break
        if end in (None, step.end):
            found.append(step.packet)
    return found


def passed(run: Run, end: int) -> list[str]:
    """Return the states that an end went through while it was there."""
    return [state for state in run.states(end) if state != "CLOSED"]


def _established_after(run: Run, end: int) -> float:
    for step in run.story.steps:
        state = step.views[end].state
        if state is not None and state.value == "ESTABLISHED":
            return step.until_s - run.at("SYN", end)[0]
    raise LookupError("never")


def _times(run: Run) -> str:
    return ", ".join(
        f"the {end.name} {_established_after(run, at) * 1000:.0f} ms after its SYN"
        for at, end in enumerate(run.story.ends)
    )


def _numbers(run: Run, end: int, flags: str) -> list[int]:
    return [packet.absolute_seq for packet in opening(run, end) if packet.flags == flags]


def _repeated(run: Run) -> str:
    return "; ".join(
        f"the {end.name}'s SYN has {_numbers(run, at, 'SYN')[0]:,}, its SYN+ACK "
        f"{_numbers(run, at, 'SYN+ACK')[0]:,}"
        for at, end in enumerate(run.story.ends)
    )


def _listed(run: Run) -> str:
    flags = [packet.flags for packet in opening(run)]
    return f"{len(flags)}: {', '.join(flags)}"


EXPECTATIONS = (
    Expectation(
        "both ends go from SYN-SENT through SYN-RECEIVED to ESTABLISHED",
        lambda run: passed(run, 0) == passed(run, 1) == ["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"],
    ),
    Expectation("two SYNs make one connection", lambda run: len(run.story.connections) == 1),
    Expectation(
        "each SYN+ACK has the number of the SYN that went before",
        lambda run: all(_numbers(run, end, "SYN") == _numbers(run, end, "SYN+ACK") for end in (0, 1)),
    ),
    Expectation(
        "four segments are enough",
        lambda run: (
            [each.flags for each in opening(run, 0)] == ["SYN", "SYN+ACK"]
            and [each.flags for each in opening(run, 1)] == ["SYN", "SYN+ACK"]
        ),
        stages=("engine",),
    ),
    Expectation(
        "Linux acknowledges each SYN+ACK besides, and says that it had that SYN already",
        lambda run: all(
            [each.flags for each in opening(run, end)] == ["SYN", "SYN+ACK", "ACK"]
            and "sack 0:1" in opening(run, end)[-1].options
            for end in (0, 1)
        ),
        stages=("kernel",),
    ),
    Expectation(
        "text goes both ways",
        lambda run: all("PSH+ACK" in run.flags(end) for end in (0, 1)),
    ),
)

QUESTIONS = (
    Question(
        "Which segments are sent before the first text?",
        _listed,
        "Each end says its number twice and acknowledges the other's once. Linux sends two ACKs more, which "
        "nothing depends on.",
    ),
    Question(
        "Which sequence number has each SYN, and which has the SYN+ACK that follows it?",
        _repeated,
        "It is the same SYN once more. Until it is acknowledged, nobody knows whether it has arrived, so it "
        "stays at the front of everything that is sent.",
    ),
    Question(
        "When is each end established?",
        _times,
        "Both after as long: a SYN one way, and its acknowledgment the other. In lesson 1 the server has to "
        "wait for the third segment. (On the engine the SYNs first have to wait for the other end's station "
        "address.)",
    ),
)


def _judge(run: Run) -> str | None:
    for at, end in enumerate(run.story.ends):
        if "SYN-SENT" not in run.states(at):
            return f"The {end.name} has not opened."
        if "ESTABLISHED" not in run.states(at):
            return f"The {end.name} never was established."
    count = sum("SYN-RECEIVED" in run.states(end) for end in (0, 1))
    return None if count == 1 else f"{count} ends were in SYN-RECEIVED, and one should be."


def _solution(stage: Stage) -> None:
    stage.lose("S")
    play(stage)


EXERCISE = Exercise(
    "Both ends open, and both are established. Let only one of them go through SYN-RECEIVED.",
    play,
    _judge,
    _solution,
)
