"""The page on case files: it has everything that a case may hold, with what it is."""

from collections.abc import Mapping, Sequence

import fuzz_cases_from_code as page
import pytest

from xsocket_tools.fuzzing.case import ACKNOWLEDGMENTS, CALLS, SEQUENCES
from xsocket_tools.fuzzing.options import TOKENS


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        pytest.param(SEQUENCES, page.SEQUENCE_TEXTS, id="sequence numbers"),
        pytest.param(ACKNOWLEDGMENTS, page.ACKNOWLEDGMENT_TEXTS, id="acknowledgment numbers"),
        pytest.param(CALLS, page.CALL_TEXTS, id="calls"),
        pytest.param(TOKENS, page.TOKEN_TEXTS, id="options"),
    ],
)
def test_every_name_has_a_text(names: Sequence[str], texts: Mapping[str, str]) -> None:
    assert set(names) == set(texts)


@pytest.mark.parametrize("name", page.OPERATIONS)
def test_every_field_of_an_operation_is_on_the_page(name: str) -> None:
    section = page.fuzz_cases().partition(f"### {name}\n")[2].partition("\n#")[0]
    assert [field for field in page.OPERATIONS[name]._fields if f"| `{field}` |" not in section] == []
