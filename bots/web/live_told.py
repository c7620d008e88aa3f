"""What happens in a bot as the live socket tells it: one JSON object for each event."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from storage.model import Session

from ..events import (
    Anew,
    Began,
    Changed,
    Ended,
    Event,
    More,
    Presence,
    Quieted,
    Said,
    SessionChanged,
    Standing,
    Typing,
)
from .callers import Caller
from .desk import Desk
from .shapes import messages_shown, shown_now

Told = dict[str, Any]
_AT_HAND = 64
"""Events whose words stay at hand: they are mostly told to many at once."""


class Telling:
    """Tells events of one bot to any number of clients; those of one person hear the very same words."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: OrderedDict[tuple[int, str, bool], tuple[Event, asyncio.Task[str]]] = OrderedDict()

    async def text(self, event: Event, caller: Caller) -> str:
        """An event as a caller hears it, as JSON. Raises `StorageError`."""
        if isinstance(event, More | Standing):
            return written(await told(self._desk, event, caller))
        key = id(event), caller.person.id, caller.may("admin")
        known = self._known.get(key)
        if known is None or known[0] is not event:
            known = self._known[key] = event, asyncio.ensure_future(self._write(event, caller))
            self._known.move_to_end(key)
            if len(self._known) > _AT_HAND:
                self._known.popitem(last=False)
        return await asyncio.shield(known[1])

    async def _write(self, event: Event, caller: Caller) -> str:
        return written(await told(self._desk, event, caller))


def written(told: Told) -> str:
    """As JSON on one line."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


async def told(desk: Desk, event: Event, caller: Caller) -> Told:
    """An event as a caller hears it."""
    match event:
        case Said(session, message):
            (shown,) = await messages_shown(desk, [message], caller)
            return {
                "is": "said",
                "session": await _session(desk, session, caller),
                "message": shown.model_dump(mode="json"),
            }
        case Began():
            return {"is": "began", **_began(event)}
        case More(text=text):
            return {"is": "more", **_of(event), "text": text}
        case Anew():
            return {"is": "anew", **_of(event)}
        case Ended():
            return {"is": "ended", **_of(event)}
        case Changed(message=message):
            (shown,) = await messages_shown(desk, [message], caller)
            return {"is": "changed", **_place(event.session), "message": shown.model_dump(mode="json")}
        case SessionChanged(session, gone):
            return {"is": "session", "session": await _session(desk, session, caller), "gone": gone}
        case Typing(channel_key, sender, at, session_id):
            who = {"channel": channel_key, "session_id": session_id, "sender": sender.model_dump(mode="json")}
            return {"is": "typing", **who, "mine": sender.id == caller.person.id, "at": at.isoformat()}
        case Presence(channel_key, sender, state, at):
            who = {"channel": channel_key, "sender": sender.model_dump(mode="json"), "state": state}
            return {"is": "presence", **who, "mine": sender.id == caller.person.id, "at": at.isoformat()}
        case Quieted(channel_key, until, by):
            by_whom = by.name if caller.may("admin") else None
            return {"is": "quiet", "channel": channel_key, "until": until and until.isoformat(), "by": by_whom}
        case Standing(answers):
            return {"is": "standing", "under_way": under_way(answers)}


def under_way(answers: Iterable[tuple[Began, str]]) -> list[Told]:
    """Answers under way, each with its words so far."""
    return [{**_began(began), "text": text} for began, text in answers]


def joined(events: Sequence[Event]) -> list[Event]:
    """The same events with the words of one answer that came right after one another as one; what is between words of
    different answers keeps none of them apart."""
    found: list[Event] = []
    words: dict[str, list[More]] = {}

    def out() -> None:
        found.extend(More(each[0].session, id, "".join(more.text for more in each)) for id, each in words.items())
        words.clear()

    for event in events:
        if isinstance(event, More):
            words.setdefault(event.answer_id, []).append(event)
        else:
            out()
            found.append(event)
    out()
    return found


def _began(event: Began) -> Told:
    return {**_of(event), "persona": event.persona, "speaker": event.speaker, "asked": list(event.asked)}


def _of(event: Began | More | Anew | Ended) -> Told:
    return {**_place(event.session), "answer_id": event.answer_id}


def _place(session: Session) -> Told:
    return {"session_id": session.id, "channel": session.channel.key}


async def _session(desk: Desk, session: Session, caller: Caller) -> Told:
    return (await shown_now(desk, session, caller)).model_dump(mode="json")
