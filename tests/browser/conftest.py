"""A browser for the tests of pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from xsocket_tools.pytest_plugin import REQUIRED

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS: Final = 10_000
ARGUMENTS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


def _cannot(reason: str) -> None:
    """Skip, or fail where a skip would be a lie."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED} is set", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window, for the tests of one file.

    As long as it runs, so does an event loop of Playwright in this thread: nobody else could have one.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _cannot("playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        _cannot("chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a page of its own; at the end nothing has gone wrong, or been fetched but the file.

    Other arguments are those of `Browser.new_context`, such as ``color_scheme="dark"``.
    """
    wrong: list[str] = []
    contexts = []

    def opened(path: Path, *, fragment: str = "", **options: Any) -> Page:  # noqa: ANN401  # as Playwright has them
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page, address = context.new_page(), path.as_uri()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.partition("#")[0] == address else wrong.append(f"fetches {request.url}")
            ),
        )
        page.goto(address + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
