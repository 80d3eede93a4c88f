"""Lesson 19: an agreement on ECN, a mark and what comes of it; and a path that spoils the agreement."""

from collections.abc import Sequence

from xsocket.segment import CE, CWR, ECE, NOT_ECT
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path import Middlebox, Parcel
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Connection, Stage
from xsocket_tools.teaching.story import Packet, Step

RULES = {"ecn": 1}
TEXT = b"." * 1000


class Router(Middlebox):
    """Marks as many packets with text as it is told to; an old one clears the flags of ECN on SYNs.

    Attributes:
        to_mark: How many it is about to mark.
        is_old: Whether it takes the two flags for reserved bits that have to be 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_mark = 0
        self.is_old = False

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        segment = packet.segment
        if self.is_old and segment.syn:
            segment = segment._replace(flags=segment.flags & ~(ECE | CWR))
        elif self.to_mark and segment.payload and segment.ecn != NOT_ECT:
            self.to_mark -= 1
            segment = segment._replace(ecn=CE)
        return (parcel.with_segment(segment),)


def play(stage: Stage) -> None:
    """Agree, and mark one of four packets; then connect once more, past an old router."""
    router = Router()
    stage.insert(router)
    client, server = connect(stage)
    say(stage, client, server)
    router.to_mark = 1
    for _ in range(3):
        say(stage, client, server)
    leave(stage, client, server)
    router.is_old = True
    client, server = connect(stage)
    say(stage, client, server)
    leave(stage, client, server)


def connect(stage: Stage) -> tuple[Connection, Connection]:
    """Open a connection, and return both its ends."""
    client = stage.client.open()
    client.wait_established()
    return client, stage.server.accept()


def say(stage: Stage, client: Connection, server: Connection) -> None:
    """Let the client send one segment of text, and the server read it."""
    client.send(TEXT)
    stage.settle()
    server.read()
    stage.settle()


def leave(stage: Stage, client: Connection, server: Connection) -> None:
    """End a connection."""
    client.abort()
    stage.settle()
    server.close()


def sent(run: Run, connection: int, end: int) -> list[Packet]:
    """Return what an end sent in a connection."""
    steps = (step for step in run.sent(end) if step.connection == connection)
    return [step.packet for step in steps if step.packet is not None]


def texts(run: Run, connection: int) -> list[Packet]:
    """Return the client's segments with text in a connection."""
    return [packet for packet in sent(run, connection, 0) if packet.length]


def acks(run: Run, connection: int) -> list[Packet]:
    """Return what the server acknowledges with, once for each segment of text."""
    found: dict[int, Packet] = {}
    for packet in sent(run, connection, 1):
        if packet.ack is not None and packet.ack > 1:
            found.setdefault(packet.ack, packet)
    return list(found.values())


def marked(run: Run) -> list[Step]:
    """Return the steps in which a packet was sent as ECT and arrives as CE."""
    return [
        step
        for step in run.story.steps
        if step.changed_on_the_way is not None and step.changed_on_the_way.ecn == "CE"
    ]


def window(run: Run) -> tuple[int, int]:
    """Return the client's congestion window when a packet was marked, and when its next text goes."""
    mark = marked(run)[0]
    following = next(step for step in run.sent(0) if step.number > mark.number)
    return run.variable(0, "cwnd", step=mark.number - 1), run.variable(0, "cwnd", step=following.number - 1)


def _has(packet: Packet, *flags: str) -> bool:
    return {*flags} <= {*packet.flags.split("+")}


def _only(packets: list[Packet], flag: str) -> list[int]:
    return [at for at, packet in enumerate(packets, 1) if _has(packet, flag)]


EXPECTATIONS = (
    Expectation(
        "the SYN asks with ECE and CWR, and the SYN+ACK agrees with ECE alone",
        lambda run: (
            _has(sent(run, 0, 0)[0], "SYN", "ECE", "CWR")
            and _has(sent(run, 0, 1)[0], "SYN", "ECE", "ACK")
            and not _has(sent(run, 0, 1)[0], "CWR")
        ),
    ),
    Expectation(
        "text goes as ECT(0), and nothing else does",
        lambda run: (
            {packet.ecn for packet in texts(run, 0)} == {"ECT(0)"}
            and not any(packet.ecn for end in (0, 1) for packet in sent(run, 0, end) if not packet.length)
        ),
    ),
    Expectation(
        "the one mark comes back as ECE, and CWR ends that",
        lambda run: len(marked(run)) == 1 and _only(acks(run, 0), "ECE") == [2] and _cwr(run) == [3],
    ),
    Expectation(
        "the sender cuts its congestion window to half or less, and nothing is sent again",
        lambda run: (
            window(run)[1] <= window(run)[0] / 2
            and len({packet.seq for packet in texts(run, 0)}) == len(texts(run, 0)) == 4
        ),
    ),
    Expectation(
        "where the flags are lost from the SYN, the server does not agree, and text goes as Not-ECT",
        lambda run: (
            _has(sent(run, 1, 0)[0], "SYN", "ECE", "CWR")
            and sent(run, 1, 1)[0].flags == "SYN+ACK"
            and [packet.ecn for packet in texts(run, 1)] == [""]
        ),
    ),
)


def _cwr(run: Run) -> list[int]:
    return _only(texts(run, 0), "CWR")


def _asked(run: Run, connection: int) -> str:
    return f"{sent(run, connection, 0)[0].flags}, and then {sent(run, connection, 1)[0].flags}"


def _halved(run: Run) -> str:
    before, after = window(run)
    return f"from {before:,} to {after:,} octets"


QUESTIONS = (
    Question(
        "Which flags have the SYN and the SYN+ACK of each connection?",
        lambda run: "; ".join(_asked(run, connection) for connection in (0, 1)),
        "The SYN has both bits and the SYN+ACK only one. So a server that merely copies bits it does not "
        "know is not taken for one that has agreed.",
    ),
    Question(
        "Which of the four segments of text is marked, which acknowledgment has ECE, and which text has CWR?",
        lambda run: (
            f"marked: text {_place(run)}; ECE: acknowledgment {_only(acks(run, 0), 'ECE')[0]}; "
            f"CWR: text {_cwr(run)[0]}"
        ),
        "The receiver repeats ECE until it sees CWR, since an acknowledgment may be lost. CWR goes with the "
        "next new text.",
    ),
    Question(
        "What does the mark do to the client's congestion window?",
        _halved,
        "The same as a loss would, but that nothing is lost. How far it goes down depends on how much was "
        "under way: here only one segment.",
    ),
)


def _place(run: Run) -> int:
    packet = marked(run)[0].packet
    assert packet is not None
    return [each.seq for each in texts(run, 0)].index(packet.seq) + 1


def _say_it_in_ect(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.send(b"Am I marked?")
    server.read()
    stage.settle()


def _judge(run: Run) -> str | None:
    if not _has(sent(run, 0, 0)[0], "ECE", "CWR"):
        return "The client's SYN does not ask."
    if not texts(run, 0):
        return "There is no text."
    if all(packet.ecn for packet in texts(run, 0)):
        return None
    agrees = _has(sent(run, 0, 1)[0], "ECE")
    return "The text goes as Not-ECT." if agrees else "The server does not agree."


EXERCISE = Exercise(
    "Nobody asks, and a router would have to drop what it cannot mark. Change a rule so that the client's "
    "text goes in packets that can be marked.",
    _say_it_in_ect,
    _judge,
    {"ecn": 1},
    {"ecn": 2},
)
