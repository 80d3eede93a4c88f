"""The pytest plugin, in projects of its own that pytest runs as another process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.scenarios import HANDSHAKE

XFAIL = f'on sim: xfail "known"\n{HANDSHAKE.replace("win 65535", "win 1")}'
SCRIPTS = {
    "passing": HANDSHAKE,
    "failing": HANDSHAKE.replace("win 65535", "win 64240"),
    "expected": XFAIL,
    "unexpected": f'on sim: xfail "known"\n{HANDSHAKE}',
    "skipped": f'on sim: skip "not now"\n{HANDSHAKE}',
    "unsupported": f"--so_filename=x.so\n{HANDSHAKE}",
}
REFUSING = """
import xsocket_netns

def refuse(*, restart=True):
    raise xsocket_netns.PrivilegeError("forbidden here")

xsocket_netns.ensure_privileges = refuse
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty project."""
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider\n")
    return pytester


def add(project: pytest.Pytester, **scripts: str) -> None:
    """Write scripts, each for IPv4 only."""
    for name, source in scripts.items():
        (project.path / f"{name}.pkt").write_text(f"--ip_version=ipv4\n{source}")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # Hypothesis takes a second to import.
    return project.runpytest_subprocess("-W", "error", "-p", "no:hypothesispytest", *arguments)


def test_nothing_of_ours_is_imported_in_a_project_that_uses_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_modules():
            theirs = ("scapy", "pyroute2", "lark", "rich", "click")
            roots = ("xsocket", "xsocket_netns", "xsocket_tools", *theirs)
            ours = {name for name in sys.modules if name.partition(".")[0] in roots}
            assert ours == {"xsocket_tools", "xsocket_tools.pytest_plugin"}
        """
    )
    run(project).assert_outcomes(passed=1)


def test_verdicts_are_pytests(project: pytest.Pytester) -> None:
    add(project, **SCRIPTS)
    result = run(project, "-v", "-rA")
    result.assert_outcomes(passed=1, failed=3, xfailed=1, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "passing.pkt::sim-ipv4 PASSED*",
            "failing.pkt::sim-ipv4 FAILED*",
            "expected.pkt::sim-ipv4 XFAIL*",
            "unexpected.pkt::sim-ipv4 FAILED*",
            "skipped.pkt::sim-ipv4 SKIPPED (not now)*",
            "unsupported.pkt::sim-ipv4 FAILED*",
            "unexpected.pkt: it passed, and was to fail: known",
            "unsupported.pkt:2: at 0 s: unsupported: flag --so_filename*",
        ]
    )


def test_a_failure_is_reported_with_its_line_its_ladder_and_its_capture(project: pytest.Pytester) -> None:
    add(project, failing=SCRIPTS["failing"])
    result = run(project, "--basetemp", str(project.path / "temp"))
    result.stdout.fnmatch_lines(
        [
            "_* sim-ipv4 _*",
            "failing.pkt:7: at 0.1 s: another packet came: win*",
            "  > 7 +0 > S. 0:0(0) ack 1 win 64240 <mss 1460>",
            "*^^^^^*",
            "the connection is in SYN-RECEIVED",
            "the rule applied last is RFC 9293 3.10.7.2*",
            "*script*engine*",
            "*SYN+ACK seq 0 ack 1*",
            "FAILED failing.pkt::sim-ipv4 - failing.pkt:7: at 0.1 s: another packet*",
        ]
    )
    capture = re.search(r"^capture: (.*)$", result.stdout.str(), re.MULTILINE)
    assert capture is not None
    assert Path(capture[1]).is_relative_to(project.path / "temp")
    assert Path(capture[1]).stat().st_size


def test_a_script_that_cannot_be_read_is_an_error(project: pytest.Pytester) -> None:
    add(project, broken="0 socket(")
    (project.path / "binary.pkt").write_bytes(bytes(range(256)))
    result = run(project)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(["*broken.pkt:2:*: the script ends too soon*", "*binary.pkt:1:*"])


def test_markers_and_names_select(project: pytest.Pytester) -> None:
    add(project, passing=HANDSHAKE, other=HANDSHAKE)
    targets = "--xsocket-on=sim,kernel"
    listed = run(project, targets, "--collect-only", "-q", "-k", "passing").outlines
    assert [line for line in listed if "::" in line] == ["passing.pkt::sim-ipv4", "passing.pkt::kernel-ipv4"]
    assert run(project, targets, "-m", "sim and not netns").ret == 0
    chosen = run(project, targets, "--collect-only", "-q", "-m", "netns").outlines
    assert [line for line in chosen if "::" in line] == ["other.pkt::kernel-ipv4", "passing.pkt::kernel-ipv4"]


def test_one_test_is_named_by_its_id_and_workers_share_tests(project: pytest.Pytester) -> None:
    add(project, **SCRIPTS)
    run(project, "passing.pkt::sim-ipv4").assert_outcomes(passed=1)
    result = run(project, "-n", "2")
    result.assert_outcomes(passed=1, failed=3, xfailed=1, skipped=1)
    result.stdout.fnmatch_lines(["*^^^^^*"])


def test_the_configuration_file_sets_targets_and_flags(project: pytest.Pytester) -> None:
    options = "xsocket_targets = sim\nxsocket_flags = --ip-version=ipv6 --mtu=1060 -Dlast=`true`\n"
    project.makeini(f"[pytest]\n{options}")
    source = HANDSHAKE.replace("win 65535 <mss 1460>", "win 65535 <mss 1000>")
    (project.path / "x.pkt").write_text(f"{source}+0 last\n")
    result = run(project, "-v")
    result.stdout.fnmatch_lines(["x.pkt::sim-ipv6 PASSED*"])
    result.assert_outcomes(passed=1)


def test_repetitions_and_captures(project: pytest.Pytester) -> None:
    add(project, passing=HANDSHAKE)
    run(project, "--xsocket-repeat=2", "--xsocket-capture=kept").assert_outcomes(passed=2)
    assert sorted(path.name for path in (project.path / "kept").iterdir()) == [
        "passing.sim-ipv4-1.pcapng",
        "passing.sim-ipv4-2.pcapng",
    ]


def test_an_unknown_target_is_wrong_usage(project: pytest.Pytester) -> None:
    add(project, passing=HANDSHAKE)
    result = run(project, "--xsocket-on=mars")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'mars' is no target; they are sim, wire, kernel*"])


def test_verdicts_do_not_count_with_runxfail(project: pytest.Pytester) -> None:
    add(project, expected=XFAIL, unexpected=SCRIPTS["unexpected"])
    run(project, "--runxfail").assert_outcomes(passed=1, failed=1)


def test_fixtures_that_are_used_by_themselves_work_for_scripts(project: pytest.Pytester) -> None:
    add(project, passing=HANDSHAKE)
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True, scope="module")
        def around_modules():
            yield
            print("module over")

        @pytest.fixture(autouse=True)
        def around_tests(request):
            yield
            print(f"{request.node.name} over")
        """
    )
    result = run(project, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*sim-ipv4 over", "module over"])


def test_a_projects_own_fixtures_count_instead_of_ours(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def engine():
            return "steam"

        def test_engine(engine):
            assert engine == "steam"
        """
    )
    run(project).assert_outcomes(passed=1)


def test_a_simulation_needs_no_privileges(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_handshake(simulation):
            hosts = [simulation.host(f"10.0.0.{number}/24") for number in (1, 2)]
            simulation.link(*hosts)
            assert hosts[0].connect("10.0.0.2", 80).getpeername() == ("10.0.0.2", 80)
        """
    )
    project.makeconftest(REFUSING)
    run(project).assert_outcomes(passed=1)


@pytest.mark.parametrize("required", ["0", "1"], ids=["skip", "fail"])
def test_without_namespaces_tests_are_skipped_unless_that_is_forbidden(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.setenv("XSOCKET_REQUIRE_NETNS", required)
    add(project, passing=HANDSHAKE)
    project.makeconftest(REFUSING)
    project.makepyfile("def test_lab(lab): pass\n\ndef test_engine(pool): pass")
    result = run(project, "--xsocket-on=sim,wire,kernel", "-rs")
    if required == "1":
        result.assert_outcomes(passed=1, errors=4)
        result.stdout.fnmatch_lines(
            ["XSOCKET_REQUIRE_NETNS=1, and this machine makes no namespaces: forbidden*"]
        )
    else:
        result.assert_outcomes(passed=1, skipped=4)
        result.stdout.fnmatch_lines(["SKIPPED*: no namespaces here: forbidden here*"])
