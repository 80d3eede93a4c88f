"""Lesson 12: five clients, a queue of two, and nobody who accepts; then somebody does."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Step, Tables

PLACES = 2
"""How many connections may wait for somebody to take them: on Linux, listen(1) has two places."""
RULES = {"pool_capacity": PLACES}
FIRST, SECOND, THIRD, FOURTH, FIFTH = range(5)
"""The connections, in the order in which they were opened."""


def play(stage: Stage) -> None:
    """Open one, and twice two at once; then take one, and wait for what comes again."""
    fill(stage)
    stage.server.accept()
    stage.wait(1.2)


def fill(stage: Stage) -> None:
    """Open one connection, then two at the same time, then two more; nobody takes any."""
    stage.client.open().wait_established()
    stage.settle()
    second, third = stage.client.open(), stage.client.open()
    second.wait_established()
    third.wait_established()
    stage.settle()
    stage.client.open()
    stage.client.open()
    stage.settle()


def taken(run: Run) -> Step:
    """Return the step in which somebody takes a connection."""
    return next(step for step in run.story.steps if held(step).claimed)


def held(step: Step) -> Tables:
    """Return what the server holds after a step."""
    tables = step.tables[1]
    assert tables is not None
    return tables


def state(run: Run, end: int, connection: int, before: int) -> str:
    """Return where an end stood in a connection, before the step of that number."""
    found = ""
    for step in run.story.steps[: before - 1]:
        view = step.views[end].state
        if step.connection == connection and view is not None:
            found = view.value
    return found


def established(run: Run, end: int) -> list[int]:
    """Return in which connections an end was established when somebody took the first one."""
    until = taken(run).number
    return [each for each in range(5) if state(run, end, each, until) == "ESTABLISHED"]


def entered(run: Run, end: int, connection: int) -> float:
    """Return when an end became established in a connection, seconds since the first segment."""
    return next(
        step.until_s
        for step in run.story.steps
        if step.connection == connection and state(run, end, connection, step.number + 1) == "ESTABLISHED"
    )


def sent(run: Run, end: int, connection: int, flags: str) -> list[Step]:
    """Return the steps in which an end sends segments with these flags in a connection."""
    steps = (step for step in run.sent(end) if step.connection == connection)
    return [step for step in steps if step.packet is not None and step.packet.flags == flags]


def most_waiting(run: Run) -> int:
    """Return how many connections waited to be taken at the same time, at most."""
    return max(len(held(step).pool) for step in run.story.steps)


EXPECTATIONS = (
    Expectation(
        "two connections wait to be taken, and never more",
        lambda run: established(run, 1) == [FIRST, SECOND] and most_waiting(run) == PLACES,
    ),
    Expectation(
        "the third client is established, and its server is not",
        lambda run: (
            THIRD in established(run, 0) and state(run, 1, THIRD, taken(run).number) == "SYN-RECEIVED"
        ),
    ),
    Expectation(
        "on the engine the other two clients are established as well",
        lambda run: established(run, 0) == [FIRST, SECOND, THIRD, FOURTH, FIFTH],
        ("engine",),
    ),
    Expectation(
        "Linux does not answer the SYNs of the other two",
        lambda run: (
            established(run, 0) == [FIRST, SECOND, THIRD]
            and all(len(sent(run, 0, each, "SYN")) == 2 for each in (FOURTH, FIFTH))
            and not any(sent(run, 1, each, "SYN+ACK") for each in (FOURTH, FIFTH))
        ),
        ("kernel",),
    ),
    Expectation(
        "when one is taken, the next SYN+ACK of the third brings the third segment that has a place",
        lambda run: (
            len(sent(run, 1, THIRD, "SYN+ACK")) == 2
            and len(sent(run, 0, THIRD, "ACK")) == 2
            and entered(run, 1, THIRD) > taken(run).at_s
        ),
    ),
    Expectation(
        "then it is full again, and the other two go on waiting",
        lambda run: (
            len(held(run.story.steps[-1]).pool) == PLACES
            and all(
                state(run, 1, each, len(run.story.steps) + 1) != "ESTABLISHED" for each in (FOURTH, FIFTH)
            )
        ),
    ),
)


def _believed(run: Run) -> str:
    told = []
    for connection in range(5):
        ends = (state(run, end, connection, taken(run).number) or "nothing" for end in (0, 1))
        told.append(f"{connection + 1}. {' and '.join(ends)}")
    return "; ".join(told)


def _late(run: Run) -> str:
    client, server = entered(run, 0, THIRD), entered(run, 1, THIRD)
    idle = sent(run, 1, THIRD, "SYN+ACK")[-1].at_s - taken(run).at_s
    return f"{server - client:.2f} s; for {idle:.2f} s of these a place was free, and nothing was sent"


def _again(run: Run) -> str:
    after = taken(run).number
    told = []
    for connection, name in ((THIRD, "third"), (FOURTH, "fourth"), (FIFTH, "fifth")):
        flags = [
            f"the {run.story.ends[step.end].name}'s {step.packet.flags}"
            for step in run.sent()
            if step.connection == connection and step.number > after and step.packet is not None
        ]
        told.append(f"{name}: {', '.join(flags) or 'nothing'}")
    return "; ".join(told)


QUESTIONS = (
    Question(
        "Where do client and server stand in each connection, just before somebody takes one?",
        _believed,
        "A client knows that its SYN has arrived, and nothing of the queue. Nothing in TCP tells it whether "
        "anybody has taken its connection, or ever will.",
    ),
    Question(
        "For how long is the third client established, and the server not?",
        _late,
        "That a place is free moves nothing by itself. The server waits for its own timer, and then for the "
        "client's answer.",
    ),
    Question(
        "What is sent in the third connection and in the two after it, once a place is free?",
        _again,
        "The third is first, as its timer is. It takes the place, and the others find all of them taken.",
    ),
)


def _told_at_once(run: Run) -> bool:
    resets = [step for step in run.sent(1) if step.connection == THIRD and step.packet is not None]
    return any("RST" in step.packet.flags for step in resets if step.packet is not None)


def _judge(run: Run) -> str | None:
    if state(run, 1, FIRST, len(run.story.steps) + 1) != "ESTABLISHED":
        return "The first connection, which waited, has made room."
    if not _told_at_once(run):
        return "The third client is not told that there is no place."
    return None if most_waiting(run) <= PLACES else f"There are more than {PLACES} places."


EXERCISE = Exercise(
    "Change a rule so that the third client is told that there is no place, and no connection that waits "
    "has to make room.",
    fill,
    _judge,
    {"pool_policy": "refuse"},
    RULES,
)
