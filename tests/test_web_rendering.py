"""Rendering takes nothing from anybody else: one text of each person at a time, and not too much of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bots.web.rendering import LONGEST, WAITING, Rendering, html_of, html_of_each
from tests.test_web_auth import bearer, token_for
from tests.test_web_talking import begun, say
from tests.webfront import web_front

_SLOW = "**a" * (LONGEST // 6)


async def test_words_become_html_and_very_many_stay_as_they_are() -> None:
    assert await html_of("ann", "**Bold**") == '<p dir="auto"><strong>Bold</strong></p>'
    long = "**a** <script>\n" + "b" * LONGEST
    assert await html_of("ann", long) == '<p dir="auto">**a** &lt;script&gt;<br>\n' + "b" * LONGEST + "</p>"


async def test_nobody_waits_for_all_that_somebody_else_has_rendered() -> None:
    many = [asyncio.create_task(html_of("ann", _SLOW)) for _ in range(6)]
    await asyncio.sleep(0)
    await html_of("ben", "Hello")
    assert sum(task.done() for task in many) <= 1
    for task in many:
        task.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError) for each in (await asyncio.gather(*many, return_exceptions=True))[2:]
    )


async def test_a_page_of_texts_is_rendered_in_order_and_the_same_words_once() -> None:
    texts = ["*one*", "two", "*one*", "x" * (LONGEST + 1)]
    told = await html_of_each("ann", texts)
    assert told[:3] == ['<p dir="auto"><em>one</em></p>', '<p dir="auto">two</p>', '<p dir="auto"><em>one</em></p>']
    assert (told[3] or "").startswith('<p dir="auto">xxx')
    assert await html_of_each("ben", texts) == told
    assert await html_of_each("ann", []) == []


async def test_what_was_rendered_lately_is_at_hand_for_everybody_and_the_oldest_goes() -> None:
    asked: list[str] = []

    def render(texts: list[str]) -> list[str]:
        asked.extend(texts)
        return [text.upper() for text in texts]

    rendering = Rendering(render, at_hand=12)  # three texts of two characters, and what was made of them
    assert await rendering.each("ann", ["aa", "bb", "cc"]) == ["AA", "BB", "CC"]
    assert await rendering.each("ben", ["aa", "bb", "cc", "aa"]) == ["AA", "BB", "CC", "AA"]
    assert asked == ["aa", "bb", "cc"], "one has them rendered for all"
    await rendering.each("ann", ["aa"])
    await rendering.each("ann", ["dd"])
    assert await rendering.each("ann", ["aa", "cc", "dd"]) == ["AA", "CC", "DD"]
    assert asked == ["aa", "bb", "cc", "dd"], "what was looked at last has stayed"
    assert await rendering.each("ann", ["bb"]) == ["BB"]
    assert asked[4:] == ["bb"], "and what nobody looked at has gone"


async def test_a_long_page_gives_room_back_as_it_goes() -> None:
    texts = [f"{n:02}" + "a" * (LONGEST - 2) for n in range(WAITING // LONGEST)]
    second, go_on = threading.Event(), threading.Event()

    def render(some: list[str]) -> list[str]:
        if some == [texts[1]]:
            second.set()
            go_on.wait(20)
        return some

    rendering = Rendering(render)
    page = asyncio.create_task(rendering.each("ann", texts))
    await asyncio.to_thread(second.wait, 20)
    other = asyncio.create_task(rendering.each("ann", ["b" * LONGEST]))
    await asyncio.sleep(0)
    go_on.set()
    assert (await other, await page) == (["b" * LONGEST], texts)


async def test_too_much_at_once_is_not_rendered_and_later_is() -> None:
    text = "a " * (LONGEST // 2)
    told = await asyncio.gather(*(html_of("ann", text) for _ in range(WAITING // LONGEST + 3)))
    assert sum(each is None for each in told) == 3
    assert await html_of("ann", text) is not None


async def test_the_web_says_so_and_a_page_shows_what_fits(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        ann, texts = bearer(token_for(web, "ann")), [f"{n:02}" + "a " * (LONGEST // 2 - 1) for n in range(20)]
        asked = (web.client.post("/api/chat/rendered", json={"text": text}, headers=ann) for text in texts)
        assert {each.status_code for each in await asyncio.gather(*asked)} == {200, 429}
        session = await begun(web)
        for n in range(WAITING // LONGEST + 2):
            await say(web, session, f"{n:02}" + "b " * (LONGEST // 2 - 1), answer=False)
        path = f"/api/chat/sessions/{session}/messages?html=true"
        shown = (await web.client.get(path)).json()["items"]
        assert sum(each["html"] is None for each in shown) == 2
