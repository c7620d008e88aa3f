"""What a bot recalls for one turn: found in its index, read again from the store, told as words of people."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.memory_index import MemoryIndex
from storage.memory_words import stems
from storage.model import Channel, Message, Sender
from storage.records import Memory

from .afterwards import asked_by
from .audiences import audience, heard_in, places
from .context_history import asked_about, earlier
from .errors import ProviderError
from .facts import is_told, sources
from .memory_settings import MemorySettings
from .outdated import forgotten, holding, replaced
from .pauses import MENTION, unpaused
from .prompt import cut_to
from .providers import Embedder
from .recalled_names import Named, called, whom
from .recalling import Recalled, recalled
from .recollected import NOTHING, Item, Recollected, dated, fitting
from .retelling import retells
from .speakers import inert

log = structlog.get_logger()

_WITHIN = 0.25
"""Seconds after which a turn goes without."""
_LETTERS = 1_200
"""Of one line that is recalled."""
_LOOKED_AT = 16
"""Things that are read for those that are told."""
_ON_THE_TABLE = 4
"""Questions and aims of a long session that are told of."""
_OFFLINE = "offline"
_DENIES = re.compile(
    r"(?i)\W*(?:(?:(?:i'm|i am) )?(?:sorry|afraid)|unfortunately|hm+)?\W*(?:but |that )?(?:i (?:really |just )?(?:"
    r"(?:don't|do not|can't|cannot|can not) (?:know|remember|recall|see|find|tell|say|have)|have no|haven't|found no"
    r"|(?:couldn't|could not|didn't|did not) (?:find|see)|am (?:not sure|unable|not able))|i'm (?:not sure|unable"
    r"|not able)|as an ai\b|(?:there is|there's) no(?:thing)?\b|no(?:thing|body| one) (?:was|has|said)\b)"
)
"""How an answer begins that says nothing; in full where it is shorter than this many letters."""
_DENIAL = 240


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
        self,
        question: str,
        channel: Channel,
        asker: Sender,
        session_id: str,
        in_view: Sequence[Message],
        *,
        past: bool = True,
    ) -> Recollected:
        """What may be told to the one who asks there, best first, without what is in view already; nothing where it
        cannot be found quickly. Whoever may not read the `past` of the place is told nothing of it. Never raises."""
        audiences = heard_in(channel, asker.id)
        if not past:
            audiences -= places(channel)
        try:
            async with asyncio.timeout(_WITHIN):
                return await self._recollected(question, channel, asker, session_id, audiences, in_view)
        except TimeoutError:
            log.info("memory.slow", session=session_id)
            return NOTHING
        except StorageError as error:
            log.warning("memory.unread", why=str(error))
            return NOTHING
        except Exception:
            log.exception("memory.broke")
            return NOTHING

    async def stands(self, recollected: Recollected) -> bool:
        """Whether all that an answer draws on is still there, and nobody has been forgotten whom it may tell of. Raises
        `StorageError`."""
        for item in recollected.used:
            if item.kind == "session":
                session = await self._store.session(item.id)
                there = session is not None and item.people <= {who.id for who in session.participants}
            elif item.kind == "turn":
                there = await self._store.message(item.id) is not None
            else:
                there = await self._store.record(Memory, item.id) is not None
            if not there:
                return False
        return True

    async def _recollected(
        self,
        question: str,
        channel: Channel,
        asker: Sender,
        session_id: str,
        audiences: Collection[str],
        in_view: Sequence[Message],
    ) -> Recollected:
        items = await self._sessions(question, channel, audiences, session_id)
        open_ = await self._on_the_table(session_id, audiences, in_view)
        embedder = self.embedder
        vector: Sequence[float] | None = None
        if embedder is not None:
            with suppress(ProviderError, TimeoutError):  # it finds by words then
                async with asyncio.timeout(_WITHIN / 2):
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
            without={*(line.id for line in in_view), *(fact.id for fact in open_)},
            budget=2 * self.settings.recall_tokens,
            limit=_LOOKED_AT,
        )
        items += await self._read(found, audiences, in_view)
        told = dated(fitting(items, self.settings.recall_tokens), self._now())
        return Recollected(told, on_the_table=tuple(fact.text for fact in open_))

    async def _on_the_table(
        self, session_id: str, audiences: Collection[str], in_view: Sequence[Message]
    ) -> list[Memory]:
        """What people of a session asked and aim at, as far as that is out of view, the latest of it in order."""
        page = await self._store.records(Memory, about=f"session:{session_id}")
        seen = {line.id for line in in_view}
        open_ = [each for each in page.items if each.type == "working" and each.audience in audiences]
        return (await self._in_sight([each for each in open_ if each.source not in seen]))[:_ON_THE_TABLE][::-1]

    async def _sessions(
        self, question: str, channel: Channel, audiences: Collection[str], session_id: str
    ) -> list[Item]:
        """What earlier sessions of the place were about, where that is asked."""
        stretch = asked_about(question, self._now())
        if stretch is None:
            return []
        found = await earlier(self._store, places(channel), stretch, but={session_id})
        return [
            Item(
                id=each.session.id,
                kind="session",
                type="episodic",
                score=1.0,
                why="asked what was talked about then",
                at=each.session.last_at,
                whose=_with(each.session.participants),
                words=each.about,
                people=frozenset(who.id for who in each.session.participants),
            )
            for each in found
            if audience(each.session.channel) in audiences
        ]

    async def _read(self, found: Sequence[Recalled], audiences: Collection[str], view: Sequence[Message]) -> list[Item]:
        """What was found, as it is in the store now, for these audiences alone."""
        in_view = {line.id for line in view}
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
        never = await forgotten(self._store)
        lines = {id: line for id, line in lines.items() if id not in never}
        # What one thing of a line was forgotten says nothing of another that was learned from it by itself.
        facts = {id: fact for id, fact in facts.items() if _by_itself(fact) or never.isdisjoint(sources(fact))}
        instead = await self._instead(lines, facts, audiences)
        present = [line.sender for line in view]
        senders = [line.sender for line in lines.values()]
        people = await called(self._store, [*facts.values(), *_holding(instead)], (*senders, *present))
        named = Named(present, (*senders, *people.values()), self._voices())
        items: list[Item] = []
        told: set[str] = set()

        def tell(fact: Memory, score: float, why: str, until: datetime | None = None) -> None:
            if fact.id not in told:
                told.add(fact.id)
                whose, words = named.noted(fact, _cut(fact.text), people.get(whom(fact)))
                shown = whose.removesuffix(": ")
                items.append(Item(fact.id, "fact", fact.type, score, why, fact.at, shown, words, until=until))

        for each in found:
            old, now = instead.get(each.entry.id, (None, None))
            if now is not None and now.audience in audiences:
                tell(now, each.score, "it holds in the place of what was found")
            until = old.superseded_at if old is not None else None
            if line := lines.get(each.entry.id):
                by = line.sender.id if line.sender.type == "user" else ""
                drawn = tuple(fact.id for fact in each.facts)
                said = f"{named.name(line.sender)} said"
                items.append(
                    Item(line.id, "turn", "episodic", each.score, each.why, line.at, said, _cut(line.words), by,
                         drawn=drawn, until=until)
                )  # fmt: skip
            elif fact := facts.get(each.entry.id):
                tell(fact, each.score, each.why, until)
        return items

    async def _instead(
        self, lines: Mapping[str, Message], facts: Mapping[str, Memory], audiences: Collection[str]
    ) -> dict[str, tuple[Memory, Memory | None]]:
        """By the ids of lines, and of notes that quote lines, of which something no longer holds: that, and what holds
        in its place, as far as it may be told."""
        notes = {id: sources(fact) for id, fact in facts.items() if not _by_itself(fact)}
        quoted = {*lines, *(id for ids in notes.values() for id in ids)}
        if not quoted:
            return {}
        people = [id for line in lines.values() for id in (line.sender.id, *MENTION.findall(line.words))]
        people += [id for note in notes for id in facts[note].people]
        since = min([*(line.at for line in lines.values()), *(facts[id].at - timedelta(days=1) for id in notes)])
        gone = await replaced(self._store, quoted, people, since)
        found: dict[str, tuple[Memory, Memory | None]] = {}
        for id in (*lines, *notes):
            for old in [gone[source] for source in notes.get(id, (id,)) if source in gone][:1]:
                now = await holding(self._store, old)
                if now is old:
                    continue
                there = await self._in_sight([now]) if now is not None and now.audience in audiences else []
                found[id] = old, (there[0] if there else None)
        return found

    async def _line(self, message_id: str, audiences: Collection[str]) -> Message | None:
        line = await self._store.message(message_id)
        if line is None or line.deleted_at is not None or not line.words.strip() or _says_nothing(line):
            return None
        session = await self._store.session(line.session_id)
        if session is None or session.deleted_at is not None or audience(session.channel) not in audiences:
            return None
        # What the bot said to something tells much of it.
        asked = [await self._store.message(id) for id in asked_by(line)] if line.role == "assistant" else [line]
        there = [each for each in asked if each is not None and each.deleted_at is None]
        return line if len(await unpaused(self._store, there)) == len(asked) else None


def _says_nothing(line: Message) -> bool:
    """Whether it is an answer that only tells what others said, or that it has nothing to tell."""
    if line.role != "assistant":
        return False
    offline = line.usage is not None and line.usage.provider == _OFFLINE
    return (
        offline
        or retells(line)
        or not stems(line.words)
        or (len(line.words) <= _DENIAL and _DENIES.match(line.words) is not None)
    )


def _by_itself(fact: Memory) -> bool:
    """Whether it says one thing of one line, and quotes nothing else."""
    return fact.id.startswith("learned ") or is_told(fact)


def _holding(instead: Mapping[str, tuple[Memory, Memory | None]]) -> list[Memory]:
    return [now for _, now in instead.values() if now is not None]


def _cut(text: str) -> str:
    text = "\n".join(text.strip().splitlines())
    return text if len(text) <= _LETTERS else cut_to(text, _LETTERS // 4) + " …"


def _with(people: Sequence[Sender]) -> str:
    names = [inert(each.name) for each in people if each.type == "user"][:6]
    return f"a conversation with {', '.join(names)}" if names else "a conversation"
