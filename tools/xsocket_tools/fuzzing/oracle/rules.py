"""The rules that the oracles hold a target to: each has a section, and one sentence."""

from __future__ import annotations

from typing import Final, NamedTuple


class Rule(NamedTuple):
    """One rule.

    Attributes:
        where: RFC and section.
        text: What it wants, in one sentence.
        is_counted: Whether it has its say in single steps. Others hold of all that goes out, in every step.
    """

    where: str
    text: str
    is_counted: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


# No connection

RST_CLOSED: Final = Rule("RFC 9293 3.10.7.1", "A reset for a connection that does not exist is not answered.")
NOT_RST_CLOSED: Final = Rule(
    "RFC 9293 3.10.7.1", "Any other segment for a connection that does not exist is answered by a reset."
)
RST_LISTEN: Final = Rule("RFC 9293 3.10.7.2 first", "In LISTEN a reset is ignored.")
ACK_LISTEN: Final = Rule("RFC 9293 3.10.7.2 second", "In LISTEN an ACK is answered by a reset.")
SYN_LISTEN: Final = Rule("RFC 9293 3.10.7.2 third", "In LISTEN a SYN is answered by a SYN+ACK.")
SYN_FIN_LISTEN: Final = Rule(
    "RFC 9293 3.10.7.2 third", "A SYN with a FIN opens no connection (as Linux has it)."
)
OTHER_LISTEN: Final = Rule("RFC 9293 3.10.7.2 fourth", "In LISTEN anything else is dropped.")
RESET_NUMBERS: Final = Rule(
    "RFC 9293 3.5.2",
    "A reset has the number that the segment acknowledged, or 0 and acknowledges what the segment took.",
    is_counted=False,
)
COOKIE_ACK: Final = Rule("RFC 4987 3.6", "An ACK that brings a SYN cookie back establishes the connection.")
COOKIE_FORGED: Final = Rule("RFC 4987 3.6", "An ACK that brings no valid cookie back establishes nothing.")
HALF_OPEN_FULL: Final = Rule(
    "RFC 4987 2.2", "Where the half-open table is full, a SYN gets what the policy says."
)
CONNECTIONS_FULL: Final = Rule("max_connections", "Where the table is full, no connection is opened.")

# SYN-SENT

WRONG_ACK_SYN_SENT: Final = Rule(
    "RFC 9293 3.10.7.3 first", "In SYN-SENT an ACK of what was never sent is answered by a reset."
)
WRONG_ACK_RST_SYN_SENT: Final = Rule(
    "RFC 9293 3.10.7.3 first", "In SYN-SENT a reset that acknowledges what was never sent is dropped."
)
RST_SYN_SENT: Final = Rule(
    "RFC 9293 3.10.7.3 second", "In SYN-SENT a reset that acknowledges the SYN ends it."
)
RST_NO_ACK_SYN_SENT: Final = Rule("RFC 9293 3.10.7.3 second", "In SYN-SENT a reset without ACK is dropped.")
SYN_ACK_SYN_SENT: Final = Rule(
    "RFC 9293 3.10.7.3 fourth",
    "A SYN that acknowledges the SYN establishes the connection, and is acknowledged.",
)
SYN_SYN_SENT: Final = Rule("RFC 9293 3.10.7.3 fourth", "In SYN-SENT a SYN without ACK gets a SYN+ACK.")
OTHER_SYN_SENT: Final = Rule("RFC 9293 3.10.7.3 fifth", "In SYN-SENT neither SYN nor RST: dropped.")

# Other states

UNACCEPTABLE: Final = Rule(
    "RFC 9293 3.10.7.4 first", "A segment outside the window is acknowledged, and dropped."
)
OLD_TIMESTAMP: Final = Rule(
    "RFC 7323 5.3 R1", "A segment with a timestamp older than the last is acknowledged, and dropped."
)
NO_TIMESTAMP: Final = Rule("RFC 7323 3.2", "A segment without timestamps, where they were agreed on.")
RST_EXACT: Final = Rule("RFC 9293 3.10.7.4 second, 2)", "A reset at RCV.NXT ends the connection.")
RST_IN_WINDOW: Final = Rule(
    "RFC 5961 3.2, RFC 9293 3.10.7.4 second, 3)", "A reset elsewhere in the window gets a challenge ACK."
)
RST_OUTSIDE: Final = Rule("RFC 9293 3.10.7.4 second, 1)", "A reset outside the window is dropped.")
RST_TIME_WAIT: Final = Rule("RFC 1337 3", "No reset ends TIME-WAIT, where rfc1337 says so.")
SYN_SYNCHRONIZED: Final = Rule(
    "RFC 5961 4.2, RFC 9293 3.10.7.4 fourth", "A SYN on a synchronized connection gets a challenge ACK."
)
SYN_AGAIN: Final = Rule("RFC 9293 3.8.1", "A SYN that comes again gets the SYN+ACK again.")
SYN_INSTEAD: Final = Rule(
    "RFC 9293 3.10.7.4 fourth", "Another SYN in SYN-RECEIVED ends a passive open, in silence."
)
SYN_REOPENS: Final = Rule("RFC 6191 2, RFC 9293 3.6.1", "A newer SYN reopens a connection in TIME-WAIT.")
SIMULTANEOUS: Final = Rule(
    "RFC 9293 3.5 figure 7", "The SYN+ACK of a simultaneous open establishes the connection."
)
NO_ACK: Final = Rule("RFC 9293 3.10.7.4 fifth", "A segment without ACK is dropped.")
ACK_OF_SYN: Final = Rule("RFC 9293 3.10.7.4 fifth", "In SYN-RECEIVED an ACK of the SYN establishes it.")
WRONG_ACK_SYN_RECEIVED: Final = Rule(
    "RFC 9293 3.10.7.4 fifth", "In SYN-RECEIVED an ACK of anything else is answered by a reset."
)
ACK_UNSENT: Final = Rule(
    "RFC 9293 3.10.7.4 fifth", "An ACK of what was never sent is acknowledged, and dropped."
)
ACK_TOO_OLD: Final = Rule("RFC 5961 5.2", "An ACK older than the largest window is challenged, and dropped.")
ACK_OF_FIN: Final = Rule("RFC 9293 3.10.7.4 fifth", "The ACK of the FIN moves the connection on.")
ACK_PLAIN: Final = Rule("RFC 9293 3.10.7.4 fifth", "An acceptable ACK without text is not answered.")
TEXT: Final = Rule("RFC 9293 3.10.7.4 seventh", "Text in the window is acknowledged, within half a second.")
TEXT_OUT_OF_ORDER: Final = Rule(
    "RFC 5681 4.2", "Text past a gap, or that fills one, is acknowledged at once."
)
TEXT_AFTER_FIN: Final = Rule("RFC 9293 3.10.7.4 seventh", "Text after the peer's FIN is ignored.")
TEXT_AFTER_CLOSE: Final = Rule(
    "RFC 9293 3.6.1", "Text for a connection whose user has gone is answered by a reset."
)
FIN: Final = Rule("RFC 9293 3.10.7.4 eighth", "A FIN is acknowledged, and moves the connection on.")
FIN_TIME_WAIT: Final = Rule(
    "RFC 9293 3.10.7.4 eighth", "A FIN in TIME-WAIT is acknowledged, and restarts it."
)
POOL_FULL: Final = Rule("pool_policy", "A handshake that finds the pool full gets what the policy says.")
CHALLENGE_LIMIT: Final = Rule("RFC 5961 7", "Challenge ACKs are limited.", is_counted=False)
INVALID_RATE: Final = Rule("RFC 5961 7", "Invalid segments without text are answered at a limited rate.")

# Frames

DAMAGED: Final = Rule("RFC 9293 3.1, RFC 1122 3.2", "A frame that is damaged or for nobody changes nothing.")
FRAME_SENT: Final = Rule(
    "RFC 9293 3.1, RFC 1122 3.2", "Frames that are sent are well formed.", is_counted=False
)
SENT_TO_NOBODY: Final = Rule("RFC 9293 3.10.7", "Nothing is sent to who has said nothing.", is_counted=False)
RESERVED: Final = Rule("RFC 9293 3.1", "Reserved bits are zero in what is sent.", is_counted=False)

# What a target sends

ONE_REPLY: Final = Rule(
    "RFC 9293 3.8.6.3", "A segment without text gets one bare reply at most.", is_counted=False
)
RST_FOR_RST: Final = Rule("RFC 9293 3.5.2", "No reset answers a reset.", is_counted=False)
SENT_ACK: Final = Rule("RFC 9293 3.10.7.4", "Every segment acknowledges RCV.NXT.", is_counted=False)
SENT_SEQ: Final = Rule("RFC 9293 3.4", "A segment without text has the number SND.NXT.", is_counted=False)
SENT_TEXT_SEQ: Final = Rule(
    "RFC 9293 3.4", "Text goes in order, or is what was sent before.", is_counted=False
)
SENT_TEXT: Final = Rule(
    "RFC 9293 3.7", "What goes is what the user has given, at its place in the stream.", is_counted=False
)
SENT_WINDOW: Final = Rule(
    "RFC 9293 3.8.6", "Nothing goes beyond the window that the peer has offered.", is_counted=False
)
SENT_MSS: Final = Rule(
    "RFC 9293 3.7.1", "No segment is larger than the peer's MSS less the options.", is_counted=False
)
FULL_SIZED: Final = Rule(
    "RFC 9293 3.8.6.2.1, RFC 8201 4",
    "Where there is more to send, segments are as large as the path takes.",
    is_counted=False,
)
SENT_FIN: Final = Rule(
    "RFC 9293 3.10.4", "A FIN goes once, behind all the text, when the user has closed.", is_counted=False
)
SENT_SYN: Final = Rule(
    "RFC 9293 3.4.1, 3.8.1", "A SYN that goes again has the number that it had before.", is_counted=False
)
SENT_SYN_OPTIONS: Final = Rule(
    "RFC 9293 3.1", "Options that only a SYN may carry go with no other segment.", is_counted=False
)
OFFERED_MSS: Final = Rule(
    "RFC 9293 3.7.1", "The MSS option says what the link takes, less fixed headers.", is_counted=False
)
OFFERED_SCALE: Final = Rule(
    "RFC 7323 2.2", "Window scale goes in a SYN+ACK only if it came in the SYN.", is_counted=False
)
OFFERED_SACK: Final = Rule(
    "RFC 2018 2", "SACK-permitted goes in a SYN+ACK only if it came in the SYN.", is_counted=False
)
OFFERED_TS: Final = Rule(
    "RFC 7323 3.2", "Timestamps go in a SYN+ACK only if they came in the SYN.", is_counted=False
)
SYN_WINDOW: Final = Rule("RFC 7323 2.2", "The window of a SYN is not scaled.", is_counted=False)
SHRINKS: Final = Rule("RFC 9293 3.8.6.2.2", "The window never shrinks.", is_counted=False)
TOO_MUCH_WINDOW: Final = Rule(
    "RFC 9293 3.8.6", "No more window is offered than there is buffer.", is_counted=False
)
TS_MISSING: Final = Rule("RFC 7323 3.2", "Once agreed on, timestamps are in every segment.", is_counted=False)
TS_UNWANTED: Final = Rule(
    "RFC 7323 3.2", "Timestamps are in no segment where they were not agreed on.", is_counted=False
)
TS_ECHO: Final = Rule(
    "RFC 7323 4.3",
    "TSecr is the newest TSval of a segment at the edge of what was acknowledged.",
    is_counted=False,
)
TS_CLOCK: Final = Rule("RFC 7323 4.1", "TSval counts on with the clock.", is_counted=False)
SACK_UNWANTED: Final = Rule("RFC 2018 3", "SACK blocks go only where they were agreed on.", is_counted=False)
SACK_BLOCKS: Final = Rule(
    "RFC 2018 3, 4", "SACK blocks are what was received past a gap, the latest first.", is_counted=False
)
SACK_MISSING: Final = Rule(
    "RFC 2018 4", "As long as there is a gap, acknowledgments carry a block.", is_counted=False
)
NOT_CAUSED: Final = Rule(
    "RFC 9293 3.8.1", "Nothing goes without a cause: a call, a segment, or a timer.", is_counted=False
)

ECN_ECHO: Final = Rule(
    "RFC 3168 6.1.3", "A mark is echoed until the peer says that it has reduced its window."
)
ECN_UNWANTED: Final = Rule(
    "RFC 3168 6.1.1", "Without ECN agreed on, no segment echoes a mark.", is_counted=False
)
NAGLE: Final = Rule(
    "RFC 9293 3.7.4", "A short segment waits while another is not acknowledged.", is_counted=False
)
STAMP_ISN: Final = Rule(
    "RFC 7323 7.1", "Timestamps of one connection say nothing of another's.", is_counted=False
)

# Calls

OPEN: Final = Rule("RFC 9293 3.10.1", "An active OPEN sends a SYN and enters SYN-SENT.")
CLOSE: Final = Rule("RFC 9293 3.10.4", "CLOSE sends a FIN behind the text, and moves the connection on.")
CLOSE_UNREAD: Final = Rule("RFC 9293 3.6.1", "A connection that is let go of with text unread is reset.")
ERROR: Final = Rule(
    "RFC 9293 3.10.3, 3.10.7", "What ended a connection is what its user's next call is told."
)
ORPHANS: Final = Rule(
    "max_orphans", "Where too many closed connections wait for their peers, one more is reset."
)
REUSE: Final = Rule(
    "RFC 6191 2", "An active OPEN may take a connection in TIME-WAIT if its timestamps are old."
)
ABORT: Final = Rule("RFC 9293 3.10.5", "ABORT sends a reset at SND.NXT where the peer would wait for more.")
RECEIVE: Final = Rule("RFC 9293 3.10.3", "RECEIVE gives exactly the text that the peer has sent, in order.")
SEND: Final = Rule("RFC 9293 3.10.2", "SEND takes text while this end has not closed, and sends it.")
CLAIM: Final = Rule(
    "the pool",
    "Each established connection is claimed once, by its 4-tuple, and nothing else can be claimed.",
)

# Timers

SYN_RETRANSMISSION: Final = Rule(
    "RFC 6298 2.1, 5.5", "A SYN goes again when its timeout has passed, doubled each time."
)
GIVES_UP: Final = Rule("RFC 9293 3.8.3", "After so many retransmissions a connection is given up.")
TIME_WAIT: Final = Rule("RFC 9293 3.10.8", "TIME-WAIT lasts for twice the segment lifetime.")
ORPHAN: Final = Rule("RFC 9293 3.6.1", "FIN-WAIT-2 ends when nobody is left to wait.")
DELAYED_ACK: Final = Rule("RFC 9293 3.8.6.3", "An acknowledgment is delayed for less than half a second.")
RETRANSMISSION: Final = Rule("RFC 6298 5", "What is not acknowledged goes again when the timeout has passed.")
PERSIST: Final = Rule("RFC 9293 3.8.6.1", "A closed window is probed.")
KEEP_ALIVE: Final = Rule("RFC 9293 3.8.4", "A silent peer is probed with a number it has acknowledged.")
POOL_TIMEOUT: Final = Rule("pool_timeout_s", "What nobody claims in time is reset.")
TIMER_IN_STATE: Final = Rule("RFC 9293 3.8", "A timer runs only in states that have it.", is_counted=False)
MUST_SEND: Final = Rule(
    "RFC 9293 3.8.6.2.1", "Text that fits the window goes when nothing is in flight.", is_counted=False
)

# Sizes and states

STATE: Final = Rule(
    "RFC 9293 3.3.2", "The connection is in the state that its history leads to.", is_counted=False
)
HALF_OPEN_COUNT: Final = Rule(
    "RFC 4987 2.2", "As many connections are half-open as are in SYN-RECEIVED.", is_counted=False
)
POOL_COUNT: Final = Rule(
    "the pool", "As many connections wait as are established and not claimed.", is_counted=False
)
TIME_WAIT_COUNT: Final = Rule(
    "max_tw_buckets", "As many connections are counted in TIME-WAIT as are.", is_counted=False
)
TCB_COUNT: Final = Rule("RFC 9293 3.3.1", "There are as many TCBs as connections.", is_counted=False)
ISN: Final = Rule(
    "RFC 6528 3",
    "Initial sequence numbers follow the clock for one 4-tuple, and chance for others.",
    is_counted=False,
)
ISN_REOPENED: Final = Rule(
    "RFC 9293 3.6.1",
    "A reopened connection begins beyond the last number of the one before.",
    is_counted=False,
)
TFO: Final = Rule("RFC 7413 4.2.2", "Text of a SYN is given to the user early only if the cookie is valid.")
TFO_COOKIE: Final = Rule("RFC 7413 4.1.1", "Whoever asks for a cookie gets one.")
ICMP_IN_FLIGHT: Final = Rule(
    "RFC 5927 4.1", "An ICMP error that quotes a number not in flight changes nothing."
)
ICMP_HARD: Final = Rule("RFC 9293 3.9.2.2", "A hard error ends an attempt to open a connection.")
ICMP_SOFT: Final = Rule("RFC 5927 5.2, 6.1", "No ICMP error ends a synchronized connection.")
ICMP_MTU: Final = Rule(
    "RFC 1191 3, RFC 8201 4", "A path MTU is believed down to the least, and makes segments smaller."
)
ENDS: Final = Rule("RFC 9293 3.10", "Each step ends.", is_counted=False)
NEVER_RAISES: Final = Rule("RFC 9293 3.10.7", "No segment stops the TCP.", is_counted=False)

ALL: Final = tuple(value for value in globals().values() if isinstance(value, Rule))
"""Every rule."""
