"""Which segments are meant: by flags, by name, by number; and what is no choice."""

import pytest

from support.paths import right, segment
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Towards
from xsocket_tools.path.which import Which

SEGMENTS = [
    right(segment("S")),
    right(segment("S.")),
    right(segment(".")),
    right(segment("P.", payload=b"x")),
    right(segment(".", payload=b"x")),
    right(segment("F.")),
    right(segment("R")),
    right(segment("")),
    right(segment("S.")),
    Parcel(Towards.RIGHT, bytes(60)),
]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("S", [0]),
        ("S.", [1, 8]),
        (".S", [1, 8]),
        ("S.:1", [1]),
        ("S.:2", [8]),
        ("S.:3", []),
        (".", [2, 4]),
        ("data", [3, 4]),
        ("F.", [5]),
        ("R", [6]),
        ("-", [7]),
        ("any:2-4", [1, 2, 3]),
        ("any", list(range(9))),
    ],
)
def test_flags_choose_segments(text: str, meant: list[int]) -> None:
    which = Which.spelled(text)
    assert [number for number, each in enumerate(SEGMENTS) if which.is_meant(0.0, each)] == meant


@pytest.mark.parametrize("text", ["", "X", "S.:0", "S.:x", "S.:3-2", ":1", "SS", "S-", "syn"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(BadElementError):
        Which.spelled(text)
