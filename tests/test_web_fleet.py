"""Running a fleet from one bot's console: bots stopped, started and started anew, on real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from bots import wish
from bots.loading import load
from bots.status import FLEET, BotStatus, write
from bots.web.fleet import Fleet
from storage.model import Sender
from storage.rootlock import RootLock
from tests.stage import Stage, eventually, free_port, stage
from tests.test_web_operating import as_someone
from tests.webfront import web_front

QUIET: dict[str, Any] = {"models": [{"provider": "offline"}], "discord": {"token": None}}


async def told(client: httpx2.AsyncClient, headers: dict[str, str], name: str) -> dict[str, Any]:
    items = (await client.get("/api/bots", headers=headers)).json()["items"]
    return next(each for each in items if each["name"] == name)


async def done(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Work that was begun, once it is over."""
    work: dict[str, Any] = (await client.post(path)).raise_for_status().json()
    while work["state"] == "running":
        asked = {"wait": 20, "seen": work["changes"]}
        work = (await client.get(f"/api/works/{work['id']}", params=asked)).raise_for_status().json()
    return work


def pid(here: Stage, name: str) -> int:
    return int(here.status(name)["pid"] or 0)


async def test_an_operator_stops_starts_and_restarts_the_bots_of_a_fleet(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        web, port = {"enabled": True, "port": free_port()}, free_port()
        here.write({"sage": {**QUIET, "web": web}, "spark": {**QUIET}})
        url = f"http://127.0.0.1:{web['port']}"
        with here.troupe("up", environment={}):
            await eventually(lambda: here.status("sage")["web"] == url and here.status("spark")["state"] == "ready")
            async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
                first = pid(here, "spark")
                assert (await told(client, {}, "sage"))["possible"] == ["restart", "stop"]
                assert (await done(client, "/api/bots/spark/restart"))["state"] == "done"
                assert pid(here, "spark") not in (0, first)
                assert here.status("spark")["restarts"] == 0
                assert (await done(client, "/api/bots/spark/stop"))["state"] == "done"
                refused = await client.post("/api/bots/spark/stop")
                assert (refused.status_code, "Spark is stopped" in refused.json()["detail"]) == (409, True)
                here.write({"sage": {**QUIET, "web": web}, "spark": {**QUIET, "web": {"enabled": True, "port": port}}})
                assert (await done(client, "/api/bots/spark/start"))["state"] == "done"
                await eventually(lambda: here.status("spark")["web"].endswith(f":{port}"))  # its files, as they are now
                assert (await client.post("/api/bots/nobody/stop")).status_code == 404
                acts = [each["action"] for each in (await client.get("/api/audit")).json()["items"]]
                assert {f"POST /api/bots/{{name}}/{{act}} {act}" for act in ("stop", "start", "restart")} <= set(acts)
                own = pid(here, "sage")
                assert (await client.post("/api/bots/sage/restart")).status_code == 202
                await eventually(lambda: pid(here, "sage") not in (0, own) and here.status("sage")["web"] == url)
                assert (await client.get("/api/health")).status_code == 200


async def test_a_bot_that_runs_without_a_fleet_is_offered_nothing_that_nobody_would_do(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        # Nobody has started a process of its own for it, as `troupe bot` does: it can neither end nor start again.
        assert (await told(web.client, {}, "sage"))["possible"] == []
        for act in ("start", "restart", "stop"):
            assert (await web.client.post(f"/api/bots/sage/{act}")).status_code == 409


async def test_an_admin_of_one_bot_stops_another_only_where_they_are_its_admin_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        ann, ben = Sender(type="user", id="7", name="Ann"), Sender(type="user", id="8", name="Ben")
        login = {"client_id": "1", "client_secret": "${SECRET:-}", "admins": ["7"]}
        web = {"enabled": True, "port": free_port(), "login": login}
        own = {"enabled": True, "port": free_port()}
        here.write({"sage": {**QUIET, "web": own}, "spark": {**QUIET, "web": web}})
        config = tmp_path / "config"
        spark = load(config, {}).bots[1]
        spark.root.mkdir(parents=True)
        write(spark.root, BotStatus(bot="spark", state="backing off", last_error="it fell"))
        lock = RootLock.take(spark.root, FLEET)
        async with web_front(tmp_path, config=config) as front:
            spark_told = await told(front.client, {}, "spark")
            assert (spark_told["possible"], spark_told["alone"]) == (["start", "stop"], False)
            theirs, others = as_someone(front, "admin", ann), as_someone(front, "admin", ben)
            assert (await told(front.client, theirs, "spark"))["possible"] == ["start", "stop"]
            assert (await told(front.client, others, "spark"))["possible"] == []
            refused = await front.client.post("/api/bots/spark/stop", headers=others)
            assert (refused.status_code, "not of Spark" in refused.json()["detail"]) == (403, True)
            assert not wish.waits(spark.root)
            begun = await front.client.post("/api/bots/spark/stop", headers=theirs)
            assert begun.status_code == 202
            await eventually(lambda: wish.waits(spark.root))
            kept_on = await front.client.post(f"/api/works/{begun.json()['id']}/stop")
            assert (kept_on.status_code, "called off" in kept_on.json()["detail"]) == (409, True)
            assert wish.waits(spark.root)
        assert not wish.waits(spark.root)  # whoever asked has gone, and nobody had heard it
        lock.release()


async def test_settings_are_those_that_the_files_have_now(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.write({"sage": {**QUIET}})
        fleet = Fleet(tmp_path / "config")
        assert await fleet.settings("sage") is not None
        (tmp_path / "config" / "bots" / "sage.yaml").write_text("{personas: [sage], gibberish: 1}")
        assert await fleet.settings("sage") is None
        assert [(name, bot) for name, (bot, _) in fleet.known().items()] == [("sage", None)]
