"""What `/admin` shows: the bot's state, settings, sessions, what is due for removal, and pages of the audit."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import discord

from storage.model import Counts, Session
from storage.records import AuditEntry
from storage.retention import amount

from ..guilds import Shown
from ..quotas import count
from ..status import BotStatus
from .interactions import inert, told_wrong

if TYPE_CHECKING:
    from .client import Front

Turn = Callable[[str | None], Awaitable[tuple[str, str | None, str | None]]]
"""A page's text by its cursor, and the cursors of the older and the newer one."""
_PAGED_FOR = 600.0
_LONGEST = 120
_LINE = 230
"""Characters of an entry; a page of them is one message."""


def status_page(front: Front, now: BotStatus, counts: Counts | None, here: int, guild: str) -> str:
    """How the bot is. `counts` is what it keeps of all guilds, for its owner alone: with it come all facts that concern
    others, too. Reads the sizes of files."""
    settings = front.bot.settings
    lines = [
        f"**{inert(settings.display)}** {now.version}: {now.state}{_since(now.started)}",
        f"Discord: {now.discord or 'off'}",
        f"Models: {', '.join(_model(each.name, each.state, each.variable) for each in front.operations.models())}",
        f"Personas: {', '.join(persona.name for persona in settings.personas)}",
        f"Here, in {inert(guild)}: {count(here, 'session')} that you may see",
        f"Requests that Discord refused in ten minutes: {now.invalid_requests:,}",
    ]
    if counts is None:
        return "\n".join(lines)
    totals = (
        f"{count(counts.messages, 'message')} in {count(counts.sessions, 'session')}, {counts.open_sessions:,} open"
    )
    lines += [
        f"Storage: {settings.storage.type} in `{settings.root}`: {totals}",
        f"Files: {_files(settings.root)}",
        f"Process {now.pid}, {amount(now.memory_bytes)} of memory, {count(now.restarts, 'restart')}",
        f"Last proven backup: {f'<t:{int(now.last_backup.timestamp())}:R>' if now.last_backup else 'none'}",
    ]
    alarms = (now.last_error, now.job_trouble, now.config_trouble, now.backup_alarm, now.left_behind)
    return "\n".join([*lines, *(f"⚠️ {alarm}" for alarm in alarms if alarm)])


def settings_page(shown: Iterable[Shown]) -> str:
    """A guild's settings, a line each."""
    return "\n".join(
        f"`{each.key}`: {inert(each.value)} ({inert(each.origin)})"
        + (f"\n-# ⚠️ {inert(each.trouble)}" if each.trouble else "")
        for each in shown
    )


def sessions_page(listed: Sequence[Session], sizes: Mapping[str, int], total: int) -> str:
    """Sessions, a line each, the newest first."""
    if not listed:
        return "There is no session here yet, or none that you may see."
    lines = [f"**Sessions here**, {len(listed)} of {total:,}"]
    for each in listed:
        people = ", ".join(inert(person.name) for person in each.participants[-3:]) or "nobody"
        more = f" and {len(each.participants) - 3} more" if len(each.participants) > 3 else ""
        state = "".join([" ⭐" if each.starred else "", " archived" if each.archived else ""])
        state += "" if each.closed_at else " open"
        title = inert(each.title or each.id)[:_LONGEST]
        size = f"{count(each.message_count, 'message')}, {amount(sizes.get(each.id, 0))}"
        lines.append(f"<#{each.channel.id}> {title}: {people}{more}; {size};{state or ' closed'}")
    return "\n".join(lines)


def due(lines: Sequence[Mapping[str, Any]], more: int, *, dry_run: bool) -> str:
    """What a cleanup told, the last line of which has the totals."""
    *items, summary = lines
    if not summary["total"]:
        return "Nothing is due."
    verb = "to go" if dry_run else "gone"
    told = [f"{each['kind']} `{each['id']}`: {inert(str(each['why']))}" for each in items] if dry_run else []
    told += [f"… and {more:,} more"] if more and dry_run else []
    totals = (f"{kind}: {each['items']:,} ({amount(each['bytes'])})" for kind, each in summary["total"].items())
    told.append(f"**{verb.capitalize()}**: {', '.join(totals)}")
    if summary["archives"] and not dry_run:
        told.append(f"Archived first: {', '.join(Path(path).name for path in summary['archives'])}")
    return "\n".join(told)


def audit_page(entries: Sequence[AuditEntry]) -> str:
    """Entries of the audit, a line each."""
    if not entries:
        return "Nothing has been done here yet."
    lines = (
        f"{each.at:%Y-%m-%d %H:%M} UTC, {inert(each.actor.name)}: {each.action}{_details(each)}" for each in entries
    )
    return "\n".join(line[:_LINE] for line in lines)


class Pager(discord.ui.View):
    """Pages to leaf through, for their asker alone."""

    def __init__(self, asked: discord.Interaction[Any], page: Turn) -> None:
        super().__init__(timeout=_PAGED_FOR)
        self._asked = asked
        self._page = page
        self._older: str | None = None
        self._newer: str | None = None

    async def first(self) -> str:
        """The newest page."""
        return await self._turned(None)

    @discord.ui.button(label="Older")
    async def older(self, interaction: discord.Interaction[Any], _button: discord.ui.Button[Pager]) -> None:
        await interaction.response.edit_message(content=await self._turned(self._older), view=self)

    @discord.ui.button(label="Newer")
    async def newer(self, interaction: discord.Interaction[Any], _button: discord.ui.Button[Pager]) -> None:
        await interaction.response.edit_message(content=await self._turned(self._newer), view=self)

    async def on_timeout(self) -> None:
        with suppress(discord.HTTPException):  # the asker may have dismissed it
            await self._asked.edit_original_response(view=None)

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, _item: discord.ui.Item[Any], /
    ) -> None:
        await told_wrong(interaction, error)

    async def _turned(self, cursor: str | None) -> str:
        text, self._older, self._newer = await self._page(cursor)
        self.older.disabled, self.newer.disabled = self._older is None, self._newer is None
        return text


def _details(entry: AuditEntry) -> str:
    told = "; ".join(f"{key} {value}" for key, value in entry.details.items() if value not in (None, [], ""))
    return f" ({inert(told)})" if told else ""


def _since(started: datetime | None) -> str:
    return f" since <t:{int(started.timestamp())}:R>" if started else ""


def _model(name: str, state: str, variable: str) -> str:
    if state == "off":
        return f"{name} off{f' (set {variable})' if variable else ''}"
    return f"{name} left alone for a moment" if state == "resting" else name


def _files(root: Path) -> str:
    """How big each part of a bot's root is, the biggest first."""
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(root):
        inside = Path(folder).relative_to(root).parts
        for name in names:
            with suppress(OSError):  # gone since
                part = inside[0] + "/" if inside else name
                sizes[part] = sizes.get(part, 0) + (Path(folder) / name).stat().st_size
    found = sorted(sizes.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{part} {amount(size)}" for part, size in found[:6]) or "none"
