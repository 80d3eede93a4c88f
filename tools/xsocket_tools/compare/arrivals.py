"""When requests come: at random, and three times in a crowd. Pure; the same for the same seed.

The instants are fixed beforehand (an open loop): a server that lets clients wait gets no fewer requests for
it, as it would from clients that send the next one when they have the answer to the last.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Final, NamedTuple

from xsocket_tools.compare.errors import NotThatManyError
from xsocket_tools.compare.parameters import Parameters

CROWDS_AT: Final = (1 / 6, 1 / 2, 5 / 6)
"""At which parts of a trial a crowd comes: all of it at one instant."""


class Arrivals(NamedTuple):
    """The instants of one trial.

    Attributes:
        at_s: When each request is to come, in order, seconds after the beginning.
        crowds: For each crowd the index of the last of it.
    """

    at_s: list[float]
    crowds: list[int]


def arrivals(parameters: Parameters) -> Arrivals:
    """Return the instants at which the requests of a trial come.

    Those outside of crowds come independently of each other, as a Poisson process does whose number of
    events is known: each instant of the trial is as likely as any other.

    Raises:
        NotThatManyError: Three crowds have more members than there are requests.
    """
    requests, crowd, duration_s = parameters.requests, parameters.crowd, parameters.duration_s
    alone = requests - crowd * len(CROWDS_AT)
    if alone < 0:
        raise NotThatManyError(f"{len(CROWDS_AT)} crowds of {crowd} are more than {requests} requests")
    draw = random.Random(parameters.seed)
    instants = [draw.random() * duration_s for _ in range(alone)]
    crowds = [part * duration_s for part in CROWDS_AT]
    instants = sorted(instants + crowds * crowd)
    return Arrivals(instants, [max(bisect_right(instants, each) - 1, 0) for each in crowds])
