"""What a trial and its clients say to each other, as JSON: orders, and what became of them. Values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple


class Order(NamedTuple):
    """What is to happen to a worker.

    Attributes:
        pid: To which process.
        after: Right after which request has been sent, by index.
        for_s: How long it is to be stopped, seconds; None: it is killed.
    """

    pid: int
    after: int
    for_s: float | None


class Event(NamedTuple):
    """What has happened to it.

    Attributes:
        began_ns: When the worker was stopped: the system's clock, nanoseconds.
        ended_ns: Right before it went on, or was killed.
        held: The clients' ports of the connections that it had taken.
    """

    began_ns: int
    ended_ns: int
    held: list[int]


class End(Enum):
    """What became of a request."""

    ANSWERED = "answered"
    RESET = "reset"
    CLOSED = "closed"
    """The stream ended without an answer."""
    SILENT = "silent"
    """Established, and nothing came in time."""
    UNCONNECTED = "unconnected"
    """Not established in time."""
    FAILED = "failed"
    """Something else: no port, no descriptor, an answer to another request."""


class Orders(NamedTuple):
    """What a load is to do.

    Attributes:
        address: The server's, IPv4.
        port: The server's.
        at_s: When requests are to come, in order, seconds after the first.
        warm_up: How many requests to make before, one after the other; nothing is said of them.
        patience_s: How long to wait for the first octet of an answer, from the SYN, seconds.
        disturbance: What to do to a worker.
    """

    address: str
    port: int
    at_s: Sequence[float]
    warm_up: int
    patience_s: float
    disturbance: Order | None


class Sample(NamedTuple):
    """One request. Instants are those of the system's clock, nanoseconds; None: it never came to that.

    Attributes:
        planned_ns: When it was to be sent.
        syn_ns: When it was.
        established_ns: When this process saw that the connection was established.
        first_ns: When the kernel received the first octet of the answer.
        end: What became of it.
        worker: Who answered.
        taken_ns: When the worker took the connection.
        port: The client's.
    """

    planned_ns: int
    syn_ns: int
    established_ns: int | None
    first_ns: int | None
    end: End
    worker: int | None
    taken_ns: int | None
    port: int


class Outcome(NamedTuple):
    """What became of a load.

    Attributes:
        samples: One for each request, in the order in which they were planned.
        event: What was done to a worker.
    """

    samples: list[Sample]
    event: Event | None


def orders_from(text: str) -> Orders:
    """Return what *text*, of JSON, says."""
    orders = Orders(**json.loads(text))
    return orders._replace(disturbance=orders.disturbance and Order(*orders.disturbance))


def orders_as_text(orders: Orders) -> str:
    """Return the JSON from which `orders_from` makes *orders*."""
    return json.dumps(orders._asdict())


def outcome_as_text(outcome: Outcome) -> str:
    """Return the JSON from which `outcome_from` makes *outcome*."""
    return json.dumps(outcome, default=lambda end: end.value)


def outcome_from(text: str) -> Outcome:
    """Return what *text*, of JSON, says."""
    samples, event = json.loads(text)
    return Outcome([_sample(*row) for row in samples], event and Event(*event))


def _sample(*row: Any) -> Sample:  # noqa: ANN401  # the fields, as JSON has them
    sample = Sample(*row)
    return sample._replace(end=End(sample.end))
