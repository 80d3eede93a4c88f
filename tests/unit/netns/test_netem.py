from __future__ import annotations

import pytest

from xsocket_netns import LabUsageError, Netem


def test_the_kernel_is_told_in_its_own_units() -> None:
    netem = Netem(delay_s=0.03, jitter_s=0.0005, loss=0.05, reorder=0.1, corrupt=0.01, rate_bps=10e6)
    assert netem.parameters() == {
        "delay": 30_000,
        "jitter": 500,
        "loss": 5.0,
        "duplicate": 0.0,
        "prob_reorder": 10.0,
        "prob_corrupt": 1.0,
        "limit": 1000,
        "rate": 1_250_000,
    }


@pytest.mark.parametrize(
    "netem",
    [
        pytest.param(Netem(loss=1.5), id="loss"),
        pytest.param(Netem(jitter_s=1), id="jitter"),
        pytest.param(Netem(reorder=0.1), id="reorder-without-delay"),
        pytest.param(Netem(rate_bps=0), id="rate"),
        pytest.param(Netem(limit=0), id="limit"),
    ],
)
def test_values_out_of_range_are_refused(netem: Netem) -> None:
    with pytest.raises(LabUsageError, match="netem cannot do that"):
        netem.parameters()
