"""`xsocket serve`: an engine and a pool server that run until they are told to stop."""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from xsocket_tools.sharing import logs
from xsocket_tools.sharing.notify import notify
from xsocket_tools.sharing.settings import Settings, SettingsError
from xsocket_tools.sharing.specs import socket_option

if TYPE_CHECKING:
    from xsocket import Engine, FourTuple, PoolServer
    from xsocket.pool import PoolEvent
    from xsocket.sharing.happening import Happening

STOP, RELOAD, ENDED = "stop", "reload", "ended"
"""What the main thread waits for."""
_MEANINGS: Final = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: RELOAD}

_LEVELS: Final = {
    name: level
    for level, names in {
        logging.DEBUG: ("connected", "left", "claim", "sent", "acknowledged", "timed_out", "withdrawn"),
        logging.INFO: ("returned",),
    }.items()
    for name in names
}
"""Of what happens at the server, that which is no warning."""


@click.command()
@click.option("--interface", metavar="IF", help="Of this network namespace; needed, here or in the file.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDR",
    help="The engine's, and the kernel's, with prefix length: 10.0.0.2/24. Several times for several.",
)
@click.option("--gateway", "gateways", multiple=True, metavar="ADDR", help="Where packets for others go.")
@click.option("--ports", metavar="SPEC", help="Ports to serve: 80,8000-8099. The kernel has the others.")
@click.option("--sources", multiple=True, metavar="NET", help="Whom to serve: 10.0.0.0/24; all without it.")
@click.option("--ignored-ports", metavar="SPEC", help="Ports on which a SYN gets no answer at all.")
@click.option(
    "--otherwise", type=click.Choice(["refuse", "ignore"]), help="What other SYNs get.  [default: refuse]"
)
@socket_option
@click.option("--group", metavar="NAME", help="Of the socket; its mode is 0660 then, and else 0600.")
@click.option("--mode", metavar="OCTAL", help="Of the socket, such as 0666; who is not allowed is refused.")
@click.option(
    "--allow",
    multiple=True,
    metavar="USER=SPEC",
    help=(
        "What a user may claim, or a @group: www-data=80, @ops=any. Whoever is not named then, root and the "
        "server's user excepted, is refused. Without it: these two and the --group, everything."
    ),
)
@click.option("--pool-capacity", type=int, metavar="N", help="How many connections may wait.")
@click.option("--pool-policy", metavar="POLICY", help="What becomes of more: refuse, ignore or evict.")
@click.option("--pool-timeout", "pool_timeout_s", type=float, metavar="S", help="How long one may wait.")
@click.option(
    "--acknowledge",
    "acknowledge_s",
    type=float,
    metavar="S",
    help="How long a client may take to say that a connection has come.  [default: 5]",
)
@click.option("--max-clients", type=int, metavar="N", help="Clients at once.  [default: 1024]")
@click.option(
    "--max-clients-per-user", type=int, metavar="N", help="Clients of one user at once.  [default: 512]"
)
@click.option(
    "--metrics", metavar="[ADDR:]PORT", help="Answer Prometheus there; on 127.0.0.1 without an address."
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: text]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML with the same settings, in the names of the documentation; options here take precedence.",
)
def serve(file: Path | None, path: Path | None, **given: Any) -> int:  # noqa: ANN401  # options
    """Run an engine whose connections other processes claim, each as a socket of the kernel.

    The addresses have to be the kernel's. Programs claim with `xsocket exec` or xsocket.PoolClient; `xsocket
    pool` looks on. The log goes to standard error. SIGTERM and SIGINT stop it, with status 0; connections
    that were claimed live on. SIGHUP reads the file again: ports, sources, ignored_ports, otherwise and allow
    take effect, the rest at the next start; with a mistake in it nothing changes.

    \b
    Example, for the users of the group www-data:
      ip address add 10.0.0.2/24 dev eth0
      xsocket serve --interface eth0 --address 10.0.0.2/24 --ports 80 --group www-data
    """  # noqa: D301  # click looks for the backspace
    given["socket"] = path
    settings = Settings.made_of(given, file)
    logs.begin(settings.log_format, settings.log_level)
    _raise_limit()
    return _Service(settings, lambda: Settings.made_of(given, file), reloads=file is not None).run()


class _Service:
    """One run of the command."""

    def __init__(self, settings: Settings, again: Callable[[], Settings], *, reloads: bool) -> None:
        self._settings = settings
        self._again = again
        self._reloads = reloads
        self._events: SimpleQueue[str] = SimpleQueue()

    def run(self) -> int:
        with ExitStack() as stack:
            stack.enter_context(self._signals())
            engine = stack.enter_context(self._engine())
            server = stack.enter_context(self._server(engine))
            if self._settings.metrics is not None:
                from xsocket_tools.sharing import metrics

                stack.callback(metrics.begin(engine, server, *self._settings.metrics))
            self._say_ready()
            while (came := self._events.get()) == RELOAD:
                self._reload(engine, server)
            notify("STOPPING=1")
            logs.event(logging.INFO, "stopping", reason=came)
        logs.event(logging.INFO, "stopped")
        return 0 if came == STOP else 1

    def _engine(self) -> Engine:
        from xsocket import Engine, NotKernelAddressError
        from xsocket.handoff.kernel import kernel_addresses

        settings = self._settings
        engine = Engine(
            settings.interface,
            settings.addresses,
            gateway=settings.gateways or None,
            admission=settings.admission(),
            config=settings.config(),
        )
        bare = [address.partition("/")[0] for address in settings.addresses]
        lacking = sorted({*bare} - {*kernel_addresses(bare)})
        if lacking:
            raise NotKernelAddressError(f"the kernel has not the address {', '.join(lacking)}")
        engine.pool.add_observer(self._pool_event)
        return engine

    def _pool_event(self, event: PoolEvent, four_tuple: FourTuple | None) -> None:
        del four_tuple
        if event.name == "CLOSED":  # the engine has ended, by itself or because we end
            self._events.put(ENDED)

    def _server(self, engine: Engine) -> PoolServer:
        from xsocket import PoolServer

        settings = self._settings
        return PoolServer(
            engine,
            settings.socket,
            mode=settings.permissions,
            group=settings.group,
            policy=settings.policy(),
            acknowledge_s=settings.acknowledge_s,
            max_clients=settings.max_clients,
            max_clients_per_user=settings.max_clients_per_user,
            observer=_log_happening,
        )

    def _say_ready(self) -> None:
        settings = self._settings
        parent = settings.socket.parent
        if settings.permissions & 0o066 and not parent.stat().st_mode & 0o011:
            logs.event(logging.WARNING, "unreachable", directory=parent, reason="nobody else may enter it")
        logs.event(
            logging.INFO,
            "ready",
            interface=settings.interface,
            addresses=",".join(settings.addresses),
            ports=settings.ports,
            socket=settings.socket,
        )
        notify("READY=1")

    def _reload(self, engine: Engine, server: PoolServer) -> None:
        from xsocket import XsocketError

        if not self._reloads:
            logs.event(logging.WARNING, "reload_failed", reason="there is no file: it takes --config")
            return
        try:
            settings = self._again()
            engine.set_admission(settings.admission())
        except (SettingsError, XsocketError) as error:
            logs.event(logging.ERROR, "reload_failed", reason=error)
            return
        server.set_policy(settings.policy())
        before, now = self._settings.fixed(), settings.fixed()
        waiting = [name for name, value in now.items() if before[name] != value]
        logs.event(logging.INFO, "reloaded", ports=settings.ports, takes_a_restart=",".join(waiting) or None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._events.put(_MEANINGS[signal.Signals(number)])

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals be events; `SimpleQueue` may be put into wherever one interrupts."""
        before = {number: signal.signal(number, self._on_signal) for number in _MEANINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _log_happening(happening: Happening) -> None:
    level = _LEVELS.get(happening.event, logging.WARNING)
    four_tuple = None if happening.four_tuple is None else str(happening.four_tuple)
    logs.event(
        level,
        happening.event,
        four_tuple=four_tuple,
        uid=happening.uid,
        pid=happening.pid,
        reason=happening.reason,
    )


def _raise_limit() -> None:
    """Have as many descriptors as are allowed: each client and each connection on its way takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
