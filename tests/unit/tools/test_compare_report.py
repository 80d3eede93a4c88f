"""The page needs nothing but itself, and says in words what it draws; JSON has the same figures."""

import json
import re
import sys
from collections import Counter
from math import inf
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.comparison import MS, answered, event, lost, result
from support.documents import Shown
from support.pages import Elements
from xsocket_tools.compare.command import compare
from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.errors import CannotWriteError, NotThatManyError, ReportUnavailableError
from xsocket_tools.compare.messages import End, Outcome
from xsocket_tools.compare.report import check_writable, render, write
from xsocket_tools.compare.result import Result
from xsocket_tools.compare.situations import Situation
from xsocket_tools.compare.tables import show
from xsocket_tools.compare.trial import Trial, punctual


def made_up() -> Result:
    outcomes = {}
    for situation in Situation:
        for place, design in enumerate(Design):
            samples = [answered(each, 1 + place + each % 7, worker=each % 2) for each in range(50)]
            samples.append(lost(60, End.SILENT))
            what = event(5, 100) if situation in (Situation.STOPPED, Situation.KILLED) else None
            outcomes[design, situation] = Outcome(samples, what)
    return result(outcomes, claim=9, sent=8, acknowledged=7, returned=1, reset=0, late=1, cpu_us=4200)


@pytest.fixture(scope="module")
def page() -> str:
    return render(made_up())


@pytest.mark.runs("docs/explanation/compare.md", "text")
def test_the_tables_have_the_heads_and_rows_that_are_written_of(
    shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    show(made_up())
    assert rows(shown.text("text 1")) <= rows(capsys.readouterr().out)


def rows(tables: str) -> set[str]:
    """Return the heads, the situations, and the designs with a mark for all their figures."""
    figures = re.sub(r"(?<!\S)(?:(?:[\d.,]+%?|never|-)(?: +|(?!\S)))+", "#", tables)
    return {" ".join(line.split()) for line in figures.splitlines() if "─" not in line}


def test_the_page_fetches_nothing(page: str) -> None:
    elements = Elements(page)
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "a"}
    references = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster", "background")
    ]
    assert references
    assert [value for value in references if not (value or "").startswith("#")] == []
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "@import" not in page
    names_of_languages = set(re.findall(r'[\w:]+="(?:https?:)?//[^"]*"', page))
    assert {each.partition("=")[0] for each in names_of_languages} == {"xmlns", "xmlns:xlink"}


def test_every_identifier_is_there_once_and_every_reference_has_one(page: str) -> None:
    identifiers = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [each for each, count in identifiers.items() if count > 1] == []
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(
        identifiers
    )


def test_each_situation_has_a_plot_with_words_and_a_table(page: str) -> None:
    elements = Elements(page)
    plots = elements.named("svg")
    assert len(plots) == len(elements.named("table")) == len(Situation)
    for plot in plots:
        assert plot["role"] == "img"
        for name in (plot["aria-labelledby"] or "").split():
            assert re.search(rf'<(title|desc) id="{name}">[^<]{{20,}}<', page)
    assert page.count("Xsocket pool: half of the requests were answered within 7.00 ms") == len(Situation)


def test_the_plots_have_the_colours_of_the_page_in_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    used = set(re.findall(r"var\((--[\w-]+)\)", plots))
    assert used == {"--ink", "--grid", *(f"--{design.value}" for design in Design)}
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)
    assert set(re.findall(r"#[0-9a-f]{6}\b", plots)) <= {"#ffffff"}


def test_what_comes_from_elsewhere_cannot_break_the_page() -> None:
    found = made_up()
    strange = found._replace(notes=["<script>alert(1)</script>"])
    assert "<script>" not in render(strange)


def test_the_same_figures_make_the_same_page(page: str) -> None:
    assert render(made_up()) == page


def test_json_has_everything_and_no_infinity() -> None:
    plain = made_up().as_dict()
    text = json.dumps(plain, allow_nan=False)
    again = json.loads(text)
    assert again["version"] == 1
    assert len(again["trials"]) == len(Design) * len(Situation)
    first = again["trials"][0]
    assert (first["design"], first["situation"], first["pool"]) == ("shared", "even", None)
    assert first["first_ms"]["p99"] is None, "one of 51 was never answered"
    assert again["trials"][3]["pool"]["returned"] == 1
    assert {"expected", "holds", "figures"} == set(again["verdicts"][0])
    assert "Xsocket pool: the engine takes 600 us of processor time for each connection" in again["remarks"]
    assert any("taken back, and given to another" in each for each in again["remarks"])


def late(milliseconds: int) -> Trial:
    outcome = Outcome([answered(50, 1, planned_ns=(50 - milliseconds) * MS)], None)
    (trial,) = result({(Design.SHARED, Situation.EVEN): outcome}).trials
    return trial


def test_a_trial_whose_clients_were_late_is_run_again() -> None:
    attempts = iter([late(11), late(10), late(0)])
    trial = punctual(lambda: next(attempts))
    assert (trial.runs, trial.figures.late_ms.p99) == (2, 10)


def test_after_three_runs_the_last_one_counts_and_it_is_said() -> None:
    trial = punctual(lambda: late(11))
    assert trial.runs == 3
    remarks = result({})._replace(trials=[trial]).remarks
    assert "shared listener, even load: run 3 times, for the clients were late" in remarks
    assert any("11 ms late" in remark for remark in remarks)


def test_the_terminal_has_every_trial(capsys: pytest.CaptureFixture[str]) -> None:
    show(made_up())
    printed = capsys.readouterr().out
    assert [printed.count(situation.title) >= 2 for situation in Situation] == [True] * 4
    assert printed.count("reuseport-migrate") == 2 * len(Situation)
    assert "never" in printed
    assert str(inf) not in printed


def test_a_report_is_written(tmp_path: Path, page: str) -> None:
    where = tmp_path / "report.html"
    check_writable(where)
    assert not where.exists()
    write(made_up(), where)
    assert where.read_text() == page


def test_without_the_libraries_it_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = CliRunner().invoke(compare, ["--report", str(tmp_path / "report.html")]).exception
    assert isinstance(refused, ReportUnavailableError)
    assert refused.message == "a report takes matplotlib"
    assert 'pip install "xsocket[report]"' in refused.remedy


def test_where_nothing_can_be_written_nothing_is_measured(tmp_path: Path) -> None:
    refused = CliRunner().invoke(compare, ["--report", str(tmp_path / "none" / "report.html")]).exception
    assert isinstance(refused, CannotWriteError)
    assert "there is no directory" in refused.message


def test_a_load_that_cannot_be_made_is_refused() -> None:
    refused = CliRunner().invoke(compare, ["--requests", "10", "--crowd", "5"]).exception
    assert isinstance(refused, NotThatManyError)


@pytest.mark.parametrize(
    "arguments",
    [["--workers", "1"], ["--requests", "0"], ["--rate", "0"], ["--design", "fork"], ["--situation", "odd"]],
    ids=" ".join,
)
def test_what_makes_no_sense_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(compare, arguments).exit_code == 2
