"""Every reason to drop something has its own name and text, and somebody uses it."""

from collections import Counter
from pathlib import Path

import pytest

import xsocket
from xsocket.reasons import DropReason

ENGINE = Path(xsocket.__file__).parent


@pytest.fixture(scope="module")
def sources() -> str:
    return "\n".join(path.read_text() for path in ENGINE.rglob("*.py") if path.name != "reasons.py")


def test_texts_differ() -> None:
    assert [text for text, count in Counter(reason.value for reason in DropReason).items() if count > 1] == []


@pytest.mark.parametrize("reason", DropReason, ids=lambda reason: reason.name)
def test_each_reason_is_used(reason: DropReason, sources: str) -> None:
    assert f"DropReason.{reason.name}" in sources


def test_reasons_count() -> None:
    counted = Counter([DropReason.PAWS, DropReason.PAWS])
    assert counted[DropReason.PAWS] == 2
