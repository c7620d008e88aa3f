"""What happened on Discord while the bot was away: fetched, kept, and answered or marked missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import discord
import structlog

from storage.errors import StorageError
from storage.model import Message

from ..errors import TroupeError
from .gap import Gap, fetched
from .translate import origin, place, roles

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

_OVERLAP = timedelta(hours=1)
"""How much of what was heard before is looked at again, for edits and deletions that nobody told of."""
_AT_ONCE = 4
"""Channels looked at side by side."""
_DM_SESSIONS = 200
"""The private conversations that are looked at: those in which somebody spoke last."""
_PATIENCE = 20.0
"""Seconds that a line waits for what was said before it."""
_TROUBLE = (discord.HTTPException, aiohttp.ClientError, OSError, StorageError)


class LastHeard:
    """When the bot was last connected, in a file of its root: what lies before it needs no fetching."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, now: datetime) -> None:
        """Remembers that the bot hears everything up to now."""
        with suppress(OSError):  # a full disk makes the next gap longer, no more
            draft = self._path.with_suffix(".new")
            draft.write_text(now.isoformat())
            draft.replace(self._path)

    def read(self) -> datetime | None:
        """None before the first time."""
        try:
            return datetime.fromisoformat(self._path.read_text().strip())
        except (OSError, ValueError):
            return None


@dataclass
class _Due:
    """What one channel is owed."""

    channel: Any
    lines: list[list[Message]] = field(default_factory=list)
    """Lines to be answered, each person's burst together."""
    missed: list[Message] = field(default_factory=list)
    """Lines too old to be answered."""


class Catchup:
    """Fills the gaps of one account, one run at a time."""

    def __init__(
        self, front: Front, heard: LastHeard, now: Callable[[], datetime], wait: Callable[[float], Awaitable[None]]
    ) -> None:
        self._front = front
        self._bot = front.bot
        self._heard = heard
        self._now = now
        self._wait = wait
        self._one = asyncio.Lock()
        self._open = asyncio.Event()
        self._gates: dict[int, asyncio.Event] = {}
        """Channels whose gap is being read: what is said there now comes after what was said before."""

    def shut(self) -> None:
        """Told when the bot is connected anew: what was said meanwhile comes first."""
        self._open.clear()

    def note(self) -> None:
        """Remembers that everything up to now was heard, unless a gap is being read."""
        if self._open.is_set() and not self._gates:
            self._heard.note(self._now())

    async def passed(self, channel_id: int) -> None:
        """Waits until a channel's gap was read; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._open.wait()
                if channel_id in self._gates:
                    await self._gates[channel_id].wait()

    async def run(self) -> None:
        """As `_run`; whatever comes of it, nobody waits any longer."""
        try:
            async with self._one:
                await self._run()
        except _TROUBLE as error:
            log.error("discord.gaps_unread", error=str(error))
        finally:
            for gate in self._gates.values():
                gate.set()
            self._gates = {}
            self._open.set()

    async def _run(self) -> None:
        """Looks at every channel that has seen something since the bot was last connected, then finishes what a crash
        left open. Trouble in one channel is logged and holds up no other."""
        now, last = self._now(), self._heard.read()
        settings = self._bot.settings.discord.catchup
        oldest = now - timedelta(seconds=settings.age)
        since = max(oldest, last) if last else now
        self._heard.note(now)
        open_before = await self._bot.afterwards.unfinished(oldest, front="discord")
        gate = asyncio.Semaphore(_AT_ONCE)
        open_in = {(line.origin or "").split(":")[1] for line in open_before.lines}

        async def look(channel: Any) -> Gap | None:
            async with gate:
                try:
                    return await fetched(self._front, channel, since - _OVERLAP, since, settings.messages)
                except _TROUBLE as error:
                    log.warning("discord.gap_unread", channel=channel.id, error=str(error))
                    return None
                finally:
                    self._gates.pop(channel.id).set()

        channels = [channel async for channel in self._channels(since - _OVERLAP, open_in)] if last else []
        self._gates = {channel.id: asyncio.Event() for channel in channels}
        self._open.set()
        gaps = {gap.channel.id: gap for gap in await asyncio.gather(*map(look, channels)) if gap is not None}
        unfinished = await self._bot.afterwards.unfinished(oldest, front="discord")
        await self._finish(unfinished.answers, gaps)
        fresh = now - timedelta(seconds=settings.answer)
        owed = await self._owed(unfinished.lines, gaps, fresh)
        await asyncio.gather(*(self._pay(due, gaps.get(due.channel.id)) for due in owed))
        kept = sum(gap.kept for gap in gaps.values())
        if kept or owed or unfinished.answers:
            log.info("discord.caught_up", kept=kept, answered=sum(len(due.lines) for due in owed))

    async def _channels(self, since: datetime, open_dms: set[str]) -> AsyncIterator[Any]:
        """Every place where something may have been said since."""
        edge = discord.utils.time_snowflake(since)
        for guild in self._front.guilds:
            channels: tuple[Any, ...] = (*guild.text_channels, *guild.voice_channels, *guild.threads)
            for channel in channels:
                if (channel.last_message_id or 0) >= edge and channel.permissions_for(guild.me).read_message_history:
                    yield channel
        seen: set[str] = set()
        for session in await self._bot.store.sessions(limit=_DM_SESSIONS):
            place = session.channel
            if place.front != "discord" or place.kind != "dm" or place.id in seen:
                continue
            seen.add(place.id)
            with suppress(*_TROUBLE):
                channel = await self._channel(int(place.id))
                if (getattr(channel, "last_message_id", None) or 0) >= edge or place.id in open_dms:
                    yield channel

    async def _channel(self, channel_id: int) -> Any:
        return self._front.get_channel(channel_id) or await self._front.fetch_channel(channel_id)

    async def _finish(self, answers: Sequence[Message], gaps: dict[int, Gap]) -> None:
        """Brings answers that were kept to their channels, unless they stand there already."""
        for answer in answers:
            question = await self._bot.store.message(answer.reply_to) if answer.reply_to else None
            if question is None or not (question.origin or "").startswith("discord:"):
                continue
            _, channel_id, message_id = (question.origin or "").split(":")
            gap = gaps.get(int(channel_id))
            try:
                if gap is not None and (receipts := gap.standing(answer, int(message_id))):
                    await self._bot.delivered(answer.id, receipts)
                else:
                    channel = await self._channel(int(channel_id))
                    if gap is not None:
                        await gap.clear(self._front, int(message_id))
                    await self._front.talks.show(answer, channel.get_partial_message(int(message_id)))
            except _TROUBLE as error:
                log.warning("discord.answer_undelivered", message=answer.id, error=str(error))

    async def _owed(self, lines: Sequence[Message], gaps: dict[int, Gap], fresh: datetime) -> list[_Due]:
        """What each channel is owed for lines without an answer, oldest first."""
        owed: dict[int, _Due] = {}
        for line in lines:
            channel_id = int((line.origin or "").split(":")[1])
            if channel_id not in owed:
                try:
                    owed[channel_id] = _Due(await self._channel(channel_id))
                except _TROUBLE as error:
                    log.warning("discord.channel_gone", channel=channel_id, error=str(error))
                    continue
            due = owed[channel_id]
            if line.at < fresh:
                due.missed.append(line)
            elif due.lines and _one_burst(due.lines[-1][-1], line, self._bot.settings.sessions.burst):
                due.lines[-1].append(line)
            else:
                due.lines.append([line])
        return list(owed.values())

    async def _pay(self, due: _Due, gap: Gap | None) -> None:
        """Answers what is still worth it; says in one quiet line what is not."""
        try:
            for lines in due.lines:
                await self._answer(due.channel, lines, gap)
            if due.missed:
                await self._tell_missed(due, gap)
        except _TROUBLE as error:
            log.warning("discord.gap_unpaid", channel=due.channel.id, error=str(error))

    async def _answer(self, channel: Any, lines: list[Message], gap: Gap | None) -> None:
        number = int((lines[-1].origin or "").rpartition(":")[2])
        if gap is not None:
            await gap.clear(self._front, number)
        question = channel.get_partial_message(number)
        sender = lines[-1].sender
        known = await self._roles(channel, sender.id)
        pieces = self._bot.again(lines, sender, known, faces=self._front.faces.can(channel))
        try:
            await self._front.deliver(pieces, question, int(sender.id))
        except TroupeError as error:
            log.info("discord.unanswered", line=lines[-1].id, reason=str(error))

    async def _roles(self, channel: Any, user_id: str) -> tuple[str, ...]:
        """Asked for only where a rule speaks of roles: it takes a request."""
        settings = self._bot.settings
        guild = getattr(channel, "guild", None)
        by_role = any(rule.role for rule in settings.access) or any(each.role for each in settings.budgets)
        if guild is None or not by_role:
            return ()
        with suppress(*_TROUBLE):
            return roles(await guild.fetch_member(int(user_id)))
        return ()

    async def _tell_missed(self, due: _Due, gap: Gap | None) -> None:
        for line in due.missed:
            await self._bot.afterwards.drop(line, self._now())
            if gap is not None:
                await gap.mark_cut(self._front, line)
        count = len(due.missed)
        what = "a message" if count == 1 else f"{count} messages"
        text = f"-# I was away and missed {what} to me here. Reply to one of them if it still matters."
        sent = await due.channel.send(text, silent=True)
        await self._bot.said(place(due.channel), text, origin=origin(due.channel.id, sent.id))


def _one_burst(before: Message, line: Message, seconds: float) -> bool:
    near = (line.at - before.at).total_seconds() <= seconds
    return near and before.sender.id == line.sender.id and before.session_id == line.session_id
