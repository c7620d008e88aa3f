"""A session for the OpenAI Agents SDK, kept in a store: what `Runner.run(…, session=…)` takes.

It satisfies `agents.memory.Session` by its shape; the SDK itself is not needed here. What agents say and do lies beside
all other talk: one item is one message, its words are found, exported and forgotten like any other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from .backend import Store
from .errors import StorageError
from .model import (
    Attachment,
    Channel,
    Message,
    Note,
    Part,
    Role,
    Sender,
    Session,
    Text,
    ToolCall,
    ToolResponse,
    message_id,
    storable,
)

Item = dict[str, Any]
"""An input item of the Responses API: a message, a tool's call or output, a piece of reasoning, …"""
_REST = "item"
"""The entry of a message's metadata with what its parts do not say of the item, in JSON."""
_PAGE = 200
_AGENT = Sender(type="persona", id="agent", name="Agent")
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}


class DatabaseSession:
    """One conversation of agents with one person, kept under `session_id` in any store.

    It is in `channel`, or, left out, in the person's own place on the web, where the console shows it. A session that
    is there already goes on, its lines being the history; one of that id elsewhere is refused, so that nobody comes to
    another's by its name. Reading and writing raise `StorageError`.
    """

    def __init__(
        self,
        session_id: str,
        store: Store,
        *,
        person: Sender,
        now: Callable[[], datetime],
        chance: Callable[[], int],
        agent: Sender = _AGENT,
        channel: Channel | None = None,
        session_settings: Any = None,
    ) -> None:
        """`now` gives times with a zone, `chance` 50 random bits. `session_settings` are the SDK's: their `limit`
        counts where `get_items` is given none."""
        self.session_id = session_id
        self.session_settings = session_settings
        self._store = store
        self._person, self._agent = person, agent
        self._channel = channel or Channel(front="web", id=person.id, kind="web", name=person.name, parent_id=person.id)
        self._now, self._chance = now, chance
        self._alone = asyncio.Lock()

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The latest `limit` items, or all of them, oldest first; each is a dict as the Responses API has it."""
        wanted = limit if limit is not None else self._usual_limit()
        found: list[Item] = []
        if wanted == 0 or await self._kept() is None:
            return found
        cursor: str | None = None
        while wanted is None or wanted < 0 or len(found) < wanted:
            page = await self._store.read(self.session_id, cursor=cursor, limit=_PAGE)
            found[:0] = [item for message in page.items if (item := _item(message)) is not None]
            cursor = page.older
            if cursor is None:
                break
        return found if wanted is None or wanted < 0 else found[-wanted:]

    async def add_items(self, items: Sequence[Any]) -> None:
        """Keeps items behind those that are there: all of them or none, also when it is cancelled meanwhile. Raises
        `TypeError` where one has no JSON, and `StorageError`: only when storage then refuses to take back what it has
        kept, too, some of them stay."""
        if not items:
            return
        async with self._alone:
            at = self._now()
            session = await self._kept() or Session(
                id=self.session_id, channel=self._channel, persona=self._agent.id, opened_at=at, last_at=at
            )
            lines = await self._lines(items, at)
            keeping = asyncio.ensure_future(self._keep(_gone_on(session, lines), lines))
            try:
                await asyncio.shield(keeping)
            except asyncio.CancelledError:
                with suppress(StorageError):
                    await keeping
                raise

    async def pop_item(self) -> Any:
        """Takes the latest item away for good and returns it; None where there is none."""
        async with self._alone:
            cursor: str | None = None
            while await self._kept() is not None:
                page = await self._store.read(self.session_id, cursor=cursor, limit=10)
                for message in reversed(page.items):
                    item = _item(message)
                    if item is not None and await self._store.remove_messages([message.id]):
                        return item
                cursor = page.older
                if cursor is None:
                    break
            return None

    async def clear_session(self) -> None:
        """Removes every item for good. The session stays, empty, with its title and tags."""
        async with self._alone:
            while await self._kept() is not None:
                page = await self._store.read(self.session_id, limit=_PAGE, deleted=True)
                if not page.items:
                    return
                await self._store.remove_messages([message.id for message in page.items])

    def _usual_limit(self) -> int | None:
        settings = self.session_settings
        limit = settings.get("limit") if isinstance(settings, dict) else getattr(settings, "limit", None)
        return limit if isinstance(limit, int) else None

    async def _kept(self) -> Session | None:
        """The session as it stands; None where nothing was said in it yet."""
        session = await self._store.session(self.session_id)
        if session is None:
            return None
        if session.channel.key != self._channel.key:
            raise StorageError(f"The session '{self.session_id}' is of another place than {self._channel.key}.")
        if session.deleted_at is not None:
            raise StorageError(f"The session '{self.session_id}' was deleted: restore it, or take another id.")
        return session

    async def _keep(self, session: Session, lines: Sequence[Message]) -> None:
        done = await asyncio.gather(*(self._store.append(session, line) for line in lines), return_exceptions=True)
        failed = next((each for each in done if isinstance(each, BaseException)), None)
        if failed is not None:
            kept = [line.id for line, each in zip(lines, done, strict=True) if each is True]
            if kept:
                await self._store.remove_messages(kept)
            raise failed

    async def _lines(self, items: Sequence[Any], at: datetime) -> list[Message]:
        """The messages that the items are kept as; each of the agent's answers the line of the person before it."""
        recent = await self._store.messages(self.session_id, _PAGE)
        asked = next((line.id for line in reversed(recent) if line.role == "user"), None)
        lines = []
        for each in items:
            item = dict(each)
            role, parts = _said(item)
            id = message_id(at, self._chance())
            plain = _plain(role, parts)
            rest = {name: value for name, value in item.items() if name not in plain or plain[name] != value}
            lines.append(
                Message(
                    id=id,
                    session_id=self.session_id,
                    role=role,
                    sender=self._person if role == "user" else self._agent,
                    persona=self._agent.id if role == "assistant" else None,
                    parts=parts,
                    at=at,
                    reply_to=None if role == "user" else asked,
                    metadata={_REST: json.dumps(rest)},
                )
            )
            asked = id if role == "user" else asked
        return lines


def _gone_on(session: Session, lines: Sequence[Message]) -> Session:
    """The session after lines were said in it."""
    known = {each.id for each in session.participants}
    spoke = [line for line in lines if line.role == "user"]
    new = {line.sender.id: line.sender for line in spoke if line.sender.id not in known}
    return session.model_copy(
        update={
            "participants": (*session.participants, *new.values()),
            "last_at": max([session.last_at, *(line.at for line in spoke)]),
            "closed_at": None if spoke else session.closed_at,
        }
    )


def _said(item: Item) -> tuple[Role, tuple[Part, ...]]:
    """Whose an item is, and what of it people can read: where that is no words, what it is."""
    match item:
        case {"type": "function_call", "call_id": str(call), "name": str(name), "arguments": str(arguments)}:
            return "assistant", (ToolCall(call_id=storable(call), tool=storable(name), arguments=storable(arguments)),)
        case {"type": "function_call_output", "call_id": str(call), "output": str(output)}:
            return "tool", (ToolResponse(call_id=storable(call), tool="", result=storable(output)),)
        case {"role": str(role), "content": content}:
            words = storable(_words(content))
            return _ROLES.get(role, "system"), (Text(text=words),) if words else _named(content)
    words = _words(item.get("summary"))
    return "assistant", (Note(text=storable(f"({item.get('type', 'item')}{': ' if words else ''}{words})")),)


def _named(content: object) -> tuple[Part, ...]:
    kinds = [str(part.get("type")) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return (Note(text=storable(f"({', '.join(kinds)})")),) if kinds else ()


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    said = (part.get("text", part.get("refusal")) for part in parts)
    return "\n".join(words for words in said if isinstance(words, str))


def _item(message: Message) -> Item | None:
    """The item that a message is; None where it says nothing to a model."""
    try:
        rest = json.loads(message.metadata.get(_REST) or "null")
    except ValueError:
        rest = None
    plain = _plain(message.role, message.parts)
    if not isinstance(rest, dict):
        return plain or None
    if message.edits and "content" in rest:
        rest["content"] = _edited(rest["content"], message.words)
    return {**plain, **rest}


def _plain(role: Role, parts: Sequence[Part]) -> Item:
    """What parts say by themselves, as an item."""
    for part in parts:
        if isinstance(part, ToolCall):
            return {
                "type": "function_call", "call_id": part.call_id, "name": part.tool, "arguments": part.arguments
            }  # fmt: skip
        if isinstance(part, ToolResponse):
            return {"type": "function_call_output", "call_id": part.call_id, "output": part.result}
    words = "".join(part.text for part in parts if isinstance(part, Text))
    files = " ".join(f"[{part.type}: {part.name}]" for part in parts if isinstance(part, Attachment))
    content = " ".join(filter(None, (words, files)))
    return {"role": "system" if role == "tool" else role, "content": content} if content else {}


def _edited(content: object, words: str) -> object:
    """The content of an item whose words a person has changed since."""
    if not isinstance(content, list):
        return words
    texts = [part for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    others = [part for part in content if part not in texts]
    return [*([{**texts[0], "text": words}] if texts else []), *others] or words
