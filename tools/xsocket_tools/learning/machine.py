"""A Mealy machine as a value, and as JSON: states by the stack's own names, and what letters do in each."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from xsocket_tools.learning.alphabet import PEERS, Alphabet, as_list, from_list
from xsocket_tools.learning.errors import AlphabetError, MachineError

VERSION: Final = 1
"""Of the file format. A file of a later version is refused, never guessed at."""
MOST_OCTETS: Final = 20_000_000
"""The largest file of a machine that is read."""


class Move(NamedTuple):
    """What a letter does.

    Attributes:
        output: What is answered, in the words of `notation`.
        to: The state after.
    """

    output: str
    to: str


Table = dict[str, dict[str, Move]]
"""States, the initial one first and the nearest next, and the moves of each by letter."""


class Machine(NamedTuple):
    """What was learned of a target.

    Attributes:
        facts: Of the target: ``target`` as ``--on`` has it, ``system``, ``equivalence``.
        role: ``server`` or ``client``.
        rules: What the target played by, by names of fields of `TcpConfig`.
        alphabet: The letters.
        initial: The state that it begins in.
        table: What each letter does in each state.
    """

    facts: dict[str, Any]
    role: str
    rules: dict[str, Any]
    alphabet: Alphabet
    initial: str
    table: Table

    @property
    def name(self) -> str:
        """Which TCP it is of."""
        return str(self.facts.get("system") or self.facts.get("target") or "unknown")

    def run(self, word: Sequence[str]) -> list[Move]:
        """Return what each letter of *word* does, from the initial state on."""
        moves = []
        state = self.initial
        for letter in word:
            move = self.table[state][letter]
            moves.append(move)
            state = move.to
        return moves


def state_of(name: str) -> str:
    """Return the stack's own name of a state, without the number of those that share it."""
    state, _, number = name.rpartition(" ")
    return state if state and number.isdigit() else name


def nearest(table: Table, initial: str) -> dict[str, tuple[str, ...]]:
    """Return for each state one of the shortest words that lead there, nearest first."""
    words: dict[str, tuple[str, ...]] = {initial: ()}
    waiting = deque([initial])
    while waiting:
        state = waiting.popleft()
        for letter, move in table[state].items():
            if move.to not in words:
                words[move.to] = (*words[state], letter)
                waiting.append(move.to)
    return words


# As JSON


def as_dict(machine: Machine) -> dict[str, Any]:
    """Return plain values that JSON can hold."""
    return {
        "version": VERSION,
        **machine.facts,
        "role": machine.role,
        "rules": machine.rules,
        "letters": as_list(machine.alphabet),
        "initial": machine.initial,
        "states": {
            name: {letter: list(move) for letter, move in moves.items()}
            for name, moves in machine.table.items()
        },
    }


def as_json(machine: Machine) -> str:
    """Return the text of a file: a letter a line, and a transition a line, so that a change is one, too."""
    plain = as_dict(machine)
    letters = ",\n".join(f"    {json.dumps(each)}" for each in plain.pop("letters"))
    states = ",\n".join(_state_as_json(name, moves) for name, moves in plain.pop("states").items())
    head = json.dumps(plain, indent=2)[:-2]
    return f'{head},\n  "letters": [\n{letters}\n  ],\n  "states": {{\n{states}\n  }}\n}}\n'


def _state_as_json(name: str, moves: Mapping[str, Sequence[str]]) -> str:
    lines = ",\n".join(f"      {json.dumps(letter)}: {json.dumps(move)}" for letter, move in moves.items())
    return f"    {json.dumps(name)}: {{\n{lines}\n    }}"


def from_json(text: str) -> Machine:
    """Return the machine that a file holds.

    Raises:
        MachineError: It holds none, or one of a later version.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise MachineError(f"no JSON: {error}") from None
    except RecursionError:
        raise MachineError("no machine: nested too deeply") from None
    if not isinstance(plain, dict):
        raise MachineError("a machine is a JSON object")
    if plain.get("version") != VERSION:
        raise MachineError(f"the machine has version {plain.get('version')!r}, and this is for {VERSION}")
    role = plain.get("role")
    if role not in PEERS:
        raise MachineError(f"`role` is one of {', '.join(PEERS)}, not {role!r}")
    try:
        alphabet = from_list(plain.get("letters"), PEERS[role])
    except AlphabetError as error:
        raise MachineError(error.message) from None
    rules = plain.get("rules", {})
    if not isinstance(rules, dict):
        raise MachineError("`rules` is an object with fields of TcpConfig")
    table = _table(plain.get("states"), alphabet)
    if plain.get("initial") not in table:
        raise MachineError(f"`initial` is one of the states, not {plain.get('initial')!r}")
    known = ("version", "role", "rules", "letters", "initial", "states")
    facts = {name: value for name, value in plain.items() if name not in known}
    return Machine(facts, role, rules, alphabet, plain["initial"], table)


def _table(plain: Any, alphabet: Alphabet) -> Table:  # noqa: ANN401
    if not isinstance(plain, dict) or not plain:
        raise MachineError("`states` is an object with an entry for each state")
    table: Table = {}
    for state, moves in plain.items():
        if not isinstance(moves, dict) or moves.keys() != alphabet.keys():
            raise MachineError(f"state {state!r} has a move for each letter, and no other")
        table[state] = {letter: _move(moves[letter], plain, f"{state!r}, {letter!r}") for letter in alphabet}
    return table


def _move(plain: Any, states: Mapping[str, Any], where: str) -> Move:  # noqa: ANN401
    if not isinstance(plain, list) or len(plain) != 2 or not all(isinstance(each, str) for each in plain):
        raise MachineError(f"{where}: a move is a list of what is answered and the state after")
    if plain[1] not in states:
        raise MachineError(f"{where}: there is no state {plain[1]!r}")
    return Move(*plain)


# Those that are stored

MODELS: Final = resources.files("xsocket_tools.learning") / "models"


def stored() -> list[str]:
    """Return the names of the machines that come with the package."""
    names = (each.name for each in MODELS.iterdir())
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load(name: str) -> Machine:
    """Return the machine *name*: one of `stored`, or a file.

    Raises:
        MachineError: There is none, or it cannot be read.
    """
    try:
        if name in stored():
            text = (MODELS / f"{name}.json").read_bytes()
        else:
            with Path(name).open("rb") as file:
                text = file.read(MOST_OCTETS + 1)
    except OSError as error:
        known = ", ".join(stored())
        raise MachineError(f"{name}: {error.strerror}", remedy=f"Stored are {known}.") from None
    if len(text) > MOST_OCTETS:
        raise MachineError(f"{name}: more than {MOST_OCTETS} octets")
    try:
        return from_json(text.decode())
    except UnicodeDecodeError:
        raise MachineError(f"{name}: not a text in UTF-8") from None
    except MachineError as error:
        raise MachineError(f"{name}: {error.message}") from None
