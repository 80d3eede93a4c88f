"""The command line as a user meets it: output, exit statuses, error texts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xsocket_netns import clean

pytestmark = pytest.mark.netns

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Parsed = Callable[["subprocess.CompletedProcess[str]"], Any]


@pytest.fixture
def two_hosts(xsocket: Run, parsed: Parsed) -> Iterator[dict[str, Any]]:
    """What `lab up` says of a persistent lab called "pair"."""
    yield parsed(xsocket("lab", "up", "--name", "pair", "--json"))
    clean(["pair"], everything=True)


def test_up_describes_two_hosts_and_their_link(two_hosts: dict[str, Any]) -> None:
    client, server = two_hosts["hosts"]
    assert (two_hosts["name"], two_hosts["state"]) == ("pair", "persistent")
    assert (client["name"], server["name"]) == ("client", "server")
    assert client["interfaces"] == [
        {"name": "eth0", "mac": "02:00:00:00:01:00", "addresses": ["10.0.0.1/24", "fd00::1/64"]}
    ]
    assert server["interfaces"][0]["addresses"] == ["10.0.0.2/24", "fd00::2/64"]


def test_list_shows_what_up_made(two_hosts: dict[str, Any], xsocket: Run, parsed: Parsed) -> None:
    assert parsed(xsocket("lab", "list", "--json")) == [two_hosts]
    table = xsocket("lab", "list")
    assert "pair" in table.stdout
    assert "\x1b" not in table.stdout  # colour is for terminals


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.parametrize(
    ("command", "status"),
    [
        pytest.param(["true"], 0, id="success"),
        pytest.param(["--", "sh", "-c", "exit 7"], 7, id="its-own"),
        pytest.param(["sh", "-c", "kill -9 $$"], -9, id="killed"),
        pytest.param(["no-such-program"], 127, id="not-found"),
        pytest.param([], 2, id="nothing-to-run"),
        pytest.param(["--"], 2, id="nothing-after-dashes"),
    ],
)
def test_exec_ends_as_its_command_does(xsocket: Run, command: list[str], status: int) -> None:
    assert xsocket("lab", "exec", "pair", "client", *command).returncode == status


@pytest.mark.usefixtures("two_hosts")
def test_exec_reaches_the_other_host(xsocket: Run) -> None:
    program = (
        "import socket\n"
        "try: socket.create_connection(('fd00::2', 9), timeout=5)\n"
        "except ConnectionRefusedError: print('refused by the server')"
    )
    assert "refused" in xsocket("lab", "exec", "pair", "client", sys.executable, "-c", program).stdout


def test_up_of_many_hosts_makes_a_bridge(xsocket: Run, parsed: Parsed) -> None:
    made = parsed(xsocket("lab", "up", "--hosts", "a,b,c", "--json"))
    assert [host["interfaces"][0]["addresses"][0] for host in made["hosts"]] == [
        "10.0.0.1/24",
        "10.0.0.2/24",
        "10.0.0.3/24",
    ]
    assert parsed(xsocket("lab", "clean", made["name"], "--json"))["namespaces"] == 4


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.parametrize(
    ("arguments", "complaint", "status"),
    [
        pytest.param(["up", "--name", "pair"], "error: there is a lab pair already", 1, id="name-taken"),
        pytest.param(["up", "--name", "No!"], "error: not a name", 1, id="bad-name"),
        pytest.param(["up", "--hosts", "a,a"], "a name occurs twice", 2, id="host-twice"),
        pytest.param(["exec", "none", "a", "true"], "error: there is no lab none", 1, id="no-lab"),
        pytest.param(["exec", "pair", "a", "true"], "it has: client, server", 1, id="no-host"),
        pytest.param(["clean", "none"], "error: there is no lab none", 1, id="clean-no-lab"),
        pytest.param(["dance"], "No such command", 2, id="no-command"),
    ],
)
def test_errors_have_a_text_and_no_traceback(
    xsocket: Run, arguments: list[str], complaint: str, status: int
) -> None:
    refused = xsocket("lab", *arguments)
    assert refused.returncode == status
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr
    assert ("remedy: " in refused.stderr) == (status == 1)


def test_clean_ends_what_exec_started(
    two_hosts: dict[str, Any], environment: dict[str, str], xsocket: Run
) -> None:
    argv = [sys.executable, "-m", "xsocket_tools.cli", "lab", "exec", two_hosts["name"], "client"]
    command = [*argv, "sh", "-c", "echo in; exec sleep 1000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in\n"
        assert xsocket("lab", "clean").stdout == "Removed 1 lab(s), 2 namespace(s).\n"
        assert child.wait(20) == -15
    assert xsocket("lab", "up", "--name", "pair").returncode == 0  # for the fixture to remove


def test_doctor_finds_all_that_the_demo_needs(xsocket: Run, parsed: Parsed) -> None:
    report = parsed(xsocket("doctor", "--json"))
    assert report["ready"] is True
    checks = {check["name"]: check for check in report["checks"]}
    assert all(check["ok"] for check in checks.values() if check["needed"])
    assert all(check["remedy"] for check in checks.values() if not check["ok"])
    assert all(check["detail"] for check in checks.values())
    assert {"privileges", "user-namespaces", "packet-socket", "nftables", "tcp-repair", "netem"} <= set(
        checks
    )


def test_doctor_prints_a_line_for_each(xsocket: Run) -> None:
    printed = xsocket("doctor")
    assert printed.returncode == 0
    assert "The demo can run here." in printed.stdout
    assert "Traceback" not in json.dumps([printed.stdout, printed.stderr])
