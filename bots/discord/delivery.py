"""One answer on its way into one channel: posted early, edited at a pace, and in the end exactly what is kept."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import aiohttp
import discord
import structlog

from storage.model import Receipt

from ..pieces import Delta, Done, Opened, Piece, Reset
from .limits import Pace, Refusals
from .text import Page, Pager, pages

log = structlog.get_logger()

_FIRST = 0.25
"""Seconds of words gathered before the first page goes out; an answer that is whole sooner goes out whole."""
_TYPING_AFTER = 0.25
_TYPING_EVERY = 8.0
"""Discord shows the indicator for ten seconds."""
_FINAL_TRIES = 5


@dataclass
class _Posted:
    message: discord.Message
    shown: str


class Delivery:
    """Takes an answer's pieces as they come (`hear`) and shows them; `finish` waits until the channel shows the
    final text. A page that Discord will not take is logged and never raises."""

    def __init__(
        self,
        question: discord.Message,
        *,
        interval: float,
        pace: Pace,
        refusals: Refusals,
    ) -> None:
        self._question = question
        self._channel = question.channel
        self._interval = interval
        self._pace = pace
        self._refusals = refusals
        self._pager = Pager()
        self._posted: list[_Posted] = []
        self._nonce = ""
        self._final: str | None = None
        self._lost = False
        self._showing = False
        """Whether a page is on its way to Discord right now."""
        self._news = asyncio.Event()
        self._over = False
        self._due = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._typing: asyncio.Task[None] | None = None

    def hear(self, piece: Piece) -> None:
        """Takes in a piece; never waits."""
        match piece:
            case Opened():
                self._nonce = piece.message_id
                if self._typing is None:
                    self._typing = asyncio.ensure_future(self._type())
            case Delta():
                self._pager.feed(piece.text)
                if self._writing is None:
                    self._due = asyncio.get_running_loop().time() + _FIRST
                    self._writing = asyncio.ensure_future(self._write())
                self._news.set()
            case Reset():
                self._pager = Pager()
            case Done():
                self._final = piece.message.text

    async def finish(self) -> tuple[Receipt, ...]:
        """Brings the channel to the final text (to nothing, when there is no answer) and proves it."""
        self._over = True
        if self._writing is not None and self._showing:
            await self._writing
        elif self._writing is not None:
            self._writing.cancel()
        for attempt in range(_FINAL_TRIES):
            if await self._show_final() or self._lost:
                break
            await asyncio.sleep(min(2**attempt, 8))
        if self._typing is not None:
            self._typing.cancel()
        origins = (f"discord:{posted.message.channel.id}:{posted.message.id}" for posted in self._posted)
        return tuple(Receipt(origin=origin, page=page) for page, origin in enumerate(origins))

    async def _write(self) -> None:
        """Shows what there is, at most once an interval, until the answer is over."""
        loop = asyncio.get_running_loop()
        while not self._lost:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self._due - loop.time())
            self._showing = True
            await self._show([page.shown for page in self._pager.pages])
            self._showing = False
            if self._over:
                return
            self._due = loop.time() + max(self._interval, self._pace.wait(self._channel.id))

    async def _show_final(self) -> bool:
        wanted = [page.shown for page in self._final_pages()]
        if self._lost or not await self._show(wanted):
            return False
        while len(self._posted) > len(wanted):
            with contextlib.suppress(discord.HTTPException):
                await self._posted[-1].message.delete()
            self._posted.pop()
        return True

    def _final_pages(self) -> list[Page]:
        """The pages of the final text; those of the pieces heard, when they add up to it, as they mostly do."""
        if self._final is None:
            return []
        self._pager.finish()
        if "".join(page.source for page in self._pager.pages) == self._final:
            return self._pager.pages
        return pages(self._final)

    async def _show(self, wanted: list[str]) -> bool:
        """Makes the channel show these pages; False when some of it should be tried again."""
        if self._refusals.exhausted:
            log.error("discord.quiet", refusals=self._refusals.count, limit=self._refusals.LIMIT)
            return False
        try:
            for number, text in enumerate(wanted):
                if number == len(self._posted):
                    self._posted.append(_Posted(await self._send(number, text), text))
                elif self._posted[number].shown != text:
                    await self._posted[number].message.edit(content=text)
                    self._posted[number].shown = text
        except (discord.Forbidden, discord.NotFound) as error:
            self._lost = True
            log.warning("discord.refused", channel=self._channel.id, status=error.status, code=error.code)
            return False
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("discord.failed", channel=self._channel.id, error=type(error).__name__)
            return False
        return True

    async def _send(self, number: int, text: str) -> discord.Message:
        nonce = f"{self._nonce}{number:03d}"
        if number > 0:
            return await self._channel.send(text, nonce=nonce)
        reference = self._question.to_reference(fail_if_not_exists=False)
        return await self._channel.send(text, nonce=nonce, reference=reference)

    async def _type(self) -> None:
        with contextlib.suppress(discord.HTTPException, aiohttp.ClientError, OSError):
            await asyncio.sleep(_TYPING_AFTER)
            while not self._refusals.exhausted:
                await self._channel.typing()
                await asyncio.sleep(_TYPING_EVERY)
