import pickle
from typing import Any

import pytest

from xsocket import AoKey, BadAddressError, BadConfigError, FourTuple, Md5Key, Pattern
from xsocket.tcp.keys import Key, check_together

SECRET = "correct horse"


def ao(send_id: int = 1, recv_id: int = 2, peer: Any = "10.0.0.1", **others: Any) -> AoKey:  # noqa: ANN401
    return AoKey(peer=peer, send_id=send_id, recv_id=recv_id, secret=SECRET, **others)


KEYS = [
    pytest.param(Md5Key(peer="10.0.0.1", secret=SECRET), id="MD5"),
    pytest.param(ao(), id="SHA1"),
    pytest.param(ao(algorithm="AES128"), id="AES128"),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_does_not_show_its_secret(key: Key) -> None:
    shown = f"{key!r} {key}"
    assert SECRET not in shown
    assert "secret" not in shown
    assert "10.0.0.1" in shown


@pytest.mark.parametrize("key", KEYS)
def test_a_key_survives_pickling(key: Key) -> None:
    assert pickle.loads(pickle.dumps(key)) == key  # noqa: S301


def test_a_secret_may_be_text_or_octets() -> None:
    assert Md5Key(peer="10.0.0.1", secret="abc") == Md5Key(peer="10.0.0.1", secret=b"abc")
    assert ao().secret == SECRET.encode()


@pytest.mark.parametrize("secret", ["", b"", "käse", 5, None], ids=repr)
def test_a_bad_secret_is_refused_and_not_shown(secret: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadConfigError) as caught:
        Md5Key(peer="10.0.0.1", secret=secret)
    assert "käse" not in str(caught.value)


@pytest.mark.parametrize("octets", [1, 80, 200])
def test_a_secret_may_have_any_length(octets: int) -> None:
    """RFC 2385 section 4.5: 80 printable octets at least."""
    assert len(Md5Key(peer="10.0.0.1", secret=b"x" * octets).secret) == octets


@pytest.mark.parametrize("number", [0, 255])
def test_every_id_from_0_to_255_is_one(number: int) -> None:
    """RFC 5925 section 3.1."""
    assert (ao(send_id=number).send_id, ao(recv_id=number).recv_id) == (number, number)


@pytest.mark.parametrize("number", [-1, 256, 1.5, True, "1"], ids=repr)
@pytest.mark.parametrize("name", ["send_id", "recv_id"])
def test_anything_else_is_no_id(name: str, number: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadConfigError, match=name):
        ao(**{name: number})


def test_an_algorithm_has_a_name_of_rfc_5926() -> None:
    algorithm: Any = "HMAC-MD5"
    with pytest.raises(BadConfigError, match="SHA1 or AES128"):
        ao(algorithm=algorithm)


def test_a_peer_is_addresses_or_a_pattern() -> None:
    assert ao(peer="10.0.0.0/24") == ao(peer=Pattern(remote="10.0.0.0/24"))
    pattern = Pattern(local_port=179, remote="10.0.0.1")
    assert not ao(peer=pattern).peer.matches(FourTuple("10.0.0.2", 80, "10.0.0.1", 4000))
    with pytest.raises(BadAddressError):
        ao(peer="nobody")


def test_keys_of_one_connection_share_no_id() -> None:
    """RFC 5925 section 3.1: IDs "MUST NOT overlap where their TCP connection identifiers overlap"."""
    for other in (ao(1, 9, "10.0.0.0/8"), ao(9, 2, Pattern(local_port=179))):
        with pytest.raises(BadConfigError, match="share an ID") as caught:
            check_together([ao(1, 2), other])
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ao(3, 4), id="other IDs"),
        pytest.param(ao(2, 1), id="each in the other direction"),
        pytest.param(ao(1, 2, "10.0.0.3"), id="another peer"),
        pytest.param(ao(1, 2, "fd00::1"), id="another version"),
        pytest.param(Md5Key(peer="10.0.0.1", secret=SECRET), id="MD5 has no IDs"),
    ],
)
def test_keys_that_can_be_told_apart_go_together(other: Key) -> None:
    assert check_together([ao(1, 2), other]) == (ao(1, 2), other)


def test_what_is_no_key_is_refused() -> None:
    wrong: Any = "secret of someone"
    with pytest.raises(BadConfigError) as caught:
        check_together([wrong])
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(Pattern(), Pattern(), True, id="open"),
        pytest.param(Pattern(local_port=80), Pattern(local_port="79-81"), True, id="ports"),
        pytest.param(Pattern(local_port=80), Pattern(local_port="81,90"), False, id="other ports"),
        pytest.param(Pattern(local_port=80), Pattern(remote_port=81), True, id="ports of either end"),
        pytest.param(Pattern(remote="fd00::/64"), Pattern(remote="fd00::1"), True, id="IPv6"),
        pytest.param(Pattern(local="10.0.0.1"), Pattern(local="10.0.0.2"), False, id="local addresses"),
        pytest.param(
            Pattern(remote="10.0.0.0/24", remote_port=5),
            Pattern(remote="10.0.0.9", remote_port=6),
            False,
            id="one field of two",
        ),
    ],
)
def test_patterns_that_overlap(one: Pattern, other: Pattern, *, expected: bool) -> None:
    assert one.overlaps(other) is expected
    assert other.overlaps(one) is expected
