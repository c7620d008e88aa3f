"""What `/admin` shows: the bot's state, settings, sessions, what is due for removal, and pages of the audit."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import discord
from pydantic import JsonValue

from storage.model import Counts, Session
from storage.records import AuditEntry
from storage.retention import amount

from ..guilds import DEFAULT, MODES, Shown
from ..operations import ModelState
from ..quotas import count
from ..spans import span
from ..status import BotStatus
from .interactions import inert, told_wrong

if TYPE_CHECKING:
    from .client import Front

Turn = Callable[[str | None], Awaitable[tuple[str, str | None, str | None]]]
"""A page's text by its cursor, and the cursors of the older and the newer one."""
_PAGED_FOR = 600.0
_ID = re.compile(r"(?<!\d)(\d{17,20})(?!\d)")
_LONGEST = 120
_LINE = 230
"""Characters of an entry; a page of them is one message."""


def status_page(front: Front, now: BotStatus, counts: Counts | None, here: str) -> str:
    """How the bot is; `here` tells of the guild. `counts` is what it keeps of all guilds, for its owner alone: with it
    come all facts that concern others, too. Reads the sizes of files."""
    settings = front.bot.settings
    lines = [
        f"**{inert(settings.display)}** {now.version}: {now.state}{_since(now.started)}",
        f"Discord: {now.discord or 'off'}",
        f"Models: {', '.join(_model(each) for each in front.operations.models())}",
        f"Personas: {', '.join(persona.name for persona in settings.personas)}",
        f"Here, in {here}",
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
        f"`{each.key}`: {_shown(each.key, each.value)} ({inert(each.origin)})"
        + (f"\n-# ⚠️ {inert(each.trouble)}" if each.trouble else "")
        for each in shown
    )


def sessions_page(listed: Sequence[Session], sizes: Mapping[str, int], *, more: bool) -> str:
    """Sessions, a line each, the newest first; `more` is whether there are others."""
    if not listed:
        return "There is no session here yet, or none that you may see."
    lines = [f"**Sessions here**, the newest {len(listed)}" if more else "**Sessions here**"]
    for each in listed:
        people = ", ".join(inert(person.name) for person in each.participants[-3:]) or "nobody"
        others = f" and {len(each.participants) - 3} more" if len(each.participants) > 3 else ""
        state = "".join([" ⭐" if each.starred else "", " archived" if each.archived else ""])
        state += "" if each.closed_at else " open"
        title = inert(each.title or each.id)[:_LONGEST]
        size = f"{count(each.message_count, 'message')}, {amount(sizes.get(each.id, 0))}"
        lines.append(f"<#{each.channel.id}> {title}: {people}{others}; {size};{state or ' closed'}")
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
    lines = (f"{each.at:%Y-%m-%d %H:%M} UTC, {inert(each.actor.name)}: {_done(each)}" for each in entries)
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


def changes(details: Mapping[str, JsonValue]) -> str:
    """What a change of settings was, key by key: `always: none → help-*`."""
    undone = details.get("changes")
    pairs = undone if isinstance(undone, dict) else {str(details["key"]): [details.get("from"), details.get("to")]}
    told = (
        f"`{key}`: {_value(key, pair[0])} → {_value(key, pair[1])}"
        for key, pair in pairs.items()
        if isinstance(pair, list)
    )
    return "; ".join(told)


def _value(key: str, value: JsonValue) -> str:
    """A setting as it is stored, in words."""
    if value == DEFAULT:
        return "as in the bot's file"
    if key == "session_gap":
        return span(value) if isinstance(value, int | float) else "off"
    if isinstance(value, list):
        told = (
            " ".join(f"{name}={part}" for name, part in each.items()) if isinstance(each, dict) else str(each)
            for each in value
        )
        return _shown(key, ("; " if key == "budgets" else ", ").join(told)) or "none"
    return inert(str(value))


def _shown(key: str, value: str) -> str:
    """A setting's value, in which the ids of channels are shown as their names."""
    return _ID.sub(r"<#\1>", inert(value)) if key in MODES else inert(value)


def _done(entry: AuditEntry) -> str:
    if entry.action in ("config set", "config undo") and ("key" in entry.details or "changes" in entry.details):
        return f"{'took back ' if entry.action == 'config undo' else 'set '}{changes(entry.details)}"
    return f"{entry.action}{_details(entry)}"


def _details(entry: AuditEntry) -> str:
    told = "; ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in entry.details.items()
        if value not in (None, [], "")
    )
    return f" ({inert(told)})" if told else ""


def _since(started: datetime | None) -> str:
    return f" since <t:{int(started.timestamp())}:R>" if started else ""


def _model(model: ModelState) -> str:
    if model.state == "off":
        return f"{model.name} off{f' (set {model.variable})' if model.variable else ''}"
    if model.state == "failing":
        return f"⚠️ {model.name} ({model.why})"
    return f"{model.name} left alone for a moment" if model.state == "resting" else model.name


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
