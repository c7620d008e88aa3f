"""Upkeep at its time in the bot's own process: never twice at once, and caught up where it was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]

from storage.errors import StorageError

from .errors import TroupeError
from .schedules import fields, span

log = structlog.get_logger()

LOOK_EVERY = 60.0
"""Seconds between two looks at the clock: timers stand still while a machine sleeps, and clocks are set."""
_TOLD_WITHIN = 5.0
"""Seconds that asking when a job was last done may take."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is due again and again."""

    name: str
    schedule: str
    """As `Schedule` takes it."""
    jitter: float
    """Seconds, at most, of a random delay."""
    work: Callable[[], Awaitable[object]]
    last: Callable[[], Awaitable[datetime | None]]
    """When it was last done, asked at the start and for whoever wants to know; None when it never was."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One job as it stands."""

    name: str
    schedule: str
    running: bool
    last_at: datetime | None
    """When it was last done; None where it never was, or nobody can say."""
    next_at: datetime | None
    trouble: str
    """Why it failed the last time; empty where it did not."""


LATENESS = 0xFFFFF
"""The bits of a chance that say how late a job comes that was missed: all of them, as late as it may."""


class Jobs:
    """Runs jobs until it is cancelled. One that fails is logged and told, and comes again at its next time."""

    def __init__(
        self,
        jobs: Sequence[Job],
        told: Callable[[str, str], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float],
    ) -> None:
        """`told` hears a job's name after every run, with a sentence where it failed and nothing where it did not.
        `chance` is a random number from 0 to 1."""
        self._jobs = jobs
        self._told = told
        self._now = now
        self._chance = chance
        self._running: dict[asyncio.Task[Any], str] = {}
        """What is under way, and which job that is."""
        self._troubles: dict[str, str] = {}
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    async def run(self) -> None:
        """Plans every job and keeps to the plan. When cancelled it stops what is under way, and waits for that."""
        try:
            for job in self._jobs:
                await self._plan(job)
            self._scheduler.start()
            seen = self._now()
            while True:
                await asyncio.sleep(LOOK_EVERY)
                seen = self._look(seen, self._now())
        finally:
            await self._stop()

    async def states(self) -> list[JobState]:
        """Every job as it stands, in their order."""
        found = []
        for job in self._jobs:
            try:
                async with asyncio.timeout(_TOLD_WITHIN):
                    last = await job.last()
            except (StorageError, TroupeError, TimeoutError):
                last = None
            planned = self._scheduler.get_job(job.name)
            at = planned.next_run_time.astimezone(UTC) if planned is not None and planned.next_run_time else None
            found.append(
                JobState(job.name, job.schedule, self.under_way(job.name), last, at, self._troubles.get(job.name, ""))
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Of every job, in their order."""
        return tuple(job.name for job in self._jobs)

    def under_way(self, name: str) -> bool:
        """Whether a job is being done now."""
        return name in self._running.values()

    async def run_now(self, name: str) -> str:
        """Does a job beside its plan, and returns why it failed, or nothing. Raises `TroupeError` where there is no
        such job, or it is under way already."""
        job = next((each for each in self._jobs if each.name == name), None)
        if job is None:
            raise TroupeError(f"There is no job '{name[:40]}'; there are: {', '.join(self.names) or 'none'}.")
        if self.under_way(name):
            raise TroupeError(f"The job {name} is under way already.")
        await self._run(job)
        return self._troubles.get(name, "")

    async def _plan(self, job: Job) -> None:
        """The job store is in memory, so that only the job itself knows what was missed while nobody ran."""
        try:
            last = await job.last()
        except (StorageError, TroupeError) as error:
            log.error("job.unplanned", job=job.name, error=str(error))
            last = self._now()
        except Exception:
            log.exception("job.unplanned", job=job.name)
            last = self._now()
        first = first_run(job.schedule, last, self._now(), job.jitter * self._chance())
        if first is None:
            log.warning("job.never", job=job.name, schedule=job.schedule)
            return
        log.info("job.planned", job=job.name, at=first.isoformat(timespec="seconds"))
        self._scheduler.add_job(
            self._run,
            _trigger(job.schedule, job.jitter),
            args=[job],
            id=job.name,
            next_run_time=first,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )

    def _look(self, before: datetime, now: datetime) -> datetime:
        """Without this, a clock that was a year ahead and is set right would leave a year without runs."""
        if now < before:
            log.warning("job.clock", was=before.isoformat(), now=now.isoformat())
            for job in self._scheduler.get_jobs():
                self._scheduler.reschedule_job(job.id, trigger=job.trigger)
        self._scheduler.wakeup()
        return now

    async def _run(self, job: Job) -> None:
        """Nothing that a job does may end the bot."""
        task = asyncio.current_task()
        assert task is not None
        if self.under_way(job.name):  # somebody asked for it a moment ago
            return
        self._running[task] = job.name
        try:
            await job.work()
        except (StorageError, TroupeError) as error:
            log.error("job.failed", job=job.name, error=str(error))
            self._tell(job.name, str(error))
        except Exception as error:
            log.exception("job.failed", job=job.name)
            self._tell(job.name, f"{job.name} failed ({type(error).__name__}): the log says more.")
        else:
            self._tell(job.name, "")
        finally:
            del self._running[task]

    def _tell(self, name: str, trouble: str) -> None:
        self._troubles[name] = trouble
        self._told(name, trouble)

    async def _stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        running = set(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # the scheduler's own end is only on its way until the loop has turned


def first_run(schedule: str, last: datetime | None, now: datetime, delay: float) -> datetime | None:
    """When a job runs first after a start, `delay` seconds included: at once when one was due since it was `last`
    done, or when it never was; otherwise at its next time. None when the schedule's day never comes.

    A `last` that lies ahead is of a clock that was set back, and counts as now."""
    due = now if last is None else next_time(schedule, min(last, now))
    return None if due is None else max(due, now) + timedelta(seconds=delay)


def next_time(schedule: str, after: datetime) -> datetime | None:
    """The first time of a schedule after another one; None when its day never comes."""
    seconds = span(schedule)
    if seconds is not None:
        return after + timedelta(seconds=seconds)
    found: datetime | None = _trigger(schedule, 0).get_next_fire_time(None, after + timedelta(microseconds=1))
    return found


def _trigger(schedule: str, jitter: float) -> Any:
    """A span needs no jitter: the delay of its first run stays with it."""
    seconds = span(schedule)
    if seconds is not None:
        return IntervalTrigger(seconds=seconds, timezone=UTC)
    minute, hour, day, month, weekday = fields(schedule) or ["*"] * 5
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=UTC, jitter=jitter or None
    )
