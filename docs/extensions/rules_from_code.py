"""The directive ``rules``: the catalogue of rules, each with what cites it."""

from collections.abc import Iterator
from itertools import groupby

from generated import Generated, linked
from sphinx.application import Sphinx

from xsocket_tools.rules.catalogue import Rule, catalogue
from xsocket_tools.rules.citing import Citing, Moves, citing


def rules() -> str:
    """Return a Markdown section for each RFC, and in it one for each rule."""
    sections = []
    for _, of_rfc in groupby(catalogue(), lambda rule: rule.citation.rfc):
        sections += map(_section, of_rfc)
    return "\n".join(sections)


def _section(rule: Rule) -> str:
    level = "###" if rule.citation.section else "##"
    key = f"[{rule.key}]({rule.citation.url})"
    cited = "".join(f"- {line}\n" for line in _lines(citing(rule.citation)))
    return f"{level} {rule.key}: {rule.title}\n\n{linked(rule.text)}\n\n{cited}- The text: {key}\n"


def _lines(by: Citing) -> Iterator[str]:
    """Yield what cites a rule, a line for each kind; moves one by one."""
    yield from map(_in_words, by.moves)
    if by.reasons:
        yield f"Drop reasons: {', '.join(f'`{reason.name}`' for reason in by.reasons)}"
    if by.fields:
        yield f"`TcpConfig`: {', '.join(f'`{name}`' for name in by.fields)}"
    if by.differences:
        yield f"[Linux differs](grid.md#where-linux-does-otherwise): {'; '.join(by.differences)}"


def _in_words(moves: Moves) -> str:
    before = ", ".join(state.value for state in moves.before)
    then = "stays" if moves.after is None else f"goes to {moves.after.value}"
    sent = "" if moves.reply is None else f", sends {moves.reply.value}"
    return f"{before}: {moves.trigger.value}; {then}{sent}"


class Rules(Generated):
    """``{rules}``."""

    text = staticmethod(rules)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("rules", Rules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
