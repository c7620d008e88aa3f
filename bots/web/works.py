"""Work that takes a while, such as a backup: begun by one request, followed by others, whoever leaves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import structlog
from pydantic import BaseModel, JsonValue

from storage.errors import StorageError
from storage.model import message_id
from storage.progress import Tell

from ..errors import TroupeError
from .problems import Conflict, NotThere

log = structlog.get_logger()

What = Literal["backup", "verify", "restore", "cleanup", "job", "checkup", "fleet"]
State = Literal["running", "done", "failed", "stopped"]
Result = dict[str, JsonValue]

_KEPT, _LASTS = 50, timedelta(hours=1)
_LOOK_EVERY = 0.25
"""Seconds between two looks at how far work is, for somebody who waits for that."""


class WorkShown(BaseModel):
    """Work that somebody began, and how far it is."""

    id: str
    what: What
    title: str
    state: State
    changes: int
    """Goes up with everything that changes here; given back as `seen` it lets one wait for the next change."""
    step: str
    """What is being done."""
    done: int
    of: int
    """How much there is to do in this step; 0 where nobody knows."""
    began_at: datetime
    ended_at: datetime | None
    trouble: str
    """Why it failed."""
    result: Result
    """What came of it; empty until it is done."""


@dataclass(eq=False)
class Work:
    """One piece of work."""

    id: str
    what: What
    title: str
    began_at: datetime
    state: State = "running"
    changes: int = 0
    progress: tuple[str, int, int] = ("", 0, 0)
    ended_at: datetime | None = None
    trouble: str = ""
    result: Result = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    stoppable: bool = True

    def tell(self, step: str, done: int, of: int) -> None:
        """Hears how far it is, from whatever thread."""
        self.progress, self.changes = (step, done, of), self.changes + 1

    def end(self, state: State, at: datetime, *, result: Result | None = None, trouble: str = "") -> None:
        self.state, self.ended_at, self.trouble, self.result = state, at, trouble, result or {}
        self.changes += 1

    @property
    def shown(self) -> WorkShown:
        step, done, of = self.progress
        return WorkShown(
            id=self.id,
            what=self.what,
            title=self.title,
            state=self.state,
            changes=self.changes,
            step=step,
            done=done,
            of=of,
            began_at=self.began_at,
            ended_at=self.ended_at,
            trouble=self.trouble,
            result=self.result,
        )


class Works:
    """The work of one bot's front. What ended is forgotten after an hour, or when there is much newer."""

    def __init__(self, now: Callable[[], datetime], chance: Callable[[], int]) -> None:
        self._now, self._chance = now, chance
        self._works: dict[str, Work] = {}

    def begin(
        self, what: What, title: str, work: Callable[[Tell], Awaitable[Result]], *, stoppable: bool = True
    ) -> Work:
        """Begins work that goes on by itself. Raises `Conflict` where such work is under way."""
        alike = (each for each in self._works.values() if each.what == what and each.state == "running")
        if (other := next(alike, None)) is not None:
            raise Conflict(f"{title}: something like it is under way ({other.title}); wait until that is done.")
        self._tidy()
        at = self._now()
        begun = Work(message_id(at, self._chance()), what, title, at, stoppable=stoppable)
        self._works[begun.id] = begun
        begun.task = asyncio.create_task(self._run(begun, work))
        return begun

    def listed(self) -> list[Work]:
        """All that is known of, the newest first."""
        self._tidy()
        return list(reversed(self._works.values()))

    def found(self, id: str) -> Work:
        """The work of that id. Raises `NotThere`."""
        if (work := self._works.get(id)) is None:
            raise NotThere(f"There is no work '{id[:40]}', or it is long over.")
        return work

    async def changed(self, work: Work, seen: int, within: float) -> None:
        """Returns once something is otherwise than was `seen`, or after so many seconds."""
        left = within
        while work.changes == seen and work.state == "running" and work.task is not None and left > 0:
            await asyncio.wait({work.task}, timeout=min(left, _LOOK_EVERY))
            left -= _LOOK_EVERY

    async def stop(self, work: Work) -> None:
        """Ends work under way, which cleans up after itself. Raises `Conflict` where somebody else does it by now."""
        if not work.stoppable and work.state == "running":
            raise Conflict(f"{work.title}: what was begun cannot be called off any more; wait until it is done.")
        await self._ended(work)

    async def close(self) -> None:
        """Ends everything under way."""
        await asyncio.gather(*(self._ended(each) for each in self._works.values()))

    async def _ended(self, work: Work) -> None:
        if work.task is not None and work.state == "running":
            work.task.cancel()
            await asyncio.wait({work.task}, timeout=5)

    async def _run(self, work: Work, do: Callable[[Tell], Awaitable[Result]]) -> None:
        try:
            work.end("done", result=await do(work.tell), at=self._now())
        except asyncio.CancelledError:
            work.end("stopped", self._now())
            raise
        except (TroupeError, StorageError) as error:
            work.end("failed", self._now(), trouble=str(error))
        except Exception:
            log.exception("web.work_failed", what=work.what)
            work.end("failed", self._now(), trouble="Something went wrong on my side; my log says what.")

    def _tidy(self) -> None:
        at = self._now()
        over = [each for each in self._works.values() if each.ended_at is not None]
        many = len(self._works) - _KEPT
        for place, each in enumerate(over):
            assert each.ended_at is not None
            if place < many or at - each.ended_at > _LASTS:
                del self._works[each.id]
