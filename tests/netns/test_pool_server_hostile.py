"""A pool server among users who may not, clients that talk nonsense, and without descriptors."""

import os
import resource
import socket
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.live import ADDRESSES, INTERFACE, PATIENCE_S, network, until
from support.sharing import Raw, Scene, exchanged, scene, short_directory
from xsocket import ClaimPolicy, Pattern, PoolBusyError, PoolClient
from xsocket.sharing import protocol
from xsocket.sharing.session import NONSENSE_A_MINUTE

pytestmark = pytest.mark.netns

ORDINARY_USER = 12345
MALFORMED = 1_000_000
Run = Callable[..., "subprocess.CompletedProcess[str]"]

CLAIM = """
import sys, xsocket
try:
    with xsocket.PoolClient(sys.argv[1]) as client, client.claim(timeout=20) as made:
        print("port", made.getsockname()[1])
except xsocket.XsocketError as error:
    print(type(error).__name__)
"""

# Sends malformed requests, on as many connections as that takes; reads no answer.
PESTER = """
import random, socket, sys
path, left = sys.argv[1], int(sys.argv[3])
random.seed(int(sys.argv[2]))
nonsense = [random.randbytes(size) for size in (1, 20, 200, 4000) for _ in range(100)] + [bytes(5000)]
while left:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(path)
        try:
            while left:
                left -= 1
                channel.send(random.choice(nonsense))
        except OSError:  # the server has had enough
            pass
"""


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene() as made:
        yield made


@contextmanager
def reachable(**options: Any) -> Iterator[Scene]:  # noqa: ANN401
    """A server in a directory that everybody may enter."""
    with scene(ports="80-81", **options) as made:
        made.path.parent.chmod(0o711)
        yield made


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Let nothing in this process get one more descriptor."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Users


def test_another_user_cannot_connect(as_ordinary_user: Run) -> None:
    with reachable() as made:
        assert as_ordinary_user("-c", CLAIM, str(made.path)).stdout == "PoolAccessError\n"
        assert made.counts().connected == 0
        assert made.serves_another()


def test_permissions_alone_let_nobody_claim(as_ordinary_user: Run) -> None:
    with reachable(mode=0o666) as made:
        assert as_ordinary_user("-c", CLAIM, str(made.path)).stdout == "PoolAccessError\n"
        assert made.counts().refused_user == 1
        assert made.serves_another()


def test_a_member_of_the_group_may_claim(as_ordinary_user: Run) -> None:
    with reachable(mode=0o660, group=ORDINARY_USER) as made, made.connect():
        assert as_ordinary_user("-c", CLAIM, str(made.path)).stdout == "port 80\n"


def test_a_user_gets_what_the_policy_allows_and_nothing_else(as_ordinary_user: Run) -> None:
    policy = ClaimPolicy(users={ORDINARY_USER: Pattern(local_port=81)})
    with reachable(mode=0o666, policy=policy) as made, made.connect(80), made.connect(81):
        made.engine.pool.wait_for(2, PATIENCE_S)
        assert as_ordinary_user("-c", CLAIM, str(made.path)).stdout == "port 81\n"
        exactly = CLAIM.replace("claim(", "claim(xsocket.Pattern(local_port=80), ")
        assert as_ordinary_user("-c", exactly, str(made.path)).stdout == "PoolAccessError\n"
        assert len(made.engine.pool) == 1


# Nonsense


def test_a_million_malformed_requests_do_not_stop_the_server(live: Scene) -> None:
    command = [sys.executable, "-c", PESTER, str(live.path)]
    pests = [subprocess.Popen([*command, str(seed), str(MALFORMED // 2)]) for seed in (1, 2)]
    served = 0
    while any(pest.poll() is None for pest in pests):
        assert live.serves_another()
        served += 1
    assert [pest.returncode for pest in pests] == [0, 0]
    assert served > 0
    assert live.serves_another()
    until(lambda: live.counts().clients == 0)
    counts = live.counts()
    assert counts.malformed > MALFORMED // 50  # the others were sent when the server had had enough
    assert counts.oversized > 0
    assert counts.malformed <= (NONSENSE_A_MINUTE + 1) * counts.connected
    assert counts.acknowledged == served + 1


def test_a_client_that_talks_nonsense_is_told_and_then_disconnected(live: Scene) -> None:
    with Raw(live.path) as raw:
        for _ in range(NONSENSE_A_MINUTE):
            raw.say(b"nonsense")
            assert raw.refused() == "PoolProtocolError"
        raw.say(b"nonsense")
        assert raw.refused() == "PoolProtocolError"
        assert raw.ended()
    assert (live.counts().expelled, live.counts().malformed) == (1, NONSENSE_A_MINUTE + 1)


@pytest.mark.parametrize("octets", [protocol.MOST_OCTETS + 1, 100_000])
def test_an_oversized_request_ends_its_client(live: Scene, octets: int) -> None:
    with Raw(live.path) as raw:
        raw.say(b'{"ask":"claim"}'.ljust(octets))
        assert raw.refused() == "PoolProtocolError"
        assert raw.ended()
    assert live.counts().oversized == 1
    assert live.serves_another()


def test_the_largest_request_is_served(live: Scene) -> None:
    with live.connect() as peer, Raw(live.path) as raw:
        raw.say(b'{"ask":"claim"}'.ljust(protocol.MOST_OCTETS))
        with raw.claimed() as made:
            raw.ask(protocol.Acknowledge())
            assert exchanged(peer, made)


def test_one_claim_at_a_time(live: Scene) -> None:
    with live.connect() as peer, Raw(live.path) as raw:
        raw.ask(protocol.Claim(Pattern(remote_port=1)))
        for request in (protocol.Claim(), protocol.List(), protocol.Watch()):
            raw.ask(request)
            assert raw.refused() == "PoolProtocolError"
        assert live.serves(peer)


def test_there_may_be_nothing_to_acknowledge(live: Scene) -> None:
    with Raw(live.path) as raw:
        raw.ask(protocol.Acknowledge())
        assert raw.refused() == "PoolProtocolError"


def test_descriptors_that_a_client_sends_stay_nowhere(live: Scene) -> None:
    with Raw(live.path) as raw:
        raw.ask(protocol.AskStatistics())
        raw.hear()
        before = open_descriptors()
        gift = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]))]
        for _ in range(50):
            raw.channel.sendmsg([protocol.encode_request(protocol.AskStatistics())], gift)
            raw.hear()
        assert open_descriptors() == before


# Descriptors


def test_clients_wait_while_there_is_no_descriptor(live: Scene) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        with without_descriptors():
            channel.connect(os.fspath(live.path))
            until(lambda: live.counts().accept_paused >= 2)
            assert live.counts().connected == 0
        channel.send(protocol.encode_request(protocol.AskStatistics()))
        channel.settimeout(PATIENCE_S)
        assert isinstance(protocol.parse_answer(channel.recv(4096)), protocol.Statistics)
    assert live.counts().accept_paused < 10
    assert live.serves_another()


def test_a_claim_without_a_descriptor_gives_its_connection_back(live: Scene) -> None:
    with PoolClient(live.path) as client, live.connect() as peer:
        client.list()
        live.engine.pool.wait_for(1, PATIENCE_S)
        with without_descriptors(), pytest.raises(PoolBusyError, match="descriptor"):
            client.claim(timeout=PATIENCE_S)
        assert len(live.engine.pool) == 1
        assert live.counts().kept == 1
        assert live.serves(peer)


def test_a_client_without_a_descriptor_does_not_get_the_connection(live: Scene) -> None:
    program = """
import resource, sys, xsocket
with xsocket.PoolClient(sys.argv[1]) as client:
    client.list()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    try:
        client.claim(timeout=20)
    except OSError as error:
        print(error.errno)
"""
    with live.connect() as peer:
        argv = [sys.executable, "-c", program, str(live.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "24\n"
        assert live.serves(peer)
    assert live.counts().returned == 1


SERVER = """
import json, resource, sys, xsocket
interface, path, *addresses = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
admission = xsocket.Admission(ports=80)
with xsocket.Engine(interface, addresses, admission=admission) as engine:
    with xsocket.PoolServer(engine, path) as server:
        print("ready", flush=True)
        sys.stdin.read()
        print(json.dumps(server.statistics().server._asdict()))
"""


def test_a_server_with_64_descriptors(environment: dict[str, str]) -> None:
    import json

    with short_directory() as directory, network(shared=True) as (_, peer, home), ExitStack() as stack:
        path = directory / "pool.sock"
        argv = [sys.executable, "-W", "error", "-c", SERVER, INTERFACE, str(path), *ADDRESSES]
        server = home.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        crowd = [stack.enter_context(Raw(path)) for _ in range(100)]
        admitted = [raw for raw in crowd if is_admitted(raw)]
        assert 20 < len(admitted) < 60
        with peer.enter():
            peers = [
                stack.enter_context(socket.create_connection(("10.0.0.2", 80), PATIENCE_S)) for _ in range(20)
            ]
        got: list[socket.socket] = []
        refused = 0
        for raw in admitted[:20]:  # nobody acknowledges, so that each holds a descriptor
            raw.ask(protocol.Claim())
            answer, made = raw.hear()
            if made is None:
                assert isinstance(answer, protocol.Refused)
                assert answer.name == "PoolBusyError"
                refused += 1
            else:
                got.append(stack.enter_context(made))
        assert got
        assert refused
        for made in got:
            made.close()
        for raw in crowd:
            raw.channel.close()
        with PoolClient(path) as client:
            served = {}
            for _ in peers:
                made = stack.enter_context(client.claim(timeout=PATIENCE_S))
                served[made.getpeername()] = made
        assert all(exchanged(each, served[each.getsockname()]) for each in peers)
        output, _ = server.communicate(timeout=PATIENCE_S)
        assert server.returncode == 0
        counts = json.loads(output)
        assert counts["refused_descriptor"] + counts["accept_paused"] > 0
        assert (counts["kept"], counts["acknowledged"], counts["reset"]) == (refused, len(peers), 0)


def is_admitted(raw: Raw) -> bool:
    """Return whether the server talks to a client."""
    try:
        raw.ask(protocol.List())
    except OSError:
        return False
    try:
        answer, _ = raw.hear()
    except ConnectionError:
        return False
    return isinstance(answer, protocol.Listing)
