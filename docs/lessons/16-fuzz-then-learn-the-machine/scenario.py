"""Lesson 16: a TCP is fuzzed, the finding acted out with both ends, and the TCP's state machine learned."""

from xsocket_tools.fuzzing.export.words import operation_text
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.learning.differences import Difference, compare
from xsocket_tools.learning.machine import load
from xsocket_tools.teaching.experiments import act_out, fuzz, learn
from xsocket_tools.teaching.lesson import Exercise, Expectation, Found, Question, Run
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.story import Step

SEED, CASES = 1, 200
"""Of the fuzzer: the same cases each time."""
RIGHT = "engine-server-basic"
"""The machine of the engine without a bug, which is stored."""


def play(stage: Stage) -> Found:
    """Fuzz the TCP of this stage, learn its machine, and act out what the fuzzer found."""
    fuzzed = fuzz(stage, seed=SEED, cases=CASES)
    finding = fuzzed.smallest
    if finding is None:
        return Found({}, (f"{CASES} cases of seed {SEED}: no findings.",))
    differences = compare(load(RIGHT), learn(stage)).differences
    stage.lose("S.")
    act_out(stage, finding.case)
    stage.wait(1.2)
    return Found(
        {"finding": finding, "times": finding.times, "before": fuzzed.before, "differences": differences},
        (
            f"The fuzzer: {_cases(finding)}: {_operations(finding)}.",
            f"Expected was {finding.violation.expected}; this came: {finding.violation.got}.",
            *(f"The machine: {_row(each)}." for each in differences),
        ),
    )


def _cases(finding: Finding) -> str:
    return f"{finding.times} of {CASES} cases break {finding.violation.rule.where}"


def _operations(finding: Finding) -> str:
    return "; ".join(operation_text(each) for each in finding.case.operations)


def _row(found: Difference) -> str:
    """Return a word that tells two machines apart, with what either answers to its last letter."""
    right, other = (f"{moves[-1].output} then {moves[-1].to}" for moves in (found.first, found.second))
    return f"{', '.join(found.word)}: {right}; here {other}"


def forged(run: Run) -> Step:
    """Return the step in which the finding shows."""
    (step,) = run.forged()
    return step


def state(step: Step, end: int) -> str:
    """Return where an end stands after a step."""
    found = step.views[end].state
    return "nothing" if found is None else found.value


def after(run: Run, end: int) -> list[str]:
    """Return where an end stands after each step that follows the finding."""
    return [state(step, end) for step in run.story.steps[forged(run).number :]]


def same(run: Run) -> list[Difference]:
    """Return the differences of the two machines that the finding is one of: its state, and its rule."""
    finding = run.found["finding"]
    return [
        each
        for each in run.found["differences"]
        if each.states[0] == finding.violation.state.value
        and each.rule.section == finding.violation.rule.where
    ]


EXPECTATIONS = (
    Expectation(
        "two operations are left of the case that showed the finding, and of more before",
        lambda run: len(run.found["finding"].case.operations) == 2 < run.found["before"],
    ),
    Expectation(
        "the finding is about a half-open connection",
        lambda run: run.found["finding"].violation.state.value == "SYN-RECEIVED",
    ),
    Expectation(
        "the machine differs where the finding is, and nowhere else",
        lambda run: same(run) and same(run) == run.found["differences"],
    ),
    Expectation(
        "with the bug a wrong acknowledgment establishes the server, and its client never is",
        lambda run: (
            state(forged(run), 1) == "ESTABLISHED"
            and "ESTABLISHED" not in run.states(0)
            and run.answer(forged(run)) is None
        ),
        ("engine",),
    ),
    Expectation(
        "Linux answers another SYN by a reset, and the client's next SYN finds it listening",
        lambda run: (
            (answer := run.answer(forged(run))) is not None
            and answer.flags == "RST+ACK"
            and run.states(0)[-1] == run.states(1)[-1] == "ESTABLISHED"
        ),
        ("kernel",),
    ),
)


def _left(run: Run) -> str:
    finding = run.found["finding"]
    return f"{len(finding.case.operations)} of {run.found['before']}: {_operations(finding)}"


def _both(run: Run) -> str:
    step = forged(run)
    answer = run.answer(step)
    sent = "nothing" if answer is None else str(answer)
    return (
        f"the client in {state(step, 0)}, the server in {state(step, 1)}, which answers with {sent}; "
        f"in the end {after(run, 0)[-1]} and {after(run, 1)[-1]}"
    )


QUESTIONS = (
    Question(
        "How many operations are left of the first case that showed the finding?",
        _left,
        "A case that was found by chance holds much that does not matter. What is left after shrinking "
        "matters, all of it: without one of them the rule holds.",
    ),
    Question(
        "Where do both ends stand once the last of them has arrived?",
        _both,
        "A finding says which rule is broken. What that is worth to whom, only both ends together show.",
    ),
    Question(
        "Which words tell its machine from that of the engine without a bug?",
        lambda run: "; ".join(_row(each) for each in same(run)),
        "The same thing once more, found without any oracle: the learner knows no rule. It has asked for "
        "everything that these letters can say, so it also says what is not wrong.",
    ),
)


def half_open(stage: Stage) -> None:
    """Open a connection; the client gets no answer."""
    stage.lose("S.", count=9)
    stage.client.open()
    stage.settle()


def _judge(run: Run) -> str | None:
    for step in run.forged():
        before, after = step.views[1].before, step.views[1].state
        if before is not None and before.value == "SYN-RECEIVED" and state(step, 1) == "CLOSE-WAIT":
            return None
        if before is not after and after is not None and before is not None:
            return f"The forged segment brings the server from {before.value} to {after.value}."
    return "No forged segment moves the server."


def _solution(stage: Stage) -> None:
    half_open(stage)
    stage.forge("server", "FIN+ACK", seq=0)
    stage.settle()


EXERCISE = Exercise(
    "The client gets no answer. Let one forged segment bring the server from SYN-RECEIVED to CLOSE-WAIT; the "
    "learned machine says which one does.",
    half_open,
    _judge,
    _solution,
)
