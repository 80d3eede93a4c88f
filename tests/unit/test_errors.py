import inspect
import pickle

import pytest

from xsocket import errors
from xsocket.errors import (
    AlreadyClaimedError,
    BadAddressError,
    BadConfigError,
    CallerError,
    ClaimTimeout,
    EnvironmentRefusedError,
    PoolClosed,
    WaitError,
    XsocketError,
)

FAMILIES = {CallerError, EnvironmentRefusedError, WaitError}
EVERY_ERROR = [
    each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, XsocketError)
]
LEAVES = [each for each in EVERY_ERROR if each not in FAMILIES and each is not XsocketError]


def test_there_are_errors() -> None:
    assert len(LEAVES) >= 9


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_belongs_to_one_family(error: type[XsocketError]) -> None:
    assert sum(issubclass(error, family) for family in FAMILIES) == 1


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_has_a_remedy_of_its_own_and_prints_it(error: type[XsocketError]) -> None:
    assert "remedy" in vars(error)
    assert error.remedy.endswith(".")
    assert str(error("what happened")) == f"what happened ({error.remedy})"


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_says_what_it_means(error: type[XsocketError]) -> None:
    assert error.__doc__
    assert error.__doc__ != XsocketError.__doc__


@pytest.mark.parametrize("error", LEAVES)
def test_an_error_survives_pickling(error: type[XsocketError]) -> None:
    again = pickle.loads(pickle.dumps(error("what happened")))  # noqa: S301  # our own octets
    assert type(again) is error
    assert str(again) == str(error("what happened"))


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        pytest.param(ClaimTimeout, TimeoutError, id="a claim's timeout"),
        pytest.param(BadAddressError, ValueError, id="a bad address"),
        pytest.param(BadConfigError, ValueError, id="a bad rule"),
    ],
)
def test_an_error_is_caught_as_the_built_in_one(error: type[XsocketError], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_the_pools_errors_are_apart() -> None:
    assert issubclass(AlreadyClaimedError, CallerError)
    assert issubclass(PoolClosed, WaitError)
    assert not issubclass(PoolClosed, TimeoutError)
