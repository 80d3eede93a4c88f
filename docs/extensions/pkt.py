"""Colours for scenario scripts: comments, strings, times, names, numbers."""

from typing import ClassVar

from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Text
from sphinx.application import Sphinx


class PktLexer(RegexLexer):
    """The language of packetdrill, as far as colours need it."""

    name = "pkt"
    aliases: ClassVar = ["pkt"]
    tokens: ClassVar = {
        "root": [
            (r"//[^\n]*|/\*(.|\n)*?\*/", Comment),
            (r'"(\\.|[^"\\])*"|`(\\.|[^`\\])*`|%\{(.|\n)*?\}%', String),
            (r"^[ \t]*(on\b[^:\n]*:)?[ \t]*(\+?[ \t]*[\d.]+(~\+?[\d.]+)?|\*)(\.\.\.\+?[\d.]+)?", Number),
            (r"[<>](?= )", Keyword),
            (r"\b(state|pool|claim|silence|xfail|skip|bad|raw)\b", Keyword),
            (r"[a-z_]\w*(?=\()", Name.Function),
            (r"[A-Za-z_]\w*", Name),
            (r"-?0x[0-9a-fA-F]+|-?\d+", Number),
            (r"[^\w\s]", Operator),
            (r"\s+", Text),
        ]
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Let pages use it."""
    app.add_lexer("pkt", PktLexer)
    return {"parallel_read_safe": True}
