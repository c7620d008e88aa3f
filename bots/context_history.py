"""What the sessions of a place were about, for those who ask: what did we talk about last week?"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.backend import OLDEST, Store
from storage.model import Session
from storage.records import Setting

from .pauses import in_pause, unpaused
from .sessions import short

_MOST = 5
_READ = 50
"""Sessions that are told of, and those among which they are looked for."""
_LETTERS = 400


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time that somebody asks about; without a beginning whatever was last."""

    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Earlier:
    """A session, and what it was about: words of people."""

    session: Session
    about: str


def asked_about(question: str, now: datetime) -> Stretch | None:
    """The time whose talk a question asks about; None where it asks about something else."""
    if not _ASKED.search(question):
        return None
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for pattern, first, days in _SPANS:
        if pattern.search(question):
            return Stretch(day - timedelta(days=first), day - timedelta(days=first - days))
    if match := _AGO.search(question):
        count = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}.get(match[1].lower()) or int(match[1])
        days = min(count, 1_000) * {"day": 1, "week": 7, "month": 30}[match[2].lower()]
        wide = {"day": 1, "week": 4, "month": 16}[match[2].lower()]
        return Stretch(day - timedelta(days=days + wide - 1), day - timedelta(days=days - wide))
    if match := _WEEKDAY.search(question):
        back = (now.weekday() - _DAYS.index(match[1].lower()[:3])) % 7 or 7
        return Stretch(day - timedelta(days=back), day - timedelta(days=back - 1))
    return Stretch(None, now)


async def earlier(
    store: Store, channel_keys: Collection[str], stretch: Stretch, *, but: Collection[str] = ()
) -> list[Earlier]:
    """The few latest sessions of these channels in a stretch of time, the latest first, without those in `but`.
    Raises `StorageError`."""
    found: list[Session] = []
    for key in channel_keys:
        page = await store.browse(key, limit=_READ)
        found += [each for each in page.items if each.id not in but and _within(each, stretch)]
    found.sort(key=lambda each: each.last_at, reverse=True)
    told = [Earlier(each, await _about(store, each)) for each in found[:_MOST]]
    return [each for each in told if each.about]


def _within(session: Session, stretch: Stretch) -> bool:
    lasted = stretch.since is None or session.last_at >= stretch.since
    return lasted and session.opened_at < stretch.until


async def _about(store: Store, session: Session) -> str:
    """Its title and summary, or else its first words, without what somebody said in a pause of theirs."""
    people = [who.id for who in session.participants if who.type == "user"]
    settings = [await store.record(Setting, f"user:{id}") for id in people]
    whole = not any(in_pause(each, session.opened_at, session.last_at) for each in settings)
    told = ". ".join(filter(None, (session.title, session.context.summary if whole else "")))
    if told:
        return short(told, _LETTERS)
    page = await store.read(session.id, cursor=OLDEST, limit=10)
    said = await unpaused(store, (line for line in page.items if line.role == "user" and line.words.strip()))
    return short(said[0].words, _LETTERS) if said else ""


_PEOPLE = r"(?:we|i|you and (?:i|me)|they|people|everybody|everyone|you guys|you all)"
_TALKED = r"(?:talk|discuss|sp[eo]ak|spoke|spoken|chat|cover|decid|say|said|do|did|done|work|plan|agree)\w*"
_ASKED = re.compile(
    rf"\bwhat (?:did|have|had|were|was) {_PEOPLE} (?:all |just |last |actually )?(?:been )?{_TALKED}\b(?! (?:you|me)\b)"
    rf"|\bwhat (?:was|were) (?:our|the|my) (?:last|previous|earlier) (?:conversation|chat|session|talk|discussion)"
    rf"|\bremind (?:me|us) (?:of )?what {_PEOPLE}\b"
    rf"|\bwhere (?:did|were) we (?:leave off|left off|stop|stopped)\b"
    rf"|\b(?:what (?:did|have) i miss(?:ed)?|catch me up|what happened (?:here|while|yesterday|last|on|this|today))\b",
    re.IGNORECASE,
)
_SPANS = (
    (re.compile(r"\bday before yesterday\b", re.IGNORECASE), 2, 1),
    (re.compile(r"\b(?:yesterday|last (?:night|evening))\b", re.IGNORECASE), 1, 1),
    (re.compile(r"\b(?:today|this (?:morning|afternoon|evening))\b", re.IGNORECASE), 0, 1),
    (re.compile(r"\bthis week\b", re.IGNORECASE), 6, 7),
    (re.compile(r"\blast week(?:end)?\b", re.IGNORECASE), 13, 13),
    (re.compile(r"\bthis month\b", re.IGNORECASE), 30, 31),
    (re.compile(r"\blast month\b", re.IGNORECASE), 61, 61),
)
"""Words for a stretch of days: how many days back it begins, and how many it lasts."""
_AGO = re.compile(r"\b(a|an|one|two|three|\d{1,4}) (day|week|month)s? ago\b", re.IGNORECASE)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(r"\b(?:on|last) (mon|tues|wednes|thurs|fri|satur|sun)day\b", re.IGNORECASE)
