"""What becomes of a script's commands: the sysctls they set, and what is left for a shell."""

import pytest

from xsocket_tools.scenarios.commands import (
    PACKETDRILL_DEFAULTS,
    Shell,
    Step,
    SysctlSet,
    plain_value,
    steps_of,
)

ECN = SysctlSet("net.ipv4.tcp_ecn", "2")
SACK = SysctlSet("net.ipv4.tcp_sack", "0")
DEFAULTS = list(PACKETDRILL_DEFAULTS)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("``", [], id="nothing in backticks"),
        pytest.param(":", [], id="colon"),
        pytest.param("true", [], id="true"),
        pytest.param("# a remark\n:", [], id="a remark"),
        pytest.param("sysctl net.ipv4.tcp_ecn=2", [ECN], id="sysctl"),
        pytest.param("`sysctl -q net.ipv4.tcp_ecn=2`", [ECN], id="in backticks"),
        pytest.param("/sbin/sysctl -qw net.ipv4.tcp_ecn=2", [ECN], id="by its path"),
        pytest.param("sysctl -q -w net/ipv4/tcp_ecn=2", [ECN], id="with slashes"),
        pytest.param("sysctl -q net.ipv4.tcp_ecn=2  # the server agrees", [ECN], id="with a remark"),
        pytest.param("sysctl net.ipv4.tcp_ecn=2 > /dev/null 2>&1", [ECN], id="silenced"),
        pytest.param("sysctl -q net.ipv4.tcp_ecn=2 net.ipv4.tcp_sack=0", [ECN, SACK], id="two at once"),
        pytest.param(
            "sysctl -q \\\n  net.ipv4.tcp_ecn=2 \\\n  net.ipv4.tcp_sack=0", [ECN, SACK], id="continued"
        ),
        pytest.param("sysctl net.ipv4.tcp_ecn=2 \\\n", [ECN], id="continued by nothing"),
        pytest.param("sysctl net.ipv4.tcp_ecn=2\nsysctl net.ipv4.tcp_sack=0", [ECN, SACK], id="two lines"),
        pytest.param("sysctl net.ipv4.tcp_ecn=2; sysctl net.ipv4.tcp_sack=0", [ECN, SACK], id="semicolon"),
        pytest.param("sysctl net.ipv4.tcp_ecn=2 && sysctl net.ipv4.tcp_sack=0", [ECN, SACK], id="and"),
        pytest.param("sysctl -e net.ipv4.tcp_ecn=2", [ECN._replace(required=False)], id="if there is one"),
        pytest.param("sysctl net.ipv4.tcp_ecn=0x2", [ECN], id="hexadecimal"),
        pytest.param("echo 2 > /proc/sys/net/ipv4/tcp_ecn", [ECN], id="echo"),
        pytest.param("echo 2 >/proc/sys/net/ipv4/tcp_ecn", [ECN], id="echo without a blank"),
        pytest.param("../../common/defaults.sh", DEFAULTS, id="packetdrill's defaults"),
        pytest.param(
            "../common/defaults.sh\n ../common/set_sysctls.py /proc/sys/net/ipv4/tcp_ecn=2 \\\n"
            "\t/proc/sys/net/ipv4/tcp_sack=0",
            [*DEFAULTS, ECN, SACK],
            id="packetdrill's defaults and others",
        ),
        pytest.param("/somewhere/sysctl_restore_${PPID}.sh", [], id="packetdrill's restoring"),
    ],
)
def test_setting_sysctls_takes_no_shell(text: str, steps: list[Step]) -> None:
    assert steps_of(text) == steps


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('sysctl -q net.ipv4.tcp_rmem="4096 540000  15728640"', id="sysctl"),
        pytest.param(
            'set_sysctls.py /proc/sys/net/ipv4/tcp_rmem="4096 540000 15728640"', id="set_sysctls.py"
        ),
        pytest.param("echo 4096 540000 15728640 > /proc/sys/net/ipv4/tcp_rmem", id="echo"),
        pytest.param("echo '4096 540000 15728640' > /proc/sys/net/ipv4/tcp_rmem", id="echo in quotes"),
    ],
)
def test_a_value_may_be_several_numbers(text: str) -> None:
    assert steps_of(text) == [SysctlSet("net.ipv4.tcp_rmem", "4096 540000 15728640")]


@pytest.mark.parametrize(
    "text",
    [
        "ip tcp_metrics flush all > /dev/null 2>&1",
        "sysctl net.ipv4.tcp_ecn",
        "sysctl -p",
        'sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"',
        "sysctl net.ipv4.tcp_ecn=2 | cat",
        "sysctl net.ipv4.tcp_ecn=2 || true",
        "sysctl net.ipv4.tcp_ecn=2 &",
        "echo 2 > /tmp/file",
        "echo 2 > /proc/sys/vm/swappiness",
        "nstat | grep TcpExtOutOfWindowIcmps > /dev/null",
        "for name in ecn sack; do\n  sysctl net.ipv4.tcp_$name=0\ndone",
        "VALUE=1\nsysctl net.ipv4.tcp_ecn=1\necho $VALUE",
        "cd /\nsysctl net.ipv4.tcp_ecn=1\npwd",
        'python3 -c "print(1)\nprint(2)"',
        "conntrack -L | grep -q CLOSE\\ ",
        "cat <<END\nsysctl net.ipv4.tcp_ecn=1\nEND",
    ],
)
def test_the_rest_is_for_one_shell(text: str) -> None:
    assert steps_of(f"`{text}`") == [Shell(text)]


def test_steps_keep_their_order() -> None:
    text = "sysctl net.ipv4.tcp_ecn=2\nip addr\nip link\n\nsysctl net.ipv4.tcp_sack=0"
    assert steps_of(text) == [ECN, Shell("ip addr\nip link"), SACK]


def test_an_interface_with_a_dot_keeps_its_slashes() -> None:
    text = "echo 0 > /proc/sys/net/ipv4/conf/eth0.5/rp_filter"
    assert steps_of(text) == [SysctlSet("net/ipv4/conf/eth0.5/rp_filter", "0")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0x70403", "459779"),
        ("-1", "-1"),
        ("010", "8"),
        ("09", "09"),
        ("0", "0"),
        ("4096\t16384  4194304", "4096 16384 4194304"),
        ("reno", "reno"),
        ("00000000-00000000-00000000-00000001", "00000000-00000000-00000000-00000001"),
    ],
)
def test_a_value_is_as_the_kernel_shows_it(value: str, shown: str) -> None:
    assert plain_value(value) == shown


def test_offload_that_no_target_has_needs_no_program() -> None:
    assert steps_of("ethtool -K tun0 tso off gso off") == []
    assert steps_of("ethtool -K tun0 tso on") == [Shell("ethtool -K tun0 tso on")]
