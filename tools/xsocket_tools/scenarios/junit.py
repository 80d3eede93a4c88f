"""Results as JUnit's XML, which continuous integration shows: one testcase for each run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job
from xsocket_tools.scenarios.report import FailureReport, as_text, told
from xsocket_tools.scenarios.results import Results

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 section 2.2 has no place for."""
_KINDS: Final = {
    Status.FAILED: "failure",
    Status.XPASSED: "failure",
    Status.UNSUPPORTED: "error",
    Status.ERROR: "error",
    Status.XFAILED: "skipped",
    Status.SKIPPED: "skipped",
}


def write_junit(path: Path, results: Results) -> None:
    """Write *results* to the file *path*.

    Raises:
        OSError: It cannot be written.
    """
    suites = Element("testsuites")
    suite = SubElement(suites, "testsuite", name="xsocket", time=f"{results.seconds:.6f}")
    for job, outcome in results.runs:
        _add_run(suite, job, outcome)
    for file, error in results.broken.items():
        case = SubElement(suite, "testcase", classname=_class_of(str(file)), name="read", time="0")
        _add(case, "error", error.message.partition("\n")[0], str(error))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    indent(suites)
    ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _add_run(suite: Element, job: Job, outcome: Outcome) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=_class_of(job.script.name),
        name=job.label,
        file=job.script.name,
        time=f"{outcome.duration_s:.6f}",
    )
    kind = _KINDS.get(outcome.status)
    if kind == "skipped":
        _add(case, kind, told(outcome), "")
    elif kind is not None:
        _add(case, kind, told(outcome), as_text(FailureReport(outcome, job.capture)))


def _add(case: Element, kind: str, message: str, text: str) -> None:
    element = SubElement(case, kind, message=_FORBIDDEN.sub("?", message))
    if text:
        element.text = _FORBIDDEN.sub("?", text)


def _class_of(name: str) -> str:
    """Return a script's path as the dotted name that servers make a tree of."""
    return ".".join(part for part in Path(name).with_suffix("").parts if part not in ("/", ".."))
