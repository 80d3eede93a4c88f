"""Pictures of the documentation are what the code is, and can be read without being seen."""

import re
from html import unescape
from importlib.util import find_spec
from itertools import pairwise

import code_pictures
import pictures
import pytest
from click.testing import CliRunner

from xsocket.state import State
from xsocket_tools.cli import main
from xsocket_tools.teaching.lesson import lesson, lessons, play
from xsocket_tools.teaching.report import ladder_picture, states_picture


def test_every_module_of_the_engine_stands_in_its_layer() -> None:
    found = code_pictures.layers("xsocket")
    assert found[0] == ["sharing"]
    assert ["runtime", "simulation"] in found
    assert all(find_spec(f"xsocket.{name}") for layer in found for name in layer)


@pytest.mark.parametrize("container", ["", "xsocket", "xsocket.tcp"])
def test_layers_are_drawn_and_said(container: str) -> None:
    picture = code_pictures.layers_picture(container)
    names = [name for layer in code_pictures.layers(container) for name in layer]
    assert re.findall(r'<text class="named middle".*?>(.*?)</text>', picture) == names
    assert re.findall(r"<li><code>(.*?)</code>: \S", picture) == names


def test_layers_that_nobody_agreed_on_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="layers of xsocket_netns"):
        code_pictures.layers("xsocket_netns")


def test_the_path_of_a_frame_leads_from_the_host_through_the_machine_to_the_claim() -> None:
    path = code_pictures.frame_path()
    ways = [f"{call.module} {call.function}" for call in path]
    assert ways[0] == "host Host.receive"
    wanted = [
        *("wire.ingress Ingress.classify", "stack Stack.receive", "tcp.arrival receive_segment"),
        *("tcp.transition move", "pool ConnectionPool.put", "waiting Claims.first_for"),
    ]
    assert [way for way in ways if way in wanted] == wanted
    assert all(later.depth <= call.depth + 1 for call, later in pairwise(path))
    assert path == code_pictures.frame_path()


def test_the_path_of_a_frame_is_drawn_and_said() -> None:
    picture = code_pictures.frame_path_picture()
    said = [call.module for call in code_pictures.frame_path()]
    assert re.findall(r'<text class="named strong middle".*?>(.*?)</text>', picture) == said
    assert re.findall(r"<li>(?:- )*<code>(.*?)</code>", picture) == said


def test_the_state_diagram_has_every_state_and_a_description() -> None:
    picture = states_picture()
    assert set(re.findall(r'<text class="named middle".*?>(.*?)</text>', picture)) == {
        state.value for state in State
    }
    assert 'role="img" aria-label="State diagram of RFC 9293: 11 states' in picture
    assert "<title>SYN</title>" in picture


def test_a_ladder_has_each_step_in_words_and_asks_for_nothing() -> None:
    first = lesson(1)
    story = play(first.play, "engine", first.rules, title=first.title).story
    picture = ladder_picture(story)
    said = [unescape(each) for each in re.findall(r"<li>[^:]*: (.*?)</li>", picture)]
    assert [step.title for step in story.steps] == [each.partition("; ")[0] for each in said]
    assert f"client (engine) on the left, server (engine) on the right, {len(story.steps)} steps" in picture
    assert not re.search(r"https?:|<script|style=|url\(", picture)


def test_pictures_follow_the_choice_between_light_and_dark() -> None:
    style = pictures.style()
    inks = re.findall(r"([^{}]*)\{[^{}]*--ink: (#\w+)", style)
    light, chosen, system = (ink for _, ink in inks)
    assert chosen == system != light
    assert [selector.split()[-2:] for selector, _ in inks[1:]] == [
        ["body[data-theme=dark]", ".picture"],
        ["body:not([data-theme=light])", ".picture"],
    ]
    used, known = set(re.findall(r"var\((--\w+)\)", style)), set(re.findall(r"(--\w+):", style))
    assert used <= known


@pytest.mark.parametrize("number", [each.number for each in lessons()])
def test_a_lesson_shows_its_ladder_on_its_page_and_not_in_the_terminal(number: int) -> None:
    assert f"```{{lesson-ladder}} {number}\n```\n" in lesson(number).text
    shown = CliRunner().invoke(main, ["lesson", "show", str(number)])
    assert "What to look for" in shown.output
    assert "lesson-" not in shown.output
