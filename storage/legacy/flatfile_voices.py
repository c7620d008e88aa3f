"""Personas as the flat-file programs describe them, each under one id, whoever else has one of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model import Sender
from . import Persona, Refused, Spot, Taken
from .flatfile_lines import bare, voice
from .reading import flat, told, words

_OWN = (
    *("id", "persona_id", "name", "description", "traits", "expertise", "expertise_areas", "communication_style"),
    *("behavioral_traits", "system_prompt", "prompt", "greeting", "examples", "tags", "capabilities", "category"),
)


class Voices:
    """The personas of a source: everybody's (scope `""`), and those of single users or sessions."""

    def __init__(self) -> None:
        self._known: dict[str, Persona] = {}
        self._heard: dict[str, dict[str, Sender]] = {}

    def take(self, value: Any, spot: Spot, scope: str = "") -> Taken | Refused | None:
        """A persona to be kept; None for one that is known already. Of two with one id and different words the second
        has its scope in its id."""
        if not isinstance(value, Mapping):
            return Refused(spot, "A persona is an object with `id` and `name`; this is none.")
        stem = bare(spot.file).removesuffix(".json")
        persona = described(value, stem)
        foreign = persona.id
        known = self._known.get(foreign)
        if known is not None and not _alike(known, persona) and scope:
            persona = replace(persona, id=f"{foreign}_{bare(scope)}")
            known = self._known.get(persona.id)
        self._known.setdefault(persona.id, persona)
        heard = self._heard.setdefault(scope, {})
        heard[foreign] = voice(persona.id, persona.name)
        heard.setdefault(stem, heard[foreign])
        if known is None:
            return Taken(persona, spot)
        if not _alike(known, persona):
            return Refused(spot, f"There is another persona {foreign[:60]!r} with other words already.")
        return None

    def of(self, *scopes: str) -> dict[str, Sender]:
        """Who may speak, by what the source calls them; of two with one name that of the later scope."""
        found = dict(self._heard.get("", {}))
        for scope in scopes:
            found |= self._heard.get(scope, {})
        return found


def described(value: Mapping[str, Any], stem: str) -> Persona:
    """The persona that a file describes; `stem` is the file's name."""
    id = words(value.get("persona_id")) or words(value.get("id")) or stem
    manner: dict[str, str] = {}
    for key in ("behavioral_traits", "communication_style"):
        found = value.get(key)
        manner |= {name: _listed(text) for name, text in found.items()} if isinstance(found, Mapping) else {}
        if isinstance(found, str) and found:
            manner[key] = told(found)
    return Persona(
        id=id,
        name=words(value.get("name")) or id,
        description=words(value.get("description")) or "",
        prompt=words(value.get("system_prompt")) or words(value.get("prompt")) or "",
        traits=_several(value.get("traits")),
        expertise=_several(value.get("expertise")) + _several(value.get("expertise_areas")),
        style={told(name): text for name, text in manner.items() if text},
        greeting=words(value.get("greeting")) or "",
        examples=_several(value.get("examples")),
        tags=_several(value.get("tags")) + _several(value.get("capabilities")) + _several(value.get("category")),
        metadata=flat(value, *_OWN),
    )


def _alike(one: Persona, other: Persona) -> bool:
    """Whether two say the same, whenever they were written."""
    return replace(one, id="", metadata={}) == replace(other, id="", metadata={})


def _several(value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    return tuple(told(each) for each in given if each not in (None, "", [], {}))


def _listed(value: object) -> str:
    return ", ".join(_several(value))
