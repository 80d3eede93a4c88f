import hashlib

import pytest
from scapy.layers.inet import IP, TCP, calc_tcp_md5_hash
from scapy.layers.inet6 import IPv6

from xsocket import FourTuple, Segment
from xsocket.errors import AlgorithmUnavailableError
from xsocket.segment import ACK, PSH
from xsocket.tcp import md5
from xsocket.tcp.options import Md5Signature, Nop, encode
from xsocket.wire.codec import encode_segment

V4 = FourTuple("10.0.0.2", 179, "10.0.0.1", 40_000)
V6 = FourTuple("fd00::2", 179, "fd00::1", 40_000)
SIGNED = encode([Nop(), Nop(), Md5Signature(bytes(16))])
SEGMENTS = [
    pytest.param(Segment(1, 2, ACK, 300, SIGNED), id="bare"),
    pytest.param(Segment(1, 2, ACK | PSH, 300, SIGNED, b"text!", urgent=4), id="odd text"),
    pytest.param(Segment(0xFFFFFFFF, 0xFFFFFFFE, 0xFFF, 65_535, SIGNED, bytes(1400)), id="every bit"),
]


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("four_tuple", [V4, V6], ids=["ipv4", "ipv6"])
def test_the_digest_is_what_scapy_computes(four_tuple: FourTuple, segment: Segment) -> None:
    packet = encode_segment(b"", four_tuple, segment)
    scapy = (IP if four_tuple.family == 4 else IPv6)(packet)
    # Scapy must not meet a segment whose reserved bits it would drop.
    assert bytes(scapy[TCP]) == packet[-20 - len(segment.options) - len(segment.payload) :]
    assert md5.digest(four_tuple, segment, b"secret") == calc_tcp_md5_hash(scapy[TCP], b"secret")


def test_a_digest_differs_in_each_direction() -> None:
    segment = Segment(1, 2, ACK, 300, SIGNED)
    assert md5.digest(V4, segment, b"secret") != md5.digest(V4.reversed, segment, b"secret")


def test_a_machine_in_fips_mode_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(hashlib, "md5", refuse)
    with pytest.raises(AlgorithmUnavailableError, match="FIPS"):
        md5.require()
