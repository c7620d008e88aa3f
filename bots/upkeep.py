"""What a bot does beside talking, every few seconds: what is due, how it is, and learning from what was said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from storage.backend import Reports, Store
from storage.errors import StorageError

from .bot import Bot
from .status import Report

log = structlog.get_logger()

SECONDS = 15.0
_COUNTED = 60.0
"""Seconds from one count of memories to the next, once it runs for a while,"""
_SHARE = 100
"""or so many times what the last one took: counting reads them all."""
_PROBLEMS = 20
"""The most of what a store could not take in that are logged one by one."""


async def look_after(
    bot: Bot, store: Store, report: Report, *, hears: Callable[[], None], failing: Callable[[], str]
) -> None:
    """Has done what is due, round by round until cancelled, and reports how the bot is. `hears` notes that everything
    up to now was heard, `failing` tells what is wrong with its models."""
    trouble, count_at, pace = "", 0.0, SECONDS / 2
    while True:
        try:
            hears()
            await bot.upkeep()
            if (began := time.monotonic()) >= count_at:
                report({"memory": await bot.memory.told(), "embedder": bot.memory.finds_by})
                pace = min(2 * pace, _COUNTED)  # it still reads when it has just been started
                count_at = began + max(pace - SECONDS / 2, _SHARE * (time.monotonic() - began))
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


def complain(store: Store) -> None:
    """Logs what a store could not take in when it was opened."""
    problems = store.problems if isinstance(store, Reports) else []
    for problem in problems[:_PROBLEMS]:
        log.warning("storage.problem", problem=problem)
    if len(problems) > _PROBLEMS:
        log.warning("storage.problems", more=len(problems) - _PROBLEMS)
