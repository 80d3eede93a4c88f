"""Lesson 7: resets that the peer never sent, outside the window, inside it, and at its left edge."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Packet

NUMBERS = 2**32
"""How many sequence numbers there are."""
RESET_BITS = 40 * 8
"""A reset without options: a header of IPv4 and one of TCP, 20 octets each."""
BITS_A_SECOND = 10_000_000
"""What the attacker can send."""


def play(stage: Stage) -> None:
    """Forge four resets for the client; before the last one, let the server say something."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    stage.settle()
    stage.forge("client", "RST", seq=-1)
    stage.settle()
    stage.forge("client", "RST", seq=1_000_000)
    stage.settle()
    stage.forge("client", "RST", seq=1000)
    stage.settle()
    server.send(b"Nothing has happened.")
    client.read()
    stage.settle()
    stage.forge("client", "RST", seq=0)
    stage.settle()


def window(run: Run) -> int:
    """Return the client's receive window when the third reset came."""
    return run.variable(0, "RCV.WND", step=run.forged()[2].number - 1)


def guesses(run: Run) -> int:
    """Return how many resets, a window apart, hit the window for certain."""
    return -(-NUMBERS // window(run))


def _answers(run: Run) -> list[str]:
    answers = (run.answer(step) for step in run.forged())
    return ["silence" if answer is None else answer.flags for answer in answers]


def _challenge(run: Run) -> Packet:
    packet = run.answer(run.forged()[2])
    assert packet is not None
    return packet


def _span(resets: int) -> str:
    seconds = resets * RESET_BITS / BITS_A_SECOND
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 3600:.0f} hours"


EXPECTATIONS = (
    Expectation(
        "outside the window a reset gets no answer and moves nothing",
        lambda run: (
            _answers(run)[:2] == ["silence", "silence"]
            and not any(step.views[0].moved for step in run.forged()[:2])
        ),
    ),
    Expectation(
        "inside the window it gets a challenge ACK and moves nothing",
        lambda run: _answers(run)[2] == "ACK" and not run.forged()[2].views[0].moved,
    ),
    Expectation(
        "the challenge ACK tells the true peer nothing new",
        lambda run: (_challenge(run).seq, _challenge(run).ack) == (1, 1),
    ),
    Expectation("the connection goes on", lambda run: "PSH+ACK" in run.flags(1)),
    Expectation(
        "exactly at RCV.NXT it ends the connection",
        lambda run: run.forged()[3].views[0].moved and run.states(0)[-1] == "CLOSED",
    ),
    Expectation("the server does not learn of it", lambda run: run.states(1)[-1] == "ESTABLISHED"),
)

QUESTIONS = (
    Question(
        "What does the client answer to each of the four resets?",
        lambda run: ", ".join(_answers(run)),
        "Silence twice, one challenge, and silence again: to the last one because there is nobody left to "
        "answer.",
    ),
    Question(
        "How many resets does a blind attacker need at most, without RFC 5961 and with it?",
        lambda run: f"{guesses(run):,} with a window of {window(run):,}; with it {NUMBERS:,}",
        "Where anything within the window is good enough, one guess in each window is. On average half of "
        "them will do. With RFC 5961 the size of the window does not matter any more.",
    ),
    Question(
        "How long does it take to send so many, at 10 Mbit/s?",
        lambda run: f"{_span(guesses(run))} without RFC 5961, {_span(NUMBERS)} with it",
        "A reset is 40 octets long. And RCV.NXT moves whenever the peer says something, so a number that was "
        "wrong when it was tried may be the right one a moment later.",
    ),
)


def _in_window(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    stage.server.accept()
    stage.settle()
    stage.forge("client", "RST", seq=1000)
    stage.settle()


def _judge(run: Run) -> str | None:
    found = run.variable(0, "RCV.WND", step=run.forged()[0].number - 1)
    needed = -(-NUMBERS // found)
    return None if needed >= 65_000 else f"With a window of {found:,}, {needed:,} resets are enough."


EXERCISE = Exercise(
    "Change a rule so that a blind attacker would need 65,000 resets even if the client were not to follow "
    "RFC 5961.",
    _in_window,
    _judge,
    {"rmem": 65_536},
)
