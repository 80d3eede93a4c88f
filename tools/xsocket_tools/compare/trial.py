"""One design in one situation, in a lab of its own; and all of them, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from xsocket_netns import Host, Lab
from xsocket_tools.compare.arrivals import Arrivals, arrivals
from xsocket_tools.compare.children import PATIENCE_S, Child
from xsocket_tools.compare.designs import ADDRESS, PORT, Design, Serving, serving
from xsocket_tools.compare.errors import ProcessFailedError
from xsocket_tools.compare.measurement import Figures, measure
from xsocket_tools.compare.messages import Order, Orders, Outcome, orders_as_text, outcome_from
from xsocket_tools.compare.parameters import Parameters
from xsocket_tools.compare.situations import ODD, Situation

CLIENT_ADDRESS: Final = "10.0.0.1"
WARM_UP_EACH: Final = 5
"""Requests for each worker before those that count: code is loaded, and stations know each other."""
MOST_RUNS: Final = 3
"""How often a trial is run until the clients are on time; after that the last run counts."""


class Trial(NamedTuple):
    """One design in one situation.

    Attributes:
        design: Which.
        situation: Which.
        outcome: What became of each request.
        figures: What that comes to.
        pool: What the pool's server counted; nothing without a pool.
        runs: How many it took until the clients were on time, `MOST_RUNS` at most; the last one is this.
    """

    design: Design
    situation: Situation
    outcome: Outcome
    figures: Figures
    pool: dict[str, int]
    runs: int = 1


def trials(
    designs: Sequence[Design],
    situations: Sequence[Situation],
    parameters: Parameters,
    on_begin: Callable[[str], object],
) -> Iterator[Trial]:
    """Run all of them, for each situation one design after the other: what the machine else does hits all.

    Args:
        designs: Which.
        situations: Which.
        parameters: With what.
        on_begin: Called before each, with what it is.

    Raises:
        ProcessFailedError: A process did not start, or did not do what it was for.
    """
    plan = arrivals(parameters)
    for situation in situations:
        for design in designs:
            on_begin(f"{situation.title}: {design.title}")
            yield punctual(partial(run, design, situation, parameters, plan))


def punctual(attempt: Callable[[], Trial]) -> Trial:
    """Run a trial, and again while its clients are late; see the decision on late runs."""
    for runs in range(1, MOST_RUNS + 1):
        trial = attempt()._replace(runs=runs)
        if not trial.figures.is_late:
            break
    return trial


def run(design: Design, situation: Situation, parameters: Parameters, plan: Arrivals) -> Trial:
    """Run one."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.link(client, server, addresses=([f"{CLIENT_ADDRESS}/24"], [f"{ADDRESS}/24"]))
        block_s = parameters.slow_s if situation is Situation.SLOW else 0.0
        with serving(design, server, link["server"].name, parameters.workers, block_s) as at_work:
            outcome = _loaded(client, _orders(at_work, situation, parameters, plan))
            ended, pool = at_work.stop()
    _check_ended(ended, situation)
    return Trial(design, situation, outcome, measure(outcome, parameters.workers), pool)


def _orders(at_work: Serving, situation: Situation, parameters: Parameters, plan: Arrivals) -> Orders:
    disturbance = None
    if situation.disturbed_with is not None:
        for_s = parameters.stop_s if situation is Situation.STOPPED else None
        disturbance = Order(at_work.pids[ODD], plan.crowds[situation.disturbed_with], for_s)
    return Orders(
        ADDRESS, PORT, plan.at_s, WARM_UP_EACH * parameters.workers, parameters.patience_s, disturbance
    )


def _loaded(client: Host, orders: Orders) -> Outcome:
    """Let clients carry out *orders*."""
    clients = Child(client, "xsocket_tools.compare.load")
    longest_s = orders.at_s[-1] + (orders.warm_up + 2) * orders.patience_s + PATIENCE_S
    return outcome_from(clients.finish(orders_as_text(orders), longest_s))


def _check_ended(ended: Sequence[int], situation: Situation) -> None:
    """Raise if a worker ended that was not killed: nothing would follow from the figures then."""
    if set(ended) - ({ODD} if situation is Situation.KILLED else set()):
        raise ProcessFailedError("a worker ended by itself")
