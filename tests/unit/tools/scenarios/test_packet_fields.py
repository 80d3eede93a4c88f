"""Packets of any fields at all, in any state: a script is at fault then, and is told so."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from support.scenarios import HANDSHAKE
from xsocket_tools.scenarios.errors import ScriptSyntaxError
from xsocket_tools.scenarios.outcome import Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.settings import IpVersion, Settings

LISTENING = """
0   socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 5) = 0
"""
OPENING = """
0   socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0  connect(3, ..., ...) = -1 EINPROGRESS
+0  > S 0:0(0) <...>
"""
HALF_OPEN = f"{LISTENING}+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
WORDS = st.sampled_from((0, 1, 2, 11, 1001, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))
HALVES = st.sampled_from((1, 536, 8080, 0xFFFF))
LENGTHS = st.sampled_from((0, 0, 1, 10, 1460, 1461, 65_475, 65_535))
IP = st.sampled_from(
    ("", "(ect0)", "[ce]", "(tos 0x3)", "(ttl 0)", "(flowlabel 0xfffff)", "(noecn, ttl 255)")
)
FLAGS = st.sampled_from(
    ("S", "S.", ".", "P.", "F.", "R", "R.", "-", "SF", "SR", "FPU", "SEW", ".7", "SFRPUEWA.")
)
OCTETS = st.binary(min_size=1, max_size=41).map(bytes.hex)
OPTION = st.one_of(
    st.sampled_from(("nop", "eol", "sackOK", "FO", "FOEXP", "exp 0xf989", "raw 0200", "raw 02", "raw 08ff")),
    st.builds("mss {}".format, HALVES),
    st.builds("wscale {}".format, st.integers(0, 255)),
    st.builds("TS val {} ecr {}".format, WORDS, st.just(0)),
    st.builds("sack {}:{} {}:{}".format, WORDS, WORDS, WORDS, WORDS),
    st.builds("{} {}".format, st.sampled_from(("FO", "FOEXP", "exp 0xf989", "raw")), OCTETS),
    st.builds("ECN e1b {} ceb {} e0b {}".format, WORDS, WORDS, WORDS),
)
OPTIONS = st.lists(OPTION, max_size=5).map(lambda each: f"<{','.join([*each, 'eol'])}>")
DAMAGE = st.sampled_from(
    ("", "", "checksum", "length", "length -20", "length 65535", "offset 0", "offset 15")
)


def segment(*parts: object) -> str:
    ip, ports, flags, seq, length, ack, window, options, damage = parts
    numbers = f"{seq}:{(seq + length) % (1 << 32)}({length})"  # type: ignore[operator]
    bad = f" bad {damage}" if damage else ""
    return f"< {ip} {ports} {flags} {numbers} ack {ack} win {window} {options}{bad}"


PORTS = st.one_of(st.just(""), st.builds("{} > {}".format, HALVES, HALVES))
SEGMENT = st.builds(segment, IP, PORTS, FLAGS, WORDS, LENGTHS, WORDS, HALVES, OPTIONS, DAMAGE)
ICMP = st.builds(
    "< {} icmp {} mtu {} [{}:{}({})]".format,
    IP,
    st.sampled_from(
        ("unreachable frag_needed", "unreachable port_unreachable", "packet_too_big", "time_exceeded")
    ),
    st.sampled_from((0, 68, 1280, 65_535, (1 << 32) - 1)),
    *(st.just(1), st.just(11), st.just(10)),
)
EVENT = st.builds("{} {}\n".format, st.sampled_from(("+0", "+.2", "+100")), st.one_of(SEGMENT, ICMP))


@settings(deadline=None)
@given(
    before=st.sampled_from((LISTENING, OPENING, HALF_OPEN, HANDSHAKE)),
    events=st.lists(EVENT, min_size=1, max_size=5),
    version=st.sampled_from(("ipv4", "ipv6", "ipv4-mapped-ipv6")),
)
def test_no_packet_is_a_fault_of_ours(before: str, events: list[str], version: IpVersion) -> None:
    try:
        script = read(before + "".join(events), "a.pkt")
    except ScriptSyntaxError:
        return
    outcome = run(script, "sim", Settings(ip_version=version))
    if outcome.status is Status.ERROR:
        assert outcome.failure is not None
        assert outcome.failure.remedy
        assert outcome.failure.line
    else:
        assert outcome.status in (Status.PASSED, Status.FAILED, Status.UNSUPPORTED)
