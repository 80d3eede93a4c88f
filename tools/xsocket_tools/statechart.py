"""The state diagram and its table for `docs/reference/states.md`, drawn from the machine's own table.

``python -m xsocket_tools.statechart > docs/reference/states.md`` writes the page anew.
"""

from collections.abc import Iterator
from typing import Final

from xsocket.state import State, Trigger
from xsocket.tcp.table import TABLE, Move

_HEAD: Final = """\
# States

<!-- Written by: python -m xsocket_tools.statechart > docs/reference/states.md -->

Every change of state of every connection is a row of `xsocket.tcp.table.TABLE`; this page is made from it.
Where an RFC is not named, the section is one of [RFC 9293](https://www.rfc-editor.org/rfc/rfc9293.html).
"""
_DIAGRAM: Final = """
## The diagram

What stays in its state, resets, giving up and other ends that may come at any time are left out; the tables
have them. Under a pointer an arrow says what brings the move about.

```{state-diagram}
```

In the language of [Mermaid](https://mermaid.js.org), with what brings a move about and what is sent. Only
what stays in its state, resets, ABORT and giving up are left out:
"""
_LEFT_OUT: Final = (Trigger.RST_FOR_US, Trigger.ABORT, Trigger.GIVE_UP, Trigger.EVICTED)


def mermaid() -> str:
    """Return the diagram as Mermaid text: every move to another state, as ``trigger / what is sent``."""
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{state.value}" as {state.name}' for state in State]
    for (start, trigger), move in TABLE.items():
        if move.to is not start and trigger not in _LEFT_OUT:
            lines.append(f"    {start.name} --> {move.to.name} : {_label(trigger, move)}")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page as Markdown: the diagram, then a table for each state."""
    diagram = f"{_DIAGRAM}\n```text\n{mermaid()}```\n"
    return "\n".join([_HEAD + diagram, *(_section(state) for state in State)])


def _label(trigger: Trigger, move: Move) -> str:
    return trigger.value + (f" / {move.reply.value}" if move.reply is not None else "")


def _section(state: State) -> str:
    return "\n".join([f"## {state.value}", "", *_rows(state), ""])


def _rows(state: State) -> Iterator[str]:
    yield "| What happens | Sent | Next state | Section |"
    yield "| --- | --- | --- | --- |"
    for (start, trigger), move in TABLE.items():
        if start is state:
            sent = move.reply.value if move.reply is not None else ""
            yield f"| {trigger.value} | {sent} | {move.to.value} | {move.rule} |"


if __name__ == "__main__":
    print(page(), end="")
