"""What an end holds besides one connection: half-open ones, the pool or queues, claims, and whose each is."""

from __future__ import annotations

from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import SYNCHRONIZED, State
from xsocket.trace import EventKind
from xsocket_tools.ladder import endpoint
from xsocket_tools.steps import Step as Recorded
from xsocket_tools.teaching.story import Tables

WAITING_CLAIMS: Final = {"claim_waits": 1, "claim_ends": -1}
"""Events of the pool that are no step of their own, and how many more claims wait after each."""


class Held:
    """What one end holds besides one connection."""

    waiting_claims: int | None = 0

    def __init__(self) -> None:
        self.half_open: dict[FourTuple, None] = {}
        self.pool: dict[FourTuple, None] = {}
        self.claimed = 0
        self.owners: dict[FourTuple, str] = {}

    def follow(self, step: Recorded, name: FourTuple) -> None:
        """Take note of what happened to the connection *name*."""
        event = step.event
        if event.pool_event in ("put", "given_back"):
            self.pool[name] = None
        elif event.pool_event is not None:
            self.claimed += event.pool_event == "claimed"
            self.pool.pop(name, None)
        elif step.after is State.SYN_RECEIVED:
            if event.info is None or event.info.passive:
                self.half_open[name] = None
        elif step.after is not None:
            self.half_open.pop(name, None)

    def own(self, step: Recorded, name: FourTuple, worker: str) -> None:
        """Let a connection be a worker's from now on, or nobody's any more."""
        if worker:
            self.owners[name] = worker
        elif step.event.pool_event == "given_back" or step.after is State.CLOSED:
            self.owners.pop(name, None)

    def end(self, worker: str) -> None:
        """Forget what a worker had, and what waited for it alone."""
        for name in [each for each, owner in self.owners.items() if owner == worker]:
            for held in (self.half_open, self.pool, self.owners):
                held.pop(name, None)

    def tables(self) -> Tables:
        """Return it as it is shown."""
        half_open, pool = (tuple(endpoint(*key[2:]) for key in held) for held in (self.half_open, self.pool))
        owners = tuple((endpoint(*key[2:]), worker) for key, worker in self.owners.items())
        return Tables(half_open, pool, self.claimed, self.waiting_claims, owners)


class Queues(Held):
    """What a kernel's listener holds: its two queues. It does not say who waits in `accept`."""

    waiting_claims = None

    def follow(self, step: Recorded, name: FourTuple) -> None:
        """See `Held.follow`."""
        if step.event.pool_event == "given":
            return
        if step.event.pool_event is not None:
            self.half_open.pop(name, None)  # with Fast Open it is accepted before the third segment
            self.pool.pop(name, None)
            self.claimed += 1
        elif step.after is State.SYN_RECEIVED:
            if step.before is State.LISTEN:
                self.half_open[name] = None
        elif name in self.half_open or step.before is State.LISTEN:  # the latter with a SYN cookie
            self.half_open.pop(name, None)
            if step.after in SYNCHRONIZED:
                self.pool[name] = None
        elif step.event.kind is EventKind.SENT and step.after is State.CLOSED:
            self.pool.pop(name, None)  # its listener was closed; what a peer resets can be accepted still
