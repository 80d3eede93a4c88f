"""Workers of the kernels' stage share a listener, or each has its own: the kernel says who gets what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.kernel_stage import KernelStage
from xsocket_tools.teaching.stage import Stage, Worker
from xsocket_tools.teaching.story import Kind, Step, Tables

pytestmark = pytest.mark.netns

PORTS = range(41_000, 41_100)
SHOWN = 4


@pytest.fixture
def stage() -> Iterator[KernelStage]:
    """A stage on which nothing has happened."""
    made = KernelStage({})
    yield made
    made.close()


def connect(stage: Stage, from_port: int | None = None) -> None:
    """Open a connection, and wait until nothing is under way."""
    stage.client.open(from_port=from_port).wait_established()
    stage.settle()


def ports_of(worker: Worker) -> list[int]:
    """Return the ports from which a connection falls to a worker."""
    return [port for port in PORTS if worker.would_get(port)]


def held(step: Step) -> Tables:
    """Return what the server holds after a step."""
    tables = step.tables[1]
    assert tables is not None
    return tables


def in_the_pool(steps: tuple[Step, ...]) -> list[str]:
    """Return the titles of what happened without a segment."""
    return [step.title.removeprefix("server: ") for step in steps if step.kind is Kind.POOL]


def test_workers_that_share_a_listener_get_what_is_first(stage: KernelStage) -> None:
    a, b = stage.server.workers("A", "B")
    connect(stage)
    connect(stage)
    b.accept()
    a.accept()
    assert a.accept_waiting() is None
    with pytest.raises(TimeoutError):
        b.accept()
    steps = stage.story("").steps
    assert in_the_pool(steps) == [
        "B accepts the connection",
        "A accepts the connection",
        "A is free, and finds no connection",
        "B is free, and finds no connection",
    ]
    assert held(steps[-1]) == Tables(claimed=2, owners=(("10.0.0.1:40000", "B"), ("10.0.0.1:40001", "A")))


def test_the_others_still_have_the_listener_when_one_ends(stage: KernelStage) -> None:
    a, b = stage.server.workers("A", "B")
    connect(stage)
    connect(stage)
    a.accept()
    a.end()
    stage.settle()
    ended, fin, _ = stage.story("").steps[-3:]
    assert (ended.title, held(ended).pool, held(ended).owners) == (
        "server: A ends",
        ("10.0.0.1:40001",),
        (),
    )
    assert fin.packet is not None
    assert (fin.connection, fin.packet.flags) == (0, "FIN+ACK")
    b.accept()
    with pytest.raises(LookupError, match="A has ended"):
        a.accept()


def test_each_port_falls_to_one_worker_and_the_kernel_knows_to_which(stage: KernelStage) -> None:
    workers = dict(zip("ABC", stage.server.workers("A", "B", "C", own_queues=True), strict=True))
    falling = {name: ports_of(worker) for name, worker in workers.items()}
    assert sorted(port for ports in falling.values() for port in ports) == list(PORTS)
    expected = [(name, port) for name, ports in falling.items() for port in ports[:SHOWN]]
    for _, port in expected:
        stage.client.open(from_port=port)
    stage.settle()
    for name, _ in expected:
        workers[name].accept()
    found = [(owner, int(name.partition(":")[2])) for name, owner in held(stage.story("").steps[-1]).owners]
    assert sorted(found) == sorted(expected)


def test_with_a_queue_each_the_syn_decides(stage: KernelStage) -> None:
    a, b = stage.server.workers("A", "B", own_queues=True)
    port = ports_of(a)[0]
    connect(stage, port)
    assert b.accept_waiting() is None
    steps = stage.story("").steps
    assert [step.kind for step in steps[:2]] == [Kind.CARRIED, Kind.POOL]
    assert in_the_pool(steps) == ["the hash gives the connection to A", "B is free, and finds no connection"]
    name = f"10.0.0.1:{port}"
    assert held(steps[0]).owners == ()
    assert held(steps[1]) == Tables(half_open=(name,), owners=((name, "A"),))
    assert held(steps[-1]) == Tables(pool=(name,), owners=((name, "A"),))


def test_what_waits_for_a_worker_that_ends_is_reset_and_who_comes_again_gets_another(
    stage: KernelStage,
) -> None:
    a, b = stage.server.workers("A", "B", own_queues=True)
    taken, waiting = ports_of(a)[:2]
    connect(stage, taken)
    connect(stage, waiting)
    a.accept()
    a.end()
    stage.settle()
    steps = stage.story("").steps
    ended = next(step for step in steps if step.title == "server: A ends")
    sent = [step for step in steps[ended.number :] if step.kind is Kind.SENT and step.end == 1]
    assert [(step.connection, step.packet.flags) for step in sent if step.packet is not None] == [
        (0, "FIN+ACK"),
        (1, "RST+ACK"),
    ]
    assert held(ended)._replace(claimed=0) == Tables()
    assert b.would_get(waiting)
    connect(stage, waiting)
    assert b.accept_waiting() is not None
    assert held(stage.story("").steps[-1]).owners == ((f"10.0.0.1:{waiting}", "B"),)


def test_what_waits_in_the_shared_queue_is_reset_when_it_is_closed(stage: KernelStage) -> None:
    connect(stage)
    stage.server.workers("A", own_queues=True)
    stage.settle()
    last = stage.story("").steps[-1]
    assert last.packet is not None
    assert (last.end, last.packet.flags) == (1, "RST+ACK")
    assert held(last) == Tables()


def test_what_linux_cannot_do_is_told(stage: KernelStage) -> None:
    with pytest.raises(NotOnThisStageError, match="the host client accepts no connections"):
        stage.client.workers("A")
    (a,) = stage.server.workers("A", own_queues=True)
    with pytest.raises(
        NotOnThisStageError, match=r"A cannot ask for .* port 4000: accept takes what is first"
    ):
        a.claim(4000)
    with pytest.raises(NotOnThisStageError, match="the host server accepts no connections"):
        stage.server.accept()
