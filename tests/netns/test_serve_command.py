"""`xsocket serve` and `xsocket pool`: from start to stop, what they print, and what a reload changes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.documents import Shown
from support.live import OURS, PATIENCE_S, network, until
from support.programs import needed
from support.sharing import ECHO, Started, echoes, exchanged, programs, short_directory
from xsocket import PoolClient
from xsocket_netns import Host

pytestmark = pytest.mark.netns

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Parsed = Callable[["subprocess.CompletedProcess[str]"], Any]
ORDINARY_USER = 12345


class Service(NamedTuple):
    """A running `xsocket serve`."""

    process: "subprocess.Popen[str]"
    path: Path
    peer: Host
    home: Host

    def connect(self, port: int = 80) -> socket.socket:
        with self.peer.enter():
            return socket.create_connection((OURS[4], port), PATIENCE_S)

    def serves(self, port: int = 80) -> bool:
        with (
            self.connect(port) as peer,
            PoolClient(self.path) as client,
            client.claim(timeout=PATIENCE_S) as made,
        ):
            return exchanged(peer, made)

    def log(self, event: str) -> str:
        """Return the next line of the log that tells of *event*."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if event in line:
                return line
        raise AssertionError(f"the log ends without {event}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


Serve = Callable[..., Service]


@pytest.fixture
def place() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


@pytest.fixture
def serve(place: Path, environment: dict[str, str]) -> Iterator[Serve]:
    """Start the command with options, and wait until it says that it is ready."""
    environment = dict(environment)
    with network(shared=True) as (_, peer, home):

        def start(*options: object, ready: bool = True) -> Service:
            usual = ["--interface", "eth0", "--address", "10.0.0.2/24"]
            environment.setdefault("XSOCKET_POOL", str(place / "pool.sock"))
            argv = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", "serve", *usual, *options]
            process = home.popen(list(map(str, argv)), stderr=subprocess.PIPE, env=environment)
            service = Service(process, place / "pool.sock", peer, home)
            if ready:
                service.log("ready")
            return service

        yield start


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Started]:
    with programs(environment) as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_serves_until_it_is_told_to_stop(serve: Serve, start: Started, number: signal.Signals) -> None:
    service = serve("--ports", "80")
    assert oct(service.path.stat().st_mode)[-3:] == "600"
    worker = start(ECHO, service.path)
    with service.connect() as peer:
        assert echoes(peer)
        assert service.serves()
        assert service.stop(number) == 0
        assert not service.path.exists()
        assert echoes(peer)  # what was claimed lives on
        worker.kill()


def test_without_a_name_the_socket_is_in_the_runtime_directory(
    place: Path, environment: dict[str, str], xsocket: Run, parsed: Parsed
) -> None:
    with network(shared=True) as (_, _, home):
        usual = ["--interface", "eth0", "--address", "10.0.0.2/24", "--ports", "80"]
        argv = [sys.executable, "-m", "xsocket_tools.cli", "serve", *usual]
        process = home.popen(argv, stderr=subprocess.PIPE, env=environment)
        service = Service(process, place, home, home)
        service.log("ready")
        assert parsed(xsocket("pool", "list", "--json")) == []
        assert service.stop() == 0


def test_killed_it_leaves_claimed_connections_alive(serve: Serve, start: Started) -> None:
    service = serve("--ports", "80")
    start(ECHO, service.path)
    with service.connect() as peer:
        assert echoes(peer)
        service.process.kill()
        service.process.wait(PATIENCE_S)
        assert echoes(peer, bytes(100_000))
        assert service.path.is_socket()
        again = serve("--ports", "80")  # in the place of what the dead one left
        assert again.serves()
        assert echoes(peer, bytes(100_000))


def test_a_second_one_is_refused(serve: Serve) -> None:
    first = serve("--ports", "80")
    second = serve("--ports", "81", ready=False)
    _, errors = second.process.communicate(timeout=PATIENCE_S)
    assert second.process.returncode == 1
    assert "another server listens" in errors
    assert "remedy: " in errors
    assert first.serves()


def test_it_ends_with_its_interface(serve: Serve) -> None:
    service = serve("--ports", "80")
    with service.home.enter():
        from pyroute2 import IPRoute  # type: ignore[import-untyped]

        with IPRoute() as netlink:
            netlink.link("del", ifname="eth0")
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 1
    assert "error: " in errors


REFUSALS = [
    pytest.param([], "ports is missing", id="no ports"),
    pytest.param(["--ports", "http"], "'http' is not a port", id="no port"),
    pytest.param(["--ports", "80", "--sources", "me"], "'me' is not an address", id="no source"),
    pytest.param(["--ports", "80", "--mode", "888"], '"0660"', id="no mode"),
    pytest.param(["--ports", "80", "--mode", "1777"], "permissions to read and write", id="another mode"),
    pytest.param(["--ports", "80", "--allow", "alice"], "USER=SPEC", id="no allowance"),
    pytest.param(["--ports", "80", "--allow", "nobody-at-all=80"], "there is no user", id="no user"),
    pytest.param(["--ports", "80", "--allow", "@nobody-at-all=80"], "there is no group", id="no group"),
    pytest.param(["--ports", "80", "--allow", "0=http"], "'http' is not a port", id="no claim"),
    pytest.param(["--ports", "80", "--group", "nobody-at-all"], "there is no group", id="no group of it"),
    pytest.param(["--ports", "80", "--metrics", "here"], "has no port", id="no endpoint"),
    pytest.param(["--ports", "80", "--config", "/nowhere.toml"], "No such file", id="no file"),
    pytest.param(["--ports", "80", "--interface", "eth7"], "eth7", id="no interface"),
    pytest.param(["--ports", "80", "--address", "10.0.0.9/24"], "has not the address 10.0.0.9", id="address"),
    pytest.param(["--ports", "80", "--address", "me"], "'me'", id="no address"),
    pytest.param(["--ports", "80", "--pool-capacity", "0"], "from 1 on", id="no capacity"),
    pytest.param(["--ports", "80", "--socket", "/dev/null"], "is no socket", id="no socket"),
]


@pytest.mark.parametrize(("options", "reason"), REFUSALS)
def test_what_makes_no_sense_is_refused(serve: Serve, options: list[str], reason: str) -> None:
    service = serve(*options, ready=False)
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 1
    assert re.match(rf"error: .*{re.escape(reason)}.*\nremedy: .+\n$", errors), errors
    assert not service.path.exists()


# The file


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("ports = 80\nports = 81", "Cannot overwrite", id="no TOML"),
        pytest.param("port = 80", "there is no setting 'port'", id="unknown"),
        pytest.param("max_clients = 'many'", "max_clients: 'many' is no number", id="text as a number"),
        pytest.param("allow = ['root']", "allow: ['root'] is no table", id="no table"),
        pytest.param("sources = [1.5]", "sources: 1.5 is no text", id="number as text"),
        pytest.param("pool_policy = 'panic'", "is not among refuse, ignore, evict", id="no policy"),
        pytest.param("acknowledge_s = inf", "inf is no number of seconds", id="infinite"),
    ],
)
def test_a_file_with_a_mistake_is_refused(serve: Serve, place: Path, text: str, reason: str) -> None:
    file = place / "pool.toml"
    file.write_text(text)
    service = serve("--config", file, ready=False)
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 1
    assert str(file) in errors
    assert reason in errors


def test_a_reload_changes_who_is_admitted(serve: Serve, place: Path) -> None:
    file = place / "pool.toml"
    file.write_text('ports = 80\nmax_clients = 10\nlog_format = "json"\n')
    service = serve("--config", file)
    assert service.serves(80)
    with pytest.raises(ConnectionRefusedError):
        service.connect(81)
    file.write_text('ports = "81"\nmax_clients = 20\nlog_format = "json"\n')
    service.process.send_signal(signal.SIGHUP)
    reloaded = json.loads(service.log("reloaded"))
    assert (reloaded["ports"], reloaded["takes_a_restart"]) == ("81", "max_clients")
    assert service.serves(81)
    with pytest.raises(ConnectionRefusedError):
        service.connect(80)
    file.write_text("ports = 'all'\n")
    service.process.send_signal(signal.SIGHUP)
    assert "'all' is not a port" in json.loads(service.log("reload_failed"))["reason"]
    assert service.serves(81)
    assert service.stop() == 0


def test_a_reload_changes_who_may_claim(
    serve: Serve, place: Path, as_ordinary_user: Run, parsed: Parsed
) -> None:
    place.chmod(0o711)
    file = place / "pool.toml"
    file.write_text(f'ports = "80-81"\nmode = "666"\nallow = {{ {ORDINARY_USER} = "81" }}\n')
    service = serve("--config", file)
    listing = "-m", "xsocket_tools.cli", "pool", "list", "--json", "--socket", str(service.path)
    with service.connect(80) as other, service.connect(81) as allowed, PoolClient(service.path) as client:
        until(lambda: len(client.list()) == 2)
        ports = [[*each.getpeername(), *each.getsockname()] for each in (other, allowed)]
        assert parsed(as_ordinary_user(*listing)) == [ports[1]]
        file.write_text(f'ports = "80-81"\nmode = "666"\nallow = {{ {ORDINARY_USER} = "80" }}\n')
        service.process.send_signal(signal.SIGHUP)
        service.log("reloaded")
        assert parsed(as_ordinary_user(*listing)) == [ports[0]]
        file.write_text('ports = "80-81"\nmode = "666"\n')
        service.process.send_signal(signal.SIGHUP)
        service.log("reloaded")
        refused = as_ordinary_user(*listing)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: user 12345 may claim nothing here\nremedy: ")
        assert "uid=12345" in service.log("refused_user")


def test_without_a_file_there_is_nothing_to_reload(serve: Serve) -> None:
    service = serve("--ports", "80")
    service.process.send_signal(signal.SIGHUP)
    assert "takes --config" in service.log("reload_failed")
    assert service.serves()


# The log


def test_the_log_tells_of_refusals_and_resets(serve: Serve) -> None:
    service = serve("--ports", "80", "--log-format", "json", "--log-level", "debug")
    with PoolClient(service.path) as client, service.connect() as peer, client.claim(timeout=PATIENCE_S):
        told = json.loads(service.log('"acknowledged"'))
        assert told["four_tuple"] == f"10.0.0.2:80 <- 10.0.0.1:{peer.getsockname()[1]}"
    assert (told["uid"], told["pid"], told["level"]) == (os.geteuid(), os.getpid(), "debug")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(os.fspath(service.path))
        channel.send(b"nonsense")
        malformed = json.loads(service.log("malformed"))
        assert (malformed["level"], malformed["pid"]) == ("warning", os.getpid())
        assert "not JSON" in malformed["reason"]
    assert service.stop() == 0


def test_a_pest_does_not_fill_the_log(serve: Serve) -> None:
    service = serve("--ports", "80")
    for _ in range(60):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(os.fspath(service.path))
            for _ in range(10):
                channel.send(b"nonsense")
    assert service.serves()
    service.process.send_signal(signal.SIGTERM)
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert 0 < errors.count("malformed") < 300


# Looking on


def test_list_stats_and_watch(
    serve: Serve, xsocket: Run, parsed: Parsed, environment: dict[str, str]
) -> None:
    service = serve("--ports", "80")
    where = "--socket", str(service.path)
    watching = subprocess.Popen(
        [sys.executable, "-m", "xsocket_tools.cli", "pool", "watch", "--json", *where],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with PoolClient(service.path) as client:
        until(lambda: client.statistics().server.watchers == 1)
        with service.connect() as peer:
            until(lambda: len(client.list()) == 1)
            name = ["10.0.0.2", 80, "10.0.0.1", peer.getsockname()[1]]
            assert parsed(xsocket("pool", "list", "--json", *where)) == [name]
            assert xsocket("pool", "list", *where).stdout == f"10.0.0.2:80 <- 10.0.0.1:{name[3]}\n"
            stats = parsed(xsocket("pool", "stats", "--json", *where))
            assert stats["pool"]["waiting_connections"] == 1
            assert set(stats) == {"pool", "server", "handoff"}
            assert "waiting connections" in xsocket("pool", "stats", *where).stdout
            with client.claim(timeout=PATIENCE_S) as made:
                assert exchanged(peer, made)
    assert watching.stdout is not None
    told = [json.loads(watching.stdout.readline())]
    while told[-1]["event"] != "acknowledged":
        told.append(json.loads(watching.stdout.readline()))
    of_connection = [each for each in told if each.get("four_tuple") == name]
    assert [each["event"] for each in of_connection] == ["put", "claimed", "sent", "acknowledged"]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE_S) == 130
    watching.stdout.close()


def test_watching_ends_with_the_server(serve: Serve, environment: dict[str, str]) -> None:
    service = serve("--ports", "80")
    watching = subprocess.Popen(
        [sys.executable, "-m", "xsocket_tools.cli", "pool", "watch", "--socket", str(service.path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with PoolClient(service.path) as client:
        until(lambda: client.statistics().server.watchers == 1)
    assert service.stop() == 0
    _, errors = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, errors.startswith("error: ")) == (1, True)


@pytest.mark.parametrize("command", ["list", "stats", "watch"])
def test_without_a_server_the_remedy_is_named(xsocket: Run, place: Path, command: str) -> None:
    done = xsocket("pool", command, "--socket", str(place / "none.sock"))
    assert done.returncode == 1
    assert "no pool server at" in done.stderr
    assert "xsocket serve" in done.stderr


# Metrics and the service manager


@pytest.mark.runs("docs/how-to/serve.md", "sh 2")
def test_metrics_for_prometheus(serve: Serve, shown: Shown) -> None:
    service = serve("--ports", "80", "--metrics", "9464")
    assert service.serves()
    command, _, names = shown.text("sh 2").partition("#")
    program, url = command.split()
    read = [needed(program), "--silent", "--fail", "--noproxy", "*", url]
    text = service.home.command(read).stdout
    assert [name for name in re.findall(r"\w+", names) if f"\n{name} " not in text] == []
    assert "\nxsocket_server_acknowledged_total 1.0\n" in text
    assert "\nxsocket_pool_waiting_connections 0.0\n" in text
    assert "\n# TYPE xsocket_handoff_in_kernel gauge\n" in text
    assert "\nxsocket_engine_established_total 1.0\n" in text
    from_peer = [*read[:-1], "--max-time", "2", f"http://{OURS[4]}:9464/metrics"]
    assert service.peer.command(from_peer, check=False).returncode != 0
    assert service.stop() == 0


def test_metrics_are_off_unless_asked_for(serve: Serve) -> None:
    service = serve("--ports", "80")
    listening = service.home.command(["cat", "/proc/net/tcp"]).stdout
    assert " 0A " not in listening
    assert service.stop() == 0


def test_an_endpoint_that_is_taken_is_refused(serve: Serve) -> None:
    service = serve("--ports", "80", "--metrics", "10.0.0.77:9464", ready=False)
    _, errors = service.process.communicate(timeout=PATIENCE_S)
    assert service.process.returncode == 1
    assert "no metrics on 10.0.0.77 port 9464" in errors


@contextmanager
def notifications(place: Path) -> Iterator[socket.socket]:
    """Be the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.fspath(place / "notify"))
        manager.settimeout(PATIENCE_S)
        yield manager


def test_the_service_manager_is_told(place: Path, environment: dict[str, str]) -> None:
    with notifications(place) as manager, network(shared=True) as (_, _, home):
        usual = ["--interface", "eth0", "--address", "10.0.0.2/24", "--ports", "80"]
        argv = [sys.executable, "-m", "xsocket_tools.cli", "serve", *usual, "--socket", str(place / "pool")]
        told = {**environment, "NOTIFY_SOCKET": os.fspath(place / "notify")}
        process = home.popen(argv, stderr=subprocess.DEVNULL, env=told)
        assert manager.recv(100) == b"READY=1"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert manager.recv(100) == b"STOPPING=1"
