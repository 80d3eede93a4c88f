"""Connections go to the kernel for an ordinary user, too: in a user namespace, without asking anyone."""

import subprocess
from collections.abc import Callable
from typing import Final

import pytest

pytestmark = pytest.mark.netns

PROGRAM: Final = """\
import socket, sys
from xsocket import Admission, Engine
from xsocket_netns import Lab, ensure_privileges

ensure_privileges()
text = bytes(range(256)) * 800
with Lab() as lab:
    peer, home = lab.host("peer"), lab.host("home")
    shared = ["10.0.0.2/24", "fd00::2/64"]
    lab.link(peer, home, addresses=(["10.0.0.1/24", "fd00::1/64"], shared))
    engine = Engine("eth0", shared, admission=Admission(ports=80))
    home.run(engine.start)
    for address in ("10.0.0.2", "fd00::2"):
        far = peer.run(socket.create_connection, (address, 80), timeout=20)
        far.sendall(b"!")
        near = engine.pool.claim(timeout=20)
        assert near.recv(1) == b"!"  # before that, less is offered
        far.sendall(text)
        while near.info.unread < len(text):
            pass
        with far, near.to_kernel() as kernel:
            got = b""
            while len(got) < len(text):
                got += kernel.recv(1 << 20)
            kernel.sendall(b"all" if got == text else b"something else")
            print(address, far.recv(100).decode())
    engine.stop()
    print(engine.statistics().handoff.handed_over, "handed over")
"""


def test_an_ordinary_user_hands_connections_over(
    as_ordinary_user: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    done = as_ordinary_user("-c", PROGRAM)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["10.0.0.2 all", "fd00::2 all", "2 handed over"]
