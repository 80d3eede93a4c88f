"""One trial, in a process of its own: runs scripts on the engine that is first on the path, up to a failure.

Reads a pickled list of jobs from standard input. Its argument is a list in JSON: a rule, the name of the bug,
and how much time of a processor one script may take, seconds; null for any. The scripts of that rule come
first, and those whose names have words of the bug's: they fail likeliest, and say most when they do.
Tells which script comes next, and what became of them; see `reporting`.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Final

from xsocket_tools.fuzzing.watch import OverrunError, time_limit
from xsocket_tools.mutants.reporting import Tell, reporting
from xsocket_tools.scenarios.execution import perform
from xsocket_tools.scenarios.plan import Job

_PART: Final = re.compile(r"[-. ]")
_WORD: Final = re.compile(r"[a-z]{3,}")
_COMMON: Final = frozenset(("and", "any", "are", "for", "has", "its", "not", "that", "the", "with"))


def try_all(jobs: Iterable[Job], tell: Tell, limit_s: float | None) -> None:
    """Run *jobs* until one of them is not good; tell of each script before its first run, and of the end."""
    name = None
    for job in jobs:
        if job.script.name != name:
            name = job.script.name
            tell({"script": name})
        with time_limit(limit_s, of_processor=True):
            outcome = perform(job)
        if not outcome.status.is_good:
            failure = outcome.failure
            line = 0 if failure is None else failure.line
            message = outcome.reason if failure is None else failure.message
            if limit_s is not None and OverrunError.__name__ in message:
                line, message = 0, f"time limit: it had not ended after {limit_s:.0f} s"
            tell({"failed": name, "line": line, "message": message.strip().rpartition("\n")[2]})
            return
    tell({"failed": None})


def nearest_first(jobs: Iterable[Job], rule: str, name: str = "") -> list[Job]:
    """Return *jobs*, those first whose directory is called after the section of *rule*, or one close to it.

    Args:
        jobs: Of directories such as ``rfc9293-3.6.1-time-wait``.
        rule: Such as ``RFC 9293 3.6.1``.
        name: Of the bug. A word of it in the name of a script counts as much as a part of the rule.
    """
    parts = _PART.split(rule.lower().replace("rfc ", "rfc"))
    words = set(_WORD.findall(name)) - _COMMON

    def nearness(job: Job) -> int:
        pairs = zip(_PART.split(Path(job.directory).name), parts, strict=False)
        near = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        return near + len(words & set(_WORD.findall(Path(job.script.name).stem)))

    return sorted(jobs, key=nearness, reverse=True)


def main() -> None:
    """Do what the module says."""
    with reporting() as tell:  # code in a script may print
        jobs = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent wrote it
        rule, name, limit_s = json.loads(sys.argv[1])
        try_all(nearest_first(jobs, rule, name), tell, limit_s)


if __name__ == "__main__":
    main()
