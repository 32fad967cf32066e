"""A real browser for tests of pages: the Chromium of the machine, without a window."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
"""What it is called; `apt-get install chromium` brings the first one. $SANDAN_CHROMIUM names another file."""

WAIT_MS, MOST_WAITS = 350, 60
"""Pictures take 200 ms to fade in."""


def chromium() -> str | None:
    """Return the Chromium of this machine."""
    return os.environ.get("SANDAN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Return why there is no browser to test with; empty where there is one."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    return "" if chromium() else "no Chromium found: apt-get install chromium, or set SANDAN_CHROMIUM"


class Tab:
    """A page that remembers everything that went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self._loading: set[Any] = set()
        page.on("request", lambda one: self._loading.add(one))  # playwright cannot call builtin methods
        page.on("requestfinished", lambda one: self._loading.discard(one))
        page.on("requestfailed", lambda one: self._loading.discard(one))
        page.on("console", lambda one: self.faults.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda one: self.faults.append(str(one)))
        page.on("requestfailed", lambda one: self._failed(one))
        page.on("response", lambda one: self.faults.append(f"{one.status} {one.url}") if one.status >= 400 else None)

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a tile that was no longer wanted
            self.faults.append(f"{request.url}: {request.failure}")

    def open(self, address: str) -> None:
        """Go to an address, and wait until the map page says that it is ready."""
        self.page.goto("about:blank")
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is being loaded or faded in; a page that was idle once counts as that to Playwright."""
        for _ in range(MOST_WAITS):
            self.page.wait_for_timeout(WAIT_MS)
            if not self._loading:
                return
        self.faults.append(f"still loading: {sorted(request.url for request in self._loading)}")


@contextmanager
def browsing(width: int = 1200, height: int = 800) -> Iterator[Tab]:
    """Open a tab; everything but this machine is out of its reach."""
    if reason := missing():
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": height}, permissions=["clipboard-write"])
        context.set_default_timeout(20_000)
        tab = Tab(context.new_page())
        try:
            yield tab
        finally:
            browser.close()
