from __future__ import annotations

import pytest

from xsocket_netns import PrivilegeError, SysctlError
from xsocket_tools.doctor import BEFORE_PRIVILEGES, PRIVILEGES, WITH_PRIVILEGES, Check, Finding


def refuse(error: Exception) -> str:
    raise error


def test_what_works_is_found() -> None:
    check = Check("thing", True, lambda: "works", "Buy one.")
    assert check.tried() == Finding("thing", ok=True, needed=True, detail="works", remedy=None)


@pytest.mark.parametrize(
    ("error", "remedy", "expected"),
    [
        pytest.param(OSError("broken"), "Buy one.", "Buy one.", id="any-error"),
        pytest.param(PrivilegeError("broken"), "Buy one.", "Buy one.", id="our-error"),
        pytest.param(PrivilegeError("broken", remedy="Ask."), "", "Ask.", id="remedy-of-the-error"),
        pytest.param(
            SysctlError("broken", remedy="Write it."), "Buy one.", "Write it.", id="not-what-was-tried"
        ),
        pytest.param(KeyError("broken"), "", "Report this as a bug.", id="remedy-of-last-resort"),
    ],
)
def test_what_does_not_work_has_a_remedy(error: Exception, remedy: str, expected: str) -> None:
    finding = Check("thing", False, lambda: refuse(error), remedy).tried()
    assert not finding.ok
    assert "broken" in finding.detail
    assert finding.remedy == expected


def test_names_are_unique() -> None:
    names = [check.name for check in (*BEFORE_PRIVILEGES, PRIVILEGES, *WITH_PRIVILEGES)]
    assert len(set(names)) == len(names)
