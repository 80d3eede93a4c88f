"""Pictures of machines: everything is in them, whatever the names."""

from xml.etree import ElementTree as ET

import pytest

from xsocket_tools.learning.drawing import dot, labels, svg
from xsocket_tools.learning.machine import Machine, Move, load, stored

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", stored())
def test_every_state_and_every_move_is_in_the_picture(name: str) -> None:
    machine = load(name)
    root = ET.fromstring(svg(machine))  # noqa: S314  # our own
    titles = [str(each.text).splitlines() for each in root.iter(f"{SVG}title")]
    names = {lines[0] for lines in titles[1:]}
    assert set(machine.table) <= names
    assert {f"{start} to {end}" for start, end in labels(machine) if start != end} <= names
    shown = [line.rpartition(" / ")[0].split(", ") for lines in titles[1:] for line in lines[1:]]
    assert sum(map(len, shown)) == len(machine.table) * len(machine.alphabet)


def test_the_language_of_graphviz() -> None:
    lines = dot(load("engine-server-basic")).splitlines()
    assert lines[0] == "digraph {"
    assert '  "" -> "LISTEN"' in lines
    assert '  "LISTEN" -> "SYN-RECEIVED" [label="SYN, SYN old / SA(iss, +1)"]' in lines
    assert '  "SYN-RECEIVED" -> "CLOSE-WAIT" [label="FIN+ACK / A(+len)"]' in lines


def test_names_are_quoted() -> None:
    letter = next(iter(load("engine-server-basic").alphabet.values()))
    name = '<"&\\>'
    machine = Machine({}, "server", {}, {name: letter}, "LISTEN", {"LISTEN": {name: Move("<a>", "LISTEN")}})
    root = ET.fromstring(svg(machine))  # noqa: S314  # our own
    assert any("<a>" in text for text in root.itertext())
    assert '[label="<\\"&\\\\> / <a>"]' in dot(machine)
