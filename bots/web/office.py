"""What operating a bot keeps between two requests, and the requests that ask how far its work is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.requests import HTTPConnection
from pydantic import BaseModel

from ..config_files import ConfigFiles
from ..settings import BotSettings
from .callers import Admin
from .desk import Desk
from .fleet import Fleet
from .problems import Conflict
from .works import Works, WorkShown

router = APIRouter(prefix="/api/works", tags=["operate"])

_CONFIRMED_WITHIN = timedelta(minutes=10)
_MOST = 1_000
"""People who are asked at once whether they mean it."""


@dataclass
class Confirmations:
    """Who was asked whether they mean something that cannot be taken back."""

    now: Callable[[], datetime]
    _asked: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def ask(self, person_id: str) -> tuple[str, datetime]:
        """A code to be given back, and until when."""
        now = self.now()
        self._asked = {id: each for id, each in self._asked.items() if each[1] > now and id != person_id}
        if len(self._asked) >= _MOST:
            raise Conflict("Too many people are being asked just now: try again in a few minutes.")
        self._asked[person_id] = code, until = secrets.token_urlsafe(9), now + _CONFIRMED_WITHIN
        return code, until

    def confirm(self, person_id: str, code: str) -> None:
        """Takes a code back, once. Raises `Conflict` where it is not the one that was given, or too old."""
        given, until = self._asked.pop(person_id, ("", self.now()))
        if not given or not secrets.compare_digest(given.encode(), code.encode()) or until <= self.now():
            raise Conflict("That is not the code I gave you, or it is too old: ask again without one.")


@dataclass(frozen=True)
class Office:
    """What is kept for one front."""

    works: Works
    confirmations: Confirmations
    fleet: Fleet | None
    """None where the bot does not know its folder; then there are no files either."""
    files: ConfigFiles | None

    @classmethod
    def of(cls, desk: Desk) -> Office:
        """A front's, with nothing in it yet."""
        folder, name = desk.folder, desk.settings.name
        fleet, files = (Fleet(folder), ConfigFiles(folder, name)) if folder is not None else (None, None)
        return cls(Works(desk.now, desk.chance), Confirmations(desk.now), fleet, files)

    async def settings(self, desk: Desk, name: str) -> BotSettings | None:
        """Those of a bot of the fleet; None where there is none of that name."""
        if name == desk.settings.name:
            return desk.settings
        return await self.fleet.settings(name) if self.fleet is not None else None


def _office(connection: HTTPConnection) -> Office:
    found: Office = connection.app.state.office
    return found


In = Annotated[Office, Depends(_office)]
"""The office, as an argument of a route."""


class WorksShown(BaseModel):
    """Work that was begun lately, the newest first."""

    items: list[WorkShown]


@router.get("")
async def works(office: In, caller: Admin) -> WorksShown:
    """What was begun in the last hour."""
    return WorksShown(items=[each.shown for each in office.works.listed()])


@router.get("/{work_id}")
async def work(
    office: In,
    caller: Admin,
    work_id: str,
    wait: Annotated[float, Query(ge=0, le=25)] = 0,
    seen: Annotated[int, Query(ge=-1, le=2**53)] = -1,
) -> WorkShown:
    """How far it is; with `wait`, once something is otherwise than was `seen`, or after so many seconds."""
    found = office.works.found(work_id)
    await office.works.changed(found, seen, wait)
    return found.shown


@router.post("/{work_id}/stop")
async def stop(office: In, caller: Admin, work_id: str) -> WorkShown:
    """Ends it, and has it clean up after itself."""
    found = office.works.found(work_id)
    await office.works.stop(found)
    return found.shown
