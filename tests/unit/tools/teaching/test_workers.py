"""Workers of the engine's stage: they claim from one pool, and the story says whose each connection is."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from xsocket import ClaimTimeout, TcpConfig
from xsocket_tools.teaching.console import StoryView
from xsocket_tools.teaching.engine_stage import EngineStage
from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.report.details import details
from xsocket_tools.teaching.stage import FROM_PORT, Worker
from xsocket_tools.teaching.story import Kind, Step, Tables

FIRST, SECOND = f"10.0.0.1:{FROM_PORT}", f"10.0.0.1:{FROM_PORT + 1}"


@pytest.fixture
def stage() -> EngineStage:
    """A stage with two connections in the pool."""
    stage = EngineStage(TcpConfig())
    for _ in range(2):
        stage.client.open().wait_established()
        stage.settle()
    return stage


def held(step: Step) -> Tables:
    """Return what the server holds after a step."""
    tables = step.tables[1]
    assert tables is not None
    return tables


def test_whoever_claims_first_gets_the_oldest(stage: EngineStage) -> None:
    a, b = stage.server.workers("A", "B")
    b.accept()
    a.accept()
    *_, first, second = stage.story("").steps
    assert (first.title, second.title) == (
        "server: B claims the connection",
        "server: A claims the connection",
    )
    assert (held(first).pool, held(first).owners) == ((SECOND,), ((FIRST, "B"),))
    assert held(second) == Tables(claimed=2, waiting_claims=0, owners=((FIRST, "B"), (SECOND, "A")))


def test_a_claim_by_port_goes_past_older_connections(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    a.claim(FROM_PORT + 1)
    assert held(stage.story("").steps[-1]).owners == ((SECOND, "A"),)


def test_a_claim_by_port_may_come_before_the_handshake(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    stage.client.open(from_port=50_000)
    a.claim(50_000)
    *_, put, claimed = stage.story("").steps
    assert held(put).waiting_claims == 1
    assert put.at_s == claimed.at_s
    assert held(claimed).pool == (FIRST, SECOND)


def test_who_looks_does_not_wait_and_is_told_of(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    assert a.accept_waiting() is not None
    assert a.accept_waiting() is not None
    before = stage.story("").steps[-1]
    assert a.accept_waiting() is None
    step = stage.story("").steps[-1]
    assert (step.kind, step.title, step.connection) == (
        Kind.POOL,
        "server: A is free, and finds no connection",
        None,
    )
    assert step.at_s == before.at_s


def test_a_worker_takes_along_what_it_has_taken_and_nothing_else(stage: EngineStage) -> None:
    a, b = stage.server.workers("A", "B")
    a.accept()
    a.end()
    stage.settle()
    ended, fin, _ = stage.story("").steps[-3:]
    assert (ended.title, held(ended).owners, held(ended).pool) == ("server: A ends", (), (SECOND,))
    assert fin.packet is not None
    assert (fin.connection, fin.packet.flags) == (0, "FIN+ACK")
    b.accept()
    assert held(stage.story("").steps[-1]).owners == ((SECOND, "B"),)


def test_a_connection_that_is_over_is_nobodys(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    taken = a.accept()
    taken.abort()
    assert held(stage.story("").steps[-1]).owners == ()


def test_two_stories_of_one_stage_say_the_same(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    a.accept()
    a.end()
    assert stage.story("") == stage.story("")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda worker: worker.accept(), id="accept"),
        pytest.param(lambda worker: worker.accept_waiting(), id="accept_waiting"),
        pytest.param(lambda worker: worker.claim(FROM_PORT), id="claim"),
        pytest.param(lambda worker: worker.end(), id="end"),
    ],
)
def test_a_worker_that_has_ended_does_nothing(stage: EngineStage, call: Callable[[Worker], object]) -> None:
    (a,) = stage.server.workers("A")
    a.end()
    with pytest.raises(LookupError, match="A has ended"):
        call(a)
    assert held(stage.story("").steps[-1]).pool == (FIRST, SECOND)


def test_a_worker_waits_only_so_long(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    with pytest.raises(ClaimTimeout):
        a.claim(50_000)
    assert stage.story("").steps[-1].title == "server: A is free, and finds no connection"


def test_there_is_no_queue_for_each_worker(stage: EngineStage) -> None:
    with pytest.raises(NotOnThisStageError, match=r"one pool.*--on kernel"):
        stage.server.workers("A", "B", own_queues=True)
    (a,) = stage.server.workers("A")
    assert a.would_get(50_000)


def test_the_terminal_tells_what_concerns_no_connection_below_the_ladders(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    a.end()
    story = stage.story("")
    shown = {}
    for connection in (None, 0):
        console = Console(file=StringIO(), width=100)
        console.print(StoryView(story, connection=connection))
        assert isinstance(console.file, StringIO)
        shown[connection] = console.file.getvalue()
    assert shown[None].splitlines()[-1].split() == ["850.000", "server:", "A", "ends"]
    assert "A ends" not in shown[0]


def test_the_page_has_a_row_for_what_workers_own(stage: EngineStage) -> None:
    (a,) = stage.server.workers("A")
    before = {row.name for row in details(stage.story(""))[-1].held}
    a.accept()
    after = {row.name: row.cells for row in details(stage.story(""))[-1].held}
    assert before ^ set(after) == {"of workers"}
    assert [cell.said.relative for cell in after["of workers"]] == ["none", f"{FIRST} A's"]
