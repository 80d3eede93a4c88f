"""What tests of labs share: the command line as a process, programs that hold labs, another user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xsocket_netns import Lab
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.target import Target

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / name for name in ("engine", "netns", "tools")]
ORDINARY_USER = 12345
PATIENCE_S = 60.0

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]

# Becomes an ordinary user who can read this interpreter, its packages and the sources, wherever they are:
# shows them under a directory of that user's in a mount namespace of its own, which ends with the process.
_BECOME_ORDINARY = """\
import os, sys
from pathlib import Path
from xsocket_netns import kernel

stage, user, *shown = sys.argv[1:8]
arguments = sys.argv[8:]
kernel.unshare(kernel.CLONE_NEWNS)
kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
places = []
for number, source in enumerate(shown):
    place = Path(stage, str(number))
    place.mkdir(exist_ok=True)
    kernel.mount(source, str(place), flags=kernel.MS_BIND)
    places.append(str(place))
os.setgroups([])
os.setresgid(*3 * [int(user)])
os.setresuid(*3 * [int(user)])
home = places[0]
environment = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LD_LIBRARY_PATH": home + "/lib",
    "PYTHONPATH": ":".join(places[1:]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "XSOCKET_RUNTIME_DIR": stage + "/run",
}
os.chdir("/")
name = "/bin/python%d.%d" % sys.version_info[:2]
os.execve(home + name, [home + name, "-W", "error", *arguments], environment)
"""


@pytest.fixture(scope="module")
def linux() -> Iterator[Target]:
    """This machine's kernel, as the fuzzer has it."""
    with opened("kernel") as target:
        yield target


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An open lab without hosts."""
    with Lab() as made:
        yield made


@pytest.fixture(scope="session")
def environment(runtime_directory: Path) -> dict[str, str]:
    """The environment of a program that imports our packages."""
    del runtime_directory  # it is set by now
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, SOURCES), *inherited])}


@pytest.fixture(scope="session")
def xsocket(environment: dict[str, str]) -> Run:
    """Run the command line to its end."""

    def run(*arguments: str) -> Completed:
        argv = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", *arguments]
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    return run


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a Python program; it is killed at the end of the test if it still runs."""
    children: list[subprocess.Popen[str]] = []

    def start_program(text: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-W", "error", "-c", text]
        child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start_program
    for child in children:
        child.kill()
        child.communicate(timeout=PATIENCE_S)


@pytest.fixture
def as_ordinary_user(environment: dict[str, str]) -> Iterator[Run]:
    """Run Python as a user without any privilege, with a runtime directory of that user's own."""
    if os.geteuid() != 0 or "4294967295" not in Path("/proc/self/uid_map").read_text():
        pytest.skip("only root outside of user namespaces can become an ordinary user")
    stage = Path(tempfile.mkdtemp(prefix="xsocket-user-"))
    os.chown(stage, ORDINARY_USER, ORDINARY_USER)
    shown = [sys.base_prefix, sysconfig.get_path("purelib"), *map(str, SOURCES)]

    def run(*arguments: str) -> Completed:
        become = [sys.executable, "-c", _BECOME_ORDINARY, str(stage), str(ORDINARY_USER), *shown]
        return subprocess.run(
            [*become, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    yield run
    left = [path.name for kind in ("labs", "netns") for path in (stage / "run" / kind).glob("*")]
    shutil.rmtree(stage)
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def parsed() -> Callable[[Completed], Any]:
    """Return what a command printed with --json."""
    return _parsed


def _parsed(completed: Completed) -> Any:  # noqa: ANN401 - any JSON
    """Return what a command printed with --json."""
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)
