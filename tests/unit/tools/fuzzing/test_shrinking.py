"""Cases made small: nothing is left that could be left out, and what is left still finds the same."""

import pytest

from xsocket.segment import ACK, FIN, SYN
from xsocket_tools.fuzzing.case import Call, Case, Icmp, Operation, Place, Say, Tick
from xsocket_tools.fuzzing.shrinking import shrunk

SYN_0 = Say(0, SYN, options=("mss 1460", "ts"), window=10)
ODD = Say(0, ACK | FIN, Place("right"), Place("left"), 100, ("ts",), 10, 5, 1, "trailer")
NOISE: tuple[Operation, ...] = (Tick(7.5), Call(1, "claim"), Icmp(2, "too big", quoted=8), Say(1, SYN))
CASE = Case((*NOISE, SYN_0, *NOISE, *NOISE, ODD, *NOISE), (("rmem", 1000), ("sack", False)), 77, 9)


def has_syn_then_fin(case: Case) -> bool:
    said = [each.flags for each in case.operations if isinstance(each, Say) and each.peer == 0]
    return SYN in said and bool(said[said.index(SYN) :]) and said[-1] & FIN != 0


def test_what_does_not_matter_is_left_out_or_as_usual() -> None:
    small = shrunk(CASE, has_syn_then_fin)
    assert small == Case((Say(0, SYN), Say(0, ACK | FIN)), (), 1000, 0)


def test_what_matters_stays() -> None:
    def finds(case: Case) -> bool:
        return (
            any(isinstance(each, Say) and "ts" in each.options and each.text > 1 for each in case.operations)
            and ("rmem", 1000) in case.rules
        )

    small = shrunk(CASE, finds)
    (operation,) = small.operations
    assert isinstance(operation, Say)
    assert (operation.options, operation.text, operation.seq) == (("ts",), 100, Place("next"))
    assert small.rules == (("rmem", 1000),)


def test_none_of_its_operations_can_be_left_out() -> None:
    small = shrunk(CASE, lambda case: len(case.operations) >= 5)
    assert len(small.operations) == 5


@pytest.mark.parametrize("most", [0, 1, 5, 30])
def test_it_asks_no_more_often_than_it_may(most: int) -> None:
    asked = []

    def finds(case: Case) -> bool:
        asked.append(case)
        return has_syn_then_fin(case)

    small = shrunk(CASE, finds, most)
    assert len(asked) <= most
    assert has_syn_then_fin(small)


def test_it_is_the_same_every_time() -> None:
    assert shrunk(CASE, has_syn_then_fin) == shrunk(CASE, has_syn_then_fin)
