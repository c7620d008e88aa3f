"""What the bot keeps, channel by channel, and what retention would remove of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, JsonValue

from storage.model import Channel, ChannelKind, Counts, Front, storable
from storage.progress import Tell

from .callers import Admin
from .desk import At, Desk
from .office import In
from .works import Result, WorkShown

router = APIRouter(prefix="/api", tags=["operate"])

_LISTED = 500
"""Things due for removal that are told one by one."""
_FILES = 200_000
"""Files whose sizes are added up at most."""
_PAGE, _WALKED = 200, 20_000
"""Sessions that are looked at in one go, and after which an answer has no further channels: a second or two."""


class CleanupWanted(BaseModel):
    """Whether to remove what is due, or only to say what would go."""

    model_config = ConfigDict(extra="forbid")
    dry_run: bool = True


@router.post("/cleanup", status_code=202)
async def clean_up(desk: At, office: In, caller: Admin, wanted: CleanupWanted) -> WorkShown:
    """Begins to remove what retention says is due, or to look what that is."""

    async def sweep(tell: Tell) -> Result:
        lines: list[JsonValue] = []
        summary: dict[str, Any] = {}
        seen = 0

        async def hear(line: str) -> None:
            nonlocal seen
            told = json.loads(line)
            told.pop("bot", None)
            if "total" in told:
                summary.update(told)
                return
            seen += 1
            tell("looking" if wanted.dry_run else "removing", seen, 0)
            if len(lines) < _LISTED:
                lines.append(told)

        await desk.operations.clean_up(hear, wanted.dry_run)
        return {**summary, "items": lines, "unlisted": seen - len(lines)}

    title = "A look at what is due for removal" if wanted.dry_run else "Removing what is due"
    return office.works.begin("cleanup", title, sweep).shown


class FileShown(BaseModel):
    """A file of the bot's root, or a folder with all that is in it."""

    name: str
    bytes: int


class KeptShown(BaseModel):
    """What the bot keeps, and where."""

    type: str
    root: str
    counts: Counts
    size: int
    """Bytes of everything in the root."""
    free: int
    """Bytes that its disk has left."""
    files: list[FileShown]
    """The largest first."""
    retention: dict[str, JsonValue]
    """What stays for how long, as the settings say; spans in seconds."""


@router.get("/storage")
async def storage(desk: At, caller: Admin) -> KeptShown:
    """How much the bot keeps."""
    root = desk.settings.root
    files, free = await asyncio.to_thread(_weighed, root)
    return KeptShown(
        type=desk.settings.storage.type,
        root=str(root),
        counts=await desk.store.counts(),
        size=sum(each.bytes for each in files),
        free=free,
        files=files,
        retention=desk.settings.storage.retention.model_dump(mode="json"),
    )


def _weighed(root: Path) -> tuple[list[FileShown], int]:
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    sizes: dict[str, int] = {}
    for left, path in zip(range(_FILES, 0, -1), _files(root), strict=False):
        try:
            name = path.relative_to(root).parts[0]
            sizes[name] = sizes.get(name, 0) + path.lstat().st_size
        except OSError:  # gone meanwhile
            continue
        if left == 1:
            break
    found = [FileShown(name=storable(name), bytes=size) for name, size in sizes.items()]
    return sorted(found, key=lambda each: each.bytes, reverse=True), free


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


class PlaceShown(BaseModel):
    """What is kept of one channel."""

    key: str
    front: Front
    kind: ChannelKind
    name: str
    guild_id: str | None
    guild_name: str | None
    sessions: int
    messages: int
    bytes: int
    """Of words."""
    last_at: datetime | None
    """When somebody last spoke there."""


class PlacesShown(BaseModel):
    """A stretch of the channels, in the order of their keys."""

    items: list[PlaceShown]
    next: str | None
    """Given as `after`, it goes on from here; null at the end."""


@router.get("/storage/channels")
async def channels(
    desk: At,
    caller: Admin,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> PlacesShown:
    """How much is kept of each channel; what people deleted counts until it is removed.

    There may be fewer channels than `limit` though there are more."""
    found = await desk.store.channels(storable(after), limit)
    items: list[PlaceShown] = []
    for each in found:
        items.append(await _place(desk, each))
        if sum(place.sessions for place in items) >= _WALKED:
            break
    more = len(items) < len(found) or len(found) == limit
    return PlacesShown(items=items, next=items[-1].key if more else None)


async def _place(desk: Desk, channel: Channel) -> PlaceShown:
    sessions = messages = size = 0
    last: datetime | None = None
    cursor = None
    while True:
        page = await desk.store.browse(channel.key, cursor=cursor, limit=_PAGE, deleted=True)
        sessions += len(page.items)
        messages += sum(each.message_count for each in page.items)
        size += sum((await desk.store.sizes([each.id for each in page.items])).values()) if page.items else 0
        last = max((each.last_at for each in page.items), default=last) if last is None else last
        cursor = page.older
        if cursor is None:
            break
    return PlaceShown(
        **channel.model_dump(include={"front", "kind", "name", "guild_id", "guild_name"}),
        key=channel.key,
        sessions=sessions,
        messages=messages,
        bytes=size,
        last_at=last,
    )
