"""Labs of an ordinary user: the same, in a user namespace, without asking anyone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xsocket_netns.processes import Process

pytestmark = pytest.mark.netns

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Parsed = Callable[["subprocess.CompletedProcess[str]"], Any]

ECHO = """\
import os, socket, sys, threading
{before}
from xsocket_netns import Lab, ensure_privileges

before = os.getuid()
ensure_privileges()
with Lab() as lab:
    client, server = lab.host("client"), lab.host("server")
    lab.link(client, server, addresses=(["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00::2/64"]))
    for family, address in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
        with server.run(socket.create_server, (address, 80), family=family) as listener:
            with client.run(socket.create_connection, (address, 80), timeout=5) as connection:
                accepted, peer = listener.accept()
                with accepted:
                    connection.sendall(b"tcp")
                    print(accepted.recv(16).decode(), peer[0])
        with server.run(socket.socket, family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((address, 53))
            receiver.settimeout(5)
            with client.run(socket.socket, family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"udp", (address, 53))
                print(receiver.recv(16).decode())
    raw = server.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.close()
    server.sysctl("net.ipv4.tcp_syn_retries", 2)
    print(before, os.getuid(), sys.argv[1:])
"""

SEEN = ["tcp 10.0.0.1", "udp", "tcp fd00::1", "udp"]

SEVERAL_THREADS = """
waiting = threading.Event()
threading.Thread(target=waiting.wait, daemon=True).start()
"""

# Inside a user namespace its root may forbid further ones: without capabilities, a machine that has none.
FORBIDDEN = """\
import os, sys
from pathlib import Path
from xsocket_netns import ensure_privileges

ensure_privileges()
Path("/proc/sys/user/max_user_namespaces").write_text("0")
del os.environ["XSOCKET_USER_NAMESPACE"]
command = [sys.executable, *sys.argv[1:]]
os.execvp("setpriv", ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command])
"""

HOLD = """\
import signal
from xsocket_netns import Lab, ensure_privileges

ensure_privileges()
with Lab("held") as lab:
    print(lab.host("alone").popen(["sleep", "1000"]).pid, flush=True)
    signal.pause()
"""

CLEAN_ANOTHER_PROCESS = f"""\
import signal, subprocess, sys

holding = subprocess.Popen([sys.executable, "-c", {HOLD!r}], stdout=subprocess.PIPE, text=True)
holding.stdout.readline()
command = [sys.executable, "-m", "xsocket_tools.cli", "lab"]
for arguments in (["clean"], ["exec", "held", "alone", "id", "-u"], ["clean", "--all"]):
    subprocess.run([*command, *arguments], check=True)
holding.send_signal(signal.SIGINT)
print(holding.communicate(timeout=10)[0], holding.returncode)
"""

RUN_A_NETNS_TEST = """\
import os, sys, tempfile
from pathlib import Path
import pytest

conftest, os.environ["XSOCKET_REQUIRE_NETNS"] = sys.argv[1:]
with tempfile.TemporaryDirectory() as directory:
    Path(directory, "conftest.py").write_text(conftest)
    Path(directory, "pytest.ini").write_text("[pytest]\\nmarkers = netns: makes namespaces\\n")
    Path(directory, "test_it.py").write_text(
        "import pytest\\n@pytest.mark.netns\\ndef test_it(): pass\\ndef test_other(): pass\\n"
    )
    sys.exit(pytest.main([directory, "-q", "-rs", "-p", "no:cacheprovider"]))
"""


def test_a_program_enters_where_it_stands(as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-c", ECHO.format(before=""), "argument")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [*SEEN, "12345 0 ['argument']"]


def test_a_program_with_threads_starts_itself_again(as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-c", ECHO.format(before=SEVERAL_THREADS), "argument")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [*SEEN, "0 0 ['argument']"]


def test_up_exec_list_clean(as_ordinary_user: Run, parsed: Parsed) -> None:
    made = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "up", "--name", "mine", "--json"))
    assert (made["state"], made["user_namespace"]) == ("persistent", True)
    listed = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "list", "--json"))
    assert listed == [made]
    program = "cat /proc/net/if_inet6; id -u; exit 5"
    inside = as_ordinary_user(
        "-m", "xsocket_tools.cli", "lab", "exec", "mine", "server", "--", "sh", "-c", program
    )
    assert inside.returncode == 5
    assert "fd000000000000000000000000000002" in inside.stdout
    holder = Process.of(made["owner"])
    assert holder is not None
    removed = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "clean", "--json"))
    assert removed["labs"] == ["mine"]
    assert not holder.is_running()


def test_clean_after_the_holder_was_killed(as_ordinary_user: Run, parsed: Parsed) -> None:
    made = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "up", "--json"))
    os.kill(made["owner"], signal.SIGKILL)
    holder = Process.of(made["owner"])
    if holder is not None:
        holder.end()
    listed = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "list", "--json"))
    assert [lab["state"] for lab in listed] == ["leftover"]
    removed = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "lab", "clean", "--json"))
    assert removed["labs"] == [made["name"]]


def test_another_process_may_enter_a_running_lab_and_remove_it_when_it_must(as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-u", "-c", CLEAN_ANOTHER_PROCESS)
    assert done.stdout.splitlines() == [
        "Removed 0 lab(s), 0 namespace(s).",
        "Kept, in use by running processes: held (--all removes them too).",
        "0",
        "Removed 1 lab(s), 1 namespace(s).",
        " -2",
    ]


def test_up_reports_what_went_wrong_in_the_holder(as_ordinary_user: Run) -> None:
    refused = as_ordinary_user("-m", "xsocket_tools.cli", "lab", "up", "--hosts", "UPPER")
    assert refused.returncode == 1
    assert "error: not a name: 'UPPER'" in refused.stderr
    assert "remedy: Choose another name" in refused.stderr


def test_the_doctor_is_content(as_ordinary_user: Run, parsed: Parsed) -> None:
    report = parsed(as_ordinary_user("-m", "xsocket_tools.cli", "doctor", "--json"))
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["privileges"]["detail"] == "in a user namespace, as its root"
    assert checks["tcp-repair"]["ok"]
    assert checks["packet-ring"]["ok"]


def test_where_user_namespaces_are_forbidden_the_switch_is_named(as_ordinary_user: Run) -> None:
    refused = as_ordinary_user("-c", FORBIDDEN, "-m", "xsocket_tools.cli", "lab", "up")
    assert refused.returncode == 1
    assert "error: cannot enter a user namespace: No space left on device" in refused.stderr
    assert "sysctl user.max_user_namespaces=" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_where_user_namespaces_are_forbidden_the_doctor_says_so(as_ordinary_user: Run) -> None:
    refused = as_ordinary_user("-c", FORBIDDEN, "-m", "xsocket_tools.cli", "doctor", "--json")
    assert refused.returncode == 1
    report = json.loads(refused.stdout)
    assert report["ready"] is False
    checks = {check["name"]: check for check in report["checks"]}
    assert "sysctl user.max_user_namespaces=" in checks["user-namespaces"]["remedy"]
    assert not checks["privileges"]["ok"]
    assert checks["veth"]["detail"] == "not tried: no privileges"


@pytest.mark.parametrize(
    ("required", "outcome"),
    [
        pytest.param("0", "1 passed, 1 skipped", id="skips"),
        pytest.param("1", "1 passed, 1 error", id="fails"),
    ],
)
def test_a_test_that_needs_namespaces(as_ordinary_user: Run, required: str, outcome: str) -> None:
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    run = as_ordinary_user("-c", FORBIDDEN, "-c", RUN_A_NETNS_TEST, conftest, required)
    assert outcome in run.stdout
    assert "No space left on device" in run.stdout


def test_a_test_that_needs_namespaces_passes_for_an_ordinary_user(as_ordinary_user: Run) -> None:
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    run = as_ordinary_user("-c", RUN_A_NETNS_TEST, conftest, "1")
    assert "2 passed" in run.stdout, run.stdout
