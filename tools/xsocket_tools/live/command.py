"""`xsocket live`: makes a lab with an engine, serves a page of it, and removes everything at the end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click

from xsocket_netns import ensure_privileges
from xsocket_tools.live.errors import LiveUnavailableError, PortInUseError
from xsocket_tools.unwinding import Terminated

if TYPE_CHECKING:
    import socket

NEEDED: Final = ("starlette", "uvicorn")
_DELAY_S: Final = 0.3
_BROWSER_S: Final = 5.0
_SHOW: Final = "import sys, webbrowser; url = sys.stdin.read(); sys.exit(not (url and webbrowser.open(url)))"
"""What opens a browser: begun before this process goes where no browser can follow."""


@click.command()
@click.option(
    "--port",
    default=0,
    show_default="any that is free",
    type=click.IntRange(0, 65_535),
    help="Where to serve the page, on 127.0.0.1.",
)
@click.option(
    "--delay",
    "delay_s",
    default=_DELAY_S,
    show_default=True,
    metavar="S",
    type=click.FloatRange(0, 10),
    help="Seconds that a packet takes either way; 0 for a bare cable.",
)
@click.option("--open/--no-open", "opens", help="Show the page in a browser.  [default: no-open]")
def live(port: int, delay_s: float, opens: bool) -> int:
    """Watch an engine at work in a web page of your own: half-open, in the pool, claimed.

    Makes a lab: an engine that serves port 80, and a Linux client. The page shows its connections and each
    segment as they come. Its buttons let clients connect, claim, talk and close; its form sends the engine
    one segment made by hand, and says what came of it.

    The address of the page goes to standard output. It holds a token: whoever has it may use the page, and
    only from this machine. Ctrl-C, SIGTERM and the end of its terminal end it, with
    status 0, and remove the lab.
    """
    _check_available()
    with ExitStack() as stack:
        # Before the namespaces change: the page is served where the user's browser is.
        at = stack.enter_context(_listener(port))
        browser = _browser_to_be(stack) if opens else None
        ensure_privileges(restart=False)
        from xsocket_tools.live.server import Serving
        from xsocket_tools.live.watching import Watching

        watching = Watching(delay_s=delay_s)
        stack.enter_context(watching.world)
        serving = stack.enter_context(Serving(watching, at))
        with suppress(KeyboardInterrupt, Terminated):
            click.echo(serving.url)
            click.echo("Open this address in a browser on this machine. Ctrl-C ends it.", err=True)
            if browser is not None:
                _show(browser, serving.url)
            serving.wait()
    return 0


def _check_available() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise LiveUnavailableError(f"the page takes {' and '.join(missing)}")


def _listener(port: int) -> socket.socket:
    import socket

    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PortInUseError(f"cannot serve at port {port}: {error.strerror}") from error


def _browser_to_be(stack: ExitStack) -> subprocess.Popen[str]:
    """Begin what opens a browser once it is told the address; it ends with *stack* at the latest."""
    child = subprocess.Popen(  # noqa: S603  # it is our own program
        [sys.executable, "-c", _SHOW], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    stack.callback(child.communicate)
    stack.callback(child.terminate)
    return child


def _show(browser: subprocess.Popen[str], url: str) -> None:
    with suppress(subprocess.TimeoutExpired):  # then it is a browser that stays with its opener
        browser.communicate(url, timeout=_BROWSER_S)
        if browser.returncode:
            click.echo("No browser was found here.", err=True)
