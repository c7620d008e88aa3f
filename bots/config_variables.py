"""Where variables stand in the configuration, so that nobody reads one out by putting it where it is shown or sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .written import Entry

_WHITHER = ("provider", "base_url", "api_url", "gateway_url")
"""What says to whom the secrets beside it are sent."""
_INDEX = re.compile(r"\[\d+\]")
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_]\w*)(?::-([^}]*))?", re.ASCII)
Use = tuple[str, str, tuple[tuple[str, str], ...]]
"""A setting, a variable in it, and what beside it says whither it goes."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that some files speak of; what it holds is told to nobody."""

    name: str
    set: bool
    default: str | None
    """What stands in for it where it is not set; None where something has no default, and so fails without it."""
    used_in: tuple[str, ...]


def spoken_of(files: Mapping[str, Entry], known: Mapping[str, str]) -> list[Variable]:
    """The variables in the values of some files, by name; `known` are those that are set."""
    found: dict[str, dict[str, list[str | None]]] = {}
    for path, entry in files.items():
        for name, default in _named(entry):
            found.setdefault(name, {}).setdefault(path, []).append(default)
    return [
        Variable(
            name, bool(known.get(name)), _default([each for those in uses.values() for each in those]), tuple(uses)
        )
        for name, uses in sorted(found.items())
    ]


def _named(entry: Entry) -> Iterator[tuple[str, str | None]]:
    for each in _VARIABLE.finditer(_source(entry)):
        yield each[1], each[2]
    for child in entry.children:
        yield from _named(child)


def _default(written: list[str | None]) -> str | None:
    return None if None in written else max(filter(None, written), default="")


def elsewhere(before: Iterable[Entry], after: Entry) -> list[str]:
    """A finding for each variable that would stand where none of the entries has it, or would go to another server."""
    known = {use for entry in before for use, _ in _uses(entry)}
    return [
        f"{entry.place}: found the variable {use[1]}, which does not stand there yet, or goes to another server; "
        "put variables to new places where the files are, not from here"
        for use, entry in _uses(after)
        if use not in known
    ]


def _uses(entry: Entry, whither: tuple[tuple[str, str], ...] = ()) -> Iterator[tuple[Use, Entry]]:
    setting = _INDEX.sub("", entry.key).removeprefix("defaults.")
    for name in dict.fromkeys(each[1] for each in _VARIABLE.finditer(_source(entry))):
        yield (setting, name, whither), entry
    if isinstance(entry.value, dict):
        whither = tuple((key, _source(entry.value[key])) for key in _WHITHER if key in entry.value)
    for child in entry.children:
        yield from _uses(child, whither)


def _source(entry: Entry) -> str:
    """Its words as the file has them."""
    return str(getattr(entry.value, "source", entry.text))
