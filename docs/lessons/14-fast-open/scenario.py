"""Lesson 14: a client fetches a cookie and opens fast; its SYN comes twice, and another has a bad cookie."""

from collections.abc import Sequence

from xsocket.tcp.options import FastOpen, Option, decode, encode, padded
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path import Middlebox, Parcel
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Kind, Packet, Step

RULES = {"fastopen": 3, "fastopen_qlen": 8}
"""Both ends play both parts, and so many connections may wait for their third segment."""
REQUEST = b"GET /"
WITHOUT, GOOD, BAD = range(3)
"""The connections, by their cookie."""


class Network(Middlebox):
    """Lets everything through, but may deliver a SYN with text once more, or damage its cookie.

    Attributes:
        repeats: Whether the last of those SYNs arrives again, behind the next reset.
        damages: Whether they lose their cookie for another one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeats = self.damages = False
        self._copy: Parcel | None = None

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        segment = packet.segment
        if segment.letters == "S" and segment.payload:
            self._copy = parcel
            if self.damages:
                options = padded(encode([damaged(each) for each in decode(segment.options)]))
                return (parcel.with_segment(segment._replace(options=options)),)
        elif segment.rst and self.repeats and self._copy is not None:
            self.repeats = False
            return parcel, self._copy
        return (parcel,)


def damaged(option: Option) -> Option:
    """Return a cookie with all its bits turned over, and every other option as it is."""
    if isinstance(option, FastOpen):
        return option._replace(cookie=bytes(octet ^ 0xFF for octet in option.cookie))
    return option


def play(stage: Stage) -> None:
    """Open without a cookie, with a good one, twice with one SYN, and with one that was damaged."""
    network = Network()
    stage.insert(network)
    ask(stage)
    client = stage.client.open(text=REQUEST)
    server = stage.server.accept()
    server.read()
    server.send(b"Here it is.")
    client.read()
    stage.settle()
    network.repeats = True
    client.abort()
    stage.server.accept().read()
    stage.settle()
    network.damages = True
    ask(stage)


def ask(stage: Stage) -> None:
    """Open with a request, let the server read it, and reset the connection."""
    client = stage.client.open(text=REQUEST)
    client.wait_established()
    stage.server.accept().read()
    stage.settle()
    client.abort()
    stage.settle()


def packet_of(step: Step) -> Packet:
    """Return the segment of a step."""
    assert step.packet is not None
    return step.packet


def steps(run: Run, connection: int, flags: str, end: int | None = None) -> list[Step]:
    """Return the steps in which segments with these flags are sent in a connection."""
    return [
        step
        for step in run.sent(end)
        if step.connection == connection and step.packet is not None and step.packet.flags == flags
    ]


def cookie(step: Step) -> str:
    """Return the cookie in the segment of a step, ``request`` if it asks for one, nothing without either."""
    found = [option for option in packet_of(step).options if option.startswith("fast open")]
    return found[0].split()[-1] if found else ""


def opening(run: Run, connection: int) -> tuple[Step, Step]:
    """Return the steps in which the SYN and the first SYN+ACK of a connection are sent."""
    return steps(run, connection, "SYN")[0], steps(run, connection, "SYN+ACK")[0]


def request(run: Run, connection: int) -> list[Step]:
    """Return the steps in which the client sends its request."""
    return [
        step
        for step in run.sent(0)
        if step.connection == connection and packet_of(step).length == len(REQUEST)
    ]


def taken(run: Run, connection: int) -> list[Step]:
    """Return the steps in which somebody takes a connection, to read what it has."""
    return [
        step
        for before, step in zip(run.story.steps, run.story.steps[1:], strict=False)
        if step.connection == connection and claimed(step) > claimed(before)
    ]


def claimed(step: Step) -> int:
    """Return how many connections have been taken at the server by the end of a step."""
    tables = step.tables[1]
    assert tables is not None
    return tables.claimed


def arrival(run: Run, sent: Step) -> Step:
    """Return the step in which a segment arrives."""
    if sent.kind is Kind.CARRIED:
        return sent
    return next(
        step
        for step in run.story.steps[sent.number :]
        if step.kind is Kind.ARRIVED and step.connection == sent.connection and step.packet == sent.packet
    )


def replay(run: Run) -> Step:
    """Return the step in which the copy of a SYN arrives."""
    return run.forged()[0]


def answer(run: Run) -> Step:
    """Return the step in which the server answers the request that came with the SYN."""
    return steps(run, GOOD, "PSH+ACK", 1)[0]


def server_state(step: Step) -> str:
    """Return where the server stands after a step."""
    state = step.views[1].state
    return "" if state is None else state.value


def _third(run: Run) -> Step:
    return arrival(run, next(each for each in steps(run, GOOD, "ACK", 0)))


EXPECTATIONS = (
    Expectation(
        "the first SYN asks for a cookie and has no text, and the SYN+ACK brings one",
        lambda run: (
            cookie(opening(run, WITHOUT)[0]) == "request"
            and packet_of(opening(run, WITHOUT)[0]).length == 0
            and len(cookie(opening(run, WITHOUT)[1])) == 16
        ),
    ),
    Expectation(
        "the second has that cookie and the request, and the SYN+ACK acknowledges both SYN and text",
        lambda run: (
            cookie(opening(run, GOOD)[0]) == cookie(opening(run, WITHOUT)[1])
            and packet_of(opening(run, GOOD)[0]).length == len(REQUEST)
            and packet_of(opening(run, GOOD)[1]).ack == 1 + len(REQUEST)
        ),
    ),
    Expectation(
        "the server answers in SYN-RECEIVED, before the third segment has come",
        lambda run: (
            server_state(answer(run)) == "SYN-RECEIVED"
            and answer(run).at_s < _third(run).until_s
            and server_state(_third(run)) == "ESTABLISHED"
        ),
    ),
    Expectation(
        "a copy of the SYN makes a connection of its own, and the request is read once more",
        lambda run: (
            server_state(replay(run)) == "SYN-RECEIVED"
            and len(request(run, GOOD)) == 1
            and len(taken(run, GOOD)) == 2
            and taken(run, GOOD)[1].number > replay(run).number
        ),
    ),
    Expectation(
        "the client knows nothing of that one, and resets it",
        lambda run: steps(run, GOOD, "RST", 0)[0].number > taken(run, GOOD)[1].number,
    ),
    Expectation(
        "with a bad cookie only the SYN is acknowledged, a good one comes, and the request is sent again",
        lambda run: (
            packet_of(opening(run, BAD)[1]).ack == 1
            and cookie(opening(run, BAD)[1]) == cookie(opening(run, WITHOUT)[1])
            and [packet_of(step).flags for step in request(run, BAD)] == ["SYN", "PSH+ACK"]
        ),
    ),
)


def _waited(run: Run) -> str:
    told = []
    for connection, name in ((WITHOUT, "without a cookie"), (GOOD, "with one"), (BAD, "with a bad one")):
        came = arrival(run, request(run, connection)[-1]).until_s - opening(run, connection)[0].at_s
        told.append(f"{came * 1000:.0f} ms {name}")
    return ", ".join(told)


def _before(run: Run) -> str:
    early = _third(run).until_s - answer(run).at_s
    return f"{server_state(answer(run))}; the third segment arrives {early * 1000:.0f} ms later"


def _read(run: Run) -> str:
    return f"sent: {len(request(run, GOOD))}, read: {len(taken(run, GOOD))}"


QUESTIONS = (
    Question(
        "How long after its SYN has left is the client's request at the server, in each connection?",
        _waited,
        "With a good cookie it takes no longer than the SYN. With a bad one it takes as long as without Fast "
        "Open, no longer: a round trip more.",
    ),
    Question(
        "In which state does the server answer, and how long before it knows that the client hears it?",
        _before,
        "In an ordinary handshake the third segment proves that the client is where it says it is. Here the "
        "cookie stands for that: somebody at this address has been given it before.",
    ),
    Question(
        "How often did the client send its request in the second connection, and how often was it read?",
        _read,
        "The server has forgotten the connection when the copy comes, and takes it for a new one. In an "
        "ordinary handshake the client would have reset it before there was any text.",
    ),
)


def _judge(run: Run) -> str | None:
    syn, syn_ack = opening(run, 0)
    if packet_of(syn).length == 0:
        return "The first SYN has no text."
    if packet_of(syn_ack).ack == 1:
        return "The server does not take the text of the first SYN."
    return None


EXERCISE = Exercise(
    "Let the very first connection carry its request in the SYN, and the server take it, without any cookie.",
    ask,
    _judge,
    {"fastopen": 1 + 2 + 4 + 0x200},
    RULES,
)
