"""What a flood repeats is told once; nothing else is."""

from __future__ import annotations

import pytest

from support.stories import three_connections
from xsocket import TcpConfig
from xsocket_tools.teaching.engine_stage import EngineStage
from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.story import Kind, Story

PAIR = [Kind.FORGED, Kind.LOST]


def flood(*counts: int, places: int = 100) -> Story:
    """Return the story of floods of so many SYNs, with half a second between them."""
    stage = EngineStage(TcpConfig(max_syn_backlog=places, syn_cookies="never"))
    for count in counts:
        stage.flood(count)
        stage.wait(0.2)
    return stage.story("t")


def kinds(story: Story) -> list[Kind]:
    """Return what the steps are."""
    return [step.kind for step in story.steps]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(1, PAIR, id="one"),
        pytest.param(2, PAIR * 2, id="one more would be no shorter"),
        pytest.param(3, [*PAIR, Kind.REPEATED], id="two more"),
        pytest.param(50, [*PAIR, Kind.REPEATED], id="many"),
    ],
)
def test_those_that_are_alike_are_told_once(count: int, expected: list[Kind]) -> None:
    assert kinds(folded(flood(count))) == expected


def test_the_step_that_tells_them_has_what_is_held_after_all_of_them() -> None:
    story = flood(5)
    first, _, repeated = folded(story).steps
    assert repeated.title == "server: the same 4 times more, 198.51.100.2 to .5"
    assert repeated.tables == story.steps[-1].tables
    assert repeated.connection == first.connection
    assert not any(view.moved for view in repeated.views)
    assert not any(each.changed for view in repeated.views for each in view.variables)
    assert (repeated.packet, repeated.frame, repeated.because) == (None, None, ())


def test_those_that_went_otherwise_are_told_by_themselves() -> None:
    assert kinds(folded(flood(6, places=4))) == [*PAIR, Kind.REPEATED, Kind.FORGED, Kind.FORGED]


def test_steps_are_numbered_without_a_gap_and_in_order() -> None:
    stage = EngineStage(TcpConfig(max_syn_backlog=3, syn_cookies="never", synack_retries=1))
    stage.flood(4)
    stage.client.open()
    stage.wait(4)
    story = folded(stage.story("t"))
    assert [step.number for step in story.steps] == list(range(1, len(story.steps) + 1))
    assert [step.at_s for step in story.steps] == sorted(step.at_s for step in story.steps)
    assert kinds(story).count(Kind.REPEATED) == 3, "the SYNs, the SYN+ACKs that come again, and the end of it"


def test_connections_of_others_are_never_folded() -> None:
    stage = EngineStage(TcpConfig())
    stage.flood(1)
    for _ in range(5):
        stage.client.open(81)
        stage.settle()
    story = stage.story("t")
    assert folded(story) == story


def test_a_story_without_a_flood_stays_as_it_is() -> None:
    story = three_connections()
    assert folded(story) is story
