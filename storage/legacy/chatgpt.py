"""ChatGPT's data export: its conversations, each with every branch, and the files beside them.

The way to where a conversation stands is a session. Every other way that was taken from one of its lines is a session
too, which holds the lines after the fork and names the session and the line that it left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..model import Message, Role, Sender, SessionContext
from . import Refused, Spot, Taken, Terms
from .chatgpt_parts import Said, asset_files, called
from .reading import Places, flat, items, known_id, told, when, words
from .source import Source
from .talks import Account, after, beside, first_talk, limbs, mapping, mappings, placed, shown, talk_files, whole

PROGRAM = "chatgpt"
_TITLE = "ChatGPT"
_ROLES: dict[object, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}
_TAKEN = ("mapping", "title", "id", "conversation_id", "is_archived", "is_starred", "current_node")


def recognise(source: Source) -> bool:
    """Whether its first conversation is a tree of nodes."""
    return isinstance(first_talk(source).get("mapping"), Mapping)


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """Every conversation, one after the other."""
    account = _account(source)
    files = asset_files(source)
    notes: dict[str, dict[str, str]] = {}
    for file, key in (("shared_conversations.json", "shared"), ("message_feedback.json", "feedback")):
        for note in beside(source, file):
            if isinstance(note, Refused):
                yield note
                continue
            for each in mappings(note[1]):
                notes.setdefault(told(each.get("conversation_id")), {})[f"{key}_{told(each.get('id'))}"] = told(each)
    met: set[str] = set()
    for name in talk_files(source):
        starts = Places(source, name)
        for found in items(source, name):
            if isinstance(found, Refused):
                yield found
                continue
            spot, record = found
            if not isinstance(record, Mapping) or not isinstance(record.get("mapping"), Mapping):
                yield Refused(
                    starts.found(spot), "A conversation is an object with a `mapping` of its messages; this is none."
                )
                continue
            id = told(record.get("conversation_id") or record.get("id") or "")
            if not id or id in met:
                why = f"A conversation of the id {shown(id)} was taken already." if id else "It has no id."
                yield Refused(starts.found(spot), why)
                continue
            met.add(id)
            talk = _Talk(id, record, spot, account, files, terms)
            for taken in talk.taken(notes.get(id, {})):
                yield placed(taken, spot, starts) if isinstance(taken, Refused) else taken


def _account(source: Source) -> Account:
    for found in beside(source, "user.json"):
        user = mapping(None if isinstance(found, Refused) else found[1])
        id = words(user.get("id"))
        if id:
            name = words(user.get("name")) or (words(user.get("email")) or id).partition("@")[0]
            return Account(PROGRAM, id, name)
    return Account(PROGRAM, "account", "somebody")


class _Talk:
    def __init__(
        self,
        id: str,
        record: Mapping[str, Any],
        spot: Spot,
        account: Account,
        files: Mapping[str, str],
        terms: Terms,
    ) -> None:
        self._id, self._record, self._spot = id, record, spot
        self._account, self._files, self._terms = account, files, terms
        self._nodes = {told(key): mapping(node) for key, node in record["mapping"].items()}
        self._parents = {key: words(node.get("parent")) for key, node in self._nodes.items()}
        self._kept: dict[str, Message] = {}
        """The messages by their nodes."""
        self._context = SessionContext()

    def taken(self, notes: Mapping[str, str]) -> Iterator[Taken | Refused]:
        """Its sessions with their messages."""
        opened: dict[str, str] = {}
        hanging = dict(self._nodes)
        main: str | None = None
        for limb in limbs(self._parents, words(self._record.get("current_node"))):
            lines: list[Taken] = []
            for node in limb.lines:
                hanging.pop(node)
                for each in self._line(node):
                    if isinstance(each, Taken):
                        lines.append(each)
                    else:
                        yield each
            if not lines:
                continue
            fork = self._before(limb.lines[0])
            session = whole(
                self._account.room(_TITLE),
                lines,
                PROGRAM,
                f"{self._id}/{limb.lines[0] if main else ''}",
                title=words(self._record.get("title")) or "",
                context=self._context,
                parent_id=opened[fork.id] if fork else main,
                branched_at=fork.id if fork else None,
                archived=self._record.get("is_archived") is True,
                starred=self._record.get("is_starred") is True,
                metadata={**flat(self._record, *_TAKEN), **notes, "from": PROGRAM, "legacy_id": self._id},
            )
            main = main or session.id
            yield Taken(session, self._spot)
            for line in lines:
                assert isinstance(line.item, Message)
                opened[line.item.id] = session.id
                yield Taken(line.item.model_copy(update={"session_id": session.id}), line.spot, line.files)
        for node in hanging:
            yield Refused(self._at(node), "The message hangs in a circle of messages that answer each other.")
        if main is None:
            yield Refused(self._spot, f"The conversation {shown(self._record.get('title'))} has no messages.")

    def _line(self, node: str) -> Iterator[Taken | Refused]:
        record, spot = self._nodes[node].get("message"), self._at(node)
        if record is None:  # the root of the tree
            return
        if not isinstance(record, Mapping):
            yield Refused(spot, "A message is an object with `author` and `content`; this is none.")
            return
        author = mapping(record.get("author"))
        role = _ROLES.get(told(author.get("role")))
        if role is None:
            yield Refused(spot, f"Nobody knows the role {shown(author.get('role'))}: user, assistant, system or tool.")
            return
        try:
            said = Said(node, record, role, called(self._ancestors(node)), self._files)
            self._note(said.context)
            if said.parts:
                yield self._message(node, record, role, said)
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            yield Refused(spot, str(error) if type(error) is ValueError else f"It cannot be kept ({shown(error)}).")

    def _message(self, node: str, record: Mapping[str, Any], role: Role, said: Said) -> Taken:
        before = self._before(node)
        at = after(self._time(record, before), before.at if before else None)
        asked = next((kept.id for each, _ in self._ancestors(node) if (kept := self._said_by_person(each))), None)
        self._kept[node] = Message(
            id=known_id(at, PROGRAM, self._id, node),
            session_id="",
            role=role,
            sender=self._sender(record, role),
            parts=said.parts,
            at=at,
            reply_to=asked if role == "assistant" else None,
            metadata={**said.metadata, "from": PROGRAM, "legacy_id": node},
        )
        return Taken(self._kept[node], self._at(node), said.files)

    def _time(self, record: Mapping[str, Any], before: Message | None) -> datetime:
        """When it was said; as many have no time, else the time of the one before or of the whole."""
        given = record.get("create_time")
        found = when(given, self._terms.zone)
        if given is not None and found is None:
            raise ValueError(f"Its create_time is no time: {shown(given)}.")
        if found is None and before is not None:
            return before.at
        return found or when(self._record.get("create_time"), self._terms.zone) or self._terms.at

    def _sender(self, record: Mapping[str, Any], role: Role) -> Sender:
        if role == "user":
            return self._account.person
        if role == "assistant":
            return Sender(type="persona", id=PROGRAM, name=_TITLE)
        name = words(mapping(record.get("author")).get("name")) or _TITLE
        return Sender(type="system", id=name, name=name)

    def _note(self, context: Mapping[str, str]) -> None:
        """What the person told of themself and of how to be answered belongs to the whole conversation."""
        if context.get("user"):
            self._context = self._context.model_copy(update={"shared_knowledge": (context["user"],)})
        if context.get("model"):
            self._context = self._context.model_copy(update={"constraints": (context["model"],)})

    def _ancestors(self, node: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        parent = self._parents[node]
        while parent in self._nodes:
            yield parent, mapping(self._nodes[parent].get("message"))
            parent = self._parents[parent]

    def _before(self, node: str) -> Message | None:
        """The message before it that was kept, in whatever session."""
        return next((self._kept[each] for each, _ in self._ancestors(node) if each in self._kept), None)

    def _said_by_person(self, node: str) -> Message | None:
        kept = self._kept.get(node)
        return kept if kept is not None and kept.role == "user" else None

    def _at(self, node: str) -> Spot:
        return Spot(self._spot.file, item=f"{self._spot.item}.mapping.{node}")
