"""What is due for removal, by age, count, size and kind, and why."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from .backend import OLDEST, Store
from .model import Channel, ChannelKind, Message, Session
from .records import AuditEntry, Memory, Record, Run, Setting, Template

PAGE = 200
MESSAGES_AT_ONCE = 500
"""What one removal takes at most: a turn that wants to be kept waits behind it."""
LISTED = 5_000
"""The most deleted messages, and sessions, that a dry run lists: they are known by their beginning only."""
TAKEN = datetime(1970, 1, 1, tzinfo=UTC)
"""The `deleted_at` of a session that is being removed, archived before if it was to be: no person deletes one before
it began. Where the removal was cut off, the rest is due at once and first of all, whatever the rules say."""
LEFT = "left_guild"
"""The type of the `Run` that waits for the end of a guild's time, `at` when the bot left it: `guild_id` is its data."""
Aged = Literal["memory", "run", "audit"]
AGED: dict[Aged, type[Record]] = {"memory": Memory, "run": Run, "audit": AuditEntry}


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of the talk in one kind of channel stays; None is no limit."""

    age: timedelta | None = None
    """Since a person last spoke in the session."""
    messages: int | None = None
    """In one channel."""
    size: int | None = None
    """Bytes of words in one channel."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What stays for how long; None is for ever."""

    channel: Limit = Limit()
    thread: Limit = Limit()
    dm: Limit = Limit()
    web: Limit = Limit()
    terminal: Limit = Limit()
    deleted: timedelta | None = None
    """What people have deleted, starred, pinned or not: their word is the last."""
    attachments: timedelta | None = None
    """Files that no message refers to, from when that was first seen."""
    memories: timedelta | None = None
    runs: timedelta | None = None
    audit: timedelta | None = None
    left_guild: timedelta | None = None
    """Everything of a guild, open, starred, pinned or not, from when the bot left it."""

    def limit(self, kind: ChannelKind) -> Limit:
        limits: dict[ChannelKind, Limit] = {
            "channel": self.channel,
            "thread": self.thread,
            "dm": self.dm,
            "web": self.web,
            "terminal": self.terminal,
        }
        return limits[kind]


@dataclass(frozen=True, slots=True)
class Due:
    """One thing that is due, and why."""

    kind: Literal["session", "message", "channel", "memory", "run", "setting", "template", "audit", "file"]
    id: str
    why: str
    messages: int = 0
    bytes: int = 0
    """Of words, or of a file."""
    channel: str = ""
    """The channel's safe name."""
    session: Session | None = field(default=None, repr=False)
    """A session as it was found."""
    within: str = ""
    """The id of the session of a message."""
    final: bool = False
    """Whether a session goes whatever is pinned in it, and is not archived."""


@dataclass(slots=True)
class Total:
    """How much of one kind."""

    items: int = 0
    messages: int = 0
    bytes: int = 0


async def stretches(
    store: Store, rules: Rules, now: datetime, *, removing: bool
) -> AsyncGenerator[Sequence[Due], None]:
    """Everything in the store that is due, things of one kind, some at a time: what people deleted, then guilds that
    the bot left, then of each channel the oldest sessions first, then records. Open and starred sessions, and those
    that hold a pinned message, are counted and never due, but where the bot left. When `removing`, each stretch is
    gone before the next is asked for, else at most `LISTED` deleted things of a kind are found."""
    before, limit = TAKEN + timedelta(seconds=1), ""
    if rules.deleted is not None:
        before, limit = now - rules.deleted, f"and {spell(rules.deleted)} is the limit"
        async for messages in _deleted_messages(store, before, limit, removing):
            yield messages
    async for sessions in _deleted_sessions(store, before, limit, removing):
        yield sessions
    if rules.left_guild is not None:
        limit = f"and {spell(rules.left_guild)} is the limit"
        async for things in _left_guilds(store, now - rules.left_guild, limit, removing):
            yield things
    after: str | None = ""
    while after is not None:
        channels = await store.channels(after, PAGE)
        for channel in channels:
            async for sessions in _sessions(store, channel, rules.limit(channel.kind), now):
                yield sessions
        after = channels[-1].key if channels else None
    ages: dict[Aged, timedelta | None] = {"memory": rules.memories, "run": rules.runs, "audit": rules.audit}
    for kind, age in ages.items():
        if age is not None:
            async for records in _records(store, kind, now - age, f"and {spell(age)} is the limit"):
                yield records


async def _deleted_messages(
    store: Store, before: datetime, limit: str, removing: bool
) -> AsyncGenerator[list[Due], None]:
    first = ""
    while found := await store.deleted_messages(before, MESSAGES_AT_ONCE if removing else LISTED):
        if found[0].id == first:  # it would not go: another time, rather than for ever
            return
        first = found[0].id
        yield [_message(message, f"it was deleted on {_day(message.deleted_at)}, {limit}") for message in found]
        if not removing:
            return


def _message(message: Message, why: str) -> Due:
    return Due("message", message.id, why, messages=1, bytes=len(message.text.encode()), within=message.session_id)


async def _deleted_sessions(
    store: Store, before: datetime, limit: str, removing: bool
) -> AsyncGenerator[list[Due], None]:
    first = ""
    while found := await store.deleted_sessions(before, PAGE if removing else LISTED):
        if found[0].id == first:  # as above
            return
        first = found[0].id
        sizes = await store.sizes([each.id for each in found])
        yield [_session(each, _why_gone(each, limit), sizes) for each in found]
        if not removing:
            return


def _why_gone(session: Session, limit: str) -> str:
    if session.deleted_at == TAKEN:
        return "its removal was cut off, and this is what is left of it"
    return f"it was deleted on {_day(session.deleted_at)}, {limit}"


def _session(session: Session, why: str, sizes: dict[str, int]) -> Due:
    return Due(
        "session",
        session.id,
        why,
        messages=session.message_count,
        bytes=sizes.get(session.id, 0),
        channel=session.channel.safe_name,
        session=session,
    )


async def _left_guilds(store: Store, before: datetime, limit: str, removing: bool) -> AsyncGenerator[list[Due], None]:
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.records(Run, cursor=cursor, limit=PAGE)
        for run in page.items[::-1]:
            if run.type == LEFT and run.at < before:
                why = f"the bot left its guild on {_day(run.at)}, {limit}"
                async with aclosing(_left_guild(store, run, why, removing)) as stretches_of_it:
                    async for things in stretches_of_it:
                        if await store.record(Run, run.id) is None:  # the bot is back there
                            break
                        yield things
        cursor = page.newer


async def _left_guild(store: Store, run: Run, why: str, removing: bool) -> AsyncGenerator[list[Due], None]:
    """Everything of a guild: each channel's sessions, then the channel, what may be told there, what was set there; in
    the end that it was left, unless something would not go."""
    guild = f"guild:{run.data.get('guild_id')}"
    audiences, after, stays = {guild}, "", False
    while channels := await store.channels(after, PAGE):
        for channel in (each for each in channels if f"guild:{each.guild_id}" == guild):
            audiences.add(channel.key)
            cursor: str | None = OLDEST
            while cursor is not None:
                page = await store.browse(channel.key, cursor=cursor, limit=PAGE, deleted=True)
                sizes = await store.sizes([each.id for each in page.items])
                if page.items:
                    yield [replace(_session(each, why, sizes), final=True) for each in page.items]
                cursor = page.newer
            yield [Due("channel", channel.key, why, channel=channel.safe_name)]
            stays |= removing and await store.channel(channel.key) is not None
        after = channels[-1].key
    cursor = OLDEST
    while cursor is not None:
        memories = await store.records(Memory, cursor=cursor, limit=PAGE)
        if theirs := [Due("memory", each.id, why) for each in memories.items if each.audience in audiences]:
            yield theirs
        cursor = memories.newer
    set_there = [id for id in (guild, *(f"channel:{key}" for key in audiences)) if await store.record(Setting, id)]
    if set_there:
        yield [Due("setting", id, why) for id in set_there]
    cursor = OLDEST
    while cursor is not None:
        templates = await store.records(Template, cursor=cursor, limit=PAGE)
        if offered := [Due("template", each.id, why) for each in templates.items if each.audience in audiences]:
            yield offered
        cursor = templates.newer
    if not stays:
        yield [Due("run", run.id, why)]


async def _sessions(store: Store, channel: Channel, limit: Limit, now: datetime) -> AsyncGenerator[list[Due], None]:
    """A channel's sessions that are over a limit. What a session and all newer ones add up to only falls from one to
    the next, and their age as well: the first that is within the limits ends the walk."""
    if limit == Limit():
        return
    left = await _together(store, channel, limit)
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.browse(channel.key, cursor=cursor, limit=PAGE)
        sizes = await _sizes(store, page.items, limit)
        over: list[tuple[Session, str]] = []
        for session in page.items[::-1]:
            why = _why(session, limit, left, now)
            if why is None:
                break
            over.append((session, why))
            left.messages -= session.message_count
            left.bytes -= sizes.get(session.id, 0)
        may = [(session, why) for session, why in over if session.closed_at is not None and not session.starred]
        ids = [session.id for session, _ in may]
        pinned = await store.pinned(ids) if ids else set()
        sizes = sizes or (await store.sizes(ids) if ids else {})
        if going := [_session(session, why, sizes) for session, why in may if session.id not in pinned]:
            yield going
        cursor = page.newer if len(over) == len(page.items) else None


async def _together(store: Store, channel: Channel, limit: Limit) -> Total:
    """What all the channel's sessions add up to; not counted where no limit asks."""
    total = Total()
    cursor: str | None = OLDEST if limit.messages is not None or limit.size is not None else None
    while cursor is not None:
        page = await store.browse(channel.key, cursor=cursor, limit=PAGE)
        total.messages += sum(session.message_count for session in page.items)
        total.bytes += sum((await _sizes(store, page.items, limit)).values())
        cursor = page.newer
    return total


async def _sizes(store: Store, sessions: Sequence[Session], limit: Limit) -> dict[str, int]:
    return await store.sizes([session.id for session in sessions]) if sessions and limit.size is not None else {}


def _why(session: Session, limit: Limit, left: Total, now: datetime) -> str | None:
    """Why it is over the limit; `left` is what it and all newer ones of its channel add up to."""
    if limit.age is not None and now - session.last_at > limit.age:
        return f"nobody has spoken in it since {_day(session.last_at)}, and {spell(limit.age)} is the limit"
    if limit.messages is not None and left.messages > limit.messages:
        return f"with all that is newer its channel has {left.messages:,} messages, and {limit.messages:,} is the limit"
    if limit.size is not None and left.bytes > limit.size:
        return f"with all that is newer its channel has {amount(left.bytes)}, and {amount(limit.size)} is the limit"
    return None


async def _records(store: Store, kind: Aged, before: datetime, limit: str) -> AsyncGenerator[list[Due], None]:
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.records(AGED[kind], cursor=cursor, limit=PAGE)
        old = [record for record in page.items[::-1] if record.at < before]
        # That a guild was left must be known until its time is over.
        going = [each for each in old if not (isinstance(each, Run) and each.type == LEFT)]
        if going:
            yield [
                Due(kind, each.id, f"it is from {_day(each.at)}, {limit}", bytes=len(each.model_dump_json()))
                for each in going
            ]
        cursor = page.newer if len(old) == len(page.items) else None


def spell(span: timedelta) -> str:
    """A span of time as people say it: `90 days`."""
    seconds = span.total_seconds()
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60))
    name, size = next((unit for unit in units if seconds % unit[1] == 0), ("second", 1))
    return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"


def amount(size: int) -> str:
    """Bytes as people say them: `1.5 MiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:.4g} {unit}"
    return f"{size} bytes"


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else ""
