"""Jobs: at their time, caught up where they were missed, never twice at once, and never the end of a bot."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bots.backing import attachments, destination, make_and_report, newest
from bots.backing import job as backing_job
from bots.jobs import Job, Jobs, first_run, next_time
from storage.errors import Unavailable
from tests.world import ANA, settings, world

MONDAY = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-01-{text}:00+00:00")


# When


@pytest.mark.parametrize(
    ("schedule", "last", "first"),
    [
        ("0 4 * * *", "08 04:00", "09 04:00"),  # done in time: the next one is tomorrow's
        ("0 4 * * *", "07 04:10", "08 12:00"),  # missed this morning: now
        ("0 4 * * *", "01 04:00", "08 12:00"),  # missed for a week: now, and once
        ("0 4 * * *", None, "08 12:00"),  # never done
        ("0 4 * * *", "20 04:00", "09 04:00"),  # done in a future that was none
        ("0 4 * * 1", "08 04:00", "15 04:00"),  # Monday is Monday
        ("0 4 * * sun", "08 04:00", "14 04:00"),
        ("0 4 * * 0", "08 04:00", "14 04:00"),
        ("every 6h", "08 11:00", "08 17:00"),  # a restart does not push it back
        ("every 6h", "08 05:00", "08 12:00"),
        ("every 6h", "20 05:00", "08 18:00"),
        ("every 30m", None, "08 12:00"),
    ],
)
def test_a_job_runs_first_when_it_is_due(schedule: str, last: str | None, first: str) -> None:
    assert first_run(schedule, at(last) if last else None, MONDAY, 0) == at(first)


def test_the_first_run_is_delayed_by_its_jitter() -> None:
    assert first_run("0 4 * * *", None, MONDAY, 90) == MONDAY + timedelta(seconds=90)
    assert first_run("0 4 * * *", MONDAY, MONDAY, 90) == at("09 04:01") + timedelta(seconds=30)


def test_a_day_that_never_comes_is_no_time() -> None:
    assert next_time("0 4 30 2 *", MONDAY) is None
    assert first_run("0 4 30 2 *", MONDAY, MONDAY, 0) is None


# Running


class Upkeep:
    """A job that says when it begins, and goes on when it is told to."""

    def __init__(self, *, waits: bool = False) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended: list[str] = []
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.runs = 0
        if not waits:
            self.go_on.set()

    async def work(self) -> None:
        self.runs += 1
        self.began.set()
        try:
            await self.go_on.wait()
            self.ended.append("done")
        except asyncio.CancelledError:
            self.ended.append("stopped")
            raise

    async def never(self) -> None:
        return None

    def jobs(self, job: Job, *more: Job) -> Jobs:
        return Jobs([job, *more], lambda *heard: self.told.put_nowait(heard), chance=lambda: 0.0)

    @property
    def job(self) -> Job:
        return Job("upkeep", "every 6h", 600.0, self.work, self.never)


async def test_what_was_missed_is_caught_up_at_the_start() -> None:
    upkeep = Upkeep()
    running = asyncio.create_task(upkeep.jobs(upkeep.job).run())
    assert await upkeep.told.get() == ("upkeep", "")
    assert upkeep.runs == 1
    await stopped(running)


async def test_a_job_comes_again_at_its_next_time() -> None:
    upkeep = Upkeep()
    soon = datetime.now(UTC) - timedelta(minutes=1) + timedelta(milliseconds=60)

    async def last() -> datetime:
        return soon

    running = asyncio.create_task(upkeep.jobs(Job("upkeep", "every 1m", 0.0, upkeep.work, last)).run())
    assert await upkeep.told.get() == ("upkeep", "")
    assert datetime.now(UTC) >= soon + timedelta(minutes=1)
    await stopped(running)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Unavailable("The disk is full."), "The disk is full."),
        (KeyError("x"), "upkeep failed (KeyError): the log says"),
    ],
)
async def test_a_job_that_fails_is_told_and_ends_nothing(error: Exception, sentence: str) -> None:
    upkeep, other = Upkeep(), Upkeep()

    async def fail() -> None:
        raise error

    broken = Job("upkeep", "every 6h", 0.0, fail, upkeep.never)
    with capture_logs() as logs:
        running = asyncio.create_task(upkeep.jobs(broken, Job("other", "every 6h", 0.0, other.work, other.never)).run())
        told = [await upkeep.told.get(), await upkeep.told.get()]
    assert told[1] == ("other", "")
    assert told[0][1].startswith(sentence)
    assert [entry["log_level"] for entry in logs if entry["event"] == "job.failed"] == ["error"]
    await stopped(running)


@pytest.mark.parametrize("error", [Unavailable("The bucket is gone."), KeyError("x")])
async def test_a_job_whose_past_cannot_be_asked_waits_for_its_time(error: Exception) -> None:
    upkeep = Upkeep()

    async def last() -> datetime | None:
        raise error

    other = Upkeep()
    jobs = upkeep.jobs(
        Job("upkeep", "every 6h", 0.0, upkeep.work, last), Job("other", "* * * * *", 0.0, other.work, other.never)
    )
    running = asyncio.create_task(jobs.run())
    assert await upkeep.told.get() == ("other", "")
    assert upkeep.runs == 0
    await stopped(running)


async def test_stopping_ends_what_is_under_way_and_waits_for_it() -> None:
    upkeep = Upkeep(waits=True)
    running = asyncio.create_task(upkeep.jobs(upkeep.job).run())
    await upkeep.began.wait()
    await stopped(running)
    assert upkeep.ended == ["stopped"]


# The backup as a job


async def test_a_bot_backs_itself_up_soon_after_a_start_that_comes_too_late(tmp_path: Path) -> None:
    reported: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    async with world(settings(tmp_path), root=tmp_path) as lived:
        await lived.room().say(ANA, "Hello")
        bot, blobs = lived.bot.settings, attachments(lived.bot.settings)
        upkeep = Upkeep()
        daily = backing_job(bot, lived.store, blobs, reported.put_nowait, now=lived.clock.now)
        running = asyncio.create_task(upkeep.jobs(daily).run())
        assert await upkeep.told.get() == ("backup", "")
        await stopped(running)
        assert [reported.get_nowait() for _ in range(2)] == [{"last_backup": None}, {"last_backup": lived.clock.at}]
        assert await newest(destination(bot)) == lived.clock.at
        assert await daily.last() == lived.clock.at


async def test_a_proven_backup_is_reported_whatever_becomes_of_the_old_ones(tmp_path: Path) -> None:
    seen: list[tuple[object, int]] = []

    def report(facts: dict[str, object]) -> None:
        seen.append((facts["last_backup"], len(list((tmp_path / "backups").glob("*.json")))))

    once = {"keep": {"daily": 1, "weekly": 0, "monthly": 0}}
    async with world(settings(tmp_path, storage={"path": str(tmp_path), "backup": once}), root=tmp_path) as lived:
        await lived.room().say(ANA, "Hello")
        bot, blobs = lived.bot.settings, attachments(lived.bot.settings)
        lived.clock.at = MONDAY
        for _ in range(2):
            await make_and_report(bot, lived.store, blobs, report, now=lived.clock.now)
            lived.clock.at += timedelta(days=1)
    assert seen == [(MONDAY, 1), (MONDAY + timedelta(days=1), 2)], "the old one was still there"
    assert len(list((tmp_path / "backups").glob("*.json"))) == 1


async def test_a_backup_that_fails_is_told_and_the_bot_talks_on(tmp_path: Path) -> None:
    async with world(settings(tmp_path), root=tmp_path) as lived:
        await lived.room().say(ANA, "Hello")
        (tmp_path / "backups").write_text("in the way")
        upkeep = Upkeep()
        bot = lived.bot.settings
        daily = backing_job(bot, lived.store, attachments(bot), lambda facts: None, now=lived.clock.now)
        running = asyncio.create_task(upkeep.jobs(daily).run())
        name, sentence = await upkeep.told.get()
        assert (name, "backups" in sentence) == ("backup", True)
        await stopped(running)
        assert (await lived.room().say(ANA, "Are you there?")).answer


async def stopped(running: asyncio.Task[None]) -> None:
    running.cancel()
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
