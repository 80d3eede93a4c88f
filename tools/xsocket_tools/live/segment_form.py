"""The form for one segment by hand: what was filled in becomes a segment, or a word beside each field.

Pure. Whatever a request holds, nothing is raised: it is wrong input, and the page says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, ip_address
from typing import Final, NamedTuple

from xsocket import segment as tcp
from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.tcp.options import MAX_OCTETS, padded

FLAGS: Final = {
    name: getattr(tcp, name) for name in ("SYN", "ACK", "FIN", "RST", "PSH", "URG", "ECE", "CWR", "AE")
}
MOST_TEXT: Final = 1400
"""Octets: with every option it still fits a packet of 1,500."""
_FIELDS: Final = frozenset(
    {
        *("connection", "address", "source_port", "port", "flags", "seq", "seq_from", "ack", "ack_from"),
        *("window", "options", "text"),
    }
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,10}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_BETWEEN_OCTETS: Final = re.compile(r"(?:0x|[\s:,])+")
_SEQUENCE_NUMBERS: Final = 1 << 32


class Net(NamedTuple):
    """Where segments come from and go to.

    Attributes:
        network: From which forged addresses are taken.
        engine: The address of the engine.
        client: That of the client.
    """

    network: IPv4Network
    engine: str
    client: str


class Known(NamedTuple):
    """A connection that the form may name, and its TCB if it is known."""

    four_tuple: FourTuple
    info: Info | None


class Order(NamedTuple):
    """A segment to be sent.

    Attributes:
        four_tuple: As its sender names it: local is the forged end.
        segment: It.
    """

    four_tuple: FourTuple
    segment: Segment


Wrong = dict[str, str]
"""What is wrong, by field; the empty name for what concerns no field."""


def read(form: object, known: Mapping[str, Known], net: Net) -> Order | Wrong:
    """Return the segment that *form* asks for, or what is wrong with it.

    Args:
        form: What came as JSON; its fields are text, and ``flags`` is a list of names.
        known: The connections there are, by the names that the page gives them.
        net: Where forged addresses may be.
    """
    if not isinstance(form, dict):
        return {"": "The form is no object."}
    strange = sorted(map(str, form.keys() - _FIELDS))
    if strange:
        return {"": f"The form has no field {_shown(strange[0])}."}
    reader = _Reader(form)
    connection = reader.connection(known)
    four_tuple = reader.four_tuple(net) if connection is None else connection.four_tuple.reversed
    flags = reader.flags()
    info = None if connection is None else connection.info
    seq = reader.sequence_number("seq", "RCV.NXT", None if info is None else info.rcv_nxt)
    ack = reader.sequence_number("ack", "SND.NXT", None if info is None else info.snd_nxt)
    window = reader.number("window", 0, 0xFFFF)
    options = reader.options()
    text = reader.payload()
    if reader.wrong or four_tuple is None:
        return reader.wrong
    return Order(four_tuple, Segment(seq, ack, flags, window, options, text))


def _shown(name: str) -> str:
    """Return the beginning of what somebody sent, so that every encoding can have it."""
    return name[:20].encode("ascii", "backslashreplace").decode()


class _Reader:
    """Reads one field after the other, and notes what is wrong with each."""

    def __init__(self, form: Mapping[str, object]) -> None:
        self._form = form
        self.wrong: Wrong = {}

    def _text(self, name: str) -> str:
        value = self._form.get(name, "")
        if isinstance(value, str):
            return value
        self._refuse(name, "This is no text.")
        return ""

    def _refuse(self, name: str, what: str) -> None:
        self.wrong.setdefault(name, what)

    def connection(self, known: Mapping[str, Known]) -> Known | None:
        name = self._text("connection")
        if not name:
            return None
        if name not in known:
            self._refuse("connection", "This connection is not there any more. Choose another one.")
            return None
        return known[name]

    def four_tuple(self, net: Net) -> FourTuple | None:
        address = self._address(net)
        ports = self.number("source_port", 1, 0xFFFF), self.number("port", 1, 0xFFFF)
        return None if self.wrong else FourTuple(address, ports[0], net.engine, ports[1])

    def _address(self, net: Net) -> str:
        text = self._text("address").strip()
        example = net.network[66]
        try:
            address = ip_address(text)
        except ValueError:
            self._refuse("address", f"This is no IP address. Write one such as {example}.")
            return net.engine
        if address not in net.network:
            self._refuse("address", f"The lab's network is {net.network}. Take an address such as {example}.")
        elif str(address) == net.engine:
            self._refuse("address", "This is the engine's own address. Take one that nobody has.")
        elif str(address) == net.client:
            self._refuse("address", "The client has this address. Choose one of its connections above.")
        return str(address)

    def flags(self) -> int:
        chosen = self._form.get("flags", [])
        if not isinstance(chosen, list) or not all(isinstance(each, str) for each in chosen):
            self._refuse("flags", "This is no list of flags.")
            return 0
        value = 0
        for name in chosen:
            if name not in FLAGS:
                self._refuse("flags", f"There is no flag {_shown(name)}.")
            value |= FLAGS.get(name, 0)
        return value

    def number(self, name: str, low: int, high: int) -> int:
        text = self._text(name).strip()
        if not _NUMBER.fullmatch(text):
            self._refuse(name, f"This is no number. Write one from {low:,} to {high:,}.")
        elif not low <= int(text) <= high:
            self._refuse(name, f"{int(text):,} is out of range: {low:,} to {high:,}.")
        else:
            return int(text)
        return low

    def sequence_number(self, name: str, variable: str, start: int | None) -> int:
        where = self._text(f"{name}_from")
        if where in ("", "absolute"):
            return self.number(name, 0, _SEQUENCE_NUMBERS - 1)
        if where != "relative":
            self._refuse(name, f"A number is absolute, or relative to {variable}.")
        elif start is None:
            self._refuse(name, f"Only a connection that is chosen above has a {variable} to count from.")
        return add(start or 0, self.number(name, 1 - _SEQUENCE_NUMBERS, _SEQUENCE_NUMBERS - 1))

    def options(self) -> bytes:
        text = _BETWEEN_OCTETS.sub("", self._text("options"))
        if not _HEX.fullmatch(text):
            self._refuse(
                "options", "These are no octets. Write two hexadecimal digits for each: 02 04 05 b4."
            )
            return b""
        octets = padded(bytes.fromhex(text))
        if len(octets) > MAX_OCTETS:
            self._refuse(
                "options", f"These are {len(text) // 2} octets. The header has room for {MAX_OCTETS}."
            )
        return octets

    def payload(self) -> bytes:
        octets = self._text("text").encode("utf-8", "replace")
        if len(octets) > MOST_TEXT:
            self._refuse("text", f"This is {len(octets):,} octets. A packet has room for {MOST_TEXT:,}.")
        return octets
