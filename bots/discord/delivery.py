"""One answer on its way into one channel: posted early, edited at a pace, and in the end exactly what is kept."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import structlog

from storage.model import Message, Receipt

from ..pieces import Delta, Done, Opened, Piece, Reset
from .faces import Face, Faces, hook_gone
from .limits import Pace, Refusals
from .posting import BAD_FORM, NO_MORE_HOOKS, Posted, Posting, Question, Sheet
from .text import Page, Pager, pages
from .views import Rows

log = structlog.get_logger()

_FIRST = 0.25
"""Seconds of words gathered before the first page goes out; an answer that is whole sooner goes out whole."""
_STOP_AFTER = 2.0
"""Seconds of writing after which the page being written carries a stop button."""
_TYPING_AFTER = 0.25
_TYPING_EVERY = 8.0
"""Discord shows the indicator for ten seconds."""
_TRY_AGAIN_AFTER = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries to bring the final text to the channel."""
_UNKNOWN_MESSAGE = 10008
_MOST_PAGES, _PAGES_BESIDE_FILE = 6, 2
"""An answer of more pages than the first goes out as a file below its first two."""
_IN_FILE = "-# The whole answer is in the file."
_CUT_IN_FILE = "-# The answer is in the file as far as Discord takes it here; I keep all of it."


class Delivery:
    """Takes an answer's pieces as they come (`hear`) and shows them; `finish` waits until the channel shows the
    final text. A page that Discord will not take is logged and never raises.

    With `faces`, a persona speaks with its own face, or with its name in bold where there can be none. With `rows`,
    the answer carries buttons; `asker` may stop it while it is written."""

    def __init__(
        self,
        question: Question,
        *,
        interval: float,
        pace: Pace,
        refusals: Refusals,
        faces: Faces | None = None,
        rows: Rows | None = None,
        asker: int | None = None,
    ) -> None:
        self._posting = Posting(question, faces, self._row)
        self._channel = self._posting.channel
        self._after: int = question.id
        """No page of the answer is older than what has this id."""
        self._interval = interval
        self._pace = pace
        self._refusals = refusals
        self._faces = faces
        self._rows = rows
        self._asker = asker
        self._face: Face | None = None
        self._bold = ""
        """The name that stands before an answer which does not give it itself."""
        self._fresh = True
        """Whether no word of the answer was heard yet."""
        self._remade = False
        self._pager = Pager()
        self._posted: list[Posted] = []
        self._stale: list[Posted] = []
        """Pages to be removed before others are posted."""
        self._id = ""
        self._nonce = ""
        """What its pages go by, where that is not its id."""
        self._round = 0
        """How often the pages began anew with another face: each round's nonces are its own."""
        self._final: Message | None = None
        self._lost = False
        self._torn = False
        """Whether somebody took a page away: the answer is not to be shown again."""
        self._showing = False
        """Whether a page is on its way to Discord right now."""
        self._news = asyncio.Event()
        self._over = False
        self._due = 0.0
        self._stoppable = False
        self._stopping: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._typing: asyncio.Task[None] | None = None

    def hear(self, piece: Piece) -> None:
        """Takes in a piece; never waits."""
        match piece:
            case Opened():
                self._speak_as(piece.message_id, piece.persona)
                if self._typing is None:
                    self._typing = asyncio.ensure_future(self._type())
            case Delta():
                self._feed(piece.text)
                if self._writing is None:
                    self._due = asyncio.get_running_loop().time() + _FIRST
                    self._writing = asyncio.ensure_future(self._write())
                    if self._rows is not None:
                        self._stopping = asyncio.get_running_loop().call_later(_STOP_AFTER, self._offer_stop)
                self._news.set()
            case Reset():
                self._begin_pages()
            case Done():
                self._take(piece.message)

    @property
    def standing(self) -> bool:
        """Whether anything of it stands in the channel, as far as is known."""
        return bool(self._posted)

    def has(self, message_id: int) -> bool:
        """Whether a message is one of the answer's pages, or may be: that of a page on its way is not known yet."""
        posted = [page.message.id for page in self._posted]
        return message_id in posted or (self._posting.sending and message_id > max(posted, default=self._after))

    async def show(self, message: Message, *, nonce: str = "") -> tuple[Receipt, ...]:
        """Shows an answer that is kept already, instead of hearing it; returns as `finish` does. `nonce` is for one
        whose pages were removed: under its id Discord would give those back."""
        self._take(message)
        self._nonce = nonce
        return await self.finish()

    async def finish(self) -> tuple[Receipt, ...]:
        """Brings the channel to the final text (to nothing, when there is no answer) and proves it. Without proof,
        what stands there is not the whole answer."""
        self._over, shown = True, False
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
            if self._stopping is not None:
                self._stopping.cancel()
        if not shown and not self._torn:
            return ()
        origins = (f"discord:{self._channel.id}:{posted.message.id}" for posted in self._posted)
        return tuple(Receipt(origin=origin, page=page) for page, origin in enumerate(origins))

    def _take(self, message: Message) -> None:
        if self._id != message.id:  # nobody was asked, so that nobody opened it
            self._speak_as(message.id, message.persona)
        self._final = message

    def _speak_as(self, message_id: str, persona: str | None) -> None:
        self._id = message_id
        face = self._faces.face(persona) if self._faces is not None else None
        masked = face is not None and self._faces is not None and self._faces.can(self._channel)
        self._face = face if masked else None
        self._bold = face.bold if face is not None and not masked else ""
        self._begin_pages()

    def _begin_pages(self) -> None:
        self._pager = Pager()
        self._fresh = True

    def _feed(self, words: str) -> None:
        self._pager.feed(self._named(words) if self._fresh else words)
        self._fresh = False

    def _named(self, words: str) -> str:
        return words if words.startswith(self._bold) else self._bold + words

    def _offer_stop(self) -> None:
        self._stoppable = True
        self._news.set()

    async def _write(self) -> None:
        """Shows what there is, at most once an interval, until the answer is over."""
        loop = asyncio.get_running_loop()
        while not self._lost:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self._due - loop.time())
            self._showing = True
            try:
                await self._show()
            finally:
                self._showing = False
            if self._over:
                return
            self._due = loop.time() + max(self._interval, self._pace.wait(self._posting.bucket))

    def _sheets(self) -> list[Sheet]:
        """What there is so far; the page being written carries the stop button."""
        texts = [page.shown for page in self._pager.pages[:_MOST_PAGES]]
        return _with_row(texts, "stop" if self._stoppable else "")

    def _final_sheets(self) -> list[Sheet]:
        if self._final is None:
            return []
        row = "end" if self._rows is not None and self._final.words.strip() else ""
        texts = [page.shown for page in self._final_pages(self._final)]
        room = self._posting.upload_room if len(texts) > _MOST_PAGES else 0
        if not room:
            return _with_row(texts, row)
        whole = self._final.text.encode()
        note = _IN_FILE if len(whole) <= room else _CUT_IN_FILE
        file = whole if len(whole) <= room else whole[:room].decode(errors="ignore").encode()
        return [*map(Sheet, texts[:_PAGES_BESIDE_FILE]), Sheet(note, row, file)]

    def _final_pages(self, message: Message) -> list[Page]:
        """The pages of the final text; those of the pieces heard, when they add up to it, as they mostly do."""
        said = self._named(message.text) if message.words.strip() else message.text
        self._pager.finish()
        if "".join(page.source for page in self._pager.pages) == said:
            return self._pager.pages
        return pages(said)

    async def _show_final(self) -> bool:
        return not self._lost and await self._show(last=True)

    async def _show(self, *, last: bool = False) -> bool:
        """Makes the channel show what there is, the `last` time nothing else; False when some of it should be tried
        again."""
        if self._refusals.exhausted:
            log.error("discord.quiet", refusals=self._refusals.count, limit=self._refusals.LIMIT)
            return False
        try:
            while True:
                try:
                    await self._bring(last)
                    return True
                except discord.HTTPException as error:
                    if not self._another_voice(error):
                        raise
        except discord.HTTPException as error:
            # Whatever Discord refuses now it refuses again, but for what it only asks to wait for.
            self._lost = 400 <= error.status < 500 and error.status != 429
            self._torn = error.code == _UNKNOWN_MESSAGE
            told = "discord.refused" if self._lost else "discord.failed"
            log.warning(told, channel=self._channel.id, status=error.status, code=error.code)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("discord.failed", channel=self._channel.id, error=type(error).__name__)
        except RuntimeError as error:  # aiohttp's, once the bot has gone offline
            self._lost = True
            log.warning("discord.offline", channel=self._channel.id, error=str(error))
        except Exception:
            log.exception("discord.broke", channel=self._channel.id)
        return False

    async def _bring(self, last: bool) -> None:
        face = self._face
        sheets = self._final_sheets() if last else self._sheets()
        if any(posted.face != face for posted in self._posted):
            self._begin_anew()
        while self._stale:
            await self._posting.remove(self._stale[-1])
            self._stale.pop()
        for number, sheet in enumerate(sheets):
            if number == len(self._posted):
                nonce = f"{self._nonce or self._id}{self._round or ''}{number:03d}"
                sent = await self._posting.send(sheet, face, nonce=nonce, first=number == 0)
                self._posted.append(sent)
            if self._posted[number].sheet != sheet:
                await self._posting.edit(self._posted[number], sheet)
        while last and len(self._posted) > len(sheets):
            await self._posting.remove(self._posted[-1])
            self._posted.pop()

    def _another_voice(self, error: discord.HTTPException) -> bool:
        """Whether there is another voice to say it with: a webhook made anew, once; then the account itself."""
        if self._face is None or self._faces is None:
            return False
        if hook_gone(error):
            self._faces.lost(self._channel)
            self._begin_anew()
            if not self._remade:
                self._remade = True
                return True
        elif error.status == 403 or error.code in NO_MORE_HOOKS:
            self._faces.refused(self._channel)
        elif error.code != BAD_FORM:
            return False
        log.warning("discord.faceless", channel=self._channel.id, status=error.status, code=error.code)
        self._bold = self._face.bold
        self._face = None
        said = "".join(page.source for page in self._pager.pages)
        self._begin_pages()
        if said:
            self._feed(said)
        return True

    def _begin_anew(self) -> None:
        """What is posted has another face, or can no longer be edited: it goes, and the pages are posted once more."""
        self._stale += self._posted
        self._posted = []
        self._round += 1

    def _row(self, name: str) -> discord.ui.View | None:
        if self._rows is not None and name == "stop":
            return self._rows.writing(self._id, self._asker)
        if self._rows is not None and name == "end" and self._final is not None:
            return self._rows.answered(self._final)
        return None

    async def _type(self) -> None:
        try:
            await asyncio.sleep(_TYPING_AFTER)
            while not self._refusals.exhausted:
                await self._channel.typing()
                await asyncio.sleep(_TYPING_EVERY)
        except Exception as error:  # an ornament: an answer never suffers from it
            log.debug("discord.typing_failed", channel=self._channel.id, error=type(error).__name__)


def _with_row(texts: list[str], row: str) -> list[Sheet]:
    """The texts as sheets, the last of them with buttons."""
    return [Sheet(text, row if number == len(texts) else "") for number, text in enumerate(texts, start=1)]
