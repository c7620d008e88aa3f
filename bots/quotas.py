"""How much may be used: budgets in answers, tokens and money, counted by the clock from what the store keeps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Literal, get_args

from storage.backend import ManyWriters, Store
from storage.model import Channel, Sender, Spending, Usage

from .access import HomeName, covers_person, covers_place, home
from .community_settings import Budget

Window = Literal["minute", "hour", "day", "month"]

_TOLD: tuple[Window, ...] = ("hour", "day", "month")
"""The windows that people are told of; a minute's budget holds back a rush and needs no word before that."""
_LEVELS = (50, 80)
"""Per cent of a budget at which people are told; from the last on, a cheaper model answers where one is named."""
_PAUSE = timedelta(minutes=10)
"""For how long nobody in a place is told again that a budget is used up."""
_ELSEWHERE = Channel(front="terminal", id="elsewhere", kind="terminal", name="")
"""No place in particular: there the bot's own budgets hold."""
_BUSIEST = 200
_AGAIN = timedelta(minutes=1)
"""How often what other processes used is taken in."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a question may be answered, and with what."""

    declined: str = ""
    """Why not, as a sentence for people that says when it works again; empty where it may be."""
    quiet: bool = False
    """Whether the same was said in this place a moment ago, so that a silent sign is enough now."""
    models: frozenset[str] | None = None
    """The models that may be asked; None is all."""
    notice: str = ""
    """What people are told ahead of the answer."""


@dataclass(slots=True)
class Used:
    """What answers took; those without a known price are in `unpriced` and cost nothing here."""

    answers: int = 0
    tokens: int = 0
    cost_micros: int = 0
    unpriced: int = 0

    def add(self, more: Used) -> None:
        self.answers += more.answers
        self.tokens += more.tokens
        self.cost_micros += more.cost_micros
        self.unpriced += more.unpriced

    @classmethod
    def by(cls, usage: Usage) -> Used:
        """What one answer took."""
        unpriced = usage.cost_micros is None
        return cls(1, usage.tokens_in + usage.tokens_out, usage.cost_micros or 0, int(unpriced))

    @classmethod
    def of(cls, spending: Spending) -> Used:
        """What several answers took together."""
        tokens = spending.tokens_in + spending.tokens_out
        return cls(spending.answers, tokens, spending.cost_micros, spending.unpriced)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of a budget's limits, and how much of it is used, in words."""

    share: float
    """The used part: 1.0 is all of it, and there may be more."""
    used: str
    most: str


@dataclass(frozen=True, slots=True)
class Meter:
    """How far one budget is used up by one holder, until the clock begins anew."""

    budget: Budget
    holder: str
    """A user's id, a channel's key, a guild's id, or nothing for the bot."""
    used: Used
    until: datetime

    @property
    def limits(self) -> list[Limit]:
        """Each limit of the budget."""
        used, budget = self.used, self.budget
        found = []
        if budget.messages is not None:
            share = used.answers / budget.messages
            found.append(Limit(share, f"{used.answers:,}", count(budget.messages, "answer")))
        if budget.tokens is not None:
            found.append(Limit(used.tokens / budget.tokens, f"{used.tokens:,}", count(budget.tokens, "token")))
        if budget.usd is not None:
            spent = used.cost_micros / 1_000_000
            found.append(Limit(spent / budget.usd, dollars(spent), dollars(budget.usd)))
        return found

    @property
    def nearest(self) -> Limit:
        """The limit that will be reached first."""
        return max(self.limits, key=lambda limit: limit.share)


@dataclass
class _Tally:
    """What was used in one window, by person and place."""

    since: datetime
    until: datetime
    people: dict[str, dict[str, Used]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Used)))
    """By user id and channel key."""
    places: dict[str, Used] = field(default_factory=lambda: defaultdict(Used))
    """By channel key."""
    warned: dict[tuple[Budget, str], int] = field(default_factory=dict)
    """The level that was last told, by budget and holder."""
    told: dict[tuple[Budget, str, str], datetime] = field(default_factory=dict)
    """When people last heard that it is used up, by budget, holder and channel."""

    def add(self, user_id: str, channel_key: str, used: Used) -> None:
        self.people[user_id][channel_key].add(used)
        self.places[channel_key].add(used)


class Quotas:
    """The budgets of one bot. `budgets` gives those in force in a channel.

    What was used is counted on from what the store tells at the start; what an ended window held is dropped. Answers
    are counted from when they are asked for, so that many questions at one moment get no more answers than there
    are; tokens and money are known only afterwards, so that questions under way may go beyond them. An answer that
    nobody knows the price of costs nothing. A thread counts as its channel."""

    def __init__(
        self,
        budgets: Callable[[Channel], Sequence[Budget]],
        store: Store,
        home_name: HomeName,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._budgets = budgets
        self._home_name = home_name
        self._store = store
        self._now = now
        self._tallies: dict[Window, _Tally] = {}
        self._under_way: Counter[tuple[str, str]] = Counter()
        """Answers asked for, by user id and channel key."""
        self._channels: dict[str, Channel] = {}
        self._counted: datetime | None = None

    async def start(self) -> None:
        """Counts what was used in the windows under way. Raises `StorageError`."""
        self._counted = now = self._now()
        tallies: dict[Window, _Tally] = {}
        for window in get_args(Window):
            tally = tallies[window] = _Tally(*bounds(window, now))
            for spending in await self._store.spending("seat", tally.since, tally.until):
                user_id, _, key = spending.key.partition("\n")
                tally.add(user_id, key, Used.of(spending))
        for key in tallies["month"].places.keys() - self._channels.keys():
            if channel := await self._store.channel(key):
                self._channels[key] = channel
        for window, tally in tallies.items():
            before = self._tallies.get(window)
            if before is not None and before.since == tally.since:
                tally.warned, tally.told = before.warned, before.told
        self._tallies = tallies

    async def refresh(self) -> None:
        """Takes in what other processes of the bot used, where there may be any, once a minute. An answer that is
        given meanwhile may count twice or not at all until the next time. Raises `StorageError`."""
        due = self._counted is None or self._now() - self._counted >= _AGAIN
        if due and isinstance(self._store, ManyWriters):
            await self.start()

    def ask(self, channel: Channel, sender: Sender, roles: Collection[str]) -> Verdict:
        """Whether a person with these roles (ids and names) may have an answer; if so, it is counted, and either
        `spent` or `undone` must follow."""
        full = self._full(channel, sender, roles)
        if full is not None:
            return Verdict(declined=self._refusal(full), quiet=self._told_lately(full, channel))
        self._under_way[sender.id, channel.key] += 1
        notices, cheaper = [], []
        for meter in self.meters(channel, sender, roles):
            level = max((level for level in _LEVELS if meter.nearest.share >= level / 100), default=0)
            if level == _LEVELS[-1] and meter.budget.cheaper:
                cheaper.append(meter)
            warned = self._tally(meter.budget.window).warned
            if meter.budget.window in _TOLD and level > warned.get((meter.budget, meter.holder), 0):
                warned[meter.budget, meter.holder] = level
                notices.append(self._warning(meter, level))
        nearest = max(cheaper, key=lambda meter: meter.nearest.share, default=None)
        models = frozenset((nearest.budget.cheaper or "",)) if nearest else None
        return Verdict(models=models, notice=" ".join(notices))

    def used_up(self, channel: Channel, sender: Sender, roles: Collection[str]) -> str:
        """What `ask` would decline with now; empty where it would not. Nothing is counted."""
        full = self._full(channel, sender, roles)
        return self._refusal(full) if full else ""

    def spent(self, channel: Channel, sender: Sender, usage: Usage | None) -> None:
        """Counts what an answer took that `ask` allowed. One whose usage nobody knows counts as an answer."""
        self.undone(channel, sender)
        used = Used.by(usage) if usage is not None else Used(answers=1)
        for window in get_args(Window):
            self._tally(window).add(sender.id, channel.key, used)
        self._channels[channel.key] = channel  # last, since a month that ends forgets channels

    def undone(self, channel: Channel, sender: Sender) -> None:
        """Gives back an answer that `ask` allowed and nobody gave."""
        self._under_way[sender.id, channel.key] -= 1
        if self._under_way[sender.id, channel.key] <= 0:
            del self._under_way[sender.id, channel.key]

    def meters(self, channel: Channel, sender: Sender | None, roles: Collection[str]) -> list[Meter]:
        """The budgets that hold a person with these roles in a channel, answers under way included; without a person
        those that everybody shares there."""
        self._channels[channel.key] = channel
        found = []
        for budget in self._budgets(channel):
            shared = budget.per != "user" and budget.user is None
            held = shared if sender is None else covers_person(budget, sender, roles)
            if (
                not held
                or not covers_place(budget, channel, self._home_name)
                or (budget.per == "guild" and channel.guild_id is None)
            ):
                continue
            holders = {"user": sender.id if sender else "", "channel": home(channel), "guild": channel.guild_id or ""}
            holder = holders.get(budget.per, "")
            tally = self._tally(budget.window)
            found.append(Meter(budget, holder, self._sum(budget, holder, tally), tally.until))
        return found

    def standing(self) -> list[Meter]:
        """Every budget by everybody who used some of it in its window, the fullest first; those of the whole bot also
        unused. Whoever holds one by a role is left out: who has which roles is known only where they speak. Of places
        the busiest count."""
        found: dict[tuple[Budget, str], Meter] = {}
        for channel in (_ELSEWHERE, *self._busiest()):
            for budget in self._budgets(channel):
                tally = self._tally(budget.window)
                for holder in self._holders(budget, channel, tally):
                    if (budget, holder) not in found:
                        used = self._sum(budget, holder, tally)
                        found[budget, holder] = Meter(budget, holder, used, tally.until)
        return sorted(found.values(), key=lambda meter: meter.nearest.share, reverse=True)

    def _busiest(self) -> list[Channel]:
        places = self._tally("month").places
        keys = sorted(places, key=lambda key: places[key].answers, reverse=True)
        return [self._channels[key] for key in keys[:_BUSIEST] if key in self._channels]

    def _holders(self, budget: Budget, channel: Channel, tally: _Tally) -> list[str]:
        """Who uses a budget in a channel."""
        if budget.per == "bot":
            return [] if budget.role else [""]
        if channel.key not in tally.places or not covers_place(budget, channel, self._home_name):
            return []
        if budget.per == "user":
            people = [id for id, places in tally.people.items() if channel.key in places]
            return [id for id in people if budget.role is None and budget.user in (None, id)]
        holder = home(channel) if budget.per == "channel" else channel.guild_id
        return [holder] if holder and budget.role is None else []

    def used(self, user_id: str) -> dict[Window, Used]:
        """What a person used everywhere in the hour, day and month under way."""
        sums: dict[Window, Used] = {}
        for window in _TOLD:
            sums[window] = Used()
            for used in self._tally(window).people.get(user_id, {}).values():
                sums[window].add(used)
        return sums

    def _sum(self, budget: Budget, holder: str, tally: _Tally) -> Used:
        """What a budget's holder used of it."""
        user_id = holder if budget.per == "user" else budget.user
        rows = tally.places if user_id is None else tally.people.get(user_id, {})
        total = Used()
        for key, used in rows.items():
            if self._counts(budget, holder, key):
                total.add(used)
        for (asker, key), number in self._under_way.items():
            if user_id in (None, asker) and self._counts(budget, holder, key):
                total.answers += number
        return total

    def _counts(self, budget: Budget, holder: str, key: str) -> bool:
        """Whether what was used in a channel counts for a budget's holder."""
        channel = self._channels.get(key)
        if channel is None:
            return budget.per in ("user", "bot") and budget.guild is None and budget.channel is None
        if budget.per == "channel" and home(channel) != holder:
            return False
        if budget.per == "guild" and channel.guild_id != holder:
            return False
        return covers_place(budget, channel, self._home_name)

    def _tally(self, window: Window) -> _Tally:
        now = self._now()
        tally = self._tallies.get(window)
        if tally is None or now >= tally.until:
            if window == "month":
                self._channels = {key: self._channels[key] for _, key in self._under_way if key in self._channels}
            tally = self._tallies[window] = _Tally(*bounds(window, now))
        return tally

    def _full(self, channel: Channel, sender: Sender, roles: Collection[str]) -> Meter | None:
        """Of the budgets that are used up, the one that begins anew last."""
        full = [meter for meter in self.meters(channel, sender, roles) if meter.nearest.share >= 1]
        return max(full, key=lambda meter: meter.until, default=None)

    def _told_lately(self, meter: Meter, channel: Channel) -> bool:
        """Whether people in a channel heard it a moment ago; from now on they have."""
        now = self._now()
        told = self._tally(meter.budget.window).told
        key = (meter.budget, meter.holder, channel.key)
        quiet = key in told and now - told[key] < _PAUSE
        if not quiet:
            told[key] = now
        return quiet

    def _refusal(self, meter: Meter) -> str:
        who, whose = _HOLDERS[meter.budget.per]
        text = f"{who} used up {whose} {meter.nearest.most} for {span(meter.budget)}; I can answer again "
        return f"{text}{again(meter.until, self._now())}."

    def _warning(self, meter: Meter, level: int) -> str:
        who, whose = _HOLDERS[meter.budget.per]
        percent = min(100, int(meter.nearest.share * 100 + 1e-9))
        text = f"{who} used {percent} % of {whose} {meter.nearest.most} for {span(meter.budget)}"
        if level == _LEVELS[-1] and meter.budget.cheaper and meter.nearest.share < 1:
            text += f", so {meter.budget.cheaper} answers from now on"
        return f"{text}; it begins anew {again(meter.until, self._now())}."


_HOLDERS = {
    "user": ("You have", "your"),
    "channel": ("This channel has", "its"),
    "guild": ("This server has", "its"),
    "bot": ("I have", "my"),
}
SPANS: dict[Window, str] = {"minute": "this minute", "hour": "this hour", "day": "today", "month": "this month"}


def span(budget: Budget) -> str:
    """The span of time a budget is for, and whether it holds only in some places."""
    here = " here" if budget.per in ("user", "bot") and (budget.guild or budget.channel) else ""
    return SPANS[budget.window] + here


def bounds(window: Window, now: datetime) -> tuple[datetime, datetime]:
    """From when until when the window of a time lasts; `now` is in UTC."""
    minute = now.replace(second=0, microsecond=0)
    if window == "minute":
        return minute, minute + timedelta(minutes=1)
    hour = minute.replace(minute=0)
    if window == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if window == "day":
        return day, day + timedelta(days=1)
    month = day.replace(day=1)
    return month, (month + timedelta(days=32)).replace(day=1)


def again(until: datetime, now: datetime) -> str:
    """When something works again: `at 14:00 UTC, in 25 minutes`."""
    minutes = max(1, ceil((until - now).total_seconds() / 60))
    if minutes < 60:
        return f"at {until:%H:%M} UTC, in {count(minutes, 'minute')}"
    if minutes <= 24 * 60:
        return f"at {until:%H:%M} UTC, in {count(ceil(minutes / 60), 'hour')}"
    return f"on {until.day} {until:%B} at {until:%H:%M} UTC, in {count(ceil(minutes / 1440), 'day')}"


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def dollars(amount: float) -> str:
    """US dollars, to the cent, or finer where cents would show nothing."""
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.01 else f"${amount:.6f}".rstrip("0")
