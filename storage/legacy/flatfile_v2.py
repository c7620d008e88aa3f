"""Flatfile Chat Database v2: users, their sessions, panels, personas and vectors in folders, older layouts too.

    users/<user>/profile.json, personas/<id>.json                or <user>/… without `users/`
    users/<user>/<session>/session.json, messages.jsonl, <persona>_messages.jsonl, documents/, context_history/
                           situational_context.json or context.json
    users/<user>/sessions/<session>/vectors/vector_index.jsonl, embeddings.npy
    panel_sessions/<panel>/panel.json, messages.jsonl, insights/, personas/      or panel_sessions/<user>/<panel>/…
    panels/<panel>/insights/
    personas_global/<id>.json

A session's folder may lack its `session.json`. What a panel's voices said stands in `messages.jsonl` and, for each of
them, once more in a file of its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

from ..model import Annotation, Channel, Sender, Session, SessionContext
from ..records import Run
from . import Refused, Spot, Taken, Terms
from .flatfile_folder import Folder, about, named_by, remembered, session_type
from .flatfile_lines import Beside, Cast, bare, voice
from .flatfile_people import People, folder_of, plain, user_folder
from .flatfile_vectors import Place, likenesses
from .flatfile_voices import Voices
from .reading import attempted, document, lines, surely, told, when, words
from .source import Source

PROGRAM = "flatfile_v2"
_SESSION, _PANEL, _LINES, _INDEX = "session.json", "panel.json", "messages.jsonl", "vector_index.jsonl"
_CONTEXTS = ("situational_context.json", "context.json")
_ENTRIES = ("metadata.json", "documents.json")
_HISTORIES = ("context_history.json", "context_history.jsonl")
_INNER = ("documents", "context_history", "vectors", "personas", "insights", "system")
_TALK = re.compile(r"(?:.+_)?messages\.jsonl")
_USERS_TALK = re.compile(r"(?:.*/)?users/[^/]+/(?!sessions/)[^/]+/messages\.jsonl")
_APART = re.compile(r"(?:.*/)?panels/([^/]+)/insights/[^/]+\.json")
_LOOKED_AT = 5
"""The most files of a kind that are opened to recognise a source."""
_PANELS = Channel(front="web", id="panel_sessions", kind="web", name="panel sessions")
"""Of panels that name no user."""


def recognise(source: Source) -> bool:
    """Whether a `session.json` or `panel.json` of this program is there, or its talk in folders of users."""
    by_name: dict[str, list[str]] = {}
    for name in source.names:
        by_name.setdefault(bare(name), []).append(name)
    if "session_meta.json" in by_name:
        return False
    for name in by_name.get(_SESSION, [])[:_LOOKED_AT]:
        found = document(source, name)
        if isinstance(found, Mapping) and "user_id" in found and ("session_id" in found or "id" in found):
            return True
    for name in by_name.get(_PANEL, [])[:_LOOKED_AT]:
        found = document(source, name)
        if isinstance(found, Mapping) and isinstance(found.get("personas"), list):
            return True
    for name in [name for name in by_name.get(_LINES, []) if _USERS_TALK.fullmatch(name)][:_LOOKED_AT]:
        first = next(iter(lines(source, name)), None)
        if isinstance(first, tuple) and isinstance(first[1], Mapping) and {"role", "content"} <= first[1].keys():
            return True
    return False


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """Personas and profiles, then every session with its files, then the vectors."""
    return _Reading(source, terms).all()


class _Reading:
    def __init__(self, source: Source, terms: Terms) -> None:
        self._source, self._terms = source, terms
        self._voices, self._people = Voices(), People(source, terms)
        self._left = dict.fromkeys(name for name in source.names if not name.endswith((".lock", ".tmp")))
        self._sessions: dict[str, list[tuple[Session, str, Beside]]] = {}
        self._ids: set[str] = set()
        self._apart: dict[str, list[str]] = {}
        for name in self._left:
            if apart := _APART.fullmatch(name):
                self._apart.setdefault(apart[1], []).append(name)

    def all(self) -> Iterator[Taken | Refused]:
        """Every item."""
        folders = self._folders()
        parted = self._parted(folders)
        users = {user_folder(path) for path, panel in folders.items() if not panel}
        users |= {folder_of(name) for name in self._left if bare(name) == "profile.json"}
        yield from self._personas(folders)
        for user in sorted(users):
            name = f"{user}/profile.json".lstrip("/")
            if name in self._left:
                del self._left[name]
                yield from surely(Spot(name), self._people.profile(user, name))
        for path, panel in folders.items():
            yield from surely(Spot(path), self._session(path, panel, parted[path]))
        for name in [name for name in self._left if bare(name) == _INDEX]:
            yield from surely(Spot(name), self._vectors(name, users))
        for name in self._left:
            if self._ours(name, users):
                yield Refused(Spot(name), "Nothing here reads this file: it is left where it is.")

    def _folders(self) -> dict[str, bool]:
        """The folders of sessions, each with whether it is a panel's."""
        found: dict[str, bool] = {}
        for name in self._left:
            path, own = folder_of(name), bare(name)
            if own == _PANEL:
                found[path] = True
            elif (bare(path) == "documents" and own in _ENTRIES) or bare(path) == "context_history":
                found.setdefault(folder_of(path), False)
            elif bare(path) not in _INNER and (own in (_SESSION, *_CONTEXTS, *_HISTORIES) or _TALK.fullmatch(own)):
                found.setdefault(path, "panel_sessions" in path.split("/"))
        return found

    def _parted(self, folders: Mapping[str, bool]) -> dict[str, list[str]]:
        """The files of each session's folder, but for those of the sessions in it."""
        found: dict[str, list[str]] = {path: [] for path in folders}
        for name in self._left:
            path = folder_of(name)
            while path and path not in found:
                path = folder_of(path)
            if path in found:
                found[path].append(name)
        return found

    def _personas(self, folders: Mapping[str, bool]) -> Iterator[Taken | Refused]:
        """Everybody's, then those of single users; one that a panel keeps as it was then, where nobody else has it."""
        ranked = []
        for name in self._left:
            above, kind = folder_of(folder_of(name)), bare(folder_of(name))
            if name.endswith(".json") and kind in ("personas_global", "personas"):
                ranked.append((0 if kind == "personas_global" else 2 if above in folders else 1, name, above))
        for rank, name, above in sorted(ranked):
            if rank == 2 and bare(name).removesuffix(".json") in self._voices.of():
                continue
            del self._left[name]
            value = document(self._source, name)
            scope = above if rank == 1 else ""
            spot = Spot(name)
            taken = (
                attempted(spot, partial(self._voices.take, value, spot, scope))
                if not isinstance(value, Refused)
                else value
            )
            if taken is not None:
                yield taken

    def _session(self, path: str, panel: bool, files: list[str]) -> Iterator[Taken | Refused]:
        shelf: dict[str, list[str]] = {}
        for name in files:
            if name in self._left:
                shelf.setdefault(_kind(name[len(path) :].lstrip("/"), panel), []).append(name)
        for name in [name for kind, names in shelf.items() if kind != "vectors" for name in names]:
            del self._left[name]
        meta = yield from self._object(shelf.get("meta", []))
        user = words(meta.get("user_id")) if panel else self._people.id(user_folder(path), meta)
        name = bare(path) or bare(words(meta.get("session_id")) or words(meta.get("id")) or "session")
        context, rest, history = yield from self._context(shelf)
        entries: dict[str, Mapping[str, Any]] = {}
        for each in shelf.get("entries", []):
            entries |= _entries((yield from self._object([each])))
        beside = Beside(self._source, path, shelf.get("paper", []), entries)
        scopes = (user_folder(path), path)
        cast = self._people.cast(user, user_folder(path), self._voices, named_by(meta), scopes)
        notes, insights = yield from self._insights(shelf.get("insight", []), name, cast)
        folder = Folder(
            program=PROGRAM,
            path=path,
            name=name,
            channel=self._people.channel(user) if user else _PANELS,
            owner=user or "",
            cast=cast,
            type="panel" if panel else session_type(meta, name),
            meta=meta,
            spot=Spot((shelf.get("meta") or files)[0]),
            talk=tuple(sorted(shelf.get("talk", []), key=lambda each: (bare(each) != _LINES, each))),
            beside=beside,
            context=context,
            metadata=rest,
            notes=notes,
            ids=self._ids,
        )
        session = yield from folder.read(self._source, self._terms)
        for known in {name, bare(words(meta.get("session_id")) or words(meta.get("id")) or name)}:
            self._sessions.setdefault(known, []).append((session, user or "", beside))
        subject = f"user:{user}" if user else session.channel.key
        yield from remembered(self._source, history, session, subject, self._terms, PROGRAM)
        if panel or insights:
            snapshots = yield from self._documents(shelf.get("snapshot", []))
            state = {"panel": meta, "insights": insights, "personas_then": snapshots}
            run = Run(
                id=f"{PROGRAM}-{session.id}",
                at=when(meta.get("updated_at"), self._terms.zone) or session.closed_at or session.opened_at,
                type="panel",
                session_id=session.id,
                state="done",
                data=plain({key: value for key, value in state.items() if value}),
            )
            yield Taken(run, folder.spot)

    def _object(self, names: list[str]) -> Generator[Refused, None, Mapping[str, Any]]:
        """What the first of some files says, or nothing."""
        found = document(self._source, names[0]) if names else {}
        if isinstance(found, Mapping):
            return found
        yield found if isinstance(found, Refused) else Refused(Spot(names[0]), "This is not an object of JSON.")
        return {}

    def _documents(self, names: list[str]) -> Generator[Refused, None, dict[str, Any]]:
        found = {}
        for name in names:
            value = document(self._source, name)
            if isinstance(value, Refused):
                yield value
            else:
                found[bare(name).removesuffix(".json")] = value
        return found

    def _context(
        self, shelf: Mapping[str, list[str]]
    ) -> Generator[Refused, None, tuple[SessionContext, dict[str, str], list[str]]]:
        """What the session is about, and the files that tell what it was about before. Later versions of the program
        keep a history only, of which the newest counts."""
        now, history = sorted(shelf.get("context", []), key=_rank), sorted(shelf.get("history", []))
        snapshots = [name for name in history if bare(folder_of(name)) == "context_history"]
        context, rest = SessionContext(), dict[str, str]()
        if current := now[:1] or snapshots[-1:]:
            context, rest = about((yield from self._object(current)))
        return context, {f"context.{key}": text for key, text in rest.items()}, [*now[1:], *history]

    def _insights(
        self, names: list[str], panel: str, cast: Cast
    ) -> Generator[Refused, None, tuple[dict[str | None, list[Annotation]], list[Any]]]:
        """What was concluded, as notes on the messages that it names last, and as it is written."""
        elsewhere = self._apart.pop(panel, [])
        for name in elsewhere:
            del self._left[name]
        notes: dict[str | None, list[Annotation]] = {}
        found = yield from self._documents([*names, *elsewhere])
        for stem, value in found.items():
            told_of = value if isinstance(value, Mapping) else {"content": value}
            by = words(told_of.get("created_by")) or "system"
            at = when(told_of.get("created_at"), self._terms.zone)
            note = Annotation(
                id=words(told_of.get("id")) or words(told_of.get("insight_id")) or stem,
                kind=words(told_of.get("type")) or "insight",
                text=told(told_of.get("content") or ""),
                sender=Sender(type="system", id=by, name=by) if by == "system" else cast.voices.get(by) or voice(by),
                at=at or self._terms.at,
            )
            named = told_of.get("supporting_messages")
            last = words(named[-1]) if isinstance(named, list) and named else None
            notes.setdefault(last, []).append(note)
        return notes, list(found.values())

    def _vectors(self, index: str, users: set[str]) -> Iterator[Taken | Refused]:
        path = folder_of(index)
        path = folder_of(path) if bare(path) == "vectors" else path
        for name in (index, f"{folder_of(index)}/embeddings.npy".lstrip("/")):
            self._left.pop(name, None)
        owned = next((folder for folder in (path, user_folder(path)) if folder and folder in users), None)
        user = self._people.id(owned or user_folder(path), {})

        def place(value: Mapping[str, Any]) -> Place:
            there = self._sessions.get(bare(words(value.get("session_id")) or path), [])
            document = words(value.get("document_id")) or ""
            theirs = [each for each in there if each[1] == user]
            fitting = theirs or ([] if owned else there)  # what lies in a user's folder is no other's
            if len(fitting) > 1:
                fitting = [each for each in fitting if each[2].has(document)]
            if len(fitting) != 1:
                return Place(self._people.channel(user).key, f"user:{user}", None, None)
            session, owner, _ = fitting[0]
            return Place(session.channel.key, f"user:{owner or user}", session.id, session.opened_at)

        yield from likenesses(self._source, index, self._terms, PROGRAM, place)

    def _ours(self, name: str, users: set[str]) -> bool:
        """Whether a file lies where this program writes its own."""
        path = folder_of(name)
        while path:
            if path in users or bare(path) in ("users", "panel_sessions", "panels", "personas_global"):
                return True
            path = folder_of(path)
        return False


def _kind(name: str, panel: bool) -> str:
    """What a file of a session's folder is."""
    path, own = folder_of(name), bare(name)
    if name == (_PANEL if panel else _SESSION):
        return "meta"
    if own in (_INDEX, "embeddings.npy"):
        return "vectors"
    if name in _CONTEXTS:
        return "context"
    if path == "context_history" or name in _HISTORIES:
        return "history"
    if path == "documents" and own in _ENTRIES:
        return "entries"
    if path == "insights" or (panel and path == "personas"):
        return "insight" if path == "insights" else "snapshot"
    return "talk" if not path and _TALK.fullmatch(own) else "paper"


def _rank(name: str) -> int:
    return _CONTEXTS.index(bare(name))


def _entries(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is told of documents, by the names that they have in the folder."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            name = words(each.get("filename")) if "original_name" in each else None
            first = (
                {}
                if "original_name" in each or not words(each.get("filename"))
                else {"original_name": each["filename"]}
            )
            found[bare(name or key)] = {**each, **first}
    return found
