"""A captured connection as a script: what one end was sent, what it sent, and the calls behind it. Pure.

A capture has no system calls. They are placed where the target needs them to send what it sent: a write
before text that it had not been given yet, a read where its window says so, an end before its FIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from xsocket import Segment
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, RST, SYN
from xsocket.seqnum import MASK
from xsocket.tcp.options import parse
from xsocket.wire.codec import TcpPacket
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket_tools.scenarios.circumstances import circumstances
from xsocket_tools.scenarios.conversations import Conversation, End, with_fins_joined
from xsocket_tools.scenarios.hindsight import Hindsight, Moment
from xsocket_tools.scenarios.notation import COLUMN, event_text, flag_text
from xsocket_tools.scenarios.packets import icmp_name, option_specs
from xsocket_tools.scenarios.renumbering import Renumbering, Windows
from xsocket_tools.scenarios.script import (
    Action,
    Array,
    Assign,
    Call,
    Command,
    Direction,
    Dots,
    Either,
    Event,
    Expression,
    Flag,
    IcmpSpec,
    Integer,
    Kind,
    Md5Spec,
    Script,
    Struct,
    TcpSpec,
    When,
    Word,
)

GRAIN_US: Final = 1_000
"""What times are rounded to: of what is closer together, a script says only which comes first."""
PROMPT_US: Final = 20_000
"""How long what comes at once may take."""

_FIRST_FD, _ACCEPTED_FD = 3, 4
_DOTS: Final = Dots()
_IN_PROGRESS: Final = "Operation now in progress"


def recorded(
    conversation: Conversation, local: End, *, origin: str = "a capture", windows: Windows = "opening"
) -> Script:
    """Return a script of one connection.

    Args:
        conversation: The connection, from its first segment on.
        local: The end that the script is to test; the script is the other one.
        origin: What it was recorded from, for the comment that the script begins with.
        windows: Which windows of the target to expect.

    Returns:
        The script; its source is written out, and its lines are counted there.
    """
    recorder = _Recorder(with_fins_joined(conversation, local), local, windows)
    recorder.record()
    known = recorder.known
    flags = tuple(Flag(name, value, 0) for name, value in known.flags())
    commands = [
        Event(None, Command(f"`sysctl -q {name}={value}`"), 0)
        for name, value in known.sysctls(recorder.longest_write)
    ]
    script = Script(origin, "", flags, (), (*commands, *recorder.events()))
    return _written_out(script, _remarks(conversation, local, origin, windows))


# The text


def _remarks(conversation: Conversation, local: End, origin: str, windows: Windows) -> list[str]:
    """Return what a reader has to know, a line each."""
    length_s = (conversation.packets[-1].at_us - conversation.packets[0].at_us) / 1e6
    side = "server" if local == conversation.server else "client"
    lines = [
        f"Recorded from {origin}: {conversation} in {length_s:.3f} s.",
        f"The target is the {side}, {local}. Its system calls are where its packets suggest them.",
    ]
    segments = [*conversation.segments(conversation.client), *conversation.segments(conversation.server)]
    if windows == "opening" and any(
        segment.payload for segment in conversation.segments(conversation.other(local))
    ):
        lines.append("Its windows are left out from where text comes in: they depend on its memory.")
    if any(isinstance(each, Md5Spec) for segment in segments for each in option_specs(segment.options)):
        lines.append("It was signed (RFC 2385): give the target a key with TCP_MD5SIG before it begins.")
    if any(segment.syn and parse(segment.options).fast_open for segment in segments):
        lines.append("A Fast Open cookie belongs to the key of who made it (RFC 7413 section 4.1.2).")
    return lines


def _written_out(script: Script, remarks: Sequence[str]) -> Script:
    lines = [*(f"// {remark}" for remark in remarks), ""]
    flags = []
    for flag in script.flags:
        lines.append(flag_text(flag))
        flags.append(flag._replace(line=len(lines)))
    events: list[Event] = []
    for event in script.events:
        if not events or _paragraph(events[-1]) is not _paragraph(event):
            lines.append("")
        lines.append(event_text(event, COLUMN))
        events.append(replace(event, line=len(lines)))
    source = "".join(f"{line}\n" for line in lines)
    return replace(script, source=source, flags=tuple(flags), events=tuple(events))


def _paragraph(event: Event) -> type:
    """Return what an event stands together with: packets, calls or commands."""
    return type(event.action) if isinstance(event.action, Call | Command) else TcpSpec


# The events


class _Step(NamedTuple):
    """Something that happens: microseconds since the first packet, and whether it waits for a timer."""

    at_us: int
    action: Action
    waits: bool = False

    @property
    def is_expected(self) -> bool:
        return isinstance(self.action, TcpSpec) and self.action.direction is Direction.OUTBOUND


class _Recorder:
    """Goes through a connection once, packet by packet."""

    def __init__(self, conversation: Conversation, local: End, windows: Windows) -> None:
        self._local = local
        self._packets = conversation.packets
        self._began_us = _rounded(conversation.packets[0].at_us)
        self._moments = [
            Moment(each.at_us, each.source == local, each.packet.segment)
            if isinstance(each.packet, TcpPacket)
            else None
            for each in conversation.packets
        ]
        self.known = circumstances(conversation, local)
        self._hindsight = Hindsight(self._moments, self.known)
        self._renumbering = Renumbering(windows)
        self._steps: list[_Step] = []
        self._fd: int | None = None
        self._is_over = self.known.syn is None  # nobody listens: a reset comes out, without any call
        self._is_shut = False
        self._written = 1
        self.longest_write = 0
        self._received = 1
        self._ahead: list[tuple[int, int]] = []
        self._unread = 0

    def record(self) -> None:
        """Take every packet in."""
        if not self._is_over:
            self._open()
        for at, (carried, moment) in enumerate(zip(self._packets, self._moments, strict=True)):
            at_us = _rounded(carried.at_us) - self._began_us
            if moment is None:
                assert isinstance(carried.packet, IcmpPacket)
                self._error(at_us, carried.packet)
            elif moment.outbound:
                self._outbound(at, at_us, moment.segment)
            else:
                self._inbound(at_us, moment.segment)

    def events(self) -> list[Event]:
        """Return what happens, each counted from what happens before."""
        events: list[Event] = []
        before: _Step | None = None
        latest_us = 0
        for step in self._steps:
            waited_us = max(0, step.at_us - latest_us)
            latest_us = max(latest_us, step.at_us)
            events.append(Event(_when(step, before, waited_us), step.action, 0))
            before = step
        return events

    # Opening

    def _open(self) -> None:
        self._call(0, "socket", _DOTS, Word("SOCK_STREAM"), Word("IPPROTO_TCP"), result=_FIRST_FD)
        buffer = self.known.receive_buffer
        if buffer is not None:
            self._option(0, _FIRST_FD, "SOL_SOCKET", "SO_RCVBUF", Array((_number(buffer),)), 4)
        if self.known.is_client:
            nonblocking = Either((Word("O_RDWR"), Word("O_NONBLOCK")))
            self._call(0, "fcntl", _number(_FIRST_FD), Word("F_SETFL"), nonblocking)
            self._connect()
            self._fd = _FIRST_FD
            return
        self._call(0, "bind", _number(_FIRST_FD), _DOTS, _DOTS)
        if self.known.fast_open:
            self._option(0, _FIRST_FD, "SOL_TCP", "TCP_FASTOPEN", Array((_number(5),)), 4)
        self._call(0, "listen", _number(_FIRST_FD), _number(1))

    def _connect(self) -> None:
        syn, fd = self.known.syn, _number(_FIRST_FD)
        assert syn is not None
        length = len(syn.payload)
        if not length and parse(syn.options).fast_open is None:
            self._call(0, "connect", fd, _DOTS, _DOTS, result=-1, errno="EINPROGRESS", note=_IN_PROGRESS)
            return
        arguments = (fd, _DOTS, _number(length or 1), Word("MSG_FASTOPEN"), _DOTS, _DOTS)
        if length:
            self._call(0, "sendto", *arguments, result=length)
        else:  # a request for a cookie: the text does not go with it, and is not taken
            self._call(0, "sendto", *arguments, result=-1, errno="EINPROGRESS", note=_IN_PROGRESS)
        self._written += length

    def _accept(self, at_us: int) -> None:
        if self._fd is None and not self._is_over:
            self._call(at_us, "accept", _number(_FIRST_FD), _DOTS, _DOTS, result=_ACCEPTED_FD)
            self._fd = _ACCEPTED_FD

    # What comes in

    def _inbound(self, at_us: int, segment: Segment) -> None:
        self._step(at_us, self._renumbering.inbound(segment))
        if segment.flags & RST:
            self._is_over = True
        elif segment.flags & (SYN | ACK) == ACK and self._acks_syn(segment):
            self._accept(at_us)
        self._take_in(segment)

    def _acks_syn(self, segment: Segment) -> bool:
        target = self._renumbering.target
        return target.isn is not None and target.relative(segment.acknowledgment) >= 1

    def _take_in(self, segment: Segment) -> None:
        """Count the octets that are there to be read, whatever order they come in."""
        start = self._renumbering.remote.relative(segment.seq) + (1 if segment.syn else 0)
        if not segment.payload or self._is_over or start > MASK // 2:
            return
        self._ahead.append((start, start + len(segment.payload)))
        for first, end in sorted(self._ahead):
            if first <= self._received < end:
                self._unread += end - self._received
                self._received = end
        self._ahead = [each for each in self._ahead if each[1] > self._received]

    def _error(self, at_us: int, packet: IcmpPacket) -> None:
        error = path_error(packet)
        assert not isinstance(error, DropReason), "what cannot be read is left out"
        if End(error.four_tuple.local_address, error.four_tuple.local_port) != self._local:
            return  # about a packet of the script's own
        kind, code = icmp_name(packet)
        if not (kind.isdigit() or code.isdigit()):
            seq = self._renumbering.target.relative(error.seq)
            self._step(at_us, IcmpSpec(Direction.INBOUND, kind, code, error.mtu, None, seq))

    # What comes out

    def _outbound(self, at: int, at_us: int, segment: Segment) -> None:
        target = self._renumbering.target
        target.learn(segment)
        start = target.relative(segment.seq)
        end = start + segment.length
        is_new = end > target.end and start <= MASK // 2
        is_read = not segment.length and self._hindsight.is_read(at)
        if segment.flags & RST:
            self._abort(at_us, segment)
        elif is_new and not segment.syn:
            self._cause(at, at_us, segment, start)
        elif self._hindsight.is_window_update(at) or (is_read and self._hindsight.is_prompt(at)):
            self._read(at_us)  # which may be what makes it acknowledge
        self._step(at_us, self._renumbering.outbound(segment), waits=segment.length > 0 and not is_new)
        target.end = max(target.end, end) if is_new else target.end
        if is_read:
            self._read(at_us)

    def _cause(self, at: int, at_us: int, segment: Segment, start: int) -> None:
        """Place the calls that let new text, or a FIN, come out."""
        is_fin = segment.flags & FIN != 0
        is_written = start + len(segment.payload) <= self._written
        if is_fin and segment.payload and is_written and not self._unread:
            # Its FIN went with the last of the text, which had to wait: the end was there before.
            index = max((each + 1 for each, step in enumerate(self._steps) if step.is_expected), default=0)
            later, self._steps = self._steps[index:], self._steps[:index]
            self._end(at, self._steps[-1].at_us)
            self._steps += later
            return
        self._accept(at_us)
        self._read(at_us)
        if not is_written:
            self._write(at_us, self._hindsight.written(at, max(start, self._written)), more=is_fin)
        if is_fin:
            self._end(at, at_us)

    def _write(self, at_us: int, length: int, *, more: bool) -> None:
        if self._fd is None or self._is_over:
            return
        arguments = (_number(self._fd), _DOTS, _number(length))
        if more:  # the text waits for the FIN
            self._call(at_us, "send", *arguments, Word("MSG_MORE"), result=length)
        else:
            self._call(at_us, "write", *arguments, result=length)
        self._written += length
        self.longest_write = max(self.longest_write, length)

    def _end(self, at: int, at_us: int) -> None:
        """Place the call that ends the target's direction: close, or shutdown if it still takes text."""
        if self._fd is None or self._is_over or self._is_shut:
            return
        if self._hindsight.takes_text_after(at, self._received):
            self._call(at_us, "shutdown", _number(self._fd), Word("SHUT_WR"))
            self._is_shut = True
        else:
            self._call(at_us, "close", _number(self._fd))
            self._is_over = True

    def _abort(self, at_us: int, segment: Segment) -> None:
        """Place the call that lets a reset come out, if it is no answer: answers to segments have no ACK."""
        if self._fd is None or self._is_over or not segment.flags & ACK:
            return
        linger = Struct((Assign(Word("onoff"), _number(1)), Assign(Word("linger"), _number(0))))
        self._option(at_us, self._fd, "SOL_SOCKET", "SO_LINGER", linger, 8)
        self._call(at_us, "close", _number(self._fd))
        self._is_over = True

    def _read(self, at_us: int) -> None:
        if self._fd is None or not self._unread or self._is_over:
            return
        length, self._unread = self._unread, 0
        self._call(at_us, "read", _number(self._fd), _DOTS, _number(length), result=length)

    # Steps

    def _step(self, at_us: int, action: Action, *, waits: bool = False) -> None:
        self._steps.append(_Step(at_us, action, waits))

    def _call(
        self, at_us: int, name: str, *arguments: Expression, result: int = 0, errno: str = "", note: str = ""
    ) -> None:
        self._step(at_us, Call(name, arguments, _number(result), errno, None, note))

    def _option(self, at_us: int, fd: int, level: str, name: str, value: Expression, size: int) -> None:
        self._call(at_us, "setsockopt", _number(fd), Word(level), Word(name), value, _number(size))


def _when(step: _Step, before: _Step | None, waited_us: int) -> When:
    """Return the time of a step: of what is sent at once, by a timer, or with the one before."""
    if before is None:
        return When(Kind.ABSOLUTE, 0)
    if not step.is_expected:
        return When(Kind.RELATIVE, waited_us)
    if before.is_expected and not waited_us:
        return When(Kind.ANY)
    soonest_us = _rounded(waited_us * 3 // 4) if step.waits else 0
    return When(Kind.RELATIVE_RANGE, soonest_us, _rounded(waited_us * 5 // 4) + PROMPT_US)


def _number(value: int) -> Integer:
    return Integer(value, str(value))


def _rounded(at_us: int) -> int:
    return (at_us + GRAIN_US // 2) // GRAIN_US * GRAIN_US
