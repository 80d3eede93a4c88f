"""A pool server and its clients on real packets: what each of them gets, and what a death changes."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.live import ADDRESSES, OURS, PATIENCE_S, Task, engine_in, network, tcp_counters, until
from support.sharing import (
    ECHO,
    Raw,
    Scene,
    Started,
    echoes,
    exchanged,
    programs,
    scene,
    sent,
    short_directory,
)
from xsocket import (
    Admission,
    AlreadyClaimedError,
    ClaimPolicy,
    ClaimTimeout,
    FourTuple,
    Pattern,
    PoolAccessError,
    PoolClient,
    PoolClosed,
    PoolServer,
    PoolUnreachableError,
    TcpConfig,
)
from xsocket.segment import SYN, Segment
from xsocket.sharing import protocol
from xsocket.tcp.options import for_syn
from xsocket.wire.codec import encode_segment

pytestmark = pytest.mark.netns

SOON_S = 0.3
"""In which a client has to acknowledge, where a test waits for one that does not."""


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene(ports="80-81") as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[Scene]:
    """One whose server does not wait long for acknowledgements."""
    with scene(acknowledge_s=SOON_S) as made:
        yield made


@pytest.fixture
def client(live: Scene) -> Iterator[PoolClient]:
    with PoolClient(live.path) as made:
        yield made


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Started]:
    with programs(environment) as started:
        yield started


def four_tuple_of(peer: socket.socket) -> FourTuple:
    return FourTuple(*peer.getpeername()[:2], *peer.getsockname()[:2])


# Claims


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_a_claim_gives_a_socket_of_the_kernel(live: Scene, client: PoolClient, version: int) -> None:
    with live.connect(version=version) as peer, client.claim(timeout=PATIENCE_S) as made:
        assert made.type is socket.SOCK_STREAM
        assert made.getsockname()[:2] == (OURS[version], 80)
        assert made.gettimeout() is None
        assert not os.get_inheritable(made.fileno())
        assert exchanged(peer, made, bytes(300_000))
    until(lambda: live.counts().acknowledged == 1)
    assert tcp_counters(live.home)["OutRsts"] == 0


def test_a_claim_waits_for_what_comes_later(live: Scene, client: PoolClient) -> None:
    claim = Task(client.claim, timeout=PATIENCE_S)
    until(lambda: live.counts().waiting_claims == 1)
    with live.connect() as peer, claim.result() as made:
        assert exchanged(peer, made)


def test_what_came_before_the_claim_is_in_the_socket(live: Scene, client: PoolClient) -> None:
    with live.connect() as peer:
        peer.sendall(b"early")
        until(lambda: live.engine.statistics().host.established == 1)
        with client.claim(timeout=PATIENCE_S) as made:
            made.settimeout(PATIENCE_S)
            assert made.recv(100) == b"early"


def test_claims_by_four_tuple_and_by_pattern(live: Scene, client: PoolClient) -> None:
    with live.connect(80) as first, live.connect(80) as second, live.connect(81) as third:
        wanted = [
            (four_tuple_of(second), second),
            (Pattern(local_port=81, remote="10.0.0.0/24"), third),
            (None, first),
        ]
        for each, peer in wanted:
            with client.claim(each, timeout=PATIENCE_S) as made:
                assert exchanged(peer, made)


def test_claims_raise_what_those_of_the_pool_raise(live: Scene, client: PoolClient) -> None:
    with pytest.raises(ClaimTimeout, match="Pattern"):
        client.claim(Pattern(local_port=81), timeout=0)
    with pytest.raises(ClaimTimeout):
        client.claim(timeout=0.05)
    with pytest.raises(ValueError, match="non-negative"):
        client.claim(timeout=-1)
    with pytest.raises(TypeError):
        client.claim("80")  # type: ignore[arg-type]
    with (
        live.connect() as peer,
        live.engine.pool.claim(timeout=PATIENCE_S),
        pytest.raises(AlreadyClaimedError),
    ):
        client.claim(four_tuple_of(peer))
    assert live.counts().clients == 1


def test_an_asyncio_claim(live: Scene, client: PoolClient) -> None:
    async def talk() -> bytes:
        claim = asyncio.create_task(client.claim_async(timeout=PATIENCE_S))
        await asyncio.to_thread(until, lambda: live.counts().waiting_claims == 1)
        peer = await asyncio.to_thread(live.connect)
        made = await claim
        assert made.gettimeout() == 0
        with peer, made:
            await asyncio.get_running_loop().sock_sendall(made, b"hello")
            return await asyncio.to_thread(peer.recv, 100)

    assert asyncio.run(talk()) == b"hello"


def test_a_cancelled_claim_takes_nothing_along(live: Scene, client: PoolClient) -> None:
    async def give_up() -> None:
        claim = asyncio.create_task(client.claim_async())
        await asyncio.to_thread(until, lambda: live.counts().waiting_claims == 1)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim

    asyncio.run(give_up())
    until(lambda: live.counts().withdrawn == 1)
    with live.connect() as peer, client.claim(timeout=PATIENCE_S) as made:
        assert exchanged(peer, made)


def test_an_interrupted_claim_takes_nothing_along(live: Scene, start: Started) -> None:
    worker = start(ECHO, live.path)
    until(lambda: live.counts().waiting_claims == 1)
    worker.send_signal(signal.SIGINT)
    until(lambda: live.counts().withdrawn == 1)
    assert live.serves_another()


def test_threads_share_a_client(live: Scene, client: PoolClient) -> None:
    waiting = [Task(client.claim, timeout=PATIENCE_S) for _ in range(8)]
    until(lambda: live.counts().waiting_claims == 8)
    peers = [live.connect() for _ in range(8)]
    made = {each.getpeername()[:2]: each for each in (task.result() for task in waiting)}
    assert all(exchanged(peer, made[peer.getsockname()[:2]]) for peer in peers)
    assert live.counts().clients == 8
    for _ in range(8):  # their channels are kept for the next
        with live.connect() as peer, client.claim(timeout=PATIENCE_S) as again:
            assert exchanged(peer, again)
    assert live.counts().connected == 8
    for each in (*peers, *made.values()):
        each.close()


def test_a_child_shares_no_channel_with_its_parent(live: Scene, start: Started) -> None:
    program = """
import os, sys, xsocket
with xsocket.PoolClient(sys.argv[1]) as client:
    client.claim().close()
    if os.fork() == 0:
        client.claim().close()
        os._exit(0)
    os.wait()
    client.claim().close()
print("done", flush=True)
"""
    peers = [live.connect() for _ in range(3)]
    assert start(program, live.path).stdout.readline() == "done\n"  # type: ignore[union-attr]
    until(lambda: live.counts().acknowledged == 3)
    for peer in peers:
        peer.close()


def test_the_server_need_not_be_in_the_namespace_of_the_engine(live: Scene, client: PoolClient) -> None:
    """Its thread is in that of the tests; sockets are made in the engine's, whoever looks meanwhile."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            live.engine.statistics()

    looking = Task(look)
    for _ in range(20):
        with live.connect() as peer, client.claim(timeout=PATIENCE_S) as made:
            assert exchanged(peer, made)
    over.set()
    looking.result()


def test_no_descriptor_is_left(live: Scene) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    assert live.serves_another()  # by now everything is there that stays
    until(lambda: live.counts().clients == 0)
    before = descriptors()
    for _ in range(50):
        assert live.serves_another()
        with Raw(live.path) as raw, live.connect() as peer:
            raw.ask(protocol.Claim())
            raw.claimed().close()
            raw.channel.close()
            assert live.serves(peer)
    until(lambda: live.counts().clients == 0)
    assert descriptors() == before


# Looking on


def test_list_and_statistics(live: Scene, client: PoolClient) -> None:
    with live.connect(80) as first, live.connect(81) as second:
        live.engine.pool.wait_for(2, PATIENCE_S)
        assert client.list() == (four_tuple_of(first), four_tuple_of(second))
        counted = client.statistics()
        assert (counted.pool.put, counted.server.clients, counted.handoff.handed_over) == (2, 1, 0)


def test_a_long_list(live: Scene, client: PoolClient) -> None:
    peers = [live.connect() for _ in range(3 * protocol.LISTED + 1)]
    live.engine.pool.wait_for(len(peers), PATIENCE_S)
    assert client.list() == tuple(four_tuple_of(peer) for peer in peers)
    for peer in peers:
        peer.close()


def test_watching(live: Scene, client: PoolClient) -> None:
    with client.watch() as watch, live.connect() as peer:
        with client.claim(timeout=PATIENCE_S):
            pass
        names = []
        while names[-1:] != ["acknowledged"]:
            happening = next(watch)
            names.append(happening.event)
            assert happening.four_tuple in (None, four_tuple_of(peer))
        assert [name for name in names if name != "connected"] == [
            "put",
            "claim",
            "claimed",
            "sent",
            "acknowledged",
        ]
    until(lambda: live.counts().watchers == 0)


# Deaths


def test_a_client_killed_while_it_waits_loses_nothing(live: Scene, start: Started) -> None:
    first = start(ECHO, live.path)
    until(lambda: live.counts().waiting_claims == 1)
    second = start(ECHO, live.path)
    until(lambda: live.counts().waiting_claims == 2)
    first.kill()
    until(lambda: live.counts().withdrawn == 1)
    with live.connect() as peer:
        assert second.stdout.readline() == "claimed\n"  # type: ignore[union-attr]
        assert echoes(peer)


def test_a_client_killed_before_it_acknowledged_has_nothing(live: Scene, start: Started) -> None:
    first = start(ECHO, live.path)
    until(lambda: live.counts().waiting_claims == 1)
    first.send_signal(signal.SIGSTOP)
    with live.connect() as peer:
        until(lambda: live.counts().unacknowledged == 1)
        peer.sendall(b"early")
        start(ECHO, live.path)
        until(lambda: live.counts().waiting_claims == 1)
        first.kill()
        assert peer.recv(5, socket.MSG_WAITALL) == b"early"
        assert echoes(peer)
        until(lambda: live.counts().acknowledged == 1)
        assert (live.counts().returned, live.counts().reset) == (1, 0)
        assert tcp_counters(live.home)["OutRsts"] == 0


READ_WITHOUT_ACKNOWLEDGING = """
import array, socket, sys
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
channel.connect(sys.argv[1])
channel.send(b'{"ask":"claim"}')
_, ancillary, _, _ = channel.recvmsg(4096, socket.CMSG_SPACE(4))
connection = socket.socket(fileno=array.array("i", ancillary[0][2])[0])
print(connection.recv(1).decode(), flush=True)
sys.stdin.read()
"""


def test_a_client_killed_after_it_read_and_before_it_acknowledged(live: Scene, start: Started) -> None:
    with live.connect() as peer:
        peer.sendall(b"first")
        reader = start(READ_WITHOUT_ACKNOWLEDGING, live.path)
        assert reader.stdout.readline() == "f\n"  # type: ignore[union-attr]
        reader.kill()
        with pytest.raises(ConnectionResetError):
            peer.recv(100)
    until(lambda: (live.counts().returned, live.counts().reset) == (0, 1))
    assert live.serves_another()


def test_a_worker_killed_after_that_dies_its_own_death(live: Scene, start: Started) -> None:
    worker = start(ECHO, live.path)
    with live.connect() as peer:
        assert echoes(peer)
        worker.kill()
        assert peer.recv(100) == b""
    assert (live.counts().returned, live.counts().reset) == (0, 0)
    assert live.serves_another()


def test_a_stopped_client_never_has_what_another_got(hasty: Scene, start: Started) -> None:
    stopped = start(ECHO, hasty.path)
    until(lambda: hasty.counts().waiting_claims == 1)
    stopped.send_signal(signal.SIGSTOP)
    with (
        hasty.connect() as peer,
        PoolClient(hasty.path) as client,
        client.claim(timeout=PATIENCE_S) as made,
    ):
        assert hasty.counts().late == 1
        assert exchanged(peer, made)
        stopped.send_signal(signal.SIGCONT)
        until(lambda: hasty.counts().waiting_claims == 1)  # it was told, and claims again
        assert exchanged(peer, made)
        with hasty.connect() as next_peer:
            assert echoes(next_peer)
    assert tcp_counters(hasty.home)["OutRsts"] == 0


def test_a_late_acknowledgement_fails(hasty: Scene) -> None:
    with hasty.connect(), Raw(hasty.path) as raw:
        raw.ask(protocol.Claim())
        with raw.claimed() as made:
            until(lambda: hasty.counts().returned == 1)
            with pytest.raises(OSError, match=r"pipe|reset"):
                raw.ask(protocol.Acknowledge())
            with pytest.raises(OSError, match=r"abort|not connected"):
                made.send(b"mine?")


def test_a_connection_that_was_used_is_nobodys(hasty: Scene) -> None:
    with hasty.connect() as peer, Raw(hasty.path) as raw:
        raw.ask(protocol.Claim())
        with raw.claimed() as made:
            made.sendall(b"mine!")
            assert peer.recv(100) == b"mine!"
            with pytest.raises(ConnectionResetError):
                peer.recv(100)
            until(lambda: hasty.counts().reset == 1)
            with pytest.raises(OSError, match=r"reset|abort|not connected|pipe"):
                made.send(b"mine?")


def test_a_withdrawn_claim(live: Scene) -> None:
    with Raw(live.path) as raw:
        raw.ask(protocol.Claim())
        until(lambda: live.counts().waiting_claims == 1)
        raw.ask(protocol.Withdraw())
        assert raw.hear() == (protocol.Withdrawn(), None)
        with live.connect() as peer:
            raw.ask(protocol.Claim())
            with raw.claimed():
                raw.ask(protocol.Withdraw())
                assert raw.hear() == (protocol.Withdrawn(), None)
            assert live.serves(peer)
    assert (live.counts().withdrawn, live.counts().returned) == (1, 1)


FAST = TcpConfig(fastopen=0x202, fastopen_qlen=10)
"""As a server, without asking for a cookie."""
NOBODY = FourTuple("10.0.0.2", 80, "10.0.0.77", 40000)


def test_a_timeout_is_kept_although_a_handshake_never_ends() -> None:
    """With Fast Open a connection may be in the pool before its third segment, which the kernel needs."""
    syn = Segment(1000, 0, SYN, 65_535, for_syn(1460, None, False, None) + b"\x22\x02\1\1", b"hello")
    with scene(config=FAST) as fast, PoolClient(fast.path) as client:
        kinds = socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
        with fast.peer.run(socket.socket, *kinds) as raw:
            raw.sendto(encode_segment(b"", NOBODY.reversed, syn), ("10.0.0.2", 0))
        fast.engine.pool.wait_for(1, PATIENCE_S)
        with pytest.raises(ClaimTimeout, match="not established"):
            client.claim(NOBODY, timeout=0.2)
        with pytest.raises(ClaimTimeout, match="not established"):
            client.claim(timeout=0)
        assert list(fast.engine.pool) == [NOBODY]
        with fast.engine.pool.claim(timeout=0) as connection:
            assert connection.gettimeout() is None
            assert connection.recv(100) == b"hello"


# The server's end


def test_claims_end_when_the_server_stops(live: Scene, client: PoolClient) -> None:
    claim = Task(client.claim)
    until(lambda: live.counts().waiting_claims == 1)
    live.server.stop()
    with pytest.raises(PoolClosed):
        claim.result()
    assert not live.path.exists()
    with PoolClient(live.path) as another, pytest.raises(PoolUnreachableError):
        another.claim()


def test_claims_that_have_just_come_when_the_server_stops_are_counted(live: Scene) -> None:
    crowd = [Raw(live.path) for _ in range(50)]
    for raw in crowd:
        raw.ask(protocol.Claim())
    live.server.stop()
    counts = live.counts()
    assert (counts.waiting_claims, counts.clients) == (0, 0)
    assert counts.claim == counts.withdrawn
    for raw in crowd:
        raw.channel.close()


def test_claims_end_when_the_engine_stops(live: Scene, client: PoolClient) -> None:
    claim = Task(client.claim)
    until(lambda: live.counts().waiting_claims == 1)
    live.engine.stop()
    with pytest.raises(PoolClosed):
        claim.result()
    with pytest.raises(PoolClosed):
        client.claim()


def test_a_claim_ends_when_its_client_is_closed(live: Scene) -> None:
    client = PoolClient(live.path)
    claim = Task(client.claim)
    until(lambda: live.counts().waiting_claims == 1)
    client.close()
    with pytest.raises(PoolClosed):
        claim.result()
    with pytest.raises(PoolClosed):
        client.claim()


def test_a_server_that_stops_lets_clients_acknowledge(live: Scene) -> None:
    with live.connect() as peer, Raw(live.path) as raw:
        raw.ask(protocol.Claim())
        with raw.claimed() as made:
            stopping = Task(live.server.stop)
            until(lambda: not live.path.exists())
            raw.ask(protocol.Acknowledge())
            stopping.result()
            assert exchanged(peer, made)
    assert (live.counts().acknowledged, live.counts().returned) == (1, 0)


def test_a_client_claims_of_the_next_server_at_the_same_path(live: Scene, client: PoolClient) -> None:
    with live.connect() as peer, client.claim(timeout=PATIENCE_S) as made:
        assert exchanged(peer, made)
    live.server.stop()
    with PoolServer(live.engine, live.path):
        assert live.serves_another()
        with live.connect() as peer, client.claim(timeout=PATIENCE_S) as made:
            assert exchanged(peer, made)


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_the_next_engine_leaves_connections_of_the_last_alone(version: int) -> None:
    with network(shared=True) as (_, peer, home), short_directory() as place, ExitStack() as stack:
        options = {"addresses": ADDRESSES, "admission": Admission(ports=80)}
        with engine_in(home, **options) as first, PoolServer(first, place / "pool.sock") as server:
            before = Scene(peer, home, first, server)
            with PoolClient(before.path) as client:
                ends = [
                    (
                        stack.enter_context(before.connect(version=version)),
                        stack.enter_context(client.claim()),
                    )
                    for _ in range(3)
                ]
        _, half_closed = ends[0]
        half_closed.shutdown(socket.SHUT_WR)
        with engine_in(home, **options) as second, PoolServer(second, place / "pool.sock") as server:
            assert second.statistics().handoff.in_kernel == 3
            assert all(exchanged(far, near, bytes(100_000)) for far, near in ends[1:])
            assert sent(ends[0][0], half_closed, b"to the end") == b"to the end"
            assert Scene(peer, home, second, server).serves_another()
            for far, near in ends:
                near.close()
                far.close()
            until(lambda: second.statistics().handoff.in_kernel == 0)
            assert second.statistics().host.resets_sent == 0


# Limits


def test_a_full_pool_is_served_as_soon_as_there_is_a_claim() -> None:
    config = TcpConfig(pool_capacity=4, pool_policy="refuse")
    with scene(config=config) as full:
        peers = [full.connect() for _ in range(4)]
        full.engine.pool.wait_for(4, PATIENCE_S)
        with pytest.raises(ConnectionError):
            full.connect().recv(1)
        assert all(full.serves(peer) for peer in peers)
        assert full.serves_another()
        for peer in peers:
            peer.close()


def test_policy_narrows_open_claims_and_refuses_others() -> None:
    policy = ClaimPolicy(users={os.geteuid(): Pattern(local_port=81)})
    with scene(ports="80-81", policy=policy) as strict, PoolClient(strict.path) as client:
        with strict.connect(80) as forbidden, strict.connect(81) as allowed:
            strict.engine.pool.wait_for(2, PATIENCE_S)
            assert client.list() == (four_tuple_of(allowed),)
            for wanted in (four_tuple_of(forbidden), Pattern(local_port="80")):
                with pytest.raises(PoolAccessError):
                    client.claim(wanted)
            with client.claim(timeout=PATIENCE_S) as made:
                assert exchanged(allowed, made)
            with pytest.raises(ClaimTimeout):
                client.claim(Pattern(remote="10.0.0.0/24"), timeout=0)
        assert strict.counts().forbidden == 2


def test_clients_whose_policy_changes_have_to_leave(live: Scene, client: PoolClient) -> None:
    claim = Task(client.claim)
    until(lambda: live.counts().waiting_claims == 1)
    live.server.set_policy(ClaimPolicy(users={os.geteuid(): Pattern(local_port=81)}))
    with pytest.raises(PoolAccessError, match="changed"):
        claim.result()
    with pytest.raises(PoolAccessError):
        client.claim(Pattern(local_port=80))


def test_no_more_clients_than_allowed() -> None:
    with scene(max_clients=2) as small, Raw(small.path), Raw(small.path) as second:
        until(lambda: small.counts().clients == 2)
        with Raw(small.path) as third:
            assert third.refused() == "PoolBusyError"
        second.channel.close()
        until(lambda: small.counts().clients == 1)
        assert small.serves_another()
        assert small.counts().refused_limit == 1


def test_a_client_that_does_not_read_holds_nobody_up(live: Scene) -> None:
    question = protocol.encode_request(protocol.AskStatistics())
    with Raw(live.path) as deaf, live.connect() as peer:
        deaf.channel.setblocking(False)
        with suppress(BlockingIOError, ConnectionError):
            while True:
                deaf.say(question)
        assert live.serves(peer)


def test_many_claims_at_once_are_each_served(live: Scene) -> None:
    served: list[socket.socket] = []

    def work(client: PoolClient) -> None:
        for _ in range(25):
            served.append(client.claim(timeout=PATIENCE_S))

    with PoolClient(live.path) as client:
        workers = [threading.Thread(target=work, args=(client,)) for _ in range(8)]
        for worker in workers:
            worker.start()
        peers = [live.connect() for _ in range(200)]
        for worker in workers:
            worker.join(PATIENCE_S)
    made = {each.getpeername()[:2]: each for each in served}
    assert sorted(made) == sorted(peer.getsockname()[:2] for peer in peers)
    assert all(exchanged(peer, made[peer.getsockname()[:2]]) for peer in peers)
    for each in (*peers, *served):
        each.close()


def test_who_was_served_hears_that_the_server_has_ended(live: Scene, client: PoolClient) -> None:
    """Between two claims, when nothing of its is under way: a worker ends then, and reports no error."""
    with live.connect() as peer, client.claim(timeout=PATIENCE_S) as made:
        assert exchanged(peer, made)
    live.server.stop()
    with pytest.raises(PoolClosed):
        client.claim(timeout=PATIENCE_S)
