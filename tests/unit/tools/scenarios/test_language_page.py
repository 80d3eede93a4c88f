"""The page on the language: its scripts run, and what it lists exists."""

import re

import pytest

from support.documents import Shown
from support.markdown import ROOT
from xsocket_tools.scenarios.calls import Calls
from xsocket_tools.scenarios.outcome import Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Flag
from xsocket_tools.scenarios.settings import Settings, with_flags

PAGE = ROOT / "docs" / "reference" / "script-language.md"


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
@pytest.mark.runs("docs/reference/script-language.md")
def test_the_scripts_of_the_page_pass(shown: Shown, version: str) -> None:
    settings = with_flags(Settings(), [Flag("ip_version", version, 0)])
    outcomes = {block.name: run(read(block.text), "sim", settings) for block in shown.blocks()}
    assert {name: each.failure for name, each in outcomes.items() if each.status is not Status.PASSED} == {}


def test_the_calls_of_the_page_are_those_there_are() -> None:
    section = PAGE.read_text().partition("## System calls")[2].partition("On the engine")[0]
    listed = set(re.findall(r"`([a-z_0-9]+)`", section)) - {"name"}
    known = {name.removeprefix("_do_") for name in vars(Calls) if name.startswith("_do_")}
    assert listed == known - {"claim", "epoll_create1"}


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`--(\w+)(?:=|`)", PAGE.read_text()))))
def test_the_flags_of_the_page_exist(flag: str) -> None:
    values = {"ip_version": "ipv6", "local_ip": "10.0.0.1", "remote_ip": "10.0.0.2", "define": "A=1"}
    assert with_flags(Settings(), [Flag(flag, values.get(flag, "1000"), 0)]).given
