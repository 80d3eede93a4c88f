"""`Then`: what is known of a connection after its target has done otherwise than the rules have it."""

from __future__ import annotations

from enum import Enum


class Then(Enum):
    """What is known of a connection after a deviation that is allowed."""

    GOES_ON = "It is where the rules have it; only the answer was another."
    GONE = "It exists no longer."
    UNKNOWN = "It is not judged any more."
    LOST = "Nothing of the case is judged any more: it may matter to the others."

    __hash__ = object.__hash__
