"""The codec against Scapy, byte for byte in both directions, and against broken frames."""

from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption,
    IPOption_NOP,
    IPOption_Router_Alert,
    IPOption_RR,
    IPOption_Timestamp,
)
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from xsocket.errors import HostUnreachableError, NetworkUnreachableError
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import SYN, Segment
from xsocket.wire.arp import ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket.wire.ip import Ipv4, Ipv6

CHUNKS = 10
CHUNK = 1_000

Layer = Any
"""Scapy has no types of its own."""

US, PEER = "02:00:00:00:00:02", "02:00:00:00:00:01"


# What Scapy makes up


def random_mac(random: Random) -> str:
    return random.randbytes(6).hex(":")


def random_ipv4(random: Random) -> Layer:
    options = [
        IPOption_NOP(),
        IPOption_Router_Alert(),
        IPOption_RR(routers=["192.0.2.1"]),
        IPOption_Timestamp(),
        IPOption(copy_flag=1, optclass=2, option=30, value=random.randbytes(random.randrange(5))),
    ]
    return IP(
        src=str(ip_address(random.randbytes(4))),
        dst=str(ip_address(random.randbytes(4))),
        tos=random.randrange(256),
        id=random.randrange(65_536),
        flags=random.choice(("", "DF", "evil", "DF+evil")),
        ttl=random.randrange(256),
        options=random.sample(options, random.choice((0, 0, 1, 2))),
    )


def random_ipv6(random: Random) -> Layer:
    source, destination = (
        b"".join(random.choice((b"\0\0", b"\0\1", random.randbytes(2))) for _ in range(8)) for _ in range(2)
    )
    layer = IPv6(
        src=str(ip_address(source)),
        dst=str(ip_address(destination)),
        tc=random.randrange(256),
        fl=random.randrange(1 << 20),
        hlim=random.randrange(256),
    )
    if random.random() < 0.2:
        layer /= IPv6ExtHdrHopByHop(options=[PadN(optdata=random.randbytes(4))])
    if random.random() < 0.2:
        layer /= IPv6ExtHdrRouting(type=253, segleft=0, addresses=["2001:db8::1"] * random.randrange(3))
    if random.random() < 0.2:
        layer /= IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=random.randbytes(6))])
    return layer


def random_tcp(random: Random) -> Layer:
    options = [
        ("MSS", random.randrange(65_536)),
        ("NOP", None),
        ("WScale", random.randrange(256)),
        ("SAckOK", b""),
        ("Timestamp", (random.randrange(1 << 32), random.randrange(1 << 32))),
        (253, random.randbytes(random.randrange(6))),
        ("TFO", (random.randrange(1 << 32), random.randrange(1 << 32))),
    ]
    return TCP(
        sport=random.randrange(1, 65_536),
        dport=random.randrange(1, 65_536),
        seq=random.randrange(1 << 32),
        ack=random.randrange(1 << 32),
        reserved=random.randrange(8),
        flags=random.randrange(512),
        window=random.randrange(65_536),
        urgptr=random.randrange(65_536),
        options=random.sample(options, random.randrange(4)),
    ) / random.randbytes(random.choice((0, 1, 2, 7, random.randrange(1400))))


def random_frame(random: Random) -> tuple[bytes, Layer]:
    """Build with Scapy one frame of everything the codec claims to read; return it and its layers."""
    layers = Ether(src=random_mac(random), dst=random_mac(random))
    if random.random() < 0.25:
        layers /= Dot1Q(vlan=random.randrange(4096), prio=random.randrange(8))
    layers /= random_ipv4(random) if random.random() < 0.5 else random_ipv6(random)
    layers /= random_tcp(random)
    return padded(bytes(layers)), layers


def padded(frame: bytes) -> bytes:
    """Return *frame* as Ethernet pads it."""
    return frame + bytes(max(0, 60 - len(frame)))


def tcp_fields(packet: TcpPacket) -> tuple[object, ...]:
    """What Scapy's TCP and IP layers call these fields."""
    four_tuple, segment, ip = packet.four_tuple, packet.segment, packet.ip
    common = (
        four_tuple.remote_port,
        four_tuple.local_port,
        segment.seq,
        segment.acknowledgment,
        segment.flags,
        segment.window,
        segment.urgent,
        segment.payload,
        segment.ecn,
        ip.source,
        ip.destination,
    )
    if isinstance(ip, Ipv4):
        return (*common, ip.tos, ip.ident, ip.flags, ip.ttl)
    return (*common, ip.traffic_class, ip.flow_label, ip.hop_limit)


def scapy_fields(layers: Layer) -> tuple[object, ...]:
    tcp = layers[TCP]
    flags = int(tcp.reserved) << 9 | int(tcp.flags)
    ip = layers[IP] if IP in layers else layers[IPv6]
    ecn = (ip.tos if IP in layers else ip.tc) & 3
    common = (tcp.sport, tcp.dport, tcp.seq, tcp.ack, flags, tcp.window, tcp.urgptr, bytes(tcp.payload), ecn)
    if IP in layers:
        return (*common, ip.src, ip.dst, ip.tos, ip.id, int(ip.flags), ip.ttl)
    addresses = str(ip_address(ip.src)), str(ip_address(ip.dst))  # the C library's spelling may differ
    return (*common, *addresses, ip.tc, ip.fl, ip.hlim)


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_what_scapy_writes_and_reads_we_read_and_write(seed: int) -> None:
    """10,000 frames: Scapy to us and us to Scapy, byte for byte, with equal fields and valid checksums."""
    random = Random(seed)
    for _ in range(CHUNK):
        frame, layers = random_frame(random)
        packet = decode(frame)
        assert isinstance(packet, TcpPacket), (packet, frame.hex())
        assert tcp_fields(packet) == scapy_fields(layers)
        assert encode(packet) == frame
        assert without_padding(rebuilt_by_scapy(frame)) == without_padding(frame)


def rebuilt_by_scapy(frame: bytes) -> bytes:
    """Return what Scapy builds from what it reads in *frame*, all lengths and checksums computed by Scapy."""
    layers = Ether(frame)
    tcp = layers[TCP]
    del tcp.chksum
    if IP in layers:
        ip = layers[IP]
        del ip.chksum, ip.len
    else:
        del layers[IPv6].plen
    return bytes(layers)


def without_padding(frame: bytes) -> bytes:
    return frame.rstrip(b"\0")


def test_a_random_segment_of_ours_is_read_by_scapy() -> None:
    """The sending path: fields, options and both checksums."""
    random = Random(1)
    for _ in range(500):
        segment, four_tuple = random_segment(random), random_four_tuple(random)
        prefix = bytes.fromhex("020000000001020000000002") + (
            b"\x86\xdd" if four_tuple.family == 6 else b"\x08\0"
        )
        ttl, ident, dscp = random.randrange(256), random.randrange(65_536), random.randrange(64)
        frame = encode_segment(prefix, four_tuple, segment, ttl, ident, dscp)
        assert rebuilt_by_scapy(frame)[:40] == frame[:40]
        received = decode(frame)
        assert isinstance(received, TcpPacket)
        assert (received.four_tuple, received.segment) == (four_tuple.reversed, segment)
        assert encode(received) == frame


def test_every_ipv4_packet_says_dont_fragment() -> None:
    """RFC 1191 section 3: or no router would ever say that one was too big."""
    random = Random(2)
    for _ in range(50):
        four_tuple = FourTuple("10.0.0.2", 80, "10.0.0.1", random.randrange(1, 65_536))
        assert IP(encode_segment(b"", four_tuple, random_segment(random))).flags == "DF"


def random_segment(random: Random) -> Segment:
    return Segment(
        random.randrange(1 << 32),
        random.randrange(1 << 32),
        random.randrange(4096),
        random.randrange(65_536),
        b"\x01" * (4 * random.randrange(11)),
        random.randbytes(random.randrange(64)),
        random.randrange(65_536),
        random.randrange(4),
    )


def random_four_tuple(random: Random) -> FourTuple:
    size = random.choice((4, 16))
    ends = [(str(ip_address(random.randbytes(size))), random.randrange(1, 65_536)) for _ in range(2)]
    return FourTuple(*ends[0], *ends[1])


# The other packets


def ethernet() -> Layer:
    return Ether(src=PEER, dst=US)


def ipv4(**fields: Layer) -> Layer:
    return IP(**{"src": "10.0.0.1", "dst": "10.0.0.2", **fields})


def ipv6(**fields: Layer) -> Layer:
    return IPv6(**{"src": "fd00::1", "dst": "fd00::2", **fields})


def arp(**fields: Layer) -> Layer:
    return ARP(**{"hwsrc": PEER, "psrc": "10.0.0.1", **fields})


def syn(ip: Layer | None = None, **fields: Layer) -> bytes:
    """One valid SYN with some fields changed."""
    return bytes(ethernet() / (ip or ipv4()) / TCP(**{"sport": 40_000, "dport": 80, "flags": "S", **fields}))


@pytest.mark.parametrize("padding", [b"", bytes(18)], ids=["bare", "padded"])
def test_arp_round_trips(padding: bytes) -> None:
    frame = bytes(ethernet() / arp(op=1, pdst="10.0.0.2")) + padding
    packet = decode(frame)
    assert isinstance(packet, ArpPacket)
    assert (packet.operation, packet.sender_address, packet.target_address) == (1, "10.0.0.1", "10.0.0.2")
    assert encode(packet) == frame


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(ipv4() / ICMP(id=7, seq=1) / b"ping", id="icmp"),
        pytest.param(ipv6() / ICMPv6EchoRequest(id=7, seq=1, data=b"ping"), id="icmpv6"),
    ],
)
def test_echo_round_trips(layers: Layer) -> None:
    frame = bytes(ethernet() / layers)
    packet = decode(frame)
    assert isinstance(packet, IcmpPacket)
    assert packet.is_echo_request
    assert packet.body == b"\0\7\0\1ping"
    assert encode(packet) == frame


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        pytest.param(
            ipv4() / ICMP(type=3, code=4, nexthopmtu=1400), ipv4(src="10.0.0.2", dst="192.0.2.1"), id="icmp"
        ),
        pytest.param(
            ipv6() / ICMPv6PacketTooBig(mtu=1400), ipv6(src="fd00::2", dst="2001:db8::1"), id="icmpv6"
        ),
    ],
)
def test_an_error_names_the_segment_it_is_about(outer: Layer, inner: Layer) -> None:
    quoted = bytes(inner / TCP(sport=80, dport=40_000, seq=99, flags="SA"))
    packet = decode(bytes(ethernet() / outer / quoted))
    assert isinstance(packet, IcmpPacket)
    assert packet.is_error
    assert packet.next_hop_mtu == 1400
    assert packet.quoted == quoted
    found = path_error(packet)
    assert isinstance(found, PathError)
    assert found.mtu == 1400
    assert found.four_tuple == FourTuple(inner.src, 80, inner.dst, 40_000)
    assert found.seq == 99


@pytest.mark.parametrize("octets", [0, 1, 19, 27])
def test_an_error_that_quotes_too_little_is_about_nothing(octets: int) -> None:
    quoted = bytes(ipv4() / TCP())[:octets]
    packet = decode(bytes(ethernet() / ipv4() / ICMP(type=3, code=1) / quoted))
    assert isinstance(packet, IcmpPacket)
    assert path_error(packet) is DropReason.ICMP_MALFORMED


def test_an_error_about_another_protocol_is_about_nothing() -> None:
    quoted = bytes(ipv4() / UDP() / bytes(20))
    packet = decode(bytes(ethernet() / ipv4() / ICMP(type=3, code=1) / quoted))
    assert isinstance(packet, IcmpPacket)
    assert path_error(packet) is DropReason.ICMP_NO_CONNECTION


V4_MEANINGS = {
    (3, 0): (NetworkUnreachableError, False),
    (3, 1): (HostUnreachableError, False),
    (3, 2): (ConnectionRefusedError, True),
    (3, 3): (ConnectionRefusedError, True),
    (3, 5): (HostUnreachableError, False),
    (3, 13): (HostUnreachableError, True),
    (11, 0): (HostUnreachableError, False),
    (12, 0): (HostUnreachableError, False),
}
V6_MEANINGS = {
    (1, 0): (NetworkUnreachableError, False),
    (1, 1): (PermissionError, True),
    (1, 3): (HostUnreachableError, False),
    (1, 4): (ConnectionRefusedError, True),
    (3, 0): (HostUnreachableError, False),
    (4, 1): (HostUnreachableError, False),
}


def error_about_a_segment(version: int, kind: int, code: int, mtu: int = 0) -> PathError | DropReason:
    outer = ipv4() if version == 4 else ipv6()
    inner = ipv4() if version == 4 else ipv6()
    quoted = bytes(inner / TCP() / bytes(1460))
    rest = mtu.to_bytes(4, "big")
    message = IcmpPacket(
        decode_ethernet(bytes(ethernet() / outer)), address_of(outer, version), kind, code, rest + quoted
    )
    return path_error(message)


def decode_ethernet(frame: bytes) -> Ethernet:
    return Ethernet(frame[:6], frame[6:12])


def address_of(layer: Layer, version: int) -> Ipv4 | Ipv6:
    return Ipv4(layer.src, layer.dst) if version == 4 else Ipv6(layer.src, layer.dst)


@pytest.mark.parametrize(
    ("version", "kind", "code", "meaning"),
    [(4, *key, value) for key, value in V4_MEANINGS.items()]
    + [(6, *key, value) for key, value in V6_MEANINGS.items()],
)
def test_what_an_error_means(version: int, kind: int, code: int, meaning: tuple[type[OSError], bool]) -> None:
    found = error_about_a_segment(version, kind, code)
    assert isinstance(found, PathError)
    assert (found.error, found.hard, found.mtu) == (*meaning, None)


@pytest.mark.parametrize(("version", "kind", "code"), [(4, 3, 16), (6, 1, 7)])
def test_an_error_with_an_unknown_code_is_ignored(version: int, kind: int, code: int) -> None:
    assert error_about_a_segment(version, kind, code) is DropReason.ICMP_IGNORED


def test_a_router_that_does_not_say_its_mtu_is_guessed() -> None:
    """RFC 1191 section 5: the next plateau below the packet that was too big."""
    found = error_about_a_segment(4, 3, 4, mtu=0)
    assert isinstance(found, PathError)
    assert found.mtu == 1492


# Broken frames


def patched(frame: bytes, at: int, octets: bytes) -> bytes:
    return frame[:at] + octets + frame[at + len(octets) :]


SYN_FRAME = syn()
DROPPED = [
    ("nothing", b"", DropReason.FRAME_TOO_SHORT),
    ("13 octets", bytes(13), DropReason.FRAME_TOO_SHORT),
    ("cut in the tag", bytes(12) + b"\x81\x00\0\0", DropReason.FRAME_TOO_SHORT),
    ("LLC", bytes(12) + b"\0\x26" + bytes(46), DropReason.UNKNOWN_ETHERTYPE),
    ("two tags", bytes(ethernet() / Dot1Q() / Dot1Q() / ipv4() / TCP()), DropReason.UNKNOWN_ETHERTYPE),
    ("ARP cut", bytes(ethernet() / arp())[:41], DropReason.ARP_MALFORMED),
    ("ARP for IPv6", bytes(ethernet() / arp(ptype=0x86DD)), DropReason.ARP_MALFORMED),
    ("ARP operation 3", bytes(ethernet() / arp(op=3)), DropReason.ARP_MALFORMED),
    ("ARP from a group", bytes(ethernet() / arp(hwsrc="01:00:5e:00:00:01")), DropReason.ARP_MALFORMED),
    ("IPv4 of version 6", patched(SYN_FRAME, 14, b"\x65"), DropReason.IP_BAD_VERSION),
    ("IPv6 of version 4", patched(syn(ipv6()), 14, b"\x45"), DropReason.IP_BAD_VERSION),
    ("IPv4 header of 4 words", patched(SYN_FRAME, 14, b"\x44"), DropReason.IP_BAD_LENGTH),
    ("IPv4 header past the end", patched(SYN_FRAME, 14, b"\x4f"), DropReason.IP_BAD_LENGTH),
    ("IPv4 cut", SYN_FRAME[:33], DropReason.IP_BAD_LENGTH),
    ("IPv4 total length past the end", patched(SYN_FRAME, 16, b"\0\x29"), DropReason.IP_BAD_LENGTH),
    ("IPv4 total length 0", patched(SYN_FRAME, 16, b"\0\0"), DropReason.IP_BAD_LENGTH),
    ("IPv6 cut", syn(ipv6())[:53], DropReason.IP_BAD_LENGTH),
    ("IPv6 payload past the end", syn(ipv6())[:-1], DropReason.IP_BAD_LENGTH),
    ("IPv4 checksum", patched(SYN_FRAME, 22, b"\x01"), DropReason.IP_BAD_CHECKSUM),
    ("first fragment", syn(ipv4(flags="MF")), DropReason.IP_FRAGMENT),
    ("later fragment", syn(ipv4(frag=8)), DropReason.IP_FRAGMENT),
    ("IPv6 fragment", syn(ipv6() / IPv6ExtHdrFragment()), DropReason.IP_FRAGMENT),
    ("IPv4 UDP", bytes(ethernet() / ipv4() / UDP()), DropReason.IP_UNKNOWN_PROTOCOL),
    ("IPv6 UDP", bytes(ethernet() / ipv6() / UDP()), DropReason.IP_UNKNOWN_PROTOCOL),
    ("ICMP over IPv6", bytes(ethernet() / ipv6(nh=1) / ICMP()), DropReason.IP_UNKNOWN_PROTOCOL),
    ("no next header", bytes(ethernet() / ipv6(nh=59)), DropReason.IP_UNKNOWN_PROTOCOL),
    ("segments left", syn(ipv6() / IPv6ExtHdrRouting(segleft=1)), DropReason.IP_BAD_EXTENSION),
    (
        "hop-by-hop not first",
        syn(ipv6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop()),
        DropReason.IP_BAD_EXTENSION,
    ),
    (
        "an option that says: discard",
        syn(ipv6() / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x5E, optdata=bytes(4))])),
        DropReason.IP_BAD_EXTENSION,
    ),
    (
        "an option past its header",
        syn(ipv6() / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optlen=9, optdata=bytes(4))])),
        DropReason.IP_BAD_EXTENSION,
    ),
    (
        "a header past the packet",
        bytes(ethernet() / ipv6(nh=60) / b"\x06\x07" / bytes(30)),
        DropReason.IP_BAD_EXTENSION,
    ),
    (
        "a chain without end",
        bytes(ethernet() / ipv6(nh=60) / (b"\x3c\0" + bytes(6)) / (b"\x3c\0\1\4\0\0\0\0" * 20)),
        DropReason.IP_BAD_EXTENSION,
    ),
    ("TCP of 19 octets", bytes(ethernet() / ipv4(proto=6) / bytes(19)), DropReason.TCP_TOO_SHORT),
    ("TCP of 19 octets over IPv6", bytes(ethernet() / ipv6(nh=6) / bytes(19)), DropReason.TCP_TOO_SHORT),
    ("offset 4", syn(dataofs=4), DropReason.TCP_BAD_OFFSET),
    ("offset past the end", syn(dataofs=6), DropReason.TCP_BAD_OFFSET),
    ("offset past the end, IPv6", syn(ipv6(), dataofs=6), DropReason.TCP_BAD_OFFSET),
    ("offset into the padding", padded(syn(dataofs=6)), DropReason.TCP_BAD_OFFSET),
    ("TCP checksum", syn(chksum=1), DropReason.TCP_BAD_CHECKSUM),
    ("TCP checksum over IPv6", syn(ipv6(), chksum=1), DropReason.TCP_BAD_CHECKSUM),
    ("source port 0", syn(sport=0), DropReason.TCP_PORT_ZERO),
    ("destination port 0", syn(dport=0), DropReason.TCP_PORT_ZERO),
    ("ICMP of 3 octets", bytes(ethernet() / ipv4(proto=1) / b"\x08\0\0"), DropReason.ICMP_MALFORMED),
    ("ICMP checksum", bytes(ethernet() / ipv4() / ICMP(chksum=1)), DropReason.ICMP_BAD_CHECKSUM),
    (
        "ICMPv6 checksum",
        bytes(ethernet() / ipv6() / ICMPv6EchoRequest(cksum=1)),
        DropReason.ICMP_BAD_CHECKSUM,
    ),
]


@pytest.mark.parametrize(
    ("frame", "reason"), [pytest.param(frame, reason, id=name) for name, frame, reason in DROPPED]
)
def test_a_broken_frame_has_a_reason(frame: bytes, reason: DropReason) -> None:
    assert decode(frame) is reason


@pytest.mark.parametrize(
    "build", [lambda: syn(chksum=1), lambda: syn(ipv6(), chksum=1)], ids=["ipv4", "ipv6"]
)
def test_a_checksum_that_is_not_ready_is_not_verified(build: Callable[[], bytes]) -> None:
    assert isinstance(decode(build(), checksum_ready=False), TcpPacket)


def test_padding_is_no_text() -> None:
    packet = decode(padded(SYN_FRAME))
    assert isinstance(packet, TcpPacket)
    assert packet.segment.payload == b""
    assert packet.trailer == bytes(6)


def test_an_offload_larger_than_ipv4_can_say_is_taken_whole() -> None:
    """Linux "BIG TCP": a total length of 0 and more octets than 16 bits count."""
    text = bytes(70_000)
    prefix = bytes(12) + b"\x08\x00"
    headers = encode_segment(prefix, FourTuple("10.0.0.1", 1, "10.0.0.2", 2), Segment(0, 0, SYN))
    header = IP(headers[14:34])
    header.len = 0
    del header.chksum
    packet = decode(prefix + bytes(header)[:20] + headers[34:] + text, checksum_ready=False)
    assert isinstance(packet, TcpPacket)
    assert len(packet.segment.payload) == len(text)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("::ffff:192.0.2.1", "::ffff:192.0.2.1", id="mapped"),
        pytest.param("::192.0.2.1", "::192.0.2.1", id="compatible"),
        pytest.param("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1", id="two runs"),
    ],
)
def test_the_four_tuple_has_canonical_addresses(source: str, text: str) -> None:
    packet = decode(syn(ipv6(src=source)))
    assert isinstance(packet, TcpPacket)
    assert packet.four_tuple == FourTuple("fd00::2", 80, text, 40_000)


def test_headers_are_values_that_build_frames() -> None:
    """The general way writes anything: here what the kernel of a fuzzer's target might get."""
    packet = TcpPacket(
        FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000),
        Segment(1, 2, SYN, 3, b"\x01" * 4, b"x", 4),
        Ethernet(bytes(6), b"\x02" * 6, tag=0x6005),
        Ipv4("10.0.0.1", "10.0.0.2", ttl=1, options=b"\x01" * 4),
    )
    assert decode(encode(packet)) == packet
    over_ipv6 = packet._replace(
        four_tuple=FourTuple("fd00::2", 80, "fd00::1", 40_000), ip=Ipv6("fd00::1", "fd00::2", flow_label=5)
    )
    assert decode(encode(over_ipv6)) == over_ipv6
