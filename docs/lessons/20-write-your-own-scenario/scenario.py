"""Lesson 20: what is asked of scenario.pkt, in which a client connects and the server says hello."""

from pathlib import Path

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.story import Step

SCRIPT = Path(__file__).with_name("scenario.pkt")
SOLUTION = Path(__file__).with_name("solution.pkt")
SCRIPTED, TESTED = 0, 1
"""The ends: the script, and the TCP that it is for."""


def state(step: Step, end: int = TESTED) -> str:
    """Return where an end stands after a step."""
    found = step.views[end].state
    return "nothing" if found is None else found.value


def establishing(run: Run) -> Step:
    """Return the step that establishes the connection at the TCP that is tested."""
    return next(step for step in run.story.steps if step.views[TESTED].moved and state(step) == "ESTABLISHED")


def line_of(run: Run, step: Step) -> tuple[int, str]:
    """Return the line of the script that a segment belongs to, with the segment in the script's notation."""
    packets = [each for each in run.found["outcome"].path if each.text[:1] in "<>"]
    seen = packets[run.sent().index(step)]
    return seen.line, seen.text


EXPECTATIONS = (
    Expectation("the script passes", lambda run: run.found["outcome"].status.value == "passed"),
    Expectation(
        "three segments establish the connection",
        lambda run: run.flags()[:3] == ["SYN", "SYN+ACK", "ACK"] and establishing(run) == run.sent()[2],
    ),
    Expectation(
        "the server's text is acknowledged",
        lambda run: (
            (last := run.sent(SCRIPTED)[-1].packet) is not None and last.flags == "ACK" and last.ack == 6
        ),
    ),
)


def _who(run: Run) -> str:
    written, expected = (", ".join(run.flags(end)) for end in (SCRIPTED, TESTED))
    return f"written: {written}; expected: {expected}"


def _line(run: Run) -> str:
    step = establishing(run)
    line, text = line_of(run, step)
    return f"line {line}: {text}; {step.at_s * 1000:.0f} ms after the SYN"


def _windows(run: Run) -> str:
    windows = [str(step.packet.window) for step in run.sent(TESTED) if step.packet is not None]
    return f"{run.story.ends[TESTED].name} has the windows {', '.join(windows)}"


QUESTIONS = (
    Question(
        "Which segments does the script send, and which does it wait for?",
        _who,
        "A script is one end. It says what comes in, whatever that is; a TCP at its place could only say "
        "what is right.",
    ),
    Question(
        "Which line establishes the connection?",
        _line,
        "The line after it would fail if that were not so: accept returns a connection that is established.",
    ),
    Question(
        "What of the segments that come out is not in the script?",
        _windows,
        "What a line does not mention may be anything. That is how one script suits two TCPs; it should say "
        "what it is about, and no more.",
    ),
)


def _judge(run: Run) -> str | None:
    if run.error:
        return f"It has {run.error}."
    wrong = next((step for step in run.story.steps if _is_wrong_third(step)), None)
    if wrong is None:
        return "No third segment has a wrong acknowledgment number."
    following = run.story.steps[wrong.number :]
    if not any(_is_reset(step) for step in following):
        return "The wrong third segment is not answered by a reset."
    if not any(state(step) == "ESTABLISHED" for step in following):
        return "Afterwards the right third segment does not establish the connection."
    return None if _says_all(run) else "Something comes that no line says; end the script with silence."


def _says_all(run: Run) -> bool:
    """Return whether the script has a line for each segment that came out; a play has none to say it with."""
    outcome = run.found.get("outcome")
    return outcome is None or len(run.sent(TESTED)) == sum(each.text[0] == ">" for each in outcome.path)


def _is_wrong_third(step: Step) -> bool:
    packet = step.packet
    comes = packet is not None and step.end == SCRIPTED and packet.flags == "ACK" and packet.ack != 1
    return comes and state(step) == "SYN-RECEIVED"


def _is_reset(step: Step) -> bool:
    return step.packet is not None and step.end == TESTED and "RST" in step.packet.flags


EXERCISE = Exercise(
    "Let the third segment come twice: first with a wrong acknowledgment number, which is answered by a "
    "reset, and then with the right one, which establishes the connection all the same. The script passes.",
    SCRIPT,
    _judge,
    SOLUTION,
)
