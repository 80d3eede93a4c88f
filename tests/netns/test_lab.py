"""Labs from the inside: what hosts, links and bridges do, and what is left of them."""

from __future__ import annotations

import itertools
import os
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from xsocket import TcpConfig
from xsocket_netns import (
    CommandFailedError,
    CommandTimeoutError,
    Host,
    Lab,
    LabClosedError,
    LabNameError,
    LabUsageError,
    Namespace,
    NetlinkRefusedError,
    NoSuchHostError,
    SysctlError,
    netlink,
)

pytestmark = pytest.mark.netns

PATIENCE_S = 10.0
FAMILIES = [
    pytest.param(socket.AF_INET, "10.0.0.{}", "10.0.0.{}/24", id="ipv4"),
    pytest.param(socket.AF_INET6, "fd00::{}", "fd00::{}/64", id="ipv6"),
]


def echo_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(64))


def exchange(server: Host, client: Host, family: socket.AddressFamily, address: str) -> bytes:
    """Connect once, without a retry: the first packet must get through."""
    with server.run(socket.create_server, (address, 80), family=family) as listener:
        listener.settimeout(PATIENCE_S)
        echo = threading.Thread(target=echo_once, args=(listener,))
        echo.start()
        with client.run(socket.create_connection, (address, 80), timeout=PATIENCE_S) as connection:
            connection.sendall(b"hello")
            answer = connection.recv(64)
        echo.join()
    return answer


def retransmissions(host: Host) -> int:
    """Return how many TCP segments the host's kernel sent again (RFC 4022 tcpRetransSegs)."""
    with host.enter():
        names, values = (
            line.split()
            for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
            if line.startswith("Tcp:")
        )
    return int(values[names.index("RetransSegs")])


def namespace_number() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.mark.parametrize(("family", "address", "prefix"), FAMILIES)
def test_two_hosts_talk_from_the_first_packet_on(
    lab: Lab, family: socket.AddressFamily, address: str, prefix: str
) -> None:
    client, server = lab.host("client"), lab.host("server")
    lab.link(client, server, addresses=([prefix.format(1)], [prefix.format(2)]))
    assert exchange(server, client, family, address.format(2)) == b"hello"
    assert retransmissions(client) == 0


@pytest.mark.parametrize(("family", "address", "prefix"), FAMILIES)
def test_three_hosts_talk_across_a_bridge(
    lab: Lab, family: socket.AddressFamily, address: str, prefix: str
) -> None:
    hosts = [lab.host(name) for name in ("one", "two", "three")]
    lab.bridge("lan", hosts, addresses=[[prefix.format(number)] for number in (1, 2, 3)])
    assert exchange(hosts[1], hosts[0], family, address.format(2)) == b"hello"
    assert exchange(hosts[2], hosts[1], family, address.format(3)) == b"hello"
    assert [retransmissions(host) for host in hosts] == [0, 0, 0]


def test_a_router_between_two_links_forwards_when_told_to(lab: Lab) -> None:
    client, router, server = (lab.host(name) for name in ("client", "router", "server"))
    lab.link(client, router, addresses=(["10.0.1.1/24", "fd01::1/64"], ["10.0.1.2/24", "fd01::2/64"]))
    lab.link(router, server, addresses=(["10.0.2.1/24", "fd02::1/64"], ["10.0.2.2/24", "fd02::2/64"]))
    client.route("default", via="10.0.1.2")
    client.route("default", via="fd01::2")
    server.route("10.0.1.0/24", via="10.0.2.1", interface="eth0")
    server.route("fd01::/64", via="fd02::1")
    router.sysctl("net.ipv4.ip_forward", 1)
    router.sysctl("net.ipv6.conf.all.forwarding", 1)
    assert exchange(server, client, socket.AF_INET, "10.0.2.2") == b"hello"
    assert exchange(server, client, socket.AF_INET6, "fd02::2") == b"hello"


def test_a_host_does_not_ask_for_a_neighbour_it_was_told_of(lab: Lab) -> None:
    kernel, far = lab.host("kernel"), lab.host("far")
    cable = lab.link(kernel, far, addresses=(["10.0.0.1/24", "fd00::1/64"], []))
    for address in ("10.0.0.2", "fd00::2"):
        kernel.neighbour("eth0", address, cable["far"].mac)
    entries = netlink.on(
        kernel.namespace, lambda route: list(route.get_neighbours(ifindex=cable["kernel"].index))
    )
    found = {
        entry.get("NDA_DST"): (entry.get("NDA_LLADDR"), entry["state"])
        for entry in entries
        if entry.get("NDA_DST") in ("10.0.0.2", "fd00::2")
    }
    permanent = (cable["far"].mac, 0x80)
    assert found == {"10.0.0.2": permanent, "fd00::2": permanent}


def test_a_route_can_ask_for_acknowledgments_at_once(lab: Lab) -> None:
    kernel, far = lab.host("kernel"), lab.host("far")
    lab.link(kernel, far, addresses=(["10.0.0.1/24"], []))
    kernel.route("10.0.0.2/32", interface="eth0", quickack=True)
    kernel.route("10.0.0.3/32", interface="eth0")

    def metrics(route: Any) -> dict[str, Any]:  # noqa: ANN401  # pyroute2's objects have no type
        found = {
            each.get("RTA_DST"): each.get("RTA_METRICS") for each in route.get_routes(family=socket.AF_INET)
        }
        return {dst: found[dst] and found[dst].get("RTAX_QUICKACK") for dst in ("10.0.0.2", "10.0.0.3")}

    assert netlink.on(kernel.namespace, metrics) == {"10.0.0.2": 1, "10.0.0.3": None}


def test_an_end_without_addresses_has_none_and_the_kernel_does_not_answer_for_it(lab: Lab) -> None:
    client, engine = lab.host("client"), lab.host("engine")
    link = lab.link(client, engine, addresses=(["10.0.0.1/24"], []))
    assert link["engine"].addresses == ()
    assert "inet " not in engine.command(["cat", "/proc/net/fib_trie"]).stdout.replace("127.", "")
    assert engine.sysctl("net.ipv4.ip_forward") == "0"
    with client.run(socket.socket, socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        connection.connect_ex(("10.0.0.2", 80))
        assert "10.0.0.2" in client.command(["cat", "/proc/net/arp"]).stdout  # asked for, not resolved
        assert "02:00:00:00:02:00" not in client.command(["cat", "/proc/net/arp"]).stdout


def test_an_interface_says_what_the_kernel_says(lab: Lab) -> None:
    link = lab.link(lab.host("left"), lab.host("right"), names=("veth0", None), mtu=1400)
    assert (link.left.name, link.right.name) == ("veth0", "eth0")
    assert lab.hosts["left"].run(socket.if_nametoindex, "veth0") == link["left"].index
    assert lab.hosts["right"].run(socket.if_nametoindex, "eth0") == link["right"].index
    devices = lab.hosts["left"].command(["cat", "/proc/net/dev"]).stdout
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo", "veth0"]
    assert link.left.mac == "02:00:00:00:01:00"
    assert link.right.mac == "02:00:00:00:02:00"


def test_lo_is_up(lab: Lab) -> None:
    host = lab.host("alone")
    assert exchange(host, host, socket.AF_INET, "127.0.0.1") == b"hello"
    assert exchange(host, host, socket.AF_INET6, "::1") == b"hello"


def test_an_address_added_later_works_at_once(lab: Lab) -> None:
    client, server = lab.host("client"), lab.host("server")
    lab.link(client, server, addresses=(["fd00::1/64"], []))
    server.address("eth0", "fd00::7/64", "10.0.0.7/24")
    assert server.interfaces["eth0"].addresses == ("fd00::7/64", "10.0.0.7/24")
    assert exchange(server, client, socket.AF_INET6, "fd00::7") == b"hello"


def test_run_returns_and_raises_what_the_function_does(lab: Lab) -> None:
    host = lab.host("alone")
    assert host.run(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        host.run(divmod, 7, 0)


def test_enter_nests_and_finds_its_way_back(lab: Lab) -> None:
    one, two = lab.host("one"), lab.host("two")
    numbers = one.run(namespace_number), two.run(namespace_number)
    outside = namespace_number()
    seen = []
    with one.enter():
        seen.append(namespace_number())
        with two.enter():
            seen.append(namespace_number())
        seen.append(namespace_number())
    assert seen == [numbers[0], numbers[1], numbers[0]]
    assert namespace_number() == outside


def test_enter_finds_its_way_back_after_an_error(lab: Lab) -> None:
    outside = namespace_number()
    with pytest.raises(KeyError), lab.host("alone").enter():
        raise KeyError
    assert namespace_number() == outside


def test_threads_enter_hosts_at_the_same_time(lab: Lab) -> None:
    hosts = [lab.host("one"), lab.host("two")]
    numbers = [host.run(namespace_number) for host in hosts]
    together = threading.Barrier(8)

    def nest(first: int) -> list[int]:
        seen = [namespace_number()]
        together.wait(PATIENCE_S)
        for _ in range(50):
            with hosts[first].enter():
                with hosts[1 - first].enter():
                    seen.append(namespace_number() - numbers[1 - first])
                seen.append(namespace_number() - numbers[first])
        return [*seen[1:], namespace_number() - seen[0]]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(nest, [0, 1] * 4))
    assert {number for result in results for number in result} == {0}


def test_threads_build_labs_at_the_same_time() -> None:
    def build(_: int) -> str:
        with Lab() as lab:
            lab.link(lab.host("client"), lab.host("server"), addresses=(["10.0.0.1/24"], ["10.0.0.2/24"]))
            assert exchange(lab.hosts["server"], lab.hosts["client"], socket.AF_INET, "10.0.0.2") == b"hello"
            return lab.name

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(build, range(12)))) == 12


def test_threads_build_one_lab_together(lab: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        hosts = list(pool.map(lab.host, ["a", "b", "c", "d"]))
        list(pool.map(lambda pair: lab.link(*pair), itertools.pairwise(hosts)))
    assert sum(len(host.interfaces) for host in hosts) == 6


def test_two_labs_have_names_of_their_own() -> None:
    with Lab() as one, Lab() as two:
        paths = one.host("same").path, two.host("same").path
        assert paths[0] != paths[1]
        assert {path.name for path in paths} == {f"xs-{lab.identity}-same" for lab in (one, two)}


def test_a_lab_leaks_no_descriptor_and_no_thread() -> None:
    with Lab() as lab:
        lab.bridge("lan", [lab.host("one"), lab.host("two")])
    before = set(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208 - numbers, not files
    with Lab() as lab:
        lab.bridge("lan", [lab.host("one"), lab.host("two")])
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208


def test_an_error_in_the_block_removes_the_lab() -> None:
    lab = Lab()

    def fail_inside() -> None:
        with lab:
            lab.host("alone").popen(["sleep", "1000"])
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert not lab.hosts["alone"].path.exists()


def test_programs_end_with_the_lab_and_so_do_their_children() -> None:
    with Lab() as lab:
        argv = ["sh", "-c", "sleep 1000 & echo $!; wait"]
        child = lab.host("alone").popen(argv, stdout=subprocess.PIPE)
        assert child.stdout is not None
        grandchild = os.pidfd_open(int(child.stdout.readline()))
    assert child.returncode is not None
    ended, _, _ = select.select([grandchild], [], [], PATIENCE_S)
    os.close(grandchild)
    assert ended


def test_a_forked_child_leaves_the_lab_alone(lab: Lab) -> None:
    host = lab.host("alone")
    child = os.fork()
    if child == 0:
        lab.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert host.path.exists()
    assert host.run(namespace_number)


def test_a_command_has_output_input_and_status(lab: Lab) -> None:
    host = lab.host("alone")
    completed = host.command(["sh", "-c", "cat; exit 3"], stdin="hello", check=False)
    assert (completed.stdout, completed.returncode) == ("hello", 3)


def test_a_command_that_fails_says_why(lab: Lab) -> None:
    with pytest.raises(CommandFailedError, match="status 3: because") as caught:
        lab.host("alone").command(["sh", "-c", "echo because >&2; exit 3"])
    assert caught.value.remedy in str(caught.value)


def test_a_command_that_hangs_is_killed(lab: Lab) -> None:
    with pytest.raises(CommandTimeoutError, match=r"longer than 0\.1 s"):
        lab.host("alone").command(["sleep", "1000"], timeout=0.1)


def test_a_command_that_is_not_there_is_the_usual_error(lab: Lab) -> None:
    with pytest.raises(FileNotFoundError):
        lab.host("alone").command(["no-such-program"])


def test_a_command_runs_inside(lab: Lab) -> None:
    host = lab.host("alone")
    program = "import os; print(os.stat('/proc/self/ns/net').st_ino)"
    assert int(host.command([sys.executable, "-c", program]).stdout) == host.run(namespace_number)


def test_a_sysctl_is_the_hosts_own(lab: Lab) -> None:
    one, two = lab.host("one"), lab.host("two")
    assert one.sysctl("net.ipv4.ip_forward", "1") == "1"
    assert one.sysctl("net.ipv4.ip_forward") == "1"
    assert two.sysctl("net.ipv4.ip_forward") == "0"
    assert one.sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456").split() == ["4096", "131072", "6291456"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("net.ipv4.no_such_thing", "1", id="unknown"),
        pytest.param("net.ipv4.tcp_syn_retries", "1000", id="out-of-range"),
        pytest.param("net.ipv4.route.flush", "1", id="does-not-read-back"),
    ],
)
def test_a_sysctl_that_does_not_take_is_an_error(lab: Lab, name: str, value: str) -> None:
    with pytest.raises(SysctlError):
        lab.host("alone").sysctl(name, value)


def test_a_sysctl_of_the_machine_is_refused(lab: Lab) -> None:
    with pytest.raises(LabUsageError, match="not a host's own"):
        lab.host("alone").sysctl("kernel.hostname", "x")


def test_a_name_may_be_used_once(lab: Lab) -> None:
    lab.host("same")
    with pytest.raises(LabNameError, match="has a host same already"):
        lab.host("same")
    with pytest.raises(LabNameError, match="has a host same already"):
        lab.bridge("same")
    with pytest.raises(LabNameError, match="already"), Lab(lab.name):
        pass


@pytest.mark.parametrize("name", ["", "../up", "Upper", "a" * 33, "-x"], ids=repr)
def test_a_name_must_be_a_name(lab: Lab, name: str) -> None:
    with pytest.raises(LabNameError):
        lab.host(name)
    with pytest.raises(LabNameError):
        Lab(name)


def test_what_the_kernel_refuses_says_what_it_was_about(lab: Lab) -> None:
    left, right = lab.host("left"), lab.host("right")
    lab.link(left, right, addresses=(["10.0.0.1/24"], []))
    with pytest.raises(NetlinkRefusedError, match=r"the addresses 10\.0\.0\.1/24: .*exists"):
        left.address("eth0", "10.0.0.1/24")
    with pytest.raises(NetlinkRefusedError, match=r"the route to 10\.9\.0\.0/16"):
        left.route("10.9.0.0/16", via="192.168.0.1")


def test_what_makes_no_sense_is_refused(lab: Lab) -> None:
    left, right = lab.host("left"), lab.host("right")
    with pytest.raises(LabUsageError, match="not an address"):
        lab.link(left, right, addresses=(["10.0.0.300/24"], []))
    with pytest.raises(LabUsageError, match="to itself"):
        lab.link(left, left)
    with pytest.raises(LabUsageError, match="gateway or an interface"):
        left.route("default")
    with pytest.raises(LabUsageError, match="1 lists of addresses for 2 hosts"):
        lab.bridge("lan", [left, right], addresses=[[]])
    with pytest.raises(NoSuchHostError, match="it has: eth0"):
        left.interface("eth9")
    with Lab() as other, pytest.raises(NoSuchHostError, match="is not of lab"):
        lab.link(left, other.host("stranger"))


def test_a_lab_works_inside_its_block_only() -> None:
    lab = Lab()
    with pytest.raises(LabClosedError):
        lab.host("early")
    with lab:
        pass
    lab.close()
    with pytest.raises(LabClosedError):
        lab.host("late")
    with pytest.raises(LabClosedError), lab:
        pass


def test_a_lab_works_beside_a_running_event_loop(lab: Lab) -> None:
    import asyncio

    async def build() -> int:
        return lab.link(lab.host("left"), lab.host("right")).left.index

    assert asyncio.run(build()) > 1


def test_a_namespace_without_a_name_goes_with_its_descriptor() -> None:
    with Namespace.create() as namespace:
        assert namespace.run(namespace_number) != namespace_number()
    assert namespace.fileno() == -1
    namespace.close()


def test_an_engines_rules_are_read_from_a_host(lab: Lab) -> None:
    host = lab.host("ours")
    host.sysctl("net.ipv4.tcp_retries2", 7)
    host.sysctl("net.ipv4.tcp_sack", 0)
    config = TcpConfig.linux(host, timestamps=False)
    assert (config.retries2, config.sack, config.timestamps) == (7, False, False)


def test_packets_for_a_new_address_are_taken_at_once(lab: Lab) -> None:
    """The kernel makes the route to an IPv6 address of its own a moment after the address is usable."""
    host, other = lab.host("one"), lab.host("two")
    lab.link(host, other)

    def kind_of_route(address: str) -> int:
        from pyroute2 import IPRoute

        with IPRoute() as route:
            [entry] = route.route("get", dst=address)
            return int(entry["type"])

    for number in range(1, 21):
        address = f"fd00::{number:x}"
        host.address("eth0", f"{address}/64")
        assert host.run(kind_of_route, address) == 2  # RTN_LOCAL
