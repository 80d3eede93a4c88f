"""Order on a circle needs a name: nothing in the core compares sequence numbers with ``<``."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xsocket

ENGINE = Path(xsocket.__file__).parent
CORE = [*sorted((ENGINE / "tcp").glob("*.py")), ENGINE / "stack.py", ENGINE / "host.py"]
NUMBERS = {
    *("seq", "ack", "acknowledgment", "iss", "irs"),
    *("snd_una", "snd_nxt", "snd_wl1", "snd_wl2", "rcv_nxt", "rcv_adv", "last_ack_sent", "recover", "fin_at"),
    *("left", "right", "ts_recent", "ts_val", "ts_ecr"),
}
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def name_of(node: ast.expr) -> str:
    """Return the last name of ``a``, ``b.a`` or ``b.a[0]``; empty for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return name_of(value)
        case _:
            return ""


def comparisons(tree: ast.AST) -> Iterator[str]:
    """Yield each comparison of a sequence number that depends on where the circle was cut."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ORDER) for op in node.ops):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and name_of(node.func) in ("min", "max", "sorted"):
            sides = node.args
        else:
            continue
        if any(name_of(side) in NUMBERS for side in sides):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_no_sequence_number_is_compared_by_size(path: Path) -> None:
    assert list(comparisons(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("tcb.snd_una < ack", True, id="attribute and name"),
        pytest.param("0 <= segment.seq", True, id="one side is enough"),
        pytest.param("blocks[0][0] > left", True, id="edges"),
        pytest.param("max(tcb.rcv_nxt, other)", True, id="max"),
        pytest.param("ack == tcb.snd_nxt", False, id="equality"),
        pytest.param("distance(seq, rcv_nxt) < window", False, id="distances have a size"),
        pytest.param("len(text) > room", False, id="sizes"),
    ],
)
def test_what_the_check_finds(source: str, found: bool) -> None:
    assert bool(list(comparisons(ast.parse(source)))) is found
