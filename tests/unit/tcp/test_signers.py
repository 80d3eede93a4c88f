"""Signers, alone: what two ends that share their faults would not see."""

import pytest

from support.rfc9235 import CLIENT_KEY_ID, MASTER_KEY, SERVER_KEY_ID, VECTORS, Vector
from xsocket import AoKey, DropReason, FourTuple, Md5Key, Segment
from xsocket.segment import ACK, SYN
from xsocket.seqnum import MASK
from xsocket.tcp import ao, md5
from xsocket.tcp.options import signatures
from xsocket.tcp.signers import AoSigner, Md5Signer

FOUR_TUPLE = FourTuple("10.0.0.2", 179, "10.0.0.1", 40_000)
KEY = AoKey(peer="10.0.0.1", send_id=1, recv_id=2, secret="secret")


def signer_of(vector: Vector, *, sends: bool) -> AoSigner:
    """Return the signer of the end that sends the vector's segment, or of the one that receives it."""
    ids = (CLIENT_KEY_ID, SERVER_KEY_ID) if vector.from_client is sends else (SERVER_KEY_ID, CLIENT_KEY_ID)
    key = AoKey(
        peer="0.0.0.0/0,::/0",
        send_id=ids[0],
        recv_id=ids[1],
        secret=MASTER_KEY,
        algorithm=vector.algorithm,
        include_options=vector.include_options,
    )
    receiver = vector.decoded.four_tuple
    return AoSigner(receiver.reversed if sends else receiver, [key])


EACH_VECTOR = pytest.mark.parametrize("vector", VECTORS, ids=[vector.section for vector in VECTORS])


@EACH_VECTOR
def test_a_signed_segment_is_that_of_rfc_9235(vector: Vector) -> None:
    isns = (vector.client_isn, vector.server_isn)
    ((_, at, _),) = signatures(vector.segment.options)
    bare = vector.segment._replace(options=vector.segment.options[:at])
    signed = signer_of(vector, sends=True).sign(bare, *(isns if vector.from_client else isns[::-1]))
    assert signed == vector.segment


@EACH_VECTOR
def test_the_segments_of_rfc_9235_are_authentic(vector: Vector) -> None:
    isns = (vector.client_isn, vector.server_isn)
    signer = signer_of(vector, sends=False)
    assert signer.judge(vector.segment, *(isns[::-1] if vector.from_client else isns)) is None


def mac_of(segment: Segment, sne: int, iss: int, irs: int) -> bytes:
    key = ao.traffic_key("SHA1", KEY.secret, FOUR_TUPLE, iss, irs)
    return ao.mac("SHA1", key, sne, FOUR_TUPLE, segment, 0, include_options=True)


@pytest.mark.parametrize(
    ("numbers", "extensions"),
    [
        pytest.param([5, 100], [0, 0], id="before"),
        pytest.param([MASK - 9, 20, MASK, 30], [0, 1, 0, 1], id="across, and back"),
        pytest.param(
            [1 << 31, (1 << 32) - 10, 1 << 30, (1 << 31) + 5, MASK, 0], [0, 0, 1, 1, 1, 2], id="twice"
        ),
    ],
)
def test_the_extension_of_our_numbers_is_in_the_mac(numbers: list[int], extensions: list[int]) -> None:
    """RFC 5925 section 6.2."""
    iss, irs = numbers[0], 77
    signer = AoSigner(FOUR_TUPLE, [KEY])
    for seq, sne in zip(numbers, extensions, strict=True):
        signed = signer.sign(Segment(seq, irs + 1, ACK), iss, irs)
        assert signed.options[4:] == mac_of(signed, sne, iss, irs)


def peers_signer() -> AoSigner:
    return AoSigner(FOUR_TUPLE.reversed, [AoKey(peer="10.0.0.2", send_id=2, recv_id=1, secret="secret")])


def test_the_extension_of_the_peers_numbers_moves_with_them() -> None:
    """RFC 5925 section 6.2: twice round."""
    signer, peer, iss, irs = AoSigner(FOUR_TUPLE, [KEY]), peers_signer(), 7, 10
    for step in range(1, 9):
        segment = peer.sign(Segment((irs + step * (1 << 30)) & MASK, 8, ACK), irs, iss)
        assert signer.judge(segment, iss, irs) is None


def test_only_authentic_segments_move_the_extension() -> None:
    """Else forged numbers would make every later segment look forged."""
    signer, iss, irs = AoSigner(FOUR_TUPLE, [KEY]), 7, 10
    for seq in ((1 << 31) - 5, (1 << 32) - 20, 15):
        forged = peers_signer().sign(Segment(seq, 8, ACK), irs, iss)._replace(payload=b"forged")
        assert signer.judge(forged, iss, irs) is DropReason.SIGNATURE_WRONG
    text = peers_signer().sign(Segment(11, 8, ACK, payload=b"x"), irs, iss)
    assert signer.judge(text, iss, irs) is None


@pytest.mark.parametrize("flags", [SYN, SYN | ACK], ids=["SYN", "SYN+ACK"])
def test_a_syn_that_comes_late_is_judged_by_its_own_number(flags: int) -> None:
    """RFC 5925 section 5.2; it does not move the extension of the connection it meets."""
    signer = AoSigner(FOUR_TUPLE, [KEY])
    again = peers_signer().sign(Segment(1 << 31, 8, flags), 1 << 31, 7)
    text = peers_signer().sign(Segment(11, 8, ACK, payload=b"x"), 10, 7)
    assert signer.judge(again, 7, 10) is None
    assert signer.judge(text, 7, 10) is None


def test_md5_signatures_stand_on_whole_words() -> None:
    signer = Md5Signer(FOUR_TUPLE, Md5Key(peer="10.0.0.1", secret="secret"))
    signed = signer.sign(Segment(1, 2, ACK, payload=b"text"), 0, 0)
    assert signed.options[:4] == b"\x01\x01\x13\x12"
    assert len(signed.options) == signer.octets == 20
    assert signed.options[4:] == md5.digest(FOUR_TUPLE, signed, b"secret")
