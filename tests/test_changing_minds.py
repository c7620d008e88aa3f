"""What is done to a line the moment it is said, what other bots do to theirs, and files that a crash left behind."""

from __future__ import annotations

from pathlib import Path

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
        await h.front.on_ready()
        (found,) = await h.front.bot.fetching.ready([await h.kept(line)])
        assert len(found.blobs) == 1
