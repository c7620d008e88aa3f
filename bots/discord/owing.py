"""What one channel is owed after a gap: answers are brought, lines answered, or told of as missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import discord
import structlog

from storage.model import Message

from ..afterwards import asked_by
from ..errors import TroupeError
from ..incoming import ASKED, is_stop
from ..pieces import Piece
from .faces import may
from .gap import Gap
from .translate import origin, place, roles

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()


@dataclass
class Debt:
    """What a crash or an outage left open in one channel."""

    lines: list[Message] = field(default_factory=list)
    """Lines that want an answer, oldest first."""
    answers: list[tuple[Message, list[int]]] = field(default_factory=list)
    """Answers that reached nobody, and the Discord messages that they answer."""

    @property
    def questions(self) -> set[int]:
        """The Discord messages whose answers are awaited."""
        return {spot(line)[1] for line in self.lines}.union(*(numbers for _, numbers in self.answers))

    @property
    def since(self) -> list[datetime]:
        """When they were asked."""
        return [discord.utils.snowflake_time(number) for number in self.questions]


def spot(line: Message) -> tuple[int, int]:
    """The channel and the message in which a line of Discord's stands."""
    _, channel_id, message_id = (line.origin or "").split(":")
    return int(channel_id), int(message_id)


async def settle(
    front: Front, debt: Debt, gap: Gap, fresh: datetime, now: datetime, opened: Callable[[], object]
) -> bool:
    """Pays what a channel is owed: lines before `fresh` are not answered any more, but told of. Calls `opened` as soon
    as what is said from now on can no longer come before. Returns whether all was delivered that can be. Raises what
    discord.py and the store raise."""
    channel = gap.channel
    if not _may_speak(channel):
        return True  # it may be allowed to, one day
    await gap.begun.sort(debt.answers)
    brought = [await _bring(front, answer, numbers, gap, now) for answer, numbers in debt.answers]
    turns, missed = await _due(front, debt.lines, gap, fresh, now)
    for lines in turns:
        await _answer(front, lines, gap, opened if lines is turns[-1] else _nothing, now)
    opened()
    if missed:
        await _tell_missed(front, missed, gap, now)
    await gap.begun.sweep({spot(line)[1] for line in debt.lines if front.bot.at_work(line.id)})
    if gap.kept or turns or missed or brought:
        log.info("discord.caught_up", channel=channel.id, kept=len(gap.kept), answered=len(turns), missed=len(missed))
    return all(brought)


def _may_speak(channel: Any) -> bool:
    if isinstance(channel, discord.DMChannel):
        return True
    return may(channel, "send_messages_in_threads" if isinstance(channel, discord.Thread) else "send_messages")


async def _bring(front: Front, answer: Message, numbers: Sequence[int], gap: Gap, now: datetime) -> bool:
    """Brings an answer that was kept to its channel, unless it stands there already or its question is gone. False
    when that is to be tried again."""
    if front.bot.at_work(answer.id):
        return False
    if await front.bot.afterwards.still_open(answer) is None:
        return True
    question = await front.bot.store.message(answer.reply_to or "")
    if question is None or question.deleted_at is not None:
        await front.bot.afterwards.remove(answer, now)
        return True
    receipts = gap.begun.standing(answer)
    if receipts:
        await front.bot.delivered(answer.id, receipts)
        return True
    await gap.begun.clear(numbers)
    return await front.talks.show(answer, gap.channel.get_partial_message(numbers[0]))


async def _due(
    front: Front, left: Sequence[Message], gap: Gap, fresh: datetime, now: datetime
) -> tuple[list[list[Message]], list[Message]]:
    """The lines to be answered, those of one person together as when they wait for their turn; and those missed."""
    turns: dict[tuple[str, str], list[Message]] = {}
    missed: list[Message] = []
    for line in sorted([*left, *gap.kept], key=lambda each: each.at):
        person = line.session_id, line.sender.id
        if is_stop(line.words):
            for before in turns.pop(person, []):
                await front.bot.afterwards.drop(before, now)
        if front.bot.at_work(line.id) or line.metadata.keys().isdisjoint(ASKED):
            continue
        current = await front.bot.afterwards.still_open(line)
        if current is None:
            continue
        if line.at < fresh:
            missed.append(current)
        else:
            turns.setdefault(person, []).append(current)
    for person, lines in list(turns.items()):
        turns[person] = await _unanswered(front, lines, gap)
    return [lines for lines in turns.values() if lines], await _unanswered(front, missed, gap)


async def _unanswered(front: Front, lines: list[Message], gap: Gap) -> list[Message]:
    """Those lines whose answers do not stand there already; one that does is kept."""
    for line in list(lines):
        if line not in lines:
            continue
        same = [each for each in lines[lines.index(line) :] if each.sender.id == line.sender.id]
        answer = gap.begun.whole(spot(line)[1], [each for each in same if each.session_id == line.session_id])
        if answer is not None:
            await front.bot.afterwards.found(answer)
            lines = [each for each in lines if each.id not in asked_by(answer)]
    return lines


async def _answer(front: Front, lines: list[Message], gap: Gap, opened: Callable[[], object], now: datetime) -> None:
    numbers = [spot(line)[1] for line in lines]
    await gap.begun.clear(numbers)
    sender = lines[-1].sender
    channel = gap.channel
    known = await _roles(front, channel, sender.id)

    async def pieces() -> AsyncIterator[Piece]:
        async for piece in front.bot.again(lines, sender, known, faces=front.faces.can(channel)):
            opened()
            yield piece

    try:
        await front.deliver(pieces(), channel.get_partial_message(numbers[-1]), int(sender.id))
    except TroupeError as error:
        log.info("discord.unanswered", line=lines[-1].id, reason=str(error))
        for line in lines:
            await front.bot.afterwards.drop(line, now)


async def _roles(front: Front, channel: Any, user_id: str) -> tuple[str, ...]:
    """Asked for only where a rule speaks of roles: it takes a request."""
    settings = front.bot.settings
    guild = getattr(channel, "guild", None)
    by_role = any(rule.role for rule in settings.access) or any(each.role for each in settings.budgets)
    if guild is None or not by_role:
        return ()
    try:
        return roles(await guild.fetch_member(int(user_id)))
    except discord.NotFound:  # gone meanwhile
        return ()


async def _tell_missed(front: Front, missed: Sequence[Message], gap: Gap, now: datetime) -> None:
    """Says in one quiet line what is not worth an answer any more; other bots need not be told."""
    for line in missed:
        answer = await gap.begun.cut(spot(line)[1], line)
        if answer is not None:
            await front.bot.afterwards.found(answer)
    people = sum(line.sender.type == "user" for line in missed)
    what = "a message" if people == 1 else f"{people} messages"
    text = f"-# I was away and missed {what} to me here. Reply to one of them if it still matters."
    try:
        if people:
            sent = await gap.channel.send(text, silent=True)
            await front.bot.said(place(gap.channel), text, origin=origin(gap.channel.id, sent.id))
    except discord.Forbidden as error:
        log.info("discord.missed_untold", channel=gap.channel.id, error=str(error))
    for line in missed:
        await front.bot.afterwards.drop(line, now)


def _nothing() -> None:
    """Lines of others have to wait still."""
