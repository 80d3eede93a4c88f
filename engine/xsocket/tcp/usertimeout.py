"""The user timeout option (RFC 5482): what is advertised of our user timeout, and what the peer's does to it.

Pure sums over the rules. The option is a suggestion, sent once and never relied on: on a SYN or SYN+ACK as it
goes out first, and on the first segment without SYN.
"""

from typing import Final

from xsocket.config import TcpConfig
from xsocket.info import UserTimeoutInfo
from xsocket.tcp.options import UserTimeout

DEFAULT_S: Final = 300.0
"""What is advertised where no rule says otherwise: five minutes, the default of RFC 9293 section 3.10.1."""
OPTION_OCTETS: Final = 4
MARGIN_S: Final = 1.0
"""By how much a limit exceeds what the RFC wants it to be larger than."""


class UserTimeoutState:
    """What one TCB has of the option. Only connections that may use it have one.

    Attributes:
        remote_s: REMOTE_UTO, seconds; None before the peer sent the option.
        due: Whether the next segment without SYN that has room for the option carries it.
    """

    __slots__ = ("due", "remote_s")

    def __init__(self) -> None:
        self.remote_s: float | None = None
        self.due = True

    def note(self, option: UserTimeout | None) -> None:
        """Take in what a segment of the peer's says; a timeout of zero is reserved (RFC 5482 section 3.4)."""
        if option is not None and option.value:
            self.remote_s = option.seconds

    def adopted_s(self, rules: TcpConfig, rto_s: float) -> float | None:
        """Return USER_TIMEOUT as RFC 5482 section 3.1 has it; None where the peer's option changes nothing.

        Args:
            rules: Of the connection. A user timeout that its user has set is not changed.
            rto_s: The current retransmission timeout: a shorter user timeout would be none.
        """
        if self.remote_s is None or rules.user_timeout_s or not rules.user_timeout_changeable:
            return None
        wanted_s = max(advertised_s(rules), self.remote_s, rules.user_timeout_least_s)
        return max(rto_s + MARGIN_S, min(rules.user_timeout_most_s, wanted_s))

    def info(self, rules: TcpConfig, rto_s: float) -> UserTimeoutInfo:
        """Return what there is to say of it."""
        return UserTimeoutInfo(advertised_s(rules), self.remote_s, self.adopted_s(rules, rto_s))


def advertised_s(rules: TcpConfig) -> float:
    """Return ADV_UTO, seconds."""
    return rules.user_timeout_advertised_s or rules.user_timeout_s or DEFAULT_S


def option(rules: TcpConfig) -> UserTimeout:
    """Return the option that advertises the user timeout."""
    return UserTimeout.of(advertised_s(rules))
