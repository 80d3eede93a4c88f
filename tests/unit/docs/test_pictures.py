"""Pictures of the documentation are what the code is, and can be read without being seen."""

import re
from collections import Counter
from html import unescape
from importlib.util import find_spec
from itertools import pairwise

import code_pictures
import designs
import pictures
import pytest
from click.testing import CliRunner

from support.documents import Shown
from support.markdown import ROOT
from xsocket.state import State
from xsocket.tcp import syncookies
from xsocket_tools.cli import main
from xsocket_tools.teaching.lesson import lesson, lessons, play
from xsocket_tools.teaching.report import ladder_picture, states_picture


@pytest.mark.runs("README.md", "text 2")
def test_the_designs_in_the_readme_are_those_of_the_documentation(shown: Shown) -> None:
    (block,) = shown.blocks()
    assert block.text == designs.as_text()


def test_the_designs_are_drawn_and_said() -> None:
    picture = designs.picture()
    drawn = re.findall(r"<text .*?>(.*?)</text>", picture)
    (said,) = re.findall(r'<svg .*?aria-label="(.*?)"', picture)
    for each in designs.DESIGNS:
        words = [each.name, *each.queues, each.calls, *each.workers, *each.means]
        assert Counter(words) <= Counter(drawn)
        assert all(word in said for word in words)


def test_what_the_page_of_limits_says_of_cookies_is_what_they_are() -> None:
    page = (ROOT / "docs/explanation/limits.md").read_text()
    *most, largest = map(str, syncookies.MSS_VALUES)
    assert f"The MSS is rounded down to {', '.join(most)} or {largest} octets." in page
    assert len(syncookies.MSS_VALUES) == 8
    assert "index of the peer's MSS, one of eight" in page
    assert f"Each period of {syncookies.PERIOD_S} seconds" in page


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
