"""The page about learning: its program, its file of letters, and the numbers that it names."""

import re

import pytest

from support.documents import Shown, executed
from support.markdown import ROOT
from xsocket_tools.learning.alphabet import BUILT_IN, PEERS, alphabet_of, from_json
from xsocket_tools.learning.equivalence import MOST_STATES
from xsocket_tools.learning.learner import FEW_LETTERS

PAGE = ROOT / "docs/how-to/learn.md"
TEXT = PAGE.read_text()


@pytest.mark.runs("docs/how-to/learn.md", "python")
def test_the_program_of_the_page_prints_what_it_says(shown: Shown) -> None:
    (program,) = shown.blocks()
    said = re.findall(r"# (.+)$", program.text, re.MULTILINE)
    printed = executed(program, {}).splitlines()
    assert printed[:1] == said
    assert printed[1] == "SYN, SYN - RFC 9293 3.10.7.4 fourth: another SYN where the third segment was due"


@pytest.mark.runs("docs/how-to/learn.md", "json")
def test_the_letters_of_the_page_can_be_read(shown: Shown) -> None:
    assert list(from_json(shown.text("json 1"), PEERS["server"])) == ["SYN", "ACK", "late text", "take"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_page_says_how_many_letters_there_are(name: str) -> None:
    assert f"| `{name}` | {len(alphabet_of(name, 'server'))}: " in TEXT


def test_the_page_says_where_learning_ends() -> None:
    assert f"learning gives up at {MOST_STATES}." in TEXT
    assert f"for {FEW_LETTERS} letters or fewer" in TEXT
