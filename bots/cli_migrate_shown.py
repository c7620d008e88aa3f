"""What `troupe migrate` says on the screen of what it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.migration_report import Report

    from .persona_files import PersonaFiles
    from .settings import BotSettings

SHOWN = 5
"""Refused items and notes that the screen shows; the report has all of them."""


def table(done: Report) -> Iterator[str]:
    """What was found of each kind, and what became of it."""
    would = "would be new" if done.dry_run else "new"
    yield f"{done.bot}: {done.source} ({done.format}, times without a zone are {done.zone}'s)"
    if done.since:
        yield f"{done.bot}: what was said before {done.since:%Y-%m-%d %H:%M} UTC is left out"
    yield f"{'':<10}{'found':>12}{would:>14}{'known':>12}{'left out':>12}{'refused':>12}"
    for kind in ("messages", "sessions", "channels", "records", "personas", "files", "others"):
        each = getattr(done, kind)
        if each.found:
            yield (
                f"{kind:<10}{each.found:>12,}{each.taken:>14,}{each.known:>12,}{each.left_out:>12,}{each.refused:>12,}"
            )
    if done.records.found:
        yield "records are memories, profiles, settings and the like"
    if done.others.found:
        yield "others are lines, files and whatever else none of these could be made of"
    if done.verified and not done.dry_run:
        read = _many(done.verified, "message was read back and is", "messages were read back and are")
        yield f"{read} what the source says"
    if done.renamed:
        would = "would have" if done.dry_run else "now has" if done.renamed == 1 else "now have"
        yield f"{_many(done.renamed, 'channel', 'channels')} {would} a name, where only the id was known"
    if done.forgotten:
        yield f"{_many(done.forgotten, 'thing was', 'things were')} left out, since somebody asked to be forgotten"
    kinds = (done.messages, done.sessions, done.channels, done.records, done.personas, done.files)
    if done.messages.known and not done.renamed and not any(each.taken for each in kinds):
        yield "Everything was there already: nothing was added"


def findings(done: Report, report: Path) -> Iterator[str]:
    """What was refused, what was not read, and what is worth knowing; all of it is in the report."""
    from storage.migration_report import shown

    for item in done.refused_items[:SHOWN]:
        yield f"refused: {plain(shown(item))}: {plain(item.reason)}"
    if done.refused > SHOWN:
        yield f"… and {done.refused - SHOWN:,} more that were refused"
    for note in done.beside:
        yield f"not read: {plain(note)}"
    for note in done.notes[:SHOWN]:
        yield f"note: {plain(note)}"
    if len(done.notes) > SHOWN:
        yield f"… and {len(done.notes) - SHOWN:,} more notes"
    yield f"What became of everything is told in {report}"


def personas_of(bot: BotSettings, files: PersonaFiles, file: Path) -> Iterator[str]:
    """What became of them, and what to write so that the bot speaks with them."""
    for name in files.kept:
        yield f"The persona {name} is there already and stays as it is"
    if files.written:
        made = ("would be", "would be") if files.dry_run else ("is", "are")
        yield f"{_many(len(files.written), f'persona {made[0]}', f'personas {made[1]}')} new"
    mine = [each.name for each in bot.personas]
    if more := [name for name in (*files.written, *files.kept) if name not in mine]:
        yield f"For {bot.name} to speak with {'it' if len(more) == 1 else 'them'}, write into {file}:"
        yield f"  personas: [{', '.join([*mine, *more])}]"


def then(bot: BotSettings, done: Report, asked: str, again: str) -> Iterator[str]:
    """What to do now; `asked` is what came of asking Discord, `again` the command that does what was only tried."""
    from .storage_settings import LimitSettings

    if done.unmapped and not asked.startswith("Discord was"):
        yield (
            f"{_many(len(done.unmapped), 'person has', 'people have')} no name but their id: --map names them before "
            "they are taken in"
        )
    if done.dry_run:
        yield "Nothing was written. To take it in:"
        yield f"  {again}"
    elif done.messages.taken:
        limits = bot.storage.retention
        if any(getattr(limits, kind) != LimitSettings() for kind in ("channel", "thread", "dm", "web", "terminal")):
            yield f"storage.retention removes old talk: raise it before {bot.name} starts, if this shall stay"
        yield f"`troupe up` starts {bot.name} with what it has now"


def nothing(done: Report) -> str:
    """What to say where nothing of the bot's was found."""
    if any(each.found > each.refused for each in (done.messages, done.sessions, done.records, done.personas)):
        return ""
    if done.whose:
        return f"Nothing in it is {done.bot}'s; it holds talk of: {', '.join(done.whose)}"
    if done.refused:
        return "Nothing of it could be taken: the report has the reasons"
    return f"Nothing in it is {done.bot}'s: no message, no session, no record and no persona was found"


def _many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def plain(text: str) -> str:
    """What somebody wrote, so short and so that a terminal shows it."""
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
