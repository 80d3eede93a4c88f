"""A directive that writes what a case file may hold from the code that reads it: ``fuzz-cases``."""

import inspect
import json
import re
from typing import Any, Final

from generated import Generated, attributes_of, linked, table
from sphinx.application import Sphinx

from xsocket_tools.fuzzing.case import (
    ACKNOWLEDGMENTS,
    CALLS,
    DAMAGES,
    FLAG_LETTERS,
    ICMP_KINDS,
    ODDITIES,
    SEQUENCES,
    Call,
    Icmp,
    Place,
    Say,
    Tick,
)
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.options import TOKENS

OPERATIONS: Final = {"say": Say, "icmp": Icmp, "tick": Tick, "call": Call}
SEQUENCE_TEXTS: Final = {
    "next": "what the peer would send next",
    "old": "one less",
    "duplicate": "what it sent last",
    "start": "its initial sequence number",
    "left": "the first in the window that the target has offered",
    "right": "the last in that window",
    "beyond": "the one after the window",
    "far": "a quarter of the circle ahead",
    "wrapped": "half of the circle ahead",
    "zero": "0",
    "other": "`next` of the connection whose peer spoke last",
}
ACKNOWLEDGMENT_TEXTS: Final = {
    "next": "all that the target has sent",
    "duplicate": "as much as before",
    "old": "one less than before",
    "start": "not even its SYN",
    "left": "the oldest that RFC 5961 section 5 lets pass",
    "below": "one less than that",
    "beyond": "one more than was ever sent",
    "far": "a quarter of the circle ahead",
    "wrapped": "half of the circle ahead",
    "zero": "0",
    "other": "`next` of the connection whose peer spoke last",
}
CALL_TEXTS: Final = {
    "open": "opens a connection, without waiting",
    "claim": "claims the connection from the pool, by its 4-tuple",
    "claim any": "claims whichever connection is next",
    "send": "sends up to `size` octets",
    "receive": "reads up to `size` octets",
    "shutdown": "finishes sending, and goes on reading",
    "close": "lets go of the connection",
    "abort": "resets it",
}
TOKEN_TEXTS: Final = {
    "nop": "one octet that does nothing",
    "eol": "the end of the list",
    "sackok": "SACK permitted",
    "tfo": "asks for a Fast Open cookie",
    "tfo cookie": "the cookie that the target gave last",
    "tfo other": "the cookie that the target gave to another peer",
    "tfo wrong": "a cookie that it never gave",
    "mss N": "maximum segment size",
    "wscale N": "window scale",
    "uto N": "user timeout",
    "ts": "timestamps: the peer's clock, and the newest that it heard",
    "ts same": "the TSval that it sent last",
    "ts old": "a TSval one before the newest that it sent",
    "ts older": "a quarter of the circle before",
    "ts far": "a quarter of the circle ahead of its clock",
    "ts ahead": "5 s ahead of its clock",
    "ts zero echo": "TSecr 0",
    "ts wrong echo": "a TSecr that the target never sent",
    "sack A-B": "a block of the target's text, counted from the oldest octet in flight",
    "raw HEX": "octets as they stand",
}


def fuzz_cases() -> str:
    """Return Markdown sections on everything that a case file may hold."""
    sections = [f"### {name}\n\n{summary_of(kind)}\n\n{_fields(kind)}" for name, kind in OPERATIONS.items()]
    sections += [
        "## Flags\n\nLetters as tcpdump writes them, `-` for none. Reserved bits follow as a number.",
        table(("Letter", "Bit"), [(f"`{letter}`", f"{bit:#x}") for letter, bit in FLAG_LETTERS.items()]),
        "## Peers\n\n" + table(("Peer", "IP", "Address", "Port of the target"), _peers()),
        "## Places\n\nA number, relative to the live connection. `+N` or `-N` behind it is so much further.",
        _listed("### seq", SEQUENCES, SEQUENCE_TEXTS),
        _listed("### ack", ACKNOWLEDGMENTS, ACKNOWLEDGMENT_TEXTS),
        _listed("## Options", TOKENS, TOKEN_TEXTS),
        _listed("## Twists\n\nThese make a frame one to be ignored:", DAMAGES, DAMAGES),
        _listed("These are unusual and change nothing:", ODDITIES, ODDITIES)
        + "\n\n`flip N` turns bit N of the IP packet over, before the checksums are computed.",
        _listed("## Calls", CALLS, CALL_TEXTS),
        "## ICMP errors\n\n" + table(("Kind", "Type", "Code"), _errors()),
    ]
    return "\n\n".join(sections) + "\n"


def summary_of(kind: type) -> str:
    """Return the first line of a docstring, in which emphasis is code."""
    return re.sub(r"\*(\w+)\*", r"`\1`", (inspect.getdoc(kind) or "").partition("\n")[0])


def _fields(kind: Any) -> str:  # noqa: ANN401  # a named tuple
    said = {name: _with_links(text) for name, text in attributes_of(kind).items()}
    rows = [(f"`{name}`", _default(kind, name), linked(said.get(name, "How many."))) for name in kind._fields]
    return table(("Field", "Without it", "What it says"), rows)


def _default(kind: Any, name: str) -> str:  # noqa: ANN401
    if name not in kind._field_defaults:
        return "needed"
    default = kind._field_defaults[name]
    if isinstance(default, Place):
        return f"`{default}`"
    if isinstance(default, int):
        return f"`{json.dumps(default)}`"
    return "none"


_LINKS: Final = {
    "PEERS": "[the peers](#peers)",
    "SEQUENCES": "[the places](#seq)",
    "ACKNOWLEDGMENTS": "[the places](#ack)",
    "options.TOKENS": "[the options](#options)",
    "CALLS": "[the calls](#calls)",
    "DAMAGES": "[the damages](#twists)",
    "ODDITIES": "[the oddities](#twists)",
    "ICMP_KINDS": "[the errors](#icmp-errors)",
}


def _with_links(text: str) -> str:
    for name, link in _LINKS.items():
        text = text.replace(f"`{name}`", link)
    return text


def _listed(heading: str, names: Any, texts: dict[str, str]) -> str:  # noqa: ANN401  # whatever has them
    return f"{heading}\n\n" + table(("Name", "What it is"), [(f"`{name}`", texts[name]) for name in names])


def _peers() -> list[tuple[str, ...]]:
    return [
        (f"`{number}`", f"IPv{peer.version}", peer.address, "served" if peer.served else "closed")
        for number, peer in enumerate(PEERS)
    ]


def _errors() -> list[tuple[str, ...]]:
    return [(f"`{name}`", str(kind), str(code)) for name, (kind, code) in ICMP_KINDS.items()]


class FuzzCases(Generated):
    """``{fuzz-cases}``."""

    text = staticmethod(fuzz_cases)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("fuzz-cases", FuzzCases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
