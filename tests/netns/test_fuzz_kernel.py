"""This machine's kernel, judged: what it does otherwise than the rules is in the list, or is a finding."""

from __future__ import annotations

import pytest

from support.linux import only_there
from xsocket.segment import ACK, CWR, ECE, FIN, PSH, SYN
from xsocket_tools.fuzzing.case import Call, Case, Icmp, Place, Say
from xsocket_tools.fuzzing.deviations import LINUX
from xsocket_tools.fuzzing.fitting import fits
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.shard import Runner, Shard
from xsocket_tools.fuzzing.target import Target

pytestmark = [pytest.mark.netns, only_there]

CASES = 2_000


def test_the_list_explains_what_linux_does_otherwise(linux: Target) -> None:
    """What is wrong once and not again is a matter of real time, as in a campaign, and no finding."""
    runner = Runner(Shard(seed=1, first=0, cases=CASES, target="kernel", shrink=False), linux)
    runner.run()
    found = runner.result
    assert found.findings == ()
    assert found.cases > CASES // 2
    assert found.unsteady < CASES // 100
    assert set(found.allowed) <= {each.name for each in LINUX}
    assert len(found.allowed) > 10


RARE = {
    "a FIN in front of other text, and an answer with text": Case(
        (
            *(Say(1, SYN | ECE | CWR, options=("mss 100",)), Say(1, ACK), Call(1, "claim")),
            Say(1, ACK | PSH, Place("next", 1), text=2),
            Call(1, "send", 1460),
            Say(1, FIN | ACK, text=1),
        )
    ),
    "a FIN that ends where text from past a gap did": Case(
        (
            *(Call(4, "open"), Say(4, SYN | ACK), Call(4, "send", 40_000)),
            *(Say(4, ACK, Place("next", 1), text=1), Say(4, FIN | ACK, text=1)),
        )
    ),
    "a wrong third segment that an older cookie fits": Case(
        (
            *(Say(7, SYN), Say(7, ACK), Call(7, "claim"), Call(7, "shutdown"), Say(7, FIN | ACK)),
            *(Say(7, SYN, Place("beyond", 1)), Say(7, ACK, Place("next"), Place("beyond"))),
        ),
        (("syn_cookies", "always"),),
    ),
    "a SYN goes again on a path that another connection found to be narrow": Case(
        (
            *(Call(6, "open"), Say(3, SYN, options=("mss 1400",)), Say(3, ACK)),
            *(Icmp(3, "too big", Place("duplicate"), mtu=1280), Say(6, SYN)),
        )
    ),
    "a SYN goes again on a path that was found to be narrow": Case(
        (Call(4, "open"), Icmp(4, "too big", Place("duplicate"), mtu=1000), Say(4, SYN))
    ),
    "a path on which text goes no more, and with it no acknowledgment": Case(
        (
            *(Say(1, SYN), Say(1, ACK | PSH, window=0), Call(1, "claim"), Call(1, "send", 3000)),
            *(Icmp(1, "too big", mtu=68), Say(1, ACK, Place("next", 10), text=1)),
        ),
        (("min_pmtu", 68),),
    ),
    "the usual limit of answers, which no rule of the case changes": Case(
        (
            *(Call(6, "open"), Say(6, SYN | ACK), Call(6, "close"), Say(6, FIN | ACK)),
            *(Say(6, SYN), Say(6, SYN)),
        )
    ),
    "the text of an open goes in many pieces, and more is given meanwhile": Case(
        (
            *(Call(6, "open", 40_000), Say(6, SYN | ACK, window=10), Say(3, SYN)),
            *(Say(6, ACK | PSH), Say(6, ACK | PSH | CWR), Say(6, ACK | PSH), Say(6, ACK | PSH)),
            *(Call(6, "send", 1), Say(6, ACK)),
        )
    ),
    "a mark on text that is all old": Case(
        (Say(1, SYN | ECE | CWR), Say(1, ACK), Say(1, ACK, Place("start"), text=1, ecn=3))
    ),
    "text with a wrong acknowledgment for an orphan, at the limit of answers": Case(
        (
            *(Say(0, SYN), Say(0, ACK), Call(0, "claim"), Call(0, "close"), Say(0, ACK)),
            *(Say(0, SYN, Place("zero")), Say(0, ACK | PSH, Place("next"), Place("wrapped"), text=1)),
        ),
        isn=1000,
    ),
    "an answer in TIME-WAIT that does not count for the limit": Case(
        (
            *(Call(6, "open"), Say(6, SYN | ACK), Call(6, "close"), Say(6, FIN | ACK)),
            *(Say(6, SYN, Place("wrapped")), Say(6, ACK, Place("start"))),
        )
    ),
    "a FIN among text that came early": Case(
        (
            *(Call(6, "open"), Say(6, SYN | ACK), Say(6, ACK, Place("next"), Place("beyond")), Say(6, SYN)),
            *(Say(6, FIN | ACK | PSH, text=1), Say(6, SYN), Say(6, ACK, Place("next", 1), text=1)),
            *(Say(6, ACK, Place("next", 3), text=1), Say(6, ACK, text=1)),
        )
    ),
    "a mark on text after the peer's FIN, and an answer with text": Case(
        (
            *(Say(1, SYN | ECE | CWR), Say(1, ACK, window=10), Call(1, "claim")),
            *(Say(1, FIN | ACK, window=10), Call(1, "send", 3000), Say(1, ACK | PSH, text=1, ecn=3)),
        )
    ),
    "CWR with text after the peer's FIN": Case(
        (Say(2, SYN | ECE | CWR), Say(2, FIN | ACK), Say(2, ACK | PSH | CWR, text=1))
    ),
    "a mark on a SYN that asks for ECN": Case(
        (Say(2, SYN | ECE | CWR, ecn=3), Say(2, ACK | PSH, text=1, ecn=3))
    ),
    "a window in TIME-WAIT that has grown by text past a gap": Case(
        (
            *(Say(7, SYN, options=("sackok",)), Say(7, ACK), Call(7, "claim")),
            *(
                Say(7, ACK | PSH, Place("beyond"), text=1400),
                Call(7, "close"),
                Say(7, FIN | ACK),
                Say(7, SYN),
            ),
        )
    ),
    "stale blocks where no connection may be in TIME-WAIT": Case(
        (
            *(Call(6, "open"), Say(6, SYN | ACK, options=("sackok",)), Call(6, "shutdown")),
            *(Say(6, FIN | ACK, Place("next", 1), text=1000), Say(6, ACK, text=100)),
        ),
        (("max_tw_buckets", 0),),
    ),
    "a FIN with an acknowledgment of nothing after a Fast Open and CLOSE": Case(
        (
            *(Say(7, SYN, options=("tfo",)), Call(7, "claim"), Call(7, "close")),
            Say(7, FIN | ACK, Place("next"), Place("duplicate")),
        ),
        (("fastopen", 514), ("fastopen_qlen", 5)),
    ),
    "text that waits for room for an MSS that nobody has said": Case(
        (Call(4, "open", 5000), Say(4, SYN), Say(4, ACK, window=1000), Call(4, "close"))
    ),
    "a SYN again in a simultaneous open, at the limit of answers": Case(
        (Call(1, "open"), Say(1, SYN), Say(1, SYN | FIN), Say(1, SYN, Place("start"))),
        (("invalid_ratelimit_s", 0.5),),
    ),
    "whoever comes is claimed, after an answer that is not in the rules": Case(
        (Say(1, SYN), Say(1, SYN), Say(1, SYN), Say(1, ACK | PSH), Call(3, "claim any"))
    ),
}


@pytest.mark.parametrize("name", RARE)
def test_what_comes_about_once_in_a_hundred_thousand_cases_is_explained(name: str, linux: Target) -> None:
    case = fits(RARE[name], linux)
    assert case == RARE[name]
    assert play(case, linux).violation is None
