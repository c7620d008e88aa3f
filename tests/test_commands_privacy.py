"""`/privacy` in a simulated Discord: told, handed over and forgotten on request, to nobody but the person."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import discord
import simcord

from bots.discord import commands_privacy
from bots.discord.interactions import Tree
from bots.privacy import Privacy
from storage.blobs import Blobs
from storage.model import Attachment, Channel, Message, Sender, Session, Text
from storage.place import Folder

from .world import World, world

if TYPE_CHECKING:
    from bots.discord.client import Front

_NUMBERS = itertools.count(1)


class Account(discord.Client):
    """A logged-in account with these commands alone."""

    def __init__(self, w: World, privacy: Privacy) -> None:
        super().__init__(intents=discord.Intents.default())
        self.bot = w.bot
        w.bot.privacy = privacy
        self.tree = Tree(self)
        commands_privacy.add(self.tree, cast("Front", self))

    async def setup_hook(self) -> None:
        await self.tree.sync()


@dataclass
class Stage:
    """A server with two people in it, of whom Ana is known to the bot."""

    w: World
    env: simcord.Env
    blobs: Blobs
    hall: Any
    ana: Any
    ben: Any

    async def said(self, who: Any, text: str, *parts: Attachment) -> None:
        at = self.w.clock.now()
        channel = Channel(front="discord", id=str(self.hall.id), kind="channel", name="hall", guild_id="1")
        sender = Sender(type="user", id=str(who.id), name="Ana *the* first")
        session = Session(id="s1", channel=channel, opened_at=at, last_at=at)
        number = next(_NUMBERS)
        line = Message(
            id=f"m{number}", session_id="s1", role="user", sender=sender, parts=(Text(text=text), *parts), at=at
        )
        assert await self.w.store.append(session, line)

    async def file(self, size: int) -> Attachment:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(size >> 20):
                yield b"x" * (1 << 20)

        blob = await self.blobs.keep(pieces(), limit=size)
        return Attachment(type="file", name="big.bin", url="https://cdn/big.bin", blob=blob.hash, size=blob.size)


@asynccontextmanager
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with world() as w:
        blobs = Blobs(Folder(tmp_path / "attachments"), tmp_path)
        privacy = Privacy(
            w.store,
            blobs,
            None,
            now=w.clock.now,
            forget_session=w.bot.forget,
            changed=w.bot._recent.forget,
            change_session=w.bot.sessions.change,
            stop=w.bot.stop,
        )
        async with simcord.run(Account(w, privacy)) as env:
            guild = env.create_guild()
            hall = guild.create_text_channel("hall")
            ana, ben = (guild.add_member(env.create_user(name)) for name in ("ana", "ben"))
            yield Stage(w, env, blobs, hall, ana, ben)


def only(result: Any) -> Any:
    """The one answer, seen by its asker alone."""
    everything = [*([result.response] if result.response else []), *result.followups]
    assert all(each.ephemeral for each in everything)
    return everything[0]


async def test_show_tells_what_is_kept_and_by_what_policy(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.said(s.ana, "hello", await s.file(1 << 20))
        await s.said(s.ana, "there")
        shown = only(await s.ana.slash(s.hall, "privacy show")).content
        assert shown.startswith(s.w.bot.settings.privacy.policy)
        assert "**What I keep about you**, who wrote as Ana \\*the\\* first" in shown
        assert "- 2 things you said, and 0 answers, from <t:" in shown
        assert "- 1 session you took part in, 0 of them private\n- 1 file, 1 MiB" in shown
        assert only(await s.ben.slash(s.hall, "privacy show")).content.endswith("**I keep nothing about you.**")


async def test_nobody_is_shown_what_is_kept_about_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.said(s.ana, "hello")
        own = only(await s.ana.context_menu(s.hall, "Show what you know", s.ana)).content
        assert "1 thing you said" in own
        other = only(await s.ben.context_menu(s.hall, "Show what you know", s.ana)).content
        assert other.startswith("What I keep about others is shown to nobody but them.")
        assert "you said" not in other


async def test_an_export_comes_as_one_file_where_it_fits(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert only(await s.ana.slash(s.hall, "privacy export")).content == "I keep nothing about you."
        await s.said(s.ana, "hello there")
        answer = only(await s.ana.slash(s.hall, "privacy export"))
        (file,) = answer.attachments
        assert file.filename == "privacy.zip"
        with zipfile.ZipFile(io.BytesIO(await file.read())) as zip:
            assert b"hello there" in zip.read("messages.md")


async def test_an_export_that_is_too_big_comes_in_parts_that_make_it_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.said(s.ana, "look", await s.file(11 << 20))
        result = await s.ana.slash(s.hall, "privacy export")
        parts = [*([result.response] if result.response else []), *result.followups]
        assert all(each.ephemeral for each in parts)
        assert [each.attachments[0].filename for each in parts] == ["privacy.zip.001", "privacy.zip.002"]
        assert all(each.attachments[0].size <= 10 << 20 for each in parts)
        whole = b"".join([await each.attachments[0].read() for each in parts])
        with zipfile.ZipFile(io.BytesIO(whole)) as zip:
            assert zip.testzip() is None
            assert max(entry.file_size for entry in zip.infolist()) == 11 << 20


async def test_forget_asks_first_and_forgets_only_when_told_to(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.said(s.ana, "hello")
        await s.said(s.ben, "I stay")
        asked = only(await s.ana.slash(s.hall, "privacy forget"))
        assert "Shall I remove all of it, for good?" in asked.content
        await s.ana.click(asked, label="Leave it as it is")
        assert len(await s.w.store.messages("s1")) == 2
        asked = only(await s.ana.slash(s.hall, "privacy forget"))
        await s.ana.click(asked, label="Forget me for good")
        assert [each.text for each in await s.w.store.messages("s1")] == ["I stay"]
        assert only(await s.ana.slash(s.hall, "privacy forget")).content == "I keep nothing about you."


async def test_forgetting_that_fails_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.said(s.ana, "hello")
        asked = only(await s.ana.slash(s.hall, "privacy forget"))
        await s.w.store.close()
        pressed = await s.ana.click(asked, label="Forget me for good")
        assert "I could not finish it; I go on at my next start. I cannot reach my storage" in str(pressed)
