"""Settings of a pool server: the command line before the file, the file before the defaults."""

from pathlib import Path

import pytest

from xsocket import ClaimPolicy, Pattern
from xsocket.sharing.policy import EVERYTHING, Peer
from xsocket_tools.sharing.settings import Settings, SettingsError

NEEDED = {"interface": "eth0", "addresses": ("10.0.0.2/24",), "ports": "80"}


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pool.toml"
    file.write_text(
        """
        interface = "eth1"
        addresses = ["10.0.0.3/24", "fd00::3/64"]
        ports = "81"
        sources = "10.0.0.0/24"
        pool_capacity = 7
        metrics = 9464
        mode = "0666"
        [allow]
        "@33" = "80"
        1000 = "any"
        """
    )
    settings = Settings.made_of({"interface": "eth0", "addresses": (), "ports": None}, file)
    assert (settings.interface, settings.addresses) == ("eth0", ("10.0.0.3/24", "fd00::3/64"))
    assert settings.metrics == ("127.0.0.1", 9464)
    assert settings.permissions == 0o666
    assert settings.config().pool_capacity == 7
    assert str(settings.admission().ports) == "81"
    policy = settings.policy()
    assert isinstance(policy, ClaimPolicy)
    assert policy.allowed(Peer(1, 5, (33,)), 0) == Pattern(local_port=80)
    assert policy.allowed(Peer(1, 1000), 0) == EVERYTHING
    assert policy.allowed(Peer(1, 6), 0) is None


@pytest.mark.parametrize(
    ("given", "permissions"),
    [
        pytest.param({}, 0o600, id="nothing said"),
        pytest.param({"group": "root"}, 0o660, id="group"),
        pytest.param({"group": "root", "mode": "666"}, 0o666, id="mode"),
    ],
)
def test_permissions(given: dict[str, str], permissions: int) -> None:
    assert Settings.made_of({**NEEDED, **given}, None).permissions == permissions


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        pytest.param("9464", ("127.0.0.1", 9464), id="port"),
        pytest.param(":9464", ("127.0.0.1", 9464), id="colon"),
        pytest.param("0.0.0.0:9464", ("0.0.0.0", 9464), id="ipv4"),  # noqa: S104
        pytest.param("[::1]:9464", ("::1", 9464), id="ipv6"),
    ],
)
def test_where_the_metrics_are(text: str, endpoint: tuple[str, int]) -> None:
    assert Settings.made_of({**NEEDED, "metrics": text}, None).metrics == endpoint


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"metrics": "9464000"}, id="no port"),
        pytest.param({"metrics": "localhost:9464"}, id="a name"),
        pytest.param({"acknowledge_s": -1.0}, id="negative"),
        pytest.param({"max_clients": True}, id="truth"),
        pytest.param({"allow": ("root=80", "@=80")}, id="no group"),
        pytest.param({"otherwise": "panic"}, id="no verdict"),
        pytest.param({"pool_capacity": 10**12}, id="too many"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Settings.made_of({**NEEDED, **given}, None)
