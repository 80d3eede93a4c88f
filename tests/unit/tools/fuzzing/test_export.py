"""Cases as scripts that pass where they were played, and as captures that say what packets are about."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.liar import Liar
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket_tools.capture import INBOUND, OUTBOUND
from xsocket_tools.fuzzing.case import Call, Case, Icmp, Operation, Place, Say, Tick
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.export import Exported, exported, write_pcapng
from xsocket_tools.fuzzing.export.captures import captured_frames
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.playing import Played, play
from xsocket_tools.fuzzing.target import Target
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.scenarios.formatting import formatted
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.settings import Settings, ip_versions

SYN_WITH_MSS = Say(0, SYN, options=("mss 1460",))
HANDSHAKE = (SYN_WITH_MSS, Say(0, ACK))
SEED = 41


def outcome_of(text: str) -> Outcome:
    """Run a script in virtual time."""
    script = read(text, "exported.pkt")
    (version,) = ip_versions(script)
    return run(script, "sim", Settings(ip_version=version))


def played(
    *operations: Operation, target: Target | None = None, judged: bool = False, **rules: object
) -> Played:
    case = Case(operations, tuple(sorted(rules.items())), isn=1000)
    return play(case, target or EngineTarget(), judged=judged, with_steps=True)


def script(*operations: Operation, **rules: object) -> Exported:
    return exported(played(*operations, **rules), EngineTarget())


def events(text: str) -> list[str]:
    """Return the lines of a script behind its flags and commands, without those that are blank."""
    lines = [line for line in text.splitlines() if line]
    return lines[next(at for at, line in enumerate(lines) if line.startswith("0 ")) :]


# Scripts of generated cases


def generated(peers: list[int], count: int) -> dict[int, Exported]:
    target, generator = EngineTarget(), Generator(SEED, peers=peers)
    found = {}
    for number in range(count):
        case = generator.case(number)
        found[number] = exported(play(case, target, judged=False, with_steps=True), target)
    return found


def failed(scripts: dict[int, Exported]) -> dict[int, str]:
    outcomes = {number: outcome_of(each.text) for number, each in scripts.items()}
    return {
        number: f"{outcome.reason}: {outcome.failure}"
        for number, outcome in outcomes.items()
        if outcome.status is not Status.PASSED
    }


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_what_was_played_on_the_engine_passes_on_the_engine(version: int) -> None:
    scripts = generated([at for at, peer in enumerate(PEERS) if peer.version == version], 100)
    whole = {number: each for number, each in scripts.items() if not each.is_partial}
    assert len(whole) >= len(scripts) / 2
    assert failed(whole) == {}


def test_what_does_not_depend_on_what_is_left_out_passes_as_well() -> None:
    scripts = generated(list(range(len(PEERS))), 100)
    partial = {number: each for number, each in scripts.items() if each.is_partial}
    holding = {number: each for number, each in partial.items() if each.holds}
    assert len(holding) >= len(partial) / 2
    assert failed(holding) == {}
    assert all("// not expressible: " in each.text for each in partial.values())


def test_scripts_are_in_the_one_layout() -> None:
    texts = [each.text for each in generated(list(range(len(PEERS))), 40).values()]
    assert [text for text in texts if formatted(text) != text] == []


# What a script has


def test_a_server_from_the_first_syn_to_the_reset() -> None:
    found = script(
        *HANDSHAKE,
        Call(0, "claim"),
        Say(0, ACK | PSH, text=5),
        Call(0, "receive", 100),
        Call(0, "send", 10),
        Tick(0.25),
        Say(0, ACK),
        Call(0, "abort"),
        Say(0, ACK),
    )
    assert not found.is_partial
    assert found.holds
    assert found.text.startswith(
        "// A case of `xsocket fuzz` of 10 operations, as it was played on engine.\n"
    )
    assert "--ip_version=ipv4\n" in found.text
    assert events(found.text) == [
        "0       socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
        "+0      fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
        "+0      bind(3, ..., ...) = 0",
        "+0      listen(3, 65535) = 0",
        "+0      < S 1000:1000(0) win 65535 <mss 1460>",
        "+0      > S. 0:0(0) ack 1001 win 65535 <mss 1460>",
        "+0      state SYN_RECEIVED",
        "+0      < . 1:1(0) ack 1 win 65535",
        "+0      state ESTABLISHED",
        "+0      accept(3, ..., ...) = 4",
        "+0      fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
        "+0      < P. 1:6(5) ack 1 win 65535",
        "+0      > . 1:1(0) ack 6 win 65530",
        "+0      read(4, ..., 100) = 5",
        "+0      write(4, ..., 10) = 10",
        "+0      > P. 1:11(10) ack 6 win 65530",
        "+0.2    > P. 1:11(10) ack 6 win 65530",
        "+0.05   < . 6:6(0) ack 11 win 65535",
        "+0      setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0",
        "+0      close(4) = 0",
        "+0      > R. 11:11(0) ack 6 win 0",
        "+0      state CLOSED",
        "+0      < . 6:6(0) ack 11 win 65535",
        "+0      > R 11:11(0) win 0",
        "+0      silence",
    ]


def test_a_client_and_the_time_that_passes() -> None:
    found = script(
        Call(6, "open"),
        Say(6, SYN | ACK, options=("mss 1000",)),
        Call(6, "shutdown"),
        Tick(1.0),
        timestamps=False,
    )
    assert "--ip_version=ipv6\n--mtu=1500\n" in found.text
    assert "`sysctl -q net.ipv4.tcp_timestamps=0`" in found.text
    assert events(found.text)[2:] == [
        "+0      bind(3, ..., ...) = 0",
        "+0      connect(3, ..., ...) = -1 EINPROGRESS",
        "+0      > S 0:0(0) win 65535 <mss 1440,nop,nop,sackOK,nop,wscale 3>",
        "+0      state SYN_SENT",
        "+0      < S. 1610613742:1610613742(0) ack 1 win 65535 <mss 1000>",
        "+0      > . 1:1(0) ack 1 win 65535",
        "+0      state ESTABLISHED",
        "+0      shutdown(3, SHUT_WR) = 0",
        "+0      > F. 1:1(0) ack 1 win 65535",
        "+0      state FIN_WAIT_1",
        "+0.2    > F. 1:1(0) ack 1 win 65535",
        "+0.4    > F. 1:1(0) ack 1 win 65535",
        "+0.4    silence",
    ]


def test_several_peers_have_ports_and_are_claimed_by_them() -> None:
    found = script(Say(0, SYN), Say(2, SYN), Say(0, ACK), Say(2, ACK), Call(2, "claim"), Call(2, "claim"))
    assert not found.is_partial
    assert "// Peer 2 (10.0.0.3) has the address of the others here, and a port of its own.\n" in found.text
    assert 'on kernel: skip "Linux gives the oldest connection, whoever is asked for"' in found.text
    lines = events(found.text)
    assert "+0      < 40001 > 8080 S 536871914:536871914(0) win 65535" in lines
    assert "+0      state 8080 > 40001 ESTABLISHED" in lines
    assert "+0      claim(8080, 40001) = 4" in lines
    assert lines[-2].endswith(
        "call claim, the connection to peer 2 (10.0.0.3): nothing is claimed, AlreadyClaimedError."
    )
    assert outcome_of(found.text).status is Status.PASSED


@pytest.mark.parametrize(
    ("operations", "line"),
    [
        pytest.param([Call(0, "send", 7)], "+0      write(4, ..., 7) = 7", id="send"),
        pytest.param([Call(0, "receive", 7)], "+0      read(4, ..., 7) = -1 EAGAIN", id="nothing to receive"),
        pytest.param([Call(0, "shutdown")], "+0      shutdown(4, SHUT_WR) = 0", id="shutdown"),
        pytest.param([Call(0, "close")], "+0      close(4) = 0", id="close"),
        pytest.param([Call(0, "claim")], "+0      accept(3, ..., ...) = -1 EAGAIN", id="nothing to claim"),
        pytest.param(
            [Call(0, "close"), Call(0, "send", 1)],
            "+0      write(4, ..., 1) = -1 EBADF",
            id="send when closed",
        ),
        pytest.param(
            [Say(0, RST), Call(0, "receive", 1)],
            "+0      read(4, ..., 1) = -1 ECONNRESET",
            id="receive after reset",
        ),
        pytest.param(
            [Icmp(0, "too big", mtu=576)],
            "+0      < icmp unreachable frag_needed mtu 576 [1:1(0)]",
            id="path mtu",
        ),
        pytest.param(
            [Icmp(0, "host unreachable", quoted=8)],
            "+0      < icmp unreachable host_unreachable [1:1(0)]",
            id="host unreachable",
        ),
        pytest.param(
            [Say(0, ACK, Place("next", 100), text=10)],
            "+0      < . 101:111(10) ack 1 win 65535",
            id="past a gap",
        ),
        pytest.param(
            [Say(0, ACK, ack=Place("beyond"))], "+0      < . 1:1(0) ack 2 win 65535", id="never sent"
        ),
        pytest.param(
            [Say(0, ACK | FIN, urgent=9, ecn=2)],
            "+0      < [ect0] F. 1:1(0) ack 1 win 65535 urg 9",
            id="fields",
        ),
        pytest.param(
            [Say(0, ACK, options=("raw fe04beef",))],
            "+0      < . 1:1(0) ack 1 win 65535 <exp 0xbeef>",
            id="experiment",
        ),
        pytest.param(
            [Say(0, ACK, options=("raw 0201",))],
            "+0      < . 1:1(0) ack 1 win 65535 <raw 02010000>",
            id="broken",
        ),
    ],
)
def test_an_operation_has_its_line(operations: list[Operation], line: str) -> None:
    found = script(*HANDSHAKE, Call(0, "claim"), *operations)
    assert line in events(found.text)
    assert not found.is_partial
    assert outcome_of(found.text).status is Status.PASSED


@pytest.mark.parametrize(
    ("twist", "ending"),
    [
        ("checksum", "ack 1 win 65535 bad checksum"),
        ("offset 4", "ack 1 win 65535 bad offset 4"),
        ("offset past the end", "ack 1 win 65535 bad offset 15"),
        ("ip length long", "ack 1 win 65535 bad length 100"),
        ("ip length short", "ack 1 win 65535 bad length -8"),
    ],
)
def test_some_damage_can_be_written(twist: str, ending: str) -> None:
    found = script(*HANDSHAKE, Say(0, ACK, twist=twist))
    assert f"+0      < . 1:1(0) {ending}" in events(found.text)
    assert not found.is_partial
    assert outcome_of(found.text).status is Status.PASSED


@pytest.mark.parametrize(("twist", "header"), [("tos", "[tos 0xb8]"), ("ttl 1", "[ttl 1]")])
def test_some_oddities_can_be_written(twist: str, header: str) -> None:
    assert f"+0      < {header} . 1:1(0) ack 1 win 65535" in events(
        script(*HANDSHAKE, Say(0, ACK, twist=twist)).text
    )


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        pytest.param(Say(0, ACK, twist="fragment"), "a frame with the twist 'fragment'", id="fragment"),
        pytest.param(Say(0, ACK, twist="flip 90"), "a frame with the twist 'flip 90'", id="flipped bit"),
        pytest.param(Say(3, SYN), "IPv6, and a script has one IP version", id="other IP version"),
        pytest.param(Icmp(0, "net unreachable", quoted=4), "quotes 4 octets of TCP", id="too little quoted"),
        pytest.param(Call(4, "open", 10), "text that waits for the handshake", id="open with text"),
    ],
)
def test_what_cannot_be_written_is_said_and_left_out(operation: Operation, why: str) -> None:
    found = script(*HANDSHAKE, operation)
    assert found.is_partial
    (gap,) = found.gaps
    assert gap.startswith("operation 3, ")
    assert gap.endswith(why)
    assert (
        "// Partial: some of it cannot be written, and what there is does not depend on it.\n" in found.text
    )
    assert "// not expressible: operation 3, " in found.text
    assert found.holds
    assert outcome_of(found.text).status is Status.PASSED


def test_a_connection_that_begins_anew_unseen_can_only_be_followed_so_far() -> None:
    found = script(Say(0, SYN), Tick(5.0), Say(0, SYN), Say(0, ACK), synack_retries=0)
    assert events(found.text)[-6:-2] == [
        "+5      state CLOSED",
        "+0      < S 1001:1001(0) win 65535",
        "+0      > S. *:*(0) ack 1002 win 65535 <mss 1460>",
        "+0      state SYN_RECEIVED",
    ]
    assert found.gaps[-1].endswith("the target has begun anew, and no script can tell")
    assert outcome_of(found.text).status is Status.PASSED


# Rules


def test_rules_are_sysctls_and_options_of_sockets() -> None:
    found = script(
        *HANDSHAKE,
        syn_cookies="never",
        synack_retries=1,
        nodelay=True,
        keepalive=True,
        wmem=2000,
        loss_probe=False,
    )
    for command in (
        "net.ipv4.tcp_syncookies=0",
        "net.ipv4.tcp_synack_retries=1",
        "net.ipv4.tcp_early_retrans=0",
        'net.ipv4.tcp_wmem="2000 2000 2000"',
    ):
        assert f"`sysctl -q {command}`\n" in found.text
    assert "+0      setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0" in events(found.text)
    assert "+0      setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0" in events(found.text)
    assert not found.is_partial
    assert outcome_of(found.text).status is Status.PASSED


def test_a_rule_that_no_script_sets_is_missing_only_if_it_matters() -> None:
    text = (*HANDSHAKE, Say(0, ACK, text=1), Tick(0.01))
    matters, idle = script(*text, quickacks=0), script(*HANDSHAKE, quickacks=0)
    assert matters.gaps == ("the rule quickacks = 0",)
    assert "// not expressible: the rule quickacks = 0\n" in matters.text
    assert not matters.holds
    assert not idle.is_partial
    assert "// Rules that no script sets, and that change nothing here: quickacks = 0.\n" in idle.text


def test_without_a_target_every_rule_that_cannot_be_set_is_missing() -> None:
    found = exported(played(*HANDSHAKE, quickacks=0))
    assert found.gaps == ("the rule quickacks = 0",)
    assert not found.holds


# Findings


def without_resets(segment: Segment) -> Segment | None:
    return None if segment.flags & RST else segment


def finding(*operations: Operation) -> Played:
    found = played(*operations, target=Liar(without_resets), judged=True)
    assert found.violation is not None
    return found


def test_a_finding_ends_with_what_was_expected_and_what_came() -> None:
    found = finding(Say(1, SYN), Say(0, ACK), Say(0, ACK))
    text = exported(found, Liar(without_resets)).text
    violation = found.violation
    assert violation is not None
    assert events(text)[-5:] == [
        "+0      < 40001 > 8080 . 1000:1000(0) ack 5000001 win 65535",
        f"// {violation.rule}",
        f"// expected: {violation.expected}",
        f"// got: {violation.got}",
        "// +0      silence",
    ]
    assert f"// stimulus: {violation.stimulus}\n" in text
    assert outcome_of(text).status is Status.PASSED, "up to there the target did as it should"
    assert formatted(text) == text


def test_what_stops_the_target_has_its_operation_in_words() -> None:
    def stops(segment: Segment) -> Segment | None:
        raise ZeroDivisionError(f"of {len(segment.options)} octets")

    found = played(SYN_WITH_MSS, target=Liar(stops), judged=True)
    text, gaps, holds = exported(found)
    assert gaps == ("operation 1, peer 0 (10.0.0.2) says S, <mss 1460>: it did not end",)
    assert not holds
    assert "ZeroDivisionError" in text
    read(text, "exported.pkt")


# Captures


def comments_in(path: Path) -> list[tuple[int, str, bytes]]:
    """Return direction, comment and octets of each packet."""
    from scapy.utils import RawPcapNgReader

    with RawPcapNgReader(str(path)) as reader:
        return [(meta.direction, meta.comments[0].decode(), frame) for frame, meta in reader]


TALK = (
    *HANDSHAKE,
    Call(0, "claim"),
    Say(0, ACK | PSH, text=5),
    Call(0, "receive", 5),
    Tick(1.5),
    Call(0, "close"),
    Call(0, "claim"),
)


def test_each_packet_says_what_it_is_about(tmp_path: Path) -> None:
    found = played(*TALK)
    assert write_pcapng(found, tmp_path / "case.pcapng") == 6
    read_back = comments_in(tmp_path / "case.pcapng")
    directions = [direction for direction, _, _ in read_back]
    assert directions == [INBOUND, OUTBOUND, INBOUND, INBOUND, OUTBOUND, OUTBOUND]
    assert [comment for _, comment, _ in read_back] == [
        "operation 1: peer 0 (10.0.0.2) says S, <mss 1460>; LISTEN -> SYN-RECEIVED",
        "operation 1, the answer",
        "operation 2: peer 0 (10.0.0.2) says .; SYN-RECEIVED -> ESTABLISHED",
        "operation 3: call claim, the connection to peer 0 (10.0.0.2); ESTABLISHED; "
        "operation 4: peer 0 (10.0.0.2) says P., 5 octets; ESTABLISHED",
        "operation 4, the answer",
        "operation 5: call receive 5, the connection to peer 0 (10.0.0.2); ESTABLISHED; "
        "operation 6: 1.5 s pass; "
        "operation 7: call close, the connection to peer 0 (10.0.0.2); ESTABLISHED -> FIN-WAIT-1; "
        "operation 8: call claim, the connection to peer 0 (10.0.0.2); FIN-WAIT-1",
    ]
    played_frames = [step.frame for step in found.steps if step.frame is not None]
    assert [frame for direction, _, frame in read_back if direction == INBOUND] == played_frames


def test_where_only_the_answers_have_their_instant_time_does_not_go_back() -> None:
    found = played(Tick(0.5), *TALK)
    real = found._replace(steps=tuple(step._replace(at=(0.0, 0.0)) for step in found.steps))
    times = [captured.at_ns for captured in captured_frames(real)]
    assert times == sorted(times)
    assert times[0] == 0 < times[1]


def test_the_packet_that_broke_a_rule_says_which(tmp_path: Path) -> None:
    found = finding(Say(0, ACK))
    write_pcapng(found, tmp_path / "case.pcapng")
    ((_, comment, _),) = comments_in(tmp_path / "case.pcapng")
    violation = found.violation
    assert violation is not None
    assert f"rule: {violation.rule}; state: LISTEN; " in comment
    assert f"expected: {violation.expected}; got: {violation.got}" in comment


@pytest.fixture
def tshark() -> str:
    path = shutil.which("tshark")
    if path is None and os.environ.get("XSOCKET_REQUIRE_NETNS") == "1":
        pytest.fail("XSOCKET_REQUIRE_NETNS=1, and there is no tshark", pytrace=False)
    if path is None:
        pytest.skip("no tshark here; Debian: apt-get install tshark")
    return path


@pytest.mark.parametrize("peer", [0, 3], ids=["ipv4", "ipv6"])
def test_tshark_finds_nothing_malformed(tshark: str, tmp_path: Path, peer: int) -> None:
    said = [each._replace(peer=peer) if not isinstance(each, Tick) else each for each in TALK]
    path = tmp_path / "case.pcapng"
    count = write_pcapng(played(*said), path)
    fields = ["tcp.checksum.status", "_ws.malformed", "frame.comment"]
    command = [tshark, "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-T", "fields"]
    command += [part for field in fields for part in ("-e", field)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    assert [row[:2] for row in rows] == [["1", ""]] * count
    assert all(row[2].startswith("operation ") for row in rows)
