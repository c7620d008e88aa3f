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
