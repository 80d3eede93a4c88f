"""The words of the page: instants, segments, and what reads otherwise when numbers are absolute."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket_tools.teaching.story import Because, End, Packet, Source, Step, Variable, View

INFERRED: Final = "~"
"""Stands before what is inferred."""


class Said(NamedTuple):
    """A text, in both ways of numbering.

    Attributes:
        relative: With numbers that count from each end's SYN.
        absolute: With those on the wire; empty where it is the same.
    """

    relative: str
    absolute: str = ""

    def __add__(self, other: object) -> Said:
        """Return both, one after the other."""
        more = other if isinstance(other, Said) else Said(str(other))
        if not (self.absolute or more.absolute):
            return Said(self.relative + more.relative)
        return Said(
            self.relative + more.relative,
            (self.absolute or self.relative) + (more.absolute or more.relative),
        )


def cut(text: str, most: int) -> str:
    """Return *text*, shortened to *most* characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def instant(seconds: float) -> str:
    """Return an instant as people read it: milliseconds in the first second, then seconds."""
    if abs(seconds) < 1:
        return f"{round(seconds * 1000, 3):.15g} ms"
    in_full = f"{seconds:.6f}".rstrip("0")
    return f"{max(in_full, f'{seconds:.3f}', key=len)} s"


def pause(seconds: float) -> str:
    """Return how much time passes, such as ``1.0 s pass``."""
    return f"{seconds:.1f} s pass" if seconds >= 1 else f"{seconds:.2f} s pass"


def segment(packet: Packet) -> Said:
    """Return a segment in one line."""
    return Said(str(packet), str(packet.on_the_wire))


def options(packet: Packet) -> Said:
    """Return the options of a segment."""
    relative, absolute = (", ".join(each) for each in (packet.options, packet.absolute_options))
    return Said(relative or "none", "" if absolute == relative else absolute)


def title(step: Step) -> Said:
    """Return the title of a step. The numbers in it are those of its segment."""
    if step.packet is None or str(step.packet) not in step.title:
        return Said(step.title)
    said = segment(step.packet)
    return Said(step.title, step.title.replace(said.relative, said.absolute, 1))


def without(name: str, step: Step) -> str:
    """Return the title of a step without whom it is about, whose side it is on."""
    return step.title.removeprefix(name).removeprefix(":").strip()


def value(variable: Variable) -> Said:
    """Return the value of a variable, marked if it is inferred where others are not."""
    if variable.source is not Source.INFERRED:
        return Said(variable.value, variable.absolute)
    return Said(INFERRED + variable.value, variable.absolute and INFERRED + variable.absolute)


def link(because: Because) -> str:
    """Return where a rule's text is; empty where that is no page of the web."""
    return because.url if because.url.startswith("https://") else ""


def who(end: End) -> str:
    """Return the name of an end and what it is."""
    what = ", ".join(part for part in (end.what, "inferred" if is_inferred(end) else "") if part)
    return f"{end.name} ({what})" if what else end.name


def is_inferred(end: End) -> bool:
    """Whether what is said of an end is a guess."""
    return end.source is Source.INFERRED


def state(end: End, view: View) -> str:
    """Return where an end stands, marked if it is inferred; empty where nothing is known."""
    if view.state is None:
        return ""
    return (INFERRED if is_inferred(end) else "") + view.state.value


def move(end: End, view: View) -> str:
    """Return where an end stands, and before that where it stood if it has moved."""
    after = state(end, view)
    if not view.moved:
        return after or "-"
    before = "no connection" if view.before is None else state(end, View(view.before))
    return f"{before} → {after or 'no connection'}"


def letters(ends: tuple[End, End]) -> tuple[str, str]:
    """Return a letter for each end, two that differ."""
    left, right = (end.name.strip()[:1].upper() for end in ends)
    return (left, right) if left and right and left != right else ("L", "R")
