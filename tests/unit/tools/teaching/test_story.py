"""Stories of what two hosts of a simulation, one engine's trace, or packets alone tell."""

from __future__ import annotations

import json

import pytest

from xsocket import ClaimTimeout, Event, EventKind, FourTuple, Simulation, State, TcpConfig
from xsocket.segment import ACK, CE, CWR, ECE, SYN, Segment
from xsocket.simulation import SimulatedHost, SimulatedLink
from xsocket_tools.teaching.story import End, Kind, Source, Step, Story
from xsocket_tools.teaching.telling import of_packets, of_simulation, of_trace

SERVER = "10.0.0.2"
CLIENT_SIDE = FourTuple("10.0.0.1", 40000, "10.0.0.2", 80)


class Scene:
    """A client and a server, ten milliseconds apart."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        self.sim = Simulation(seed=1)
        self.client: SimulatedHost = self.sim.host("10.0.0.1/24", name="client", config=config)
        self.server: SimulatedHost = self.sim.host("10.0.0.2/24", name="server", config=config)
        self.link: SimulatedLink = self.sim.link(self.client, self.server, delay_s=0.01)

    def story(self) -> Story:
        """Return what happened."""
        return of_simulation(self.sim.trace, "client", "server", title="A scene")


@pytest.fixture
def scene() -> Scene:
    """Return a new one."""
    return Scene()


def value(step: Step, end: int, name: str) -> str:
    """Return a variable of an end after a step."""
    return next(each.value for each in step.views[end].variables if each.name == name)


def changed(step: Step, end: int) -> set[str]:
    """Return the variables of an end that a step changed."""
    return {each.name for each in step.views[end].variables if each.changed}


def test_claims_that_wait_stand_beside_the_steps_and_are_none(scene: Scene) -> None:
    scene.client.open(SERVER, 80)
    scene.server.pool.claim()
    with pytest.raises(ClaimTimeout):
        scene.server.pool.claim(timeout=1.0)
    steps = scene.story().steps
    assert [step.kind for step in steps] == [*[Kind.CARRIED] * 3, *[Kind.POOL] * 3]
    counted = [tables.waiting_claims for step in steps if (tables := step.tables[1]) is not None]
    assert counted == [1, 1, 1, 1, 0, 0]
    assert "a claim ends without a connection" in steps[-1].title


def test_a_handshake_is_three_steps_with_both_ends_after_each(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    syn, syn_ack, ack, put, claimed = scene.story().steps
    assert [step.kind for step in (syn, syn_ack, ack)] == [Kind.CARRIED] * 3
    assert [step.title for step in (syn, syn_ack, ack)] == [
        "client sends SYN seq 0",
        "server sends SYN+ACK seq 0 ack 1",
        "client sends ACK seq 1 ack 1",
    ]
    states = [tuple(view.state for view in step.views) for step in (syn, syn_ack, ack)]
    assert states == [
        (State.SYN_SENT, State.SYN_RECEIVED),
        (State.ESTABLISHED, State.SYN_RECEIVED),
        (State.ESTABLISHED, State.ESTABLISHED),
    ]
    assert (syn_ack.at_s, syn_ack.until_s - syn_ack.at_s) == (
        pytest.approx(syn.until_s),
        pytest.approx(0.01),
    )
    assert [put.kind, claimed.kind] == [Kind.POOL] * 2


def test_variables_are_those_of_the_moment_and_what_changed_is_marked(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    syn, syn_ack, ack, *_ = scene.story().steps
    assert (value(syn, 0, "SND.UNA"), value(syn, 0, "SND.NXT")) == ("0", "1")
    assert (value(syn_ack, 0, "SND.UNA"), value(syn_ack, 0, "RCV.NXT")) == ("1", "1")
    assert "SND.UNA" in changed(syn_ack, 0)
    assert "ISS" not in changed(syn_ack, 0)
    assert changed(syn_ack, 1) == set()
    assert "SND.UNA" in changed(ack, 1)
    assert all(each.name != "RCV.NXT" for each in syn.views[0].variables), "it has heard nothing yet"
    absolute = next(each.absolute for each in syn.views[0].variables if each.name == "ISS")
    assert syn.packet is not None
    assert absolute == str(syn.packet.absolute_seq)


def test_each_end_says_by_which_rule_it_acted(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    syn, syn_ack, *_ = scene.story().steps
    ours = [(each.end, each.key, each.did) for each in syn.because]
    assert (0, "RFC 9293 3.10.1", "sent SYN, SYN-SENT by active OPEN") in ours
    assert (1, "RFC 9293 3.10.7.2 third", "SYN-RECEIVED by SYN") in ours
    (first, *_) = syn_ack.because
    assert first.title
    assert first.sentence.endswith(".")
    assert first.url.startswith("https://www.rfc-editor.org/rfc/rfc9293.html#section-3.10.7.2")


def test_what_is_lost_never_arrives_and_the_timer_has_a_step_of_its_own(scene: Scene) -> None:
    scene.link.drop(lambda sent: sent.segment.letters == "S", nth=1)
    scene.client.connect(SERVER, 80)
    lost, timer, again, *_ = scene.story().steps
    assert (lost.kind, lost.views[1].state) == (Kind.LOST, None)
    assert (timer.kind, timer.at_s) == (Kind.TIMER, pytest.approx(1.0))
    assert value(timer, 0, "retransmissions") == "1"
    assert (again.kind, again.title) == (Kind.CARRIED, lost.title.removesuffix(", which is lost"))


def test_what_is_sent_again_just_as_it_was_is_not_taken_for_what_was_lost() -> None:
    plain = TcpConfig(timestamps=False)
    sim = Simulation(seed=1)
    client, server = (
        sim.host(f"10.0.0.{number}/24", name=name, config=plain)
        for number, name in ((1, "client"), (2, "server"))
    )
    link = sim.link(client, server, delay_s=0.01)
    link.drop(lambda sent: sent.segment.letters == "S", nth=1)
    link.drop(lambda sent: sent.segment.payload, nth=1)
    connection = client.connect(SERVER, 80)
    connection.send(b"text")
    sim.run(for_s=5.0)
    steps = of_simulation(sim.trace, "client", "server", title="t").steps
    sent = [
        step
        for step in steps
        if step.packet is not None and (step.packet.flags == "SYN" or step.packet.length)
    ]
    assert [step.kind for step in sent] == [Kind.LOST, Kind.CARRIED] * 2


def test_segments_that_cross_are_sent_in_one_step_and_arrive_in_another(scene: Scene) -> None:
    scene.client.open(SERVER, 4000, local_port=4001)
    scene.server.open("10.0.0.1", 4001, local_port=4000)
    scene.sim.run(for_s=1.0)
    story = scene.story()
    kinds = [step.kind for step in story.steps]
    assert kinds[:4] == [Kind.SENT, Kind.SENT, Kind.ARRIVED, Kind.SENT]
    assert Kind.LOST not in kinds
    assert [view.state for view in story.steps[-1].views] == [State.ESTABLISHED] * 2
    assert len(story.connections) == 1


def test_what_nobody_sent_is_forged(scene: Scene) -> None:
    connection = scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    scene.link.inject(connection.four_tuple, Segment(connection.info.snd_nxt, 0, 0x04))
    scene.sim.run(for_s=0.1)
    forged = scene.story().steps[-1]
    assert (forged.kind, forged.title) == (Kind.FORGED, "server gets RST seq 1, which client never sent")
    assert [view.state for view in forged.views] == [State.ESTABLISHED, State.CLOSED]


def test_what_is_sent_once_and_comes_twice_is_told_as_a_copy(scene: Scene) -> None:
    connection = scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    scene.sim.run(for_s=0.1)
    (syn,) = [
        step
        for step in scene.sim.trace
        if step.kind is EventKind.SENT and step.segment is not None and step.segment.letters == "S"
    ]
    assert syn.segment is not None
    scene.link.inject(connection.four_tuple, syn.segment)
    scene.sim.run(for_s=0.1)
    titles = [step.title for step in scene.story().steps if step.kind is Kind.FORGED]
    assert titles == ["server gets SYN seq 0, a copy of what client once sent"]


def test_a_forged_syn_is_counted_from_the_syns_of_the_connection(scene: Scene) -> None:
    connection = scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    number = connection.info.snd_nxt + 1000
    scene.link.inject(connection.four_tuple, Segment(number, 0, SYN))
    connection.send(b"genuine")
    scene.sim.run(for_s=0.1)
    titles = [step.title for step in scene.story().steps]
    assert "server gets SYN seq 1001, which client never sent" in titles
    assert any("PSH+ACK seq 1 ack 1 len 7" in title for title in titles)


def test_an_onlooker_forgets_a_connection_that_is_opened_anew() -> None:
    back = CLIENT_SIDE.reversed
    packets = [
        (0.0, CLIENT_SIDE, Segment(100, 0, SYN, 1000)),
        (0.1, back, Segment(900, 101, SYN | ACK, 2000)),
        (0.2, CLIENT_SIDE, Segment(5000, 0, SYN, 1000)),
    ]
    last = of_packets(packets, title="t").steps[-1]
    assert [each.name for each in last.views[0].variables] == ["ISS", "SND.UNA", "SND.NXT"]


def test_a_notebook_shows_a_story(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    shown = scene.story()._repr_html_()
    assert "SYN-RECEIVED" in shown
    assert "<script" not in shown


def test_what_the_path_changed_is_shown_as_it_arrived(scene: Scene) -> None:
    scene.link.alter(lambda sent: sent.segment.syn, with_=lambda segment: segment._replace(options=b""))
    scene.client.connect(SERVER, 80)
    syn = scene.story().steps[0]
    assert syn.kind is Kind.CARRIED
    assert syn.packet is not None
    assert syn.changed_on_the_way is not None
    assert (bool(syn.packet.options), syn.changed_on_the_way.options) == (True, ())


def test_a_mark_that_the_path_set_is_shown_as_it_arrived() -> None:
    scene = Scene(TcpConfig(ecn=1))
    client = scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    scene.link.alter(lambda sent: sent.segment.payload, with_=lambda segment: segment._replace(ecn=CE))
    client.sendall(b"text")
    scene.sim.run(for_s=0.1)
    text = next(step for step in scene.story().steps if step.packet is not None and step.packet.length)
    assert text.packet is not None
    assert text.changed_on_the_way is not None
    assert (text.packet.ecn, text.changed_on_the_way.ecn) == ("ECT(0)", "CE")


def test_a_segment_whose_ecn_flags_were_cleared_on_the_way_is_still_the_one_that_was_sent() -> None:
    scene = Scene(TcpConfig(ecn=1))
    scene.link.alter(
        lambda sent: sent.segment.syn,
        with_=lambda segment: segment._replace(flags=segment.flags & ~(ECE | CWR)),
    )
    scene.client.connect(SERVER, 80)
    syn = scene.story().steps[0]
    assert syn.kind is Kind.CARRIED
    assert syn.packet is not None
    assert syn.changed_on_the_way is not None
    assert (syn.packet.flags, syn.changed_on_the_way.flags) == ("SYN+ECE+CWR", "SYN")


def test_the_tables_hold_what_waits_beside_the_connection(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    tables = [step.tables[1] for step in scene.story().steps]
    assert [len(each.half_open) if each else None for each in tables] == [1, 1, 0, 0, 0]
    assert [len(each.pool) if each else None for each in tables] == [0, 0, 0, 1, 0]
    assert tables[-1] is not None
    assert tables[-1].claimed == 1


@pytest.mark.parametrize("policy", ["ignore", "refuse"])
def test_what_the_pool_has_no_room_for_comes_before_the_pool_says_so(policy: str) -> None:
    scene = Scene(TcpConfig(pool_capacity=1, pool_policy=policy))
    for _ in range(2):
        scene.client.open(SERVER, 80)
    scene.sim.run(0.1)
    story = scene.story()
    third = next(at for at, step in enumerate(story.steps) if any("POOL_FULL" in note for note in step.notes))
    assert story.steps[third].kind.is_segment
    assert "the pool is full" in story.steps[third + 1].title
    put = next(at for at, step in enumerate(story.steps) if "goes to the pool" in step.title)
    assert put < third, "the first connection takes the place before the second is turned away"


def test_a_connection_that_makes_room_is_no_frame() -> None:
    scene = Scene(TcpConfig(pool_capacity=1, pool_policy="evict"))
    for _ in range(2):
        scene.client.connect(SERVER, 80)
    scene.sim.run(0.1)
    (step,) = (step for step in scene.story().steps if step.kind is Kind.DROPPED)
    assert (step.title, step.connection) == ("server gives the connection up", 0)
    assert "POOL_FULL_EVICTED" in step.notes[0]


def test_connections_are_told_apart(scene: Scene) -> None:
    for _ in range(2):
        scene.client.connect(SERVER, 80)
    story = scene.story()
    assert len(story.connections) == len(story.four_tuples) == 2
    assert {step.connection for step in story.steps} == {0, 1}


def test_a_trace_of_one_end_leaves_the_other_to_inference(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    events = [event for event in scene.sim.trace if event.host == "server"]
    story = of_trace(events, title="t", engine=End("server", "engine", Source.RECORDED), peer="somebody")
    assert [end.source for end in story.ends] == [Source.INFERRED, Source.RECORDED]
    assert [step.views[0].state for step in story.steps[:3]] == [
        State.SYN_SENT,
        State.ESTABLISHED,
        State.ESTABLISHED,
    ]
    assert (value(story.steps[2], 0, "SND.UNA"), value(story.steps[2], 1, "SND.UNA")) == ("1", "1")
    assert story.steps[0].tables[0] is None
    *_, claimed = story.steps
    assert changed(claimed, 0) == changed(claimed, 1) == set()


def test_of_packets_alone_both_ends_are_inferred() -> None:
    back = CLIENT_SIDE.reversed
    packets = [
        (5.0, CLIENT_SIDE, Segment(100, 0, SYN, 1000)),
        (5.1, back, Segment(900, 101, SYN | ACK, 2000)),
        (5.2, CLIENT_SIDE, Segment(101, 901, ACK, 1000)),
        (5.3, CLIENT_SIDE, Segment(101, 901, ACK, 1000, payload=b"hello")),
    ]
    story = of_packets(packets, title="t")
    assert [end.source for end in story.ends] == [Source.INFERRED] * 2
    last = story.steps[-1]
    assert last.title == "client sends ACK seq 1 ack 1 len 5"
    assert (value(last, 0, "SND.NXT"), value(last, 0, "SND.UNA")) == ("6", "1")
    assert (value(last, 1, "RCV.NXT"), value(last, 1, "SND.WND")) == ("6", "1,000")
    assert last.at_s == pytest.approx(0.3)


def test_inferred_windows_are_scaled_if_both_offered_to() -> None:
    scale = bytes((3, 3, 4, 0))
    packets = [
        (0.0, CLIENT_SIDE, Segment(100, 0, SYN, 1000, scale)),
        (0.1, CLIENT_SIDE.reversed, Segment(900, 101, SYN | ACK, 2000, scale)),
        (0.2, CLIENT_SIDE, Segment(101, 901, ACK, 1000)),
    ]
    story = of_packets(packets, title="t")
    assert value(story.steps[1], 0, "SND.WND") == "2,000", "that of a SYN is not scaled"
    assert value(story.steps[2], 1, "SND.WND") == "16,000"


def test_a_drop_says_why_and_a_move_without_a_segment_is_a_step() -> None:
    connection = FourTuple("10.0.0.2", 80, "10.0.0.1", 40000)
    moved = Event(
        EventKind.MOVED, 1000, connection, before=State.TIME_WAIT, after=State.CLOSED, rule="3.10.8"
    )
    story = of_trace([moved], title="t", engine=End("server", "engine", Source.RECORDED))
    (step,) = story.steps
    assert (step.kind, step.views[1].state) == (Kind.CALL, State.CLOSED)


def test_nothing_recorded_is_a_story_without_steps() -> None:
    assert of_packets([], title="t").steps == ()


def test_a_story_is_plain_values_for_json(scene: Scene) -> None:
    scene.client.connect(SERVER, 80)
    scene.server.pool.claim()
    plain = json.loads(json.dumps(scene.story().as_dict()))
    assert plain["ends"][0] == {"name": "client", "what": "engine", "source": "recorded"}
    assert plain["connections"] == [
        "10.0.0.1:" + plain["connections"][0].split(":")[1].split(" ")[0] + " - 10.0.0.2:80"
    ]
    assert plain["steps"][0]["views"][1]["state"] == "SYN-RECEIVED"
    assert plain["steps"][0]["kind"] == "carried"
