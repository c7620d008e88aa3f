"""Brings the application's commands on Discord in line with the bot's own, by what differs and nothing else.

Commands that this bot never created stay as they are: they may belong to another program of the same application.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import discord
import structlog
from discord import app_commands
from discord.http import HTTPClient, Route

log = structlog.get_logger()

FILE = "commands.json"
"""In the bot's root: which application was synced, with which commands."""
_AT_ONCE, _REST = 5, 20.0
"""So many changes, then a rest of so many seconds: about what Discord takes."""
_PATIENCE = 120.0
"""Seconds for one change; the limit of a whole day is not waited for."""
_DESCRIPTION, _OPTIONS, _TREE = 100, 25, 8000
"""Characters of a description, options of a command or choices of an option, characters of a command in all."""
_MOST = {1: 100, 2: 15, 3: 15}
"""Commands of each type."""

Payload = dict[str, Any]
Key = tuple[int, str]
"""Type and name: what makes a command the same command."""


@dataclass
class Synced:
    """What became of the commands, by name."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    problem: str = ""
    """Why it is not all done, in a sentence; it is tried again at the next start."""


async def sync(
    tree: app_commands.CommandTree[Any],
    root: Path,
    application_id: int,
    http: HTTPClient,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Synced:
    """Makes Discord know exactly these commands. Without a change since the last time it asks for nothing; `wait`
    is given the seconds to rest between changes. Never raises for what Discord or the disk refuses."""
    wanted = {_key(payload): payload for payload in payloads(tree)}
    done = Synced()
    if found := faults(list(wanted.values())):
        done.problem = f"The commands were not sent, since Discord would refuse them: {'; '.join(found)}."
        log.error("commands.faulty", faults=found)
        return done
    mark = fingerprint(list(wanted.values()))
    known = _Known.read(root / FILE, application_id)
    if known.mark == mark:
        done.unchanged = sorted(payload["name"] for payload in wanted.values())
        return done
    mine = known.mine
    try:
        await _bring_in_line(wanted, mine, application_id, http, wait, done)
    except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
        mark, done.problem = "", _why(error)
        log.warning("commands.unsynced", problem=done.problem)
    log.info("commands.synced", created=done.created, changed=done.changed, deleted=done.deleted)
    with suppress(OSError):  # a full disk costs one look at Discord at the next start
        _Known(application_id, mark, mine).write(root / FILE)
    return done


def payloads(tree: app_commands.CommandTree[Any]) -> list[Payload]:
    """What Discord is told of each command, everything it takes for granted left out."""
    return [plain(command.to_dict(tree)) for command in tree.get_commands(type=None)]


def plain(told: Any) -> Payload:
    """A command as we send it or Discord tells it, in one form: what is empty, false or a default is left out."""
    found = {name: _option(told[name]) for name in _FIELDS if told.get(name) not in (None, False, "", [])}
    found["type"] = int(told.get("type", 1))
    if told.get("default_member_permissions") is not None:
        found["default_member_permissions"] = int(told["default_member_permissions"])
    for name in ("contexts", "integration_types"):
        if name in found:
            found[name] = sorted(int(each) for each in found[name])
    return found


def fingerprint(wanted: list[Payload]) -> str:
    """The same for the same commands, in whatever order they were added."""
    told = json.dumps(sorted(wanted, key=_key), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def faults(wanted: list[Payload]) -> list[str]:
    """What Discord would refuse, a line each: names, descriptions, options, choices and sizes."""
    found = []
    for kind, most in _MOST.items():
        if (count := sum(_key(payload)[0] == kind for payload in wanted)) > most:
            found.append(f"{count} commands of type {kind}, where {most} are allowed")
    for payload in wanted:
        found += _faults(payload, payload["name"])
        if (size := _size(payload)) > _TREE:
            found.append(f"{payload['name']} has {size} characters, where {_TREE} are allowed")
    return found


async def _bring_in_line(
    wanted: dict[Key, Payload],
    mine: set[Key],
    application_id: int,
    http: HTTPClient,
    wait: Callable[[float], Awaitable[None]],
    done: Synced,
) -> None:
    """Creates, changes and deletes what differs. `mine`, the commands this bot has created, is kept up to date."""
    base = "/applications/{application_id}/commands"
    there = {_key(each): each for each in await http.get_global_commands(application_id)}
    if not there:
        # A new application: all at once, since there is nothing that this could replace.
        async with asyncio.timeout(_PATIENCE):
            await http.bulk_upsert_global_commands(application_id, list(wanted.values()))
        done.created = [name for _, name in sorted(wanted)]
        mine.clear()
        mine.update(wanted)
        return
    writes = 0

    async def write(method: str, path: str, **more: Any) -> None:
        nonlocal writes
        if writes and writes % _AT_ONCE == 0:
            await wait(_REST)
        writes += 1
        command_id = more.pop("command_id", None)
        async with asyncio.timeout(_PATIENCE):
            await http.request(Route(method, path, application_id=application_id, command_id=command_id), **more)

    # What goes away makes room first.
    for key in sorted(mine - wanted.keys()):
        if key in there:
            await write("DELETE", base + "/{command_id}", command_id=there[key]["id"])
            done.deleted.append(key[1])
        mine.discard(key)
    for key, payload in sorted(wanted.items()):
        if key not in there:
            await write("POST", base, json=payload)
            done.created.append(key[1])
        elif plain(there[key]) != payload:
            whole = {**_DEFAULTS[key[0]], **payload}
            await write("PATCH", base + "/{command_id}", command_id=there[key]["id"], json=whole)
            done.changed.append(key[1])
        else:
            done.unchanged.append(key[1])
        mine.add(key)


@dataclass
class _Known:
    """What the last sync left behind."""

    application_id: int
    mark: str
    """The fingerprint of what was synced; empty if it did not succeed."""
    mine: set[Key]

    @classmethod
    def read(cls, path: Path, application_id: int) -> _Known:
        """As written; nothing at all for another application, or where nothing legible is."""
        try:
            kept = json.loads(path.read_text())
            if kept["application"] == str(application_id):
                return cls(application_id, str(kept["fingerprint"]), {(int(k), str(n)) for k, n in kept["commands"]})
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(application_id, "", set())

    def write(self, path: Path) -> None:
        told = {"application": str(self.application_id), "fingerprint": self.mark, "commands": sorted(self.mine)}
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(told, indent=1))
        draft.replace(path)


_DEFAULTS: dict[int, Payload] = {
    1: {"options": [], "default_member_permissions": None, "nsfw": False},
    2: {"default_member_permissions": None, "nsfw": False},
    3: {"default_member_permissions": None, "nsfw": False},
}
"""What a change has to say even where it says nothing, so that what stood there before goes away."""
_MEDIA = discord.ChannelType.media.value
"""discord.py asks for media channels wherever it asks for forums; Discord's description of its API knows none."""
_FIELDS = (
    "name",
    "type",
    "description",
    "options",
    "default_member_permissions",
    "nsfw",
    "contexts",
    "integration_types",
)


def _key(payload: Any) -> Key:
    return int(payload.get("type", 1)), str(payload["name"])


def _option(told: Any) -> Any:
    if isinstance(told, list):
        return [_option(each) for each in told]
    if not isinstance(told, dict):
        return told
    found = {name: _option(each) for name, each in told.items() if each not in (None, False, "", []) or name == "value"}
    if "channel_types" in found:
        found["channel_types"] = sorted(kind for kind in found["channel_types"] if kind != _MEDIA)
    return found


def _faults(payload: Payload, path: str) -> Iterator[str]:
    if not 1 <= len(payload["name"]) <= 32:
        yield f"the name of {path} has {len(payload['name'])} characters, where 32 are allowed"
    described = len(payload.get("description", ""))
    if payload.get("type") not in (2, 3) and not 1 <= described <= _DESCRIPTION:
        yield f"the description of {path} has {described} characters, where 1 to {_DESCRIPTION} are allowed"
    for name in ("options", "choices"):
        if len(payload.get(name, ())) > _OPTIONS:
            yield f"{path} has {len(payload[name])} {name}, where {_OPTIONS} are allowed"
    for option in payload.get("options", ()):
        yield from _faults(option, f"{path} {option['name']}")


def _size(payload: Payload) -> int:
    own = len(payload["name"]) + len(payload.get("description", ""))
    chosen = sum(len(choice["name"]) + len(str(choice["value"])) for choice in payload.get("choices", ()))
    return own + chosen + sum(_size(option) for option in payload.get("options", ()))


def _why(error: BaseException) -> str:
    if isinstance(error, discord.HTTPException):
        if error.code == 30034:
            return "Discord takes no more new commands of this application today; the rest follow at the next start."
        return f"Discord refused a change to the commands ({error}); it is tried again at the next start."
    reason = str(error) or type(error).__name__
    return f"The commands could not be brought to Discord ({reason}); it is tried again at the next start."
