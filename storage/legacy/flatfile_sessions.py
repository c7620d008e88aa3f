"""Flat-file sessions of one user or of several: each session's folder holds all that belongs to it.

    profile.json, session_index.json, sessions/<session>/        or the same under users/<user>/
    sessions/<session>/session_meta.json, messages.jsonl, persona.json, context_history.json, summary.json,
                       vector_index.jsonl, embeddings.npy, and any files that people have sent

Our own storage calls a session's file `session_meta.json` too; that one tells its channel.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from ..model import Session, SessionContext
from . import Refused, Spot, Taken, Terms
from .flatfile_folder import Folder, about, named_by, remembered, session_type
from .flatfile_lines import Beside, bare
from .flatfile_people import People, folder_of, user_folder
from .flatfile_vectors import Place, likenesses
from .flatfile_voices import Voices
from .reading import document, surely, words
from .source import Source

PROGRAM = "flatfile_sessions"
_META, _INDEX, _VECTORS = "session_meta.json", "session_index.json", "vector_index.jsonl"
_TALK = re.compile(r"(?:.*/)?sessions/[^/]+/messages\.jsonl")
_KINDS = {
    _META: "meta",
    "messages.jsonl": "talk",
    "persona.json": "persona",
    "context_history.json": "history",
    "context_history.jsonl": "history",
    "summary.json": "summary",
    _VECTORS: "vectors",
    "embeddings.npy": "vectors",
}
_LOOKED_AT = 5
"""The most files that are opened to recognise a source."""


def recognise(source: Source) -> bool:
    """Whether there is a `session_meta.json` that is not our own, or an index of sessions with talk below it."""
    metas = [name for name in source.names if bare(name) == _META]
    for name in metas[:_LOOKED_AT]:
        found = document(source, name)
        if isinstance(found, Mapping):
            return not isinstance(found.get("channel"), Mapping)
    talks = any(_TALK.fullmatch(name) for name in source.names)
    return not metas and talks and any(bare(name) == _INDEX for name in source.names)


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """Profiles, then every session with its persona, files and vectors."""
    return _Reading(source, terms).all()


class _Reading:
    def __init__(self, source: Source, terms: Terms) -> None:
        self._source, self._terms = source, terms
        self._voices, self._people = Voices(), People(source, terms)
        self._indexed: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._ids: set[str] = set()

    def all(self) -> Iterator[Taken | Refused]:
        """Every item."""
        folders = self._folders()
        users = {user_folder(path) for path in folders}
        for name in self._source.names:
            if bare(name) == "profile.json" and not self._within(name, folders):
                users.add(folder_of(name))
                yield from surely(Spot(name), self._people.profile(folder_of(name), name))
        for user in sorted(users):
            yield from surely(Spot(f"{user}/{_INDEX}".lstrip("/")), self._index(user, folders))
        for path, files in folders.items():
            yield from surely(Spot(path), self._session(path, files))
        for name in self._source.names:
            if bare(name) not in ("profile.json", _INDEX) and not self._within(name, folders):
                yield Refused(Spot(name), "Nothing here reads this file: it is left where it is.")

    def _folders(self) -> dict[str, list[str]]:
        """The folders of sessions, with the files in each."""
        found: dict[str, list[str]] = {}
        for name in self._source.names:
            if bare(name) == _META or _TALK.fullmatch(name):
                found[folder_of(name)] = []
        for name in self._source.names:
            if (path := self._within(name, found)) is not None:
                found[path].append(name)
        return found

    def _within(self, name: str, folders: Mapping[str, object]) -> str | None:
        """The session's folder that a file lies in."""
        path = folder_of(name)
        while path and path not in folders:
            path = folder_of(path)
        return path if path in folders else None

    def _index(self, user: str, folders: Mapping[str, object]) -> Iterator[Refused]:
        """What a user's index tells of sessions, and those that are told of only there."""
        name = f"{user}/{_INDEX}".lstrip("/")
        if name not in self._source:
            return
        value = document(self._source, name)
        if isinstance(value, Refused):
            yield value
            return
        if isinstance(value, Mapping) and isinstance(value.get("sessions"), list | Mapping):
            value = value["sessions"]
        rows = value.items() if isinstance(value, Mapping) else ((None, row) for row in value or ())
        for key, row in rows:
            told = row if isinstance(row, Mapping) else {}
            id = key or words(told.get("session_id")) or words(told.get("id")) or (row if isinstance(row, str) else "")
            path = f"{user}/sessions/{bare(id)}".lstrip("/")
            if path in folders:
                self._indexed.setdefault(path, {})[bare(id)] = told
            else:
                yield Refused(Spot(name, item=bare(id)[:80]), "The index tells of a session that has no folder.")

    def _session(self, path: str, files: list[str]) -> Iterator[Taken | Refused]:
        shelf: dict[str, list[str]] = {}
        for name in files:
            kind = _KINDS.get(name[len(path) :].lstrip("/"), "paper")
            shelf.setdefault(kind, []).append(name)
        meta = yield from self._meta(path, shelf)
        for name in shelf.get("persona", []):
            value = document(self._source, name)
            taken = value if isinstance(value, Refused) else self._voices.take(value, Spot(name), path)
            if taken is not None:
                yield taken
        context, rest = SessionContext(), dict[str, str]()
        for name in shelf.get("summary", []):
            value = document(self._source, name)
            if isinstance(value, Refused):
                yield value
            else:
                context, rest = about(value)
        user = self._people.id(user_folder(path), meta)
        own = list(dict.fromkeys(voice.id for voice in self._voices.of(path).values())) if "persona" in shelf else []
        folder = Folder(
            program=PROGRAM,
            path=path,
            name=bare(path) or bare(words(meta.get("session_id")) or words(meta.get("id")) or "session"),
            channel=self._people.channel(user),
            owner=user,
            cast=self._people.cast(user, user_folder(path), self._voices, named_by(meta) or own, (path,)),
            type=session_type(meta, bare(path)),
            meta=meta,
            spot=Spot((shelf.get("meta") or files)[0]),
            talk=tuple(shelf.get("talk", [])),
            beside=Beside(self._source, path, shelf.get("paper", []), {}),
            context=context,
            metadata={f"summary.{key}": text for key, text in rest.items()},
            ids=self._ids,
        )
        session = yield from folder.read(self._source, self._terms)
        yield from remembered(self._source, shelf.get("history", []), session, f"user:{user}", self._terms, PROGRAM)
        yield from self._vectors(shelf.get("vectors", []), session, user)

    def _meta(self, path: str, shelf: Mapping[str, list[str]]) -> Generator[Refused, None, Mapping[str, Any]]:
        """What the session's own file says, and where that is silent its line in the index."""
        found: Any = {}
        for name in shelf.get("meta", []):
            found = document(self._source, name)
            if not isinstance(found, Mapping):
                yield found if isinstance(found, Refused) else Refused(Spot(name), "A session is an object of JSON.")
                found = {}
        return {**self._indexed.get(path, {}).get(bare(path), {}), **found}

    def _vectors(self, names: list[str], session: Session, user: str) -> Iterator[Taken | Refused]:
        def place(_: Mapping[str, Any]) -> Place:
            return Place(session.channel.key, f"user:{user}", session.id, session.opened_at)

        for name in names:
            if bare(name) == _VECTORS:
                yield from likenesses(self._source, name, self._terms, PROGRAM, place)
            elif f"{folder_of(name)}/{_VECTORS}".lstrip("/") not in names:
                yield Refused(Spot(name), "These vectors have no vector_index.jsonl that tells what they are of.")
