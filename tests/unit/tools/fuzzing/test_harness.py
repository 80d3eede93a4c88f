"""Octets without sense, by seed; and atheris, where it is installed."""

import importlib.util
import subprocess
import sys
from random import Random

import pytest

from xsocket.segment import Segment
from xsocket.tcp import options
from xsocket.wire import codec
from xsocket_tools.fuzzing.frames import Stations, segment_frame
from xsocket_tools.fuzzing.harness import WrongError, check, check_frame, check_options
from xsocket_tools.fuzzing.targets.engine import EngineTarget

KINDS = (0, 1, 2, 3, 4, 5, 8, 34, 254)


@pytest.mark.parametrize("seed", range(20))
def test_any_octets_are_options(seed: int) -> None:
    random = Random(seed)
    for _ in range(300):
        size = random.randrange(41)
        check_options(bytes(random.choice((*KINDS, 2, 3, 4, 10, random.randrange(256))) for _ in range(size)))


@pytest.mark.parametrize("seed", range(20))
def test_any_damage_leaves_a_frame_or_a_reason(seed: int) -> None:
    random = Random(seed)
    target = EngineTarget()
    peer = target.four_tuple(seed % 8).reversed
    stations = Stations(*target.stations)
    for _ in range(200):
        segment = Segment(
            random.getrandbits(32), 1, 0x10, 1000, random.randbytes(4 * random.randrange(11)), b"x"
        )
        frame = bytearray(segment_frame(stations, peer, segment))
        check_frame(bytes(frame))
        for _ in range(random.randrange(1, 4)):
            frame[random.randrange(len(frame))] = random.randrange(256)
        check(bytes(frame[: random.randrange(len(frame) + 1)]))


def test_a_reader_that_takes_any_length_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "parse", lambda _: options.Parsed(mss=5))
    with pytest.raises(WrongError, match="0201: the engine has"):
        check_options(b"\x02\x01")


def test_a_codec_that_changes_what_it_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    target = EngineTarget()
    frame = segment_frame(target.stations, target.four_tuple(0).reversed, Segment(1, 2, 0x10))
    packet = codec.decode(frame)
    assert isinstance(packet, codec.TcpPacket)
    wrong = packet._replace(segment=packet.segment._replace(seq=7))
    monkeypatch.setattr("xsocket_tools.fuzzing.harness.decode", lambda _: wrong)
    with pytest.raises(WrongError, match="read_plain has"):
        check_frame(frame)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: xsocket[harness]"
)
def test_atheris_finds_nothing_in_a_thousand_runs() -> None:
    command = [sys.executable, "-m", "xsocket_tools.fuzzing.harness", "-runs=1000", "-seed=1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
