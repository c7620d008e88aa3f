"""The peer: what a careful person would write in an afternoon. discord.py and the SDK, no storage, one edit a second.

python -m benchmarks.bare TOKEN API_URL GATEWAY_URL OPENAI_URL
"""

from __future__ import annotations

import sys
import time

import discord
from discord import gateway, http
from yarl import URL


class Bare(discord.Client):
    def __init__(self, openai_url: str | None) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = intents.dm_messages = intents.message_content = True
        super().__init__(intents=intents, max_messages=None, allowed_mentions=discord.AllowedMentions.none())
        if openai_url is not None:
            from openai import AsyncOpenAI

            self.openai = AsyncOpenAI(api_key="key", base_url=openai_url, max_retries=0)

    async def on_message(self, message: discord.Message) -> None:
        if self.user is None or message.author.id == self.user.id or self.user not in message.mentions:
            return
        stream = await self.openai.chat.completions.create(
            model="bench",
            messages=[
                {"role": "system", "content": "You are a bot."},
                {"role": "user", "content": f"{message.author.display_name}: {message.content}"},
            ],
            stream=True,
        )
        text, shown = "", ""
        answer: discord.Message | None = None
        edited = 0.0
        async for chunk in stream:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            if text and time.monotonic() - edited >= 1.0:
                answer = await self._show(message, answer, text)
                shown, edited = text, time.monotonic()
        if text != shown:
            await self._show(message, answer, text)

    async def _show(self, question: discord.Message, answer: discord.Message | None, text: str) -> discord.Message:
        if answer is None:
            return await question.reply(text)
        return await answer.edit(content=text)


def main() -> None:
    token, api_url, gateway_url, *openai_url = sys.argv[1:]
    http.Route.BASE = api_url
    gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(gateway_url)
    Bare(openai_url[0] if openai_url else None).run(token, log_handler=None)


if __name__ == "__main__":
    main()
