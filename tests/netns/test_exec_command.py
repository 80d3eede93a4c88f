"""`xsocket exec`: programs that know nothing of pools, with their connection as inetd and systemd give it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from support.live import OURS, PATIENCE_S, until
from support.programs import needed
from support.sharing import Scene, echoes, scene

pytestmark = pytest.mark.netns

Execute = Callable[..., "subprocess.Popen[str]"]

AS_SYSTEMD: Final = """
import os, socket
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_FDNAMES"] == "connection"
assert int(os.environ["LISTEN_PID"]) == os.getpid()
connection = socket.socket(fileno=3)
assert connection.getpeername() == (os.environ["REMOTE_ADDR"], int(os.environ["REMOTE_PORT"]))
connection.sendall(b"as systemd")
"""
AS_INETD: Final = """
import os, sys
assert "LISTEN_FDS" not in os.environ
sys.stdout.write(sys.stdin.readline().upper() + os.environ["REMOTE_PORT"])
sys.exit(7)
"""


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene(ports="22,80-81") as made:
        yield made


@pytest.fixture
def execute(live: Scene, environment: dict[str, str]) -> Iterator[Execute]:
    """Start the command; whatever it has started ends with it."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-m", "xsocket_tools.cli", "exec", "--socket", live.path, *arguments]
        child = subprocess.Popen(
            list(map(str, argv)), env=environment, stderr=subprocess.PIPE, text=True, process_group=0
        )
        running.append(child)
        return child

    yield start
    for child in running:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=PATIENCE_S)


def read_all(peer: socket.socket) -> bytes:
    peer.settimeout(PATIENCE_S)
    return b"".join(iter(lambda: peer.recv(1 << 16), b""))


def test_a_program_of_inetd(live: Scene, execute: Execute) -> None:
    child = execute("--claim", "80", "--", sys.executable, "-c", AS_INETD)
    with live.connect() as peer:
        peer.sendall(b"hello\n")
        assert read_all(peer) == b"HELLO\n%d" % peer.getsockname()[1]
    assert child.wait(PATIENCE_S) == 7


def test_a_program_of_systemd(live: Scene, execute: Execute) -> None:
    child = execute("--claim", "any", "--fd", "3", "--", sys.executable, "-c", AS_SYSTEMD)
    with live.connect() as peer:
        assert read_all(peer) == b"as systemd"
    assert child.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    "spec", ["81", "local_port=81 remote=10.0.0.0/24", "80-81"], ids=["port", "fields", "ports"]
)
def test_what_is_claimed(live: Scene, execute: Execute, spec: str) -> None:
    execute("--claim", spec, "--", "cat")
    until(lambda: live.counts().waiting_claims == 1)
    with live.connect(22), live.connect(81) as peer:
        assert echoes(peer)
        assert len(live.engine.pool) == 1


def test_a_four_tuple_is_claimed(live: Scene, execute: Execute) -> None:
    with live.connect() as other, live.connect() as peer:
        port = peer.getsockname()[1]
        execute("--claim", f"10.0.0.2:80<-10.0.0.1:{port}", "--", "cat")
        assert echoes(peer)
        other.close()


def test_the_connection_ends_with_the_program(live: Scene, execute: Execute) -> None:
    child = execute("--claim", "80", "--", "cat")
    with live.connect() as peer:
        assert echoes(peer)
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b""
    assert child.wait(PATIENCE_S) == 0


def test_a_program_for_each_connection(live: Scene, execute: Execute) -> None:
    child = execute("--claim", "80", "--forever", "--", "cat")
    peers = [live.connect() for _ in range(5)]
    assert all(echoes(peer) for peer in peers)
    for peer in peers:
        peer.close()
    with live.connect() as peer:
        assert echoes(peer)
    until(lambda: not children_of(child.pid))  # none is left, not even as a zombie
    assert child.poll() is None


def test_each_is_told_its_own_connection(live: Scene, execute: Execute) -> None:
    execute("--claim", "80", "--fd", "3", "--forever", "--", sys.executable, "-c", AS_SYSTEMD)
    for _ in range(3):
        with live.connect() as peer:
            assert read_all(peer) == b"as systemd"


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_no_more_programs_than_jobs(live: Scene, execute: Execute) -> None:
    execute("--claim", "80", "--forever", "--jobs", "2", "--", "cat")
    peers = [live.connect() for _ in range(3)]
    assert echoes(peers[0])
    assert echoes(peers[1])
    live.engine.pool.wait_for(1, PATIENCE_S)
    assert live.counts().waiting_claims == 0
    peers[0].close()
    assert echoes(peers[2])
    for peer in peers:
        peer.close()


def test_those_that_run_are_waited_for_when_the_server_ends(live: Scene, execute: Execute) -> None:
    child = execute("--claim", "80", "--forever", "--", "cat")
    with live.connect() as peer:
        assert echoes(peer)
        live.server.stop()
        assert echoes(peer)
        assert child.poll() is None
    _, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, errors[:7]) == (1, "error: ")


def test_a_program_ignores_no_signal_because_python_does(live: Scene, execute: Execute) -> None:
    execute("--claim", "80", "--", "grep", "SigIgn", "/proc/self/status")
    with live.connect() as peer:
        ignored = int(read_all(peer).split()[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1


REFUSALS = [
    pytest.param(["--claim", "80", "--", "no-such-program"], 127, "no program no-such-program", id="program"),
    pytest.param(["--claim", "http", "--", "cat"], 2, "Write a claim as ports", id="claim"),
    pytest.param(["--claim", "10.0.0.2<-10.0.0.1:1", "--", "cat"], 2, "is no 4-tuple", id="4-tuple"),
    pytest.param(["--claim", "port=80", "--", "cat"], 2, "'port=80' is not a field", id="field"),
    pytest.param(["--claim", "remote=1.1.1.1 remote=::1", "--", "cat"], 2, "there twice", id="twice"),
    pytest.param(["--claim", "80", "--stdio", "--fd", "3", "--", "cat"], 2, "exclude each other", id="both"),
    pytest.param(["--claim", "80", "--"], 2, "Missing argument 'COMMAND...'", id="no command"),
    pytest.param(["--claim", "80", "--timeout", "0.1", "--", "cat"], 1, "error: ", id="nothing in time"),
]


@pytest.mark.parametrize(("arguments", "status", "reason"), REFUSALS)
def test_what_is_refused(execute: Execute, arguments: list[str], status: int, reason: str) -> None:
    child = execute(*arguments)
    _, errors = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == status
    assert reason in errors
    assert "Traceback" not in errors


def test_a_missing_program_claims_nothing(live: Scene, execute: Execute) -> None:
    with live.connect() as peer:
        assert execute("--claim", "80", "--", "no-such-program").wait(PATIENCE_S) == 127
        assert live.serves(peer)


def test_ssh_through_a_daemon_that_does_not_listen(live: Scene, execute: Execute, tmp_path: Path) -> None:
    """`sshd -i`, as inetd would start it, with keys of its own."""
    if "4294967295" not in Path("/proc/self/uid_map").read_text():
        pytest.skip("sshd changes to users that a user namespace does not have")
    server, client, generate = needed("sshd"), needed("ssh"), needed("ssh-keygen")
    for name in ("host", "user"):
        subprocess.run([generate, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation wants an empty directory
    options = [
        f"HostKey={tmp_path}/host",
        f"AuthorizedKeysFile={tmp_path}/user.pub",
        "StrictModes=no",
        "PermitRootLogin=yes",
        "PidFile=none",
    ]
    words = [word for option in options for word in ("-o", option)]
    execute("--claim", "22", "--forever", "--", server, "-i", "-f", "/dev/null", *words)
    login = [client, "-F", "none", "-i", str(tmp_path / "user"), "-o", "StrictHostKeyChecking=no"]
    login += ["-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "BatchMode=yes", f"root@{OURS[4]}"]
    for number in range(2):
        done = live.peer.command([*login, f"echo served {number} to $SSH_CLIENT"])
        assert done.stdout.startswith(f"served {number} to 10.0.0.1 ")
