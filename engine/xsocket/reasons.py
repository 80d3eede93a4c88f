"""Why a frame or a segment was ignored: one name a cause, counted and shown, never raised."""

from enum import Enum


class DropReason(Enum):
    """A frame or segment changed nothing; the value says which rule ignored it.

    Before the colon stand sections of RFCs; where there are none, a field of `TcpConfig`, or the layer.
    """

    # Ethernet and neighbours
    FRAME_TOO_SHORT = "Ethernet: shorter than its headers"
    NOT_OUR_MAC = "Ethernet: for another station"
    UNKNOWN_ETHERTYPE = "Ethernet: neither IPv4, IPv6 nor ARP"
    OTHER_VLAN = "IEEE 802.1Q: tagged for a VLAN; this host knows only priority tags"
    ARP_MALFORMED = "RFC 826: bad hardware, protocol, length or operation"
    ARP_NOT_FOR_US = "RFC 826: target is not one of our addresses"
    # IPv4 and IPv6
    IP_BAD_VERSION = "RFC 1122 3.2.1.1, RFC 8200 3: version does not match the frame's type"
    IP_BAD_LENGTH = "RFC 791 3.1, RFC 8200 3: header or total length disagrees with the frame"
    IP_BAD_CHECKSUM = "RFC 1122 3.2.1.2: header checksum"
    IP_FRAGMENT = "RFC 1122 3.3.2, RFC 8200 4.5: fragment; this host does not reassemble"
    IP_BAD_EXTENSION = "RFC 8200 4, RFC 8504 5.3: extension header chain malformed or too long"
    IP_NOT_OUR_ADDRESS = "RFC 1122 3.2.1.3: destination is not one of our addresses"
    IP_UNKNOWN_PROTOCOL = "RFC 1122 3.2.2.1: neither TCP nor ICMP; this host does not say so"
    SOURCE_IS_MULTICAST = "RFC 9293 3.9.2.3: source is a multicast address"
    SOURCE_IS_BROADCAST = "RFC 9293 3.9.2.3: source is a broadcast address"
    SOURCE_IS_OURS = "RFC 1122 3.2.1.3: source is one of our own addresses"
    SOURCE_IS_UNSPECIFIED = "RFC 1122 3.2.1.3: source is the unspecified or a loopback address"
    SOURCE_IS_IPV4_MAPPED = "RFC 4291 2.5.5.2: an IPv4-mapped address never stands on the wire"
    DESTINATION_IS_MULTICAST = "RFC 9293 3.9.2.3: TCP to a multicast or broadcast address"
    # ICMP
    ICMP_BAD_CHECKSUM = "RFC 792, RFC 4443: checksum"
    ICMP_MALFORMED = "RFC 792, RFC 4443: shorter than its fields"
    ICMP_TOO_BIG = "RFC 1122 3.2.2.6: the echo reply would exceed the link's MTU"
    ICMP_IGNORED = "RFC 1122 3.2.2, RFC 4443 2.4: a type this host does not act on"
    ND_MALFORMED = "RFC 4861 7.1: hop limit, code, length, options or target invalid"
    ND_NOT_FOR_US = "RFC 4861 7.2.3: target is not one of our addresses"
    ICMP_NO_CONNECTION = "RFC 5927 4: quotes a segment of no connection of ours"
    ICMP_NOT_IN_FLIGHT = "RFC 5927 4.1: quotes a number that is not in flight"
    ICMP_UNAUTHENTICATED = "RFC 5925 7.8: cannot end or narrow a connection that TCP-AO protects"
    ICMP_NOTED = "RFC 9293 3.9.2.2: noted, in case the peer never answers"
    ICMP_MTU_TOO_SMALL = "RFC 8201 4: less than the least MTU of IPv6"
    ICMP_MTU_NOT_SMALLER = "RFC 1191 3: no less than what we send already"
    # The neighbour table
    NEIGHBOUR_QUEUE_FULL = "RFC 1122 2.3.2.2: too many frames wait for one address"
    NEIGHBOUR_UNREACHABLE = "RFC 4861 7.2.2: no answer to our solicitations"
    NEIGHBOUR_UNSOLICITED = "RFC 4861 7.2.5: an advertisement nobody asked for"
    ADDRESS_CONFLICT = "RFC 5227 2.4: another station claims one of our addresses"
    NEIGHBOUR_TABLE_FULL = "neighbour table: full of addresses in use"
    NO_ROUTE = "RFC 1122 3.3.1.1: no network of ours holds the address and there is no gateway"
    # TCP header
    TCP_TOO_SHORT = "RFC 9293 3.1: shorter than its header"
    TCP_BAD_OFFSET = "RFC 9293 3.1: data offset below 5 or past the end"
    TCP_BAD_CHECKSUM = "RFC 9293 3.1: checksum"
    TCP_PORT_ZERO = "RFC 6335 6: port 0 is reserved"
    # The kernel beside us
    PORT_IS_KERNELS = "the kernel: it has the address, too, and the port is not one of the engine's"
    HANDED_OVER = "the kernel: the connection is a kernel socket now"
    # Signatures
    SIGNATURE_MISSING = "RFC 2385 2, RFC 5925 7.3: not signed, and a key protects the connection"
    SIGNATURE_UNEXPECTED = "RFC 5925 7.3: signed, and no key of ours protects the connection"
    SIGNATURE_MALFORMED = "RFC 5925 2.2: two signatures, or one of a wrong length"
    SIGNATURE_KEY_UNKNOWN = "RFC 5925 7.5: the KeyID names no key of the connection"
    SIGNATURE_WRONG = "RFC 2385 2, RFC 5925 7.5: the digest is wrong"
    # Nobody's segments, and SYNs
    RST_FOR_NOBODY = "RFC 9293 3.10.7.1: a reset is not answered"
    RST_IN_LISTEN = "RFC 9293 3.10.7.2 first"
    SYN_WITH_FIN = "RFC 9293 3.10.7.2 third: SYN and FIN together; Linux is silent too"
    NO_CONTROL_IN_LISTEN = "RFC 9293 3.10.7.2 fourth"
    ADMISSION_IGNORES = "Admission: ignored by policy"
    HALF_OPEN_FULL = "RFC 4987 2.2: half-open table full, SYN ignored"
    SOURCE_HALF_OPEN_FULL = "max_syn_backlog_per_source: the source has its share of the half-open table"
    HALF_OPEN_EVICTED = "RFC 4987 3.4: half-open table full, the oldest made room"
    COOKIE_INVALID = "RFC 4987 3.6: the ACK brings back no SYN cookie of ours, or an old one"
    TIME_WAIT_EVICTED = "max_tw_buckets: the oldest in TIME-WAIT made room"
    CONNECTIONS_FULL = "max_connections: table full; SYN, or ACK of a SYN cookie, ignored"
    ORPHANS_FULL = "max_orphans: too many closed connections still wait for their peers"
    ORPHAN_TIMED_OUT = "orphan_timeout_s: the peer let a closed connection take too long, so it was reset"
    POOL_FULL_IGNORED = "pool_policy: pool full, final ACK ignored, the peer will retry"
    POOL_FULL_REFUSED = "pool_policy: pool full, refused with RST"
    POOL_FULL_EVICTED = "pool_policy: pool full, the oldest waiting connection made room"
    POOL_TIMED_OUT = "pool_timeout_s: nobody claimed the connection in time, so it was reset"
    # SYN-SENT
    ACK_NOT_OURS = "RFC 9293 3.10.7.3 first: acknowledges what was never sent, with RST"
    RST_WITHOUT_ACK = "RFC 9293 3.10.7.3 second: the reset does not acknowledge our SYN"
    NEITHER_SYN_NOR_RST = "RFC 9293 3.10.7.3 fifth"
    # Other states
    RST_CHALLENGED = "RFC 9293 3.10.7.4 second, 3): in the window, not at RCV.NXT"
    RST_OUTSIDE_WINDOW = "RFC 9293 3.10.7.4 second, 1)"
    SYN_CHALLENGED = "RFC 9293 3.10.7.4 fourth: SYN on a synchronized connection"
    PAWS = "RFC 7323 5.3 R1: timestamp older than the last"
    TIMESTAMP_MISSING = "RFC 7323 3.2: no timestamp where timestamps were agreed on"
    RST_IN_TIME_WAIT = "RFC 1337 3: no reset ends TIME-WAIT"
    MISSING_ACK = "RFC 9293 3.10.7.4 fifth: no ACK bit"
    OUTSIDE_WINDOW = "RFC 9293 3.10.7.4 first"
    ACK_UNSENT = "RFC 9293 3.10.7.4 fifth: acknowledges what was never sent"
    ACK_TOO_OLD = "RFC 5961 5.2: acknowledgment older than the largest window"
    TEXT_AFTER_FIN = "RFC 9293 3.10.7.4 seventh: text after the peer's FIN"
    TEXT_AFTER_CLOSE = "RFC 9293 3.6.1: text for a connection whose user has gone"
    OUT_OF_ORDER_FULL = "RFC 9293 3.10.7.4 first: out of order, with too many gaps before it"
    CHALLENGE_RATE = "RFC 5961 7: an acknowledgment was due too soon after the last"
    CHALLENGE_LIMIT = "RFC 5961 7: this period has had its challenge ACKs"

    __hash__ = object.__hash__
