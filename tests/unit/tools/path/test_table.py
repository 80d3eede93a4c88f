"""Tables of middleboxes: bounded, by policy, and forgetful; everything counted."""

from math import inf

import pytest

from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.table import Table, WhenFull


def test_a_full_table_refuses_what_is_new() -> None:
    table: Table[int, str] = Table(2)
    assert [table.put(0.0, key, str(key)) for key in (1, 2, 3, 2)] == [True, True, False, True]
    assert [table.get(0.0, key) for key in (1, 2, 3)] == ["1", "2", None]
    assert table.counts() == {"entries": 2, "expired": 0, "evicted": 0, "refused": 1}


def test_or_forgets_what_was_idle_for_longest() -> None:
    lost: list[tuple[int, str]] = []
    table: Table[int, str] = Table(2, inf, WhenFull.EVICT, lambda *entry: lost.append(entry))
    table.put(0.0, 1, "1")
    table.put(1.0, 2, "2")
    table.get(2.0, 1)
    assert table.put(3.0, 3, "3")
    assert [table.get(3.0, key) for key in (1, 2, 3)] == ["1", None, "3"]
    assert table.counts() == {"entries": 2, "expired": 0, "evicted": 1, "refused": 0}
    assert lost == [(2, "2")]


def test_an_entry_stays_for_as_long_as_it_is_used() -> None:
    table: Table[int, str] = Table(idle_s=10)
    table.put(0.0, 1, "1")
    assert table.get(9.0, 1) == "1"
    assert table.get(18.0, 1) == "1"
    assert table.get(28.0, 1) is None
    assert table.counts()["expired"] == 1
    assert len(table) == 0


def test_an_entry_can_be_discarded() -> None:
    table: Table[int, str] = Table()
    table.put(0.0, 1, "1")
    table.discard(1)
    table.discard(1)
    assert table.get(0.0, 1) is None


@pytest.mark.parametrize(("limit", "idle_s"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_a_table_without_room_or_time_is_refused(limit: int, idle_s: float) -> None:
    with pytest.raises(BadElementError):
        Table(limit, idle_s)
