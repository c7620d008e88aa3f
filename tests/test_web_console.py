"""The console's own files are served, are told apart, and are the only files there are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.webfront import web_front

STATIC = Path(__file__).parents[1] / "bots" / "web" / "static"


async def test_the_page_and_all_that_it_names_is_served_and_not_sent_twice(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        page = await web.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        named = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
        assert "/static/app.js" in named
        for address in ["/", *named]:
            first = await web.client.get(address)
            assert (first.status_code, first.headers["x-content-type-options"]) == (200, "nosniff")
            again = await web.client.get(address, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")


async def test_no_other_file_is_reached_through_them(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for path in ("..%2fconsole.py", "%2e%2e/console.py", "nothing.js", "index.html%00", "x" * 5_000):
            assert (await web.client.get(f"/static/{path}")).status_code in (400, 404)


def test_nothing_in_the_pages_needs_what_the_content_policy_refuses() -> None:
    for page in STATIC.iterdir():
        text = page.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), page.name
        if page.suffix == ".html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text), page.name
        if page.suffix == ".js":
            assert not re.search(r"\beval\(|new Function|document\.write|outerHTML|insertAdjacentHTML", text), page.name
            assert len(text.splitlines()) <= 400, page.name


def test_markup_goes_into_the_page_at_one_place_only() -> None:
    found = [page.name for page in STATIC.glob("*.js") if "innerHTML" in page.read_text()]
    assert found == ["chat_message.js"]
