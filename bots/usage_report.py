"""Who used what, in words: bars for people, and a report for those who pay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.backend import Store
from storage.model import Channel, Message, Usage
from storage.records import Spent

from .quotas import Meter, Quotas, Used, count, dollars, span

_PAGE = 500
_MOST = 40_000
"""Messages that are looked through at most: a second or two."""

_LONGEST = 20
"""Lines of one list of the report."""
_BAR = 10
_WHOSE = {"user": "Yours", "channel": "This channel's", "guild": "This server's", "bot": "The bot's"}


def took(used: Used) -> str:
    """What answers took: `3 answers, 1,234 tokens, $0.02`."""
    return f"{count(used.answers, 'answer')}, {count(used.tokens, 'token')}, {dollars(used.cost_micros / 1_000_000)}"


def unknown(used: Used) -> str:
    """What the sums leave out, said once below them; empty where nothing is."""
    whose = "its price is" if used.unpriced == 1 else "their price is"
    return f"-# {count(used.unpriced, 'answer')} counted as $0.00: {whose} unknown." if used.unpriced else ""


def bars(meter: Meter, until: str) -> str:
    """One budget as lines, a bar for each limit; `until` says when it begins anew. Of what everybody everywhere uses
    together, people in one place learn the part that is gone, and no numbers."""
    head = f"{_WHOSE[meter.budget.per]}, for {span(meter.budget)}; it begins anew {until}."
    shared = meter.budget.per == "bot"
    lines = (
        f"`{_bar(limit.share)}` {f'{min(1.0, limit.share):.0%} used' if shared else f'{limit.used} of {limit.most}'}"
        for limit in meter.limits
    )
    return "\n".join([head, *lines])


def _bar(share: float) -> str:
    # Empty and full are said only of what is.
    full = min(_BAR, int(share * _BAR)) or int(share > 0)
    return "█" * full + "░" * (_BAR - full)


async def usage_report(
    store: Store,
    quotas: Quotas,
    channel: Channel,
    since: datetime,
    until: datetime,
    inert: Callable[[str], str],
) -> str:
    """What was used from `since` to before `until`, by person, channel, model, persona and day, as Markdown, after the
    budgets that everybody shares in a channel. In a guild it tells of that guild alone, elsewhere of the whole bot.
    `inert` makes names harmless where they are shown. Raises `StorageError`."""
    tables: dict[str, defaultdict[str, Used]] = {by: defaultdict(Used) for by in _BY}
    total, seen = Used(), 0
    names: dict[str, str] = {}
    places: dict[str, Channel | None] = {}
    async for each in _answers(store, since, until):
        seen += 1
        key = each.channel_key
        if key not in places:
            places[key] = await store.channel(key)
        place = places[key]
        if channel.guild_id is not None and (place is None or place.guild_id != channel.guild_id):
            continue
        names[each.user_id] = names.get(each.user_id) or each.user_name
        if place is not None:
            names[key] = place.name
        used = Used.by(each.usage)
        total.add(used)
        day = f"{each.at.astimezone(UTC):%Y-%m-%d}"
        for by, what in zip(_BY, (each.user_id, key, each.usage.model, each.persona, day), strict=True):
            tables[by][what].add(used)
    scope = "in this server" if channel.guild_id else "everywhere"
    text = [f"**Used {scope}** from {_stamp(since)} to {_stamp(until)}: {took(total)}."]
    if sum(day.answers for day in await store.spending("day", since, until)) > seen:
        text.append("There are too many answers to look at all of them: the oldest are not in this report.")
    text += filter(None, [unknown(total)])
    text += [bars(meter, f"at {_stamp(meter.until)}") for meter in quotas.meters(channel, None, ())]
    text += [_listed(by, tables[by], names, inert) for by in _BY if tables[by]]
    return "\n\n".join(text)


_BY = ("person", "channel", "model", "persona", "day")


def _listed(by: str, table: dict[str, Used], names: dict[str, str], inert: Callable[[str], str]) -> str:
    """One list of the report, the dearest first; days as they were."""
    rows = sorted(table.items())
    if by != "day":
        rows.sort(key=lambda row: (-row[1].cost_micros, -row[1].tokens, -row[1].answers))
    shown = rows[-_LONGEST:] if by == "day" else rows[:_LONGEST]
    lines = [f"- {inert(names.get(what) or what or 'unknown')}: {took(used)}" for what, used in shown]
    left = len(rows) - len(shown)
    return "\n".join([f"**By {by}**", *lines, *([f"- and {left:,} more"] if left else [])])


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class _Answered:
    """One answer that was given."""

    user_id: str
    """Who was answered; empty where nobody knows any more."""
    user_name: str
    """Empty where the question is gone."""
    channel_key: str
    persona: str
    at: datetime
    usage: Usage


async def _answers(store: Store, since: datetime, until: datetime) -> AsyncIterator[_Answered]:
    """The answers kept from `since` to before `until`, in no order, those that are gone for good included.

    `Store.spending` sums by one thing at a time; this is for sums by several. It looks through the newest messages
    until it has found every answer that the store counts, forty thousand at most: of more, the oldest
    are left out."""
    left = sum(day.answers for day in await store.spending("day", since, until))
    gone: set[str] = set()
    async for spent in _gone(store, since, until):
        gone.add(spent.id)
        left -= 1
        yield _Answered(spent.user_id, "", spent.channel_key, spent.persona, spent.at, spent.usage)
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


async def _answered(store: Store, answer: Message, question: Message | None) -> _Answered:
    assert answer.usage is not None
    where = question.origin if question else None
    if where is None:
        session = await store.session(answer.session_id)
        channel_key = session.channel.key if session else ""
    else:
        channel_key = where.rpartition(":")[0]
    sender = question.sender if question else None
    return _Answered(
        sender.id if sender else "",
        sender.name if sender else "",
        channel_key,
        answer.persona or "",
        answer.at,
        answer.usage,
    )
