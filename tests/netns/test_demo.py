"""The demonstration in a lab: that it works, that it notices when something does not, that it measures."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xsocket_netns import Lab
from xsocket_tools.demonstration import demonstrate, resets_sent_by_kernel

pytestmark = pytest.mark.netns

# A subcommand whose consumers never answer.
STUCK = """\
import threading
from xsocket_tools import cli
from xsocket_tools.demonstration import demonstrate

def keep_waiting(text):
    print("claimed", flush=True)
    threading.Event().wait()
    return text

@cli.main.command()
def stuck():
    demonstrate(4, 1, answer=keep_waiting)

cli.main(["stuck"])
"""

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]
Parsed = Callable[[Completed], Any]


def test_two_hundred_clients_are_claimed_and_served(xsocket: Run, parsed: Parsed) -> None:
    told = parsed(xsocket("demo", "--json"))
    names = ("clients", "consumers", "established", "claimed", "claimed_twice", "lost", "payloads_ok")
    assert [told[name] for name in names] == [200, 8, 200, 200, 0, 0, 200]
    assert (told["ok"], told["resets_by_kernel"], told["failures"]) == (True, 0, {})
    by_way = {each["by"].partition("(")[0]: each["connections"] for each in told["claims"]}
    assert set(by_way) == {"whichever is next", "Pattern", "25 exact 4-tuples, before the SYN"}
    assert sum(each["connections"] for each in told["claims"]) == 200


@pytest.mark.parametrize("consumers", [1, 2, 3, 6])
def test_few_consumers_are_enough(consumers: int) -> None:
    told = demonstrate(12, consumers)
    assert told.ok, told.as_dict()
    assert len(told.claims) == consumers


def test_a_consumer_that_changes_the_text_is_noticed() -> None:
    told = demonstrate(12, 3, answer=lambda text: text.replace(b"client 5 ", b"client 6 "))
    assert not told.ok
    assert (told.payloads_ok, told.claimed, told.failures) == (11, 12, {"payload changed": 1})


def test_a_consumer_that_says_nothing_is_noticed() -> None:
    told = demonstrate(3, 1, answer=lambda _text: b"")
    assert (told.ok, told.payloads_ok, told.claimed) == (False, 0, 3)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_the_kernels_counter_counts_resets_of_both_versions(family: socket.AddressFamily, lab: Lab) -> None:
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"

    def refused() -> int:
        before = resets_sent_by_kernel()
        with socket.socket(family) as own, pytest.raises(ConnectionRefusedError):
            own.connect((address, 9))
        return resets_sent_by_kernel() - before

    assert lab.host("alone").run(refused) == 1


def test_the_report_for_people_fits_and_says_what_is_next(xsocket: Run) -> None:
    told = xsocket("demo", "--clients", "10", "--consumers", "3")
    assert told.returncode == 0, told.stderr
    for phrase in ("Who claimed what", "SYN+ACK seq 0 ack 1", "pool: claimed", "one owner", "Next"):
        assert phrase in told.stdout
    assert "\x1b" not in told.stdout
    assert told.stderr == "", "the progress bar is for terminals"


def test_an_ordinary_user_can_run_it(as_ordinary_user: Run, parsed: Parsed) -> None:
    told = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "demo", "--clients", "20", "--json"))
    assert told["ok"]


def test_ctrl_c_ends_it_with_130_and_removes_the_lab(environment: dict[str, str]) -> None:
    argv = [sys.executable, "-W", "error", "-c", STUCK]
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in errors


def test_the_capture_satisfies_tshark(xsocket: Run, tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        if os.environ.get("XSOCKET_REQUIRE_NETNS") == "1":
            pytest.fail("XSOCKET_REQUIRE_NETNS=1, and there is no tshark", pytrace=False)
        pytest.skip("no tshark here; Debian: apt-get install tshark")
    path = tmp_path / "demo.pcapng"
    told = xsocket("demo", "--clients", "40", "--capture", str(path))
    assert told.returncode == 0, told.stderr
    command = [tshark, "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = ("frame.comment", "tcp.flags.str", "tcp.checksum.status", "_ws.malformed")
    command += ["-T", "fields", *(part for field in fields for part in ("-e", field))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    frames = [line.split("\t") for line in printed.splitlines()]
    assert {(status, malformed) for _, _, status, malformed in frames} == {("1", "")}
    assert all(comment for comment, *_ in frames)
    answers = [comment for comment, flags, *_ in frames if flags.endswith("A··S·")]
    assert answers == ["SYN-RECEIVED; sent by RFC 9293 3.10.7.2 third"] * 40
