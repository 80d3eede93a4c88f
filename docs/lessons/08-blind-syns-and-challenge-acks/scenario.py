"""Lesson 8: SYNs that the peer never sent, in a connection that both ends have."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage


def play(stage: Stage) -> None:
    """Forge three SYNs for the server, the second one soon after the first; then let the client speak."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    stage.settle()
    stage.forge("server", "SYN", seq=1000)
    stage.settle()
    stage.forge("server", "SYN", seq=1000)
    stage.settle()
    stage.wait(0.5)
    stage.forge("server", "SYN", seq=-100_000)
    stage.settle()
    client.send(b"Did anything happen?")
    server.read()
    stage.settle()


def answers(run: Run) -> list[str]:
    """Return what the server answers to each forged SYN."""
    found = (run.answer(step) for step in run.forged())
    return ["silence" if answer is None else answer.flags for answer in found]


def _numbers(run: Run) -> list[tuple[int, int | None]]:
    """Return both numbers of each challenge ACK, as they stand on the wire."""
    found = (run.answer(step) for step in run.forged())
    return [(answer.absolute_seq, answer.absolute_ack) for answer in found if answer is not None]


def _expected(run: Run) -> tuple[int, int]:
    """Return SND.NXT and RCV.NXT of the server when the first SYN came."""
    at = run.forged()[0].number - 1
    return (
        run.variable(1, "SND.NXT", step=at, absolute=True),
        run.variable(1, "RCV.NXT", step=at, absolute=True),
    )


def _since_forged(run: Run) -> list[str]:
    """Return what the client sent from the first forged SYN on."""
    first = run.forged()[0].number
    return [step.packet.flags for step in run.sent(0) if step.number > first and step.packet is not None]


EXPECTATIONS = (
    Expectation("a SYN in the window gets a challenge ACK", lambda run: answers(run)[0] == "ACK"),
    Expectation("a SYN outside the window gets one, too", lambda run: answers(run)[2] == "ACK"),
    Expectation(
        "the one that comes too soon after the first gets none", lambda run: answers(run)[1] == "silence"
    ),
    Expectation(
        "each challenge ACK has SND.NXT and RCV.NXT of the server, and nothing of the SYN",
        lambda run: _numbers(run) == [_expected(run)] * 2,
    ),
    Expectation(
        "the client answers none of them, and goes on where it was",
        lambda run: _since_forged(run) == ["PSH+ACK"],
    ),
    Expectation(
        "both ends are established from then to the end",
        lambda run: (
            run.states(0)[-1] == run.states(1)[-1] == "ESTABLISHED"
            and not any(step.views[1].moved for step in run.forged())
        ),
    ),
)


def _told(run: Run) -> str:
    forged = run.forged()[0].packet
    assert forged is not None
    _, ack = _numbers(run)[0]
    return f"the SYN has {forged.absolute_seq:,}, the challenge ACK acknowledges up to {ack:,}"


def _too_soon(run: Run) -> str:
    first, second, third = (step.at_s for step in run.forged())
    return f"{second - first:.1f} s after the first; the third one comes after {third - first:.1f} s"


QUESTIONS = (
    Question(
        "What does the server answer to each of the three SYNs?",
        lambda run: ", ".join(answers(run)),
        "Where the number lies makes no difference: RFC 5961 section 4 asks for a challenge ACK in any case.",
    ),
    Question(
        "Which number has the first SYN, and which does the challenge ACK acknowledge?",
        _told,
        "The server does not believe the SYN, so it does not acknowledge it either. It repeats what it has "
        "said before: to the true peer that is a duplicate, of which it takes no notice.",
    ),
    Question(
        "How long after the first SYN does the one come that gets no answer?",
        _too_soon,
        "The limit is half a second: `invalid_ratelimit_s`, in Linux `tcp_invalid_ratelimit`.",
    ),
)


def _three_in_a_row(stage: Stage) -> None:
    client = stage.client.open()
    client.wait_established()
    stage.server.accept()
    stage.settle()
    for seq in (1000, 2000, 3000):
        stage.forge("server", "SYN", seq=seq)
        stage.wait(0.1)


def _judge(run: Run) -> str | None:
    silent = answers(run).count("silence")
    return None if not silent else f"{silent} of {len(answers(run))} SYNs got no answer."


EXERCISE = Exercise(
    "Three SYNs arrive one after the other, and only the first one is answered. Change a rule so that the "
    "server answers each of them.",
    _three_in_a_row,
    _judge,
    {"invalid_ratelimit_s": 0},
)
