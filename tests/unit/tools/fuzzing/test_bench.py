"""The bench of the fuzzer runs, and puts to the engine what it says it does. No figure is asserted."""

import json
from itertools import islice

from click.testing import CliRunner

from xsocket_tools.bench import bench
from xsocket_tools.fuzzing.bench import OPERATIONS, Recorded, Round, cases_of
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.targets.engine import EngineTarget


def test_each_case_has_ten_operations() -> None:
    cases = [*islice(cases_of(1), 50)]
    assert {len(case.operations) for case in cases} == {OPERATIONS}


def essence(target: EngineTarget) -> list[object]:
    """What happened in a case, but for the text of its user."""
    found: list[object] = []
    for event in target.trace:
        segment = event.segment
        bare = segment and segment._replace(payload=bytes(len(segment.payload)))
        found.append(event._replace(frame=None, segment=bare))
    return found


def test_what_was_recorded_is_put_to_the_engine_again() -> None:
    target = EngineTarget(traced=True)
    for case in islice(cases_of(1), 50):
        recorded = Recorded(case, play(case, target, judged=False, with_steps=True).steps)
        before = essence(target)
        recorded.play(target)
        assert essence(target) == before


def test_the_command_prints_one_object() -> None:
    argv = ["fuzz", "--cases", "5", "--rounds", "2", "--no-kernel", "--json"]
    done = CliRunner().invoke(bench, argv)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["cases"], found["operations"]) == (5, OPERATIONS)
    assert found["per_second"].keys() == set(Round._fields)
    assert all(value > 0 for value in found["per_second"].values())
    assert [each.keys() for each in found["rounds"]] == [set(Round._fields)] * 2
    assert found["oracles_cost"] > 0 < found["harness_costs"]


def test_the_command_says_what_it_measured() -> None:
    done = CliRunner().invoke(bench, ["fuzz", "--cases", "5", "--rounds", "1", "--no-kernel"])
    assert done.exit_code == 0
    assert "cases per second with all oracles" in done.stdout
    assert "of the engine alone" in done.stdout
