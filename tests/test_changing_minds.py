"""What is done to a line the moment it is said, what other bots do to theirs, and files that a crash left behind."""

from __future__ import annotations

from pathlib import Path

import structlog

from .account import front_of
from .hosting import house


async def test_a_line_edited_deleted_or_reacted_to_at_once_is_kept_as_it_is_then(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        edited = [await h.server.say(h.ben, h.channel, f"ths {n}") for n in range(20)]
        for n, line in enumerate(edited):
            await h.server.edit(line, f"this {n}")
        edited.append(await h.server.say(h.ben, h.channel, "ths"))
        await h.server.edit(edited[-1], "this")
        await h.server.add_reaction(h.ana, edited[-1], "👍")
        gone = await h.server.say(h.ben, h.channel, "never mind")
        await h.server.delete(gone)
        await h.asked("and?")
        assert [(await h.kept(line)).text for line in edited] == [line.content for line in edited]
        assert [each.emoji for each in (await h.kept(edited[-1])).reactions] == ["👍"]
        assert (await h.kept(gone)).deleted_at is not None


async def test_another_bot_that_writes_its_line_bit_by_bit_is_kept_to_the_end(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        ticker = h.server.add_bot("token-2", "ticker")
        line = await h.server.say(ticker, h.channel, "The price")
        await h.asked("well?")
        await h.server.edit(line, "The price is 7.")
        await h.asked("and?")
        assert (await h.kept(line)).text == "The price is 7."


async def test_a_file_that_never_came_is_fetched_when_the_bot_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        line = await h.server.say(h.ana, h.channel, "look", attachments=[("notes.txt", b"Buy oil.", "text/plain")])
        files, h.server.files = h.server.files, {}
        await h.server.answer_to(line)
        assert not (await h.kept(line)).blobs
        h.server.files = files
        await h.front.bot.fetching.left("discord")
        (found,) = await h.front.bot.fetching.ready([await h.kept(line)])
        assert len(found.blobs) == 1


async def test_emoji_that_a_moderator_takes_off_are_gone(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        line, _ = await h.asked("well?")
        for emoji in ("👍", "🎉", "👎"):
            for person in (h.ana, h.ben):
                await h.server.add_reaction(person, line, emoji)
        await h.server.clear_reactions(line, "👍")
        await h.asked("and?")
        assert {each.emoji for each in (await h.kept(line)).reactions} == {"🎉", "👎"}
        await h.server.clear_reactions(line)
        await h.asked("and then?")
        assert (await h.kept(line)).reactions == ()


async def test_a_file_that_is_refused_is_not_fetched_again_when_the_bot_is_back(tmp_path: Path) -> None:
    async with house(tmp_path, media={"refuse": ["text/*"]}) as h:
        await h.asked("look", attachments=[("notes.txt", b"Buy oil.", "text/plain")])
        with structlog.testing.capture_logs() as logs:
            await h.front.on_ready()
            await h.asked("and?")
        assert not [each for each in logs if each["event"].startswith("media.")]


async def test_emoji_where_nothing_is_kept_cost_one_look_and_later_ones_count(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        hall = h.guild.add_channel("hall")
        for number in range(5):
            await h.server.add_reaction(h.ana, await h.server.say(h.ben, hall, f"well {number}"), "👍")
        line, _ = await h.asked("sage, are you there?", channel=hall)
        await h.server.add_reaction(h.ana, line, "🎉")
        await h.asked("sage, and?", channel=hall)
        assert [each.emoji for each in (await h.kept(line)).reactions] == ["🎉"]


async def test_a_ready_that_comes_after_the_connection_is_gone_is_not_told(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        told: dict[str, object] = {}
        front = front_of(h.world, tmp_path, report=told.update)
        await front.on_connect()
        await front.on_disconnect()
        await front.on_ready()
        assert told["discord"] == "reconnecting"
