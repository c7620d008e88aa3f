"""Why an answer came from whom it did, and with what in mind: `/why` in plain words, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from storage.backend import Store
from storage.model import Channel, MemoryReference, Message

from .afterwards import asked_by
from .audiences import heard_in, places
from .explaining_memory import cited_again, recalled_again
from .recollected import CITED
from .sessions import Sessions, short
from .settings import BotSettings
from .understanding import Understanding, in_words, understood

_OPEN = 8
"""Sessions of a channel that are looked at, the latest ones."""
_SHOWN = 6
"""Topics and recalled things that are told one by one."""
_LETTERS = 120
_SIGNALS = {
    "keywords": "its keywords",
    "words": "likeness in words",
    "letters": "likeness in letters",
    "meaning": "likeness in meaning",
}


class Explaining:
    """Explains one bot's answers."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions

    async def history(self, channel: Channel, limit: int = 100) -> list[Message]:
        """The newest lines of a channel's session, oldest first: `/history`."""
        session = await self._sessions.current(channel)
        return await self._store.messages(session.id, limit=limit) if session else []

    async def last(self, channel: Channel, person_id: str | None = None) -> Message | None:
        """The last answer in the session that somebody is in; where there is none, in those under way there."""
        own = await self._sessions.current(channel, person_id)
        answer = await self._last_in([own.id]) if own is not None else None
        if answer is not None:
            return answer
        there = await self._store.sessions(channel.key, limit=_OPEN)
        return await self._last_in([each.id for each in there if each.closed_at is None])

    async def told(
        self,
        channel: Channel,
        settings: BotSettings,
        person_id: str | None = None,
        *,
        inert: Callable[[str], str] = str,
    ) -> str:
        """The last answer in a channel explained, a fact a line; empty where there is none. `inert` makes words that
        people chose harmless where they are shown."""
        answer = await self.last(channel, person_id)
        return "\n".join(await self.of(answer, settings, inert)) if answer is not None else ""

    async def of(self, answer: Message, settings: BotSettings, inert: Callable[[str], str] = str) -> list[str]:
        """One answer explained, a fact a line."""
        facts = await self.facts(answer)
        decision = facts["decision"]
        lines = [f"{because(answer.metadata.get('why', ''), settings, inert)}."]
        lines += _signals(decision, settings, inert)
        lines += _topics(decision, settings, inert)
        lines += [in_words(Understanding(**known), inert)] if (known := facts["understood"]) else []
        return [*lines, *_recalled(facts["recalled"], inert)]

    async def recalled(
        self,
        channel: Channel,
        person_id: str | None = None,
        *,
        past: bool,
        inert: Callable[[str], str] = str,
        answer: Message | None = None,
    ) -> str:
        """What was recalled for the last answer in a channel, or for another one there, as whoever asks may read it
        there (the `past` of the place or not), and the passages of files beside it; empty where there is no answer."""
        answer = answer or await self.last(channel, person_id)
        if answer is None:
            return ""
        facts, audiences = await self.facts(answer), heard_in(channel, person_id or "")
        if not past:
            audiences -= places(channel)
        told = _recalled(facts["recalled"], inert)[:1]
        told += await recalled_again(self._store, facts["recalled"], audiences, inert)
        if cited := cited_again(facts["cited"], inert):
            told += ["It had these passages of files beside it:", *cited]
        return "\n".join(told) or "Nothing was recalled for the last answer here."

    async def facts(self, answer: Message) -> dict[str, Any]:
        """The same as JSON has it: `message`, `persona`, `why`, `decision` as `Decision.as_json` tells it, each segment
        with its `text` as far as the question still reads as it did, `understood`: what the question is about, as it
        reads now, None where it is gone, `recalled`: `id`, `kind`, `score`, `why`, and
        `cited`: `file`, `section`, `lines`, `score`."""
        decision, recalled = _read(answer, "decision", {}), _read(answer, "recalled", [])
        lines = [await self._store.message(id) for id in asked_by(answer)]
        text = "\n".join(line.words for line in lines if line is not None and line.deleted_at is None)
        whole = all(line is not None and line.deleted_at is None and not line.edits for line in lines)
        for segment in decision.get("segments", []):
            segment["text"] = text[segment["from"] : segment["to"]].strip() if whole else ""
        cited = [part.memory_id for part in answer.parts if isinstance(part, MemoryReference)]
        return {
            "message": answer.id,
            "persona": answer.persona,
            "why": answer.metadata.get("why", ""),
            "decision": decision,
            "understood": asdict(understood(text)) if text.strip() else None,
            "recalled": recalled or [{"id": id} for id in cited],
            "cited": _read(answer, CITED, []),
        }

    async def _last_in(self, session_ids: Sequence[str]) -> Message | None:
        found = []
        for id in session_ids:
            lines = await self._store.messages(id, limit=100)
            found += [line for line in lines[::-1] if line.role == "assistant"][:1]
        return max(found, key=lambda answer: (answer.at, answer.id), default=None)


def because(why: str, settings: BotSettings, inert: Callable[[str], str] = str) -> str:
    """A decision as it is kept, with the persona called as people know it."""
    name, word, rest = why.partition(", because ")
    return f"{_called(name, settings, inert)}{word}{rest}" if word else inert(why)


def _called(name: str, settings: BotSettings, inert: Callable[[str], str]) -> str:
    persona = settings.persona(name)
    return inert(persona.display if persona else name)


def _signals(decision: dict[str, Any], settings: BotSettings, inert: Callable[[str], str]) -> list[str]:
    told = []
    for name, signals in decision.get("signals", {}).items():
        parts = [f"{_SIGNALS.get(kind, kind)} {weight:.2f}" for kind, weight in signals.items() if weight]
        if parts:
            told.append(f"For {_called(name, settings, inert)} spoke: {', '.join(parts)}.")
    return told


def _topics(decision: dict[str, Any], settings: BotSettings, inert: Callable[[str], str]) -> list[str]:
    found: Sequence[dict[str, Any]] = decision.get("segments", [])
    if not found:
        return []
    each_answered = bool(decision.get("shares"))
    told = [f"The message has {len(found)} topics, {'each answered by' if each_answered else 'nearest to'}:"]
    for segment in found[:_SHOWN]:
        whose = _called(segment["topic"], settings, inert) if segment["topic"] else "nobody in particular"
        words = f': "{inert(short(segment["text"], _LETTERS))}"' if segment.get("text") else ""
        told.append(f"- {whose} ({segment['score']:.0%}){words}")
    return told


def _recalled(recalled: Sequence[dict[str, Any]], inert: Callable[[str], str]) -> list[str]:
    if not recalled:
        return []
    told = [f"{len(recalled)} {'things were' if len(recalled) > 1 else 'thing was'} recalled for it:"]
    for each in recalled[:_SHOWN]:
        score = f" ({each['score']:.2f})" if isinstance(each.get("score"), int | float) else ""
        reason = f": {inert(str(each['why']))}" if each.get("why") else ""
        told.append(f"- {inert(str(each.get('kind') or 'memory'))}{score}{reason}")
    return told


def _read(answer: Message, name: str, otherwise: Any) -> Any:
    try:
        found = json.loads(answer.metadata.get(name) or "null")
    except ValueError:
        found = None
    return found if isinstance(found, type(otherwise)) else otherwise
