"""Which connections are the kernel's, as its sockets live, end, and stay in TIME-WAIT."""

from math import inf
from typing import Final

import pytest

from xsocket.fourtuple import FourTuple
from xsocket.handoff.ledger import BUSY_FRAMES, CAPACITY, LOOK_AGAIN_S, Ledger
from xsocket.state import State

KEY: Final = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
OTHER: Final = KEY._replace(remote_port=40_001)
COOKIE: Final = 7
SINCE_NS: Final = 1000
ENDED_NS: Final = 2000


class Kernel:
    """Sockets, and how often one was asked for."""

    def __init__(self) -> None:
        self.sockets: dict[FourTuple, State] = {}
        self.asked = 0

    def __call__(self, four_tuple: FourTuple) -> State | None:
        self.asked += 1
        return self.sockets.get(four_tuple)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def ledger(kernel: Kernel) -> Ledger:
    made = Ledger(kernel, most_busy=2)
    made.add(KEY, COOKIE, SINCE_NS)
    kernel.sockets[KEY] = State.ESTABLISHED
    return made


def ended(ledger: Ledger, kernel: Kernel, state: State | None) -> None:
    """Let the socket end, and leave *state* behind."""
    assert ledger.end(COOKIE, now=0.0, now_ns=ENDED_NS) == KEY
    if state is None:
        del kernel.sockets[KEY]
    else:
        kernel.sockets[KEY] = state


def takes(ledger: Ledger, at_ns: int = ENDED_NS + 1, *, opens: bool = False) -> bool:
    return ledger.takes(KEY, at_ns, opens=opens)


def test_while_the_socket_lives_all_is_the_kernels(ledger: Ledger, kernel: Kernel) -> None:
    assert takes(ledger)
    assert (len(ledger), KEY in ledger, ledger.has(KEY), kernel.asked) == (1, True, True, 0)
    assert takes(ledger, opens=True)


@pytest.mark.parametrize("state", [None, State.TIME_WAIT])
def test_a_syn_may_come_before_word_of_the_end(ledger: Ledger, kernel: Kernel, state: State | None) -> None:
    """Its peer would have to send it again, a second later."""
    if state is None:
        del kernel.sockets[KEY]
    else:
        kernel.sockets[KEY] = state
    assert not takes(ledger, opens=True)
    assert ledger.end(COOKIE, 0.0, ENDED_NS) is None
    assert KEY not in ledger


def test_of_others_it_takes_nothing(ledger: Ledger, kernel: Kernel) -> None:
    assert not ledger.takes(OTHER, 0, opens=False)
    assert (ledger.has(OTHER), OTHER in ledger, ledger.cookie(OTHER), kernel.asked) == (False, False, None, 0)


def test_what_came_before_the_socket_could_get_it_was_missed(ledger: Ledger) -> None:
    assert [ledger.missed(KEY, at_ns) for at_ns in (SINCE_NS - 1, SINCE_NS, SINCE_NS + 1)] == [
        True,
        True,
        False,
    ]
    assert not ledger.missed(OTHER, 0)


def test_after_its_end_a_segment_is_the_engines(ledger: Ledger, kernel: Kernel) -> None:
    ended(ledger, kernel, None)
    assert not takes(ledger)
    assert KEY not in ledger


def test_what_came_while_it_lived_stays_the_kernels(ledger: Ledger, kernel: Kernel) -> None:
    """Looked at late, it would look like a stranger's, and be reset."""
    ended(ledger, kernel, None)
    assert takes(ledger, ENDED_NS)
    assert not takes(ledger, ENDED_NS + 1)


def test_a_syn_of_that_time_is_judged_by_what_the_kernel_has_now(ledger: Ledger, kernel: Kernel) -> None:
    ended(ledger, kernel, None)
    assert not takes(ledger, ENDED_NS, opens=True)


@pytest.mark.parametrize("state", [State.TIME_WAIT, State.FIN_WAIT_2], ids=lambda state: state.value)
def test_in_time_wait_segments_are_the_kernels(ledger: Ledger, kernel: Kernel, state: State) -> None:
    ended(ledger, kernel, state)
    assert takes(ledger)
    assert ledger.has(KEY)


def test_a_syn_ends_time_wait(ledger: Ledger, kernel: Kernel) -> None:
    ended(ledger, kernel, State.TIME_WAIT)
    assert not takes(ledger, opens=True)
    assert KEY not in ledger


def test_a_syn_in_fin_wait_2_is_the_kernels(ledger: Ledger, kernel: Kernel) -> None:
    ended(ledger, kernel, State.FIN_WAIT_2)
    assert takes(ledger, opens=True)


def test_another_sockets_end_changes_nothing(ledger: Ledger) -> None:
    assert ledger.end(COOKIE + 1, 0.0, ENDED_NS) is None
    assert ledger.cookie(KEY) == COOKIE


def test_what_was_handed_over_again_lives(ledger: Ledger, kernel: Kernel) -> None:
    ended(ledger, kernel, None)
    ledger.add(KEY, COOKIE + 1, SINCE_NS)
    kernel.sockets[KEY] = State.ESTABLISHED
    assert takes(ledger, opens=True)
    assert ledger.end(COOKIE, 0.0, ENDED_NS) is None
    assert ledger.cookie(KEY) == COOKIE + 1


def test_what_was_taken_back_is_the_engines(ledger: Ledger) -> None:
    ledger.remove(KEY)
    assert (takes(ledger), len(ledger), KEY in ledger) == (False, 0, False)


def test_when_word_was_lost_the_kernel_is_asked_for_each(ledger: Ledger, kernel: Kernel) -> None:
    third = KEY._replace(remote_port=40_002)
    ledger.add(OTHER, 8, SINCE_NS)
    ledger.add(third, 9, SINCE_NS)
    kernel.sockets[third] = State.TIME_WAIT
    assert ledger.review() == [8, 9]


def test_after_time_wait_it_is_forgotten(ledger: Ledger, kernel: Kernel) -> None:
    assert ledger.deadline == inf
    ended(ledger, kernel, State.TIME_WAIT)
    assert ledger.deadline == LOOK_AGAIN_S
    ledger.look_again(LOOK_AGAIN_S - 1)
    assert kernel.asked == 0
    ledger.look_again(LOOK_AGAIN_S)
    assert ledger.deadline == 2 * LOOK_AGAIN_S  # still there: asked again later
    del kernel.sockets[KEY]
    ledger.look_again(2 * LOOK_AGAIN_S)
    assert (KEY in ledger, ledger.deadline) == (False, inf)


def test_the_oldest_that_ended_make_room(kernel: Kernel) -> None:
    ledger = Ledger(kernel)
    for number in range(CAPACITY + 2):
        key = FourTuple.trusted("10.0.0.2", number // 60_000 + 1, "10.0.0.1", number % 60_000 + 1)
        ledger.add(key, number, SINCE_NS)
        ledger.end(number, 0.0, ENDED_NS)
    assert ledger.forgotten == 2


# Busy ones


def see(ledger: Ledger, four_tuple: FourTuple, frames: int) -> None:
    for _ in range(frames):
        ledger.takes(four_tuple, SINCE_NS, opens=False)


def test_a_connection_that_much_comes_for_is_busy(ledger: Ledger) -> None:
    see(ledger, KEY, BUSY_FRAMES - 1)
    assert ledger.take_busy() is None
    see(ledger, KEY, 1)
    assert ledger.take_busy() == [KEY]
    assert ledger.take_busy() is None


def test_at_its_end_it_is_busy_no_more(ledger: Ledger, kernel: Kernel) -> None:
    see(ledger, KEY, BUSY_FRAMES)
    assert ledger.take_busy() == [KEY]
    ended(ledger, kernel, None)
    assert ledger.take_busy() == []


def test_the_first_of_the_busy_make_room_and_may_come_back(ledger: Ledger) -> None:
    others = [KEY._replace(remote_port=port) for port in (1, 2)]
    for number, four_tuple in enumerate(others):
        ledger.add(four_tuple, number, SINCE_NS)
    for four_tuple in (KEY, *others):
        see(ledger, four_tuple, BUSY_FRAMES)
    assert ledger.take_busy() == others
    see(ledger, KEY, BUSY_FRAMES)
    assert ledger.take_busy() == [others[1], KEY]
