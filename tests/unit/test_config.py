from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest

from xsocket.config import PER_CONNECTION, Rule, TcpConfig
from xsocket.errors import BadConfigError

T = TypeVar("T")
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


# As Linux has it, as the RFCs have it


class Elsewhere:
    """A namespace of which every sysctl file has the text that a test names; others do not exist."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
        self._monkeypatch = monkeypatch
        self._texts = texts

    def run(self, function: Callable[[], T], /) -> T:
        def read(path: Path) -> str:
            assert path.is_relative_to("/proc/sys/net")
            if path.name not in self._texts:
                raise FileNotFoundError(path)
            return self._texts[path.name]

        with self._monkeypatch.context() as patched:
            patched.setattr(Path, "read_text", read)
            return function()


@pytest.mark.parametrize(
    ("file", "text", "rule", "value"),
    [
        ("tcp_syn_retries", "3\n", "syn_retries", 3),
        ("tcp_sack", "0\n", "sack", False),
        ("tcp_timestamps", "2\n", "timestamps", True),
        ("tcp_syncookies", "0\n", "syn_cookies", "never"),
        ("tcp_syncookies", "2\n", "syn_cookies", "always"),
        ("tcp_abort_on_overflow", "1\n", "pool_policy", "refuse"),
        ("tcp_rmem", "4096\t131072\t6291456\n", "rmem", 6_291_456),
        ("tcp_rto_min_us", "200000\n", "min_rto_s", 0.2),
        ("tcp_rto_max_ms", "120000\n", "max_rto_s", 120.0),
        ("tcp_invalid_ratelimit", "250\n", "invalid_ratelimit_s", 0.25),
        ("tcp_keepalive_time", "60\n", "keepalive_time_s", 60.0),
        ("tcp_orphan_retries", "0\n", "orphan_retries", 8),
        ("tcp_tw_reuse", "1\n", "tw_reuse", True),
        ("tcp_tw_reuse", "2\n", "tw_reuse", False),
        ("tcp_max_tw_buckets", "2147483647\n", "max_tw_buckets", 1 << 24),
    ],
)
def test_a_sysctl_sets_its_rule(
    monkeypatch: pytest.MonkeyPatch, file: str, text: str, rule: str, value: object
) -> None:
    config = TcpConfig.linux(Elsewhere(monkeypatch, **{file: text}))
    assert config == replace(TcpConfig(), **{rule: value})  # type: ignore[arg-type]


def test_what_the_kernel_lacks_keeps_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TcpConfig.linux(Elsewhere(monkeypatch)) == TcpConfig()


def test_changes_go_before_sysctls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TcpConfig.linux(Elsewhere(monkeypatch, tcp_sack="1"), sack=False).sack is False
    with pytest.raises(BadConfigError):
        TcpConfig.linux(Elsewhere(monkeypatch), rmem=0)


def test_the_current_namespace_is_read() -> None:
    retries = Path("/proc/sys/net/ipv4/tcp_retries2").read_text()
    assert TcpConfig.linux().retries2 == int(retries)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.sysctl])
def test_a_rule_is_named_after_its_sysctl(name: str) -> None:
    sysctl = RULES[name].sysctl
    assert sysctl is not None
    stem = sysctl.path.rpartition("/")[2].removeprefix("tcp_")
    renamed = {"syncookies": "syn_cookies", "abort_on_overflow": "pool_policy"}
    renamed |= {"rto_min_us": "min_rto_s", "rto_max_ms": "max_rto_s"}
    renamed |= {"ip_default_ttl": "ttl", "early_retrans": "loss_probe"}
    renamed |= {"fastopen_blackhole_timeout_sec": "fastopen_blackhole_timeout_s"}
    assert name in (stem, f"{stem}_s", renamed.get(stem))
    assert stem in (RULES[name].linux or "")


DIFFERENCES = [name for name, rule in RULES.items() if rule.strict is not None]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_from_the_rfcs_is_one_and_has_a_reason(name: str) -> None:
    assert RULES[name].strict != getattr(TcpConfig(), name)
    assert RULES[name].why


def test_strict_is_the_default_but_for_the_differences() -> None:
    strict = TcpConfig.strict()
    changed = {name: RULES[name].strict for name in DIFFERENCES}
    assert strict == TcpConfig(**changed)  # type: ignore[arg-type]
    assert TcpConfig.strict(sack=False) == replace(strict, sack=False)


def test_the_rules_of_one_connection_are_rules() -> None:
    assert set(RULES) >= PER_CONNECTION


def test_sysctls_can_be_given() -> None:
    values = {
        "net.ipv4.tcp_syn_retries": "3",
        "net/ipv4/tcp_rmem": "4096 131072 9000",
        "net.core.somaxconn": "7",
    }
    config = TcpConfig.of_sysctls(values, sack=False)
    assert (config.syn_retries, config.rmem, config.sack) == (3, 9000, False)
    assert config == TcpConfig(syn_retries=3, rmem=9000, sack=False)


@pytest.mark.parametrize("text", ["", "many", "1 2 x"])
def test_a_sysctl_that_is_given_is_one(text: str) -> None:
    with pytest.raises(BadConfigError, match="net/ipv4/tcp_rmem cannot be"):
        TcpConfig.of_sysctls({"net.ipv4.tcp_rmem": text})
