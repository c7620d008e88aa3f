"""The verbs about memory for whoever runs a bot: what is asked as JSON, done by `Memories`, told as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from storage.backend import Store
from storage.durable import in_thread
from storage.forgetting import pages
from storage.model import Channel, Sender
from storage.records import Memory, Setting

from .audiences import BOT
from .errors import NotYours, ProviderError, TroupeError
from .index_files import discard, take_out
from .indexing import Indexing
from .memories import Memories, Scope
from .orders import answered
from .pauses import paused
from .providers import Provider
from .seeking import one_place
from .sessions import short
from .settings import BotSettings

Told = dict[str, JsonValue]
_ALIKE = 20
"""Memories alike that are looked at; what was replaced often bears an id like that of what holds now."""
_OPERATOR = Sender(type="system", id="operator", name="whoever runs the bot")
_ANYWHERE = Channel(front="terminal", id="operator", kind="terminal", name="operator")


class Given(BaseModel):
    """What a verb is given; each verb looks at what it needs."""

    model_config = ConfigDict(extra="forbid")
    memory: str = ""
    """The memory meant: its id, a beginning of it or of its last word, or words that stand in it alone."""
    text: str = ""
    """`list`: a part of it. `remember`, `correct`: what is true."""
    person: str = ""
    """`list`: whom it is about, by the user's id. `pause`, `resume`: whose."""
    channel: str = ""
    """`remember`: the place in which it may be told; left out, everywhere."""
    guild: bool = False
    """`remember`: everywhere in the channel's guild."""
    history: bool = False
    """`list`: what was replaced as well."""
    limit: int = Field(default=25, ge=1, le=1_000)


class MemoryOrders:
    """Does what is ordered by whoever may see everything. `indexing` is None where the bot rests or has no index."""

    def __init__(
        self, store: Store, memories: Memories, indexing: Indexing | None, anew: Callable[[], Awaitable[None]]
    ) -> None:
        """`anew` makes the index anew."""
        self._store, self._memories, self._indexing, self._anew = store, memories, indexing, anew
        self._verbs: dict[str, Callable[[Given], Awaitable[Told]]] = {
            "list": self._list,
            "remember": self._remember,
            "forget": self._forget,
            "correct": self._correct,
            "undo": self._undo,
            "pause": lambda given: self._pause(given, True),
            "resume": lambda given: self._pause(given, False),
            "report": self._report,
            "rebuild": self._rebuild,
        }

    async def do(self, verb: str, given: Mapping[str, Any]) -> Told:
        """Does one thing. Raises `TroupeError` with a sentence, and `StorageError`."""
        act = self._verbs.get(verb)
        if act is None:
            raise TroupeError(f"There is no order '{verb[:40]}' about memory; there are: {', '.join(self._verbs)}.")
        try:
            asked = Given.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise TroupeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
        return await act(asked)

    async def order(self, asked: Mapping[str, str], say: Callable[[str], Awaitable[None]]) -> None:
        """An order at the bot's own door: `verb`, and `given` as JSON. Tells the JSON of the answer in pieces, each a
        JSON string."""
        await answered("memory", self.do, asked, say)

    async def seek(
        self,
        *,
        text: str = "",
        person: str = "",
        audience: str = "",
        history: bool = False,
        cursor: str | None = None,
        limit: int,
    ) -> tuple[list[Memory], str | None]:
        """At most `limit` memories whose words hold a text, about a person and for an audience where they are named,
        the newest first; and the cursor of where to go on, None at the end. Raises `StorageError`."""
        wanted, found = text.strip().casefold(), list[Memory]()
        read = partial(self._store.records, Memory, about=f"user:{person}" if person else None)
        while True:
            page = await read(cursor=cursor)
            for number, each in enumerate(page.items, 1):
                if wanted in each.text.casefold() and audience in ("", each.audience):
                    found += await self._memories.in_sight([each], history=history)
                if len(found) == limit:
                    if number < len(page.items):
                        page = await read(cursor=cursor, limit=number)  # for where to go on
                    return found, page.older
            cursor = page.older
            if cursor is None:
                return found, None

    async def _list(self, given: Given) -> Told:
        found, older = await self.seek(text=given.text, person=given.person, history=given.history, limit=given.limit)
        return {"memories": [shown(each) for each in found], "more": older is not None}

    async def _remember(self, given: Given) -> Told:
        scope: Scope = "bot"
        place = _ANYWHERE
        if given.guild and not given.channel:
            raise TroupeError("Say which server, by one of its channels: `--guild` goes with `--channel`.")
        if given.channel:
            place, scope = await one_place(self._store, given.channel), "guild" if given.guild else "here"
        return shown(await self._memories.remember(given.text, _OPERATOR, place, scope, may_manage=True))

    async def _forget(self, given: Given) -> Told:
        id, by, place = await self._meant(given.memory)
        return shown(await self._memories.forget(id, by, place, may_manage=True))

    async def _correct(self, given: Given) -> Told:
        id, by, place = await self._meant(given.memory)
        return shown(await self._memories.correct(id, given.text, by, place, may_manage=True))

    async def _undo(self, given: Given) -> Told:
        id, by, place = await self._meant(given.memory)
        holding = await self._memories.undo(id, by, place, may_manage=True)
        return {"memories": [shown(each) for each in holding]}

    async def _pause(self, given: Given, on: bool) -> Told:
        if not given.person.strip():
            raise TroupeError("Say whose: the id of the user.")
        person = given.person.strip()
        act = self._memories.pause if on else self._memories.resume
        await act(person, _OPERATOR)
        known = await self._store.sessions_with(person, limit=1)
        return {"person": person, "paused": on, "known": bool(known.items)}

    async def _report(self, _given: Given) -> Told:
        report = await self._memories.report()
        told: Told = {
            "memories": report.memories,
            "history": report.history,
            "recalled": report.recalled,
            "share": round(report.share, 4),
            "types": {**report.types},
            "audiences": report.audiences,
            "calls": report.calls,
            "paused": await self._paused(),
        }
        if self._indexing is not None:
            progress = await self._indexing.progress()
            told["index"] = {
                "entries": progress.entries,
                "vectors_missing": progress.vectors_missing,
                "behind": progress.behind,
            }
        return told

    async def _paused(self) -> list[JsonValue]:
        found = list[JsonValue]()
        async for page in pages(lambda cursor: self._store.records(Setting, cursor=cursor)):
            found += [each.id.removeprefix("user:") for each in page if each.id.startswith("user:") and paused(each)]
        return found

    async def _rebuild(self, _given: Given) -> Told:
        await self._anew()
        return {"rebuilding": True}

    async def _meant(self, which: str) -> tuple[str, Sender, Channel]:
        """The id of the memory that is meant, on whose behalf, and where, it may be changed."""
        memory = await self._store.record(Memory, which) or await self._alike(which)
        return memory.id, *await self._whose(memory)

    async def _alike(self, which: str) -> Memory:
        """The only memory whose id begins like that; where none does, the only one that holds those words."""
        wanted = " ".join(which.split()).casefold()
        by_id, by_words = list[Memory](), list[Memory]()
        async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor)):
            if not wanted or len(by_id) >= _ALIKE:
                break
            named = [
                each for each in page if each.id.casefold().startswith(wanted) or handle(each.id).startswith(wanted)
            ]
            by_id += named[:_ALIKE]
            if len(by_words) < 2:
                held = [each for each in page if wanted in " ".join(each.text.split()).casefold()]
                by_words += await self._memories.in_sight(held[:_ALIKE])
        found = by_id or by_words
        if not found:
            raise NotYours(f"There is no memory '{which[:60]}': `troupe memory list` shows their ids.")
        holding = [each for each in found if each.superseded_by is None]
        if len(found) > 1 and len(holding) != 1:
            some = " and ".join(f'"{each.id}" ({short(each.text, 40)})' for each in found[:2])
            raise TroupeError(f"'{which[:60]}' may mean several memories, such as {some}: say more of one, or its id.")
        return found[0] if len(found) == 1 else holding[0]

    async def _whose(self, memory: Memory) -> tuple[Sender, Channel]:
        kind, _, name = memory.subject.partition(":")
        if kind == "user":
            return Sender(type="user", id=name, name=name), _ANYWHERE
        if memory.audience == BOT:
            return _OPERATOR, _ANYWHERE
        kind, _, name = memory.audience.partition(":")
        if kind in ("user", "asker"):
            return Sender(type="user", id=name, name=name), _ANYWHERE
        if kind == "guild":
            return _OPERATOR, _ANYWHERE.model_copy(update={"guild_id": name})
        return _OPERATOR, await self._store.channel(memory.audience) or _ANYWHERE


def handle(id: str) -> str:
    """A memory's id as people can type it: the last word of it."""
    return id.rpartition(" ")[2].casefold()


@asynccontextmanager
async def at_rest(bot: BotSettings, store: Store, now: Callable[[], datetime]) -> AsyncIterator[MemoryOrders]:
    """The orders of a bot that does not run, over its opened store. In the end what was forgotten is taken out of its
    index; what is new is found by the bot at its next start. Raises `StorageError`."""
    forgotten: list[str] = []

    async def anew() -> None:
        await in_thread(discard, bot.root)

    memories = Memories(
        store,
        settings=lambda: bot.memory,
        provider=_nobody,
        now=now,
        voices=lambda: bot.names,
        changed=lambda kept, gone: forgotten.extend(gone),
    )
    yield MemoryOrders(store, memories, None, anew)
    await take_out(bot.root, (), forgotten)


def _nobody() -> Provider:
    raise ProviderError("unavailable", "the bot does not run")


def shown(memory: Memory) -> Told:
    """A memory for programs."""
    return {
        "id": memory.id,
        "at": memory.at.isoformat(),
        "type": memory.type,
        "audience": memory.audience,
        "subject": memory.subject,
        "text": memory.text,
        "importance": memory.importance,
        "recalled": memory.access_count,
        "source": memory.source,
        "superseded_by": memory.superseded_by,
        "superseded_at": memory.superseded_at.isoformat() if memory.superseded_at else None,
    }
