"""Agents of the third Flatfile chat database as personas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import Persona
from .reading import flat, told, words


def persona(folder: str, found: Mapping[str, Any]) -> Persona:
    """The persona that the `config.json` in an agent's folder describes."""
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
