"""Lesson 18: a tunnel that is narrower than both ends believe, and keeps quiet, is helped, or says so."""

from collections.abc import Sequence

from xsocket_tools.path import Chain, ClampMss, Element, LimitMtu, Middlebox, Parcel
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Connection, Stage
from xsocket_tools.teaching.story import Kind, Packet, Step

RULES = {"base_mss": 512, "retries1": 1}
"""For mtu_probing, which is off: what it tries first, and after how many timeouts."""
MTU = 600
"""What the tunnel carries: an IP packet with all its headers."""
HEADERS = 40
"""Of IPv4 and TCP, without options, octets: an MSS counts neither (RFC 6691)."""
LARGE = 1400


class Tunnel(Middlebox):
    """A part of the path that can be set up anew.

    Attributes:
        how: How it is set up.
    """

    def __init__(self, how: Element) -> None:
        super().__init__()
        self.how = how

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """See `Element.take`."""
        return self.how.take(now, parcel)


def play(stage: Stage) -> None:
    """Send large text through a tunnel that keeps quiet, one that clamps the MSS, and one that complains."""
    tunnel = Tunnel(LimitMtu(MTU, silent=True))
    stage.insert(tunnel)
    client, server = connect(stage)
    client.send(b"Small text arrives.")
    server.read()
    stage.settle()
    client.send(b"." * LARGE)
    stage.wait(1.6)
    leave(stage, client, server)
    for how in (Chain([ClampMss(MTU - HEADERS), LimitMtu(MTU, silent=True)]), LimitMtu(MTU)):
        tunnel.how = how
        client, server = connect(stage)
        client.send(b"." * LARGE)
        stage.settle()
        leave(stage, client, server)


def connect(stage: Stage) -> tuple[Connection, Connection]:
    """Open a connection, and return both its ends."""
    client = stage.client.open()
    client.wait_established()
    return client, stage.server.accept()


def leave(stage: Stage, client: Connection, server: Connection) -> None:
    """End a connection."""
    client.abort()
    stage.settle()
    server.close()


def texts(run: Run, connection: int) -> list[tuple[Step, Packet]]:
    """Return the client's segments with text in a connection, and the steps in which they are sent."""
    steps = (step for step in run.sent(0) if step.connection == connection)
    return [(step, step.packet) for step in steps if step.packet is not None and step.packet.length]


def lost(run: Run, connection: int) -> list[Packet]:
    """Return those that never arrive."""
    return [packet for step, packet in texts(run, connection) if step.kind is Kind.LOST]


def through(run: Run, connection: int) -> list[int]:
    """Return the lengths of those that arrive."""
    return [packet.length for step, packet in texts(run, connection) if step.kind is not Kind.LOST]


def acknowledged(run: Run, connection: int) -> int:
    """Return how many octets of text the server has acknowledged in a connection."""
    steps = (step for step in run.sent(1) if step.connection == connection)
    return max(step.packet.ack or 0 for step in steps if step.packet is not None) - 1


def mss(run: Run, connection: int) -> int:
    """Return Eff.snd.MSS of the client when it sends the last text of a connection."""
    return run.variable(0, "Eff.snd.MSS", step=texts(run, connection)[-1][0].number - 1)


EXPECTATIONS = (
    Expectation(
        "past the silent tunnel the handshake and small text get through",
        lambda run: "ESTABLISHED" in run.states(1) and through(run, 0) == [acknowledged(run, 0)],
    ),
    Expectation(
        "large text is sent again and again there, always as large, and never arrives",
        lambda run: len(lost(run, 0)) >= 3 and {packet.length for packet in lost(run, 0)} == {LARGE},
    ),
    Expectation(
        "with a clamped MSS nothing is lost",
        lambda run: not lost(run, 1) and acknowledged(run, 1) == sum(through(run, 1)) == LARGE,
    ),
    Expectation(
        "where the tunnel complains, one segment is lost, and smaller ones follow at once",
        lambda run: (
            [packet.length for packet in lost(run, 2)] == [LARGE]
            and _pause(run) < 0.15
            and acknowledged(run, 2) == sum(through(run, 2)) == LARGE
        ),
    ),
    Expectation(
        "the sender believes in a smaller path in the last two connections, and not in the first",
        lambda run: mss(run, 0) > mss(run, 1) == mss(run, 2) < MTU,
    ),
)


def _pause(run: Run) -> float:
    first, second = (step.at_s for step, _ in texts(run, 2)[:2])
    return second - first


def _never(run: Run) -> str:
    start = next(step.at_s for step, packet in texts(run, 0) if packet.length == LARGE)
    found = [step.at_s - start for step, _ in texts(run, 0) if step.kind is Kind.LOST]
    return f"{len(found)} times, at " + ", ".join(f"{each:.1f}" for each in found) + " s"


QUESTIONS = (
    Question(
        "How often does the client send its large text past the silent tunnel, in the time that it has?",
        _never,
        "The timeout doubles each time. (The first repetition of Linux comes before: it is a loss probe, RFC "
        "8985 section 7.) None of them is smaller: a loss says nothing of size.",
    ),
    Question(
        "Which Eff.snd.MSS does the client have in each of the three connections, at its last text?",
        lambda run: ", ".join(f"{mss(run, connection):,}" for connection in range(3)),
        "The MSS on the SYNs, or what the complaint says, without the 40 octets of the headers; and 12 "
        "octets less for the timestamps that each segment carries.",
    ),
    Question(
        "How long after the segment that was lost do smaller ones follow in the third connection?",
        lambda run: f"{_pause(run) * 1000:.0f} ms",
        "No timer has to run out: the complaint says that the segment is lost, and why. Here the tunnel is "
        "at the client's door, so only the way back takes time.",
    ),
)


def _silence(stage: Stage) -> None:
    stage.insert(LimitMtu(MTU, silent=True))
    client, server = connect(stage)
    client.send(b"." * LARGE)
    stage.wait(2.5)
    leave(stage, client, server)


def _judge(run: Run) -> str | None:
    arrived = acknowledged(run, 0)
    return None if arrived >= LARGE else f"The server has acknowledged {arrived:,} octets of {LARGE:,}."


EXERCISE = Exercise(
    "The tunnel keeps quiet, and nobody will set it up anew. Change a rule so that the text arrives all the "
    "same, within two and a half seconds.",
    _silence,
    _judge,
    {"mtu_probing": True},
    RULES,
)
