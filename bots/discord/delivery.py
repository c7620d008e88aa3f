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
_TRY_AGAIN_AFTER = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries to bring the final text to the channel."""
_NO_REPLYING_HERE = 160002
_BAD_FORM = 50035


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
        self._tried: dict[int, str] = {}
        """The text with which a page was first sent, by its number."""
        self._replies = True
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
        try:
            if self._writing is not None and self._showing:
                await self._writing
            elif self._writing is not None:
                self._writing.cancel()
            shown = await self._show_final()
            for pause in _TRY_AGAIN_AFTER:
                if shown or self._lost:
                    break
                await asyncio.sleep(pause)
                shown = await self._show_final()
        finally:
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
            try:
                await self._show([page.shown for page in self._pager.pages])
            finally:
                self._showing = False
            if self._over:
                return
            self._due = loop.time() + max(self._interval, self._pace.wait(self._channel.id))

    async def _show_final(self) -> bool:
        return not self._lost and await self._show([page.shown for page in self._final_pages()], last=True)

    def _final_pages(self) -> list[Page]:
        """The pages of the final text; those of the pieces heard, when they add up to it, as they mostly do."""
        if self._final is None:
            return []
        self._pager.finish()
        if "".join(page.source for page in self._pager.pages) == self._final:
            return self._pager.pages
        return pages(self._final)

    async def _show(self, wanted: list[str], *, last: bool = False) -> bool:
        """Makes the channel show these pages, the `last` time no others; False when some of it should be tried
        again."""
        if self._quiet():
            return False
        try:
            for number, text in enumerate(wanted):
                if number == len(self._posted):
                    self._posted.append(await self._send(number, text))
                if self._posted[number].shown != text:
                    await self._posted[number].message.edit(content=text)
                    self._posted[number].shown = text
            while last and len(self._posted) > len(wanted):
                with contextlib.suppress(discord.NotFound):
                    await self._posted[-1].message.delete()
                self._posted.pop()
        except discord.HTTPException as error:
            # Whatever Discord refuses now it refuses again, but for what it only asks to wait for.
            self._lost = 400 <= error.status < 500 and error.status != 429
            told = "discord.refused" if self._lost else "discord.failed"
            log.warning(told, channel=self._channel.id, status=error.status, code=error.code)
            return False
        except (aiohttp.ClientError, OSError) as error:
            log.warning("discord.failed", channel=self._channel.id, error=type(error).__name__)
            return False
        except RuntimeError as error:  # aiohttp's, once the bot has gone offline
            self._lost = True
            log.warning("discord.offline", channel=self._channel.id, error=str(error))
            return False
        except Exception:
            log.exception("discord.broke", channel=self._channel.id)
            return False
        return True

    def _quiet(self) -> bool:
        if self._refusals.exhausted:
            log.error("discord.quiet", refusals=self._refusals.count, limit=self._refusals.LIMIT)
            return True
        return False

    async def _send(self, number: int, text: str) -> _Posted:
        message = await self._post(number, text)
        if self._tried[number] == text or message.content.strip() == text.strip():
            return _Posted(message, text)
        # An earlier try had arrived after all, only its answer was lost; Discord gives back what stands there.
        return _Posted(message, message.content)

    async def _post(self, number: int, text: str) -> discord.Message:
        self._tried.setdefault(number, text)
        nonce = f"{self._nonce}{number:03d}"
        if number == 0 and self._replies:
            reference = self._question.to_reference(fail_if_not_exists=False)
            try:
                return await self._channel.send(text, nonce=nonce, reference=reference)
            except discord.HTTPException as error:
                if not _about_replying(error):
                    raise
                self._replies = False
        return await self._channel.send(text, nonce=nonce)

    async def _type(self) -> None:
        try:
            await asyncio.sleep(_TYPING_AFTER)
            while not self._refusals.exhausted:
                await self._channel.typing()
                await asyncio.sleep(_TYPING_EVERY)
        except Exception as error:  # an ornament: an answer never suffers from it
            log.debug("discord.typing_failed", channel=self._channel.id, error=type(error).__name__)


def _about_replying(error: discord.HTTPException) -> bool:
    """Whether Discord would have taken the message, had it not been a reply."""
    return error.code == _NO_REPLYING_HERE or (error.code == _BAD_FORM and "message_reference" in error.text)
