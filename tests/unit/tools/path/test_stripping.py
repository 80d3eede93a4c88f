"""Options that get lost on the way, and an MSS that shrinks."""

from collections.abc import Callable

import pytest

from support.paths import KEY_6, left, right, segment, through
from xsocket.tcp.options import Parsed, for_segment, for_syn, parse
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Towards
from xsocket_tools.path.stripping import ClampMss, StripOptions

SYN_OPTIONS = for_syn(1460, 7, True, (5, 6))
EVERYTHING = Parsed(1460, 7, True, 5, 6)
FAST_OPEN = b"\x22\x06cook\x01\x01"
EXPERIMENTAL_FAST_OPEN = b"\xfe\x08\xf9\x89cook"
OTHER_EXPERIMENT = b"\xfe\x08\xab\xcdcook"


@pytest.mark.parametrize("remove", [False, True], ids=["replaced", "removed"])
@pytest.mark.parametrize(
    ("kinds", "left_over"),
    [
        pytest.param(["timestamps"], EVERYTHING._replace(ts_val=None, ts_ecr=0), id="timestamps"),
        pytest.param(["sack"], EVERYTHING._replace(sack_permitted=False), id="sack"),
        pytest.param(["wscale"], EVERYTHING._replace(window_scale=None), id="wscale"),
        pytest.param(["mss"], EVERYTHING._replace(mss=None), id="mss"),
        pytest.param(["wscale", 2], EVERYTHING._replace(window_scale=None, mss=None), id="name-and-number"),
        pytest.param(["all"], Parsed(), id="all"),
        pytest.param(["md5"], EVERYTHING, id="none-of-them"),
    ],
)
def test_an_option_is_stripped_and_the_others_stay(
    kinds: list[str | int], left_over: Parsed, remove: bool
) -> None:
    element = StripOptions(*kinds, remove=remove)
    out = through(element, right(segment("S", 7, options=SYN_OPTIONS)))
    assert parse(out.options) == left_over
    assert len(out.options) == len(SYN_OPTIONS) or remove
    assert out._replace(options=SYN_OPTIONS) == segment("S", 7, options=SYN_OPTIONS)


@pytest.mark.parametrize(
    ("kind", "options", "replaced", "removed"),
    [
        ("fastopen", FAST_OPEN, b"\x01" * 8, b"\x01\x01\0\0"),
        ("fastopen", EXPERIMENTAL_FAST_OPEN, b"\x01" * 8, b""),
        ("fastopen", OTHER_EXPERIMENT, OTHER_EXPERIMENT, OTHER_EXPERIMENT),
        ("accecn", b"\xac\x05\0\0\1\1\1\1", b"\x01" * 8, b"\x01\x01\x01\0"),
        ("all", b"\x01\x01\x02\xff", b"\x01\x01\x02\xff", b"\x01\x01\x02\xff"),
    ],
    ids=["cookie", "experimental", "another-experiment", "accecn", "malformed"],
)
def test_the_octets_that_are_left(kind: str, options: bytes, replaced: bytes, removed: bytes) -> None:
    before = right(segment(".", options=options))
    assert through(StripOptions(kind), before).options == replaced
    assert through(StripOptions(kind, remove=True), before).options == removed


def test_blocks_go_with_sack_and_timestamps_go_from_every_segment() -> None:
    options = for_segment((5, 6), ((10, 20),))
    element = StripOptions("sack", "timestamps")
    assert parse(through(element, left(segment(".", options=options))).options) == Parsed()
    assert element.counts() == {"stripped": 2, "segments": 1}


def test_one_direction_is_spared() -> None:
    element = StripOptions("wscale", only=Towards.LEFT)
    assert parse(through(element, right(segment("S", options=SYN_OPTIONS))).options) == EVERYTHING
    got = parse(through(element, left(segment("S.", options=SYN_OPTIONS))).options)
    assert got == EVERYTHING._replace(window_scale=None)
    assert element.counts() == {"stripped": 1, "segments": 1}


def test_the_smaller_mss_counts() -> None:
    element = ClampMss(536)
    assert parse(through(element, right(segment("S", options=SYN_OPTIONS))).options).mss == 536
    assert parse(through(element, left(segment("S.", options=SYN_OPTIONS), KEY_6)).options).mss == 536
    small = for_syn(500, None, False, None)
    assert through(element, right(segment("S", options=small))).options == small
    assert through(element, right(segment("S"))).options == b""
    assert through(element, right(segment(".", options=SYN_OPTIONS))).options == SYN_OPTIONS
    assert element.counts() == {"clamped": 2}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: StripOptions("selective"), id="name"),
        pytest.param(lambda: StripOptions(), id="nothing"),
        pytest.param(lambda: StripOptions(1), id="nop"),
        pytest.param(lambda: StripOptions(256), id="number"),
        pytest.param(lambda: ClampMss(0), id="mss"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[[], Middlebox]) -> None:
    with pytest.raises(BadElementError):
        make()
