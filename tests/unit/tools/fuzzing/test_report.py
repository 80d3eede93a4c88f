"""The page of a campaign needs nothing but itself, and has all that belongs to a finding."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.liar import Liar
from support.pages import Elements, text_of
from xsocket.segment import ACK, PSH, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.campaign import Plan, Record
from xsocket_tools.fuzzing.case import Call, Case, Icmp, Say, Tick
from xsocket_tools.fuzzing.coverage import Triple, reachable
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.report import (
    CannotWriteError,
    check_writable,
    render,
    write_report,
)
from xsocket_tools.fuzzing.report.grids import STATES, Cell, grid
from xsocket_tools.fuzzing.report.ladders import Rung, rungs
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.targets.engine import EngineTarget

CASE = Case((Say(0, SYN, options=("mss 1460",)), Say(0, ACK), Say(0, RST)), isn=1000)
WRONG = Violation(
    rules.RST_EXACT,
    2,
    0,
    State.ESTABLISHED,
    "a reset at RCV.NXT",
    "no connection",
    "<b>still</b> & well",
)
FINDING = Finding(CASE, WRONG, "engine", 17, 3)
SEEN = {
    Triple("LISTEN", "SYN", "S."): CASE,
    Triple("LISTEN", "SYN", "-"): CASE,
    Triple("ESTABLISHED", "ICMP too big", "."): CASE,
}
RULES = Counter({(rules.RST_EXACT.where, rules.RST_EXACT.text): 1234})
RESULT = Result(4000, 41_000, 2, (FINDING,), SEEN, RULES, Counter({"an old habit": 7}), 8.0)
RECORD = Record(Plan(9, "engine"), (), RESULT)
NOWHERE = Path("/nonexistent")


def page_of(record: Record = RECORD, directory: Path = NOWHERE) -> str:
    return render(record, directory=directory, beside=directory.parent)


@pytest.fixture(scope="module")
def page() -> str:
    return page_of()


def test_the_page_fetches_nothing(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form"}
    references = [each["href"] or "" for each in elements.named("a")]
    assert references
    assert [each for each in references if not each.startswith("#")] == []
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in page


def test_every_identifier_is_there_once_and_every_reference_has_one(page: str) -> None:
    identifiers = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [each for each, count in identifiers.items() if count > 1] == []
    assert set(re.findall(r'(?:href="#|aria-labelledby=")([^"]+)"', page)) <= set(identifiers)


def test_it_is_light_and_dark_and_light_on_paper(page: str) -> None:
    light, dark = (
        set(re.findall(r"(--[\w-]+):", part)) for part in re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    )
    assert light == dark == set(re.findall(r"var\((--[\w-]+)\)", page))
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page


def test_what_scrolls_can_be_scrolled_by_keyboard(page: str) -> None:
    regions = [each for tag, each in Elements(page).found if tag == "pre" or each.get("class") == "wide"]
    assert len(regions) >= 5
    assert {each.get("tabindex") for each in regions} == {"0"}


def test_it_says_first_what_came_of_the_campaign(page: str) -> None:
    text = text_of(page)
    for part in (
        "Fuzzing engine: 1 finding",
        "4,000 cases of 41,000 operations in 8.0 s, 500 cases a second; seed 9.",
        "2 cases were given up, because the target did not answer.",
        f"1 of {len(reachable())} pairs of a state and an event were brought about",
        "1 of the cases show all of that coverage.",
        "The same cases again: xsocket fuzz --on engine --seed 9 --cases 4002",
    ):
        assert part in text
    assert "no findings" in text_of(page_of(RECORD._replace(total=RESULT._replace(findings=()))))


def test_a_finding_has_what_was_wrong_and_how_to_see_it(page: str) -> None:
    text = text_of(page)
    for part in (
        f"{rules.RST_EXACT.where}: {rules.RST_EXACT.text}",
        "state ESTABLISHED stimulus a reset at RCV.NXT expected no connection got <b>still</b> & well",
        "in 3 cases on engine, first in number 17",
        "peer 0 (10.0.0.2) says R (here)",
        "reaches the target: S 0:0(0) win 65535 <mss 1460> LISTEN → SYN-RECEIVED",
        "is sent: S. 0:0(0) ack 1 win 65535 <mss 1460>",
        "// A case of `xsocket fuzz` of 3 operations, as it was played on engine.",
        "+0 < S 1000:1000(0) win 65535 <mss 1460>",
        "It did not show itself when this page was made and its case was played alone.",
        'Case, to be replayed from a file {"version": 1, "isn": 1000,',
    ):
        assert part in text
    assert "<b>still" not in page


def test_files_that_are_there_are_linked_and_can_be_replayed(tmp_path: Path) -> None:
    directory = tmp_path / "findings"
    directory.mkdir()
    for suffix in (".json", ".pkt"):
        (directory / f"{FINDING.slug}{suffix}").write_text("")
    page = page_of(directory=directory)
    hrefs = [each["href"] for each in Elements(page).named("a")]
    assert hrefs[-2:] == [f"findings/{FINDING.slug}.json", f"findings/{FINDING.slug}.pkt"]
    replay = f"xsocket fuzz replay {directory}/{FINDING.slug}.json --on engine,kernel"
    assert replay in text_of(page)
    assert "Case, to be replayed" not in page


def test_without_the_target_there_is_no_ladder_and_no_script() -> None:
    record = RECORD._replace(plan=Plan(9, "foreign", ""))
    page = page_of(record)
    assert "The target cannot be had here, to see what happened." in page
    assert "What happened" not in page
    assert "as it was played on" not in page


def test_rules_that_had_their_say_are_counted_and_the_others_named(page: str) -> None:
    hit, _, idle = text_of(page).partition("Rules that never had their say")
    assert f"{rules.RST_EXACT} 1,234" in hit
    assert str(rules.RST_EXACT) not in idle
    assert str(rules.ACK_UNSENT) in idle


def test_allowed_deviations_are_counted(page: str) -> None:
    assert "an old habit 7" in text_of(page)
    assert "Allowed deviations" not in page_of(RECORD._replace(total=RESULT._replace(allowed=Counter())))


# Coverage


def cell(coverage: Iterable[Triple], group: str, event: str, state: str) -> Cell:
    groups = {each.name: each for each in grid(coverage)}
    (row,) = [row for row in groups[group].rows if row.event == event]
    return row.cells[STATES.index(state)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param(("SYN", "any", "LISTEN"), Cell("seen", "- | S.", "answered by: nothing; S."), id="seen"),
        pytest.param(("SYN", "any", "CLOSED"), Cell("missing", "✗", "missing"), id="missing"),
        pytest.param(("SYN", "seq old", "CLOSED"), Cell("never"), id="impossible"),
        pytest.param(
            ("calls, time and errors", "ICMP too big", "ESTABLISHED"),
            Cell("seen", ".", "answered by: ."),
            id="not asked for",
        ),
    ],
)
def test_a_cell_says_what_answered(where: tuple[str, str, str], expected: Cell) -> None:
    assert cell(SEEN, *where) == expected


def test_of_many_replies_a_cell_shows_the_first() -> None:
    many = [Triple("LISTEN", "SYN", reply) for reply in ("A", "B", "C", "D", "E")]
    assert cell(many, "SYN", "any", "LISTEN") == Cell("seen", "A | B | C +2", "answered by: A; B; C; D; E")


def test_every_pair_that_can_be_has_a_cell(page: str) -> None:
    groups = grid(SEEN)
    kinds = Counter(each.kind for group in groups for row in group.rows for each in row.cells)
    assert kinds["missing"] == len(reachable()) - 1
    assert kinds["seen"] == 2
    assert page.count('<span class="hidden"> missing</span>') == kinds["missing"]


# Ladders


def without_resets(segment: Segment) -> Segment | None:
    return None if segment.flags & RST else segment


def test_a_ladder_has_a_rung_for_all_that_happened() -> None:
    operations = (
        *CASE.operations[:2],
        Call(0, "claim"),
        Say(0, ACK | PSH, text=5),
        Call(0, "receive", 3),
        Tick(0.5),
        Icmp(0, "too big", mtu=576),
        Say(0, ACK, twist="checksum"),
        Call(0, "send", 1),
    )
    found = rungs(play(Case(operations, isn=1000), EngineTarget(), with_steps=True))
    assert [each.is_wrong for each in found] == [False] * len(found)
    established = "ESTABLISHED"
    assert found[3:] == [
        Rung(3, 0.0, "", "", "call claim: done", established),
        Rung(4, 0.0, "peer 0", "in", "P. 1:6(5) ack 1 win 65535", established),
        Rung(0, 0.0, "peer 0", "out", ". 1:1(0) ack 6 win 65530"),
        Rung(5, 0.0, "", "", "call receive 3: 3 octets", established),
        Rung(6, 0.0, "", "", "0.5 s pass"),
        Rung(7, 0.5, "router to peer 0", "in", "ICMP too big, MTU 576 about duplicate", established),
        Rung(8, 0.5, "peer 0", "in", ". (checksum)", established),
        Rung(9, 0.5, "", "", "call send 1: 1 octet", established),
        Rung(0, 0.5, "peer 0", "out", "P. 1:2(1) ack 6 win 65530"),
    ]
    assert found[-1].ms == "500"


def test_a_ladder_shows_where_a_rule_was_broken() -> None:
    played = play(Case((Tick(1.0), Say(0, ACK))), Liar(without_resets), with_steps=True)
    assert played.violation is not None
    assert [each.is_wrong for each in rungs(played)] == [False, True]


# Files


def test_a_report_is_written(tmp_path: Path, page: str) -> None:
    where = tmp_path / "report.html"
    check_writable(where)
    assert not where.exists()
    write_report(where, RECORD)
    assert where.read_text(encoding="utf-8") == page


def test_a_large_campaign_has_a_small_page(tmp_path: Path) -> None:
    generator, target = Generator(3), EngineTarget()
    findings = []
    coverage = dict(SEEN)
    for number, rule in enumerate(rules.ALL):
        case = generator.case(number)
        violation = WRONG._replace(rule=rule, at=len(case.operations) - 1)
        findings.append(Finding(case, violation, "engine", number))
        coverage |= dict.fromkeys(play(case, target).coverage, case)
    total = RESULT._replace(findings=tuple(findings), coverage=coverage, rules=RULES)
    write_report(tmp_path / "report.html", RECORD._replace(total=total))
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match="there is no directory"):
        write_report(tmp_path / "none" / "report.html", RECORD)
    with pytest.raises(CannotWriteError, match="cannot write"):
        write_report(tmp_path, RECORD)
