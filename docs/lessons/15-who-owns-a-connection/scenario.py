"""Lesson 15: workers that share a queue; then each with one of its own, or with claims by 4-tuple."""

from itertools import pairwise

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Kind, Step, Tables

PORTS = range(41_000, 41_100)
"""Of the clients in the second part."""
OLDER, MIDDLE, LAST = 3, 4, 5
"""The connections of the second part, in the order in which they were opened."""
NTH = ("1st", "2nd", "3rd", "4th", "5th", "6th")
BOTH_ESTABLISHED = ("ESTABLISHED", "ESTABLISHED")


def play(stage: Stage) -> None:
    """Let two workers share a queue; and two others not, each stage in its way."""
    share(stage)
    if stage.name == "kernel":
        divide(stage)
    else:
        choose(stage)


def share(stage: Stage) -> None:
    """Three connections wait. A takes one and ends, B takes two."""
    a, b = stage.server.workers("A", "B")
    for _ in range(3):
        connect(stage)
    a.accept()
    b.accept()
    a.end()
    stage.settle()
    b.accept()


def divide(stage: Stage) -> None:
    """Each worker has a queue. Two connections fall to C, which takes one and ends; the third to D."""
    c, d = stage.server.workers("C", "D", own_queues=True)
    of_c = (port for port in PORTS if c.would_get(port))
    of_d = (port for port in PORTS if d.would_get(port))
    connect(stage, next(of_c))
    connect(stage, next(of_c))
    connect(stage, next(of_d))
    c.accept()
    d.accept()
    d.accept_waiting()
    c.end()
    stage.settle()


def choose(stage: Stage) -> None:
    """D wants the third connection, and no other. C takes one and ends, D takes what is left."""
    c, d = stage.server.workers("C", "D")
    connect(stage, PORTS[0])
    connect(stage, PORTS[1])
    stage.client.open(from_port=PORTS[2])
    d.claim(PORTS[2])
    stage.settle()
    c.accept()
    d.accept_waiting()
    c.end()
    stage.settle()


def connect(stage: Stage, from_port: int | None = None) -> None:
    """Open a connection, and wait until nothing is under way."""
    stage.client.open(from_port=from_port).wait_established()
    stage.settle()


def held(step: Step) -> Tables:
    """Return what the server holds after a step."""
    tables = step.tables[1]
    assert tables is not None
    return tables


def owners(run: Run, step: Step) -> dict[int, str]:
    """Return whose each connection is after a step; those that are nobody's are left out."""
    names = dict(held(step).owners)
    clients = [connection.partition(" - ")[0] for connection in run.story.connections]
    return {number: names[client] for number, client in enumerate(clients) if client in names}


def since(run: Run, connection: int) -> Step:
    """Return the step since which a connection is somebody's."""
    return next(step for step in run.story.steps if connection in owners(run, step))


def stood(step: Step) -> tuple[str, ...]:
    """Return where client and server stand in the connection of a step."""
    return tuple(view.state.value for view in step.views if view.state is not None)


def taken(run: Run) -> list[tuple[int, str]]:
    """Return which connection was taken, and by whom, in that order."""
    found = []
    for before, step in pairwise(run.story.steps):
        if held(step).claimed > held(before).claimed and step.connection is not None:
            found.append((step.connection, owners(run, step)[step.connection]))
    return found


def ends(run: Run) -> dict[str, list[int]]:
    """Return for each worker that ends, which connections are its own then."""
    found: dict[str, list[int]] = {}
    for before, step in pairwise(run.story.steps):
        if step.connection is None:
            left = owners(run, step)
            for connection, worker in owners(run, before).items():
                if connection not in left:
                    found.setdefault(worker, []).append(connection)
    return found


def waited_though_free(run: Run) -> list[int]:
    """Return which connections waited when a worker looked for one, and found none."""
    clients = [connection.partition(" - ")[0] for connection in run.story.connections]
    return [
        clients.index(client)
        for before, step in pairwise(run.story.steps)
        if step.kind is Kind.POOL and step.connection is None and held(step).owners == held(before).owners
        for client in held(step).pool
    ]


def farewell(run: Run, connection: int) -> str:
    """Return the flags of what the server sent in a connection to end it; nothing if it did not."""
    sent = (step.packet.flags for step in run.sent(1) if step.connection == connection and step.packet)
    return next((flags for flags in sent if "FIN" in flags or "RST" in flags), "")


EXPECTATIONS = (
    Expectation(
        "a connection in a shared queue is nobody's until a worker takes it",
        lambda run: [stood(since(run, each)) for each in range(OLDER)] == [BOTH_ESTABLISHED] * 3,
    ),
    Expectation(
        "whoever asks gets the oldest",
        lambda run: taken(run)[:OLDER] == [(0, "A"), (1, "B"), (2, "B")],
    ),
    Expectation(
        "with A ends what it had taken, and nothing else",
        lambda run: (
            ends(run)["A"] == [0] and [farewell(run, each) for each in range(3)] == ["FIN+ACK", "", ""]
        ),
    ),
    Expectation(
        "with a queue each, a connection is a worker's from its SYN on",
        lambda run: (
            [stood(since(run, each)) for each in (OLDER, MIDDLE, LAST)] == [("SYN-SENT", "SYN-RECEIVED")] * 3
        ),
        ("kernel",),
    ),
    Expectation(
        "the hash gave two of them to C and one to D, as the kernel had said before",
        lambda run: taken(run)[OLDER:] == [(OLDER, "C"), (LAST, "D")] and ends(run)["C"] == [OLDER, MIDDLE],
        ("kernel",),
    ),
    Expectation(
        "one waits for C, although D is free", lambda run: waited_though_free(run) == [MIDDLE], ("kernel",)
    ),
    Expectation(
        "when C ends, what it had taken gets a FIN, and what waited for it a reset",
        lambda run: [farewell(run, each) for each in (OLDER, MIDDLE, LAST)] == ["FIN+ACK", "RST+ACK", ""],
        ("kernel",),
    ),
    Expectation(
        "D gets the connection that it has claimed past two older ones, as soon as it is established",
        lambda run: (
            taken(run)[OLDER:] == [(LAST, "D"), (OLDER, "C"), (MIDDLE, "D")]
            and since(run, LAST).at_s == _established(run, LAST)
        ),
        ("engine",),
    ),
    Expectation(
        "from the pool nobody waits although a worker is free, and nobody is reset",
        lambda run: not waited_though_free(run) and ends(run)["C"] == [OLDER] and not _resets(run),
        ("engine",),
    ),
)


def _established(run: Run, connection: int) -> float:
    return next(
        step.until_s
        for step in run.story.steps
        if step.connection == connection
        and step.views[1].moved
        and step.views[1].state is not None
        and step.views[1].state.value == "ESTABLISHED"
    )


def _resets(run: Run) -> list[str]:
    return [flags for flags in run.flags() if "RST" in flags]


def _whose(run: Run) -> str:
    told = []
    for connection in range(len(run.story.connections)):
        step = since(run, connection)
        worker = owners(run, step)[connection]
        waited_s = step.at_s - _established(run, connection)
        if waited_s < 0:
            when = "since its SYN"
        else:
            when = f"{waited_s:.2f} s after it was established" if waited_s else "as it is established"
        told.append(f"the {NTH[connection]} is {worker}'s, {when}")
    return "; ".join(told)


def _waited(run: Run) -> str:
    found = waited_though_free(run)
    told = (f"the {NTH[each]}, which is {owners(run, since(run, each))[each]}'s" for each in found)
    return ", ".join(told) or "none"


def _became(run: Run) -> str:
    return "; ".join(
        f"from {worker} " + ", ".join(f"the {NTH[each]} gets {farewell(run, each)}" for each in connections)
        for worker, connections in ends(run).items()
    )


QUESTIONS = (
    Question(
        "Whose is each connection, and since when?",
        _whose,
        "Shared, or in the pool, it is nobody's until somebody takes it. With SO_REUSEPORT it has an owner "
        "before there is a connection, and nobody has asked that one.",
    ),
    Question(
        "Which connections wait although a worker looks for one, and finds none?",
        _waited,
        "A worker with a queue of its own sees nothing of the others' queues. It matters little while all of "
        "them are as fast, and much when one is not.",
    ),
    Question(
        "What do the clients get whose connections belong to a worker when it ends?",
        _became,
        "What a worker has taken, no design can save. What waits is lost only if it waits for that one.",
    ),
)


def _greedy(stage: Stage) -> None:
    """A takes all there is, and ends; B takes nothing."""
    a, _ = stage.server.workers("A", "B", own_queues=stage.name == "kernel")
    of_a = (port for port in range(41_000, 41_100) if a.would_get(port))
    for _ in range(3):
        connect(stage, next(of_a))
        a.accept()
    a.end()
    stage.settle()


def _judge(run: Run) -> str | None:
    found = ends(run)
    if "A" not in found:
        return "A has not ended while it had a connection."
    if len(run.story.connections) < 3 or any(_established(run, each) > _ended(run) for each in range(3)):
        return "There are to be three connections before A ends."
    if len(found["A"]) > 1:
        return f"{len(found['A'])} connections are A's when it ends."
    last = owners(run, run.story.steps[-1])
    others = [each for each in range(3) if last.get(each) == "B"]
    return None if len(others) == 2 else f"B has {len(others)} of the other two."


def _ended(run: Run) -> float:
    return next(
        step.at_s
        for before, step in pairwise(run.story.steps)
        if step.connection is None and len(held(step).owners) < len(held(before).owners)
    )


def _solution(stage: Stage) -> None:
    a, b = stage.server.workers("A", "B")
    for _ in range(3):
        connect(stage)
    a.accept()
    b.accept()
    a.end()
    stage.settle()
    b.accept()


EXERCISE = Exercise(
    "Three clients come, and A takes all three connections before it ends, while B takes none. Change what "
    "happens so that A, when it ends, takes one of them along, and B has the other two.",
    _greedy,
    _judge,
    _solution,
)
