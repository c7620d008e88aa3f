"""`--map users.yaml`: who and what the ids in old data stand for, as people write it down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from storage.model import storable
from storage.naming import Naming, Person, Room

from .errors import ConfigError
from .findings import findings, shown, unknown
from .values import Id, Section
from .written import Entry, Files

_BLOCKS = ("users", "channels")


class _User(Section):
    id: Annotated[Id, Field(min_length=1, max_length=100, json_schema_extra={"examples": ["123456789012345678"]})] = ""
    """The id that counts from now on; left out, the old one stays."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What the person is called."""


class _Channel(Section):
    name: Annotated[str, Field(max_length=200)] = ""
    """What the channel is called."""
    kind: Literal["channel", "thread", "dm"] | None = None
    """What it is."""
    guild: Annotated[Id, Field(max_length=100)] = ""
    """The id of its guild."""


_Shape = TypeVar("_Shape", _User, _Channel)


def read_naming(path: Path) -> Naming:
    """What a file says of people and channels. Raises `ConfigError` with every finding.

    \b
        users:    {user_001: {id: "123456789012345678", name: Ann}}
        channels: {"234567890123456789": {name: general, guild: "345678901234567890", kind: channel}}
    """
    found: list[str] = []
    entry = Files(path.absolute().parent, {}, found).mapping(path.absolute())
    if entry is None:
        raise ConfigError(found)
    strangers = [key for key in entry.plain if key not in _BLOCKS]
    found += [f"{entry.at(key).place}: found an unknown key; {unknown(key, _BLOCKS)}" for key in strangers]
    users = {id: Person(user.id or id, user.name) for id, user in _block(entry, "users", _User, found).items()}
    rooms = {
        id: Room(name=each.name, kind=each.kind, guild_id=each.guild)
        for id, each in _block(entry, "channels", _Channel, found).items()
    }
    if found:
        raise ConfigError(found)
    return Naming(users, rooms)


def _block(whole: Entry, key: str, shape: type[_Shape], found: list[str]) -> dict[str, _Shape]:
    entry = whole.at(key)
    if not isinstance(entry.value, dict):
        if entry.value is not None:
            found.append(f"{entry.place}: found {shown(entry.value)}; allowed: a block with an id for each of them")
        return {}
    read: dict[str, _Shape] = {}
    for id, each in entry.value.items():
        found += each.problems
        try:
            read[storable(id)] = shape.model_validate(each.plain if each.value is not None else {})
        except ValidationError as error:
            found += findings(error, each, shape.model_json_schema())
    return read
