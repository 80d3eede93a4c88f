"""Each middlebox between two kernels: what the kernels themselves say of it."""

import socket
from contextlib import ExitStack

import pytest

from support.kernels import PORT, info, kernels, listening, talk
from support.live import OURS, PATIENCE_S, PEER_ADDRESSES, PEERS, Task, engine_in, linux_counters, text_of
from xsocket import Connection
from xsocket_netns import Lab
from xsocket_tools.path import (
    ClampMss,
    ForgetfulFirewall,
    Impair,
    InjectReset,
    Nat,
    Path,
    RewriteSequence,
    Stranger,
    StripOptions,
    SynProxy,
)

pytestmark = pytest.mark.netns

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
TEXT = text_of(100_000)
LONG_TEXT = text_of(800_000)
LOSSY = {"loss": 0.02, "delay_s": 0.001, "seed": 1}
USER_TIMEOUT_MS = 300


def read_exactly(connection: Connection, octets: int) -> bytes:
    text = bytearray()
    while len(text) < octets and (part := connection.recv(65_536)):
        text += part
    return bytes(text)


def read_all(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(65_536), b""))


def connect_and_read() -> bytes:
    """Either call may be the one that hears of a reset on the heels of the SYN+ACK."""
    with socket.create_connection((OURS[4], PORT), PATIENCE_S) as connection:
        return read_all(connection)


@pytest.mark.parametrize(
    ("stripped", "left_over"),
    [
        ("timestamps", {"sack", "wscale"}),
        ("sack", {"timestamps", "wscale"}),
        ("wscale", {"timestamps", "sack"}),
        ("all", set()),
    ],
)
def test_options_are_stripped(stripped: str, left_over: set[str]) -> None:
    with kernels(StripOptions(stripped)) as between, talk(between) as ends:
        assert info(ends.client).options == info(ends.server).options == left_over
        assert ends.carry(TEXT) == TEXT


@VERSIONS
def test_the_mss_is_clamped(version: int) -> None:
    with kernels(ClampMss(536)) as between, talk(between, version) as ends:
        assert info(ends.client).snd_mss == info(ends.server).snd_mss == 524
        assert ends.carry(TEXT) == TEXT


@VERSIONS
def test_sack_works_through_a_box_that_moves_sequence_numbers(version: int) -> None:
    rewrite = RewriteSequence(seed=1)
    with kernels(rewrite, Impair(**LOSSY)) as between, talk(between, version) as ends:
        assert ends.carry(LONG_TEXT) == LONG_TEXT
        assert rewrite.counts()["blocks"] > 0
        counters = linux_counters(between.client)
        assert counters["TCPSackRecovery"] > 0
        assert counters["TCPSACKDiscard"] == 0


def test_sack_does_not_where_its_blocks_are_forgotten() -> None:
    with kernels(RewriteSequence(seed=1, sack=False), Impair(**LOSSY)) as between, talk(between) as ends:
        assert ends.carry(TEXT) == TEXT
        assert linux_counters(between.client)["TCPSACKDiscard"] > 0


@VERSIONS
def test_the_server_sees_the_address_and_the_port_of_a_nat(version: int) -> None:
    nat = Nat(seed=1)
    with kernels(nat) as between, talk(between, version) as ends:
        ours, seen = ends.client.getsockname()[:2], ends.server.getpeername()[:2]
        assert ours[0] == PEERS[version]
        assert seen[0] == {4: "10.0.0.254", 6: "fd00::fe"}[version]
        assert seen[1] != ours[1]
        assert ends.carry(TEXT) == TEXT
        ends.server.sendall(b"and back")
        assert ends.client.recv(100) == b"and back"
        assert nat.counts()["entries"] == 1


def test_nobody_gets_in_through_a_nat() -> None:
    nat = Nat()
    with kernels(nat) as between:
        with between.server.run(socket.socket) as opener:
            opener.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
            opener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
            with pytest.raises(TimeoutError):
                opener.connect(("10.0.0.254", PORT))
        assert nat.counts()["unsolicited"] > 0


def test_a_firewall_that_forgot_resets_who_speaks() -> None:
    firewall = ForgetfulFirewall(60, limit=1, strangers=Stranger.RESET)
    with kernels(firewall) as between, talk(between) as ends:
        with between.client.enter(), socket.create_connection((OURS[4], PORT), PATIENCE_S):
            ends.client.sendall(b"is anybody there?")
            with pytest.raises(ConnectionResetError):
                ends.client.recv(1)
        assert firewall.counts()["evicted"] == 1
        ends.server.settimeout(0)
        with pytest.raises(BlockingIOError):  # it heard of nothing
            ends.server.recv(1)


def test_or_lets_it_hang() -> None:
    firewall = ForgetfulFirewall(60, limit=1)
    with kernels(firewall) as between, talk(between) as ends:
        ends.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        with between.client.enter(), socket.create_connection((OURS[4], PORT), PATIENCE_S):
            ends.client.sendall(b"is anybody there?")
            ends.client.settimeout(None)
            with pytest.raises(TimeoutError):
                ends.client.recv(1)
        assert firewall.counts()["strangers"] > 1


@VERSIONS
def test_a_forged_reset_ends_the_connection_at_both_ends(version: int) -> None:
    reset = InjectReset("data", 1)
    with kernels(reset) as between, talk(between, version) as ends:
        ends.client.sendall(b"forbidden")
        for end in (ends.client, ends.server):
            with pytest.raises(ConnectionResetError):
                read_all(end)
        assert reset.counts() == {"forged": 2}


def test_a_forged_answer_refuses_the_connection() -> None:
    with kernels(InjectReset("S", 1, swallow=True)) as between, listening(between):
        attempt = Task(between.client.run, socket.create_connection, (OURS[4], PORT), PATIENCE_S)
        with pytest.raises(ConnectionRefusedError):
            attempt.result()


@VERSIONS
def test_a_syn_proxy_splices_both_connections(version: int) -> None:
    proxy = SynProxy(seed=1)
    with kernels(proxy) as between, talk(between, version) as ends:
        assert info(ends.client).options == info(ends.server).options == {"sack", "wscale"}
        assert ends.carry(TEXT) == TEXT
        ends.server.sendall(b"and back")
        assert ends.client.recv(100) == b"and back"
        assert (proxy.counts()["answered"], proxy.counts()["spliced"]) == (1, 1)


def test_losses_are_overcome_behind_a_syn_proxy() -> None:
    with kernels(SynProxy(), Impair(loss=0.02, seed=1)) as between, talk(between) as ends:
        assert ends.carry(LONG_TEXT) == LONG_TEXT
        assert linux_counters(between.client)["TCPSackRecovery"] > 0


def test_a_client_of_a_syn_proxy_hears_late_that_nobody_listens() -> None:
    proxy = SynProxy()
    with kernels(proxy) as between, pytest.raises(ConnectionResetError):
        between.client.run(connect_and_read)
    assert proxy.counts()["failed"] == 1


@VERSIONS
def test_an_engine_lives_behind_all_of_them(version: int) -> None:
    boxes = (
        StripOptions("timestamps"),
        ClampMss(1000),
        RewriteSequence(seed=1),
        SynProxy(),
        ForgetfulFirewall(60),
        Nat(),
        Impair(**LOSSY),
    )
    with Lab() as lab, ExitStack() as stack:
        client, home = lab.host("client"), lab.host("home")
        path = stack.enter_context(Path(lab, client, home, addresses=(PEER_ADDRESSES, ()), elements=boxes))
        engine = stack.enter_context(engine_in(home))
        sender = client.run(socket.create_connection, (OURS[version], PORT), PATIENCE_S)
        with sender, engine.pool.claim(timeout=PATIENCE_S) as connection:
            assert connection.four_tuple.remote_address in ("10.0.0.254", "fd00::fe")
            assert connection.info.timestamps is False
            sending = Task(sender.sendall, TEXT)
            assert read_exactly(connection, len(TEXT)) == TEXT
            sending.result()
        assert path.counts()["3 SynProxy spliced"] == 1
