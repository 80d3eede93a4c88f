"""The Internet checksum against its definition, word by word."""

from random import Random

import pytest

from xsocket.wire.checksum import checksum_is_valid, internet_checksum, remainder


def by_definition(data: bytes) -> int:
    """RFC 1071 section 4.1, in Python."""
    padded = data + bytes(len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2]) for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        pytest.param(b"", 0xFFFF, id="nothing"),
        pytest.param(bytes(8), 0xFFFF, id="all zero"),
        pytest.param(b"\xff\xff", 0x0000, id="minus zero"),
        pytest.param(b"\xff\xff\x00\x01", 0xFFFE, id="end-around carry"),
        pytest.param(b"\x01", 0xFEFF, id="odd octet padded behind"),
        pytest.param(bytes.fromhex("0001f203f4f5f6f7"), 0x220D, id="the example of RFC 1071 section 3"),
    ],
)
def test_known_sums(data: bytes, checksum: int) -> None:
    assert internet_checksum(data) == checksum == by_definition(data)


def test_random_buffers_agree_with_the_definition() -> None:
    random = Random(1071)
    for _ in range(2_000):
        data = random.randbytes(random.randrange(80))
        checksum = internet_checksum(data)
        assert checksum == by_definition(data)
        even = data + bytes(len(data) % 2)
        assert checksum_is_valid(even + checksum.to_bytes(2))
        assert not checksum_is_valid(even + (checksum ^ 0x0100).to_bytes(2))


def test_a_buffer_of_zeros_is_not_valid() -> None:
    assert not checksum_is_valid(bytes(20))


def test_parts_add_up_to_the_whole() -> None:
    left, right = b"\x12\x34\xff\xff", b"\xfe\xdc\xba"
    assert internet_checksum(right, remainder(left)) == internet_checksum(left + right)
