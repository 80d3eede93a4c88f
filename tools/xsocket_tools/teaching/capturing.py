"""A story as a capture: its frames, each with what is told of it as a comment."""

from __future__ import annotations

from os import PathLike

from xsocket_tools.capture import INBOUND, OUTBOUND, CapturedFrame, write_frames
from xsocket_tools.teaching.story import Kind, Step, Story


def captured(story: Story) -> list[CapturedFrame]:
    """Return the frames of a story in the order in which they were sent; those that are lost, too.

    The instants are those of the story, which begins at 0. Directions are those of the right end.
    """
    frames: list[CapturedFrame] = []
    under_way: list[tuple[Step, int]] = []
    for step in story.steps:
        if step.kind is Kind.ARRIVED:
            sent = next((each for each in under_way if _is_arrival(step, each[0])), None)
            if sent is not None:
                under_way.remove(sent)
                frame = frames[sent[1]]
                frames[sent[1]] = frame._replace(comment=f"{frame.comment}; {comment(story, step)}")
        elif step.frame is not None and (step.kind.is_segment or step.kind is Kind.ICMP):
            if step.kind is Kind.SENT:
                under_way.append((step, len(frames)))
            to_the_right = step.end == (1 if step.kind is Kind.ICMP else 0)
            direction = INBOUND if to_the_right else OUTBOUND
            frames.append(CapturedFrame(round(step.at_s * 1e9), step.frame, direction, comment(story, step)))
    return frames


def _is_arrival(arrived: Step, sent: Step) -> bool:
    return (arrived.connection, arrived.end, arrived.packet) == (sent.connection, sent.end, sent.packet)


def comment(story: Story, step: Step) -> str:
    """Return what is told of a step, in one line."""
    parts = [step.title]
    for end, view in zip(story.ends, step.views, strict=True):
        if view.moved and view.state is not None:
            before = "no connection" if view.before is None else view.before.value
            parts.append(f"{end.name}: {before} -> {view.state.value}")
    parts += [f"{story.ends[each.end].name}: {each.did} by {each.key}" for each in step.because]
    return "; ".join((*parts, *step.notes))


def write_capture_of(path: str | PathLike[str], story: Story) -> int:
    """Write a story's frames to the pcapng file *path*; return how many they are.

    Raises:
        OSError: The file cannot be written.
    """
    return write_frames(path, captured(story))
