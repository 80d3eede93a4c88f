"""The file of a Unix socket: what may be replaced, what never, and what is left."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.capabilities import drop_capabilities
from support.live import Task
from support.sharing import short_directory
from xsocket.errors import PoolSocketError
from xsocket.sharing.socketfile import LONGEST_PATH, SocketFile


@pytest.fixture
def path() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "pool.sock"


def made(path: Path, mode: int = 0o600) -> SocketFile:
    return SocketFile(path, mode=mode, gid=None, backlog=4)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666], ids=oct)
def test_the_file_has_its_mode_whatever_the_umask(path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        file = made(path, mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    file.remove()
    assert not path.exists()
    file.remove()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM], ids=["packets", "stream"])
def test_the_socket_of_a_dead_server_is_replaced(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as dead:
        dead.bind(str(path))
    file = made(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
    file.remove()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM], ids=["packets", "stream"])
def test_a_living_server_keeps_its_socket(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(PoolSocketError, match="another server"):
            made(path)
        assert path.is_socket()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(PoolSocketError, match="no socket"):
        made(path)
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path) -> None:
    target = path.with_name("target")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(target))
    path.symlink_to(target)
    with pytest.raises(PoolSocketError, match="no socket"):
        made(path)
    assert path.is_symlink()
    assert target.is_socket()


def test_a_file_that_took_the_place_is_left_alone(path: Path) -> None:
    file = made(path)
    path.unlink()
    path.write_text("precious")
    file.remove()
    assert path.read_text() == "precious"


def test_a_server_that_took_the_place_is_left_alone(path: Path) -> None:
    first = made(path)
    path.unlink()
    second = made(path)
    first.remove()
    assert path.is_socket()
    second.remove()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="none"),
        pytest.param("/" + "x" * LONGEST_PATH, id="too long"),
        pytest.param("\0hidden", id="abstract"),
        pytest.param("/nowhere/pool.sock", id="no directory"),
        pytest.param("/dev/null/pool.sock", id="in a file"),
    ],
)
def test_a_path_that_cannot_be_is_refused(bad: str) -> None:
    with pytest.raises(PoolSocketError):
        made(Path(bad))


def test_a_refused_socket_leaves_no_file(path: Path) -> None:
    def give_to_others() -> None:
        drop_capabilities()
        SocketFile(path, mode=0o660, gid=1, backlog=4)

    with pytest.raises(PoolSocketError):
        Task(give_to_others).result()
    assert not path.exists()
