"""TCP MD5 signatures and TCP-AO between two stacks."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from xsocket import Admission, AoKey, BadConfigError, DropReason, FourTuple, Md5Key, Segment, State, TcpConfig
from xsocket.patherror import PathError
from xsocket.segment import ACK, RST, SYN
from xsocket.seqnum import MASK, add
from xsocket.tcp.isn import TICKS_PER_SECOND
from xsocket.tcp.keys import Key
from xsocket.tcp.options import (
    AUTHENTICATION,
    MD5_SIGNATURE,
    Md5Signature,
    Nop,
    Timestamps,
    decode,
    encode,
    parse,
    signatures,
)

V6 = FourTuple("fd00::1", 40_000, "fd00::2", 80)
EVERYBODY = "0.0.0.0/0,::/0"


def md5(secret: str = "secret") -> tuple[list[Key], list[Key]]:
    """Return the keys of both ends."""
    return [Md5Key(peer=EVERYBODY, secret=secret)], [Md5Key(peer=EVERYBODY, secret=secret)]


def ao(
    client_id: int = 61,
    server_id: int = 84,
    secret: str = "secret",
    **options: Any,  # noqa: ANN401
) -> tuple[list[Key], list[Key]]:
    """Return the keys of both ends."""
    ends = [(client_id, server_id), (server_id, client_id)]
    ours, theirs = (
        [AoKey(peer=EVERYBODY, send_id=send, recv_id=recv, secret=secret, **options)] for send, recv in ends
    )
    return list(ours), list(theirs)


def pair_with(
    keys: tuple[Sequence[Key], Sequence[Key]],
    client: TcpConfig | None = None,
    server: TcpConfig | None = None,
) -> Pair:
    return Pair(End("client", client, keys=keys[0]), End("server", server, keys=keys[1]))


EACH_KIND = pytest.mark.parametrize(
    "keys",
    [
        pytest.param(md5(), id="MD5"),
        pytest.param(ao(), id="SHA1"),
        pytest.param(ao(algorithm="AES128"), id="AES128"),
        pytest.param(ao(include_options=False), id="SHA1 without options"),
        pytest.param(ao(algorithm="AES128", include_options=False), id="AES128 without options"),
    ],
)
Keys = tuple[list[Key], list[Key]]
SIGNATURE_DROPS = {reason for reason in DropReason if reason.name.startswith("SIGNATURE_")}


def is_signed(segment: Segment) -> bool:
    return len(signatures(segment.options)) == 1


def on_cable(pair: Pair) -> list[Segment]:
    return [segment for _, segment in pair.cable]


# Whole connections


@EACH_KIND
@pytest.mark.parametrize("four_tuple", [CLIENT, V6], ids=["ipv4", "ipv6"])
def test_every_segment_of_a_connection_is_signed(keys: Keys, four_tuple: FourTuple) -> None:
    pair = pair_with(keys)
    pair.connect(four_tuple)
    for end, name in ((pair.client, four_tuple), (pair.server, four_tuple.reversed)):
        pair.send(end, name, b"x" * 5000)
    assert pair.read(pair.server, four_tuple.reversed) == pair.read(pair.client, four_tuple) == b"x" * 5000
    pair.close(pair.client, four_tuple)
    pair.close(pair.server, four_tuple.reversed)
    assert pair.tcb(pair.client, four_tuple).state is State.TIME_WAIT
    assert len(pair.cable) > 10
    assert all(is_signed(segment) for segment in on_cable(pair))
    assert pair.client.drops() == pair.server.drops() == []


@EACH_KIND
def test_what_is_sent_again_is_signed_anew(keys: Keys) -> None:
    """RFC 5925 section 7.4: the timestamp has changed, and with it the MAC."""
    pair = pair_with(keys)
    pair.lose = lambda number, _: number in (1, 3, 6)
    pair.connect()
    pair.advance(10)
    pair.send(pair.client, CLIENT, b"hello")
    pair.advance(20)
    assert pair.read(pair.server, SERVER) == b"hello"
    assert all(is_signed(segment) for segment in on_cable(pair))
    assert not {*pair.client.drops(), *pair.server.drops()} & SIGNATURE_DROPS


@EACH_KIND
def test_a_reset_is_signed_and_taken(keys: Keys) -> None:
    pair = pair_with(keys)
    pair.connect()
    pair.abort(pair.client, CLIENT)
    assert is_signed(pair.cable[-1][1])
    assert pair.server.deleted() == [ConnectionResetError]


@EACH_KIND
def test_keep_alives_are_signed(keys: Keys) -> None:
    pair = pair_with(keys, client=TcpConfig(keepalive=True, keepalive_time_s=10))
    pair.connect()
    pair.advance(25)
    assert len(pair.cable) == 3 + 2
    assert all(is_signed(segment) for segment in on_cable(pair))


@EACH_KIND
def test_time_wait_signs_and_can_be_reopened(keys: Keys) -> None:
    pair = pair_with(keys)
    pair.connect()
    pair.close(pair.server, SERVER)
    pair.lose = lambda number, _: number == len(pair.cable)
    pair.close(pair.client, CLIENT)  # its FIN+ACK is lost
    pair.lose = lambda *_: False
    pair.advance(pair.now + 5)
    assert pair.tcb(pair.server, SERVER).state is State.TIME_WAIT
    pair.connect()
    assert pair.tcb(pair.server, SERVER).state is State.ESTABLISHED
    assert all(is_signed(segment) for segment in on_cable(pair))


@EACH_KIND
def test_both_may_open_at_once(keys: Keys) -> None:
    """All four traffic keys are in use: RFC 5925 section 3.2."""
    pair = pair_with(keys)
    pair.connect_both()
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    assert pair.tcb(pair.server, SERVER).state is State.ESTABLISHED
    assert all(is_signed(segment) for segment in on_cable(pair))


@EACH_KIND
def test_a_cookie_opens_a_connection_that_a_key_protects(keys: Keys) -> None:
    pair = pair_with(keys, server=TcpConfig(syn_cookies="always"))
    pair.connect()
    pair.send(pair.client, CLIENT, b"hello")
    pair.send(pair.server, SERVER, b"x" * 10_000)
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.server.stack.statistics().cookies_accepted == 1
    ours, theirs = (pair.tcb(pair.client, CLIENT), pair.tcb(pair.server, SERVER))
    assert (ours.timestamps, ours.sack) == (theirs.timestamps, theirs.sack)
    assert all(is_signed(segment) for segment in on_cable(pair))


# What is not authentic


WRONG = [
    pytest.param(md5(), md5("other"), DropReason.SIGNATURE_WRONG, id="MD5, wrong secret"),
    pytest.param(ao(), ao(secret="other"), DropReason.SIGNATURE_WRONG, id="AO, wrong secret"),
    pytest.param(ao(), ao(algorithm="AES128"), DropReason.SIGNATURE_WRONG, id="AO, other algorithm"),
    pytest.param(ao(), ao(include_options=False), DropReason.SIGNATURE_WRONG, id="AO, other coverage"),
    pytest.param(ao(), ao(5, 6), DropReason.SIGNATURE_KEY_UNKNOWN, id="AO, other IDs"),
    pytest.param(([], []), md5(), DropReason.SIGNATURE_MISSING, id="MD5, unsigned"),
    pytest.param(([], []), ao(), DropReason.SIGNATURE_MISSING, id="AO, unsigned"),
    pytest.param(md5(), ao(), DropReason.SIGNATURE_MISSING, id="MD5 to AO"),
    pytest.param(ao(), md5(), DropReason.SIGNATURE_MISSING, id="AO to MD5"),
]


@pytest.mark.parametrize(("ours", "theirs", "reason"), WRONG)
@pytest.mark.parametrize("ports", ["80", "443"], ids=["LISTEN", "CLOSED"])
def test_what_is_not_authentic_is_dropped_without_an_answer(
    ours: Keys, theirs: Keys, reason: DropReason, ports: str
) -> None:
    pair = Pair(End("client", keys=ours[0]), End("server", None, Admission(ports), keys=theirs[1]))
    pair.connect()
    assert pair.server.drops() == [reason]
    assert pair.server.sent() == []
    assert CLIENT.reversed not in pair.server.stack


@pytest.mark.parametrize(("theirs", "ours", "reason"), WRONG)
def test_the_answer_to_our_syn_has_to_be_authentic(ours: Keys, theirs: Keys, reason: DropReason) -> None:
    """RFC 2385 section 2.0: what the peer answers does not switch signatures off."""
    pair = pair_with((ours[0], []))
    pair.lose = lambda *_: True
    pair.connect()
    syn = pair.cable[0][1]
    bare = Segment(7000, add(syn.seq, 1), SYN | ACK, 1000)
    if theirs[1]:  # the peer's stack makes the answer, to a SYN that it takes
        other = pair_with((theirs[0], theirs[1]))
        other.connect()
        assert other.cable[0][1].seq == syn.seq
        bare = other.cable[1][1]
    pair.client.perform(pair.client.stack.receive(pair.now, [(CLIENT, bare)]))
    assert pair.client.drops() == [reason]
    assert pair.tcb(pair.client, CLIENT).state is State.SYN_SENT
    assert pair.client.sent() == ["S"]


@EACH_KIND
@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN, ACK, 0], ids=["R", "R.", "S", ".", "none"])
def test_an_unsigned_segment_does_nothing_to_a_connection(keys: Keys, flags: int) -> None:
    pair = pair_with(keys)
    pair.connect()
    tcb = pair.tcb(pair.server, SERVER)
    exact = Segment(tcb.rcv_nxt, tcb.snd_nxt, flags, 1000, payload=b"forged" if flags == ACK else b"")
    before = len(pair.cable)
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, exact)]))
    pair.run()
    assert pair.server.drops() == [DropReason.SIGNATURE_MISSING]
    assert (tcb.state, tcb.unread, len(pair.cable)) == (State.ESTABLISHED, 0, before)


def text_of(pair: Pair) -> Segment:
    """Return a segment of the client's that the server has not seen."""
    pair.connect()
    pair.lose = lambda *_: True
    pair.send(pair.client, CLIENT, b"text")
    return pair.cable[-1][1]


def flip(octets: bytes, at: int) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


CHANGES: list[Any] = [
    pytest.param(lambda segment: segment._replace(seq=add(segment.seq, 1)), id="sequence number"),
    pytest.param(
        lambda segment: segment._replace(acknowledgment=segment.acknowledgment ^ 1), id="acknowledgment"
    ),
    pytest.param(lambda segment: segment._replace(flags=segment.flags ^ 0x200), id="a reserved bit"),
    pytest.param(lambda segment: segment._replace(window=segment.window ^ 1), id="window"),
    pytest.param(lambda segment: segment._replace(urgent=1), id="urgent pointer"),
    pytest.param(lambda segment: segment._replace(payload=b"test"), id="text"),
    pytest.param(lambda segment: segment._replace(payload=b"text."), id="length"),
    pytest.param(lambda segment: segment._replace(options=flip(segment.options, -1)), id="digest"),
]


@EACH_KIND
@pytest.mark.parametrize("change", CHANGES)
def test_a_digest_covers_the_whole_segment(keys: Keys, change: Callable[[Segment], Segment]) -> None:
    pair = pair_with(keys)
    segment = text_of(pair)
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, change(segment))]))
    assert pair.server.drops() == [DropReason.SIGNATURE_WRONG]
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, segment)]))
    assert pair.read(pair.server, SERVER) == b"text"


@pytest.mark.parametrize(
    ("keys", "reasons"),
    [
        pytest.param(ao(), [DropReason.SIGNATURE_WRONG], id="covered"),
        pytest.param(ao(include_options=False), [], id="not covered"),
    ],
)
def test_options_are_covered_if_the_key_says_so(keys: Keys, reasons: list[DropReason]) -> None:
    pair = pair_with(keys)
    segment = text_of(pair)
    changed = encode(
        Timestamps(option.value + 1, option.echo) if isinstance(option, Timestamps) else option
        for option in decode(segment.options)
    )
    assert changed != segment.options
    segment = segment._replace(options=changed)
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, segment)]))
    assert pair.server.drops() == reasons


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda raw: raw + raw[-16:], DropReason.SIGNATURE_MALFORMED, id="two"),
        pytest.param(
            lambda raw: encode([Nop(), Nop(), Md5Signature(bytes(16))]) + raw[-16:],
            DropReason.SIGNATURE_MALFORMED,
            id="MD5 too",
        ),
        pytest.param(
            lambda raw: raw[:-16] + b"\x1d\x0c" + raw[-14:-4],
            DropReason.SIGNATURE_MALFORMED,
            id="a MAC of 64 bits",
        ),
        pytest.param(
            lambda raw: raw[:-16] + b"\x1d\x03\x3d\x01", DropReason.SIGNATURE_MALFORMED, id="length 3"
        ),
        pytest.param(
            lambda raw: raw[:-16] + b"\x1d\x11" + raw[-14:], DropReason.SIGNATURE_MISSING, id="past the end"
        ),
        pytest.param(
            lambda raw: raw[:-16] + b"\x00" + raw[-16:], DropReason.SIGNATURE_MISSING, id="after the end"
        ),
    ],
)
def test_a_damaged_option_is_no_signature(change: Callable[[bytes], bytes], reason: DropReason) -> None:
    """RFC 5925 section 2.2."""
    pair = pair_with(ao())
    segment = text_of(pair)
    segment = segment._replace(options=change(segment.options))
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, segment)]))
    assert pair.server.drops() == [reason]


# Peers without a key


def test_others_are_not_concerned_by_a_key() -> None:
    server = End("server", keys=[Md5Key(peer="10.9.9.9", secret="x")])
    pair = Pair(End("client"), server)
    pair.connect()
    pair.send(pair.client, CLIENT, b"hello")
    assert pair.read(pair.server, SERVER) == b"hello"
    assert not any(is_signed(segment) for segment in on_cable(pair))


@pytest.mark.parametrize("keys", [md5(), ao()], ids=["MD5", "AO"])
def test_a_signature_without_a_key_is_dropped_or_accepted_by_policy(keys: Keys) -> None:
    """RFC 5925 section 7.3."""
    elsewhere = [Md5Key(peer="10.9.9.9", secret="x")]
    for rule, state in (("drop", None), ("accept", State.SYN_RECEIVED)):
        config: Any = TcpConfig(unexpected_signatures=rule)  # type: ignore[arg-type]  # a loop's text
        pair = pair_with((keys[0], elsewhere), server=config)
        pair.connect()
        tcb = pair.server.stack.tcb(SERVER)
        assert (tcb and tcb.state) == state
        assert pair.server.drops() == ([DropReason.SIGNATURE_UNEXPECTED] if state is None else [])


def test_ao_takes_precedence_over_md5() -> None:
    """RFC 5925 section 8."""
    client, server = ([*old, *new] for old, new in zip(md5(), ao(), strict=True))
    pair = pair_with((client, server))
    pair.connect()
    kinds = {kind for segment in on_cable(pair) for kind, _, _ in signatures(segment.options)}
    assert kinds == {AUTHENTICATION}
    assert len(pair.client.established()) == len(pair.server.established()) == 1


# Strangers' resets


def test_a_reset_to_a_stranger_is_signed_with_md5() -> None:
    client, server = md5()
    pair = Pair(End("client", keys=client), End("server", None, Admission("443"), keys=server))
    pair.connect()
    assert [kind for kind, _, _ in signatures(pair.cable[-1][1].options)] == [MD5_SIGNATURE]
    assert pair.client.deleted() == [ConnectionRefusedError]


def test_ao_cannot_sign_a_reset_that_answers_a_syn() -> None:
    """RFC 5925 sections 5.2 and 7.7: the two do not know both numbers, so the peer's attempt times out."""
    client, server = ao()
    pair = Pair(End("client", keys=client), End("server", None, Admission("443"), keys=server))
    pair.connect()
    assert pair.server.sent() == ["R."]
    assert not is_signed(pair.cable[-1][1])
    assert pair.client.drops() == [DropReason.SIGNATURE_MISSING]
    assert pair.tcb(pair.client, CLIENT).state is State.SYN_SENT


@EACH_KIND
def test_a_reset_for_the_third_segment_is_signed(keys: Keys) -> None:
    """Its numbers are those of the handshake, though the server has forgotten it."""
    pair = pair_with(keys, server=TcpConfig(synack_retries=1))
    pair.lose = lambda number, _: number == 3
    pair.connect()
    ack = pair.cable[2][1]
    pair.server.perform(pair.server.stack.give_up(pair.tcb(pair.server, SERVER), TimeoutError))
    pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, ack)]))
    pair.run()
    assert is_signed(pair.cable[-1][1])
    assert pair.client.deleted() == [ConnectionResetError]


def test_text_of_a_connection_that_a_reboot_forgot_is_dropped() -> None:
    """RFC 5925 section 7.7; MD5 needs no numbers and resets it."""
    for keys, drops, letters in ((ao(), [DropReason.SIGNATURE_WRONG], []), (md5(), [], ["R"])):
        pair = pair_with(keys)
        pair.connect()
        pair.send(pair.client, CLIENT, b"before")
        pair.server = End("rebooted", keys=keys[1])
        pair.send(pair.client, CLIENT, b"after")
        assert (pair.server.drops(), pair.server.sent()) == (drops, letters)


# Room


@pytest.mark.parametrize(
    ("keys", "octets"), [pytest.param(md5(), 20, id="MD5"), pytest.param(ao(), 12 + 16, id="AO")]
)
def test_the_signature_comes_off_the_text_of_a_segment(keys: Keys, octets: int) -> None:
    """RFC 2385 section 4.3; the MSS option itself counts no options (RFC 9293 section 3.7.1)."""
    pair = pair_with(keys)
    pair.connect()
    assert [parse(segment.options).mss for segment in on_cable(pair)[:2]] == [1460, 1460]
    pair.send(pair.client, CLIENT, b"x" * 20_000)
    largest = max(on_cable(pair), key=lambda segment: len(segment.payload))
    assert len(largest.payload) + len(largest.options) == 1460
    assert len(largest.options) == octets
    assert pair.tcb(pair.client, CLIENT).snd_mss == 1460 - octets


@EACH_KIND
@pytest.mark.parametrize("timestamps", [False, True], ids=["no timestamps", "timestamps"])
@pytest.mark.parametrize("sack", [False, True], ids=["no SACK", "SACK"])
def test_options_fit_beside_the_signature(keys: Keys, *, timestamps: bool, sack: bool) -> None:
    config = TcpConfig(timestamps=timestamps, sack=sack)
    pair = pair_with(keys, client=config, server=config)
    pair.connect()
    before = len(pair.cable)
    pair.lose = lambda number, segment: bool(segment.payload) and number % 3 == before % 3
    pair.send(pair.client, CLIENT, b"x" * 30_000)
    pair.lose = lambda *_: False
    pair.advance(30)
    assert pair.read(pair.server, SERVER) == b"x" * 30_000
    assert max(len(segment.options) for segment in on_cable(pair)) <= 40
    has_blocks = any(parse(segment.options).sack for segment in on_cable(pair))
    has_stamps = any(parse(segment.options).ts_val is not None for segment in on_cable(pair))
    is_md5 = isinstance(keys[0][0], Md5Key)
    assert has_blocks is sack
    assert has_stamps is (timestamps and not (is_md5 and sack))


def test_a_smaller_path_leaves_room_for_the_signature() -> None:
    pair = pair_with(md5())
    pair.connect()
    tcb = pair.tcb(pair.client, CLIENT)
    pair.send(pair.client, CLIENT, b"x" * 10_000)
    pair.lose = lambda *_: True
    pair.send(pair.client, CLIENT, b"y" * 10_000)
    error = PathError(CLIENT, tcb.snd_una, OSError, hard=False, mtu=1000)
    pair.client.perform(pair.client.stack.receive_error(pair.now, error))
    assert tcb.snd_mss == 1000 - 40 - 20


# ICMP


@pytest.mark.parametrize(
    ("four_tuple", "hard", "mtu"),
    [
        pytest.param(CLIENT, True, None, id="IPv4, port unreachable"),
        pytest.param(CLIENT, False, 600, id="IPv4, fragmentation needed"),
        pytest.param(V6, True, None, id="IPv6, port unreachable"),
    ],
)
@pytest.mark.parametrize("accept", [False, True], ids=["by default", "accept_icmp"])
def test_icmp_errors_do_nothing_to_what_ao_protects(
    four_tuple: FourTuple, mtu: int | None, *, hard: bool, accept: bool
) -> None:
    """RFC 5925 section 7.8."""
    pair = pair_with(ao(accept_icmp=accept))
    pair.connect(four_tuple)
    pair.lose = lambda *_: True
    pair.send(pair.client, four_tuple, b"x" * 5000)
    tcb = pair.tcb(pair.client, four_tuple)
    before = tcb.snd_mss
    error = PathError(four_tuple, tcb.snd_una, ConnectionRefusedError, hard=hard, mtu=mtu)
    pair.client.perform(pair.client.stack.receive_error(pair.now, error))
    changed = tcb.snd_mss != before or tcb.soft_error is not None
    assert changed is accept
    assert (DropReason.ICMP_UNAUTHENTICATED in pair.client.drops()) is not accept


def test_an_icmp_error_may_end_what_ao_only_begins() -> None:
    pair = pair_with(ao())
    pair.lose = lambda *_: True
    pair.connect()
    error = PathError(CLIENT, pair.cable[0][1].seq, ConnectionRefusedError, hard=True)
    pair.client.perform(pair.client.stack.receive_error(pair.now, error))
    assert pair.client.deleted() == [ConnectionRefusedError]


# Sequence numbers that wrap


def test_the_extension_counts_on_when_numbers_wrap() -> None:
    """RFC 5925 section 6.2."""
    pair = pair_with(ao())
    pair.now = (MASK - 40_000 - iss_at(0.0)) / TICKS_PER_SECOND
    pair.connect()
    iss = pair.tcb(pair.client, CLIENT).iss
    for _ in range(10):
        pair.send(pair.client, CLIENT, b"x" * 10_000)
        pair.read(pair.server, SERVER)
    una = pair.tcb(pair.client, CLIENT).snd_una
    assert una == (iss + 100_001) & MASK
    assert iss > MASK - 50_000
    assert una < 100_000
    assert pair.server.drops() == pair.client.drops() == []


def iss_at(now: float) -> int:
    end = End("client")
    end.perform(end.stack.connect(now, CLIENT))
    return end.segments()[0].seq


# Keys that change


def both(*pairs: Keys) -> Keys:
    """Return the keys of both ends, the preferred first."""
    return [key for each in pairs for key in each[0]], [key for each in pairs for key in each[1]]


OLD, NEW = ao(1, 2, secret="old"), ao(3, 4, secret="new", algorithm="AES128")


def key_ids(segment: Segment) -> tuple[int, int]:
    ((_, _, data),) = signatures(segment.options)
    return data[0], data[1]


def test_a_connection_rolls_over_to_a_new_key_without_loss() -> None:
    """RFC 5925 section 6.1."""
    pair = pair_with(OLD)
    pair.connect()
    pair.client.stack.set_keys(both(OLD, NEW)[0])  # one end after the other learns the new key
    pair.send(pair.client, CLIENT, b"1")
    pair.server.stack.set_keys(both(NEW, OLD)[1])
    pair.send(pair.client, CLIENT, b"2")
    assert key_ids(pair.cable[-2][1]) == (1, 2)
    assert key_ids(pair.cable[-1][1]) == (2, 3)  # the server would rather receive the new key
    pair.send(pair.client, CLIENT, b"3")
    assert key_ids(pair.cable[-2][1]) == (3, 2)
    pair.client.stack.set_keys(NEW[0])
    pair.send(pair.client, CLIENT, b"4")
    pair.send(pair.server, SERVER, b"5")
    assert [key_ids(segment) for segment in on_cable(pair)[-2:]] == [(4, 3), (3, 4)]
    pair.server.stack.set_keys(NEW[1])
    pair.send(pair.server, SERVER, b"6")
    assert (pair.read(pair.server, SERVER), pair.read(pair.client, CLIENT)) == (b"1234", b"56")
    assert pair.client.drops() == pair.server.drops() == []


def test_a_key_that_the_peer_lacks_is_not_used() -> None:
    """RFC 5925 section 7.5, step 2.e: there is no action when the key is not available."""
    pair = pair_with(OLD)
    pair.connect()
    pair.server.stack.set_keys(both(NEW, OLD)[1])
    for _ in range(3):
        pair.send(pair.server, SERVER, b"x")
        pair.send(pair.client, CLIENT, b"x")
    assert {key_ids(segment)[0] for segment in on_cable(pair)} == {1, 2}
    assert pair.client.drops() == pair.server.drops() == []


def test_the_server_answers_with_the_key_that_the_client_chose() -> None:
    pair = pair_with((OLD[0], both(NEW, OLD)[1]))
    pair.connect()
    assert [key_ids(segment) for segment in on_cable(pair)] == [(1, 2), (2, 3), (1, 2)]
    assert len(pair.server.established()) == 1


def test_a_key_that_was_taken_away_is_not_accepted_any_more() -> None:
    pair = pair_with(both(OLD, NEW))
    pair.connect()
    pair.server.stack.set_keys(NEW[1])
    pair.send(pair.client, CLIENT, b"x")
    assert pair.server.drops() == [DropReason.SIGNATURE_KEY_UNKNOWN]


def test_a_connection_never_loses_its_last_key() -> None:
    """RFC 5925 section 3.1: what protects a connection is not destroyed while it lasts."""
    for keys in (OLD, md5()):
        pair = pair_with(keys)
        pair.connect()
        pair.server.stack.set_keys([])
        pair.client.stack.set_keys([Md5Key(peer="10.9.9.9", secret="x")])
        pair.send(pair.client, CLIENT, b"text")
        assert pair.read(pair.server, SERVER) == b"text"
        assert all(is_signed(segment) for segment in on_cable(pair))


def test_an_unprotected_connection_stays_so() -> None:
    pair = Pair()
    pair.connect()
    pair.server.stack.set_keys(md5()[1])
    pair.send(pair.client, CLIENT, b"text")
    assert pair.read(pair.server, SERVER) == b"text"


def test_md5_secrets_change_on_both_ends_at_once() -> None:
    """RFC 2385 section 1.0."""
    pair = pair_with(md5("old"))
    pair.connect()
    new = md5("new")
    pair.client.stack.set_keys(new[0])
    pair.send(pair.client, CLIENT, b"text")
    assert pair.server.drops() == [DropReason.SIGNATURE_WRONG]
    pair.server.stack.set_keys(new[1])
    pair.advance(5)
    assert pair.read(pair.server, SERVER) == b"text"


def test_keys_that_do_not_go_together_change_nothing() -> None:
    pair = pair_with(OLD)
    pair.connect()
    with pytest.raises(BadConfigError):
        pair.client.stack.set_keys([*OLD[0], *ao(1, 9)[0]])
    pair.send(pair.client, CLIENT, b"text")
    assert pair.read(pair.server, SERVER) == b"text"


# Replay


def test_segments_of_an_earlier_connection_are_not_authentic() -> None:
    """RFC 5925 section 5.3.1: each connection has traffic keys of its own; MD5 has one key for all."""
    for keys, expected in ((ao(), DropReason.SIGNATURE_WRONG), (md5(), None)):
        pair = pair_with(keys)
        pair.connect()
        pair.send(pair.client, CLIENT, b"text")
        old = pair.cable[-2][1]
        pair.abort(pair.client, CLIENT)
        pair.now += 5
        pair.connect()
        pair.server.perform(pair.server.stack.receive(pair.now, [(SERVER, old)]))
        drops = [reason for reason in pair.server.drops() if reason is DropReason.SIGNATURE_WRONG]
        assert drops == ([expected] if expected else [])


# What people see


def test_the_status_names_keys_and_no_secret() -> None:
    """RFC 5925 section 7.1."""
    pair = pair_with(both(OLD, NEW))
    pair.connect()
    info = pair.tcb(pair.client, CLIENT).signer
    assert info is not None
    assert info.info._asdict() == {
        "algorithm": "SHA1",
        "current": 1,
        "rnext": 2,
        "received": 2,
        "received_rnext": 1,
        "keys": ((1, 2), (3, 4)),
    }
