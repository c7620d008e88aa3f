"""`/privacy`: what is kept about the asker, all of it as a file, and its removal for good; nobody sees another's."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import discord
import structlog
from discord import app_commands

from storage.errors import StorageError
from storage.retention import amount

from ..privacy import About
from .confirming import Confirm
from .interactions import UNREACHABLE, Tree, answer, inert

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

_LIMIT = 10 << 20
"""Bytes of a file that every place takes."""
_PARTS = 10
"""Files into which an export may be cut; what is bigger goes without the attachments."""
_ROOM = 64 << 10
"""Bytes beside the file that a request may take."""
_OTHERS = "What I keep about others is shown to nobody but them. `/privacy show` tells what I keep about you."
_WORDS = {
    "messages": ("thing you said", "things you said"),
    "answers": ("answer to that", "answers to that"),
    "sessions": ("private session", "private sessions"),
    "touched": ("title and summary that may quote you", "titles and summaries that may quote you"),
    "marks": ("reaction or note", "reactions and notes"),
    "memories": ("memory", "memories"),
    "records": ("profile, setting or log entry with your name", "profiles, settings and log entries with your name"),
    "files": ("file", "files"),
}

privacy = app_commands.Group(name="privacy", description="What I keep about you: see it, take it along, remove it")


def add(tree: Tree, _front: Front) -> None:
    """Adds the commands to a bot's tree."""
    tree.add_command(privacy)
    tree.add_command(app_commands.ContextMenu(name="Show what you know", callback=show_known))


@privacy.command(description="See what I keep about you, and by what policy")
async def show(interaction: discord.Interaction[Front]) -> None:
    await _show(interaction)


async def show_known(interaction: discord.Interaction[Front], user: discord.User) -> None:
    if user.id == interaction.user.id:
        await _show(interaction)
    else:
        await answer(interaction, _OTHERS)


async def _show(interaction: discord.Interaction[Front]) -> None:
    bot = interaction.client.bot
    about = await bot.privacy.about(str(interaction.user.id))
    await answer(interaction, f"{bot.settings.privacy.policy}\n\n{_told(about)}")


@privacy.command(description="Get everything I keep about you, as a zip that only you see")
async def export(interaction: discord.Interaction[Front]) -> None:
    keeper = interaction.client.bot.privacy
    user_id = str(interaction.user.id)
    about = await keeper.about(user_id)
    if about.nothing:
        await answer(interaction, "I keep nothing about you.")
        return
    limit = (interaction.guild.filesize_limit if interaction.guild is not None else _LIMIT) - _ROOM
    files = about.file_bytes < limit * (_PARTS - 2)
    number, left_out = (
        0,
        "" if files else "\nYour files are too many for this door; whoever runs me can hand them over.",
    )
    async with aclosing(keeper.export(user_id, files=files)) as chunks:
        async for part, last in _parts(chunks, limit):
            number += 1
            whole = last and number == 1
            name = "privacy.zip" if whole else f"privacy.zip.{number:03}"
            said = "This is everything I keep about you." if whole else f"Part {number} of what I keep about you."
            if last and not whole:
                said += " Put the parts together in their order (`cat privacy.zip.* > privacy.zip`), then unpack that."
            file = discord.File(io.BytesIO(part), name)
            await interaction.followup.send(said + (left_out if last else ""), file=file, ephemeral=True)


@privacy.command(description="Remove everything I keep about you, for good; you are asked first")
async def forget(interaction: discord.Interaction[Front]) -> None:
    about = await interaction.client.bot.privacy.about(str(interaction.user.id))
    if about.nothing:
        await answer(interaction, "I keep nothing about you.")
        return
    said = (
        f"{_told(about)}\n\n**Shall I remove all of it, for good?** Answers to you go too, and the titles and "
        "summaries of sessions you took part in. What others said about you stays theirs, and messages that Discord "
        "shows stay there. My backups keep it until they are too old; it is never brought back from them."
    )
    await answer(interaction, said, view=Confirm(interaction, "Forget me for good", _forgotten))


async def _forgotten(interaction: discord.Interaction[Front]) -> str:
    try:
        done = await interaction.client.bot.privacy.forget(str(interaction.user.id))
    except StorageError as error:
        log.error("privacy.forgetting_unfinished", interaction=interaction.id, error=str(error))
        return f"I could not finish it; I go on at my next start. {UNREACHABLE}"
    gone = _listed({name: many for name, many in done.all().items() if name in _WORDS})
    return f"I have forgotten you. Gone for good:\n{gone or '- nothing'}"


def _told(about: About) -> str:
    if about.nothing:
        return "**I keep nothing about you.**"
    names = ", ".join(sorted(inert(name) for name in about.names))
    since = f", from <t:{int(about.first.timestamp())}:d>" if about.first else ""
    until = f" to <t:{int(about.last.timestamp())}:d>" if about.last else ""
    lines = [f"**What I keep about you**{f', who wrote as {names}' if names else ''}"]
    if about.messages or about.answers:
        said, answers = _many(about.messages, "thing"), _many(about.answers, "answer")
        lines.append(f"- {said} you said, and {answers}{since}{until}")
    if about.sessions:
        lines.append(f"- {_many(about.sessions, 'session')} you took part in, {about.private:,} of them private")
    if about.files:
        lines.append(f"- {_many(about.files, 'file')}, {amount(about.file_bytes)}")
    if about.marks:
        lines.append(f"- reactions or notes on {_many(about.marks, 'message')} of others")
    if about.memories:
        lines.append(f"- {_many(about.memories, 'memory', 'memories')} about you, or from what you said")
    if about.profile:
        lines.append("- a profile")
    if about.records:
        lines.append(f"- {_many(about.records, 'setting or log entry', 'settings and log entries')} with your name")
    if about.spendings:
        lines.append(f"- what {_many(about.spendings, 'answer')} cost that you got and that are gone already")
    return "\n".join(lines)


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _listed(counted: dict[str, int]) -> str:
    return "\n".join(f"- {_many(many, *_WORDS[name])}" for name, many in counted.items())


async def _parts(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[tuple[bytes, bool]]:
    """The bytes in parts of at most `limit`, and whether it is the last one; one part is in memory at a time."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) > limit:
            yield bytes(held[:limit]), False
            del held[:limit]
    yield bytes(held), True
