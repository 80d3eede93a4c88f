"""Xsocket: TCP handshakes without a listener.

An `Engine` completes handshakes on a raw socket, packet by packet; established connections wait in its
`ConnectionPool`; threads, tasks and processes claim them by 4-tuple.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsocket.admission import Admission, AdmissionPolicy, Verdict
from xsocket.config import TcpConfig
from xsocket.connection import Connection
from xsocket.errors import (
    AddressInUseError,
    AlgorithmUnavailableError,
    AlreadyClaimedError,
    BadAddressError,
    BadConfigError,
    CallerError,
    CannotHandOverError,
    CaptureError,
    ClaimTimeout,
    EngineStateError,
    EnvironmentRefusedError,
    GuardError,
    HandoffError,
    HostUnreachableError,
    LinkDownError,
    NoSuchInterfaceError,
    NotKernelAddressError,
    PoolAccessError,
    PoolBusyError,
    PoolClosed,
    PoolProtocolError,
    PoolSocketError,
    PoolUnreachableError,
    SimulationStalled,
    SimulationStateError,
    WaitError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool
from xsocket.reasons import DropReason
from xsocket.runtime import Engine
from xsocket.segment import Segment
from xsocket.simulation import Simulation
from xsocket.state import State
from xsocket.tcp.keys import AoKey, Md5Key
from xsocket.trace import Event, EventKind, Trace

if TYPE_CHECKING:
    from xsocket.sharing.asgi import serve_asgi
    from xsocket.sharing.client import PoolClient
    from xsocket.sharing.policy import ClaimPolicy
    from xsocket.sharing.server import PoolServer
    from xsocket.sharing.serving import HandlerServer, serve_asyncio, serve_forever, start_server

__all__ = [
    "AddressInUseError",
    "Admission",
    "AdmissionPolicy",
    "AlgorithmUnavailableError",
    "AlreadyClaimedError",
    "AoKey",
    "BadAddressError",
    "BadConfigError",
    "CallerError",
    "CannotHandOverError",
    "CaptureError",
    "ClaimPolicy",
    "ClaimTimeout",
    "Connection",
    "ConnectionPool",
    "DropReason",
    "Engine",
    "EngineStateError",
    "EnvironmentRefusedError",
    "Event",
    "EventKind",
    "FourTuple",
    "GuardError",
    "HandlerServer",
    "HandoffError",
    "HostUnreachableError",
    "LinkDownError",
    "Md5Key",
    "NoSuchInterfaceError",
    "NotKernelAddressError",
    "Pattern",
    "PoolAccessError",
    "PoolBusyError",
    "PoolClient",
    "PoolClosed",
    "PoolProtocolError",
    "PoolServer",
    "PoolSocketError",
    "PoolUnreachableError",
    "Segment",
    "Simulation",
    "SimulationStalled",
    "SimulationStateError",
    "State",
    "TcpConfig",
    "Trace",
    "Verdict",
    "WaitError",
    "XsocketError",
    "serve_asgi",
    "serve_asyncio",
    "serve_forever",
    "start_server",
]

_LATER = {
    "ClaimPolicy": "xsocket.sharing.policy",
    "HandlerServer": "xsocket.sharing.serving",
    "PoolClient": "xsocket.sharing.client",
    "PoolServer": "xsocket.sharing.server",
    "serve_asgi": "xsocket.sharing.asgi",
    "serve_asyncio": "xsocket.sharing.serving",
    "serve_forever": "xsocket.sharing.serving",
    "start_server": "xsocket.sharing.serving",
}
"""What is imported when it is asked for: few programs do, and with asyncio it takes as long as the rest."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever has that name
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
