"""Personas of other programs as files in `config/personas/`, never over one that is there."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from storage.legacy import Persona
from storage.model import storable

from .settings import PersonaSettings

_LONGEST_PROMPT = 20_000
_REFUSED_NAMES = re.compile("(?i)(disc)(ord)|(cly)(de)")
"""Discord takes no webhook whose name has one of these in it."""


class PersonaFiles:
    """Writes each persona once into a folder; in a dry run it only says what it would do."""

    def __init__(self, folder: Path, *, dry_run: bool) -> None:
        self._folder = folder
        self.dry_run = dry_run
        self._names: dict[str, str] = {}
        """The ids of personas by the names of their files."""
        self.written: list[str] = []
        self.kept: list[str] = []
        """Names of files that were there already."""

    def welcome(self, persona: Persona) -> str | None:
        """Writes a persona's file: nothing is returned when it is new, None when there is one of that name already, or
        why it cannot be."""
        name = self._name(persona)
        path = self._folder / f"{name}.yaml"
        if path.exists() or name in self.written:
            self.kept += [] if name in self.kept else [name]
            return None
        settings = {"name": name, **_fields(persona)}
        try:
            PersonaSettings.model_validate(settings)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return f"The persona does not fit into a file: {first['loc'][0]}: {first['msg']}."
        if not self.dry_run:
            try:
                self._write(path, _text(persona, _fields(persona)))
            except FileExistsError:
                self.kept.append(name)
                return None
            except OSError as error:
                return f"Its file cannot be written to {self._folder} ({error.strerror})."
        self.written.append(name)
        return ""

    def _name(self, persona: Persona) -> str:
        """A name that a file may have, the same for the same persona, another for another one."""
        plain = unicodedata.normalize("NFKD", persona.id or persona.name).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_").lstrip("0123456789-_")[:28].rstrip("-_") or "persona"
        number, name = 1, words
        while self._names.setdefault(name, persona.id) != persona.id:
            number += 1
            name = f"{words}-{number}"
        return name

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all, and never over another."""
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.new")
        try:
            aside.write_text(text, "utf-8")
            os.link(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _fields(persona: Persona) -> dict[str, Any]:
    display = _REFUSED_NAMES.sub(lambda at: "-".join(filter(None, at.groups())), _line(persona.name or persona.id))
    prompt = "\n\n".join(_prompt(persona))
    fields = {
        "display": display[:80].strip() or "Persona",
        "description": _line(persona.description)[:500].strip() or _line(prompt)[:200].strip(),
        "domains": [*dict.fromkeys(filter(None, map(_line, persona.expertise)))],
        "keywords": [*dict.fromkeys(filter(None, map(_line, persona.tags)))],
        "prompt": prompt,
    }
    return {key: value for key, value in fields.items() if value}


def _prompt(persona: Persona) -> Iterator[str]:
    """Everything that is known of how it speaks, as a model reads it."""
    name = _line(persona.name or persona.id) or "a persona"
    yield _clean(persona.prompt) or f"You are {name}. {_clean(persona.description)}".strip()
    if persona.prompt and persona.description:
        yield f"About you: {_clean(persona.description)}"
    if persona.traits:
        yield f"You are {', '.join(map(_line, persona.traits))}."
    if persona.style:
        yield "\n".join(["How you speak", *(f"- {_line(key)}: {_line(value)}" for key, value in persona.style.items())])
    if persona.greeting:
        yield f"You greet people like this:\n{_clean(persona.greeting)}"
    if persona.examples:
        yield "\n".join(["What you might say", *(f"- {_clean(each)}" for each in persona.examples)])


def _text(persona: Persona, fields: dict[str, Any]) -> str:
    """The file's words: what has no setting of its own stands in comments above."""
    notes = {**persona.metadata, **({"picture": persona.picture} if persona.picture else {})}
    head = "".join(f"# {_line(key)}: {_line(value)}\n" for key, value in notes.items())
    escaped = {key: _escaped(value) for key, value in fields.items()}
    return head + yaml.dump(escaped, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block."""


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def _escaped(value: Any) -> Any:
    """Text as the loader wants it, which reads `${NAME}` as a variable."""
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value.replace("${", "$${")


def _clean(text: str) -> str:
    """Lines without what a block of YAML cannot hold."""
    lines = storable(text).replace("\t", "    ").splitlines()
    return "\n".join("".join(c for c in line if c.isprintable()).rstrip() for line in lines).strip()


def _line(text: str) -> str:
    return " ".join(_clean(text).split())
