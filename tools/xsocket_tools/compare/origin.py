"""The process that has the workers of one trial: ``python -m xsocket_tools.compare.origin --help``.

It makes what the workers share, forks them, and prints their process ids. When its standard input ends it
prints the numbers of those that have ended meanwhile, and kills the others. None is replaced.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import click

from xsocket_tools.compare.situations import ODD
from xsocket_tools.compare.worker import Take, serve

BACKLOG: Final = 4096
"""Of each listener: Linux's own limit (net.core.somaxconn), so that no queue is full before the others."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

Entrance = Callable[[], Take]
"""Called by each worker once, in its own process; returns the way in which it takes connections."""


@click.group()
def main() -> None:
    """Let workers serve until standard input ends, or one of them cannot start."""


_workers = click.option("--workers", type=int, default=4, show_default=True, help="How many.")
_block = click.option("--block", "block_s", type=float, default=0.0, help="Of worker 0, seconds a request.")


@main.command()
@click.argument("address")
@click.argument("port", type=int)
@_workers
@_block
def shared(address: str, port: int, workers: int, block_s: float) -> None:
    """Let all workers accept from one listener, made before they are."""
    listener = _listener(address, port)
    _run(lambda: _accept_from(listener), workers, block_s)


@main.command()
@click.argument("address")
@click.argument("port", type=int)
@_workers
@_block
def reuseport(address: str, port: int, workers: int, block_s: float) -> None:
    """Let each worker accept from a listener of its own, which ends with it."""
    _run(lambda: _accept_from(_listener(address, port, reuse=True)), workers, block_s)


@main.command()
@click.argument("path")
@_workers
@_block
def pool(path: str, workers: int, block_s: float) -> None:
    """Let each worker claim from the pool behind the Unix socket PATH."""
    import xsocket

    _run(lambda: xsocket.PoolClient(path).claim, workers, block_s)


def _listener(address: str, port: int, *, reuse: bool = False) -> socket.socket:
    return socket.create_server((address, port), backlog=BACKLOG, reuse_port=reuse)


def _accept_from(listener: socket.socket) -> Take:
    return lambda: listener.accept()[0]


def _run(entrance: Entrance, workers: int, block_s: float) -> None:
    """Have *workers* processes serve while standard input is open."""
    reader, writer = os.pipe()
    parent = os.getpid()
    pids: list[int] = []
    try:
        for number in range(workers):
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                _be_worker(entrance, number, block_s if number == ODD else 0.0, writer, parent)
            pids.append(pid)
        os.close(writer)
        _await_all(reader, workers)
        _say(pids)
        sys.stdin.read()
        _say([number for number, pid in enumerate(pids) if _has_ended(pid)])
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def _be_worker(entrance: Entrance, number: int, block_s: float, ready: int, parent: int) -> NoReturn:
    """Serve in this process, a child of *parent*, and end with it; say when it is ready."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            take = entrance()
            os.write(ready, b".")
            os.close(ready)
            serve(take, number, block_s)
    except BaseException as error:
        click.echo(f"worker {number}: {error}", err=True)
    finally:
        os._exit(1)


def _say(what: list[int]) -> None:
    click.echo(json.dumps(what))
    sys.stdout.flush()


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; its number stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _await_all(reader: int, workers: int) -> None:
    """Wait until each worker is ready; the pipe ends before that if one has ended."""
    with os.fdopen(reader, "rb") as ready:
        if len(ready.read()) != workers:
            raise click.ClickException("a worker did not start")


if __name__ == "__main__":
    main()
