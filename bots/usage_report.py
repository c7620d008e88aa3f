"""Who used what, in words: bars for people, and a report for those who pay."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime

from storage.backend import Store
from storage.model import Channel

from .quotas import Meter, Quotas, Used, count, dollars, span
from .spending import answers

_LONGEST = 20
"""Lines of one list of the report."""
_BAR = 10
_WHOSE = {"user": "Yours", "channel": "This channel's", "guild": "This server's", "bot": "The bot's"}


def took(used: Used) -> str:
    """What answers took: `3 answers, 1,234 tokens, $0.02`."""
    text = f"{count(used.answers, 'answer')}, {count(used.tokens, 'token')}, {dollars(used.cost_micros / 1_000_000)}"
    return f"{text} (and {count(used.unpriced, 'answer')} of unknown price)" if used.unpriced else text


def bars(meter: Meter, until: str) -> str:
    """One budget as lines, a bar for each limit; `until` says when it begins anew."""
    head = f"{_WHOSE[meter.budget.per]}, for {span(meter.budget)}; it begins anew {until}."
    return "\n".join([head, *(f"`{_bar(limit.share)}` {limit.used} of {limit.most}" for limit in meter.limits)])


def _bar(share: float) -> str:
    # Empty and full are said only of what is.
    full = min(_BAR, int(share * _BAR)) or int(share > 0)
    return "█" * full + "░" * (_BAR - full)


async def usage_report(store: Store, quotas: Quotas, channel: Channel, since: datetime, until: datetime) -> str:
    """What was used from `since` to before `until`, by person, channel, model, persona and day, as Markdown, after the
    budgets that everybody shares in a channel. In a guild it tells of that guild alone, elsewhere of the whole bot.
    Names are inert. Raises `StorageError`."""
    tables: dict[str, defaultdict[str, Used]] = {by: defaultdict(Used) for by in _BY}
    total, seen = Used(), 0
    names: dict[str, str] = {}
    places: dict[str, Channel | None] = {}
    async for each in answers(store, since, until):
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
    if missing := sum(day.answers for day in await store.spending("day", since, until)) - seen:
        text.append(f"There are too many answers to look at: the oldest {missing:,} are not in this report.")
    text += [bars(meter, f"at {_stamp(meter.until)}") for meter in quotas.meters(channel, None, ())]
    text += [_listed(by, tables[by], names) for by in _BY if tables[by]]
    return "\n\n".join(text)


_BY = ("person", "channel", "model", "persona", "day")


def _listed(by: str, table: dict[str, Used], names: dict[str, str]) -> str:
    """One list of the report, the dearest first; days as they were."""
    rows = sorted(table.items())
    if by != "day":
        rows.sort(key=lambda row: (-row[1].cost_micros, -row[1].tokens, -row[1].answers))
    shown = rows[-_LONGEST:] if by == "day" else rows[:_LONGEST]
    lines = [f"- {_inert(names.get(what) or what or 'unknown')}: {took(used)}" for what, used in shown]
    left = len(rows) - len(shown)
    return "\n".join([f"**By {by}**", *lines, *([f"- and {left:,} more"] if left else [])])


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _inert(name: str) -> str:
    """A name that people chose, so that it cannot look like anything else."""
    return re.sub(r"([\\`*_~|<>\[\]()#@])", r"\\\1", " ".join(name.split()))
