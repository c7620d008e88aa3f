"""Sessions over HTTP: begun, found, named, put away, brought back, made of one another; each for whose it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bots.events import SessionChanged
from storage.records import Memory
from tests.test_web_auth import bearer, token_for
from tests.webfront import Web, web_front

SESSIONS = "/api/chat/sessions"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with web_front(tmp_path) as front:
        yield front


async def begun(web: Web, **given: Any) -> dict[str, Any]:
    answer = await web.client.post(SESSIONS, json=given)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def said(web: Web, session: str, text: str) -> dict[str, Any]:
    """Says a line that nobody answers; returns it."""
    answer = await web.client.post(f"{SESSIONS}/{session}/messages", json={"text": text, "answer": False})
    assert answer.status_code in (200, 202), answer.text
    line: dict[str, Any] = answer.json()["line"]
    return line


async def titles(web: Web, **sought: Any) -> list[str]:
    page = (await web.client.get(SESSIONS, params=sought)).json()
    return [each["title"] for each in page["items"]]


async def test_several_sessions_of_one_person_are_open_at_once(web: Web) -> None:
    first, second = (
        await begun(web, title="Tea"),
        await begun(web, title="Coffee", tags=["hot", "Hot"], persona="gadfly"),
    )
    assert (first["mine"], first["closed_at"], second["persona"], second["tags"]) == (True, None, "gadfly", ["Hot"])
    again = (await web.client.get(f"{SESSIONS}/{first['id']}")).json()
    assert again["closed_at"] is None
    assert again["context"] == {**again["context"], "goals": [], "summary": ""}
    assert await titles(web) == ["Coffee", "Tea"]
    assert await titles(web, q="tea") == ["Tea"]
    assert await titles(web, tag="hot", mine=True) == ["Coffee"]
    assert await titles(web, channel=first["channel"]["key"], limit=1) == ["Coffee"]


async def test_pages_of_sessions_go_on_where_the_one_before_ended(web: Web) -> None:
    for number in range(5):
        await begun(web, title=f"Talk {number}")
    found, cursor = list[str](), None
    while True:
        page = (await web.client.get(SESSIONS, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        found += [each["title"] for each in page["items"]]
        if (cursor := page["older"]) is None:
            break
    assert found == [f"Talk {number}" for number in (4, 3, 2, 1, 0)]
    broken = await web.client.get(SESSIONS, params={"cursor": "nonsense"})
    assert (broken.status_code, "no cursor of this list" in broken.json()["detail"]) == (400, True)


async def test_what_a_session_is_called_and_about_can_be_changed(web: Web) -> None:
    session = await begun(web)
    line = await said(web, session["id"], "How tall is the tower?")
    assert (await titles(web)) == [line["text"]]
    change = {
        "title": "Towers",
        "tags": ["a", "b"],
        "starred": True,
        "persona": "compass",
        "context": {"goals": ["Learn heights"]},
    }
    changed = (await web.client.put(f"{SESSIONS}/{session['id']}", json=change)).json()
    assert {name: changed[name] for name in ("title", "tags", "starred", "persona")} == {
        name: change[name] for name in ("title", "tags", "starred", "persona")
    }
    assert changed["context"]["goals"] == ["Learn heights"]
    changed = (await web.client.put(f"{SESSIONS}/{session['id']}", json={"title": "", "tags": ["b"]})).json()
    assert (changed["title"], changed["tags"], changed["starred"]) == (line["text"], ["b"], True)
    wrong = await web.client.put(f"{SESSIONS}/{session['id']}", json={"persona": "nobody"})
    assert (wrong.status_code, "Nobody here is called 'nobody'" in wrong.json()["detail"]) == (400, True)


async def test_archived_sessions_are_out_of_the_way_and_still_found(web: Web) -> None:
    session = await begun(web, title="Old")
    await web.client.put(f"{SESSIONS}/{session['id']}", json={"archived": True})
    assert await titles(web) == []
    assert await titles(web, archived=True) == ["Old"]


async def test_a_session_that_was_taken_away_can_be_brought_back(web: Web) -> None:
    session = await begun(web, title="Secret")
    await said(web, session["id"], "The password is swordfish.")
    assert (await web.client.delete(f"{SESSIONS}/{session['id']}")).status_code == 204
    assert await titles(web) == []
    assert await titles(web, deleted=True) == ["Secret"]
    assert (await web.client.get("/api/chat/search", params={"q": "swordfish"})).json()["items"] == []
    assert (await web.client.get(f"{SESSIONS}/{session['id']}/messages")).status_code == 404
    back = (await web.client.post(f"{SESSIONS}/{session['id']}/restore")).json()
    assert (back["title"], back["deleted_at"], back["message_count"]) == ("Secret", None, 1)
    assert await titles(web, deleted=True) == []


async def test_a_session_removed_for_good_leaves_nothing(web: Web) -> None:
    session = await begun(web, title="Gone")
    line = await said(web, session["id"], "The password is swordfish.")
    assert (await web.client.delete(f"{SESSIONS}/{session['id']}", params={"hard": True})).status_code == 204
    assert await titles(web, deleted=True) == []
    assert (await web.client.get(f"{SESSIONS}/{session['id']}")).status_code == 404
    assert (await web.client.post(f"{SESSIONS}/{session['id']}/restore")).status_code == 404
    assert await web.house.store.message(line["id"]) is None


async def test_branches_copies_and_merges_are_told_as_a_family(web: Web) -> None:
    trunk = await begun(web, title="Trunk")
    first = await said(web, trunk["id"], "One")
    await said(web, trunk["id"], "Two")
    url = f"{SESSIONS}/{trunk['id']}"
    branch = (await web.client.post(f"{url}/branch", json={"after": first["id"]})).json()
    assert (branch["parent_id"], branch["branched_at"], branch["message_count"]) == (trunk["id"], first["id"], 1)
    assert (await web.client.get(url)).json()["closed_at"] is None
    copy = (await web.client.post(f"{url}/duplicate")).json()
    assert copy["title"] == "Copy of Trunk"
    await said(web, branch["id"], "Three")
    told = (await web.client.get(f"{url}/compare", params={"other": branch["id"]})).json()
    assert (told["shared"], told["only_left"], told["only_right"], len(told["rows"])) == (1, 1, 1, told["total"])
    assert {(each["left"] or each["right"])["html"] for each in told["rows"]} == {None}
    told = (await web.client.get(f"{url}/compare", params={"other": branch["id"], "html": True})).json()
    sides = [each[side] for each in told["rows"] for side in ("left", "right") if each[side]]
    assert {each["html"] for each in sides} == {f'<p dir="auto">{each["text"]}</p>' for each in sides}
    trial = await web.client.post(f"{url}/merge", json={"other": branch["id"], "dry_run": True})
    assert trial.json() == {
        "dry_run": True,
        "session": None,
        "lines": 3,
        "came": 1,
        "archived": [trunk["id"], branch["id"]],
    }
    merged = (await web.client.post(f"{url}/merge", json={"other": branch["id"]})).json()
    tree = (await web.client.get(f"{url}/tree")).json()
    edges = {(each["parent"], each["child"]): each["how"] for each in tree["descents"]}
    assert edges == {
        (trunk["id"], branch["id"]): "branch",
        (trunk["id"], copy["id"]): "copy",
        (trunk["id"], merged["session"]["id"]): "merge",
        (branch["id"], merged["session"]["id"]): "merge",
    }
    assert len(tree["sessions"]) == 4
    wrong = await web.client.post(f"{SESSIONS}/{copy['id']}/merge", json={"other": copy["id"]})
    assert wrong.status_code == 400


async def test_a_session_can_begin_with_a_template(web: Web) -> None:
    session = await begun(web, title="Reading club", tags=["books"])
    await said(web, session["id"], "What do we read next?")
    saved = await web.client.post(
        "/api/chat/templates", json={"session": session["id"], "name": "Club / evening", "lines": 1}
    )
    assert (saved.status_code, saved.json()["mine"]) == (201, True)
    unreadable = {"session": session["id"], "name": "\0"}
    assert (await web.client.post("/api/chat/templates", json=unreadable)).status_code == 400
    (offered,) = (await web.client.get("/api/chat/templates")).json()
    assert offered["opening"] == [{"role": "user", "text": "What do we read next?"}]
    fresh = await begun(web, template=offered["id"])
    assert (fresh["title"], fresh["tags"], fresh["message_count"]) == ("Reading club", ["books"], 1)
    assert (await web.client.get(f"{SESSIONS}/{session['id']}")).json()["closed_at"] is None
    assert (await web.client.delete(f"/api/chat/templates/{offered['id']}")).status_code == 204
    assert (await web.client.get("/api/chat/templates")).json() == []
    unknown = await web.client.post(SESSIONS, json={"template": "nothing"})
    assert unknown.status_code == 400


async def test_a_summary_is_made_and_kept(web: Web) -> None:
    session = await begun(web)
    await said(web, session["id"], "How tall is the tower?")
    told = (await web.client.post(f"{SESSIONS}/{session['id']}/summary")).json()["summary"]
    assert "How tall is the tower?" in told
    assert (await web.client.get(f"{SESSIONS}/{session['id']}")).json()["context"]["summary"] == told


async def test_what_was_learned_in_a_session_goes_with_it_for_good(web: Web) -> None:
    session = await begun(web)
    await said(web, session["id"], "I live in Lisbon")
    kept = await web.house.store.session(session["id"])
    assert kept is not None
    await web.house.bot.memory.memories.learn(kept, closed=True)
    learned = await web.house.store.records(Memory)
    assert any("Lisbon" in each.text for each in learned.items)
    await web.client.delete(f"{SESSIONS}/{session['id']}", params={"hard": True})
    assert (await web.house.store.records(Memory)).items == ()


async def test_a_file_that_is_still_to_be_said_outlives_the_session_it_was_said_in(web: Web) -> None:
    towers = {"file": ("a.txt", b"All about towers", "text/plain")}
    file = (await web.client.post("/api/chat/attachments", files=towers)).json()
    line = {"text": "See this", "attachments": [file["hash"]], "answer": False}
    first, second = await begun(web), await begun(web)
    assert (await web.client.post(f"{SESSIONS}/{first['id']}/messages", json=line)).is_success
    await web.client.post("/api/chat/attachments", files=towers)
    await web.client.delete(f"{SESSIONS}/{first['id']}", params={"hard": True})
    assert (await web.client.post(f"{SESSIONS}/{second['id']}/messages", json=line)).is_success
    assert await web.house.blobs.size(file["hash"]) == file["size"]


async def test_all_that_a_session_is_to_be_comes_about_at_once(web: Web) -> None:
    session = await begun(web, title="Tea", tags=["a"])
    change = {"title": "Towers", "tags": ["b", "B"], "starred": True, "archived": True, "persona": "compass"}
    with web.house.bot.events.listen() as heard:
        changed = (await web.client.put(f"{SESSIONS}/{session['id']}", json=change)).json()
        told = [each for each in await heard.some() if isinstance(each, SessionChanged)]
    assert {**changed, "tags": ["B"]} == {**changed, **change, "tags": ["B"]}
    assert changed["closed_at"] is not None
    assert [(each.session.title, each.session.archived) for each in told] == [("Towers", True)]


async def test_a_title_of_nothing_to_be_seen_is_none(web: Web) -> None:
    session = await begun(web, title="\u200d")
    assert session["title"] == "(no words yet)"
    await said(web, session["id"], "Hello")
    for title in ("\u200d", " "):
        changed = await web.client.put(f"{SESSIONS}/{session['id']}", json={"title": title})
        assert (changed.status_code, changed.json()["title"]) == (200, "Hello")


async def test_only_those_may_be_chosen_whom_one_may_ask(tmp_path: Path) -> None:
    rules = [{"user": "123456789012345678", "personas": ["sage"]}]
    async with web_front(tmp_path, access=rules) as web:
        ann = bearer(token_for(web, "123456789012345678"))
        session = (await web.client.post(SESSIONS, json={"persona": "SAGE"}, headers=ann)).json()
        assert session["persona"] == "sage"
        for refused in (
            await web.client.post(SESSIONS, json={"persona": "gadfly"}, headers=ann),
            await web.client.put(f"{SESSIONS}/{session['id']}", json={"persona": "gadfly"}, headers=ann),
        ):
            assert (refused.status_code, "You can ask for Sage." in refused.json()["detail"]) == (400, True)
