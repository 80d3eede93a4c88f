"""Every error raised on purpose, in three families: the caller erred, the environment refused, a wait ended.

Bytes from the network never raise; they become a `xsocket.DropReason`. What a connection meets on the way
(reset, timeout, refusal) raises the built-in exceptions that `socket.socket` raises.
"""

from typing import ClassVar


def to_install(extra: str) -> str:
    """Return how one gets the packages of an extra such as ``tui``, in an environment and in a clone."""
    return f'pip install "xsocket[{extra}]"; in a clone, .venv/bin/pip install -e ".[{extra}]"'


class XsocketError(Exception):
    """Base of every error raised on purpose by this project; *remedy* says what to do about it."""

    remedy: ClassVar[str] = "Report this as a bug."

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.remedy})"


class CallerError(XsocketError):
    """The caller asked for something that cannot be."""


class EnvironmentRefusedError(XsocketError):
    """The machine, its kernel or its privileges do not allow it."""


class WaitError(XsocketError):
    """A wait ended without what was waited for."""


class BadAddressError(CallerError, ValueError):
    """An address, network or port is not one."""

    remedy = (
        'Write addresses like "10.0.0.2" or "fd00::2", networks like "10.0.0.0/24", '
        'ports like "80,8000-8099".'
    )


class BadConfigError(CallerError, ValueError):
    """A rule was given a value outside its range."""

    remedy = "See xsocket.TcpConfig for each rule's unit and range."


class EngineStateError(CallerError):
    """The engine was used before it started, after it stopped, or started twice."""

    remedy = "Use it inside `with engine:`; make a new Engine to start again."


class SimulationStateError(CallerError):
    """A simulation was asked for something that its hosts are not in a position to do."""

    remedy = (
        "Join each host to one link before it is used; run the simulation, and call its connections, from "
        "outside: not from an admission policy or a link's predicate."
    )


class AddressInUseError(CallerError):
    """A connection with that 4-tuple exists already."""

    remedy = "Choose another local port, or none and let the engine choose."


class AlreadyClaimedError(CallerError):
    """The connection with that 4-tuple has an owner, and a connection has one owner."""

    remedy = (
        "Let one consumer claim each 4-tuple; once its owner has closed it, the 4-tuple may be claimed again."
    )


class CannotHandOverError(CallerError):
    """The connection is in no condition to go to the kernel; it is as it was."""

    remedy = (
        "Hand over connections that are established, before this end has finished sending, without keys and "
        "without files made of them."
    )


class NotKernelAddressError(CallerError):
    """The engine's address is not the kernel's, so that no kernel socket can have the connection."""

    remedy = (
        "Give the kernel the address before the engine starts (ip address add 10.0.0.2/24 dev veth0); the "
        "engine then keeps the kernel off its ports."
    )


class PoolProtocolError(CallerError):
    """A message between a pool server and a client is malformed, or out of place."""

    remedy = "Let both ends have the same version of Xsocket; the protocol is in xsocket.sharing.protocol."


class PoolSocketError(EnvironmentRefusedError):
    """The socket of a pool server could not be made."""

    remedy = "Name a path in a directory of your own where no other server listens, or stop that one."


class PoolUnreachableError(EnvironmentRefusedError):
    """No pool server answers."""

    remedy = "Start one (xsocket serve --help), and name its socket."


class PoolAccessError(EnvironmentRefusedError):
    """The pool server does not let this user in, or not claim that."""

    remedy = "Ask who runs the server: xsocket serve --group lets users in, --allow says what each may claim."


class PoolBusyError(EnvironmentRefusedError):
    """The pool server has reached a limit: clients, descriptors, or one claim for each connection to it."""

    remedy = "Try again later, or raise the server's limits: max_clients, its open files (ulimit -n)."


class CaptureError(EnvironmentRefusedError):
    """The kernel did not give a packet socket on that interface."""

    remedy = "Run `xsocket doctor`; it says what this machine allows and how to allow more."


class GuardError(EnvironmentRefusedError):
    """The kernel has the engine's address too, and could not be kept off the engine's ports."""

    remedy = (
        "Run `xsocket doctor`; it says whether nftables is there and allowed. Or give the engine an address "
        "that the kernel has not: that takes no rules, but then no connection can go to the kernel."
    )


class HandoffError(EnvironmentRefusedError):
    """The kernel did not take the connection; it is as it was, and can be used in user space."""

    remedy = (
        "Run `xsocket doctor`; it says whether TCP_REPAIR is there and allowed. Use the connection as it is, "
        "or close it."
    )


class AlgorithmUnavailableError(EnvironmentRefusedError):
    """This machine cannot compute what a key asks for."""

    remedy = f"For AES: {to_install('ao')}. In FIPS mode there is no MD5: use TCP-AO."


class NoSuchInterfaceError(EnvironmentRefusedError):
    """The current network namespace has no such interface, or it is not an Ethernet."""

    remedy = "Name an Ethernet-like interface (veth, bridge, tap) of the current namespace."


class LinkDownError(EnvironmentRefusedError):
    """The interface was set down while the engine used it; frames flow again once it is up."""

    remedy = "Set the interface up again, or stop the engine."


class HostUnreachableError(EnvironmentRefusedError, OSError):
    """No route leads to the address, or nobody on the link answers for it (EHOSTUNREACH)."""

    remedy = "Check the address, the engine's networks and its gateway."


class NetworkUnreachableError(HostUnreachableError):
    """A router says that no route leads to the address's network (ENETUNREACH)."""

    remedy = "Check the address, and the routes of the gateway."


class ClaimTimeout(WaitError, TimeoutError):  # noqa: N818  # the public name, after queue.Empty and socket.timeout
    """No connection that matches was there in time."""

    remedy = "Raise the timeout, or look in the trace for a drop reason."


class PoolClosed(WaitError):  # noqa: N818  # the public name
    """The pool was closed, so nothing more can be claimed from it."""

    remedy = "Claim while the engine runs."


class SimulationStalled(WaitError):  # noqa: N818  # named after what happened, like the two above
    """Nothing is left to happen in a simulation, so the wait would never end."""

    remedy = "Give a timeout, or look in the trace for what the peer was never sent."
