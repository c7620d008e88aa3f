"""Commands that make sessions of others, or look at two of them: merge, duplicate, compare, keep as a template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from storage.durable import in_thread

from ..comparing import Comparison, as_html, as_lines
from ..errors import TroupeError
from ..sessions import short
from .choosing import asker, chosen, others, sessions
from .commands_sessions import may_decide, session
from .commands_talk import templates
from .interactions import Tree, announce, answer, escaped, inert, where
from .reading import moderates, past
from .translate import who

if TYPE_CHECKING:
    from .client import Front

_WORDS = 200
"""Characters of a line that a comparison shows; the page has all."""


def add(tree: Tree) -> None:
    """Adds the commands of this file; those of the group `session` come with it."""
    tree.add_command(merge)


@app_commands.command(description="Make one session of another one and the one under way; both are archived")
@app_commands.describe(which="The session whose talk this one should know")
@app_commands.autocomplete(which=others)
async def merge(interaction: discord.Interaction[Front], which: str) -> None:
    found = await chosen(interaction, which, here=True)
    may_decide(interaction, found, "a merge archives it")
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        merged = await bot.conversations.merge(channel, found.id, str(interaction.user.id), busy=bot.at_work)
    title = inert(found.title)
    told = f"{merged.came} lines of {title} and what was said here are one session now, in the order of time. The two"
    told += " it was made of are archived, as they were: `/session resume` takes either up again."
    await answer(interaction, told)
    await announce(interaction, f"-# {asker(interaction)} has brought another session into this one", f": {title}")


@session.command(description="Make a copy of a session, beside it; `/session resume` takes it up")
@app_commands.describe(which="The session; left out, the one under way")
@app_commands.autocomplete(which=sessions)
async def duplicate(interaction: discord.Interaction[Front], which: str | None = None) -> None:
    found = await chosen(interaction, which, here=True)
    may_decide(interaction, found, "copying it is for those who did")
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        copy = await bot.conversations.duplicate(found.id)
    await answer(interaction, f"Duplicated as {inert(copy.title)}: `/session resume` takes it up.")


@session.command(description="Show two sessions side by side: what they have in common, and what not")
@app_commands.describe(which="One session", other="Another one; left out, the one under way")
@app_commands.autocomplete(which=sessions, other=sessions)
async def compare(interaction: discord.Interaction[Front], which: str, other: str | None = None) -> None:
    first, second = await chosen(interaction, which), await chosen(interaction, other)
    if first.id == second.id:
        raise TroupeError("That is the same session twice: choose another one to compare it with.")
    comparison = await interaction.client.bot.conversations.compare(first.id, second.id)
    page = (await in_thread(as_html, comparison)).encode()
    there = len(page) <= interaction.filesize_limit
    told = f"◀ {inert(first.title)}\n▶ {inert(second.title)}\n{comparison.told()}"
    shown = "\n".join(_differences(comparison))
    await answer(interaction, told, quote=shown, file=("comparison.html", page) if there else None)


def _differences(comparison: Comparison) -> Iterator[str]:
    for where_, line in as_lines(comparison):
        if isinstance(line, int):
            yield f"… {line:,} lines in common"
            continue
        sign = {"<": "◀ ", ">": "▶ ", " ": ""}[where_]
        files = "".join(f" 📎 {file.name}" for file in line.attachments)
        yield escaped(f"{sign}{short(line.sender.name, 80)}: {short(line.text + files, _WORDS)}")


@session.command(description="Keep what a session is as a template for new ones here: `/new template:`")
@app_commands.describe(
    name="What it is called",
    lines="How many of its first lines it begins with, your own and the answers to them; none unless you say so",
    which="The session; left out, the one under way",
    remove="True removes the template of that name",
)
@app_commands.autocomplete(which=sessions, name=templates)
async def template(
    interaction: discord.Interaction[Front],
    name: app_commands.Range[str, 1, 60],
    lines: app_commands.Range[int, 0, 20] = 0,
    which: str | None = None,
    remove: bool = False,
) -> None:
    bot, channel = interaction.client.bot, past(interaction)
    kept = bot.conversations.templates
    if remove:
        meant = await kept.named(bot.settings, channel, name)
        # A moderator decides about the place: what is offered elsewhere too is the business of whoever runs the bot.
        here = meant.audience == channel.key
        may = kept.may_change(meant, who(interaction.user)) or (here and moderates(interaction))
        if not may and not kept.is_written(meant):
            others = "somebody with the permission Manage Messages" if here else "who runs this bot"
            raise TroupeError(f"That template is somebody else's: ask whoever made it, or {others}.")
        await kept.remove(meant)
        await answer(interaction, f"The template {inert(meant.name)} is removed.")
        return
    found = await chosen(interaction, which, here=True)
    source = await bot.store.session(found.id) or found  # its own title, not one out of somebody's words
    saved = await kept.save(bot.settings, bot.sessions.latest(source), name, who(interaction.user), lines=lines)
    await answer(interaction, f"Saved: `/new template:` offers {inert(saved.name)} here.")
