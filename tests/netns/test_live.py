"""`xsocket live` without a browser: what its lab does, what it tells, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.documents import Shown
from support.live import PATIENCE_S, until
from xsocket import State
from xsocket_tools.live.errors import CannotDoError
from xsocket_tools.live.watching import MOST_AT_ONCE, Verdict, Watching
from xsocket_tools.live.world import MOST_CLIENTS, MOST_SAID

pytestmark = pytest.mark.netns

Column = list[dict[str, Any]]
LIVE = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", "live"]

# Starts `xsocket live`, asks for its page, and ends it as Ctrl-C does.
LOOK_IN = """\
import signal, subprocess, sys, urllib.request

command = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", "live"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
    url = child.stdout.readline().strip()
    with urllib.request.urlopen(url, timeout=20) as answer:
        print(answer.status, "An engine at work" in answer.read().decode())
    child.send_signal(signal.SIGINT)
print(child.returncode)
"""


@pytest.fixture
def watching() -> Iterator[Watching]:
    """A lab whose link is a bare cable."""
    made = Watching()
    with made.world:
        yield made


def column(watching: Watching, name: str) -> Column:
    watching.look()
    cards: Column = watching.state()["columns"][name]["cards"]
    return cards


def rows(watching: Watching) -> list[str]:
    watching.look()
    return [row["text"] for row in watching.rows_after(0)[0]]


def connected(watching: Watching, how_many: int = 1) -> Column:
    """Let clients connect, and wait until they are in the pool; return their cards."""
    watching.connect(how_many)
    until(lambda: len(column(watching, "pool")) == how_many)
    return column(watching, "pool")


def form(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "address": "10.0.0.66",
        "source_port": "40000",
        "port": "80",
        "flags": ["SYN"],
        "seq": "1000",
        "ack": "0",
        "window": "64240",
        **changes,
    }


def sent(watching: Watching, **changes: Any) -> Verdict:  # noqa: ANN401
    verdict = watching.send(form(**changes))
    assert isinstance(verdict, Verdict), verdict
    assert verdict.rows[0].by_hand
    return verdict


def test_clients_connect_and_are_claimed_in_turn(watching: Watching) -> None:
    cards = connected(watching, 3)
    assert {card["state"] for card in cards} == {"ESTABLISHED"}
    assert all(card["mine"] and not card["held"] for card in cards)
    assert watching.claim() == f"You hold {cards[0]['remote']} now."
    (claimed,) = column(watching, "claimed")
    assert (claimed["name"], claimed["held"]) == (cards[0]["name"], True)
    assert [card["name"] for card in column(watching, "pool")] == [card["name"] for card in cards[1:]]


def test_what_is_claimed_talks_and_is_closed(watching: Watching) -> None:
    (card,) = connected(watching)
    watching.claim()
    watching.say(card["name"], "hello")
    until(lambda: "client sends ACK seq 1 ack 6" in rows(watching))
    assert "engine sends PSH+ACK seq 1 ack 1 len 5" in rows(watching)
    watching.close(card["name"])
    until(lambda: column(watching, "claimed")[0]["state"] == "FIN-WAIT-2")
    assert not column(watching, "claimed")[0]["held"]
    watching.close_client(card["name"])
    until(lambda: column(watching, "claimed")[0]["state"] == "TIME-WAIT")
    assert not column(watching, "claimed")[0]["mine"]


def test_the_client_may_close_first(watching: Watching) -> None:
    (card,) = connected(watching)
    watching.close_client(card["name"])
    until(lambda: column(watching, "pool")[0]["state"] == "CLOSE-WAIT")
    watching.claim()
    watching.close(card["name"])
    until(lambda: column(watching, "claimed") == [])
    (ended,) = watching.state()["ended"]
    assert (ended["name"], ended["how"], ended["mine"]) == (card["name"], "ACK of our FIN", False)


def test_a_forged_syn_stays_half_open_until_a_forged_third_segment_comes(watching: Watching) -> None:
    verdict = sent(watching)
    assert verdict.said == "The engine answers SYN+ACK. CLOSED → SYN-RECEIVED."
    (card,) = column(watching, "half-open")
    assert (card["remote"], card["mine"]) == ("10.0.0.66:40000", False)
    relative = {"seq_from": "relative", "ack_from": "relative", "seq": "0", "ack": "0"}
    verdict = sent(watching, connection=card["name"], flags=["ACK"], **relative)
    assert verdict.said == "The engine takes it, and sends nothing. SYN-RECEIVED → ESTABLISHED."
    assert verdict.rows[-1].text == "engine: the connection goes to the pool"
    assert column(watching, "pool")[0]["name"] == card["name"]


def test_a_port_that_is_not_served_resets(watching: Watching) -> None:
    verdict = sent(watching, port="81")
    assert verdict.said == "The engine answers RST+ACK."
    assert verdict.rows[-1].notes == ("RFC 9293 3.10.7.1",)
    assert verdict.rows[-1].absolute == "engine sends RST+ACK seq 0 ack 1001"


def test_a_bad_segment_is_dropped_by_name(watching: Watching) -> None:
    verdict = sent(watching, flags=["RST"])
    assert verdict.said.startswith("Dropped, RST_FOR_NOBODY: RFC 9293 3.10.7.1")
    drops = dict(
        each[:2] for name, group in watching.state()["counters"] if name == "Dropped" for each in group
    )
    assert drops == {"RST_FOR_NOBODY": 1}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"address": "10.0.0.255"}, "SOURCE_IS_BROADCAST", id="from broadcast"),
        pytest.param({"flags": ["SYN", "FIN"]}, "SYN_WITH_FIN", id="SYN and FIN"),
        pytest.param({"flags": []}, "NO_CONTROL_IN_LISTEN", id="no flag at all"),
    ],
)
def test_what_nobody_answers_has_its_reason(watching: Watching, changes: dict[str, Any], says: str) -> None:
    assert f"Dropped, {says}: " in sent(watching, **changes).said


def test_a_segment_in_the_name_of_the_client_hits_its_connection(watching: Watching) -> None:
    (card,) = connected(watching)
    relative = {"connection": card["name"], "seq_from": "relative"}
    near = sent(watching, **relative, flags=["RST"], seq="10")
    assert "Dropped, RST_CHALLENGED" in near.said
    assert "The engine answers ACK" in near.said
    far = sent(watching, **relative, flags=["ACK"], seq="1000000000", ack_from="relative")
    assert "Dropped, OUTSIDE_WINDOW" in far.said
    hit = sent(watching, **relative, flags=["RST"], seq="0")
    assert hit.said.endswith("ESTABLISHED → CLOSED.")
    assert column(watching, "pool") == []
    (ended,) = watching.state()["ended"]
    assert (ended["how"], ended["mine"]) == ("RST at RCV.NXT", True)
    watching.close_client(card["name"])  # who knows nothing of it
    until(lambda: rows(watching).count("client sends FIN+ACK seq 1 ack 1") == 1)


def test_text_and_options_arrive(watching: Watching) -> None:
    (card,) = connected(watching)
    relative = {"connection": card["name"], "seq_from": "relative", "ack_from": "relative", "seq": "0"}
    verdict = sent(watching, **relative, flags=["ACK", "PSH"], text="<b>hi</b>", options="01 01 01")
    assert verdict.rows[0].notes[0] == "“<b>hi</b>”"


def test_bad_input_sends_nothing(watching: Watching) -> None:
    wrong = watching.send(form(address="x", window="-1"))
    assert isinstance(wrong, dict)
    assert sorted(wrong) == ["address", "window"]
    assert rows(watching) == []


def test_what_is_not_possible_says_so(watching: Watching) -> None:
    (card,) = connected(watching)
    refused: list[tuple[Callable[[], str], str]] = [
        (lambda: watching.connect(MOST_AT_ONCE + 1), "clients connect at once"),
        (lambda: watching.connect("1"), "clients connect at once"),
        (lambda: watching.connect(True), "clients connect at once"),
        (lambda: watching.say(card["name"], "x"), "Nobody holds"),
        (lambda: watching.close(card["name"]), "Nobody holds"),
        (lambda: watching.close("10.0.0.9:1 to 80"), "not there any more"),
        (lambda: watching.close({"name": 1}), "not there any more"),
        (lambda: watching.say(card["name"], 7), "is text"),
    ]
    for call, says in refused:
        with pytest.raises(CannotDoError, match=says):
            call()
    watching.claim()
    for text in ("", "x" * (MOST_SAID + 1)):
        with pytest.raises(CannotDoError, match="no more than"):
            watching.say(card["name"], text)
    with pytest.raises(CannotDoError, match="No connection waits"):
        watching.claim()
    watching.close_client(card["name"])
    with pytest.raises(CannotDoError, match="no socket"):
        watching.close_client(card["name"])


def test_the_clients_sockets_are_bounded(watching: Watching) -> None:
    for _ in range(MOST_CLIENTS // MOST_AT_ONCE):
        watching.connect(MOST_AT_ONCE)
    with pytest.raises(CannotDoError, match="close some first"):
        watching.connect(MOST_AT_ONCE)
    until(lambda: len(column(watching, "pool")) == 60 and watching.state()["columns"]["pool"]["count"] == 250)
    assert watching.state()["left_out"] == 0


def test_after_events_were_left_out_the_columns_are_right() -> None:
    watching = Watching(limit=4)
    with watching.world:
        watching.connect(MOST_AT_ONCE)
        watching.world.engine.pool.wait_for(MOST_AT_ONCE, PATIENCE_S)
        watching.look()
        assert watching.state()["left_out"] > 0
        assert len(column(watching, "pool")) == MOST_AT_ONCE
        watching.claim()
        assert len(column(watching, "claimed")) == 1


def test_on_a_slow_link_a_client_is_seen_half_open() -> None:
    watching = Watching(delay_s=0.2)
    with watching.world:
        watching.connect(1)
        until(lambda: bool(column(watching, "half-open")))
        until(lambda: bool(column(watching, "pool")))
        verdict = sent(watching, port="81")
        assert verdict.said == "The engine answers RST+ACK."


def test_an_owner_learns_of_the_end(watching: Watching) -> None:
    (card,) = connected(watching)
    watching.claim()
    assert watching.world.engine.connections().popitem()[1] is State.ESTABLISHED
    sent(watching, connection=card["name"], seq_from="relative", seq="0", flags=["RST"])
    assert column(watching, "claimed") == []
    assert watching.world.held() == frozenset()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.runs("docs/how-to/live.md")
def test_the_command_prints_the_address_serves_and_removes_everything(
    shown: Shown, environment: dict[str, str], number: signal.Signals, runtime_directory: Path
) -> None:
    assert [step.command for step in shown.steps()] == ["xsocket live"]
    with subprocess.Popen(
        [*LIVE, "--delay", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310  # checked
            assert "An engine at work" in answer.read().decode()
        events = url.replace("/?", "/events?")
        with urllib.request.urlopen(events, timeout=PATIENCE_S) as stream:  # noqa: S310  # as well
            assert stream.readline() == b"id: 0\n"
            child.send_signal(number)  # while a page looks on
            _, errors = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert errors == "Open this address in a browser on this machine. Ctrl-C ends it.\n"
    left = [path.name for kind in ("labs", "netns") for path in (runtime_directory / kind).glob("*")]
    assert left == []


def test_it_opens_a_browser_with_the_address(environment: dict[str, str], tmp_path: Path) -> None:
    browser, told = tmp_path / "browser", tmp_path / "told"
    os.mkfifo(told)
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    browser.chmod(0o755)
    with subprocess.Popen(
        [*LIVE, "--delay", "0", "--open"],
        env={**environment, "BROWSER": str(browser)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert told.read_text() == child.stdout.readline()
        child.terminate()
        _, errors = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert errors.count("\n") == 1


def test_a_port_in_use_has_a_remedy(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = subprocess.run(
            [*LIVE, "--port", str(taken.getsockname()[1])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert told.returncode == 1
    assert "remedy: Name another --port" in told.stderr
    assert "Traceback" not in told.stderr


def test_an_ordinary_users_page_is_where_the_users_browser_is(
    as_ordinary_user: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    told = as_ordinary_user("-c", LOOK_IN)
    assert told.stdout.split() == ["200", "True", "0"], told.stderr
