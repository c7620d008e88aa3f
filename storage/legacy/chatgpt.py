"""ChatGPT's data export: its conversations, each with every branch, and the files beside them.

The way to where a conversation stands is a session. Every other way that was taken from one of its lines is a session
too, which holds the lines after the fork and names the session and the line that it left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..model import Message, Role, Sender, SessionContext
from . import Refused, Spot, Taken, Terms
from .branches import ZONE, Talk, began
from .chatgpt_parts import Said, asset_files, called
from .reading import Places, flat, items, known_id, surely, told, when, words
from .source import Source
from .talks import Account, after, beside, first_talk, mapping, mappings, placed, shown, talk_files

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
    along = _Beside(asset_files(source), {})
    for file, key in (("shared_conversations.json", "shared"), ("message_feedback.json", "feedback")):
        for note in beside(source, file):
            if isinstance(note, Refused):
                yield note
                continue
            for each in mappings(note[1]):
                of = along.notes.setdefault(told(each.get("conversation_id")), {})
                of[f"{key}_{told(each.get('id'))}"] = told(each)
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
            for taken in surely(spot, _talk(id, record, spot, account, terms, along)):
                yield placed(taken, spot, starts) if isinstance(taken, Refused) else taken


@dataclass(frozen=True, slots=True)
class _Beside:
    """What an export has beside its conversations."""

    files: Mapping[str, str]
    """As of `asset_files`."""
    notes: dict[str, dict[str, str]]
    """By conversation, what is said of it elsewhere."""


def _account(source: Source) -> Account:
    for found in beside(source, "user.json"):
        user = mapping(None if isinstance(found, Refused) else found[1])
        id = words(user.get("id"))
        if id:
            name = words(user.get("name")) or (words(user.get("email")) or id).partition("@")[0]
            return Account(PROGRAM, id, name)
    return Account(PROGRAM, "account", "somebody")


def _talk(
    id: str, record: Mapping[str, Any], spot: Spot, account: Account, terms: Terms, beside: _Beside
) -> Iterator[Taken | Refused]:
    yield from _Talk(id, record, spot, account, terms, beside).taken()


class _Talk(Talk):
    def __init__(
        self, id: str, record: Mapping[str, Any], spot: Spot, account: Account, terms: Terms, beside: _Beside
    ) -> None:
        super().__init__(id, record, spot, account, terms)
        self._files, self._notes = beside.files, beside.notes.get(id, {})
        self._nodes = {told(key): mapping(node) for key, node in record["mapping"].items()}
        self.parents = {key: words(node.get("parent")) for key, node in self._nodes.items()}
        times = (mapping(node.get("message")).get("create_time") for node in self._nodes.values())
        self._began = began(record.get("create_time"), times)
        self._context = SessionContext()

    def taken(self) -> Iterator[Taken | Refused]:
        """Its sessions with their messages."""
        return self.sessions(_TITLE, words(self.record.get("current_node")))

    def about(self) -> Mapping[str, Any]:
        return {
            "title": words(self.record.get("title")) or "",
            "context": self._context,
            "archived": self.record.get("is_archived") is True,
            "starred": self.record.get("is_starred") is True,
            "metadata": {**flat(self.record, *_TAKEN), **self._notes, "from": PROGRAM, "legacy_id": self.id},
        }

    def place(self, line: str) -> Spot:
        return Spot(self.spot.file, item=f"{self.spot.item}.mapping.{line}")

    def line(self, node: str) -> Iterator[Taken | Refused]:
        record, spot = self._nodes[node].get("message"), self.place(node)
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
        before = self.before(node)
        at = after(self._time(record, before), before.at if before else None)
        asked = next((kept.id for each, _ in self._ancestors(node) if (kept := self._said_by_person(each))), None)
        self.kept[node] = Message(
            id=known_id(at, PROGRAM, self.id, node),
            session_id="",
            role=role,
            sender=self._sender(record, role),
            parts=said.parts,
            at=at,
            reply_to=asked if role == "assistant" else None,
            metadata={**said.metadata, "from": PROGRAM, "legacy_id": node},
        )
        return Taken(self.kept[node], self.place(node), said.files)

    def _time(self, record: Mapping[str, Any], before: Message | None) -> datetime:
        """When it was said; as many have no time, else the time of the one before or of the whole."""
        given = record.get("create_time")
        found = when(given, ZONE)
        if given is not None and found is None:
            raise ValueError(f"Its create_time is no time: {shown(given)}.")
        if found is None and before is not None:
            return before.at
        return found or self._began

    def _sender(self, record: Mapping[str, Any], role: Role) -> Sender:
        if role == "user":
            return self.account.person
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
        parent = self.parents[node]
        while parent in self._nodes:
            yield parent, mapping(self._nodes[parent].get("message"))
            parent = self.parents[parent]

    def _said_by_person(self, node: str) -> Message | None:
        kept = self.kept.get(node)
        return kept if kept is not None and kept.role == "user" else None
