"""The page of `xsocket live` in a browser: cards move, segments by hand are answered, anybody can use it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.accessibility import violations
from xsocket_tools.live.server import Serving
from xsocket_tools.live.watching import Watching

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.netns

PATIENCE_MS: Final = 10_000
DELAY_S: Final = 0.25
ENDPOINT: Final = re.compile(r"10\.0\.0\.1:\d+")
# Notes each column in which the card of a client is seen, in order.
NOTE_MOVES: Final = """() => {
    window.moves = [];
    const note = () => {
        for (const card of document.querySelectorAll(".card")) {
            const name = card.querySelector("b").textContent;
            const where = `${name} ${card.parentElement.id}`;
            if (name.startsWith("10.0.0.1:") && !moves.includes(where)) moves.push(where);
        }
    };
    new MutationObserver(note).observe(document.querySelector("main"), {childList: true, subtree: true});
}"""

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a page whose engine runs."""
    watching = Watching(delay_s=DELAY_S)
    with watching.world, socket.create_server(("127.0.0.1", 0)) as at, Serving(watching, at) as serving:
        yield serving.url


@pytest.fixture
def look(browser: Browser, url: str) -> Iterator[Open]:
    """Opens the page; at the end nothing has gone wrong there, nor has another origin been asked."""
    wrong: list[str] = []
    contexts = []
    origin = url.partition("/?")[0]

    def opened(**options: Any) -> Page:  # noqa: ANN401  # as Playwright has them
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(f"{origin}/") else wrong.append(f"fetches {request.url}")
            ),
        )
        page.goto(url)
        page.wait_for_selector("#counters dt")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def card(page: Page, column: str, remote: str) -> Locator:
    return page.locator(f"#{column} .card").filter(has=page.locator("b", has_text=re.compile(f"^{remote}$")))


def connect(page: Page) -> str:
    """Let a client connect; return its endpoint."""
    before = set(page.locator(".card b").all_inner_texts())
    page.get_by_role("button", name="Client connects").click()
    page.wait_for_function(
        """before => [...document.querySelectorAll("#pool .card b")]
            .some(each => !before.includes(each.textContent))""",
        arg=list(before),
    )
    (made,) = set(page.locator("#pool .card b").all_inner_texts()) - before
    assert ENDPOINT.fullmatch(made)
    return made


def fill(page: Page, *flags: str, **values: str) -> None:
    """Fill in the form; a field that is not named stays as it is."""
    there = page.evaluate("[...document.querySelectorAll('#flags :checked')].map(each => each.value)")
    for name in set(there) ^ set(flags):
        page.get_by_role("checkbox", name=name, exact=True).set_checked(name in flags)
    for name, value in values.items():
        field = page.locator(f"#{name}")
        field.select_option(value) if name.endswith("_from") else field.fill(value)


def send(page: Page, wanted: str) -> str:
    """Send the segment of the form; wait until the page says what is *wanted*, and return all it says."""
    page.get_by_role("button", name="Send it").click()
    page.locator("#verdict", has_text=wanted).wait_for()
    return page.locator("#verdict").inner_text()


def choose(page: Page, remote: str) -> None:
    page.wait_for_selector(f"#connection option:text-matches('^{remote} ')", state="attached")
    page.get_by_label("From", exact=True).select_option(f"{remote} to 80")


def test_a_client_goes_from_half_open_to_the_pool_to_its_owner_and_ends(look: Open) -> None:
    page = look()
    page.evaluate(NOTE_MOVES)
    remote = connect(page)
    page.get_by_role("button", name="Claim the next one").click()
    owned = card(page, "claimed", remote)
    owned.wait_for()
    moves = page.evaluate("moves")
    assert [move for move in moves if move.startswith(f"{remote} ")] == [
        f"{remote} {column}" for column in ("half-open", "pool", "claimed")
    ]
    assert page.get_by_role("status").first.inner_text() == f"You hold {remote} now."
    page.get_by_label("what you say").fill("<i>hi</i>")
    owned.get_by_role("button", name="Say something").click()
    page.locator("#rows .row", has_text="“<i>hi</i>”").wait_for()
    page.locator("#rows .row", has_text="client sends ACK seq 1 ack 10").filter(has_text=remote).wait_for()
    owned.get_by_role("button", name="Client closes").click()
    owned.get_by_text("CLOSE-WAIT").wait_for()
    owned.get_by_role("button", name=re.compile("^Close")).click()
    card(page, "ended", remote).get_by_text("ended by: ACK of our FIN").wait_for()


def test_ten_clients_connect_at_once(look: Open) -> None:
    page = look()
    before = int(page.locator("#pool-count").inner_text())
    page.get_by_role("button", name="10 clients connect").click()
    page.locator("#pool-count", has_text=re.compile(f"^{before + 10}$")).wait_for()
    page.locator("#summary", has_text=f"{before + 10} in the pool").wait_for(state="attached")


def test_a_syn_to_a_closed_port_gets_a_reset(look: Open) -> None:
    page = look()
    fill(page, "SYN", port="81", seq="1000")
    said = send(page, "The engine answers RST+ACK")
    assert "you send SYN seq 0" in said
    assert "RFC 9293 3.10.7.1" in said
    page.get_by_label("absolute numbers").check()
    assert "you send SYN seq 1000" in page.locator("#verdict").inner_text()
    page.locator("#rows .row.hand", has_text="you send SYN seq 1000").first.wait_for()


def test_a_bad_segment_shows_the_reason_for_its_drop(look: Open) -> None:
    page = look()
    fill(page, "RST", port="80")
    assert "RFC 9293 3.10.7.1: a reset is not answered" in send(page, "Dropped, RST_FOR_NOBODY")
    page.locator("#counters dt", has_text="RST_FOR_NOBODY").wait_for()
    page.locator("#rows .row.dropped", has_text="RST_FOR_NOBODY").first.wait_for()


def test_a_handshake_may_be_made_by_hand(look: Open) -> None:
    page = look()
    fill(page, "SYN", address="10.0.0.77", source_port="50000")
    send(page, "The engine answers SYN+ACK")
    card(page, "half-open", "10.0.0.77:50000").wait_for()
    choose(page, "10.0.0.77:50000")
    assert page.get_by_label("sequence number", exact=True).input_value() == "0"
    assert not page.get_by_label("address", exact=True).is_visible()
    fill(page, "ACK")
    send(page, "SYN-RECEIVED → ESTABLISHED")
    card(page, "pool", "10.0.0.77:50000").wait_for()


def test_bad_input_is_explained_beside_the_field_and_what_is_hostile_is_text(look: Open) -> None:
    page = look()
    fill(page, "SYN", address="<img src=x onerror=alert(1)>", window="x")
    page.get_by_role("button", name="Send it").click()
    address = page.get_by_label("address", exact=True)
    page.locator("#address-wrong", has_text="This is no IP address.").wait_for()
    assert address.get_attribute("aria-invalid") == "true"
    assert address.get_attribute("aria-describedby") == "address-wrong"
    assert page.evaluate("document.activeElement.id") == "address"
    assert "This is no number." in page.locator("#window-wrong").inner_text()
    fill(page, "RST", address="10.0.0.66", window="1", text="<img src=x onerror=alert(1)>")
    send(page, "“<img src=x onerror=alert(1)>”")
    assert page.locator("img").count() == 0
    assert page.locator("[aria-invalid]").count() == 0


def test_a_claim_without_a_connection_says_so(look: Open) -> None:
    page = look()
    claim = page.get_by_role("button", name="Claim the next one")
    page.wait_for_function(
        """() => {
            document.getElementById("claim").click();
            return document.getElementById("said").textContent === "No connection waits in the pool.";
        }"""
    )
    assert claim.is_enabled()


def test_by_keyboard_alone_a_client_connects_and_is_closed(look: Open) -> None:
    page = look(reduced_motion="reduce")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "connect-1"
    page.keyboard.press("Enter")
    page.locator("#pool .card").first.wait_for()
    button = page.locator("#pool .card").first.get_by_role("button", name="Client closes")
    remote = page.locator("#pool .card b").first.inner_text()
    button.focus()
    page.keyboard.press("Space")
    card(page, "pool", remote).get_by_text("CLOSE-WAIT").wait_for()


def test_focus_goes_with_a_card_that_moves(look: Open) -> None:
    page = look()
    remote = connect(page)
    card(page, "pool", remote).get_by_role("button", name="Client closes").focus()
    page.wait_for_function(
        """remote => {
            document.getElementById("claim").click();
            return [...document.querySelectorAll("#claimed .card b")]
                .some(each => each.textContent === remote);
        }""",
        arg=remote,
    )
    assert page.evaluate("document.activeElement.closest('.card').querySelector('b').textContent") == remote


def test_a_page_that_is_opened_later_sees_the_same(look: Open) -> None:
    first = look()
    remote = connect(first)
    second = look()
    card(second, "pool", remote).wait_for()
    last = first.locator("#rows .text").first.inner_text()
    second.locator("#rows .text", has_text=last).first.wait_for()


def test_when_the_engine_has_gone_the_page_says_so(browser: Browser) -> None:
    watching = Watching()
    with browser.new_context() as context, watching.world:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        with socket.create_server(("127.0.0.1", 0)) as at, Serving(watching, at) as serving:
            page.goto(serving.url)
            page.wait_for_selector("#counters dt")
            assert not page.locator("#gone").is_visible()
        page.get_by_role("alert").filter(has_text="The engine has gone.").wait_for()
        page.get_by_role("button", name="Client connects").click()
        page.get_by_role("status").filter(has_text="The engine does not answer.").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (800, "light"), (1280, "dark")])
def test_axe_finds_nothing_and_nothing_is_cut_off(look: Open, width: int, scheme: str) -> None:
    page = look(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    connect(page)
    fill(page, "RST", address="10.0.0.66", port="80")
    send(page, "Dropped")
    fill(page, "SYN", address="nonsense", options="zz")
    page.get_by_role("button", name="Send it").click()
    page.locator("#options-wrong", has_text="hexadecimal").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
