"""Lesson 9: who closes first stays in TIME-WAIT, and is needed there, opened anew, and talked out of it."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Connection, Stage
from xsocket_tools.teaching.story import Packet, Step

OWN_PORT = 40_000


def play(stage: Stage) -> None:
    """Let the server close first, twice from the same port: lose its last ACK, and later forge an old SYN."""
    client, server = connect(stage)
    server.send(b"That is all.")
    client.read()
    server.close()
    stage.settle()
    stage.lose(".")
    client.close()
    stage.wait(1)
    stage.settle()

    client, server = connect(stage)
    server.close()
    stage.settle()
    client.close()
    stage.settle()
    stage.forge("server", "SYN", seq=-100_000)
    stage.settle()


def connect(stage: Stage) -> tuple[Connection, Connection]:
    """Open a connection from the one port, and return both ends."""
    client = stage.client.open(from_port=OWN_PORT)
    client.wait_established()
    return client, stage.server.accept()


def state(step: Step) -> str:
    """Return where the server stands after a step; nothing where it has no connection."""
    found = step.views[1].state
    return "" if found is None else found.value


def is_waiting(step: Step) -> bool:
    """Whether the server was in TIME-WAIT before a step."""
    before = step.views[1].before
    return before is not None and before.value == "TIME-WAIT"


def reopening(run: Run) -> Step:
    """Return the step in which the client's SYN reaches TIME-WAIT."""
    return next(step for step in run.sent(0) if _packet(step).flags == "SYN" and is_waiting(step))


def fins(run: Run) -> list[Step]:
    """Return the steps of the client's FINs in the first connection."""
    second = reopening(run).number
    return [step for step in run.sent(0) if "FIN" in _packet(step).flags and step.number < second]


def next_sent(run: Run, after: Step) -> Packet:
    """Return the next segment that is sent after a step."""
    return next(_packet(step) for step in run.sent() if step.number > after.number)


def _packet(step: Step) -> Packet:
    assert step.packet is not None
    return step.packet


def _ahead(run: Run, end: int) -> int:
    """Return how far the new initial number of an end is beyond what it had used in the old connection."""
    step = reopening(run)
    new = _packet(step) if end == 0 else next_sent(run, step)
    used = run.variable(1, ("RCV.NXT", "SND.NXT")[end], step=step.number - 2, absolute=True)
    return (new.absolute_seq - used) % 2**32


EXPECTATIONS = (
    Expectation(
        "the server closes first and is the only one in TIME-WAIT",
        lambda run: "TIME-WAIT" in run.states(1) and "TIME-WAIT" not in run.states(0),
    ),
    Expectation(
        "when the last ACK is lost, the client sends its FIN again, and TIME-WAIT answers it",
        lambda run: (
            len(fins(run)) == 2
            and is_waiting(fins(run)[1])
            and str(next_sent(run, fins(run)[1])) == str(next_sent(run, fins(run)[0])) == "ACK seq 14 ack 2"
        ),
    ),
    Expectation(
        "a SYN with a number beyond those of the old connection opens a new one from TIME-WAIT",
        lambda run: (
            0 < _ahead(run, 0) < 2**31
            and next_sent(run, reopening(run)).flags == "SYN+ACK"
            and state(reopening(run)) == "SYN-RECEIVED"
        ),
    ),
    Expectation(
        "the server's new number is beyond its old ones, too", lambda run: 0 < _ahead(run, 1) < 2**31
    ),
    Expectation(
        "an old SYN gets an ACK there, and moves nothing",
        lambda run: (
            is_waiting(run.forged()[0])
            and not run.forged()[0].views[1].moved
            and _packet_of_answer(run).flags == "ACK"
        ),
    ),
    Expectation(
        "the client, which knows nothing of it, answers that with a reset, which ends TIME-WAIT",
        lambda run: (
            _packet(run.sent(0)[-1]).flags == "RST"
            and is_waiting(run.sent(0)[-1])
            and run.states(1)[-1] == "CLOSED"
        ),
    ),
)


def _packet_of_answer(run: Run) -> Packet:
    answer = run.answer(run.forged()[0])
    assert answer is not None
    return answer


def _told_fins(run: Run) -> str:
    first, again = fins(run)
    answer = next_sent(run, again)
    return f"the client, {again.at_s - first.at_s:.1f} s after its FIN; the answer is {answer}"


def _told_ahead(run: Run) -> str:
    return f"the client's by {_ahead(run, 0):,}, the server's by {_ahead(run, 1):,}"


def _survived(run: Run) -> str:
    """Return for how long the second connection was in TIME-WAIT."""
    entered = next(
        step
        for step in run.story.steps
        if step.number > reopening(run).number and step.views[1].moved and state(step) == "TIME-WAIT"
    )
    ended = next(step for step in run.story.steps if step.number > entered.number and step.views[1].moved)
    return f"{ended.until_s - entered.until_s:.1f} s: then the {ended.title}"


QUESTIONS = (
    Question(
        "The last ACK is lost. Who notices, and what is the answer?",
        _told_fins,
        "A FIN takes a number and is sent again, an ACK is not. So whoever sends the last ACK has to stay "
        "until no FIN can come any more. Had it left, the answer would be a reset, as from a closed port.",
    ),
    Question(
        "How far are the initial numbers of the second connection beyond the last ones of the first?",
        _told_ahead,
        "Every old segment has a number that was used. The new connection expects others, so whatever is old "
        "is seen to be old. That is why TIME-WAIT may be left early for it.",
    ),
    Question(
        "For how long does the second TIME-WAIT last, and what ends it?",
        _survived,
        "It was meant to last for a minute. Nobody did anything wrong: the server answered as RFC 9293 asks, "
        "and the client was told of a connection that it does not have.",
    ),
)


def _old_syn(stage: Stage) -> None:
    client, server = connect(stage)
    server.close()
    stage.settle()
    client.close()
    stage.settle()
    stage.forge("server", "SYN", seq=-100_000)
    stage.settle()


def _judge(run: Run) -> str | None:
    if not run.forged() or not is_waiting(run.forged()[0]):
        return "No old SYN came to a server in TIME-WAIT."
    state = run.states(1)[-1]
    return None if state == "TIME-WAIT" else f"The server is in {state}."


EXERCISE = Exercise(
    "An old SYN comes to TIME-WAIT, which is over soon after. Change a rule so that the server stays there.",
    _old_syn,
    _judge,
    {"rfc1337": True},
)
