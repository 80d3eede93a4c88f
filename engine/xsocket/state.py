"""The machine's vocabulary: states, triggers, replies, timers. The table is in `xsocket.tcp.table`."""

from enum import Enum
from typing import Final


class State(Enum):
    """The eleven states of RFC 9293 section 3.3.2."""

    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"
    CLOSED = "CLOSED"

    # Enum hashes the name in Python code; the table is looked up for every segment.
    __hash__ = object.__hash__


SYNCHRONIZED: Final = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)
"""Those in which both ends know each other's sequence numbers (RFC 9293 section 3.5.2)."""


class Trigger(Enum):
    """What can move a connection: a call, what a guard made of a segment, a timer, or another one."""

    # Calls (RFC 9293 section 3.10.1 to 3.10.5)
    PASSIVE_OPEN = "passive OPEN"
    ACTIVE_OPEN = "active OPEN"
    CLOSE = "CLOSE"
    ABORT = "ABORT"
    # Segments (section 3.10.7), in the order in which the RFC asks for them
    UNACCEPTABLE = "segment outside the window"
    RST_FOR_US = "RST at RCV.NXT"
    RST_IN_WINDOW = "RST in the window, not at RCV.NXT"
    SYN = "SYN"
    SYN_ACK_OF_OURS = "SYN that acknowledges our SYN"
    SYN_AGAIN = "the SYN retransmitted"
    SYN_OF_OTHER_ECN = "the SYN retransmitted, for other ECN feedback"
    SYN_INSTEAD = "another SYN where the third segment was due"
    SYN_IN_WINDOW = "SYN on a synchronized connection"
    SYN_REOPENS = "SYN that may reopen from TIME-WAIT"
    WRONG_ACK = "ACK of what was never sent"
    ACK_OF_SYN = "ACK of our SYN"
    ACK_OF_FIN = "ACK of our FIN"
    ACK_OF_COOKIE = "ACK of our SYN cookie"
    TEXT_FOR_NOBODY = "text whose user has gone"
    FIN = "FIN"
    # Timers (section 3.10.8)
    GIVE_UP = "retries exhausted"
    USER_TIMEOUT = "user timeout"
    PATH_ERROR = "ICMP says that the peer cannot be reached"
    KEEP_ALIVE_FAILED = "keep-alive probes unanswered"
    TIME_WAIT_OVER = "2 MSL passed"
    ORPHAN_OVER = "the peer never sent its FIN"
    # Another connection (RFC 4987 section 3.4)
    EVICTED = "another one needs the place"

    __hash__ = object.__hash__


class Reply(Enum):
    """What a move sends."""

    SYN = "SYN"
    SYN_ACK = "SYN+ACK"
    ACK = "ACK"
    CHALLENGE_ACK = "challenge ACK"
    FIN = "FIN"
    RST = "RST"


class Timer(Enum):
    """The timers a connection can run."""

    RETRANSMISSION = "retransmission"
    LOSS_PROBE = "tail loss probe"
    PERSIST = "persist"
    DELAYED_ACK = "delayed ACK"
    KEEP_ALIVE = "keep-alive"
    TIME_WAIT = "time-wait"
    ORPHAN = "orphan"

    __hash__ = object.__hash__
