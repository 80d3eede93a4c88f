"""The pytest plugin: scenario scripts (``*.pkt``) as tests, and fixtures for labs, engines and simulations.

pytest loads it in every project where Xsocket is installed, so nothing but pytest and the standard library is
imported here: everything else when a script is collected or a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from xsocket import Connection, ConnectionPool, Engine, Simulation
    from xsocket_netns import Host, Lab
    from xsocket_tools.scenarios.outcome import Outcome
    from xsocket_tools.scenarios.plan import Job
    from xsocket_tools.scenarios.script import Flag, Script

SUFFIX: Final = ".pkt"
TARGETS: Final = ("sim", "wire", "kernel")
REQUIRED: Final = "XSOCKET_REQUIRE_NETNS"
"""Environment variable: set to 1 where a skip for want of namespaces would be a lie."""
KERNEL_ADDRESSES: Final = ("10.0.0.1/24", "fd00::1/64")
"""Of `kernel_host`, on its interface ``eth0``."""
ENGINE_ADDRESSES: Final = ("10.0.0.2/24", "fd00::2/64")
"""Of `engine`, on the interface ``eth0`` of its host, whose kernel has none."""

_MARKERS: Final = {
    "sim": "a scenario on the engine in virtual time",
    "wire": "a scenario on the engine on a link",
    "kernel": "a scenario on Linux",
    "netns": "makes network namespaces (root, or an unprivileged user namespace)",
}

_refusal = pytest.StashKey[str | None]()


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what sets targets, repetitions and captures of scenarios."""
    parser.addini("xsocket_targets", "where scenarios run: sim, wire, kernel", type="args", default=["sim"])
    parser.addini(
        "xsocket_flags", "flags for scenarios, as `xsocket run` and packetdrill have them", type="args"
    )
    group = parser.getgroup("xsocket", "scenario scripts (*.pkt)")
    group.addoption(
        "--xsocket-on",
        metavar="TARGET,...",
        help="where scenarios run: sim, wire, kernel (ini: xsocket_targets)",
    )
    group.addoption(
        "--xsocket-capture",
        metavar="DIR",
        help="write a pcapng file for each run of a scenario to this directory",
    )
    group.addoption(
        "--xsocket-repeat",
        metavar="N",
        type=int,
        default=1,
        help="run each scenario so many times (default: 1)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; where scenarios need namespaces, see now whether there are any."""
    for name, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    directory = config.getoption("--xsocket-capture")
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
    if set(targets_of(config)) - {"sim"}:
        # An ordinary user's process enters a user namespace, which it can do as long as it has one thread and
        # no worker process.
        namespaces_refused(config)


def targets_of(config: pytest.Config) -> list[str]:
    """Return where scenarios run, by the command line or else the configuration file.

    Raises:
        pytest.UsageError: There is no such target.
    """
    option = config.getoption("--xsocket-on")
    named = [option] if option else config.getini("xsocket_targets")
    targets = list(dict.fromkeys(word for text in named for word in text.split(",") if word))
    for target in targets:
        if target not in TARGETS:
            raise pytest.UsageError(f"xsocket: {target!r} is no target; they are {', '.join(TARGETS)}")
    return targets


def namespaces_refused(config: pytest.Config) -> str | None:
    """Return why this machine makes no namespaces, None where it does; found out once."""
    if _refusal not in config.stash:
        config.stash[_refusal] = _refusal_of_this_machine()
    return config.stash[_refusal]


def _refusal_of_this_machine() -> str | None:
    from xsocket_netns import LabError, Namespace, ensure_privileges, privileges

    try:
        if privileges.missing_capabilities():  # a child asks first: a process that is refused must not go on
            refusal = privileges.user_namespace_refusal()
            if refusal is not None:
                return str(refusal)
        ensure_privileges(restart=False)
        Namespace.create().close()
    except LabError as error:
        return str(error)
    return None


def require_namespaces(config: pytest.Config) -> None:
    """Skip the test of the moment where there are no namespaces, or fail it where they are required."""
    refusal = namespaces_refused(config)
    if refusal is None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and this machine makes no namespaces: {refusal}", pytrace=False)
    pytest.skip(f"no namespaces here: {refusal}")


# Scenarios


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario scripts."""
    return ScenarioFile.from_parent(parent, path=file_path) if file_path.suffix == SUFFIX else None


class ScenarioFile(pytest.Module):
    """A script: a test for each target and IP version.

    A module without Python code, so that fixtures that are used by themselves, and those of the scope of a
    module, work for its tests.
    """

    obj = None

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the script and yield its tests."""
        from xsocket_tools.scenarios.errors import ScriptError
        from xsocket_tools.scenarios.plan import jobs_for

        directory = self.config.getoption("--xsocket-capture")
        captures = Path(directory).absolute() if directory else None
        repeat = self.config.getoption("--xsocket-repeat")
        targets = targets_of(self.config)
        try:
            flags = _flags_of(self.config)
            scripts = {self.path: self._script(flags)}
            jobs = jobs_for(scripts, targets, flags=flags, repeat=repeat, captures=captures)
        except ScriptError as error:
            raise self.CollectError(str(error)) from None
        for job in jobs:
            item: ScenarioItem = ScenarioItem.from_parent(self, name=job.label, callobj=scenario, job=job)
            for marker in _markers_of(job):
                item.add_marker(marker)
            yield item

    def _script(self, flags: list[Flag]) -> Script:
        """Return the script, whose name is its path as test ids have it."""
        from dataclasses import replace

        from xsocket_tools.scenarios.plan import definitions_in, read_file

        return replace(read_file(self.path, definitions_in(flags)), name=self.nodeid)


def _markers_of(job: Job) -> Iterator[str | pytest.MarkDecorator]:
    yield job.target
    if job.target != "sim":
        yield "netns"
    for verdict in job.script.verdicts:
        if verdict.kind == "skip" and job.target in verdict.targets:
            yield pytest.mark.skip(reason=verdict.reason)  # so that the skip is reported as the script's


def _flags_of(config: pytest.Config) -> list[Flag]:
    """Return the flags of the configuration file, with hyphens or underscores: ``--mtu=1400``, ``-DA=1``."""
    from xsocket_tools.scenarios.script import Flag

    flags = []
    for word in config.getini("xsocket_flags"):
        if word.startswith("-D"):
            flags.append(Flag("define", word.removeprefix("-D"), 0))
            continue
        name, equals, value = word.lstrip("-").partition("=")
        flags.append(Flag(name.replace("-", "_"), value if equals else None, 0))
    return flags


class ScenarioItem(pytest.Function):
    """One run of a script."""

    def __init__(self, *, job: Job, **arguments: Any) -> None:  # noqa: ANN401  # pytest's own
        super().__init__(**arguments)
        self.job = job

    def setup(self) -> None:
        """Make sure of namespaces, where it needs any."""
        if self.job.target != "sim":
            require_namespaces(self.config)
        super().setup()

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say which script, and which run of it."""
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Return the report of the failure, with the script's lines and the ladder."""
        del style
        if isinstance(excinfo.value, ScenarioFailure):
            return excinfo.value.report(self.config.get_terminal_writer().fullwidth)
        return super().repr_failure(excinfo)


class ScenarioFailure(Exception):  # noqa: N818  # what a test ends with is no error
    """A scenario did not end as it should.

    Attributes:
        outcome: What became of it.
        capture: Where its packets are; None if there were none.
    """

    def __init__(self, outcome: Outcome, capture: Path | None) -> None:
        super().__init__(f"{outcome.name}: {outcome.status.value}")
        self.outcome, self.capture = outcome, capture

    def report(self, width: int) -> str:
        """Return the report as plain text, *width* columns wide at most."""
        from xsocket_tools.scenarios.report import FailureReport, as_text

        return as_text(FailureReport(self.outcome, self.capture, titled=False), width)


def scenario(request: pytest.FixtureRequest) -> None:
    """Run a script: the body of every `ScenarioItem`."""
    from xsocket_tools.scenarios.execution import perform
    from xsocket_tools.scenarios.outcome import Status
    from xsocket_tools.scenarios.report import told

    item = request.node
    assert isinstance(item, ScenarioItem), "only scripts have this for a body"
    outcome = perform(item.job)
    verdicts_count = not request.config.getoption("runxfail")
    match outcome.status:
        case Status.PASSED:
            return
        case Status.XPASSED if not verdicts_count:
            return
        case Status.SKIPPED:
            pytest.skip(outcome.reason)
        case Status.XFAILED if verdicts_count:
            pytest.xfail(told(outcome))
        case _:
            raise ScenarioFailure(outcome, _capture_of(outcome, item.job, request))


def _capture_of(outcome: Outcome, job: Job, request: pytest.FixtureRequest) -> Path | None:
    """Return where the packets of a failed run are: without ``--xsocket-capture`` among pytest's files."""
    from xsocket_tools.scenarios.execution import write_packets_of
    from xsocket_tools.scenarios.plan import capture_name

    if job.capture is not None:
        return job.capture if job.capture.exists() else None
    directory: Path = request.getfixturevalue("tmp_path_factory").mktemp("xsocket")
    capture = directory / capture_name(job.script.name, job.label)
    return capture if write_packets_of(outcome, capture) else None


# Fixtures: a kernel and an engine on one cable, new for each test


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A `xsocket_netns.Lab` without hosts, removed after the test; skips where there are no namespaces."""
    require_namespaces(request.config)
    from xsocket_netns import Lab

    with Lab() as made:
        yield made


@pytest.fixture
def engine_host(lab: Lab) -> Host:
    """The host that the engine lives in: its kernel has no address on ``eth0``."""
    return lab.host("engine")


@pytest.fixture
def kernel_host(lab: Lab, engine_host: Host) -> Host:
    """A host with an ordinary kernel, 10.0.0.1 and fd00::1 on ``eth0``, linked to the engine's host."""
    host = lab.host("kernel")
    lab.link(host, engine_host, addresses=(KERNEL_ADDRESSES, ()))
    return host


@pytest.fixture
def engine_options() -> dict[str, Any]:
    """What `engine` is made with, to be overridden: ``{"config": TcpConfig(...)}``; nothing by itself."""
    return {}


@pytest.fixture
def engine(engine_host: Host, kernel_host: Host, engine_options: dict[str, Any]) -> Iterator[Engine]:
    """A running `xsocket.Engine`, 10.0.0.2 and fd00::2, at the other end of the link, with a trace.

    After the test it is stopped, and whatever is still open is reset.
    """
    from xsocket import Engine, Trace

    del kernel_host  # it makes the link
    made = Engine("eth0", **{"addresses": ENGINE_ADDRESSES, "trace": Trace(), **engine_options})
    engine_host.run(made.start)
    yield made
    made.stop(linger=0)


@pytest.fixture
def pool(engine: Engine) -> ConnectionPool[Connection]:
    """The pool of `engine`."""
    return engine.pool


@pytest.fixture
def simulation() -> Simulation:
    """A `xsocket.Simulation` in virtual time, without hosts; needs no privileges."""
    from xsocket import Simulation

    return Simulation()
