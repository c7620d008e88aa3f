"""Where variables stand in the configuration, so that nobody reads one out by putting it where it is shown or sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .written import Entry

_WHITHER = ("provider", "base_url", "api_url", "gateway_url")
"""What says to whom the secrets beside it are sent."""
_INDEX = re.compile(r"\[\d+\]")
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_]\w*)", re.ASCII)
Use = tuple[str, str, tuple[tuple[str, str], ...]]
"""A setting, a variable in it, and what beside it says whither it goes."""


def names_in(text: str) -> list[str]:
    """The names of the variables that a text speaks of."""
    return list(dict.fromkeys(_VARIABLE.findall(text)))


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
    for name in names_in(_source(entry)):
        yield (setting, name, whither), entry
    if isinstance(entry.value, dict):
        whither = tuple((key, _source(entry.value[key])) for key in _WHITHER if key in entry.value)
    for child in entry.children:
        yield from _uses(child, whither)


def _source(entry: Entry) -> str:
    """Its words as the file has them."""
    return str(getattr(entry.value, "source", entry.text))
