"""What a bot does beside talking, every few seconds: what is due, how it is, and learning from what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from storage.backend import Store
from storage.errors import StorageError

from .bot import Bot
from .status import Report

log = structlog.get_logger()

SECONDS = 15.0
_COUNTED = 20
"""Rounds between two counts of memories."""


async def look_after(
    bot: Bot, store: Store, report: Report, *, hears: Callable[[], None], failing: Callable[[], str]
) -> None:
    """Has done what is due, round by round until cancelled, and reports how the bot is. `hears` notes that everything
    up to now was heard, `failing` tells what is wrong with its models."""
    trouble, rounds = "", 0
    while True:
        try:
            hears()
            await bot.upkeep()
            if rounds % _COUNTED == 0:
                report({"memory": await bot.memory.told()})
            rounds += 1
            report({"live_sessions": (await store.counts()).open_sessions, "model_trouble": failing()})
            if trouble:
                trouble = ""
                report({"last_error": ""})
        except StorageError as error:
            trouble = str(error)
            log.error("storage.refused", error=trouble)
            report({"last_error": trouble})
        await asyncio.sleep(SECONDS)


async def learn(bot: Bot) -> None:
    """Learns from what was said, round by round until cancelled: by itself, since a model may take its time."""
    while True:
        try:
            await bot.memory.learn()
        except StorageError as error:
            log.warning("memory.not_learned", why=str(error))
        await asyncio.sleep(SECONDS)
