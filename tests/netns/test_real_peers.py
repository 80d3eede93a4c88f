"""Transfers between real programs and consumers of the engine; tshark looks at every frame of the engine's.

Each also with every tenth frame lost, in both directions.
"""

import hashlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import pack

import pytest

from support import wiretap
from support.live import (
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEER_ADDRESSES,
    PEERS,
    Network,
    Task,
    engine_in,
    network,
    tcp_counters,
    text_of,
)
from support.programs import needed
from support.web import TRANSFER_S, fetch, serving
from xsocket import Connection, Engine, FourTuple, Pattern
from xsocket.segment import ACK, Segment
from xsocket.wire.codec import encode_segment
from xsocket.wire.ethernet import IPV4, Ethernet, build_ethernet
from xsocket_netns import Host, Lab

pytestmark = pytest.mark.netns

FILE_OCTETS = 10_000_000
PARALLEL_OCTETS = {False: 1_000_000, True: 100_000}

versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture(params=[False, True], ids=["no loss", "every tenth frame lost"])
def lossy(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def net(lossy: bool, tmp_path: Path) -> Iterator[Network]:
    """The two hosts; afterwards tshark and the kernels say what they think of what the engine sent."""
    with network(offload=not lossy) as made:
        with wiretap.judged(made.peer, made.home.interfaces[INTERFACE].mac, tmp_path):
            yield made
        assert tcp_counters(made.home)["OutRsts"] == 0, "the kernel beside the engine answered"
        seen = tcp_counters(made.peer)
        assert seen["InCsumErrors"] == 0
        # Linux counts a repeated SYN+ACK as an error, and one is due when the third segment gets lost.
        assert lossy or seen["InErrs"] == 0


@pytest.fixture
def engine(net: Network, lossy: bool) -> Iterator[Engine]:
    with engine_in(net.home, lossy=lossy) as running:
        yield running


def url(version: int, path: str) -> str:
    host = OURS[version] if version == 4 else f"[{OURS[version]}]"
    return f"http://{host}{path}"


def curl(*arguments: str) -> list[str]:
    quiet = ["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", str(TRANSFER_S)]
    return [needed("curl"), *quiet, *arguments]


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@versions
def test_curl_fetches_a_file_from_a_consumer(
    net: Network, engine: Engine, lossy: bool, version: int, tmp_path: Path
) -> None:
    """With losses it takes half a minute. What they do is the same in both versions, so one has less."""
    content = text_of(FILE_OCTETS // 5 if lossy and version == 6 else FILE_OCTETS)
    with serving(engine.pool, {"/file": content}):
        net.peer.command(curl("--output", str(tmp_path / "file"), url(version, "/file")))
    assert digest((tmp_path / "file").read_bytes()) == digest(content)
    counters = engine.statistics().host
    assert (counters.established, counters.resets_sent) == (1, 0)


@versions
def test_curl_uploads_a_file_to_a_consumer(
    net: Network, engine: Engine, version: int, tmp_path: Path
) -> None:
    content = text_of(FILE_OCTETS)
    (tmp_path / "file").write_bytes(content)
    with serving(engine.pool, {}) as server:
        upload = curl("--upload-file", str(tmp_path / "file"), "--header", "Expect:", url(version, "/new"))
        net.peer.command(upload)
    assert digest(server.files["/new"]) == digest(content)


@versions
def test_several_curls_fetch_many_files_at_once(
    net: Network, engine: Engine, lossy: bool, version: int, tmp_path: Path
) -> None:
    files = {f"/{number}": text_of(PARALLEL_OCTETS[lossy] + number) for number in range(6)}

    def fetch_all(name: str) -> None:
        parallel = [
            "--http1.0",
            "--parallel",
            "--parallel-immediate",
            "--output-dir",
            str(tmp_path),
            "--create-dirs",
        ]
        wanted = [part for path in files for part in ("--output", f"{name}{path}", url(version, path))]
        net.peer.command(curl(*parallel, *wanted))

    with serving(engine.pool, files, threads=4) as server:
        curls = [Task(fetch_all, name) for name in ("a", "b", "c")]
        for each in curls:
            each.result(60)
    assert sum(server.connections.values()) == len(curls) * len(files)
    for name in ("a", "b", "c"):
        fetched = {path: (tmp_path / f"{name}{path}").read_bytes() for path in files}
        assert fetched == files


@versions
@pytest.mark.parametrize("lossy", [False], indirect=True, ids=["no loss"])
def test_curl_fetches_two_files_over_one_connection(
    net: Network, engine: Engine, version: int, tmp_path: Path
) -> None:
    files = {"/first": text_of(100_000), "/second": text_of(200_000)}
    wanted = [part for path in files for part in ("--output", f"{tmp_path}{path}", url(version, path))]
    with serving(engine.pool, files):
        net.peer.command(curl(*wanted))
    assert {path: Path(f"{tmp_path}{path}").read_bytes() for path in files} == files
    assert engine.statistics().host.established == 1


@pytest.mark.parametrize(
    ("version", "program"),
    [pytest.param(4, "nginx", id="ipv4-nginx"), pytest.param(6, "python", id="ipv6-http.server")],
)
def test_the_engine_fetches_a_file_from_a_web_server(
    net: Network, engine: Engine, version: int, program: str, tmp_path: Path
) -> None:
    content = text_of(FILE_OCTETS)
    (tmp_path / "file").write_bytes(content)
    WEB_SERVERS[program](net.peer, PEERS[version], tmp_path)
    with engine.connect(PEERS[version], 8080, timeout=PATIENCE_S) as connection:
        connection.settimeout(PATIENCE_S)
        fetched = fetch(connection, "/file")
    assert digest(fetched) == digest(content)


def start_nginx(host: Host, address: str, directory: Path) -> None:
    """Serve *directory* on port 8080; it listens on return."""
    where = f"[{address}]" if ":" in address else address
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr notice;\n"
        "events {}\n"
        f"http {{ access_log off; server {{ listen {where}:8080; root {directory}; }} }}\n"
    )
    argv = [needed("nginx"), "-p", str(directory), "-c", str(config), "-e", "stderr"]
    process = host.popen(argv, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert any("event method" in line for line in process.stderr), "nginx does not start"


def start_python(host: Host, address: str, directory: Path) -> None:
    """The same with the standard library's server."""
    argv = [needed("python3"), "-u", "-m", "http.server", "8080", "--protocol", "HTTP/1.1"]
    process = host.popen(
        [*argv, "--bind", address, "--directory", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert "Serving" in process.stdout.readline()


WEB_SERVERS: dict[str, Callable[[Host, str, Path], None]] = {"nginx": start_nginx, "python": start_python}


@pytest.fixture
def engines(lossy: bool, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """Two engines on one cable, and no kernel that has an address."""
    with Lab() as lab, ExitStack() as running:
        homes = lab.host("left"), lab.host("right")
        lab.link(*homes)
        station = homes[0].interfaces[INTERFACE].mac
        running.enter_context(wiretap.judged(homes[1], station, tmp_path))
        left = running.enter_context(engine_in(homes[0], lossy=lossy, addresses=PEER_ADDRESSES))
        right = running.enter_context(engine_in(homes[1]))
        yield left, right
        for home in homes:
            assert tcp_counters(home)["OutRsts"] == 0, "the kernel beside the engine answered"


Ends = tuple[Connection, Connection]


@pytest.fixture
def ends(engines: tuple[Engine, Engine], version: int) -> Iterator[Ends]:
    """A connection between the two engines: the end of the one that opened it, and the claimed one."""
    opener, other = engines
    claim = Task(other.pool.claim, Pattern(local_port=80), PATIENCE_S)
    with opener.connect(OURS[version], 80, timeout=PATIENCE_S) as near, claim.result() as far:
        assert far.four_tuple == near.four_tuple.reversed
        yield near, far


@pytest.mark.parametrize(
    ("version", "towards_opener"),
    [
        pytest.param(4, False, id="ipv4, to the claimed end"),
        pytest.param(6, True, id="ipv6, to the opened end"),
    ],
)
def test_one_engine_sends_another_a_file(ends: Ends, towards_opener: bool) -> None:
    sender, receiver = reversed(ends) if towards_opener else ends
    text = text_of(FILE_OCTETS)
    writer, reader = Task(write_all, sender, text), Task(read_all, receiver)
    writer.result(60)
    assert digest(reader.result(60)) == digest(text)


@versions
def test_two_engines_exchange_files_both_ways_at_once(ends: Ends, engines: tuple[Engine, Engine]) -> None:
    texts = text_of(FILE_OCTETS), text_of(FILE_OCTETS)[::-1]
    readers = [Task(read_all, end) for end in ends]
    writers = [Task(write_all, end, text) for end, text in zip(ends, texts, strict=True)]
    for writer in writers:
        writer.result()
    received = [reader.result() for reader in readers]
    assert [digest(text) for text in received] == [digest(text) for text in reversed(texts)]
    assert [engine.statistics().link.send_failures for engine in engines] == [0, 0]


def write_all(connection: Connection, text: bytes) -> None:
    connection.sendall(text)
    connection.shutdown(socket.SHUT_WR)


def read_all(connection: Connection) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_tshark_finds_a_bad_frame(tmp_path: Path) -> None:
    """Or its silence over the captures would say nothing."""
    needed("tshark")
    key, segment = FourTuple(OURS[4], 80, PEERS[4], 40_000), Segment(1, 2, ACK, 100, payload=b"text")
    ours = bytes.fromhex("020000000200")
    sound = encode_segment(build_ethernet(Ethernet(b"\x02" * 6, ours), IPV4), key, segment)
    frames = [
        sound,
        sound[:-1] + b"T",  # TCP checksum
        sound[:22] + bytes([sound[22] ^ 1]) + sound[23:],  # time to live, and with it the IP checksum
        sound[:16] + (30).to_bytes(2) + sound[18:44],  # an IP packet that ends within the TCP header
    ]
    path = tmp_path / "bad.pcap"
    records = [pack("IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames]
    path.write_bytes(pack("IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1) + b"".join(records))
    verdict = wiretap.judge(path, "02:00:00:00:02:00")
    assert [line.partition(":")[0] for line in verdict.bad] == ["frame 2", "frame 3", "frame 4"]
    assert (verdict.frames, verdict.good) == (4, 2)
