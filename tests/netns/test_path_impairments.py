"""A link that hurts, between two kernels: what goes wrong is what was asked for, and TCP lives with it."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any

import pytest

from support.kernels import info, kernels, talk
from support.live import linux_counters, tcp_counters, text_of, until
from xsocket_netns import Host, LabError, LabUsageError, netlink
from xsocket_tools.path import (
    CaptureFileError,
    Impair,
    LimitMtu,
    Lose,
    LoseBursts,
    Middlebox,
    Parcel,
    Path,
    PathBrokenError,
)

pytestmark = pytest.mark.netns

VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
TEXT = text_of(300_000)


def setting(index: int, state: str) -> Callable[[Any], None]:
    """Return the action that sets an interface up or down."""
    return lambda route: route.link("set", index=index, state=state)


def all_arrived(sender: Host, receiver: Host) -> bool:
    """Whether whatever one kernel has sent has come to the other: on a busy machine some of it twice."""
    sent, received = tcp_counters(sender), tcp_counters(receiver)
    return sent["OutSegs"] + sent["RetransSegs"] == received["InSegs"]


@VERSIONS
def test_a_path_without_elements_is_a_cable(version: int) -> None:
    with kernels() as between, talk(between, version) as ends:
        assert ends.carry(TEXT) == TEXT
        assert info(ends.client).options == {"timestamps", "sack", "wscale"}
        until(lambda: all_arrived(between.client, between.server))
        until(lambda: all_arrived(between.server, between.client))
        assert between.path["server"].addresses == ("10.0.0.2/24", "fd00::2/64")


def test_faults_by_chance_are_overcome() -> None:
    hurt = Impair(delay_s=0.001, loss=0.02, duplicate=0.02, reorder=0.02, corrupt=0.01, seed=1)
    with kernels(hurt) as between, talk(between) as ends:
        assert ends.carry(TEXT) == TEXT
        counts = hurt.counts()
        assert all(counts[name] > 0 for name in ("dropped", "duplicated", "reordered", "corrupted"))
        assert info(ends.client).retransmissions > 0
        assert tcp_counters(between.server)["InCsumErrors"] > 0


def test_bursts_are_overcome() -> None:
    bursts = LoseBursts(0.01, 0.5, seed=3)
    with kernels(bursts) as between, talk(between) as ends:
        assert ends.carry(TEXT) == TEXT
        assert bursts.counts()["dropped"] >= bursts.counts()["bursts"] > 0


def test_the_first_syn_ack_is_lost() -> None:
    lose = Lose("S.", 1)
    with kernels(lose) as between, talk(between):
        assert lose.counts() == {"dropped": 1}
        assert linux_counters(between.client)["TCPSynRetrans"] == 1


@VERSIONS
def test_the_sender_hears_of_a_smaller_mtu(version: int) -> None:
    limit = LimitMtu(1400)
    with kernels(limit) as between, talk(between, version) as ends:
        headers = (40 if version == 4 else 60) + 12
        assert info(ends.client).snd_mss == 1500 - headers
        assert ends.carry(TEXT) == TEXT
        assert info(ends.client).snd_mss == 1400 - headers
        assert 0 < limit.counts()["told"] == limit.counts()["dropped"]


def test_captures_show_what_each_end_sent_and_got(tmp_path: FilePath) -> None:
    from scapy.layers.inet import TCP
    from scapy.utils import rdpcap

    with kernels(Lose("S", 1), captures=tmp_path / "made") as between, talk(between) as ends:
        assert ends.carry(b"seen twice") == b"seen twice"
    client, server = (
        [str(frame[TCP].flags) for frame in rdpcap(str(tmp_path / "made" / f"{host}.pcapng")) if TCP in frame]
        for host in ("client", "server")
    )
    assert client[:4] == ["S", "S", "SA", "A"]
    assert server[:3] == ["S", "SA", "A"]
    assert "PA" in client
    assert "PA" in server


def test_a_capture_that_cannot_be_written_is_said(tmp_path: FilePath) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CaptureFileError, match="cannot write"), kernels(captures=tmp_path / "taken"):
        pass


def test_an_interface_that_goes_down_comes_back() -> None:
    with kernels() as between, talk(between) as ends:
        detour = between.path.detour
        for state in ("down", "up"):
            netlink.on(detour.middle.namespace, setting(detour.left_port.index, state))
        assert ends.carry(b"after all") == b"after all"


def test_a_path_joins_two_hosts_of_one_lab() -> None:
    with kernels() as between:
        with (
            pytest.raises(LabUsageError, match="to itself"),
            Path(between.lab, between.client, between.client),
        ):
            pass
        with (
            pytest.raises(LabError, match="has a host path already"),
            Path(between.lab, between.client, between.server),
        ):
            pass


def test_the_middle_has_no_address() -> None:
    with kernels() as between:
        middle = between.path.detour.middle.namespace
        found = netlink.on(middle, lambda route: [each["index"] for each in route.get_addr()])
        assert set(found) <= {netlink.LOOPBACK_INDEX}


class Faulty(Middlebox):
    """An element with a bug."""

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        raise ZeroDivisionError(f"{parcel} at {now}")


def test_an_element_that_fails_is_said_at_the_end() -> None:
    def through_it() -> None:
        with kernels(Faulty()) as between, between.client.run(socket.socket) as opener:
            opener.settimeout(0.1)
            with pytest.raises(TimeoutError):
                opener.connect(("10.0.0.2", 80))

    with pytest.raises(PathBrokenError, match="no longer carried") as raised:
        through_it()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_an_interface_that_is_removed_is_said_at_the_end() -> None:
    def without_it() -> None:
        with kernels() as between:
            index = between.path.detour.left_port.index
            netlink.on(between.path.detour.middle.namespace, lambda route: route.link("del", index=index))

    with pytest.raises(PathBrokenError, match="was removed"):
        without_it()
