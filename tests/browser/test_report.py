"""The page of a story in a browser: it is stepped through, and is usable by everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import stories
from support.accessibility import violations
from xsocket_tools.teaching.report import fragment, write_report
from xsocket_tools.teaching.story import Story

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
STORIES = [
    pytest.param(stories.lost_syn_ack(), id="a lost SYN+ACK"),
    pytest.param(stories.three_connections(), id="three connections"),
    pytest.param(stories.captured(), id="captured"),
    pytest.param(stories.hostile(), id="hostile"),
]
IS_CURRENT = """number => {
    const shown = [...document.querySelectorAll("article.step")].filter(each => each.checkVisibility());
    const rungs = [...document.querySelectorAll("[aria-current=step]")];
    return location.hash === `#step=${number}`
        && shown.length === 1 && shown[0].querySelector(".count").textContent === String(number)
        && rungs.length === 1 && rungs[0].getAttribute("href") === `#step=${number}`
        && document.getElementById("said").textContent.startsWith(`Step ${number} of `);
}"""


@pytest.fixture(scope="module")
def story() -> Story:
    return stories.lost_syn_ack()


@pytest.fixture
def path(tmp_path: Path, story: Story) -> Path:
    """Where the page of the story is."""
    written = tmp_path / "story.html"
    write_report(story, written)
    return written


def wait_for_step(page: Page, number: int) -> None:
    page.wait_for_function(IS_CURRENT, arg=number)


def test_keys_step_through_it(visit: Visit, path: Path, story: Story) -> None:
    page = visit(path)
    last = len(story.steps)
    for key, number in (
        *(("ArrowRight", 2), ("ArrowDown", 3), ("ArrowLeft", 2), ("ArrowUp", 1)),
        *(("End", last), ("ArrowRight", last), ("ArrowUp", last - 1), ("Home", 1), ("ArrowDown", 2)),
    ):
        page.keyboard.press(key)
        wait_for_step(page, number)


def test_keys_with_modifiers_are_the_browsers(visit: Visit, path: Path) -> None:
    page = visit(path, fragment="#step=3")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    wait_for_step(page, 4)


def test_buttons_step_through_it(visit: Visit, path: Path, story: Story) -> None:
    page = visit(path)
    for name, number in (
        ("Next", 2),
        ("Last", len(story.steps)),
        ("Previous", len(story.steps) - 1),
        ("First", 1),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        wait_for_step(page, number)
    assert page.get_by_role("button", name="Previous").get_attribute("aria-disabled") == "true"
    assert page.get_by_role("button", name="Next").get_attribute("aria-disabled") == "false"


def test_by_keyboard_alone_a_button_is_reached_and_pressed(visit: Visit, path: Path) -> None:
    page = visit(path)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Next"
    page.keyboard.press("Enter")
    wait_for_step(page, 2)


@pytest.mark.parametrize(
    ("fragment", "number"),
    [("#step=7", 7), ("#step=999", 25), ("#step=0", 1), ("#elsewhere", None), ("", None)],
)
def test_the_address_says_where_it_begins(
    visit: Visit, path: Path, fragment: str, number: int | None
) -> None:
    page = visit(path, fragment=fragment)
    if number is None:
        assert page.evaluate("location.hash") == fragment
        page.keyboard.press("ArrowRight")
        number = 2
    wait_for_step(page, number)
    assert page.evaluate("scrollY") == 0


def test_another_address_shows_another_step(visit: Visit, path: Path) -> None:
    page = visit(path)
    page.evaluate("location.hash = '#step=9'")
    wait_for_step(page, 9)


def test_a_row_of_the_ladder_is_chosen_by_a_click(visit: Visit, path: Path) -> None:
    page = visit(path)
    page.get_by_role("link", name="Step 3, 1.000 s").click()
    wait_for_step(page, 3)
    page.keyboard.press("ArrowRight")
    wait_for_step(page, 4)
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#step=4"


def test_the_ladder_keeps_the_current_row_in_view(visit: Visit, path: Path) -> None:
    page = visit(path, viewport={"width": 1280, "height": 720})
    page.keyboard.press("End")
    wait_for_step(page, 25)
    inside = """() => {
        const [row, frame] = ["[aria-current=step] .strip", "#ladder"]
            .map(each => document.querySelector(each).getBoundingClientRect());
        return frame.top <= row.top && row.bottom <= frame.bottom;
    }"""
    page.wait_for_function(inside)


def test_it_says_the_title_and_the_states(visit: Visit, path: Path) -> None:
    page = visit(path, fragment="#step=8")
    status = page.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    assert status.text_content() == (
        "Step 8 of 25: client gets SYN+ACK seq 0 ack 1. "
        "client ESTABLISHED (was SYN-SENT), server SYN-RECEIVED."
    )


def test_the_dots_are_where_the_ends_stand(visit: Visit, path: Path) -> None:
    page = visit(path, fragment="#step=8", reduced_motion="reduce")
    occupied = "[...document.querySelectorAll('.occupied')].map(each => each.dataset.state)"
    assert set(page.evaluate(occupied)) == {"ESTABLISHED", "SYN-RECEIVED"}
    used = "[...document.querySelectorAll('.way.used')].map(each => each.dataset.way)"
    assert page.evaluate(used) == ["SYN-SENT_ESTABLISHED"]
    near = """([dot, state]) => {
        const [a, b] = [dot, `[data-state=${state}] .node`]
            .map(each => document.querySelector(each).getBoundingClientRect());
        return a.right > b.left && a.left < b.right && a.bottom > b.top && a.top < b.bottom;
    }"""
    assert page.evaluate(near, ["#dot-0", "ESTABLISHED"])
    assert page.evaluate(near, ["#dot-1", "SYN-RECEIVED"])


def test_absolute_numbers_take_the_place_of_relative_ones(visit: Visit, path: Path, story: Story) -> None:
    page = visit(path, fragment="#step=2")
    packet = story.steps[1].packet
    assert packet is not None
    wire = f"SYN+ACK seq {packet.absolute_seq} ack {packet.absolute_ack}"
    shown = page.locator("article.step.current")
    for is_absolute in (True, False):
        page.get_by_role("checkbox", name="absolute numbers").set_checked(is_absolute)
        text = shown.inner_text() + (page.get_by_role("status").text_content() or "")
        assert text.count(wire) == (2 if is_absolute else 0)
        assert text.count("SYN+ACK seq 0 ack 1") == (0 if is_absolute else 2)
        assert page.locator("a.rung tspan", has_text=wire).first.is_visible() == is_absolute
        name = page.locator("a.rung").nth(1).get_attribute("aria-label") or ""
        assert (wire in name) == is_absolute


def test_without_scripts_everything_can_be_read(visit: Visit, path: Path, story: Story) -> None:
    page = visit(path, java_script_enabled=False)
    assert page.locator("article.step:visible").count() == len(story.steps)
    assert page.locator("button:visible").count() == 0


def test_on_paper_every_step_is_there_and_no_control(visit: Visit, path: Path, story: Story) -> None:
    page = visit(path)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("article.step:visible").count() == len(story.steps)
    assert page.locator("button:visible, input:visible, #diagram:visible").count() == 0
    assert page.locator("svg.sheet:visible").count() == 2
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [400, 800, 1280])
@pytest.mark.parametrize("shown", STORIES)
def test_the_page_does_not_scroll_sideways(visit: Visit, tmp_path: Path, shown: Story, width: int) -> None:
    path = tmp_path / "story.html"
    write_report(shown, path)
    page = visit(path, viewport={"width": width, "height": 800})
    page.get_by_role("checkbox", name="absolute numbers").check()
    for key in ("Home", "End"):
        page.keyboard.press(key)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("shown", "width", "scheme"),
    [
        pytest.param(stories.lost_syn_ack(), 400, "light", id="a lost SYN+ACK, narrow"),
        pytest.param(stories.lost_syn_ack(), 1280, "dark", id="a lost SYN+ACK, dark"),
        pytest.param(stories.three_connections(), 400, "dark", id="three connections, narrow and dark"),
        pytest.param(stories.captured(), 1280, "dark", id="captured, dark"),
        pytest.param(stories.hostile(), 1280, "light", id="hostile"),
    ],
)
def test_axe_finds_nothing(visit: Visit, tmp_path: Path, shown: Story, width: int, scheme: str) -> None:
    path = tmp_path / "story.html"
    write_report(shown, path)
    page = visit(path, fragment="#step=2", viewport={"width": width, "height": 800}, color_scheme=scheme)
    for summary in page.locator(".legend summary").all():
        summary.click()
    assert violations(page) == []


def test_axe_finds_nothing_in_the_piece_for_a_notebook(visit: Visit, tmp_path: Path, story: Story) -> None:
    path = tmp_path / "piece.html"
    path.write_text(
        '<!doctype html><html lang="en"><title>A notebook</title>'
        f"<main><h1>A cell</h1>{fragment(story)}</main>",
        encoding="utf-8",
    )
    page = visit(path)
    assert violations(page) == []
