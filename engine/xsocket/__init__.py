"""Xsocket: TCP handshakes without a listener.

An `Engine` completes handshakes on a raw socket, packet by packet; established connections wait in its
`ConnectionPool`; threads, tasks and processes claim them by 4-tuple.
"""

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
    PoolClosed,
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
    "HandoffError",
    "HostUnreachableError",
    "LinkDownError",
    "Md5Key",
    "NoSuchInterfaceError",
    "NotKernelAddressError",
    "Pattern",
    "PoolClosed",
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
]
