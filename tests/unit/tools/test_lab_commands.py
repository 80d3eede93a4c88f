from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from xsocket_netns import NoSuchLabError, registry
from xsocket_tools.cli import SUBCOMMANDS, LazyGroup, main

SOURCES = [str(Path(__file__).parents[3] / name) for name in ("engine", "netns", "tools")]
FORBIDDEN_FOR_HELP = {"pyroute2", "scapy", "rich", "numpy", "netaddr", "asyncio", "xsocket", "xsocket_netns"}


@pytest.fixture(autouse=True)
def _no_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.RUNTIME_VARIABLE, str(tmp_path / "runtime"))


def failing(error: BaseException) -> LazyGroup:
    """Return a command line whose command "fail" raises *error*."""
    group = LazyGroup("xsocket")

    @group.command("fail")
    def fail() -> None:
        raise error

    return group


def test_help_loads_no_subcommand() -> None:
    program = (
        "import sys; from xsocket_tools.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join([*sys.path, *SOURCES])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *text, modules = done.stdout.splitlines()
    assert FORBIDDEN_FOR_HELP & set(modules.split()) == set()
    assert [name for name in SUBCOMMANDS if any(line.strip().startswith(name) for line in text)] == [
        *SUBCOMMANDS
    ]


@pytest.mark.parametrize("arguments", [["lab"], ["doctor"], ["lab", "up"], ["lab", "exec"]], ids=" ".join)
def test_every_command_has_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, [*arguments, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        pytest.param(
            NoSuchLabError("no lab x"), 1, f"error: no lab x\nremedy: {NoSuchLabError.remedy}\n", id="ours"
        ),
        pytest.param(click.UsageError("not so"), 2, "not so", id="usage"),
        pytest.param(KeyboardInterrupt(), 130, "", id="interrupted"),
        pytest.param(SystemExit(143), 143, "", id="terminated"),
        pytest.param(click.exceptions.Exit(5), 5, "", id="own-status"),
    ],
)
def test_an_error_becomes_a_status_and_a_text(error: BaseException, status: int, text: str) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == status
    assert text in result.stderr


def test_an_error_that_is_not_ours_is_a_bug_and_keeps_its_traceback() -> None:
    error = ZeroDivisionError("a bug")
    assert CliRunner().invoke(failing(error), ["fail"]).exception is error


def test_without_labs_there_is_nothing_to_list_or_clean() -> None:
    assert CliRunner().invoke(main, ["lab", "list"]).output == "There are no labs.\n"
    assert CliRunner().invoke(main, ["lab", "list", "--json"]).output == "[]\n"
    assert CliRunner().invoke(main, ["lab", "clean"]).output == "Removed 0 lab(s), 0 namespace(s).\n"


def test_a_lab_may_have_only_so_many_hosts() -> None:
    result = CliRunner().invoke(main, ["lab", "up", "--hosts", ",".join(map(str, range(201)))])
    assert result.exit_code == 2
    assert "at most 200 hosts" in result.stderr
