"""A move that others meet: who took their settings before it, who breaks it off, who is forgotten after it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bots import moved
from bots.bot import Bot
from bots.cli import main
from bots.cli_bots import opened
from bots.errors import ConfigError, TroupeError
from bots.loading import load
from bots.moving import Moving, at_home, move
from bots.providers.offline import Offline
from bots.status import BotStatus, left_behind, write
from storage.backends.changes import RemoveMessages
from storage.blobs import Blobs
from storage.errors import RootInUse
from storage.forgotten_list import note
from storage.place import Folder
from storage.rootlock import RootLock
from storage.transfer import NOTED, Touched
from tests.generating import NOON, SENDERS
from tests.test_transfer import message, say
from tests.test_transfer_bots import Home
from tests.world import Clock

ANN, BEN = SENDERS[0], SENDERS[1]
SECRET = "xyzzyplugh"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@asynccontextmanager
async def awake(home: Home) -> AsyncIterator[Bot]:
    """The bot over the place where its talk lives."""
    clock, blobs = Clock(NOON + timedelta(days=1)), Blobs(Folder(home.root / "attachments"), home.root)
    async with home.store() as store:
        clocks = {"now": clock.now, "ticks": clock.ticks, "chance": itertools.count(1).__next__}
        bot = Bot(home.bot, store, Offline(None, now=clock.now), blobs=blobs, **clocks)  # type: ignore[arg-type]
        await bot.start()
        try:
            yield bot
        finally:
            await bot.close()


def telling(home: Home) -> list[str]:
    """The files of a root that hold what Ann said."""
    files = (path for path in sorted(home.root.rglob("*")) if path.is_file())
    return [path.name for path in files if SECRET.encode() in path.read_bytes()]


def secret(number: int) -> object:
    return message(number, sender=ANN, parts=({"type": "text", "text": f"{SECRET} {number}"},))


async def test_nobody_gets_hold_of_a_root_between_a_move_and_the_word_of_it(home: Home) -> None:
    async with home.store() as store:
        await say(store, message(1))
    tried: list[str] = []

    def now() -> object:
        with pytest.raises(RootInUse):
            RootLock.take(home.root).release()
        tried.append("held")
        return NOON

    await move(home.bot, "file", now=now)  # type: ignore[arg-type]
    assert tried == ["held"]


async def test_settings_from_before_a_move_open_the_place_that_the_talk_lives_in(home: Home) -> None:
    before = home.bot
    async with opened(before) as store:
        await say(store, message(1))
    await move(before, "file", now=lambda: NOON)
    async with opened(before) as store:
        await say(store, message(2))
    with pytest.raises(TroupeError, match="lives in file already"):
        await move(before, "file", now=lambda: NOON)
    async with home.store("file") as store, home.store("sqlite") as left:
        assert ((await store.counts()).messages, (await left.counts()).messages) == (2, 1)


def test_a_damaged_marker_is_the_trouble_of_its_bot_alone(home: Home, tmp_path: Path) -> None:
    def run(*args: str) -> Result:
        return CliRunner().invoke(main, [*args, "--config", str(home.folder / "config")])

    home.say(message(1))
    kept = f"storage: {{path: {tmp_path}/data/muse, backup: {{enabled: false}}}}"
    (home.folder / "config" / "bots" / "muse.yaml").write_text(f"personas: [sage]\n{kept}\n")
    muse = load(home.folder / "config", {}).bot("muse")
    assert muse

    async def speak() -> None:
        async with opened(muse) as store:
            await say(store, message(1))

    asyncio.run(speak())
    (home.root / moved.FILE).write_text("{torn")
    assert run("export", "muse", "-o", str(tmp_path / "muse.json")).exit_code == 0
    assert run("status", "muse").exit_code == 0
    assert run("doctor", "storage", "muse").exit_code == 0
    told = run("status")
    assert "muse" in told.output
    assert "where this bot's talk lives, and cannot be read" in " ".join(told.output.split())
    for command in (("doctor", "storage", "sage"), ("export", "sage", "-o", "-"), ("transfer", "sage", "--back")):
        refused = run(*command)
        assert refused.exit_code == 1
        assert "where this bot's talk lives, and cannot be read" in refused.output
    with pytest.raises(ConfigError, match="remove the file, and start the bot"):
        at_home(home.bot, None)
    (home.root / moved.FILE).unlink()
    assert run("doctor", "storage", "sage").exit_code == 0


def test_a_start_that_fails_does_not_forget_where_the_bot_has_talked(home: Home) -> None:
    from bots.status import carried

    write(home.root, BotStatus(bot="sage", state="ready", storage="file"))
    assert carried(home.root, BotStatus(bot="sage", state="fatal")).storage == "file"


async def test_who_is_forgotten_is_forgotten_in_the_place_that_the_talk_has_left(home: Home) -> None:
    async with home.store() as store:
        await say(store, secret(1), message(2, sender=BEN))  # type: ignore[arg-type]
    await move(home.bot, "file", now=lambda: NOON)
    assert "conversations.db" in telling(home)
    async with awake(home) as bot:
        await bot.privacy.forget(ANN.id)
        assert bot.privacy.left
        await bot.privacy.left.done()
    assert telling(home) == []
    async with home.store("sqlite") as left:
        assert [each.sender for each in (await left.read()).items] == [BEN]
    await move(home.bot, "sqlite", now=lambda: NOON)
    async with home.store() as store:
        assert [each.sender for each in (await store.read()).items] == [BEN]


async def test_forgetting_in_the_place_left_is_made_up_for_at_the_next_start(home: Home) -> None:
    async with home.store() as store:
        await say(store, secret(1), message(2, sender=BEN))  # type: ignore[arg-type]
    await move(home.bot, "file", now=lambda: NOON)
    await note(Folder(home.root), {ANN.id: NOON + timedelta(hours=1)})
    async with awake(home) as bot:
        assert bot.privacy.left
        await bot.privacy.left.done()
    assert telling(home) == []


def test_what_a_server_may_still_tell_of_the_forgotten_is_said(home: Home) -> None:
    home.say(message(1))
    marker = {"type": "sqlite", "left": ["postgres"], "at": NOON.isoformat(), "digest": ""}
    counts = {"channels": 1, "sessions": 1, "open_sessions": 1, "messages": 1}
    (home.root / moved.FILE).write_text(json.dumps({**marker, "counts": counts}))
    assert left_behind(home.bot) == ""
    asyncio.run(note(Folder(home.root), {ANN.id: NOON}))
    assert "the server still keeps may tell of them" in left_behind(home.bot)


async def test_a_move_is_given_up_when_whoever_asked_for_it_has_gone(home: Home) -> None:
    heard: list[str] = []

    async def leave(line: str) -> None:
        raise TroupeError("Whoever asked for it has gone.")

    async def hear(line: str) -> None:
        heard.append(line)

    async with home.store() as store:
        await say(store, message(1))
        moving = Moving(
            lambda: home.bot, store, lambda facts: None, now=lambda: NOON, folder=None, hide=lambda bot: None
        )
        asked = {"do": "transfer", "to": "file", "dry": "no"}
        with pytest.raises(TroupeError, match="has gone"):
            await moving.order(asked, leave)
        assert moved.read(home.root) is None
        await say(store, message(2))
        await moving.order(asked, hear)
        await say(store, message(3))
        await moving.finish()
    assert json.loads(heard[-1]) == {"ready": True}
    async with home.store("file") as other:
        assert (await other.counts()).messages == 3


async def test_a_move_waits_for_the_forgetting_in_the_place_it_goes_to(home: Home) -> None:
    async def hear(line: str) -> None: ...

    async with home.store() as store:
        await say(store, message(1))
        moving = Moving(
            lambda: home.bot, store, lambda facts: None, now=lambda: NOON, folder=None, hide=lambda bot: None
        )
        lock = RootLock.take(home.root, moved.LEFT)
        with pytest.raises(TroupeError, match="Somebody is being forgotten"):
            await moving.order({"do": "transfer", "to": "file", "dry": "yes"}, hear)
        lock.release()
        await moving.order({"do": "transfer", "to": "file", "dry": "yes"}, hear)


def test_what_is_remembered_of_a_store_that_is_written_to_without_end_does_not_grow() -> None:
    touched = Touched()
    for start in range(0, NOTED * 4, 1000):
        touched.note(RemoveMessages(tuple(f"m{number}" for number in range(start, start + 1000))))
    assert touched.everything
    assert len(touched) < NOTED + 2001
