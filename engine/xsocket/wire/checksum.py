"""The Internet checksum (RFC 1071). Numbers only: which octets it covers is known to each protocol's file.

The ones-complement sum of 16-bit words is the whole buffer, read as one big number, modulo 65,535: 65,536
leaves the remainder 1, so every word counts alike. That is the fastest form in pure Python. One ambiguity
stays: the remainder 0 stands for both zeros of ones-complement arithmetic, 0x0000 (all words zero) and
    0xFFFF.
"""


def remainder(data: bytes) -> int:
    """Return the sum of *data*'s 16-bit words modulo 65,535; a last odd octet is padded with zero.

    Add such numbers, and any field as an integer, before taking the modulo once.
    """
    value = int.from_bytes(data)
    return (value << 8 if len(data) & 1 else value) % 65_535


def internet_checksum(data: bytes, pseudo_header: int = 0) -> int:
    """Return the checksum field for *data*, whose own checksum field holds zero.

    Args:
        data: The octets covered.
        pseudo_header: Sum of the pseudo-header's words, or 0 where the protocol has none.
    """
    value = int.from_bytes(data)
    if len(data) & 1:
        value <<= 8
    value += pseudo_header
    return -value % 65_535 if value else 0xFFFF


def checksum_is_valid(data: bytes, pseudo_header: int = 0) -> bool:
    """Return whether *data*, checksum field included, sums to minus zero (RFC 1071 section 1, step 3)."""
    value = int.from_bytes(data)
    if len(data) & 1:
        value <<= 8
    value += pseudo_header
    return value != 0 and value % 65_535 == 0
