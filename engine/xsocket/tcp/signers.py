"""Signers: what a TCB has that a key protects. They put the option on our segments and judge the peer's.

One for each connection; it alone remembers what TCP-AO keeps beside the TCB (RFC 5925 section 4). Whether a
connection gets one, and what becomes of strangers' segments, is `xsocket.tcp.authentication`'s.
"""

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final, Protocol

from xsocket.fourtuple import FourTuple
from xsocket.info import AuthenticationInfo
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import ACK, SYN, Segment
from xsocket.tcp import ao, md5
from xsocket.tcp.keys import AoKey, Key, Md5Key
from xsocket.tcp.options import AUTHENTICATION, MAX_OCTETS, MD5_SIGNATURE, NOP, signatures

_MD5_START: Final = bytes((NOP, NOP, MD5_SIGNATURE, 2 + md5.DIGEST_OCTETS))


class Signer(Protocol):
    """What the machine sees of one."""

    @property
    def octets(self) -> int:
        """How much room its option takes in every segment, padding included."""
        ...

    @property
    def info(self) -> AuthenticationInfo:
        """What it does, for people."""
        ...

    def sign(self, segment: Segment, iss: int, irs: int) -> Segment:
        """Return *segment*, which this end sends, with the option."""
        ...

    def judge(self, segment: Segment, iss: int, irs: int) -> DropReason | None:
        """Return why *segment*, which the peer sent, is not authentic; None when it is."""
        ...

    def rekey(self, keys: Sequence[Key]) -> None:
        """Take those of *keys*, which match the connection, that are of its kind; keep the old if none is."""
        ...

    def distrusts(self, error: PathError) -> bool:
        """Whether an ICMP error changes nothing on a synchronized connection."""
        ...


def sole_signature(segment: Segment, kind: int) -> tuple[int, bytes] | DropReason:
    """Return where the segment's one option of *kind* begins, and its data; or what is wrong with it."""
    found = signatures(segment.options)
    if not found or (len(found) == 1 and found[0][0] != kind):
        return DropReason.SIGNATURE_MISSING
    if len(found) > 1:
        return DropReason.SIGNATURE_MALFORMED
    return found[0][1:]


def _with_room(segment: Segment, option: bytes) -> Segment:
    options = segment.options + option
    assert len(options) <= MAX_OCTETS, "whoever chooses the options leaves room for the signature"
    return segment._replace(options=options)


class Md5Signer:
    """RFC 2385. Nothing to remember but the key."""

    __slots__ = ("_four_tuple", "_secret")

    octets: Final = len(_MD5_START) + md5.DIGEST_OCTETS
    info: Final = AuthenticationInfo("MD5")

    def __init__(self, four_tuple: FourTuple, key: Md5Key) -> None:
        self._four_tuple = four_tuple
        self._secret = key.secret

    def sign(self, segment: Segment, iss: int, irs: int) -> Segment:  # noqa: ARG002  # for TCP-AO
        """See `Signer.sign`."""
        room = _with_room(segment, bytes(self.octets))
        digest = md5.digest(self._four_tuple, room, self._secret)
        return segment._replace(options=segment.options + _MD5_START + digest)

    def judge(self, segment: Segment, iss: int, irs: int) -> DropReason | None:  # noqa: ARG002  # for TCP-AO
        """See `Signer.judge`: RFC 2385 section 2.0."""
        found = sole_signature(segment, MD5_SIGNATURE)
        if isinstance(found, DropReason):
            return found
        digest = md5.digest(self._four_tuple.reversed, segment, self._secret)
        return None if compare_digest(digest, found[1]) else DropReason.SIGNATURE_WRONG

    def rekey(self, keys: Sequence[Key]) -> None:
        """See `Signer.rekey`: both ends change the secret at about the same time."""
        self._secret = next((key.secret for key in keys if isinstance(key, Md5Key)), self._secret)

    def distrusts(self, error: PathError) -> bool:  # noqa: ARG002  # for TCP-AO
        """See `Signer.distrusts`: RFC 2385 says nothing of ICMP."""
        return False


class AoSigner:
    """RFC 5925: the parameters of section 4.

    Args:
        four_tuple: The connection.
        keys: Its master key tuples, the preferred one first; at least one.
        opened_by: The peer's segment that opens it, which is authentic; None for our own open.
    """

    __slots__ = ("_current", "_four_tuple", "_keys", "_received", "_received_ids", "_sent", "_traffic_keys")

    octets: Final = 4 + ao.MAC_OCTETS

    def __init__(
        self, four_tuple: FourTuple, keys: Sequence[AoKey], opened_by: Segment | None = None
    ) -> None:
        self._four_tuple = four_tuple
        self._keys = tuple(keys)
        self._current = self._keys[0]
        self._received_ids: tuple[int, int] | None = None
        self._sent, self._received = ao.Extension(), ao.Extension()
        self._traffic_keys: dict[tuple[int, bool], tuple[int, int, bytes]] = {}
        found = None if opened_by is None else sole_signature(opened_by, AUTHENTICATION)
        if isinstance(found, tuple):
            data = found[1]
            self._current = next((key for key in self._keys if key.recv_id == data[0]), self._current)
            self._heed(data)

    @property
    def info(self) -> AuthenticationInfo:
        """See `Signer.info`."""
        received, rnext = self._received_ids or (None, None)
        ids = tuple((key.send_id, key.recv_id) for key in self._keys)
        current = self._current
        return AuthenticationInfo(current.algorithm, current.send_id, ids[0][1], received, rnext, ids)

    def sign(self, segment: Segment, iss: int, irs: int) -> Segment:
        """See `Signer.sign`: RFC 5925 section 7.4."""
        key, at = self._current, len(segment.options)
        start = bytes((AUTHENTICATION, self.octets, key.send_id, self._keys[0].recv_id))
        room = _with_room(segment, start + bytes(ao.MAC_OCTETS))
        if segment.flags & SYN:
            sne = 0
            destination_isn = irs if segment.flags & ACK else 0
        else:
            sne, destination_isn = self._sent.of(segment.seq, iss), irs
            self._sent.advance(segment.seq, iss)
        mac = self._mac(key, sne, room, at, iss, destination_isn, outgoing=True)
        return segment._replace(options=segment.options + start + mac)

    def judge(self, segment: Segment, iss: int, irs: int) -> DropReason | None:
        """See `Signer.judge`: RFC 5925 section 7.5."""
        found = sole_signature(segment, AUTHENTICATION)
        if isinstance(found, DropReason):
            return found
        at, data = found
        if len(data) != 2 + ao.MAC_OCTETS:
            return DropReason.SIGNATURE_MALFORMED
        key = next((key for key in self._keys if key.recv_id == data[0]), None)
        if key is None:
            return DropReason.SIGNATURE_KEY_UNKNOWN
        if segment.flags & SYN:
            sne, source_isn = 0, segment.seq
            destination_isn = iss if segment.flags & ACK else 0
        else:
            sne, source_isn, destination_isn = self._received.of(segment.seq, irs), irs, iss
        mac = self._mac(key, sne, segment, at, source_isn, destination_isn, outgoing=False)
        if not compare_digest(mac, data[2:]):
            return DropReason.SIGNATURE_WRONG
        if not segment.flags & SYN:
            self._received.advance(segment.seq, irs)
        self._heed(data)
        return None

    def _heed(self, data: bytes) -> None:
        """Sign with the key that the peer would rather receive, if it is here: section 7.5 step 2.e."""
        self._received_ids = data[0], data[1]
        if data[1] != self._current.send_id:
            self._current = next((key for key in self._keys if key.send_id == data[1]), self._current)

    def _mac(
        self,
        key: AoKey,
        sne: int,
        segment: Segment,
        at: int,
        source_isn: int,
        destination_isn: int,
        *,
        outgoing: bool,
    ) -> bytes:
        sender = self._four_tuple if outgoing else self._four_tuple.reversed
        cached = self._traffic_keys.get((key.send_id, outgoing))
        if cached is not None and cached[:2] == (source_isn, destination_isn):
            traffic_key = cached[2]
        else:
            traffic_key = ao.traffic_key(key.algorithm, key.secret, sender, source_isn, destination_isn)
            self._traffic_keys[key.send_id, outgoing] = source_isn, destination_isn, traffic_key
        return ao.mac(
            key.algorithm, traffic_key, sne, sender, segment, at, include_options=key.include_options
        )

    def rekey(self, keys: Sequence[Key]) -> None:
        """See `Signer.rekey`. The first becomes rnext_key; current_key stays as long as it is among them."""
        found = tuple(key for key in keys if isinstance(key, AoKey))
        if not found:
            return
        self._keys = found
        self._traffic_keys.clear()
        if self._current not in found:
            self._current = found[0]

    def distrusts(self, error: PathError) -> bool:
        """See `Signer.distrusts`: RFC 5925 section 7.8."""
        if self._current.accept_icmp:
            return False
        too_big = error.mtu is not None and self._four_tuple.family == 4
        return error.hard or too_big
