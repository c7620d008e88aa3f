"""Operating a bot from the browser: how it is, its jobs, its backups, what it keeps, and what is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import storage
from bots.web.tokens import Tokens, new_token
from storage.model import Channel, Message, Sender, Session, Text, Usage, message_id, session_id
from tests.webfront import Web, web_front

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANN = Sender(type="user", id="7", name="Ann")
GENERAL = Channel(front="discord", id="42", kind="channel", name="general", guild_id="1", guild_name="Garden")


def as_someone(web: Web, scope: Any, person: Sender = ANN) -> dict[str, str]:
    token = new_token()
    Tokens(web.house.bot.settings.root).keep(token, scope, scope, person, NOW)
    return {"Authorization": f"Bearer {token}"}


async def done(web: Web, begun: Any) -> dict[str, Any]:
    """Work that was begun, once it is over."""
    assert begun.status_code == 202, begun.text
    work: dict[str, Any] = begun.json()
    while work["state"] == "running":
        asked = {"wait": 20, "seen": work["changes"]}
        work = (await web.client.get(f"/api/works/{work['id']}", params=asked)).json()
    return work


async def said(web: Web, text: str, at: datetime, *, usage: Usage | None = None, place: Channel = GENERAL) -> None:
    """A line by Ann and an answer to it, kept as if they had been said."""
    store, number = web.house.store, int(at.timestamp()) + 1000 * int(place.id)
    session = Session(id=session_id(at, number), channel=place, participants=(ANN,), opened_at=at, last_at=at)
    line = Message(
        id=message_id(at, number),
        origin=f"{place.key}:{number}",
        session_id=session.id,
        role="user",
        sender=ANN,
        parts=(Text(text=text),),
        at=at,
    )
    voice = Sender(type="bot", id="sage", name="Sage")
    more = {"id": message_id(at, number + 1), "origin": None, "role": "assistant", "sender": voice, "usage": usage}
    await store.append(session, line)
    await store.append(session, line.model_copy(update={**more, "persona": "sage", "reply_to": line.id}))


async def test_the_bot_says_how_it_is(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/bot")).json()
        assert (told["name"], told["storage"]["type"], told["personas"][0]) == ("sage", "sqlite", "sage")
        assert told["models"] == [{"name": "offline", "state": "ready", "variable": "", "why": ""}]
        assert "disk" in {each["what"] for each in told["checks"]}
        looked = await done(web, await web.client.post("/api/bot/checkup"))
        assert {"token", "provider", "disk", "storage"} <= {each["what"] for each in looked["result"]["checks"]}
        assert looked["result"]["healthy"]


async def test_neighbours_are_shown_with_whether_they_answer(tmp_path: Path) -> None:
    async with web_front(tmp_path / "one") as other:
        beside = [
            {"name": "spark", "display": "Spark", "url": other.url},
            {"name": "gone", "display": "Gone", "url": "http://127.0.0.1:1"},
        ]
        async with web_front(tmp_path / "two", neighbours=beside) as web:
            told = (await web.client.get("/api/bots")).json()["items"]
            assert [(each["name"], each["here"], each["answers"]) for each in told] == [
                ("sage", True, True),
                ("spark", False, True),
                ("gone", False, False),
            ]


async def test_only_whoever_runs_the_bot_operates_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        theirs = as_someone(web, "chat")
        for path in (
            "bot",
            "bots",
            "jobs",
            "backups",
            "storage",
            "storage/channels",
            "usage",
            "budgets",
            "audit",
            "config",
        ):
            assert (await web.client.get(f"/api/{path}", headers=theirs)).status_code == 403, path
        for path in ("backups", "cleanup", "jobs/backup/run", "bot/checkup", "bot/reload", "memories/rebuild"):
            asked = await web.client.post(f"/api/{path}", headers=theirs, json={})
            assert asked.status_code == 403, path
        assert (await web.client.get("/api/usage/mine", headers=theirs)).status_code == 200


async def test_a_job_runs_when_asked_for_and_says_when_it_is_due(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        ran = await done(web, await web.client.post("/api/jobs/cleanup/run"))
        assert ran["state"] == "done"
        jobs = {each["name"]: each for each in (await web.client.get("/api/jobs")).json()["items"]}
        assert jobs["cleanup"]["last_at"] is not None
        assert jobs["cleanup"]["next_at"] > jobs["cleanup"]["last_at"]
        assert jobs["backup"]["last_at"] is None
        assert (await web.client.post("/api/jobs/dishes/run")).status_code == 404


async def test_a_backup_is_made_checked_and_brought_back_beside_the_bot(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await said(web, "the barn is red", NOW)
        made = await done(web, await web.client.post("/api/backups"))
        name = made["result"]["name"]
        assert (made["result"]["messages"], made["result"]["proven_at"] is not None) == (2, True)
        assert [each["name"] for each in (await web.client.get("/api/backups")).json()["items"]] == [name]
        checked = await done(web, await web.client.post(f"/api/backups/{name}/verify"))
        assert (checked["state"], checked["result"]["trouble"]) == ("done", "")

        plan = (await web.client.get(f"/api/backups/{name}/restore", params={"as": "barn"})).json()
        assert (plan["possible"], Path(plan["root"]).exists()) == (True, False)
        restored = await done(web, await web.client.post(f"/api/backups/{name}/restore", json={"as": "barn"}))
        assert (restored["result"]["messages"], restored["result"]["root"]) == (2, plan["root"])
        store = await storage.connect("sage", Path(plan["root"]))
        assert (await store.read()).items[0].text == "the barn is red"
        await store.close()

        other = {"as": "stable", "type": "file", "for": "spark"}
        await done(web, await web.client.post(f"/api/backups/{name}/restore", json=other))
        store = await storage.connect("spark", tmp_path / "data" / "stable", type="file")
        assert (await store.counts()).messages == 2
        await store.close()

        again = await web.client.post(f"/api/backups/{name}/restore", json={"as": "barn"})
        assert (again.status_code, "never restored over anything" in again.json()["detail"]) == (409, True)
        onto_itself = await web.client.post(f"/api/backups/{name}/restore", json={"as": "sage"})
        assert onto_itself.status_code == 409


async def test_a_damaged_backup_is_found_out(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        made = (await done(web, await web.client.post("/api/backups")))["result"]
        file = Path((await web.client.get("/api/backups")).json()["place"]) / f"{made['name']}.db.zst"
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        checked = await done(web, await web.client.post(f"/api/backups/{made['name']}/verify"))
        assert checked["state"] == "failed"
        assert "is not the file that was put there" in checked["trouble"]
        assert (await web.client.get("/api/backups")).json()["items"][0]["proven_at"] is None


async def test_a_backup_goes_nowhere_but_beside_the_bot(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        made = (await done(web, await web.client.post("/api/backups")))["result"]
        for name in ("../sage2", "/tmp/x", "sage2/..", "", "a" * 40, "SAGE", "sage\n"):
            asked = await web.client.post(f"/api/backups/{made['name']}/restore", json={"as": name})
            assert asked.status_code == 422, name
        for other in ("..%2f..%2fetc", "conversations_2020-01-01", "%00", "conversations_2020-01-01.json"):
            assert (await web.client.post(f"/api/backups/{other}/verify")).status_code == 404


async def test_what_is_due_is_shown_before_it_goes(tmp_path: Path) -> None:
    async with web_front(tmp_path, now=lambda: NOW, storage=kept_for_a_week(tmp_path)) as web:
        await said(web, "long ago", NOW - timedelta(days=30))
        await said(web, "just now", NOW)
        for session in (await web.house.store.browse()).items:
            await web.house.store.save_session(session.model_copy(update={"closed_at": session.last_at}))
        shown = (await done(web, await web.client.post("/api/cleanup", json={})))["result"]
        assert [(each["kind"], each["channel"]) for each in shown["items"]] == [("session", GENERAL.safe_name)]
        assert "7 days is the limit" in shown["items"][0]["why"]
        assert (await web.house.store.counts()).messages == 4
        gone = (await done(web, await web.client.post("/api/cleanup", json={"dry_run": False})))["result"]
        assert gone["total"]["session"]["messages"] == 2
        assert (await web.house.store.read()).items[0].text == "just now"


def kept_for_a_week(folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "data" / "sage"), "retention": {"channel": {"age": "7d"}, "action": "delete"}}


async def test_storage_is_told_channel_by_channel(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await said(web, "hello", NOW)
        await said(web, "hello again", NOW + timedelta(hours=2))
        await said(web, "elsewhere", NOW, place=GENERAL.model_copy(update={"id": "43", "name": "<b>loud</b>"}))
        first = (await web.client.get("/api/storage/channels", params={"limit": 1})).json()
        assert [(each["name"], each["sessions"], each["messages"]) for each in first["items"]] == [("general", 2, 4)]
        assert first["items"][0]["bytes"] == 2 * len("hello") + 2 * len("hello again")
        rest = (await web.client.get("/api/storage/channels", params={"after": first["next"]})).json()
        assert [each["name"] for each in rest["items"]] == ["<b>loud</b>"]
        whole = (await web.client.get("/api/storage")).json()
        assert whole["counts"]["messages"] == 6
        assert whole["size"] == sum(each["bytes"] for each in whole["files"]) > 0


async def test_usage_is_told_by_day_person_channel_persona_and_model(tmp_path: Path) -> None:
    budgets = [
        {"per": "channel", "window": "month", "messages": 4},
        {"per": "bot", "window": "month", "usd": 1},
        {"per": "user", "window": "day", "messages": 2},
    ]
    async with web_front(tmp_path, now=lambda: NOW, budgets=budgets) as web:
        usage = Usage(provider="openai", model="m", tokens_in=10, tokens_out=5, cost_micros=200_000, seconds=1)
        await said(web, "hello", NOW - timedelta(days=1), usage=usage)
        await said(web, "hello", NOW - timedelta(hours=1), usage=usage)
        found = {
            by: await web.client.get("/api/usage", params={"by": by}) for by in ("day", "user", "channel", "persona")
        }
        names = {by: [each["name"] for each in told.json()["items"]] for by, told in found.items()}
        assert names == {
            "day": ["2026-11-21", "2026-11-22"],
            "user": ["Ann"],
            "channel": ["general"],
            "persona": ["Sage"],
        }
        assert found["day"].json()["total"]["cost_micros"] == 400_000
        late = {"since": "2026-11-22T00:00:00Z", "until": "2026-11-23T00:00:00Z"}
        assert (await web.client.get("/api/usage", params=late)).json()["total"]["answers"] == 1
        assert (await web.client.get("/api/usage", params={"since": "2027-01-01T00:00:00Z"})).status_code == 400

        await web.house.bot.quotas.start()
        told = (await web.client.get("/api/budgets")).json()["items"]
        assert [(each["per"], each["name"], each["share"]) for each in told] == [
            ("channel", "general", 0.5),
            ("user", "Ann", 0.5),
            ("bot", "", 0.4),
        ]
        mine = (await web.client.get("/api/usage/mine", headers=as_someone(web, "read"))).json()
        assert mine["windows"]["month"]["answers"] == 2
        assert [(each["per"], each["limits"]) for each in mine["budgets"] if each["per"] == "bot"] == [("bot", [])]


async def test_the_audit_is_paged_and_tells_who_did_what(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for _ in range(3):
            await web.client.put("/api/memories/pause", json={"paused": False})
        first = (await web.client.get("/api/audit", params={"limit": 2})).json()
        assert [each["action"] for each in first["items"]] == ["PUT /api/memories/pause"] * 2
        rest = (await web.client.get("/api/audit", params={"limit": 2, "cursor": first["older"]})).json()
        assert len(rest["items"]) == 1
        assert (await web.client.get("/api/audit", params={"cursor": "\x00none"})).status_code == 400


async def test_work_can_be_stopped_and_is_done_once_at_a_time(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first = (await web.client.post("/api/bot/checkup")).json()
        second = await web.client.post("/api/bot/checkup")
        assert second.status_code in (202, 409)  # it may be over already
        stopped = (await web.client.post(f"/api/works/{first['id']}/stop")).json()
        assert stopped["state"] in ("stopped", "done")
        backup = (await web.client.post("/api/backups")).json()
        await web.client.post(f"/api/works/{backup['id']}/stop")
        again = await done(web, await web.client.post("/api/backups"))
        assert (again["state"], again["trouble"]) == ("done", ""), "the one that was stopped is in nobody's way"
        assert (await web.client.get("/api/works/none")).status_code == 404
