"""What scanners and pings see of an engine: ports as its `Admission` says, and no kernel's word beside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import wiretap
from support.live import INTERFACE, OURS, PATIENCE_S, Network, engine_in, network, tcp_counters
from support.programs import needed
from xsocket import Admission, DropReason, Engine

pytestmark = pytest.mark.netns

ADMISSION = Admission("80,8000-8001", ignored_ports="9000-9001")
SCANNED = "79-81,7999-8002,9000-9001"
OPEN = {80, 8000, 8001}
CLOSED = {79, 81, 7999, 8002}
FILTERED = {9000, 9001}
ALL = OPEN | CLOSED | FILTERED

versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    """The two hosts; afterwards tshark judges the engine's frames, and the kernel beside it was silent."""
    with network() as made:
        with wiretap.judged(made.peer, made.home.interfaces[INTERFACE].mac, tmp_path):
            yield made
        assert tcp_counters(made.home)["OutRsts"] == 0, "the kernel beside the engine answered"


@pytest.fixture
def engine(net: Network, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine_in(net.home, admission=getattr(request, "param", ADMISSION)) as running:
        yield running


def scan(net: Network, version: int, kind: str) -> dict[str, set[int]]:
    """Return the ports by what nmap says of them."""
    family = ["-6"] if version == 6 else []
    patience = ["--max-retries", "2", "--min-rtt-timeout", "300ms", "--initial-rtt-timeout", "300ms"]
    argv = [needed("nmap"), *family, kind, "-n", "-p", SCANNED, *patience, "-oG", "-", OURS[version]]
    report = net.peer.command(argv).stdout
    assert "Status: Up" in report, report
    ports: dict[str, set[int]] = {}
    for number, state in re.findall(r"[ \t](\d+)/([a-z|]+)/tcp", report):
        ports.setdefault(state, set()).add(int(number))
    return ports


@versions
def test_a_syn_scan_sees_ports_as_admission_says(net: Network, engine: Engine, version: int) -> None:
    """And leaves nothing behind: the scanner's kernel resets what it knows nothing of."""
    assert scan(net, version, "-sS") == {"open": OPEN, "closed": CLOSED, "filtered": FILTERED}
    assert engine.statistics().host.drops[DropReason.ADMISSION_IGNORES] >= len(FILTERED)
    assert engine.connections() == {}
    assert engine.statistics().pool.put == 0


@versions
def test_a_connect_scan_sees_the_same(net: Network, engine: Engine, version: int) -> None:
    """nmap connects and resets: what dies in the pool leaves it."""
    assert scan(net, version, "-sT") == {"open": OPEN, "closed": CLOSED, "filtered": FILTERED}
    assert engine.statistics().host.established >= len(OPEN)
    pool = engine.statistics().pool
    assert (pool.died, pool.waiting_connections) == (pool.put, 0)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        pytest.param(4, "-sF", id="FIN, ipv4"),
        pytest.param(6, "-sN", id="no flags, ipv6"),
        pytest.param(4, "-sX", id="FIN, PSH and URG, ipv4"),
    ],
)
@pytest.mark.usefixtures("engine")
def test_odd_scans_see_what_the_rfc_says(net: Network, version: int, kind: str) -> None:
    """RFC 9293 section 3.10.7: CLOSED resets whatever comes, LISTEN drops what has no SYN, ACK or RST."""
    assert scan(net, version, kind) == {"closed": CLOSED, "open|filtered": OPEN | FILTERED}


@pytest.mark.usefixtures("engine")
def test_an_ack_scan_is_reset_unless_ignored(net: Network) -> None:
    assert scan(net, 6, "-sA") == {"unfiltered": OPEN | CLOSED, "filtered": FILTERED}


@pytest.mark.parametrize(
    ("version", "engine", "expected"),
    [
        pytest.param(
            4, Admission("80", otherwise="ignore"), {"open": {80}, "filtered": ALL - {80}}, id="silent, ipv4"
        ),
        pytest.param(6, Admission(sources=["10.9.0.0/16", "fd09::/16"]), {"closed": ALL}, id="sources, ipv6"),
    ],
    indirect=["engine"],
)
@pytest.mark.usefixtures("engine")
def test_nmap_sees_other_policies(net: Network, version: int, expected: dict[str, set[int]]) -> None:
    assert scan(net, version, "-sS") == expected


@versions
@pytest.mark.usefixtures("engine")
def test_ping_is_answered(net: Network, version: int) -> None:
    for octets in (0, 56, 1400):
        argv = [needed("ping"), f"-{version}", "-c", "3", "-i", "0.2", "-s", str(octets), OURS[version]]
        assert "3 received" in net.peer.command([*argv, "-W", str(int(PATIENCE_S))]).stdout
