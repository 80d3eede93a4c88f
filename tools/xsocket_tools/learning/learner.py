"""Learning: AALpy's KV algorithm asks the words, and what it comes to gets the names that the stack has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aalpy.automata import MealyMachine, MealyState  # type: ignore[import-untyped]
from aalpy.learning_algs import run_KV  # type: ignore[import-untyped]

from xsocket_tools.fuzzing.case import rules_of
from xsocket_tools.fuzzing.target import Target
from xsocket_tools.learning.alphabet import Alphabet
from xsocket_tools.learning.asking import Teacher
from xsocket_tools.learning.equivalence import Asked, RandomWalks, WMethod
from xsocket_tools.learning.machine import Machine, Move, Table
from xsocket_tools.progress import Report

RULES: Final = rules_of(
    {
        "timestamps": False,
        "sack": False,
        "window_scaling": False,
        "invalid_ratelimit_s": 0,
        "challenge_ack_limit": 1 << 30,
        "syn_cookies": "never",
        "quickacks": 1 << 30,
    }
)
"""No options, and no limit on answers, as in `xsocket grid`: every letter is put as if it were the first."""
FEW_LETTERS: Final = 16
"""With no more letters than these, the W-method looks for one state more than there seem to be."""
W_METHOD: Final = "w-method"
"""As ``--equivalence`` has it; anything else are random walks."""


class Learned(NamedTuple):
    """A machine, and what it took.

    Attributes:
        machine: What was learned.
        queries: How many words were played.
        steps: How many letters they had, together.
    """

    machine: Machine
    queries: int
    steps: int


def learn(
    target: Target,
    alphabet: Alphabet,
    role: str,
    *,
    equivalence: str = W_METHOD,
    seed: int = 1,
    facts: dict[str, Any] | None = None,
    report: Report | None = None,
) -> Learned:
    """Learn the Mealy machine of *target*.

    Args:
        target: Whom to ask; it is begun anew for every word.
        alphabet: What to say.
        role: The target's: ``server`` or ``client``.
        equivalence: ``w-method``, or ``random-walk``.
        seed: Of the random walks.
        facts: About the target, for the machine.
        report: Is told how far it is; None for nobody.

    Raises:
        NonDeterminismError: The target contradicts itself.
        TooManyStatesError: There seems to be no end of states.
        LearningError: The target does not answer in time.
    """
    teacher = Teacher(target, alphabet, role, RULES)
    names = list(alphabet)
    asked = Asked(teacher)
    report = report or (lambda _: None)
    report("asking")
    if equivalence == W_METHOD:
        extra = int(len(names) <= FEW_LETTERS)
        oracle: WMethod | RandomWalks = WMethod(names, asked, report, extra=extra, seed=seed)
        how: dict[str, Any] = {"method": equivalence, "extra states": extra}
    else:
        oracle = RandomWalks(names, asked, report, seed=seed)
        how = {"method": equivalence, "seed": seed}
    found = run_KV(names, asked, oracle, "mealy", cache_and_non_det_check=False, print_level=0)
    table = _named(found, names, teacher.at_first)
    about = {"target": target.name, **(facts or {}), "equivalence": how}
    machine = Machine(about, role, dict(RULES), alphabet, next(iter(table)), table)
    return Learned(machine, teacher.queries, teacher.steps)


def _named(found: MealyMachine, names: list[str], at_first: str) -> Table:
    """Return the table of *found*, its states in the order of a breadth-first search, so that it is but one.

    A state has the name that the stack had for it when it was first reached.
    """
    labels: dict[MealyState, str] = {found.initial_state: at_first}
    for state in (waiting := [found.initial_state]):
        for letter in names:
            below = state.transitions[letter]
            if below not in labels:
                labels[below] = state.output_fun[letter].state
                waiting.append(below)
    by_state = dict(zip(labels, _numbered(labels.values()), strict=True))
    return {
        name: {
            letter: Move(state.output_fun[letter].output, by_state[state.transitions[letter]])
            for letter in names
        }
        for state, name in by_state.items()
    }


def _numbered(names: Iterable[str]) -> list[str]:
    """Return *names*, with a number behind the second of the same name, and each further one."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return numbered
