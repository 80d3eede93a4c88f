"""For every test: where labs are recorded, whether namespaces can be made, the proof that none is left."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.documents import Shown, declared
from xsocket_netns import registry
from xsocket_tools.pytest_plugin import namespaces_refused, require_namespaces

collect_ignore = ["project"]  # a project of its own, which `netns/test_wheel.py` runs


def pytest_configure(config: pytest.Config) -> None:
    """Enter a user namespace where that is needed: now, while there is one thread and no worker process."""
    namespaces_refused(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what it puts into the background. Tests interrupt themselves and their programs.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs namespaces where there are none, or fail it where they are required."""
    if item.get_closest_marker("netns") is not None:
        require_namespaces(item.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `each_page` once for each page that its marks name."""
    if "each_page" in metafunc.fixturenames:
        marks = [mark.args for mark in metafunc.definition.iter_markers("runs")]
        pages = dict.fromkeys(block.page for args in reversed(marks) for block in declared(*args))
        metafunc.parametrize("each_page", [*pages])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test that has not taken all the blocks of a page which it has said that it runs."""
    result = yield
    if pyfuncitem.get_closest_marker("runs") is not None:
        left = [f"{block.page}, {block.name}" for block in pyfuncitem.funcargs["shown"].left]
        assert not left, f"marked as run by this test, and not taken by it: {left}"
    return result


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Shown:
    """The blocks of pages that this test runs, by its marks; with `each_page`, those of one page."""
    made = Shown(*(mark.args for mark in request.node.iter_markers("runs")))
    if "each_page" in request.fixturenames:
        page = request.getfixturevalue("each_page")
        made.left = [block for block in made.left if block.page == page]
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded of themselves."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session", autouse=True)
def runtime_directory() -> Iterator[Path]:
    """A place for records and namespace names that no other process of this machine uses."""
    directory = Path(tempfile.mkdtemp(prefix="xsocket-tests-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.RUNTIME_VARIABLE, str(directory))
        yield directory
        left = _labs_and_namespaces(directory)
    shutil.rmtree(directory)
    assert not left, f"left behind at the end: {left}"


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest, runtime_directory: Path) -> Iterator[None]:
    """Fail a test after which there are labs, namespaces or mounts that were not there before it."""
    if request.node.get_closest_marker("netns") is None:
        yield
        return
    before = _labs_and_namespaces(runtime_directory)
    yield
    left = _labs_and_namespaces(runtime_directory) - before
    assert not left, f"left behind: {left}"


def _labs_and_namespaces(runtime: Path) -> set[str]:
    named = {str(path) for kind in ("labs", "netns") for path in (runtime / kind).glob("*")}
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return named | {mount for mount in mounts if mount.startswith(f"{runtime}/netns/")}
