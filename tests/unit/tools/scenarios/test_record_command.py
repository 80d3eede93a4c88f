"""`xsocket record` on files: formats, link types, which connection and which end."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.captures import CLIENT, SERVER, Wire, exchange
from support.documents import Shown
from xsocket.segment import ACK, FIN, RST, SYN
from xsocket_tools.capture import INBOUND, OUTBOUND
from xsocket_tools.cli import main
from xsocket_tools.scenarios.capture_files import captured_packets
from xsocket_tools.scenarios.conversations import Captured, End, RecordingError, conversations, local_end
from xsocket_tools.scenarios.reading import read

ETHERNET = bytes(12) + b"\x08\x00"
TAGGED = bytes(12) + b"\x81\x00\x00\x07\x08\x00"
COOKED = bytes(14) + b"\x08\x00"
COOKED_2 = b"\x08\x00" + bytes(18)
OTHER = End("10.0.0.3", 50_000)


def handshake(client: End = CLIENT, isn: int = 0) -> Wire:
    wire = Wire(1_000, (client, SERVER))
    wire.client(SYN, seq=isn)
    wire.client_next = 1
    wire.server(SYN | ACK, window=64_240)
    wire.after(20).client(ACK)
    return wire


def pcap(
    path: Path,
    captured: Sequence[Captured],
    *,
    header: bytes = ETHERNET,
    linktype: int = 1,
    nanoseconds: bool = False,
    more: bytes = b"",
) -> Path:
    magic, scale = (0xA1B23C4D, 1000) if nanoseconds else (0xA1B2C3D4, 1)
    blocks = [struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 1 << 16, linktype)]
    for each in captured:
        seconds, rest = divmod(each.at_us, 1_000_000)
        frame = header + each.octets
        blocks.append(struct.pack("<IIII", seconds, rest * scale, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(blocks) + more)
    return path


def pcapng(path: Path, captured: Sequence[Captured]) -> Path:
    from scapy.packet import Raw
    from scapy.utils import PcapNgWriter

    with PcapNgWriter(str(path)) as writer:
        writer.linktype = 1
        writer.write_header(None)
        for each in captured:
            packet = Raw(ETHERNET + each.octets)
            packet.comment = b"a comment"
            packet.direction = OUTBOUND if each.outbound else INBOUND
            writer.write_packet(packet, sec=each.at_us / 1e6)
    return path


def record(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["record", *map(str, arguments)])


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return pcap(tmp_path / "one.pcap", handshake().captured)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return pcap(tmp_path / "two.pcap", [*handshake().captured, *handshake(OTHER).captured])


@pytest.mark.parametrize(
    ("header", "linktype", "nanoseconds"),
    [
        pytest.param(ETHERNET, 1, False, id="ethernet"),
        pytest.param(ETHERNET, 1, True, id="nanoseconds"),
        pytest.param(TAGGED, 1, False, id="vlan"),
        pytest.param(b"", 101, False, id="raw-ip"),
        pytest.param(b"", 228, False, id="raw-ipv4"),
        pytest.param(COOKED, 113, False, id="cooked"),
        pytest.param(COOKED_2, 276, False, id="cooked-2"),
    ],
)
def test_a_pcap_gives_the_packets_in_it(
    header: bytes, linktype: int, nanoseconds: bool, tmp_path: Path
) -> None:
    captured = handshake().captured
    path = pcap(tmp_path / "a.pcap", captured, header=header, linktype=linktype, nanoseconds=nanoseconds)
    assert captured_packets(path) == captured


def test_a_pcapng_gives_directions_too(tmp_path: Path) -> None:
    captured = [each._replace(outbound=at == 1) for at, each in enumerate(handshake().captured)]
    assert captured_packets(pcapng(tmp_path / "a.pcapng", captured)) == captured


def test_frames_that_carry_no_ip_are_passed_over(tmp_path: Path) -> None:
    assert captured_packets(pcap(tmp_path / "a.pcap", handshake().captured, header=bytes(14))) == []


def test_the_server_is_the_target_unless_another_end_is_chosen(one: Path) -> None:
    assert "The target is the server, 10.0.0.2:80." in record(one).output
    for choice in (("--side", "client"), ("--local", "10.0.0.1:40000")):
        assert "The target is the client, 10.0.0.1:40000." in record(one, *choice).output


def test_a_capture_made_at_one_end_chooses_it(tmp_path: Path) -> None:
    captured = [each._replace(outbound=at != 1) for at, each in enumerate(handshake().captured)]
    path = pcapng(tmp_path / "a.pcapng", captured)
    assert "The target is the client" in record(path).output
    assert "The target is the server" in record(path, "--side", "server").output


def test_the_script_is_written_where_asked(one: Path, tmp_path: Path) -> None:
    done = record(one, "-o", tmp_path / "one.pkt")
    assert done.exit_code == 0, done.output
    assert "10.0.0.1:40000 > 10.0.0.2:80, 3 packets; the target is 10.0.0.2:80" in done.output
    assert (tmp_path / "one.pkt").read_text() == record(one).output
    assert len(read((tmp_path / "one.pkt").read_text()).events) == 7


def test_several_connections_are_named_and_one_can_be_chosen(two: Path) -> None:
    done = record(two)
    assert done.exit_code == 1
    assert "there are 2 TCP connections" in done.output
    assert "--flow 1: 10.0.0.1:40000 > 10.0.0.2:80, 3 packets" in done.output
    assert "--flow 2: 10.0.0.3:50000 > 10.0.0.2:80, 3 packets" in done.output
    assert "10.0.0.3:50000 > 10.0.0.2:80" in record(two, "--flow", 2).output
    assert "The target is the client, 10.0.0.3:50000." in record(two, "--local", "10.0.0.3:50000").output


def test_ports_that_are_used_again_make_another_connection() -> None:
    first, again = handshake(), handshake(isn=77)
    first.client(RST | ACK)
    assert [len(each.packets) for each in conversations([*first.captured, *again.captured])] == [4, 3]
    assert len(conversations([*first.captured[:3], *first.captured[:1]])) == 1  # the same SYN once more


def test_both_ends_of_an_ipv6_connection_have_brackets() -> None:
    ends = (End("fd00::1", 40_000), End("fd00::2", 80))
    wire = Wire(0, ends)
    wire.client(SYN)
    wire.server(SYN | ACK)
    wire.client(FIN | ACK)
    (conversation,) = conversations(wire.captured)
    assert str(conversation) == "[fd00::1]:40000 > [fd00::2]:80, 3 packets"
    assert local_end(conversation) == ends[1]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(["missing.pcap"], 1, "No such file", id="missing"),
        pytest.param([__file__], 1, "is no capture", id="no-capture"),
        pytest.param([], 2, "Give a FILE, or --lab and --host", id="nothing"),
        pytest.param(["a", "--lab", "b"], 2, "Give a FILE, or --lab and --host", id="both"),
        pytest.param(["a", "--for", "1s"], 2, "go with --lab", id="time-of-a-file"),
        pytest.param(["--lab", "a"], 2, "--lab goes with --host", id="no-host"),
        pytest.param(["--lab", "none", "--host", "a"], 1, "there is no lab none", id="no-lab"),
        pytest.param(["--lab", "a", "--for", "soon"], 2, "no number of seconds", id="no-time"),
        pytest.param(["a", "--local", "here"], 2, "is no ADDR:PORT", id="no-end"),
    ],
)
def test_what_cannot_be_recorded_is_an_error(arguments: list[str], status: int, words: str) -> None:
    done = record(*arguments)
    assert (done.exit_code, words in done.output) == (status, True), done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--flow", "2"], "there is no connection number 2", id="number"),
        pytest.param(["--local", "10.0.0.9:1"], "no TCP connection with the end 10.0.0.9:1", id="end"),
    ],
)
def test_a_choice_that_is_not_there_is_an_error(arguments: list[str], words: str, one: Path) -> None:
    done = record(one, *arguments)
    assert (done.exit_code, words in done.output) == (1, True), done.output


def test_an_end_of_another_connection_is_an_error(two: Path) -> None:
    done = record(two, "--flow", 1, "--local", "10.0.0.3:50000")
    assert (done.exit_code, "is no end of" in done.output) == (1, True), done.output


def test_a_connection_without_its_beginning_is_an_error(tmp_path: Path) -> None:
    done = record(pcap(tmp_path / "late.pcap", handshake().captured[1:]))
    assert (done.exit_code, "the beginning of" in done.output) == (1, True), done.output


def test_an_unknown_link_type_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="link type 105"):
        captured_packets(pcap(tmp_path / "wifi.pcap", handshake().captured, linktype=105))


def test_a_capture_that_ends_in_the_middle_gives_what_is_whole(tmp_path: Path) -> None:
    assert (
        captured_packets(pcap(tmp_path / "a.pcap", handshake().captured, more=b"\x01\x02"))
        == handshake().captured
    )


@pytest.mark.runs("docs/how-to/record.md", "console 1", "text 1")
def test_the_page_shows_what_the_command_does(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pcap(Path("talk.pcap"), exchange().captured)
    (step,) = shown.steps("console 1")
    assert record(*step.command.split()[2:]).output.splitlines() == step.shown
    assert Path("talk.pkt").read_text() == shown.text("text 1")
