"""The ways of Linux 6.18 that the shadows follow, each with the rule that it departs from, and why."""

from __future__ import annotations

from typing import Final

from xsocket_tools.fuzzing.deviations.mechanism import Way
from xsocket_tools.fuzzing.oracle.habits import Habit

OPENING: Final = (
    Way(
        Habit.SYN_TEXT_IS_DROPPED,
        "RFC 9293 3.10.7.2 third",
        "The RFC lets an implementation keep such text until the connection is established. Linux keeps "
        "none, and does not acknowledge it, so that the peer sends it again.",
        "tcp_conn_request, tcp_rcv_synsent_state_process",
    ),
    Way(
        Habit.SYN_IS_REPEATED,
        "RFC 7323 2.2, RFC 2018 2, RFC 9293 3.7.1",
        "Linux answers a SYN in SYN-SENT with its own SYN once more, to which the ACK bit is added, and "
        "keeps its options. A SYN+ACK may only offer what the peer's SYN has offered, and an MSS that fits "
        "the path as it is known by then; the window is even scaled afterwards.",
        "tcp_rcv_synsent_state_process, tcp_send_synack",
        "scale-in-simultaneous-open",
    ),
    Way(
        Habit.ECHO_IS_CHECKED,
        "RFC 7323 3.2",
        "Linux compares TSecr with the timestamps that its SYN or SYN+ACK had. RFC 7323 leaves that open, "
        "and RFC 9293 has no such check. What it said in an ACK before the third segment is not among them.",
        "tcp_check_req, tcp_rcv_synsent_state_process",
        "echo-of-an-acknowledgment",
    ),
    Way(
        Habit.CAPABLE_SYN_IS_REFUSED,
        "RFC 3168 6.1.1",
        "No SYN may be ECN-capable. What comes of one that asks for ECN nevertheless the RFC leaves open; "
        "Linux does not agree.",
        "tcp_ecn_create_request",
    ),
    Way(
        Habit.SYN_ACK_IS_SCALED,
        "RFC 7323 2.2",
        "The window of a segment with SYN is never scaled. What establishes a connection in SYN-RECEIVED "
        "has none in Linux' eyes, and a simultaneous open is established by a SYN+ACK.",
        "tcp_rcv_state_process",
        "window-of-a-simultaneous-syn-ack",
    ),
    Way(
        Habit.SYN_ACK_HAS_STAMP,
        "RFC 7323 4.3",
        "In a simultaneous open the SYN+ACK goes through the same steps as any segment in the window, and "
        "leaves its timestamp there.",
        "tcp_rcv_state_process, tcp_replace_ts_recent",
    ),
    Way(
        Habit.SYN_IS_TEXT,
        "RFC 5961 5.2",
        "How far back an acknowledgment may lie is bounded by what was acknowledged so far. For a "
        "connection that was opened actively Linux counts its SYN as well, as it starts the count there.",
        "tcp_ack, tcp_connect_init",
    ),
    Way(
        Habit.MSS_BY_PATH,
        "RFC 9293 3.7.1",
        "The MSS option should say what the own link takes. Linux says no more than the path to the peer "
        "takes, as paths are mostly the same in both directions.",
        "ipv4_default_advmss, ip6_default_advmss, tcp_advertise_mss",
    ),
    Way(
        Habit.ONE_BACKLOG,
        "tcp_max_syn_backlog",
        "The limit of a listener is the argument of `listen`, for half-open and for waiting connections "
        "alike. A SYN that finds the queue of waiting ones full is dropped, as is the third segment.",
        "tcp_conn_request, inet_csk_reqsk_queue_is_full, sk_acceptq_is_full",
    ),
    Way(
        Habit.COOKIE_MSS,
        "RFC 4987 3.6",
        "Two bits of a cookie are the index of one of four MSS: 536, 1,300, 1,440 and 1,460, or 1,220, "
        "1,440, 1,480 and 8,940 for IPv6. It is the largest that is not above the peer's, or the first of "
        "all.",
        "cookie_init_sequence, __cookie_v4_check",
    ),
    Way(
        Habit.COOKIE_IS_A_SUM,
        "RFC 4987 3.6",
        "A cookie is a hash of addresses and ports plus the peer's number. Whoever adds the same to both "
        "numbers of a third segment that is right has another one that is right.",
        "secure_tcp_syn_cookie, check_tcp_syn_cookie",
    ),
    Way(
        Habit.LATE_SHUTDOWN,
        "RFC 9293 3.10.4",
        "The RFC queues CLOSE in SYN-SENT and SYN-RECEIVED. A FIN that was asked for by `shutdown` before "
        "the connection is established goes when it is; `close` afterwards finds that it was.",
        "tcp_shutdown, tcp_rcv_state_process",
    ),
    Way(
        Habit.CWR_IS_ACCURATE,
        "RFC 3168 6.1.1",
        "With tcp_ecn=1 the SYN asks for the ECN of RFC 3168, to which a SYN+ACK with CWR means no. Linux "
        "reads in it that the peer agrees to accurate ECN, for which it has not asked.",
        "tcp_ecn_rcv_synack",
        "accurate-ecn-that-nobody-asked-for",
    ),
    Way(
        Habit.PORTS_TAKE_TIME_WAIT,
        "RFC 6191 2",
        "With tcp_tw_reuse=1 whoever opens from a port of his own choice takes a connection over that has "
        "been in TIME-WAIT for a second and had timestamps. The SYN echoes the timestamp of that one, where "
        "RFC 7323 section 3.2 wants zero.",
        "tcp_twsk_unique, tcp_connect",
    ),
)

SEGMENTS: Final = (
    Way(
        Habit.EDGES_COUNT,
        "RFC 9293 3.10.7.4 first",
        "Linux is more generous than table 6: what ends at the left edge, or begins at the right one, is "
        "acceptable. It ends where the window did when it was largest, and more text than fits is taken if "
        "there is room.",
        "tcp_sequence, tcp_in_window, tcp_data_queue",
    ),
    Way(
        Habit.LARGE_WINDOW,
        "RFC 9293 3.8.6",
        "The window begins with all of the buffer. Where no window is scaled the peer is told "
        "65,535, and what it sends beyond that is taken all the same.",
        "tcp_select_initial_window, tcp_select_window",
    ),
    Way(
        Habit.OLDER_BY_ONE,
        "RFC 7323 5.3 R1",
        "Linux lets a timestamp pass that is one older than the last, for peers whose clocks are not in "
        "step with one another. Half the circle away is newer.",
        "tcp_paws_check, TCP_PAWS_WINDOW",
    ),
    Way(
        Habit.STAMPS_FIRST,
        "RFC 7323 5.2",
        "A reset must not be dropped for an old timestamp. Linux does so where it keeps little of a "
        "connection (half-open, in TIME-WAIT, and of an orphan in FIN-WAIT-2), on purpose, and for a minute "
        "after the last timestamp.",
        "tcp_check_req, tcp_timewait_state_process, tcp_paws_reject",
        "old-timestamps-of-resets",
    ),
    Way(
        Habit.OLD_ACKS_HAVE_NO_STAMP,
        "RFC 7323 4.3",
        "Whether a timestamp is noted depends on the sequence number in the RFC. Linux looks at it after "
        "the acknowledgment, and only if that is not older than SND.UNA.",
        "tcp_ack, tcp_replace_ts_recent, tcp_timewait_state_process",
    ),
    Way(
        Habit.WINDOW_BY_ACK,
        "RFC 9293 3.10.7.4 fifth",
        "The RFC takes the window of what is not older than the last update, by number and acknowledgment. "
        "Linux takes it of any new acknowledgment; with the same numbers only a larger one, or one that "
        "shuts. What the peer's SYN has said of its largest window is forgotten with the third segment.",
        "tcp_may_update_window, tcp_rcv_state_process",
    ),
    Way(
        Habit.PREDICTION,
        "RFC 9293 3.10.7.4 fifth",
        "On the fast path neither the window is taken, which is the same as before, nor noted of which "
        "segment it was. Text goes that way only if memory for it was set aside before, which nobody can "
        "see.",
        "tcp_rcv_established",
    ),
    Way(
        Habit.SHRUNK_WINDOW,
        "RFC 9293 3.8.6",
        "What is sent without text has SND.NXT as its number. If the peer has shrunk its window behind "
        "that, it would not be acceptable, so Linux takes the end of the window, unless it is off by less "
        "than one unit of scale.",
        "tcp_acceptable_seq",
    ),
    Way(
        Habit.FIN_IN_BLOCKS,
        "RFC 2018 3",
        "A FIN takes a number, and Linux counts it in the blocks of what has come past a gap. The RFC "
        "speaks of data.",
        "tcp_data_queue_ofo, tcp_sack_new_ofo_skb",
    ),
    Way(
        Habit.FIN_IN_WINDOW,
        "RFC 9293 3.8.6",
        "The FIN takes a number, which has to be in the window of the peer. Linux sends it when the text "
        "behind which it stands has gone, and waits for the window before that.",
        "tcp_send_fin, tcp_write_xmit",
    ),
    Way(
        Habit.CUT_WHEN_GIVEN,
        "RFC 9293 3.7.4",
        "Text is cut into segments of the size that is right when it is given; a segment that is short "
        "since then goes as it is. Nagle's algorithm holds the last one back, and no other.",
        "tcp_sendmsg_locked, tcp_nagle_test",
    ),
    Way(
        Habit.LEAST_WITH_STAMPS,
        "RFC 9293 3.7.1",
        "A peer's MSS of less than 48 octets is taken for 48 (CVE-2019-11479), of which timestamps take 12.",
        "tcp_mtu_to_mss, tcp_current_mss",
    ),
    Way(
        Habit.SIGNATURE_FIRST,
        "RFC 5925 7.3, RFC 2385 2",
        "A kernel that knows signatures drops a segment with one for which there is no key, as it does one "
        "whose options it cannot read to the end. RFC 9293 ignores options that were not agreed on.",
        "tcp_inbound_hash, tcp_parse_auth_options",
    ),
    Way(
        Habit.RESETS_NEED_SEARCH,
        "RFC 9293 3.5.2",
        "A segment for nobody is answered by a reset. Linux sends none if it should sign it and has no key, "
        "or cannot read the options.",
        "tcp_v4_send_reset, tcp_v6_send_reset",
    ),
    Way(
        Habit.LIMITED_CHALLENGES,
        "RFC 5961 7",
        "tcp_invalid_ratelimit is for segments without text, to break loops of acknowledgments. Challenge "
        "ACKs are limited by it in any case, and so is a SYN+ACK that a SYN asks for again.",
        "tcp_send_challenge_ack, __tcp_oow_rate_limited, tcp_check_req",
    ),
    Way(
        Habit.PORT_ZERO,
        "RFC 6335 6",
        "Port 0 is reserved, but no RFC says what to do with a segment that has it. Linux treats it as any "
        "other.",
        "__inet_lookup_skb",
    ),
    Way(
        Habit.LONG_PADDING,
        "RFC 8200 4.2",
        "Padding of more than seven octets is not needed, and may hide something: Linux drops the packet.",
        "ip6_parse_tlv",
    ),
)

PATHS: Final = (
    Way(
        Habit.ERRORS_OF_REQUESTS,
        "RFC 9293 3.9.2.2",
        "An error that is no hard one should not end an attempt to open a connection. Linux drops a "
        "half-open one, as the peer's next SYN makes another. What says that a port or protocol is not "
        "reached ends only those over IPv6.",
        "tcp_v4_err, tcp_v6_err, tcp_req_err",
    ),
    Way(
        Habit.ZERO_MTU_IS_LEAST,
        "RFC 1191 5",
        "Old routers say no MTU. The RFC has a table from which to guess; Linux takes the least (min_pmtu).",
        "__ip_rt_update_pmtu",
    ),
    Way(
        Habit.ERRORS_AT_NEXT,
        "RFC 5927 4.1",
        "An error counts if the number that it quotes was sent and is not acknowledged. Linux takes SND.NXT "
        "as well.",
        "tcp_v4_err, tcp_v6_err",
    ),
    Way(
        Habit.PATH_IS_SHARED,
        "RFC 1191 6.3",
        "Every connection with the host goes by what one of them has learnt, from its next segment on.",
        "tcp_current_mss, inet_csk_update_pmtu",
    ),
    Way(
        Habit.PATH_BELOW_MSS,
        "RFC 8201 4",
        "Over IPv6 an error says something new only if its MTU is less than what the segments are made for "
        "now, which a small window may have made smaller before.",
        "tcp_v6_mtu_reduced, tcp_mtu_to_mss",
    ),
)

ENDING: Final = (
    Way(
        Habit.NO_ACK_IN_TIME_WAIT,
        "RFC 9293 3.10.7.4 fifth",
        "Linux does not keep in TIME-WAIT what was acknowledged, and so cannot challenge an acknowledgment.",
        "tcp_timewait_state_process",
    ),
    Way(
        Habit.LOW_BITS,
        "RFC 9293 3.8.6",
        "The window may be larger than 65,535 though none is scaled, and only 65,535 is said. In TIME-WAIT, "
        "and of an orphan in FIN-WAIT-2, its lower 16 bits are said instead, which may be nothing at all.",
        "tcp_v4_timewait_ack, tcp_v6_timewait_ack",
        "window-in-time-wait",
    ),
    Way(
        Habit.ORPHANS_HAVE_NO_BLOCKS,
        "RFC 2018 4",
        "What has come past a gap is thrown away when the user closes, with the blocks of it.",
        "tcp_time_wait, tcp_v4_timewait_ack",
    ),
    Way(
        Habit.FULL_TIME_WAIT,
        "tcp_max_tw_buckets",
        "The sysctl bounds what is kept in TIME-WAIT and of orphans in FIN-WAIT-2. Where that is full a "
        "connection is gone at once; the RFC has no such bound.",
        "inet_twsk_alloc, tcp_time_wait",
    ),
    Way(
        Habit.END_IS_SAID_FIRST,
        "RFC 9293 3.10.3",
        "Once the peer has finished, RECEIVE says the end of the text, and forgets that a reset came behind "
        "it.",
        "tcp_recvmsg_locked, tcp_reset",
    ),
)

LINUX_WAYS: Final = (*OPENING, *SEGMENTS, *PATHS, *ENDING)
