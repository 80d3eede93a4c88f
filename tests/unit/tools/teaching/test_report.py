"""The page of a story needs nothing but itself, says all there is to say of each step, and escapes it."""

from __future__ import annotations

import re
import stat
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import pytest

from support import stories
from support.pages import Elements, text_of
from xsocket.state import State
from xsocket.tcp.table import TABLE
from xsocket_tools.teaching.report import (
    CannotWriteError,
    check_writable,
    fragment,
    render,
    write_report,
)
from xsocket_tools.teaching.report.diagram import edges, nodes, used
from xsocket_tools.teaching.report.ladder import Rung, arrivals, ladder
from xsocket_tools.teaching.report.shapes import Path as Line
from xsocket_tools.teaching.report.shapes import Text
from xsocket_tools.teaching.report.words import instant, letters, pause, segment
from xsocket_tools.teaching.story import Kind, Packet, Story

RFC_EDITOR = "https://www.rfc-editor.org/"


def steps_of(page: str) -> list[str]:
    return [text_of(each) for each in re.findall(r'<article class="step".*?</article>', page, re.DOTALL)]


STORIES = [
    pytest.param(stories.lost_syn_ack(), id="a lost SYN+ACK"),
    pytest.param(stories.both_open(), id="both open"),
    pytest.param(stories.three_connections(), id="three connections"),
    pytest.param(stories.captured(), id="captured"),
    pytest.param(stories.hostile(), id="hostile"),
    pytest.param(stories.captured()._replace(steps=()), id="nothing happened"),
]


@pytest.fixture(scope="module")
def lost() -> Story:
    return stories.lost_syn_ack()


@pytest.fixture(scope="module")
def three() -> Story:
    return stories.three_connections()


@pytest.fixture(scope="module")
def page(lost: Story) -> str:
    return render(lost)


def test_it_takes_little_time_and_room() -> None:
    story = stories.of_steps(50)
    assert len(story.steps) == 50
    seconds = []
    for _ in range(3):
        began = perf_counter()
        made = render(story)
        seconds.append(perf_counter() - began)
    assert min(seconds) < 0.5
    assert len(made.encode()) < 300_000


@pytest.mark.parametrize("story", STORIES)
def test_the_page_fetches_nothing(story: Story) -> None:
    page = render(story)
    elements = Elements(page)
    assert elements.open == []
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"link", "img", "image", "iframe", "object", "embed", "base", "form", "foreignobject"}
    assert len(elements.named("script")) == 1
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    references = {each["href"] or "" for each in elements.named("a")}
    assert [each for each in references if not each.startswith(("#step=", RFC_EDITOR))] == []
    assert {each["href"] for each in elements.named("use")} <= {"#heads", "#drawing"}
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"https?:", page.replace(RFC_EDITOR, ""))


@pytest.mark.parametrize("story", STORIES)
def test_identifiers_are_there_once_and_what_refers_to_one_finds_it(story: Story) -> None:
    elements = Elements(render(story))
    identifiers = Counter(each["id"] for _, each in elements.found if "id" in each)
    assert [each for each, count in identifiers.items() if count > 1] == []
    found = {each["aria-labelledby"] for _, each in elements.found if "aria-labelledby" in each}
    found |= {(each["href"] or "")[1:] for each in elements.named("a") if (each["href"] or "")[:1] == "#"}
    assert found <= set(identifiers)


@pytest.mark.parametrize("story", STORIES)
def test_headings_leave_no_level_out(story: Story) -> None:
    levels = [int(tag[1]) for tag, _ in Elements(render(story)).found if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert [(a, b) for a, b in pairwise(levels) if b > a + 1] == []


def test_it_has_a_language_a_title_and_a_policy_that_lets_nothing_in(page: str) -> None:
    elements = Elements(page)
    assert elements.named("html") == [{"lang": "en"}]
    assert "<title>A lost SYN+ACK - Xsocket</title>" in page
    (policy,) = (each["content"] for each in elements.named("meta") if "http-equiv" in each)
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_it_is_light_and_dark_and_light_on_paper(page: str) -> None:
    light, dark = schemes(page)
    assert light.keys() == dark.keys() == set(re.findall(r"var\((--[\w-]+)\)", page))
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page


def schemes(page: str) -> tuple[dict[str, str], dict[str, str]]:
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#\w{6})", part))
        for part in re.findall(r":root \{(.*?)\}", page, re.DOTALL)[:2]
    )
    return light, dark


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["--ink", "--faint", "--left", "--right", "--alarm"])
@pytest.mark.parametrize("ground", ["--paper", "--shade", "--here"])
def test_contrast_is_enough(page: str, scheme: int, ink: str, ground: str) -> None:
    colors = schemes(page)[scheme]
    low, high = sorted(luminance(colors[name]) for name in (ink, ground))
    assert (high + 0.05) / (low + 0.05) >= 4.5


# What it says


def test_every_step_is_there_in_full(lost: Story, page: str) -> None:
    sections = steps_of(page)
    assert len(sections) == len(lost.steps)
    for step, section in zip(lost.steps, sections, strict=True):
        assert section.startswith(f"{step.number} {step.title}")
        for each in step.because:
            assert each.key in section
            assert each.did in section
            assert each.sentence in section
        for note in step.notes:
            assert note in section
        for view in step.views:
            for variable in view.variables:
                assert variable.name in section
    first = sections[0]
    for part in (
        "0 ms to 20 ms: a segment from client to server",
        "flags SYN seq 0 3532556821 ack none length 0 octets window 65,535 options mss 1460",
        "state CLOSED → SYN-SENT changed CLOSED → SYN-RECEIVED changed",
        "SND.NXT 1 3532556822 changed 1 3769675856 changed",
        "half-open none 10.0.0.1:40664",
        "in the pool none none",
        "claimed so far 0 0",
    ):
        assert part in first
    assert "dropped, SYN_CHALLENGED: RFC 9293 3.10.7.4 fourth" in sections[9]


def test_rules_are_linked(lost: Story, page: str) -> None:
    urls = {each.url for step in lost.steps for each in step.because if each.url}
    assert urls
    assert urls <= {each["href"] for each in Elements(page).named("a")}


def test_numbers_are_there_in_both_ways(lost: Story, page: str) -> None:
    packet = lost.steps[1].packet
    assert packet is not None
    wire = f"SYN+ACK seq {packet.absolute_seq} ack {packet.absolute_ack}"
    assert f'<tspan class="r">SYN+ACK seq 0 ack 1</tspan><tspan class="a">{wire}</tspan>' in page
    title = f'<span class="a">server sends {wire}, which is lost</span>'
    assert f'<span class="r">server sends SYN+ACK seq 0 ack 1, which is lost</span>{title}' in page
    assert f'<span class="r">0</span><span class="a">{packet.absolute_seq}</span>' in page


def test_what_the_path_changed_is_shown_as_sent_and_as_it_arrived(three: Story) -> None:
    (section,) = (each for each in steps_of(render(three)) if "changed on the way" in each)
    assert "as it was sent as it arrived" in section
    assert re.search(r"window [\d,]+ 100 changed", section)


def test_what_is_inferred_is_marked_as_such() -> None:
    text = text_of(render(stories.captured()))
    assert "client (inferred)" in text
    assert "state ~CLOSED → ~SYN-SENT" in text or "state no connection → ~SYN-SENT" in text
    assert "~ stands before what is inferred" in text
    assert "Connections held" not in text
    assert "inferred" not in text_of(render(stories.lost_syn_ack()))


def test_what_tries_to_be_markup_is_text() -> None:
    story = stories.hostile()
    for made in (render(story), fragment(story)):
        assert "<img" not in made
        assert "<script>alert" not in made
        assert "javascript:" not in made
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made


def test_of_many_connections_some_are_named(lost: Story) -> None:
    step = lost.steps[0]
    assert step.tables[1] is not None
    flood = step.tables[1]._replace(half_open=tuple(f"10.0.1.{each}:1" for each in range(40)))
    section = text_of(render(lost._replace(steps=(step._replace(tables=(None, flood)),))))
    assert "10.0.1.11:1 and 28 more" in section
    assert "half-open not known" in section


# The ladder


def shapes_of(story: Story, kind: Kind) -> list[Rung]:
    return [each for each in ladder(story).rungs if each.step.kind is kind]


def looks(rung: Rung) -> list[str]:
    return [shape.look for shape in rung.shapes]


def said(rung: Rung) -> list[str]:
    return [shape.said.relative for shape in rung.shapes if isinstance(shape, Text)]


def test_a_segment_under_way_is_one_arrow_to_the_row_where_it_arrives(lost: Story) -> None:
    rungs = {each.step.number: each for each in ladder(lost).rungs}
    assert arrivals(lost.steps) == {5: 8, 7: 10, 9: 12, 11: 16, 15: 17}
    for here, there in arrivals(lost.steps).items():
        (line,) = (
            each for each in rungs[here].shapes if isinstance(each, Line) and each.look.startswith("arrow")
        )
        ends_at = float(line.d.split()[-1])
        assert rungs[there].top < ends_at < rungs[there].top + rungs[there].height
        assert not any(look.startswith("arrow") for look in looks(rungs[there]))
        assert rungs[here].arrival == there


def test_what_arrives_is_what_the_path_made_of_what_was_sent(lost: Story) -> None:
    altered = [
        each._replace(packet=each.packet._replace(window=1)) if each.number == 8 and each.packet else each
        for each in lost.steps
    ]
    assert arrivals(altered)[7] == 10
    assert arrivals(altered)[5] == 8
    assert "changed on the way" in steps_of(render(lost._replace(steps=tuple(altered))))[7]


def test_a_segment_that_is_sent_and_never_arrives_is_under_way(lost: Story) -> None:
    story = lost._replace(steps=lost.steps[:5])
    assert said(ladder(story).rungs[-1])[-1].startswith("SYN+ACK")
    assert " … under way" in said(ladder(story).rungs[-1])


@pytest.mark.parametrize(
    ("story", "kind", "look", "words"),
    [
        pytest.param(stories.lost_syn_ack(), Kind.LOST, "cross", "lost", id="lost"),
        pytest.param(
            stories.lost_syn_ack(), Kind.TIMER, "hands", "the retransmission timer runs out", id="timer"
        ),
        pytest.param(stories.lost_syn_ack(), Kind.POOL, "mark", "the connection goes to the pool", id="pool"),
        pytest.param(
            stories.three_connections(),
            Kind.FORGED,
            "arrow forged",
            "dropped, RST_OUTSIDE_WINDOW",
            id="forged",
        ),
    ],
)
def test_what_is_no_ordinary_segment_has_a_mark_and_words(
    story: Story, kind: Kind, look: str, words: str
) -> None:
    rung = shapes_of(story, kind)[0]
    assert look in looks(rung)
    assert words in said(rung)


def test_every_row_can_be_chosen_and_says_what_it_is(lost: Story, page: str) -> None:
    rungs = [each for each in Elements(page).named("a") if each.get("class") == "rung"]
    assert [each["href"] for each in rungs] == [f"#step={step.number}" for step in lost.steps]
    assert rungs[2]["aria-label"] == "Step 3, 1.000 s: client: the retransmission timer runs out"


def test_pauses_are_breaks(lost: Story) -> None:
    backdrop = ladder(lost).backdrop
    pauses = [each.said.relative for each in backdrop if isinstance(each, Text) and each.look == "pause"]
    assert pauses == ["0.98 s pass", "60.0 s pass"]


def test_states_are_beside_the_lifelines(lost: Story) -> None:
    states = [each for each in ladder(lost).backdrop if isinstance(each, Text) and each.look == "state"]
    left = [each.said.relative for each in states if each.anchor == "end"]
    assert left == ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]


def test_several_connections_are_told_apart_by_numbers_and_shapes(lost: Story, three: Story) -> None:
    assert "badge" not in {look for rung in ladder(lost).rungs for look in looks(rung)}
    shapes = {
        step.connection: re.sub(r"^M[\d.]+ [\d.]+", "", shape.d)
        for step, rung in zip(three.steps, ladder(three).rungs, strict=True)
        for shape in rung.shapes
        if shape.look == "badge" and isinstance(shape, Line)
    }
    assert len(set(shapes.values())) == len(three.connections) == 3


def test_rows_do_not_overlap_and_are_cut_between_sheets(lost: Story) -> None:
    drawn = ladder(lost)
    for before, after in pairwise(drawn.rungs):
        assert before.top + before.height <= after.top
    sheets = drawn.sheets()
    assert sum(height for _, height in sheets) == drawn.height
    assert {top for top, _ in sheets[1:]} <= {rung.top for rung in drawn.rungs}


# The state diagram


def test_the_diagram_has_every_state_and_every_move_of_the_table() -> None:
    assert {node.name for node in nodes()} == {state.value for state in State}
    moves = {(start, move.to) for (start, _), move in TABLE.items() if move.to is not start}
    assert {edge.name for edge in edges()} == {f"{start.value}_{to.value}" for start, to in moves}


def test_a_step_goes_along_the_edges_that_its_rules_name(lost: Story) -> None:
    assert used(lost.steps[0]) == ["CLOSED_SYN-SENT", "CLOSED_LISTEN", "LISTEN_SYN-RECEIVED"]
    assert used(lost.steps[7]) == ["SYN-SENT_ESTABLISHED"]
    assert used(lost.steps[2]) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(("client", "server"), ("C", "S"), id="two letters"),
        pytest.param(("alice", "Anna"), ("L", "R"), id="the same"),
        pytest.param(("", "b"), ("L", "R"), id="none"),
    ],
)
def test_dots_have_letters_that_differ(
    lost: Story, names: tuple[str, str], expected: tuple[str, str]
) -> None:
    left, right = lost.ends
    assert letters((left._replace(name=names[0]), right._replace(name=names[1]))) == expected


# Words


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0.0, "0 ms", id="the beginning"),
        pytest.param(0.0301, "30.1 ms", id="milliseconds"),
        pytest.param(1.02, "1.020 s", id="seconds"),
        pytest.param(1.020134, "1.020134 s", id="microseconds"),
    ],
)
def test_instants_are_written_as_people_read_them(seconds: float, expected: str) -> None:
    assert instant(seconds) == expected


def test_pauses_are_rounded() -> None:
    assert [pause(each) for each in (0.98, 1.0, 59.96)] == ["0.98 s pass", "1.0 s pass", "60.0 s pass"]


def test_a_segment_reads_the_same_in_either_way_of_numbering_but_for_its_numbers() -> None:
    packet = Packet("ACK", 1, 2, 101, 202, 3, 0, (), ())
    assert segment(packet).absolute == "ACK seq 101 ack 202 len 3"


# The piece for a notebook


@pytest.mark.parametrize("story", STORIES)
def test_the_piece_for_a_notebook_has_no_script_no_style_sheet_and_no_identifier(story: Story) -> None:
    elements = Elements(fragment(story))
    assert elements.open == []
    assert not {tag for tag, _ in elements.found} & {"script", "style", "link", "img", "html", "body"}
    assert [each for _, each in elements.found if "id" in each or "class" in each] == []
    assert [each for each in elements.named("a") if not (each["href"] or "").startswith(RFC_EDITOR)] == []


def test_the_piece_has_every_step_and_both_states(lost: Story) -> None:
    text = text_of(fragment(lost))
    for step in lost.steps:
        assert f"{step.number} {instant(step.at_s)} {step.title}" in text
    assert "SYN-SENT → ESTABLISHED" in text


# The file


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, lost: Story) -> None:
    path = tmp_path / "story.html"
    write_report(lost, path)
    assert path.read_text(encoding="utf-8") == render(lost)
    assert stat.S_ISREG(path.stat().st_mode)
    assert [each.name for each in tmp_path.iterdir()] == ["story.html"]


@pytest.mark.parametrize("name", ["missing/story.html", "."])
def test_what_cannot_be_written_is_said_before(tmp_path: Path, lost: Story, name: str) -> None:
    with pytest.raises(CannotWriteError):
        check_writable(tmp_path / name)
    with pytest.raises(CannotWriteError):
        write_report(lost, tmp_path / name)
