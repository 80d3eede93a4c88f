"""Labs that hurt, from the command line: made, listed, used, cleaned, and what is left after a kill."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xsocket_netns import clean, registry
from xsocket_netns.namespace import unpin
from xsocket_netns.processes import Process

pytestmark = pytest.mark.netns

PATIENCE_S = 20.0
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Parsed = Callable[["subprocess.CompletedProcess[str]"], Any]

CONNECT = """\
import socket
try: socket.create_connection(("10.0.0.2", 9), timeout=10)
except ConnectionRefusedError: print("refused")
"""


@pytest.fixture
def up(xsocket: Run, parsed: Parsed) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make a lab called "hurt", which is removed at the end if it is still there."""
    yield lambda *options: parsed(xsocket("lab", "up", "--name", "hurt", *options, "--json"))
    clean(everything=True)


def carrier_of(lab: dict[str, Any]) -> Process:
    (path,) = lab["paths"]
    process = Process.of(path["process"])
    assert process is not None
    return process


@contextmanager
def ending(process: Process) -> Iterator[None]:
    """Fail if *process* has not ended some time after the block."""
    handle = os.pidfd_open(process.pid)
    try:
        yield
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(PATIENCE_S * 1000), "it does not end"
    finally:
        os.close(handle)


def test_a_lab_hurts_until_it_is_cleaned(
    up: Callable[..., dict[str, Any]], xsocket: Run, parsed: Parsed, tmp_path: Path
) -> None:
    from scapy.layers.inet import TCP
    from scapy.utils import rdpcap

    made = up("--lose", "S:1", "--strip", "timestamps", "--delay", "1ms", "--capture", str(tmp_path))
    carrier = carrier_of(made)
    assert carrier.is_running()
    assert made["paths"][0]["does"] == ["--delay 1ms", "--lose S:1", "--strip timestamps"]
    assert [host["name"] for host in made["hosts"]] == ["client", "server"]
    assert xsocket("lab", "exec", "hurt", "client", sys.executable, "-c", CONNECT).stdout == "refused\n"
    assert parsed(xsocket("lab", "clean", "hurt", "--json"))["namespaces"] == 3
    assert not carrier.is_running()
    client, server = (
        [frame[TCP] for frame in rdpcap(str(tmp_path / f"{host}.pcapng")) if TCP in frame]
        for host in ("client", "server")
    )
    assert [str(segment.flags) for segment in client] == ["S", "S", "RA"]
    assert [str(segment.flags) for segment in server] == ["S", "RA"]
    assert "Timestamp" in dict(client[1].options)
    assert "Timestamp" not in dict(server[0].options)


def test_a_path_whose_process_was_killed_is_shown(
    up: Callable[..., dict[str, Any]], xsocket: Run, parsed: Parsed
) -> None:
    carrier = carrier_of(up("--delay", "1ms"))
    with ending(carrier):
        os.kill(carrier.pid, signal.SIGKILL)
    assert parsed(xsocket("lab", "list", "--json"))[0]["paths"][0]["running"] is False
    assert "nothing gets through" in " ".join(xsocket("lab", "list").stdout.replace("│", " ").split())
    assert xsocket("lab", "clean", "hurt").returncode == 0


def test_the_process_ends_when_the_interfaces_are_gone(up: Callable[..., dict[str, Any]]) -> None:
    made = up("--delay", "1ms")
    with ending(carrier_of(made)):
        for host in made["hosts"]:
            unpin(Path(host["namespace"]))


def test_a_capture_that_cannot_be_written_leaves_no_lab(xsocket: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    refused = xsocket("lab", "up", "--capture", str(tmp_path / "taken"))
    assert refused.returncode == 1
    assert "error: cannot write" in refused.stderr
    assert "remedy: Name a directory" in refused.stderr
    assert registry.lab_names() == []


def test_without_netem_in_the_kernel_the_remedy_is_to_do_without(xsocket: Run) -> None:
    tried = xsocket("lab", "up", "--netem", "--loss", "5%")
    if tried.returncode == 0:  # this kernel has it
        clean()
        return
    assert "error: this kernel has no netem" in tried.stderr
    assert "remedy: Leave --netem away" in tried.stderr
    assert registry.lab_names() == []


def test_an_ordinary_user_has_it_too_as_long_as_there_is_a_holder(
    as_ordinary_user: Run, parsed: Parsed
) -> None:
    command = ("-m", "xsocket_tools.cli", "lab")
    made = parsed(as_ordinary_user(*command, "up", "--delay", "1ms", "--json"))
    program = "exec 3<>/dev/tcp/10.0.0.2/9"
    connect = as_ordinary_user(*command, "exec", made["name"], "client", "bash", "-c", program)
    assert "refused" in connect.stderr
    with ending(carrier_of(made)):
        os.kill(made["owner"], signal.SIGKILL)
    assert parsed(as_ordinary_user(*command, "clean", "--json"))["labs"] == [made["name"]]


def test_an_ordinary_users_process_ends_with_the_lab(as_ordinary_user: Run, parsed: Parsed) -> None:
    command = ("-m", "xsocket_tools.cli", "lab")
    made = parsed(as_ordinary_user(*command, "up", "--delay", "1ms", "--json"))
    with ending(carrier_of(made)):
        parsed(as_ordinary_user(*command, "clean", "--json"))
