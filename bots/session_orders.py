"""The verbs about sessions for programs: what is asked as JSON, done by `Conversations`, told as JSON."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from storage.backend import Store
from storage.durable import in_thread
from storage.model import Found, Message, Sender, Session
from storage.records import Template
from storage.sought import Sought

from .comparing import Comparison, as_html
from .conversations import Conversations
from .doors import Doors
from .errors import TroupeError
from .orders import answered
from .remembering import Remembering
from .seeking import one_place, places, sought
from .session_marks import MERGED
from .sessions import Sessions
from .settings import BotSettings
from .templates import EVERYWHERE

Verb = Literal[
    "list",
    "show",
    "search",
    "rename",
    "star",
    "unstar",
    "archive",
    "unarchive",
    "tag",
    "untag",
    "resume",
    "branch",
    "duplicate",
    "merge",
    "compare",
    "templates",
    "save_template",
    "remove_template",
    "new",
]
Told = dict[str, JsonValue]
BY = Sender(type="system", id="operator", name="whoever runs the bot")
_COUNTED = 100
"""Archived sessions that a list counts which shows none of them."""


class Given(BaseModel):
    """What a verb is given; each verb looks at what it needs."""

    model_config = ConfigDict(extra="forbid")
    session: str = ""
    """The id of the session meant."""
    other: str = ""
    """The id of a second one, for `merge` and `compare`."""
    message: str | None = None
    """`branch`: the id of the last message that the branch knows; left out, the newest."""
    title: str = ""
    tags: tuple[str, ...] = ()
    text: str = ""
    """`search`: words. `list`: a part of the title or id."""
    channel: str = ""
    person: str = ""
    persona: str = ""
    since: str = ""
    until: str = ""
    files: bool | None = None
    starred: bool | None = None
    archived: bool | None = None
    """True: only those; False: none of those; left out, `list` shows none and counts them, up to a hundred."""
    limit: int = Field(default=25, ge=1, le=1_000)
    cursor: str | None = None
    """`list`: where the page before ended."""
    name: str = ""
    """Of a template."""
    lines: int = 0
    """`save_template`: how many of the first lines it holds."""
    everywhere: bool = False
    dry_run: bool = False
    html: bool = False


class SessionOrders:
    """Does what is ordered by whoever may see everything. `busy` tells whether an answer with that id, or to a line
    with that id, is under way."""

    def __init__(
        self,
        settings: Callable[[], BotSettings],
        store: Store,
        conversations: Conversations,
        doors: Doors,
        *,
        busy: Callable[[str], bool] = lambda message_id: False,
    ) -> None:
        self._settings, self._store, self._conversations, self._doors = settings, store, conversations, doors
        self._busy = busy
        self._verbs: dict[Verb, Callable[[Given], Awaitable[Told]]] = {
            "list": self._list,
            "show": self._show,
            "search": self._search,
            "rename": self._rename,
            "star": lambda given: self._star(given, True),
            "unstar": lambda given: self._star(given, False),
            "archive": lambda given: self._archive(given, True),
            "unarchive": lambda given: self._archive(given, False),
            "tag": lambda given: self._tag(given, add=True),
            "untag": lambda given: self._tag(given, add=False),
            "resume": self._resume,
            "branch": self._branch,
            "duplicate": self._duplicate,
            "merge": self._merge,
            "compare": self._compare,
            "templates": self._templates,
            "save_template": self._save_template,
            "remove_template": self._remove_template,
            "new": self._new,
        }

    async def do(self, verb: str, given: Mapping[str, Any]) -> Told:
        """Does one thing. Raises `TroupeError` with a sentence, and `StorageError`."""
        act = self._verbs.get(verb)  # type: ignore[call-overload]
        if act is None:
            raise TroupeError(f"There is no order '{verb[:40]}' about sessions; there are: {', '.join(self._verbs)}.")
        try:
            asked = Given.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise TroupeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
        told: Told = await act(asked)
        return told

    async def order(self, asked: Mapping[str, str], say: Callable[[str], Awaitable[None]]) -> None:
        """An order at the bot's own door: `verb`, and `given` as JSON. Tells the JSON of the answer in pieces, each a
        JSON string."""
        await answered("sessions", self.do, asked, say)

    async def _list(self, given: Given) -> Told:
        meant, hidden = await self._sought(given), 0
        if meant.archived is None:
            archived, meant = replace(meant, archived=True), replace(meant, archived=False)
            left_out = await self._conversations.listing(None, text=given.text, sought=archived, limit=_COUNTED)
            hidden = len(left_out.items)
        found: list[Session] = []
        cursor = given.cursor
        while True:
            limit = given.limit - len(found)
            page = await self._conversations.listing(None, text=given.text, sought=meant, cursor=cursor, limit=limit)
            found += page.items
            cursor = page.older
            if cursor is None or len(found) == given.limit:
                return {"sessions": [shown(each) for each in found], "older": cursor, "archived_not_shown": hidden}

    async def _show(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        lines = await self._store.messages(session.id, limit=given.limit)
        context = session.context.model_dump(mode="json")
        return {**shown(session), "context": context, "lines": [line_shown(each) for each in lines]}

    async def _search(self, given: Given) -> Told:
        meant = await self._sought(given)
        found = await self._conversations.search(given.text, None, limit=given.limit, sought=meant)
        return {"found": [_hit(each) for each in found]}

    async def _rename(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        return shown(await self._conversations.rename(session.id, given.title))

    async def _star(self, given: Given, on: bool) -> Told:
        session = await self._conversations.show(given.session, None)
        return await self._titled(await self._conversations.star(session.id, on))

    async def _archive(self, given: Given, on: bool) -> Told:
        session = await self._conversations.show(given.session, None)
        async with self._doors.of(session.channel.key):
            return await self._titled(await self._conversations.archive(session.id, on))

    async def _tag(self, given: Given, *, add: bool) -> Told:
        session = await self._conversations.show(given.session, None)
        added, removed = (given.tags, ()) if add else ((), given.tags)
        return await self._titled(await self._conversations.tag(session.id, added, removed))

    async def _resume(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        async with self._doors.of(session.channel.key):
            return await self._titled(await self._conversations.resume(session.channel, session.id))

    async def _branch(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        async with self._doors.of(session.channel.key):
            return shown(await self._conversations.branch(session.id, given.message, session.channel))

    async def _duplicate(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        async with self._doors.of(session.channel.key):
            return shown(await self._conversations.duplicate(session.id))

    async def _merge(self, given: Given) -> Told:
        first = await self._conversations.show(given.session, None)
        second = await self._conversations.show(given.other, None)
        async with self._doors.of(first.channel.key):
            if given.dry_run:
                lines, came = await self._conversations.would_merge(first.id, second.id)
                archived: list[JsonValue] = [first.id, second.id]
                return {"dry_run": True, "lines": lines, "came": came, "archived": archived}
            merged = await self._conversations.merge_two(first.id, second.id, busy=self._busy)
        return {"session": shown(merged.session), "lines": merged.lines, "came": merged.came}

    async def _compare(self, given: Given) -> Told:
        first = await self._conversations.show(given.session, None)
        second = await self._conversations.show(given.other, None)
        comparison = await self._conversations.compare(first.id, second.id)
        return compared_shown(comparison) | ({"html": await in_thread(as_html, comparison)} if given.html else {})

    async def _templates(self, given: Given) -> Told:
        offered = await self._conversations.templates.offered(self._settings(), None)
        return {"templates": [await self._template_shown(each) for each in offered]}

    async def _save_template(self, given: Given) -> Told:
        session = await self._conversations.show(given.session, None)
        kept = await self._store.session(session.id) or session  # without a title out of somebody's words
        template = await self._conversations.templates.save(
            self._settings(), kept, given.name, BY, lines=given.lines, everywhere=given.everywhere
        )
        return await self._template_shown(template)

    async def _remove_template(self, given: Given) -> Told:
        template = await self._template(given)
        await self._conversations.templates.remove(template)
        return await self._template_shown(template)

    async def _new(self, given: Given) -> Told:
        channel = await one_place(self._store, given.channel)
        template = await self._conversations.templates.named(self._settings(), channel, given.name)
        async with self._doors.of(channel.key):
            return shown(await self._conversations.templates.begin(self._settings(), channel, template))

    async def _template(self, given: Given) -> Template:
        meant = await places(self._store, given.channel) if given.channel else None
        offered = await self._conversations.templates.offered(self._settings(), None)
        found = [each for each in offered if each.name.casefold() == given.name.strip().casefold()]
        found = [each for each in found if meant is None or each.audience in meant]
        if len(found) != 1:
            many = "no template" if not found else f"{len(found)} templates"
            raise TroupeError(
                f"There is {many} '{given.name[:40]}': name one of those that are listed, and its channel."
            )
        return found[0]

    async def _sought(self, given: Given) -> Sought:
        return await sought(
            self._store,
            self._settings().personas,
            channels=(given.channel,) if given.channel.strip() else (),
            person=given.person,
            persona=given.persona,
            tags=given.tags,
            since=given.since,
            until=given.until,
            starred=given.starred,
            archived=given.archived,
            files=given.files,
        )

    async def _titled(self, session: Session) -> Told:
        return shown(await self._conversations.show(session.id, None))

    async def _template_shown(self, template: Template) -> Told:
        channel = None if template.audience == EVERYWHERE else await self._store.channel(template.audience)
        given: Told = template.model_dump(mode="json", exclude={"id", "at", "by", "people"})
        return {**given, "by": template.by.name, "channel_name": channel.name if channel else ""}


def at_rest(bot: BotSettings, store: Store, now: Callable[[], datetime]) -> SessionOrders:
    """The orders of a bot that does not run, over its opened store."""

    def chance() -> int:
        return secrets.randbits(50)

    kept = Sessions(store, bot, chance=chance)
    conversations = Conversations(
        store,
        kept,
        now=now,
        chance=chance,
        changed=lambda session_id: None,
        remembering=Remembering(store, now=now, voices=lambda: kept.voices),
    )
    return SessionOrders(lambda: bot, store, conversations, Doors())


def shown(session: Session) -> Told:
    """A session for programs."""
    return {
        "id": session.id,
        "title": session.title,
        "channel": session.channel.key,
        "channel_name": session.channel.name,
        "persona": session.persona,
        "people": [each.name for each in session.participants if each.type == "user"],
        "opened_at": session.opened_at.isoformat(),
        "last_at": session.last_at.isoformat(),
        "closed_at": session.closed_at.isoformat() if session.closed_at else None,
        "messages": session.message_count,
        "tags": list(session.tags),
        "starred": session.starred,
        "archived": session.archived,
        "cleared": session.deleted_at is not None,
        "parent": session.parent_id,
        "merged_into": session.metadata.get(MERGED),
    }


def line_shown(line: Message) -> Told:
    """A message for programs."""
    files: list[JsonValue] = [each.name for each in line.attachments]
    at = line.at.isoformat()
    return {"id": line.id, "role": line.role, "who": line.sender.name, "at": at, "text": line.text, "files": files}


def compared_shown(comparison: Comparison) -> Told:
    """A comparison for programs."""
    left, right = comparison.only
    return {
        "left": shown(comparison.left),
        "right": shown(comparison.right),
        "told": comparison.told(),
        "shared": comparison.shared,
        "only_left": left,
        "only_right": right,
        "rows": [
            {
                "side": row.side,
                "left": line_shown(row.left) if row.left else None,
                "right": line_shown(row.right) if row.right else None,
            }
            for row in comparison.rows
        ],
    }


def _hit(found: Found) -> Told:
    message = found.message
    return {
        **line_shown(message),
        "session": message.session_id,
        "snippet": found.snippet,
        "hits": [list(hit) for hit in found.hits],
        "score": found.score,
    }
