"""`Path`: a lab's link on which things happen, carried by a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path as FilePath
from types import TracebackType
from typing import Final

from xsocket.bell import Bell
from xsocket.errors import NoSuchInterfaceError
from xsocket.wire.link import LinkStatistics
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Detour, Host, Interface, Lab
from xsocket_netns.lab import MTU
from xsocket_tools.path.element import Chain, Element
from xsocket_tools.path.errors import PathBrokenError
from xsocket_tools.path.forwarder import Forwarder
from xsocket_tools.path.parcel import Towards
from xsocket_tools.path.recording import Recording

NAME: Final = "path"
_BUFFER_OCTETS: Final = 4 << 20


class Path:
    """What lies between two hosts of a lab; for the length of a `with` block it carries their frames.

    The two get a link by way of a third namespace, in which a thread of this process takes each frame from
    one side to the other, through the elements. It shares the interpreter with the rest of the program:
    delays are exact to a few milliseconds. Twenty thousand frames a second get through three middleboxes that
    look into each, a hundred thousand where nothing does.

    Args:
        lab: Of both hosts.
        left: One host.
        right: The other.
        addresses: Of the ends; see `xsocket_netns.Lab.link`.
        elements: What happens to frames, from the left end to the right one.
        names: Of the interfaces; see `xsocket_netns.Lab.link`.
        mtu: Of the interfaces, octets; `LimitMtu` is for what the ends do not know of.
        captures: A directory in which each host gets a pcapng file, named after it, of what it sent and got.
        name: Of the namespace in the middle.

    Attributes:
        elements: The same, with their `counts`.

    Raises:
        xsocket_netns.LabError: See `xsocket_netns.Lab.detour`; raised at the start of the block.
        CaptureFileError: A capture cannot be written; raised there, too.
        PathBrokenError: An element failed, or an interface was removed; raised at the end of the block.
    """

    def __init__(
        self,
        lab: Lab,
        left: Host,
        right: Host,
        *,
        addresses: tuple[Sequence[str], Sequence[str]] = ((), ()),
        elements: Iterable[Element] = (),
        names: tuple[str | None, str | None] = (None, None),
        mtu: int = MTU,
        captures: str | PathLike[str] | None = None,
        name: str = NAME,
    ) -> None:
        self._lab, self._left, self._right, self._name = lab, left, right, name
        self._addresses, self._names, self._mtu = addresses, names, mtu
        self._captures = None if captures is None else FilePath(captures)
        self._chain = Chain(elements)
        self._stack = ExitStack()
        self._bell = Bell()
        self._error: BaseException | None = None
        self._detour: Detour | None = None
        self._links: dict[str, PacketLink] = {}

    @property
    def elements(self) -> tuple[Element, ...]:
        """What happens to frames, from the left end to the right one."""
        return self._chain.elements

    @property
    def detour(self) -> Detour:
        """The link; its `middle` is where the frames are carried."""
        assert self._detour is not None, "there is no link before the block has begun"
        return self._detour

    def __getitem__(self, host: str) -> Interface:
        """Return the end in *host*."""
        return self.detour[host]

    def counts(self) -> dict[str, int]:
        """Return what the elements did so far; see `Chain.counts`."""
        return self._chain.counts()

    def statistics(self) -> dict[str, LinkStatistics]:
        """Return the counters of the sockets that carry the frames, by host; none outside the block."""
        return {host: link.statistics() for host, link in self._links.items()}

    def __enter__(self) -> Path:
        self._detour = self._lab.detour(
            self._name,
            self._left,
            self._right,
            addresses=self._addresses,
            names=self._names,
            mtu=self._mtu,
        )
        with ExitStack() as stack:
            recording = None
            if self._captures is not None:
                recording = start_recording(self._captures, self._left.name, self._right.name)
                stack.callback(recording.close)
            links = stack.enter_context(_opened(self._detour))
            left, right = links.values()
            observe = None if recording is None else recording.observe
            forwarder = Forwarder(left, right, self._chain, observe=observe)
            thread = threading.Thread(target=self._carry, args=(forwarder,), name="xsocket-path", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(self._bell.ring)
            self._links = links
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._links = {}
        self._stack.close()
        if kind is None and self._error is not None:
            raise PathBrokenError(f"frames were no longer carried: {self._error}") from self._error

    def _carry(self, forwarder: Forwarder) -> None:
        try:
            forwarder.run([self._bell.fileno()])
        except BaseException as error:  # raised again where the block ends
            self._error = error
        else:
            if forwarder.broken:
                self._error = NoSuchInterfaceError("an interface of the path was removed")


@contextmanager
def _opened(detour: Detour) -> Iterator[dict[str, PacketLink]]:
    """Open both interfaces of the middle of *detour* for the length of a block."""
    with ExitStack() as stack:
        links = {}
        for end, port in ((detour.left, detour.left_port), (detour.right, detour.right_port)):
            links[end.host] = link = detour.middle.run(
                PacketLink, port.name, None, buffer_octets=_BUFFER_OCTETS
            )
            stack.callback(link.close)
        yield links


def start_recording(directory: FilePath, left: str, right: str) -> Recording:
    """Begin the captures of the hosts *left* and *right* in *directory*."""
    files = {Towards.LEFT: left, Towards.RIGHT: right}
    return Recording({end: directory / f"{host}.pcapng" for end, host in files.items()})
