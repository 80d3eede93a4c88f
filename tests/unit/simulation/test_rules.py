"""Hosts whose rules and admission change while they run."""

from dataclasses import replace

import pytest

from support.virtual import DAY_S, FAR, PORT, world
from xsocket import AddressInUseError, Admission, BadConfigError, State, TcpConfig


def test_other_rules_hold_for_connections_that_are_opened_later() -> None:
    near, far = (lambda made: (made.near, made.far))(made := world())
    first, accepted = made.open()
    far.set_config(replace(far.config, timestamps=False, sack=False))
    second, claimed = made.open()
    assert (accepted.info.timestamps, first.info.timestamps) == (True, True)
    assert (claimed.info.timestamps, second.info.timestamps, claimed.info.sack) == (False, False, False)
    assert not far.config.timestamps
    assert near.config.timestamps


def test_limits_of_the_host_change_at_once() -> None:
    made = world()
    made.open()
    made.far.set_config(replace(made.far.config, max_connections=1))
    with pytest.raises(TimeoutError):
        made.near.connect(FAR, PORT, timeout=1.0)


def test_cookies_begin_and_end_with_their_rule() -> None:
    made = world()
    for syn_cookies, sent in (("always", 1), ("never", 1)):
        made.far.set_config(replace(made.far.config, syn_cookies=syn_cookies))
        made.open()
        assert made.far.statistics().cookies_sent == sent


def test_the_pool_is_made_once() -> None:
    far = world().far
    with pytest.raises(BadConfigError, match="pool_capacity is 65536"):
        far.set_config(TcpConfig(pool_capacity=7))
    with pytest.raises(BadConfigError, match="pool_policy"):
        far.set_config(TcpConfig(pool_policy="refuse"))


def test_admission_changes_and_what_is_open_stays_so() -> None:
    made = world()
    ours, theirs = made.open()
    made.far.set_admission(Admission(ports=()))
    with pytest.raises(ConnectionRefusedError):
        made.near.connect(FAR, PORT, timeout=DAY_S)
    ours.sendall(b"still here")
    assert theirs.recv(100) == b"still here"


def test_a_fast_open_cookie_can_be_asked_for() -> None:
    made = world(config=TcpConfig(fastopen=3, fastopen_qlen=16))
    assert made.near.fastopen_cookie(FAR) is None
    made.near.connect(FAR, PORT, timeout=DAY_S, data=b"")
    cookie = made.near.fastopen_cookie(FAR)
    assert cookie is not None
    assert len(cookie) == 8


def test_a_server_of_fast_open_keeps_what_is_pending_when_rules_change() -> None:
    made = world(config=TcpConfig(fastopen=3, fastopen_qlen=16))
    made.near.connect(FAR, PORT, timeout=DAY_S, data=b"")
    made.link.drop(lambda sent: sent.sender is made.far)
    made.near.open(FAR, PORT, data=b"early")
    made.sim.run(for_s=0.1)
    assert made.far.statistics().fast_open.pending == 1
    made.far.set_config(replace(made.far.config, fastopen_qlen=1))
    assert made.far.statistics().fast_open.pending == 1
    made.near.open(FAR, PORT, data=b"too many")
    made.sim.run(for_s=0.1)
    assert made.far.statistics().fast_open.listen_overflow == 1
    made.far.set_config(replace(made.far.config, fastopen=0))
    assert made.far.statistics().fast_open.pending == 0


def test_what_a_connection_will_raise_is_seen_before() -> None:
    made = world()
    ours, theirs = made.open()
    theirs.abort()
    made.sim.run(for_s=0.1)
    assert ours.info.error is ConnectionResetError
    with pytest.raises(ConnectionResetError):
        ours.recv(1)
    assert ours.info.error is None


def test_an_active_open_may_take_over_time_wait_when_its_timestamps_tell_it_apart() -> None:
    """RFC 6191 section 2, and only where the rule allows it."""
    made = world(config=TcpConfig(tw_reuse=True))
    ours = made.near.connect(FAR, PORT, timeout=DAY_S, local_port=4000)
    theirs = made.far.pool.claim(timeout=DAY_S)
    ours.close()
    theirs.close()
    made.sim.run(for_s=0.5)
    with pytest.raises(AddressInUseError):
        made.near.connect(FAR, PORT, timeout=DAY_S, local_port=4000)
    made.sim.run(for_s=1.0)
    assert made.near.connect(FAR, PORT, timeout=DAY_S, local_port=4000).state is State.ESTABLISHED
