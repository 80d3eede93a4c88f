"""TCP_INFO by the names of its fields."""

import struct
import sys

import pytest

from xsocket_tools.scenarios.tcpinfo import parsed

_LINUX_6_18_OCTETS = 280
little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="bit fields lie the other way round")


def test_the_first_octets_stand_for_themselves() -> None:
    info = parsed(bytes([1, 2, 3, 4, 5, 6]))
    assert info == {
        "tcpi_state": 1,
        "tcpi_ca_state": 2,
        "tcpi_retransmits": 3,
        "tcpi_probes": 4,
        "tcpi_backoff": 5,
        "tcpi_options": 6,
    }


@little_endian
def test_bit_fields_are_told_apart() -> None:
    info = parsed(bytes([0, 0, 0, 0, 0, 0, 0x7A, 0b101]))
    assert (info["tcpi_snd_wscale"], info["tcpi_rcv_wscale"]) == (10, 7)
    assert (info["tcpi_delivery_rate_app_limited"], info["tcpi_fastopen_client_fail"]) == (1, 2)


def test_words_stand_where_linux_has_them() -> None:
    data = bytearray(_LINUX_6_18_OCTETS)
    for at, kind, value in [
        (8, "I", 1),
        (24, "I", 2),
        (80, "I", 3),
        (104, "Q", 4),
        (160, "Q", 5),
        (228, "I", 6),
        (278, "H", 7),
    ]:
        struct.pack_into(kind, data, at, value)
    info = parsed(bytes(data))
    assert {name: value for name, value in info.items() if value} == {
        "tcpi_rto": 1,
        "tcpi_unacked": 2,
        "tcpi_snd_cwnd": 3,
        "tcpi_pacing_rate": 4,
        "tcpi_delivery_rate": 5,
        "tcpi_snd_wnd": 6,
        "tcpi_accecn_opt_seen": 7,
    }


def test_an_older_kernel_gives_fewer_fields() -> None:
    info = parsed(bytes(106))
    assert "tcpi_total_retrans" in info
    assert "tcpi_pacing_rate" not in info


def test_a_newer_kernel_gives_no_more() -> None:
    assert parsed(bytes(400)).keys() == parsed(bytes(_LINUX_6_18_OCTETS)).keys()
