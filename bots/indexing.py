"""Keeps the index of what may be recalled true to the store: in the background, in small steps, behind every turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import structlog

from storage.backend import OLDEST, ManyWriters, Store
from storage.durable import in_thread
from storage.errors import StorageError
from storage.forgetting import pages
from storage.forgotten_list import forgotten_by
from storage.memory_index import MemoryIndex
from storage.model import Message
from storage.records import Memory

from .audiences import audience
from .errors import ProviderError
from .index_entries import fact_entry, tells, turn_entry
from .index_files import ANEW, PENDING, Progress, note, noted
from .pauses import unpaused
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
_LAST = 3.0
"""Seconds in which what is gone is taken out when the bot stops; what is left is noted."""
_NOTED = 1_000
"""Ids that are noted as pending, of messages and of facts each."""


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
        self._missed: dict[str, None] = {}
        """Messages that are read again. Only ids wait: nobody's words come back that are gone meanwhile."""
        self._anew: dict[str, None] = {}
        """Sessions that are read again as a whole."""
        self._facts: dict[str, None] = {}
        """Facts that are read again."""
        self._sessions_upto: str | None = None
        self._facts_upto: str | None = None
        """How far what is in the index was compared with the store; None: all of it."""
        self._unclean = False
        """Whether something was taken out of which bytes may be left."""
        self._embed_at = 0.0
        """When the embedder may be asked, on the loop's clock."""
        self._all_vectors = False
        self._due = asyncio.Event()
        self._one = asyncio.Lock()
        self._noting = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks how far it had got, and goes on from there in the background. Raises `StorageError`."""
        known = await in_thread(noted, self._folder) if self._folder is not None else {}
        if not self._index.made_anew:
            self._forgotten = known.get("forgotten", "")
            self._sessions_upto = self._facts_upto = ""
            self._anew.update(dict.fromkeys(known.get(ANEW, "").split()))
            pending = dict.fromkeys(filter(None, known.get(PENDING, "").split("\n")))
            self._missed.update(pending)
            self._facts.update(pending)
            self._unclean = bool(pending)
            if known.get("store") == self._kind:
                self._cursor = known.get("cursor", OLDEST)
        await self._mind_the_forgotten()
        self.empty = not await self._index.count()
        async for facts in pages(lambda cursor: self._store.records(Memory, cursor=cursor)):
            await self._fresh_facts(facts)
        self._due.set()
        self._work = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Stops where it is, once what is gone is taken out. Harmless when done twice."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))
            self._work = None
        if not (self._pending or self._unclean):
            return
        await self._save()
        try:
            async with asyncio.timeout(_LAST):
                while self._pending or self._unclean:
                    await self.step(vectors=False)
                await self._save()
        except (StorageError, TimeoutError) as error:
            log.warning("memory.index_behind", why=str(error) or "there was no more time")

    def heard(self, message: Message) -> None:
        """A message was kept."""
        self._unread = True
        self._due.set()

    def changed(self, message: Message) -> None:
        """Something has become of a message."""
        self.missed((message.id,))

    def forget(self, session_id: str) -> None:
        """A session is gone, or is not what it was."""
        self._anew[session_id] = None
        self._due.set()

    def learned(self, fact: Memory) -> None:
        """A fact was kept, or has changed."""
        self._facts[fact.id] = None
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
            try:
                due = await self.step(vectors=vectors)
            except StorageError:
                if not self._index.damaged:  # else the next step begins anew
                    raise

    async def scrub(self) -> None:
        """Takes in what was removed, so that no byte of it is left; when somebody was forgotten. Where that cannot be
        now it is done later, at the latest at the next start, which begins anew. Raises `StorageError`."""
        self._unclean = True
        try:
            await self.settle()
        except StorageError as error:
            log.warning("memory.not_scrubbed", why=str(error))
            return
        self._forgotten = await forgotten_by(self._store)
        await self._save()

    async def rebuild(self) -> None:
        """Begins anew with nothing, in the background. Raises `StorageError`."""
        async with self._one:
            await self._begin_anew()
        self._due.set()

    async def progress(self) -> Progress:
        """How far it is, as a number of steps may still have to be done. Raises `StorageError`."""
        by = self._embedder
        missing = await self._index.vectors_missing(by.id, MOST_COUNTED) if by is not None else []
        return Progress(await self._index.count(), len(missing), self._unread or self._pending)

    async def step(self, *, vectors: bool = True) -> bool:
        """Does a little; False when there was nothing to do. Raises `StorageError`: then it is still due."""
        async with self._one:
            if self._index.damaged:
                log.warning("memory.index_anew", why="the file is damaged")
                await self._begin_anew()
            elif self._anew:
                await _some(self._anew, 1, self._again)
            elif self._missed:
                await _some(self._missed, _PAGE, self._look_again)
            elif self._facts:
                await _some(self._facts, _PAGE, self._take_facts)
            elif self._unread:
                await self._read_on()
            elif self._sessions_upto is not None:
                self._sessions_upto = await self._compare_sessions(self._sessions_upto)
            elif self._facts_upto is not None:
                self._facts_upto = await self._compare_facts(self._facts_upto)
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
            try:
                if noted := self._pending:
                    await self._save()
                await asyncio.sleep(_BEHIND)
                more = True
                while more:
                    await self._calm()
                    began = loop.time()
                    more = await self.step()
                    await asyncio.sleep(max(_BREATH, loop.time() - began))
                if noted:
                    await self._save()
            except StorageError as error:
                log.warning("memory.index_behind", why=str(error))
            except Exception:
                log.exception("memory.index_broke")

    async def _begin_anew(self) -> None:
        self._cursor, self._unread = OLDEST, True
        self._sessions_upto = self._facts_upto = None
        await self._save()  # first: the next start must not go on behind what is no longer there
        await self._index.clear()
        async for facts in pages(lambda cursor: self._store.records(Memory, cursor=cursor)):
            self._facts.update(dict.fromkeys(fact.id for fact in facts))

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

    async def _again(self, session_ids: Collection[str]) -> None:
        (session_id,) = session_ids
        await self._index.remove_session(session_id)
        self._unclean = True
        session = await self._store.session(session_id)
        cursor: str | None = OLDEST if session is not None and session.deleted_at is None else None
        while cursor is not None:
            page = await self._store.read(session_id, cursor=cursor, limit=_PAGE)
            await self._take(page.items, fresh=False)
            cursor = page.newer if page.items else None
            await asyncio.sleep(0)

    async def _look_again(self, message_ids: Collection[str]) -> None:
        there = [each for id in message_ids if (each := await self._store.message(id)) is not None]
        await self._index.remove(set(message_ids) - {each.id for each in there})
        await self._take(tuple(there), fresh=False)

    async def _compare_sessions(self, upto: str) -> str | None:
        """Some of the sessions that it holds, whether they are still there: it may have died before it took them out.
        Returns how far it is."""
        ids = await self._index.sessions(upto, _PAGE)
        for id in ids:
            session = await self._store.session(id)
            if session is None or session.deleted_at is not None:
                self._anew[id] = None
        return ids[-1] if ids else None

    async def _compare_facts(self, upto: str) -> str | None:
        ids = await self._index.alone(upto, _PAGE)
        for id in ids:
            fact = await self._store.record(Memory, id)
            if fact is None or fact.superseded_by is not None:
                self.unlearned(id)
        return ids[-1] if ids else None

    async def _take(self, messages: tuple[Message, ...], *, fresh: bool) -> None:
        """Takes messages in as they are now, or out; with `fresh` only those that it does not know."""
        told = {message.id: message for message in await unpaused(self._store, filter(tells, messages))}
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
                entries.append(turn_entry(message, heard_by))
        await self._index.put(entries)
        self.empty &= not entries
        if not fresh:
            await self._index.remove(gone)

    async def _take_facts(self, ids: Collection[str]) -> None:
        facts = [await self._store.record(Memory, id) for id in ids]
        tellable = [fact for fact in facts if fact is not None and fact.superseded_by is None]
        await self._index.put(map(fact_entry, tellable))
        self.empty &= not tellable
        await self._index.remove(set(ids) - {fact.id for fact in tellable})

    async def _fresh_facts(self, facts: tuple[Memory, ...]) -> None:
        """Of facts as they are kept, what it does not know yet, and what it should know no more."""
        known = await self._index.known([fact.id for fact in facts])
        fresh = (fact.id for fact in facts if (fact.id in known) == (fact.superseded_by is not None))
        self._facts.update(dict.fromkeys(fresh))

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
        everybody = await forgotten_by(self._store)
        if everybody != self._forgotten and await self._index.count():
            log.info("memory.index_anew", why="somebody was forgotten meanwhile")
            await self.rebuild()
        self._forgotten = everybody
        await self._save()

    @property
    def _pending(self) -> bool:
        """Whether something that it knows may be gone or read differently."""
        return bool(self._anew or self._missed or self._facts)

    async def _save(self) -> None:
        if self._folder is None:
            return
        async with self._noting:
            told = {"store": self._kind, "cursor": self._cursor, "forgotten": self._forgotten}
            told[ANEW] = " ".join(self._anew)
            # What it never knew is found again at the next start all the same.
            told[PENDING] = "\n".join([*list(self._missed)[-_NOTED:], *list(self._facts)[-_NOTED:]])
            await in_thread(note, self._folder, told)


async def _some(waiting: dict[str, None], most: int, work: Callable[[Collection[str]], Awaitable[None]]) -> None:
    """Does work for some of what waits; where that fails they wait on."""
    ids = list(waiting)[:most]
    for id in ids:
        del waiting[id]
    try:
        await work(ids)
    except BaseException:
        waiting.update(dict.fromkeys(ids))
        raise
