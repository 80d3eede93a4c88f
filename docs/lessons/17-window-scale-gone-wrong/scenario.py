"""Lesson 17: boxes that take the window scale option off one SYN, or write another shift count into it."""

from collections.abc import Sequence

from xsocket.tcp.options import WindowScale, decode, encode, padded
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path import Middlebox, Parcel
from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Kind, Packet, Step

UNTOUCHED, OFF_THE_SYN, OFF_THE_SYN_ACK, TOO_LARGE = range(4)
"""The connections, by what becomes of the option."""
LONG = 1500


class Meddler(Middlebox):
    """Changes the window scale option of one kind of SYN, and leaves that of the other.

    Attributes:
        of: The flags of those that it changes, as tcpdump writes them: ``"S"`` or ``"S."``; empty for none.
        shift: What it writes into the option; None if it takes the option away.
    """

    def __init__(self, of: str = "", shift: int | None = None) -> None:
        super().__init__()
        self.of, self.shift = of, shift

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        segment = packet.segment
        if segment.letters != self.of:
            return (parcel,)
        options = [each for each in decode(segment.options) if not isinstance(each, WindowScale)]
        if self.shift is not None:
            options.append(WindowScale(self.shift))
        return (parcel.with_segment(segment._replace(options=padded(encode(options)))),)


def play(stage: Stage) -> None:
    """Connect past a box that does nothing, and then past what else it may do."""
    box = Meddler()
    stage.insert(box)
    for of, shift_count in (("", None), ("S", None), ("S.", None), ("S.", 15)):
        box.of, box.shift = of, shift_count
        speak(stage)


def speak(stage: Stage) -> None:
    """Open a connection, let the client say something short and something long, and end it."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.send(b"Short.")
    stage.settle()
    server.read()
    client.send(b"." * LONG)
    left = LONG
    while left:
        stage.settle()
        left -= len(server.read())
    stage.settle()
    client.abort()
    stage.settle()
    server.close()


def arrivals(run: Run, connection: int, end: int) -> list[tuple[Step, Packet]]:
    """Return what arrives of what an end sent in a connection, and the steps in which it does."""
    return [
        (step, step.packet)
        for step in run.story.steps
        if step.kind in (Kind.CARRIED, Kind.ARRIVED)
        and (step.connection, step.end) == (connection, end)
        and step.packet is not None
    ]


def shift(run: Run, step: Step, end: int, which: str) -> int:
    """Return the shift count that an end goes by, ``Snd`` or ``Rcv``; 0 where it knows of none."""
    try:
        return run.variable(end, f"{which}.Wind.Shift", step=step.number - 1)
    except KeyError:
        return 0


def windows(run: Run, connection: int, end: int) -> tuple[int, int]:
    """Return the window that an end offers by its last ACK, and what the other end takes it for."""
    acks = [
        each for each in arrivals(run, connection, end) if not {*each[1].flags.split("+")} & {"SYN", "RST"}
    ]
    step, packet = acks[-1]
    meant = packet.window << shift(run, step, end, "Rcv")
    return meant, run.variable(1 - end, "SND.WND", step=step.number - 1)


def texts(run: Run, connection: int) -> list[tuple[Step, Packet]]:
    """Return what arrives of the client's text: first the short one, then the segments of the long one."""
    return [each for each in arrivals(run, connection, 0) if each[1].length]


def lengths(run: Run, connection: int) -> list[int]:
    """Return the lengths of the segments in which the client sends its long text."""
    return [packet.length for _, packet in texts(run, connection)[1:]]


def pause(run: Run, connection: int) -> float:
    """Return how long after its short text the client sends of the long one, in seconds."""
    (short, _), (long, _) = texts(run, connection)[:2]
    return long.at_s - short.at_s


def agree(run: Run, connection: int) -> bool:
    """Whether each end takes the other's window for what it is."""
    return all(meant == taken for meant, taken in (windows(run, connection, end) for end in (0, 1)))


def _of_syns(run: Run) -> list[tuple[int, int]]:
    """Return of each SYN that arrives the window in its header, and SND.WND of who gets it."""
    return [
        (packet.window, run.variable(1 - end, "SND.WND", step=step.number - 1))
        for connection in range(len(run.story.connections))
        for end in (0, 1)
        for step, packet in arrivals(run, connection, end)
        if "SYN" in packet.flags
    ]


EXPECTATIONS = (
    Expectation(
        "where both SYNs keep the option, and where one end never sees one, both ends agree",
        lambda run: agree(run, UNTOUCHED) and agree(run, OFF_THE_SYN),
    ),
    Expectation(
        "where only the SYN+ACK loses it, the client takes the server's window for far less than it is",
        lambda run: windows(run, OFF_THE_SYN_ACK, 1)[0] >= 8 * windows(run, OFF_THE_SYN_ACK, 1)[1],
    ),
    Expectation(
        "and the server takes the client's for far more",
        lambda run: windows(run, OFF_THE_SYN_ACK, 0)[1] >= 8 * windows(run, OFF_THE_SYN_ACK, 0)[0],
    ),
    Expectation("the window of a SYN is never scaled", lambda run: all(a == b for a, b in _of_syns(run))),
    Expectation(
        "of a shift count of 15, 14 are taken",
        lambda run: shift(run, arrivals(run, TOO_LARGE, 1)[-1][0], 0, "Snd") == 14,
    ),
    Expectation(
        "on Linux the text waits for a timer, and goes in a segment as large as the window believed in",
        lambda run: (
            lengths(run, OFF_THE_SYN_ACK)[0] == _believed(run) < lengths(run, UNTOUCHED)[0]
            and pause(run, OFF_THE_SYN_ACK) > pause(run, UNTOUCHED) + 0.2
        ),
        stages=("kernel",),
    ),
)


def _believed(run: Run) -> int:
    """Return the client's SND.WND when it sends of its long text in the third connection."""
    step, _ = texts(run, OFF_THE_SYN_ACK)[1]
    return run.variable(0, "SND.WND", step=step.number - 1)


def _offers(run: Run, end: int) -> str:
    pairs = (windows(run, connection, end) for connection in range(4))
    return "; ".join(f"{meant:,} for {taken:,}" for meant, taken in pairs)


def _segments(run: Run, connection: int) -> str:
    return " and ".join(f"{length:,}" for length in lengths(run, connection))


def _too_far(run: Run) -> str:
    meant, taken = windows(run, OFF_THE_SYN_ACK, 0)
    by = (taken // meant).bit_length() - 1
    return f"{taken - meant:,} octets: it takes {meant:,} for {taken:,}, shifted by {by}"


QUESTIONS = (
    Question(
        "For what does the client take the window that the server offers last, in each of the connections?",
        lambda run: _offers(run, 1),
        "In the second connection neither end scales, and nothing is wrong. In the third one the server "
        "shifts its window to the right, and the client does not shift it back. In the fourth one it "
        "shifts it back too far.",
    ),
    Question(
        "How far beyond the client's window may the server send in the third connection?",
        _too_far,
        "It shifts to the left what the client did not shift to the right. If it had enough to say, the "
        "engine would drop what comes beyond its window. (Linux has room for more than 16 bits can offer.)",
    ),
    Question(
        "In which segments does the client send its 1,500 octets in the first and in the third connection, "
        "and how long after the short text?",
        lambda run: "; ".join(
            f"{_segments(run, connection)}, after {pause(run, connection):.1f} s"
            for connection in (UNTOUCHED, OFF_THE_SYN_ACK)
        ),
        "On the engine the window that is left is still large enough. On Linux it is smaller than a "
        "segment: the client waits for it to grow, in vain, until its persist timer has it send what fits.",
    ),
)


def _off_the_syn_ack(stage: Stage) -> None:
    stage.insert(Meddler("S."))
    speak(stage)


def _judge(run: Run) -> str | None:
    for end in (0, 1):
        meant, taken = windows(run, 0, end)
        if meant != taken:
            return f"The {run.story.ends[end].name} offers {meant:,}, and is taken to offer {taken:,}."
    return None


EXERCISE = Exercise(
    "The box stays, and takes the option off each SYN+ACK. Change a rule so that both ends agree on their "
    "windows all the same.",
    _off_the_syn_ack,
    _judge,
    {"window_scaling": False},
)
