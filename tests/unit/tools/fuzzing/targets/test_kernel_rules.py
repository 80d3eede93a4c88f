"""Rules as Linux has them: what a sysctl is written with means the rule's value again when it is read."""

from __future__ import annotations

from dataclasses import fields
from socket import IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPV6_TCLASS, TCP_NODELAY
from typing import Any

import pytest

from xsocket import TcpConfig
from xsocket_tools.fuzzing.targets.kernel_rules import DEFAULTS, is_possible, kernel_rules

HAS_SYSCTL = [each.name for each in fields(TcpConfig) if each.metadata["rule"].sysctl is not None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("syn_retries", 2),
        ("timestamps", False),
        ("rfc1337", True),
        ("loss_probe", True),
        ("tw_reuse", True),
        ("min_rto_s", 1.0),
        ("invalid_ratelimit_s", 0.25),
        ("max_rto_s", 60.0),
        ("fin_timeout_s", 3.0),
        ("rmem", 1 << 17),
        ("wmem", 1 << 17),
        ("syn_cookies", "always"),
        ("pool_policy", "refuse"),
        ("orphan_retries", 2),
        ("fastopen", 0x402),
        ("min_pmtu", 68),
    ],
)
def test_a_sysctl_means_the_rule(name: str, value: Any) -> None:  # noqa: ANN401
    assert is_possible(name, value)
    sysctls = kernel_rules(((name, value),)).sysctls
    assert (
        getattr(TcpConfig.of_sysctls({f"net/{path}": text for path, text in sysctls.items()}), name) == value
    )


@pytest.mark.parametrize("name", HAS_SYSCTL)
def test_each_rule_with_a_sysctl_begins_with_its_default(name: str) -> None:
    determined = {"max_syn_backlog": 65_536}
    began = TcpConfig.of_sysctls({f"net/{path}": text for path, text in DEFAULTS.items()})
    assert getattr(began, name) == determined.get(name, getattr(TcpConfig(), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("half_open_policy", "evict"),
        ("pool_policy", "evict"),
        ("time_wait_s", 1.0),
        ("fin_timeout_s", 0.5),
        ("orphan_retries", 0),
        ("max_connections", 2),
        ("minshall", False),
        ("soft_errors_abort", False),
        ("timestamps_required", True),
        ("delayed_ack_s", 0.2),
        ("quickacks", 0),
        ("challenge_ack_limit", 5),
        ("initial_rto_s", 3.0),
        ("rmem", 4096),
        ("wmem", 65_536),
    ],
)
def test_what_linux_has_nothing_for_is_said(name: str, value: Any) -> None:  # noqa: ANN401
    assert not is_possible(name, value)


@pytest.mark.parametrize("each", fields(TcpConfig), ids=lambda each: each.name)
def test_every_default_is_possible(each: Any) -> None:  # noqa: ANN401
    assert is_possible(each.name, each.default)


def test_no_limit_is_what_linux_has_here() -> None:
    assert is_possible("challenge_ack_limit", 1 << 24)
    assert is_possible("delayed_ack_s", 0.0)


@pytest.mark.parametrize(
    ("rules", "backlog"),
    [
        pytest.param({}, 65_535, id="none"),
        pytest.param({"max_syn_backlog": 2}, 1, id="half-open"),
        pytest.param({"pool_capacity": 2}, 1, id="to be accepted"),
        pytest.param({"max_syn_backlog": 1, "pool_capacity": 9}, 0, id="both"),
    ],
)
def test_the_backlog_bounds_both_tables(rules: dict[str, int], backlog: int) -> None:
    assert kernel_rules(tuple(rules.items())).backlog == backlog


def test_some_rules_are_options_of_sockets() -> None:
    options = kernel_rules((("dscp", 10), ("nodelay", True), ("user_timeout_s", 1.5))).options
    assert options[4] == ((IPPROTO_IP, IP_TOS, 40), (IPPROTO_TCP, TCP_NODELAY, 1), (IPPROTO_TCP, 18, 1500))
    assert options[6][0] == (IPPROTO_IPV6, IPV6_TCLASS, 40)


def test_the_hop_limit_goes_with_the_time_to_live() -> None:
    assert kernel_rules((("ttl", 7),)).sysctls == {
        "ipv4/ip_default_ttl": "7",
        "ipv6/conf/eth0/hop_limit": "7",
    }
