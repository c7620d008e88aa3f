"""The supervisor over real processes and real signals; what a bot does is a little program below."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from structlog.testing import capture_logs

from bots import logs, process, wish
from bots.errors import Fatal
from bots.keeper import Patience
from bots.nursery import Nursery
from bots.process import Launch, Program
from bots.settings import BotSettings, DiscordSettings, FleetSettings, PersonaSettings, Troupe
from bots.status import BotStatus, Report, read
from bots.storage_settings import StorageSettings
from bots.supervisor import Starts, Supervisor
from bots.values import Secret

BEAT = 0.05
QUICK = Patience(first_pause=0.05, stop_within=5.0, memory_beats=1, look_every=0.02)


# --- what the bots do -------------------------------------------------------------------------------------------


async def lives(settings: BotSettings, report: Report) -> None:
    report({"state": "ready", "discord": "off", "live_sessions": 2})
    await asyncio.Event().wait()


async def crashes(settings: BotSettings, report: Report) -> None:
    raise RuntimeError(f"cannot go on with {settings.discord.token.value if settings.discord.token else 'nothing'}")


async def hangs(settings: BotSettings, report: Report) -> None:
    """Its first life hangs after the first beat, its second is well."""
    first = settings.root / "hung"
    report({"state": "ready"})
    await asyncio.sleep(0)
    if not first.exists():
        first.touch()
        threading.Event().wait()
    await asyncio.Event().wait()


async def hangs_always(settings: BotSettings, report: Report) -> None:
    report({"state": "ready"})
    await asyncio.sleep(0)
    threading.Event().wait()


async def eats(settings: BotSettings, report: Report) -> None:
    hoard = b"x" * (100 << 20)
    report({"state": "ready", "live_sessions": len(hoard[:1])})
    await asyncio.Event().wait()


async def cannot(settings: BotSettings, report: Report) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(refused())


async def refused() -> None:
    raise Fatal("Discord does not accept this token.")


async def deaf(settings: BotSettings, report: Report) -> None:
    """Does not stop, whoever asks."""
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report({"state": "ready"})
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


PROGRAMS: dict[str, Program] = {
    program.__name__: program for program in (lives, crashes, hangs, hangs_always, eats, cannot, deaf)
}


def entry(settings: BotSettings, pipe: socket.socket, launch: Launch) -> None:
    process.main(settings, pipe, launch, PROGRAMS[settings.description])


# --- tests ------------------------------------------------------------------------------------------------------


async def test_a_crashed_bot_starts_again_after_pauses_that_grow(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with fleet(tmp_path, "crashes", patience=replace(QUICK, first_pause=0.1)) as run:
            await run.until(lambda bots: bots[0].restarts == 3)
    pauses = [line for line in lines if line["event"] == "will be started again"]
    assert [line["seconds"] for line in pauses] == [0.1, 0.2, 0.4]
    assert run.of("crashes", "backing off")[0].last_error == "RuntimeError: cannot go on with nothing"
    assert run.of("crashes", "backing off")[0].pid is None


async def test_the_pause_is_short_again_after_a_good_while(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with fleet(tmp_path, "crashes", patience=replace(QUICK, first_pause=0.1, well_after=0.0)) as run:
            await run.until(lambda bots: bots[0].restarts == 3)
    assert [line["seconds"] for line in lines if line["event"] == "will be started again"] == [0.1, 0.1, 0.1]


async def test_a_bot_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "hangs") as run:
        await run.until(lambda bots: bots[0].restarts == 1 and bots[0].state == "ready")
    assert run.of("hangs", "backing off")[0].last_error.startswith("stuck: no sign of life")


async def test_a_bot_that_grows_too_big_is_stopped_and_started_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "eats") as run:
        await run.until(lambda bots: bots[0].restarts == 1)
    assert run.of("eats", "stopping"), "it was asked, not killed"
    assert "the limit is 64 MiB" in run.of("eats", "backing off")[0].last_error


async def test_a_bot_that_needs_a_person_stays_down_and_the_others_go_on(tmp_path: Path) -> None:
    async with fleet(tmp_path, "cannot", "lives") as run:
        await run.until(lambda bots: (bots[0].state, bots[1].state) == ("fatal", "ready"))
        assert read(run.settings)[0].last_error == "Discord does not accept this token."
        assert [bot.state for bot in read(run.settings)] == ["fatal", "ready"]
    assert [bot.state for bot in read(run.settings)] == ["fatal", "stopped"]
    assert len({status.pid for status in run.of("cannot", "starting")} - {None}) == 1, "it was started once"


async def test_a_bot_that_needs_a_person_starts_again_when_its_files_have_changed(tmp_path: Path) -> None:
    config = tmp_path / "config"
    for name, text in {
        "personas/one.yaml": "{display: One, description: one, prompt: one}",
        "bots/bot0.yaml": "{personas: [one], description: cannot}",
        "bots/bot1.yaml": "{personas: [one], description: lives}",
    }.items():
        (config / name).parent.mkdir(parents=True, exist_ok=True)
        (config / name).write_text(text)
    async with fleet(tmp_path / "data", "cannot", "lives", folder=config) as run:
        await run.until(lambda bots: (bots[0].state, bots[1].state) == ("fatal", "ready"))
        (config / "bots/bot0.yaml").write_text("{personas: [one], descriptoin: lives}")
        await run.until(lambda bots: bots[0].state == "fatal" and bots[0].config_trouble != "")
        assert "descriptoin" in run.supervisor.statuses[0].config_trouble
        (config / "bots/bot0.yaml").write_text("{personas: [one], description: lives}")
        await run.until(lambda bots: bots[0].state == "ready")
        assert (run.supervisor.statuses[0].last_error, run.supervisor.statuses[0].config_trouble) == ("", "")


async def test_a_bot_is_held_down_between_two_tries_and_a_start_does_not_wait_for_the_next(tmp_path: Path) -> None:
    async with fleet(tmp_path, "crashes", "lives", patience=replace(QUICK, first_pause=60.0)) as run:
        root = run.settings.bots[0].root
        await run.until(lambda bots: (bots[0].state, bots[1].state) == ("backing off", "ready"))
        wish.leave(root, "stop")
        await run.until(lambda bots: bots[0].state == "stopped")
        assert "`troupe start bot0` runs it" in read(run.settings)[0].last_error
        assert run.supervisor.statuses[0].restarts == 1
        for starts in (2, 3):
            wish.leave(root, "start")
            await run.until(lambda bots, starts=starts: bots[0].restarts == starts and bots[0].state == "backing off")  # type: ignore[misc]
    assert read(run.settings)[0].state == "stopped"


async def test_a_fleet_of_which_every_bot_waits_for_a_person_ends_with_a_config_too(tmp_path: Path) -> None:
    async with fleet(tmp_path, "cannot", "cannot", folder=tmp_path / "config") as run:
        assert await run.ended == 1


async def test_the_fleet_ends_when_every_bot_needs_a_person(tmp_path: Path) -> None:
    async with fleet(tmp_path, "cannot", "cannot") as run:
        assert await run.ended == 1


async def test_a_root_in_use_is_told_with_the_pid_not_written_to_and_waited_for(tmp_path: Path) -> None:
    async with fleet(tmp_path, "lives") as run:
        await run.until(lambda bots: bots[0].state == "ready")
        pid = run.supervisor.statuses[0].pid
        async with fleet(tmp_path, "lives") as second:
            await second.until(lambda bots: bots[0].state == "backing off")
            assert f"is in use by process {pid}" in second.of("lives", "backing off")[0].last_error
            assert [(bot.state, bot.pid) for bot in read(run.settings)] == [("ready", pid)]
            run.supervisor.stop()
            await second.until(lambda bots: bots[0].state == "ready")


async def test_sigterm_stops_all_side_by_side_and_kills_what_does_not_stop(tmp_path: Path) -> None:
    async with fleet(tmp_path, "lives", "deaf", "lives", patience=replace(QUICK, stop_within=0.5)) as run:
        await run.until(lambda bots: all(bot.state == "ready" for bot in bots))
        pids = [bot.pid or 0 for bot in run.supervisor.statuses]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await run.ended == 0
    assert not any(map(psutil.pid_exists, pids))
    stopped = {bot.bot: bot for bot in read(run.settings)}
    assert {bot.state for bot in stopped.values()} == {"stopped"}
    assert "killed" in stopped["bot1"].last_error
    assert not stopped["bot0"].last_error


async def test_when_the_forkserver_is_killed_its_bots_are_too_and_start_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "lives") as run:
        await run.until(lambda bots: bots[0].state == "ready")
        first = run.supervisor.statuses[0].pid or 0
        os.kill(psutil.Process(first).ppid(), signal.SIGKILL)
        await run.until(lambda bots: bots[0].restarts == 1 and bots[0].state == "ready")
        assert not psutil.pid_exists(first)
        assert run.supervisor.statuses[0].pid != first


async def test_secrets_do_not_reach_the_status(tmp_path: Path) -> None:
    async with fleet(tmp_path, "crashes", token="a.very.secret") as run:
        await run.until(lambda bots: bots[0].restarts == 1)
    assert run.of("crashes", "backing off")[0].last_error == "RuntimeError: cannot go on with [secret]"
    assert "very" not in (run.settings.bots[0].root / "status.json").read_text()


async def test_bots_are_forked_from_a_parent_that_has_loaded_and_frozen_everything(tmp_path: Path) -> None:
    loaded = await Nursery(entry, settings_of(tmp_path, "lives")).open()
    assert "bots.process" in loaded.modules
    assert loaded.frozen > 10_000
    assert psutil.Process(loaded.pid).ppid() == os.getpid()


def test_when_the_supervisor_is_killed_no_process_stays(tmp_path: Path) -> None:
    with program(tmp_path, "lives", "hangs_always", stop_within=0.5) as (parent, said):
        await_states(said, "ready", 2)
        gone = Gone(psutil.Process(parent.pid).children(recursive=True))
        assert len(gone.names) >= 4, "two bots, the forkserver and the resource tracker"
        parent.kill()
        gone.wait(40)


def test_ctrl_c_reaches_all_and_stops_all_in_order(tmp_path: Path) -> None:
    with program(tmp_path, "lives", "lives", stop_within=30) as (parent, said):
        await_states(said, "ready", 2)
        gone = Gone(psutil.Process(parent.pid).children(recursive=True))
        os.killpg(parent.pid, signal.SIGINT)
        await_states(said, "stopped", 2)
        assert parent.wait(40) == 0
        gone.wait(40)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with program(tmp_path, "lives", "deaf", stop_within=60) as (parent, said):
        await_states(said, "ready", 2)
        gone = Gone(psutil.Process(parent.pid).children(recursive=True))
        os.killpg(parent.pid, signal.SIGINT)
        await_states(said, "stopped", 1)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.wait(40) == 130
        gone.wait(40)


def test_starts_are_staggered_only_for_bots_on_discord(tmp_path: Path) -> None:
    first, second, third = settings_of(tmp_path, "lives", "lives", "lives", token="t").bots
    quiet = first.model_copy(update={"discord": DiscordSettings()})
    starts = Starts(0.5, lambda: 100.0)
    assert [starts.book(bot) for bot in (first, quiet, second, quiet, third)] == [0.0, 0.0, 0.5, 0.0, 1.0]


# --- running a fleet --------------------------------------------------------------------------------------------


def settings_of(root: Path, *programs: str, token: str = "") -> Troupe:
    """A fleet in which each bot runs one of the programs above."""
    persona = PersonaSettings(name="one", display="One", description="one", prompt="one")
    bots = [
        BotSettings(
            name=f"bot{n}",
            description=program,
            personas=(persona,),
            storage=StorageSettings(path=str(root / f"bot{n}")),
            discord=DiscordSettings(token=Secret(variable="TOKEN", value=f"{token}{n or ''}")) if token else {},
        )
        for n, program in enumerate(programs)
    ]
    return Troupe(fleet=FleetSettings(heartbeat=BEAT, memory_limit=64, stagger=0), bots=tuple(bots))


@dataclass
class Run:
    settings: Troupe
    supervisor: Supervisor
    ended: asyncio.Task[int]
    said: list[BotStatus] = field(default_factory=list)

    async def until(self, met: Callable[[list[BotStatus]], bool]) -> None:
        async with asyncio.timeout(40):
            await self.supervisor.until(met)

    def of(self, program: str, state: str) -> list[BotStatus]:
        names = [bot.name for bot in self.settings.bots if bot.description == program]
        return [status for status in self.said if status.bot in names and status.state == state]


@asynccontextmanager
async def fleet(
    root: Path, *programs: str, patience: Patience = QUICK, token: str = "", folder: Path | None = None
) -> AsyncIterator[Run]:
    settings = settings_of(root, *programs, token=token)
    said: list[BotStatus] = []
    supervisor = Supervisor(settings, entry, folder=folder, told=said.append, patience=patience, chance=lambda: 1.0)
    run = Run(settings, supervisor, asyncio.create_task(supervisor.run()), said)
    try:
        yield run
    finally:
        supervisor.stop()
        await run.ended


@contextmanager
def program(root: Path, *programs: str, stop_within: float) -> Iterator[tuple[subprocess.Popen[str], Iterator[Any]]]:
    """A supervisor in a process group of its own, and the statuses it tells of."""
    command = [sys.executable, "-c", "from tests.test_supervisor import serve; serve()", str(root), str(stop_within)]
    with subprocess.Popen([*command, *programs], stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        try:
            yield parent, (json.loads(line) for line in parent.stdout)
        finally:
            parent.kill()


def serve() -> None:
    """The process of `program`."""
    root, stop_within, *programs = sys.argv[1:]
    logs.configure("troupe", "info")
    supervisor = Supervisor(
        settings_of(Path(root), *programs),
        entry,
        tty=False,
        told=lambda status: print(status.model_dump_json(), flush=True),
        patience=replace(QUICK, stop_within=float(stop_within), missed_beats=10_000),
    )
    sys.exit(asyncio.run(supervisor.run()))


def await_states(said: Iterator[dict[str, Any]], state: str, bots: int) -> None:
    seen: set[str] = set()
    while len(seen) < bots:
        status = next(said)
        if status["state"] == state:
            seen.add(status["bot"])


class Gone:
    """The end of processes, without asking again and again."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self.names = {os.pidfd_open(each.pid): f"{each.pid} {' '.join(each.cmdline())}" for each in processes}

    def wait(self, seconds: float) -> None:
        poll = select.poll()
        for descriptor in self.names:
            poll.register(descriptor, select.POLLIN)
        left = dict(self.names)
        while left:
            ended = poll.poll(seconds * 1000)
            assert ended, f"still there: {list(left.values())}"
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                os.close(descriptor)
                del left[descriptor]
