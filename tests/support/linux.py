"""What is written of one release of Linux can only be seen on that."""

import platform
from typing import Final

import pytest

from xsocket_tools.fuzzing.deviations.linux import LISTED, other_release

RELEASE: Final = LISTED
"""Of which machines are stored, deviations listed, and findings written up."""

only_there: Final = pytest.mark.skipif(
    bool(other_release()), reason=f"this is Linux {platform.release()}, not {RELEASE}"
)
