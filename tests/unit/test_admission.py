from typing import Any

import pytest

from xsocket.admission import Admission, AdmissionPolicy, Verdict
from xsocket.errors import BadAddressError, BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.segment import SYN, Segment

V4 = "10.0.0.1"
V6 = "fd00::1"
A_SYN = Segment(seq=1, acknowledgment=0, flags=SYN)


def decide(policy: AdmissionPolicy, port: int, source: str = V4) -> Verdict:
    local = "fd00::2" if ":" in source else "10.0.0.2"
    return policy.decide(FourTuple(local, port, source, 40_000), A_SYN)


@pytest.mark.parametrize(
    ("arguments", "port", "source", "verdict"),
    [
        pytest.param({}, 1, V4, Verdict.ADMIT, id="no argument admits all"),
        pytest.param({"ports": "80,8000-8099"}, 8050, V4, Verdict.ADMIT, id="an admitted port"),
        pytest.param({"ports": "80,8000-8099"}, 81, V4, Verdict.REFUSE, id="another port"),
        pytest.param({"ports": []}, 80, V4, Verdict.REFUSE, id="no port at all"),
        pytest.param({"sources": "10.0.0.0/24"}, 80, V4, Verdict.ADMIT, id="an admitted source"),
        pytest.param({"sources": "10.0.0.0/24"}, 80, "10.0.1.1", Verdict.REFUSE, id="another source"),
        pytest.param({"sources": "10.0.0.0/24"}, 80, V6, Verdict.REFUSE, id="another family"),
        pytest.param({"ports": 80, "sources": "fd00::/64"}, 80, V6, Verdict.ADMIT, id="both fit"),
        pytest.param({"ports": 80, "sources": "fd00::/64"}, 81, V6, Verdict.REFUSE, id="the port does not"),
        pytest.param({"ports": 80, "otherwise": "ignore"}, 81, V4, Verdict.IGNORE, id="port, ignored"),
        pytest.param(
            {"sources": "fd00::/64", "otherwise": "ignore"}, 80, V4, Verdict.IGNORE, id="source, ignored"
        ),
        pytest.param({"ports": 80, "ignored_ports": 23}, 80, V4, Verdict.ADMIT, id="open"),
        pytest.param({"ports": 80, "ignored_ports": 23}, 81, V4, Verdict.REFUSE, id="closed"),
        pytest.param({"ports": 80, "ignored_ports": 23}, 23, V4, Verdict.IGNORE, id="filtered"),
        pytest.param({"ignored_ports": "20-23"}, 23, V4, Verdict.IGNORE, id="ignored, not open"),
    ],
)
def test_admission(arguments: dict[str, Any], port: int, source: str, verdict: Verdict) -> None:
    assert decide(Admission(**arguments), port, source) is verdict


def test_anything_that_decides_is_a_policy() -> None:
    class OnlySmallSequenceNumbers:
        def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:
            return Verdict.ADMIT if segment.seq < four_tuple.local_port else Verdict.IGNORE

    assert decide(OnlySmallSequenceNumbers(), 80) is Verdict.ADMIT
    assert decide(OnlySmallSequenceNumbers(), 1) is Verdict.IGNORE


@pytest.mark.parametrize("argument", ["ports", "sources", "ignored_ports"])
def test_a_bad_argument_is_refused(argument: str) -> None:
    with pytest.raises(BadAddressError, match="'nonsense'"):
        Admission(**{argument: "nonsense"})  # type: ignore[arg-type]


def test_a_third_way_is_refused() -> None:
    with pytest.raises(BadConfigError, match="refuse or ignore"):
        Admission(otherwise="tarpit")  # type: ignore[arg-type]


def test_the_repr_says_what_was_asked_for() -> None:
    admission = Admission(ports="80", sources="10.0.0.0/24", ignored_ports=23, otherwise="ignore")
    assert repr(admission) == (
        "Admission(ports='80', sources='10.0.0.0/24', ignored_ports='23', otherwise='ignore')"
    )
