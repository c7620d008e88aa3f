"""What `troupe status` believes: the file, the lock and the living process together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bots import process, status
from bots.process import Launch, Life
from bots.settings import BotSettings, ModelSettings, PersonaSettings, Troupe
from bots.status import BotStatus, Report
from bots.storage_settings import BackupSettings, StorageSettings
from bots.values import Secret
from storage.rootlock import RootLock

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HERE = os.getpid()


def bot(root: Path) -> BotSettings:
    persona = PersonaSettings(name="one", display="One", description="one", prompt="one")
    key = Secret(variable="KEY")
    models = (ModelSettings(provider="openai", model="gpt", api_key=key), ModelSettings(provider="offline"))
    return BotSettings(name="sage", personas=(persona,), storage=StorageSettings(path=str(root)), models=models)


def read(root: Path) -> BotStatus:
    return status.read(Troupe(bots=(bot(root),)))[0]


def test_a_bot_that_never_ran(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == BotStatus(bot="sage", state="not started")


def test_a_running_bot_is_as_it_says(tmp_path: Path) -> None:
    said = BotStatus(bot="sage", pid=HERE, state="ready", since=AT, started=AT, memory_bytes=1, live_sessions=2)
    lock = RootLock.take(tmp_path)
    status.write(tmp_path, said)
    assert read(tmp_path) == said
    lock.release()


def test_a_bot_that_went_without_a_word_died(tmp_path: Path) -> None:
    status.write(tmp_path, BotStatus(bot="sage", pid=HERE, state="ready", memory_bytes=1))
    found = read(tmp_path)
    assert (found.state, found.pid, found.memory_bytes) == ("died", None, 0)
    assert found.last_error == f"process {HERE} ended without a word"
    assert status.healthy(found) == (False, f"sage is not healthy: died: process {HERE} ended without a word")


def test_a_root_copied_from_another_bot_does_not_speak_in_its_name(tmp_path: Path) -> None:
    status.write(tmp_path, BotStatus(bot="spark", state="stopped"))
    assert read(tmp_path).bot == "sage"


def test_a_new_holder_is_not_taken_for_the_one_in_the_file(tmp_path: Path) -> None:
    lock = RootLock.take(tmp_path)
    status.write(tmp_path, BotStatus(bot="sage", pid=1, state="ready"))
    assert (read(tmp_path).state, read(tmp_path).pid) == ("starting", HERE)
    lock.release()


def test_what_the_supervisor_says_of_a_bot_that_is_down(tmp_path: Path) -> None:
    said = BotStatus(bot="sage", state="fatal", since=AT, last_error="Discord does not accept this token.")
    status.write_unless_held(tmp_path, said)
    assert read(tmp_path) == said


def test_the_supervisor_does_not_speak_for_a_bot_somebody_else_runs(tmp_path: Path) -> None:
    lock = RootLock.take(tmp_path)
    status.write(tmp_path, BotStatus(bot="sage", pid=HERE, state="ready"))
    status.write_unless_held(tmp_path, BotStatus(bot="sage", state="fatal"))
    assert read(tmp_path).state == "ready"
    lock.release()


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / status.FILE).write_text('{"bot": "sa')
    assert read(tmp_path).state == "not started"


def test_writing_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    status.write(tmp_path, BotStatus(bot="sage"))
    status.write(tmp_path, BotStatus(bot="sage", state="ready"))
    assert [path.name for path in tmp_path.iterdir()] == [status.FILE]


def test_only_a_ready_bot_is_healthy() -> None:
    assert status.healthy(BotStatus(bot="sage", pid=7, state="ready")) == (
        True,
        "sage is ready (process 7, Discord off)",
    )
    assert not status.healthy(BotStatus(bot="sage", state="starting"))[0]


def test_memory_is_the_processs_own() -> None:
    assert status.memory(HERE) > 1 << 20
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert status.memory(gone.pid) == 0


def test_a_bot_alone_tells_its_life_in_its_file(tmp_path: Path) -> None:
    """Without a supervisor: started, ready, asked to stop by SIGTERM."""
    seen: list[BotStatus] = []

    async def program(settings: BotSettings, report: Report) -> None:
        report({"state": "ready", "discord": "connecting", "guilds": 3})
        report({"discord": "ready", "live_sessions": 4})
        await asyncio.sleep(0)
        seen.append(read(tmp_path))
        os.kill(HERE, signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(BotStatus(bot="sage", state="stopping"))

    life = Life(bot(tmp_path), None, Launch(restarts=2), now=lambda: AT)
    assert life.live(program) == process.OK
    assert [each.state for each in seen] == ["ready", "stopping"]
    assert seen[0].model_dump(exclude={"memory_bytes", "version"}) == {
        "bot": "sage",
        "pid": HERE,
        "state": "ready",
        "since": AT,
        "started": AT,
        "first_started": AT,
        "restarts": 2,
        "config_trouble": "",
        "model_trouble": "",
        "discord": "ready",
        "live_sessions": 4,
        "invalid_requests": 0,
        "last_error": "",
        "job_trouble": "",
        "last_backup": None,
        "backup_alarm": "",
        "left_behind": "",
        "storage": "",
        "memory": "",
        "embedder": "",
        "web": "",
        "web_trouble": "",
        "transfer_trouble": "",
        "models": ("offline",),
    }
    assert seen[0].memory_bytes > 1 << 20
    written = json.loads((tmp_path / status.FILE).read_text())
    assert (written["state"], written["pid"], written["since"]) == ("stopped", None, "2026-11-21T12:00:00Z")


def test_a_bot_that_is_started_again_and_again_does_not_forget_how_old_its_backup_is(tmp_path: Path) -> None:
    """Neither its own crashes nor the supervisor's word on it put the alarm off."""

    def lived(day: int, facts: dict[str, object]) -> str:
        async def crash(settings: BotSettings, report: Report) -> None:
            report(facts)
            raise KeyError("x")

        at = AT + timedelta(days=day)
        assert Life(bot(tmp_path), None, Launch(), now=lambda: at).live(crash) == process.CRASHED
        status.write_unless_held(tmp_path, BotStatus(bot="sage", state="backing off", since=at))
        return status.alarmed(bot(tmp_path), read(tmp_path), at).backup_alarm

    assert lived(0, {}) == ""
    assert lived(3, {}).startswith("no proven backup for 3 days")
    assert lived(4, {"last_backup": AT + timedelta(days=4)}) == ""
    assert lived(5, {}) == ""
    assert lived(7, {}).startswith("the newest proven backup is 3 days old")
    found = read(tmp_path)
    assert (found.state, found.first_started) == ("backing off", AT)
    lock = RootLock.take(tmp_path)
    assert (read(tmp_path).state, read(tmp_path).last_backup) == ("starting", found.last_backup)
    lock.release()


def test_a_bot_that_cannot_run_says_why_and_how_to_go_on(tmp_path: Path) -> None:
    async def never(settings: BotSettings, report: Report) -> None:
        raise AssertionError("it was started")

    lock = RootLock.take(tmp_path)
    assert Life(bot(tmp_path), None, Launch()).live(never) == process.FATAL
    lock.release()
    assert read(tmp_path).state == "not started", "whoever holds the root speaks for it"


def test_an_old_backup_raises_the_alarm() -> None:
    bot = BotSettings(name="sage", personas=(PersonaSettings(display="Sage", description="d", prompt="p"),))

    def alarm(**told: datetime) -> str:
        return status.alarmed(bot, BotStatus(bot="sage", **told), AT).backup_alarm

    assert alarm() == ""
    assert alarm(started=AT - timedelta(days=9), last_backup=AT - timedelta(hours=30)) == ""
    assert alarm(last_backup=AT - timedelta(hours=40)).startswith("the newest proven backup is 40 hours old: `troupe")
    assert alarm(last_backup=AT - timedelta(days=3)).startswith("the newest proven backup is 3 days old")
    assert alarm(started=AT - timedelta(hours=1)) == ""
    assert alarm(started=AT - timedelta(days=3)).startswith("no proven backup for 3 days")
    assert alarm(first_started=AT - timedelta(days=3), started=AT).startswith("no proven backup for 3 days")
    off = bot.model_copy(update={"storage": StorageSettings(backup=BackupSettings(enabled=False))})
    assert status.alarmed(off, BotStatus(bot="sage", started=AT - timedelta(days=3)), AT).backup_alarm == ""


def test_what_another_type_of_storage_kept_is_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "conversations.db").write_bytes(b"x")
    kept = StorageSettings(path=str(tmp_path), type="file")
    bot = BotSettings(
        name="sage", storage=kept, personas=(PersonaSettings(name="sage", display="Sage", description="d", prompt="p"),)
    )
    assert "also holds what storage of the type sqlite kept (conversations.db)" in status.left_behind(bot)
    assert status.left_behind(bot.model_copy(update={"storage": StorageSettings(path=str(tmp_path))})) == ""


def test_a_bot_that_cannot_keep_anything_is_not_healthy() -> None:
    trouble = BotStatus(bot="sage", pid=7, state="ready", last_error="the disk is full")
    assert status.healthy(trouble) == (False, "sage is not healthy: ready: the disk is full")
