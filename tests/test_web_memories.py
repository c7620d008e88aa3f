"""Memories, personas and privacy in the browser: people see and change what is theirs, and learn nothing of others."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from storage.model import Sender
from storage.records import AuditEntry, Memory
from tests.test_web_operating import ANN, NOW, as_someone, said
from tests.webfront import web_front

BEN = Sender(type="user", id="8", name="Ben")


def at(memory_id: str, more: str = "") -> str:
    return f"/api/memories/{quote(memory_id, safe='')}{more}"


async def test_somebody_has_the_bot_remember_correct_undo_and_forget(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        anns = as_someone(web, "chat")
        kept = (await web.client.post("/api/memories", headers=anns, json={"text": "I live in Rome"})).json()
        assert (kept["audience_name"], kept["mine"], kept["told"]) == ("Ann only, in private", True, True)
        new = (await web.client.put(at(kept["id"]), headers=anns, json={"text": "I live in Oslo"})).json()
        listed = (await web.client.get("/api/memories", headers=anns)).json()
        assert [each["text"] for each in listed["items"]] == ["I live in Oslo"]
        undone = (await web.client.post(at(new["id"], "/undo"), headers=anns)).json()
        assert [each["text"] for each in undone["items"]] == ["I live in Rome"]
        assert (await web.client.get("/api/memories", headers=anns, params={"q": "paris"})).json()["items"] == []
        assert (await web.client.delete(at(kept["id"]), headers=anns)).status_code == 204
        assert (await web.house.store.records(Memory)).items == ()


async def test_nobody_sees_or_changes_what_is_remembered_of_another(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        anns, bens = as_someone(web, "chat"), as_someone(web, "chat", BEN)
        kept = (await web.client.post("/api/memories", headers=anns, json={"text": "My cat is Miu"})).json()
        assert (await web.client.get("/api/memories", headers=bens)).json()["items"] == []
        assert (await web.client.get("/api/memories", headers=bens, params={"all": True})).status_code == 403
        for id in (kept["id"], "none"):
            told = [
                await web.client.put(at(id), headers=bens, json={"text": "My cat is Bob"}),
                await web.client.delete(at(id), headers=bens),
                await web.client.post(at(id, "/undo"), headers=bens),
            ]
            assert [each.status_code for each in told] == [404, 404, 404]
            assert {each.json()["detail"] for each in told} == {f"There is no memory '{id}' that is yours."}
        everybody = {"text": "Tea is at four", "scope": "everybody"}
        assert (await web.client.post("/api/memories", headers=bens, json=everybody)).status_code == 403
        pausing = {"paused": True, "person": ANN.id}
        assert (await web.client.put("/api/memories/pause", headers=bens, json=pausing)).status_code == 403
        assert (await web.client.get("/api/memories/pause", headers=anns)).json() == {"person": "7", "paused": False}


async def test_who_only_reads_changes_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        reading = as_someone(web, "read")
        assert (await web.client.post("/api/memories", headers=reading, json={"text": "x y z"})).status_code == 403
        assert (await web.client.put("/api/memories/pause", headers=reading, json={"paused": True})).status_code == 403
        nobody = {"paused": True, "person": "\0"}
        assert (await web.client.put("/api/memories/pause", json=nobody)).status_code == 400
        assert (await web.client.post("/api/privacy/forget", headers=reading, json={})).status_code == 403


async def test_whoever_runs_the_bot_sees_all_with_audience_and_source(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await said(web, "I like <b>tea</b>", NOW)
        (line, _) = (await web.house.store.read()).items
        drawn = Memory(
            id="drawn", at=NOW, type="semantic", audience="discord:42", subject="user:7", text="Ann likes <b>tea</b>"
        )
        await web.house.store.keep(drawn.model_copy(update={"source": line.id, "people": ("7",)}))
        (shown,) = (await web.client.get("/api/memories", params={"all": True, "person": "7"})).json()["items"]
        assert (shown["audience_name"], shown["subject_name"]) == ("whoever is in general", "Ann")
        assert shown["source"] == {"session_id": line.session_id, "message_id": line.id}
        assert (await web.client.put(at("drawn"), json={"text": "Ann likes coffee"})).status_code == 200
        await web.client.post(
            "/api/memories", json={"text": "Tea is at four", "scope": "channel", "channel": "discord:42"}
        )
        found = (await web.client.get("/api/memories", params={"all": True, "audience": "discord:42"})).json()["items"]
        assert {each["text"] for each in found} == {"Ann likes coffee", "Tea is at four"}
        past: dict[str, str | bool] = {"all": True, "history": True, "q": "<b>"}
        (old,) = (await web.client.get("/api/memories", params=past)).json()["items"]
        assert old["superseded_by"] is not None
        assert (await web.client.get("/api/memories/report")).json()["memories"] == 2


async def test_what_was_drawn_from_a_place_one_may_not_see_says_not_where_it_was(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await said(web, "I like tea", NOW)
        (line, _) = (await web.house.store.read()).items
        drawn = Memory(
            id="drawn", at=NOW, type="semantic", audience="discord:42", subject="user:7", text="Ann likes tea"
        )
        await web.house.store.keep(drawn.model_copy(update={"source": line.id, "people": ("7",)}))
        (own,) = (await web.client.get("/api/memories", headers=as_someone(web, "read"))).json()["items"]
        assert (own["text"], own["source"]) == ("Ann likes tea", None)


async def test_personas_are_shown_with_their_prompts_to_whoever_runs_the_bot_alone(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/personas")).json()["items"]
        assert [(each["name"], each["default"]) for each in told][:2] == [("sage", True), ("compass", False)]
        assert told[0]["prompt"].startswith("You are Sage")
        theirs = (await web.client.get("/api/personas", headers=as_someone(web, "read"))).json()["items"]
        assert {each["prompt"] for each in theirs} == {None}


async def test_one_can_ask_who_would_answer_and_nothing_is_kept(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/route", params={"text": "Compass, where is north?"})).json()
        assert (told["persona"], told["rule"]) == ("compass", "address")
        assert {each["persona"] for each in told["weighed"]} == {"sage", "compass", "gadfly"}
        assert (await web.client.get("/api/route", params={"text": ""})).status_code == 422
        assert (
            await web.client.get("/api/route", params={"text": "\x00 \ud800".encode("utf-8", "replace")})
        ).status_code == 200
        assert (await web.house.store.counts()).messages == 0


async def test_forgetting_oneself_takes_two_steps_and_leaves_others_alone(tmp_path: Path) -> None:
    async with web_front(tmp_path, now=lambda: NOW) as web:
        await said(web, "my secret garden", NOW)
        anns, bens = as_someone(web, "chat"), as_someone(web, "chat", BEN)
        about = (await web.client.get("/api/privacy", headers=anns)).json()
        assert (about["messages"], about["answers"], about["names"]) == (1, 1, ["Ann"])
        handed = await web.client.get("/api/privacy/export", headers=anns)
        with zipfile.ZipFile(io.BytesIO(handed.content)) as packed:
            assert any("my secret garden" in packed.read(name).decode() for name in packed.namelist())
        theirs = await web.client.get("/api/privacy/export", headers=bens)
        assert b"garden" not in theirs.content

        asked = (await web.client.post("/api/privacy/forget", headers=anns, json={})).json()
        assert (await web.house.store.counts()).messages == 2, "nobody is forgotten for having asked"
        for who, code in ((bens, asked["confirm"]), (anns, "made up")):
            refused = await web.client.post("/api/privacy/forget", headers=who, json={"confirm": code})
            assert refused.status_code == 409
        asked = (await web.client.post("/api/privacy/forget", headers=anns, json={})).json()
        gone = await web.client.post("/api/privacy/forget", headers=anns, json={"confirm": asked["confirm"]})
        assert gone.json()["forgotten"]["messages"] == 1
        again = await web.client.post("/api/privacy/forget", headers=anns, json={"confirm": asked["confirm"]})
        assert again.status_code == 401, "with a person their tokens go"
        assert (await web.client.get("/api/privacy", headers=bens)).status_code == 200
        assert (await web.house.store.counts()).messages == 0
        entries = (await web.house.store.records(AuditEntry)).items
        assert [each.action for each in entries if each.action == "forget"] == ["forget"]
        assert ANN.id not in {each.actor.id for each in entries}, "the audit does not say who was forgotten"


async def test_all_that_is_remembered_can_be_paged_through(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for n in range(5):
            audience = "bot" if n % 2 else "user:7"
            kept = Memory(id=f"m{n}", at=NOW + timedelta(minutes=n), type="semantic", audience=audience, subject="bot",
                          text=f"fact {n}")  # fmt: skip
            await web.house.store.keep(kept)
        for narrowed, facts in ({}, [4, 3, 2, 1, 0]), ({"audience": "user:7"}, [4, 2, 0]):
            read, cursor = list[str](), None
            for _ in range(5):
                asked: dict[str, Any] = {"all": True, "limit": 2, **narrowed, **({"cursor": cursor} if cursor else {})}
                page = (await web.client.get("/api/memories", params=asked)).json()
                read += [each["text"] for each in page["items"]]
                cursor = page["older"]
                assert page["more"] == (cursor is not None)
                if cursor is None:
                    break
            assert read == [f"fact {n}" for n in facts]
        assert (await web.client.get("/api/memories", params={"all": True, "cursor": "nonsense"})).status_code == 400
