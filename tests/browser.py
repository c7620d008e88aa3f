"""A real browser for tests that look at the console: Debian's Chromium, driven by Playwright, one in each process."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_core_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")
PATIENCE = 30_000
"""Milliseconds until what a page was to show is missing, or what was to be pressed is not there."""
needs_chromium = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.usefixtures("chromium"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]
"""The marks of a file whose tests use a browser: they share one, and with it the loop in which it was started."""
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1600, "height": 1000}
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --font-render-hinting=none"
).split()
_STARTED: list[Browser] = []
_SERIOUS = """async () => {
  const found = await axe.run({resultTypes: ["violations"]})
  return found.violations.filter(each => ["serious", "critical"].includes(each.impact)).flatMap(each =>
    each.nodes.map(node => `${each.id}: ${node.html.slice(0, 160)} (${node.failureSummary.slice(0, 200)})`))
}"""


@dataclass
class Window:
    """One browser window, and what went wrong in it."""

    page: Page
    context: BrowserContext
    trouble: list[str] = field(default_factory=list)
    """Errors of scripts, and what the content policy refused."""

    async def serious(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is."""
        if not await self.page.evaluate("() => 'axe' in window"):
            await self.page.evaluate(Axe().axe_script)
        found: list[str] = await self.page.evaluate(_SERIOUS)
        return found


@dataclass
class Windows:
    """A browser that opens windows on one address."""

    browser: Browser
    url: str

    @asynccontextmanager
    async def open(self, path: str = "/", **how: Any) -> AsyncIterator[Window]:
        """A window with nothing remembered. `how` is Playwright's (viewport, color_scheme, …)."""
        context = await self.browser.new_context(**{"reduced_motion": "reduce", **how})
        context.set_default_timeout(PATIENCE)
        try:
            yield await self.another(context, path)
        finally:
            await context.close()

    async def another(self, context: BrowserContext, path: str = "/") -> Window:
        """One more tab of the same person."""
        page = await context.new_page()
        window = Window(page, context)
        page.on("pageerror", lambda error: window.trouble.append(str(error)))
        page.on("console", lambda said: window.trouble.append(said.text) if "Content Security" in said.text else None)
        await page.goto(self.url + path)
        return window


@asynccontextmanager
async def started() -> AsyncIterator[None]:
    """Keeps the browser of this process, until left."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        _STARTED.append(browser)
        try:
            yield
        finally:
            _STARTED.remove(browser)
            await browser.close()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Windows]:
    """The browser of this process, looking at an address."""
    (browser,) = _STARTED
    yield Windows(browser, url)
