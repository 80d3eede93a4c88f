"""Captures at the ends of a path. A process of its own writes them: Scapy never stands in the packet path.

That process, `xsocket_tools.path.recorder`, ends when the pipe to it does: however the program that carries
the frames ended, what it saw is in the files.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from xsocket_netns.registry import LAB_VARIABLE
from xsocket_tools.path.errors import CaptureFileError, PathTimeoutError
from xsocket_tools.path.parcel import Towards
from xsocket_tools.path.spool import pack

WAITING: Final = 20_000
"""Frames that may wait to be written; more are counted and left out."""
_PATIENCE_S: Final = 30.0


class Recording:
    """Captures being written. One thread adds to it.

    Args:
        files: Which pcapng file is for which end of the path.

    Attributes:
        left_out: Frames that came faster than they could be written, and are in no file.

    Raises:
        CaptureFileError: A file cannot be written.
    """

    def __init__(self, files: Mapping[Towards, Path]) -> None:
        self._numbers = {end: number for number, end in enumerate(files)}
        for path in files.values():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError as error:
                raise CaptureFileError(f"cannot write {path}: {error.strerror}") from error
        self.left_out = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(WAITING)
        command = [sys.executable, "-m", "xsocket_tools.path.recorder", *map(str, files.values())]
        # Not of the lab, and in a session of its own: it ends by itself, and not before it has written all.
        environment = {name: value for name, value in os.environ.items() if name != LAB_VARIABLE}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        self._thread = threading.Thread(target=self._write, name="xsocket-recording", daemon=True)
        self._thread.start()

    def observe(self, end: Towards, direction: int, at_ns: int, frame: bytes) -> None:
        """Add a frame; see `xsocket_tools.path.forwarder.Observe`."""
        number = self._numbers.get(end)
        if number is None:
            return
        try:
            self._queue.put_nowait(pack(number, direction, at_ns, frame))
        except queue.Full:
            self.left_out += 1

    def close(self) -> None:
        """Return when everything is in the files.

        Raises:
            CaptureFileError: Something could not be written.
            PathTimeoutError: It takes too long; the process that writes is killed.
        """
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)
        try:
            status = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise PathTimeoutError("the captures were not written in time") from error
        if status:
            raise CaptureFileError("the captures could not be written to the end")

    def _write(self) -> None:
        """Feed the process until `close`; when it has ended, take what comes all the same."""
        pipe = self._process.stdin
        assert pipe is not None
        broken = False
        while (record := self._queue.get()) is not None:
            if broken:
                self.left_out += 1
                continue
            try:
                pipe.write(record)
                if self._queue.empty():
                    pipe.flush()
            except BrokenPipeError:
                broken = True
        with suppress(BrokenPipeError):
            pipe.close()
