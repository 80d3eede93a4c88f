"""TCP_INFO as a mapping: the fields of struct tcp_info by their names in linux/tcp.h. Pure.

Linux gives octets; of an engine's connection there are the fields that it has the equivalent of.
"""

from __future__ import annotations

import struct
import sys
from typing import Final

from xsocket import State, TcpConfig
from xsocket.info import Info
from xsocket.seqnum import distance

_OCTETS: Final = (
    "tcpi_state",
    "tcpi_ca_state",
    "tcpi_retransmits",
    "tcpi_probes",
    "tcpi_backoff",
    "tcpi_options",
)
_BITS: Final = (
    ("tcpi_snd_wscale", 6, 0, 4),
    ("tcpi_rcv_wscale", 6, 4, 4),
    ("tcpi_delivery_rate_app_limited", 7, 0, 1),
    ("tcpi_fastopen_client_fail", 7, 1, 2),
)
"""Name, octet, first bit and width, where the first bit is the lowest, as on little-endian machines."""
_FIRST_WORD: Final = 8
_WORDS: Final = (
    ("I", "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets"),
    ("I", "last_data_sent last_ack_sent last_data_recv last_ack_recv"),
    ("I", "pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering"),
    ("I", "rcv_rtt rcv_space total_retrans"),
    ("Q", "pacing_rate max_pacing_rate bytes_acked bytes_received"),
    ("I", "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out"),
    ("Q", "delivery_rate busy_time rwnd_limited sndbuf_limited"),
    ("I", "delivered delivered_ce"),
    ("Q", "bytes_sent bytes_retrans"),
    ("I", "dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash"),
    ("H", "total_rto total_rto_recoveries"),
    ("I", "total_rto_time received_ce"),
    ("I", "delivered_e1_bytes delivered_e0_bytes delivered_ce_bytes"),
    ("I", "received_e1_bytes received_e0_bytes received_ce_bytes"),
    ("H", "accecn_fail_mode accecn_opt_seen"),
)
"""What follows, in order, by size; a kernel has as much of it as there was when it was made."""
_STATES: Final = {
    State.ESTABLISHED: 1,
    State.SYN_SENT: 2,
    State.SYN_RECEIVED: 3,
    State.FIN_WAIT_1: 4,
    State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6,
    State.CLOSED: 7,
    State.CLOSE_WAIT: 8,
    State.LAST_ACK: 9,
    State.LISTEN: 10,
    State.CLOSING: 11,
}
"""Their numbers in linux/tcp_states.h."""
_NEVER_REACHED: Final = 0x7FFFFFFF
"""The slow start threshold of Linux before there was any loss, segments."""
_FIELDS: Final = tuple((f"tcpi_{name}", size) for size, names in _WORDS for name in names.split())


def parsed(data: bytes) -> dict[str, int]:
    """Return the fields of struct tcp_info that *data* holds whole; older kernels give fewer."""
    found = {name: data[at] for at, name in enumerate(_OCTETS) if at < len(data)}
    for name, at, low, width in _BITS:
        if at < len(data):
            shift = low if sys.byteorder == "little" else 8 - low - width
            found[name] = data[at] >> shift & (1 << width) - 1
    at = _FIRST_WORD
    for name, kind in _FIELDS:
        size = struct.calcsize(kind)
        at += -at % size  # each stands at a multiple of its size
        if at + size > len(data):
            break
        (found[name],) = struct.unpack_from(kind, data, at)
        at += size
    return found


def of_engine(info: Info, config: TcpConfig) -> dict[str, int]:
    """Return the fields of a connection of the engine's."""
    flight = distance(info.snd_una, info.snd_nxt)
    options = info.timestamps | info.sack << 1 | (info.snd_wscale is not None) << 2
    options |= (info.ecn is not None) << 3
    options |= (info.fast_open is not None and info.fast_open.syn_data_acked > 0) << 5
    mss = max(info.snd_mss, 1)
    return {
        "tcpi_state": _STATES[info.state],
        "tcpi_retransmits": info.retries,
        "tcpi_backoff": info.retries,
        "tcpi_options": options,
        "tcpi_snd_wscale": info.snd_wscale or 0,
        "tcpi_rcv_wscale": info.rcv_wscale or 0,
        "tcpi_rto": round(info.rto_s * 1e6),
        "tcpi_snd_mss": info.snd_mss,
        "tcpi_rcv_mss": info.rcv_mss,
        "tcpi_unacked": -(-flight // mss),
        "tcpi_rtt": round((info.srtt_s or 0) * 1e6),
        "tcpi_rttvar": round((info.rttvar_s or 0) * 1e6),
        "tcpi_snd_ssthresh": _ssthresh(info.ssthresh, mss),
        "tcpi_snd_cwnd": config.initial_cwnd if info.cwnd is None else info.cwnd // mss,
        "tcpi_advmss": info.rcv_mss,
        "tcpi_reordering": config.reordering,
        "tcpi_notsent_bytes": max(0, info.unacknowledged - flight),
        "tcpi_snd_wnd": info.snd_wnd,
        "tcpi_rcv_wnd": info.rcv_wnd,
    }


def _ssthresh(octets: int | None, mss: int) -> int:
    return _NEVER_REACHED if octets is None or octets >= 1 << 30 else octets // mss
