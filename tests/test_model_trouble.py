"""A provider that refuses the key: said in the log once, and in the status until it answers again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from bots.errors import ProviderError
from bots.operations import ModelState, model_states, model_trouble
from bots.providers import Line, Prompt, Trouble
from bots.providers.openai import OpenAI
from bots.providers.patience import Patient
from bots.settings import Retries
from bots.values import Secret
from bots.wiring import build

from .wire.provider_server import ProviderServer
from .world import settings

PROMPT = Prompt("You are Ada.", (Line("user", "How are you?"),), "How are you?")
AT = datetime(2026, 11, 21, 16, 4, tzinfo=UTC)


async def asked(provider: Patient) -> None:
    with suppress(ProviderError):
        async for _ in provider.stream(PROMPT):
            pass


async def test_each_kind_is_logged_once_and_remembered_until_an_answer_comes(
    gpt: OpenAI, server: ProviderServer
) -> None:
    patient = Patient(gpt, Retries(attempts=1, breaker_failures=9), date=lambda: AT)
    with capture_logs() as lines:
        for status in (401, 429, 401, 429, 500):
            server.fail(status)
            await asked(patient)
        assert patient.trouble == Trouble("unavailable", AT)
        await asked(patient)
        assert patient.trouble is None
        server.fail(401)
        await asked(patient)
    told = [(line["log_level"], line.get("kind", "")) for line in lines]
    kinds = [("warning", kind) for kind in ("auth", "rate_limit", "unavailable")]
    assert told == [*kinds, ("info", ""), ("warning", "auth")]
    assert "401" in lines[0]["detail"]
    assert patient.trouble == Trouble("auth", AT)


async def test_what_a_further_attempt_makes_good_is_no_trouble(gpt: OpenAI, server: ProviderServer) -> None:
    async def at_once(seconds: float) -> None: ...

    patient = Patient(gpt, Retries(), wait=at_once)
    server.fail(500)
    with capture_logs() as lines:
        await asked(patient)
    assert (patient.trouble, lines) == (None, [])


async def test_a_running_bot_says_in_its_status_which_key_is_refused(tmp_path: Path, server: ProviderServer) -> None:
    key = Secret(variable="OPENAI_API_KEY", value="sk-secret")
    model = {"provider": "openai", "model": "gpt", "api_key": key, "base_url": server.openai_url}
    told: dict[str, object] = {}
    known = asyncio.Event()

    def report(facts: dict[str, object]) -> None:
        told.update(facts)
        if "model_trouble" in facts:
            known.set()

    async with build(settings(tmp_path, models=[model])) as house:
        server.fail(401)
        await asked(house.asked[0])
        (state,) = model_states(house.bot.settings, house.asked)
        running = asyncio.ensure_future(house.run(report))
        await known.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    why = "the provider does not accept the key in OPENAI_API_KEY, or its credit is used up, since 20"
    assert (state.name, state.state) == ("openai gpt", "failing")
    assert state.why.startswith(why)
    assert told["model_trouble"] == f"openai gpt: {state.why}"


def test_all_models_that_fail_are_named() -> None:
    states = (ModelState("a", "failing", why="x"), ModelState("b", "ready"), ModelState("c", "failing", why="y"))
    assert model_trouble(states) == "a: x; c: y"
