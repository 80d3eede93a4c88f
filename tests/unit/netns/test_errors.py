import pytest

import xsocket_netns
from xsocket_netns import LabError, NoSuchLabError

ERRORS = [
    found
    for name in xsocket_netns.__all__
    if isinstance(found := getattr(xsocket_netns, name), type) and issubclass(found, LabError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_prints_what_happened_and_what_to_do(kind: type[LabError]) -> None:
    assert str(kind("it broke")) == f"it broke ({kind.remedy})"
    assert kind is LabError or kind.remedy != LabError.remedy


def test_a_remedy_may_be_given() -> None:
    error = NoSuchLabError("it broke", remedy="Mend it.")
    assert (error.message, error.remedy, str(error)) == ("it broke", "Mend it.", "it broke (Mend it.)")
    assert NoSuchLabError("again").remedy == NoSuchLabError.remedy
