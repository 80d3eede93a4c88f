"""For every test: where labs are recorded, whether namespaces can be made, the proof that none is left.

One test runs this file in a directory of its own, so it imports nothing of `support` before that is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from xsocket_netns import registry
from xsocket_tools.pytest_plugin import namespaces_refused, require_namespaces

if TYPE_CHECKING:
    from support.documents import Shown

collect_ignore = ["project"]  # a project of its own, which `netns/test_wheel.py` runs

BEGIN_WITH = (
    "netns/test_scenarios.py",
    "unit/tools/mutants/test_command.py",
    "netns/test_real_peers.py",
    "netns/test_lessons.py",
    "unit/tools/test_exploration.py",
    "netns/test_matrix.py",
    "browser/test_lessons.py",
    "fuzz/test_frames.py",
    "netns/test_compare.py",
    "netns/test_learn.py",
    "unit/tools/test_pytest_plugin.py",
    "fuzz/test_memory.py",
    "netns/test_run_command.py",
    "netns/test_pool_server_hostile.py",
)
"""Files that take longest, at first: begun late, one of them would keep everybody waiting at the end. Those
that wait and those that compute take turns."""
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # how fast this machine is just now says nothing about the code


def pytest_configure(config: pytest.Config) -> None:
    """Enter a user namespace where that is needed: now, while there is one thread and no worker process."""
    namespaces_refused(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what it puts into the background. Tests interrupt themselves and their programs.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever ends the tests leaves no namespace behind
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use one process more than there are processors: half of the time they wait for peers."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the Makefile lets them stay in this order."""
    directory = Path(__file__).parent
    places = {directory / name: place for place, name in enumerate(BEGIN_WITH)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs namespaces where there are none, or fail it where they are required."""
    if item.get_closest_marker("netns") is not None:
        require_namespaces(item.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `each_page` once for each page that its marks name."""
    if "each_page" in metafunc.fixturenames:
        from support.documents import declared

        marks = [mark.args for mark in metafunc.definition.iter_markers("runs")]
        pages = dict.fromkeys(block.page for args in reversed(marks) for block in declared(*args))
        metafunc.parametrize("each_page", [*pages])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test that has not taken all the blocks of a page which it has said that it runs."""
    result = yield
    if pyfuncitem.get_closest_marker("runs") is not None:
        assert "shown" in pyfuncitem.funcargs, "a test with the mark `runs` takes its blocks from `shown`"
        left = [f"{block.page}, {block.name}" for block in pyfuncitem.funcargs["shown"].left]
        assert not left, f"marked as run by this test, and not taken by it: {left}"
    return result


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Shown:
    """The blocks of pages that this test runs, by its marks; with `each_page`, those of one page."""
    from support.documents import Shown

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
