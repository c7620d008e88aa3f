"""Old files beside a bot: it says so at start-up, and remembers what was said when somebody speaks there again."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bots.old_data import OldData
from storage.backend import Store
from storage.legacy import Refused, Terms, multi_bot_json
from storage.legacy.source import Source
from storage.model import Message, Session
from storage.records import Tombstone
from tests.world import ANA, Room, World, settings, world

THEN = datetime(2024, 1, 8, 12)


def write(path: Path, channel: int, *words: str, user: int = 7, topic: str | None = None) -> None:
    """A conversation of two, turn by turn, a minute apart."""
    told: list[dict[str, Any]] = []
    for number, text in enumerate(words):
        answer = number % 2 == 1
        told.append(
            {
                "role": "assistant" if answer else "user",
                "content": text,
                "timestamp": (THEN + timedelta(minutes=number)).isoformat(),
                "bot_name": "sage" if answer else None,
                "metadata": {} if answer else {"username": "Ana", "channel_name": "general"},
            }
        )
    path.mkdir(parents=True, exist_ok=True)
    content = {"channel_id": channel, "user_id": user, "messages": told, "topic": topic, "participants": ["sage"]}
    (path / f"{channel}_{user}.json").write_text(json.dumps(content))


@asynccontextmanager
async def house(data: Path) -> AsyncIterator[tuple[World, OldData]]:
    """A bot with its root in `data/`."""
    async with world(settings(data / "sage"), root=data / "sage") as there:
        yield there, old_data(there, data)


def old_data(there: World, data: Path, ticks: Callable[[], float] = lambda: 0.0) -> OldData:
    return OldData(settings(data / "sage"), there.store, zone=UTC, now=there.clock.now, ticks=ticks)


def room(there: World, id: int = 1) -> Room:
    general = there.room()
    return Room(there, general.channel.model_copy(update={"id": str(id)}))


async def migrate(store: Store, path: Path, scratch: Path) -> int:
    """Keeps everything that the reader gives; returns how many messages were new."""
    scratch.mkdir()
    terms = Terms(bot="sage", zone=UTC, gap=timedelta(minutes=5), at=datetime(2026, 1, 1, tzinfo=UTC), scratch=scratch)
    new, sessions = 0, {}
    with Source(path) as source:
        for each in multi_bot_json.read(source, terms):
            assert not isinstance(each, Refused)
            if isinstance(each.item, Session):
                sessions[each.item.id] = each.item
            elif isinstance(each.item, Message):
                new += await store.append(sessions[each.item.session_id], each.item)
    return new


async def test_at_start_up_a_warning_names_the_command_until_all_was_migrated(tmp_path: Path) -> None:
    old = tmp_path / "multi_bot_conversations"
    write(old / "sage", 1, "Hello", "Hi")
    async with house(tmp_path) as (there, data):
        warning = await data.found() or ""
        assert f"`troupe migrate {old} --to sage --timezone UTC`" in warning
        await migrate(there.store, old, tmp_path / "scratch")
        assert await data.found() is None


async def test_nothing_is_said_where_nothing_is_this_bots(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "spark", 1, "Hello", "Hi")
    async with house(tmp_path) as (there, data):
        assert await data.found() is None
        await data.bring(room(there).channel)
        assert (await there.store.counts()).messages == 0


async def test_files_of_the_programs_first_life_stand_in_the_root_itself(tmp_path: Path) -> None:
    (tmp_path / "sage").mkdir()
    told = [{"role": "user", "content": "Hello", "timestamp": THEN.isoformat()}]
    (tmp_path / "sage" / "1_7.json").write_text(json.dumps(told))
    async with house(tmp_path) as (there, data):
        assert f"`troupe migrate {tmp_path / 'sage'} --to sage --timezone UTC`" in (await data.found() or "")
        await data.bring(room(there).channel)
        assert await room(there).transcript() == ["7: Hello"]


async def test_whoever_speaks_again_is_followed_by_what_was_said_before(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "I like owls.", "Owls are wise.")
    write(tmp_path / "multi_bot_conversations" / "sage", 2, "Elsewhere", "Yes")
    async with house(tmp_path) as (there, data):
        here = room(there)
        await data.bring(here.channel)
        assert await here.transcript() == ["Ana: I like owls.", "sage: Owls are wise."]
        await here.say(ANA, "What do I like?")
        new, old = await here.sessions()
        assert new.follows == old.id
        assert "I like owls." in await there.bot.sessions.carry_over(new)
        assert await there.store.sessions("discord:2") == []


async def test_a_later_migration_adds_the_rest_and_nothing_twice(tmp_path: Path) -> None:
    old = tmp_path / "multi_bot_conversations"
    write(old / "sage", 1, "One", "Two", "Three")
    write(old / "sage", 1, "Four", user=8)
    write(old / "sage", 2, "Five")
    async with house(tmp_path) as (there, data):
        await data.bring(room(there).channel)
        assert (await there.store.counts()).messages == 4
        assert await migrate(there.store, old, tmp_path / "scratch") == 1
        await old_data(there, tmp_path).bring(room(there, 2).channel)
        assert (await there.store.counts()).messages == 5


async def test_what_people_have_removed_does_not_come_back(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "Hello", "Hi")
    async with house(tmp_path) as (there, data):
        await data.bring(room(there).channel)
        await there.store.remove_sessions([each.id for each in await room(there).sessions()])
        await old_data(there, tmp_path).bring(room(there).channel)
        assert (await there.store.counts()).messages == 0


async def test_who_asked_to_be_forgotten_stays_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "My secret", "It is safe.", user=7)
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "Hello", user=8)
    async with house(tmp_path) as (there, data):
        await there.store.keep(Tombstone(id="7", at=there.clock.now()))
        await data.bring(room(there).channel)
        (session,) = await room(there).sessions()
        assert [each.words for each in await there.store.messages(session.id)] == ["Hello"]
        assert [each.id for each in session.participants] == ["8"]


async def test_nothing_quotes_who_was_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "My secret", "You said: secret", topic="Ana's secret")
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "Hello", user=8, topic="Ana's secret")
    async with house(tmp_path) as (there, data):
        await there.store.keep(Tombstone(id="7", at=there.clock.now()))
        await data.bring(room(there).channel)
        assert await room(there).transcript() == ["Ana: Hello"]
        assert "secret" not in "".join([each.model_dump_json() for each in await room(there).sessions()])


async def test_what_was_brought_is_a_session_as_the_command_would_have_left_it(tmp_path: Path) -> None:
    old = tmp_path / "multi_bot_conversations"
    write(old / "sage", 1, "Hello", "Hi", topic="Owls")
    async with house(tmp_path) as (there, data):
        await data.bring(room(there).channel)
        (session,) = before = await room(there).sessions()
        assert (session.title, session.closed_at) == ("Owls", THEN.replace(minute=1, tzinfo=UTC))
        assert await migrate(there.store, old, tmp_path / "scratch") == 0
        assert await room(there).sessions() == before


async def test_where_somebody_has_spoken_since_nothing_is_put_before_it(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "Hello", "Hi")
    async with house(tmp_path) as (there, data):
        await room(there).say(ANA, "New here")
        await data.bring(room(there).channel)
        assert len(await room(there).sessions()) == 1


@pytest.mark.parametrize("content", [b"", b"[[", b"\xff\xfe\x00", b'{"messages": [1, {"role": "user"}]}'])
async def test_damaged_files_never_stop_anybody(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "multi_bot_conversations" / "sage"
    write(folder, 1, "Good", user=8)
    (folder / "1_7.json").write_bytes(content)
    async with house(tmp_path) as (there, data):
        await data.found()
        await data.bring(room(there).channel)
        assert await room(there).transcript() == ["Ana: Good"]


async def test_an_answer_to_somebody_forgotten_stays_away_though_its_question_is_not_there(tmp_path: Path) -> None:
    old = tmp_path / "multi_bot_conversations"
    write(old / "sage", 1, "Hello", user=8)
    write(old / "sage", 1, "x", "You said: secret", topic="Ana's secret")
    content = json.loads((old / "sage" / "1_7.json").read_text())
    (old / "sage" / "1_7.json").write_text(json.dumps({**content, "messages": content["messages"][1:]}))
    async with house(tmp_path) as (there, data):
        await there.store.keep(Tombstone(id="7", at=there.clock.now()))
        await data.bring(room(there).channel)
        assert await room(there).transcript() == ["Ana: Hello"]
        assert "secret" not in "".join([each.model_dump_json() for each in await room(there).sessions()])


async def test_copies_of_what_was_said_are_no_reason_for_warnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "multi_bot_conversations"
    write(old / "sage", 1, "Hello", "Hi")
    write(old, 1, "Hello", "Hi")
    async with house(tmp_path) as (there, data):
        await data.bring(room(there).channel)
        assert await room(there).transcript() == ["Ana: Hello", "sage: Hi"]
    assert "old_data.refused" not in capsys.readouterr().out


async def test_what_takes_too_long_is_left_to_the_command(tmp_path: Path) -> None:
    write(tmp_path / "multi_bot_conversations" / "sage", 1, "Hello", "Hi")
    async with house(tmp_path) as (there, _):
        seconds = itertools.count(step=3.0)
        await old_data(there, tmp_path, lambda: next(seconds)).bring(room(there).channel)
        assert (await there.store.counts()).messages == 0
