"""A real browser for tests that look at the console: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_core_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1600, "height": 1000}
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --font-render-hinting=none"
).split()


@dataclass
class Window:
    """One browser window, and what went wrong in it."""

    page: Page
    context: BrowserContext
    trouble: list[str] = field(default_factory=list)
    """Errors of scripts, and what the content policy refused."""

    async def serious(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is."""
        found = await Axe().run(self.page)
        return [
            f"{each['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


@dataclass
class Windows:
    """A browser that opens windows on one address."""

    browser: Browser
    url: str

    @asynccontextmanager
    async def open(self, path: str = "/", **how: Any) -> AsyncIterator[Window]:
        """A window with nothing remembered. `how` is Playwright's (viewport, color_scheme, …)."""
        context = await self.browser.new_context(**{"reduced_motion": "reduce", **how})
        context.set_default_timeout(8_000)
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
async def browsing(url: str) -> AsyncIterator[Windows]:
    """A browser, until left."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield Windows(browser, url)
        finally:
            await browser.close()
