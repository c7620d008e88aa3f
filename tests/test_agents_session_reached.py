"""A session for agents keeps its promises from any loop, through cancellations and beneath what the SDK lays on it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agents import Agent, RunConfig, Runner, RunState, function_tool
from agents.memory import OpenAIResponsesCompactionSession, SessionSettings
from agents.testing import ScriptedModel, assistant_message, function_call
from openai import AsyncOpenAI
from pydantic import BaseModel

from storage.agents_session import DatabaseSession
from storage.backend import Store
from storage.errors import StorageError
from tests.contracts.conftest import BACKENDS, opener
from tests.contracts.samples import answer
from tests.test_agents_session import ITEMS, QUIET, talk

NOTHING = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
SAID: list[Any] = [{"role": "user", "content": f"line {number}"} for number in range(6)]


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await opener(request.param, tmp_path / "sage")()
    yield opened
    await opened.close()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await opener("sqlite in memory", tmp_path)()
    yield opened
    await opened.close()


async def cancel(work: Awaitable[Any], after: int) -> None:
    """Cancels the work twice after so many moments, and waits for its end."""
    under_way = asyncio.ensure_future(work)
    for _ in range(after):
        await asyncio.sleep(0)
    under_way.cancel()
    await asyncio.sleep(0)
    under_way.cancel()
    await asyncio.wait((under_way,))
    assert under_way.cancelled()


@pytest.mark.parametrize("moments", [1, 2, 3])
async def test_who_is_cancelled_meanwhile_has_changed_all_of_it(store: Store, moments: int) -> None:
    mine = talk(store)
    await cancel(mine.add_items(ITEMS), moments)
    assert await mine.get_items() == ITEMS
    await cancel(mine.pop_item(), moments)
    assert await mine.get_items() == ITEMS[:-1]
    await cancel(mine.clear_session(), moments)
    assert await mine.get_items() == []


async def test_threads_with_loops_of_their_own_use_one_session(store: Store) -> None:
    mine = talk(store)

    def add(item: dict[str, Any]) -> None:
        asyncio.run(mine.add_items([item]))

    await asyncio.gather(*(asyncio.to_thread(add, item) for item in SAID))
    assert sorted(item["content"] for item in await mine.get_items()) == [item["content"] for item in SAID]
    assert await asyncio.to_thread(lambda: asyncio.run(mine.get_items(2))) == (await mine.get_items())[-2:]
    latest = (await mine.get_items())[-1]
    assert await asyncio.to_thread(lambda: asyncio.run(mine.pop_item())) == latest
    await asyncio.to_thread(lambda: asyncio.run(mine.clear_session()))
    assert await mine.get_items() == []


async def test_a_runner_without_await_remembers_in_a_thread(store: Store) -> None:
    model = ScriptedModel([[assistant_message("Hello, Ann.")], [assistant_message("Ann.")]])
    agent = Agent(name="Scout", model=model)
    mine = talk(store)

    def run(line: str) -> str:
        asyncio.set_event_loop(loop := asyncio.new_event_loop())
        try:
            return str(Runner.run_sync(agent, line, session=mine, run_config=QUIET).final_output)
        finally:
            loop.close()

    assert [await asyncio.to_thread(run, line) for line in ("I am Ann.", "Who am I?")] == ["Hello, Ann.", "Ann."]
    assert [line.words for line in await store.messages("talk")] == ["I am Ann.", "Hello, Ann.", "Who am I?", "Ann."]


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_may_be_made_where_no_loop_runs(backend: Any, tmp_path: Path) -> None:
    async def connected() -> Store:
        return await opener(backend, tmp_path / "sage")()

    with asyncio.Runner() as loop:
        store = loop.run(connected())
        mine = talk(store)
        loop.run(mine.add_items(SAID))
        assert loop.run(mine.pop_item()) == SAID[-1]
        loop.run(store.close())


async def test_who_waits_for_a_loop_that_has_ended_is_told(tmp_path: Path) -> None:
    """Its last look finds the loop running, and nothing that is handed over then is ever begun."""
    home, blocked, go_on = asyncio.new_event_loop(), threading.Event(), threading.Event()
    store = await asyncio.to_thread(home.run_until_complete, opener("sqlite in memory", tmp_path)())

    def stop() -> None:
        blocked.set()
        go_on.wait(20)
        home.stop()

    def live() -> None:
        home.call_soon(stop)
        home.run_forever()

    async def made() -> DatabaseSession:
        return talk(store)

    mine = await asyncio.to_thread(home.run_until_complete, made())
    living = asyncio.create_task(asyncio.to_thread(live))
    await asyncio.to_thread(blocked.wait, 20)
    reads, writes = asyncio.create_task(mine.get_items()), asyncio.create_task(mine.add_items(SAID))
    for _ in range(5):
        await asyncio.sleep(0)
    # What comes in a turn of the loop before it stops is begun in the next, which there is none of.
    go_on.set()
    await living
    for work in (reads, writes):
        with pytest.raises(StorageError, match="has ended meanwhile"):
            await asyncio.wait_for(work, 20)
    await asyncio.to_thread(home.run_until_complete, store.close())
    home.close()


def test_the_sdk_is_loaded_only_for_settings() -> None:
    """It takes seconds, in the loop of whoever makes a session."""
    program = (
        "import sys; from datetime import datetime, UTC; from storage.agents_session import DatabaseSession\n"
        "from storage.model import Sender\n"
        "ann = Sender(type='user', id='ann', name='Ann')\n"
        "DatabaseSession('talk', None, person=ann, now=lambda: datetime.now(UTC), chance=lambda: 1)\n"
        "print('agents' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


async def test_items_of_two_who_write_to_one_talk_stay_together(store: Store) -> None:
    batches = [[{"role": "user", "content": f"{who} {number}"} for number in range(9)] for who in "abcdef"]
    pair = talk(store), talk(store)
    await asyncio.gather(*(pair[place % 2].add_items(batch) for place, batch in enumerate(batches)))
    kept = [item["content"] for item in await pair[0].get_items()]
    assert sorted(kept) == sorted(item["content"] for batch in batches for item in batch)
    assert [len(list(lines)) for _, lines in groupby(kept, key=lambda line: line[0])] == [9] * 6


async def test_each_item_is_popped_once(store: Store) -> None:
    pair = talk(store), talk(store)
    await pair[0].add_items(SAID)
    popped = await asyncio.gather(*(pair[place % 2].pop_item() for place in range(8)))
    assert sorted(item["content"] for item in popped if item) == [item["content"] for item in SAID]
    assert await pair[0].get_items() == []


async def test_talks_in_one_store_do_not_touch_each_other(store: Store) -> None:
    first, second = talk(store, "first"), talk(store, "second")
    await first.add_items(SAID[:2])
    await second.add_items(SAID[2:])
    assert await first.pop_item() == SAID[1]
    await first.clear_session()
    assert (await first.get_items(), await second.get_items()) == ([], SAID[2:])


async def test_an_item_of_a_million_characters_comes_back(store: Store) -> None:
    large = [{"role": "user", "content": "ä" * 1_000_000}, {"type": "custom", "deep": {"list": [{}] * 1000}}]
    await talk(store).add_items(large)
    assert await talk(store).get_items() == large


async def test_lines_that_say_nothing_to_a_model_do_not_count(store: Store) -> None:
    mine = talk(store)
    await mine.add_items(SAID)
    kept = await store.session("talk")
    assert kept is not None
    for number in range(4):
        await store.append(kept, answer(number, to=1, session_id="talk", parts=(), metadata={"item": "{{{"}))
    assert await mine.get_items(2) == SAID[-2:]
    assert await mine.pop_item() == SAID[-1]


async def test_an_id_that_is_taken_loses_no_item_unsaid(one: Store) -> None:
    mine = talk(one, chance=lambda: 7)
    await mine.add_items(SAID[:1])
    with pytest.raises(StorageError, match="chance"):
        await mine.add_items(SAID[1:2])
    assert await mine.get_items() == SAID[:1]


@pytest.mark.parametrize("settings", [SessionSettings(limit=1), {"limit": 1}])
async def test_settings_limit_what_is_given_unless_a_limit_is_named(one: Store, settings: Any) -> None:
    mine = talk(one, session_settings=settings)
    await mine.add_items(SAID)
    assert (await mine.get_items(), await mine.get_items(2)) == (SAID[-1:], SAID[-2:])
    assert await mine.get_items(-1) == SAID


async def test_settings_that_the_sdk_does_not_know_are_refused(one: Store) -> None:
    with pytest.raises(TypeError, match="limits"):
        talk(one, session_settings={"limits": 1})


class Place(BaseModel):
    name: str
    bridges: int


async def test_an_answer_in_a_shape_is_remembered_as_it_was(one: Store) -> None:
    told = '{"name": "Bern", "bridges": 18}'
    model = ScriptedModel([[assistant_message(told)], [assistant_message('{"name": "Bonn", "bridges": 3}')]])
    agent = Agent(name="Scout", model=model, output_type=Place)
    first = await Runner.run(agent, "Bern?", session=talk(one), run_config=QUIET)
    await Runner.run(agent, "Bonn?", session=talk(one), run_config=QUIET)
    assert first.final_output == Place(name="Bern", bridges=18)
    asked = model.calls[-1].input
    assert [item.get("role") for item in asked] == ["user", "assistant", "user"]
    assert asked[1]["content"][0]["text"] == told


async def test_what_a_callback_makes_of_the_history_is_asked_and_not_kept(one: Store) -> None:
    model = ScriptedModel([[assistant_message("North.")]])
    mine = talk(one)
    await mine.add_items(SAID)
    config = RunConfig(tracing_disabled=True, session_input_callback=lambda history, new: [*history[-2:], *new])
    await Runner.run(Agent(name="Scout", model=model), "Where?", session=mine, run_config=config)
    assert [item["content"] for item in model.calls[-1].input] == ["line 4", "line 5", "Where?"]
    assert [line.words for line in await one.messages("talk")][-3:] == ["line 5", "Where?", "North."]
    assert len(await mine.get_items()) == len(SAID) + 2


async def test_a_run_that_waited_for_a_yes_goes_on_in_its_talk(store: Store) -> None:
    @function_tool(needs_approval=True)
    def cross(bridge: str) -> str:
        """Crosses a bridge."""
        return f"crossed {bridge}"

    model = ScriptedModel([[function_call("cross", {"bridge": "old"}, call_id="c1")], [assistant_message("Done.")]])
    agent = Agent(name="Scout", model=model, tools=[cross])
    asked = await Runner.run(agent, "Cross.", session=talk(store), run_config=QUIET)
    state = await RunState.from_json(agent, asked.to_state().to_json())
    state.approve(state.get_interruptions()[0])
    done = await Runner.run(agent, state, session=talk(store), run_config=QUIET)
    assert done.final_output == "Done."
    told = [part.type for line in await store.messages("talk") for part in line.parts]
    assert told == ["text", "tool_call", "tool_response", "text"]


async def test_a_talk_is_compacted_and_goes_on(store: Store) -> None:
    short = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
    compacted = {"id": "r1", "object": "response.compaction", "created_at": 1, "output": [short], "usage": NOTHING}
    wire = httpx2.MockTransport(lambda request: httpx2.Response(200, json=compacted))
    async with AsyncOpenAI(api_key="key", http_client=httpx2.AsyncClient(transport=wire)) as client:
        mine = OpenAIResponsesCompactionSession("talk", talk(store), client=client, compaction_mode="input")
        await mine.add_items([*SAID, {"role": "assistant", "content": "North."}])
        await mine.run_compaction({"force": True})
        await mine.add_items(SAID[:1])
    assert await talk(store).get_items() == [short, SAID[0]]
    assert [line.text for line in await store.messages("talk")] == ["(compaction)", "line 0"]
