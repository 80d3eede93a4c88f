"""SYNs come to a stage from addresses that nobody has; the story says so, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from ipaddress import ip_address, ip_network

import pytest
from rich.console import Console

from xsocket import TcpConfig
from xsocket_tools.teaching.console import StoryView
from xsocket_tools.teaching.engine_stage import EngineStage
from xsocket_tools.teaching.errors import LessonBrokenError
from xsocket_tools.teaching.flood import MOST, NOBODYS, Flood
from xsocket_tools.teaching.lesson import Run, play
from xsocket_tools.teaching.report import fragment, ladder_picture, render
from xsocket_tools.teaching.stage import ADDRESSES, PORT, Stage
from xsocket_tools.teaching.story import Kind, Story, Tables

PLACES = 4
NEVER = TcpConfig(max_syn_backlog=PLACES, syn_cookies="never", synack_retries=1)


def flooded(count: int, config: TcpConfig = NEVER) -> EngineStage:
    """Return a stage whose server was flooded, and to which a client has come since."""
    stage = EngineStage(config)
    stage.flood(count)
    stage.client.open()
    stage.settle()
    return stage


def drawn(story: Story) -> str:
    """Return a story as a wide terminal shows it."""
    text = StringIO()
    Console(width=200, file=text).print(StoryView(story))
    return text.getvalue()


def test_no_address_comes_twice_and_all_are_nobodys() -> None:
    flood = Flood()
    made = [*flood.syns(200), *flood.syns(MOST - 200)]
    four_tuples = [four_tuple for four_tuple, _ in made]
    assert four_tuples == flood.four_tuples
    assert len({each.local_address for each in four_tuples}) == MOST == 254
    assert all(ip_address(each.local_address) in ip_network(NOBODYS) for each in four_tuples)
    assert {(each.remote_address, each.remote_port) for each in four_tuples} == {(ADDRESSES["server"], PORT)}
    assert {segment.letters for _, segment in made} == {"S"}


@pytest.mark.parametrize("count", [0, -1, MOST])
def test_a_flood_has_a_beginning_and_an_end(count: int) -> None:
    def overdone(stage: Stage) -> None:
        stage.flood(1)
        stage.flood(count)

    with pytest.raises(LessonBrokenError, match="at least 1, and 254 in all"):
        play(overdone, "engine", {}, title="t")


def test_nobody_answers_and_the_table_fills() -> None:
    story = flooded(PLACES + 1).story("t")
    steps = [step for step in story.steps if step.connection in story.spoofed]
    assert [step.kind for step in steps] == [Kind.FORGED, Kind.LOST] * PLACES + [Kind.FORGED]
    assert [step.title for step in steps[:2]] == [
        "server gets SYN seq 0 from 198.51.100.1, a false address",
        "server sends SYN+ACK seq 0 ack 1 to 198.51.100.1, where nobody is",
    ]
    tables = steps[-1].tables[1]
    assert isinstance(tables, Tables)
    assert tables.half_open == tuple(f"198.51.100.{number}:40000" for number in range(1, PLACES + 1))
    assert all(step.views[0].state is None for step in steps), "the client has no part in it"
    assert story.as_dict()["spoofed"] == list(range(PLACES + 1))


def test_whoever_comes_after_a_flood_is_ignored_until_it_is_given_up() -> None:
    stage = flooded(PLACES)
    assert [note for step in stage.story("t").steps for note in step.notes] == [
        "dropped, HALF_OPEN_FULL: RFC 4987 2.2: half-open table full, SYN ignored"
    ]
    stage.wait(4)
    run = Run(stage.story("t"), "engine")
    assert run.at("SYN") == [0.0, 1.0, 2.0, 3.0]
    assert stage.server.accept() is not None


def test_with_cookies_it_is_served() -> None:
    stage = flooded(PLACES, replace(NEVER, syn_cookies="auto"))
    run = Run(stage.story("t"), "engine")
    assert run.at("SYN") == [0.0]
    last = run.story.steps[-1]
    assert [view.state.value for view in last.views if view.state is not None] == ["ESTABLISHED"] * 2
    tables = last.tables[1]
    assert isinstance(tables, Tables)
    assert len(tables.half_open) == PLACES


def test_segments_between_the_two_hosts_still_arrive() -> None:
    stage = EngineStage(TcpConfig())
    stage.flood(1)
    ours = stage.client.open()
    ours.wait_established()
    theirs = stage.server.accept()
    ours.send(b"hello")
    assert theirs.read() == b"hello"


def test_a_second_flood_goes_on_where_the_first_ended() -> None:
    stage = EngineStage(TcpConfig())
    stage.flood(2)
    stage.flood(1)
    story = stage.story("t")
    assert [each.local_address for each in story.four_tuples] == [f"198.51.100.{n}" for n in (1, 2, 3)]
    assert story.spoofed == (0, 1, 2)


def test_a_story_without_a_flood_names_nobody() -> None:
    stage = EngineStage(TcpConfig())
    stage.client.open().wait_established()
    story = stage.story("t")
    assert story.spoofed == ()
    assert "nobody" not in drawn(story)


def test_a_terminal_shows_one_of_those_that_are_alike_and_names_no_client() -> None:
    text = drawn(flooded(PLACES).story("t"))
    heads = [line for line in text.splitlines() if ":80" in line]
    assert len(heads) == 2
    assert "nobody" in heads[0]
    assert "client (engine)" in heads[1]
    assert "server: the same 3 times more, 198.51.100.2 to .4" in text


@pytest.mark.parametrize("made", [render, fragment, ladder_picture])
def test_pages_tell_it_once_and_how_often_it_came(made: Callable[[Story], str]) -> None:
    page = made(flooded(PLACES).story("t"))
    assert "the same 3 times more, 198.51.100.2 to .4" in page
    assert "to 198.51.100.1, where nobody is" in page
    assert "gets SYN seq 0 from 198.51.100.2" not in page
