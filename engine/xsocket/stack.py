"""Demultiplexing: segments to their TCBs, SYNs to Admission, strangers to their resets; limits and timers.

Pure like the machine: `now`, secrets and the pool's answer are arguments, the answer is a list of actions.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, NamedTuple

from xsocket.actions import Action, Dropped, Received, Send
from xsocket.admission import AdmissionPolicy, Verdict
from xsocket.config import TcpConfig
from xsocket.errors import AddressInUseError
from xsocket.fourtuple import FourTuple
from xsocket.half_open import HalfOpenTable
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import ACK, RST, SYN, Segment
from xsocket.seqnum import add, precedes
from xsocket.state import State, Timer, Trigger
from xsocket.tcp import fastopen, guards, handover, isn, machine, output, syncookies
from xsocket.tcp.authentication import Authenticator
from xsocket.tcp.fastopen import FastOpenStatistics
from xsocket.tcp.handover import Returned
from xsocket.tcp.keys import Key
from xsocket.tcp.options import parse
from xsocket.tcp.syncookies import Recalled, SynCookies
from xsocket.tcp.tcb import Tcb, snapshot

REOPENED_ISS_LEAD = 65_537
"""How far past the old connection's numbers a reopened one begins (RFC 9293 section 3.6.1 wants "larger";
the most that an unscaled window could still hold, as Linux has it)."""


MAX_PATHS = 4096
"""How many addresses the path MTU is remembered of; the oldest makes room."""


class StackStatistics(NamedTuple):
    """How many TCBs there are now, and the most there ever were; SYN cookies sent and taken; Fast Open."""

    connections: int
    half_open: int
    time_wait: int
    orphans: int
    connections_high_water: int
    half_open_high_water: int
    cookies_sent: int
    cookies_accepted: int
    fast_open: FastOpenStatistics


class Stack:
    """Every connection of one engine.

    Args:
        config: The rules.
        admission: Judges SYNs for ports that have no connection.
        secret: `xsocket.tcp.isn.SECRET_OCTETS` octets for initial sequence numbers.
        mss: The largest text we take in one segment, by IP version: the link's MTU less 40 or 60.
        has_room: Whether the pool would take this connection now.
        traced: Whether to answer a `Received` for each segment, too.
        keys: What protects connections, in order of preference; see `xsocket.AoKey`.

    Raises:
        BadConfigError: Two of the keys do not go together.
    """

    def __init__(
        self,
        config: TcpConfig,
        admission: AdmissionPolicy,
        *,
        secret: bytes,
        mss: Mapping[int, int],
        has_room: Callable[[FourTuple], bool],
        traced: bool = False,
        keys: Iterable[Key] = (),
    ) -> None:
        self.config = config
        self.admission = admission
        self._secret = secret
        self._mss = mss
        self._has_room = has_room
        self._traced = traced
        self._tcbs: dict[FourTuple, Tcb] = {}
        self._half_open = HalfOpenTable(by_source=config.max_syn_backlog_per_source > 0)
        self._time_wait: OrderedDict[FourTuple, Tcb] = OrderedDict()
        self._paths: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._orphans: dict[FourTuple, float] = {}  # since when; the oldest first
        self._timers: list[tuple[float, int, Tcb]] = []
        self._pushed = 0
        self._most_tcbs = 0
        self._cookies_sent = self._cookies_accepted = 0
        self._cookies_until = -inf
        self._cookies = {version: SynCookies(config, most, secret) for version, most in mss.items()}
        self._fast_client = fastopen.Client(config)
        keys_of_cookies = (fastopen.derived_key(secret),)
        self._fast_server = fastopen.Server(config, keys_of_cookies) if fastopen.serves(config) else None
        self._authenticator: Authenticator | None = None
        self._keys: tuple[Key, ...] = ()
        self.set_keys(keys)

    def __len__(self) -> int:
        """How many TCBs there are."""
        return len(self._tcbs)

    def __contains__(self, four_tuple: FourTuple) -> bool:
        return four_tuple in self._tcbs

    def tcb(self, four_tuple: FourTuple) -> Tcb | None:
        """Return the connection of that name, None when there is none."""
        return self._tcbs.get(four_tuple)

    def tcbs(self) -> list[Tcb]:
        """Return every connection there is."""
        return list(self._tcbs.values())

    def table_sizes(self) -> tuple[int, int, int]:
        """Return how many connections there are, how many half-open, and how many in TIME-WAIT; O(1)."""
        return len(self._tcbs), len(self._half_open), len(self._time_wait)

    def statistics(self) -> StackStatistics:
        """Return the sizes of the tables, and what was counted."""
        return StackStatistics(
            connections=len(self._tcbs),
            half_open=len(self._half_open),
            time_wait=len(self._time_wait),
            orphans=len(self._orphans),
            connections_high_water=self._most_tcbs,
            half_open_high_water=self._half_open.high_water,
            cookies_sent=self._cookies_sent,
            cookies_accepted=self._cookies_accepted,
            fast_open=fastopen.statistics(self._fast_client, self._fast_server),
        )

    def set_config(self, config: TcpConfig) -> None:
        """Let connections that are opened from now on play by *config*; those there are keep their rules.

        What belongs to no connection follows at once: limits, policies, cookies.
        """
        self.config = config
        self._cookies = {
            version: SynCookies(config, most, self._secret) for version, most in self._mss.items()
        }
        self._half_open.count_sources(wanted=config.max_syn_backlog_per_source > 0)
        self._fast_client.set_rules(config)
        if not fastopen.serves(config):
            self._fast_server = None
        elif self._fast_server is None:
            self._fast_server = fastopen.Server(config, (fastopen.derived_key(self._secret),))
        else:
            self._fast_server.set_rules(config)
        self.set_keys(self._keys)

    def set_keys(self, keys: Iterable[Key]) -> None:
        """Let *keys* protect new connections, and take the place of others of their kind on those there are.

        A connection that no key protected when it was opened stays unprotected, and one whose keys are all
        gone keeps those it had (RFC 5925 section 3.1).

        Raises:
            BadConfigError: Two of the keys do not go together; nothing has changed then.
        """
        kept = tuple(keys)
        self._authenticator = Authenticator(kept, self.config) if kept else None
        self._keys = kept
        for tcb in self._tcbs.values():
            if tcb.signer is not None and self._authenticator is not None:
                tcb.signer.rekey(self._authenticator.keys_for(tcb.four_tuple))

    def fastopen_cookie(self, local: str, remote: str) -> bytes | None:
        """Return the Fast Open cookie that the server at *remote* gave, None if it gave none."""
        return self._fast_client.cookie(local, remote)

    def set_fastopen_keys(self, primary: bytes, backup: bytes | None = None) -> None:
        """Make Fast Open cookies with *primary* from now on, and take those of *backup*, too.

        Raises:
            BadConfigError: A key has not 16 octets.
        """
        keys = fastopen.checked_keys(primary, backup)
        if self._fast_server is not None:
            self._fast_server.keys = keys

    # Segments

    def receive(self, now: float, arrivals: Iterable[tuple[FourTuple, Segment]]) -> list[Action]:
        """Process a batch of segments, oldest first, then acknowledge what they are owed (MUST-59).

        Args:
            now: Monotonic instant in seconds.
            arrivals: Each segment with its 4-tuple as seen from this end.
        """
        out: list[Action] = []
        owed: dict[FourTuple, Tcb] = {}
        for four_tuple, segment in arrivals:
            tcb = self._tcbs.get(four_tuple)
            before, start = tcb.state if tcb is not None else State.CLOSED, len(out)
            keys = self._authenticator
            reason = None if keys is None else keys.judge(tcb, four_tuple, segment)
            if reason is not None:
                out.append(Dropped(four_tuple, segment, reason))
            elif tcb is None:
                tcb = self._receive_stranger(now, four_tuple, segment, out)
            else:
                self._receive_known(now, tcb, segment, out)
            if tcb is not None and tcb.ack_due is not None:
                owed[four_tuple] = tcb
            if self._traced:
                tcb = self._tcbs.get(four_tuple)
                after, info = (tcb.state, snapshot(tcb)) if tcb is not None else (State.CLOSED, None)
                out.insert(start, Received(four_tuple, segment, before, after, info))
        for tcb in owed.values():
            out += machine.flush(tcb, now)
            self._schedule(tcb)
        while len(self._time_wait) > self.config.max_tw_buckets:
            self._evict_from_time_wait(now, out)  # not before its peer's FIN was acknowledged
        return out

    def _receive_known(self, now: float, tcb: Tcb, segment: Segment, out: list[Action]) -> None:
        before = tcb.state
        waits_for_pool = before is State.SYN_RECEIVED and tcb.passive and tcb.established_at is None
        if waits_for_pool and self._is_turned_away(now, tcb, segment, out):
            return
        reopens = before is State.TIME_WAIT and segment.flags & SYN and _reopens(tcb, now, segment)
        if reopens and (reason := self._why_not_reopen(tcb.four_tuple, segment)) is not None:
            # Silence, as RFC 6191 has it. Any answer would lead the peer to reset what waits here.
            out.append(Dropped(tcb.four_tuple, segment, reason))
            return
        out += machine.receive_segment(tcb, now, segment)
        if tcb.state is not before:
            if tcb.error is ConnectionResetError and self._fast_server is not None:
                self._fast_server.pending.note_reset(now, tcb.four_tuple)
            self._follow(tcb, before)
            if reopens:
                self._receive_stranger(now, tcb.four_tuple, segment, out, reopened=tcb)
        self._schedule(tcb)

    def _why_not_reopen(self, four_tuple: FourTuple, syn: Segment) -> DropReason | None:
        """Return why a SYN may not end TIME-WAIT although it is a new one; None if it may."""
        if self.admission.decide(four_tuple, syn) is not Verdict.ADMIT:
            return DropReason.ADMISSION_IGNORES
        reason = self._why_not_half_open(four_tuple)
        evicts = self.config.half_open_policy == "evict" and reason is DropReason.HALF_OPEN_FULL
        return None if evicts else reason

    def _is_turned_away(self, now: float, tcb: Tcb, segment: Segment, out: list[Action]) -> bool:
        """Apply the pool's policy to the segment that would complete the handshake."""
        policy = self.config.pool_policy
        may_complete = segment.flags & (ACK | SYN | RST) == ACK
        if not may_complete or policy == "evict":
            return False
        if guards.in_other_states(tcb, now, segment, parse(segment.options)) is not Trigger.ACK_OF_SYN:
            return False
        if self._has_room(tcb.four_tuple):  # which promises a place, so it is asked last
            return False
        out.append(Dropped(tcb.four_tuple, segment, _POOL_FULL[policy]))
        if policy == "refuse":
            out += self.abort(now, tcb)
        return True

    def _receive_stranger(
        self,
        now: float,
        four_tuple: FourTuple,
        segment: Segment,
        out: list[Action],
        reopened: Tcb | None = None,
    ) -> Tcb | None:
        """RFC 9293 sections 3.10.7.1 and 3.10.7.2: no TCB. Admission says whether to be CLOSED or LISTEN.

        Returns:
            The TCB that was made.
        """
        reason = guards.in_closed(segment)
        if reason is not None:
            out.append(Dropped(four_tuple, segment, reason))
            return None
        verdict = self.admission.decide(four_tuple, segment)
        if verdict is Verdict.ADMIT:
            return self._listen(now, four_tuple, segment, out, reopened)
        if verdict is Verdict.IGNORE:
            out.append(Dropped(four_tuple, segment, DropReason.ADMISSION_IGNORES))
        else:
            out.append(self._answer(four_tuple, segment, output.reset_for(segment), "3.10.7.1"))
        return None

    def _listen(
        self, now: float, four_tuple: FourTuple, segment: Segment, out: list[Action], reopened: Tcb | None
    ) -> Tcb | None:
        trigger = guards.in_listen(segment)
        if isinstance(trigger, DropReason):
            out.append(Dropped(four_tuple, segment, trigger))
        elif trigger is Trigger.WRONG_ACK:
            return self._receive_ack(now, four_tuple, segment, out)
        elif self._may_open(now, four_tuple, segment, out, reopened):
            tcb = self._new(now, four_tuple, opened_by=segment, reopened=reopened)
            if self._fast_server is not None:
                tcb.fast_open = self._fast_server.judge(now, four_tuple, segment, self._has_room)
            out += machine.open_passive(tcb, now, segment)
            if tcb.established_at is None:
                self._half_open.add(tcb)
            self._schedule(tcb)
            return tcb
        return None

    def _may_open(
        self, now: float, four_tuple: FourTuple, segment: Segment, out: list[Action], reopened: Tcb | None
    ) -> bool:
        """Apply the limits on TCBs and on half-open connections."""
        config = self.config
        if len(self._tcbs) >= config.max_connections:
            out.append(Dropped(four_tuple, segment, DropReason.CONNECTIONS_FULL))
            return False
        reason = self._why_not_half_open(four_tuple)
        if reason is None and config.syn_cookies != "always":
            return True
        # A cookie cannot see to it that its number follows those of the connection in TIME-WAIT.
        if config.syn_cookies != "never" and reopened is None:
            self._send_cookie(now, four_tuple, segment, out)
            return False
        return reason is None or self._may_open_beyond(four_tuple, segment, out, reason)

    def _why_not_half_open(self, four_tuple: FourTuple) -> DropReason | None:
        """Return which limit on half-open connections is reached, None if none is."""
        config = self.config
        if len(self._half_open) >= config.max_syn_backlog:
            return DropReason.HALF_OPEN_FULL
        most = config.max_syn_backlog_per_source
        if most and self._half_open.from_source(four_tuple) >= most:
            return DropReason.SOURCE_HALF_OPEN_FULL
        return None

    def _may_open_beyond(
        self, four_tuple: FourTuple, segment: Segment, out: list[Action], reason: DropReason
    ) -> bool:
        """Apply the policy for a full half-open table; a source with its share of it evicts nobody."""
        if self.config.half_open_policy == "evict" and reason is DropReason.HALF_OPEN_FULL:
            oldest = self._half_open.oldest()
            out.append(Dropped(oldest.four_tuple, None, DropReason.HALF_OPEN_EVICTED))
            out += self._call(oldest, lambda: machine.evict(oldest))
            return True
        out.append(Dropped(four_tuple, segment, reason))
        if self.config.half_open_policy == "refuse":
            out.append(self._answer(four_tuple, segment, output.reset_for(segment), "3.10.7.1"))
        return False

    def _send_cookie(self, now: float, four_tuple: FourTuple, syn: Segment, out: list[Action]) -> None:
        """Answer *syn* and keep nothing of it."""
        options = parse(syn.options)
        if self._authenticator is not None:
            options = self._authenticator.curtail(four_tuple, options)
        answer = self._cookies[four_tuple.family].syn_ack(now, four_tuple, syn, options)
        out.append(self._answer(four_tuple, syn, answer, syncookies.RULE))
        self._cookies_sent += 1
        self._cookies_until = now + syncookies.LIFETIME_S

    def _answer(self, four_tuple: FourTuple, segment: Segment, reply: Segment, rule: str) -> Send:
        """Return the order to send *reply* to the stranger whom *segment* came from."""
        if self._authenticator is not None:
            reply = self._authenticator.answer(four_tuple, segment, reply)
        return Send(four_tuple, reply, rule, self.config.ttl, self.config.dscp)

    def _receive_ack(
        self, now: float, four_tuple: FourTuple, segment: Segment, out: list[Action]
    ) -> Tcb | None:
        """Open the connection whose cookie *segment* brings back; reset who brings none."""
        # Without cookies sent lately none can come back: no hash is computed for a flood of ACKs.
        if now < self._cookies_until and not segment.flags & SYN:
            cookies = self._cookies[four_tuple.family]
            recalled = cookies.recall(now, four_tuple, segment, parse(segment.options))
            if recalled is not None:
                return self._open_by_cookie(now, four_tuple, segment, out, recalled)
            out.append(Dropped(four_tuple, segment, DropReason.COOKIE_INVALID))
        out.append(self._answer(four_tuple, segment, output.reset_for(segment), "3.10.7.2 second"))
        return None

    def _open_by_cookie(
        self, now: float, four_tuple: FourTuple, ack: Segment, out: list[Action], recalled: Recalled
    ) -> Tcb | None:
        """Apply the limits on TCBs and on the pool, which nobody was asked about at the SYN."""
        policy = self.config.pool_policy
        if len(self._tcbs) >= self.config.max_connections:
            out.append(Dropped(four_tuple, ack, DropReason.CONNECTIONS_FULL))
        elif policy != "evict" and not self._has_room(four_tuple):
            out.append(Dropped(four_tuple, ack, _POOL_FULL[policy]))
            if policy == "refuse":
                out.append(self._answer(four_tuple, ack, output.reset_for(ack), "3.10.7.2 second"))
        else:
            tcb = self._new(now, four_tuple, opened_by=ack)
            out += machine.open_by_cookie(tcb, now, ack, recalled)
            self._cookies_accepted += 1
            self._schedule(tcb)
            return tcb
        return None

    def _new(
        self,
        now: float,
        four_tuple: FourTuple,
        *,
        opened_by: Segment | None,
        reopened: Tcb | None = None,
    ) -> Tcb:
        iss, ts_offset = isn.choose(now, four_tuple, self._secret)
        if reopened is not None and not precedes(reopened.snd_nxt, iss):
            iss = add(reopened.snd_nxt, REOPENED_ISS_LEAD)
        mss = self._mss[four_tuple.family]
        passive, rules, signer = opened_by is not None, self.config, None
        if self._authenticator is not None:
            signer = self._authenticator.signer_for(four_tuple, opened_by)
            rules = self._authenticator.rules_for(signer)
        tcb = Tcb(four_tuple, rules, iss=iss, ts_offset=ts_offset, rcv_mss=mss, passive=passive)
        tcb.signer = signer
        if self._paths and (path_mss := self._path_mss(now, four_tuple.remote_address)) is not None:
            tcb.path_mss = min(mss, path_mss)
        self._tcbs[four_tuple] = tcb
        if len(self._tcbs) > self._most_tcbs:
            self._most_tcbs = len(self._tcbs)
        return tcb

    def receive_error(self, now: float, error: PathError) -> list[Action]:
        """Judge an ICMP error about a segment of ours; see `xsocket.tcp.patherrors`."""
        tcb = self._tcbs.get(error.four_tuple)
        if tcb is None:
            return [Dropped(error.four_tuple, None, DropReason.ICMP_NO_CONNECTION)]
        before = tcb.path_mss
        out = self._call(tcb, lambda: machine.receive_error(tcb, now, error))
        if tcb.path_mss != before:
            self._remember_path(now, error.four_tuple.remote_address, tcb.path_mss)
        return out

    def _remember_path(self, now: float, remote: str, path_mss: int) -> None:
        self._paths.pop(remote, None)
        self._paths[remote] = path_mss, now + self.config.mtu_expires_s
        if len(self._paths) > MAX_PATHS:
            self._paths.popitem(last=False)

    def _path_mss(self, now: float, remote: str) -> int | None:
        """Return what is remembered of the path to *remote*."""
        known = self._paths.get(remote)
        if known is None:
            return None
        if known[1] <= now:
            del self._paths[remote]
            return None
        return known[0]

    # Calls

    def connect(self, now: float, four_tuple: FourTuple, text: bytes | None = None) -> list[Action]:
        """Open *four_tuple* actively.

        Args:
            now: Monotonic seconds.
            four_tuple: The connection.
            text: What to send first, as much of it as the send buffer holds; with Fast Open where that is
                possible. Even without a single octet that gets a cookie for the next time. None for no such
                attempt.

        Raises:
            AddressInUseError: There is such a connection already.
        """
        old = self._tcbs.get(four_tuple)
        out: list[Action] = []
        if old is not None:
            if not self.is_free(now, four_tuple):
                raise AddressInUseError(f"{four_tuple} exists already")
            out += self.abort(now, old)
        tcb = self._new(now, four_tuple, opened_by=None, reopened=old)
        if text is not None:
            tcb.fast_open = self._fast_client.propose(now, four_tuple, tcb.path_mss)
        out += machine.open_active(tcb, now, text or b"")
        self._schedule(tcb)
        return out

    def is_free(self, now: float, four_tuple: FourTuple) -> bool:
        """Whether `connect` would open *four_tuple*."""
        old = self._tcbs.get(four_tuple)
        return old is None or self._may_reuse(now, old)

    def _may_reuse(self, now: float, old: Tcb) -> bool:
        """RFC 6191 section 2 from the other side: our SYN's timestamp will show that it is a new one."""
        is_old = old.state is State.TIME_WAIT and old.timestamps and self.config.timestamps
        return is_old and self.config.tw_reuse and now - old.ts_recent_at > 1.0

    def send(self, now: float, tcb: Tcb, text: memoryview) -> tuple[int, list[Action]]:
        """See `xsocket.tcp.machine.send`."""
        taken, actions = machine.send(tcb, now, text)
        self._schedule(tcb)
        return taken, actions

    def receive_text(self, now: float, tcb: Tcb, most: int) -> tuple[bytes, list[Action]]:
        """See `xsocket.tcp.machine.receive`."""
        return machine.receive(tcb, now, most)

    def configure(self, now: float, tcb: Tcb, config: TcpConfig) -> list[Action]:
        """See `xsocket.tcp.machine.configure`."""
        return self._call(tcb, lambda: machine.configure(tcb, now, config))

    def close(self, now: float, tcb: Tcb) -> list[Action]:
        """See `xsocket.tcp.machine.close`: finish sending, go on reading."""
        return self._call(tcb, lambda: machine.close(tcb, now))

    def release(self, now: float, tcb: Tcb) -> list[Action]:
        """See `xsocket.tcp.machine.release`: finish sending, and nobody will read."""
        out = self._call(tcb, lambda: machine.release(tcb, now))
        if tcb.state in _ORPHANED:
            if len(self._orphans) >= self.config.max_orphans:
                out.append(Dropped(tcb.four_tuple, None, DropReason.ORPHANS_FULL))
                return out + self.abort(now, tcb)
            self._orphans[tcb.four_tuple] = now
        return out

    def abort(self, now: float, tcb: Tcb) -> list[Action]:
        """See `xsocket.tcp.machine.abort`."""
        return self._call(tcb, lambda: machine.abort(tcb, now, ConnectionAbortedError))

    def hand_over(self, now: float, tcb: Tcb) -> list[Action]:
        """Take a connection out of the tables; see `xsocket.tcp.handover.hand_over`."""
        del self._tcbs[tcb.four_tuple]
        return handover.hand_over(tcb, now)

    def take_back(self, now: float, tcb: Tcb, returned: Returned) -> list[Action]:
        """Put it there again; see `xsocket.tcp.handover.take_back`."""
        self._tcbs[tcb.four_tuple] = tcb
        out = handover.take_back(tcb, now, returned)
        self._schedule(tcb)
        return out

    def give_up(self, tcb: Tcb, error: type[OSError]) -> list[Action]:
        """See `xsocket.tcp.machine.give_up`."""
        return self._call(tcb, lambda: machine.give_up(tcb, error))

    def _call(self, tcb: Tcb, call: Callable[[], list[Action]]) -> list[Action]:
        out: list[Action] = []
        before = tcb.state
        out += call()
        if tcb.state is not before:
            self._follow(tcb, before)
        self._schedule(tcb)
        return out

    # Timers

    @property
    def deadline(self) -> float:
        """When `timers_fired` wants to be called next, monotonic seconds; infinite for never."""
        due = self._timers[0][0] if self._timers else inf
        return min(due, self._orphans_due) if self._orphans else due

    @property
    def _orphans_due(self) -> float:
        """When the oldest orphan has had its time."""
        after_s = self.config.orphan_timeout_s
        return next(iter(self._orphans.values())) + after_s if after_s and self._orphans else inf

    def timers_fired(self, now: float) -> list[Action]:
        """Act on every timer that has run out by *now*."""
        out: list[Action] = []
        while self._timers and self._timers[0][0] <= now:
            due, _, tcb = heappop(self._timers)
            if due != tcb.scheduled:
                continue  # an earlier entry took its place
            tcb.scheduled = inf
            if tcb.due <= now:
                waits = tcb.timer is Timer.RETRANSMISSION and tcb.deadline <= now
                out += self._call(tcb, lambda tcb=tcb: machine.timer_fired(tcb, now))  # type: ignore[misc]
                if waits and tcb.fast_open is not None and not tcb.passive:
                    self._fast_client.timed_out(now, tcb.retries, gave_up=tcb.state is State.CLOSED)
            else:
                self._schedule(tcb)
        while self._orphans_due <= now:
            oldest = self._tcbs[next(iter(self._orphans))]
            out.append(Dropped(oldest.four_tuple, None, DropReason.ORPHAN_TIMED_OUT))
            out += self.abort(now, oldest)
        return out

    def _schedule(self, tcb: Tcb) -> None:
        """See to it that the heap looks at *tcb* no later than its timer; a timer put off costs nothing."""
        due = tcb.due
        if due >= tcb.scheduled:
            return
        tcb.scheduled = due
        self._pushed += 1
        heappush(self._timers, (due, self._pushed, tcb))
        if len(self._timers) > 2 * len(self._tcbs) + 1024:
            self._forget_idle_timers()

    def _forget_idle_timers(self) -> None:
        """Take out of the heap what was put off, stopped or deleted since."""
        kept = []
        for entry in self._timers:
            due, _, tcb = entry
            if due != tcb.scheduled:
                continue
            if tcb.due == inf:
                tcb.scheduled = inf  # or its next timer would rely on this entry
            else:
                kept.append(entry)
        self._timers = kept
        heapify(self._timers)

    # Tables

    def _follow(self, tcb: Tcb, before: State) -> None:
        """Keep the tables true after *tcb* left the state *before*."""
        four_tuple = tcb.four_tuple
        if tcb.fast_open is not None:
            self._follow_fast_open(tcb, before)
        if before is State.SYN_RECEIVED:
            self._half_open.discard(four_tuple)
        elif before is State.TIME_WAIT:
            self._time_wait.pop(four_tuple, None)
        if tcb.state not in _ORPHANED:
            self._orphans.pop(four_tuple, None)
        if tcb.state is State.CLOSED:
            del self._tcbs[four_tuple]
        elif tcb.state is State.TIME_WAIT:
            self._time_wait[four_tuple] = tcb

    def _follow_fast_open(self, tcb: Tcb, before: State) -> None:
        assert tcb.fast_open is not None
        if tcb.passive:
            if self._fast_server is not None and (tcb.state is State.CLOSED or not tcb.syn_in_flight):
                self._fast_server.pending.discard(tcb.four_tuple)
        elif before is State.SYN_SENT and tcb.state is State.ESTABLISHED:
            self._fast_client.learn(tcb.four_tuple, tcb.fast_open)

    def _evict_from_time_wait(self, now: float, out: list[Action]) -> None:
        oldest = next(iter(self._time_wait.values()))
        out.append(Dropped(oldest.four_tuple, None, DropReason.TIME_WAIT_EVICTED))
        out += self.abort(now, oldest)


_POOL_FULL: Final = {"ignore": DropReason.POOL_FULL_IGNORED, "refuse": DropReason.POOL_FULL_REFUSED}
_ORPHANED: Final = frozenset(
    {State.SYN_RECEIVED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK}
)
"""Where a connection that its user has closed still waits for its peer."""


def _reopens(tcb: Tcb, now: float, segment: Segment) -> bool:
    return guards.in_other_states(tcb, now, segment, parse(segment.options)) is Trigger.SYN_REOPENS
