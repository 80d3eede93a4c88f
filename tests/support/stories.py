"""Stories to be shown, each told of a simulation or of segments."""

from __future__ import annotations

import shlex

from xsocket import Segment, Simulation
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.telling import of_packets, of_simulation


def lost_syn_ack() -> Story:
    """A handshake whose SYN+ACK is lost, some text, both ways of closing."""
    simulation = Simulation(seed=1)
    client = simulation.host("10.0.0.1/24", name="client")
    server = simulation.host("10.0.0.2/24", name="server")
    link = simulation.link(client, server, delay_s=0.01)
    link.drop(lambda sent: sent.segment.letters == "S.", nth=1)
    ours = client.connect("10.0.0.2", 80)
    theirs = server.pool.claim()
    ours.sendall(b"hi")
    simulation.run(0.1)
    theirs.recv(9)
    theirs.sendall(b"you")
    simulation.run(0.1)
    ours.recv(9)
    ours.close()
    simulation.run(0.1)
    theirs.close()
    simulation.run(100)
    return of_simulation(simulation.trace, "client", "server", title="A lost SYN+ACK")


def both_open() -> Story:
    """Two opens that cross, then two closes that do."""
    simulation = Simulation(seed=2)
    alice = simulation.host("10.0.0.1/24", name="alice")
    bob = simulation.host("10.0.0.2/24", name="bob")
    simulation.link(alice, bob, delay_s=0.01)
    connections = [
        alice.open("10.0.0.2", 2000, local_port=1000),
        bob.open("10.0.0.1", 1000, local_port=2000),
    ]
    simulation.run(0.1)
    for each in connections:
        each.close()
    simulation.run(100)
    return of_simulation(simulation.trace, "alice", "bob", title="Both open at once")


def three_connections() -> Story:
    """Three of them, with a forged reset, a segment that the path changes, and resets that end all."""
    simulation = Simulation(seed=3)
    client = simulation.host("10.0.0.1/24", name="client")
    server = simulation.host("10.0.0.2/24", name="server")
    link = simulation.link(client, server, delay_s=0.005)
    connections = [client.connect("10.0.0.2", 80) for _ in range(3)]
    link.inject(connections[0].four_tuple, Segment(12345, 0, RST))
    simulation.run(0.2)
    link.alter(
        lambda sent: bool(sent.segment.payload), nth=1, with_=lambda segment: segment._replace(window=100)
    )
    connections[1].sendall(b"hello")
    simulation.run(0.2)
    for each in connections:
        each.abort()
    simulation.run(100)
    return of_simulation(simulation.trace, "client", "server", title="Three connections")


def captured() -> Story:
    """What segments alone tell: both ends are inferred."""
    there = FourTuple("10.0.0.9", 4000, "10.0.0.2", 443)
    back = there.reversed
    packets = [
        (0.0, there, Segment(100, 0, SYN)),
        (0.03, back, Segment(900, 101, SYN | ACK)),
        (0.031, there, Segment(101, 901, ACK)),
        (2.5, there, Segment(101, 901, PSH | ACK, payload=b"x" * 20)),
        (2.6, back, Segment(901, 121, FIN | ACK)),
        (2.61, there, Segment(121, 902, FIN | ACK)),
        (2.7, back, Segment(902, 122, ACK)),
    ]
    return of_packets(packets, title="What a capture tells")


def of_steps(count: int) -> Story:
    """A story of so many steps: one end sends, again and again."""
    simulation = Simulation(seed=4)
    client = simulation.host("10.0.0.1/24", name="client")
    server = simulation.host("10.0.0.2/24", name="server")
    simulation.link(client, server, delay_s=0.01)
    ours = client.connect("10.0.0.2", 80)
    theirs = server.pool.claim()
    for _ in range(count // 2):
        ours.sendall(b"some text")
        simulation.run(0.1)
        theirs.recv(100)
    story = of_simulation(simulation.trace, "client", "server", title=f"{count} steps")
    return story._replace(steps=story.steps[:count])


def hostile() -> Story:
    """A story whose every text tries to be markup."""
    story = lost_syn_ack()
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&"
    left, right = story.ends
    return story._replace(
        title=evil,
        ends=(left._replace(name=evil, what=evil), right._replace(name=evil)),
        connections=(evil,),
        notes=(evil,),
        steps=tuple(
            step._replace(
                title=evil,
                notes=(evil,),
                because=tuple(
                    each._replace(did=evil, title=evil, sentence=evil, key=evil, url="javascript:alert(3)")
                    for each in step.because
                ),
            )
            for step in story.steps
        ),
    )


def takes_linux(command: str) -> bool:
    """Return whether a command of a page plays on Linux, alone or too."""
    return bool({"kernel", "both"} & {part for word in shlex.split(command) for part in word.split(",")})
