"""What `xsocket lab up` can be told of a path: values with units, and a word about those that are none."""

import click
import pytest
from click.testing import CliRunner

from support.paths import right, segment
from xsocket_tools.cli import main
from xsocket_tools.path.command import described, path_options, settings_of
from xsocket_tools.path.element import Element
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.impairments import Impair, LimitMtu, Lose, LoseBursts
from xsocket_tools.path.nat import Nat
from xsocket_tools.path.resets import ForgetfulFirewall, InjectReset
from xsocket_tools.path.sequence import RewriteSequence
from xsocket_tools.path.settings import Settings
from xsocket_tools.path.stripping import ClampMss, StripOptions
from xsocket_tools.path.synproxy import SynProxy
from xsocket_tools.path.units import DURATION, RATE, SHARE, Quantity


class Told:
    """What a command with the options was told."""

    def __init__(self, *arguments: str) -> None:
        @click.command()
        @path_options
        @click.pass_context
        def command(context: click.Context, /, **given: object) -> None:
            self.settings = settings_of(given)
            self.words = described(context)

        result = CliRunner().invoke(command, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DURATION, "30ms", 0.03),
        (DURATION, "1.5s", 1.5),
        (DURATION, "2 min", 120.0),
        (DURATION, "200us", 0.0002),
        (SHARE, "5%", 0.05),
        (SHARE, ".05", 0.05),
        (SHARE, "100%", 1.0),
        (RATE, "10mbit", 10e6),
        (RATE, "500KBit", 500e3),
    ],
)
def test_a_number_has_a_unit(kind: Quantity, text: str, value: float) -> None:
    assert kind.convert(text, None, None) == pytest.approx(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(DURATION, "30"), (DURATION, "-1s"), (DURATION, "ms"), (SHARE, "101%"), (SHARE, "5"), (RATE, "10mb")],
)
def test_or_it_is_refused_with_an_example(kind: Quantity, text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it like"):
        kind.convert(text, None, None)


EVERYTHING = (
    *("--delay", "30ms", "--jitter", "5ms", "--rate", "10mbit", "--loss", "5%", "--burst-loss", "1%,25%"),
    *("--lose", "S.:1", "--lose", "data:2-3", "--duplicate", "1%", "--reorder", "1%", "--corrupt", "1%"),
    *("--mtu", "1400", "--black-hole", "--strip", "timestamps", "--strip", "sack", "--clamp-mss", "536"),
    *("--nat", "--rewrite-sequence", "--syn-proxy", "--forget-after", "60s", "--reset-strangers"),
    *("--inject-reset", "F.:1", "--seed", "7"),
)


def test_all_of_it_at_once() -> None:
    told = Told(*EVERYTHING)
    assert [type(each) for each in told.settings.elements()] == [
        *(StripOptions, ClampMss, RewriteSequence, SynProxy, ForgetfulFirewall, InjectReset, Nat),
        *(Lose, Lose, LimitMtu, LoseBursts, Impair),
    ]
    assert Settings.load(told.settings.dumped()) == told.settings
    again = Told(*" ".join(told.words).split())
    assert again.settings == told.settings


def test_nothing_asks_for_nothing() -> None:
    told = Told("--seed", "3")
    assert told.settings.is_empty
    assert told.settings.elements() == []
    assert told.words == ["--seed 3"]


def test_what_netem_does_is_not_done_twice() -> None:
    settings = Told("--delay", "30ms", "--loss", "5%", "--nat").settings
    assert (settings.netem().delay_s, settings.netem().loss) == (0.03, 0.05)
    assert [type(each) for each in settings.without_netem().elements()] == [Nat]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(Settings(jitter=1.0), id="jitter-without-delay"),
        pytest.param(Settings(black_hole=True), id="black-hole-without-mtu"),
        pytest.param(Settings(reset_strangers=True), id="strangers-without-firewall"),
        pytest.param(Settings(delay=1.0, jitter=2.0), id="more-jitter-than-delay"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: Settings) -> None:
    with pytest.raises(BadElementError):
        settings.elements()


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--loss", "120%"], 2, "'120%' is too much; write it like 5%"),
        (["--burst-loss", "1%"], 2, "write them like 1%,25%"),
        (["--lose", "X"], 2, "write it like S.:1"),
        (["--strip", "everything"], 2, "'timestamps'"),
        (["--hosts", "a,b,c", "--loss", "5%"], 2, "labs of two hosts"),
        (["--mtu", "10"], 1, "remedy: `xsocket lab up --help`"),
        (["--netem", "--reorder", "5%"], 1, "reordering needs a delay"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_command_refuses_before_there_is_a_lab(arguments: list[str], status: int, complaint: str) -> None:
    result = CliRunner().invoke(main, ["lab", "up", *arguments])
    assert result.exit_code == status
    assert complaint in " ".join(result.stderr.split())


def test_elements_of_one_seed_are_the_same() -> None:
    def fates(element: Element) -> list[int]:
        return [len(element.take(0.0, right(segment("S", number)))) for number in range(200)]

    (first,), (second,), (other,) = (Settings(loss=0.5, seed=seed).elements() for seed in (1, 1, 2))
    assert fates(first) == fates(second) != fates(other)
