"""The grid in virtual time: every cell has an answer, that of RFC 9293 section 3.10.7."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from xsocket.segment import ACK, FIN, Segment
from xsocket.state import State, Trigger
from xsocket.tcp.table import TABLE
from xsocket_netns import PrivilegeError
from xsocket_tools.cli import main
from xsocket_tools.grid import command
from xsocket_tools.grid.cells import STATES, Cell, LostStepError, Outcome, Reply, Talk, ask, cells
from xsocket_tools.grid.command import grid
from xsocket_tools.grid.differences import DIFFERENCES, Difference
from xsocket_tools.grid.engine import EngineTarget
from xsocket_tools.grid.notation import in_words, patches
from xsocket_tools.grid.report import ATTEMPTS, Compared, answers, differences_of, persistently, rows_of

ALL = {answer.cell: answer for answer in answers(cells())}
OUTCOMES = {cell: answer.outcome for cell, answer in ALL.items()}


def outcome(state: State, segment: str, sequence: str = "next", acknowledgment: str = "good") -> str:
    return str(ALL[Cell(state, segment, sequence, acknowledgment)].outcome)


def test_the_grid_is_whole() -> None:
    assert len(ALL) == 11 * 9 * 4 * 3
    assert Counter(cell.state for cell in ALL) == dict.fromkeys(STATES, 108)


def test_the_same_question_has_the_same_answer() -> None:
    assert {answer.cell: answer for answer in answers(cells())} == ALL


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.value)
def test_every_outcome_cites_a_rule(state: State) -> None:
    assert [cell for cell, answer in ALL.items() if cell.state is state and not answer.reasons] == []


def test_every_move_that_a_segment_makes_is_in_the_grid() -> None:
    """Of those that a peer without text, cookies and an absent user can bring about."""
    calls_and_timers = set(list(Trigger)[:4]) | set(list(Trigger)[list(Trigger).index(Trigger.GIVE_UP) :])
    elsewhere = calls_and_timers | {Trigger.ACK_OF_COOKIE, Trigger.TEXT_FOR_NOBODY}
    by_segment = {
        (start, move.to)
        for (start, trigger), move in TABLE.items()
        if trigger not in elsewhere and move.to is not start
    }
    # The grid says LISTEN of a half-open connection that is given up: so does the RFC.
    seen = {(cell.state, outcome.state) for cell, outcome in OUTCOMES.items()}
    assert by_segment - seen == {(State.SYN_RECEIVED, State.CLOSED)}
    assert (State.SYN_RECEIVED, State.LISTEN) in seen


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (("CLOSED", "SYN", "next", "good"), "R. seq zero ack 1; CLOSED"),
        (("CLOSED", "ACK", "next", "good"), "R seq 1; CLOSED"),
        (("CLOSED", "SYN+FIN", "next", "good"), "R. seq zero ack 2; CLOSED"),
        (("CLOSED", "RST", "next", "good"), "silence; CLOSED"),
        (("LISTEN", "SYN", "next", "good"), "S. seq 0 ack 1; SYN-RECEIVED"),
        (("LISTEN", "ACK", "next", "good"), "R seq 1; LISTEN"),
        (("SYN-SENT", "SYN+ACK", "next", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("SYN-SENT", "SYN+ACK", "next", "future"), "R seq 1001; SYN-SENT"),
        (("SYN-SENT", "SYN", "next", "good"), "S. seq 0 ack 1; SYN-RECEIVED"),
        (("SYN-SENT", "RST+ACK", "next", "good"), "silence; CLOSED"),
        (("SYN-SENT", "RST", "next", "good"), "silence; SYN-SENT"),
        (("SYN-RECEIVED", "ACK", "next", "good"), "silence; ESTABLISHED"),
        (("SYN-RECEIVED", "RST", "next", "good"), "silence; LISTEN"),
        (("SYN-RECEIVED", "SYN", "old", "good"), "S. seq 0 ack 1; SYN-RECEIVED"),
        (("SYN-RECEIVED", "ACK", "next", "future"), "R seq 1001; SYN-RECEIVED"),
        (("ESTABLISHED", "SYN", "in window", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "RST", "in window", "good"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "RST", "next", "good"), "silence; CLOSED"),
        (("ESTABLISHED", "RST", "out of window", "good"), "silence; ESTABLISHED"),
        (("ESTABLISHED", "ACK+data", "next", "good"), ". seq 1 ack 2; ESTABLISHED"),
        (("ESTABLISHED", "ACK+data", "next", "future"), ". seq 1 ack 1; ESTABLISHED"),
        (("ESTABLISHED", "FIN+ACK", "next", "good"), ". seq 1 ack 2; CLOSE-WAIT"),
        (("FIN-WAIT-1", "ACK", "next", "good"), "silence; FIN-WAIT-2"),
        (("FIN-WAIT-1", "FIN+ACK", "next", "good"), ". seq 2 ack 2; TIME-WAIT"),
        (("FIN-WAIT-1", "FIN+ACK", "next", "old"), ". seq 2 ack 2; CLOSING"),
        (("FIN-WAIT-2", "FIN+ACK", "next", "good"), ". seq 2 ack 2; TIME-WAIT"),
        (("CLOSING", "ACK", "next", "good"), "silence; TIME-WAIT"),
        (("LAST-ACK", "ACK", "next", "good"), "silence; CLOSED"),
        (("TIME-WAIT", "SYN", "in window", "good"), "S. seq 0 ack 103; SYN-RECEIVED"),
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
            assert not any("R" in reply.letters for reply in answer.outcome.replies), cell


def test_no_segment_has_two_answers() -> None:
    assert max(len(answer.outcome.replies) for answer in ALL.values()) == 1


# Differences


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_difference_covers_cells_that_no_other_covers(difference: object) -> None:
    covered = [cell for cell in ALL if [each for each in DIFFERENCES if each.covers(cell)] == [difference]]
    shared = [cell for cell in ALL if sum(each.covers(cell) for each in DIFFERENCES) > 1]
    assert covered
    assert shared == []


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_linux_differs_in_every_cell_that_a_difference_covers(difference: Difference) -> None:
    covered = [cell for cell in ALL if difference.covers(cell)]
    assert [cell for cell in covered if difference.linux(cell) == OUTCOMES[cell]] == []


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_the_lines_of_a_difference_have_all_of_its_cells(difference: Difference) -> None:
    lines = differences_of(difference, OUTCOMES)
    shown = Counter(cell for line in lines for cell in line.patch.cells)
    assert shown == Counter(cell for cell in ALL if difference.covers(cell))


def test_verdicts() -> None:
    cell = Cell(State.TIME_WAIT, "ACK", "next", "future")
    why = next(each for each in DIFFERENCES if each.covers(cell))
    silent = Outcome((), State.TIME_WAIT)
    acknowledged = Outcome((Reply(".", 2, 2),), State.TIME_WAIT)
    gone = Outcome((), State.CLOSED)
    assert why.linux(cell) == silent
    assert Compared(cell, silent, silent, None).verdict == "equal"
    assert Compared(cell, acknowledged, silent, None).verdict == "unexplained"
    assert Compared(cell, acknowledged, silent, why).verdict == "explained"
    assert Compared(cell, silent, silent, why).verdict == "unexplained", (
        "a reason for nothing is a wrong reason"
    )
    assert Compared(cell, acknowledged, gone, why).verdict == "unexplained", (
        "not what the reason says of Linux"
    )


# For people


def test_the_lines_of_the_grid_have_every_cell_once() -> None:
    rows = rows_of(ALL.values())
    assert Counter(cell for row in rows for cell in row.patch.cells) == Counter(list(ALL))
    for row in rows:
        assert {(in_words(cell, OUTCOMES[cell]), ALL[cell].reasons) for cell in row.patch.cells} == {
            (row.reply, row.rules)
        }


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (("CLOSED", "SYN+FIN", "old", "old"), "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"),
        (("LISTEN", "ACK", "next", "future"), "<SEQ=SEG.ACK><CTL=RST>"),
        (("LISTEN", "SYN", "in window", "good"), "<SEQ=ISS><ACK=SEG.SEQ+1><CTL=SYN,ACK>"),
        (("SYN-SENT", "SYN+ACK", "in window", "good"), "<SEQ=SND.NXT><ACK=SEG.SEQ+1><CTL=ACK>"),
        (("SYN-RECEIVED", "SYN", "old", "good"), "<SEQ=ISS><ACK=SEG.SEQ+1><CTL=SYN,ACK>"),
        (("ESTABLISHED", "RST", "in window", "good"), "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>"),
        (("ESTABLISHED", "FIN+ACK", "next", "good"), "<SEQ=SND.NXT><ACK=RCV.NXT+1><CTL=ACK>"),
        (("ESTABLISHED", "RST", "next", "good"), "-"),
    ],
    ids=str,
)
def test_replies_are_in_the_notation_of_the_rfc(cell: tuple[str, str, str, str], words: str) -> None:
    state, *rest = cell
    asked = Cell(State(state), *rest)
    assert in_words(asked, OUTCOMES[asked]) == words


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.value)
def test_every_number_has_a_name(state: State) -> None:
    words = [in_words(cell, outcome) for cell, outcome in OUTCOMES.items() if cell.state is state]
    assert [text for text in words if any(f"={digit}" in text for digit in "-123456789")] == []


def test_a_number_without_a_name_shows_as_it_is() -> None:
    cell = Cell(State.ESTABLISHED, "ACK", "next", "good")
    strange = Outcome((Reply("P.", 77, -5, 3),), State.ESTABLISHED)
    assert in_words(cell, strange) == "<SEQ=77><ACK=-5><DATA=3><CTL=PSH,ACK>"
    assert str(strange) == "P. seq 77 ack -5 len 3; ESTABLISHED"


def test_cells_that_look_the_same_are_put_together() -> None:
    some = [cell for cell in ALL if cell.state is State.LISTEN and cell.segment == "ACK"]

    def look(cell: Cell) -> bool:
        return cell.sequence == "old" and cell.acknowledgment != "good"

    labels = [(patch.sequences, patch.acknowledgments, look(patch.cells[0])) for patch in patches(some, look)]
    assert labels == [
        ("next, in window, out of window", "any", False),
        ("old", "good", False),
        ("old", "old, future", True),
    ]


# Talks


def test_a_talk_goes_on_after_its_state_is_reached() -> None:
    target = EngineTarget()
    talk = Talk(target)
    talk.lead_to(State.FIN_WAIT_1)
    assert [str(reply) for reply in talk.say(FIN | ACK, talk.seq, talk.ack - 1)] == [". seq 2 ack 2"]
    assert target.state() is State.CLOSING
    assert talk.say(ACK, 2, talk.ack) == ()
    assert target.state() is State.TIME_WAIT


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

        def inject(self, segment: Segment) -> list[Segment]:
            del segment
            return []

    def question() -> Outcome:
        Stubborn.asked += 1
        return ask(Stubborn(), Cell(State.ESTABLISHED, "ACK", "next", "good"))

    with pytest.raises(LostStepError, match="nothing instead of ESTABLISHED"):
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
    assert {tuple(entry["rules"])[-1] for entry in found["grid"]} == {"RFC 9293 3.10.7.2 third"}
    assert {tuple(entry["replies"][0].items())[:2] for entry in found["grid"]} == {
        (("letters", "S."), ("seq", 0))
    }


def test_the_command_knows_its_states() -> None:
    result = CliRunner().invoke(grid, ["--state", "DAYDREAM"])
    assert result.exit_code == 2
    assert "DAYDREAM" in result.output


def test_without_namespaces_the_command_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PrivilegeError("no namespaces here", remedy="Ask for some.")

    monkeypatch.setattr(command, "ensure_privileges", refuse)
    result = CliRunner().invoke(main, ["grid", "--against", "kernel"])
    assert result.exit_code == 1
    assert result.output.splitlines() == ["error: no namespaces here", "remedy: Ask for some."]
