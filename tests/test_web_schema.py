"""The OpenAPI description is true: whatever follows from it is answered as it says, and never with a failure."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.webfront import Web, web_front

Known = dict[str, list[str]]
_EXAMPLES = {GenerationMode.POSITIVE: 4, GenerationMode.NEGATIVE: 1}
"""Of each operation."""
_CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
_LAST = ("DELETE /api/chat/messages/{id}", "DELETE /api/chat/sessions/{id}", "POST /api/privacy/forget")
"""Of what these take away there is nothing more to try."""
_TALKS = 8


@pytest.mark.timeout(180)
async def test_every_operation_answers_as_it_is_described(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"requests": 1_000_000}) as web:
        known = await talks(web)
        wrong, tried = await asyncio.to_thread(tried_out, web.url, known)
    assert not wrong, "\n\n".join(wrong)
    assert tried > 300


async def test_it_names_things_by_one_word_and_nothing_of_the_program(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        told = (await web.client.get("/api/openapi.json")).json()
    assert [name for name in told["components"]["schemas"] if "__" in name] == []


async def talks(web: Web) -> Known:
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


def tried_out(url: str, known: Known) -> tuple[list[str], int]:
    """Tries every operation of the bot there; returns what was not as it is described, and how many tries there
    were."""
    schema, wrong, tries = schemathesis.openapi.from_url(f"{url}/api/openapi.json"), list[str](), count()
    operations = [cast(Any, operation).ok() for operation in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.label in _LAST):
        for mode, examples in _EXAMPLES.items():

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=timedelta(seconds=20),
                phases=[Phase.explicit, Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            def answers(case: Case[Any]) -> None:
                about_something(case, next(tries), known)
                case.validate_response(case.call(timeout=20), checks=_CHECKS)

            try:
                answers()
            except Unsatisfiable:
                pass  # nothing is asked there that could be asked wrongly
            except BaseExceptionGroup as errors:
                wrong.extend(f"{operation.label}: {error}" for error in errors.exceptions)
            except Exception as error:
                wrong.append(f"{operation.label}: {error}")
    return wrong, next(tries)


def about_something(case: Case[Any], number: int, known: Known) -> None:
    """Lets all but every third try be about a session, a message or what else that there is."""
    if number % 3 == 0:
        return
    given_in: Any
    noun = next((noun for noun in known if noun in case.path), "")
    for given_in in (case.path_parameters, case.query, case.body):
        for name in given_in if isinstance(given_in, dict) else ():
            there = known.get(noun if name == "id" else name, [])
            if there and isinstance(given_in[name], str):
                given_in[name] = there[number % len(there)]
