"""Duplicates and a Linux peer: it counts the reports of what came twice (RFC 2883)."""

import pytest

from support.live import (
    ADDRESSES,
    INTERFACE,
    PATIENCE_S,
    Task,
    client,
    linux_counters,
    network,
    stopping,
    text_of,
)
from xsocket import Engine, TcpConfig
from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.packet_link import PacketLink

pytestmark = pytest.mark.netns

TEXT = text_of(200_000)


@pytest.mark.parametrize("dsack", [True, False], ids=["on", "off"])
def test_a_kernel_hears_of_what_it_sent_twice(dsack: bool) -> None:
    with network(offload=False) as net:
        inner = net.home.run(PacketLink, INTERFACE, ADDRESSES)
        link = FaultyLink(inner, FaultRates(), FaultRates(duplicate=0.2), seed=1)
        engine = Engine(link=link, addresses=ADDRESSES, config=TcpConfig(dsack=dsack))
        engine.start()
        with (
            stopping(engine),
            client(net.peer, 80) as kernel,
            engine.pool.claim(timeout=PATIENCE_S) as connection,
        ):
            connection.settimeout(PATIENCE_S)
            sending = Task(kernel.sendall, TEXT)
            got = bytearray()
            while len(got) < len(TEXT):
                got += connection.recv(1 << 18)
            sending.result()
            assert bytes(got) == TEXT
            assert link.incoming.duplicated > 10
        counters = linux_counters(net.peer)
        reports = counters["TCPDSACKRecv"] + counters["TCPDSACKOfoRecv"]
        assert (reports > 10) is dsack
        assert reports <= link.incoming.duplicated
