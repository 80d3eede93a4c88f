"""Tests as another project has them: fixtures of the plugin, and no import of it."""

import socket

import pytest

PATIENCE_S = 20.0


@pytest.mark.netns
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"], ids=["ipv4", "ipv6"])
def test_a_client_on_linux_is_served(kernel_host, pool, address):
    with (
        kernel_host.run(socket.create_connection, (address, 80), PATIENCE_S) as client,
        pool.claim(timeout=PATIENCE_S) as connection,
    ):
        connection.settimeout(PATIENCE_S)
        client.sendall(b"hello")
        assert connection.recv(100) == b"hello"
        assert connection.four_tuple.remote_port == client.getsockname()[1]


@pytest.mark.netns
def test_the_engine_has_a_trace(kernel_host, engine):
    with kernel_host.run(socket.create_connection, ("10.0.0.2", 80), PATIENCE_S):
        engine.pool.claim(timeout=PATIENCE_S).close()
    assert [event.pool_event for event in engine.trace if event.pool_event][:2] == ["put", "claimed"]


@pytest.mark.netns
def test_a_lab_is_the_tests_own(lab):
    assert list(lab.hosts) == []
    assert lab.host("other").sysctl("net.ipv4.ip_forward") == "0"


class TestWithOptions:
    @pytest.fixture
    def engine_options(self):
        return {"addresses": ["10.0.0.77/24"]}

    @pytest.mark.netns
    def test_an_engine_is_made_to_measure(self, engine, kernel_host, pool):
        assert engine.addresses == ("10.0.0.77/24",)
        with kernel_host.run(socket.create_connection, ("10.0.0.77", 80), PATIENCE_S):
            pool.claim(timeout=PATIENCE_S).close()


def test_a_handshake_takes_a_round_trip(simulation):
    client, server = simulation.host("10.0.0.1/24"), simulation.host("10.0.0.2/24")
    simulation.link(client, server, delay_s=0.5)
    client.connect("10.0.0.2", 80).close()
    assert 1.0 <= simulation.now < 2.1  # and another for ARP
