"""What happened on Discord while the bot was away: fetched, kept, and answered or marked missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import discord
import structlog

from storage.errors import StorageError
from storage.model import Channel

from ..afterwards import asked_by
from .faces import may
from .gap import Gap, read
from .owing import Debt, settle, spot

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

_OVERLAP = timedelta(hours=1)
"""How much of what was heard before is looked at again, for edits and deletions that nobody told of."""
_UNSURE = timedelta(minutes=3)
"""How long a connection may be dead before anybody notices: what was heard last may have been before that."""
_AT_ONCE = 4
"""Channels read side by side."""
_PAGE, _PAGES = 100, 20
"""How many sessions, newest first, are looked through for places of which Discord says nothing by itself."""
_HIDDEN = 200
"""How many of those places are looked at: where somebody spoke last."""
_A_MOMENT = timedelta(seconds=1)
_PATIENCE = 20.0
"""Seconds that a line waits for what was said before it."""
_TRY_AGAIN_AFTER = (15.0, 60.0, 300.0)
"""Seconds after which what could not be read or delivered is tried again."""
_TROUBLE = (discord.HTTPException, aiohttp.ClientError, OSError, StorageError)
_UNKNOWN_CHANNEL = 10003


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
        """Set once it is known which channels have a gap."""
        self._gates: dict[int, asyncio.Event] = {}
        """Channels whose gap is being read: what is said there now comes after what was said before."""
        self._filled = False
        """Whether all that was said before the bot was connected is known."""
        self._connected = False
        self._new = False
        """Whether nothing that was said before the bot was connected is its business: it never was before."""
        self._again: asyncio.Task[None] | None = None

    @property
    def hears(self) -> bool:
        """Whether everything up to now was heard."""
        return self._filled and self._connected

    def asks(self) -> None:
        """Told before the bot asks Discord to be let in: what is said from now on is looked for, should it be killed
        before it is ready."""
        self._new = self._heard.read() is None
        if self._new:
            self._heard.note(self._now())

    def shut(self) -> None:
        """Told when the bot is connected anew: what was said meanwhile comes first."""
        self._open = asyncio.Event()
        self._filled, self._connected = False, True

    def lost(self) -> None:
        """Told when the connection is gone."""
        self._connected = False

    def resumed(self) -> None:
        """Told when the connection is back and has brought all that was said meanwhile."""
        self._connected = True

    def note(self) -> None:
        """Remembers that everything up to now was heard, if it was. To be called every few seconds: what was said
        since is looked for after a crash."""
        if self.hears:
            self._heard.note(self._now())

    async def passed(self, channel_id: int) -> None:
        """Waits until a channel's gap was read; not for ever."""
        if self._open.is_set() and channel_id not in self._gates:  # as nearly always: every event comes by here
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._open.wait()
                if channel_id in self._gates:
                    await self._gates[channel_id].wait()

    async def run(self) -> None:
        """Looks at every channel that has seen something since the bot was last connected, and finishes what a crash
        left open there. What fails is tried again later; whatever comes of it, nobody waits any longer."""
        opened = self._open
        if not await self._ran(opened) and opened is self._open:
            self.soon()

    def soon(self) -> None:
        """Told when something reached nobody: it is tried again later."""
        if self._again is None:
            self._again = asyncio.create_task(self._try_again())

    async def close(self) -> None:
        """Gives up what would be tried again."""
        if self._again is not None:
            self._again.cancel()

    async def _try_again(self) -> None:
        try:
            for pause in _TRY_AGAIN_AFTER:
                await self._wait(pause)
                if self._open.is_set() and await self._ran(self._open):
                    break
        finally:
            self._again = None

    async def _ran(self, opened: asyncio.Event) -> bool:
        """Whether all was done that can be."""
        now, done = self._now(), False
        try:
            async with self._one:
                done = await self._fill(now, opened)
        except _TROUBLE as error:
            log.error("discord.gaps_unread", error=str(error))
        finally:
            for gate in self._gates.values():
                gate.set()
            self._gates = {}
            opened.set()
        if done and opened is self._open:
            self._heard.note(now)
            self._filled, self._new = True, False
        return done

    async def _fill(self, now: datetime, opened: asyncio.Event) -> bool:
        settings = self._bot.settings.discord.catchup
        oldest = now - timedelta(seconds=settings.age)
        last = self._heard.read() if self._bot.settings.storage.enabled and not self._new else None
        since = max(oldest, last - _UNSURE) if last else now
        left = await self._left_open(oldest)
        places = await self._places(since - _OVERLAP) if last else {}
        places = {**dict.fromkeys(left), **places}
        self._gates = {channel_id: asyncio.Event() for channel_id in places}
        opened.set()
        one = asyncio.Semaphore(_AT_ONCE)
        fresh = now - timedelta(seconds=settings.answer)

        async def look(channel_id: int, channel: Any) -> bool:
            debt, gate = left.get(channel_id, Debt()), self._gates[channel_id]
            try:
                async with one:
                    gap = await self._read(channel_id, channel, since, debt)
                return gap is None or await settle(self._front, debt, gap, fresh, now, gate.set)
            except (discord.Forbidden, discord.NotFound, discord.InvalidData) as error:
                log.info("discord.gap_closed", channel=channel_id, error=str(error))
                if isinstance(error, discord.NotFound) and error.code == _UNKNOWN_CHANNEL:
                    await self._front.talks.vanished(channel_id)
                return True
            except _TROUBLE as error:
                log.warning("discord.gap_unread", channel=channel_id, error=str(error))
                return False
            finally:
                gate.set()

        return all(await asyncio.gather(*(look(*each) for each in places.items())))

    async def _left_open(self, oldest: datetime) -> dict[int, Debt]:
        """What a crash or an outage left open, by channel."""
        unfinished = await self._bot.afterwards.unfinished(oldest, front="discord")
        await self._bot.afterwards.finish_replacing(unfinished)
        left: dict[int, Debt] = {}
        for line in unfinished.lines:
            left.setdefault(spot(line)[0], Debt()).lines.append(line)
        for answer in unfinished.answers:
            asked = [await self._bot.store.message(id) for id in asked_by(answer)]
            spots = [spot(line) for line in asked if line and (line.origin or "").startswith("discord:")]
            if spots:
                left.setdefault(spots[-1][0], Debt()).answers.append((answer, [number for _, number in spots]))
        return left

    async def _places(self, edge: datetime) -> dict[int, Any]:
        """Every place where something may have been said since; None for one that Discord has to be asked about."""
        oldest = discord.utils.time_snowflake(edge)
        found: dict[int, Any] = {}
        for guild in self._front.guilds:
            homes: tuple[Any, ...] = (*guild.text_channels, *guild.voice_channels, *guild.stage_channels)
            for channel in (*homes, *guild.threads):
                if (channel.last_message_id or 0) >= oldest and may(channel, "read_message_history"):
                    found[channel.id] = channel
        for place in await self._hidden(edge):
            found.setdefault(int(place.id), None)
        return found

    async def _hidden(self, edge: datetime) -> list[Channel]:
        """The places of which Discord says nothing by itself: private conversations, and threads that were put away
        after somebody spoke there."""
        found: dict[str, Channel] = {}
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._bot.store.browse(cursor=cursor, limit=_PAGE)
            for session in reversed(page.items):
                place = session.channel
                away = place.kind == "thread" and session.last_at >= edge and not self._cached(place)
                if place.front == "discord" and (place.kind == "dm" or away):
                    found.setdefault(place.id, place)
            cursor = page.older
            if cursor is None:
                break
        return list(found.values())[:_HIDDEN]

    def _cached(self, place: Channel) -> bool:
        return self._front.get_channel(int(place.id)) is not None

    async def _read(self, channel_id: int, channel: Any, since: datetime, debt: Debt) -> Gap | None:
        """The gap of a channel; None when nothing was said there and nothing is owed."""
        edge = min([since - _OVERLAP, *(when - _A_MOMENT for when in debt.since)])
        if channel is None and not debt.questions:
            # discord.py keeps nothing of a private channel that would tell whether something was said there.
            about: Any = await self._front.http.get_channel(channel_id)
            if int(about.get("last_message_id") or 0) < discord.utils.time_snowflake(edge):
                return None
        channel = channel or self._front.get_channel(channel_id) or await self._front.fetch_channel(channel_id)
        most = self._bot.settings.discord.catchup.messages
        return await read(self._front, channel, edge, since, most, debt.questions)
