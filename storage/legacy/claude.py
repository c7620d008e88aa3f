"""Claude's data export: its conversations with their branches, its projects, and what it remembers of a person.

What a project was told, its documents and what Claude noted for itself become memories, of which one may be told where
the conversations are. Files that people put in come with the words that were found in them; the files are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from ..model import Message, Note, Part, Role, Sender, Text, ToolCall, ToolResponse
from ..records import Memory
from . import Refused, Spot, Taken, Terms
from .branches import ZONE, Talk, began
from .reading import Places, attempted, chance, document, flat, items, known_id, surely, told, when, words
from .source import Source
from .talks import (
    Account,
    after,
    beside,
    file_part,
    first_talk,
    mapping,
    mappings,
    placed,
    plain,
    shown,
    talk_files,
)

PROGRAM = "claude"
_TITLE = "Claude"
_ROLES: dict[object, Role] = {"human": "user", "assistant": "assistant"}
_TAKEN = ("uuid", "name", "chat_messages", "is_starred", "current_leaf_message_uuid")
_LINE = ("uuid", "text", "content", "sender", "created_at", "attachments", "files", "files_v2", "parent_message_uuid")
_BLOCK = ("type", "text", "start_timestamp", "stop_timestamp", "flags")


def recognise(source: Source) -> bool:
    """Whether its first conversation is a list of messages as Claude writes it."""
    return isinstance(first_talk(source).get("chat_messages"), list)


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """Every conversation, then what is remembered."""
    users = [each for found in beside(source, "users.json") if isinstance(found, tuple) for each in mappings(found[1])]
    names = {told(each.get("uuid")): words(each.get("full_name")) or "" for each in users}
    met: set[str] = set()
    for name in talk_files(source):
        starts = Places(source, name)
        for found in items(source, name):
            if isinstance(found, Refused):
                yield found
                continue
            spot, record = found
            if not isinstance(record, Mapping) or not isinstance(record.get("chat_messages"), list):
                yield Refused(starts.found(spot), "A conversation is an object with `chat_messages`; this is none.")
                continue
            id = words(record.get("uuid")) or ""
            if not id or id in met:
                why = f"A conversation of the id {shown(id)} was taken already." if id else "It has no id."
                yield Refused(starts.found(spot), why)
                continue
            met.add(id)
            account = _account(mapping(record.get("account")), names)
            for taken in surely(spot, _talk(id, record, spot, account, terms)):
                yield placed(taken, spot, starts) if isinstance(taken, Refused) else taken
    yield from _remembered(source, names, terms)


def _account(of: Mapping[str, Any], names: Mapping[str, str]) -> Account:
    """Whose something is: nobody's where it does not say so and the export is of several people."""
    id = words(of.get("uuid")) or (next(iter(names)) if len(names) == 1 else "") or "account"
    return Account(PROGRAM, id, words(of.get("full_name")) or names.get(id) or "somebody")


def _talk(id: str, record: Mapping[str, Any], spot: Spot, account: Account, terms: Terms) -> Iterator[Taken | Refused]:
    yield from _Talk(id, record, spot, account, terms).taken()


class _Talk(Talk):
    def __init__(self, id: str, record: Mapping[str, Any], spot: Spot, account: Account, terms: Terms) -> None:
        super().__init__(id, record, spot, account, terms)
        self._records: dict[str, tuple[Spot, Mapping[str, Any]]] = {}
        times = (each.get("created_at") for each in mappings(record["chat_messages"]))
        self._began = began(record.get("created_at"), times)

    def taken(self) -> Iterator[Taken | Refused]:
        """Its sessions with their messages."""
        yield from self._listed()
        last = words(self.record.get("current_leaf_message_uuid"))
        yield from self.sessions(_TITLE, last if last in self._records else next(reversed(self._records), None))

    def about(self) -> Mapping[str, Any]:
        return {
            "title": words(self.record.get("name")) or "",
            "starred": self.record.get("is_starred") is True,
            "metadata": {**flat(self.record, *_TAKEN), "from": PROGRAM, "legacy_id": self.id},
        }

    def place(self, line: str) -> Spot:
        return self._records[line][0]

    def line(self, line: str) -> Iterator[Taken | Refused]:
        spot, record = self._records[line]
        yield attempted(spot, lambda: self._line(line, spot, record))

    def _listed(self) -> Iterator[Refused]:
        """Finds the messages by their ids, and what each follows: what it names, else the one before it."""
        before: str | None = None
        for number, record in enumerate(self.record["chat_messages"]):
            spot = Spot(self.spot.file, item=f"{self.spot.item}.chat_messages[{number}]")
            id = words(mapping(record).get("uuid"))
            if not id:
                yield Refused(spot, "A message is an object with `uuid`, `sender` and `text`; this is none.")
            elif id in self._records:
                yield Refused(spot, f"A message of the id {shown(id)} was taken already.")
            else:
                self._records[id] = (spot, record)
                self.parents[id] = words(record["parent_message_uuid"]) if "parent_message_uuid" in record else before
                before = id

    def _line(self, id: str, spot: Spot, record: Mapping[str, Any]) -> Taken | Refused:
        role = _ROLES.get(told(record.get("sender")))
        at = when(record.get("created_at"), ZONE)
        if role is None:
            return Refused(spot, f"Nobody knows the sender {shown(record.get('sender'))}: human or assistant.")
        if at is None and record.get("created_at") is not None:
            return Refused(spot, f"Its created_at is no time: {shown(record.get('created_at'))}.")
        before = self.before(id)
        if at is None:
            at = before.at if before else self._began
        at = after(at, before.at if before else None)
        self.kept[id] = Message(
            id=known_id(at, PROGRAM, self.id, id),
            session_id="",
            role=role,
            sender=self.account.person if role == "user" else Sender(type="persona", id=PROGRAM, name=_TITLE),
            parts=tuple(_parts(id, record)) or (Text(text=""),),
            at=at,
            reply_to=before.id if before and before.role == "user" and role == "assistant" else None,
            metadata={**flat(record, *_LINE), **_blocks(record), "from": PROGRAM, "legacy_id": id},
        )
        return Taken(self.kept[id], spot)


def _parts(id: str, record: Mapping[str, Any]) -> Iterator[Part]:
    blocks = list(mappings(record.get("content")))
    call = id
    for number, block in enumerate(blocks):
        kind = block.get("type")
        if kind == "tool_use":
            call = words(block.get("id")) or f"{id}/{number}"
            yield ToolCall(call_id=call, tool=words(block.get("name")) or "tool", arguments=plain(block.get("input")))
        elif kind == "tool_result":
            yield _given_back(block, words(block.get("tool_use_id")) or call)
        elif kind == "thinking":
            if words(block.get("thinking")):
                yield Note(text=str(words(block["thinking"])))
        elif words(block.get("text")):
            yield Text(text=str(words(block["text"])))
    if not any(isinstance(words(block.get("text")), str) for block in blocks) and words(record.get("text")):
        yield Text(text=str(words(record["text"])))
    yield from _files(record)


def _given_back(block: Mapping[str, Any], call: str) -> ToolResponse:
    content = block.get("content")
    texts = [each.get("text") for each in mappings(content)]
    simple = isinstance(content, list) and len(texts) == len(content) and all(isinstance(each, str) for each in texts)
    result = "\n".join(map(str, texts)) if simple and texts else content
    failed = words(block.get("message")) or told(result) if block.get("is_error") is True else None
    return ToolResponse(
        call_id=call, tool=words(block.get("name")) or "tool", result=plain(result), error=failed or None
    )


def _files(record: Mapping[str, Any]) -> Iterator[Part]:
    for each in mappings(record.get("attachments")):
        name = words(each.get("file_name")) or "pasted text"
        url = f"claude:{words(each.get('id')) or name}"
        media = words(each.get("file_type"))
        found = words(each.get("extracted_content")) or ""
        yield file_part(name, url, size=each.get("file_size") or 0, media_type=media, description=found)
    met: set[str] = set()
    for key in ("files_v2", "files"):
        for each in mappings(record.get(key)):
            name = words(each.get("file_name")) or "file"
            url = f"claude:{words(each.get('file_uuid')) or name}"
            if url not in met:
                met.add(url)
                yield file_part(name, url, size=each.get("file_size") or 0)


def _blocks(record: Mapping[str, Any]) -> dict[str, str]:
    """What else the blocks of a message say: citations, titles, what was shown beside a tool."""
    more = (flat(each, *_BLOCK, "name", "input", "content", "thinking") for each in mappings(record.get("content")))
    return flat({"blocks": [each for each in more if set(each) - {"is_error", "cut_off", "truncated"}]})


def _remembered(source: Source, names: Mapping[str, str], terms: Terms) -> Iterator[Taken | Refused]:
    for name in source.names:
        file = name.rpartition("/")[2]
        if file in ("projects.json", "memories.json") or f"/{name}".rpartition("/")[0].endswith(
            ("/projects", "/memories")
        ):
            found = document(source, name) if name.endswith(".json") else None
            if isinstance(found, Refused):
                yield found
                continue
            for number, each in enumerate(mappings(found if isinstance(found, list) else [found])):
                spot = Spot(name, item=f"[{number}]")
                noted = _noted(each, names, terms) if _is_memory(each) else _project(each, names, terms)
                yield from surely(spot, (Taken(memory, spot) for memory in noted))


def _is_memory(record: Mapping[str, Any]) -> bool:
    return "conversations_memory" in record or "project_memories" in record


def _project(record: Mapping[str, Any], names: Mapping[str, str], terms: Terms) -> Iterable[Memory]:
    id = words(record.get("uuid")) or ""
    creator = mapping(record.get("creator"))
    room = _account(creator, names).room(_TITLE).key
    at = when(record.get("created_at"), ZONE) or terms.at
    name = words(record.get("name")) or id
    more = {**flat(record, "uuid", "name", "docs", "prompt_template", "creator"), "project": name, "legacy_id": id}
    told_to = words(record.get("prompt_template"))
    if told_to:
        yield _memory("procedural", (id, "prompt"), at, room, f"project:{id}", told_to, more)
    for number, doc in enumerate(mappings(record.get("docs"))):
        text = words(doc.get("content"))
        if text:
            key = words(doc.get("uuid")) or str(number)
            about = {**more, **flat(doc, "content", "uuid"), "legacy_id": key}
            written = when(doc.get("created_at"), ZONE) or at
            yield _memory("semantic", (id, key), written, room, f"project:{id}", text, about)


def _noted(record: Mapping[str, Any], names: Mapping[str, str], terms: Terms) -> Iterable[Memory]:
    account = _account({"uuid": record.get("account_uuid")}, names)
    room, person = account.room(_TITLE).key, f"user:{account.id}"
    text = words(record.get("conversations_memory"))
    if text:
        yield _memory("semantic", (account.id, "memory"), terms.at, room, person, text, {})
    for project, noted in mapping(record.get("project_memories")).items():
        if words(noted):
            key = (account.id, "memory", project)
            yield _memory("semantic", key, terms.at, room, f"project:{told(project)}", str(words(noted)), {})


def _memory(
    type: Literal["semantic", "procedural"],
    key: tuple[str, ...],
    at: datetime,
    room: str,
    subject: str,
    text: str,
    more: Mapping[str, str],
) -> Memory:
    id = f"{PROGRAM}-{chance(*key):016x}"
    return Memory(
        id=id, type=type, at=at, audience=room, subject=subject, text=text, metadata={**more, "from": PROGRAM}
    )
