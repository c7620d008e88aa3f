"""What a bot recalls for one turn: found in its index, read again from the store, told as words of people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.memory_index import MemoryIndex
from storage.model import Channel, MemoryReference, Message, Sender
from storage.records import Memory

from .audiences import audience, heard_in
from .context_history import asked_about, earlier
from .errors import ProviderError
from .memory_settings import MemorySettings
from .prompt import cut_to, tokens
from .providers import Embedder
from .recalling import Recalled, recalled
from .speakers import Speakers, inert

log = structlog.get_logger()

RECALLED = "recalled"
"""In an answer's metadata: what was recalled for it, as JSON without a word of it: id, kind, score, why."""
CITED = "cited"
"""The same for passages of files: file, section, lines, score."""
_WITHIN = 0.25
"""Seconds after which a turn goes without."""
_LETTERS = 1_200
"""Of one line that is recalled."""
_OPENING = "(From earlier talk, as it was said then; it may not matter now:"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was recalled."""

    id: str
    kind: str
    """`turn`, `fact` or `session`."""
    type: str
    score: float
    why: str
    said: str
    """As a model is told it: words of people, on lines of their own."""


@dataclass(frozen=True, slots=True)
class Recollected:
    """What was recalled for a turn, and what its files say."""

    items: tuple[Item, ...] = ()
    passages: str = ""
    """What stands in files on it, for the one who answers just now."""
    cited: tuple[dict[str, object], ...] = ()
    """Where those stand, and what was told to others who answer before, without a word of it."""

    @property
    def told(self) -> str:
        """For a prompt, indented, so that no line poses as another; empty where nothing was recalled."""
        each = "\n".join("    " + item.said.replace("\n", "\n        ") for item in self.items)
        return "\n".join(filter(None, (f"{_OPENING}\n{each})" if each else "", self.passages)))

    @property
    def parts(self) -> tuple[MemoryReference, ...]:
        """For the answer, without a word of it."""
        return tuple(
            MemoryReference(memory_id=item.id, memory_type=item.type, relevance=item.score) for item in self.items
        )

    @property
    def metadata(self) -> dict[str, str]:
        """For the answer, without a word of it."""
        cited = {CITED: json.dumps(self.cited)} if self.cited else {}
        if not self.items:
            return cited
        told = [{"id": i.id, "kind": i.kind, "score": round(i.score, 3), "why": i.why} for i in self.items]
        return {RECALLED: json.dumps(told), **cited}


NOTHING = Recollected()


class Recollection:
    """Recalls for one bot. `voices` are the names that no person may bear; `in_sight` gives those of some facts that
    may still be told, as they are now; `gone` hears the ids of lines and of facts that were found and are not there for
    the telling any more."""

    def __init__(
        self,
        store: Store,
        index: MemoryIndex,
        settings: MemorySettings,
        *,
        now: Callable[[], datetime],
        voices: Callable[[], tuple[str, ...]],
        in_sight: Callable[[Sequence[Memory]], Awaitable[list[Memory]]],
        gone: Callable[[Collection[str], Collection[str]], None],
    ) -> None:
        self._store, self._index = store, index
        self.settings = settings
        self.embedder: Embedder | None = None
        self._now, self._voices, self._in_sight, self._gone = now, voices, in_sight, gone

    async def recollected(
        self, question: str, channel: Channel, asker: Sender, session_id: str, in_view: Collection[str]
    ) -> Recollected:
        """What may be told to the one who asks there, best first, without what is in view already; nothing where it
        cannot be found quickly. Never raises."""
        try:
            async with asyncio.timeout(_WITHIN):
                return await self._recollected(question, channel, asker, session_id, in_view)
        except TimeoutError:
            log.info("memory.slow", session=session_id)
            return NOTHING
        except StorageError as error:
            log.warning("memory.unread", why=str(error))
            return NOTHING
        except Exception:
            log.exception("memory.broke")
            return NOTHING

    async def _recollected(
        self, question: str, channel: Channel, asker: Sender, session_id: str, in_view: Collection[str]
    ) -> Recollected:
        audiences = heard_in(channel, asker.id)
        items = await self._sessions(question, channel, audiences, session_id)
        embedder = self.embedder
        vector: Sequence[float] | None = None
        if embedder is not None:
            with suppress(ProviderError):  # it finds by words then
                (vector,) = await embedder.embed([question])
        found = await recalled(
            self._index,
            question,
            audiences,
            now=self._now(),
            half_life=timedelta(seconds=self.settings.half_life),
            asker=asker.name,
            vector=vector,
            embedder_id=embedder.id if embedder is not None and vector is not None else None,
            without=in_view,
            budget=self.settings.recall_tokens,
        )
        items += await self._read(found, audiences, in_view)
        return Recollected(_fitting(items, self.settings.recall_tokens))

    async def _sessions(
        self, question: str, channel: Channel, audiences: Collection[str], session_id: str
    ) -> list[Item]:
        """What earlier sessions of the place were about, where that is asked."""
        stretch = asked_about(question, self._now())
        if stretch is None:
            return []
        keys = [channel.key]
        if channel.kind == "thread" and channel.parent_id:
            keys.append(f"{channel.front}:{channel.parent_id}")
        found = await earlier(self._store, keys, stretch, but={session_id})
        return [
            Item(
                id=each.session.id,
                kind="session",
                type="episodic",
                score=1.0,
                why="asked what was talked about then",
                said=f"{each.session.last_at:%Y-%m-%d}, {_with(each.session.participants)}: {each.about}",
            )
            for each in found
            if audience(each.session.channel) in audiences
        ]

    async def _read(
        self, found: Sequence[Recalled], audiences: Collection[str], in_view: Collection[str]
    ) -> list[Item]:
        """What was found, as it is in the store now, for these audiences alone."""
        lines: dict[str, Message] = {}
        facts: dict[str, Memory] = {}
        for entry in (each.entry for each in found):
            if entry.id in in_view or entry.source in in_view:
                continue
            if entry.kind == "turn":
                if (line := await self._line(entry.id, audiences)) is not None:
                    lines[line.id] = line
            elif (fact := await self._store.record(Memory, entry.id)) is not None and fact.audience in audiences:
                facts[fact.id] = fact
        facts = {fact.id: fact for fact in await self._in_sight(tuple(facts.values()))}
        unseen = [each.entry for each in found if each.entry.id not in {*lines, *facts, *in_view}]
        self._gone(
            [entry.id for entry in unseen if entry.kind == "turn"],
            [entry.id for entry in unseen if entry.kind != "turn" and entry.source not in in_view],
        )
        speakers = Speakers(lines.values(), self._voices())
        items = []
        for each in found:
            id, shown = each.entry.id, (each.score, each.why)
            if line := lines.get(id):
                said = f"{line.at:%Y-%m-%d}, {speakers.name(line.sender)} said: {_cut(line.words)}"
                items.append(Item(id, "turn", "episodic", *shown, said))
            elif fact := facts.get(id):
                items.append(Item(id, "fact", fact.type, *shown, f"{fact.at:%Y-%m-%d}, noted: {_cut(fact.text)}"))
        return items

    async def _line(self, message_id: str, audiences: Collection[str]) -> Message | None:
        line = await self._store.message(message_id)
        if line is None or line.deleted_at is not None or not line.words.strip():
            return None
        session = await self._store.session(line.session_id)
        there = session is not None and session.deleted_at is None and audience(session.channel) in audiences
        return line if there else None


def _fitting(items: Sequence[Item], room: int) -> tuple[Item, ...]:
    """The first of them that fit into so many tokens."""
    kept, left = [], room - tokens(_OPENING)
    for item in items:
        left -= tokens(item.said) + 4
        if left < 0:
            break
        kept.append(item)
    return tuple(kept)


def _cut(text: str) -> str:
    text = "\n".join(text.strip().splitlines())
    return text if len(text) <= _LETTERS else cut_to(text, _LETTERS // 4) + " …"


def _with(people: Sequence[Sender]) -> str:
    names = [inert(each.name) for each in people if each.type == "user"][:6]
    return f"a conversation with {', '.join(names)}" if names else "a conversation"
