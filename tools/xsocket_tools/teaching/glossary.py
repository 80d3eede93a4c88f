"""What the variables beside a step mean: each in one sentence, with the place that defines it."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket_tools.teaching.story import Story


class Meaning(NamedTuple):
    """What a variable means.

    Attributes:
        sentence: In plain words.
        rule: Where it is defined; empty for what is no word of an RFC.
    """

    sentence: str
    rule: str = ""


MEANINGS: Final = {
    "ISS": Meaning("Initial send sequence number: that of the end's own SYN.", "RFC 9293 3.3.1"),
    "SND.UNA": Meaning("The first number that it has sent and that is not acknowledged.", "RFC 9293 3.3.1"),
    "SND.NXT": Meaning("The number of what it will send next.", "RFC 9293 3.3.1"),
    "SND.WND": Meaning("How many octets from SND.UNA on the other end lets it send.", "RFC 9293 3.3.1"),
    "SND.WL1": Meaning(
        "Sequence number of the segment that SND.WND comes from; an older one does not change it.",
        "RFC 9293 3.3.1",
    ),
    "SND.WL2": Meaning("Acknowledgment number of that same segment.", "RFC 9293 3.3.1"),
    "IRS": Meaning("Initial receive sequence number: that of the other end's SYN.", "RFC 9293 3.3.1"),
    "RCV.NXT": Meaning("The number that it expects next; all before have come.", "RFC 9293 3.3.1"),
    "RCV.WND": Meaning("How many octets from RCV.NXT on it is ready to take.", "RFC 9293 3.3.1"),
    "Eff.snd.MSS": Meaning(
        "The most text that it puts into one segment: what the other end's MSS option and the path allow, "
        "less the options of each segment.",
        "RFC 9293 3.7.1",
    ),
    "Snd.Wind.Shift": Meaning(
        "By how many bits the windows that it gets are to be shifted to the left.", "RFC 7323 2.3"
    ),
    "Rcv.Wind.Shift": Meaning(
        "By how many bits the windows that it sends are shifted to the right.", "RFC 7323 2.3"
    ),
    "cwnd": Meaning(
        "Congestion window: how many octets it may have under way, whatever the other end allows.",
        "RFC 5681 2",
    ),
    "ssthresh": Meaning(
        "Slow start threshold: from here on the congestion window grows slowly.", "RFC 5681 2"
    ),
    "SRTT": Meaning("Smoothed round-trip time.", "RFC 6298 2"),
    "RTTVAR": Meaning("How much the round-trip time varies.", "RFC 6298 2"),
    "RTO": Meaning(
        "Retransmission timeout: what is not acknowledged for so long is sent again.", "RFC 6298 2"
    ),
    "retransmissions": Meaning("How often in a row the timer has sent something again."),
    "timer": Meaning("The timer that runs, and when it runs out."),
    "to be sent": Meaning("Octets that its user has given it and that are not sent yet."),
    "to be acknowledged": Meaning("Octets that are sent and not acknowledged."),
    "to be read": Meaning("Octets that have come and that its user has not read."),
}
"""By name, in the order in which they are shown."""


def meanings(story: Story) -> dict[str, Meaning]:
    """Return what the variables mean that a story has."""
    there = {each.name for step in story.steps for view in step.views for each in view.variables}
    return {name: meaning for name, meaning in MEANINGS.items() if name in there}
