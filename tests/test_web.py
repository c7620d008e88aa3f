"""A bot's web front opens with the bot and closes with it."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

from tests.webfront import web_front


async def test_a_bot_serves_its_own_front(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        described = await web.client.get("/api/openapi.json")
        assert described.json()["info"]["title"] == "Troupe: Sage"
        nothing = await web.client.get("/api/nothing")
        assert (nothing.status_code, nothing.json()["title"]) == (404, "Not there")


async def test_a_port_that_is_taken_leaves_the_bot_talking(tmp_path: Path) -> None:
    async with web_front(tmp_path / "one") as first:
        port = int(first.url.rpartition(":")[2])
        async with web_front(tmp_path / "two", web={"port": port}) as second:
            assert f":{port} cannot be had" in second.told["web_trouble"]


def test_a_bot_whose_console_is_not_installed_talks_without_one(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
for name in ("fastapi", "starlette", "uvicorn"):
    sys.modules[name] = None
from bots.wiring import build
from tests.webfront import bot_settings

async def main():
    told = asyncio.Queue()
    async with build(bot_settings(Path(sys.argv[1]))) as house:
        running = asyncio.create_task(house.run(told.put_nowait))
        while "web_trouble" not in (facts := await told.get()):
            pass
        assert not running.done()
        print(facts["web_trouble"])
        running.cancel()
        await asyncio.wait([running])

asyncio.run(main())
"""
    said = run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30)
    assert "pip install 'troupe[web]'" in said.stdout
