"""Which connection of a played case is to which peer. It is read in frames: targets choose their ports."""

from __future__ import annotations

from collections.abc import Iterable

from xsocket.fourtuple import FourTuple
from xsocket_tools.fuzzing.case import Call, Say
from xsocket_tools.fuzzing.cast import PEERS, TARGET
from xsocket_tools.fuzzing.frames import Heard, read
from xsocket_tools.fuzzing.playing import Step

_LISTENING, _CLOSED, _REMOTE = 80, 5_000, 40_000


def connections(steps: Iterable[Step]) -> dict[int, FourTuple]:
    """Return the connection to each peer, the target's end first.

    Where no frame and no call shows it, the ports are made up: those that the engine in process has.
    """
    found = {peer: _made_up(peer) for peer in range(len(PEERS))}
    for step in steps:
        operation = step.operation
        if isinstance(operation, Say) and not operation.twist and step.frame is not None:
            heard = read(step.frame)
            if isinstance(heard, Heard):
                found[operation.peer] = heard.four_tuple.reversed
        elif isinstance(operation, Call) and operation.name == "claim" and step.answer is not None:
            value = step.answer.value
            if isinstance(value, FourTuple):
                found[operation.peer] = value
    return found


def _made_up(peer: int) -> FourTuple:
    who = PEERS[peer]
    port = _LISTENING if who.served else _CLOSED + peer
    return FourTuple(TARGET[who.version], port, who.address, _REMOTE + who.port)
