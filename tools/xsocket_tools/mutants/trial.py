"""One trial, in a process of its own: runs scripts on the engine that is first on the path, up to a failure.

Reads a pickled list of jobs from standard input. Its argument is a rule; the scripts of that rule come first,
which are the likeliest to fail, and say most when they do. Tells which script comes next, and what became of
them; see `reporting`.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Final

from xsocket_tools.mutants.reporting import Tell, reporting
from xsocket_tools.scenarios.execution import perform
from xsocket_tools.scenarios.plan import Job

_PART: Final = re.compile(r"[-. ]")


def try_all(jobs: Iterable[Job], tell: Tell) -> None:
    """Run *jobs* until one of them is not good; tell of each script before its first run, and of the end."""
    name = None
    for job in jobs:
        if job.script.name != name:
            name = job.script.name
            tell({"script": name})
        outcome = perform(job)
        if not outcome.status.is_good:
            failure = outcome.failure
            line = 0 if failure is None else failure.line
            message = outcome.reason if failure is None else failure.message
            tell({"failed": name, "line": line, "message": message.strip().rpartition("\n")[2]})
            return
    tell({"failed": None})


def nearest_first(jobs: Iterable[Job], rule: str) -> list[Job]:
    """Return *jobs*, those first whose directory is called after the section of *rule*, or one close to it.

    Args:
        jobs: Of directories such as ``rfc9293-3.6.1-time-wait``.
        rule: Such as ``RFC 9293 3.6.1``.
    """
    parts = _PART.split(rule.lower().replace("rfc ", "rfc"))

    def distance(job: Job) -> int:
        pairs = zip(_PART.split(Path(job.directory).name), parts, strict=False)
        return -len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))

    return sorted(jobs, key=distance)


def main() -> None:
    """Do what the module says."""
    with reporting() as tell:  # code in a script may print
        jobs = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent wrote it
        try_all(nearest_first(jobs, sys.argv[1]), tell)


if __name__ == "__main__":
    main()
