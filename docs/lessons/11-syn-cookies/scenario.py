"""Lesson 11: a server that keeps nothing of a SYN, with timestamps, without, and when segments get lost."""

from xsocket_tools.path import ClampMss, StripOptions
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet, Step

RULES = {"syn_cookies": "always"}
ANNOUNCED = 1000
"""The MSS that arrives with each SYN, octets: none of those that a cookie can hold."""
IN_TABLE = 536
"""The largest that is not larger and that a cookie can hold, on the engine as on Linux."""
TIMESTAMP_OCTETS = 12
"""What timestamps take of each segment, with padding."""


def play(stage: Stage) -> None:
    """Connect with timestamps, then without; then lose first a SYN+ACK and behind it the ACK."""
    stage.insert(ClampMss(ANNOUNCED))
    connect(stage)
    stage.insert(StripOptions("timestamps"))
    connect(stage)
    stage.lose("S.")
    stage.lose(".")
    client = stage.client.open()
    client.wait_established()
    stage.wait(1.1)
    client.send(b"Here I am.")
    stage.server.accept().read()
    stage.settle()


def connect(stage: Stage) -> None:
    """Open a connection, wait until both ends have it, and reset it."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.abort()
    stage.settle()
    server.close()


def steps(run: Run, connection: int, flags: str) -> list[Step]:
    """Return the steps in which segments with these flags are sent in a connection."""
    return [step for step in run.sent() if step.connection == connection and packet_of(step).flags == flags]


def packet_of(step: Step) -> Packet:
    """Return the segment of a step."""
    assert step.packet is not None
    return step.packet


def offered(run: Run, connection: int) -> set[str]:
    """Return what the server's SYN+ACK offers, besides its MSS, each by its first word."""
    options = packet_of(steps(run, connection, "SYN+ACK")[0]).options
    return {option.split()[0] for option in options} - {"mss"}


def established_by(run: Run, connection: int) -> Step:
    """Return the step in which the server becomes established."""
    return next(
        step
        for step in run.story.steps
        if step.connection == connection and step.views[1].moved and state(step) == "ESTABLISHED"
    )


def state(step: Step) -> str:
    """Return where the server stands after a step; nothing where it has no connection."""
    found = step.views[1].state
    return "" if found is None else found.value


def scale(run: Run, connection: int) -> list[bool]:
    """Return whether the client and the server scale windows, by their own variables."""
    views = established_by(run, connection).views
    return [any(each.name == "Snd.Wind.Shift" for each in view.variables) for view in views]


def largest(run: Run, connection: int) -> int:
    """Return how much text the server puts into a segment once it is established, octets."""
    return run.variable(1, "Eff.snd.MSS", step=established_by(run, connection).number - 1)


EXPECTATIONS = (
    Expectation(
        "no SYN makes a connection at the server, and the third segment makes it in one step",
        lambda run: (
            "SYN-RECEIVED" not in run.states(1)
            and not steps(run, 0, "SYN")[0].views[1].variables
            and packet_of(established_by(run, 0)).flags == "ACK"
        ),
    ),
    Expectation(
        "with timestamps SACK and window scale are kept",
        lambda run: offered(run, 0) == {"sackOK", "TS", "wscale"} and scale(run, 0) == [True, True],
    ),
    Expectation(
        "without timestamps they are not agreed on at all",
        lambda run: offered(run, 1) == set() and scale(run, 1) == [False, False],
    ),
    Expectation(
        "either way the MSS is rounded down to one of a few",
        lambda run: (
            largest(run, 0) == IN_TABLE - TIMESTAMP_OCTETS and largest(run, 1) == IN_TABLE < ANNOUNCED
        ),
    ),
    Expectation(
        "a SYN+ACK that is lost is not sent again: there is one for each SYN",
        lambda run: len(steps(run, 2, "SYN")) == len(steps(run, 2, "SYN+ACK")) == 2,
    ),
    Expectation(
        "when the ACK is lost, too, the server is established by the text behind it",
        lambda run: packet_of(established_by(run, 2)).flags == "PSH+ACK",
    ),
)


def _variables(run: Run) -> str:
    after_syn, after_ack = steps(run, 0, "SYN")[0], established_by(run, 0)
    counts = [len(step.views[1].variables) for step in (after_syn, after_ack)]
    return f"{counts[0]} after the SYN, {counts[1]} after the {packet_of(after_ack).flags}"


def _kept(run: Run) -> str:
    parts = []
    for connection, name in enumerate(("with timestamps", "without")):
        options = ", ".join(sorted(offered(run, connection))) or "none"
        parts.append(f"{name}: {options}, and segments of up to {largest(run, connection)} octets")
    return f"{'; '.join(parts)}. The SYN said {ANNOUNCED}."


def _late(run: Run) -> str:
    entered, made = steps(run, 2, "ACK")[0], established_by(run, 2)
    return f"{made.until_s - entered.at_s:.1f} s, until it gets {packet_of(made)}"


QUESTIONS = (
    Question(
        "How many variables does the server have of the first connection?",
        _variables,
        "It sends its SYN+ACK and forgets. The ACK acknowledges the cookie, and by the hash in it the server "
        "sees that it was its own.",
    ),
    Question(
        "What does the SYN+ACK offer besides an MSS, and how large do segments become?",
        _kept,
        "Window scale and SACK are put into the low bits of the timestamp, which the client sends back. "
        "Without timestamps they have no place, so they are not offered. Of the MSS the cookie only "
        "holds which one of a table it is.",
    ),
    Question(
        "For how long is the client established, and the server not, in the third connection?",
        _late,
        "Only a segment of the client's can change that, and any that has an ACK has the cookie. If the "
        "server is to speak first, both wait.",
    ),
)


def _no_timestamps(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    stage.server.accept()
    stage.settle()


def _judge(run: Run) -> str | None:
    if "SYN-RECEIVED" in run.states(1):
        return "The server has kept the SYN in memory."
    if scale(run, 0) != [True, True] or "sackOK" not in offered(run, 0):
        return "SACK and window scale are not agreed on."
    return None


EXERCISE = Exercise(
    "A server without memory for SYNs agrees on no SACK and on no window scale. Change a rule so that it "
    "does, and still keeps nothing.",
    _no_timestamps,
    _judge,
    {"timestamps": True},
    {"syn_cookies": "always", "timestamps": False},
)
