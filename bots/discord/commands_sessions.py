"""Commands about sessions as a whole: found, taken up again, named, branched, merged, searched and taken along."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import discord
from discord import app_commands

from storage.model import Channel, Found, Message, Session

from ..carrying import is_copy, said
from ..errors import TroupeError
from ..exporting import filename
from ..sessions import MERGED
from ..spans import SPELLED, silence, span
from .commands_talk import AnyCommand
from .interactions import Tree, announce, answer, escaped, inert, where
from .reading import moderates, past, reads, reads_past, within_reach
from .translate import place, who

if TYPE_CHECKING:
    from .client import Front

_CHOICES, _LISTED, _FOUND = 25, 10, 10
_LOOKED_AT = 50
"""Findings among which those are chosen that are shown."""
_ROUNDS = 5
"""How often a search is made again without the private threads that turn out not to be the asker's."""
_GAPS = ("5 minutes", "15 minutes", "1 hour", "6 hours", "1 day", "1 week")

session = app_commands.Group(name="session", description="The sessions of this place: what was said, cut where it ends")


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    others: tuple[AnyCommand, ...] = (branch, merge, search, export)
    for command in others:
        tree.add_command(command)
    tree.add_command(session)


async def sessions(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    """The sessions of this place whose title or first words hold what is typed, the latest first, for those who may
    read its past."""
    if not reads_past(interaction):
        return []
    conversations = interaction.client.bot.conversations
    page = await conversations.listing(where(interaction).key, text=typed, archived=True)
    return [_choice(each) for each in page.items[:_CHOICES]]


async def _others(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    """Those of them that can be brought into the one under way."""
    if not reads_past(interaction):
        return []
    bot, channel = interaction.client.bot, where(interaction)
    current = await bot.sessions.current(channel)
    here = current.id if current else ""
    page = await bot.conversations.listing(channel.key, text=typed, archived=True)
    fit = [each for each in page.items if each.deleted_at is None and here not in (each.id, each.metadata.get(MERGED))]
    return [_choice(each) for each in fit[:_CHOICES]]


def _choice(shown: Session) -> app_commands.Choice[str]:
    return app_commands.Choice(
        name=f"{_marks(shown)}{shown.last_at:%Y-%m-%d %H:%M} {shown.title}"[:100], value=shown.id
    )


@session.command(name="list", description="List the sessions of this place, the latest first")
@app_commands.describe(text="Words of their titles or first lines", archived="Whether archived ones are listed as well")
async def list_(interaction: discord.Interaction[Front], text: str = "", archived: bool = False) -> None:
    conversations = interaction.client.bot.conversations
    page = await conversations.listing(past(interaction).key, text=text, archived=archived)
    lines = [_line(each) for each in page.items[:_LISTED]]
    if any(each.archived or each.deleted_at for each in page.items[:_LISTED]):
        lines.append("-# 🗄️ archived, 🧹 cleared: `/session resume` takes them up again.")
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
    await answer(interaction, f"{_line(chosen)}\nWith {people}.", quote=summary)


@session.command(description="Take up an earlier session of this place: the next line continues it")
@app_commands.describe(which="The session to take up")
@app_commands.autocomplete(which=sessions)
async def resume(interaction: discord.Interaction[Front], which: str) -> None:
    chosen = await _chosen(interaction, which, here=True)
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.resume(channel, chosen.id)
    await answer(interaction, f"Taken up again: {inert(chosen.title)}.")
    told = f"-# {_asker(interaction)} has taken up an earlier session again"
    await announce(interaction, told, f": {inert(chosen.title)}")


@session.command(description="Give a session a title")
@app_commands.describe(title="Its title", which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def rename(
    interaction: discord.Interaction[Front], title: app_commands.Range[str, 1, 100], which: str | None = None
) -> None:
    chosen = await _chosen(interaction, which, here=True)
    named = await interaction.client.bot.conversations.rename(chosen.id, title)
    await answer(interaction, f"It is called {inert(named.title)} now.")


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
    seconds = _silence(gap)
    if interaction.guild_id is not None and not interaction.permissions.manage_channels:
        raise TroupeError("How long a silence ends a session here is for those with the permission Manage Channels.")
    asker = who(interaction.user)
    await interaction.client.bot.conversations.policy(where(interaction), seconds, asker)
    if seconds is None:
        told = "the configured silence begins a new session here"
    elif seconds == "off":
        told = "no silence begins a new session here"
    else:
        told = f"a silence of {span(seconds)} begins a new session here"
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
        await announce(interaction, f"-# {_asker(interaction)} has branched off here", f": {title}")
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
    has = interaction.permissions
    if not (has.create_public_threads and has.send_messages_in_threads):
        told = "You may not open threads here yourself, so I open none for you: branch off here instead, with "
        raise TroupeError(f"{told}`/branch into:here`.")
    name = f"Branch: {title}"[:100]
    try:
        return await channel.create_thread(name=name, type=discord.ChannelType.public_thread)
    except discord.Forbidden:
        told = "I may not make threads here. Somebody who runs this server can give me Create Public Threads and Send "
        raise TroupeError(told + "Messages in Threads; until then, `/branch into:here` works.") from None


@app_commands.command(description="Bring another session of this place into the one under way")
@app_commands.describe(which="The session whose talk this one should know")
@app_commands.autocomplete(which=_others)
async def merge(interaction: discord.Interaction[Front], which: str) -> None:
    chosen = await _chosen(interaction, which, here=True)
    took_part = any(each.id == str(interaction.user.id) for each in chosen.participants)
    if not took_part and not moderates(interaction):
        told = "You took no part in that session, and a merge archives it"
        raise TroupeError(f"{told}: ask somebody who did, or who has the permission Manage Messages.")
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        lines = await bot.conversations.merge(channel, chosen.id)
    title = inert(chosen.title)
    await answer(interaction, f"{lines} lines of {title} are part of this session now, and it is archived.")
    await announce(interaction, f"-# {_asker(interaction)} has brought another session into this one", f": {title}")


@app_commands.command(description="Search what was said here, or wherever you may read")
@app_commands.describe(
    words='Words; "a phrase" in quotation marks, -word to leave out, begin* for beginnings',
    everywhere="Whether to search all places of this server that you may read",
)
async def search(
    interaction: discord.Interaction[Front], words: app_commands.Range[str, 1, 200], everywhere: bool = False
) -> None:
    found = await _found(interaction, words, everywhere)
    lines = [_hit(interaction, each, everywhere) for each in found[:_FOUND]]
    if len(found) > _FOUND:
        lines.append("-# There are more: ask with more words.")
    if not lines and not everywhere and interaction.guild is not None:
        lines = [f"{_nothing(words)} `everywhere:True` looks in all places of this server that you may read."]
    await answer(interaction, "\n".join(lines) or _nothing(words))


def _nothing(words: str) -> str:
    return f"Nothing said here holds {inert(words)}."


async def _found(interaction: discord.Interaction[Front], words: str, everywhere: bool) -> list[Found]:
    """What holds the words where the asker may read. Whether a private thread is theirs is asked only of those in which
    something was found."""
    bot, guild, user, here = interaction.client.bot, interaction.guild, interaction.user, past(interaction)
    keys = {here.key: True}
    if everywhere and guild is not None and isinstance(user, discord.Member):
        keys = {**within_reach(user, guild), **keys}
    for _ in range(_ROUNDS):
        found = _said_by_people(await bot.conversations.search(words, keys, limit=_LOOKED_AT))
        sessions = [await bot.store.session(id) for id in {each.message.session_id for each in found}]
        unsure = {each.channel.key: each.channel for each in sessions if each and not keys[each.channel.key]}
        theirs = {key: await reads(user, guild, channel) for key, channel in unsure.items()}
        if all(theirs.values()):
            return found
        keys = {key: sure or theirs.get(key, False) for key, sure in keys.items() if theirs.get(key, True)}
    sure = [key for key, known in keys.items() if known]
    return _said_by_people(await bot.conversations.search(words, sure, limit=_LOOKED_AT))


def _said_by_people(found: list[Found]) -> list[Found]:
    """The findings that are no notices of the bot's; of a line and what was carried of it elsewhere, the line, or where
    that was not found the first copy."""
    originals = {said(each.message): each for each in found if not is_copy(each.message)}
    chosen = {said(each.message): each for each in reversed(found) if each.message.role != "system"} | originals
    shown = {each.message.id for each in chosen.values() if each.message.role != "system"}
    return [each for each in found if each.message.id in shown][: _FOUND + 1]


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
    return escaped(re.sub(r"\s+", " ", text))


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
    bot, channel = interaction.client.bot, past(interaction)
    keys = {channel.key}
    if which is None:
        current = await bot.sessions.current(channel)
        if current is None:
            raise TroupeError("Nothing has been said to me here yet.")
        return await bot.conversations.show(current.id, keys)
    guild, user = interaction.guild, interaction.user
    if not here:
        found = await bot.store.session(which.strip())
        if found is not None and await reads(user, guild, found.channel):
            keys.add(found.channel.key)
    return await bot.conversations.show(await _titled(interaction, which) or which, keys)


async def _titled(interaction: discord.Interaction[Front], which: str) -> str:
    """The id of the one session of this place with such a title; empty where there is none. Raises `TroupeError` where
    there are several."""
    wanted = " ".join(which.casefold().split())
    page = await interaction.client.bot.conversations.listing(where(interaction).key, text=wanted, archived=True)
    found = [each for each in page.items if wanted and " ".join(each.title.casefold().split()) == wanted]
    if len(found) > 1:
        raise TroupeError(f"{len(found)} sessions here are called that: choose one from the list, by its date.")
    return found[0].id if found else ""


def _marks(shown: Session) -> str:
    return ("⭐ " if shown.starred else "") + ("🗄️ " if shown.archived else "") + ("🧹 " if shown.deleted_at else "")


def _line(shown: Session) -> str:
    last = int(shown.last_at.timestamp())
    return f"{_marks(shown)}**{inert(shown.title)}** <t:{last}:R>, {shown.message_count} messages, `{shown.id}`"


def _silence(gap: str) -> float | Literal["off"] | None:
    """Seconds of silence as people write them; `off`, or None for the default."""
    if gap.strip().lower() == "default":
        return None
    seconds = silence(gap)
    if seconds is None:
        told = f"'{inert(gap[:40])}' is no span of time: write it as '5 minutes', '1 hour' or '2 days'; allowed are "
        raise TroupeError(f"{told}{SPELLED}, or 'default'.")
    return seconds


def _asker(interaction: discord.Interaction[Front]) -> str:
    return inert(who(interaction.user).name)
