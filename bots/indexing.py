"""Keeps the index of what may be recalled true to the store: in the background, in small steps, behind every turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from storage.backend import OLDEST, ManyWriters, Store
from storage.durable import in_thread
from storage.errors import StorageError
from storage.memory_index import Entry, MemoryIndex
from storage.model import Message
from storage.records import Memory, Tombstone

from .audiences import audience
from .carrying import is_copy
from .errors import ProviderError
from .index_files import ANEW, note, noted
from .providers import Embedder

log = structlog.get_logger()

MOST_COUNTED = 10_000
"""Entries without a vector that are counted one by one."""
_PAGE, _BATCH = 100, 8
"""Messages read, and texts embedded, in one step."""
_BEHIND = 0.5
"""Seconds by which the index lets the talk go ahead of it."""
_BREATH = 0.02
"""Seconds between two steps, for the turns that wait; at least as long as the step before took."""
_PATIENCE = 5.0
"""Seconds that a step waits for answers under way."""
_RESTED = 60.0
"""Seconds until an embedder that failed is asked again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the index is."""

    entries: int
    vectors_missing: int
    """0 where there is no embedder, and at most `MOST_COUNTED`."""
    behind: bool
    """Whether there is talk that it has not read yet."""


class Indexing:
    """One bot's index, as far as it has got. `folder` is where it notes that, None where it lives in memory; `busy`
    tells whether anybody waits for an answer.

    What is told to it by `heard`, `changed`, `forget` and the two about facts costs nothing there and then."""

    def __init__(
        self, store: Store, index: MemoryIndex, *, folder: Path | None, busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._store, self._index, self._busy = store, index, busy
        self._folder = folder
        self._shared = isinstance(store, ManyWriters)
        self._kind = type(store).__name__
        """Cursors are good for one kind of store: after a move to another it reads from the beginning."""
        self.empty = True
        """Whether there is nothing in it yet."""
        self._embedder: Embedder | None = None
        self._cursor = OLDEST
        self._forgotten = ""
        self._unread = True
        """Whether there may be talk beyond the cursor."""
        self._changed: dict[str, Message] = {}
        self._missed: dict[str, None] = {}
        self._anew: dict[str, None] = {}
        """Sessions that are read again as a whole."""
        self._facts: dict[str, Memory | None] = {}
        self._unclean = False
        """Whether something was taken out of which bytes may be left."""
        self._embed_at = 0.0
        """When the embedder may be asked, on the loop's clock."""
        self._all_vectors = False
        self._due = asyncio.Event()
        self._one = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks how far it had got, and goes on from there in the background. Raises `StorageError`."""
        known = await in_thread(noted, self._folder) if self._folder is not None else {}
        if not self._index.made_anew:
            self._forgotten = known.get("forgotten", "")
            self._anew.update(dict.fromkeys(known.get(ANEW, "").split()))
            if known.get("store") == self._kind:
                self._cursor = known.get("cursor", OLDEST)
        await self._mind_the_forgotten()
        self.empty = not await self._index.count()
        cursor: str | None = None
        while True:
            page = await self._store.records(Memory, cursor=cursor)
            await self._fresh_facts(page.items)
            cursor = page.older
            if cursor is None:
                break
        self._due.set()
        self._work = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Stops where it is. Harmless when done twice."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))
            self._work = None

    def heard(self, message: Message) -> None:
        """A message was kept."""
        self._unread = True
        self._due.set()

    def changed(self, message: Message) -> None:
        """Something has become of a message."""
        self._changed[message.id] = message
        self._due.set()

    def forget(self, session_id: str) -> None:
        """A session is gone, or is not what it was."""
        self._anew[session_id] = None
        self._due.set()

    def learned(self, fact: Memory) -> None:
        """A fact was kept, or has changed."""
        self._facts[fact.id] = fact
        self._due.set()

    def unlearned(self, fact_id: str) -> None:
        """A fact is no longer kept."""
        self._facts[fact_id] = None
        self._unclean = True
        self._due.set()

    def missed(self, message_ids: Collection[str]) -> None:
        """Messages that it has told of are not there for the telling: it looks again."""
        self._missed.update(dict.fromkeys(message_ids))
        self._due.set()

    def embed_with(self, embedder: Embedder | None) -> None:
        """Vectors are made by another embedder from now on, or by none."""
        self._embedder, self._all_vectors, self._embed_at = embedder, False, 0.0
        self._due.set()

    async def upkeep(self) -> None:
        """Looks for what other processes have written. Raises `StorageError`."""
        if self._shared:
            await self._mind_the_forgotten()
            await self._fresh_facts((await self._store.records(Memory)).items)
            self._unread = True
        self._due.set()

    async def settle(self, *, vectors: bool = False) -> None:
        """Does at once all that is due; with `vectors` those as well. Raises `StorageError`."""
        due = True
        while due:
            due = await self.step(vectors=vectors)

    async def scrub(self) -> None:
        """Takes in what was removed, so that no byte of it is left; when somebody was forgotten. Raises
        `StorageError`."""
        self._unclean = True
        await self.settle()
        self._forgotten = await self._latest_forgotten()
        await self._save()

    async def rebuild(self) -> None:
        """Begins anew with nothing, in the background. Raises `StorageError`."""
        async with self._one:
            await self._index.clear()
            await self._index.scrub()
            self._cursor, self._unread = OLDEST, True
            cursor: str | None = None
            while True:
                page = await self._store.records(Memory, cursor=cursor)
                self._facts.update((fact.id, fact) for fact in page.items)
                cursor = page.older
                if cursor is None:
                    break
        await self._save()
        self._due.set()

    async def progress(self) -> Progress:
        """How far it is, as a number of steps may still have to be done. Raises `StorageError`."""
        missing = 0
        if self._embedder is not None:
            missing = len(await self._index.vectors_missing(self._embedder.id, MOST_COUNTED))
        behind = self._unread or bool(self._changed or self._anew or self._facts)
        return Progress(await self._index.count(), missing, behind)

    async def step(self, *, vectors: bool = True) -> bool:
        """Does a little; False when there was nothing to do. Raises `StorageError`: then it is still due."""
        async with self._one:
            if self._anew:
                session_id = next(iter(self._anew))
                del self._anew[session_id]
                try:
                    await self._again(session_id)
                except BaseException:
                    self._anew[session_id] = None
                    raise
            elif self._changed:
                some = dict(list(self._changed.items())[:_PAGE])
                await self._take(tuple(some.values()), fresh=False)
                self._changed = {id: each for id, each in self._changed.items() if some.get(id) is not each}
            elif self._missed:
                some_ids = list(self._missed)[:_PAGE]
                there = [each for id in some_ids if (each := await self._store.message(id)) is not None]
                await self._index.remove(set(some_ids) - {each.id for each in there})
                await self._take(tuple(there), fresh=False)
                self._missed = {id: None for id in self._missed if id not in some_ids}
            elif self._facts:
                await self._take_facts(dict(list(self._facts.items())[:_PAGE]))
            elif self._unread:
                await self._read_on()
            elif self._unclean:
                await self._index.scrub()
                self._unclean = False
            else:
                return vectors and await self._embed()
            self._all_vectors = False
            return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.sleep(_BEHIND)
            try:
                more = True
                while more:
                    await self._calm()
                    began = loop.time()
                    more = await self.step()
                    await asyncio.sleep(max(_BREATH, loop.time() - began))
            except StorageError as error:
                log.warning("memory.index_behind", why=str(error))
            except Exception:
                log.exception("memory.index_broke")

    async def _calm(self) -> None:
        waited = 0.0
        while self._busy() and waited < _PATIENCE:
            await asyncio.sleep(0.05)
            waited += 0.05

    async def _read_on(self) -> None:
        """A page of what was kept since; the last page is read again each time, until it is full."""
        self._unread = False
        try:
            page = await self._store.read(cursor=self._cursor, limit=_PAGE)
            await self._take(page.items, fresh=True)
        except BaseException:
            self._unread = True
            raise
        if page.newer is not None:
            self._cursor, self._unread = page.newer, True
            await self._save()

    async def _again(self, session_id: str) -> None:
        await self._index.remove_session(session_id)
        self._unclean = True
        session = await self._store.session(session_id)
        cursor: str | None = OLDEST if session is not None and session.deleted_at is None else None
        while cursor is not None:
            page = await self._store.read(session_id, cursor=cursor, limit=_PAGE)
            await self._take(page.items, fresh=False)
            cursor = page.newer if page.items else None
            await asyncio.sleep(0)

    async def _take(self, messages: tuple[Message, ...], *, fresh: bool) -> None:
        """Takes messages in as they are now, or out; with `fresh` only those that it does not know."""
        told = {message.id: message for message in messages if _tells(message)}
        known = await self._index.known(tuple(told)) if fresh else set()
        audiences: dict[str, str | None] = {}
        entries = []
        gone = [message.id for message in messages if message.id not in told]
        for message in told.values():
            if message.id in known:
                continue
            if message.session_id not in audiences:
                session = await self._store.session(message.session_id)
                there = session is not None and session.deleted_at is None
                audiences[message.session_id] = audience(session.channel) if session is not None and there else None
            heard_by = audiences[message.session_id]
            if heard_by is None:
                gone.append(message.id)
            else:
                entries.append(_turn(message, heard_by))
        await self._index.put(entries)
        self.empty &= not entries
        if not fresh:
            await self._index.remove(gone)

    async def _take_facts(self, facts: dict[str, Memory | None]) -> None:
        tellable = [fact for fact in facts.values() if fact is not None and fact.superseded_by is None]
        kept = {fact.id for fact in tellable}
        await self._index.put(map(_fact, tellable))
        self.empty &= not tellable
        await self._index.remove([id for id in facts if id not in kept])
        self._facts = {id: fact for id, fact in self._facts.items() if id not in facts or facts[id] is not fact}

    async def _fresh_facts(self, facts: tuple[Memory, ...]) -> None:
        """Of facts as they are kept, what it does not know yet, and what it should know no more."""
        known = await self._index.known([fact.id for fact in facts])
        self._facts.update((fact.id, fact) for fact in facts if (fact.id in known) == (fact.superseded_by is not None))

    async def _embed(self) -> bool:
        embedder, loop = self._embedder, asyncio.get_running_loop()
        if embedder is None or self._all_vectors or loop.time() < self._embed_at:
            return False
        missing = await self._index.vectors_missing(embedder.id, _BATCH)
        if not missing:
            self._all_vectors = True
            return False
        try:
            vectors = await embedder.embed([text for _, text in missing])
        except ProviderError as error:
            self._embed_at = loop.time() + _RESTED
            log.warning("memory.not_embedded", why=str(error))
            return False
        made = [(id, text, vector) for (id, text), vector in zip(missing, vectors, strict=True)]
        await self._index.put_vectors(embedder.id, made)
        return True

    async def _mind_the_forgotten(self) -> None:
        """Begins anew where somebody was forgotten while nobody told this index, which may hold words of theirs."""
        latest = await self._latest_forgotten()
        if latest != self._forgotten and await self._index.count():
            log.info("memory.index_anew", why="somebody was forgotten meanwhile")
            await self.rebuild()
        self._forgotten = latest
        await self._save()

    async def _latest_forgotten(self) -> str:
        latest = (await self._store.records(Tombstone, limit=1)).items
        return f"{latest[0].id} {latest[0].at.isoformat()}" if latest else ""

    async def _save(self) -> None:
        if self._folder is not None:
            told = {"store": self._kind, "cursor": self._cursor, "forgotten": self._forgotten}
            told[ANEW] = " ".join(self._anew)
            await in_thread(note, self._folder, told)


def _tells(message: Message) -> bool:
    """Whether somebody said something in it: not a notice, nor the copy of a line."""
    said = message.role in ("user", "assistant") and message.sender.type != "system"
    return said and message.deleted_at is None and bool(message.words.strip()) and not is_copy(message)


def _turn(message: Message, heard_by: str) -> Entry:
    return Entry(
        id=message.id,
        audience=heard_by,
        kind="turn",
        session_id=message.session_id,
        speaker=message.sender.name,
        subject=f"user:{message.sender.id}" if message.sender.type == "user" else "",
        at=message.at,
        text=message.words,
    )


def _fact(fact: Memory) -> Entry:
    return Entry(
        id=fact.id,
        audience=fact.audience,
        kind="fact",
        session_id=None,
        speaker="",
        subject=fact.subject,
        at=fact.at,
        text=fact.text,
        importance=fact.importance,
        source=fact.source,
        touched_at=fact.touched_at,
        access_count=fact.access_count,
    )
