"""`xsocket exec`: gives a program a claimed connection in the ways of inetd and of systemd."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from xsocket_tools.errors import ToolError
from xsocket_tools.sharing.specs import Claim, default_socket, socket_option

if TYPE_CHECKING:
    from xsocket import PoolClient
    from xsocket.waiting import Wanted

FIRST_PASSED = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
NOT_FOUND = 127
_OF_SYSTEMD = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class NoSuchProgramError(ToolError):
    """There is no such program."""

    remedy = "Name a program that is on PATH, or its whole path, after --."
    exit_status = NOT_FOUND


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--claim",
    "wanted",
    type=Claim(),
    required=True,
    help='Ports, fields, a 4-tuple, or "any".',
)
@socket_option
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="How long to wait; else for ever.")
@click.option("--stdio", is_flag=True, help="The connection is descriptors 0 and 1, as of inetd: the usual.")
@click.option(
    "--fd",
    "descriptor",
    type=click.Choice([str(FIRST_PASSED)]),
    metavar="3",
    help="It is descriptor 3, as of systemd: LISTEN_FDS=1, LISTEN_PID, LISTEN_FDNAMES=connection.",
)
@click.option("--forever", is_flag=True, help="Claim again and again, and start COMMAND for each connection.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=32, show_default=True, help="With --forever: at once."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(
    wanted: Wanted,
    path: Path | None,
    timeout: float | None,
    stdio: bool,
    descriptor: str | None,
    forever: bool,
    jobs: int,
    command: tuple[str, ...],
) -> None:
    """Claim a connection, and become COMMAND with it; the exit status is that of COMMAND, 127 without one.

    COMMAND knows its peer by REMOTE_ADDR and REMOTE_PORT. With --forever it is started anew for each
    connection; when the server ends, those that run are waited for, and the status is 1.

    A claim is of ports (80,8000-8099), of fields ("local_port=80 remote=10.0.0.0/24"; local, remote_port), of
    one 4-tuple ("10.0.0.2:80<-10.0.0.1:40000", local end first), or any.

    \b
    Examples:
      xsocket exec --claim 22 --forever -- /usr/sbin/sshd -i
      xsocket exec --claim any --fd 3 -- ./worker
    """  # noqa: D301  # click looks for the backspace
    from xsocket import PoolClient

    if stdio and descriptor is not None:
        raise click.UsageError("--stdio and --fd exclude each other.")
    program = _Program.named(command[1:] if command[0] == "--" else command, on_stdio=descriptor is None)
    with PoolClient(path or default_socket()) as client:
        if forever:
            asyncio.run(_start_for_each(client, wanted, program, jobs))
        while True:
            with client.claim(wanted, timeout) as connection:
                program.become(connection)


class _Program(NamedTuple):
    """What to run: where it is, its arguments, and how it gets its connection."""

    file: str
    arguments: Sequence[str]
    on_stdio: bool

    @classmethod
    def named(cls, command: Sequence[str], *, on_stdio: bool) -> _Program:
        """Look for it, before a connection is claimed in vain."""
        if not command:
            raise click.UsageError("Missing the command to run after --.")
        file = shutil.which(command[0])
        if file is None:
            raise NoSuchProgramError(f"there is no program {command[0]}")
        return cls(file, command, on_stdio)

    def become(self, connection: socket.socket) -> None:
        """Become it, in this process; return when the connection has died meanwhile."""
        try:
            remote = connection.getpeername()[:2]
        except OSError:
            return
        for number in (0, 1) if self.on_stdio else (FIRST_PASSED,):
            os.dup2(connection.fileno(), number)
            os.set_inheritable(number, True)  # where it has this number already, dup2 changes nothing
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and a program inherits that
            signal.signal(ignored, signal.SIG_DFL)
        try:
            os.execve(self.file, list(self.arguments), self._environment(*remote))  # noqa: S606  # to run it is the purpose
        except OSError as error:
            raise NoSuchProgramError(f"{self.file} does not run: {error.strerror}") from error

    def start(self, connection: socket.socket) -> int:
        """Start it in a child and return its pid. This process has one thread."""
        pid = os.fork()
        if pid == 0:
            try:
                self.become(connection)
            finally:
                os._exit(NOT_FOUND)
        return pid

    def _environment(self, address: str, port: int) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD}
        environment |= {"REMOTE_ADDR": address, "REMOTE_PORT": str(port)}
        if not self.on_stdio:
            environment |= dict(zip(_OF_SYSTEMD, ("1", str(os.getpid()), "connection"), strict=True))
        return environment


async def _start_for_each(client: PoolClient, wanted: Wanted, program: _Program, jobs: int) -> NoReturn:
    """Claim and start until a claim fails; wait for those that run, and raise what it was."""
    from xsocket import XsocketError
    from xsocket.sharing.serving import claim_patiently

    children = _Children()
    try:
        while True:
            await children.fewer_than(jobs)
            with await claim_patiently(client, wanted) as connection:
                connection.setblocking(True)
                children.add(program.start(connection))
    except XsocketError:
        await children.fewer_than(1)
        raise


class _Children:
    """The programs that run."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def add(self, pid: int) -> None:
        """Watch one that was started."""
        handle = os.pidfd_open(pid)
        self._count += 1
        asyncio.get_running_loop().add_reader(handle, self._ended, pid, handle)

    def _ended(self, pid: int, handle: int) -> None:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        os.waitpid(pid, 0)
        self._count -= 1
        self._changed.set()

    async def fewer_than(self, most: int) -> None:
        """Wait until that is so."""
        while self._count >= most:
            self._changed.clear()
            await self._changed.wait()
