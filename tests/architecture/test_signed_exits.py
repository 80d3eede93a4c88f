"""Every segment leaves the core where it can be signed."""

import ast
from collections.abc import Iterator
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[2] / "engine" / "xsocket"
CORE = [ENGINE / "stack.py", *sorted((ENGINE / "tcp").glob("*.py"))]


def makers_of_sends(path: Path) -> Iterator[str]:
    """Yield file and function of each place where an order to send a segment is made."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Send":
                    yield f"{path.name}: {function.name}"


def test_orders_to_send_are_made_in_two_functions() -> None:
    """Both sign; see docs/decisions/0014."""
    assert [maker for path in CORE for maker in makers_of_sends(path)] == [
        "stack.py: _answer",
        "output.py: send",
    ]
