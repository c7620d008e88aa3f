"""The third Flatfile chat database: a folder for each session, a file for each message; those we wrote as well."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..model import Annotation, Attachment, Channel, Message, Note, Part, Sender, Session, storable
from ..records import RECORDS, Memory, Profile, Run
from ..v3 import blob_name, files_of, foreign_id, is_placed, memory_from_v3, message_from_v3, session_from_v3
from . import Refused, Spot, Taken, Terms
from .flatfile_v3_agents import persona
from .once import Once
from .reading import attempted, chance, document, flat, lines, surely, told, when, words
from .sorting import Sorted
from .source import Source
from .talks import plain

_SESSION = re.compile(r"(?:users/(?P<user>[^/]+)/sessions|panels)/(?P<session>[^/]+)/metadata\.json")
_OURS = "system/troupe"
_OTHER = re.compile(
    r"traces/|tools/|workflows/[^/]+/executions/|system/|memory/indexes/|agents/.*/(prompts|knowledge)/"
)
_NO_PLACE = "It is neither talk nor memory nor a persona: there is no place for it."
_LATELY = 1_000
"""Sessions that are remembered while messages of many are read."""
_PICTURE: Mapping[str, Any] = {"images": "image", "audio": "audio", "video": "video"}
Item = Taken | Refused


def recognise(source: Source) -> bool:
    """Whether there is a session with its `metadata.json` beside a folder of messages, or such a panel."""
    top = _top(source)
    return top is not None


def read(source: Source, terms: Terms) -> Iterator[Item]:
    """Everything in it. Talk that another program wrote is in a channel for each user; ours is where it was."""
    return _Reading(source, terms).all()


def _top(source: Source) -> str | None:
    """The folder in which `users/` and `panels/` are."""
    for name in source.names:
        if (found := re.search(rf"(?:^|/){_SESSION.pattern}$", name)) is not None:
            top = name[: found.start() + (1 if name[found.start()] == "/" else 0)]
            if any(other.startswith(f"{name.removesuffix('metadata.json')}messages/") for other in source.names):
                return top
    return None


class _Reading:
    def __init__(self, source: Source, terms: Terms) -> None:
        self._source, self._terms = source, terms
        self._prefix = _top(source) or ""
        self._names = [name.removeprefix(self._prefix) for name in source.names if name.startswith(self._prefix)]
        self._known = frozenset(self._names)
        self._done: set[str] = set()
        self._homes: dict[str, Channel] = {}
        """By the folders of users, where their talk is."""
        self._session = lru_cache(_LATELY)(self._read_session)

    def all(self) -> Iterator[Item]:
        yield from self._channels()
        yield from self._profiles()
        metas = [name for name in self._names if _SESSION.fullmatch(name)]
        if ours := f"{_OURS}/messages.jsonl" in self._known:
            for name in metas:
                found = self._session(name)
                yield Taken(found, Spot(name)) if isinstance(found, Session) else found
            yield from self._in_order()
        for name in metas:
            yield from surely(Spot(name), self._talk(name, opened=ours))
        yield from self._memories()
        yield from self._records()
        yield from self._agents()
        yield from self._runs()
        for name in self._names:
            if name not in self._done and not name.endswith((".lock", ".tmp")):
                why = _NO_PLACE if _OTHER.search(name) else "Nothing here reads this file: it is left where it is."
                yield Refused(Spot(name), why)

    def _within(self, folder: str) -> list[str]:
        first = bisect_left(self._names, f"{folder}/")
        return self._names[first : bisect_left(self._names, f"{folder}0", first)]  # "0" comes right after "/"

    def _document(self, name: str) -> Any | Refused:
        self._done.add(name)
        found = document(self._source, self._prefix + name)
        if isinstance(found, Refused | Mapping):
            return found
        return Refused(Spot(name), "It holds no JSON object.")

    def _lines(self, name: str) -> Iterator[tuple[Spot, Any] | Refused]:
        if name in self._known:
            self._done.add(name)
            yield from lines(self._source, self._prefix + name)

    def _channels(self) -> Iterator[Item]:
        for found in self._lines(f"{_OURS}/channels.jsonl"):
            if isinstance(found, Refused):
                yield found
                continue
            try:
                yield Taken(Channel.model_validate(plain(found[1])), found[0])
            except ValidationError:
                yield Refused(found[0], "It is no channel as Troupe writes it.")

    def _profiles(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"users/([^/]+)/profile\.json", name)
            if match is None:
                continue
            found = self._document(name)
            if isinstance(found, Refused):
                yield found
                continue
            try:
                self._homes[match[1]] = Channel.model_validate(plain((found.get("metadata") or {}).get("troupe")))
            except (ValidationError, AttributeError):
                profile = attempted(Spot(name), partial(self._profile, match[1], found))
                yield profile if isinstance(profile, Refused) else Taken(profile, Spot(name))

    def _profile(self, folder: str, found: Mapping[str, Any]) -> Profile:
        user = told(found.get("user_id") or folder)
        name = words(found.get("username")) or words(found.get("name")) or user
        self._homes[folder] = Channel(front="web", kind="web", id=user, name=name, parent_id=user)
        at = when(found.get("created_at"), self._terms.zone) or self._terms.at
        left = {key: value for key, value in found.items() if key not in ("user_id", "username", "name")}
        return Profile(id=user, at=at, name=name, preferences={told(key): plain(each) for key, each in left.items()})

    def _home(self, folder: str) -> Channel:
        id = storable(folder)
        return self._homes.setdefault(folder, Channel(front="web", kind="web", id=id, name=id, parent_id=id))

    def _panels_room(self, folder: str, participants: object) -> Channel:
        """A panel with one user is in that user's room; every other is in one of its own."""
        listed = [each for each in participants if isinstance(each, Mapping)] if isinstance(participants, list) else []
        users = {told(each.get("id")) for each in listed if each.get("type") == "user" and each.get("id")}
        if len(users) == 1:
            (user,) = users
            return next((home for home in self._homes.values() if home.parent_id == user), None) or self._home(user)
        return Channel(front="web", kind="web", id=storable(f"panel-{folder}"), name=storable(folder))

    def _read_session(self, name: str) -> Session | Refused:
        found = self._document(name)
        return found if isinstance(found, Refused) else attempted(Spot(name), partial(self._opened, name, found))

    def _opened(self, name: str, found: Mapping[str, Any]) -> Session:
        match = _SESSION.fullmatch(name)
        user, folder = (match["user"], match["session"]) if match else (None, "")
        given = {"id": folder, **({} if user else {"type": "panel"}), **found}
        at = name.removesuffix("metadata.json")
        listed = self._beside_it(f"{at}participants.json")
        listed = listed.get("participants") if isinstance(listed, Mapping) else listed
        if "participants" not in found:
            given["participants"] = listed
        elif listed not in (None, found["participants"]):
            self._done.discard(f"{at}participants.json")
        current, before = self._beside_it(f"{at}context/current.json"), found.get("context")
        if isinstance(current, Mapping) and current and current != before:
            given |= {"context": current} | ({"earlier_context": before} if before else {})
        room = self._home(user) if user else self._panels_room(folder, given.get("participants"))
        return session_from_v3(given, room, self._terms.zone, self._terms.at)

    def _beside_it(self, name: str) -> Any:
        """A document that tells more of a session; None where there is none, or none that can be read: then it is not
        among those that were read."""
        found = document(self._source, self._prefix + name) if name in self._known else None
        if not isinstance(found, Mapping | list):
            return None
        self._done.add(name)
        return found

    def _talk(self, name: str, *, opened: bool) -> Iterator[Item]:
        """A session with its messages; `opened` where it itself was given before."""
        session = self._session(name)
        if isinstance(session, Refused):
            if not opened:
                yield session
            return
        if not opened:
            yield Taken(session, Spot(name))
        yield from self._messages(name.removesuffix("/metadata.json"), session)

    def _in_order(self) -> Iterator[Item]:
        """The messages of ours in the order in which they were kept."""
        for found in self._lines(f"{_OURS}/messages.jsonl"):
            if isinstance(found, Refused):
                yield found
                continue
            name = found[1].get("file") if isinstance(found[1], Mapping) else None
            meta = f"{name}".partition("/messages/")[0] + "/metadata.json"
            session = self._session(meta) if meta in self._known and _SESSION.fullmatch(meta) else None
            if not isinstance(name, str) or name not in self._known or not isinstance(session, Session):
                yield Refused(found[0], "It names a message that is not there.")
            elif name in self._done:
                yield Refused(found[0], "The message that it names was taken already.")
            else:
                yield from self._message(name, session, None)

    def _messages(self, folder: str, session: Session) -> Iterator[Item]:
        """A session's messages in the order of time; what else is in its folder stands beside the last."""
        self._done.add(f"{folder}/messages/index.jsonl")
        named = self._within(folder)
        before: datetime | None = None
        notes = yield from self._insights(folder, named)
        once = Once()
        last: Taken | None = None
        with Sorted(self._terms.scratch) as ordered:
            for name in named:
                if name.startswith(f"{folder}/messages/") and name.endswith(".json") and name not in self._done:
                    for found in self._message(name, session, before):
                        if isinstance(found, Refused):
                            yield found
                        elif isinstance(found.item, Message):
                            before = found.item.at
                            ordered.add("", found.item, found.spot, found.files)
            for found in once.lines(ordered.of("")):
                yield from once.refused()
                if last is not None:
                    yield last
                last = found
        yield from once.refused()
        yield from once.copied()
        if last is None and notes:
            last = self._said(session, "insights", before or session.opened_at, (Note(text="Insights:"),), folder)
        if last is not None and isinstance(last.item, Message):
            yield Taken(
                last.item.model_copy(update={"annotations": tuple(notes)}) if notes else last.item,
                last.spot,
                last.files,
            )
        yield from self._beside(folder, named, session, before or session.opened_at)

    def _message(self, name: str, session: Session, before: datetime | None) -> Iterator[Item]:
        found = self._document(name)
        if isinstance(found, Refused):
            yield found
            return
        message: Message | Refused | str
        message = attempted(Spot(name), partial(message_from_v3, found, session, self._terms.zone, before))
        if isinstance(message, str):
            message = Refused(Spot(name), message)
        if not isinstance(message, Message):
            yield message
            return
        folder, files = name.partition("/messages/")[0], {}
        for part in files_of(message):
            beside = f"{folder}/{blob_name(part) if part.blob else part.url}"
            if beside in self._known:
                self._done.add(beside)
                files[part.blob or part.url] = self._prefix + beside
        yield Taken(message, Spot(name), files)

    def _insights(self, folder: str, named: list[str]) -> Generator[Refused, None, list[Annotation]]:
        notes: list[Annotation] = []
        for name in named:
            kind = re.fullmatch(rf"{re.escape(folder)}/(insights|decisions)/[^/]+\.json", name)
            found = self._document(name) if kind else None
            if isinstance(found, Refused):
                yield found
            elif kind and found is not None:
                text = next(
                    (told(found[key]) for key in ("content", "text", "insight", "decision") if found.get(key)), ""
                )
                note = Annotation(
                    id=f"v3-{chance(name):x}",
                    kind=kind[1].removesuffix("s"),
                    text=text or told(dict(found)),
                    sender=Sender(type="system", id="flatfile_v3", name="panel"),
                    at=when(found.get("timestamp") or found.get("created_at"), self._terms.zone) or self._terms.at,
                )
                notes.append(note)
        return notes

    def _beside(self, folder: str, named: list[str], session: Session, at: datetime) -> Iterator[Item]:
        """Files that no message names, on a line of their own; earlier contexts as memories."""
        for name in [each for each in named if each.startswith(f"{folder}/context/history/")]:
            found = self._document(name)
            if isinstance(found, Refused):
                yield found
            else:
                text = told(found.get("summary") or dict(found))
                yield Taken(
                    Memory(
                        id=f"v3-{chance(name):x}",
                        at=when(found.get("timestamp"), self._terms.zone) or at,
                        type="episodic",
                        audience=session.channel.key,
                        subject=f"session:{session.id}",
                        text=text,
                        source=session.id,
                        metadata={"from": "flatfile_v3", **flat(found, "summary")},
                    ),
                    Spot(name),
                )
        kept = re.compile(rf"{re.escape(folder)}/(?:multimodal/(?P<kind>images|audio|video)|documents)/.*[^/]")
        alone = [(name, match) for name in named if name not in self._done and (match := kept.fullmatch(name))]
        alone = [(name, match) for name, match in alone if not name.endswith("/metadata.json")]
        if alone:
            parts = tuple(
                Attachment(
                    type=_PICTURE.get(match["kind"], "file"),
                    name=storable(name.rpartition("/")[2]),
                    url=storable(name),
                    size=self._source.size(self._prefix + name),
                )
                for name, match in alone
            )
            self._done.update(name for name, _ in alone)
            taken = self._said(session, "files", at, (Note(text="Files of this session:"), *parts), folder)
            yield Taken(taken.item, taken.spot, {storable(name): self._prefix + name for name, _ in alone})

    def _said(self, session: Session, what: str, at: datetime, parts: tuple[Part, ...], folder: str) -> Taken:
        """A line for what stands in a session's folder and on none of its messages."""
        message = Message(
            id=foreign_id(session.id, what),
            session_id=session.id,
            role="system",
            sender=Sender(type="system", id="flatfile_v3", name=what),
            parts=parts,
            at=at,
            metadata={"from": "flatfile_v3"},
        )
        return Taken(message, Spot(folder))

    def _memories(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"(?:users/(?P<user>[^/]+)/memory|memory/global)/(?:[^/]+/)+[^/]+\.json", name)
            if match is None:
                continue
            found = self._document(name)
            owner = match["user"]
            if not isinstance(found, Refused):
                audience = f"user:{self._home(owner).id}" if owner else "bot"
                make = partial(memory_from_v3, found, audience, audience, self._terms.zone, self._terms.at)
                found = attempted(Spot(name), make)
            if isinstance(found, Memory):
                yield Taken(found, Spot(name))
            else:
                yield found if isinstance(found, Refused) else Refused(Spot(name), found)

    def _records(self) -> Iterator[Item]:
        kinds = {kind.kind: TypeAdapter(kind) for kind in RECORDS}
        for found in self._lines(f"{_OURS}/records.jsonl"):
            if isinstance(found, Refused):
                yield found
                continue
            try:
                record = kinds[found[1]["kind"]].validate_python(plain(found[1]["record"]))
            except (ValidationError, KeyError, TypeError):
                record = None
            if record is not None and is_placed(record):
                yield Taken(record, found[0])
            else:
                yield Refused(found[0], "It is no record as Troupe writes it.")

    def _agents(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"agents/(?:global|user/[^/]+)/([^/]+)/config\.json", name)
            found = self._document(name) if match else None
            if isinstance(found, Refused):
                yield found
            elif match and found is not None:
                taken = attempted(Spot(name), partial(persona, match[1], found))
                yield taken if isinstance(taken, Refused) else Taken(taken, Spot(name))

    def _runs(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"workflows/([^/]+)/(definition|state)\.json", name)
            found = self._document(name) if match else None
            if isinstance(found, Refused):
                yield found
            elif match and found is not None:
                state = told(found.get("status") or found.get("state") or match[2])
                run = Run(
                    id=storable(f"v3-{match[1]}-{match[2]}"),
                    at=self._terms.at,
                    type="workflow",
                    state=state,
                    data={told(key): plain(each) for key, each in found.items()},
                )
                yield Taken(run, Spot(name))
