"""Learning as tests see it: stored machines against those learned anew, in words."""

import time

from xsocket_tools.fuzzing.target import Target
from xsocket_tools.learning.alphabet import alphabet_of
from xsocket_tools.learning.asked import facts_of
from xsocket_tools.learning.differences import compare
from xsocket_tools.learning.learner import learn
from xsocket_tools.learning.machine import Machine, load

STORED = (
    ("server", "basic"),
    ("server", "invalid"),
    ("server", "flags"),
    ("server", "calls"),
    ("client", "basic"),
    ("client", "calls"),
)
"""Role and alphabet of each machine that is stored, for the engine and for Linux."""


def check_stored(target: Target, prefix: str, role: str, alphabet: str) -> float:
    """Learn *target* anew, and fail with the words that tell it from the stored machine; return the seconds.

    ``xsocket learn --output`` writes the stored one anew, if the change is wanted.
    """
    stored, began = load(f"{prefix}-{role}-{alphabet}"), time.perf_counter()
    learned = learn(target, alphabet_of(alphabet, role), role, facts=facts_of(target.name)).machine
    took_s = time.perf_counter() - began
    assert told_apart(stored, learned) == [], f"the machine {prefix}-{role}-{alphabet} has changed"
    assert list(learned.table) == list(stored.table)
    assert learned.table == stored.table
    assert (learned.alphabet, learned.rules) == (stored.alphabet, stored.rules)
    return took_s


def told_apart(stored: Machine, learned: Machine) -> list[str]:
    """Return the words that tell the two apart, each as a line with both answers and the rule."""
    return [
        f"{', '.join(each.word)}: stored {each.first[-1].output}, learned {each.second[-1].output}; "
        f"{each.letter} in {' / '.join(each.states)}, {each.rule}"
        for each in compare(stored, learned).differences
    ]
