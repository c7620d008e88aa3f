"""The third Flatfile chat database: a folder for each session, a file for each message; those we wrote as well."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..model import Annotation, Attachment, Channel, Message, Note, Sender, Session
from ..records import RECORDS, Memory, Profile, Run
from ..v3 import blob_name, files_of, foreign_id, memory_from_v3, message_from_v3, session_from_v3
from . import Persona, Refused, Spot, Taken, Terms
from .reading import chance, document, flat, lines, told, when, words
from .sorting import Sorted
from .source import Source

_SESSION = re.compile(r"(?:users/(?P<user>[^/]+)/sessions|panels)/(?P<session>[^/]+)/metadata\.json")
_OURS = "system/troupe"
_OTHER = re.compile(
    r"traces/|tools/|workflows/[^/]+/executions/|system/|memory/indexes/|agents/.*/(prompts|knowledge)/"
)
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

    def all(self) -> Iterator[Item]:
        yield from self._channels()
        yield from self._profiles()
        sessions: dict[str, Session] = {}
        for name in self._names:
            if _SESSION.fullmatch(name):
                found = self._session(name)
                if isinstance(found, Session):
                    sessions[name.removesuffix("/metadata.json")] = found
                    yield Taken(found, Spot(name))
                else:
                    yield found
        yield from self._in_order(sessions)
        for folder, session in sessions.items():
            yield from self._messages(folder, session)
        yield from self._memories()
        yield from self._records()
        yield from self._agents()
        yield from self._runs()
        for name in self._names:
            if name not in self._done and _OTHER.search(name):
                yield Refused(Spot(name), "It is neither talk nor memory nor a persona: there is no place for it.")

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
                yield Taken(Channel.model_validate(found[1]), found[0])
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
                self._homes[match[1]] = Channel.model_validate((found.get("metadata") or {}).get("troupe"))
            except (ValidationError, AttributeError):
                yield Taken(self._profile(match[1], found), Spot(name))

    def _profile(self, folder: str, found: Mapping[str, Any]) -> Profile:
        user = told(found.get("user_id") or folder)
        name = words(found.get("username")) or words(found.get("name")) or user
        self._homes[folder] = Channel(front="web", kind="web", id=user, name=name, parent_id=user)
        at = when(found.get("created_at"), self._terms.zone) or self._terms.at
        left = {key: value for key, value in found.items() if key not in ("user_id", "username", "name")}
        return Profile(id=user, at=at, name=name, preferences=left)

    def _home(self, folder: str) -> Channel:
        channel = Channel(front="web", kind="web", id=folder, name=folder, parent_id=folder)
        return self._homes.setdefault(folder, channel)

    def _session(self, name: str) -> Session | Refused:
        found = self._document(name)
        if isinstance(found, Refused):
            return found
        match = _SESSION.fullmatch(name)
        user, folder = (match["user"], match["session"]) if match else (None, "")
        panel = Channel(front="web", kind="web", id="panels", name="panels")
        given = {"id": folder, **({} if user else {"type": "panel"}), **found}
        beside = f"{name.removesuffix('metadata.json')}participants.json"
        if "participants" not in found and beside in self._known:
            self._done.add(beside)
            listed = document(self._source, self._prefix + beside)
            given["participants"] = listed.get("participants") if isinstance(listed, Mapping) else listed
        return session_from_v3(given, self._home(user) if user else panel, self._terms.zone, self._terms.at)

    def _in_order(self, sessions: Mapping[str, Session]) -> Iterator[Item]:
        """The messages of ours in the order in which they were kept."""
        for found in self._lines(f"{_OURS}/messages.jsonl"):
            if isinstance(found, Refused):
                yield found
                continue
            name = found[1].get("file") if isinstance(found[1], Mapping) else None
            session = sessions.get(str(name).partition("/messages/")[0])
            if not isinstance(name, str) or name not in self._known or session is None:
                yield Refused(found[0], "It names a message that is not there.")
            else:
                yield from self._message(name, session, None)

    def _messages(self, folder: str, session: Session) -> Iterator[Item]:
        """A session's messages in the order of time; what else is in its folder stands beside the last."""
        self._done.add(f"{folder}/messages/index.jsonl")
        named = self._within(folder)
        before: datetime | None = None
        notes, last = list(self._insights(folder, named)), None
        with Sorted(self._terms.scratch) as ordered:
            for name in named:
                if name.startswith(f"{folder}/messages/") and name.endswith(".json") and name not in self._done:
                    for found in self._message(name, session, before):
                        if isinstance(found, Refused):
                            yield found
                        elif isinstance(found.item, Message):
                            before = found.item.at
                            ordered.add("", found.item, found.spot, found.files)
            for found in ordered.of(""):
                if last is not None:
                    yield last
                last = found
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
        message = message_from_v3(found, session, self._terms.zone, before)
        if isinstance(message, str):
            yield Refused(Spot(name), message)
            return
        folder, files = name.partition("/messages/")[0], {}
        for part in files_of(message):
            beside = f"{folder}/{blob_name(part) if part.blob else part.url}"
            if beside in self._known:
                self._done.add(beside)
                files[part.blob or part.url] = self._prefix + beside
        yield Taken(message, Spot(name), files)

    def _insights(self, folder: str, named: list[str]) -> Iterator[Annotation]:
        for name in named:
            kind = re.fullmatch(rf"{re.escape(folder)}/(insights|decisions)/[^/]+\.json", name)
            found = self._document(name) if kind else None
            if kind and isinstance(found, Mapping):
                text = next(
                    (told(found[key]) for key in ("content", "text", "insight", "decision") if found.get(key)), ""
                )
                yield Annotation(
                    id=f"v3-{chance(name):x}",
                    kind=kind[1].removesuffix("s"),
                    text=text or told(dict(found)),
                    sender=Sender(type="system", id="flatfile_v3", name="panel"),
                    at=when(found.get("timestamp") or found.get("created_at"), self._terms.zone) or self._terms.at,
                )

    def _beside(self, folder: str, named: list[str], session: Session, at: datetime) -> Iterator[Item]:
        """Files that no message names, on a line of their own; earlier contexts as memories."""
        for name in [each for each in named if each.startswith(f"{folder}/context/")]:
            found = self._document(name)
            if isinstance(found, Mapping) and "/history/" in name:
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
                    name=name.rpartition("/")[2],
                    url=name,
                    size=self._source.size(self._prefix + name),
                )
                for name, match in alone
            )
            self._done.update(name for name, _ in alone)
            message = Message(
                id=foreign_id(session.id, "files"),
                session_id=session.id,
                role="system",
                sender=Sender(type="system", id="flatfile_v3", name="files"),
                parts=(Note(text="Files of this session:"), *parts),
                at=at,
                metadata={"from": "flatfile_v3"},
            )
            yield Taken(message, Spot(folder), {name: self._prefix + name for name, _ in alone})

    def _memories(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"(?:users/(?P<user>[^/]+)/memory|memory/global)/(?:[^/]+/)+[^/]+\.json", name)
            if match is None:
                continue
            found = self._document(name)
            owner = match["user"]
            if not isinstance(found, Refused):
                audience = f"user:{self._home(owner).id}" if owner else "bot"
                found = memory_from_v3(found, audience, audience, self._terms.zone, self._terms.at)
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
                yield Taken(kinds[found[1]["kind"]].validate_python(found[1]["record"]), found[0])
            except (ValidationError, KeyError, TypeError):
                yield Refused(found[0], "It is no record as Troupe writes it.")

    def _agents(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"agents/(?:global|user/[^/]+)/([^/]+)/config\.json", name)
            found = self._document(name) if match else None
            if isinstance(found, Refused):
                yield found
            elif match and found is not None:
                yield Taken(_persona(match[1], found), Spot(name))

    def _runs(self) -> Iterator[Item]:
        for name in self._names:
            match = re.fullmatch(r"workflows/([^/]+)/(definition|state)\.json", name)
            found = self._document(name) if match else None
            if isinstance(found, Refused):
                yield found
            elif match and found is not None:
                state = told(found.get("status") or found.get("state") or match[2])
                run = Run(
                    id=f"v3-{match[1]}-{match[2]}", at=self._terms.at, type="workflow", state=state, data=dict(found)
                )
                yield Taken(run, Spot(name))


def _persona(folder: str, found: Mapping[str, Any]) -> Persona:
    prompt = found.get("prompt")
    said = prompt if isinstance(prompt, Mapping) else {"system": prompt}
    constraints = said.get("constraints")
    limits = "".join(f"\n- {told(each)}" for each in constraints) if isinstance(constraints, list) else ""
    style, traits, examples = found.get("communication_style"), found.get("personality_traits"), said.get("examples")
    return Persona(
        id=told(found.get("id") or folder),
        name=told(found.get("name") or folder),
        description=words(found.get("description")) or "",
        prompt=(words(said.get("system")) or "") + limits,
        traits=tuple(told(each) for each in traits) if isinstance(traits, list | Mapping) else (),
        expertise=_texts(found.get("knowledge_domains")),
        style=flat(style),
        examples=tuple(told(each) for each in examples) if isinstance(examples, list) else (),
        tags=_texts(found.get("routing_keywords")),
        metadata=flat(
            found, "id", "name", "description", "prompt", "knowledge_domains", "communication_style", "routing_keywords"
        ),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(told(each) for each in value) if isinstance(value, list) else ()
