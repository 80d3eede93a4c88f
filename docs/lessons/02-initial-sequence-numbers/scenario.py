"""Lesson 2: the same connection twice, and another one, to compare where each of them begins to count."""

from itertools import pairwise

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage


def play(stage: Stage) -> None:
    """Connect three times: from one port, from another, and from the first one again."""
    for port in (40_000, 40_001, 40_000):
        client = stage.client.open(from_port=port)
        client.wait_established()
        server = stage.server.accept()
        client.abort()
        stage.settle()
        server.close()
        stage.settle()


def beginnings(run: Run, end: int) -> list[tuple[int, int, float]]:
    """Return connection, initial sequence number and instant of each SYN of an end."""
    return [
        (step.connection, step.packet.absolute_seq, step.at_s)
        for step in run.sent(end)
        if step.packet is not None and step.connection is not None and step.packet.flags.startswith("SYN")
    ]


def growth(run: Run) -> int:
    """Return how far the client's number has moved between the two connections from the same port."""
    first, _, again = beginnings(run, 0)
    return (again[1] - first[1]) % 2**32


def _seconds(run: Run) -> float:
    first, _, again = beginnings(run, 0)
    return again[2] - first[2]


EXPECTATIONS = (
    Expectation("there are three connections", lambda run: len(beginnings(run, 0)) == 3),
    Expectation("the same ports begin further on the second time", lambda run: 0 < growth(run) < 2**31),
    Expectation(
        "other ports begin somewhere else",
        lambda run: (
            min(
                abs(one[1] - other[1])
                for one in beginnings(run, 0)[:1] + beginnings(run, 0)[2:]
                for other in beginnings(run, 0)[1:2]
            )
            > 10_000
        ),
    ),
    Expectation(
        "no end begins where the other one does",
        lambda run: not {each[1] for each in beginnings(run, 0)} & {each[1] for each in beginnings(run, 1)},
    ),
)

QUESTIONS = (
    Question(
        "Where does the client begin to count in each of the three connections?",
        lambda run: ", ".join(f"{each[1]:,}" for each in beginnings(run, 0)),
        "Two of them have the same ports and addresses; their numbers are near each other. Nothing tells of "
        "the third.",
    ),
    Question(
        "How far has the number of the first port moved when it is used again?",
        lambda run: f"{growth(run):,} in {_seconds(run):.2f} s: {growth(run) / _seconds(run):,.0f} a second",
        "A clock that counts one every four microseconds is 250,000 a second, as RFC 9293 asks; Linux counts "
        "one every 64 nanoseconds, about 15.6 million a second.",
    ),
)


def _judge(run: Run) -> str | None:
    found = beginnings(run, 0)
    if len(found) != 3:
        return f"There are {len(found)} connections, not three."
    if len({each[0] for each in found}) > 1:
        return "They do not all have the same ports."
    steps = [(later[1] - one[1]) % 2**32 for one, later in pairwise(found)]
    return None if all(0 < step < 2**31 for step in steps) else "One begins before the one before it."


def _solution(stage: Stage) -> None:
    for _ in range(3):
        client = stage.client.open(from_port=40_000)
        client.wait_established()
        server = stage.server.accept()
        client.abort()
        stage.settle()
        server.close()
        stage.settle()


EXERCISE = Exercise(
    "Let all three connections come from the same port, and each begin further on than the one before.",
    play,
    _judge,
    _solution,
)
