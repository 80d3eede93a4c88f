"""A client in front of servers that hang, lie, or go away."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.live import PATIENCE_S, Task
from support.sharing import short_directory
from xsocket.errors import (
    ClaimTimeout,
    PoolBusyError,
    PoolClosed,
    PoolProtocolError,
    PoolUnreachableError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.sharing import protocol
from xsocket.sharing.client import GRACE_S, PoolClient

TIMEOUT_S = 0.2
KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40000)


@pytest.fixture
def path() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "pool.sock"


@pytest.fixture
def client(path: Path) -> Iterator[PoolClient]:
    with PoolClient(path) as made:
        yield made


@contextmanager
def listening(path: Path, backlog: int = 10) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(os.fspath(path))
        listener.listen(backlog)
        listener.settimeout(PATIENCE_S)
        yield listener


@contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[None]:
    """Be a server that takes one client, answers each request with the next of *answers*, and goes away."""

    def serve() -> None:
        with listener, listener.accept()[0] as channel:
            for answer in answers:
                channel.recv(4096)
                channel.send(answer)

    with listening(path) as listener:
        serving = Task(serve)
        yield
        serving.result()


def encoded(answer: protocol.Answer) -> bytes:
    return protocol.encode_answer(answer)


# Servers that hang


def claim_in_thread(client: PoolClient) -> socket.socket:
    return client.claim(timeout=TIMEOUT_S)


def claim_in_task(client: PoolClient) -> socket.socket:
    return asyncio.run(client.claim_async(timeout=TIMEOUT_S))


claims = pytest.mark.parametrize("claim", [claim_in_thread, claim_in_task], ids=["in a thread", "in a task"])
Claim = Callable[[PoolClient], socket.socket]


@claims
def test_a_timeout_is_kept_although_the_server_hangs(path: Path, client: PoolClient, claim: Claim) -> None:
    with listening(path):
        began = time.monotonic()
        with pytest.raises(ClaimTimeout, match="says nothing"):
            claim(client)
        assert TIMEOUT_S <= time.monotonic() - began < TIMEOUT_S + GRACE_S + 1


@claims
def test_a_timeout_is_kept_although_the_server_accepts_nobody(
    path: Path, client: PoolClient, claim: Claim
) -> None:
    with listening(path, backlog=0), ExitStack() as stack:
        crowd = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        crowd.connect(os.fspath(path))
        with pytest.raises(ClaimTimeout):
            claim(client)


@claims
def test_a_server_that_accepts_late_is_waited_for(path: Path, client: PoolClient, claim: Claim) -> None:
    with listening(path, backlog=0) as listener, ExitStack() as stack:
        crowd = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        crowd.connect(os.fspath(path))
        claiming = Task(claim, client)
        for _ in range(2):
            channel = stack.enter_context(listener.accept()[0])
        channel.send(encoded(protocol.Refused("AlreadyClaimedError", "taken")))
        with pytest.raises(XsocketError, match="taken"):
            claiming.result()


# Servers that are not there, or go away


@claims
def test_without_a_server(path: Path, client: PoolClient, claim: Claim) -> None:
    with pytest.raises(PoolUnreachableError, match="No such file"):
        claim(client)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(os.fspath(path))
    with pytest.raises(PoolUnreachableError, match="refused"):
        claim(client)


@claims
def test_a_server_that_goes_away(path: Path, client: PoolClient, claim: Claim) -> None:
    with answering(path), pytest.raises(PoolClosed, match="gone"):
        claim(client)


@claims
def test_a_server_that_refuses_at_once_says_why(path: Path, client: PoolClient, claim: Claim) -> None:
    def refuse() -> None:
        with listener.accept()[0] as channel:
            channel.send(encoded(protocol.Refused("PoolBusyError", "too many clients")))

    with listening(path) as listener:
        refusing = Task(refuse)
        with pytest.raises(PoolBusyError, match="too many"):
            claim(client)
        refusing.result()


# Servers that lie

LIES = [
    pytest.param(b"\x00", PoolProtocolError, id="noise"),
    pytest.param(b"{" * 5000, PoolProtocolError, id="too long"),
    pytest.param(encoded(protocol.Listing((), more=False)), PoolProtocolError, id="another answer"),
    pytest.param(encoded(protocol.Withdrawn()), PoolProtocolError, id="withdrawn"),
    pytest.param(encoded(protocol.Given(KEY)), OSError, id="no descriptor"),
]


@claims
@pytest.mark.parametrize(("answer", "error"), LIES)
def test_what_is_no_answer_ends_the_claim(
    path: Path, client: PoolClient, claim: Claim, answer: bytes, error: type[Exception]
) -> None:
    with answering(path, answer), pytest.raises(error):
        claim(client)


def test_a_listing_that_never_ends_is_given_up(path: Path, client: PoolClient) -> None:
    with answering(path, encoded(protocol.Listing((KEY,), more=True))), pytest.raises(PoolClosed):
        client.list()


# Cancellation


def test_a_cancelled_claim_leaves_its_server(path: Path, client: PoolClient) -> None:
    async def give_up() -> bytes:
        claim = asyncio.create_task(client.claim_async())
        channel, _ = await asyncio.to_thread(listener.accept)
        with channel:
            await asyncio.to_thread(channel.recv, 4096)
            claim.cancel()
            with pytest.raises(asyncio.CancelledError):
                await claim
            return await asyncio.to_thread(channel.recv, 4096)

    with listening(path) as listener:
        assert asyncio.run(give_up()) == b""


def test_a_closed_client_claims_nothing(path: Path) -> None:
    client = PoolClient(path)
    client.close()
    client.close()
    with pytest.raises(PoolClosed, match="this client"):
        client.claim()
