"""Lesson 10: boxes on the way take options away, in both directions or in one."""

from xsocket_tools.path import StripOptions, Towards
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet, Step


def play(stage: Stage) -> None:
    """Connect three times: over a clear way, past a box, and past a second one that spares the SYN."""
    connect(stage)
    stage.insert(StripOptions("sack", "timestamps"))
    connect(stage)
    stage.insert(StripOptions("wscale", only=Towards.LEFT))
    connect(stage)


def connect(stage: Stage) -> None:
    """Open a connection, let both ends say something, and reset it."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    server.send(b"Welcome.")
    client.read()
    stage.settle()
    client.send(b"Thank you.")
    server.read()
    stage.settle()
    client.abort()
    stage.settle()
    server.close()
    stage.settle()


NAMES = {"sackOK": "SACK", "TS": "timestamps", "wscale": "window scale"}
"""What is negotiated on SYNs, by the first word of the option."""


def carried(packet: Packet) -> set[str]:
    """Return what a SYN or SYN+ACK offers, of what is negotiated."""
    return {NAMES[option.split()[0]] for option in packet.options if option.split()[0] in NAMES}


def steps(run: Run, connection: int, flags: str, end: int) -> list[Step]:
    """Return the steps in which an end sends segments with these flags in a connection."""
    return [
        step
        for step in run.sent(end)
        if step.connection == connection and step.packet is not None and step.packet.flags == flags
    ]


def sent(step: Step) -> Packet:
    """Return what left its sender in a step."""
    assert step.packet is not None
    return step.packet


def arrived(step: Step) -> Packet:
    """Return what arrived in a step."""
    return sent(step) if step.changed_on_the_way is None else step.changed_on_the_way


def agreed(run: Run, connection: int) -> tuple[set[str], set[str]]:
    """Return what the client takes for agreed on, and what the server does.

    Each takes for agreed on what it has said itself and has heard of the other end.
    """
    syn, syn_ack = (steps(run, connection, *each)[0] for each in (("SYN", 0), ("SYN+ACK", 1)))
    return carried(sent(syn)) & carried(arrived(syn_ack)), carried(arrived(syn)) & carried(sent(syn_ack))


def has_shift(run: Run, connection: int, end: int) -> bool:
    """Whether an end scales windows, by its own variables."""
    said = steps(run, connection, "PSH+ACK", end)[0]
    return any(each.name == "Snd.Wind.Shift" for each in said.views[end].variables)


def window(run: Run, connection: int, sender: int) -> tuple[int, int, int]:
    """Return of the window on an end's text what the header says, what it means and what is understood."""
    said = steps(run, connection, "PSH+ACK", sender)[0]
    octets = sent(said).window
    shift = run.variable(sender, "Rcv.Wind.Shift", step=said.number - 1) if _scales(said, sender) else 0
    return octets, octets << shift, run.variable(1 - sender, "SND.WND", step=said.number - 1)


def _scales(step: Step, end: int) -> bool:
    return any(each.name == "Rcv.Wind.Shift" for each in step.views[end].variables)


EXPECTATIONS = (
    Expectation(
        "over a clear way both ends agree on SACK, timestamps and window scale",
        lambda run: agreed(run, 0) == ({*NAMES.values()}, {*NAMES.values()}),
    ),
    Expectation(
        "what the SYN loses the SYN+ACK does not offer, and both ends do without",
        lambda run: agreed(run, 1) == ({"window scale"}, {"window scale"}),
    ),
    Expectation(
        "if only the SYN+ACK loses it, the server scales windows and the client does not",
        lambda run: (
            agreed(run, 2) == (set(), {"window scale"}) and has_shift(run, 2, 1) and not has_shift(run, 2, 0)
        ),
    ),
    Expectation(
        "then the client takes the server's window for smaller than it is",
        lambda run: window(run, 2, 1)[1] > window(run, 2, 1)[2] == window(run, 2, 1)[0],
    ),
    Expectation(
        "and the server takes the client's for larger",
        lambda run: window(run, 2, 0)[2] > window(run, 2, 0)[1] == window(run, 2, 0)[0],
    ),
    Expectation(
        "no segment more and none less is sent on account of it",
        lambda run: _flags_of(run, 0) == _flags_of(run, 1) == _flags_of(run, 2),
    ),
)


def _flags_of(run: Run, connection: int) -> list[str]:
    return [sent(step).flags for step in run.sent() if step.connection == connection]


def _told(found: set[str]) -> str:
    return ", ".join(sorted(found)) or "nothing"


def _told_agreed(run: Run) -> str:
    parts = []
    for connection, (client, server) in enumerate(agreed(run, each) for each in range(3)):
        both = _told(client) if client == server else f"client {_told(client)}, server {_told(server)}"
        parts.append(f"{connection + 1}: {both}")
    return "; ".join(parts)


def _told_window(run: Run, sender: int) -> str:
    header, meant, understood = window(run, 2, sender)
    return f"the header says {header:,}, which means {meant:,} and is taken for {understood:,}"


QUESTIONS = (
    Question(
        "What do the ends take for agreed on, in each of the three connections?",
        _told_agreed,
        "An end takes for agreed on what it has said and has heard. If both SYNs pass the same box, both "
        "ends have heard the same. Else they may differ, and nothing in TCP tells them.",
    ),
    Question(
        "Which window does the server offer in the third connection?",
        lambda run: _told_window(run, 1),
        "The server writes its window shifted to the right, and the client does not shift it back. It sends "
        "no more than that in a round trip, however much the server has room for.",
    ),
    Question(
        "And which one does the client offer?",
        lambda run: _told_window(run, 0),
        "The server shifts to the left what was not shifted to the right. It takes the window for so large "
        "that it may send more than was offered, and what lies beyond the window is not acceptable.",
    ),
)


def _one_way(stage: Stage) -> None:
    stage.insert(StripOptions("wscale", only=Towards.LEFT))
    connect(stage)


def _judge(run: Run) -> str | None:
    client, server = has_shift(run, 0, 0), has_shift(run, 0, 1)
    if client and server:
        return "Both ends scale windows: nothing has stripped the option."
    return "The server scales windows, and the client does not." if server else None


def _solution(stage: Stage) -> None:
    stage.insert(StripOptions("wscale"))
    connect(stage)


EXERCISE = Exercise(
    "A box takes window scale away from SYN+ACKs only. Change the box, or a rule, so that both ends "
    "understand each other's windows, although they are not scaled.",
    _one_way,
    _judge,
    _solution,
)
