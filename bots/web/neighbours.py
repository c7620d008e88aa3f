"""How every bot of the fleet is, and stopping, starting and restarting one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from storage.progress import Tell

from .. import status, stopping
from ..errors import TroupeError
from ..settings import BotSettings
from ..status import BotStatus
from ..wish import Wish
from .auditing import Act, acted
from .callers import Admin, Caller
from .desk import At, Desk
from .fleet import answers
from .office import In, Office
from .problems import Conflict, Forbidden, NotThere
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
    alone: bool
    """Whether no `troupe up` looks after it, which could start it again."""
    possible: list[Wish]
    """What the caller can do with it from here."""


class NeighboursShown(BaseModel):
    """The fleet, the bot that is asked first."""

    items: list[NeighbourShown]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the files say of a bot now."""

    said: BotStatus | None = None
    alone: bool = False
    possible: tuple[Wish, ...] = ()


@router.get("")
async def bots(desk: At, office: In, caller: Admin) -> NeighboursShown:
    """How every bot of the fleet is."""
    here, others = desk.settings, desk.settings.neighbours
    known, well = await asyncio.gather(
        asyncio.to_thread(_known, desk, office, caller), asyncio.gather(*(answers(each.url) for each in others))
    )
    own = known[here.name]
    address = (own.said.web if own.said else "") or here.web.address
    items = [_neighbour(here.name, here.display, address, own, here=True, well=True)]
    for each, there in zip(others, well, strict=True):
        told = known.get(each.name, _Known())
        items.append(_neighbour(each.name, each.display, each.url, told, here=False, well=there))
    return NeighboursShown(items=items)


def _known(desk: Desk, office: Office, caller: Caller) -> dict[str, _Known]:
    """All of the fleet, by name; reads files."""
    found = office.fleet.known() if office.fleet else {}
    found[desk.settings.name] = desk.settings, desk.operations.status()
    return {name: _one(desk, caller, bot, said) for name, (bot, said) in found.items()}


def _one(desk: Desk, caller: Caller, bot: BotSettings | None, said: BotStatus) -> _Known:
    if bot is None:
        return _Known(said)
    can = stopping.possible(bot, said) if _theirs(desk, caller, bot) else ()
    return _Known(said, stopping.alone(bot), can)


def _theirs(desk: Desk, caller: Caller, bot: BotSettings) -> bool:
    """Whether the caller, an admin here, may stop and start a bot: this one, any from this machine, and those of which
    they are an admin, too."""
    if bot.name == desk.settings.name or caller.by == "here":
        return True
    return bot.web.login is not None and caller.person.id in bot.web.login.admins


def _neighbour(name: str, display: str, url: str, known: _Known, *, here: bool, well: bool) -> NeighbourShown:
    said = known.said
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
        alone=known.alone,
        possible=list(known.possible),
    )


def _troubles(said: BotStatus) -> Iterator[str]:
    told = (said.last_error, said.job_trouble, said.config_trouble, said.model_trouble, said.backup_alarm)
    yield from (each for each in (*told, said.transfer_trouble, said.web_trouble, said.left_behind) if each)


@router.post("/{name}/{act}", status_code=202)
async def order(request: Request, desk: At, office: In, caller: Admin, name: str, act: Wish) -> WorkShown:
    """Begins to stop, start or restart a bot. The answers under way are given first, and what is said meanwhile waits
    for its next start, which goes by its files as they are then. One that stops itself tells nothing more."""
    if (bot := await office.settings(desk, name)) is None:
        raise NotThere(f"There is no bot '{name[:40]}' here.")
    if not _theirs(desk, caller, bot):
        raise Forbidden(
            f"You are an admin here, and not of {bot.display}: it is stopped and started at its own console, by its "
            "admins, or at its machine."
        )
    said, can = await asyncio.to_thread(_can, bot)
    if act not in can:
        raise Conflict(f"{bot.display} is {said.state}, and there is nothing to {act} from here now.")

    async def do(tell: Tell) -> Result:
        try:
            return {"said": await _DO[act](bot)}
        except OSError as error:
            raise TroupeError(f"{error.filename or 'Its root'} could not be written: {error.strerror}.") from error

    begun = office.works.begin("fleet", f"{_DOING[act]} {bot.display}", do, stoppable=False).shown
    acted(request, Act(202, act, f"bot:{name}"))
    return begun


def _can(bot: BotSettings) -> tuple[BotStatus, tuple[Wish, ...]]:
    said = status.of(bot)
    return said, stopping.possible(bot, said)
