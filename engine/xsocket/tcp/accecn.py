"""ECN with more accurate feedback, RFC 9768: the receiver counts marks, the sender keeps up with the count.

The three flags are the low bits of the number of marked packets (the ACE field); an option may say how many
octets came with each codepoint. Names are the RFC's: ``r`` is for receiver, ``s`` for sender.
"""

from typing import Final

from xsocket.info import EcnInfo
from xsocket.segment import AE, CE, CWR, ECE, ECT_0, ECT_1, FIN, NOT_ECT, Segment
from xsocket.tcp.options import AccEcn, filled_up

COUNTED: Final = "RFC 9768 3.2.2.5"
"""The rule by which marks are acknowledged at once."""
THIRD_SEGMENT: Final = "RFC 9768 3.2.2.1"
"""The rule by which a client acknowledges the SYN+ACK before it sends anything else."""

FLAGS: Final = AE | CWR | ECE
MAX_UNREPORTED: Final = 7
"""How many marks may wait for an acknowledgment: one more, and the field has come full circle."""

_ACE_SHIFT: Final = 6
_CYCLE: Final = 8
_COUNTER_MASK: Final = (1 << 24) - 1
_INITIAL_CEP: Final = 5
_OPTION_OCTETS: Final = 12
"""What the whole option takes, filled up to words."""
_NOT_ECT_CAME: Final = 0b010
_CE_CAME: Final = 0b110
_HANDSHAKE: Final = {NOT_ECT: _NOT_ECT_CAME, ECT_1: 0b011, ECT_0: 0b100, CE: _CE_CAME}
"""How a SYN+ACK, and the ACK of one, say with which codepoint the other came (tables 2 and 3)."""
_MANGLED: Final = frozenset(_HANDSHAKE.values()) - {_NOT_ECT_CAME}
"""What they say when something on the way has changed a codepoint: ours go as Not-ECT (section 3.2.2.3)."""
_WELL_BELOW_A_CYCLE: Final = 4.0
"""How many packets an acknowledgment covers on average where one that covers many shows that others got lost
(appendix A.2.1)."""


def _ace(segment: Segment) -> int:
    return segment.flags >> _ACE_SHIFT & 7


class AccurateEcn:
    """What one connection has of RFC 9768.

    Args:
        heard_in: The codepoint that the peer's SYN or SYN+ACK came with.
        options: `TcpConfig.ecn_option`.
        sends_ect: See `ClassicEcn`.

    Attributes:
        sends_ect: Whether text may go in packets that routers may mark.
        marked_early: Whether the handshake reported a mark, before there was a congestion window.
        unreported: Marks that came since anything was last sent.
        reserves: Octets that the first text leaves to the option, so that it shows whether the path lets
            that through (section 3.2.3.2.1).
    """

    __slots__ = (
        "_average",
        "_heard_in",
        "_heeds",
        "_last_was_ce",
        "_option_due",
        "_options",
        "_r_ceb",
        "_r_cep",
        "_r_e0b",
        "_r_e1b",
        "_reads_options",
        "_s_ceb",
        "_s_cep",
        "marked_early",
        "reserves",
        "sends_ect",
        "unreported",
    )

    accurate: Final = True

    def __init__(self, heard_in: int, options: int, *, sends_ect: bool) -> None:
        self.sends_ect = sends_ect
        self.marked_early = False
        self.unreported = self.reserves = 0
        self._r_cep = self._s_cep = _INITIAL_CEP  # section 3.2.1
        self._r_e0b = self._r_e1b = 1
        self._r_ceb = self._s_ceb = 0
        self._heard_in = heard_in
        self._options = options
        self._heeds = self._reads_options = True
        self._last_was_ce = self._option_due = False
        self._average = 1.0

    @property
    def info(self) -> EcnInfo:
        """What there is to say of it."""
        return EcnInfo(True, self.sends_ect, self._r_cep - _INITIAL_CEP, self._s_cep - _INITIAL_CEP)

    # The receiver

    def arrived(self, segment: Segment, *, owes_text: bool) -> str | None:
        """Note an acceptable segment; return the rule by which it is acknowledged at once, if there is one.

        Args:
            segment: Without SYN; a mark counts whether it has text or not (section 3.2).
            owes_text: Whether text waits for an acknowledgment. Then every second mark is reported, else
                every third, so that ends whose acknowledgments get marked fall silent (section 3.2.2.5.1).
        """
        codepoint, octets, due = segment.ecn, len(segment.payload), False
        if codepoint == CE:
            self._r_cep += 1
            self._r_ceb += octets
            self.unreported += 1
            due = self.unreported >= (2 if owes_text or octets else 3) or (
                octets > 0 and not self._last_was_ce
            )
        elif codepoint == ECT_0:
            self._r_e0b += octets
        elif codepoint == ECT_1:
            self._r_e1b += octets
        self._last_was_ce = codepoint == CE
        self._option_due = self._option_due or (octets > 0 and codepoint != NOT_ECT)
        return COUNTED if due else None

    # The sender

    def says_marked(self, segment: Segment, option: AccEcn | None, packets: int, mss: int) -> bool:
        """Whether an acknowledgment reports that packets of ours came with a mark (section 3.2.2.2).

        Args:
            segment: The peer's.
            option: Its option, None without one.
            packets: How many segments it says have arrived that it had not said so before. With none it may
                be older than what was heard already, and is not listened to.
            mss: The largest text we send in one segment, octets.
        """
        if not packets or not self._heeds:
            return False
        news = (_ace(segment) - self._s_cep) % _CYCLE
        octets = self._newly_marked_octets(option)
        if octets is None:
            news = self._safest(news, packets)
        else:
            if octets and not news and packets < _CYCLE:
                self.sends_ect = False  # section 3.2.3.2.5: one of the two was changed on the way
            while news * mss < octets:
                news += _CYCLE
        self._average += (packets - self._average) / 8
        self._s_cep += news
        return news > 0

    def _newly_marked_octets(self, option: AccEcn | None) -> int | None:
        """What the option adds to s.ceb (section 3.2.3.1); None when it says nothing of that."""
        if option is None or not option.counters or not self._reads_options:
            return None
        if len(option.counters) == 1:
            return 0  # what has changed may not be left out
        increment = (option.counters[1] - self._s_ceb) & _COUNTER_MASK
        self._s_ceb += increment
        return increment

    def _safest(self, news: int, packets: int) -> int:
        """Take the field to have come full circle where it may have: section 3.2.2.5.2, appendix A.2.1."""
        if packets < _CYCLE or self._average > _WELL_BELOW_A_CYCLE:
            return news
        return packets - (packets - news) % _CYCLE

    # What goes out

    def flags(self, *, reductions: int, new_text: bool, answers_syn_ack: bool) -> int:
        """Return the flags of a segment without SYN: the ACE field (sections 3.2.2.1 and 3.2.2.2).

        Args:
            reductions: Makes no difference here: there is no CWR (section 3.1.5).
            new_text: Neither does this.
            answers_syn_ack: Whether it is a bare acknowledgment of a SYN+ACK.
        """
        del reductions, new_text
        self.unreported = 0
        return (_HANDSHAKE[self._heard_in] if answers_syn_ack else self._r_cep % _CYCLE) << _ACE_SHIFT

    def option(self, room: int, *, new_text: bool, again: bool) -> bytes:
        """Return the option of a segment without SYN, or nothing (section 3.2.3.3).

        Args:
            room: Octets that it may take.
            new_text: Whether the segment has text that goes for the first time.
            again: Whether the segment is sent again: it may be the option that the path swallows.
        """
        if again or not self._options:
            return b""
        if not self._option_due and not self.reserves and self._options == 1:
            return b""
        raw = filled_up(self._as_option())
        if len(raw) > room:
            return b""
        self._option_due = False
        if new_text:
            self.reserves = 0
        return raw

    def _as_option(self) -> AccEcn:
        """Every counter that has ever changed, and those before it; all of them while none has."""
        e0b, ceb, e1b = self._r_e0b, self._r_ceb, self._r_e1b
        order = 1 if e1b > 1 and e0b == 1 else 0
        counters: tuple[int, ...] = (e1b, ceb, e0b) if order else (e0b, ceb, e1b)
        if order or (e0b > 1 and e1b == 1):
            counters = counters[: 2 if ceb else 1]
        return AccEcn(order, tuple(each & _COUNTER_MASK for each in counters))

    # The handshake

    def syn_ack_flags(self, retries: int) -> int:
        """Return the flags of our SYN+ACK, which say how the peer's last SYN came (table 2).

        After the second timeout they say nothing: the path may swallow what they make it look like. We count
        marks all the same, but the peer may not know, so that our own packets must not be marked (sections
        3.2.3.2.2 and 3.1.5).
        """
        if retries > 1:
            self.sends_ect = False
            return 0
        return _HANDSHAKE[self._heard_in] << _ACE_SHIFT

    @property
    def syn_ack_option(self) -> AccEcn | None:
        """The option of our first SYN+ACK: section 3.2.3.2.1."""
        return self._as_option() if self._options else None

    def heard_again(self, segment: Segment) -> None:
        """Note a SYN of the peer that comes again, or its SYN+ACK: the last is answered (section 3.1.5)."""
        self._heard_in = segment.ecn
        if not segment.flags & FLAGS:
            self.sends_ect = False

    def heard_of_syn(self, syn_ack: Segment, option: AccEcn | None) -> None:
        """Note what the SYN+ACK says of our SYN, and whether it has a mark itself (section 3.2.2.2)."""
        self.sends_ect = _ace(syn_ack) not in _MANGLED
        self.marked_early = _ace(syn_ack) == _CE_CAME
        self._r_cep += syn_ack.ecn == CE
        self._test_zeroes(option)
        self.reserves = _OPTION_OCTETS if self._options else 0

    def syn_ack_again(self, syn_ack: Segment) -> None:
        """Note that the SYN+ACK came again; marks on any number of them count once."""
        if syn_ack.ecn == CE and self._r_cep == _INITIAL_CEP:
            self._r_cep += 1
        self._heard_in = syn_ack.ecn

    def third_segment(self, segment: Segment, option: AccEcn | None, *, has_sack: bool) -> None:
        """Note what the segment that completes the handshake says of our SYN+ACK (section 3.2.2.1)."""
        ace = _ace(segment)
        if segment.payload or segment.flags & FIN or has_sack:
            news = (ace - self._s_cep) % _CYCLE
        else:
            news = 1 if ace == _CE_CAME else 0
            if not ace:
                self._heeds = False
            if not ace or ace in _MANGLED:
                self.sends_ect = False
        self._s_cep += news
        self.marked_early = news > 0
        self._test_zeroes(option)

    def _test_zeroes(self, option: AccEcn | None) -> None:
        """Ignore options where the first one says 0 of what begins at 1 (section 3.2.3.2.4)."""
        if option is not None and 0 in option.counters[::2]:
            self._reads_options = False
