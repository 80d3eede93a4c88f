"""The one layout of scripts: spelling and columns change; meaning, comments and paragraphs do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from support.markdown import ROOT
from xsocket_tools.cli import main
from xsocket_tools.scenarios.errors import BROKEN_STATUS, ScriptSyntaxError
from xsocket_tools.scenarios.formatting import formatted
from xsocket_tools.scenarios.reading import read

UNTIDY = "0  socket(...,SOCK_STREAM , IPPROTO_TCP)=3\n+.1 < S  0:0(0)  win 1000\n"
TIDY = "0       socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0.1    < S 0:0(0) win 1000\n"


def after(source: str) -> str:
    """Format *source*, which has to stay as it is the second time."""
    result = formatted(source)
    assert formatted(result) == result
    return result


def test_what_happens_stands_in_one_column() -> None:
    assert after(UNTIDY) == TIDY


@pytest.mark.parametrize(
    ("source", "result"),
    [
        pytest.param(".1 silence", "0.1     silence", id="no-digit-before-the-point"),
        pytest.param("0.000 silence", "0       silence", id="zeroes"),
        pytest.param("+ 0.020001 silence", "+0.020001 silence", id="longer-than-the-column"),
        pytest.param("* > . 1:1(0)", "*       > . 1:1(0)", id="any-time"),
        pytest.param("+0~ +.3 > . 1:1(0)", "+0~+0.3 > . 1:1(0)", id="range"),
        pytest.param("+0 ... 0.20 close(3) = 0", "+0...0.2 close(3) = 0", id="end-of-a-blocking-call"),
        pytest.param("on kernel , wire :+0 silence", "on wire, kernel: +0 silence", id="guard"),
        pytest.param("0 > PF. 1:1(0)", "0       > FP. 1:1(0)", id="flags"),
        pytest.param("0 < (ect0,tos 2) . 1:1(0) win 5", "0       < [ect0, tos 0x2] . 1:1(0) win 5", id="ip"),
        pytest.param("0 silence 1 silence", "0       silence\n1       silence", id="two-on-a-line"),
        pytest.param("0 socket(\n...,\n1, 6)\n= 3", "0       socket(..., 1, 6) = 3", id="one-on-three-lines"),
        pytest.param(
            '-D=A="x y"   --mss=9\n0 f(A)=0', '-D=A="x y"\n--mss=9\n0       f(A) = 0', id="names-stay"
        ),
        pytest.param("--D=C=`ls`\n+0 C", "-D=C=`ls`\n+0      C", id="named-commands-stay"),
        pytest.param(
            'on  engine:xfail   "why"\n0 silence', 'on engine: xfail "why"\n0       silence', id="verdict"
        ),
    ],
)
def test_spelling_is_canonical(source: str, result: str) -> None:
    assert after(source) == f"{result}\n"


@pytest.mark.parametrize(
    ("source", "result"),
    [
        pytest.param("  // one\n0 silence", "// one\n0       silence", id="a-line-of-its-own"),
        pytest.param("0 silence // why", "0       silence  // why", id="behind"),
        pytest.param("0 silence /* a */ // b  ", "0       silence  /* a */ // b", id="two-behind"),
        pytest.param("0 silence\n// end", "0       silence\n// end", id="at-the-end"),
        pytest.param("/* a */ 0 silence", "/* a */\n0       silence", id="in-front"),
        pytest.param(
            "0 f(3, /* why */ 4)  = 0", "0       f(3, /* why */ 4)  = 0", id="inside-a-call-kept-as-it-is"
        ),
        pytest.param(
            "0 f(3, // why\n   4)=0", "0       f(3, // why\n   4)=0", id="line-comment-inside-a-call"
        ),
        pytest.param("0 /* when */ silence", "0 /* when */ silence", id="between-time-and-action"),
        pytest.param(
            "  /* a\n   * b  \n   */\n0 silence",
            "/* a\n * b\n */\n0       silence",
            id="several-lines-move-together",
        ),
        pytest.param(
            "0 silence // a\n1 pool == 1 // b\n\n2 silence // c",
            "0       silence    // a\n1       pool == 1  // b\n\n2       silence  // c",
            id="in-a-column-within-a-paragraph",
        ),
        pytest.param(
            '0 f("// no /* comment") = 0', '0       f("// no /* comment") = 0', id="not-in-a-string"
        ),
        pytest.param(
            "--aa=http://b // c\n0 silence", "--aa=http://b  // c\n0       silence", id="not-in-a-flag"
        ),
    ],
)
def test_comments_stay_where_they_are(source: str, result: str) -> None:
    assert after(source) == f"{result}\n"


def test_paragraphs_stay_apart_by_one_line() -> None:
    source = "\n\n// a\n\n\n\n0 silence\n1 silence\n\n\n// b\n2 silence\n\n\n"
    assert after(source) == "// a\n\n0       silence\n1       silence\n\n// b\n2       silence\n"


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param("0       %{\nfor each in range(3):\n    print(each)  \n}%\n", id="code"),
        pytest.param("0       `one\n    two \\` three\n`\n", id="command"),
        pytest.param(
            "`../common/defaults.sh\n  ../common/set_sysctls.py a=1`\n\n0       silence\n", id="untimed"
        ),
        pytest.param("0       > . 1:1(0)! ack 1\n", id="mark-behind-numbers"),
        pytest.param("0       > S 0:0(0) <mss 1460, FO COOKIE>\n", id="named-cookie"),
        pytest.param("0       > S 0:0(0) <nocheck>\n", id="unchecked-options"),
        pytest.param("0       > ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0) // a part of it\n", id="tunnel"),
        pytest.param("0       < S 0:0(0) win 5 {[TCP SEQ 0:3 1]}\n", id="mutation"),
        pytest.param(
            "0       sendmsg(4, {" + "msg_flags=0,\n    " * 12 + "msg_flags=0}, 0)=1\n", id="long-call"
        ),
    ],
)
def test_what_has_a_layout_of_its_own_keeps_it(kept: str) -> None:
    assert after(kept) == kept


BLANKS = st.sampled_from([" ", "\t", "  ", "\n", "\n\n\n", " // c\n", "/* d\n  e */", "\n  // f\n"])
SCRIPT = """
--mss=1000
`true`
on kernel: xfail "// because"
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.2 connect(3, ..., ...) = -1 EINPROGRESS
*  > S 0:0(0) win 5 <mss 1460,nop,wscale 7>
+.1 < S. 0:0(0) ack 1 win 5 <mss 1460>
on wire: +0 state ESTABLISHED
+0 %{ assert tcpi_rto, "/*" }%
+0 read(3, "abc"..., O_RDWR|O_NONBLOCK) = 3
`false`
"""
GAP = re.compile(r"(?<=,) ?|(?<=[a-z]\()|\n")
GAPS = [(match.start(), match.end()) for match in GAP.finditer(SCRIPT, SCRIPT.index("on"), len(SCRIPT) - 1)]


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GAPS), BLANKS), max_size=8, unique_by=lambda pair: pair[0]))
def test_comments_and_blanks_anywhere_survive_and_change_nothing(
    changes: list[tuple[tuple[int, int], str]],
) -> None:
    source = SCRIPT
    for (start, end), blank in sorted(changes, reverse=True):
        source = source[:start] + (blank if "\n" in blank else f"\n{blank}\n") + source[end:]
    result = after(source)
    comments = re.compile(r"(?<![\"/])//[^\n]*|/\* d")
    assert len(comments.findall(result)) == len(comments.findall(source))


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "tests" / "scenarios").iterdir()))
def test_scripts_of_the_library_can_be_formatted(name: str) -> None:
    scripts = [path.read_text() for path in (ROOT / "tests" / "scenarios" / name).rglob("*.pkt")]
    assert [len(read(after(script)).events) for script in scripts] == [
        len(read(each).events) for each in scripts
    ]


def test_a_broken_script_is_named_with_line_and_column() -> None:
    with pytest.raises(ScriptSyntaxError, match=r"^some\.pkt:2:6: ") as caught:
        formatted("0 silence\n+0 < Q 0:0(0)\n", "some.pkt")
    assert caught.value.exit_status == BROKEN_STATUS


# The command


def fmt(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, ["fmt", *arguments], input=text)


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "untidy.pkt"
    path.parent.mkdir()
    path.write_text(UNTIDY)
    (tmp_path / "tidy.pkt").write_text(TIDY)
    return path


def test_scripts_are_formatted_in_place(untidy: Path, tmp_path: Path) -> None:
    done = fmt(str(tmp_path))
    assert (done.exit_code, done.output) == (0, f"formatted {untidy}\n")
    assert untidy.read_text() == TIDY
    assert read(TIDY).events[1].line == 2


def test_check_names_what_would_change_and_writes_nothing(untidy: Path, tmp_path: Path) -> None:
    done = fmt("--check", str(tmp_path))
    assert (done.exit_code, done.output) == (1, f"would change {untidy}\n")
    assert untidy.read_text() == UNTIDY


def test_check_of_what_is_tidy_is_silent(tmp_path: Path) -> None:
    (tmp_path / "tidy.pkt").write_text(TIDY)
    done = fmt("--check", str(tmp_path / "tidy.pkt"))
    assert (done.exit_code, done.output) == (0, "")


def test_diff_shows_the_change_and_writes_nothing(untidy: Path) -> None:
    done = fmt("--diff", str(untidy))
    assert done.exit_code == 0
    assert "\n-+.1 < S  0:0(0)  win 1000\n" in done.output
    assert "\n++0.1    < S 0:0(0) win 1000\n" in done.output
    assert untidy.read_text() == UNTIDY


def test_a_dash_is_standard_input() -> None:
    assert fmt("-", text=UNTIDY).output == TIDY
    assert fmt("--check", "-", text=UNTIDY).exit_code == 1


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        pytest.param("0 close(", BROKEN_STATUS, "the script ends too soon", id="broken"),
        pytest.param(None, 2, "cannot read", id="missing"),
        pytest.param("directory", 2, "there is no *.pkt in", id="nothing-to-format"),
    ],
)
def test_what_cannot_be_formatted_is_an_error(
    text: str | None, status: int, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.pkt"
    if text == "directory":
        path = tmp_path
    elif text is not None:
        path.write_text(text)
    done = fmt(str(path))
    assert (done.exit_code, words in done.output) == (status, True), done.output


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c", "\x1d"])
def test_only_a_line_feed_ends_a_line(mark: str) -> None:
    comment = f"// one{mark}line\n"
    assert formatted(f"{comment}0 silence\n") == f"{comment}0       silence\n"
    with pytest.raises(ScriptSyntaxError) as raised:
        read(f"{comment}0 silence\n+0 nonsense here\n")
    assert (raised.value.line, raised.value.text) == (3, "+0 nonsense here")
