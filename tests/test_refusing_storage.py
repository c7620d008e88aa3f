"""Storage that takes nothing for a while, on Discord: people are told once, and what they did meanwhile is not lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from storage.backends.sqlite import SqliteStore

from .hosting import House, house
from .stage import eventually


@asynccontextmanager
async def refusing(h: House) -> AsyncIterator[None]:
    """Nothing can be written meanwhile."""
    await eventually(lambda: not h.world.bot._showing)  # what was said before is kept
    store = h.world.store
    assert isinstance(store, SqliteStore)
    await store._writing.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    try:
        yield
    finally:
        await store._writing.run(lambda connection: connection.execute("PRAGMA query_only = OFF").fetchall())


def waiting(h: House) -> int:
    """How much waits for storage."""
    return len(h.world.bot.keeping._waiting)


async def test_what_people_do_to_lines_while_storage_refuses_is_done_once_it_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.model.default = lambda ask: "Fine."
        secret, _ = await h.asked("my secret is a pineapple")
        old, _ = await h.asked("the old words")
        async with refusing(h):
            said = await h.server.say(h.ben, h.channel, "never mind")
            await eventually(lambda: waiting(h) == 1)
            await h.server.delete(said)
            await eventually(lambda: waiting(h) == 2)
            await h.server.delete(secret)
            await h.server.edit(old, "the new words")
            h.server.react(h.ana, old, "👍")
            await eventually(lambda: waiting(h) == 5)
        await h.asked("and now?")
        assert (await h.kept(said)).deleted_at is not None
        assert (await h.kept(secret)).deleted_at is not None
        edited = await h.kept(old)
        assert (edited.text, [each.emoji for each in edited.reactions]) == ("the new words", ["👍"])
        shown = str([line.text for line in h.ask.lines])
        assert "the new words" in shown
        assert "pineapple" not in shown
        assert "never mind" not in shown


async def test_a_channel_is_told_once_that_nothing_can_be_kept_until_something_was_kept_again(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.asked("before")
        for outage in (1, 2):
            async with refusing(h):
                for number in range(3):
                    await h.server.say(h.ana, h.channel, f"line {number}")
                await eventually(lambda: waiting(h) == 3)
                await eventually(lambda outage=outage: sum("cannot keep" in one for one in h.said()) == outage)  # type: ignore[misc]
            await h.asked("after")
        assert sum("cannot keep" in one for one in h.said()) == 2
