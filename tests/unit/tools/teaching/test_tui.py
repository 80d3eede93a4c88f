"""A story is stepped through by keys and by mouse; what is in it cannot do anything to the terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner
from textual.pilot import Pilot

from support import stories
from support.markdown import ROOT
from xsocket_tools.cli import main
from xsocket_tools.teaching import explain_command, lesson_command
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.tui import NoTerminalError, TuiUnavailableError, check_terminal, step_through
from xsocket_tools.teaching.tui.app import Ladder, Stepper
from xsocket_tools.teaching.tui.printable import cut, padded, printable

SMALL = (80, 24)
WIDE = (140, 40)
SCRIPT = str(ROOT / "docs" / "findings" / "timestamps-in-time-wait.pkt")
EVIL = "[red]x[/red] [@click=app.quit]y[/] \x1b[2J\x1b]0;z\x07 \r\n\t \u202e [/nothing] :smile:"
SHOWN = r"[red]x[/red] [@click=app.quit]y[/] \x1b[2J\x1b]0;z\x07 \r\n\t \u202e [/nothing] :smile:"

Then = Callable[[Pilot[None]], Awaitable[object]]


class Seen:
    """What is on the screen after some keys, as lines of text, and the application."""

    def __init__(self, app: Stepper) -> None:
        self.app = app
        self.current, self.absolute, self.is_running = app.current, app.absolute, app.is_running
        self.offset = app.screen_stack[0].query_one(Ladder).scroll_offset.y
        self.lines = lines_of(app.export_screenshot())
        self.text = "\n".join(self.lines)

    @property
    def rows(self) -> list[str]:
        """The rows of the ladder that are in view."""
        found = (re.match(r"[> ] *\d+ .*", line) for line in self.lines)
        return [match[0] for match in found if match is not None and match[0].count("│") >= 2]

    @property
    def chosen(self) -> str:
        """The row that is marked."""
        (row,) = (row for row in self.rows if row.startswith(">"))
        return row

    @property
    def unwrapped(self) -> str:
        """Everything, with one blank between words."""
        return " ".join(self.text.split())


def lines_of(screenshot: str) -> list[str]:
    """Return the lines of text of a picture of the screen."""
    lines: dict[int, str] = {}
    for x, number, text in re.findall(
        r'<text[^>]* x="([\d.]+)"[^>]*line-(\d+)\)">(.*?)</text>', screenshot, re.DOTALL
    ):
        before = lines.get(int(number), "")
        lines[int(number)] = before.ljust(round(float(x) / 12.2)) + unescape(text).replace("\xa0", " ")
    return [lines[number] for number in sorted(lines)]


def seen(
    story: Story,
    *keys: str,
    at: int = 0,
    size: tuple[int, int] = SMALL,
    then: Then | None = None,
    connection: int | None = None,
    absolute: bool = False,
) -> Seen:
    """Go to the step *at*, press *keys*, do what is to be done *then*, and look."""

    async def use() -> Seen:
        app = Stepper(story, connection=connection, absolute=absolute)
        async with app.run_test(size=size) as pilot:
            app.current = at
            await pilot.press(*keys)
            await pilot.pause()
            if then is not None:
                await then(pilot)
                await pilot.pause()
            return Seen(app)

    return asyncio.run(use())


@pytest.fixture(scope="module")
def lost() -> Story:
    return stories.lost_syn_ack()


@pytest.fixture(scope="module")
def three() -> Story:
    return stories.three_connections()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all three streams look like a terminal."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)


# Stepping


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        pytest.param((), 0, id="it begins at the first"),
        *(pytest.param((key,) * 3, 3, id=f"{key} goes on") for key in ("down", "right", "j", "n")),
        *(pytest.param(("end", key), 23, id=f"{key} goes back") for key in ("up", "left", "k", "p")),
        pytest.param(("up",), 0, id="there is nothing before the first"),
        pytest.param(("end", "down", "down"), 24, id="nor after the last"),
        pytest.param(("end", "down", "up"), 23, id="and no key is lost there"),
        pytest.param(("end", "home"), 0, id="home"),
        pytest.param(("G",), 24, id="G"),
        pytest.param(("G", "g"), 0, id="g"),
    ],
)
def test_keys_step(lost: Story, keys: tuple[str, ...], at: int) -> None:
    screen = seen(lost, *keys)
    assert screen.current == at
    assert screen.chosen[1:].split()[0] == str(at + 1)
    assert f"step {at + 1} of 25" in screen.lines[0]
    assert lost.steps[at].title in screen.text


def test_the_chosen_row_is_kept_in_view(lost: Story) -> None:
    assert seen(lost).offset == 0
    screen = seen(lost, "end")
    assert screen.offset == len(lost.steps) - len(screen.rows)
    assert seen(lost, "end", "home").offset == 0


def test_a_click_chooses_a_row(lost: Story) -> None:
    assert seen(lost, then=lambda pilot: pilot.click(Ladder, offset=(30, 4))).current == 4


def test_a_click_below_the_last_row_chooses_nothing(lost: Story) -> None:
    screen = seen(lost, "j", size=WIDE, then=lambda pilot: pilot.click(Ladder, offset=(30, 30)))
    assert screen.current == 1


def test_q_quits(lost: Story) -> None:
    async def use() -> int | None:
        app = Stepper(lost)
        async with app.run_test() as pilot:
            await pilot.press("q")
        return app.return_code

    assert asyncio.run(use()) == 0


def test_help_names_the_keys_and_goes_away(lost: Story) -> None:
    assert "sequence numbers as they are on the wire" in seen(lost, "question_mark", size=WIDE).text
    screen = seen(lost, "question_mark", "q", "j")
    assert "Keys and signs" not in screen.text
    assert screen.current == 1


def test_the_footer_names_the_keys_in_eighty_columns(lost: Story) -> None:
    footer = " ".join(seen(lost).lines[-1].split())
    for named in (
        "↓ next",
        "↑ back",
        "Home first",
        "End last",
        "PgDn more",
        "a absolute",
        "? help",
        "q quit",
    ):
        assert named in footer


def test_more_of_a_step_is_a_page_away(lost: Story) -> None:
    assert "options mss 1460" not in seen(lost).unwrapped
    assert "mss 1460" in seen(lost, "pagedown", "pagedown").text
    assert "1. client sends SYN" in seen(lost, "pagedown", "pageup").text


# The ladder


def test_a_row_has_number_instant_states_and_segment(lost: Story) -> None:
    row = " ".join(seen(lost).rows[0].split())
    assert re.fullmatch(r"> 1 0 ms → SYN-SENT│── SYN seq 0 ─+▶│→ SYN-RECEIVED", row)


def test_what_is_no_ordinary_segment_has_a_sign_and_words(lost: Story) -> None:
    rows = seen(lost, size=WIDE).rows
    assert len(rows) == 25
    for at, part in (
        (2, "lost ✗── SYN+ACK seq 0 ack 1 ──│"),
        (3, "│• the retransmission timer runs out"),
        (6, "the retransmission timer runs out •│"),
        (7, "│┄┄"),
        (8, "│◀"),
        (8, "SYN+ACK seq 0 ack 1 ┄┄│"),
        (10, "SYN+ACK seq 0 ack 1 ! ┄┄│"),
        (13, "the connection goes to the pool •│"),
    ):
        assert part in rows[at - 1]


def test_forged_segments_are_named_so_and_changed_ones_are_marked(three: Story) -> None:
    rows = seen(three, size=WIDE).rows
    assert re.search(r"│\?─ forged: RST seq \d+ ! ─+▶│", rows[15])
    assert re.search(r"│── PSH\+ACK seq 1 ack 1 len 5 ! ─+▶│", rows[18])


def test_connections_have_numbers(lost: Story, three: Story) -> None:
    rows = seen(three, size=WIDE).rows
    assert [re.findall(r" #(\d) ", row) for row in rows] == [
        [str((step.connection or 0) + 1)] for step in three.steps
    ]
    assert f"connection 2: {three.connections[1]}" in seen(three, at=3, size=(200, 40)).unwrapped
    assert "#1" not in seen(lost, size=WIDE).text


def test_one_connection_alone(three: Story) -> None:
    screen = seen(three, "j", size=WIDE, connection=1)
    assert [int(row[1:].split()[0]) for row in screen.rows] == [
        step.number for step in three.steps if step.connection == 1
    ]
    assert screen.chosen.startswith("> 7 ")
    assert "7. server gets SYN seq 0" in screen.text


def test_of_one_connection_the_heading_has_both_endpoints(lost: Story) -> None:
    assert seen(lost).lines[1].split("  ")[-1].strip() == "server (engine)"
    assert lost.connections[0] in seen(lost).lines[1]


def test_what_is_inferred_is_marked(lost: Story) -> None:
    screen = seen(stories.captured())
    assert "client (inferred)" in screen.text
    assert "→ ~SYN-SENT" in screen.rows[0]
    assert "~ inferred from the segments" in seen(stories.captured(), size=WIDE).text
    assert "~" not in seen(lost, size=WIDE).text


# Numbers


def test_a_changes_between_both_ways_of_numbering(lost: Story) -> None:
    packet = lost.steps[1].packet
    assert packet is not None
    numbers = f"SYN+ACK seq {packet.absolute_seq} ack {packet.absolute_ack}"
    screen = seen(lost, "j", "a")
    assert screen.absolute
    assert "absolute numbers" in screen.lines[0]
    assert numbers in screen.chosen
    assert f"2. server sends {numbers}, which is lost" in screen.text
    again = seen(lost, "j", "a", "a")
    assert str(packet.absolute_seq) not in again.text
    assert "relative numbers" in again.lines[0]


def test_it_may_begin_with_absolute_numbers(lost: Story) -> None:
    assert "absolute numbers" in seen(lost, absolute=True).lines[0]


# The panels


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["small", "wide"])
def test_changed_variables_have_a_sign(lost: Story, size: tuple[int, int]) -> None:
    step = lost.steps[7]
    text = seen(lost, at=7, size=size).text
    assert "*SYN-SENT →" in text
    changed = [each for each in step.views[0].variables if each.changed]
    if size == WIDE:
        for each in changed:
            assert re.search(rf"{re.escape(each.name)} +\*{re.escape(each.value)}", text)
        assert re.search(r"ISS +0 ", text)
        assert "* changed by this step" in text
    else:
        assert re.search(r"SND.UNA +\*1", text), "what has changed comes first where there is little room"


def test_a_step_is_told_in_full(lost: Story) -> None:
    text = seen(lost, at=9, size=(240, 60)).unwrapped
    step = lost.steps[9]
    for part in (
        "10. client gets SYN+ACK seq 0 ack 1",
        "1.030 s: a segment arrives at client",
        f"! {step.notes[0]}",
        "Connections held",
        f"half-open none {step.tables[1].half_open[0] if step.tables[1] else ''}",
        "claimed so far 0 0",
    ):
        assert part in text
    first = seen(lost, size=(300, 60)).unwrapped
    for each in lost.steps[0].because:
        assert each.did in first
        assert each.key in first
    assert "mss 1460, sackOK" in first


def test_what_the_path_changed_is_shown_as_sent_and_as_it_arrived(three: Story) -> None:
    text = seen(three, at=18, size=(160, 60)).text
    assert "Segment, changed on the way" in text
    assert re.search(r"as it was sent +as it arrived", text)
    assert re.search(r"window +[\d,]+ +\*100", text)


def test_the_panels_are_beside_the_ladder_or_below_it(lost: Story) -> None:
    title = "1. client sends SYN seq 0"
    assert title in seen(lost, size=WIDE).lines[1]
    below = seen(lost)
    assert below.lines.index(next(line for line in below.lines if title in line)) > len(below.rows)


def test_it_adapts_to_another_size(lost: Story) -> None:
    async def smaller(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(*SMALL)

    fresh, resized = seen(lost, "end"), seen(lost, "end", size=WIDE, then=smaller)
    assert resized.rows[-1].startswith(">")
    assert [line[:78] for line in resized.lines] == [line[:78] for line in fresh.lines], "but for scroll bars"
    assert all(len(line.rstrip()) <= SMALL[0] for line in resized.lines)


@pytest.mark.parametrize("size", [(60, 16), (30, 8), (300, 100)], ids=str)
def test_no_size_is_too_odd(lost: Story, size: tuple[int, int]) -> None:
    assert seen(lost, "j", "end", "a", size=size).current == 24


@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_themes_change_colours_alone(lost: Story, dark: bool) -> None:
    screen = seen(lost, *(() if dark else ("t",)), size=WIDE)
    assert screen.app.current_theme.dark is dark
    assert screen.lines == seen(lost, size=WIDE).lines


def test_a_story_without_a_step_can_be_shown(lost: Story) -> None:
    screen = seen(lost._replace(steps=(), notes=("It ended with TimeoutError",)), "j", "end", "a")
    assert "Nothing happened." in screen.text
    assert "It ended with TimeoutError" in screen.text


# What tries to be more than text


def hostile() -> Story:
    story = stories.hostile()
    left, right = story.ends
    return story._replace(
        title=EVIL,
        ends=(left._replace(name=EVIL, what=EVIL), right._replace(name=EVIL)),
        connections=(EVIL,),
        notes=(EVIL,),
        steps=tuple(
            step._replace(
                title=EVIL,
                notes=(EVIL,),
                packet=step.packet and step.packet._replace(flags=EVIL, options=(EVIL,)),
                because=tuple(
                    each._replace(did=EVIL, title=EVIL, sentence=EVIL, key=EVIL) for each in step.because
                ),
                views=(
                    step.views[0]._replace(
                        variables=tuple(
                            each._replace(name=EVIL, value=EVIL) for each in step.views[0].variables
                        )
                    ),
                    step.views[1],
                ),
            )
            for step in story.steps
        ),
    )


@pytest.mark.parametrize("size", [SMALL, (400, 200)], ids=str)
def test_what_tries_to_be_markup_or_to_steer_the_terminal_is_text(size: tuple[int, int]) -> None:
    screen = seen(hostile(), "j", "a", "question_mark", "escape", "end", "home", size=size)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", screen.text)
    assert SHOWN[:30] in screen.lines[0]
    if size != SMALL:
        assert screen.text.count(SHOWN) > 10


def test_no_click_on_hostile_text_does_anything() -> None:
    async def everywhere(pilot: Pilot[None]) -> None:
        for y in range(0, 23, 3):
            await pilot.click(offset=(2 + 2 * y, y))

    assert seen(hostile(), then=everywhere).is_running


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain, with blanks", "plain, with blanks", id="plain"),
        pytest.param("größer → 東京", "größer → 東京", id="letters of any kind"),
        pytest.param("\x1b[31m", r"\x1b[31m", id="an escape sequence"),
        pytest.param("a\x9bb\x00", r"a\x9bb\x00", id="control characters"),
        pytest.param("\u202e\udc80", r"\u202e\udc80", id="what turns text round, and half a letter"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_texts_are_cut_and_filled_up_by_columns() -> None:
    assert cut("東京東京", 5) == "東京…"
    assert padded("東京", 5) == "東京 "
    assert padded("東京", 5, to_the_right=True) == " 東京"
    assert cut("abc", 0) == ""


# Where it cannot be


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
@pytest.mark.usefixtures("terminal")
def test_without_a_terminal_it_says_what_to_use(
    lost: Story, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_terminal()
    monkeypatch.setattr(getattr(sys, name), "isatty", lambda: False)
    with pytest.raises(NoTerminalError, match=f"{name} is no terminal .*xsocket lesson run"):
        step_through(lost)


@pytest.mark.usefixtures("terminal")
def test_without_its_library_it_says_what_to_install(lost: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(TuiUnavailableError, match=r"pip install .*xsocket\[tui\]"):
        step_through(lost)


COMMANDS = [
    pytest.param(["lesson", "step", "1"], "xsocket lesson run", id="lesson step"),
    pytest.param(["explain", "--step", SCRIPT], "xsocket explain without --step", id="explain --step"),
]


@pytest.mark.parametrize(("words", "otherwise"), COMMANDS)
def test_a_command_without_a_terminal_fails_with_a_remedy(words: list[str], otherwise: str) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    assert "error: stdin is no terminal" in result.output
    assert f"use {otherwise}" in result.output


@pytest.mark.parametrize(("words", "otherwise"), COMMANDS)
def test_a_command_without_the_extra_fails_with_a_remedy(
    words: list[str], otherwise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del otherwise
    monkeypatch.setitem(sys.modules, "textual", None)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    assert 'remedy: pip install "xsocket[tui]"' in result.output


def test_in_a_real_terminal_a_key_ends_it(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-m", "xsocket_tools.cli", "lesson", "step", "1"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        drawn = b""
        while b"step 1 of" not in drawn:
            assert select.select([ours], [], [], 30)[0], drawn
            drawn += os.read(ours, 65536)
        os.write(ours, b"q")
        with suppress(OSError):  # the other side is gone
            while os.read(ours, 65536):
                pass
        assert process.wait(30) == 0
    os.close(ours)


class Shown:
    """Takes the place of the terminal: keeps what was to be stepped through."""

    def __init__(self) -> None:
        self.stories: list[Story] = []
        self.options: list[dict[str, object]] = []

    def __call__(self, story: Story, **options: object) -> None:
        self.stories.append(story)
        self.options.append(options)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    for module in (lesson_command, explain_command):
        monkeypatch.setattr(module, "check_terminal", lambda **_: None)
        monkeypatch.setattr(module, "step_through", found)
    return found


def test_a_lesson_is_stepped_through_with_the_rules_that_are_set(shown: Shown) -> None:
    result = CliRunner().invoke(main, ["lesson", "step", "1", "--set", "timestamps=false", "--absolute"])
    assert result.exit_code == 0
    (story,) = shown.stories
    assert story.title.startswith("1. ")
    assert story.steps[0].packet is not None
    assert not any("TS val" in option for option in story.steps[0].packet.options)
    assert shown.options == [{"absolute": True}]


def test_a_script_is_stepped_through(shown: Shown) -> None:
    result = CliRunner().invoke(main, ["explain", "--step", "--flow", "1", SCRIPT])
    assert result.exit_code == 0
    assert shown.stories[0].title == "timestamps-in-time-wait.pkt"
    assert shown.options == [{"connection": 0, "absolute": False}]


@pytest.mark.parametrize("other", [["--json"], ["--report", "page.html"]], ids=lambda words: words[0])
def test_it_is_shown_here_or_elsewhere(other: list[str], shown: Shown) -> None:
    result = CliRunner().invoke(main, ["explain", "--step", *other, SCRIPT])
    assert result.exit_code == 2
    assert shown.stories == []
