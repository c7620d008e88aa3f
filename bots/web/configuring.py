"""The bot's configuration in the browser: its files, what a change would do, and the change itself."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from storage.model import storable

from ..config_files import LARGEST, Changed, ConfigFile, ConfigFiles
from ..errors import ConfigError
from .auditing import changes_nothing
from .callers import Admin
from .desk import At
from .office import In, Office
from .problems import Conflict

router = APIRouter(prefix="/api/config", tags=["config"])

Text = Annotated[str, Field(max_length=LARGEST)]
FilePath = Annotated[str, Field(min_length=1, max_length=100)]


class ConfigFileShown(BaseModel):
    """One file of the configuration."""

    path: str
    """Within the folder."""
    kind: Literal["bot", "persona", "fleet"]
    writable: bool
    """What all bots share is not one bot's to change."""
    text: str
    """As it stands there: secrets are names of variables."""
    version: str

    @classmethod
    def of(cls, file: ConfigFile) -> ConfigFileShown:
        """As it is on the disk."""
        return cls(**asdict(file))


class VariableShown(BaseModel):
    """A variable that the files speak of; what it holds is not shown to anybody."""

    name: str
    set: bool
    default: str | None
    """What stands in for it where it is not set; null where something fails without it."""
    used_in: list[str]


class ConfigShown(BaseModel):
    """What the bot was configured with."""

    folder: str | None
    """Null where the bot was started without files."""
    files: list[ConfigFileShown]
    variables: list[VariableShown]
    trouble: str
    """Why the last change was refused."""


@router.get("")
async def config(desk: At, office: In, caller: Admin) -> ConfigShown:
    """The files that concern the bot, and the names of the variables in them."""
    said = await asyncio.to_thread(desk.operations.status)
    if office.files is None:
        return ConfigShown(folder=None, files=[], variables=[], trouble=said.config_trouble)
    files = await asyncio.to_thread(office.files.listed)
    known = await asyncio.to_thread(office.files.variables)
    variables = [VariableShown(**asdict(each) | {"used_in": list(each.used_in)}) for each in known]
    shown = [ConfigFileShown.of(each) for each in files]
    return ConfigShown(folder=str(desk.folder), files=shown, variables=variables, trouble=said.config_trouble)


class FindingShown(BaseModel):
    """One thing that is wrong."""

    path: str | None
    line: int | None
    text: str


class CheckedShown(BaseModel):
    """What a text would do as one of the files."""

    ok: bool
    findings: list[FindingShown]
    diff: str
    """Between the file and the text, as `diff -u` writes it."""
    changed: list[str]
    """The bot's settings that would be others."""
    waiting: list[str]
    """Those of them that take a restart."""


class Tried(BaseModel):
    """A text to be checked."""

    model_config = ConfigDict(extra="forbid")
    path: FilePath
    text: Text


@router.post("/check", dependencies=[Depends(changes_nothing)])
async def check(desk: At, office: In, caller: Admin, tried: Tried) -> CheckedShown:
    """Says what would come of it if a file read so; nothing is written."""
    checked = await asyncio.to_thread(_files(office).check, tried.path, storable(tried.text), desk.settings)
    return CheckedShown(
        ok=not checked.findings,
        findings=[FindingShown(**asdict(each)) for each in checked.findings],
        diff=checked.diff,
        changed=list(checked.changed),
        waiting=list(checked.waiting),
    )


class ConfigText(BaseModel):
    """What a file is to read."""

    model_config = ConfigDict(extra="forbid")
    text: Text
    version: Annotated[str, Field(max_length=64)] | None = None
    """That of the file which was read; null for a persona that is new."""


class WrittenShown(BaseModel):
    """What a file reads now, and what came of it."""

    file: ConfigFileShown
    changed: list[str]
    """What is in force now."""
    waiting: list[str]
    """What waits for a restart."""


@router.put("/{path:path}")
async def write(desk: At, office: In, caller: Admin, path: str, written: ConfigText) -> WrittenShown:
    """Writes a file that was found good, and has the bot go by it. The text before stays beside it, as `.bak`."""
    try:
        given = (path, storable(written.text), written.version, desk.settings)
        file = await asyncio.to_thread(_files(office).write, *given)
    except Changed as error:
        raise Conflict(str(error)) from error
    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    if desk.operations.reload is not None:
        try:
            done = await desk.operations.reload()
        except ConfigError:  # another file was changed for the worse meanwhile: the bot says so by itself
            pass
        else:
            changed, waiting = done.changed, done.waiting
    return WrittenShown(file=ConfigFileShown.of(file), changed=list(changed), waiting=list(waiting))


def _files(office: Office) -> ConfigFiles:
    if office.files is None:
        raise Conflict("I was started without knowing where my configuration is.")
    return office.files
