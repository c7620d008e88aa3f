"""How every bot of the fleet is, and stopping, starting and restarting one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from storage.progress import Tell

from .. import status, stopping
from ..errors import TroupeError
from ..status import BotStatus
from ..stopping import Act
from .callers import Admin
from .desk import At, Desk
from .fleet import answers
from .office import In, Office
from .problems import Conflict, NotThere
from .works import Result, WorkShown

router = APIRouter(prefix="/api/bots", tags=["operate"])

_DO = {"stop": stopping.stop, "start": stopping.start, "restart": stopping.restart}
_DOING = {"stop": "Stopping", "start": "Starting", "restart": "Restarting"}


class NeighbourShown(BaseModel):
    """One bot of the fleet."""

    name: str
    display: str
    url: str
    here: bool
    """Whether it is the one that is asked."""
    answers: bool
    """Whether its console answers now."""
    state: str
    """As its own status says; empty where nobody knows."""
    since: datetime | None
    restarts: int
    memory_bytes: int
    discord: str
    live_sessions: int
    last_backup: datetime | None
    troubles: list[str]
    possible: list[Act]
    """What can be done with it from here."""


class NeighboursShown(BaseModel):
    """The fleet, the bot that is asked first."""

    items: list[NeighbourShown]


@router.get("")
async def bots(desk: At, office: In, caller: Admin) -> NeighboursShown:
    """How every bot of the fleet is."""
    known = await office.fleet.statuses() if office.fleet else {}
    own = await asyncio.to_thread(desk.operations.status)
    here, others = desk.settings, desk.settings.neighbours
    well = await asyncio.gather(*(answers(each.url) for each in others))
    can = {here.name: await asyncio.to_thread(stopping.possible, here, own)}
    for name, said in known.items():
        if name not in can and (bot := await office.settings(desk, name)) is not None:
            can[name] = await asyncio.to_thread(stopping.possible, bot, said)
    address = own.web or here.web.address
    items = [_neighbour(here.name, here.display, address, own, can[here.name], here=True, well=True)]
    for each, there in zip(others, well, strict=True):
        told = (known.get(each.name), can.get(each.name, ()))
        items.append(_neighbour(each.name, each.display, each.url, *told, here=False, well=there))
    return NeighboursShown(items=items)


def _neighbour(
    name: str, display: str, url: str, said: BotStatus | None, can: Sequence[Act], *, here: bool, well: bool
) -> NeighbourShown:
    down = said is not None and not said.running
    return NeighbourShown(
        name=name,
        display=display,
        url=url,
        here=here,
        answers=well,
        state=said.state if said else "",
        since=said.since if said else None,
        restarts=said.restarts if said else 0,
        memory_bytes=said.memory_bytes if said else 0,
        discord=said.discord if said else "",
        live_sessions=said.live_sessions if said else 0,
        last_backup=said.last_backup if said else None,
        troubles=[*(_troubles(said) if said else ()), *([] if well or down else ["Its console does not answer."])],
        possible=list(can),
    )


def _troubles(said: BotStatus) -> Iterator[str]:
    told = (said.last_error, said.job_trouble, said.config_trouble, said.model_trouble, said.backup_alarm)
    yield from (each for each in (*told, said.transfer_trouble, said.web_trouble, said.left_behind) if each)


@router.post("/{name}/stop", status_code=202)
async def stop(desk: At, office: In, caller: Admin, name: str) -> WorkShown:
    """Begins to stop a bot: the answers under way are given first, and what is said meanwhile waits for its next start.
    One that stops itself tells nothing more."""
    return await _begun(desk, office, name, "stop")


@router.post("/{name}/start", status_code=202)
async def start(desk: At, office: In, caller: Admin, name: str) -> WorkShown:
    """Begins to start a bot that is down, by its files as they are now."""
    return await _begun(desk, office, name, "start")


@router.post("/{name}/restart", status_code=202)
async def restart(desk: At, office: In, caller: Admin, name: str) -> WorkShown:
    """Begins to stop a bot, as `stop` does, and to start it again by its files as they are now."""
    return await _begun(desk, office, name, "restart")


async def _begun(desk: Desk, office: Office, name: str, act: Act) -> WorkShown:
    """Raises `NotThere` and `Conflict`."""
    if (bot := await office.settings(desk, name)) is None:
        raise NotThere(f"There is no bot '{name[:40]}' here.")
    said = await asyncio.to_thread(status.of, bot)
    if act not in await asyncio.to_thread(stopping.possible, bot, said):
        raise Conflict(f"{bot.display} is {said.state}: to {act} it is not possible from here now.")

    async def do(tell: Tell) -> Result:
        try:
            return {"said": await _DO[act](bot)}
        except OSError as error:
            raise TroupeError(f"{error.filename or 'Its root'} could not be written: {error.strerror}.") from error

    return office.works.begin("fleet", f"{_DOING[act]} {bot.display}", do).shown
