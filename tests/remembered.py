"""Lines, facts and memories over a store as tests need them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import storage
from bots.errors import ProviderError
from bots.memories import Memories
from bots.memory_settings import MemorySettings
from bots.providers import Chunk, Prompt
from storage.backend import Store
from storage.model import Channel, Message, Sender, Session, Text, Usage
from storage.records import Memory

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROOM = Channel(front="discord", id="10", kind="channel", name="general", guild_id="g1")
OTHER = Channel(front="discord", id="11", kind="channel", name="other", guild_id="g1")
ANA, BEN, CAI = (Sender(type="user", id=f"id-{name}", name=name) for name in ("Ana", "Ben", "Cai"))


def dm(person: Sender) -> Channel:
    """A place where one person is alone with the bot."""
    return Channel(front="discord", id=f"dm-{person.id}", kind="dm", name=person.name, parent_id=person.id)


def line(
    text: str, who: Sender = ANA, at: datetime = START, *, id: str = "m1", session: str = "s1", **more: Any
) -> Message:
    return Message(id=id, session_id=session, role="user", sender=who, parts=(Text(text=text),), at=at, **more)


class Noting:
    """A model that gives the answers it was given in turn, the last one again and again; `fails` instead where set."""

    model = "noting"

    def __init__(self, *answers: str, fails: bool = False, name: str = "openai") -> None:
        self.name, self.answers, self.fails = name, list(answers), fails
        self.prompts: list[Prompt] = []

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        self.prompts.append(prompt)
        if self.fails:
            raise ProviderError("unavailable", "out of reach")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for at in range(0, len(answer), 50):
            yield Chunk(answer[at : at + 50])
        yield Chunk(usage=Usage(provider="openai", model="noting", tokens_in=100, tokens_out=10, cost_micros=7))

    async def close(self) -> None:
        """There is nothing to let go of."""


@dataclass
class Mind:
    """A store in memory, a clock, and the memories over them."""

    store: Store
    model: Noting
    settings: MemorySettings
    at: datetime = START
    kept: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.memories = self.again()

    def again(self) -> Memories:
        """The same after a restart: nothing but the store is the same."""

        def changed(kept: Sequence[Memory], gone: Sequence[str]) -> None:
            self.kept += [each.id for each in kept]
            self.gone += gone

        return Memories(
            self.store,
            settings=lambda: self.settings,
            provider=lambda: self.model,
            now=lambda: self.at,
            voices=lambda: ("Sage",),
            changed=changed,
        )

    async def said(self, *lines: tuple[Sender, str], where: Channel = ROOM, close: bool = True) -> Session:
        """A session in which people say these things, a minute apart."""
        self._number += 1
        session = Session(id=f"s{self._number}", channel=where, opened_at=self.at, last_at=self.at)
        return await self.more(session, *lines, close=close)

    async def more(self, session: Session, *lines: tuple[Sender, str], close: bool = True) -> Session:
        for who, text in lines:
            self._number += 1
            self.at += timedelta(minutes=1)
            session = session.model_copy(update={"last_at": self.at})
            await self.store.append(session, line(text, who, self.at, id=f"m{self._number}", session=session.id))
        if close:
            session = session.model_copy(update={"closed_at": self.at})
            await self.store.save_session(session)
        found = await self.store.session(session.id)
        assert found
        return found

    async def all(self) -> list[Memory]:
        return [*(await self.store.records(Memory, limit=500)).items]

    async def texts(self, *, history: bool = False, notes: bool = False) -> set[str]:
        found = [each for each in await self.all() if history or each.superseded_by is None]
        return {each.text for each in found if notes or not each.subject.startswith("session:")}


@asynccontextmanager
async def mind(model: Noting | None = None, **settings: Any) -> AsyncIterator[Mind]:
    store = await storage.connect("sage", Path("unused"), enabled=False)
    try:
        yield Mind(store, model or Noting("", name="offline"), MemorySettings.model_validate(settings))
    finally:
        await store.close()
