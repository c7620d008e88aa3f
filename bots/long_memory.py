"""What one bot remembers beyond a session, put together: facts, the index of talk and facts, and what is recalled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.memory_index import MemoryIndex
from storage.model import Message, Sender
from storage.records import Memory

from .embedding import Remembering
from .incoming import NO_PAST
from .indexing import MOST_COUNTED, Indexing
from .lanes import Turn
from .library import Library
from .memories import Memories
from .memory_settings import OFF, WORDS_ALONE, MemorySettings
from .providers import Embedder, Provider
from .recollected import NOTHING, Recollected
from .recollection import Recollection

log = structlog.get_logger()

_PASSAGES = 1_500
"""Tokens of files that stand beside a question."""
_SOMEBODY = Sender(type="user", id="", name="")


@dataclass(frozen=True, slots=True)
class Means:
    """What a memory is made of; whoever has it lets go of it in the end."""

    index: MemoryIndex | None = None
    """Without it nothing is recalled."""
    embedder: Embedder | None = None
    library: Library | None = None


class LongMemory:
    """The memory of one bot. `folder` is where its index notes how far it is, None where it is in memory; `busy` tells
    whether anybody waits for an answer."""

    def __init__(
        self,
        store: Store,
        settings: MemorySettings,
        means: Means,
        folder: Path | None,
        *,
        provider: Callable[[], Provider],
        now: Callable[[], datetime],
        voices: Callable[[], tuple[str, ...]],
        busy: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.embedder = means.embedder
        self._means, self._now = means, now
        self.memories = Memories(
            store, settings=lambda: self.settings, provider=provider, now=now, voices=voices, changed=self._learned
        )
        self.indexing: Indexing | None = None
        self._recollection: Recollection | None = None
        if (index := means.index) is not None:
            self.indexing = Indexing(store, index, folder=folder, busy=busy)
            self._recollection = Recollection(
                store, index, settings, now=now, voices=voices, in_sight=self.memories.in_sight, gone=self._gone
            )
            self.adopt(settings, means.embedder)

    async def start(self) -> None:
        """Goes on in the background where it had stopped. Raises `StorageError`."""
        if self.indexing is not None:
            await self.indexing.start()

    def adopt(self, settings: MemorySettings, embedder: Embedder | None) -> Embedder | None:
        """Goes by other settings, and by another embedder, from now on. Returns the embedder before, which is to be
        closed if it is another."""
        before, self.settings, self.embedder = self.embedder, settings, embedder
        if self.indexing is not None and self._recollection is not None:
            # What finds by letters alone only brings noise beside the words.
            useful = embedder if embedder is not None and embedder.semantic else None
            self.indexing.embed_with(useful)
            self._recollection.settings, self._recollection.embedder = settings, useful
        return before

    @property
    def recalls(self) -> bool:
        """Whether there is anything that could be recalled at all."""
        there = self.indexing is not None and not self.indexing.empty
        return there and self.settings.enabled and self.settings.recall_tokens > 0

    async def for_turn(self, turn: Turn, before: Sequence[Message], persona: str, known: Recollected) -> Recollected:
        """What is recalled for a turn, in a quarter of a second or not at all, without what stands `before` it in view;
        and what the files of the persona that answers say. `known` is what was told to another that answered before.
        Never raises."""
        question = "\n".join(line.words for line in turn.lines).strip()
        if not question:
            return known
        if self.recalls and not known.items:
            known = await self._recalled(turn, question, before)
        if self._means.library is None:
            return known
        try:
            passages, cited = await self._means.library.passages_for(question, persona, _PASSAGES)
        except Exception:
            log.exception("knowledge.broke")
            return replace(known, passages="")
        return replace(known, passages=passages, cited=(*known.cited, *cited))

    async def _recalled(self, turn: Turn, question: str, before: Sequence[Message]) -> Recollected:
        said_by, asked_by = turn.lines[-1].sender, turn.terms.asker
        # Who has somebody else's question answered anew is not told what is for that person alone.
        asker = said_by if asked_by is None or asked_by.id == said_by.id else _SOMEBODY
        if self._recollection is None:
            return NOTHING
        channel, session_id = turn.session.channel, turn.session.id
        shut = any(NO_PAST.items() <= line.metadata.items() for line in turn.lines)
        return await self._recollection.recollected(
            question, channel, asker, session_id, [*before, *turn.lines], past=not shut
        )

    async def stands(self, recollected: Recollected) -> bool:
        """Whether all that an answer draws on is still there to be told. Raises `StorageError`."""
        return self._recollection is None or await self._recollection.stands(recollected)

    def used(self, recollected: Recollected) -> None:
        """An answer was given with this in view."""
        facts = [id for item in recollected.used for id in ((item.id,) if item.kind == "fact" else item.drawn)]
        if facts:
            self.memories.touched(list(dict.fromkeys(facts)), self._now())

    def heard(self, message: Message) -> None:
        """A message was kept."""
        if self.indexing is not None:
            self.indexing.heard(message)

    def changed(self, message: Message) -> None:
        """Something has become of a message."""
        if self.indexing is not None:
            self.indexing.changed(message)

    def forget(self, session_id: str) -> None:
        """A session is gone, or is not what it was."""
        if self.indexing is not None:
            self.indexing.forget(session_id)

    def unlearned(self, fact_id: str) -> None:
        """A memory was removed for good."""
        self._learned((), (fact_id,))

    async def forgotten(self, facts: Sequence[str]) -> None:
        """Somebody was forgotten, and these facts with them: nothing of it is left in the index, or in mind. Raises
        `StorageError`."""
        if isinstance(self.embedder, Remembering):
            self.embedder.forget()
        if self.indexing is not None:
            self._learned((), facts)
            await self.indexing.scrub()

    async def upkeep(self) -> None:
        """What is due now: looking for what others wrote, and for files that have changed. Raises `StorageError`."""
        if self.indexing is not None:
            await self.indexing.upkeep()
        if self._means.library is not None:
            await self._means.library.look()

    async def learn(self) -> None:
        """Learns from what was said, and notes what was recalled; a model may be asked. Raises `StorageError`."""
        await self.memories.due()

    @property
    def finds_by(self) -> str:
        """The id of the embedder that earlier talk is found with, or `WORDS_ALONE`."""
        return self.embedder.id if self.embedder is not None and self.embedder.semantic else WORDS_ALONE

    async def told(self) -> str:
        """How much it is, for people. It reads all memories. Raises `StorageError`."""
        if not self.settings.enabled:
            return OFF
        if self.indexing is None:
            return "it has no index, and recalls nothing: its log may say why, and a restart tries again"
        report, progress = await self.memories.report(), await self.indexing.progress()
        missing = progress.vectors_missing
        more = "+" if missing >= MOST_COUNTED else ""
        vectors = f"{missing:,}{more} vectors to make" if missing else "all vectors made"
        by = f"found by {WORDS_ALONE}" if self.finds_by == WORDS_ALONE else f"{vectors} by {self.finds_by}"
        return ", ".join(
            [
                f"{progress.entries:,} entries in the index{', more to read' if progress.behind else ''}",
                by,
                f"{report.memories:,} memories, {report.share:.0%} of them ever recalled",
            ]
        )

    async def rebuild(self) -> None:
        """Makes the index anew, in the background. Raises `StorageError`."""
        if self.indexing is not None:
            await self.indexing.rebuild()

    async def close(self) -> None:
        """Stops working in the background. Harmless when done twice."""
        if self.indexing is not None:
            await self.indexing.close()

    async def end(self) -> None:
        """Lets go of the index and the embedder, once nothing is kept any more."""
        await self.close()
        try:
            await self.memories.flush()
        except StorageError as error:
            log.warning("memory.not_noted", why=str(error))
        if self._means.index is not None:
            await self._means.index.close()
        if self._means.library is not None:
            await self._means.library.close()
        if self.embedder is not None:
            await self.embedder.close()

    def _learned(self, kept: Sequence[Memory], gone: Sequence[str]) -> None:
        if self.indexing is not None:
            for fact in kept:
                self.indexing.learned(fact)
            for fact_id in gone:
                self.indexing.unlearned(fact_id)

    def _gone(self, turns: Collection[str], facts: Collection[str]) -> None:
        if self.indexing is not None:
            self.indexing.missed(turns)
            for fact_id in facts:
                self.indexing.unlearned(fact_id)
