"""A case as a script of ours: played once, and once more without the rules that no script can set."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket_tools.fuzzing.case import Call, Icmp, Say
from xsocket_tools.fuzzing.export.again import Again, is_plain
from xsocket_tools.fuzzing.export.calls import Means
from xsocket_tools.fuzzing.export.layout import text_of
from xsocket_tools.fuzzing.export.rules import rules_in_script
from xsocket_tools.fuzzing.export.stage import Stage
from xsocket_tools.fuzzing.export.words import peer_text, violation_lines
from xsocket_tools.fuzzing.export.writing import Writer
from xsocket_tools.fuzzing.playing import Played
from xsocket_tools.fuzzing.target import Target
from xsocket_tools.fuzzing.targets.kernel_rules import kernel_rules

_BACKLOG: Final = 65_535


class Exported(NamedTuple):
    """A script, and what it leaves out.

    Attributes:
        text: The script.
        gaps: What of the case the language cannot express, a sentence each.
        holds: Whether the target does all that is in the script without what is left out, too.
    """

    text: str
    gaps: tuple[str, ...]
    holds: bool

    @property
    def is_partial(self) -> bool:
        """Whether something is left out."""
        return bool(self.gaps)


def exported(played: Played, target: Target | None = None) -> Exported:
    """Return a played case as a script, in which the target has to do what it did.

    Up to a violation, if there is one: that step has in comments what was expected and what came.

    Args:
        played: With its steps.
        target: Where it was played. The case is played there again without what a script cannot say, to see
            what of it matters; without a target, all of it does.

    Raises:
        StalledError: The target did not answer in time.
    """
    script = _Script(played, target, with_first=True)
    if script.writer.is_confused:
        script = _Script(played, target, with_first=False)
    return script.exported()


class _Script:
    """One case's."""

    def __init__(self, played: Played, target: Target | None, *, with_first: bool) -> None:
        case = played.case
        self._played, self._target = played, target
        self._stage = Stage(case, played.violation, with_first=with_first)
        on_kernel = target is not None and target.name == "kernel"
        self._means = Means(
            rules_in_script(case.config, self._stage.version, on_kernel=on_kernel),
            kernel_rules(case.rules).backlog if on_kernel else _BACKLOG,
            on_kernel,
            is_virtual=target is None or target.is_virtual,
        )
        self.writer = self._written(played)

    def _written(self, played: Played) -> Writer:
        writer = Writer(played, self._stage, self._means)
        writer.write()
        return writer

    def exported(self) -> Exported:
        """Return it, with what is not in it."""
        target = self._target
        again = (
            None if target is None else Again(self._played, target, lambda other: self._written(other).told)
        )
        missing = self._missing_rules(again)
        gaps = [f"the rule {name} = {self._means.rules.missing[name]!r}" for name in missing]
        gaps += self._moved()
        gaps += self._not_plain(again)
        gaps += self.writer.gaps
        holds = not gaps or (again is not None and self._holds(again))
        head = self._head(missing, gaps, holds=holds, where="" if target is None else target.name)
        text = text_of(head, self.writer.flags, self.writer.verdicts, self._means.rules, self.writer.lines)
        return Exported(text, tuple(gaps), holds)

    def _holds(self, again: Again) -> bool:
        left_out = frozenset(self.writer.left_out)
        return not (self._moved() or self.writer.is_in_any_order) and again.is_same(
            rules=self._means.rules.missing, operations=left_out, plainly=True
        )

    def _missing_rules(self, again: Again | None) -> list[str]:
        """Return which of the rules that a script cannot set make a difference."""
        names = list(self._means.rules.missing)
        if again is None or not names:
            return names
        if again.is_same(rules=names):
            return []
        return [name for name in names if not again.is_same(rules=[name])] or names

    def _not_plain(self, again: Again | None) -> list[str]:
        """Return what a script can only say in other words, if it makes a difference."""
        odd = [each for each in self._played.case.operations if not is_plain(each)]
        if not odd or (again is not None and again.is_same(plainly=True)):
            return []
        kinds = {type(each) for each in odd}
        return [
            *(["segments that arrive at one instant"] if Say in kinds else []),
            *(["ICMP errors that quote less than a TCP header"] if Icmp in kinds else []),
        ]

    def _moved(self) -> list[str]:
        """Return what is different because all peers have one address, if it may matter."""
        if not self._stage.moved():
            return []
        case = self._played.case
        opens = any(isinstance(each, Call) and each.name == "open" for each in case.operations)
        finds_paths = any(isinstance(each, Icmp) and each.kind == "too big" for each in case.operations)
        depends = [
            *(["a limit by source"] if case.config.max_syn_backlog_per_source else []),
            *(["Fast Open cookies"] if opens and case.config.fastopen & 5 else []),
            *(["path MTUs"] if finds_paths else []),
        ]
        return [f"several remote addresses, by which there are {' and '.join(depends)}"] if depends else []

    def _head(self, missing: list[str], gaps: list[str], *, holds: bool, where: str) -> list[str]:
        """Return what a reader has to know first."""
        count = len(self._played.case.operations)
        where = f", as it was played on {where}" if where else ""
        head = [f"A case of `xsocket fuzz` of {count} operation{'s' * (count != 1)}{where}."]
        head += [
            f"{peer_text(role.peer).capitalize()} has the address of the others here, and a port of its own."
            for role in self._stage.moved()
        ]
        unset = self._means.rules.missing.items()
        idle = [f"{name} = {value!r}" for name, value in unset if name not in missing]
        if idle:
            head.append(f"Rules that no script sets, and that change nothing here: {', '.join(idle)}.")
        if gaps:
            rest = "what there is does not depend on it" if holds else "what there is may depend on it"
            head.append(f"Partial: some of it cannot be written, and {rest}.")
            head += [f"not expressible: {each}" for each in gaps if each not in self.writer.gaps]
        violation = self._played.violation
        if violation is not None:
            said = violation_lines(violation)
            head += ["", *(text if name == "rule" else f"{name}: {text}" for name, text in said)]
        return head
