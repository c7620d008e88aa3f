"""`/admin`: how the bot is, what this guild has set, its upkeep, and why it is silent somewhere."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands
from pydantic import JsonValue

from storage.model import Session
from storage.records import AuditEntry
from storage.retention import amount

from ..errors import TroupeError
from ..guilds import DEFAULT, EXAMPLES, KEYS
from ..quotas import bounds, count
from ..usage_report import usage_report
from . import diagnosis
from .admin_pages import Pager, audit_page, changes, due, sessions_page, settings_page, status_page
from .confirming import Confirm
from .interactions import Tree, answer, inert, runs_the_bot, where
from .reading import reads, within_reach
from .translate import who

if TYPE_CHECKING:
    from .client import Front

Asked = discord.Interaction["Front"]
Spot = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel | discord.Thread

_CHOICES = 25
_LISTED = 15
_AUDITED = 8
_PLACES = 200
"""The places of a guild whose sessions are looked at: those talked in last."""

admin = app_commands.Group(
    name="admin",
    description="Settings, upkeep and diagnosis, for those who manage this server",
    guild_only=True,
    default_permissions=discord.Permissions(manage_guild=True),
)
config = app_commands.Group(name="config", description="What this server sets over the bot's own file", parent=admin)


def add(tree: Tree, _front: Front) -> None:
    """Adds the group to the bot's tree."""
    tree.add_command(admin)


def allowed(asked: Asked) -> discord.Guild:
    """The guild, if the asker may manage the bot there. Raises `TroupeError`."""
    guild = asked.guild
    if guild is None:
        raise TroupeError("Use this in a server: it is about that server's settings.")
    may = asked.permissions.manage_guild or asked.permissions.administrator
    if not (may or asked.user.id == guild.owner_id or runs_the_bot(asked)):
        raise TroupeError("This is for the server's owner and for those with the permission Manage Server.")
    return guild


def _for_the_owner(asked: Asked) -> discord.Guild:
    guild = allowed(asked)
    if not runs_the_bot(asked):
        raise TroupeError("This concerns every server I am in, so only the owner of my application may ask for it.")
    return guild


@admin.command(description="How I am: state, models, what is kept of this server, alarms")
async def status(asked: Asked) -> None:
    guild, front = allowed(asked), asked.client
    now = await asyncio.to_thread(front.operations.status)
    counts = await front.bot.store.counts() if runs_the_bot(asked) else None
    seen = len(await _sessions(asked))
    here = f"{count(seen, 'session')}{' or more' if seen == _CHOICES else ''} that you may see"
    await answer(asked, await asyncio.to_thread(status_page, front, now, counts, f"{inert(guild.name)}: {here}"))


@config.command(name="show", description="What is set here, and where it comes from")
async def show(asked: Asked) -> None:
    guild, bot, here = allowed(asked), asked.client.bot, where(asked)
    told = settings_page(await bot.guilds.shown(str(guild.id)))
    if chosen := bot.conversations.personas.of(here):
        origin = await bot.conversations.personas.told(here)
        told += f"\n`persona` in this channel: {inert(chosen)} ({inert(origin)}); `/persona default` takes it back"
    await answer(asked, told)


async def _values(asked: Asked, typed: str) -> list[app_commands.Choice[str]]:
    key = str(asked.namespace.key or "")
    named = [each.name for each in asked.client.bot.settings.personas] if key == "persona" else []
    found = [each for each in (*named, *EXAMPLES.get(key, ()), DEFAULT) if typed.casefold() in each.casefold()]
    return [app_commands.Choice(name=each, value=each) for each in found[:_CHOICES]]


@config.command(name="set", description="Set something for this server alone")
@app_commands.describe(key="What to set", value=f"What it shall be; '{DEFAULT}' goes back to the bot's own file")
@app_commands.choices(key=[app_commands.Choice(name=key, value=key) for key in KEYS])
@app_commands.autocomplete(value=_values)
async def set_(asked: Asked, key: str, value: app_commands.Range[str, 1, 1000]) -> None:
    guilds, guild = asked.client.bot.guilds, str(allowed(asked).id)
    await guilds.set(guild, key, value, who(asked.user))
    text = settings_page(each for each in await guilds.shown(guild) if each.key == key)
    await answer(asked, f"{text}\n-# `/admin config undo` takes it back.")


@config.command(description="Take the last change back; a second time makes it again")
async def undo(asked: Asked) -> None:
    guilds, guild = asked.client.bot.guilds, str(allowed(asked).id)
    undone = await guilds.undo(guild, who(asked.user))
    await answer(asked, f"Taken back: {changes(undone)}.\n{settings_page(await guilds.shown(guild))}")


@admin.command(description="Read my configuration files again; a mistake in them changes nothing")
async def reload(asked: Asked) -> None:
    _for_the_owner(asked)
    again = asked.client.operations.reload
    if again is None:
        raise TroupeError("I was started without knowing where my configuration is: restart me to read it.")
    done = await again()
    await _note(asked, "reload", {"changed": list(done.changed), "waiting": list(done.waiting)})
    await answer(asked, str(done))


@admin.command(description="Back me up now, and prove the backup by restoring it")
async def backup(asked: Asked) -> None:
    _for_the_owner(asked)
    sent = await answer(asked, "Backing up, and proving the backup by a restore …")
    made = await asked.client.operations.back_up()
    await _note(asked, "backup", {"name": made.name})
    counts = f"{made.counts.messages:,} messages in {made.counts.sessions:,} sessions"
    lost = f" {made.blobs_lost:,} attachments could not be read." if made.blobs_lost else ""
    text = f"`{made.name}` is made and proven: {counts}, {amount(made.packed_size)}, in {made.seconds:.0f} s.{lost}"
    with suppress(discord.HTTPException):  # a long one outlives the interaction; the audit has it
        await sent.edit(content=text)


@admin.command(description="Remove what retention says is due: shows it first, and asks")
async def cleanup(asked: Asked) -> None:
    _for_the_owner(asked)
    text, any_due = await _swept(asked, dry_run=True)
    if not any_due:
        await answer(asked, text)
        return
    await answer(asked, text, view=Confirm(asked, "Remove this", _cleaned))


async def _cleaned(asked: Asked) -> str:
    _for_the_owner(asked)
    text, _ = await _swept(asked, dry_run=False)
    await _note(asked, "cleanup", {})
    return text


async def _swept(asked: Asked, *, dry_run: bool) -> tuple[str, bool]:
    lines: list[dict[str, Any]] = []
    more = 0

    async def hear(line: str) -> None:
        nonlocal more
        told = json.loads(line)
        if "total" in told or len(lines) < _LISTED:
            lines.append(told)
        else:
            more += 1

    await asked.client.operations.clean_up(hear, dry_run)
    return due(lines, more, dry_run=dry_run), bool(lines[-1]["total"])


async def _named_sessions(asked: Asked, typed: str) -> list[app_commands.Choice[str]]:
    allowed(asked)
    found = await _sessions(asked, typed)
    named = ((f"#{each.channel.name}: {each.title or each.id}"[:100], each.id) for each in found)
    return [app_commands.Choice(name=name, value=id) for name, id in named]


@admin.command(description="The sessions of this server: list them, stop an answer, archive one")
@app_commands.describe(action="What to do", session="Which one, to stop or archive it")
@app_commands.choices(action=[app_commands.Choice(name=each, value=each) for each in ("list", "stop", "archive")])
@app_commands.autocomplete(session=_named_sessions)
async def sessions(asked: Asked, action: str = "list", session: str | None = None) -> None:
    allowed(asked)
    bot = asked.client.bot
    if action == "list":
        found = await _sessions(asked)
        sizes = await bot.store.sizes([each.id for each in found[:_LISTED]])
        await answer(asked, sessions_page(found[:_LISTED], sizes, more=len(found) > _LISTED))
        return
    meant = await bot.store.session((session or "").strip())
    if meant is None or meant.deleted_at is not None or not await reads(asked.user, asked.guild, meant.channel):
        raise TroupeError("Name one of this server's sessions: the command completes what you type.")
    if action == "stop":
        stopped = await bot.stop(meant.channel, str(asked.user.id), everybody=True)
        text = f"Stopped in #{inert(meant.channel.name)}." if stopped else "I was not saying anything there."
    else:
        async with bot.doors.of(meant.channel.key):
            await bot.conversations.archive(meant.id, True)
        text = f"Archived {inert(meant.title or meant.id)}: it is out of the way, and `/session list` still finds it."
    await _note(asked, f"session {action}", {"session": meant.id})
    await answer(asked, text)


async def _sessions(asked: Asked, typed: str = "") -> list[Session]:
    """The newest sessions of the guild that the asker may see, with such a title or id; as many as can be chosen
    from."""
    store, guild, user = asked.client.bot.store, asked.guild, asked.user
    found: list[Session] = []
    if guild is None or not isinstance(user, discord.Member):
        return found
    for key, sure in list(within_reach(user, guild).items())[:_PLACES]:
        page = await store.browse(key, limit=_CHOICES)
        meant = [each for each in page.items if typed.casefold() in f"{each.id} {each.title}".casefold()]
        if meant and (sure or await reads(user, guild, meant[0].channel)):
            found += meant
    return sorted(found, key=lambda each: each.last_at, reverse=True)[:_CHOICES]


@admin.command(description="Who used what in this server, and what is left of its budgets")
@app_commands.describe(days="How far back; left out, since the month began")
async def budget(asked: Asked, days: app_commands.Range[int, 1, 90] | None = None) -> None:
    allowed(asked)
    now, bot = asked.created_at, asked.client.bot
    since = now - timedelta(days=days) if days else bounds("month", now)[0]
    await answer(asked, await usage_report(bot.store, bot.quotas, where(asked), since, now, inert))


@admin.command(description="What was done to my settings and by admins here, the newest first")
async def audit(asked: Asked) -> None:
    guild, store = allowed(asked), asked.client.bot.store

    async def page(cursor: str | None) -> tuple[str, str | None, str | None]:
        found = await store.records(AuditEntry, about=f"guild:{guild.id}", cursor=cursor, limit=_AUDITED)
        return audit_page(found.items), found.older, found.newer

    pager = Pager(asked, page)
    await answer(asked, await pager.first(), view=pager)


@admin.command(description="Why I am silent in a channel, and what to do about it")
@app_commands.describe(channel="Where; left out, here", user="Whom I do not answer")
async def diagnose(asked: Asked, channel: Spot | None = None, user: discord.Member | None = None) -> None:
    allowed(asked)
    place = channel or asked.channel
    if not isinstance(place, discord.abc.GuildChannel | discord.Thread):
        raise TroupeError("Name a channel of this server.")
    await answer(asked, diagnosis.told(await diagnosis.gather(asked.client, place, user)))


async def _note(asked: Asked, action: str, details: dict[str, JsonValue]) -> None:
    """Puts what an admin did into the guild's audit."""
    at, target = asked.created_at, f"guild:{asked.guild_id}"
    entry = AuditEntry(
        id=f"{action} {asked.id}", at=at, actor=who(asked.user), action=action, target=target, details=details
    )
    await asked.client.bot.store.keep(entry)
