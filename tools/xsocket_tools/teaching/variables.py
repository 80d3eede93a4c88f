"""The variables of a TCB in the RFCs' spelling: as recorded in a trace, told by a kernel, or only seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final

from xsocket.info import Info
from xsocket.segment import Segment
from xsocket.seqnum import add, distance, precedes
from xsocket.state import SYNCHRONIZED, State
from xsocket.tcp import options as tcp_options
from xsocket_tools.sockdiag import Told
from xsocket_tools.teaching.story import Source, Variable

MAX_SHIFT: Final = 14
"""RFC 7323 section 2.3."""
_NO_THRESHOLD: Final = 1 << 30
"""The slow start threshold before anything was lost."""


def recorded(info: Info, began_s: float | None) -> list[Variable]:
    """Return what a snapshot holds.

    Args:
        info: It.
        began_s: The instant of its clock at which the story begins; None where that is not known.
    """
    found = [
        _number("ISS", info.iss, info.iss),
        _number("SND.UNA", info.snd_una, info.iss),
        _number("SND.NXT", info.snd_nxt, info.iss),
    ]
    if info.state is not State.SYN_SENT:  # before that it has heard nothing of the peer
        found += [
            _octets("SND.WND", info.snd_wnd),
            *_last_window_update(info),
            _number("IRS", info.irs, info.irs),
            _number("RCV.NXT", info.rcv_nxt, info.irs),
            _octets("RCV.WND", info.rcv_wnd),
            _octets("Eff.snd.MSS", info.snd_mss),
        ]
    return [*found, *_of_the_sender(info), *_of_time(info, began_s), *_of_queues(info)]


def _last_window_update(info: Info) -> list[Variable]:
    """Return what said so last, which nothing has before the handshake is complete."""
    if info.state not in SYNCHRONIZED:
        return []
    return [_number("SND.WL1", info.snd_wl1, info.irs), _number("SND.WL2", info.snd_wl2, info.iss)]


def _of_the_sender(info: Info) -> Iterator[Variable]:
    for name, shift in (("Snd.Wind.Shift", info.snd_wscale), ("Rcv.Wind.Shift", info.rcv_wscale)):
        if shift is not None:
            yield Variable(name, str(shift))
    if info.cwnd is not None:
        yield _octets("cwnd", info.cwnd)
    if info.ssthresh is not None:
        yield (
            Variable("ssthresh", "none yet")
            if info.ssthresh >= _NO_THRESHOLD
            else _octets("ssthresh", info.ssthresh)
        )


def _of_time(info: Info, began_s: float | None) -> Iterator[Variable]:
    for name, seconds in (("SRTT", info.srtt_s), ("RTTVAR", info.rttvar_s), ("RTO", info.rto_s)):
        if seconds is not None:
            yield Variable(name, f"{seconds:.6g} s")
    if info.retries:
        yield Variable("retransmissions", str(info.retries))
    if info.timer is not None:
        known = began_s is not None and isfinite(info.deadline)
        when = f", due at {info.deadline - (began_s or 0.0):.6g} s" if known else ""
        yield Variable("timer", f"{info.timer.value}{when}")


def _of_queues(info: Info) -> Iterator[Variable]:
    for name, octets in (
        ("to be sent", info.unsent),
        ("to be acknowledged", info.unacknowledged - info.unsent),
        ("to be read", info.unread),
    ):
        if octets > 0:
            yield _octets(name, octets)


_KERNELS_NO_THRESHOLD: Final = 0x7FFF_FFFF
"""The same in Linux, segments (TCP_INFINITE_SSTHRESH)."""
_WINDOW_SCALE: Final = 4
"""TCPI_OPT_WSCALE of linux/tcp.h."""


def asked(told: Told, onlooker: Onlooker) -> list[Variable]:
    """Return what a kernel tells of a connection, and of its sequence numbers what it or the segments told.

    Args:
        told: The kernel's answer.
        onlooker: Has followed this end so far.
    """
    seen, info = onlooker.variables(marked=True), told.tcp_info
    if told.state in (State.CLOSED, State.LISTEN):
        return []
    if not info:
        return [*seen, *_retransmissions(told)]
    windows = {"SND.WND": info.get("tcpi_snd_wnd"), "RCV.WND": info.get("tcpi_rcv_wnd")}
    found = []
    for variable in seen:
        octets = windows.get(variable.name)
        found.append(variable if octets is None else _octets(variable.name, octets))
    return [*found, *_of_kernels_sender(told.state, info), *_of_kernels_time(info), *_retransmissions(told)]


def _of_kernels_sender(state: State, info: Mapping[str, int]) -> Iterator[Variable]:
    mss = info["tcpi_snd_mss"]
    if state is not State.SYN_SENT:
        yield _octets("Eff.snd.MSS", mss)
        if info["tcpi_options"] & _WINDOW_SCALE:
            yield Variable("Snd.Wind.Shift", str(info["tcpi_snd_wscale"]))
            yield Variable("Rcv.Wind.Shift", str(info["tcpi_rcv_wscale"]))
    yield _octets("cwnd", info["tcpi_snd_cwnd"] * mss)
    threshold = info["tcpi_snd_ssthresh"]
    never = threshold >= _KERNELS_NO_THRESHOLD
    yield Variable("ssthresh", "none yet") if never else _octets("ssthresh", threshold * mss)


def _of_kernels_time(info: Mapping[str, int]) -> Iterator[Variable]:
    measured = ("SRTT", "tcpi_rtt"), ("RTTVAR", "tcpi_rttvar")
    for name, field in (*(measured if info["tcpi_rtt"] else ()), ("RTO", "tcpi_rto")):
        yield Variable(name, f"{info[field] / 1e6:.6g} s")


def _retransmissions(told: Told) -> Iterator[Variable]:
    if told.retransmissions:
        yield Variable("retransmissions", str(told.retransmissions))


def _number(name: str, number: int, start: int) -> Variable:
    return Variable(name, str(distance(start, number)), str(number))


def _octets(name: str, count: int) -> Variable:
    return Variable(name, f"{count:,}")


class Onlooker:
    """What the segments tell of one end's variables, if what is sent arrives, at once and in order."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Know nothing, as where a SYN opens the 4-tuple anew."""
        self._iss: int | None = None
        self._irs: int | None = None
        self._snd_una = self._snd_nxt = self._rcv_nxt = 0
        self._told: tuple[int, int] | None = None
        self._snd_wnd: int | None = None
        self._rcv_wnd: int | None = None
        self._own_shift: int | None = None
        self._peers_shift: int | None = None

    def sent(self, segment: Segment) -> None:
        """Take a segment that the end sent."""
        if segment.rst:
            return
        if segment.syn:
            if self._iss != segment.seq:
                if segment.ack is None and self._iss is not None:
                    self._forget()
                self._iss = self._snd_una = self._snd_nxt = segment.seq
            self._own_shift = tcp_options.parse(segment.options).window_scale
        elif self._iss is None:
            self._iss, self._snd_una, self._snd_nxt = add(segment.seq, -1), segment.seq, segment.seq
        end = add(segment.seq, segment.length)
        if precedes(self._snd_nxt, end):
            self._snd_nxt = end
        if segment.ack is not None:
            if self._irs is None:
                self._irs, self._rcv_nxt = add(segment.ack, -1), segment.ack
            elif precedes(self._rcv_nxt, segment.ack):
                self._rcv_nxt = segment.ack
            self._rcv_wnd = self._scaled(segment, self._own_shift)

    def received(self, segment: Segment) -> None:
        """Take a segment that was sent to the end."""
        if segment.rst:
            return
        if segment.syn:
            if self._irs != segment.seq:
                self._irs, self._rcv_nxt = segment.seq, add(segment.seq, 1)
            self._peers_shift = tcp_options.parse(segment.options).window_scale
        elif self._irs is None:
            self._irs, self._rcv_nxt = add(segment.seq, -1), segment.seq
        if segment.length and segment.seq == self._rcv_nxt:
            self._rcv_nxt = add(segment.seq, segment.length)
        if segment.ack is not None and self._iss is not None:
            if precedes(self._snd_nxt, segment.ack):
                return  # it acknowledges what was never sent
            if precedes(self._snd_una, segment.ack):
                self._snd_una = segment.ack
        self._snd_wnd = self._scaled(segment, self._peers_shift)

    def has_sent(self, segment: Segment) -> bool:
        """Whether the end has sent before what takes up sequence numbers in a segment, or the first of it."""
        if self._iss is None or not segment.length:
            return False
        return segment.seq == self._iss if segment.syn else precedes(segment.seq, self._snd_nxt)

    def told(self, snd_una: int, snd_nxt: int) -> None:
        """Take what the end's kernel says of its own numbers, which is worth more than what was seen."""
        self._told = self._snd_una, self._snd_nxt = snd_una, snd_nxt

    def _scaled(self, segment: Segment, shift: int | None) -> int:
        """Return a window in octets: scaled if both SYNs offered to, and never that of a SYN itself."""
        agreed = self._own_shift is not None and self._peers_shift is not None
        return segment.window << (min(shift or 0, MAX_SHIFT) if agreed and not segment.syn else 0)

    @property
    def snd_nxt(self) -> int:
        """SND.NXT; 0 before the end has sent anything."""
        return self._snd_nxt

    @property
    def rcv_nxt(self) -> int:
        """RCV.NXT; 0 before the end has heard anything."""
        return self._rcv_nxt

    def variables(self, *, marked: bool = False) -> list[Variable]:
        """Return what is known by now.

        Args:
            marked: Each with its source, as other variables of the end have another.
        """
        found = list(self._variables())
        if not marked:
            return found
        told = {} if self._told is None else dict(zip(("SND.UNA", "SND.NXT"), self._told, strict=True))
        return [
            each._replace(
                source=Source.TRACED if each.absolute == str(told.get(each.name)) else Source.INFERRED
            )
            for each in found
        ]

    def _variables(self) -> list[Variable]:
        found = []
        if self._iss is not None:
            found += [
                _number("ISS", self._iss, self._iss),
                _number("SND.UNA", self._snd_una, self._iss),
                _number("SND.NXT", self._snd_nxt, self._iss),
            ]
        if self._snd_wnd is not None:
            found.append(_octets("SND.WND", self._snd_wnd))
        if self._irs is not None:
            found += [_number("IRS", self._irs, self._irs), _number("RCV.NXT", self._rcv_nxt, self._irs)]
        if self._rcv_wnd is not None:
            found.append(_octets("RCV.WND", self._rcv_wnd))
        return found


def with_changes(variables: list[Variable], before: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Return *variables*, those marked that are not as they were *before*."""
    known = {each.name: (each.value, each.absolute) for each in before}
    return tuple(
        each._replace(changed=known.get(each.name) != (each.value, each.absolute)) for each in variables
    )
