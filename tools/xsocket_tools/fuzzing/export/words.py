"""What a case does, in words: an operation in one line, as captures, scripts and reports name it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.state import State
from xsocket_tools.fuzzing.case import NEXT, Call, Icmp, Operation, Say, Tick, letters_of
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.scenarios.notation import options_text
from xsocket_tools.scenarios.packets import option_specs

_USUAL: Final = Say(0, 0)
_ECN: Final = ("", "ect1", "ect0", "ce")


def operation_text(operation: Operation) -> str:
    """Return *operation* in one line; of a segment only what is not as usual."""
    if isinstance(operation, Say):
        return f"{peer_text(operation.peer)} says {_said(operation)}"
    if isinstance(operation, Icmp):
        mtu = f", MTU {operation.mtu}" if operation.mtu else ""
        quoted = "" if operation.quoted == 20 else f", {operation.quoted} octets of TCP quoted"
        about = f"about {operation.seq} of what goes to {peer_text(operation.peer)}"
        return f'a router says "{operation.kind}" {about}{mtu}{quoted}'
    if isinstance(operation, Tick):
        return f"{operation.seconds:g} s pass"
    return f"{call_text(operation)}, the connection to {peer_text(operation.peer)}"


def call_text(call: Call) -> str:
    """Return a call with its size, where it has one."""
    return f"call {call.name}" + (f" {call.size}" if call.size else "")


def peer_text(peer: int) -> str:
    """Return what tells a peer from the others."""
    who = PEERS[peer]
    return f"peer {peer} ({who.address}{'' if who.served else ', port not served'})"


def _said(say: Say) -> str:
    parts = [letters_of(say.flags)]
    parts += [f"seq {say.seq}"] if say.seq != NEXT else []
    parts += [f"ack {say.ack}"] if say.ack != NEXT else []
    parts += [f"{say.text} octets"] if say.text else []
    parts += [f"<{', '.join(say.options)}>"] if say.options else []
    parts += [f"window {say.window}"] if say.window != _USUAL.window else []
    parts += [f"urgent {say.urgent}"] if say.urgent else []
    parts += [_ECN[say.ecn]] if say.ecn else []
    parts += [f"twist: {say.twist}"] if say.twist else []
    parts += ["together with the next"] if say.joined else []
    return ", ".join(parts)


def segment_text(segment: Segment) -> str:
    """Return a segment with its numbers as they are on the wire, in the notation of scripts."""
    seq, length = segment.seq, len(segment.payload)
    ack = "" if segment.ack is None else f" ack {segment.ack}"
    options = f" {options_text(option_specs(segment.options))}" if segment.options else ""
    flags = letters_of(segment.flags)
    return f"{flags} {seq}:{add(seq, length)}({length}){ack} win {segment.window}{options}"


def state_text(state: State | None, peer: int | None) -> str:
    """Return where the connection to a peer stands; where there is none, what its port does."""
    if state is not None:
        return state.value
    return "LISTEN" if peer is not None and PEERS[peer].served else "CLOSED"


def violation_lines(violation: Violation) -> Iterable[tuple[str, str]]:
    """Yield what is to be said of a violation, each with its heading."""
    yield "rule", str(violation.rule)
    yield "state", state_text(violation.state, violation.peer)
    yield "stimulus", one_line(violation.stimulus)
    yield "expected", one_line(violation.expected)
    yield "got", one_line(violation.got)


def one_line(text: str) -> str:
    """Return *text* in one line, whatever it holds."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
