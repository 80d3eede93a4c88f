"""What is written of one release of Linux can only be seen on that."""

import os
from typing import Final

import pytest

RELEASE: Final = "6.18"
"""Of which machines are stored, deviations listed, and findings written up."""

only_there: Final = pytest.mark.skipif(
    not os.uname().release.startswith(f"{RELEASE}."), reason=f"this is not Linux {RELEASE}"
)
