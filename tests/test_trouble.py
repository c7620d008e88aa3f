"""What goes wrong around a bot: full disks, unusable roots, lost intents, odd input. Nothing is lost, nobody dies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bots.discord.limits import Identifies, Refusals, host_file
from bots.errors import Fatal
from storage.backends.sqlite import SqliteStore
from storage.errors import Unavailable

from .stage import eventually, stage
from .wire.discord_world import Event
from .world import ANA, BEN, World, by_clock, world


async def pages(w: World, limit: int) -> None:
    """Sets how many pages the database may have: a disk that is full, and then is not."""
    assert isinstance(w.store, SqliteStore)
    await w.store._writing.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {limit}").fetchone())


async def test_on_a_full_disk_nobody_is_asked_and_the_lines_are_kept_when_there_is_room(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        await room.say(ANA, "before")
        await pages(w, 1)
        long = "a line that does not fit any more " * 200
        for who, text in ((ANA, f"first {long}"), (BEN, f"second {long}")):
            with pytest.raises(Unavailable, match="full"):
                await room.say(who, text)
        with pytest.raises(Unavailable):
            await w.bot.upkeep()
        assert len(await room.transcript()) == 2
        await pages(w, 1_000_000)
        await w.bot.upkeep()
        await room.say(ANA, "after")
        people = [line.split()[1] for line in await room.transcript() if not line.startswith("Sage")]
        assert people == ["before", "first", "second", "after"]


async def test_a_full_disk_takes_neither_a_new_channel_nor_a_new_session_from_anyone(tmp_path: Path) -> None:
    async with world(by_clock(), root=tmp_path) as w:
        old, new = w.room("old"), w.room("new")
        await old.say(ANA, "before")
        w.clock.advance(400)
        await pages(w, 1)
        long = "a line that does not fit any more " * 200
        for room in (old, new):
            with pytest.raises(Unavailable):
                await room.say(BEN, f"lost? {long}")
        await pages(w, 1_000_000)
        await w.bot.upkeep()
        assert len(await old.sessions()) == 2
        for room in (old, new):
            assert (await room.transcript())[0].startswith("Ben: lost?")
        w.clock.advance(4000)
        await w.bot.upkeep()
        assert all(session.closed_at for session in await old.sessions())


async def test_one_channels_unreadable_session_holds_up_no_other(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        await w.room("bad").say(ANA, "before")
        await w.room("good").say(ANA, "before")
    with closing(sqlite3.connect(tmp_path / "conversations.db", isolation_level=None)) as database:
        database.execute("""UPDATE sessions SET participants = '[{"bad": 1}]' WHERE channel_id = 'id-bad'""")
    async with world(root=tmp_path) as w:
        with pytest.raises(Unavailable):
            await w.room("bad").say(BEN, "into the void")
        assert (await w.room("good").say(BEN, "what is 6 * 7?")).answer is not None


async def test_what_was_refused_is_kept_at_the_last_moment_if_there_is_room_again(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        await w.room().say(ANA, "before")
        await pages(w, 1)
        with pytest.raises(Unavailable):
            await w.room().say(ANA, "too much " * 2000)
        await pages(w, 1_000_000)
        await w.bot.close()
        await w.bot.settle()
        assert (await w.room().transcript())[-1].startswith("Ana: too much")


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_database_that_vanishes_is_noticed_before_anything_is_acknowledged(
    tmp_path: Path, replaced: bool
) -> None:
    async with world(root=tmp_path) as w:
        await w.room().say(ANA, "before")
        database = tmp_path / "conversations.db"
        database.rename(tmp_path / "elsewhere.db")
        if replaced:
            database.write_bytes((tmp_path / "elsewhere.db").read_bytes())
        with pytest.raises(Unavailable, match="moved, removed or replaced"):
            await w.room().say(ANA, "into nothing")


@pytest.mark.parametrize("text", ["x" * 4000, "", " ", "\u200b\u202e", "\x00nul", "half a pair \ud83d", "🎭" * 2000])
async def test_odd_lines_are_kept_and_answered(text: str) -> None:
    async with world() as w:
        heard = await w.room().say(ANA, text)
        assert heard.answer is not None
        assert heard.answer.text.strip()
        assert len(await w.room().transcript()) == 2


async def test_a_renamed_channel_keeps_its_talk_and_remembers_its_names(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        old, new = w.room("plans"), w.room("plans")
        old.channel = old.channel.model_copy(update={"guild_name": "Home"})
        new.channel = old.channel.model_copy(update={"name": "grand-plans", "guild_name": "New Home"})
        await old.say(ANA, "one")
        await new.say(ANA, "two")
        (session,) = await old.sessions()
        assert session.channel.name == "grand-plans"
        assert session.channel.past_names == ("plans",)
        assert session.channel.past_guild_names == ("Home",)
        assert session.message_count == 4


async def test_roots_that_cannot_be_used_stop_only_their_own_bot(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        good = here.discord.add_bot("token-good", "good")
        for name in ("newer", "damaged", "blocked"):
            here.discord.add_bot(f"token-{name}", name)
            (tmp_path / "data" / name).mkdir(parents=True)
        with closing(sqlite3.connect(tmp_path / "data" / "newer" / "conversations.db")) as database:
            database.execute("PRAGMA application_id = 1414681936")
            database.execute("PRAGMA user_version = 9999")
        (tmp_path / "data" / "damaged" / "conversations.db").write_bytes(b"this is no database" * 1000)
        (tmp_path / "data" / "blocked").rmdir()
        (tmp_path / "data" / "blocked").write_text("a file where a folder should be")
        environment = here.write({name: {} for name in ("good", "newer", "damaged", "blocked")}, heartbeat=0.2)
        with here.troupe("up", environment=environment):
            await here.discord.until_ready(good)
            await eventually(lambda: here.status("newer")["state"] == "fatal")
            assert "9999" in here.status("newer")["last_error"]
            await eventually(lambda: "damaged" in here.status("damaged")["last_error"])
            await eventually(lambda: "blocked" in here.log)
            assert here.status("good")["state"] == "ready"
        assert (tmp_path / "data" / "damaged" / "conversations.db").read_bytes().startswith(b"this is no database")


async def test_without_the_message_content_intent_a_bot_hears_what_addresses_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        without = 1 << 0 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13
        shy = here.discord.add_bot("token-shy", "shy", intents_allowed=without)
        ana, guild = here.discord.add_person("ana"), here.discord.add_guild("Home")
        more: dict[str, Any] = {"message_content": False, "channels": {"always": ["*"]}}
        environment = here.write({"shy": {"discord": more}})
        here.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
        with here.troupe("bot", "shy", environment=environment):
            await here.discord.until_ready(shy)
            room = guild.add_channel("general")
            await here.discord.say(ana, room, "not for you")
            question = await here.discord.say(ana, room, "for you", mentions=[shy])
            answer = await here.discord.answer_to(question, by=shy)
            assert answer.content == "heard for you"
            direct = await here.discord.say(ana, here.discord.dm(ana, shy), "privately")
            assert (await here.discord.answer_to(direct, by=shy)).content == "heard privately"
            assert len(here.provider.asks) == 2


async def test_an_event_that_the_library_cannot_read_ends_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        sage = here.discord.add_bot("token-sage", "sage")
        ana, guild = here.discord.add_person("ana"), here.discord.add_guild("Home")
        with here.troupe("bot", "sage", environment=here.write({"sage": {}})):
            await here.discord.until_ready(sage)
            here.discord.tell(sage, Event("MESSAGE_CREATE", {"content": "without an id"}, 0, guild.id))
            question = await here.discord.say(ana, guild.add_channel("general"), "still there?", mentions=[sage])
            await here.discord.answer_to(question, by=sage)
            assert here.discord.identifies[sage] == 1


async def test_an_invalid_session_is_begun_anew_and_people_are_answered_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        sage = here.discord.add_bot("token-sage", "sage")
        ana, guild = here.discord.add_person("ana"), here.discord.add_guild("Home")
        environment = here.write({"sage": {}})
        with here.troupe("bot", "sage", environment=environment):
            await here.discord.until_ready(sage)
            await here.discord.invalidate(sage)
            await here.discord.until(lambda: here.discord.identifies[sage] == 2)
            await here.discord.until_ready(sage)
            question = await here.discord.say(ana, guild.add_channel("general"), "still there?", mentions=[sage])
            await here.discord.answer_to(question, by=sage)


def test_identifies_are_counted_over_restarts_and_end_before_discord_resets_the_token(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    path = tmp_path / "identifies"

    def book() -> float:
        return Identifies(path, lambda: clock[0]).book()

    assert [book(), book()] == [0.0, 5.0]
    for _ in range(Identifies.LIMIT - 2):
        clock[0] += 10
        assert book() == 0.0
    with pytest.raises(Fatal, match="900 times within 24 hours"):
        book()
    clock[0] += 86_400
    assert book() == 0.0
    path.write_text("torn by a cra")
    assert book() == 0.0


def test_refusals_are_counted_together_by_all_bots_of_a_host_and_forgotten_after_ten_minutes(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    one, two = (Refusals(tmp_path / "refusals", lambda: clock[0]) for _ in range(2))
    for _ in range(Refusals.LIMIT // 2):
        one.add()
        two.add()
    assert two.exhausted
    assert one.add() == Refusals.LIMIT + 1
    clock[0] += 601
    assert not one.exhausted
    assert two.add() == 1


def test_a_host_has_one_file_of_refusals_that_nobody_else_may_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = host_file()
    assert path == host_file()
    assert path.parent.parent == tmp_path
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o777)
    with pytest.raises(Fatal, match="belong"):
        host_file()
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Fatal, match="belong"):
        host_file()


def test_refusals_are_counted_where_their_file_was_swept_away_or_cannot_be_written(tmp_path: Path) -> None:
    swept = Refusals(tmp_path / "swept" / "refusals", lambda: 1_000_000.0)
    assert swept.add() == 1
    (tmp_path / "swept" / "refusals").unlink()
    (tmp_path / "swept").rmdir()
    assert swept.add() == 1
    blocked = Refusals(tmp_path, lambda: 1_000_000.0)
    assert [blocked.add(), blocked.add()] == [1, 2]
