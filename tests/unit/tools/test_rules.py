"""The rules: what the engine cites is explained, what is explained is cited, and a person finds it."""

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import xsocket
from xsocket import DropReason, TcpConfig
from xsocket.state import Reply, State, Trigger
from xsocket.tcp.table import TABLE
from xsocket_tools.cli import main
from xsocket_tools.grid.cells import cells
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.report import answers
from xsocket_tools.rules.catalogue import Rule, catalogue, rules_in
from xsocket_tools.rules.citation import Citation, citations, cited_by_field, cited_by_reason
from xsocket_tools.rules.citing import Moves, citing
from xsocket_tools.rules.command import rules

KNOWN = catalogue()
ENGINE = Path(xsocket.__file__).parent
ORDERS = [*sorted((ENGINE / "tcp").glob("*.py")), ENGINE / "stack.py"]
"""The sources that order segments to be sent."""
LAYERS = {"Ethernet", "IEEE 802.1Q", "Admission", "neighbour table", "the kernel"}
"""What a drop reason names where neither an RFC nor a field of `TcpConfig` has the rule."""
NO_EVENT = {Citation(3168, "6.1.2"), Citation(9768, "3.1.2"), Citation(9768, "3.1.3")}
"""What a learner misses where it is not explained, although no segment and no move is its doing alone."""


def cited_in_sources() -> Iterator[str]:
    """Yield each string of the sources that is a citation and nothing else."""
    for source in ORDERS:
        for node in ast.walk(ast.parse(source.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and (text.startswith("RFC ") or "." in text) and citations(text):
                yield text


CITED = {
    *(each for move in TABLE.values() for each in citations(move.rule)),
    *(each for reason in DropReason for each in cited_by_reason(reason)),
    *(each for field in fields(TcpConfig) for each in cited_by_field(field.metadata["rule"])),
    *(each for text in cited_in_sources() for each in citations(text)),
    *(each for difference in DIFFERENCES for each in citations(difference.rule)),
}


# Citations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("3.10.7.4", [Citation(9293, "3.10.7.4")], id="a section that stands alone"),
        pytest.param("RFC 9293 3.10.7.4", [Citation(9293, "3.10.7.4")], id="the same with its RFC"),
        pytest.param("RFC 5961 section 5.2", [Citation(5961, "5.2")], id="the word section"),
        pytest.param("RFC 826", [Citation(826)], id="a whole RFC"),
        pytest.param(
            "3.10.7.4 second, 3)", [Citation(9293, "3.10.7.4", "second, 3)")], id="a case of a step"
        ),
        pytest.param(
            "3.5 figure 7, appendix A.2",
            [Citation(9293, "3.5", "figure 7"), Citation(9293, "appendix A.2")],
            id="two sections",
        ),
        pytest.param(
            "3.10.7.4 first, fourth",
            [Citation(9293, "3.10.7.4", "first"), Citation(9293, "3.10.7.4", "fourth")],
            id="two steps of a section",
        ),
        pytest.param("RFC 792, RFC 4443 2.4", [Citation(792), Citation(4443, "2.4")], id="two RFCs"),
        pytest.param("RFC 6675 5 step 4.3", [Citation(6675, "5", "step 4.3")], id="a step with a number"),
        pytest.param("RFC 7323 5.3 R1", [Citation(7323, "5.3", "R1")], id="a rule with a name"),
        pytest.param("RFC 9293 section 3.8.3 (R2)", [Citation(9293, "3.8.3")], id="a remark"),
        pytest.param("Ethernet", [], id="no citation"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_a_citation_is_taken_apart(text: str, expected: list[Citation]) -> None:
    assert list(citations(text)) == expected


@pytest.mark.parametrize("rule", KNOWN, ids=lambda rule: rule.key)
def test_a_key_is_what_the_engine_would_write(rule: Rule) -> None:
    assert citations(rule.key) == (rule.citation,)


def test_a_case_is_part_of_a_step_of_a_section_of_an_rfc() -> None:
    outer = Citation(9293, "3.10.7.4", "second, 3)").enclosing()
    assert [each.key for each in outer] == [
        "3.10.7.4 second",
        "3.10.7.4",
        "3.10.7",
        "3.10",
        "3",
        "RFC 9293",
    ]


@pytest.mark.parametrize(
    ("citation", "page"),
    [
        (Citation(9293, "3.10.7.4", "fifth"), "rfc9293.html#section-3.10.7.4"),
        (Citation(9293, "appendix A.2"), "rfc9293.html#appendix-A.2"),
        (Citation(826), "rfc826.html"),
    ],
)
def test_a_citation_leads_to_its_section(citation: Citation, page: str) -> None:
    assert citation.url == f"https://www.rfc-editor.org/rfc/{page}"


# What is in the catalogue


@pytest.mark.parametrize("citation", sorted(CITED), ids=lambda citation: citation.key)
def test_whatever_is_cited_is_explained(citation: Citation) -> None:
    assert citation in KNOWN


@pytest.mark.parametrize("rule", KNOWN, ids=lambda rule: rule.key)
def test_whatever_is_explained_is_cited_or_belongs_to_something_that_is(rule: Rule) -> None:
    citation = rule.citation
    holds_one = any(citation in each.enclosing() for each in CITED)
    is_step_beside_one = bool(citation.part) and any(each[:2] == citation[:2] and each.part for each in CITED)
    assert citation in CITED or holds_one or is_step_beside_one or citation in NO_EVENT


@pytest.mark.parametrize("rule", KNOWN, ids=lambda rule: rule.key)
def test_an_explanation_is_made_of_sentences(rule: Rule) -> None:
    assert all(each[0].isupper() and each[-1] in ".:" for each in rule.text.split("\n\n"))
    assert rule.title[-1] != "."


def test_keys_differ() -> None:
    keys = [rule.key for rule in KNOWN]
    assert sorted(set(keys)) == sorted(keys)


def test_rfc_9293_comes_first_and_sections_follow_one_another() -> None:
    numbers = [rule.citation.rfc for rule in KNOWN if not rule.citation.section]
    assert numbers == [9293, *sorted(set(numbers) - {9293})]
    assert [rule.citation.part for rule in KNOWN if rule.citation[:2] == (9293, "3.10.7.2")] == [
        *("", "first", "second", "third", "fourth")
    ]


@pytest.mark.parametrize("reason", DropReason, ids=lambda reason: reason.name)
def test_a_drop_reason_names_an_rfc_or_a_field_or_a_layer(reason: DropReason) -> None:
    head = reason.value.partition(": ")[0]
    names = {field.name for field in fields(TcpConfig)} | LAYERS
    assert cited_by_reason(reason) or head in names


def test_every_answer_of_the_grid_is_explained() -> None:
    given = {reason for answer in answers(cells()) for reason in answer.reasons}
    cited = {text: citations(text.partition(": ")[0]) for text in given}
    assert [text for text, each in cited.items() if not each or not all(one in KNOWN for one in each)] == []


def test_a_page_is_read_by_its_headings() -> None:
    page = "# RFC 1: One\n\nFirst\nparagraph.\n\nSecond.\n\n## 2.1 third: Two: three\n\nText.\n"
    assert list(rules_in(page)) == [
        Rule(Citation(1), "One", "First paragraph.\n\nSecond."),
        Rule(Citation(1, "2.1", "third"), "Two: three", "Text."),
    ]


@pytest.mark.parametrize(
    "heading", ["# 9293: T", "# RFC 1 2: T", "# RFC 1: T\n\n## 2, 3: T", "# RFC 1: T\n\n## two: T"]
)
def test_a_heading_is_one_place_in_an_rfc(heading: str) -> None:
    with pytest.raises(ValueError, match="not one place in an RFC"):
        list(rules_in(f"{heading}\n\nText.\n"))


# Who cites


def test_rows_of_the_table_that_are_alike_are_put_together() -> None:
    moves = citing(Citation(9293, "3.10.7.4", "second, 3)")).moves
    assert [(each.trigger, each.after, each.reply) for each in moves] == [
        (Trigger.RST_IN_WINDOW, None, Reply.CHALLENGE_ACK)
    ]
    assert len(moves[0].before) == 8


def test_a_rule_knows_who_cites_it() -> None:
    by = citing(Citation(9293, "3.6.1"))
    assert Moves(Trigger.ORPHAN_OVER, (State.FIN_WAIT_2,), State.CLOSED, None) in by.moves
    assert by.reasons == (DropReason.TEXT_AFTER_CLOSE,)
    assert by.fields == ("fin_timeout_s",)
    assert by.counts() == "4 moves, 1 drop reason, 1 field"


def test_a_rule_knows_where_linux_differs() -> None:
    by = citing(Citation(9293, "appendix A.2"))
    assert by.differences == ("old text or an old FIN that acknowledges our FIN",)


def test_what_cites_a_step_does_not_cite_its_section() -> None:
    assert citing(Citation(9293, "3.10.7.4")).counts() == ""


# What a person asks for


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("3.10.7.4", "3.10.7.4"),
        ("RFC 9293 3.10.7.4 Fifth", "3.10.7.4 fifth"),
        ("9293 section 3.10.7.4", "3.10.7.4"),
        ("9293", "RFC 9293"),
        ("rfc5961 §5.2", "RFC 5961 5.2"),
        ("5961  5.2", "RFC 5961 5.2"),
        ("5961", "RFC 5961"),
        ("791", "RFC 791"),
        ("a.2", "appendix A.2"),
        ("Appendix A.2", "appendix A.2"),
        ("7323 5.3 r1", "RFC 7323 5.3 R1"),
    ],
)
def test_a_rule_is_found_however_it_is_spelt(words: str, key: str) -> None:
    found = KNOWN.find(words)
    assert found is not None
    assert found.key == key


def test_a_section_is_explained_with_its_parts() -> None:
    result = CliRunner().invoke(rules, ["3.10.7.4"])
    assert result.exit_code == 0
    assert result.output.startswith("3.10.7.4  All other states\nof 3.10.7, A segment arrives\n")
    for ordinal in ("first", "second, 3)", "eighth"):
        assert f"3.10.7.4 {ordinal} " in result.output


def test_a_part_is_explained_with_who_cites_it() -> None:
    result = CliRunner().invoke(rules, ["3.10.7.4", "eighth"])
    assert "3.10.7.4 eighth  The FIN" in result.output
    assert "CLOSE-WAIT" in result.output
    assert "#section-3.10.7.4" in result.output


def test_a_citation_of_two_sections_is_explained_as_it_stands_in_a_trace() -> None:
    result = CliRunner().invoke(main, ["rules", "3.5 figure 7, appendix A.2", "--json"])
    assert [rule["rule"] for rule in json.loads(result.output)["rules"]] == ["3.5 figure 7", "appendix A.2"]


def test_an_rfc_is_explained_with_all_its_rules() -> None:
    (rule,) = json.loads(CliRunner().invoke(rules, ["5961", "--json"]).output)["rules"]
    assert rule["rule"] == "RFC 5961"
    assert rule["parts"] == ["RFC 5961 5.2", "RFC 5961 7"]


def test_json_has_who_cites_a_rule() -> None:
    (rule,) = json.loads(CliRunner().invoke(rules, ["3.10.7.4 eighth", "--json"]).output)["rules"]
    assert (rule["rfc"], rule["section"], rule["part"]) == (9293, "3.10.7.4", "eighth")
    assert rule["cited_by"]["moves"][0] == {
        "trigger": "FIN",
        "before": ["ESTABLISHED"],
        "after": "CLOSE-WAIT",
        "reply": "ACK",
    }


def test_without_a_rule_all_are_listed() -> None:
    listed = CliRunner().invoke(rules, [], env={"COLUMNS": "200"}).output
    assert all(rule.key in listed for rule in KNOWN)
    found = json.loads(CliRunner().invoke(rules, ["--json"]).output)["rules"]
    assert [rule["rule"] for rule in found] == [rule.key for rule in KNOWN]


def test_an_unknown_rule_is_wrong_usage_and_brings_those_near_it() -> None:
    result = CliRunner().invoke(main, ["rules", "3.10.7.9"])
    assert result.exit_code == 2
    assert "There is no rule '3.10.7.9'. Near: 3.10.7.4," in result.output


def test_what_is_near_nothing_brings_the_way_to_the_list() -> None:
    result = CliRunner().invoke(main, ["rules", "MUST-58"])
    assert result.exit_code == 2
    assert "Without RULE, all of them are listed." in result.output


def test_a_section_of_an_rfc_that_is_not_explained_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["rules", "RFC 5961 5.2, RFC 5961 9"])
    assert result.exit_code == 2
