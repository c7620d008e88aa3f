"""Two sessions side by side: what they share is known by where it came from, and nothing in a page does anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from html.parser import HTMLParser
from time import monotonic

from bots.comparing import Comparison, as_html, as_lines, compared
from storage.model import Attachment, Message, Sender, Session, Text

from .world import World, world


class Page(HTMLParser):
    """The words of a page, and every element in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "src"]
        assert all((value or "").startswith("https://") for name, value in attrs if name == "href")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


async def keep(w: World, name: str, *texts: str, who: str = "Ann", files: tuple[Attachment, ...] = ()) -> Session:
    session = Session(id=name, channel=w.room().channel, title=name, opened_at=w.clock.at, last_at=w.clock.at)
    for number, text in enumerate(texts):
        await w.store.append(
            session,
            Message(
                id=f"{name}-{number}",
                session_id=name,
                role="user",
                sender=Sender(type="user", id=who, name=who),
                parts=(Text(text=text), *files),
                at=w.clock.at + timedelta(seconds=number),
            ),
        )
    return session


def sides(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [
        (row.side, row.left.words if row.left else "", row.right.words if row.right else "") for row in comparison.rows
    ]


def lines(comparison: Comparison) -> list[str]:
    return [f"{sign}{line if isinstance(line, int) else line.words}" for sign, line in as_lines(comparison)]


async def test_branches_share_what_was_said_before_them_and_differ_in_the_rest() -> None:
    async with world() as w:
        await keep(w, "a", "one", "two", "three")
        branch = await w.bot.conversations.branch("a", "a-1", w.room().channel)
        more = (await w.store.messages("a"))[2].model_copy(update={"id": "new", "session_id": branch.id})
        await w.store.append(branch, more.model_copy(update={"parts": (Text(text="four"),)}))
        comparison = await w.bot.conversations.compare("a", branch.id)
        assert sides(comparison) == [("both", "one", "one"), ("both", "two", "two"), ("apart", "three", "four")]
        assert comparison.told() == "2 lines in common, 1 only in the first, 1 only in the second."
        assert lines(comparison) == [" one", " two", "<three", ">four"]


async def test_what_was_said_alike_in_two_talks_stands_beside_each_other() -> None:
    async with world() as w:
        first = await keep(w, "a", "hello", "one", "bye")
        second = await keep(w, "b", "hello", "two", "three", "bye")
        comparison = await compared(w.store, first, second)
        assert sides(comparison) == [
            ("both", "hello", "hello"),
            ("apart", "one", "two"),
            ("right", "", "three"),
            ("both", "bye", "bye"),
        ]


async def test_two_pictures_without_words_are_not_alike() -> None:
    async with world() as w:
        ours, theirs = (Attachment(type="image", name="cat.png", url=f"https://e.example/{n}") for n in (1, 2))
        comparison = await compared(
            w.store, await keep(w, "a", "", files=(ours,)), await keep(w, "b", "", files=(theirs,))
        )
        assert [row.side for row in comparison.rows] == ["apart"]


async def test_a_long_stretch_that_both_hold_is_told_by_its_length() -> None:
    async with world() as w:
        same = [f"line {number}" for number in range(50)]
        first, second = await keep(w, "a", *same, "one"), await keep(w, "b", *same, "two")
        comparison = await compared(w.store, first, second)
        assert lines(comparison) == [" 48", " line 48", " line 49", "<one", ">two"]
        page = Page(as_html(comparison))
        assert "46 lines in common" in page.words
        assert "line 20" in page.words, "folded, and still there"


async def test_two_that_share_nothing_and_two_that_are_empty_are_shown_as_that() -> None:
    async with world() as w:
        first, second, empty = await keep(w, "a", "one"), await keep(w, "b", "two", who="Ben"), await keep(w, "c")
        assert (await compared(w.store, first, second)).shared == 0
        assert sides(await compared(w.store, first, empty)) == [("left", "one", "")]
        assert (await compared(w.store, empty, empty)).rows == ()


async def test_a_page_shows_words_as_they_were_meant() -> None:
    async with world() as w:
        first = await keep(w, "a", "**bold** and `code`", "[a](javascript:alert(1)) <https://e.example/>")
        page = Page(as_html(await compared(w.store, first, await keep(w, "b", "- item"))))
        assert {"strong", "code", "li"} <= page.tags
        assert "bold" in page.words


async def test_the_same_few_words_again_and_again_hold_nobody_up() -> None:
    async with world() as w:
        first = await keep(w, "a", *("ok" if number % 2 else "no" for number in range(500)))
        second = await keep(w, "b", *("ok" if number % 3 else "no" for number in range(500)))
        pauses, last = [0.0], monotonic()
        comparing = asyncio.ensure_future(compared(w.store, first, second))
        while not comparing.done():
            await asyncio.sleep(0)
            pauses.append(monotonic() - last)
            last = monotonic()
        assert max(pauses) < 0.5
        assert (await comparing).shared > 300


async def test_nothing_that_people_wrote_does_anything_in_the_page() -> None:
    async with world() as w:
        evil = "<script>alert(1)</script><img src=x onerror=alert(1)> & \"'"
        first = await keep(w, "a", evil, who="<b onclick=x>Ann</b>")
        second = (await keep(w, "b", "fine")).model_copy(update={"title": evil})
        page = Page(as_html(await compared(w.store, first, second)))
        assert not page.tags & {"script", "img"}
        assert evil in page.words
