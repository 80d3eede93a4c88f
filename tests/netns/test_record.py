"""`xsocket record` in a lab: a connection of two Linux hosts becomes a script, which passes on Linux."""

from __future__ import annotations

import fcntl
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.documents import Shown
from support.live import until
from xsocket_netns import Lab, clean
from xsocket_tools.scenarios.conversations import Captured, chosen, conversations, local_end
from xsocket_tools.scenarios.live_capture import LiveCapture
from xsocket_tools.scenarios.outcome import Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.recording import recorded
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Direction, Flag, TcpSpec
from xsocket_tools.scenarios.settings import IpVersion, Settings

pytestmark = pytest.mark.netns

PORT = 8080
SIOCOUTQ = 0x5411
PATIENCE_S = 20.0
ADDRESSES = {"client": ["10.0.0.1/24", "fd00::1/64"], "server": ["10.0.0.2/24", "fd00::2/64"]}
SYSCTLS = {
    "net.ipv4.tcp_congestion_control": "reno",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
}
"""As scripts have them: a new namespace has those of the machine."""
UNHURRIED = Flag("tolerance_usecs", "200000", 0)
"""This is not about times, and other tests run too."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pair(lab: Lab) -> Lab:
    hosts = [lab.host(name) for name in ADDRESSES]
    lab.link(hosts[0], hosts[1], addresses=(ADDRESSES["client"], ADDRESSES["server"]))
    for host in hosts:
        for name, value in SYSCTLS.items():
            host.sysctl(name, value)
    return lab


def listener(family: socket.AddressFamily, buffer: int | None = None) -> socket.socket:
    made = socket.socket(family)
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", PORT))
    made.listen(1)
    return made


def received(connection: socket.socket, count: int) -> int:
    got = 0
    while got < count and (text := connection.recv(count - got)):
        got += len(text)
    return got


def unacknowledged(connection: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(connection, SIOCOUTQ, bytes(4)), sys.byteorder)


def talk(pair: Lab, family: socket.AddressFamily, *, reset: bool = False, buffer: int | None = None) -> None:
    """Have the client ask and the server answer twice; the client ends it, or the server resets it."""
    with (
        pair.hosts["server"].run(listener, family, buffer) as listening,
        pair.hosts["client"].run(socket.socket, family) as client,
    ):
        answering = threading.Thread(target=answer, args=(listening, reset))
        answering.start()
        client.settimeout(PATIENCE_S)
        client.connect((ADDRESSES["server"][family == socket.AF_INET6].partition("/")[0], PORT))
        for count in (10, 3_000):
            client.sendall(bytes(100))
            assert received(client, count) == count
        if reset:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    answering.join(PATIENCE_S)


def answer(listening: socket.socket, reset: bool) -> None:
    connection, _ = listening.accept()
    with connection:
        for count in (10, 3_000):
            received(connection, 100)
            connection.sendall(bytes(count))
        if reset:
            until(lambda: not unacknowledged(connection))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        else:
            received(connection, 1)


def captured_in(
    pair: Lab,
    host: str,
    family: socket.AddressFamily,
    *,
    reset: bool = False,
    buffer: int | None = None,
) -> list[Captured]:
    with LiveCapture(pair.name, host, "eth0") as capture:
        talk(pair, family, reset=reset, buffer=buffer)
        until(lambda: is_over(capture.packets()))
        return capture.packets()


def is_over(captured: list[Captured]) -> bool:
    """Whether there is a reset, or the FIN of each end and what acknowledges the last."""
    sent = [each.packet.segment for found in conversations(captured) for each in found.packets]
    return any(segment.rst for segment in sent) or (
        sum(segment.fin for segment in sent) == 2 and not sent[-1].fin
    )


@pytest.mark.parametrize("reset", [pytest.param(False, id="fin"), pytest.param(True, id="reset")])
@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
@pytest.mark.parametrize("host", ["server", "client"])
def test_what_linux_did_it_does_again(pair: Lab, host: str, version: IpVersion, reset: bool) -> None:
    family = socket.AF_INET6 if version == "ipv6" else socket.AF_INET
    captured = captured_in(pair, host, family, reset=reset)
    conversation = chosen(conversations(captured))
    local = local_end(conversation)
    assert local == (conversation.server if host == "server" else conversation.client)
    script = read(recorded(conversation, local, origin=host).source)
    packets = [event.action for event in script.events if isinstance(event.action, TcpSpec)]
    assert [each.direction is Direction.OUTBOUND for each in packets] == [
        each.source == local for each in conversation.packets
    ]
    outcome = run(script, "kernel", Settings(ip_version=version, given=(UNHURRIED,)))
    assert outcome.status is Status.PASSED, (outcome.failure, script.source)


@pytest.mark.parametrize("buffer", [20_000, 100_000, 1 << 20])
def test_a_buffer_of_its_own_is_told_by_its_windows(pair: Lab, buffer: int) -> None:
    captured = captured_in(pair, "server", socket.AF_INET, buffer=buffer)
    conversation = chosen(conversations(captured))
    script = read(recorded(conversation, conversation.server).source)
    assert "SO_RCVBUF" in script.source
    outcome = run(script, "kernel", Settings(given=(UNHURRIED,)))
    assert outcome.status is Status.PASSED, (outcome.failure, script.source)


@pytest.fixture
def command(pair: Lab, environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", "record", "--lab", pair.name]
    argv += ["--host", "server", "-o", str(tmp_path / "talk.pkt")]
    child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield child
    child.kill()
    child.communicate(timeout=PATIENCE_S)


def test_the_command_captures_until_it_is_interrupted(
    pair: Lab, command: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert command.stderr is not None
    assert command.stderr.readline() == f"capturing in host server of lab {pair.name} until Ctrl-C\n"
    talk(pair, socket.AF_INET)
    command.send_signal(2)
    told, _ = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0
    assert told.endswith("; the target is 10.0.0.2:8080\n")
    script = read((tmp_path / "talk.pkt").read_text())
    assert script.source.startswith(f"// Recorded from host server of lab {pair.name}: 10.0.0.1:")


@pytest.mark.runs("docs/how-to/record.md", "console 2")
def test_the_session_of_the_page(
    shown: Shown, tmp_path: Path, environment: dict[str, str], xsocket: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody connects meanwhile, and the server's kernel refuses; then it is ended before its time."""
    monkeypatch.chdir(tmp_path)
    up, record = (shlex.split(step.command)[1:] for step in shown.steps())
    try:
        assert xsocket(*up).returncode == 0
        argv = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", *record]
        with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            assert child.stderr.readline() == "capturing in host server of lab pair for 10 s\n"
            refused = xsocket("lab", "exec", "pair", "client", "--", "bash", "-c", "</dev/tcp/10.0.0.2/80")
            assert "refused" in refused.stderr
            child.send_signal(signal.SIGINT)
            assert (child.wait(PATIENCE_S), child.stderr.read()) == (0, "")
    finally:
        clean()
    script = read((tmp_path / "talk.pkt").read_text())
    assert script.source.startswith("// Recorded from host server of lab pair")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--host", "nobody"], "has no host nobody", id="host"),
        pytest.param(["--host", "server", "--interface", "eth7"], "cannot capture on eth7", id="interface"),
        pytest.param(["--host", "server", "--for", "0.1s"], "there is no TCP connection", id="silence"),
    ],
)
def test_what_cannot_be_captured_is_an_error(
    pair: Lab, xsocket: Run, arguments: list[str], words: str
) -> None:
    done = xsocket("record", "--lab", pair.name, *arguments)
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr


def test_a_lab_of_an_ordinary_user_can_be_listened_to(as_ordinary_user: Run) -> None:
    command = ("-m", "xsocket_tools.cli")
    assert as_ordinary_user(*command, "lab", "up", "--name", "mine").returncode == 0
    done = as_ordinary_user(*command, "record", "--lab", "mine", "--host", "server", "--for", "0.1s")
    assert "capturing in host server of lab mine for 0.1 s" in done.stderr
    assert "there is no TCP connection in this capture" in done.stderr
    assert as_ordinary_user(*command, "lab", "clean").returncode == 0
