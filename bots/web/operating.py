"""How the bot and its fleet are, its scheduled jobs, and who did what: for whoever runs it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, JsonValue

from storage.model import Counts, Sender, storable
from storage.progress import Tell
from storage.records import AuditEntry

from ..errors import TroupeError
from ..jobs import Jobs
from ..operations import ModelState
from ..status import BotStatus
from .callers import Admin
from .desk import At, Desk
from .office import In
from .problems import Conflict, NotThere, WebError
from .shapes import PageShown
from .works import Result, WorkShown

router = APIRouter(prefix="/api", tags=["operate"])

_SAID = {"version", "state", "since", "started", "pid", "restarts", "memory_bytes", "live_sessions", "discord"}
_SAID |= {"embedder", "memory", "last_backup"}


class CheckShown(BaseModel):
    """One thing that was looked at."""

    state: Literal["ok", "note", "off", "wrong"]
    """`off` is what nobody has set up; only `wrong` needs somebody."""
    what: str
    where: str
    sentence: str
    remedy: str


class StorageShown(BaseModel):
    """Where talk is kept, and how much of it."""

    type: Literal["sqlite", "file", "postgres"]
    enabled: bool
    root: str
    channels: int
    sessions: int
    open_sessions: int
    messages: int
    records: dict[str, int]


class ModelShown(BaseModel):
    """One model, as it stands."""

    name: str
    state: Literal["ready", "failing", "resting", "off"]
    variable: str
    """What to set where it is off."""
    why: str


class BotShown(BaseModel):
    """The bot, as it is."""

    name: str
    display: str
    description: str
    version: str
    state: str
    since: datetime | None
    started: datetime | None
    pid: int | None
    restarts: int
    memory_bytes: int
    live_sessions: int
    discord: str
    web: str
    storage: StorageShown
    models: list[ModelShown]
    embedder: str
    memory: str
    personas: list[str]
    last_backup: datetime | None
    checks: list[CheckShown]
    """What can be said at once; `POST /api/bot/checkup` looks closely."""


@router.get("/bot")
async def bot(desk: At, caller: Admin) -> BotShown:
    """How the bot is."""
    said = await asyncio.to_thread(desk.operations.status)
    settings = desk.settings
    return BotShown(
        **said.model_dump(include=_SAID),
        web=said.web or settings.web.address,
        name=settings.name,
        display=settings.display,
        description=settings.description,
        storage=_storage(desk, await desk.store.counts()),
        models=[_model(each) for each in desk.operations.models()],
        personas=[each.name for each in settings.personas],
        checks=await asyncio.to_thread(_quick_checks, desk, said),
    )


def _storage(desk: Desk, counts: Counts) -> StorageShown:
    kept = desk.settings.storage
    return StorageShown(
        type=kept.type, enabled=kept.enabled, root=str(desk.settings.root), **counts.model_dump(mode="json")
    )


def _model(state: ModelState) -> ModelShown:
    return ModelShown(name=state.name, state=state.state, variable=state.variable, why=state.why)


def _quick_checks(desk: Desk, said: BotStatus) -> list[CheckShown]:
    from ..checkup import place, process  # what it needs takes memory, and operators come now and then

    return [CheckShown(**asdict(each)) for each in (*process(desk.settings, said), *place(desk.settings))]


@router.post("/bot/checkup", status_code=202)
async def checkup(desk: At, office: In, caller: Admin) -> WorkShown:
    """Begins to look over everything that the bot needs: Discord, the providers' keys, what it keeps, the disk."""
    check_up = desk.operations.check_up
    if check_up is None:
        raise Conflict("I cannot look myself over here: `troupe doctor` can.")

    async def look(tell: Tell) -> Result:
        checks = await check_up(tell)
        return {"healthy": all(each.state != "wrong" for each in checks), "checks": [asdict(each) for each in checks]}

    return office.works.begin("checkup", f"A look over {desk.settings.display}", look).shown


class ReloadedShown(BaseModel):
    """What a reading of the configuration brought, by the keys of a bot's file."""

    changed: list[str]
    """What is in force now."""
    waiting: list[str]
    """What was changed and waits for a restart."""


@router.post("/bot/reload")
async def reload(desk: At, caller: Admin) -> ReloadedShown:
    """Reads the configuration again; a mistake in it changes nothing."""
    if desk.operations.reload is None:
        raise Conflict("I was started without knowing where my configuration is: restart me to read it.")
    done = await desk.operations.reload()
    return ReloadedShown(changed=list(done.changed), waiting=list(done.waiting))


class JobShown(BaseModel):
    """Scheduled upkeep."""

    name: str
    schedule: str
    running: bool
    last_at: datetime | None
    next_at: datetime | None
    trouble: str
    """Why it failed the last time."""


class JobsShown(BaseModel):
    """All scheduled upkeep."""

    items: list[JobShown]


@router.get("/jobs")
async def jobs(desk: At, caller: Admin) -> JobsShown:
    """The bot's scheduled upkeep, and when it is due."""
    known = desk.operations.jobs
    return JobsShown(items=[JobShown(**asdict(each)) for each in (await known.states() if known else ())])


@router.post("/jobs/{name}/run", status_code=202)
async def run_job(desk: At, office: In, caller: Admin, name: str) -> WorkShown:
    """Does a job now, beside its plan."""
    known = desk.operations.jobs
    if known is None or name not in known.names:
        raise NotThere(f"There is no job '{name[:40]}' here.")
    if known.under_way(name):
        raise Conflict(f"The job {name} is under way already.")
    return office.works.begin("job", f"The job {name}", lambda tell: _done(known, name)).shown


async def _done(jobs: Jobs, name: str) -> Result:
    if trouble := await jobs.run_now(name):
        raise TroupeError(trouble)
    return {}


class AuditShown(BaseModel):
    """Who did what to what."""

    id: str
    at: datetime
    actor: Sender
    action: str
    target: str
    details: dict[str, JsonValue]


@router.get("/audit")
async def audit(
    desk: At,
    caller: Admin,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    about: Annotated[str | None, Query(max_length=200)] = None,
) -> PageShown[AuditShown]:
    """What was done, the newest first; `about` is the target of an entry."""
    try:
        page = await desk.store.records(
            AuditEntry, about=storable(about) if about else None, cursor=cursor, limit=limit
        )
    except ValueError as error:
        raise WebError("That cursor is none of mine: begin without one.") from error
    items = [AuditShown(**each.model_dump(include=set(AuditShown.model_fields))) for each in page.items]
    return PageShown(items=items, older=page.older, newer=page.newer)
