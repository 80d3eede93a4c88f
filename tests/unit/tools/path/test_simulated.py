"""The elements between two engines in virtual time: whole connections, hours that cost nothing."""

import pytest

from support.live import text_of
from support.virtual import DAY_S, FAR, PORT, Flow, World, world
from xsocket import BadConfigError, Simulation
from xsocket.config import TcpConfig
from xsocket_tools.path import (
    Chain,
    ClampMss,
    Element,
    ForgetfulFirewall,
    Impair,
    InjectReset,
    LimitMtu,
    Lose,
    LoseBursts,
    Nat,
    RewriteSequence,
    Stranger,
    StripOptions,
    SynProxy,
)

TEXT = text_of(200_000)


def through(*elements: Element, config: TcpConfig | None = None) -> World:
    there = world() if config is None else world(config=config)
    there.link.insert(Chain(elements).boxed())
    return there


def carry(there: World) -> None:
    """Open a connection and carry text both ways."""
    ours = there.near.connect(FAR, PORT, timeout=DAY_S)
    theirs = there.far.pool.claim(timeout=DAY_S)
    for flow in (Flow(ours, theirs, TEXT), Flow(theirs, ours, TEXT)):
        assert there.sim.run_until(flow.is_through, timeout_s=DAY_S)
        assert flow.arrived == TEXT


@pytest.mark.parametrize(
    "element",
    [
        pytest.param(lambda: Impair(delay_s=0.1, loss=0.05, reorder=0.05, duplicate=0.05), id="impair"),
        pytest.param(lambda: LoseBursts(0.02, 0.5), id="bursts"),
        pytest.param(lambda: Lose("S.", 1), id="lose"),
        pytest.param(lambda: LimitMtu(1000), id="mtu"),
        pytest.param(lambda: StripOptions("all"), id="strip"),
        pytest.param(lambda: ClampMss(536), id="clamp"),
        pytest.param(lambda: RewriteSequence(seed=3), id="rewrite"),
        pytest.param(lambda: ForgetfulFirewall(60), id="firewall"),
        pytest.param(lambda: Nat(), id="nat"),
        pytest.param(lambda: SynProxy(), id="syn-proxy"),
    ],
)
@pytest.mark.parametrize("lossy", [False, True], ids=["alone", "with-losses"])
def test_text_gets_through(element: "type[Element]", lossy: bool) -> None:
    line = [Impair(delay_s=0.01, loss=0.02, seed=7)] if lossy else []
    carry(through(element(), *line))


def test_the_run_is_the_same_for_the_same_seed() -> None:
    def story(seed: int) -> list[int]:
        there = through(
            RewriteSequence(seed=seed), Impair(delay_s=0.01, jitter_s=0.005, loss=0.05, seed=seed)
        )
        carry(there)
        return [event.at_ns for event in there.sim.trace]

    assert story(1) == story(1) != story(2)


def test_keep_alive_keeps_a_forgetful_firewall_awake() -> None:
    config = TcpConfig(keepalive=True, keepalive_time_s=50, keepalive_intvl_s=20)
    there = through(firewall := ForgetfulFirewall(60, strangers=Stranger.RESET), config=config)
    ours, theirs = there.open()
    there.sim.run(DAY_S)
    ours.sendall(b"a day later")
    assert theirs.recv(100) == b"a day later"
    assert firewall.counts()["strangers"] == 0


def test_without_it_the_connection_is_forgotten() -> None:
    there = through(ForgetfulFirewall(60, strangers=Stranger.RESET))
    ours, _theirs = there.open()
    there.sim.run(61.0)
    ours.sendall(b"too late")
    with pytest.raises(ConnectionResetError):
        ours.recv(1)


def test_an_injected_reset_ends_both_ends() -> None:
    there = through(InjectReset("data"))
    ours, theirs = there.open()
    ours.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        ours.recv(1)
    assert theirs.recv(1) == b"x"
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)


def test_a_box_stands_between_two_hosts_alone() -> None:
    there = through()
    with pytest.raises(BadConfigError, match="between two hosts"):
        there.link.insert(Chain().boxed())
    sim = Simulation()
    link = sim.link(*(sim.host(f"10.0.0.{number}/24") for number in (1, 2, 3)))
    with pytest.raises(BadConfigError, match="between two hosts"):
        link.insert(Chain().boxed())
