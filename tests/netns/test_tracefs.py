"""What kernels tell at tracepoints, with real ones: of our own segments only, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xsocket_netns import kernel
from xsocket_tools.teaching.kernel_stage import KernelStage
from xsocket_tools.teaching.lesson import Run, digest
from xsocket_tools.teaching.stage import Play, Stage
from xsocket_tools.teaching.story import Because, Source, Step, Story
from xsocket_tools.teaching.tracepoints import DROP, RESET
from xsocket_tools.tracefs import TracefsError, Tracing

pytestmark = pytest.mark.netns

ABANDONED = """\
import signal
from xsocket_tools.tracefs import Tracing

tracing = Tracing()
print(tracing.name, flush=True)
signal.pause()
"""
"""Makes an instance, says its name and waits to be killed."""
STRANGER = """\
from xsocket_tools.tracefs import TracefsError, Tracing

try:
    Tracing()
except TracefsError as error:
    print(error.remedy)
"""


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    """An instance; without tracefs the test is skipped, with the reason."""
    try:
        made = Tracing()
    except TracefsError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture
def _tells_reasons(tracing: Tracing) -> None:
    """Skip a test on kernels that name no reasons."""
    if "reason" not in tracing.fields(DROP) & tracing.fields(RESET):
        pytest.skip("this kernel names no reasons")


def story_of(what: Play, *, traced: bool = True) -> Story:
    """Return the story of a play."""
    stage = KernelStage({}, traced=traced)
    try:
        what(stage)
        return stage.story("")
    finally:
        stage.close()


def handshake(stage: Stage) -> None:
    """Open a connection."""
    stage.client.open().wait_established()
    stage.server.accept()
    stage.settle()


def blind_reset(stage: Stage) -> None:
    """Let the client get a reset from outside of its window."""
    handshake(stage)
    stage.forge("client", "RST", seq=-1)
    stage.settle()


def closed_port(stage: Stage) -> None:
    """Try a port where nobody is."""
    with pytest.raises(ConnectionRefusedError):
        stage.client.open(81).wait_established()


def lost_syn_ack(stage: Stage) -> None:
    """Lose the first SYN+ACK, and with it what the client says again."""
    stage.lose("S.")
    stage.lose("S", first=2, count=1)
    handshake(stage)


def talk(stage: Stage) -> None:
    """Say something both ways."""
    ours = stage.client.open()
    ours.wait_established()
    theirs = stage.server.accept()
    stage.settle()
    for speaker, listener in ((ours, theirs), (theirs, ours), (ours, theirs)):
        speaker.send(b"some text")
        assert listener.read() == b"some text"
        stage.settle()


def because(step: Step) -> list[tuple[int, str, str]]:
    """Return who did what by which rule."""
    return [(each.end, each.key, each.did) for each in step.because]


@pytest.mark.usefixtures("_tells_reasons")
def test_a_blind_reset_is_dropped_for_a_reason() -> None:
    (forged,) = Run(story_of(blind_reset), "kernel").forged()
    assert forged.notes == (
        "dropped, TCP_OLD_SEQUENCE: RFC 9293 3.10.7.4 second, 1): all of it lies before RCV.NXT",
    )
    assert because(forged) == [(0, "RFC 9293 3.10.7.4 second, 1)", "dropped")]


@pytest.mark.usefixtures("_tells_reasons")
def test_a_reset_is_sent_for_a_reason() -> None:
    syn, reset = story_of(closed_port).steps
    assert [note.partition(":")[0] for note in syn.notes] == ["dropped, NO_SOCKET"]
    assert because(reset) == [(1, "RFC 9293 3.10.7.1", "sent RST")]
    assert reset.because[0].sentence.startswith("Linux: NO_SOCKET, ")


def test_a_syn_ack_that_is_sent_again_is_told_as_that(tracing: Tracing) -> None:
    assert tracing.fields("tcp/tcp_retransmit_skb")
    steps = Run(story_of(lost_syn_ack), "kernel").sent(1)
    told = [(step.timed, because(step)) for step in steps]
    assert told == [(False, []), (True, [(1, "RFC 6298 5.4", "sent SYN+ACK again")])]


def test_a_kernel_tells_its_own_numbers(tracing: Tracing) -> None:
    if "skbaddr" not in tracing.fields("tcp/tcp_probe"):
        pytest.skip("this kernel does not say of which segment tcp_probe is")
    *_, last = story_of(talk).steps
    sources = {each.name: each.source for each in last.views[0].variables}
    assert [sources[name] for name in ("ISS", "SND.UNA", "SND.NXT")] == [
        Source.INFERRED,
        Source.TRACED,
        Source.TRACED,
    ]
    assert sources["cwnd"] is None


@pytest.mark.parametrize(
    "what",
    [pytest.param(each, id=each.__name__) for each in (blind_reset, closed_port, lost_syn_ack, talk)],
)
def test_a_digest_is_the_same_without(what: Callable[[Stage], None]) -> None:
    traced, plain = story_of(what), story_of(what, traced=False)
    assert digest(traced) == digest(plain)
    assert [each for step in plain.steps for each in (*step.because, *step.notes)] == []


@pytest.mark.usefixtures("_tells_reasons")
def test_who_plays_at_the_same_time_is_not_heard() -> None:
    plays = [handshake, blind_reset, talk, closed_port, talk, blind_reset]
    with ThreadPoolExecutor(len(plays)) as pool:
        stories = list(pool.map(story_of, plays))
    notes = [[note.partition(":")[0] for step in story.steps for note in step.notes] for story in stories]
    blind, closed = ["dropped, TCP_OLD_SEQUENCE"], ["dropped, NO_SOCKET"]
    assert notes == [[], blind, [], closed, [], blind]
    rules = [[each for step in story.steps for each in step.because] for story in (stories[0], stories[2])]
    assert rules == [list[Because]()] * 2


def test_an_instance_is_gone_after_a_play(tracing: Tracing) -> None:
    story_of(handshake)
    ours = [name for name in tracing.instances() if name.startswith(f"xsocket-{os.getpid()}-")]
    assert ours == [tracing.name]


def test_what_a_killed_process_leaves_is_removed(
    tracing: Tracing, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    child = start(ABANDONED)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert name in tracing.instances()
    Tracing().close()
    assert name in tracing.instances()
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    Tracing().close()
    assert name not in tracing.instances()


def test_an_ordinary_user_is_told_why_not(
    as_ordinary_user: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert as_ordinary_user("-c", STRANGER).stdout.strip() == TracefsError.remedy


def test_a_detached_mount_is_nowhere() -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    try:
        root = kernel.detached_mount("tmpfs")
    except PermissionError as error:
        pytest.skip(str(error))
    try:
        os.mkdir("seen", dir_fd=root)
        assert os.stat("seen", dir_fd=root).st_mode
        assert Path("/proc/self/mountinfo").read_text() == mounts
    finally:
        os.close(root)


def test_a_file_system_that_there_is_not_is_named() -> None:
    with pytest.raises(OSError, match="no-such-file-system"):
        kernel.detached_mount("no-such-file-system")
