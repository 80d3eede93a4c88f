"""What `import xsocket` brings along: nothing slow. What it takes in seconds is for the benches to say."""

import subprocess
import sys

import pytest

SLOW = ["scapy", "pyroute2", "netaddr", "rich", "click", "asyncio", "numpy", "xsocket_netns", "xsocket_tools"]


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    program = "import sys, xsocket; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("name", SLOW)
def test_import_xsocket_does_not_load(name: str, loaded: set[str]) -> None:
    assert name not in loaded
