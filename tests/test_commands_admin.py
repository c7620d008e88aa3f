"""`/admin` in a simulated Discord: who may ask for what, what each command shows and does, and what is audited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import discord
import pytest
import simcord

from bots.discord import commands_admin
from bots.discord.interactions import Tree
from bots.errors import ConfigError, TroupeError
from bots.operations import ModelState, Operations, Say
from bots.reloading import Reloaded
from bots.status import BotStatus
from storage.manifest import Manifest
from storage.model import Channel, Counts, Message, Sender, Session, Text
from storage.progress import Tell, silent
from storage.records import AuditEntry

from .world import CAI, World, persona, settings, world

if TYPE_CHECKING:
    from bots.discord.client import Front

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MANAGES = discord.Permissions(manage_guild=True)


@dataclass
class Upkeep:
    """What an admin's order came to."""

    orders: list[str] = field(default_factory=list)
    due: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""
    """What is wrong with the configuration."""

    def operations(self, bot: str) -> Operations:
        status = BotStatus(
            bot=bot, state="ready", version="1.2", pid=77, discord="ready", job_trouble="backup: no room"
        )
        models = (ModelState("openai gpt", "off", "OPENAI_API_KEY"), ModelState("offline", "ready"))
        return Operations(lambda: status, lambda: models, self.back_up, self.clean_up, self.reload)

    async def back_up(self, tell: Tell = silent) -> Manifest:
        self.orders.append("backup")
        counts = Counts(channels=1, sessions=2, open_sessions=1, messages=1234)
        facts: dict[str, Any] = {"program": "1", "schema_version": 1, "sha256": "0" * 64, "packed_sha256": "0" * 64}
        sizes: dict[str, Any] = {"size": 4096, "packed_size": 2048, "seconds": 3.0, "counts": counts}
        return Manifest(
            number=1, name="conversations_2026-03-02", bot="sage", backend="sqlite", made_at=AT, **facts, **sizes
        )

    async def clean_up(self, say: Say, dry_run: bool) -> None:
        self.orders.append("look" if dry_run else "cleanup")
        for each in self.due:
            await say(json.dumps(each))
        total = {"session": {"items": len(self.due), "messages": 3, "bytes": 2048}} if self.due else {}
        await say(json.dumps({"total": total, "archives": ["/root/archives/a.zip"], "kept": 0, "more": False}))

    async def reload(self) -> Reloaded:
        if self.trouble:
            raise ConfigError([self.trouble])
        self.orders.append("reload")
        return Reloaded(("personas",), ("storage.path",))


class Account(discord.Client):
    """A logged-in account with the one group of commands."""

    def __init__(self, w: World, upkeep: Upkeep) -> None:
        super().__init__(intents=discord.Intents.default())
        self.bot = w.bot
        self.operations = upkeep.operations(w.bot.settings.name)
        self.tree = Tree(self)
        commands_admin.add(self.tree, cast("Front", self))

    async def setup_hook(self) -> None:
        await self.tree.sync()


@dataclass
class Stage:
    """A guild with an admin (ana), a member (ben) and a channel."""

    w: World
    env: simcord.Env
    upkeep: Upkeep
    guild: Any
    ana: Any
    ben: Any
    hall: Any

    async def ask(self, command: str, who: Any = None, **more: Any) -> str:
        """All that the asker is told; nobody else sees any of it."""
        result = await (who or self.ana).slash(self.hall, f"admin {command}", **more)
        assert result.ephemeral
        return text(result)

    async def audit(self) -> list[tuple[str, str]]:
        page = await self.w.store.records(AuditEntry, about=f"guild:{self.guild.id}")
        return [(entry.actor.name, entry.action) for entry in page.items]

    async def talk(self, number: int, channel: Any = None, guild: Any = None) -> Session:
        """A session somebody has had."""
        where, home = channel or self.hall, guild or self.guild
        place = Channel(front="discord", id=str(where.id), kind="channel", name=where.name, guild_id=str(home.id))
        who = Sender(type="user", id="5", name="Cai")
        id = f"2026-03-02_09-00-0{number}_aaaa"
        session = Session(id=id, channel=place, opened_at=AT, last_at=AT, title=f"Talk {number}", participants=(who,))
        line = Message(id=f"m{number}", session_id=id, role="user", sender=who, parts=(Text(text="hello"),), at=AT)
        await self.w.store.append(session, line)
        return session


def text(result: simcord.InteractionResult) -> str:
    found = ([result.response] if result.response else []) + result.followups
    return "\n".join(message.content for message in found)


@asynccontextmanager
async def stage(upkeep: Upkeep | None = None, *, owner: bool = False, **more: Any) -> AsyncIterator[Stage]:
    """With `owner`, ana owns the bot's application, too."""
    channels = {"channels": {"always": ["advice-*"]}}
    config = settings(personas=[persona("sage"), persona("marcus")], discord=channels, **more)
    async with world(config) as w:
        upkeep = upkeep or Upkeep()
        front = Account(w, upkeep)
        async with simcord.run(front) as env:
            guild = env.create_guild("Home")
            admins = guild.create_role("Admins", permissions=MANAGES)
            ana = guild.add_member(env.create_user("ana"), roles=[admins])
            ben = guild.add_member(env.create_user("ben"))
            if owner:
                assert front.application is not None
                front.application.owner = cast(discord.User, discord.Object(ana.id))
                front.application.team = None
            yield Stage(w, env, upkeep, guild, ana, ben, guild.create_text_channel("hall"))
            causes = [getattr(error, "original", error) for error in env.errors]
            assert [cause for cause in causes if not isinstance(cause, TroupeError)] == []


async def test_only_those_who_manage_the_server_find_the_command_or_are_obeyed() -> None:
    async with stage() as s:
        assert "admin status" in s.ana.available_commands(s.hall)
        assert "admin status" not in s.ben.available_commands(s.hall)
        (command,) = await cast("Account", s.env.bot).tree.fetch_commands()
        s.guild.set_command_permissions(command, {s.ben: True})
        assert "with the permission Manage Server" in await s.ask("status", s.ben)


async def test_an_admin_sees_how_the_bot_is_and_its_owner_what_concerns_others() -> None:
    async with stage() as s:
        await s.talk(1)
        shown = await s.ask("status")
        assert shown.startswith("**Sage** 1.2: ready\nDiscord: ready\n")
        assert "Models: openai gpt off (set OPENAI_API_KEY), offline" in shown
        assert "Here, in Home: 1 session that you may see" in shown
        for secret in ("Process", "Storage", "no room"):
            assert secret not in shown
    async with stage(owner=True) as s:
        shown = await s.ask("status")
        assert "Storage: sqlite in `" in shown
        assert "`: 0 messages in 0 sessions, 0 open" in shown
        assert "⚠️ backup: no room" in shown


async def test_settings_are_shown_set_completed_and_undone() -> None:
    async with stage() as s:
        assert "`session_gap`: 5 minutes (the bot's file)" in await s.ask("config show")
        assert "in this channel" not in await s.ask("config show")
        here = Channel(front="discord", id=str(s.hall.id), kind="channel", name="hall", guild_id=str(s.guild.id))
        await s.w.bot.conversations.speak_as(here, "marcus", CAI.sender)
        told = "`persona` in this channel: marcus (chosen by Cai on 2026-03-02 09:00 UTC); `/persona default` takes it"
        assert told in await s.ask("config show")
        choices = await s.ana.autocomplete(s.hall, "admin config set", "value", "m", key="persona")
        assert [each["value"] for each in choices] == ["marcus"]
        done = await s.ask("config set", key="session_gap", value="10m")
        assert done.startswith("`session_gap`: 10 minutes (set here by ana on ")
        assert s.w.bot.guilds.own_gap(str(s.guild.id)) == 600
        assert "found 'soon' (text); allowed: a span" in await s.ask("config set", key="session_gap", value="soon")
        undone = await s.ask("config undo")
        assert undone.startswith(
            "Taken back: `session_gap`: 10 minutes → as in the bot's file.\n`session_gap`: 5 minutes"
        )
        s.w.clock.advance(60)
        await s.ask("config set", key="always", value=f"<#{s.hall.id}>, help-*")
        told = await s.ask("audit")
        assert f"ana: set `always`: as in the bot's file → <#{s.hall.id}>, help-\\*" in told
        assert "ana: took back `session_gap`: 10 minutes → as in the bot's file" in told
        assert f"`always`: <#{s.hall.id}>, help-\\* (set here" in await s.ask("config show")
        assert await s.audit() == [("ana", "config set"), ("ana", "config undo"), ("ana", "config set")]


@pytest.mark.parametrize("command", ["reload", "backup", "cleanup"])
async def test_what_concerns_every_server_is_for_the_owner_of_the_application(command: str) -> None:
    async with stage() as s:
        assert "only the owner of my application may ask for it" in await s.ask(command)
        assert s.upkeep.orders == []


async def test_the_owner_has_the_configuration_read_again_or_hears_why_not() -> None:
    async with stage(owner=True) as s:
        assert await s.ask("reload") == "Waiting for a restart: storage.path. In force now: personas."
        s.upkeep.trouble = "bots/sage.yaml:3: models: found nothing"
        assert await s.ask("reload") == "bots/sage.yaml:3: models: found nothing"
        assert await s.audit() == [("ana", "reload")]
        assert "reload (changed personas; waiting storage.path)" in await s.ask("audit")


async def test_the_owner_has_a_backup_made_and_hears_what_is_in_it() -> None:
    async with stage(owner=True) as s:
        assert await s.ask("backup") == (
            "`conversations_2026-03-02` is made and proven: 1,234 messages in 2 sessions, 2 KiB, in 3 s."
        )
        assert await s.audit() == [("ana", "backup")]


async def test_a_cleanup_shows_what_would_go_and_waits_for_a_press() -> None:
    due = [{"kind": "session", "id": "s1", "why": "nobody has spoken for a year", "messages": 3, "bytes": 2048}]
    async with stage(Upkeep(due=due), owner=True) as s:
        result = await s.ana.slash(s.hall, "admin cleanup")
        assert "session `s1`: nobody has spoken for a year" in text(result)
        assert "**To go**: session: 1 (2 KiB)" in text(result)
        assert s.upkeep.orders == ["look"]
        shown = [*([result.response] if result.response else []), *result.followups][0]
        await s.ana.click(shown, label="Remove this")
        assert s.upkeep.orders == ["look", "cleanup"]
        assert "**Gone**: session: 1 (2 KiB)\nArchived first: a.zip" in shown.content
        assert await s.audit() == [("ana", "cleanup")]
    async with stage(owner=True) as s:
        assert await s.ask("cleanup") == "Nothing is due."


async def test_sessions_of_this_server_are_listed_with_their_people_and_size() -> None:
    async with stage() as s:
        other = s.env.create_guild("Elsewhere")
        await s.talk(1)
        await s.talk(2, other.create_text_channel("secrets"), other)
        everyone, hidden = s.guild.default_role, discord.PermissionOverwrite(view_channel=False)
        await s.talk(3, s.guild.create_text_channel("staff", overwrites={everyone: hidden}))
        shown = await s.ask("sessions")
        assert f"<#{s.hall.id}> Talk 1: Cai; 1 message, 5 bytes; open" in shown
        assert "Talk 2" not in shown
        assert "Talk 3" not in shown


async def test_a_private_thread_is_hidden_from_those_who_are_not_in_it() -> None:
    async with stage() as s:
        place = s.env.bot.get_channel(s.hall.id)
        assert isinstance(place, discord.TextChannel)
        thread = await place.create_thread(name="secret", type=discord.ChannelType.private_thread)
        hidden = await s.talk(1, thread)
        assert "Talk 1" not in await s.ask("sessions")
        assert await s.ana.autocomplete(s.hall, "admin sessions", "session", "", action="stop") == []
        for action in ("stop", "archive"):
            assert "Name one of this server's" in await s.ask("sessions", action=action, session=hidden.id)
        await thread.add_user(discord.Object(s.ana.id))
        assert "Talk 1" in await s.ask("sessions")


async def test_a_session_is_stopped_and_none_of_another_server_can_be_named() -> None:
    async with stage() as s:
        other = s.env.create_guild("Elsewhere")
        here = await s.talk(1)
        there = await s.talk(2, other.create_text_channel("secrets"), other)
        choices = await s.ana.autocomplete(s.hall, "admin sessions", "session", "", action="stop")
        assert [(each["name"], each["value"]) for each in choices] == [("#hall: Talk 1", here.id)]
        assert await s.ask("sessions", action="stop", session=here.id) == "I was not saying anything there."
        assert "Name one of this server's sessions" in await s.ask("sessions", action="archive", session=there.id)
        assert await s.audit() == [("ana", "session stop")]


async def test_a_session_is_archived_and_stays_to_be_found() -> None:
    async with stage() as s:
        here = await s.talk(1)
        assert (await s.ask("sessions", action="archive", session=here.id)).startswith("Archived Talk 1")
        kept = await s.w.store.session(here.id)
        assert kept is not None
        assert kept.archived


async def test_budgets_are_reported_for_this_server() -> None:
    async with stage() as s:
        await s.ask("config set", key="budgets", value="per=guild messages=10")
        shown = await s.ask("budget")
        assert shown.startswith("**Used in this server** from ")
        assert "0 of 10 answers" in shown


async def test_what_the_whole_bot_used_is_told_to_a_servers_admin_without_numbers() -> None:
    async with stage() as s:
        s.w.bot.guilds.adopt(settings(budgets=[{"per": "bot", "messages": 40}]))
        here = Channel(front="discord", id="1", kind="channel", name="far", guild_id="99")
        for _ in range(10):
            s.w.bot.quotas.ask(here, Sender(type="user", id="9", name="Dee"), ())
        shown = await s.ask("budget")
        assert "The bot's, for today" in shown
        assert "25% used" in shown
        assert "40 answers" not in shown


async def test_the_audit_is_leafed_through_and_is_this_servers_alone() -> None:
    async with stage() as s:
        actor = Sender(type="user", id="1", name="Ana")
        for number in range(12):
            target, at = f"guild:{s.guild.id if number else 99}", AT + timedelta(minutes=number)
            details: dict[str, Any] = {"number": number}
            entry = AuditEntry(id=f"a{number}", at=at, actor=actor, action="did", target=target, details=details)
            await s.w.store.keep(entry)
        result = await s.ana.slash(s.hall, "admin audit")
        assert "number 11" in text(result)
        assert "number 1)" not in text(result)
        shown = [*([result.response] if result.response else []), *result.followups][0]
        await s.ana.click(shown, label="Older")
        assert "number 1)" in shown.content
        assert "number 0" not in shown.content
        await s.ana.click(shown, label="Newer")
        assert "number 11" in shown.content


async def test_diagnosis_answers_in_one_screen_for_a_channel_and_a_person() -> None:
    async with stage() as s:
        shown = await s.ask("diagnose")
        assert "🔇 I hear and answer only lines that address me: no list of channels names it." in shown
        assert "⚠️ openai gpt has no key. → Whoever runs me: set OPENAI_API_KEY." in shown
        everyone, mute = s.guild.default_role, discord.PermissionOverwrite(send_messages=False)
        advice = s.guild.create_text_channel("advice-life", overwrites={everyone: mute})
        shown = await s.ask("diagnose", channel=advice, user=s.ben)
        assert shown.startswith("**#advice-life** and ben\n⛔ Without Send Messages no answer can be written there. →")
        assert "✅ I answer every line that is not meant for others: `advice-*` in the list `always`" in shown
        assert "✅ Nothing keeps me from answering ben." in shown


async def test_a_used_up_budget_explains_silence(tmp_path: Path) -> None:
    async with stage() as s:
        await s.ask("config set", key="budgets", value="per=guild messages=1")
        here = Channel(front="discord", id=str(s.hall.id), kind="channel", name="hall", guild_id=str(s.guild.id))
        s.w.bot.quotas.ask(here, Sender(type="user", id="9", name="Dee"), ())
        shown = await s.ask("diagnose")
        assert "🔇 Used up: 1 of 1 answer per guild for today; it begins anew <t:" in shown
        assert "Nothing is broken" not in shown


async def test_a_rule_that_shuts_a_channel_explains_silence_whoever_asks() -> None:
    rules = [{"channel": "hall", "allow": False}, {"channel": "hall", "role": "Admins", "allow": True}]
    async with stage(access=rules) as s:
        shown = await s.ask("diagnose")
        assert (
            "🔇 The rules in `access` of my file do not allow me to answer here (access rule 1 (channel hall)" in shown
        )
        assert "Nothing is broken" not in shown
        assert "do not allow me to answer ben here (access rule 1" in await s.ask("diagnose", user=s.ben)
        assert "✅ Nothing keeps me from answering ana." in await s.ask("diagnose", user=s.ana)
