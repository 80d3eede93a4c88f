"""Which connections a key protects, and whether what strangers send is authentic: RFC 2385 and RFC 5925.

The only place that looks keys up. The stack asks `Authenticator.judge` about each segment that arrives before
anything else looks at it, and gives each TCB the signer that signs what leaves.
"""

from collections.abc import Iterable
from dataclasses import replace

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import SYN, Segment
from xsocket.seqnum import add
from xsocket.tcp.keys import AoKey, Key, Md5Key, check_together
from xsocket.tcp.options import Parsed, signatures
from xsocket.tcp.signers import AoSigner, Md5Signer, Signer
from xsocket.tcp.tcb import Tcb


class Authenticator:
    """The keys of one engine.

    Args:
        keys: In order of preference.
        rules: Of the engine.

    Raises:
        BadConfigError: Two TCP-AO keys may meet on one connection and share an ID.
    """

    def __init__(self, keys: Iterable[Key], rules: TcpConfig) -> None:
        self._keys = check_together(keys)
        self._rules = rules
        self._md5_rules = replace(rules, timestamps=rules.timestamps and not rules.sack)

    def keys_for(self, four_tuple: FourTuple) -> list[Key]:
        """Return the keys that match, the preferred one first; TCP-AO's only, where one of them does.

        RFC 5925 section 8: a connection that may use TCP-AO does not use MD5.
        """
        found = [key for key in self._keys if key.peer.matches(four_tuple)]
        return [key for key in found if isinstance(key, AoKey)] or found[:1]

    def signer_for(self, four_tuple: FourTuple, opened_by: Segment | None = None) -> Signer | None:
        """Return what protects a new connection; None where no key does.

        Args:
            four_tuple: Which.
            opened_by: The peer's segment that opens it, which is authentic; None for our own open.
        """
        keys = self.keys_for(four_tuple)
        if not keys:
            return None
        if isinstance(keys[0], Md5Key):
            return Md5Signer(four_tuple, keys[0])
        return AoSigner(four_tuple, [key for key in keys if isinstance(key, AoKey)], opened_by)

    def rules_for(self, signer: Signer | None) -> TcpConfig:
        """Return the rules of a connection with that signer.

        No SACK block fits beside timestamps and an MD5 signature. Of the two, SACK is worth more: so does
        Linux choose.
        """
        return self._md5_rules if isinstance(signer, Md5Signer) else self._rules

    def judge(self, tcb: Tcb | None, four_tuple: FourTuple, segment: Segment) -> DropReason | None:
        """Return why *segment* must be dropped silently; None when it is as authentic as it has to be.

        Args:
            tcb: Of its connection; None for a stranger's.
            four_tuple: The connection, our end first.
            segment: The peer's.
        """
        signer = self.signer_for(four_tuple) if tcb is None else tcb.signer
        if signer is None:
            unwanted = self._rules.unexpected_signatures == "drop" and signatures(segment.options)
            return DropReason.SIGNATURE_UNEXPECTED if unwanted else None
        if tcb is None:
            return signer.judge(segment, *_claimed_isns(segment))
        return signer.judge(segment, tcb.iss, tcb.irs)

    def answer(self, four_tuple: FourTuple, segment: Segment, reply: Segment) -> Segment:
        """Return our *reply* to a stranger's *segment*, which is authentic, signed where a key matches.

        With TCP-AO, a reset that answers a SYN is not: its numbers are not known to both (RFC 5925 section
        5.2), and the peer will not take it.
        """
        signer = self.signer_for(four_tuple, segment)
        if signer is None:
            return reply
        if reply.flags & SYN:
            return signer.sign(reply, reply.seq, segment.seq)
        if segment.flags & SYN and isinstance(signer, AoSigner):
            return reply
        return signer.sign(reply, *_claimed_isns(segment))

    def curtail(self, four_tuple: FourTuple, options: Parsed) -> Parsed:
        """Return the *options* of a SYN as its SYN cookie may answer them: see `rules_for`."""
        is_md5 = options.sack_permitted and isinstance(self.signer_for(four_tuple), Md5Signer)
        return options._replace(ts_val=None) if is_md5 else options


def _claimed_isns(segment: Segment) -> tuple[int, int]:
    """Return ISS and IRS, if a stranger's *segment* is the first or the third of a handshake."""
    return add(segment.acknowledgment, -1), add(segment.seq, -1)
