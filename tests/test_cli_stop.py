"""`troupe stop` and `troupe start` on real processes: one bot goes down while the fleet goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bots.cli import main
from bots.cli_bots import opened
from bots.loading import load
from bots.status import FLEET, read
from storage.errors import StorageError
from storage.rootlock import holder
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
