"""One trial, in a process of its own: cases of a seed on the engine that is first on the path.

Reads from standard input for how many seconds to try, and whether it may do what Linux does otherwise; the
first finding ends it. Its argument is the seed. Tells now and then how many cases it has played, and at the
end what it found; see `reporting`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from xsocket_tools.fuzzing.deviations import LINUX
from xsocket_tools.fuzzing.oracle.rules import ENDS, NEVER_RAISES
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.shard import Shard, run
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.mutants.reporting import reporting

MOST_CASES: Final = 1 << 32
_HOW: Final = {ENDS: "hang", NEVER_RAISES: "crash"}


def outcome(result: Result) -> dict[str, Any]:
    """Return what is to be told of a result: the first finding, or that there is none."""
    if not result.findings:
        return {"how": "", "cases": result.cases}
    finding = result.findings[0]
    how = _HOW.get(finding.violation.rule, "violation")
    return {"how": how, "cases": finding.number + 1, "finding": finding.as_dict()}


def main() -> None:
    """Do what the module says."""
    with reporting() as tell:
        limit_s, like_linux = json.load(sys.stdin)
        shard = Shard(
            int(sys.argv[1]),
            0,
            MOST_CASES,
            deadline=time.time() + limit_s,
            shrink=False,
            until_found=True,
        )
        tell({"cases": 0})
        target = EngineTarget(deviations=LINUX if like_linux else ())
        tell(outcome(run(shard, target, lambda part: tell({"cases": part.cases}))))


if __name__ == "__main__":
    main()
