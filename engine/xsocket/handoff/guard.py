"""`Guard`: rules of nftables that keep the kernel's TCP off the engine's ports of addresses that both have.

What stands in the input hook, where packets are whole, of one table an engine:

    not TCP: not our business
    a kernel socket has it (`socket transparent`, 0): the kernel's; every packet of a connection it carries
    from this machine itself, and not of the injector's: not our business
    for an address and a port of the engine: drop

A transparent socket is one that is still being made; see `repair`. The table belongs to the netlink socket
that made it (NFT_TABLE_F_OWNER, Linux 5.12): the kernel removes it when the process ends, however it ends.
Where that is refused, the table has the process's name, and the next engine removes what the dead have left.
"""

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EPERM
from pathlib import Path
from typing import Any, Final

from xsocket.errors import GuardError
from xsocket.ranges import HIGHEST_PORT, PortSet

PREFIX: Final = "xsocket-"
CHAIN: Final = "input"
MARK: Final = int.from_bytes(b"XSOC")
"""What the injector marks its packets with (SO_MARK): they come over the loopback interface."""

_NFPROTO_INET: Final = 1  # linux/netfilter.h
_PRIORITY: Final = -300  # before the rules of others: what we drop is nobody else's
_DROP, _ACCEPT = 0, 1
_F_OWNER: Final = 2  # linux/netfilter/nf_tables.h, here and below
_META_MARK: Final = 3
_META_IIF: Final = 4
_META_NFPROTO: Final = 15
_META_L4PROTO: Final = 16
_SOCKET_TRANSPARENT: Final = 0
_NETWORK_HEADER: Final = 1
_TRANSPORT_HEADER: Final = 2
_EQUAL, _NOT_EQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5
_REGISTER: Final = 1
_LOOPBACK: Final = 1  # the number of lo in every network namespace: LOOPBACK_IFINDEX, net/net_namespace.h


class Guard:
    """The rules of one engine, in the network namespace of the thread that makes this; used by that thread.

    Args:
        addresses: Those that the kernel has, too; canonical, without prefix lengths.
        ports: Local ports of the engine.
        owned: Whether to let the kernel remove the rules with the process, where it can.

    Attributes:
        table: The name of their table.
        owned: Whether the kernel removes it with the process.
        ports: Those covered so far.

    Raises:
        GuardError: The rules could not be installed; none stays.
    """

    def __init__(self, addresses: Iterable[str], ports: PortSet, *, owned: bool = True) -> None:
        from pyroute2.nftables.main import NFTables  # type: ignore[import-untyped]  # 0.2 s, for few

        self.ports = PortSet(())
        self._addresses = tuple(addresses)
        self._closed = self.owned = False
        with _refusals():
            self._nft = NFTables(nfgen_family=_NFPROTO_INET)
        try:
            with _refusals():
                _remove_leftovers(self._nft)
                self.table = self._add_table(owned)
                self._add_chain()
                self.cover(ports)
        except BaseException:
            self.close()
            raise

    def _add_table(self, owned: bool) -> str:
        name = _free_name({_name_of(table) for table in self._nft.get_tables()})
        if owned:
            try:
                self._nft.table("create", kwarg={"name": name, "flags": _F_OWNER})
            except Exception as refusal:  # pyroute2 has no one error for it
                if getattr(refusal, "code", None) == EPERM:
                    raise
            else:
                self.owned = True
                return name
        self._nft.table("create", name=name)
        return name

    def _add_chain(self) -> None:
        self._nft.chain(
            "add",
            table=self.table,
            name=CHAIN,
            hook="input",
            type="filter",
            priority=_PRIORITY,
            policy=_ACCEPT,
        )
        self._add_rule(_ACCEPT, _meta(_META_L4PROTO), _compare(bytes([socket.IPPROTO_TCP]), _NOT_EQUAL))
        self._add_rule(_ACCEPT, _kernel_socket_is_transparent(), _compare(b"\0"))
        self._add_rule(
            _ACCEPT,
            _meta(_META_IIF),
            _compare(_LOOPBACK.to_bytes(4, sys.byteorder)),
            _meta(_META_MARK),
            _compare(MARK.to_bytes(4, sys.byteorder), _NOT_EQUAL),
        )

    def cover(self, ports: PortSet) -> None:
        """Keep the kernel off *ports*, too; what was covered before stays so.

        Raises:
            GuardError: The kernel refused.
        """
        together = PortSet([self.ports, ports])
        added = [(first, last) for first, last in ports.ranges if not self.ports.covers(first, last)]
        with _refusals():
            for address in self._addresses:
                for first, last in added:
                    self._add_rule(_DROP, *_destined_for(address), *_port_between(first, last))
        self.ports = together

    def _add_rule(self, code: int, *expressions: dict[str, Any]) -> None:
        from pyroute2.nftables.expressions import verdict  # type: ignore[import-untyped]

        self._nft.rule("add", table=self.table, chain=CHAIN, expressions=(expressions, verdict(code)))

    def close(self) -> None:
        """Remove the rules; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        with suppress(Exception):  # the table went with its namespace, or was never made
            self._nft.table("del", name=self.table)
        self._nft.close()


def remove_leftovers() -> list[str]:
    """Remove the rules of engines that have ended, in this network namespace; return their tables' names.

    Raises:
        GuardError: The kernel refused to say what there is, or to remove it.
    """
    from pyroute2.nftables.main import NFTables

    with _refusals(), NFTables(nfgen_family=_NFPROTO_INET) as nft:
        return _remove_leftovers(nft)


def _remove_leftovers(nft: Any) -> list[str]:  # noqa: ANN401  # an NFTables, which has no types
    removed = []
    for table in nft.get_tables():
        name = _name_of(table)
        if name.startswith(PREFIX) and not _is_running(name) and not _flags_of(table) & _F_OWNER:
            nft.table("del", name=name)
            removed.append(name)
    return removed


def _free_name(taken: set[str]) -> str:
    """Return a name that says which process this is, by pid and start time, and which of its engines."""
    process = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}"
    number = 0
    while f"{process}-{number}" in taken:
        number += 1
    return f"{process}-{number}"


def _is_running(name: str) -> bool:
    """Whether the process that a table is named after runs; true for a name that is not of our making."""
    pid, _, rest = name.removeprefix(PREFIX).partition("-")
    started, _, _ = rest.partition("-")
    return not (pid.isdecimal() and started.isdecimal()) or _started(int(pid)) == int(started)


def _started(pid: int) -> int:
    """Return when a process started, in ticks since boot; 0 when there is none (proc_pid_stat(5), 22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever the library or the kernel raises into `GuardError`."""
    try:
        yield
    except GuardError:
        raise
    except Exception as refusal:
        code = getattr(refusal, "code", None) or getattr(refusal, "errno", None)
        reason = os.strerror(code) if isinstance(code, int) else str(refusal)
        raise GuardError(f"no nftables rules: {reason}") from refusal


def _name_of(table: Any) -> str:  # noqa: ANN401
    return str(table.get_attr("NFTA_TABLE_NAME"))


def _flags_of(table: Any) -> int:  # noqa: ANN401
    return int(table.get_attr("NFTA_TABLE_FLAGS") or 0)


# Expressions, as pyroute2 has them


def _load(name: str, **arguments: int) -> dict[str, Any]:
    from pyroute2.nftables.expressions import genex

    loaded: dict[str, Any] = genex(name, {"dreg": _REGISTER, **arguments})
    return loaded


def _meta(key: int) -> dict[str, Any]:
    return _load("meta", key=key)


def _payload(header: int, offset: int, length: int) -> dict[str, Any]:
    return _load("payload", base=header, offset=offset, len=length)


def _kernel_socket_is_transparent() -> dict[str, Any]:
    """Load 0 or 1; without a socket for the packet the rule does not match."""
    return _load("socket", key=_SOCKET_TRANSPARENT)


def _compare(value: bytes, how: int = _EQUAL) -> dict[str, Any]:
    from pyroute2.nftables.expressions import genex

    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    compared: dict[str, Any] = genex("cmp", {"sreg": _REGISTER, "op": how, "data": data})
    return compared


def _destined_for(address: str) -> tuple[dict[str, Any], ...]:
    family, at = (socket.AF_INET6, 24) if ":" in address else (socket.AF_INET, 16)
    octets = socket.inet_pton(family, address)
    return (
        _meta(_META_NFPROTO),
        _compare(bytes([family])),
        _payload(_NETWORK_HEADER, at, len(octets)),
        _compare(octets),
    )


def _port_between(first: int, last: int) -> tuple[dict[str, Any], ...]:
    port = _payload(_TRANSPORT_HEADER, 2, 2)
    if first == last:
        return port, _compare(first.to_bytes(2))
    if (first, last) == (1, HIGHEST_PORT):
        return ()
    return port, _compare(first.to_bytes(2), _AT_LEAST), _compare(last.to_bytes(2), _AT_MOST)
