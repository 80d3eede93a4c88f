"""Cases by seed: about half of them follow a valid handshake, lead somewhere, and then deviate.

Case *n* of a seed is the same whatever came before it, so that a campaign can be cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final, TypeVar

from xsocket.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from xsocket_tools.fuzzing.case import (
    DAMAGES,
    ICMP_KINDS,
    NEXT,
    ODDITIES,
    Call,
    Case,
    Icmp,
    Operation,
    Place,
    Say,
    Tick,
    rules_of,
)
from xsocket_tools.fuzzing.cast import OPENED, PEERS, SERVED
from xsocket_tools.fuzzing.profiles import BASE, rules_for

T = TypeVar("T")

MOST_DEVIATIONS: Final = 8
AIMED: Final = 0.12
"""Which share of the cases leads a connection into a state drawn evenly, and puts one segment to it there."""


def _weighted(*choices: tuple[int, T]) -> tuple[T, ...]:
    """Return a table in which each choice stands as often as its weight says."""
    return tuple(choice for weight, choice in choices for _ in range(weight))


_FLAGS: Final = _weighted(
    (30, ACK),
    (10, ACK | PSH),
    (9, ACK | FIN),
    (9, SYN),
    (6, SYN | ACK),
    (7, RST),
    (5, RST | ACK),
    (2, FIN),
    (2, 0),
    (2, SYN | FIN),
    (1, SYN | RST),
    (1, SYN | FIN | ACK),
    (1, SYN | RST | ACK),
    (1, RST | FIN),
    (1, PSH),
    (1, URG),
    (1, ACK | URG),
    (1, ACK | PSH | FIN),
    (1, SYN | ECE | CWR),
    (1, 0xFF),
    (1, SYN | PSH),
)
_SEQUENCES: Final = _weighted(
    (50, NEXT),
    (8, Place("old")),
    (7, Place("duplicate")),
    (4, Place("start")),
    (3, Place("left")),
    (4, Place("right")),
    (5, Place("beyond")),
    (3, Place("far")),
    (2, Place("wrapped")),
    (1, Place("zero")),
    (6, Place("next", 1)),
    (3, Place("next", 3)),
    (4, Place("next", 100)),
    (1, Place("right", -1)),
    (1, Place("beyond", 1)),
    (1, Place("start", 1)),
    (1, Place("next", -2)),
    (1, Place("wrapped", 1)),
    (1, Place("wrapped", -1)),
)
_ACKS: Final = _weighted(
    (55, NEXT),
    (9, Place("duplicate")),
    (5, Place("old")),
    (4, Place("start")),
    (4, Place("left")),
    (4, Place("below")),
    (8, Place("beyond")),
    (3, Place("far")),
    (3, Place("wrapped")),
    (1, Place("zero")),
    (2, Place("beyond", 100)),
    (2, Place("next", -1)),
    (1, Place("wrapped", 1)),
    (1, Place("wrapped", -1)),
    (1, Place("duplicate", 1)),
    (1, Place("duplicate", 1460)),
    (1, Place("duplicate", 536)),
    (1, Place("other")),
)
_TEXTS: Final = _weighted((5, 1), (2, 2), (3, 10), (2, 100), (2, 536), (2, 1000), (2, 1400))
_WINDOWS: Final = _weighted((16, 65_535), (2, 0), (2, 1), (2, 10), (2, 1000), (1, 5840), (1, 200))
_TWISTS: Final = (*DAMAGES, *ODDITIES)
_SECONDS: Final = _weighted(
    *((2, each) for each in (0.001, 0.02, 0.05, 0.1, 0.21, 0.5, 1.0, 1.1, 2.0, 3.0, 7.5)),
    *((1, each) for each in (15.0, 31.0, 59.9, 60.1, 63.5, 65.0, 128.5, 200.0, 700.0)),
)
_SIZES: Final = _weighted((4, 1), (3, 10), (3, 100), (2, 1460), (2, 3000), (1, 5000), (1, 40_000))
_CALLS: Final = _weighted(
    (7, "claim"),
    (2, "claim any"),
    (6, "send"),
    (6, "receive"),
    (4, "shutdown"),
    (5, "close"),
    (3, "abort"),
    (2, "open"),
)
_MTUS: Final = (0, 68, 296, 552, 576, 1000, 1280, 1400, 1492, 1500, 9000)
_QUOTED: Final = _weighted((8, 20), (3, 8), (1, 4), (1, 0))

_COOKIES: Final = ("tfo", "tfo cookie", "tfo cookie", "tfo wrong", "tfo other")
_SYN_OPTIONS: Final = _weighted(
    (3, ()),
    (5, ("mss 1460",)),
    (6, ("mss 1460", "sackok", "ts", "nop", "wscale 7")),
    (3, ("mss 1460", "sackok", "ts")),
    (3, ("mss 1400", "nop", "wscale 2")),
    (2, ("mss 1460", "sackok")),
    (1, ("mss 536", "ts")),
    (1, ("sackok", "nop", "nop")),
)
_MSSES: Final = (0, 1, 12, 40, 47, 48, 49, 64, 100, 536, 1220, 1440, 1459, 1460, 1461, 8940, 65_535)
_SHIFTS: Final = (0, 1, 2, 7, 13, 14, 15, 16, 31, 255)
_ODD_TOKENS: Final = (
    "raw 02",  # a kind without a length
    "raw 0200",
    "raw 0201",
    "raw 020205b4",
    "raw 020305b4",
    "raw 020505b400",
    "raw 02ff05b4",
    "raw 0300",
    "raw 0302",
    "raw 030407",
    "raw 0402",
    "raw 040300",
    "raw 0500",
    "raw 0502",
    "raw 0506000000010000",
    "raw 0800",
    "raw 080200",
    "raw 0809000000010000000000",
    "raw 080b00000001000000000000",
    "raw 0100",
    "raw 00ffffff",
    "raw fe02",
    "raw fe0400ff",
    "raw 1302",
    "raw 2202",
    "raw 2203ff",
    "raw 2204aabb",
    "raw 220411",
    "raw ff02",
    "raw ff00",
    "raw 22",
    "raw 03",
    "raw 08",
    "nop",
    "eol",
    "ts",
    "sackok",
    "tfo",
    "tfo wrong",
    "tfo cookie",
    "uto 100",
    "sack 0-1",
)
_KINDS: Final = (
    *((2, 4), (3, 3), (4, 2), (5, 10), (5, 34), (8, 10), (14, 3), (19, 18), (28, 4), (29, 16), (30, 12)),
    *((34, 2), (34, 10), (34, 18), (69, 4), (172, 11), (174, 5), (253, 4), (254, 4), (255, 2), (77, 6)),
)
"""Kinds of options, known and not, with the length that each has (RFC 9293 section 3.2, and the registry)."""
_STAMPS: Final = _weighted(
    (12, "ts"),
    (2, "ts same"),
    (3, "ts old"),
    (2, "ts older"),
    (1, "ts far"),
    (2, "ts ahead"),
    (1, "ts zero echo"),
    (1, "ts wrong echo"),
)


class Generator:
    """Makes the cases of a seed.

    Args:
        seed: Of all of them.
        rules: Rules that every case has, whatever else it has.
        peers: Which peers may take part; all without it.
    """

    def __init__(
        self, seed: int, rules: Sequence[tuple[str, Any]] = (), peers: Sequence[int] = range(len(PEERS))
    ) -> None:
        self.seed = seed
        self._rules = dict(rules)
        self._served = tuple(each for each in SERVED if each in peers)
        self._opened = tuple(each for each in OPENED if each in peers)

    def case(self, number: int) -> Case:
        """Return case *number* of the seed, counted from 0."""
        return _Maker(Random((self.seed << 40) + number), self._served, self._opened).case(self._rules)

    def cases(self, first: int = 0) -> Iterator[Case]:
        """Yield the cases from *first* on, without end."""
        number = first
        while True:
            yield self.case(number)
            number += 1


class _Maker:
    """Makes one case."""

    def __init__(self, random: Random, served: Sequence[int], opened: Sequence[int]) -> None:
        self._random = random
        self._chance = random.random
        self._served, self._opened = served, opened
        self._stamps: set[int] = set()

    def _pick(self, table: Sequence[T]) -> T:
        return table[int(self._chance() * len(table))]

    def case(self, given: dict[str, Any]) -> Case:
        """Make it."""
        rules = rules_for(self._random)
        rules.update(given)
        self._rules = rules
        if self._chance() < AIMED:
            return self._aimed()
        cast = self._cast()
        operations: list[Operation] = []
        for peer in cast[: 1 if self._chance() < 0.8 else len(cast)]:
            if self._chance() < 0.75:
                operations += self._pick(self._ways())(self, peer)
        for _ in range(1 + int(self._chance() * MOST_DEVIATIONS)):
            operations.append(self._deviation(self._pick(cast) if self._chance() < 0.3 else cast[0]))
            if self._chance() < 0.12:
                operations += self._pick(_FLOWS)(self, cast[0])
        isn = self._pick((0xFFFF_FFC0, 0xFFFF_FFFF, 0, 0x7FFF_FFF0, self._random.getrandbits(32)))
        return Case(tuple(operations), rules_of(rules), isn, self._random.getrandbits(32))

    def _ways(self) -> Sequence[_Way]:
        """Return the ways to begin; half of the time those that are for a rule that the case has."""
        if self._chance() < 0.5:
            for name, ways in _WAYS_FOR.items():
                if name in self._rules and self._rules[name] != BASE.get(name):
                    return ways
        return _WAYS

    def _aimed(self) -> Case:
        """Lead a connection somewhere, and put segments to it that only their numbers tell apart."""
        self._rules = dict(BASE)
        table = self._opened if self._opened and self._chance() < 0.3 else self._served
        peer = self._pick(table)
        operations = self._pick(_LEADS)(self, peer)
        kind = self._pick(_AIMED_FLAGS)
        text = 1 if kind & PSH else 0
        for _ in range(1 + int(self._chance() * 3)):
            seq, ack = self._pick(_AIMED_SEQUENCES), self._pick(_AIMED_ACKS)
            operations.append(Say(peer, kind, seq, ack, text, self._valid_options(peer)))
        return Case(tuple(operations), rules_of(self._rules), 0xFFFF_FFC0, self._random.getrandbits(32))

    def _cast(self) -> list[int]:
        all_of_them = (*self._served, *self._opened)
        first = self._pick(self._served if self._chance() < 0.72 or not self._opened else self._opened)
        others = [each for each in all_of_them if each != first and self._chance() < 0.3]
        return [first, *others]

    # What is valid

    def _options(self, peer: int) -> tuple[str, ...]:
        return (self._pick(_STAMPS) if self._chance() < 0.3 else "ts",) if peer in self._stamps else ()

    def _valid_options(self, peer: int) -> tuple[str, ...]:
        return ("ts",) if peer in self._stamps else ()

    def _syn(self, peer: int, flags: int = SYN) -> Say:
        options = self._pick(_SYN_OPTIONS)
        if self._chance() < 0.15:
            options = (f"mss {self._pick(_MSSES)}", *options[1:])
        if self._chance() < 0.1:
            options = (*options, f"wscale {self._pick(_SHIFTS)}")
        if self._chance() < 0.08:
            options = (*options[:1], self._odd_token(), *options[1:])
        if self._rules["ecn"] and self._chance() < 0.7:
            flags |= ECE | CWR
        if self._rules["fastopen"] & 2 and self._chance() < 0.7:
            options = (*options[:2], self._pick(_COOKIES))
        self._note_stamps(peer, options)
        text = self._pick(_TEXTS) if self._chance() < 0.1 else 0
        return Say(peer, flags, NEXT, NEXT, text, options, self._pick(_WINDOWS))

    def _note_stamps(self, peer: int, options: tuple[str, ...]) -> None:
        if "ts" in options:
            self._stamps.add(peer)
        else:
            self._stamps.discard(peer)

    def _ack(self, peer: int, flags: int = ACK, text: int = 0, ack: Place = NEXT) -> Say:
        window = 65_535 if self._chance() < 0.8 else self._pick(_WINDOWS)
        return Say(peer, flags, NEXT, ack, text, self._valid_options(peer), window)

    def _handshake(self, peer: int) -> list[Operation]:
        if peer in self._opened:
            opened: list[Operation] = [Call(peer, "open", self._pick(_SIZES) if self._chance() < 0.1 else 0)]
            if self._chance() < 0.25:  # simultaneous
                return [*opened, self._syn(peer), self._pick((self._ack(peer), self._syn_ack_again(peer)))]
            return [*opened, self._syn(peer, SYN | ACK)]
        shaken: list[Operation] = [self._syn(peer), self._ack(peer)]
        if self._chance() < 0.06:
            shaken.insert(1, Tick(self._pick(_SECONDS)))
        return [*shaken, Call(peer, "claim")] if self._chance() < 0.85 else shaken

    def _syn_ack_again(self, peer: int) -> Say:
        return Say(peer, SYN | ACK, Place("start"), NEXT, 0, self._valid_options(peer))

    def _half_open(self, peer: int) -> list[Operation]:
        if peer in self._opened:
            return [Call(peer, "open")] if self._chance() < 0.6 else [Call(peer, "open"), self._syn(peer)]
        return [self._syn(peer)]

    def _talk(self, peer: int) -> list[Operation]:
        said = self._handshake(peer)
        for _ in range(1 + int(self._chance() * 3)):
            said += self._pick(_FLOWS)(self, peer)
        return said

    def _flow_in(self, peer: int) -> list[Operation]:
        return [
            self._ack(peer, ACK | PSH, self._pick(_TEXTS)),
            Call(peer, "receive", self._pick((1, 100, 9000))),
        ]

    def _flow_out(self, peer: int) -> list[Operation]:
        sent: list[Operation] = [Call(peer, "send", self._pick(_SIZES))]
        if self._chance() < 0.4:
            sent.append(Tick(self._pick(_SECONDS)))
        return [*sent, self._ack(peer)] if self._chance() < 0.8 else sent

    def _gap(self, peer: int) -> list[Operation]:
        size = self._pick((1, 10, 100))
        late = Say(peer, ACK, Place("next", size), NEXT, self._pick((1, 10, 100)), self._valid_options(peer))
        again = Say(peer, ACK, Place("next", 3 * size), NEXT, size, self._valid_options(peer))
        filling = self._ack(peer, ACK, size)
        return self._pick(([late, filling], [late, again, filling], [again, late, filling], [late, late]))

    def _lost(self, peer: int) -> list[Operation]:
        """What is sent is lost for a while; what comes after it shows what was learnt."""
        return [
            Call(peer, "send", self._pick((1, 100, 1460, 3000))),
            Tick(self._pick((0.3, 0.7, 1.5, 3.5))),
            self._ack(peer, ack=self._pick((NEXT, NEXT, Place("duplicate", 1460)))),
            Call(peer, "send", self._pick((1, 100, 1460))),
            Tick(self._pick((0.21, 1.1, 3.0))),
        ]

    def _in_parts(self, peer: int) -> list[Operation]:
        """Acknowledge a part of what was sent, and wait for the rest to come again."""
        return [
            Call(peer, "send", 3000),
            Tick(0.1),
            self._ack(peer, ack=Place("duplicate", 1460)),
            Tick(self._pick((0.11, 0.15, 0.25, 0.5))),
        ]

    def _zero_window(self, peer: int) -> list[Operation]:
        """Close the window, answer the probes, and open it again or not."""
        options = self._valid_options(peer)
        shut = Say(peer, ACK, NEXT, Place("duplicate"), 0, options, 0)
        said: list[Operation] = [Call(peer, "send", self._pick((10, 1460))), shut._replace(ack=NEXT)]
        said.append(Call(peer, "send", self._pick((1, 100))))
        if self._chance() < 0.5:
            said.append(Call(peer, "close"))
        for _ in range(1 + int(self._chance() * 5)):
            said += [Tick(self._pick((0.5, 1.0, 3.0))), shut]
        return said if self._chance() < 0.5 else [*said, self._ack(peer)]

    def _small_window(self, peer: int) -> list[Operation]:
        """A window of one, whatever that is with its scale."""
        small = Say(peer, ACK, NEXT, NEXT, 0, self._valid_options(peer), 1)
        return [Call(peer, "send", 1), small, Call(peer, "send", 40_000)]

    def _narrow_path(self, peer: int) -> list[Operation]:
        """What was sent is too big for the path."""
        icmp = Icmp(peer, "too big", Place("duplicate"), self._pick(_MTUS))
        later: tuple[list[Operation], ...] = ([], [Tick(700.0)], [Tick(1.0)])
        sent = Call(peer, "send", self._pick((1460, 3000)))
        return [sent, icmp, self._ack(peer), *self._pick(later), Call(peer, "send", 3000)]

    def _marked(self, peer: int) -> list[Operation]:
        """Text with a mark of congestion, and then without."""
        text = self._ack(peer, ACK | PSH, self._pick((1, 100)))
        flags = self._pick((ACK | PSH, ACK | PSH | CWR))
        return [text._replace(ecn=self._pick((2, 3, 3))), text, text._replace(flags=flags), text]

    def _trickle(self, peer: int) -> list[Operation]:
        """Short segments, one after the other."""
        return [Call(peer, "send", self._pick((1, 10, 100))) for _ in range(3)]

    def _error_and_end(self, peer: int) -> list[Operation]:
        """An error of the path, perhaps a sign of life, and then the end; its user wants to know why."""
        kind = self._pick(("net unreachable", "host unreachable", "port unreachable", "prohibited"))
        life: tuple[list[Operation], ...] = ([], [self._ack(peer), Call(peer, "send", 10)])
        ends: tuple[Operation, ...] = (Tick(2_000.0), Say(peer, RST, NEXT, NEXT))
        asks = Call(peer, self._pick(("send", "receive")), 10)
        return [Call(peer, "send", 10), Icmp(peer, kind), *self._pick(life), self._pick(ends), asks]

    def _wait(self, peer: int) -> list[Operation]:
        del peer
        return [Tick(self._pick(_SECONDS))]

    def _fin_wait_1(self, peer: int) -> list[Operation]:
        return [*self._handshake(peer), Call(peer, "claim"), Call(peer, self._pick(("shutdown", "close")))]

    def _fin_wait_2(self, peer: int) -> list[Operation]:
        return [*self._fin_wait_1(peer), self._ack(peer)]

    def _time_wait(self, peer: int) -> list[Operation]:
        return [*self._fin_wait_2(peer), self._ack(peer, ACK | FIN)]

    def _closing(self, peer: int) -> list[Operation]:
        return [*self._fin_wait_1(peer), self._ack(peer, ACK | FIN, ack=Place("duplicate"))]

    def _close_wait(self, peer: int) -> list[Operation]:
        return [*self._handshake(peer), self._ack(peer, ACK | FIN)]

    def _last_ack(self, peer: int) -> list[Operation]:
        return [*self._close_wait(peer), Call(peer, "claim"), Call(peer, self._pick(("shutdown", "close")))]

    def _reopening(self, peer: int) -> list[Operation]:
        way: list[Operation] = [*self._time_wait(peer)]
        if self._chance() < 0.3:
            way.append(Tick(self._pick((0.5, 1.5, 61.0))))
        return [*way, self._syn(peer)]

    def _syn_again(self, peer: int) -> list[Operation]:
        """The SYN comes again, and the third segment late or never."""
        if peer in self._opened:
            return self._late_crossing(peer)
        syn = self._syn(peer)
        again = syn._replace(seq=Place("start"))
        first, second = (Tick(self._pick((0.5, 1.5, 2.5, 10.0))) for _ in range(2))
        ends: tuple[list[Operation], ...] = ([], [self._ack(peer)], [again, Tick(63.0)])
        return [syn, first, again, second, *self._pick(ends)]

    def _late_crossing(self, peer: int) -> list[Operation]:
        """A SYN crosses ours after that has gone several times."""
        first, second = (Tick(self._pick((0.5, 1.5, 3.5, 6.0))) for _ in range(2))
        return [Call(peer, "open", self._pick((0, 1))), first, self._syn(peer), second]

    def _refused(self, peer: int) -> list[Operation]:
        """An attempt to open is refused; its user wants to know why."""
        kind = self._pick(("net unreachable", "port unreachable", "prohibited", "time exceeded"))
        ends: tuple[Operation, ...] = (Icmp(peer, kind), Say(peer, RST | ACK, NEXT, NEXT), Tick(200.0))
        opened: list[Operation] = [Call(peer, "open")] if peer in self._opened else self._half_open(peer)
        return [*opened, self._pick(ends), Call(peer, self._pick(("send", "receive")), 10)]

    def _taken_over(self, peer: int) -> list[Operation]:
        """A connection in TIME-WAIT, and the user who opens it again."""
        return [*self._time_wait(peer), Tick(self._pick((0.5, 0.9, 1.1, 2.0))), Call(peer, "open")]

    def _old_stamp(self, peer: int) -> list[Operation]:
        """Silence for longer than timestamps are worth anything, or nearly so."""
        self._stamps.add(peer)
        syn = Say(peer, SYN, NEXT, NEXT, 0, ("mss 1460", "ts"))
        opening: list[Operation] = [syn, Say(peer, ACK, NEXT, NEXT, 0, ("ts",))]
        if peer in self._opened:
            opening = [Call(peer, "open"), syn._replace(flags=SYN | ACK)]
        late = Say(peer, ACK, NEXT, NEXT, 1, ("ts older",))
        return [*opening, Tick(self._pick((2_000_000.0, 2_200_000.0))), late]

    def _borrowed(self, peer: int) -> list[Operation]:
        """What one peer was told, another one says."""
        numbers = Say(self._pick(self._served), ACK, Place("other"), Place("other"))
        return [self._syn(peer), numbers, numbers._replace(peer=self._pick(self._served), options=("ts",))]

    def _late_cookie(self, peer: int) -> list[Operation]:
        """A cookie that comes back in the next period of its key, or later."""
        before, between = Tick(self._pick((30.0, 60.0))), Tick(self._pick((1.0, 10.0, 35.0, 65.0)))
        return [before, self._syn(peer), between, self._ack(peer), Call(peer, "claim")]

    def _probed_orphan(self, peer: int) -> list[Operation]:
        """A closed window before a user who has gone, and a peer that answers each probe."""
        shut = Say(peer, ACK, NEXT, NEXT, 0, self._valid_options(peer), 0)
        said = [*self._handshake(peer), Call(peer, "claim"), Call(peer, "send", 100), shut]
        said += [Call(peer, "send", 100), Call(peer, "close")]
        for _ in range(2 + int(self._chance() * 3)):
            said += [Tick(self._pick((0.25, 0.5, 1.0))), shut._replace(ack=Place("duplicate"))]
        return said

    def _orphaned(self, peer: int) -> list[Operation]:
        """Several connections whose user goes, one after the other."""
        said: list[Operation] = []
        for each in self._served:
            said += [*self._handshake(each), Call(each, "close")]
            if self._chance() < 0.4:
                said.append(self._ack(each))
            if self._chance() < 0.3:
                said.append(self._ack(each, ACK | FIN))
        del peer
        return said

    def _challenged(self, peer: int) -> list[Operation]:
        """Several connections that are challenged at the same time."""
        said: list[Operation] = []
        cast = [peer, *self._served[:2]]
        for each in cast:
            said += self._handshake(each)
        for _ in range(3):
            for each in cast:
                blind = (
                    Say(each, RST, Place("next", 1), NEXT),
                    Say(each, SYN, NEXT, NEXT),
                    Say(each, ACK, NEXT, Place("beyond")),
                )
                said += [self._pick(blind) for _ in range(2)]
        return said

    def _marks(self, peer: int) -> list[Operation]:
        """A connection on a path that marks."""
        return [*self._handshake(peer), *self._marked(peer), *self._marked(peer)]

    def _long_silence(self, peer: int) -> list[Operation]:
        """A connection that rests, and probes that are answered or not."""
        said = self._handshake(peer)
        for _ in range(1 + int(self._chance() * 3)):
            said += [Tick(self._pick((0.9, 1.1, 2.5, 5.5))), *self._pick(([], [self._ack(peer)]))]
        return said

    def _patience(self, peer: int) -> list[Operation]:
        """A peer that acknowledges a little now and then, and no more."""
        said = [*self._handshake(peer), Call(peer, "send", self._pick((3000, 5000)))]
        for _ in range(1 + int(self._chance() * 3)):
            part = self._ack(peer, ack=Place("duplicate", self._pick((536, 1000, 1460))))
            said += [Tick(self._pick((0.3, 0.4, 2.0, 2.5, 15.0))), part]
        return [*said, Tick(self._pick((0.3, 2.0, 4.0)))]

    def _forgotten_path(self, peer: int) -> list[Operation]:
        """A path that was narrow once, and another connection on it later."""
        first = [*self._handshake(peer), Call(peer, "send", 3000)]
        first += [
            Icmp(peer, "too big", Place("duplicate"), self._pick((576, 1280, 1400))),
            Call(peer, "abort"),
        ]
        return [
            *first,
            Tick(self._pick((500.0, 601.0, 700.0))),
            *self._handshake(peer),
            Call(peer, "send", 3000),
        ]

    def _unclaimed(self, peer: int) -> list[Operation]:
        """Connections that nobody claims, or not in time."""
        del peer
        said: list[Operation] = []
        for each in self._served[:2]:
            said += [self._syn(each), self._ack(each), Tick(self._pick((1.0, 7.5, 15.0, 31.0)))]
        return [*said, Tick(self._pick((15.0, 31.0, 65.0))), Call(self._pick(self._served), "claim")]

    def _open_wide(self, peer: int) -> list[Operation]:
        """Windows with every scale."""
        options = ("mss 1460", f"wscale {self._pick(_SHIFTS)}")
        self._stamps.discard(peer)
        syn = Say(peer, SYN, NEXT, NEXT, 0, options)
        opened: list[Operation] = [syn, self._ack(peer), Call(peer, "claim")]
        if peer in self._opened:
            opened = [Call(peer, "open"), syn._replace(flags=SYN | ACK)]
        return [*opened, *self._small_window(peer)]

    def _again(self, peer: int) -> list[Operation]:
        """A SYN, the same a while later, and so on: sequence numbers of one 4-tuple over time."""
        reset = Say(peer, RST, NEXT, NEXT)
        return [self._syn(peer), reset, Tick(self._pick(_SECONDS)), self._syn(peer), reset, self._syn(peer)]

    def _crowd(self, peer: int) -> list[Operation]:
        """Several connections at once, up to the limits."""
        said: list[Operation] = []
        for each in self._served:
            said.append(self._syn(each))
            if self._chance() < 0.6:
                said.append(self._ack(each))
        if self._chance() < 0.4:
            acks = [self._ack(each) for each in self._served]
            said = [*(self._syn(each) for each in self._served), *(ack._replace(joined=True) for ack in acks)]
        said.append(Call(self._pick(self._served), "claim"))
        del peer
        return said

    def _fast(self, peer: int) -> list[Operation]:
        """Ask for a Fast Open cookie, and use it."""
        if peer not in self._served:
            return self._fast_client(peer)
        asking = Say(peer, SYN, NEXT, NEXT, 0, ("mss 1460", "tfo"))
        if self._chance() < 0.2:
            asking = asking._replace(options=("mss 1460", "tfo", "raw 2203ff"))
        if self._chance() < 0.3:
            other = self._pick(self._served)
            options = ("mss 1460", "tfo other")
            self._stamps.discard(other)
            return [asking, Say(other, SYN, NEXT, NEXT, 1, options), Call(other, "claim")]
        fast = Say(peer, SYN, NEXT, NEXT, self._pick((0, 1, 10, 100)), ("mss 1460", "tfo cookie"))
        self._stamps.discard(peer)
        return [asking, Say(peer, RST, NEXT, NEXT), fast, Call(peer, "claim")]

    def _fast_client(self, peer: int) -> list[Operation]:
        """Be given a cookie, and let the next connection carry it."""
        answer = Say(peer, SYN | ACK, NEXT, NEXT, 0, ("mss 1460", "raw 220aa1b2c3d4e5f60718"))
        self._stamps.discard(peer)
        second = answer._replace(options=("mss 1460",), ack=self._pick((NEXT, Place("start", 1))))
        sizes = (self._pick((0, 1, 100)), self._pick((1, 100, 1460)))
        first: list[Operation] = [Call(peer, "open", sizes[0]), answer, Say(peer, RST, NEXT, NEXT)]
        return [*first, Call(peer, "open", sizes[1]), *self._pick(([], [Tick(1.5)])), second]

    # What deviates

    def _deviation(self, peer: int) -> Operation:
        chance = self._chance()
        if chance < 0.68:
            return self._said(peer)
        if chance < 0.84:
            return self._call(peer)
        return Tick(self._pick(_SECONDS)) if chance < 0.95 else self._icmp(peer)

    def _said(self, peer: int) -> Say:
        chance = self._chance()
        flags = self._pick(_FLAGS)
        if flags & SYN and not flags & ACK and chance < 0.5:
            said = self._syn(peer, flags)
        else:
            text = self._pick(_TEXTS) if flags & PSH or self._chance() < 0.18 else 0
            said = Say(peer, flags, NEXT, NEXT, text, self._options(peer), self._pick(_WINDOWS))
        if chance < 0.75:
            said = said._replace(seq=self._pick(_SEQUENCES))
        if chance > 0.35 and flags & ACK:
            said = said._replace(ack=self._pick(_ACKS))
        if self._chance() < 0.1:
            said = said._replace(options=self._odd_options(peer))
        if self._chance() < 0.06:
            said = said._replace(twist=self._twist())
        if self._chance() < 0.05:
            said = said._replace(urgent=self._pick((0, 1, 65_535)), ecn=self._pick((0, 1, 2, 3)))
        return said

    def _twist(self) -> str:
        if self._chance() < 0.3:
            return f"flip {int(self._chance() * 40 * 8)}"
        return self._pick(_TWISTS)

    def _odd_token(self) -> str:
        """Return an option by a grammar: a kind, a length at an edge, and as many octets or not."""
        if self._chance() < 0.5:
            return self._pick(_ODD_TOKENS)
        kind, size = self._pick(_KINDS)
        length = self._pick((0, 1, 2, size - 1, size, size + 1, size + 2, 40, 255)) & 0xFF
        octets = max(0, self._pick((size, length, size, 38)) - 2)
        return f"raw {kind:02x}{length:02x}{self._random.randbytes(min(octets, 38)).hex()}"

    def _odd_options(self, peer: int) -> tuple[str, ...]:
        tokens = [self._odd_token() for _ in range(1 + int(self._chance() * 4))]
        if self._chance() < 0.3:
            tokens.insert(0, f"mss {self._pick(_MSSES)}")
        if peer in self._stamps and self._chance() < 0.6:
            tokens.insert(int(self._chance() * 2), self._pick(_STAMPS))
        return tuple(tokens)

    def _call(self, peer: int) -> Call:
        name = self._pick(_CALLS)
        if name == "open" and peer in self._served:
            name = "claim"
        size = self._pick(_SIZES) if name in ("send", "receive") else 0
        return Call(peer, name, size)

    def _icmp(self, peer: int) -> Icmp:
        kind = self._pick(tuple(ICMP_KINDS)) if self._chance() < 0.7 else "too big"
        mtu = self._pick(_MTUS) if kind == "too big" else 0
        place = self._pick(
            (Place("duplicate"), Place("duplicate"), NEXT, Place("old"), Place("beyond"), Place("far"))
        )
        return Icmp(peer, kind, place, mtu, self._pick(_QUOTED))


_Way = Callable[[_Maker, int], list[Operation]]
_WAYS: Final[tuple[_Way, ...]] = _weighted(
    (4, _Maker._handshake),
    (3, _Maker._half_open),
    (5, _Maker._talk),
    (2, _Maker._fin_wait_1),
    (2, _Maker._fin_wait_2),
    (2, _Maker._time_wait),
    (2, _Maker._closing),
    (2, _Maker._close_wait),
    (2, _Maker._last_ack),
    (2, _Maker._reopening),
    (1, _Maker._again),
    (2, _Maker._crowd),
    (1, _Maker._fast),
    (2, _Maker._syn_again),
    (1, _Maker._late_crossing),
    (1, _Maker._refused),
    (1, _Maker._taken_over),
    (1, _Maker._borrowed),
    (1, _Maker._orphaned),
    (1, _Maker._challenged),
    (1, _Maker._old_stamp),
    (1, _Maker._forgotten_path),
)
_WAYS_FOR: Final[dict[str, tuple[_Way, ...]]] = {
    "fastopen": (_Maker._fast, _Maker._fast, _Maker._crowd),
    "ecn": (_Maker._marks,),
    "max_orphans": (_Maker._orphaned, _Maker._orphaned, _Maker._taken_over),
    "challenge_ack_limit": (_Maker._challenged,),
    "invalid_ratelimit_s": (_Maker._challenged,),
    "max_connections": (_Maker._crowd, _Maker._borrowed),
    "max_syn_backlog_per_source": (_Maker._crowd, _Maker._reopening),
    "max_syn_backlog": (_Maker._crowd, _Maker._crowd, _Maker._reopening),
    "pool_capacity": (_Maker._crowd,),
    "pool_timeout_s": (_Maker._unclaimed,),
    "syn_cookies": (_Maker._borrowed, _Maker._late_cookie, _Maker._handshake),
    "keepalive": (_Maker._long_silence,),
    "user_timeout_s": (_Maker._patience,),
    "orphan_retries": (_Maker._syn_again, _Maker._late_crossing, _Maker._refused, _Maker._probed_orphan),
    "initial_cwnd": (_Maker._open_wide,),
}
"""What shows whether a rule is kept that a case has."""
_LEADS: Final[tuple[_Way, ...]] = (
    _Maker._half_open,
    _Maker._handshake,
    _Maker._fin_wait_1,
    _Maker._fin_wait_2,
    _Maker._close_wait,
    _Maker._closing,
    _Maker._last_ack,
    _Maker._time_wait,
)
_AIMED_FLAGS: Final = (*(SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | FIN, 0),)
_AIMED_SEQUENCES: Final = (NEXT, Place("old"), Place("next", 1), Place("beyond"))
_AIMED_ACKS: Final = (NEXT, Place("old"), Place("beyond"))
_FLOWS: Final[tuple[_Way, ...]] = _weighted(
    (6, _Maker._flow_in),
    (6, _Maker._flow_out),
    (4, _Maker._gap),
    (2, _Maker._wait),
    (2, _Maker._lost),
    (2, _Maker._in_parts),
    (2, _Maker._zero_window),
    (1, _Maker._small_window),
    (2, _Maker._narrow_path),
    (1, _Maker._marked),
    (1, _Maker._trickle),
    (1, _Maker._error_and_end),
)
