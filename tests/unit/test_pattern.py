import pytest

from xsocket.errors import BadAddressError
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
KEY6 = FourTuple("fd00::2", 80, "fd00::1", 40_000)


@pytest.mark.parametrize(
    ("pattern", "v4", "v6"),
    [
        pytest.param(Pattern(), True, True, id="all open"),
        pytest.param(Pattern(80), True, True, id="local port"),
        pytest.param(Pattern(81), False, False, id="another local port"),
        pytest.param(Pattern("22,80-89"), True, True, id="local ports"),
        pytest.param(Pattern(remote="10.0.0.1"), True, False, id="remote address"),
        pytest.param(Pattern(remote="10.0.0.2"), False, False, id="our own address as remote"),
        pytest.param(Pattern(remote="10.0.0.0/24"), True, False, id="remote network"),
        pytest.param(Pattern(remote=["10.0.0.0/24", "fd00::/64"]), True, True, id="both families"),
        pytest.param(Pattern(remote=[]), False, False, id="no remote at all"),
        pytest.param(Pattern(local="fd00::2"), False, True, id="local address"),
        pytest.param(Pattern(remote_port="32768-65535"), True, True, id="remote ports"),
        pytest.param(Pattern(remote_port=80), False, False, id="our own port as remote"),
        pytest.param(Pattern(80, "10.0.0.1", "10.0.0.2", 40_000), True, False, id="nothing open"),
        pytest.param(Pattern(80, "10.0.0.1", "10.0.0.2", 40_001), False, False, id="the last field differs"),
    ],
)
def test_a_pattern_matches_when_every_field_does(pattern: Pattern, v4: bool, v6: bool) -> None:
    assert pattern.matches(KEY) is v4
    assert pattern.matches(KEY6) is v6


def test_patterns_that_mean_the_same_are_equal() -> None:
    assert Pattern("80-81", ["10.0.0.0/25", "10.0.0.128/25"]) == Pattern([81, 80], "10.0.0.0/24")
    assert len({Pattern("80-81"), Pattern([80, 81]), Pattern(80)}) == 2
    assert Pattern(80) != Pattern(remote_port=80)


def test_a_pattern_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Pattern(80).local_port = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param(Pattern(), "Pattern()", id="all open"),
        pytest.param(Pattern(80), "Pattern(local_port=80)", id="one port"),
        pytest.param(
            Pattern("8000-8099,80", ["fd00::/64", "10.0.0.0/24"]),
            "Pattern(local_port='80,8000-8099', remote='10.0.0.0/24,fd00::/64')",
            id="sets",
        ),
        pytest.param(
            Pattern(local="10.0.0.2", remote_port=40_000),
            "Pattern(local='10.0.0.2', remote_port=40000)",
            id="the other two",
        ),
    ],
)
def test_the_repr_makes_the_pattern_again(pattern: Pattern, text: str) -> None:
    assert repr(pattern) == text
    assert eval(text) == pattern  # noqa: S307  # our own text


@pytest.mark.parametrize("field", ["local_port", "remote", "local", "remote_port"])
def test_a_bad_field_is_refused(field: str) -> None:
    with pytest.raises(BadAddressError, match="'nonsense'"):
        Pattern(**{field: "nonsense"})


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        pytest.param(Pattern(), Pattern(), Pattern(), id="open"),
        pytest.param(Pattern(local_port=80), Pattern(), Pattern(local_port=80), id="with the open one"),
        pytest.param(
            Pattern(local_port="1-100", remote="10.0.0.0/8"),
            Pattern(local_port="80-200", remote_port=5, local="10.0.0.2"),
            Pattern(local_port="80-100", remote="10.0.0.0/8", remote_port=5, local="10.0.0.2"),
            id="each field",
        ),
        pytest.param(Pattern(local_port=80), Pattern(local_port=81), None, id="nothing"),
    ],
)
def test_what_matches_both(one: Pattern, other: Pattern, both: Pattern | None) -> None:
    assert one & other == other & one == both
