"""Backups from the console: which there are, another one, whether one is whole, and one brought back elsewhere."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from storage.errors import StorageError
from storage.manifest import Manifest, shelf
from storage.progress import Tell
from storage.restore import refuse_filled, restore

from .. import backing
from ..errors import TroupeError
from .callers import Admin
from .desk import At, Desk
from .office import In, Office
from .problems import Conflict, NotThere
from .works import Result, WorkShown

router = APIRouter(prefix="/api/backups", tags=["operate"])

Root = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""A bot's name, or that of a folder beside the bot's own root: no path, so that nothing else can be meant."""
Type = Literal["sqlite", "file"]


class BackupShown(BaseModel):
    """One backup."""

    name: str
    number: int
    """Counts up; the newest has the highest."""
    bot: str
    backend: str
    made_at: datetime
    seconds: float
    program: str
    messages: int
    sessions: int
    packed_size: int
    size: int
    """Bytes of its database, unpacked."""
    attachments: int
    attachments_lost: int
    """Those that could not be read when it was made."""
    proven_at: datetime | None
    """When it was last restored into a scratch folder and found whole."""
    trouble: str

    @classmethod
    def of(cls, said: Manifest) -> BackupShown:
        """As a backup's manifest has it."""
        more = {"attachments": said.blobs, "attachments_lost": said.blobs_lost}
        counts = {"messages": said.counts.messages, "sessions": said.counts.sessions}
        plain = said.model_dump(include=set(cls.model_fields) - {*more, *counts})
        return cls(**plain, **more, **counts)


class BackupsShown(BaseModel):
    """What there is, the newest first."""

    place: str
    items: list[BackupShown]
    strays: list[str]
    """Files that belong to no whole backup."""
    alarm: str
    """Why somebody should look after the backups."""


@router.get("")
async def backups(desk: At, caller: Admin) -> BackupsShown:
    """The bot's backups."""
    place = backing.destination(desk.settings).place
    held = await shelf(place)
    said = await asyncio.to_thread(desk.operations.status)
    return BackupsShown(
        place=str(place),
        items=[BackupShown.of(each) for each in reversed(held.backups)],
        strays=list(held.strays),
        alarm=said.backup_alarm,
    )


@router.post("", status_code=202)
async def back_up(desk: At, office: In, caller: Admin) -> WorkShown:
    """Begins a backup, which is then proven by restoring it into a scratch folder."""
    if not desk.settings.storage.enabled:
        raise Conflict("I keep everything in memory only: there is nothing to back up.")

    async def make(tell: Tell) -> Result:
        return _told(await desk.operations.back_up(tell))

    return office.works.begin("backup", f"A backup of {desk.settings.display}", make).shown


@router.post("/{name}/verify", status_code=202)
async def verify(desk: At, office: In, caller: Admin, name: str) -> WorkShown:
    """Begins to check a backup: every byte, every attachment, and a restore into a scratch folder."""
    await _found(desk, name)

    async def look(tell: Tell) -> Result:
        return _told(await backing.verify(desk.settings, name, now=desk.now, tell=tell))

    return office.works.begin("verify", f"A check of {name}", look).shown


class PlanShown(BaseModel):
    """What restoring a backup would do; nothing is done yet."""

    backup: BackupShown
    root: str
    """The new folder."""
    type: Type
    possible: bool
    trouble: str
    """Why it is not possible."""
    needed: int
    """Bytes of disk, attachments not counted."""
    free: int
    yaml: str
    """What to write into a bot's file so that it runs on what was restored."""


@router.get("/{name}/restore")
async def plan(
    desk: At,
    office: In,
    caller: Admin,
    name: str,
    root: Annotated[Root, Query(alias="as")],
    type: Type = "sqlite",
) -> PlanShown:
    """What restoring a backup as a new root would do."""
    said = await _found(desk, name)
    return await _plan(desk, office, said, _beside(desk, root), type)


class RestoreWanted(BaseModel):
    """Where a backup is to be brought back, and for whom."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    root: Root = Field(alias="as")
    """The new folder's name; it stands beside the bot's own root."""
    type: Type = "sqlite"
    bot: Root | None = Field(default=None, alias="for")
    """The bot that shall use it, if not the one it was made of."""


@router.post("/{name}/restore", status_code=202)
async def restore_as(desk: At, office: In, caller: Admin, name: str, wanted: RestoreWanted) -> WorkShown:
    """Begins to restore a backup into a new root, never over anything that is there."""
    said, root = await _found(desk, name), _beside(desk, wanted.root)
    planned = await _plan(desk, office, said, root, wanted.type)
    if not planned.possible:
        raise Conflict(planned.trouble)
    given = backing.destination(desk.settings)

    async def bring_back(tell: Tell) -> Result:
        done = await restore(given, said, root, type=wanted.type, bot=wanted.bot or said.bot, tell=tell)
        return {
            "root": str(root),
            "messages": done.counts.messages,
            "sessions": done.counts.sessions,
            "lost": done.lost,
            "forgotten": done.forgotten,
            "yaml": planned.yaml,
        }

    return office.works.begin("restore", f"{name} restored as {wanted.root}", bring_back).shown


async def _found(desk: Desk, name: str) -> Manifest:
    try:
        return await backing.found(desk.settings, name)
    except TroupeError as error:
        raise NotThere(str(error)) from error


def _beside(desk: Desk, name: str) -> Path:
    return desk.settings.root.absolute().parent / name


async def _plan(desk: Desk, office: Office, said: Manifest, root: Path, type: Type) -> PlanShown:
    owner = await office.fleet.owner(root) if office.fleet is not None else None
    if owner is None and root.name in (each.name for each in desk.settings.neighbours):
        owner = root.name
    return await asyncio.to_thread(_planned, said, root, type, owner)


def _planned(said: Manifest, root: Path, type: Type, owner: str | None) -> PlanShown:
    """Looks at the disk."""
    needed, trouble = said.packed_size + said.size, ""
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    try:
        refuse_filled(root)
    except StorageError as error:
        trouble = str(error)
    if not trouble and owner is not None:
        trouble = f"{root} is the folder of the bot '{owner}', which would talk on from there: choose another name."
    if not trouble and free < needed:
        trouble = f"The disk of {there} has {free >> 20} MiB left, and {(needed >> 20) + 1} MiB are needed."
    lines = {"path": str(root)} if type == "sqlite" else {"type": type, "path": str(root)}
    return PlanShown(
        backup=BackupShown.of(said),
        root=str(root),
        type=type,
        possible=not trouble,
        trouble=trouble,
        needed=needed,
        free=free,
        yaml=f"storage: {json.dumps(lines, ensure_ascii=False)}",
    )


def _told(made: Manifest) -> Result:
    shown: Result = BackupShown.of(made).model_dump(mode="json")
    return shown
