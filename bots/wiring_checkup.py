"""What is looked at when a bot is looked over, from Discord to the disk: by `troupe doctor` and by the bot itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import aiohttp

from storage.blobs import Blobs
from storage.doctor import Diagnosis, examine
from storage.errors import StorageError
from storage.progress import Tell

from .checkup import Check, embedder, knowledge, place, process, providers
from .discord.checkup import Account
from .embedding import chosen
from .providers import Embedder
from .settings import BotSettings
from .status import BotStatus

_WITHIN = 15.0
"""Seconds that Discord or a provider may take for one answer."""


async def looked_over(
    bot: BotSettings,
    said: BotStatus,
    meaning: Embedder | None,
    blobs: Blobs,
    now: Callable[[], datetime],
    tell: Tell,
) -> list[Check]:
    """Everything about a running bot, looked at by itself; `meaning` is its embedder. Nothing is changed."""
    tell("asking Discord and the providers", 0, 0)
    found = await asked(bot, said, meaning, now)
    tell("looking at this machine", 0, 0)
    found += await asyncio.to_thread(lambda: [*process(bot, said), *place(bot), *knowledge(bot)])
    if not bot.storage.enabled:
        return found
    kept = bot.storage
    try:
        seen = await examine(bot.name, bot.root, blobs, type=kept.type, url=kept.address, running=True, tell=tell)
    except StorageError as error:
        return [*found, Check("wrong", "storage", str(bot.root), str(error))]
    return [*found, storage_check(bot, seen)]


async def asked(
    bot: BotSettings, said: BotStatus, meaning: Embedder | None, now: Callable[[], datetime]
) -> list[Check]:
    """What others say: Discord, the providers and the embedder."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WITHIN)) as session:
        account = Account(bot, session, now=now)
        found = [each async for each in account.checks()]
        found += [each async for each in providers(bot, session)]
    return [*found, await embedder(chosen(bot.embedder), meaning, said)]


def storage_check(bot: BotSettings, seen: Diagnosis) -> Check:
    """What a look at everything that a bot keeps has brought, in a line."""
    if wrong := [each for each in seen.findings if each.open]:
        remedy = f"`troupe doctor storage {bot.name}` says more, and mends what can be mended with --fix."
        sentence = f"{len(wrong)} wrong: {', '.join(each.what for each in wrong)}."
        return Check("wrong", "storage", str(bot.root), sentence, remedy)
    messages = f"{seen.messages:,} message{'' if seen.messages == 1 else 's'}"
    counted = f"{messages} in {seen.sessions:,} session{'' if seen.sessions == 1 else 's'}: all whole."
    return Check("ok", "storage", str(bot.root), counted)
