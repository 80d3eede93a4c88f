"""What dumpcap saw on an interface, and what tshark thinks of it."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from support.live import INTERFACE, PATIENCE_S
from support.programs import found, needed
from xsocket_netns import Host
from xsocket_tools.pytest_plugin import REQUIRED

_MARKER: Final = b"the end of this capture"
_NOBODY: Final = b"\x02\xff\xff\xff\xff\xff"
_LOCAL_EXPERIMENTAL: Final = b"\x88\xb5"  # IEEE 802: an EtherType that anybody may use
_STATUSES: Final = ("tcp", "ip", "icmp", "icmpv6")
_FAULTS: Final = ("_ws.malformed", "_ws.short", "tcp.option.len.invalid")
_BAD, _GOOD = "0", "1"


class Verdict(NamedTuple):
    """What tshark says: how many frames there are, how many TCP checksums are good, and what is wrong."""

    frames: int
    good: int
    bad: list[str]


@contextmanager
def judged(host: Host, source: str, directory: Path) -> Iterator[None]:
    """Capture on *host*; after the block fail if tshark finds fault with a frame of the station *source*.

    Where there is no tshark and none is required, nothing is captured.
    """
    if os.environ.get(REQUIRED) != "1" and not (found("dumpcap") and found("tshark")):
        yield
        return
    path = directory / f"{host.name}.pcapng"
    with capturing(host, path):
        yield
    verdict = judge(path, source)
    assert verdict.frames, "the capture is empty"
    assert not verdict.bad, f"{len(verdict.bad)} bad frames, such as {verdict.bad[:3]}"


@contextmanager
def capturing(host: Host, path: Path) -> Iterator[None]:
    """Write all frames on the interface of *host* to *path* for the length of a block."""
    # -B: mebibytes for frames that wait; -w -: octets as they come, so that one can wait for the last.
    argv = [needed("dumpcap"), "-q", "-i", INTERFACE, "-B", "64", "-w", "-"]
    process = host.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False)
    assert process.stdout is not None
    assert process.stderr is not None
    complete = threading.Event()
    reader = threading.Thread(target=_copy, args=(process.stdout, path, complete), name="test-wiretap")
    for line in process.stderr:
        if line.startswith(b"File:"):  # it captures from here on
            break
    reader.start()
    try:
        yield
        host.run(_mark)
        assert complete.wait(PATIENCE_S), "the capture does not end"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        process.stdout.close()
        process.stderr.close()


def _copy(source: IO[bytes], path: Path, complete: threading.Event) -> None:
    tail = b""
    with path.open("wb") as copy:
        while octets := os.read(source.fileno(), 1 << 16):
            copy.write(octets)
            tail = tail[-len(_MARKER) :] + octets
            if _MARKER in tail:
                complete.set()


def _mark() -> None:
    """Send a frame that ends the capture; by the interface alone, for the host may have no address."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((INTERFACE, 0))
        sender.send(_NOBODY * 2 + _LOCAL_EXPERIMENTAL + _MARKER)


def judge(path: Path, source: str) -> Verdict:
    """Have tshark judge the frames that the station *source* sent."""
    columns = ["frame.number", *(f"{protocol}.checksum.status" for protocol in _STATUSES), *_FAULTS]
    verify = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = [argument for column in columns for argument in ("-e", column)]
    argv = [needed("tshark"), "-n", "-r", str(path), *verify, "-Y", f"eth.src == {source}", "-T", "fields"]
    done = subprocess.run([*argv, *fields], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    good, bad = 0, []
    lines = done.stdout.splitlines()
    for line in lines:
        values = dict(zip(columns, line.split("\t"), strict=True))
        good += values["tcp.checksum.status"] == _GOOD
        faults = {name: value for name, value in values.items() if name in _FAULTS and value}
        wrong = {name: value for name, value in values.items() if name.endswith("status") and value == _BAD}
        if faults or wrong:
            bad.append(f"frame {values['frame.number']}: {', '.join(faults | wrong)}")
    return Verdict(len(lines), good, bad)
