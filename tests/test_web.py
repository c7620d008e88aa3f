"""A bot's web front opens with the bot and closes with it."""

from __future__ import annotations

from pathlib import Path

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
