"""What axe-core has to say of a page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page


def violations(page: Page) -> list[dict[str, Any]]:
    """Return what is wrong with a page as it is shown: which rule of axe-core, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [{"id": each["id"], "nodes": [node["html"][:200] for node in each["nodes"]]} for each in found]
