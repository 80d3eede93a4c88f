"""``python -m xsocket_tools.path.recorder FILE...``: frames from standard input to captures."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

from xsocket_tools.capture import CaptureFile
from xsocket_tools.path.spool import records


def record(source: BinaryIO, paths: Sequence[str]) -> None:
    """Write what comes from *source* to the files *paths*, and let each frame reach its file soon."""
    with ExitStack() as stack:
        files = [stack.enter_context(CaptureFile(path)) for path in paths]
        for number, captured in records(source):
            files[number].write(captured)


def main() -> None:
    """Record until standard input ends; neither Ctrl-C nor the end of the lab cuts it short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    record(sys.stdin.buffer, sys.argv[1:])


if __name__ == "__main__":
    main()
