"""Lesson 13: SYNs from nowhere fill the half-open table, an honest client comes, and later comes again."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Connection, Stage
from xsocket_tools.teaching.story import Kind, Step, Tables

PLACES = 8
"""How many connections may be half-open at the server."""
FOR_STRANGERS = {"engine": PLACES, "kernel": PLACES - 1}
"""How many of these are for anybody. Linux has one left here for those whom it knows."""
RULES = {"syn_cookies": "never", "max_syn_backlog": PLACES, "synack_retries": 1}
UNTIL_ITS_FOURTH_SYN_S = 2.8
"""From the client's first SYN, seconds: by then the server has given up what the flood has opened."""


def play(stage: Stage) -> None:
    """Flood the server; let a client come, get in and leave; flood it again, and let the client come back."""
    client = come_in_the_flood(stage)
    stage.wait(UNTIL_ITS_FOURTH_SYN_S)
    client.wait_established()
    server = stage.server.accept()
    client.close()
    server.read()
    server.close()
    stage.settle()
    stage.flood(PLACES)
    stage.client.open()
    stage.settle()


def come_in_the_flood(stage: Stage) -> Connection:
    """Flood the server with as many SYNs as it has places, and open a connection soon after."""
    stage.flood(PLACES)
    stage.wait(0.35)
    return stage.client.open()


def visits(run: Run) -> list[int]:
    """Return the client's connections, in the order in which it opened them."""
    return [each for each in range(len(run.story.connections)) if each not in run.story.spoofed]


def syns(run: Run, visit: int) -> list[Step]:
    """Return the steps in which the client sends the SYN of a visit, counted from 0."""
    connection = visits(run)[visit]
    return [step for step in run.sent(0) if step.connection == connection and flags(step) == "SYN"]


def flags(step: Step) -> str:
    """Return the flags of the segment of a step."""
    return "" if step.packet is None else step.packet.flags


def half_open(step: Step) -> int:
    """Return how many connections are half-open at the server after a step."""
    tables = step.tables[1]
    assert isinstance(tables, Tables)
    return len(tables.half_open)


def is_answered(run: Run, visit: int) -> bool:
    """Return whether the server answers the client's SYN of a visit, or one of them."""
    return bool(answers(run, visits(run)[visit]))


def flood_before(run: Run, visit: int) -> list[int]:
    """Return the connections of the flood that comes before a visit, in order."""
    begun = syns(run, visit)[0].number
    opened = [step for step in run.forged() if step.number < begun and step.connection in run.story.spoofed]
    return [step.connection for step in opened if step.connection is not None][-PLACES:]


def answers(run: Run, connection: int) -> list[Step]:
    """Return the steps in which the server sends something in a connection."""
    return [step for step in run.sent(1) if step.connection == connection]


def kept(run: Run) -> list[int]:
    """Return the connections of the first flood that the server keeps something of."""
    return [each for each in flood_before(run, 0) if answers(run, each)]


def given_up(run: Run, connection: int) -> Step:
    """Return the step in which the server gives up a connection."""
    return next(
        step
        for step in run.story.steps
        if step.connection == connection and step.kind is Kind.TIMER and state(step) == "CLOSED"
    )


def state(step: Step) -> str:
    """Return where the server stands after a step."""
    found = step.views[1].state
    return "" if found is None else found.value


def ways_in(run: Run, visit: int) -> list[Step]:
    """Return the steps after which the server is established with the client; none if it never is."""
    connection = visits(run)[visit]
    steps = (step for step in run.story.steps if step.connection == connection)
    return [step for step in steps if state(step) == "ESTABLISHED"]


def most(run: Run) -> int:
    """Return how many connections were half-open at the same time, at most."""
    return max(half_open(step) for step in run.story.steps)


EXPECTATIONS = (
    Expectation(
        "the flood takes all places that there are for strangers",
        lambda run: len(kept(run)) == half_open(syns(run, 0)[0]) == FOR_STRANGERS[run.stage],
    ),
    Expectation(
        "each SYN+ACK to nobody is sent twice, and then the server gives up",
        lambda run: (
            {len(answers(run, each)) for each in kept(run)} == {2}
            and all(state(given_up(run, each)) == "CLOSED" for each in kept(run))
        ),
    ),
    Expectation(
        "the client's first three SYNs are ignored, and the fourth, which finds the table empty, is not",
        lambda run: (
            len(syns(run, 0)) == 4
            and [half_open(step) for step in syns(run, 0)[:3]] == [FOR_STRANGERS[run.stage]] * 3
            and half_open(syns(run, 0)[3]) == 1
            and ways_in(run, 0)
        ),
    ),
    Expectation(
        "the engine ignores it again in the second flood",
        lambda run: not is_answered(run, 1) and half_open(syns(run, 1)[0]) == PLACES,
        ("engine",),
    ),
    Expectation(
        "Linux answers no SYN of the flood in the last place, and gives it to the client that it knows",
        lambda run: (
            len(kept(run)) == len(flood_before(run, 0)) - 1
            and not answers(run, flood_before(run, 1)[-1])
            and half_open(syns(run, 1)[0]) == PLACES
            and ways_in(run, 1)
        ),
        ("kernel",),
    ),
)


def _costs(run: Run) -> str:
    sent = sum(len(answers(run, each)) for each in kept(run))
    first = answers(run, kept(run)[0])[0]
    held = given_up(run, kept(run)[0]).at_s - first.at_s
    return f"{sent} SYN+ACKs for {len(kept(run))} SYNs; about {held:.0f} s"


def _waits(run: Run) -> str:
    first, reply, made = syns(run, 0)[0], answers(run, visits(run)[0])[0], ways_in(run, 0)[0]
    tried = [step for step in syns(run, 0) if step.at_s < reply.at_s]
    return f"{made.until_s - first.at_s:.1f} s; its SYN number {len(tried)} is answered"


def _comes(run: Run) -> str:
    told = []
    for visit, name in enumerate(("first", "second")):
        before = run.story.steps[syns(run, visit)[0].number - 2]
        at_once = is_answered(run, visit) and len(syns(run, visit)) == 1
        told.append(f"{name}: {half_open(before)}, and its SYN is {'answered' if at_once else 'ignored'}")
    return "; ".join(told)


QUESTIONS = (
    Question(
        "How many SYN+ACKs does the first flood cost the server, and for how long does it keep each SYN?",
        _costs,
        "Whoever sends a SYN from a false address needs no memory for it, and never hears of it again. All "
        "the work, and all the waiting, is the server's.",
    ),
    Question(
        "How long does it take until the client is in, and which of its SYNs is answered?",
        _waits,
        "The flood was over long before, in less time than one round trip. What keeps the client out is what "
        "it has left behind, until the server has given up waiting for it. A flood that sends so many SYNs "
        "again in each such time keeps the client out for good.",
    ),
    Question(
        "How many connections are half-open when the client comes for the first and for the second time, and "
        "what becomes of its SYN?",
        _comes,
        "The engine knows nobody: who comes when the table is full is ignored. Linux lets strangers have no "
        "more than a part of it. By the second time it knows the client.",
    ),
)


def _judge(run: Run) -> str | None:
    of_the_flood = (step for step in run.story.steps if step.connection in run.story.spoofed)
    gone = (step for step in of_the_flood if step.views[1].moved and state(step) == "CLOSED")
    if any(step.kind is not Kind.TIMER for step in gone):
        return "A half-open connection has made room."
    if most(run) > PLACES:
        return f"More than {PLACES} connections are half-open at the same time."
    if not ways_in(run, 0) or len(syns(run, 0)) > 2:
        return "The client is not in with its second SYN."
    opened = [state(step) for step in run.story.steps if step.connection == visits(run)[0]]
    return None if "SYN-RECEIVED" in opened else "The server has answered with a cookie."


def _come_and_wait(stage: Stage) -> None:
    come_in_the_flood(stage)
    stage.wait(1.8)


EXERCISE = Exercise(
    "Without cookies, let the client in with its second SYN: by a rule, with a table of the same size, and "
    "so that no half-open connection has to make room.",
    _come_and_wait,
    _judge,
    {"synack_retries": 0},
    RULES,
)
