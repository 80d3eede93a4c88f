"""Directives about files: ``fields`` has the fields of a class, ``example`` a file as the code writes it.

So what a page says of a format is what is in the code, and an example is one that was made during the build.
"""

import importlib
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

from docutils import nodes  # type: ignore[import-untyped]
from generated import attributes_of, linked, table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xsocket import EventKind, FourTuple, Pattern, Simulation
from xsocket.sharing.happening import Happening, ServerEvent
from xsocket.sharing.protocol import (
    Acknowledge,
    AskStatistics,
    Claim,
    Events,
    Given,
    List,
    Listing,
    Refused,
    Watch,
    Withdraw,
    Withdrawn,
    encode_answer,
    encode_request,
)


def fields_of(name: str) -> str:
    """Return a Markdown table of the fields of a class, such as ``xsocket.trace.Event``.

    Raises:
        ValueError: It has a field of which its docstring says nothing.
    """
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    names = [each.name for each in fields(found)] if is_dataclass(found) else list(found._fields)
    said = attributes_of(found)
    missing = [each for each in names if each not in said]
    if missing:
        raise ValueError(f"the docstring of {name} says nothing of {', '.join(missing)}")
    return table(("Field", "What it has"), [(f"`{each}`", linked(said[each])) for each in names])


def trace_lines() -> str:
    """Return two lines of a trace: a move, and the segment that it sends."""
    simulation = Simulation(seed=1)
    client = simulation.host("10.0.0.1/24", name="client")
    server = simulation.host("10.0.0.2/24", name="server")
    simulation.link(client, server)
    client.connect("10.0.0.2", 80)
    pairs = zip(simulation.trace, simulation.trace.json_lines(), strict=True)
    wanted = [line for event, line in pairs if event.host == "server" and event.kind is EventKind.MOVED]
    return "\n".join(json.dumps(_short(json.loads(line))) for line in wanted[:2])


def _short(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a line with the first entries of the TCB alone."""
    return plain | {"tcb": dict(list(plain["tcb"].items())[:4])} if "tcb" in plain else plain


def pool_messages() -> str:
    """Return a session between a client of a pool server and the server: who speaks, and what."""
    key = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
    happening = Happening(1_700_000_000.5, ServerEvent.ACKNOWLEDGED.name.lower(), key, 1000, 4711)
    said = (
        *(Claim(Pattern(local_port=80), 5.0), Given(key), Acknowledge()),
        *(Claim(key), Withdraw(), Withdrawn()),
        *(Claim(None, 0.0), Refused("ClaimTimeout", "no connection came in 0 s")),
        *(List(), Listing((key,), False), AskStatistics(), Watch(), Events((happening,))),
    )
    return "\n".join(map(_line, said))


def _line(message: Any) -> str:  # noqa: ANN401  # a request or an answer
    if isinstance(message, Claim | Withdraw | Acknowledge | List | AskStatistics | Watch):
        return f"client  {encode_request(message).decode()}"
    return f"server  {encode_answer(message).decode()}"


EXAMPLES: Final[dict[str, Callable[[], str]]] = {
    "trace-lines": trace_lines,
    "pool-messages": pool_messages,
}


class Fields(SphinxDirective):
    """``{fields} xsocket.trace.Event``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.env.note_reread()
        return self.parse_text_to_nodes(fields_of(self.arguments[0]))


class Example(SphinxDirective):
    """``{example} trace-lines``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it as a block."""
        self.env.note_reread()
        text = EXAMPLES[self.arguments[0]]()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("fields", Fields)
    app.add_directive("example", Example)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
