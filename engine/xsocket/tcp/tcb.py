"""The transmission control block: what one connection remembers, by the RFC's names. Data and small sums."""

from math import inf

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.seqnum import MASK, add, distance
from xsocket.state import State, Timer
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.ecn import Ecn
from xsocket.tcp.fastopen import FastOpenState
from xsocket.tcp.retransmission import RetransmissionQueue
from xsocket.tcp.rto import RoundTrip, backed_off
from xsocket.tcp.signers import Signer
from xsocket.tcp.stream import ReceiveQueue, SendQueue
from xsocket.tcp.usertimeout import MARGIN_S, UserTimeoutState

MAX_UNSCALED_WINDOW = 65_535
LEAST_PROBE_S = 0.01
"""No tail loss probe comes sooner, however short the round trip: neither end is so punctual."""
TS_RECENT_LIFE_S = 24 * 86_400
"""How long a timestamp can be compared with a later one before the numbers have wrapped: RFC 7323 5.5."""


class Tcb:
    """One connection (RFC 9293 section 3.3.1). Only `xsocket.tcp.machine` changes it.

    Sequence numbers are 32-bit; windows and sizes are octets, already scaled; instants are monotonic seconds.

    Attributes:
        four_tuple: Which connection it is.
        config: The rules it plays by.
        state: Where it stands.
        passive: Whether a passive open made it: a SYN came first.
        iss, irs: Initial sequence numbers, ours and the peer's.
        snd_una, snd_nxt: Oldest number not acknowledged; next number that was never sent.
        acked: Octets the peer has acknowledged.
        snd_wnd, snd_wl1, snd_wl2: The peer's window, and the segment that last updated it.
        max_snd_wnd: The largest window the peer ever offered (RFC 5961 section 5).
        snd_mss: Largest text we may send in one segment, options of every segment deducted.
        path_mss: Largest text the path carries in a segment without options, as far as we know.
        rcv_nxt: Next number expected.
        rcv_adv: Right edge of the window we advertised; it never moves back.
        rcv_mss: Largest text we told the peer to send.
        scaled: Whether window scale was agreed on (RFC 7323 section 2).
        snd_wscale, rcv_wscale: The shift counts then; 0 otherwise.
        sack: Whether SACK was agreed on (RFC 2018).
        timestamps: Whether timestamps were agreed on (RFC 7323 section 3).
        ts_offset: What is added to our millisecond clock to make TSval.
        ts_recent: TS.Recent, the peer's TSval to echo.
        ts_recent_at: When that was kept; it is worth nothing after 24 days (RFC 7323 section 5.5).
        last_ack_sent: Last.ACK.sent (RFC 7323 section 4.3).
        sending: Text not acknowledged or not sent yet; None while there never was any.
        receiving: Text not read yet; None while there never was any.
        probed_to: The number after a tail loss probe whose outcome is open; None without one.
        probe_is_old: Whether the last such probe was text sent again.
        measured_since_probe: Whether a round trip was measured after it, or ever if there was none.
        came_twice: Edges of text that came again, to be reported once (RFC 2883); None if there is none.
        retransmission: Segments sent and not acknowledged; None while nothing was sent. SYNs are not in it.
        congestion: The congestion window; None while nothing was sent.
        initial_segments: How many segments it begins with.
        sent_at: When text or a FIN was last sent.
        fast_open: What it has of Fast Open; None where neither end tries it.
        user_timeout: What it has of the user timeout option; None where that is not in use.
        ecn: What it has of explicit congestion notification; None where that was not agreed on.
        signer: Signs our segments and judges the peer's; None where no key protects the connection.
        closing: Whether the user has asked for a FIN.
        fin_sent: Whether that FIN has gone out at least once; it then holds the last number before SND.NXT.
        fin_at: Number of the peer's FIN when it came before the text in front of it; None otherwise.
        user_gone: Whether nobody will read any more (the user called close).
        error: What the user gets told, None if nothing went wrong.
        soft_error: What the network said of the path since the peer was heard last; the reason, should it
            never answer.
        timer, deadline: The timer that runs, and when it fires; infinite while none runs.
        ack_at: When an acknowledgment that may wait has waited long enough; infinite when none waits.
        scheduled: When the stack will look at the timer; infinite when it will not.
        rto_s: Retransmission timeout, not backed off.
        round_trip: What was measured of the path.
        retries: Retransmissions since the peer last acknowledged something new; they double the timeout.
        unanswered: Those of them since the peer last answered at all, or keep-alive probes; they end in
            giving up.
        waiting_since: Since when the peer has acknowledged nothing new although it should.
        heard_at: When the last segment came from the peer.
        short_right: The number after the last segment sent that was short (`TcpConfig.minshall`).
        largest_text: The largest text that came in one segment, octets.
        quickacks: How many acknowledgments still go without delay.
        timed: Number and instant of the segment whose round trip is being timed, without timestamps.
        ack_due: The rule by which an acknowledgment is owed that waits for the batch to end; None if none is.
        invalid_at: When an unacceptable segment was last answered.
        challenges: The period of the last challenge ACK, and how many more it may have.
        established_at: When it was established, or its user got it before that by Fast Open; None before.
    """

    __slots__ = (
        "ack_at",
        "ack_due",
        "acked",
        "came_twice",
        "challenges",
        "closing",
        "config",
        "congestion",
        "deadline",
        "ecn",
        "error",
        "established_at",
        "fast_open",
        "fin_at",
        "fin_sent",
        "four_tuple",
        "heard_at",
        "initial_segments",
        "invalid_at",
        "irs",
        "iss",
        "largest_text",
        "last_ack_sent",
        "max_snd_wnd",
        "measured_since_probe",
        "passive",
        "path_mss",
        "probe_is_old",
        "probed_to",
        "quickacks",
        "rcv_adv",
        "rcv_mss",
        "rcv_nxt",
        "rcv_wscale",
        "receiving",
        "retransmission",
        "retries",
        "round_trip",
        "rto_s",
        "sack",
        "scaled",
        "scheduled",
        "sending",
        "sent_at",
        "short_right",
        "signer",
        "snd_mss",
        "snd_nxt",
        "snd_una",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "snd_wscale",
        "soft_error",
        "state",
        "timed",
        "timer",
        "timestamps",
        "ts_offset",
        "ts_recent",
        "ts_recent_at",
        "unanswered",
        "user_gone",
        "user_timeout",
        "waiting_since",
    )

    def __init__(
        self,
        four_tuple: FourTuple,
        config: TcpConfig,
        *,
        iss: int,
        ts_offset: int,
        rcv_mss: int,
        passive: bool,
    ) -> None:
        self.four_tuple = four_tuple
        self.config = config
        self.state = State.CLOSED
        self.passive = passive
        self.iss = self.snd_una = self.snd_nxt = iss
        self.irs = self.rcv_nxt = self.rcv_adv = self.last_ack_sent = 0
        self.acked = 0
        self.snd_wnd = self.max_snd_wnd = self.snd_wl1 = self.snd_wl2 = 0
        self.snd_mss = self.rcv_mss = self.path_mss = rcv_mss
        self.snd_wscale = self.rcv_wscale = 0
        self.sack = self.timestamps = self.scaled = False
        self.ts_offset, self.ts_recent, self.ts_recent_at = ts_offset, 0, 0.0
        self.sending: SendQueue | None = None
        self.receiving: ReceiveQueue | None = None
        self.came_twice: tuple[int, int] | None = None
        self.probed_to: int | None = None
        self.probe_is_old = self.measured_since_probe = False
        self.congestion: NewReno | None = None
        self.initial_segments, self.sent_at = config.initial_cwnd, 0.0
        self.retransmission: RetransmissionQueue | None = None
        self.signer: Signer | None = None
        self.fast_open: FastOpenState | None = None
        self.user_timeout = UserTimeoutState() if config.user_timeout_option else None
        self.ecn: Ecn | None = None
        self.closing = self.fin_sent = self.user_gone = False
        self.ack_due: str | None = None
        self.fin_at: int | None = None
        self.error: type[OSError] | None = None
        self.soft_error: type[OSError] | None = None
        self.timer: Timer | None = None
        self.deadline = self.ack_at = self.scheduled = inf
        self.rto_s = config.initial_rto_s
        self.round_trip: RoundTrip | None = None
        self.retries = self.unanswered = 0
        self.waiting_since = self.heard_at = 0.0
        self.short_right: int | None = None
        self.largest_text = 0
        self.quickacks = config.quickacks
        self.timed: tuple[int, float] | None = None
        self.invalid_at: float | None = None
        self.challenges: tuple[int, int] | None = None
        self.established_at: float | None = None

    @property
    def rcv_wnd(self) -> int:
        """The receive window as the peer knows it: octets from RCV.NXT to the edge we advertised."""
        return distance(self.rcv_nxt, self.rcv_adv)

    @property
    def flight(self) -> int:
        """Sequence numbers sent and not acknowledged."""
        return distance(self.snd_una, self.snd_nxt)

    @property
    def syn_in_flight(self) -> bool:
        """Whether our SYN has not been acknowledged; 2**32 octets later SND.UNA is at ISS once more."""
        return self.snd_una == self.iss and not self.acked

    @property
    def unsent(self) -> int:
        """Octets of text the user gave that were never sent."""
        if self.sending is None:
            return 0
        return 0 if self.fin_sent else distance(self.snd_nxt, self.sending.right)

    @property
    def unread(self) -> int:
        """Octets of text the user can read."""
        return len(self.receiving) if self.receiving is not None else 0

    @property
    def peer_finished(self) -> bool:
        """Whether the peer's FIN has been reached: after what is unread, the stream ends."""
        return self.state in _AFTER_PEERS_FIN

    @property
    def writable(self) -> bool:
        """Whether the user may still give text."""
        return self.state in _BEFORE_OUR_FIN and not self.closing

    def timestamp(self, now: float) -> int:
        """TSval at *now*: milliseconds plus this connection's own offset (RFC 7323 sections 4.1, 7.1)."""
        return (int(now * 1000) + self.ts_offset) & MASK

    @property
    def current_rto_s(self) -> float:
        """The retransmission timeout, backed off, seconds."""
        return backed_off(self.rto_s, self.retries, self.config.max_rto_s)

    @property
    def adopted_s(self) -> float | None:
        """The user timeout that the peer's option has set; None without one. In synchronized states only."""
        if self.user_timeout is None or self.state in _HANDSHAKE:
            return None
        return self.user_timeout.adopted_s(self.config, self.current_rto_s)

    @property
    def user_timeout_s(self) -> float:
        """How long text may go unacknowledged, seconds; 0 for as long as it is sent again."""
        return self.adopted_s or self.config.user_timeout_s

    @property
    def keepalive_time_s(self) -> float:
        """Silence before the first keep-alive probe: longer than an adopted user timeout (RFC 5482 4.2)."""
        adopted_s = self.adopted_s
        time_s = self.config.keepalive_time_s
        return time_s if adopted_s is None else max(time_s, adopted_s + MARGIN_S)

    @property
    def due(self) -> float:
        """When a timer runs out next; infinite for never."""
        return self.deadline if self.deadline < self.ack_at else self.ack_at

    def start_timer(self, timer: Timer, now: float, after_s: float) -> None:
        """Let *timer* run out *after_s* seconds from *now*, in place of whatever timer ran."""
        self.timer, self.deadline = timer, now + after_s

    def start_retransmission(self, now: float) -> None:
        """Start the retransmission timer, backed off, or that of a tail loss probe, if one comes before.

        Against a closed window it is the persist timer.
        """
        # As long as our SYN is not acknowledged it is what goes again, even if CLOSE came before that.
        is_open = self.state not in _HANDSHAKE and not self.syn_in_flight
        shut = is_open and (self.snd_wnd == 0 or not self.flight)
        if self.timer not in _WATCH_THE_PEER:
            self.unanswered = 0  # it counted keep-alive probes
            self.waiting_since = now
        doublings = self.retries
        if self.state is State.SYN_SENT:
            doublings = max(0, doublings - self.config.syn_linear_timeouts)
        due = min(now + backed_off(self.rto_s, doublings, self.config.max_rto_s), self.gives_up_at)
        timer = Timer.PERSIST if shut else Timer.RETRANSMISSION
        if timer is Timer.RETRANSMISSION and (probe_s := self._loss_probe_s()) < due - now:
            self.start_timer(Timer.LOSS_PROBE, now, probe_s)
        else:
            self.timer, self.deadline = timer, max(now, due)

    @property
    def gives_up_at(self) -> float:
        """When the user timeout ends the wait for an acknowledgment, infinite without one.

        An instant, and the same number each time: of a difference rounding could make "not yet" at the very
        instant for which the timer is set, over and over.
        """
        user_timeout_s = self.user_timeout_s
        return self.waiting_since + user_timeout_s if user_timeout_s else inf

    def let_probe_come_first(self, now: float) -> None:
        """More text went: a tail loss probe may come before the retransmission timer that runs already."""
        if self.timer is Timer.RETRANSMISSION and (probe_s := self._loss_probe_s()) < self.deadline - now:
            self.start_timer(Timer.LOSS_PROBE, now, probe_s)

    def _loss_probe_s(self) -> float:
        """When a tail loss probe is due (RFC 8985 section 7.2); infinite where the RFC wants none.

        With one segment in flight the peer may delay its acknowledgment: as in Linux for as long as the least
        retransmission timeout.
        """
        queue, window = self.retransmission, self.congestion
        if not (self.sack and self.config.loss_probe) or queue is None or window is None:
            return inf
        is_open = window.recover is None and not self.retries and not queue.sacked and self.probed_to is None
        if not is_open or self.round_trip is None or not self.measured_since_probe:
            return inf
        delayed_s = self.config.min_rto_s if len(queue) == 1 else 0.0
        return max(2 * self.round_trip.srtt, LEAST_PROBE_S) + delayed_s

    def rest(self, now: float) -> None:
        """Nothing is in flight: stop the timer, or let it watch for a peer that vanishes."""
        if self.config.keepalive and self.state in _KEPT_ALIVE:
            self.unanswered = 0
            self.start_timer(Timer.KEEP_ALIVE, now, self.keepalive_time_s)
        else:
            self.stop_timer()

    def stop_timer(self) -> None:
        """Let no timer run but that of the delayed acknowledgment."""
        self.timer, self.deadline = None, inf

    def window_to_offer(self) -> int:
        """Return how far the window may reach past RCV.NXT now, octets; never less than was offered.

        Small advances are not worth an update: RFC 9293 section 3.8.6.2.2 (silly window avoidance).
        """
        largest, room = MAX_UNSCALED_WINDOW << self.rcv_wscale, self.config.rmem
        if self.config.rmem_max and self.unread + 1 == distance(self.irs, self.rcv_nxt):
            # Nobody has read yet, and the kernel may get the connection. Linux begins with as much, and
            # reckons from what is read in the first round trip how large the buffer has to be.
            room = min(room, MAX_UNSCALED_WINDOW)
        free = min(max(0, room - self.unread), largest)
        offered = self.rcv_wnd
        worthwhile = min(self.rcv_mss, self.config.rmem // 2)
        return free if free - offered >= worthwhile else offered

    def advertise(self) -> int:
        """Move the right edge and return the window field for the header, scaled (RFC 7323 section 2.3)."""
        field = min(self.window_to_offer() >> self.rcv_wscale, MAX_UNSCALED_WINDOW)
        edge = field << self.rcv_wscale
        if edge > self.rcv_wnd:
            self.rcv_adv = add(self.rcv_nxt, edge)
        self.last_ack_sent = self.rcv_nxt
        return field


def snapshot(tcb: Tcb) -> Info:
    """Return what *tcb* holds at this moment."""
    congestion, path, timeout = tcb.congestion, tcb.round_trip, tcb.user_timeout
    return Info(
        state=tcb.state,
        passive=tcb.passive,
        iss=tcb.iss,
        snd_una=tcb.snd_una,
        snd_nxt=tcb.snd_nxt,
        snd_wnd=tcb.snd_wnd,
        snd_wl1=tcb.snd_wl1,
        snd_wl2=tcb.snd_wl2,
        snd_mss=tcb.snd_mss,
        snd_wscale=tcb.snd_wscale if tcb.scaled else None,
        irs=tcb.irs,
        rcv_nxt=tcb.rcv_nxt,
        rcv_wnd=tcb.rcv_wnd,
        rcv_mss=tcb.rcv_mss,
        rcv_wscale=tcb.rcv_wscale if tcb.scaled else None,
        sack=tcb.sack,
        timestamps=tcb.timestamps,
        cwnd=congestion.cwnd if congestion is not None else None,
        ssthresh=congestion.ssthresh if congestion is not None else None,
        srtt_s=path.srtt if path is not None else None,
        rttvar_s=path.rttvar if path is not None else None,
        rto_s=tcb.rto_s,
        retries=tcb.retries,
        timer=tcb.timer,
        deadline=tcb.deadline,
        unacknowledged=len(tcb.sending) if tcb.sending is not None else 0,
        unsent=tcb.unsent,
        unread=tcb.unread,
        authentication=tcb.signer.info if tcb.signer is not None else None,
        fast_open=tcb.fast_open.info if tcb.fast_open is not None else None,
        user_timeout=timeout.info(tcb.config, tcb.current_rto_s) if timeout is not None else None,
        ecn=tcb.ecn.info if tcb.ecn is not None else None,
        soft_error=tcb.soft_error,
        error=tcb.error,
    )


_HANDSHAKE = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
_KEPT_ALIVE = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2})
_WATCH_THE_PEER = frozenset({Timer.RETRANSMISSION, Timer.LOSS_PROBE, Timer.PERSIST})
_AFTER_PEERS_FIN = frozenset({State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT, State.CLOSED})
_BEFORE_OUR_FIN = frozenset({State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT})
