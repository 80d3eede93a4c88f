from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, get_args

import pytest

from xsocket.config import Rule, TcpConfig
from xsocket.errors import BadConfigError

RULES: dict[str, Rule] = {each.name: each.metadata["rule"] for each in fields(TcpConfig)}
KINDS = {each.name: each.type for each in fields(TcpConfig)}
NUMBERS = [name for name, kind in KINDS.items() if kind in (int, float)]
SWITCHES = [name for name, kind in KINDS.items() if kind is bool]
CHOICES = [name for name, kind in KINDS.items() if get_args(kind)]


def test_every_rule_is_a_number_a_switch_or_a_choice() -> None:
    assert sorted(NUMBERS + SWITCHES + CHOICES) == sorted(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_it_is(name: str) -> None:
    assert RULES[name].what
    assert not RULES[name].what.endswith(".")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_a_unit_and_a_range(name: str) -> None:
    rule = RULES[name]
    assert rule.unit
    assert rule.low is not None
    assert rule.high is not None
    assert rule.low <= getattr(TcpConfig(), name) <= rule.high


@pytest.mark.parametrize("name", [name for name in NUMBERS if RULES[name].unit == "s"])
def test_a_duration_ends_in_its_unit(name: str) -> None:
    assert name.endswith("_s")


def accepted(name: str, value: Any) -> bool:  # noqa: ANN401
    try:
        TcpConfig(**{name: value})
    except BadConfigError:
        return False
    return True


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_accepted_to_the_ends_of_its_range_and_no_further(name: str) -> None:
    rule = RULES[name]
    assert rule.low is not None
    assert rule.high is not None
    assert accepted(name, rule.low)
    assert accepted(name, rule.high)
    assert not accepted(name, rule.low - 1)
    assert not accepted(name, rule.high + 1)


@pytest.mark.parametrize("value", ["1", None, True, [1]], ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_nothing_else(name: str, value: object) -> None:
    assert not accepted(name, value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if KINDS[name] is int])
def test_a_count_has_no_fraction(name: str) -> None:
    assert not accepted(name, (RULES[name].low or 0) + 0.5)


@pytest.mark.parametrize("name", [name for name in NUMBERS if KINDS[name] is float])
def test_a_duration_is_a_number(name: str) -> None:
    assert not accepted(name, float("nan"))


@pytest.mark.parametrize("value", [1, 0, "yes", None], ids=repr)
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_true_or_false(name: str, value: object) -> None:
    with pytest.raises(BadConfigError, match=f"{name} is True or False"):
        TcpConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_one_of_its_choices(name: str) -> None:
    assert all(accepted(name, choice) for choice in get_args(KINDS[name]))
    with pytest.raises(BadConfigError, match=f"{name} is one of .*, not 'whim'"):
        TcpConfig(**{name: "whim"})  # type: ignore[arg-type]


def test_the_message_names_rule_value_unit_and_range() -> None:
    with pytest.raises(BadConfigError, match=r"syn_retries is 200 retransmissions, outside 0 to 127"):
        TcpConfig(syn_retries=200)


def test_rules_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        TcpConfig().sack = False  # type: ignore[misc]


def test_rules_are_replaced_with_the_same_checks() -> None:
    assert replace(TcpConfig(), sack=False).sack is False
    with pytest.raises(BadConfigError):
        replace(TcpConfig(), rmem=0)


def test_equal_rules_are_equal() -> None:
    assert TcpConfig(rmem=4096) == TcpConfig(rmem=4096)
    assert TcpConfig(rmem=4096) != TcpConfig()
