"""The vocabulary is the RFC's."""

import pytest

from xsocket.state import Reply, State, Timer, Trigger


def test_the_eleven_states() -> None:
    """RFC 9293 section 3.3.2."""
    assert [state.value for state in State] == [
        *("LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT"),
        *("CLOSING", "LAST-ACK", "TIME-WAIT", "CLOSED"),
    ]


@pytest.mark.parametrize("kind", [State, Trigger, Reply, Timer], ids=lambda kind: kind.__name__)
def test_every_name_means_one_thing(kind: type[State | Trigger | Reply | Timer]) -> None:
    values = [member.value for member in kind]
    assert len(set(values)) == len(values)
    assert len({hash(member) for member in kind}) == len(values)
    assert {member: member.value for member in kind} == dict(zip(kind, values, strict=True))
