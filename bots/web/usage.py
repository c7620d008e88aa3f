"""Who used what, and what is left of the budgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from storage.model import Spending

from ..known_names import people_named, places_named
from ..quotas import Meter, Used
from .callers import Admin, Reader
from .desk import At, Desk
from .problems import WebError

router = APIRouter(prefix="/api", tags=["usage"])

By = Literal["day", "user", "channel", "persona", "model"]
_USUALLY = timedelta(days=30)


class SpentShown(BaseModel):
    """What answers took together. Money is in millionths of a dollar."""

    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    """Answers whose price is not known, and so not in `cost_micros`."""


class RowShown(SpentShown):
    """What answers took over one day, person, channel, persona or model."""

    key: str
    name: str
    """For people; the key where nobody knows better."""


class UsageShown(BaseModel):
    """What was used from one time to before another."""

    by: By
    since: datetime
    until: datetime
    items: list[RowShown]
    """Days in their order, the rest with the dearest first."""
    total: SpentShown


@router.get("/usage")
async def usage(
    desk: At,
    caller: Admin,
    by: By = "day",
    since: Annotated[AwareDatetime | None, Query()] = None,
    until: Annotated[AwareDatetime | None, Query()] = None,
) -> UsageShown:
    """What answers took, by day, person, channel, persona or model; of the last thirty days unless said otherwise."""
    try:
        end = (until or desk.now()).astimezone(UTC)
        begin = since.astimezone(UTC) if since else end - _USUALLY
    except OverflowError as error:
        raise WebError("Those times are beyond all calendars.") from error
    if begin >= end:
        raise WebError("`since` has to be before `until`.")
    found = await desk.store.spending(by, begin, end)
    names = await _names(desk, by, [each.key for each in found])
    rows = [RowShown(**each.model_dump(), name=names.get(each.key) or each.key) for each in found]
    if by != "day":
        rows.sort(key=lambda row: (-row.cost_micros, -(row.tokens_in + row.tokens_out), row.key))
    return UsageShown(by=by, since=begin, until=end, items=rows, total=_total(found))


def _total(found: list[Spending]) -> SpentShown:
    sums = {name: sum(getattr(each, name) for each in found) for name in SpentShown.model_fields}
    return SpentShown(**sums)


async def _names(desk: Desk, by: By, keys: list[str]) -> dict[str, str]:
    if by == "user":
        return await people_named(desk.store, keys)
    if by == "channel":
        return {key: channel.name for key, channel in (await places_named(desk.store, keys)).items()}
    if by == "persona":
        return {each.name: each.display for each in desk.settings.personas}
    return {}


class UsedShown(BaseModel):
    """What somebody used in a span of time."""

    answers: int
    tokens: int
    cost_micros: int
    unpriced: int

    @classmethod
    def of(cls, used: Used) -> UsedShown:
        """As it was counted."""
        return cls(answers=used.answers, tokens=used.tokens, cost_micros=used.cost_micros, unpriced=used.unpriced)


class LimitShown(BaseModel):
    """One limit of a budget."""

    of: Literal["answers", "tokens", "usd"]
    used: float
    most: float
    share: float
    """The used part: 1 is all of it, and there may be more."""


class MeterShown(BaseModel):
    """How far one budget is used up by one holder, until the clock begins anew."""

    per: Literal["user", "channel", "guild", "bot"]
    window: Literal["minute", "hour", "day", "month"]
    holder: str
    """A user's id, a channel's key, a guild's id, or nothing for the bot."""
    name: str
    until: datetime
    share: float
    """Of the limit that will be reached first."""
    limits: list[LimitShown]
    cheaper: str | None
    """The model that answers once most of it is used."""


class MineShown(BaseModel):
    """What whoever asks has used, and what is left for them here."""

    windows: dict[Literal["minute", "hour", "day", "month"], UsedShown]
    budgets: list[MeterShown]


@router.get("/usage/mine")
async def mine(desk: At, caller: Reader) -> MineShown:
    """What one used oneself in the hour, day and month under way, and what is left of the budgets here. Of what
    everybody uses together only the part that is gone is told."""
    quotas = desk.bot.quotas
    meters = quotas.meters(caller.channel, caller.person, ())
    used = quotas.used(caller.person.id)
    shown = [_meter(each, caller.person.name if each.holder == caller.person.id else "") for each in meters]
    for each in shown:
        if each.per == "bot" and not caller.may("admin"):
            each.limits = []
    return MineShown(windows={window: UsedShown.of(each) for window, each in used.items()}, budgets=shown)


class BudgetsShown(BaseModel):
    """Every budget in use, the fullest first."""

    items: list[MeterShown]


@router.get("/budgets")
async def budgets(desk: At, caller: Admin) -> BudgetsShown:
    """What is left of every budget that somebody used some of; of people, channels and guilds."""
    meters = desk.bot.quotas.standing()
    people = await people_named(desk.store, [each.holder for each in meters if each.budget.per == "user"])
    places = await places_named(desk.store, [each.holder for each in meters if each.budget.per == "channel"])
    names = people | {key: channel.name for key, channel in places.items()}
    return BudgetsShown(items=[_meter(each, names.get(each.holder, each.holder)) for each in meters])


def _meter(meter: Meter, name: str) -> MeterShown:
    budget, used = meter.budget, meter.used
    limits = [
        LimitShown(of=of, used=many, most=most, share=many / most)
        for of, many, most in (
            ("answers", used.answers, budget.messages),
            ("tokens", used.tokens, budget.tokens),
            ("usd", used.cost_micros / 1_000_000, budget.usd),
        )
        if most is not None
    ]
    return MeterShown(
        per=budget.per,
        window=budget.window,
        holder=meter.holder,
        name=name,
        until=meter.until,
        share=meter.nearest.share,
        limits=limits,
        cheaper=budget.cheaper,
    )
