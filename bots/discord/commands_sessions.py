"""Commands about single sessions: found, taken up again, named, tagged, put away, branched and taken along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import discord
from discord import app_commands

from storage.exports.exported import file_name
from storage.model import Channel, Message, Session

from ..errors import TroupeError
from ..seeking import sought
from ..spans import SPELLED, silence, span
from .choosing import asker, chosen, line, sessions, tags
from .commands_talk import AnyCommand, personas
from .interactions import Tree, announce, answer, inert, where
from .reading import moderates, past
from .translate import place, who

if TYPE_CHECKING:
    from .client import Front

_LISTED = 10
_GAPS = ("5 minutes", "15 minutes", "1 hour", "6 hours", "1 day", "1 week")

session = app_commands.Group(name="session", description="The sessions of this place: what was said, cut where it ends")


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    others: tuple[AnyCommand, ...] = (branch, export)
    for command in others:
        tree.add_command(command)
    tree.add_command(session)


def may_decide(interaction: discord.Interaction[Front], found: Session, why: str) -> None:
    """Refuses to do something to a session, and says why, for somebody who took no part in it and does not moderate
    the place; with one in which nobody has spoken yet everybody may."""
    people = {each.id for each in found.participants if each.type == "user"}
    if people and str(interaction.user.id) not in people and not moderates(interaction):
        told = f"You took no part in that session, and {why}"
        raise TroupeError(f"{told}: ask somebody who did, or who has the permission Manage Messages.")


@session.command(name="list", description="List the sessions of this place, the latest first")
@app_commands.describe(
    text="Words of their titles or first lines",
    tag="A tag that they have",
    person="Who said something in them",
    persona="Which persona said something in them",
    since="Somebody said something on this day or later, such as 2026-03-01",
    until="Somebody said something on this day or before",
    starred="Whether they have a star",
    files="Whether there is a file beside a message in them",
    archived="Whether archived ones are listed as well",
)
@app_commands.autocomplete(tag=tags, persona=personas)
async def list_(
    interaction: discord.Interaction[Front],
    text: str = "",
    tag: str = "",
    person: discord.User | None = None,
    persona: str = "",
    since: str = "",
    until: str = "",
    starred: bool | None = None,
    files: bool | None = None,
    archived: bool = False,
) -> None:
    bot = interaction.client.bot
    meant = await sought(
        bot.store,
        bot.settings.personas,
        person=str(person.id) if person else "",
        persona=persona,
        since=since,
        until=until,
        tags=(tag,),
        starred=starred,
        files=files,
    )
    page = await bot.conversations.listing(past(interaction).key, text=text, archived=archived, sought=meant)
    lines = [line(each) for each in page.items[:_LISTED]]
    if any(each.archived or each.deleted_at for each in page.items[:_LISTED]):
        lines.append("-# 🗄️ archived, 🧹 cleared: `/session resume` takes them up again.")
    if len(page.items) > _LISTED or page.older:
        lines.append("-# There are older ones: narrow them down with `text`, `since` or `until`.")
    await answer(interaction, "\n".join(lines) or "There are no sessions here.")


@session.command(description="Show one session: who took part, when, and what it is about")
@app_commands.describe(which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def show(interaction: discord.Interaction[Front], which: str | None = None) -> None:
    found = await chosen(interaction, which)
    people = ", ".join(inert(each.name) for each in found.participants if each.type == "user") or "nobody yet"
    summary = found.context.summary
    await answer(interaction, f"{line(found)}\nWith {people}.", quote=summary)


@session.command(description="Take up an earlier session of this place: your next line continues it")
@app_commands.describe(which="The session to take up")
@app_commands.autocomplete(which=sessions)
async def resume(interaction: discord.Interaction[Front], which: str) -> None:
    found = await chosen(interaction, which, here=True)
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.resume(channel, found.id, str(interaction.user.id))
    await answer(interaction, f"Taken up again: {inert(found.title)}.")
    told = f"-# {asker(interaction)} has taken up an earlier session again"
    await announce(interaction, told, f": {inert(found.title)}")


@session.command(description="Give a session a title")
@app_commands.describe(title="Its title", which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def rename(
    interaction: discord.Interaction[Front], title: app_commands.Range[str, 1, 100], which: str | None = None
) -> None:
    found = await chosen(interaction, which, here=True)
    named = await interaction.client.bot.conversations.rename(found.id, title)
    await answer(interaction, f"It is called {inert(named.title)} now.")


@session.command(description="Star a session, so that it is kept whatever happens; or take the star back")
@app_commands.describe(which="The session; left out, the one under way", on="False takes the star back")
@app_commands.autocomplete(which=sessions)
async def star(interaction: discord.Interaction[Front], which: str | None = None, on: bool = True) -> None:
    found = await chosen(interaction, which, here=True)
    await interaction.client.bot.conversations.star(found.id, on)
    await answer(interaction, "Starred: it is kept until the star is taken back." if on else "It has no star any more.")


@session.command(name="tag", description="Give a session tags, by which it is found, or take some away")
@app_commands.describe(
    add="Tags, with commas between them", remove="Tags to take away", which="The session; left out, the one under way"
)
@app_commands.autocomplete(which=sessions)
async def tag_(
    interaction: discord.Interaction[Front],
    add: app_commands.Range[str, 1, 500] = "",
    remove: app_commands.Range[str, 1, 500] = "",
    which: str | None = None,
) -> None:
    found = await chosen(interaction, which, here=True)
    if add or remove:
        may_decide(interaction, found, "its tags are for those who did")
    given, gone = ([each for each in typed.split(",") if each.strip()] for typed in (add, remove))
    if given or gone:
        found = await interaction.client.bot.conversations.tag(found.id, given, gone)
    tagged = ", ".join(inert(each) for each in found.tags)
    await answer(interaction, f"Its tags: {tagged}." if tagged else "It has no tags.")


@session.command(description="Put a session out of the way; it can still be found and taken up")
@app_commands.describe(which="The session; left out, the one under way", on="False puts it back among the others")
@app_commands.autocomplete(which=sessions)
async def archive(interaction: discord.Interaction[Front], which: str | None = None, on: bool = True) -> None:
    found = await chosen(interaction, which, here=True)
    may_decide(interaction, found, "archiving it is for those who did")
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.archive(found.id, on)
    await answer(interaction, "Archived." if on else "It is among the others again.")


@session.command(description="Let the next line here continue this session, however long the silence")
async def keep(interaction: discord.Interaction[Front]) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.keep(channel, str(interaction.user.id))
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
    await interaction.client.bot.conversations.policy(where(interaction), seconds, who(interaction.user))
    if seconds is None:
        told = "the configured silence begins a new session here"
    elif seconds == "off":
        told = "no silence begins a new session here"
    else:
        told = f"a silence of {span(seconds)} begins a new session here"
    bot, channel = interaction.client.bot, where(interaction)
    paced = seconds != "off" and bot.sessions.structural(channel)
    about = "\n-# More where talk is slow, less where it is fast; replies and names go before it." if paced else ""
    await answer(interaction, f"From now on {told}.{about}")
    await announce(interaction, f"-# {asker(interaction)} has set that {told}.")


@app_commands.command(description="Go on from here in a session of its own that knows what was said")
@app_commands.describe(into="Here, or in a thread of its own")
async def branch(interaction: discord.Interaction[Front], into: Literal["here", "thread"] = "here") -> None:
    await branch_from(interaction, await chosen(interaction, None), None, into)


async def branch_from(
    interaction: discord.Interaction[Front], source: Session, message: Message | None, into: Literal["here", "thread"]
) -> None:
    """Branches a session after a message, or after its last one, into this place or a new thread, and says so."""
    after, title = message.id if message else None, inert(source.title)
    if into == "here":
        await _branched(interaction, source, after, where(interaction))
        await answer(interaction, "Branched: the next line here goes on from there, in a session of its own.")
        await announce(interaction, f"-# {asker(interaction)} has branched off here", f": {title}")
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


@app_commands.command(description="Take a session along as a file")
@app_commands.describe(
    format="Markdown, text, JSON, a web page, PDF or a Word document",
    which="The session; left out, the one under way",
    zipped="As a zip, together with the files beside the messages",
)
@app_commands.rename(zipped="zip")
@app_commands.autocomplete(which=sessions)
async def export(
    interaction: discord.Interaction[Front],
    format: Literal["md", "txt", "json", "html", "pdf", "docx"] = "md",
    which: str | None = None,
    zipped: bool = False,
) -> None:
    found, bot = await chosen(interaction, which), interaction.client.bot
    notes: list[str] = []
    name, by = bot.settings.name, str(interaction.user.id)
    taken = await bot.conversations.export(found.id, format, bot=name, asker=by, zipped=zipped, noted=notes.append)
    data = taken.data
    end = "zip" if zipped else format
    if len(data) > interaction.filesize_limit:
        limit = interaction.filesize_limit / 1_048_576
        took = f"This session takes {len(data) / 1_048_576:.1f} MiB as {end}, and files here may have {limit:.0f} MiB."
        raise TroupeError(f"{took} Ask for another format, or ask whoever runs this bot for an export.")
    told = "\n".join(
        [
            "1 message." if taken.messages == 1 else f"{taken.messages:,} messages.",
            *(f"-# {inert(note)}" for note in notes),
        ]
    )
    await answer(interaction, told, file=(file_name(found, end), data))


def _silence(gap: str) -> float | Literal["off"] | None:
    """Seconds of silence as people write them; `off`, or None for the default."""
    if gap.strip().lower() == "default":
        return None
    seconds = silence(gap)
    if seconds is None:
        told = f"'{inert(gap[:40])}' is no span of time: write it as '5 minutes', '1 hour' or '2 days'; allowed are "
        raise TroupeError(f"{told}{SPELLED}, or 'default'.")
    return seconds
