"""Files beside Discord's messages: fetched from Discord's own hosts alone, under a fresh link where one is needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import discord
from yarl import URL

from storage.model import Attachment

from ..media import MediaError
from ..settings import DiscordSettings

_HOSTS = ("cdn.discordapp.com", "media.discordapp.net")
_FOLDERS = ("/attachments/", "/ephemeral-attachments/")
_EXPIRED = (403, 404)
"""What Discord answers for a link that is no longer good, and for a file that is gone."""
_PIECE = 1 << 16
_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=15)


class Files:
    """Fetches what stands beside messages that one account can see."""

    def __init__(self, settings: DiscordSettings, client: discord.Client) -> None:
        self._client = client
        self._origin = URL(settings.api_url).origin() if settings.api_url else None
        """Where a proxy or a server like Discord's gives out files, too."""
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, attachment: Attachment, origin: str | None) -> AsyncGenerator[bytes, None]:
        """The bytes of a file beside the message at `origin`, in pieces.

        A link that is no longer good is renewed by asking for the message. Raises `MediaError`; asks no host but
        Discord's, whatever the link says, and follows no redirect."""
        url = self._permitted(attachment.url)
        try:
            async with AsyncExitStack() as held:
                response = await held.enter_async_context(self._asked(url))
                if response.status in _EXPIRED:
                    response = await held.enter_async_context(self._asked(await self._renewed(url, origin)))
                if response.status != 200:
                    raise MediaError(f"Discord answered with {response.status}.")
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise MediaError(f"Discord did not give it: {type(error).__name__}.") from error

    async def close(self) -> None:
        """Lets go of connections; what is being fetched breaks off."""
        if self._session is not None:
            await self._session.close()

    def _permitted(self, link: str) -> URL:
        try:
            url = URL(link)
            ours = self._origin is not None and url.origin() == self._origin
        except ValueError:
            raise MediaError("Its address is none.") from None
        discords = url.scheme == "https" and url.host in _HOSTS and url.port == 443
        if not (discords or ours) or url.user or url.password or not url.path.startswith(_FOLDERS):
            raise MediaError("Its address is not one of Discord's.")
        return url

    def _asked(self, url: URL) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMES,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # what a file unpacks to could be any size
                headers={"User-Agent": self._client.http.user_agent, "Accept-Encoding": "identity"},
            )
        return self._session.get(url, allow_redirects=False)

    async def _renewed(self, url: URL, origin: str | None) -> URL:
        front, _, place = (origin or "").partition(":")
        channel, _, message = place.partition(":")
        if front != "discord" or not (channel.isdecimal() and message.isdecimal()):
            raise MediaError("Its link is no longer good, and which message it stands beside is not known.")
        try:
            found = await self._client.http.get_message(int(channel), int(message))
        except discord.HTTPException as error:
            raise MediaError(f"Its link is no longer good, and its message is gone ({error.status}).") from error
        # Without what is signed, a file's address stays the same; it holds the file's id and name.
        links = (self._permitted(file["url"]) for file in found["attachments"])
        if (fresh := next((link for link in links if link.path == url.path), None)) is None:
            raise MediaError("Its link is no longer good, and its message no longer has it.")
        return fresh
