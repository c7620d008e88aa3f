"""`/search`: what was said, where the asker may read it, by words and by who, when, where and with what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from storage.model import Found
from storage.sought import EVERYTHING, Sought

from ..carrying import is_copy, said
from ..errors import TroupeError
from ..seeking import sought
from .choosing import tags
from .commands_talk import personas
from .interactions import Tree, answer, escaped, inert
from .reading import past, reads, within_reach

if TYPE_CHECKING:
    from .client import Front

_FOUND = 10
_LOOKED_AT = 50
"""Findings among which those are chosen that are shown."""
_ROUNDS = 5
"""How often a search is made again without the private threads that turn out not to be the asker's."""
Place = app_commands.AppCommandChannel | app_commands.AppCommandThread


def add(tree: Tree) -> None:
    """Adds the command of this file."""
    tree.add_command(search)


@app_commands.command(description="Search what was said here, or wherever you may read")
@app_commands.describe(
    words='Words; "a phrase" in quotation marks, -word to leave out, begin* for beginnings',
    everywhere="Whether to search all places of this server that you may read",
    person="Who said it",
    persona="Which persona said it",
    channel="Where it was said, if not here",
    since="On this day or later, such as 2026-03-01",
    until="On this day or before",
    tag="A tag of the session it was said in",
    files="Whether there is a file beside it",
)
@app_commands.autocomplete(persona=personas, tag=tags)
async def search(
    interaction: discord.Interaction[Front],
    words: app_commands.Range[str, 1, 200] = "",
    everywhere: bool = False,
    person: discord.User | None = None,
    persona: str = "",
    channel: Place | None = None,
    since: str = "",
    until: str = "",
    tag: str = "",
    files: bool | None = None,
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
        files=files,
    )
    everywhere = everywhere or channel is not None
    found = await _found(interaction, words, _within(interaction, everywhere, channel), meant)
    lines = [_hit(interaction, each, everywhere) for each in found[:_FOUND]]
    if len(found) > _FOUND:
        lines.append("-# There are more: ask with more words.")
    nothing = _nothing(words, meant)
    if not lines and not everywhere and interaction.guild is not None:
        lines = [f"{nothing} `everywhere:True` looks in all places of this server that you may read."]
    await answer(interaction, "\n".join(lines) or nothing)


def _nothing(words: str, meant: Sought) -> str:
    if not words:
        return "Nothing said here is like that."
    return f"Nothing said here holds {inert(words)}" + (" and is like that." if meant != EVERYTHING else ".")


def _within(interaction: discord.Interaction[Front], everywhere: bool, channel: Place | None) -> dict[str, bool]:
    """The keys of the places to look in that the asker may read, as `within_reach` has them."""
    guild, user, here = interaction.guild, interaction.user, past(interaction)
    if not everywhere or guild is None or not isinstance(user, discord.Member):
        return {here.key: True}
    keys = {**within_reach(user, guild), here.key: True}
    if channel is None:
        return keys
    key = f"discord:{channel.id}"
    if key not in keys:
        raise TroupeError("You may not read what was said there, or it is a place that I do not know.")
    return {key: keys[key]}


async def _found(
    interaction: discord.Interaction[Front], words: str, within: Mapping[str, bool], meant: Sought
) -> list[Found]:
    """What is meant where the asker may read. Whether a private thread is theirs is asked only of those in which
    something was found."""
    bot, guild, user, keys = interaction.client.bot, interaction.guild, interaction.user, dict(within)
    for _ in range(_ROUNDS):
        found = _said_by_people(await bot.conversations.search(words, keys, limit=_LOOKED_AT, sought=meant))
        sessions = [await bot.store.session(id) for id in {each.message.session_id for each in found}]
        unsure = {each.channel.key: each.channel for each in sessions if each and not keys[each.channel.key]}
        theirs = {key: await reads(user, guild, channel) for key, channel in unsure.items()}
        if all(theirs.values()):
            return found
        keys = {key: sure or theirs.get(key, False) for key, sure in keys.items() if theirs.get(key, True)}
    sure = [key for key, known in keys.items() if known]
    return _said_by_people(await bot.conversations.search(words, sure, limit=_LOOKED_AT, sought=meant))


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
    told += "".join(f" 📎 {inert(file.name)}" for file in message.attachments)
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
