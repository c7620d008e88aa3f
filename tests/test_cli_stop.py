"""`troupe stop` and `troupe start` on real processes: one bot goes down while the fleet goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bots import stopping, wish
from bots.cli import main
from bots.cli_bots import opened
from bots.errors import TroupeError
from bots.loading import load
from bots.status import FLEET, read
from storage.errors import StorageError
from storage.rootlock import RootLock, holder
from tests import test_supervisor
from tests.stage import Stage, eventually, stage

QUIET: dict[str, Any] = {"models": [{"provider": "offline"}], "discord": {"token": None}}


async def run(here: Stage, *command: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, [*command, "--config", str(here.folder / "config")])


async def test_one_bot_of_a_fleet_stops_stays_down_and_starts_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.write({"sage": {**QUIET}, "spark": {**QUIET}})
        with here.troupe("up", environment={}) as fleet:
            await eventually(lambda: all(here.status(name)["state"] == "ready" for name in ("sage", "spark")))
            settings = load(tmp_path / "config", {})
            sage, pid = settings.bots[0], here.status("spark")["pid"]
            with pytest.raises(StorageError, match=r"stop that one first .* `troupe stop sage` stops it"):
                async with opened(sage):
                    pass
            stopped = await run(here, "stop", "sage")
            assert stopped.exit_code == 0, stopped.output
            assert "`troupe start sage` runs it again" in stopped.output
            said = read(settings)[0]
            assert (said.state, said.pid) == ("stopped", None)
            assert said.last_error.startswith("on purpose, since 2")
            shown = (await run(here, "status", "sage")).output
            assert "sage stopped: on purpose, since" in shown
            assert "`troupe start sage` runs it" in shown
            async with opened(sage) as store:
                assert (await store.counts()).messages == 0
            assert "is not running (stopped" in (await run(here, "stop", "sage")).output
            started = await run(here, "start", "sage")
            assert (started.exit_code, started.output) == (0, "sage is ready.\n"), started.output
            assert "is running already" in (await run(here, "start", "sage")).output
            assert (here.status("sage")["restarts"], here.status("spark")["pid"]) == (0, pid)
            assert (await run(here, "stop", "sage")).exit_code == 0
            fleet.terminate()
            await asyncio.to_thread(fleet.wait, 15)
        assert (here.status("sage")["state"], here.status("sage")["last_error"]) == ("stopped", "")


async def test_a_bot_that_runs_alone_just_ends(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.write({"sage": {**QUIET}})
        with here.troupe("bot", "sage", environment={}) as process:
            await eventually(lambda: here.status("sage")["state"] == "ready")
            stopped = await run(here, "stop", "sage")
            assert (stopped.exit_code, process.wait(15)) == (0, 0), stopped.output
        assert "`docker compose stop sage`" in stopped.output
        root = tmp_path / "data" / "sage"
        assert holder(root) is holder(root, FLEET) is None
        assert "is not running" in (await run(here, "stop", "sage")).output
        assert "`troupe bot sage`" in (await run(here, "start", "sage")).output


async def test_an_answer_under_way_is_given_whole_and_what_is_said_meanwhile_after_the_start(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        server, account = here.discord, here.discord.add_bot("token-sage", "sage")
        ana, guild = server.add_person("ana"), server.add_guild("Home")
        one, two = guild.add_channel("one"), guild.add_channel("two")
        environment = here.write({"sage": {"discord": {"channels": {"always": ["*"]}}}, "spark": {**QUIET}})
        gate = here.provider.hold(2, "one two three four five")
        with here.troupe("up", environment=environment):
            await server.until_ready(account)
            await server.say(ana, one, "count")
            await here.provider.until(lambda provider: len(provider.asks) == 1)
            sage = load(tmp_path / "config", environment).bots[0]
            asked = asyncio.create_task(stopping.stop(sage))
            await eventually(lambda: '"ending"' in here.log or "ending " in here.log)
            meanwhile = await server.say(ana, two, "and me?")
            asked.cancel()  # what was heard goes on without whoever asked
            await asyncio.wait([asked])
            gate.open()
            await eventually(lambda: here.status("sage")["last_error"].startswith("on purpose"))
            assert [each.content for each in server.messages(one) if each.author.bot] == ["one two three four five"]
            assert await stopping.start(sage) == "sage is ready."
            await server.answer_to(meanwhile)


async def test_a_stop_that_nobody_has_heard_is_gone_with_whoever_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.write({"sage": {**QUIET}})
        sage = load(tmp_path / "config", {}).bots[0]
        sage.root.mkdir(parents=True)
        fleet = RootLock.take(sage.root, FLEET)
        asked = asyncio.create_task(stopping.stop(sage))
        await eventually(lambda: wish.waits(sage.root))
        asked.cancel()
        await asyncio.wait([asked])
        assert not wish.waits(sage.root)
        fleet.release()


@pytest.mark.parametrize(("before", "state"), [("crashes", "backing off"), ("cannot", "fatal")])
async def test_a_start_tells_how_it_went_and_not_how_it_was(tmp_path: Path, before: str, state: str) -> None:
    config, patience = tmp_path / "config", replace(test_supervisor.QUICK, first_pause=60.0, look_every=0.5)
    for path, text in {
        "personas/one.yaml": "{display: One, description: one, prompt: one}",
        "bots/bot0.yaml": f"{{personas: [one], description: {before}}}",
        "bots/bot1.yaml": "{personas: [one], description: lives}",
    }.items():
        (config / path).parent.mkdir(parents=True, exist_ok=True)
        (config / path).write_text(text)
    programs = (before, "lives")
    async with test_supervisor.fleet(tmp_path / "data", *programs, patience=patience, folder=config) as run:
        await run.until(lambda bots: (bots[0].state, bots[1].state) == (state, "ready"))
        bot = run.settings.bots[0]
        fleet = RootLock.take(bot.root, FLEET)
        with pytest.raises(TroupeError, match=rf"could not start \({state}: "):
            await stopping.start(bot)
        (config / "bots/bot0.yaml").unlink()
        with pytest.raises(TroupeError, match=r"could not start \(fatal: config/ has no such bot any more"):
            await stopping.start(bot)
        (config / "bots/bot0.yaml").write_text("{personas: [one], description: lives}")
        assert await stopping.start(bot) == "bot0 is ready."
        assert run.supervisor.statuses[0].last_error == ""
        fleet.release()
