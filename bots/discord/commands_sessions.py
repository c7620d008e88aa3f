"""Commands about sessions as a whole: found, taken up again, named, branched, merged, searched and taken along."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

import discord
from discord import app_commands

from storage.model import Channel, Found, Message, Session

from ..errors import TroupeError
from ..exporting import filename
from .commands_talk import AnyCommand
from .interactions import Tree, announce, answer, inert, quoted, where, who
from .translate import place

if TYPE_CHECKING:
    from .client import Front

_CHOICES, _LISTED, _FOUND = 25, 10, 10
_CHANNELS = 100
"""Channels read from the store at once."""
_GAPS = {"5 minutes": 300, "15 minutes": 900, "1 hour": 3600, "6 hours": 21600, "1 day": 86400, "1 week": 604800}
_SPAN = re.compile(r"(\d{1,8}(?:\.\d{1,3})?) ?([a-z]+)")
_SIGNS = re.compile(r"([\\*_~`|\[\]()<>#-])")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}

session = app_commands.Group(name="session", description="The sessions of this place: what was said, cut where it ends")


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    others: tuple[AnyCommand, ...] = (branch, merge, search, export)
    for command in others:
        tree.add_command(command)
    tree.add_command(session)


async def sessions(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    """The sessions of this place whose title or first words hold what is typed, the latest first."""
    conversations = interaction.client.bot.conversations
    page = await conversations.listing(where(interaction).key, text=typed, archived=True)
    return [
        app_commands.Choice(name=f"{each.last_at:%Y-%m-%d %H:%M} {each.title}"[:100], value=each.id)
        for each in page.items[:_CHOICES]
    ]


@session.command(name="list", description="List the sessions of this place, the latest first")
@app_commands.describe(text="Words of their titles or first lines", archived="Whether archived ones are listed as well")
async def list_(interaction: discord.Interaction[Front], text: str = "", archived: bool = False) -> None:
    conversations = interaction.client.bot.conversations
    page = await conversations.listing(where(interaction).key, text=text, archived=archived)
    lines = [_line(each) for each in page.items[:_LISTED]]
    if len(page.items) > _LISTED or page.older:
        lines.append("-# There are older ones: narrow them down with `text`.")
    await answer(interaction, "\n".join(lines) or "There are no sessions here.")


@session.command(description="Show one session: who took part, when, and what it is about")
@app_commands.describe(which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def show(interaction: discord.Interaction[Front], which: str | None = None) -> None:
    chosen = await _chosen(interaction, which)
    people = ", ".join(inert(each.name) for each in chosen.participants if each.type == "user") or "nobody yet"
    summary = chosen.context.summary
    lines = [_line(chosen), f"With {people}.", *([quoted(summary)] if summary else [])]
    await answer(interaction, "\n".join(lines))


@session.command(description="Take up an earlier session of this place: the next line continues it")
@app_commands.describe(which="The session to take up")
@app_commands.autocomplete(which=sessions)
async def resume(interaction: discord.Interaction[Front], which: str) -> None:
    chosen = await _chosen(interaction, which, here=True)
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.resume(channel, chosen.id)
    await answer(interaction, f"Taken up again: {inert(chosen.title)}.")
    await announce(
        interaction, f"-# {_asker(interaction)} has taken up an earlier session again: {inert(chosen.title)}"
    )


@session.command(description="Give a session a title")
@app_commands.describe(title="Its title", which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def rename(
    interaction: discord.Interaction[Front], title: app_commands.Range[str, 1, 100], which: str | None = None
) -> None:
    chosen = await _chosen(interaction, which, here=True)
    await interaction.client.bot.conversations.rename(chosen.id, title)
    await answer(interaction, f"It is called {inert(title)} now.")


@session.command(description="Star a session, so that it is kept whatever happens; or take the star back")
@app_commands.describe(which="The session; left out, the one under way", on="False takes the star back")
@app_commands.autocomplete(which=sessions)
async def star(interaction: discord.Interaction[Front], which: str | None = None, on: bool = True) -> None:
    chosen = await _chosen(interaction, which, here=True)
    await interaction.client.bot.conversations.star(chosen.id, on)
    await answer(interaction, "Starred: it is kept until the star is taken back." if on else "It has no star any more.")


@session.command(description="Put a session out of the way; it can still be found and taken up")
@app_commands.describe(which="The session; left out, the one under way", on="False puts it back among the others")
@app_commands.autocomplete(which=sessions)
async def archive(interaction: discord.Interaction[Front], which: str | None = None, on: bool = True) -> None:
    chosen = await _chosen(interaction, which, here=True)
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.archive(chosen.id, on)
    await answer(interaction, "Archived." if on else "It is among the others again.")


@session.command(description="Let the next line here continue this session, however long the silence")
async def keep(interaction: discord.Interaction[Front]) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.keep(channel)
    await answer(interaction, "The next line here continues this session, whenever it comes.")


async def _gaps(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=each, value=each) for each in (*_GAPS, "off", "default") if typed.lower() in each]


@session.command(description="How long a silence begins a new session in this place")
@app_commands.describe(gap="Such as '5 minutes' or '1 hour'; 'off' for never, 'default' for the configured one")
@app_commands.autocomplete(gap=_gaps)
async def policy(interaction: discord.Interaction[Front], gap: str) -> None:
    seconds = _seconds(gap)
    asker = who(interaction.user)
    await interaction.client.bot.conversations.policy(where(interaction), seconds, asker)
    if seconds is None:
        told = "the configured silence begins a new session here"
    elif seconds == "off":
        told = "no silence begins a new session here"
    else:
        told = f"a silence of {_span(seconds)} begins a new session here"
    await answer(interaction, f"From now on {told}.")
    await announce(interaction, f"-# {_asker(interaction)} has set that {told}.")


@app_commands.command(description="Go on from here in a session of its own that knows what was said")
@app_commands.describe(into="Here, or in a thread of its own")
async def branch(interaction: discord.Interaction[Front], into: Literal["here", "thread"] = "here") -> None:
    await branch_from(interaction, await _chosen(interaction, None), None, into)


async def branch_from(
    interaction: discord.Interaction[Front], source: Session, message: Message | None, into: Literal["here", "thread"]
) -> None:
    """Branches a session after a message, or after its last one, into this place or a new thread, and says so."""
    after, title = message.id if message else None, inert(source.title)
    if into == "here":
        await _branched(interaction, source, after, where(interaction))
        await answer(interaction, "Branched: the next line here goes on from there, in a session of its own.")
        await announce(interaction, f"-# {_asker(interaction)} has branched off here: {title}")
        return
    if not source.message_count:
        raise TroupeError("There is nothing in that session yet that a branch could know.")
    thread = await _thread(interaction, source.title)
    await _branched(interaction, source, after, place(thread))
    await answer(interaction, f"Branched into {thread.mention}: it knows what was said up to there.")


async def _branched(interaction: discord.Interaction[Front], source: Session, after: str | None, into: Channel) -> None:
    bot = interaction.client.bot
    async with bot.doors.of(into.key):
        await bot.conversations.branch(source.id, after, await bot.places.know(into))


async def _thread(interaction: discord.Interaction[Front], title: str) -> discord.Thread:
    channel = interaction.channel
    if not isinstance(channel, discord.TextChannel):
        raise TroupeError("A thread can only be made in a text channel; branch off here instead: `/branch into:here`.")
    name = f"Branch: {title}"[:100]
    try:
        return await channel.create_thread(name=name, type=discord.ChannelType.public_thread)
    except discord.Forbidden:
        told = "I may not make threads here. Somebody who runs this server can give me Create Public Threads and Send "
        raise TroupeError(told + "Messages in Threads; until then, `/branch into:here` works.") from None


@app_commands.command(description="Bring another session of this place into the one under way")
@app_commands.describe(which="The session whose talk this one should know")
@app_commands.autocomplete(which=sessions)
async def merge(interaction: discord.Interaction[Front], which: str) -> None:
    chosen = await _chosen(interaction, which, here=True)
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        lines = await bot.conversations.merge(channel, chosen.id)
    title = inert(chosen.title)
    await answer(interaction, f"{lines} lines of {title} are part of this session now, and it is archived.")
    await announce(interaction, f"-# {_asker(interaction)} has brought another session into this one: {title}")


@app_commands.command(description="Search what was said here, or wherever you may read")
@app_commands.describe(
    words='Words; "a phrase" in quotation marks, -word to leave out, begin* for beginnings',
    everywhere="Whether to search all places of this server that you may read",
)
async def search(
    interaction: discord.Interaction[Front], words: app_commands.Range[str, 1, 200], everywhere: bool = False
) -> None:
    keys = {where(interaction).key}
    if everywhere and interaction.guild is not None:
        keys |= {key async for key in _readable(interaction)}
    found = await interaction.client.bot.conversations.search(words, keys, limit=_FOUND + 1)
    lines = [_hit(interaction, each, everywhere) for each in found[:_FOUND]]
    if len(found) > _FOUND:
        lines.append("-# There are more: ask with more words.")
    await answer(interaction, "\n".join(lines) or f"Nothing said here holds {inert(words)}.")


async def _readable(interaction: discord.Interaction[Front]) -> AsyncIterator[str]:
    """The keys of the guild's places that the bot knows and the asker may read."""
    store, guild, user = interaction.client.bot.store, interaction.guild, interaction.user
    after = ""
    while guild is not None and isinstance(user, discord.Member):
        channels = await store.channels(after, _CHANNELS)
        for each in channels:
            if await _reads(user, guild, each):
                yield each.key
        if len(channels) < _CHANNELS:
            return
        after = channels[-1].key


async def _reads(user: discord.Member, guild: discord.Guild, channel: Channel) -> bool:
    """Whether a member may read a place of the guild; a private thread takes being in it. What Discord does not tell
    the bot about, such as a thread archived long ago, counts as unreadable."""
    if channel.front != "discord" or channel.guild_id != str(guild.id):
        return False
    there = guild.get_channel_or_thread(int(channel.id))
    if there is None:
        return False
    may = there.permissions_for(user)
    if not (may.view_channel and may.read_message_history):
        return False
    if not isinstance(there, discord.Thread) or not there.is_private() or may.manage_threads:
        return True
    try:
        await there.fetch_member(user.id)
    except discord.HTTPException:
        return False
    return True


def _hit(interaction: discord.Interaction[Front], found: Found, everywhere: bool) -> str:
    """One finding: who, when, the words with the hits in bold, a link to the message."""
    message, told, at = found.message, "", 0
    for start, end in found.hits:
        told += _piece(found.snippet[at:start]) + f"**{_piece(found.snippet[start:end])}**"
        at = end
    told += _piece(found.snippet[at:])
    stands = message.origin or next((receipt.origin for receipt in message.receipts), "")
    _, _, rest = stands.partition(":")
    channel_id, _, message_id = rest.partition(":")
    link = f"https://discord.com/channels/{interaction.guild_id or '@me'}/{channel_id}/{message_id}"
    linked = f" {link}" if channel_id.isdigit() and message_id.isdigit() else ""
    place_ = f" in <#{channel_id}>" if everywhere and linked else ""
    return f"**{inert(message.sender.name)}**{place_} <t:{int(message.at.timestamp())}:f>{linked}\n> {told}"


def _piece(text: str) -> str:
    """A stretch of somebody's words, cut where a hit begins or ends, so that every sign is made inert by itself."""
    return _SIGNS.sub(r"\\\1", re.sub(r"\s+", " ", text))


@app_commands.command(description="Take a session along as a file")
@app_commands.describe(format="Markdown, JSON or plain text", which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def export(
    interaction: discord.Interaction[Front], format: Literal["md", "json", "txt"] = "md", which: str | None = None
) -> None:
    chosen = await _chosen(interaction, which)
    data = await interaction.client.bot.conversations.export(chosen.id, format)
    if len(data) > interaction.filesize_limit:
        limit = interaction.filesize_limit / 1_048_576
        took = (
            f"This session takes {len(data) / 1_048_576:.1f} MiB as {format}, and files here may have {limit:.0f} MiB."
        )
        raise TroupeError(f"{took} Ask for another format, or ask whoever runs this bot for an export.")
    await answer(interaction, f"{chosen.message_count} messages.", file=(filename(chosen, format), data))


async def _chosen(interaction: discord.Interaction[Front], which: str | None, *, here: bool = False) -> Session:
    """The session meant, with a title, which the asker may see; with `here` only one of this place. Ids are typed by
    people."""
    bot, channel = interaction.client.bot, where(interaction)
    keys = {channel.key}
    if which is None:
        current = await bot.sessions.current(channel)
        if current is None:
            raise TroupeError("Nothing has been said to me here yet.")
        return await bot.conversations.show(current.id, keys)
    guild, user = interaction.guild, interaction.user
    if not here and guild is not None and isinstance(user, discord.Member):
        found = await bot.store.session(which.strip())
        if found is not None and await _reads(user, guild, found.channel):
            keys.add(found.channel.key)
    return await bot.conversations.show(which, keys)


def _line(shown: Session) -> str:
    marks = ("⭐ " if shown.starred else "") + ("🗄️ " if shown.archived else "") + ("🧹 " if shown.deleted_at else "")
    last = int(shown.last_at.timestamp())
    return f"{marks}**{inert(shown.title)}** <t:{last}:R>, {shown.message_count} messages, `{shown.id}`"


def _seconds(gap: str) -> float | Literal["off"] | None:
    """Seconds of silence as people write them; `off`, or None for the default."""
    wanted = " ".join(gap.lower().split())
    if wanted in ("off", "never"):
        return "off"
    if wanted == "default":
        return None
    written = _SPAN.fullmatch(wanted)
    unit = next((name for name in _UNITS if written and name.startswith(written[2].removesuffix("s") or "s")), "")
    seconds = float(written[1]) * _UNITS[unit] if written and unit else 0.0
    if not 10 <= seconds <= 31_536_000:
        raise TroupeError(
            f"'{inert(gap[:40])}' is no span of time: write it as '5 minutes', '1 hour' or '2 days' (between "
            "10 seconds and a year), 'off' for never, or 'default'."
        )
    return seconds


def _span(seconds: float) -> str:
    name, size = next((unit, size) for unit, size in reversed(_UNITS.items()) if seconds % size == 0 or size == 1)
    count = seconds / size
    return f"{count:g} {name}{'' if count == 1 else 's'}"


def _asker(interaction: discord.Interaction[Front]) -> str:
    return inert(who(interaction.user).name)
