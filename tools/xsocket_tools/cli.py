"""The command `xsocket`: names its subcommands, loads the one asked for, turns errors into exit statuses.

Exit statuses: 0 done, 1 refused (reason and remedy are on standard error), 2 wrong usage, 130 interrupted,
143 terminated; `lab exec` and `exec` have that of their command, `run` has more. The commands themselves live
elsewhere.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from xsocket_tools.unwinding import termination_unwinds

INTERRUPTED = 128 + signal.SIGINT


class Subcommand(NamedTuple):
    """Where a subcommand lives, and its line in the help, which needs no import."""

    target: str
    summary: str


SUBCOMMANDS = {
    "bench": Subcommand("xsocket_tools.bench:bench", "Measure performance against Linux in the same run."),
    "compare": Subcommand(
        "xsocket_tools.compare.command:compare",
        "Put a listener, SO_REUSEPORT and the pool under the same load.",
    ),
    "demo": Subcommand("xsocket_tools.demo:demo", "Watch connections being claimed without a listener."),
    "doctor": Subcommand(
        "xsocket_tools.doctor:doctor", "Say what this machine allows, and how to allow the rest."
    ),
    "explain": Subcommand(
        "xsocket_tools.teaching.explain_command:explain",
        "Tell step by step what happens in a capture or a script.",
    ),
    "exec": Subcommand(
        "xsocket_tools.sharing.exec_command:execute", "Give a program a connection that it claims."
    ),
    "explore": Subcommand(
        "xsocket_tools.exploration.command:explore", "Try every interleaving of two ends, and check each."
    ),
    "fmt": Subcommand("xsocket_tools.scenarios.fmt_command:fmt", "Format scenario scripts, or check them."),
    "fuzz": Subcommand(
        "xsocket_tools.fuzzing.command:fuzz",
        "Put cases to a TCP until a rule is broken, and make them small.",
    ),
    "grid": Subcommand(
        "xsocket_tools.grid.command:grid", "Show what each kind of segment does in each state."
    ),
    "lab": Subcommand("xsocket_tools.lab_commands:lab", "Make, list, enter and remove labs."),
    "learn": Subcommand(
        "xsocket_tools.learning.command:learn", "Learn the state machine of a TCP, and compare two of them."
    ),
    "lesson": Subcommand(
        "xsocket_tools.teaching.lesson_command:lesson", "Learn TCP by lessons that run and are checked."
    ),
    "live": Subcommand(
        "xsocket_tools.live.command:live", "Watch an engine at work in a web page of your own."
    ),
    "mutants": Subcommand(
        "xsocket_tools.mutants.command:mutants", "Plant bugs in the engine, and see which the scenarios find."
    ),
    "pool": Subcommand("xsocket_tools.sharing.pool_commands:pool", "Look at the pool of a server that runs."),
    "record": Subcommand(
        "xsocket_tools.scenarios.record_command:record", "Make a scenario script of a captured connection."
    ),
    "rules": Subcommand(
        "xsocket_tools.rules.command:rules", "Explain the rules that the engine cites, section by section."
    ),
    "run": Subcommand(
        "xsocket_tools.scenarios.run_command:run", "Run scenario scripts on the engine and on Linux."
    ),
    "serve": Subcommand(
        "xsocket_tools.sharing.serve_command:serve", "Run an engine whose connections others claim."
    ),
}


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return [*super().list_commands(ctx), *SUBCOMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand *cmd_name*."""
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = SUBCOMMANDS[cmd_name].target.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command), f"{module}.{name} is not a command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in SUBCOMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *positional: Any, **options: Any) -> NoReturn:  # noqa: ANN401
        """Run a command line and exit; the caller's frames unwind first, so labs are removed."""
        options["standalone_mode"] = False
        with termination_unwinds():
            sys.exit(self._status_of(args, *positional, **options))

    def _status_of(self, *positional: Any, **options: Any) -> int:  # noqa: ANN401
        try:
            result = super().main(*positional, **options)
        except click.Abort:
            return INTERRUPTED
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except Exception as error:
            if not hasattr(error, "remedy"):
                raise
            return _report(error)
        return result if isinstance(result, int) else 0


def _report(error: Exception) -> int:
    """Print one of our own errors: any that has a remedy."""
    message = getattr(error, "message", error.args[0] if error.args else type(error).__name__)
    click.echo(f"error: {message}", err=True)
    click.echo(f"remedy: {getattr(error, 'remedy', '')}", err=True)
    return int(getattr(error, "exit_status", 1))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="xsocket")
def main() -> None:
    """TCP handshakes without a listener: labs to run them in, and tools to look at them."""


if __name__ == "__main__":
    main()
