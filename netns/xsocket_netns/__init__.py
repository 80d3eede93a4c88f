"""Labs: network namespaces, links, addresses and routes, made and removed through pyroute2.

Knows nothing of TCP and nothing of the engine. `lab.py` is the file to read first.
"""

from xsocket_netns.errors import (
    CommandFailedError,
    CommandTimeoutError,
    LabClosedError,
    LabError,
    LabInUseError,
    LabNameError,
    LabRefusedError,
    LabUsageError,
    LabWaitError,
    LinkTimeoutError,
    NamespaceError,
    NetemUnavailableError,
    NetlinkRefusedError,
    NoSuchHostError,
    NoSuchLabError,
    PrivilegeError,
    RuntimeDirectoryError,
    SysctlError,
    TunError,
)
from xsocket_netns.host import Host, Interface
from xsocket_netns.lab import Bridge, Detour, Lab, Link
from xsocket_netns.namespace import Namespace
from xsocket_netns.netem import Netem
from xsocket_netns.privileges import ensure_privileges
from xsocket_netns.removal import Removed, clean
from xsocket_netns.tun import Sent, Tun

__all__ = [
    "Bridge",
    "CommandFailedError",
    "CommandTimeoutError",
    "Detour",
    "Host",
    "Interface",
    "Lab",
    "LabClosedError",
    "LabError",
    "LabInUseError",
    "LabNameError",
    "LabRefusedError",
    "LabUsageError",
    "LabWaitError",
    "Link",
    "LinkTimeoutError",
    "Namespace",
    "NamespaceError",
    "Netem",
    "NetemUnavailableError",
    "NetlinkRefusedError",
    "NoSuchHostError",
    "NoSuchLabError",
    "PrivilegeError",
    "Removed",
    "RuntimeDirectoryError",
    "Sent",
    "SysctlError",
    "Tun",
    "TunError",
    "clean",
    "ensure_privileges",
]
