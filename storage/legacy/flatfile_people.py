"""Who used a flat-file program: the folders of its users, what they are called, and where their talk goes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from ..model import Channel, Sender, storable
from ..records import Profile
from . import Refused, Spot, Taken, Terms
from .flatfile_lines import Cast, bare, voice
from .flatfile_voices import Voices
from .reading import document, when, words
from .source import Source

_NAMES = ("username", "display_name", "name")
_SOMEBODY = "user"
"""Who speaks where nothing says who."""


class People:
    """The users of a source, by their folders."""

    def __init__(self, source: Source, terms: Terms) -> None:
        self._source, self._terms = source, terms
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def profile(self, folder: str, name: str) -> Iterator[Taken | Refused]:
        """What the file `name` says of the user of a folder."""
        value = document(self._source, name)
        if not isinstance(value, Mapping):
            yield value if isinstance(value, Refused) else Refused(Spot(name), "A profile is an object; this is none.")
            return
        told = words(value.get("user_id")) or words(value.get("id")) or ""
        id = told if told and (not bare(folder) or _letters(told) == _letters(bare(folder))) else bare(folder)
        self._ids[folder] = id = storable(id) or _SOMEBODY
        self._names[id] = next((text for key in _NAMES if (text := words(value.get(key)))), "")
        times = (when(value.get(key), self._terms.zone) for key in ("updated_at", "created_at"))
        given = value.get("preferences")
        preferences = dict(given) if isinstance(given, Mapping) else {}
        for key, each in value.items():
            if key != "preferences" or not isinstance(given, Mapping):
                preferences[key if key not in preferences else f"profile.{key}"] = each
        at = next((time for time in times if time), self._terms.at)
        yield Taken(Profile(id=id, at=at, name=self._names[id], preferences=plain(preferences)), Spot(name))

    def id(self, folder: str, meta: Mapping[str, Any]) -> str:
        """Whose folder it is; where the source itself is the folder, a session's file says."""
        if folder not in self._ids and not bare(folder):
            return words(meta.get("user_id")) or _SOMEBODY
        return self._ids.get(folder, storable(bare(folder)))

    def channel(self, id: str) -> Channel:
        """Where a user's talk goes: a room of their own."""
        return Channel(front="web", id=id, kind="web", name=self._names.get(id) or id, parent_id=id)

    def cast(self, user: str | None, folder: str, voices: Voices, named: list[str], scopes: tuple[str, ...]) -> Cast:
        """Who speaks in a session of a user, in which the personas `named` take part."""
        known = voices.of(*scopes)
        known = {name: voice(name) for name in named} | known
        alone = named if len(named) == 1 else [n for n in (bare(folder).removeprefix("persona_"),) if n in known]
        person = Sender(type="user", id=user or _SOMEBODY, name=self._names.get(user or "") or user or _SOMEBODY)
        return Cast(person, known, known[alone[0]] if alone else voice(self._terms.bot))


def plain(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    """An object of JSON as it can be kept."""
    kept: dict[str, JsonValue] = json.loads(storable(json.dumps(values, ensure_ascii=False)), parse_constant=str)
    return kept


def folder_of(name: str) -> str:
    """The folder that a file or folder lies in; `""` for the source itself."""
    return name.rpartition("/")[0]


def user_folder(session: str) -> str:
    """The folder of the user who has a session's folder."""
    above = folder_of(session)
    return folder_of(above) if bare(above) == "sessions" else above


def _letters(name: str) -> str:
    """What is left of a name in the name of a folder."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain if letter.isalnum())
