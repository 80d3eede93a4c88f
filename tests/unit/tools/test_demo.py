"""What `xsocket demo` says: its options, its report and its JSON, without a lab."""

from __future__ import annotations

import io
import json
import resource
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from xsocket import DropReason, Engine, Event, EventKind, FourTuple, Segment, State, Trace
from xsocket.segment import SYN
from xsocket.wire.memory_link import memory_pair
from xsocket_tools import clients
from xsocket_tools.demo import demo, show
from xsocket_tools.demonstration import Claims, Outcome

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 20_000)


def outcome(**changes: Any) -> Outcome:  # noqa: ANN401
    """A run of two clients that went well, but for *changes*."""
    trace = Trace()
    syn = Segment(5, 0, SYN, 64_240)
    trace.record(
        Event(
            kind=EventKind.RECEIVED,
            at_ns=0,
            four_tuple=KEY,
            segment=syn,
            before=State.CLOSED,
            after=State.SYN_RECEIVED,
        )
    )
    trace.record(Event(kind=EventKind.POOL, at_ns=1000, four_tuple=KEY, pool_event="claimed"))
    trace.record(Event(kind=EventKind.POOL, at_ns=2000, four_tuple=KEY, pool_event="closed"))
    near, _ = memory_pair()
    with Engine(addresses=["10.0.0.2/24"], link=near) as engine:
        statistics = engine.statistics()
    host = statistics.host._replace(established=2, drops={DropReason.OUTSIDE_WINDOW: 3})
    values: dict[str, Any] = {
        "clients": 2,
        "claims": [
            Claims("consumer 1", "whichever is next", 2, KEY),
            Claims("consumer 2", "Pattern(local_port=80)", 0, None),
        ],
        "claimed": 2,
        "claimed_twice": 0,
        "lost": 0,
        "payloads_ok": 2,
        "failures": {},
        "resets_by_kernel": 0,
        "seconds": 0.12345,
        "statistics": statistics._replace(host=host),
        "trace": trace,
        "example": KEY,
    }
    return Outcome(**values | changes)


def report(told: Outcome) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(told, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_json_has_every_figure() -> None:
    plain = outcome().as_dict()
    assert json.loads(json.dumps(plain)) == plain
    chosen = (
        "ok",
        "clients",
        "consumers",
        "established",
        "claimed",
        "lost",
        "resets_by_kernel",
        "payloads_ok",
    )
    assert [plain[name] for name in chosen] == [True, 2, 2, 2, 2, 0, 0, 2]
    assert (plain["seconds"], plain["drops"]) == (0.123, {"OUTSIDE_WINDOW": 3})
    assert plain["claims"] == [
        {"consumer": "consumer 1", "by": "whichever is next", "connections": 2, "example": list(KEY)},
        {"consumer": "consumer 2", "by": "Pattern(local_port=80)", "connections": 0, "example": None},
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"payloads_ok": 1}, id="a payload was changed"),
        pytest.param({"claimed": 1, "claimed_twice": 1}, id="a connection was claimed twice"),
        pytest.param({"claimed": 1, "lost": 1}, id="a connection was lost"),
        pytest.param({"claimed": 1}, id="a client never connected"),
        pytest.param({"resets_by_kernel": 1}, id="the kernel interfered"),
    ],
)
def test_anything_less_than_everything_is_a_failure(changes: dict[str, int]) -> None:
    assert outcome().ok
    assert not outcome(**changes).ok


def test_the_report_shows_claims_ladder_counters_and_verdict() -> None:
    text = report(outcome())
    assert "consumer 2  Pattern(local_port=80)" in text
    assert "10.0.0.2:80 <- 10.0.0.1:20000" in text
    assert "SYN seq 0" in text
    assert "pool: claimed" in text
    assert "pool: closed" not in text, "the ladder ends with the claim"
    assert "OUTSIDE_WINDOW 3" in text
    assert "Every connection had one owner" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_failure_says_what_the_clients_met() -> None:
    text = report(outcome(payloads_ok=1, failures={"payload changed": 1}))
    assert "It did not work." in text
    assert "1 client: payload changed" in text


def test_a_run_whose_connections_are_forgotten_has_no_ladder() -> None:
    assert "SYN seq" not in report(outcome(example=None))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--clients", "0"], id="no clients"),
        pytest.param(["--clients", str(clients.MOST + 1)], id="more clients than source ports"),
        pytest.param(["--consumers", "0"], id="no consumers"),
        pytest.param(["--consumers", "many"], id="not a number"),
        pytest.param(["--capture", "/nowhere/demo.pcapng"], id="a capture in a directory that is not there"),
        pytest.param(["--capture", "/"], id="a capture that is a directory"),
    ],
)
@pytest.mark.netns
def test_arguments_are_checked_before_anything_is_made(arguments: list[str]) -> None:
    result = CliRunner().invoke(demo, arguments)
    assert result.exit_code == 2
    assert f"Invalid value for {arguments[0]}" in result.output.replace("'", "")


@pytest.mark.netns
def test_more_clients_than_open_files_are_refused(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > clients.MOST:
        pytest.skip("the hard limit of open files is too high to meet")
    result = CliRunner().invoke(demo, ["--clients", str(hard), "--capture", str(tmp_path / "x.pcapng")])
    assert (result.exit_code, resource.getrlimit(resource.RLIMIT_NOFILE)) == (2, (soft, hard))
    assert "raise `ulimit -Hn`" in result.output


def test_the_plan_gives_every_client_a_4_tuple_and_a_payload_of_its_own() -> None:
    planned = clients.plan(1000, ("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2"), 80)
    assert len({client.four_tuple for client in planned}) == 1000
    assert len({client.payload for client in planned}) == 1000
    assert sum(client.four_tuple.family == 6 for client in planned) == 500
    assert max(client.four_tuple.remote_port for client in planned) == clients.FIRST_PORT + 499
