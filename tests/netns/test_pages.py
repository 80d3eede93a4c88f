"""What pages show that takes namespaces is so: their programs and commands run, in order."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.documents import Shown, declared, follow, session
from support.linux import only_there
from support.live import PATIENCE_S, Task, until
from support.markdown import ROOT
from support.programs import needed
from xsocket import Engine
from xsocket_netns import Host, Lab, clean
from xsocket_tools.learning.machine import from_json

pytestmark = pytest.mark.netns

FINDING: Final = ROOT / "docs" / "findings" / "window-in-time-wait.json"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, empty; labs that stay are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield tmp_path
    clean()


# Programs with an engine on veth0


def client_and_home(lab: Lab, *addresses: str) -> tuple[Host, Host]:
    """Make two hosts; the second one's interface is veth0, and its kernel has these addresses."""
    client, home = lab.host("client"), lab.host("home")
    lab.link(client, home, addresses=(["10.0.0.1/24"], addresses), names=("eth0", "veth0"))
    return client, home


def talk(port: int = 40_000, says: bytes = b"hello") -> bytes:
    """Connect to port 80 once somebody listens, say something, and return what comes back before the end."""
    while True:
        try:
            peer = socket.create_connection(("10.0.0.2", 80), PATIENCE_S, source_address=("10.0.0.1", port))
        except ConnectionRefusedError:
            continue
        with peer:
            peer.sendall(says)
            return peer.recv(100)


@pytest.mark.runs("docs/how-to/claim.md")
def test_claims_of_the_page(lab: Lab, shown: Shown) -> None:
    client, home = client_and_home(lab)
    names: dict[str, Any] = {}
    one = Task(client.run, talk)
    home.run(follow, shown.blocks("python 1"), names)
    assert one.result() == b"hello"
    with home.enter(), Engine("veth0", ["10.0.0.2/24"]) as engine:
        names["engine"] = engine
        other = Task(client.run, talk, 40_001, b"")
        follow(shown.blocks("python 2"), names)
        names["connection"].close()
        assert other.result() == b""
        many = [Task(client.run, talk, port, b"") for port in range(41_000, 41_200)]
        follow(shown.blocks("python 3"), names)
        until(lambda: engine.pool.statistics().put == 201)
        for waits in list(engine.pool):
            engine.pool.claim(waits).close()
        assert {each.result() for each in many} == {b""}


@pytest.mark.runs("docs/how-to/hand-over.md")
def test_a_hand_over_of_the_page(lab: Lab, shown: Shown, place: Path) -> None:
    del place
    client, home = client_and_home(lab)
    home.run(follow, shown.blocks("sh"))
    one = Task(client.run, talk)
    home.run(follow, shown.blocks("python"))
    assert one.result() == b"hello"


@pytest.mark.runs("docs/how-to/trace.md", "python", "console")
def test_traces_of_the_page(lab: Lab, shown: Shown, place: Path) -> None:
    needed("tshark")
    client, home = client_and_home(lab)
    one = Task(client.run, talk, says=b"")
    home.run(follow, shown.blocks(), None, more={"xsocket demo --capture demo.pcapng": "--clients 8"})
    assert one.result() == b""
    assert {path.name for path in place.glob("*") if path.stat().st_size} >= {"demo.pcapng", "trace.jsonl"}


# Programs that make labs


@pytest.mark.runs("docs/how-to/labs.md")
@pytest.mark.runs("docs/how-to/rootless.md")
def test_labs_of_the_pages(shown: Shown, place: Path) -> None:
    needed("dumpcap")
    del place
    follow(shown.blocks())


@pytest.mark.runs("docs/how-to/impair.md", "python", "text")
def test_impairments_of_the_page(shown: Shown) -> None:
    follow(shown.blocks())


@pytest.mark.runs("docs/how-to/impair.md", "console")
def test_the_session_with_an_impaired_link(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    steps = [
        step._replace(command=f"until {step.command}; do :; done") if "ping" in step.command else step
        for step in shown.steps()  # both may be lost: that is what the link is for
    ]
    session(steps, place, environment)
    assert sorted(path.name for path in (place / "captures").iterdir()) == [
        "client.pcapng",
        "server.pcapng",
    ]


# Commands


@pytest.mark.runs("docs/how-to/grid.md")
def test_the_grid_of_the_page(shown: Shown, place: Path) -> None:
    del place
    follow(shown.blocks())


@only_there
@pytest.mark.runs("docs/how-to/learn.md", "console", "text")
def test_machines_of_the_page(shown: Shown, place: Path) -> None:
    """What is learnt again is what is stored."""
    models = Path("tools/xsocket_tools/learning/models")
    (place / models).mkdir(parents=True)
    follow(
        shown.blocks(),
        ends={"xsocket learn diff engine-server-calls linux-6.18-server-calls": 1},
    )
    name = "engine-server-basic.json"
    learned, stored = ((base / models / name).read_text() for base in (place, ROOT))
    assert from_json(learned).table == from_json(stored).table


@pytest.mark.runs(
    "docs/how-to/fuzz.md", "console 1", "console 2", "console 3", "console 4", "console 5", "console 7"
)
def test_campaigns_of_the_page(shown: Shown, place: Path) -> None:
    """Cut short."""
    stack = place / "my-stack"
    stack.write_text(f'#!/bin/sh\nexec "{sys.executable}" {ROOT}/tests/support/tap_engine.py\n')
    stack.chmod(0o755)
    follow(
        shown.blocks("console 1", "console 2"),
        more={
            "xsocket fuzz": "--cases 20",
            "xsocket fuzz --on kernel --seed 7 --time 600 --corpus kernel-7": "--time 0.3",
            "xsocket fuzz --corpus kernel-7 --resume --time 3600": "--time 0.3",
        },
    )
    shutil.copy(FINDING, place / "kernel-7" / "findings")
    follow(
        shown.blocks(*(f"console {number}" for number in (3, 4, 5, 7))),
        more={
            "xsocket fuzz --jobs 4 --cases 100000": "--cases 20",
            'xsocket fuzz --on foreign --command "./my-stack --verbose"': "--cases 5",
        },
    )
    assert {path.suffix for path in (place / "for-the-list").iterdir()} == {".pkt", ".pcapng"}


@pytest.mark.runs("docs/how-to/measure.md", "sh 4", "sh 5", "sh 6")
def test_measurements_of_the_page(shown: Shown, place: Path) -> None:
    """Of those that take labs, one each is in `test_bench.py`."""
    brief = "--handshakes 50 --rounds 1 --days 1"
    script = place / "tests" / "scenarios" / "handshake.pkt"
    script.parent.mkdir(parents=True)
    (source,) = declared("docs/how-to/scenarios.md", "pkt 1")
    script.write_text(source.text)
    follow(
        shown.blocks(),
        more={
            "xsocket bench simulation": brief,
            "xsocket bench simulation --handshakes 100000 --at-once 1 --json": brief,
            "xsocket bench scripts tests/scenarios": "--rounds 1",
            "xsocket bench fuzz": "--cases 20 --rounds 1",
            "xsocket bench fuzz --cases 10000 --no-kernel --json": "--cases 20 --rounds 1",
        },
    )


@pytest.mark.runs("docs/explanation/compare.md", "sh")
def test_comparisons_of_the_page(shown: Shown, place: Path) -> None:
    short = "--situation even --requests 20 --rate 2000 --crowd 0"
    follow(
        shown.blocks(),
        more={
            "xsocket compare": f"{short} --design shared",
            "xsocket compare --report report.html": f"{short} --design reuseport",
            "xsocket compare --workers 8 --design shared --design pool --json": f"{short} --workers 2",
        },
    )
    assert (place / "report.html").stat().st_size
