"""The exploration: nothing is wrong within its scopes, it goes everywhere, and it finds what is planted."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

import pytest
from click.testing import CliRunner

from support.documents import Shown, assert_printed
from xsocket.actions import Action, Send
from xsocket.segment import ACK, RST, Segment
from xsocket.seqnum import add
from xsocket.state import State, Trigger
from xsocket.tcp import guards, output, receiver, transition
from xsocket.tcp.options import Parsed
from xsocket.tcp.table import TABLE, Move
from xsocket.tcp.tcb import Tcb
from xsocket_tools.cli import main
from xsocket_tools.exploration import end as end_module
from xsocket_tools.exploration.coverage import missing
from xsocket_tools.exploration.end import Call, End, Stimulus, Wait
from xsocket_tools.exploration.identity import identity
from xsocket_tools.exploration.scopes import SCOPES
from xsocket_tools.exploration.search import Findings, explore
from xsocket_tools.exploration.silence import Edges, ends
from xsocket_tools.exploration.whole import Choice, Kind, World

LOSSES: Final = {"client-server": 2, "simultaneous": 2, "crash": 2, "late": 1, "text": 1, "reopen": 1}
"""How far each scope is explored here: what fits into half a minute."""
STATES_WITHOUT_FAULTS: Final = 492
"""Of a client and a server on a good path: a change of this number is a change of behaviour."""
WALKS: Final = 100
"""How many random walks are compared, in each scope, with stacks that nobody copies."""


@pytest.fixture(scope="module")
def everything() -> dict[str, Findings]:
    return {name: explore(scope, LOSSES[name]) for name, scope in SCOPES.items()}


@pytest.mark.parametrize("name", SCOPES)
def test_nothing_is_wrong_anywhere(
    everything: dict[str, Findings], name: str, record_property: Callable[[str, object], None]
) -> None:
    found = everything[name]
    record_property(f"explored {name}", f"{found.states:,} distinct global states, faults: {found.losses}")
    violation = found.violation
    assert violation is None, violation
    assert found.complete


def test_without_faults_three_scopes_are_the_same() -> None:
    counted = {name: explore(SCOPES[name], 0).states for name in ("client-server", "crash", "late")}
    assert counted == dict.fromkeys(counted, STATES_WITHOUT_FAULTS)


def test_every_state_is_reached_at_both_ends(everything: dict[str, Findings]) -> None:
    pairs = everything["simultaneous"].pairs
    states = set(State) - {State.LISTEN}
    assert {a for a, _ in pairs} == {b for _, b in pairs} == states


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param((State.SYN_SENT, State.SYN_SENT), id="the SYNs cross"),
        pytest.param((State.SYN_RECEIVED, State.SYN_RECEIVED), id="simultaneous open"),
        pytest.param((State.ESTABLISHED, State.ESTABLISHED), id="open"),
        pytest.param((State.FIN_WAIT_1, State.FIN_WAIT_1), id="the FINs cross"),
        pytest.param((State.FIN_WAIT_2, State.CLOSE_WAIT), id="half-closed"),
        pytest.param((State.CLOSING, State.CLOSING), id="simultaneous close"),
        pytest.param((State.TIME_WAIT, State.LAST_ACK), id="closed one after the other"),
        pytest.param((State.TIME_WAIT, State.TIME_WAIT), id="closed at once"),
        pytest.param((State.ESTABLISHED, State.CLOSED), id="half-open"),
    ],
)
def test_these_states_meet(everything: dict[str, Findings], pair: tuple[State, State]) -> None:
    assert pair in everything["simultaneous"].pairs


def test_the_pairs_of_a_symmetric_scope_are_symmetric(everything: dict[str, Findings]) -> None:
    pairs = everything["simultaneous"].pairs
    assert {(b, a) for a, b in pairs} == pairs


def test_every_row_that_two_such_ends_can_reach_is_reached(everything: dict[str, Findings]) -> None:
    """Two losses in a row, which it takes to give up on text, are more than fits here."""
    never = missing(row for found in everything.values() for row in found.rows)
    unexplained = {row for row, reason in never.items() if reason == "not within these bounds"}
    assert unexplained == {(State.ESTABLISHED, Trigger.GIVE_UP), (State.CLOSE_WAIT, Trigger.GIVE_UP)}


def test_a_depth_leaves_the_rest_out() -> None:
    found = explore(SCOPES["client-server"], 1, depth=5)
    assert (found.depth, found.complete, found.violation) == (5, False, None)
    assert found.states < explore(SCOPES["client-server"], 1, depth=6).states


# What is remembered of an end is what the end does


@pytest.mark.parametrize("name", SCOPES)
def test_two_stacks_that_nobody_copies_do_the_same(name: str) -> None:
    """An end's identity leaves nothing out: whichever way led there, the next step is the same."""
    for seed in range(WALKS):
        walk(World(SCOPES[name], 2), Random(seed))


def walk(world: World, random: Random) -> None:
    whole = world.beginning()
    live = [End(side, world.scope.listens[side]) for side in (0, 1)]
    while successors := list(world.successors(whole)):
        choice, after, wrong = random.choice(successors)
        assert not wrong
        for side, stimulus in stimuli(world, choice, whole.ends):
            sent = segments(live[side].meet(stimulus))
            live[side].settle()
            expected = after.lines[side][len(whole.lines[side]) :]
            assert sent == [world.behaviour.segments[number] for number in expected]
        assert tuple(world.behaviour.enter(end) for end in live) == after.ends
        whole = after


def stimuli(world: World, choice: Choice, ends: tuple[int, int]) -> Iterator[tuple[int, Stimulus]]:
    if choice.kind is Kind.CALL:
        yield choice.side, Call(choice.what)
    elif choice.kind in (Kind.ARRIVE, Kind.ARRIVE_LATE):
        yield choice.side, world.behaviour.segments[choice.what]
    elif choice.kind is Kind.TIME:
        seconds = min(world.behaviour.standings[end].due_s for end in ends)
        for side in (0, 1):
            yield side, Wait(seconds, bool(choice.what >> side & 1))


def segments(actions: list[Action]) -> list[Segment]:
    return [action.segment for action in actions if isinstance(action, Send)]


def test_ends_are_the_same_whenever_they_were_opened() -> None:
    early, late = End(0, False), End(0, False)
    late.meet(Wait(17.0, fires=False))
    assert segments(early.meet(Call.OPEN)) == segments(late.meet(Call.OPEN))
    assert identity(early) == identity(late)
    early.meet(Wait(0.5, fires=False))
    assert identity(early) != identity(late)


def test_a_connection_that_follows_another_has_other_numbers() -> None:
    end = End(0, False)
    (first,) = segments(end.meet(Call.OPEN))
    end.meet(Call.ABORT)
    end.settle()
    (second,) = segments(end.meet(Call.OPEN))
    assert (first.seq, second.seq) == (0, end_module.GAP)


# Loops


@pytest.mark.parametrize(
    ("edges", "longest", "loop"),
    [
        pytest.param([(0, 1), (0, 2), (1, 2)], 2, set(), id="none"),
        pytest.param([(0, 1), (1, 2), (2, 1), (2, 3)], 1, {1, 2}, id="on the way"),
        pytest.param([(0, 0), (0, 1)], 0, {0}, id="at once"),
    ],
)
def test_loops_are_found(edges: list[tuple[int, int]], longest: int, loop: set[int]) -> None:
    graph = Edges()
    for source, target in edges:
        graph.add(source, target)
    found = ends(4, graph)
    assert (found.longest, set(found.loop)) == (longest, loop)


# Planted faults


def plant_a_wrong_row(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TABLE, (State.FIN_WAIT_1, Trigger.ACK_OF_FIN), Move(State.CLOSED, None, "planted"))


def plant_a_missing_row(patch: pytest.MonkeyPatch) -> None:
    missing_row = (State.CLOSING, Trigger.ACK_OF_FIN)
    patch.setattr(transition, "TABLE", {row: move for row, move in TABLE.items() if row != missing_row})


def plant_a_reset_for_a_reset(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guards, "in_closed", lambda _: None)


def plant_a_reset_beside_the_window(patch: pytest.MonkeyPatch) -> None:
    def reset(tcb: Tcb, _now: float, rule: str) -> Send:
        return output.send(tcb, Segment(add(tcb.snd_nxt, -1), tcb.rcv_nxt, RST | ACK), rule)

    patch.setattr(output, "reset", reset)


def plant_a_timer_that_never_starts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tcb, "start_retransmission", lambda _tcb, _now: None)


def plant_a_fin_without_answer(patch: pytest.MonkeyPatch) -> None:
    """Of a FIN: the peer sends it again, and that is answered, so that only the delay shows."""
    process = receiver.process_text

    def forgetful(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
        process(tcb, now, segment, out)
        tcb.ack_due = None if segment.fin else tcb.ack_due

    patch.setattr(receiver, "process_text", forgetful)


def plant_a_war_of_acknowledgments(patch: pytest.MonkeyPatch) -> None:
    """Every bare ACK is answered by another: what RFC 5961 section 7 limits."""
    judge = guards.in_other_states

    def touchy(tcb: Tcb, now: float, segment: Segment, options: Parsed) -> object:
        bare = segment.flags == ACK and not segment.payload and tcb.state is State.ESTABLISHED
        return Trigger.UNACCEPTABLE if bare else judge(tcb, now, segment, options)

    patch.setattr(guards, "in_other_states", touchy)
    patch.setattr(end_module, "RULES", replace(end_module.RULES, invalid_ratelimit_s=0))


@pytest.mark.parametrize(
    ("plant", "losses", "what", "steps"),
    [
        pytest.param(plant_a_wrong_row, 0, "for no reason", 7, id="a wrong row"),
        pytest.param(plant_a_missing_row, 0, "raises KeyError", 9, id="a missing row"),
        pytest.param(plant_a_reset_for_a_reset, 0, "answers a reset", 6, id="a reset for a reset"),
        pytest.param(plant_a_reset_beside_the_window, 0, "for no reason", 6, id="a reset beside the window"),
        pytest.param(plant_a_timer_that_never_starts, 1, "no timer runs", 2, id="no retransmission"),
        pytest.param(plant_a_fin_without_answer, 0, "had no answer", 7, id="a FIN without an answer"),
        pytest.param(plant_a_war_of_acknowledgments, 1, "go on for ever", 8, id="a war of acknowledgments"),
    ],
)
def test_a_planted_fault_is_found_on_the_shortest_way(
    plant: Callable[[pytest.MonkeyPatch], None],
    losses: int,
    what: str,
    steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    violation = explore(SCOPES["client-server"], losses).violation
    assert violation is not None
    assert what in violation.what
    assert len(violation.story) == steps


# The command


def test_the_command_prints_the_count_of_distinct_global_states() -> None:
    result = CliRunner().invoke(main, ["explore", "--scope", "client-server", "--losses", "0"])
    assert result.exit_code == 0
    assert (
        result.output.splitlines()[-1] == f"{STATES_WITHOUT_FAULTS:,} distinct global states, violations: 0"
    )
    assert "user timeout in SYN-SENT" in result.output


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(
        main, ["explore", "--json", "--depth", "4", "--scope", "late", "--scope", "crash"]
    )
    found = json.loads(result.stdout)
    assert [scope["scope"] for scope in found["scopes"]] == ["late", "crash"]
    assert found["states"] == sum(scope["states"] for scope in found["scopes"])
    assert found["violations"] == 0
    assert all(scope["depth"] == 4 and not scope["complete"] for scope in found["scopes"])
    assert {"state": "LISTEN", "trigger": "CLOSE", "reason": "Admission listens, and no connection"} in found[
        "rows_never_reached"
    ]


@pytest.mark.runs("docs/how-to/explore.md", "text")
def test_the_command_tells_how_to_get_to_what_is_wrong(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    plant_a_timer_that_never_starts(monkeypatch)
    arguments = ["explore", "--scope", "client-server", "--losses", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert_printed(shown.text("text 1"), result.stdout, "the page", all_of_it=False)
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 1
    (scope,) = json.loads(result.stdout)["scopes"]
    assert [line["what"] for line in scope["violation"]["story"]] == [
        "A calls OPEN",
        "lost on its way to B: S seq 0",
    ]
