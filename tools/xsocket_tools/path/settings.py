"""What `xsocket lab up` can be told of a path, as values: for the command, and for the carrying process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from xsocket.simulation.port import ImpairmentFields
from xsocket_netns import Netem
from xsocket_tools.path.element import Element
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.impairments import Impair, LimitMtu, Lose, LoseBursts
from xsocket_tools.path.nat import Nat
from xsocket_tools.path.resets import ForgetfulFirewall, InjectReset, Stranger
from xsocket_tools.path.sequence import RewriteSequence
from xsocket_tools.path.stripping import ClampMss, StripOptions
from xsocket_tools.path.synproxy import SynProxy
from xsocket_tools.path.which import Which


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field for each option; what was not asked for is zero, false, None or empty."""

    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    loss: float = 0.0
    burst_loss: tuple[float, float] | None = None
    lose: tuple[str, ...] = ()
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    mtu: int | None = None
    black_hole: bool = False
    strip: tuple[str, ...] = ()
    clamp_mss: int | None = None
    nat: bool = False
    rewrite_sequence: bool = False
    forget_after: float | None = None
    reset_strangers: bool = False
    inject_reset: tuple[str, ...] = ()
    syn_proxy: bool = False
    seed: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for that needs a path; a seed alone does not."""
        return self == Settings(seed=self.seed)

    def without_netem(self) -> Settings:
        """Return what is left to do when the kernel does what `netem` says."""
        done = ("delay", "jitter", "rate", "loss", "duplicate", "reorder", "corrupt")
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in done}
        return Settings(**kept)

    def netem(self) -> Netem:
        """Return what the kernel can do of it."""
        return Netem(
            delay_s=self.delay,
            jitter_s=self.jitter,
            rate_bps=self.rate,
            loss=self.loss,
            duplicate=self.duplicate,
            reorder=self.reorder,
            corrupt=self.corrupt,
        )

    def elements(self) -> list[Element]:
        """Return them from the left end to the right one: middleboxes near the left host, then the long line.

        Raises:
            BadElementError: A value is outside its range, or means nothing without another.
        """
        for given, needed in (
            ("jitter", "delay"),
            ("black_hole", "mtu"),
            ("reset_strangers", "forget_after"),
        ):
            if getattr(self, given) and not getattr(self, needed):
                raise BadElementError(f"{_flag(given)} means nothing without {_flag(needed)}")
        return [*self._middleboxes(), *self._line()]

    def _middleboxes(self) -> list[Element]:
        made: list[Element] = []
        if self.strip:
            made.append(StripOptions(*self.strip))
        if self.clamp_mss is not None:
            made.append(ClampMss(self.clamp_mss))
        if self.rewrite_sequence:
            made.append(RewriteSequence(seed=self.seed))
        if self.syn_proxy:
            made.append(SynProxy(seed=self.seed))
        if self.forget_after is not None:
            strangers = Stranger.RESET if self.reset_strangers else Stranger.DROP
            made.append(ForgetfulFirewall(self.forget_after, strangers=strangers))
        made += [InjectReset(Which.spelled(each)) for each in self.inject_reset]
        if self.nat:
            made.append(Nat(seed=self.seed))
        return made

    def _line(self) -> list[Element]:
        made: list[Element] = [Lose(Which.spelled(each)) for each in self.lose]
        if self.mtu is not None:
            made.append(LimitMtu(self.mtu, silent=self.black_hole))
        if self.burst_loss is not None:
            made.append(LoseBursts(*self.burst_loss, seed=self.seed))
        hurts: ImpairmentFields = {
            "delay_s": self.delay,
            "jitter_s": self.jitter,
            "loss": self.loss,
            "duplicate": self.duplicate,
            "reorder": self.reorder,
            "corrupt": self.corrupt,
        }
        if self.rate is not None:
            hurts["rate_bps"] = self.rate
        if any(hurts.values()):
            made.append(Impair(seed=self.seed, **hurts))
        return made

    def dumped(self) -> str:
        """Return them as JSON, for `load`."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Settings:
        """Return what was `dumped`."""
        values: dict[str, Any] = json.loads(text)
        for name, value in values.items():
            if isinstance(value, list):  # JSON has no tuples
                values[name] = tuple(value)
        return cls(**values)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
