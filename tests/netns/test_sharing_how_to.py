"""What the pages about serving, frameworks and exec show, done word by word."""

import configparser
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.certificates import certificate_for
from support.documents import Shown, session
from support.live import OURS, PATIENCE_S, network, until
from support.markdown import Step
from support.programs import needed
from support.sharing import Scene, programs, scene, short_directory
from xsocket_netns import clean
from xsocket_tools.cli import main
from xsocket_tools.sharing.settings import Settings

pytestmark = pytest.mark.netns

SOCKET: Final = "/run/xsocket/pool.sock"


# Frameworks


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene() as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "python 1", id="socketserver", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 1")
        ),
        pytest.param(
            "python 2", id="asyncio", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 2")
        ),
        pytest.param(
            "python 3", id="Protocol", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 3")
        ),
        pytest.param(
            "python 4", id="fastapi", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 4")
        ),
        pytest.param(
            "python 5", id="starlette", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 5")
        ),
        pytest.param("python 6", id="flask", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 6")),
        pytest.param("python 7", id="ssl", marks=pytest.mark.runs("docs/how-to/frameworks.md", "python 7")),
    ],
)
@pytest.mark.runs("docs/how-to/frameworks.md", "sh")
def test_a_server_of_the_page_serves_in_four_processes(
    live: Scene,
    name: str,
    shown: Shown,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Started as the page's loop does it, but for the shell."""
    assert shown.text("sh 1") == "for worker in 1 2 3 4; do python server.py & done; wait\n"
    program = shown.text(name)
    certificate_for("pool", tmp_path / "server.pem")
    monkeypatch.chdir(tmp_path)
    assert SOCKET in program
    with programs({**environment, "PYTHONWARNINGS": "default"}) as start:
        workers = [start(program.replace(SOCKET, str(live.path))) for _ in range(4)]
        until(lambda: live.counts().waiting_claims == 4)
        for _ in range(8):
            assert fetched(live, secure="wrap_socket" in program) == "hello\n"
        live.server.stop()
        for worker in workers:
            worker.communicate(timeout=PATIENCE_S)


def fetched(live: Scene, *, secure: bool) -> str:
    argv = [needed("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]
    if secure:
        argv += ["--insecure", "--connect-to", f"pool:443:{OURS[4]}:80", "https://pool/"]
    else:
        argv += [f"http://{OURS[4]}/"]
    return live.peer.command(argv).stdout


# Sessions


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for a session; labs that stay are gone afterwards."""
    with short_directory() as made:
        yield made
    clean()


def run_session(steps: list[Step], place: Path, environment: dict[str, str]) -> str:
    """Run the commands one after the other, the last of which may be the end of its shell's jobs."""
    return session(map(waiting, steps), place, environment, ends=(0, 128 + 15))


def waiting(step: Step) -> Step:
    """Add to a command that serves a wait for it: a reader would see that it is ready."""
    if " serve " not in step.command:
        return step
    wait = "until xsocket pool list --socket pool.sock >/dev/null 2>&1; do :; done"
    return step._replace(command=f"{step.command}\n{wait}")


@pytest.mark.runs("docs/how-to/serve.md", "python", "console")
def test_the_session_about_serving(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    (place / "worker.py").write_text(shown.text("python 1"))
    printed = run_session(shown.steps(), place, environment)
    assert re.search(r"acknowledged +│ +1 ", printed)
    assert not (place / "pool.sock").exists()


@pytest.mark.runs("docs/how-to/exec.md", "python", "console")
def test_the_session_about_exec(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    (place / "greet.py").write_text(shown.text("python 1"))
    run_session(shown.steps(), place, environment)


@pytest.mark.runs("docs/how-to/exec.md", "python")
def test_the_program_that_systemd_could_start(shown: Shown, live: Scene, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "xsocket_tools.cli", "exec", "--claim", "any", "--fd", "3"]
    with live.connect() as peer:
        command += ["--socket", str(live.path), "--", sys.executable, "-c", shown.text("python 1")]
        subprocess.run(command, env=environment, check=True)
        assert peer.recv(100) == b"hello 10.0.0.1\n"


@pytest.mark.runs("docs/how-to/exec.md", "sh")
def test_the_shell_server_of_the_page(
    shown: Shown, live: Scene, environment: dict[str, str], tmp_path: Path
) -> None:
    """It says who it is; to let anybody in takes keys and users of the machine."""
    server = needed("sshd")
    words = shlex.split(shown.text("sh 1"))
    at = words.index("--")
    assert words[at:] == ["--", "/usr/sbin/sshd", "-i"]
    words[words.index("--claim") + 1] = "any"  # the scene has port 80 only
    subprocess.run([needed("ssh-keygen"), "-q", "-N", "", "-f", str(tmp_path / "key")], check=True)
    command = [sys.executable, "-m", "xsocket_tools.cli", *words[1:at], "--socket", str(live.path)]
    command += ["--", server, "-i", "-h", str(tmp_path / "key")]
    worker = subprocess.Popen(command, env=environment)
    with live.connect() as peer:
        assert peer.recv(4) == b"SSH-"
    worker.terminate()
    worker.wait(PATIENCE_S)


# What is configured


@pytest.mark.runs("docs/how-to/serve.md", "toml")
def test_the_file_is_one(shown: Shown, tmp_path: Path) -> None:
    file = tmp_path / "xsocket.toml"
    file.write_text(shown.text("toml 1").replace("@mail", "@root").replace("www-data", "daemon"))
    settings = Settings.made_of({}, file)
    assert settings.metrics == ("127.0.0.1", 9464)
    policy = settings.policy()
    assert policy is not None
    assert settings.permissions == 0o666


@pytest.mark.runs("docs/how-to/serve.md", "ini")
@pytest.mark.runs("docs/how-to/exec.md", "ini")
def test_units_start_commands_that_there_are(shown: Shown) -> None:
    for unit in shown.blocks():
        parsed = configparser.ConfigParser(interpolation=None, strict=False)
        parsed.optionxform = str  # type: ignore[assignment, method-assign]
        parsed.read_string(unit.text)
        check_usage(shlex.split(parsed["Service"]["ExecStart"]))


@pytest.mark.runs("docs/how-to/serve.md", "sh 1")
def test_who_may_is_said_by_options_that_there_are(shown: Shown) -> None:
    words = shlex.split(shown.text("sh 1"))
    check_usage(words)
    allowed = [words[at + 1] for at, word in enumerate(words) if word == "--allow"]
    known = {"www-data": "root", "@mail": "@root", "ops": "daemon"}
    given = tuple(f"{known[who]}={what}" for who, _, what in (each.partition("=") for each in allowed))
    needed_too = {"interface": "eth0", "addresses": ("10.0.0.2/24",), "ports": "80"}
    assert Settings.made_of({**needed_too, "mode": "0666", "allow": given}, None).policy() is not None


def check_usage(words: list[str]) -> None:
    """Look whether our command has all these options; of another program nothing is known."""
    if not words[0].endswith("xsocket"):
        return
    import click

    command = main.get_command(click.Context(main), words[1])
    assert command is not None
    options = {name for each in command.params for name in each.opts}
    shown = words[2 : words.index("--") if "--" in words else None]
    assert {word for word in shown if word.startswith("--")} <= options


@pytest.mark.runs("docs/how-to/serve.md", "ini 1")
def test_the_unit_of_the_server_names_the_capabilities_it_needs(
    shown: Shown, environment: dict[str, str]
) -> None:
    found = re.search(r"^CapabilityBoundingSet=(.+)$", shown.text("ini 1"), re.MULTILINE)
    assert found is not None
    kept = ",".join("+" + name.removeprefix("CAP_").lower() for name in found[1].split())
    with short_directory() as place, network(shared=True) as (_, peer, home):
        serve = [sys.executable, "-m", "xsocket_tools.cli", "serve", "--interface", "eth0", "--ports", "80"]
        serve += ["--address", "10.0.0.2/24", "--socket", str(place / "pool.sock")]
        limited = [needed("setpriv"), f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}"]
        process = home.popen([*limited, *serve], stderr=subprocess.PIPE, env=environment)
        assert process.stderr is not None
        assert "ready" in process.stderr.readline()
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert bin(int(status.partition("CapEff:")[2].split()[0], 16)).count("1") == 3
        claim = ["exec", "--claim", "80", "--socket", str(place / "pool.sock"), "--", "echo", "served"]
        worker = subprocess.Popen([sys.executable, "-m", "xsocket_tools.cli", *claim], env=environment)
        assert "served" in peer.command([needed("curl"), "-s", f"telnet://{OURS[4]}:80"]).stdout
        assert worker.wait(PATIENCE_S) == 0
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
