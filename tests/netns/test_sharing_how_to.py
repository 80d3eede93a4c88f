"""What the pages about serving, frameworks and exec show, done word by word."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.certificates import certificate_for
from support.live import OURS, PATIENCE_S, network, until
from support.markdown import ROOT, Step, blocks, steps
from support.programs import needed
from support.sharing import Scene, programs, scene, short_directory
from xsocket_netns import clean
from xsocket_tools.cli import main
from xsocket_tools.sharing.settings import Settings

pytestmark = pytest.mark.netns

PAGES: Final = ROOT / "docs" / "how-to"
SERVE, FRAMEWORKS, EXEC = (PAGES / name for name in ("serve.md", "frameworks.md", "exec.md"))
SOCKET: Final = "/run/xsocket/pool.sock"
SESSION_S: Final = 60.0


# Frameworks

PROGRAMS = [block.text for block in blocks(FRAMEWORKS, "python")]


def name_of(program: str) -> str:
    found = re.search(r"fastapi|starlette|flask|ssl|Protocol|asyncio|http\.server", program)
    assert found is not None
    return found[0]


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene() as made:
        yield made


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_server_of_the_page_serves_in_four_processes(
    live: Scene,
    program: str,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


def run_session(page: Path, place: Path, environment: dict[str, str]) -> str:
    """Run the commands of *page* one after the other; return what they print, errors included."""
    command = place / "xsocket"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xsocket_tools.cli "$@"\n')
    command.chmod(0o755)
    (place / "python").symlink_to(sys.executable)
    shell = "\n".join(waiting(step) for step in steps(page))
    path = f"{place}{os.pathsep}{environment['PATH']}"
    environment = {**environment, "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    try:
        ran = subprocess.run(
            ["bash", "-c", f"set -e -m\n{shell}\nwait"],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SESSION_S,
            check=False,
        )
    finally:
        clean()
    assert ran.returncode in (0, 128 + 15), ran.stdout
    assert "Traceback" not in ran.stdout, ran.stdout
    return ran.stdout


def waiting(step: Step) -> str:
    """Return the command, and behind one that serves a wait for it: a reader would see that it is ready."""
    if " serve " in step.command:
        return f"{step.command}\nuntil xsocket pool list --socket pool.sock >/dev/null 2>&1; do :; done"
    return step.command


def assert_shown(page: Path, printed: str) -> None:
    rest = printed
    for line in (line for step in steps(page) for line in step.shown if line != "..."):
        match = re.search(re.escape(line).replace(r"\.\.\.", ".*"), rest)
        assert match is not None, f"not printed where it is shown: {line}\n{printed}"
        rest = rest[match.end() :]


def test_the_session_about_serving(environment: dict[str, str]) -> None:
    with short_directory() as place:
        (place / "worker.py").write_text(blocks(SERVE, "python")[0].text)
        printed = run_session(SERVE, place, environment)
        assert_shown(SERVE, printed)
        assert re.search(r"acknowledged +│ +1 ", printed)
        assert not (place / "pool.sock").exists()


def test_the_session_about_exec(environment: dict[str, str]) -> None:
    with short_directory() as place:
        (place / "greet.py").write_text(blocks(EXEC, "python")[0].text)
        assert_shown(EXEC, run_session(EXEC, place, environment))


def test_the_program_that_systemd_could_start(live: Scene, environment: dict[str, str]) -> None:
    program = blocks(EXEC, "python")[0].text
    command = [sys.executable, "-m", "xsocket_tools.cli", "exec", "--claim", "any", "--fd", "3"]
    with live.connect() as peer:
        command += ["--socket", str(live.path), "--", sys.executable, "-c", program]
        subprocess.run(command, env=environment, check=True)
        assert peer.recv(100) == b"hello 10.0.0.1\n"


# What is configured


def test_the_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "xsocket.toml"
    file.write_text(blocks(SERVE, "toml")[0].text.replace("@mail", "@root").replace("www-data", "daemon"))
    settings = Settings.made_of({}, file)
    assert settings.metrics == ("127.0.0.1", 9464)
    policy = settings.policy()
    assert policy is not None
    assert settings.permissions == 0o666


UNITS = [block.text for page in (SERVE, EXEC) for block in blocks(page, "ini")]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.partition("\n")[0].rpartition("/")[2])
def test_units_start_commands_that_there_are(unit: str) -> None:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(unit)
    words = shlex.split(parsed["Service"]["ExecStart"])
    if not words[0].endswith("xsocket"):
        return
    import click

    command = main.get_command(click.Context(main), words[1])
    assert command is not None
    options = {name for each in command.params for name in each.opts}
    shown = words[2 : words.index("--") if "--" in words else None]
    assert {word for word in shown if word.startswith("--")} <= options


def test_the_unit_of_the_server_names_the_capabilities_it_needs(environment: dict[str, str]) -> None:
    unit = blocks(SERVE, "ini")[0].text
    found = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
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
