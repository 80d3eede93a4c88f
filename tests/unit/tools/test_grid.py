"""The grid in virtual time: every cell has an answer, that of RFC 9293 section 3.10.7."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from xsocket.state import State
from xsocket_tools.grid.cells import STATES, Cell, LostStepError, Outcome, ask, cells
from xsocket_tools.grid.command import grid
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.engine import EngineTarget
from xsocket_tools.grid.report import ATTEMPTS, Compared, answers, persistently

ALL = {answer.cell: answer for answer in answers(cells())}


def outcome(state: State, segment: str, sequence: str = "next", acknowledgment: str = "good") -> str:
    return str(ALL[Cell(state, segment, sequence, acknowledgment)].outcome)


def test_the_grid_is_whole() -> None:
    assert len(ALL) == 11 * 9 * 4 * 3
    assert Counter(cell.state for cell in ALL) == dict.fromkeys(STATES, 108)


def test_the_same_question_has_the_same_answer() -> None:
    assert {answer.cell: answer for answer in answers(cells())} == ALL


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.value)
def test_every_reply_and_every_silence_but_processing_cites_a_rule(state: State) -> None:
    """A segment that is neither answered nor dropped was acceptable and said nothing new."""
    for cell, answer in ALL.items():
        if cell.state is state and (answer.outcome.replies or answer.outcome.state is not state):
            assert answer.reasons, cell


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (("CLOSED", "SYN", "next", "good"), "R. seq zero ack 1; CLOSED"),
        (("CLOSED", "ACK", "next", "good"), "R seq 0; CLOSED"),
        (("CLOSED", "RST", "next", "good"), "silence; CLOSED"),
        (("LISTEN", "SYN", "next", "good"), "S. seq ISS ack 1 past the SYN; SYN-RECEIVED"),
        (("LISTEN", "ACK", "next", "good"), "R seq 0; LISTEN"),
        (("SYN-SENT", "SYN+ACK", "next", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("SYN-SENT", "SYN+ACK", "next", "future"), "R seq 1001; SYN-SENT"),
        (("SYN-SENT", "SYN", "next", "good"), "S. seq 0 ack 1; SYN-RECEIVED"),
        (("SYN-SENT", "RST+ACK", "next", "good"), "silence; CLOSED"),
        (("SYN-SENT", "RST", "next", "good"), "silence; SYN-SENT"),
        (("SYN-RECEIVED", "ACK", "next", "good"), "silence; ESTABLISHED"),
        (("SYN-RECEIVED", "SYN", "old", "good"), "S. seq 0 ack 1; SYN-RECEIVED"),
        (("SYN-RECEIVED", "ACK", "next", "future"), "R seq 1001; SYN-RECEIVED"),
        (("ESTABLISHED", "SYN", "in window", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "RST", "in window", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "RST", "next", "good"), "silence; LISTEN"),
        (("ESTABLISHED", "RST", "out of window", "good"), "silence; ESTABLISHED"),
        (("ESTABLISHED", "ACK+data", "next", "good"), ". seq 1 ack 11; ESTABLISHED"),
        (("ESTABLISHED", "ACK+data", "next", "future"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "FIN+ACK", "next", "good"), ". seq 1 ack 2; CLOSE-WAIT"),
        (("FIN-WAIT-1", "ACK", "next", "good"), "silence; FIN-WAIT-2"),
        (("FIN-WAIT-1", "FIN+ACK", "next", "good"), ". seq 2 ack 2; TIME-WAIT"),
        (("FIN-WAIT-2", "FIN+ACK", "next", "good"), ". seq 2 ack 2; TIME-WAIT"),
        (("CLOSING", "ACK", "next", "good"), "silence; TIME-WAIT"),
        (("LAST-ACK", "ACK", "next", "good"), "silence; LISTEN"),
        (("TIME-WAIT", "SYN", "in window", "good"), "S. seq ISS ack 1 past the SYN; SYN-RECEIVED"),
        (("TIME-WAIT", "FIN+ACK", "old", "good"), ". seq 2 ack 2; TIME-WAIT"),
    ],
    ids=str,
)
def test_what_the_rfc_says(cell: tuple[str, str, str, str], expected: str) -> None:
    state, *rest = cell
    assert outcome(State(state), *rest) == expected


def test_no_reset_is_answered_by_a_reset() -> None:
    """RFC 9293 section 3.5.2."""
    for cell, answer in ALL.items():
        if cell.segment in ("RST", "RST+ACK"):
            assert not any(reply.startswith("R") for reply in answer.outcome.replies), cell


def test_no_segment_has_two_answers() -> None:
    assert max(len(answer.outcome.replies) for answer in ALL.values()) == 1


# Differences


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_difference_covers_cells_that_no_other_covers(difference: object) -> None:
    covered = [cell for cell in ALL if [each for each in DIFFERENCES if each.covers(cell)] == [difference]]
    shared = [cell for cell in ALL if sum(each.covers(cell) for each in DIFFERENCES) > 1]
    assert covered
    assert shared == []


def test_verdicts() -> None:
    cell = Cell(State.ESTABLISHED, "ACK", "next", "good")
    one, other = Outcome((), State.ESTABLISHED), Outcome(("R seq 1",), State.CLOSED)
    why = DIFFERENCES[0]
    assert Compared(cell, one, one, None).verdict == "equal"
    assert Compared(cell, one, other, None).verdict == "unexplained"
    assert Compared(cell, one, other, why).verdict == "explained"
    assert Compared(cell, one, one, why).verdict == "unexplained", "a reason for nothing is a wrong reason"


# A target that cannot be led


def test_a_lost_step_is_tried_again() -> None:
    outcomes = iter([LostStepError("once"), LostStepError("twice")])

    def question() -> Outcome:
        error = next(outcomes, None)
        if error is not None:
            raise error
        return Outcome((), State.CLOSED)

    assert persistently(question) == Outcome((), State.CLOSED)


def test_a_target_that_is_never_where_it_should_be_is_an_error() -> None:
    class Stubborn(EngineTarget):
        asked = 0

        def state(self) -> State:
            return State.CLOSED

    def question() -> Outcome:
        Stubborn.asked += 1
        return ask(Stubborn(), Cell(State.ESTABLISHED, "ACK", "next", "good"))

    with pytest.raises(LostStepError, match="CLOSED instead of ESTABLISHED"):
        persistently(question)
    assert Stubborn.asked == ATTEMPTS


# The command


def test_the_command_prints_a_table_for_each_state() -> None:
    result = CliRunner().invoke(grid, [])
    assert result.exit_code == 0
    assert all(state.value in result.output for state in STATES)


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(grid, ["--json", "--state", "listen", "--segment", "SYN"])
    found = json.loads(result.output)
    assert found["cells"] == 12
    assert {entry["after"] for entry in found["grid"]} == {"SYN-RECEIVED"}
    assert {tuple(entry["rules"])[-1] for entry in found["grid"]} == {"3.10.7.2 third"}


def test_the_command_knows_its_states() -> None:
    result = CliRunner().invoke(grid, ["--state", "DAYDREAM"])
    assert result.exit_code == 2
    assert "DAYDREAM" in result.output
