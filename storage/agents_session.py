"""A session for the OpenAI Agents SDK, kept in a store: what `Runner.run(…, session=…)` takes.

It satisfies `agents.memory.Session` by its shape. What agents say and do lies beside all other talk: one item is one
message, its words are found, exported and forgotten like any other.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from agents.memory import SessionSettings

Result = TypeVar("Result")
Item = dict[str, Any]
"""An input item of the Responses API: a message, a tool's call or output, a piece of reasoning, …"""
_REST = "item"
"""The entry of a message's metadata with what its parts do not say of the item, in JSON."""
_PAGE = 200
_LOOKS_AFTER = 0.2
"""Seconds after which somebody who waits for another loop looks whether it still runs."""
_HOME_ENDED = (
    "The event loop in which the store was opened has ended meanwhile, so that nobody can tell whether this was done: "
    "open the store anew, and look what it has."
)
_AGENT = Sender(type="persona", id="agent", name="Agent")
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}


class DatabaseSession:
    """One conversation of agents with one person, kept under `session_id` in any store.

    It is in `channel`, or, left out, in the person's own place on the web, where the console shows it. A session that
    is there already goes on, its lines being the history; one of that id elsewhere is refused, so that nobody comes to
    another's by its name. Reading and writing raise `StorageError`.

    It is made in the event loop that the store was opened in, and may be used from any other, as `Runner.run_sync` in
    a thread does: storage is reached in the first as long as that runs. What is changed is changed to the end: who is
    cancelled meanwhile is so once it is done.
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
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """`now` gives times with a zone, `chance` 50 random bits. The `limit` of `session_settings` counts where
        `get_items` is given none. Raises `TypeError` for settings that the SDK does not know."""
        self.session_id = session_id
        self.session_settings = None if session_settings is None else _settings(session_settings)
        self._store = store
        self._person, self._agent = person, agent
        self._channel = channel or Channel(front="web", id=person.id, kind="web", name=person.name, parent_id=person.id)
        self._now, self._chance = now, chance
        self._alone = asyncio.Lock()
        self._home = _running()

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The latest `limit` items, or all of them, oldest first; each is a dict as the Responses API has it."""
        settings = self.session_settings
        wanted = settings.limit if limit is None and settings is not None else limit
        return await self._reached(self._latest(None if wanted is None or wanted < 0 else wanted))

    async def add_items(self, items: Sequence[Any]) -> None:
        """Keeps items behind those that are there: all of them or none. Raises `TypeError` where one has no JSON, and
        `StorageError`: only when storage then refuses to take back what it has kept, too, some of them stay."""
        if items:
            await _ended(self._reached(self._add(list(items))))

    async def pop_item(self) -> Any:
        """Takes the latest item away for good and returns it; None where there is none."""
        return await _ended(self._reached(self._pop()))

    async def clear_session(self) -> None:
        """Removes every item for good. The session stays, empty, with its title and tags."""
        await _ended(self._reached(self._clear()))

    def _reached(self, work: Coroutine[Any, Any, Result]) -> asyncio.Future[Result]:
        """The work, under way where storage can be reached."""
        home = self._home
        if home is None or home is asyncio.get_running_loop() or not home.is_running():
            return asyncio.ensure_future(work)
        return asyncio.ensure_future(_at_home(work, home))

    async def _latest(self, wanted: int | None) -> list[Item]:
        found: list[Item] = []
        if wanted == 0 or await self._kept() is None:
            return found
        cursor: str | None = None
        while wanted is None or len(found) < wanted:
            missing = _PAGE if wanted is None else min(_PAGE, wanted - len(found))
            page = await self._store.read(self.session_id, cursor=cursor, limit=missing)
            found[:0] = [item for message in page.items if (item := _item(message)) is not None]
            cursor = page.older
            if cursor is None:
                break
        return found

    async def _add(self, items: Sequence[Any]) -> None:
        async with self._alone:
            at = self._now()
            session = await self._kept() or Session(
                id=self.session_id, channel=self._channel, persona=self._agent.id, opened_at=at, last_at=at
            )
            lines = await self._lines(items, at)
            await self._keep(_gone_on(session, lines), lines)

    async def _pop(self) -> Item | None:
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

    async def _clear(self) -> None:
        async with self._alone:
            while await self._kept() is not None:
                page = await self._store.read(self.session_id, limit=_PAGE, deleted=True)
                if not page.items:
                    return
                await self._store.remove_messages([message.id for message in page.items])

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
        if all(each is True for each in done):
            return
        kept = [line.id for line, each in zip(lines, done, strict=True) if each is True]
        if kept:
            await self._store.remove_messages(kept)
        failed = next((each for each in done if isinstance(each, BaseException)), None)
        raise failed or StorageError("The id of an item is taken: `chance` must give other bits each time.")

    async def _lines(self, items: Sequence[Any], at: datetime) -> list[Message]:
        """The messages that the items are kept as; each of the agent's answers the line of the person before it."""
        asked = None if dict(items[0]).get("role") == "user" else await self._asked()
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

    async def _asked(self) -> str | None:
        """The latest line of the person; None where it is not among the last 200."""
        cursor: str | None = None
        for _ in range(10):
            page = await self._store.read(self.session_id, cursor=cursor, limit=20)
            found = next((line.id for line in reversed(page.items) if line.role == "user"), None)
            cursor = page.older
            if found is not None or cursor is None:
                return found
        return None


def _settings(given: SessionSettings | dict[str, Any]) -> SessionSettings:
    from agents.memory import SessionSettings  # takes seconds, the first time

    return given if isinstance(given, SessionSettings) else SessionSettings().resolve(given)


async def _at_home(work: Coroutine[Any, Any, Result], home: asyncio.AbstractEventLoop) -> Result:
    """What comes of the work in another thread's loop. Raises `StorageError` when that ends meanwhile."""
    try:
        handed = asyncio.run_coroutine_threadsafe(work, home)
    except RuntimeError as error:  # it is closed
        work.close()
        raise StorageError(_HOME_ENDED) from error
    told = asyncio.wrap_future(handed)
    try:
        while not handed.done() and home.is_running():
            await asyncio.wait((told,), timeout=_LOOKS_AFTER)
        if handed.done() and not handed.cancelled():
            return handed.result()
        raise StorageError(_HOME_ENDED)
    finally:
        told.cancel()
        if inspect.getcoroutinestate(work) == inspect.CORO_CREATED and not home.is_running():
            work.close()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _ended(work: asyncio.Future[Result]) -> Result:
    """What comes of the work, once it is over, however often the caller is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    if cancelled is None:
        return work.result()
    if not work.cancelled():
        work.exception()  # looked at, so that nobody is told that it was not
    raise cancelled


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
