"""What answers took, told answer by answer out of what is kept: to whom, where, by which persona and model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from storage.backend import Store
from storage.model import Message, Usage
from storage.records import Spent

_PAGE = 500
_MOST = 200_000
"""Messages that are looked through at most: seconds, and a month of a busy community."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer that was given."""

    user_id: str
    """Who was answered; empty where nobody knows any more."""
    user_name: str
    """Empty where the question is gone."""
    channel_key: str
    persona: str
    at: datetime
    usage: Usage


async def answers(store: Store, since: datetime, until: datetime) -> AsyncIterator[Answered]:
    """The answers kept from `since` to before `until`, in no order, those that are gone for good included.

    `Store.spending` sums by one thing at a time; this is for sums by several. It looks through the newest messages
    until it has found every answer that the store counts, two hundred thousand at most: of more, the oldest
    are left out."""
    left = sum(day.answers for day in await store.spending("day", since, until))
    gone: set[str] = set()
    async for spent in _gone(store, since, until):
        gone.add(spent.id)
        left -= 1
        yield Answered(spent.user_id, "", spent.channel_key, spent.persona, spent.at, spent.usage)
    open_questions: dict[str, list[Message]] = {}
    looked, cursor = 0, None
    while left > 0 and looked < _MOST:
        page = await store.read(cursor=cursor, limit=_PAGE, deleted=True)
        for message in reversed(page.items):
            for answer in open_questions.pop(message.id, ()):
                yield await _answered(store, answer, message)
            if message.usage is not None and since <= message.at < until and message.id not in gone:
                open_questions.setdefault(message.reply_to or "", []).append(message)
                left -= 1
        looked, cursor = looked + len(page.items), page.older
        if cursor is None:
            break
    for question_id, waiting in open_questions.items():
        question = await store.message(question_id)
        for answer in waiting:
            yield await _answered(store, answer, question)


async def _gone(store: Store, since: datetime, until: datetime) -> AsyncIterator[Spent]:
    cursor = None
    while True:
        page = await store.records(Spent, cursor=cursor, limit=_PAGE)
        for spent in page.items:
            if since <= spent.at < until:
                yield spent
        cursor = page.older
        if cursor is None or page.items[-1].at < since:
            return


async def _answered(store: Store, answer: Message, question: Message | None) -> Answered:
    assert answer.usage is not None
    where = question.origin if question else None
    if where is None:
        session = await store.session(answer.session_id)
        channel_key = session.channel.key if session else ""
    else:
        channel_key = where.rpartition(":")[0]
    sender = question.sender if question else None
    return Answered(
        sender.id if sender else "",
        sender.name if sender else "",
        channel_key,
        answer.persona or "",
        answer.at,
        answer.usage,
    )
