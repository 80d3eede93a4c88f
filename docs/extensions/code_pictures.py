"""Directives that draw the code: ``state-diagram``, ``import-layers``, ``frame-path``.

The states are those of the transition table, the layers those of the contracts in `pyproject.toml`, which
`lint-imports` holds the code to, and the path is that of a frame whose calls are recorded during the build.
"""

import importlib
import sys
import tomllib
from collections.abc import Iterator
from html import escape
from math import ceil
from pathlib import Path as File
from types import FrameType
from typing import Any, Final, NamedTuple

from docutils import nodes
from pictures import drawing, placed
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xsocket import Pattern, Simulation
from xsocket_tools.teaching.report import states_picture
from xsocket_tools.teaching.report.shapes import Path, Shape, Text, head
from xsocket_tools.teaching.report.words import Said

_PROJECT: Final = File(__file__).parents[2] / "pyproject.toml"
_WIDTH: Final = 700
_ROW: Final = 36
_MOST_IN_A_ROW: Final = 5


def layers(container: str) -> list[list[str]]:
    """Return the layers of a package, or of all packages (``""``), from the highest down, as agreed.

    Raises:
        ValueError: There is no such contract.
    """
    contracts = tomllib.loads(_PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    for each in contracts:
        if each["type"] == "layers" and each.get("containers", [""]) == [container]:
            return [[name.strip() for name in layer.split("|")] for layer in each["layers"]]
    raise ValueError(f"no contract in pyproject.toml says what the layers of {container} are")


def layers_picture(container: str) -> str:
    """Return the layers of a package as a picture, and below it what each of its modules has."""
    found = layers(container)
    name = f"Layers of {container}" if container else "Layers"
    said = "; ".join(", ".join(layer) for layer in found)
    bands = list(_bands(found))
    bottom = bands[-1].top + _ROW
    picture = drawing(name, f"From above: {said}.", _WIDTH, bottom + 6, _layer_shapes(bands, bottom))
    entries = "\n".join(
        f"<li><code>{escape(each)}</code>: {escape(_summary(container, each))}</li>"
        for layer in found
        for each in layer
    )
    return f"{picture}<details><summary>The same in words</summary>\n<ul>\n{entries}\n</ul></details>\n"


class _Band(NamedTuple):
    """A row of boxes; a layer of many modules has several."""

    top: int
    names: list[str]


def _bands(found: list[list[str]]) -> Iterator[_Band]:
    top = 6
    for layer in found:
        rows = ceil(len(layer) / _MOST_IN_A_ROW)
        wide = ceil(len(layer) / rows)
        for start in range(0, len(layer), wide):
            yield _Band(top, layer[start : start + wide])
            top += _ROW
        top += 10


def _layer_shapes(bands: list[_Band], bottom: float) -> Iterator[Shape]:
    yield Path("edge", f"M22 10V{bottom - 14}")
    yield Path("tip", head((22, 10), (22, bottom - 4), 13, 5.5))
    for top, names in bands:
        wide = (_WIDTH - 50) / len(names)
        for place, name in enumerate(names):
            left = 44 + wide * place
            yield Path("node", f"M{left:g} {top}h{wide - 8:g}v30h{8 - wide:g}z")
            yield Text("named", left + wide / 2 - 4, top + 20, "middle", Said(name))


def _summary(container: str, name: str) -> str:
    """Return the first sentence of a module's docstring, in one line."""
    module = importlib.import_module(f"{container}.{name}" if container else name)
    return " ".join((module.__doc__ or "").partition("\n\n")[0].split()).replace("`", "")


class Call(NamedTuple):
    """A call from one module into another, and how deep in the others it is."""

    depth: int
    module: str
    function: str


_ASIDE: Final = frozenset(
    (
        *("seqnum", "fourtuple", "state", "segment", "actions", "ranges", "wire.address", "clock"),
        *("trace", "simulation.host"),
    )
)
"""Modules of values that everything uses, and those that look on: to show each call would hide the way."""


class _Recorder:
    """Keeps the calls between modules of the engine, as a profiler sees them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._stack: list[tuple[FrameType, int, str]] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401
        if event == "call":
            self._enter(frame)
        elif event == "return" and self._stack and self._stack[-1][0] is frame:
            self._stack.pop()

    def _enter(self, frame: FrameType) -> None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("xsocket."):
            return
        name, function = module.removeprefix("xsocket."), frame.f_code.co_qualname
        depth, within = (self._stack[-1][1], self._stack[-1][2]) if self._stack else (-1, "")
        if name in _ASIDE or function.rpartition(".")[2].startswith(("_", "<")):
            return
        if name != within:
            depth += 1
            self.calls.append(Call(depth, name, function))
        self._stack.append((frame, depth, name))


def frame_path() -> list[Call]:
    """Return the calls that the frame makes which completes a handshake, from the host down to the claim."""
    simulation = Simulation(seed=1)
    client, server = simulation.host("10.0.0.1/24"), simulation.host("10.0.0.2/24")
    simulation.link(client, server)
    recorder, before = _Recorder(), sys.getprofile()
    client.open("10.0.0.2", 80)
    sys.setprofile(recorder)
    try:
        server.pool.claim(Pattern(local_port=80), timeout=5.0)
    finally:
        sys.setprofile(before)
    return _of_the_last_frame(recorder.calls)


def _of_the_last_frame(calls: list[Call]) -> list[Call]:
    put = next(place for place, call in enumerate(calls) if call.function.endswith("Pool.put"))
    start = max(place for place in range(put) if calls[place].function == "Host.receive")
    end = next(
        (place for place in range(start + 1, len(calls)) if calls[place].depth <= calls[start].depth), None
    )
    seen: dict[Call, None] = {}
    for call in calls[start:end]:
        seen.setdefault(call._replace(depth=call.depth - calls[start].depth))
    return list(seen)


def frame_path_picture() -> str:
    """Return the path of a frame as a picture, and below it the same as a list."""
    calls = frame_path()
    picture = drawing(
        "Path of a frame",
        f"{len(calls)} calls between modules, from Host.receive down; they follow in words.",
        _WIDTH,
        26 * len(calls) + 12,
        _call_shapes(calls),
    )
    entries = "\n".join(
        f"<li>{'- ' * each.depth}<code>{each.module}</code>: <code>{escape(each.function)}</code></li>"
        for each in calls
    )
    return f"{picture}<details><summary>The same in words</summary>\n<ul>\n{entries}\n</ul></details>\n"


def _call_shapes(calls: list[Call]) -> Iterator[Shape]:
    """Draw a box for each call, and a line from it to the one that makes it."""
    bottoms: dict[int, float] = {}
    for number, call in enumerate(calls):
        left, middle = 10 + 34 * call.depth, 20 + 26 * number
        if call.depth:
            yield Path("edge", f"M{left - 20} {bottoms[call.depth - 1]}V{middle}H{left - 6}")
            yield Path("tip", head((left - 20, middle), (left, middle), 8, 4))
        wide = 8.2 * len(call.module) + 14
        yield Path("node", f"M{left} {middle - 10}h{wide:g}v20h{-wide:g}z")
        yield Text("named strong", left + wide / 2, middle + 4, "middle", Said(call.module))
        yield Text("named", left + wide + 8, middle + 4, "start", Said(call.function))
        bottoms[call.depth] = middle + 10


class StateDiagram(SphinxDirective):
    """``{state-diagram}``."""

    def run(self) -> list[nodes.Node]:
        """Return it."""
        self.env.note_reread()
        return [placed(states_picture())]


class ImportLayers(SphinxDirective):
    """``{import-layers} xsocket.tcp``; without a package, of all of them."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it."""
        self.env.note_reread()
        return [placed(layers_picture(self.arguments[0] if self.arguments else ""))]


class FramePath(SphinxDirective):
    """``{frame-path}``."""

    def run(self) -> list[nodes.Node]:
        """Return it."""
        self.env.note_reread()
        return [placed(frame_path_picture())]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.setup_extension("pictures")
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("import-layers", ImportLayers)
    app.add_directive("frame-path", FramePath)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
