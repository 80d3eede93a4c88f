"""What a rule wants to see in answer to a step."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from xsocket_tools.fuzzing.oracle.rules import Rule


class Want(Enum):
    """What sort of answer; text may go beside each but a reset, if there is any to send."""

    SILENCE = "no answer"
    RESET = "a reset"
    OWN_RESET = "a reset at SND.NXT"
    SYN = "a SYN"
    SYN_ACK = "a SYN+ACK"
    ACK = "an ACK"
    ACK_SOON = "an ACK, at once or within half a second"
    TEXT = "text, at once"
    LAST_WORDS = "whatever was left to send, and no more"
    FIN_AND_RESET = "a reset at SND.NXT, after whatever else"
    CHALLENGE = "a challenge ACK"
    CHALLENGE_OR_NOT = "a challenge ACK, or silence for the sake of its limit"

    __hash__ = object.__hash__


class Expected(NamedTuple):
    """The answer that a rule wants.

    Attributes:
        rule: Which rule.
        want: What sort of answer.
        seq, ack: Numbers of a reset that answers a stranger; None for no ACK.
        others: Connections of other peers that are reset meanwhile, to make room.
    """

    rule: Rule
    want: Want
    seq: int = 0
    ack: int | None = None
    others: tuple[int, ...] = ()
