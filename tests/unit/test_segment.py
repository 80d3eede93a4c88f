import pytest

from xsocket.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment


def segment(flags: int, payload: bytes = b"") -> Segment:
    return Segment(seq=100, acknowledgment=7, flags=flags, payload=payload)


def test_there_is_an_acknowledgment_number_exactly_when_the_ack_bit_is_set() -> None:
    assert segment(SYN | ACK).ack == 7
    assert segment(SYN).ack is None


def test_the_acknowledgment_number_zero_is_one() -> None:
    assert Segment(seq=1, acknowledgment=0, flags=ACK).ack == 0


@pytest.mark.parametrize(
    ("flags", "syn", "fin", "rst"),
    [
        pytest.param(0, False, False, False, id="none"),
        pytest.param(SYN | ACK, True, False, False, id="SYN"),
        pytest.param(FIN | ACK, False, True, False, id="FIN"),
        pytest.param(RST, False, False, True, id="RST"),
        pytest.param(0xFFF, True, True, True, id="all twelve bits"),
    ],
)
def test_control_bits(flags: int, syn: bool, fin: bool, rst: bool) -> None:
    assert (segment(flags).syn, segment(flags).fin, segment(flags).rst) == (syn, fin, rst)


@pytest.mark.parametrize(
    ("flags", "payload", "length"),
    [
        pytest.param(ACK, b"", 0, id="nothing"),
        pytest.param(ACK, b"abc", 3, id="text"),
        pytest.param(SYN, b"", 1, id="SYN"),
        pytest.param(FIN | ACK, b"", 1, id="FIN"),
        pytest.param(SYN | FIN, b"abc", 5, id="SYN, text and FIN"),
        pytest.param(RST | ACK, b"", 0, id="RST takes no room"),
    ],
)
def test_length_counts_syn_and_fin(flags: int, payload: bytes, length: int) -> None:
    assert segment(flags, payload).length == length


@pytest.mark.parametrize(
    ("flags", "letters"),
    [
        pytest.param(0, "-", id="none"),
        pytest.param(ACK, ".", id="ACK"),
        pytest.param(SYN, "S", id="SYN"),
        pytest.param(SYN | ACK, "S.", id="SYN and ACK"),
        pytest.param(FIN | PSH | ACK, "FP.", id="FIN, PSH, ACK"),
        pytest.param(RST, "R", id="RST"),
        pytest.param(SYN | ECE | CWR | AE, "SEWA", id="ECN set-up with accurate ECN"),
        pytest.param(URG, "U", id="URG"),
        pytest.param(0xE00, "-", id="reserved bits have no letter"),
    ],
)
def test_letters_are_those_of_tcpdump(flags: int, letters: str) -> None:
    assert segment(flags).letters == letters


def test_a_segment_does_not_change() -> None:
    with pytest.raises(AttributeError):
        segment(SYN).flags = ACK  # type: ignore[misc]
