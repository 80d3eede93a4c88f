"""`xsocket doctor`: tries everything that Xsocket asks of a machine, and says how to get what is missing.

Each check does the thing itself, in a network namespace that has no name and goes when the check ends; none
touches an interface, a rule or a setting of the machine.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import click

from xsocket.errors import XsocketError
from xsocket.handoff.guard import Guard
from xsocket.ranges import PortSet
from xsocket_netns import Lab, LabError, Namespace, SysctlError, Tun, netlink, privileges
from xsocket_tools.errors import ToolError
from xsocket_tools.teaching import tracepoints
from xsocket_tools.tracefs import Tracing

_OLDEST_PYTHON = (3, 11)
_ETH_P_ALL = 0x0003  # linux/if_ether.h
_EXPERIMENTAL = 0x88B5  # IEEE Std 802: EtherType for local experiments
_SOL_PACKET = 263  # linux/socket.h; the socket module has it from Python 3.12 only
_PACKET_RX_RING, _PACKET_VERSION, _TPACKET_V2 = 5, 10, 1  # linux/if_packet.h
_TCP_REPAIR = 19  # linux/tcp.h
_PATIENCE_S = 2.0
_NEAR, _FAR = netlink.Device("near", "02:00:00:00:00:01"), netlink.Device("far", "02:00:00:00:00:02")


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check; `needed` ones must be `ok` for the demo to run."""

    name: str
    ok: bool
    needed: bool
    detail: str
    remedy: str | None


class Check(NamedTuple):
    """One thing to try.

    `attempt` returns a few words about what was found, and raises whatever stands in the way. An empty
    `remedy` leaves it to the error that it raises.
    """

    name: str
    needed: bool
    attempt: Callable[[], str]
    remedy: str

    def tried(self) -> Finding:
        """Do it. Whatever a library or the kernel raises, the answer is no."""
        try:
            return Finding(self.name, True, self.needed, self.attempt(), None)
        except SysctlError as error:  # on the way there: what is tried has nothing to do with it
            return Finding(self.name, False, self.needed, error.message, error.remedy)
        except (LabError, ToolError) as error:
            return Finding(self.name, False, self.needed, error.message, self.remedy or error.remedy)
        except XsocketError as error:
            return Finding(self.name, False, self.needed, str(error.args[0]), self.remedy or error.remedy)
        except Exception as error:
            return Finding(self.name, False, self.needed, str(error), self.remedy or LabError.remedy)

    def not_tried(self, reason: Check) -> Finding:
        """Say that it was left out because *reason* failed."""
        return Finding(self.name, False, self.needed, f"not tried: no {reason.name}", reason.remedy)


@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print {"ready": ..., "checks": [...]}.')
def doctor(as_json: bool) -> int:
    """Say what this machine allows, and how to allow the rest.

    The exit status is 0 when everything that `xsocket demo` needs is there, else 1.
    """
    findings = list(examine())
    ready = all(finding.ok for finding in findings if finding.needed)
    if as_json:
        click.echo(
            json.dumps({"ready": ready, "checks": [asdict(finding) for finding in findings]}, indent=2)
        )
    else:
        _print(findings)
        click.echo(
            "The demo can run here." if ready else "The demo cannot run here: see the lines marked NO."
        )
    return 0 if ready else 1


def examine() -> Iterator[Finding]:
    """Try everything, in order. The process may be in a user namespace afterwards."""
    for check in BEFORE_PRIVILEGES:
        yield check.tried()
    entered = PRIVILEGES.tried()
    yield entered
    for check in WITH_PRIVILEGES:
        yield check.tried() if entered.ok else check.not_tried(PRIVILEGES)


def _python() -> str:
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        raise OSError(version)
    return version


def _kernel() -> str:
    os.close(os.pidfd_open(os.getpid()))  # Linux 5.3
    return platform.release()


def _user_namespaces() -> str:
    refusal = privileges.user_namespace_refusal()
    if refusal is not None:
        raise refusal
    return "entered one"


def _privileges() -> str:
    missing = privileges.missing_capabilities()
    privileges.ensure_privileges(restart=False)
    return "in a user namespace, as its root" if missing or privileges.in_user_namespace() else "as root"


def _network_namespaces() -> str:
    with Namespace.create() as namespace:
        names = netlink.on(namespace, lambda route: [link.get("ifname") for link in route.get_links()])
    return f"a new one has {len(names)} interface(s)"


def _veth() -> str:
    with Namespace.create() as namespace:
        netlink.add_veth(namespace, _NEAR, namespace, _FAR, mtu=1500)
    return "a pair has carrier"


def _bridge() -> str:
    with Namespace.create() as namespace:
        netlink.add_bridge(namespace, "bridge", mtu=1500)
    return "made one"


def _ipv6() -> str:
    with Namespace.create() as namespace:
        netlink.on(namespace, netlink.set_up(netlink.LOOPBACK_INDEX))
        netlink.add_addresses(namespace, netlink.LOOPBACK_INDEX, ["fd00::1/64"])
    return "an address works"


def _labs() -> str:
    with Lab() as lab:
        ends = lab.host("client"), lab.host("server")
        lab.link(*ends, addresses=(["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00::2/64"]))
    return "made and removed one of two hosts"


def _packet_socket() -> str:
    with Namespace.create() as namespace:
        netlink.add_veth(namespace, _NEAR, namespace, _FAR, mtu=1500)
        return namespace.run(_send_a_frame)


def _send_a_frame() -> str:
    frame = bytes.fromhex("020000000002020000000001") + struct.pack("!H", _EXPERIMENTAL) + bytes(46)
    with _raw_socket(_EXPERIMENTAL) as receiver, _raw_socket(_ETH_P_ALL) as sender:
        receiver.bind((_FAR.name, _EXPERIMENTAL))
        receiver.settimeout(_PATIENCE_S)
        sender.bind((_NEAR.name, 0))
        sender.send(frame)
        return f"a frame of {len(receiver.recv(2048))} bytes arrived"


def _raw_socket(ether_type: int) -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ether_type))


def _tun() -> str:
    with Lab() as lab:
        Tun(lab.host("linux"), addresses=["10.0.0.1/24"]).close()
    return "made and removed one"


def _packet_ring() -> str:
    with Namespace.create() as namespace:
        return namespace.run(_map_a_ring)


def _map_a_ring() -> str:
    """Set up and map a ring of two blocks: struct tpacket_req of linux/if_packet.h."""
    block, frame = 1 << 16, 1 << 11
    with _raw_socket(_ETH_P_ALL) as ring:
        ring.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        request = struct.pack("4I", block, 2, frame, 2 * block // frame)
        ring.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        mmap.mmap(ring.fileno(), 2 * block).close()
    return "TPACKET_V2"


def _nftables() -> str:
    with Namespace.create() as namespace:
        return namespace.run(_add_a_rule)


def _add_a_rule() -> str:
    """Install the rules that keep the kernel off an engine's ports, and remove them."""
    guard = Guard(["10.0.0.2", "fd00::2"], PortSet(80))
    owned = guard.owned
    guard.close()
    return "rules for shared addresses" + ("" if owned else "; they outlive a killed engine on this kernel")


def _tcp_repair() -> str:
    with Namespace.create() as namespace:
        return namespace.run(_repair)


def _repair() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as repaired:
        repaired.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        repaired.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
    return "switched on and off"


def _tracefs() -> str:
    tracing = Tracing()
    try:
        missing = [
            each for each in (tracepoints.DROP, tracepoints.RESET) if "reason" not in tracing.fields(each)
        ]
    finally:
        tracing.close()
    return (
        "tracepoints name reasons" if not missing else f"no reasons from {', '.join(missing)} on this kernel"
    )


def _netem() -> str:
    with Namespace.create() as namespace:
        netlink.on(
            namespace, lambda route: route.tc("add", "netem", netlink.LOOPBACK_INDEX, "1:", delay=1000)
        )
    return "a queue delays"


BEFORE_PRIVILEGES = (
    Check("python", True, _python, "Install Python 3.11 or newer."),
    Check("kernel", True, _kernel, "Use Linux 5.3 or newer."),
    Check("user-namespaces", False, _user_namespaces, ""),
)
PRIVILEGES = Check("privileges", True, _privileges, "Run as root, or allow user namespaces as said above.")
WITH_PRIVILEGES = (
    Check("network-namespaces", True, _network_namespaces, "Use a kernel with CONFIG_NET_NS."),
    Check("veth", True, _veth, "Load the module: modprobe veth."),
    Check("bridge", False, _bridge, "Load the module: modprobe bridge. Labs of two hosts do without."),
    Check("ipv6", True, _ipv6, "Boot without ipv6.disable=1."),
    Check("labs", True, _labs, ""),
    Check("packet-socket", True, _packet_socket, "Use a kernel with CONFIG_PACKET, or modprobe af_packet."),
    Check(
        "packet-ring", True, _packet_ring, "The engine reads frames from one: use a kernel with packet_mmap."
    ),
    Check(
        "tun",
        False,
        _tun,
        "modprobe tun, and chmod 666 /dev/net/tun for users without root. "
        "Only scripts on Linux itself (xsocket run --on kernel) and other stacks (xsocket fuzz --on foreign) "
        "need it.",
    ),
    Check(
        "nftables",
        False,
        _nftables,
        "modprobe nf_tables nft_socket. Only engines that share an address with the kernel need it.",
    ),
    Check(
        "tcp-repair", False, _tcp_repair, "Use a kernel with CONFIG_CHECKPOINT_RESTORE; to_kernel() needs it."
    ),
    Check(
        "tracefs",
        False,
        _tracefs,
        "Run as root, outside of containers, on a kernel with CONFIG_FTRACE. "
        "Without it, lessons on Linux do not say why a segment was dropped or reset.",
    ),
    Check("netem", False, _netem, "modprobe sch_netem. Without it, impairments are made in user space."),
)


def _print(findings: list[Finding]) -> None:
    from rich import console, markup, table

    view = table.Table("check", "", "needed", "found")
    for finding in findings:
        answer = "[green]yes[/]" if finding.ok else f"[{'red' if finding.needed else 'yellow'}]NO[/]"
        found = markup.escape(finding.detail)
        if finding.remedy is not None:
            found += f"\n[bold]{markup.escape(finding.remedy)}[/]"
        view.add_row(finding.name, answer, "yes" if finding.needed else "", found)
    console.Console().print(view)
