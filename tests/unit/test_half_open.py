"""The half-open table counts what each source has, and remembers no source that has nothing."""

from support.pair import MSS
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.half_open import HalfOpenTable
from xsocket.tcp.tcb import Tcb


def tcb(remote: str, port: int) -> Tcb:
    local = "fd00::2" if ":" in remote else "10.0.0.2"
    name = FourTuple(local, 80, remote, port)
    return Tcb(name, TcpConfig(), iss=0, ts_offset=0, rcv_mss=MSS[name.family], passive=True)


def test_sources_are_forgotten_with_their_last_connection() -> None:
    table = HalfOpenTable(by_source=True)
    made = [tcb(remote, port) for remote in ("10.0.0.1", "fd00::1", "fd00::9") for port in (1, 2)]
    for each in made:
        table.add(each)
    assert [table.from_source(each.four_tuple) for each in made] == [2, 2, 4, 4, 4, 4]
    assert table.sources == 2
    for each in made:
        table.discard(each.four_tuple)
        table.discard(each.four_tuple)
    assert (len(table), table.sources, table.high_water) == (0, 0, 6)


def test_sources_are_not_counted_unless_somebody_asks() -> None:
    table = HalfOpenTable(by_source=False)
    table.add(tcb("10.0.0.1", 1))
    assert table.from_source(tcb("10.0.0.1", 2).four_tuple) == 0
    assert table.sources == 0


def test_the_oldest_is_the_first_that_is_left() -> None:
    table = HalfOpenTable(by_source=False)
    first, second = tcb("10.0.0.1", 1), tcb("10.0.0.1", 2)
    table.add(first)
    table.add(second)
    assert table.oldest() is first
    table.discard(first.four_tuple)
    assert table.oldest() is second


def test_counting_can_begin_and_end_later() -> None:
    table = HalfOpenTable(by_source=False)
    first, second = tcb("10.0.0.1", 1), tcb("10.0.0.1", 2)
    table.add(first)
    table.count_sources(wanted=True)
    table.add(second)
    assert table.from_source(first.four_tuple) == 2
    table.count_sources(wanted=False)
    assert table.from_source(first.four_tuple) == 0
