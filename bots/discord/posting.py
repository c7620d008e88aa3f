"""Pages on their way to Discord: posted, edited and removed as the account or through a persona's webhook."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import discord

from .faces import NOBODY, Face, Faces, hook_gone, inside, may

NO_MORE_HOOKS = {30007, 30058}
"""What Discord says when a channel or a guild has all the webhooks it may have."""
BAD_FORM = 50035
_NO_REPLYING_HERE = 160002
_FILE = "answer.md"
_REPEATED_AFTER = 1.0
"""Seconds after which discord.py tries a webhook again by itself: a page that took less was sent once."""
_LOOKED_AT = 10
"""The newest messages among which a page is looked for that may have arrived after all."""

Question: TypeAlias = "discord.Message | discord.PartialMessage | discord.abc.MessageableChannel"
"""What is answered; only a channel where there is no message to reply to."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one message of an answer shows."""

    text: str
    row: str = ""
    """Which buttons stand below it; empty is none."""
    file: bytes = b""


@dataclass(slots=True)
class Posted:
    """A message that stands in the channel, and whose face it wears; None is the account's own."""

    message: discord.Message
    sheet: Sheet
    face: Face | None


class Posting:
    """Puts sheets into one channel. `row` makes the buttons of a name. Raises what discord.py raises."""

    def __init__(self, question: Question, faces: Faces | None, row: Callable[[str], discord.ui.View | None]) -> None:
        self.channel: Any = question
        self._question: discord.Message | discord.PartialMessage | None = None
        if isinstance(question, discord.Message | discord.PartialMessage):
            self.channel, self._question = question.channel, question
        self._faces = faces
        self._row = row
        self._tried: dict[str, Sheet] = {}
        """What a page was first sent as, by its nonce."""
        self._unsure: dict[str, tuple[int, list[str]]] = {}
        """What was sent through a webhook and may stand there although nobody said so, and after which message, by
        nonce."""
        self.sending = False
        """Whether a page is on its way to Discord, so that its id is not known yet."""
        self.bucket: int = self.channel.id
        """Whose rate limits count: the channel's, or its webhook's."""

    async def send(self, sheet: Sheet, face: Face | None, *, nonce: str, first: bool) -> Posted:
        """Posts a sheet; the `first` of an answer replies to its question, where that can be. Sent again under the
        same nonce, it does not stand twice."""
        self.sending = True
        try:
            return await self._sent(sheet, face, nonce, first)
        finally:
            self.sending = False

    async def _sent(self, sheet: Sheet, face: Face | None, nonce: str, first: bool) -> Posted:
        if face is not None and self._faces is not None:
            hook = await self._faces.webhook(self.channel)
            self.bucket = hook.id
            return await self._masked(hook, self._faces, sheet, face, nonce)
        self.bucket = self.channel.id
        before = self._tried.setdefault(nonce, sheet)
        message = await self._as_account(sheet, nonce, replies=first)
        same = message.content.strip() == sheet.text.strip() and (before.row, before.file) == (sheet.row, sheet.file)
        if before == sheet or same:
            return Posted(message, sheet, None)
        # An earlier try may have arrived after all, only its answer was lost; Discord gives back what stands there.
        return Posted(message, Sheet(message.content, "unknown", b"unknown"), None)

    async def edit(self, posted: Posted, sheet: Sheet) -> None:
        """Makes a posted page show another sheet."""
        more: dict[str, Any] = {}
        if posted.sheet.row != sheet.row:
            more["view"] = self._row(sheet.row)
        if posted.sheet.file != sheet.file:
            more["attachments"] = self._beside(sheet).get("files", [])
        await posted.message.edit(content=sheet.text, allowed_mentions=NOBODY, **more)
        posted.sheet = sheet

    async def remove(self, posted: Posted) -> None:
        """Removes a page. One whose webhook is gone stays where the account may not manage messages."""
        try:
            await posted.message.delete()
        except discord.HTTPException as error:
            if not isinstance(error, discord.NotFound) and (posted.face is None or not hook_gone(error)):
                raise
            if hook_gone(error) and may(self.channel, "manage_messages"):
                with contextlib.suppress(discord.NotFound):
                    await self.channel.get_partial_message(posted.message.id).delete()

    @property
    def upload_room(self) -> int:
        """Bytes that a file may have in the channel; 0 where there may be none."""
        guild: discord.Guild | None = getattr(self.channel, "guild", None)
        if guild is None:
            return discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        return guild.filesize_limit if may(self.channel, "attach_files") else 0

    async def _masked(self, hook: discord.Webhook, faces: Faces, sheet: Sheet, face: Face, nonce: str) -> Posted:
        """Webhooks know no nonces: what may stand there already is looked for, and taken for the page."""
        tried = nonce in self._unsure
        after, texts = self._unsure.setdefault(nonce, (self._newest(), []))
        if tried and (standing := await self._standing(hook, faces, after, texts)):
            page = await hook.fetch_message(standing[0].id, **inside(self.channel))
            faces.page(page.id)
            same = page.content.strip() == sheet.text.strip() and not (sheet.row or sheet.file)
            return Posted(page, sheet if same else Sheet(page.content, "unknown", b"unknown"), face)
        texts.append(sheet.text)
        look = {"username": face.name, **({"avatar_url": face.picture} if face.picture else {})}
        more = {**look, **inside(self.channel), **self._beside(sheet)}
        begun = asyncio.get_running_loop().time()
        page = await hook.send(sheet.text, wait=True, allowed_mentions=NOBODY, **more)
        faces.page(page.id)
        del self._unsure[nonce]
        if asyncio.get_running_loop().time() - begun >= _REPEATED_AFTER:
            for twin in await self._standing(hook, faces, after, texts):
                with contextlib.suppress(discord.NotFound):
                    await hook.delete_message(twin.id, **inside(self.channel))
        return Posted(page, sheet, face)

    async def _standing(
        self, hook: discord.Webhook, faces: Faces, after: int, texts: Sequence[str]
    ) -> list[discord.Message]:
        """The newest messages of a webhook that say one of the texts and are no answer's page."""
        if not may(self.channel, "read_message_history"):
            return []
        wanted = {text.strip() for text in texts}
        newest = self.channel.history(limit=_LOOKED_AT, after=discord.Object(after), oldest_first=False)
        return [
            message
            async for message in newest
            if message.webhook_id == hook.id and message.content.strip() in wanted and not faces.is_page(message.id)
        ]

    def _newest(self) -> int:
        """The newest message that is known to stand in the channel."""
        return max(self._question.id if self._question else 0, getattr(self.channel, "last_message_id", None) or 0)

    async def _as_account(self, sheet: Sheet, nonce: str, *, replies: bool) -> discord.Message:
        if replies and self._question is not None:
            reference = self._question.to_reference(fail_if_not_exists=False)
            try:
                return await self._plainly(sheet, nonce=nonce, reference=reference)
            except discord.HTTPException as error:
                if not _about_replying(error):
                    raise
                self._question = None
        return await self._plainly(sheet, nonce=nonce)

    async def _plainly(self, sheet: Sheet, **more: Any) -> discord.Message:
        sent: discord.Message = await self.channel.send(
            sheet.text, allowed_mentions=NOBODY, **more, **self._beside(sheet)
        )
        return sent

    def _beside(self, sheet: Sheet) -> dict[str, Any]:
        """What goes out with a sheet's text."""
        view = self._row(sheet.row)
        files = [discord.File(io.BytesIO(sheet.file), _FILE)] if sheet.file else []
        return {**({"view": view} if view else {}), **({"files": files} if files else {})}


def _about_replying(error: discord.HTTPException) -> bool:
    """Whether Discord would have taken the message, had it not been a reply."""
    return error.code == _NO_REPLYING_HERE or (error.code == BAD_FORM and "message_reference" in error.text)
