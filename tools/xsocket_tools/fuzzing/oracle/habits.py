"""Habits: ways of a target that the shadows have to follow to know what comes next."""

from __future__ import annotations

from enum import Enum


class Habit(Enum):
    """A way of a target that the shadows have to follow to know what comes next."""

    SYN_TEXT_IS_DROPPED = (
        "text of a SYN without Fast Open is dropped, and has to come again; so is that of a SYN+ACK"
    )
    SYN_IS_REPEATED = (
        "the SYN+ACK of a simultaneous open offers what the SYN did, whatever the peer's SYN offers"
    )
    SIGNATURE_FIRST = "a segment with a signature, or whose options cannot be searched for one, is dropped"
    EDGES_COUNT = "segments that end at the left edge of the window, or begin at the right one, are in it"
    LARGE_WINDOW = "the window is from the beginning as large as the buffer, whatever 16 bits can say of it"
    OLDER_BY_ONE = "a timestamp that is older by one is not old, nor is one half the circle away"
    WINDOW_BY_ACK = (
        "a new acknowledgment brings its window, the same numbers again only a larger one, or none; that of "
        "a SYN is forgotten with the third segment"
    )
    FIN_IN_BLOCKS = "a FIN past a gap is in the blocks of what has come"
    ORPHANS_HAVE_NO_BLOCKS = "no blocks are sent for an orphan in FIN-WAIT-2"
    PREDICTION = (
        "a segment that was expected just so leaves the window as it was, if there is memory for its text"
    )
    CAPABLE_SYN_IS_REFUSED = "a SYN that is itself ECN-capable gets no ECN"
    SYN_ACK_IS_SCALED = "the window of a simultaneous open's SYN+ACK is scaled"
    SYN_ACK_HAS_STAMP = "the timestamp of a simultaneous open's SYN+ACK is noted"
    SYN_IS_TEXT = "the acknowledgment of a SYN counts as if it were of text"
    FIN_IN_WINDOW = "a FIN waits for room in the peer's window, as text does"
    CUT_WHEN_GIVEN = "text is cut into segments when it is given, and only its last segment may be held back"
    ONE_BACKLOG = (
        "a listener has one limit for half-open and for waiting connections, one for each IP version; "
        "what Fast Open has established is no longer the listener's when it is accepted"
    )
    FULL_TIME_WAIT = "where TIME-WAIT is full, the next connection skips it; orphans in FIN-WAIT-2 count"
    ERRORS_OF_REQUESTS = (
        "what a router says of a SYN+ACK ends the half-open connection if it is no port's fault"
    )
    ZERO_MTU_IS_LEAST = "a router that says no MTU means the least"
    PORT_ZERO = "port 0 is a port"
    LONG_PADDING = "an IPv6 option of more than seven octets of padding is not padding"
    COOKIE_MSS = "a SYN cookie stands for one of four MSS"
    ERRORS_AT_NEXT = "a router may quote the next number as well, which was never sent"
    LATE_SHUTDOWN = "who finishes sending before the connection is established does so afterwards"
    PORTS_TAKE_TIME_WAIT = (
        "who opens from a port of his own takes a connection in TIME-WAIT that had timestamps"
    )
    STAMPS_FIRST = (
        "where little is kept of a connection, an old timestamp counts before all else, even of a reset"
    )
    NO_ACK_IN_TIME_WAIT = "acknowledgments are not looked at in TIME-WAIT"
    OLD_ACKS_HAVE_NO_STAMP = (
        "no timestamp is noted of an older acknowledgment, nor for an orphan but with a FIN"
    )
    ECHO_IS_CHECKED = "before the connection is established, a segment must echo a timestamp that a SYN had"
    SHRUNK_WINDOW = "where the peer has shrunk its window, segments without text have the number of its end"
    LEAST_WITH_STAMPS = "the least text of a segment is counted with the timestamps"
    MSS_BY_PATH = "no SYN offers a larger MSS than goes to the peer"
    END_IS_SAID_FIRST = "RECEIVE after the peer's FIN says the end, whatever came later"
    LIMITED_CHALLENGES = (
        "challenge ACKs are limited, whatever the segment has, and so is the SYN+ACK that goes again"
    )
    LOW_BITS = "the window in TIME-WAIT, and of an orphan in FIN-WAIT-2, is said by its lower 16 bits"
    PATH_IS_SHARED = "what is learnt of a path counts for every connection with the host"
    PATH_BELOW_MSS = "a path MTU counts only if it makes the segments smaller that are sent now"
    RESETS_NEED_SEARCH = (
        "no reset answers a segment with a signature, or whose options cannot be searched for one"
    )
    CWR_IS_ACCURATE = (
        "a SYN+ACK with CWR agrees on the ECN of RFC 9768, even if the SYN asked for that of RFC 3168"
    )
    COOKIE_IS_A_SUM = "a SYN cookie proves the difference of both numbers, and neither of them"

    __hash__ = object.__hash__
