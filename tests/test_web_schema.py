"""The OpenAPI description is true: whatever follows from it is answered as it says, and never with a failure."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.webfront import Web, web_front

ROOT = Path(__file__).parents[1]
_TALKS = 8


@pytest.mark.timeout(180)
async def test_every_operation_answers_as_it_is_described(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"requests": 1_000_000}) as web:
        known = await talks(web)
        program = (sys.executable, "-m", "tests.described", web.url, json.dumps(known))
        trying = await asyncio.create_subprocess_exec(*program, stdout=PIPE, cwd=ROOT)
        told, _ = await trying.communicate()
    wrong, tried = json.loads(told)
    assert not wrong, "\n\n".join(wrong)
    assert tried > 300


async def test_it_names_things_by_one_word_and_nothing_of_the_program(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/openapi.json")).json()
    assert [name for name in told["components"]["schemas"] if "__" in name] == []


async def test_it_says_what_things_are_and_who_may(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/openapi.json")).json()
        asked = {"query": '{ __type(name: "Query") { fields { name description } } }'}
        queries = (await web.client.post("/api/graphql", json=asked)).json()["data"]["__type"]["fields"]
    operations = {f"{way} {path}": each for path, ways in told["paths"].items() for way, each in ways.items()}
    unsaid = [
        (name, parameter["name"])
        for name, each in operations.items()
        for parameter in each.get("parameters", ())
        if not parameter.get("description")
    ]
    assert unsaid == []
    assert [each["name"] for each in queries if not each["description"]] == []
    assert told["components"]["schemas"]["Line"]["properties"]["reply_to"]["description"].startswith("The id of the")
    assert operations["get /api/chat/sessions"]["security"] == [{"token": ["read"]}, {"cookie": ["read"]}]
    assert operations["get /api/audit"]["security"][0] == {"token": ["admin"]}
    assert "security" not in operations["get /api/health"]
    assert all(word in told["info"]["description"] for word in ("/api/live", "4008", "`standing`"))


async def test_what_is_not_taken_is_named_and_what_goes_without_saying_need_not_be_said(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        begun = await web.client.post("/api/chat/sessions")
        url = f"/api/chat/sessions/{begun.json()['id']}"
        lost = await web.client.post(f"{url}/messages", json={"text": "Hello", "replyTo": "1"})
        await web.client.post(f"{url}/messages", json={"text": "What is 6 times 7?"})
        branched, exported = await web.client.post(f"{url}/branch"), await web.client.post(f"{url}/export")
        none = await web.client.post("/api/chat/export/bulk", json={"sessions": []})
        gone = await web.client.delete(url)
        there = await web.client.head("/api/ready")
        asked = await web.client.get("/v1/chat/completions")
    assert (begun.status_code, branched.status_code, exported.status_code) == (201, 201, 200)
    assert lost.status_code == 422
    assert lost.json()["detail"].startswith("body.replyTo: there is no such field, but these: `text`, ")
    assert (none.status_code, gone.status_code, "content-type" in gone.headers) == (400, 204, False)
    assert (there.status_code, asked.status_code, asked.headers["allow"]) == (200, 405, "POST")


async def talks(web: Web) -> dict[str, list[str]]:
    """Ids of what there is, by the names that they have in paths, queries and bodies."""
    sessions, messages = list[str](), list[str]()
    for number in range(_TALKS):
        begun = (await web.client.post("/api/chat/sessions", json={"title": f"Talk {number}"})).json()
        url, line = f"/api/chat/sessions/{begun['id']}", {"text": f"What is 6 times {number}?"}
        heard = (await web.client.post(f"{url}/messages", json=line)).json()
        sessions.append(begun["id"])
        messages += [heard["line"]["id"], heard["answer"]["id"]]
    known = {"/sessions/{id}": sessions, "/messages/{id}": messages, "/models/{id}": ["sage"], "model": ["sage"]}
    known |= {"key": [begun["channel"]["key"]], "name": ["cleanup"]}
    return {**known, **dict.fromkeys(("other", "session"), sessions), **dict.fromkeys(("after", "around"), messages)}
