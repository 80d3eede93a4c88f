import sys

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from support.rfc9235 import CLIENT_KEY_ID, MASTER_KEY, SERVER_KEY_ID, VECTORS, Vector
from xsocket import FourTuple
from xsocket.errors import AlgorithmUnavailableError
from xsocket.tcp import ao
from xsocket.tcp.options import AUTHENTICATION, signatures

EACH_VECTOR = pytest.mark.parametrize("vector", VECTORS, ids=[vector.section for vector in VECTORS])


def test_there_are_as_many_vectors_as_in_the_rfc() -> None:
    kinds = {
        (each.version, each.algorithm, each.include_options, each.from_client, each.segment.syn)
        for each in VECTORS
    }
    assert len(VECTORS) == len(kinds) == 32


@EACH_VECTOR
def test_the_traffic_key_is_that_of_rfc_9235(vector: Vector) -> None:
    sender = vector.decoded.four_tuple.reversed
    isns = (vector.client_isn, vector.server_isn)
    source, destination = isns if vector.from_client else isns[::-1]
    if vector.segment.syn and vector.from_client:
        assert vector.segment.seq == source
        destination = 0
    assert ao.traffic_key(vector.algorithm, MASTER_KEY, sender, source, destination) == vector.key


@EACH_VECTOR
def test_the_mac_is_that_of_rfc_9235(vector: Vector) -> None:
    ((kind, at, data),) = signatures(vector.segment.options)
    ids = (CLIENT_KEY_ID, SERVER_KEY_ID)
    assert (kind, tuple(data[:2])) == (AUTHENTICATION, ids if vector.from_client else ids[::-1])
    sender = vector.decoded.four_tuple.reversed
    mac = ao.mac(
        vector.algorithm,
        vector.key,
        0,
        sender,
        vector.segment,
        at,
        include_options=vector.include_options,
    )
    assert mac == data[2:]


@EACH_VECTOR
def test_a_mac_depends_on_whether_it_covers_the_options(vector: Vector) -> None:
    ((_, at, data),) = signatures(vector.segment.options)
    sender = vector.decoded.four_tuple.reversed
    mac = ao.mac(
        vector.algorithm,
        vector.key,
        0,
        sender,
        vector.segment,
        at,
        include_options=not vector.include_options,
    )
    assert mac != data[2:]


def cmac(key: bytes, message: bytes) -> bytes:
    computed = CMAC(AES(key))
    computed.update(message)
    return computed.finalize()


@pytest.mark.parametrize("octets", [1, 15, 16, 17, 80])
def test_only_a_master_key_of_128_bits_is_used_as_it_is(octets: int) -> None:
    master_key = bytes(range(octets))
    block = b"\x01TCP-AO" + bytes((10, 0, 0, 2, 10, 0, 0, 1, 0, 80, 1, 0)) + bytes(7) + b"\x05" + b"\x00\x80"
    sender = FourTuple("10.0.0.2", 80, "10.0.0.1", 256)
    key = master_key if octets == 16 else cmac(bytes(16), master_key)
    assert ao.traffic_key("AES128", master_key, sender, 0, 5) == cmac(key, block)


# RFC 9187 section 6: extension and sequence number, in the order in which they come.
EXTENSIONS = """
00000000 00000000 00000000 30000000 00000000 90000000 00000000 70000000 00000000 a0000000
00000001 00000001 00000000 e0000000 00000001 00000000 00000001 7fffffff 00000001 00000000
00000001 50000000 00000001 80000000 00000001 00000001 00000001 40000000 00000001 90000000
00000001 b0000000 00000002 0fffffff 00000002 20000000 00000002 90000000 00000002 70000000
00000002 a0000000 00000003 00004000 00000002 d0000000 00000003 20000000 00000003 90000000
00000003 70000000 00000003 a0000000 00000004 00004000 00000003 d0000000
"""


def test_extensions_follow_the_validation_suite_of_rfc_9187() -> None:
    numbers = [int(each, 16) for each in EXTENSIONS.split()]
    expected, received = numbers[::2], numbers[1::2]
    extension, found = ao.Extension(), []
    for seq in received:
        found.append(extension.of(seq, isn=0))
        extension.advance(seq, isn=0)
    assert found == expected


@pytest.mark.parametrize(
    ("isn", "seq", "expected"),
    [
        pytest.param(0x90000000, 0x90000001, 0, id="no wrap"),
        pytest.param(0xFFFFFFFF, 0x00000000, 1, id="the first octet wraps"),
        pytest.param(0x00000000, 0xFFFFFFFF, 0xFFFFFFFF, id="before the first"),
    ],
)
def test_the_extension_of_the_initial_sequence_number_is_zero(isn: int, seq: int, expected: int) -> None:
    extension = ao.Extension()
    assert extension.of(isn, isn) == 0
    assert extension.of(seq, isn) == expected


def test_asking_for_an_extension_changes_nothing() -> None:
    extension = ao.Extension()
    extension.of(0x70000000, isn=0)
    extension.of(0x70000000, isn=0)
    assert extension.of(0xE0000000, isn=0) == 0xFFFFFFFF


def test_aes_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.cmac", None)
    with pytest.raises(AlgorithmUnavailableError, match=r"xsocket\[ao\]"):
        ao.require("AES128")
    ao.require("SHA1")
