"""A played case as a pcapng file: operation, states, and what was wrong are the packets' comments.

The frames of the peers are those that were played. Those of the target are made again from what was read in
them: only what has been read is known of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Final

from xsocket_tools.capture import INBOUND, OUTBOUND, CapturedFrame, CaptureFile
from xsocket_tools.fuzzing.case import Tick
from xsocket_tools.fuzzing.cast import STATION
from xsocket_tools.fuzzing.export.connections import connections
from xsocket_tools.fuzzing.export.words import operation_text, segment_text, state_text, violation_lines
from xsocket_tools.fuzzing.frames import Stations, segment_frame
from xsocket_tools.fuzzing.playing import Played, Step

_TARGETS_STATION: Final = b"\x02\x00\x00\x00\x00\x01"


def write_pcapng(played: Played, path: str | PathLike[str]) -> int:
    """Write the frames of a played case, in both directions, to the file *path*; return how many they are.

    Args:
        played: With its steps.
        path: The file; what it held is gone.

    Raises:
        OSError: It cannot be written.
    """
    frames = list(captured_frames(played))
    with CaptureFile(path) as file:
        for captured in frames:
            file.write(captured)
    return len(frames)


def captured_frames(played: Played) -> list[CapturedFrame]:
    """Return the frames of a played case in order, each with its comment.

    What happened without a frame is in the comment of the next one, or of the last. Where time is real,
    nobody has noted when the frames of the peers went out: they have the instant of what was there before.
    """
    frames: list[CapturedFrame] = []
    waiting: list[str] = []
    at_ns = 0
    for captured in _frames(played):
        if not captured.frame:
            waiting.append(captured.comment)
            continue
        at_ns = max(at_ns, captured.at_ns)
        frames.append(captured._replace(at_ns=at_ns, comment="; ".join([*waiting, captured.comment])))
        waiting = []
    if waiting and frames:
        frames[-1] = frames[-1]._replace(comment="; ".join([frames[-1].comment, *waiting]))
    return frames


def _frames(played: Played) -> Iterator[CapturedFrame]:
    """Yield the frames, and an empty one with its comment for what has none."""
    known = connections(played.steps)
    violation = played.violation
    for at, step in enumerate(played.steps):
        comment = f"operation {at + 1}: {operation_text(step.operation)}"
        if violation is not None and violation.at == at:
            comment += "".join(f"; {name}: {text}" for name, text in violation_lines(violation))
        states = _states(step)
        at_ns = _ns(step.at[0])
        if step.frame is not None:
            yield CapturedFrame(at_ns, step.frame, INBOUND, f"{comment}; {states}" if states else comment)
            comment = f"operation {at + 1}, the answer"
        elif states:
            comment += f"; {states}"
        if not step.sent and step.frame is None:
            yield CapturedFrame(at_ns, b"", INBOUND, comment)
        for each in step.sent:
            four_tuple = known.get(each.peer)
            if four_tuple is None:
                comment += f"; sent to nobody of the cast: {segment_text(each.segment)}"
                yield CapturedFrame(_ns(each.at), b"", OUTBOUND, comment)
            else:
                frame = segment_frame(Stations(STATION, _targets_station(step)), four_tuple, each.segment)
                yield CapturedFrame(_ns(each.at), frame, OUTBOUND, comment)
            comment = f"operation {at + 1}, as well"
    if violation is not None and violation.at >= len(played.steps):
        operation = played.case.operations[violation.at]
        texts = [f"operation {violation.at + 1}, which did not end: {operation_text(operation)}"]
        texts += [f"{name}: {text}" for name, text in violation_lines(violation)]
        yield CapturedFrame(0, b"", INBOUND, "; ".join(texts))


def _targets_station(step: Step) -> bytes:
    return step.frame[:6] if step.frame is not None else _TARGETS_STATION


def _states(step: Step) -> str:
    operation = step.operation
    if isinstance(operation, Tick):
        return ""
    before, after = (state_text(state, operation.peer) for state in (step.before, step.after))
    return before if before == after else f"{before} -> {after}"


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
