"""Random segments, calls and time into a connection in every state; the rules that hold all the same."""

from itertools import pairwise
from random import Random
from typing import Final

import pytest

from support.pair import SERVER, End
from support.peer import WITH_TCB, Peer
from xsocket.actions import Action, Deleted, Moved, Send
from xsocket.config import TcpConfig
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.seqnum import add, distance, precedes_or_is
from xsocket.state import State, Timer
from xsocket.tcp.options import for_segment, for_syn
from xsocket.tcp.table import TABLE
from xsocket.tcp.tcb import Tcb

SEEDS: Final = 225
STEPS: Final = 100
CONFIG: Final = TcpConfig(rmem=4096, wmem=4096, time_wait_s=2, fin_timeout_s=1, retries2=3, synack_retries=2)

SENDING: Final = {State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK}
MAY_RUN: Final = {
    Timer.RETRANSMISSION: SENDING | {State.SYN_SENT, State.SYN_RECEIVED},
    Timer.LOSS_PROBE: SENDING,
    Timer.PERSIST: SENDING,
    Timer.TIME_WAIT: {State.TIME_WAIT},
    Timer.ORPHAN: {State.FIN_WAIT_2},
}
FLAGS: Final = (ACK, ACK, ACK, ACK | PSH, ACK | FIN, FIN, RST, RST | ACK, SYN, SYN | ACK, SYN | FIN, 0, 0xFFF)


def any_segment(random: Random, tcb: Tcb | None) -> Segment:
    """Return a segment whose fields are often right and often next to right."""
    rcv_nxt, snd_una, snd_nxt = (tcb.rcv_nxt, tcb.snd_una, tcb.snd_nxt) if tcb else (1001, 0, 0)
    window = tcb.rcv_wnd if tcb else 65_535
    seq = add(rcv_nxt, random.choice((0, 0, 0, 0, 1, -1, -2, 100, window - 1, window, -5000, 1 << 31)))
    ack = add(random.choice((snd_una, snd_nxt)), random.choice((0, 0, 0, 0, 1, -1, 500, -70_000, 1 << 31)))
    window_field = random.choice((0, 1, 1000, 65_535))
    payload = bytes(random.choice((0, 0, 0, 1, 100, 1460, 5000)))
    stamps = (random.choice((0, tcb.ts_recent if tcb else 0, random.getrandbits(32))), random.getrandbits(32))
    options = random.choice(
        (
            b"",
            for_segment(stamps),
            for_segment(stamps, ((snd_una, add(snd_una, 10)),)),
            for_segment(None, ((add(snd_una, 10), snd_nxt),)),
            for_syn(random.choice((0, 1, 536, 65_535)), random.choice((None, 0, 14, 255)), True, stamps),
            random.randbytes(random.choice((1, 4, 40))),
        )
    )
    return Segment(seq, ack, random.choice(FLAGS), window_field, options, payload, random.getrandbits(16))


def any_step(random: Random, peer: Peer) -> tuple[Segment | None, list[Action]]:
    """Do one thing to the connection; return the segment it received, if it was one, and what it did."""
    stack, tcb = peer.end.stack, peer.end.stack.tcb(SERVER)
    peer.now += random.choice((0, 0, 0, 0.01, 0.3, 2))
    what = random.random()
    if what < 0.1:
        return None, stack.timers_fired(peer.now)
    if tcb is not None and what < 0.13:
        return None, stack.receive_text(peer.now, tcb, random.choice((1, 100, 5000)))[1]
    if tcb is not None and what < 0.16 and tcb.writable:
        return None, stack.send(peer.now, tcb, memoryview(bytes(random.choice((1, 2000, 9000)))))[1]
    if tcb is not None and what < 0.18:
        return None, random.choice((stack.close, stack.release))(peer.now, tcb)
    segment = any_segment(random, tcb)
    return segment, stack.receive(peer.now, [(SERVER, segment)])


def check_replies(segment: Segment, actions: list[Action]) -> None:
    replies = [action.segment for action in actions if isinstance(action, Send)]
    bare = [reply for reply in replies if not reply.payload and not reply.fin]
    assert len(bare) <= 1, "one reply at most"
    assert not (segment.rst and any(reply.rst for reply in replies)), "no reset answers a reset"


def check_moves(before: State, actions: list[Action], after: State) -> None:
    moves = [action for action in actions if isinstance(action, Moved)]
    states = [before, *(move.after for move in moves)]
    for move, (start, end) in zip(moves, pairwise(states), strict=True):
        assert move.before is start
        assert TABLE[start, move.trigger].to is end
        assert TABLE[start, move.trigger].rule == move.rule
    assert states[-1] is after
    assert sum(isinstance(action, Deleted) for action in actions) == states[1:].count(State.CLOSED)


def check_tcb(tcb: Tcb) -> None:
    if tcb.timer is not None:
        assert tcb.state in MAY_RUN[tcb.timer]
    if tcb.flight or tcb.unsent or tcb.state is State.TIME_WAIT:
        assert tcb.timer is not None, "something must happen by itself"
    assert tcb.flight <= distance(tcb.iss, tcb.snd_nxt)
    assert tcb.unread + (tcb.receiving.early if tcb.receiving else 0) <= CONFIG.rmem
    assert len(tcb.sending or ()) <= CONFIG.wmem
    assert tcb.rcv_wnd <= CONFIG.rmem
    assert not tcb.ack_due, "an acknowledgment that is owed goes at the end of the batch"


def check_tables(peer: Peer) -> None:
    stack = peer.end.stack
    tcbs, counted = stack.tcbs(), stack.statistics()
    assert counted.connections == len(tcbs) <= 1
    assert counted.half_open == sum(tcb.state is State.SYN_RECEIVED and tcb.passive for tcb in tcbs)
    assert counted.time_wait == sum(tcb.state is State.TIME_WAIT for tcb in tcbs)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_segments_leave_the_machine_sane(seed: int) -> None:
    random = Random(seed)
    options = for_syn(1460, 7 if seed % 2 else None, seed % 4 > 1, (1, 0) if seed % 8 > 3 else None)
    peer = Peer(End("end", CONFIG), iss=random.getrandbits(32), options=options)
    for step in range(STEPS):
        if step % 25 == 0:
            if SERVER in peer.end.stack:
                peer.abort()
            peer.seq = peer.ack = 0
            peer.reach(WITH_TCB[(seed + step // 25) % len(WITH_TCB)])
        before, old = peer.state, peer.end.stack.tcb(SERVER)
        edge = old.rcv_adv if old is not None and old.state is not State.SYN_SENT else None
        segment, actions = any_step(random, peer)
        if segment is not None:
            check_replies(segment, actions)
        check_moves(before, actions, peer.state)
        tcb = peer.end.stack.tcb(SERVER)
        if tcb is not None:
            check_tcb(tcb)
        if tcb is not None and tcb is old and edge is not None:
            assert precedes_or_is(edge, tcb.rcv_adv), "the window never shrinks"
        check_tables(peer)
