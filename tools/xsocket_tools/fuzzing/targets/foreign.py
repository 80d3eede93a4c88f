"""Any other TCP as a target: a program that takes the far end of a tap interface, in a namespace of a lab.

It is told by environment variables what is expected of it:

``XSOCKET_TAP``      the interface to attach to (/dev/net/tun, TUNSETIFF with IFF_TAP and IFF_NO_PI)
``XSOCKET_TARGET4``  its IPv4 address with prefix length
``XSOCKET_TARGET6``  its IPv6 address with prefix length
``XSOCKET_LISTEN``   the ports to listen on, such as ``80`` or ``8000-8099``; no other may be open
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, Any, Final

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST, Segment
from xsocket.seqnum import add
from xsocket.wire.link import Frame
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Lab
from xsocket_netns.tun import add_tap
from xsocket_tools.fuzzing.cast import HOSTS, PREFIX, STATION, TARGET
from xsocket_tools.fuzzing.frames import ARP, Heard, Stations, introduction, octets_of, read, segment_frame
from xsocket_tools.fuzzing.target import StalledError, TargetError
from xsocket_tools.fuzzing.targets.fence import PINGING, FencedLink, Wire
from xsocket_tools.fuzzing.targets.neighbours import neighbours_answer
from xsocket_tools.fuzzing.targets.wired import Rules, WiredTarget

_INTERFACE: Final = "tap0"
_BROADCAST: Final = b"\xff" * 6
_ASK_AGAIN_S: Final = 0.05
_LAST_WORDS: Final = 500
"""How much of what a program printed is shown when it has ended, characters."""
_ADVERTISEMENT: Final = 136
_DEFAULTS: Final = TcpConfig()


@contextmanager
def foreign_target(
    command: Sequence[str],
    *,
    listening: Sequence[int] = (80,),
    plays_by: Mapping[str, Any] | None = None,
    quiet_s: float = 0.0,
    start_patience_s: float = 10.0,
) -> Iterator[ForeignTarget]:
    """Make a lab, start *command* in it as a TCP to put cases to; end it and remove the lab afterwards.

    Args:
        command: The program and its arguments; see above.
        listening: The local ports of peers that are served, of which each case has the next.
        plays_by: Fields of `TcpConfig`, as far as the program plays by other rules than the engine does.
        quiet_s: For a program that answers no pings: how long it must be silent to have dealt with a frame.
        start_patience_s: How long it may take to answer for its addresses.

    Raises:
        LabError: The machine gives no namespace, or no tap interface.
        CaptureError: It gives no packet socket.
        TargetError: The program cannot be started, ends, or answers neither for its addresses nor pings.
    """
    with Lab() as lab, ExitStack() as made:
        host = lab.host("foreign")
        host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # or that kernel talks, too
        add_tap(host, _INTERFACE)
        wire = host.run(PacketLink, _INTERFACE, None)
        made.callback(wire.close)
        printed = made.enter_context(tempfile.TemporaryFile())
        try:
            child = host.popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_environment(listening)},
                text=False,
            )
        except OSError as error:
            raise TargetError(f"cannot start {command[0]}: {error.strerror}") from error
        program = Program(child, printed)
        stations = Stations(find_station(wire, program, start_patience_s), STATION)
        yield ForeignTarget(wire, stations, program, listening, plays_by or {}, quiet_s)


def _environment(listening: Sequence[int]) -> dict[str, str]:
    ports = str(listening[0]) if len(listening) == 1 else f"{listening[0]}-{listening[-1]}"
    return {
        "XSOCKET_TAP": _INTERFACE,
        "XSOCKET_TARGET4": f"{TARGET[4]}/{PREFIX[4]}",
        "XSOCKET_TARGET6": f"{TARGET[6]}/{PREFIX[6]}",
        "XSOCKET_LISTEN": ports,
    }


class Program:
    """The program that is the target; whoever started it ends it.

    Args:
        child: It.
        printed: What it has printed goes there.
    """

    def __init__(self, child: subprocess.Popen[bytes], printed: IO[bytes]) -> None:
        self._child = child
        self._printed = printed

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            TargetError: It has; with the end of what it printed.
        """
        status = self._child.poll()
        if status is not None:
            self._printed.seek(0)
            words = self._printed.read().decode(errors="replace").strip()[-_LAST_WORDS:]
            said = f": {words}" if words else ", without a word"
            raise TargetError(f"the program ended with status {status}{said}", remedy="Mend or restart it.")


def find_station(wire: Wire, program: Program, patience_s: float) -> bytes:
    """Ask for the station address of the target until it answers; return it.

    Raises:
        TargetError: It did not, or its program ended.
    """
    poll = select.poll()
    poll.register(wire.fileno(), select.POLLIN)
    everybody = Stations(_BROADCAST, STATION)
    questions = [introduction(everybody, PINGING[version], TARGET[version]) for version in TARGET]
    until = time.monotonic() + patience_s
    ask_at = 0.0
    while (now := time.monotonic()) < until:
        program.check()
        if now >= ask_at:
            wire.send(questions)
            ask_at = now + _ASK_AGAIN_S
        poll.poll(_ASK_AGAIN_S * 1000)
        for frame in wire.receive():
            station = _station_in(frame.data)
            if station:
                return station
    raise TargetError(
        f"nobody answered for {TARGET[4]} or {TARGET[6]} within {patience_s:g} s",
        remedy="Let the program attach to $XSOCKET_TAP and have these addresses.",
    )


def _station_in(frame: bytes) -> bytes:
    """Return the target's station address if *frame* tells it, nothing otherwise."""
    if frame[12:14] == ARP.to_bytes(2) and frame[28:32] == octets_of(TARGET[4]):
        return frame[22:28]
    if frame[12:14] == b"\x86\xdd" and frame[54:55] == bytes((_ADVERTISEMENT,)):
        return frame[6:12] if frame[62:78] == octets_of(TARGET[6]) else b""
    return b""


class ForeignTarget(WiredTarget):
    """The TCP of another program; see `Target`. It is made by `foreign_target`, and nobody makes calls of it.

    Args:
        wire: The near end of its interface; closed by whoever opened it.
        stations: See `Target`.
        program: It.
        listening: The local ports of peers that are served.
        plays_by: Fields of `TcpConfig`, as far as the program plays by other rules than the engine does.
        quiet_s: See `foreign_target`.

    Raises:
        TargetError: It answers no pings.
    """

    name = "foreign"
    takes_calls = False
    tells_states = False

    def __init__(
        self,
        wire: Wire,
        stations: Stations,
        program: Program,
        listening: Sequence[int],
        plays_by: Mapping[str, Any],
        quiet_s: float = 0.0,
    ) -> None:
        self._program = program
        self._plays_by = plays_by
        self._heard: dict[FourTuple, Segment] = {}
        answering = partial(neighbours_answer, stations)
        link = FencedLink(wire, stations, pings=2, quiet_s=quiet_s, answering=answering)
        super().__init__(link, stations, listening)
        self._meet()

    def _meet(self) -> None:
        """Let the target know its peers' station address, so that it need not ask with an answer in hand."""
        try:
            for version in TARGET:
                for address in (PINGING[version], *HOSTS[version]):
                    self.link.exchange(introduction(self.stations, address, TARGET[version]))
        except StalledError as error:
            self._program.check()
            raise TargetError(error.message, remedy="Give a time of quiet that ends an answer.") from error

    def unsupported(self, rules: Rules) -> list[str]:
        """See `WiredTarget.unsupported`: nobody can set a rule."""
        return [name for name, value in rules if value != self._plays_by.get(name, getattr(_DEFAULTS, name))]

    def end_case(self) -> None:
        """See `WiredTarget.end_case`: what was heard of is reset, at the number acknowledged last."""
        self._program.check()
        resets = [
            segment_frame(self.stations, four_tuple.reversed, _reset_for(last))
            for four_tuple, last in self._heard.items()
            if not last.flags & RST
        ]
        self._heard.clear()
        if resets:
            self.link.exchange(*resets)

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        """See `Target.step`.

        Raises:
            TargetError: The program has ended.
        """
        try:
            frames = super().step(frame, now)
        except StalledError:
            self._program.check()
            raise
        for each in frames:
            heard = read(each.data)
            if isinstance(heard, Heard):
                self._heard[heard.four_tuple] = heard.segment
        return frames


def _reset_for(last: Segment) -> Segment:
    return Segment(last.acknowledgment, add(last.seq, last.length), RST | ACK, 0, b"", b"", 0, 0)
