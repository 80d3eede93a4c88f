"""The page about learning: its program, its file of letters, and the numbers that it names."""

import re

import pytest

from support.markdown import ROOT, blocks
from xsocket_tools.learning.alphabet import BUILT_IN, PEERS, alphabet_of, from_json
from xsocket_tools.learning.equivalence import MOST_STATES
from xsocket_tools.learning.learner import FEW_LETTERS

PAGE = ROOT / "docs/how-to/learn.md"
TEXT = PAGE.read_text()


def test_the_program_of_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(PAGE, "python")
    exec(compile(program.text, str(PAGE), "exec"), {})  # noqa: S102  # our own page
    shown = re.findall(r"# (.+)$", program.text, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:1] == shown
    assert printed[1] == "SYN, SYN - RFC 9293 3.10.7.4 fourth: another SYN where the third segment was due"


def test_the_letters_of_the_page_can_be_read() -> None:
    (letters,) = blocks(PAGE, "json")
    assert list(from_json(letters.text, PEERS["server"])) == ["SYN", "ACK", "late text", "take"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_page_says_how_many_letters_there_are(name: str) -> None:
    assert f"| `{name}` | {len(alphabet_of(name, 'server'))}: " in TEXT


def test_the_page_says_where_learning_ends() -> None:
    assert f"learning gives up at {MOST_STATES}." in TEXT
    assert f"for {FEW_LETTERS} letters or fewer" in TEXT
