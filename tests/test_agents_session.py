"""Agents of the Agents SDK talk in a session that a store keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import Session as AgentsSession
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from agents.testing import ScriptedModel, assistant_message, function_call
from openai import AsyncOpenAI

from storage.agents_session import DatabaseSession
from storage.amendments import Edited
from storage.backend import Store
from storage.errors import StorageError
from storage.model import Sender
from tests.contracts.conftest import BACKENDS, opener
from tests.contracts.samples import ANN, BEN, GENERAL, NOON, answer, later, message, picture, session, words
from tests.wire.provider_server import ProviderServer

AGENT = Sender(type="persona", id="scout", name="Scout")
QUIET = RunConfig(tracing_disabled=True)
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Where is the bridge?"},
    {"role": "developer", "content": "Be short."},
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Maps."}],
        "encrypted_content": "x",
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "look",
        "arguments": '{"at": "map"}',
        "status": "in",
    },
    {"type": "function_call_output", "call_id": "c1", "output": "North of here."},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "or south"}]},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "North.", "annotations": [], "logprobs": []}],
    },
    {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}]},
    {"role": "user", "content": ""},
    {"role": "user", "content": "NUL \0, half \ud83d, 𝔘nicode, 'quotes' \"; DROP TABLE messages;--"},
    {"type": "computer_call", "action": {"x": 1.5, "keys": None}, "pending": [], "call_id": "c\0"},
]


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


def talk(store: Store, id: str = "talk", **more: Any) -> DatabaseSession:
    given = {"person": ANN, "agent": AGENT, "now": lambda: NOON, "chance": chances(), **more}
    return DatabaseSession(id, store, **given)


_NUMBERS = iter(range(1, 1 << 30))


def chances() -> Callable[[], int]:
    return lambda: next(_NUMBERS)


async def test_items_of_every_kind_come_back_as_they_were(store: Store) -> None:
    await talk(store).add_items(ITEMS)
    assert await talk(store).get_items() == ITEMS


async def test_the_latest_items_are_given_oldest_first(store: Store) -> None:
    said = [{"role": "user", "content": f"line {number}"} for number in range(450)]
    mine = talk(store)
    await mine.add_items(said)
    assert await mine.get_items(3) == said[-3:]
    assert await mine.get_items(300) == said[-300:]
    assert await mine.get_items() == said
    assert await mine.get_items(0) == []


async def test_the_latest_item_is_popped_and_all_are_cleared(store: Store) -> None:
    mine = talk(store)
    assert await mine.pop_item() is None
    await mine.add_items(ITEMS)
    assert [await mine.pop_item() for _ in range(3)] == ITEMS[:-4:-1]
    assert await mine.get_items() == ITEMS[:-3]
    await mine.clear_session()
    assert (await mine.get_items(), await mine.pop_item()) == ([], None)
    assert (await store.counts()).messages == 0


@pytest.mark.parametrize("id", ["../../etc/passwd", "a b/ä'\"; --", "con", "x" * 500, "UPPER", "upper"])
async def test_any_name_of_a_session_will_do(store: Store, id: str) -> None:
    await talk(store, id).add_items(ITEMS[:1])
    assert await talk(store, id).get_items() == ITEMS[:1]
    assert await talk(store, id + ".").get_items() == []


async def test_it_is_a_session_of_the_sdk(one: Store) -> None:
    assert isinstance(talk(one), AgentsSession)


async def test_what_cannot_be_kept_keeps_nothing_of_the_others(one: Store) -> None:
    with pytest.raises(TypeError):
        await talk(one).add_items([ITEMS[0], {"role": "user", "content": object()}])
    assert await talk(one).get_items() == []


async def test_nobody_comes_to_the_talk_of_another_by_its_name(one: Store) -> None:
    await talk(one).add_items(ITEMS)
    others = talk(one, person=BEN)
    for asked in (others.get_items(), others.add_items(ITEMS), others.pop_item(), others.clear_session()):
        with pytest.raises(StorageError, match="of another place"):
            await asked
    assert await talk(one).get_items() == ITEMS


async def test_what_agents_say_is_found_and_belongs_to_whom_they_answer(one: Store) -> None:
    await talk(one).add_items(ITEMS[:7])
    assert [found.message.sender for found in await one.search("north")] == [AGENT]
    of_ann = await one.talk_of(ANN.id)
    assert len(of_ann.items) == 7
    kept = await one.session("talk")
    assert kept is not None
    assert (kept.channel.key, [each.name for each in kept.participants]) == ("web:7", ["Ann"])


async def test_what_tools_say_at_length_still_belongs_to_whom_is_answered(one: Store) -> None:
    steps = [{"type": "function_call_output", "call_id": f"c{number}", "output": "seen"} for number in range(50)]
    for items in (ITEMS[:1], steps, [{"role": "assistant", "content": "North."}]):
        await talk(one).add_items(items)
    asked, *answers = await one.messages("talk")
    assert {line.reply_to for line in answers} == {asked.id}


async def test_words_that_a_person_changed_are_what_agents_read(one: Store) -> None:
    await talk(one).add_items([ITEMS[0], ITEMS[6]])
    for kept, new in zip(await one.messages("talk"), ("And the ford?", "South."), strict=True):
        await one.amend(kept.id, Edited(parts=words(new), at=later(9)))
    asked, answered = await talk(one).get_items()
    assert asked == {"role": "user", "content": "And the ford?"}
    assert answered["content"] == [{"type": "output_text", "text": "South.", "annotations": [], "logprobs": []}]


async def test_agents_go_on_with_what_people_and_personas_said(one: Store) -> None:
    await one.append(session(), message(1, parts=(*words("Look"), picture(None))))
    await one.append(session(), answer(2, to=1))
    assert await talk(one, "s1", channel=GENERAL).get_items() == [
        {"role": "user", "content": "Look [image: cat.png]"},
        {"role": "assistant", "content": "line 2"},
    ]


async def test_a_runner_remembers_over_the_wire(store: Store, server: ProviderServer) -> None:
    async with AsyncOpenAI(api_key="key", base_url=server.openai_url) as client:
        agent = Agent(name="Scout", model=OpenAIChatCompletionsModel("gpt-4o", client))
        server.answer("Hello, Ann.")
        await Runner.run(agent, "I am Ann.", session=talk(store), run_config=QUIET)
        streamed = Runner.run_streamed(agent, "Who am I?", session=talk(store), run_config=QUIET)
        async for _ in streamed.stream_events():
            pass
    assert [line.text for line in server.asks[1].lines] == ["I am Ann.", "Hello, Ann.", "Who am I?"]
    kept = await store.messages("talk")
    assert [line.words for line in kept] == ["I am Ann.", "Hello, Ann.", "Who am I?", "You said: Who am I?"]


async def test_a_runner_keeps_what_tools_did(one: Store) -> None:
    @function_tool
    def look(at: str) -> str:
        """Looks at something."""
        return f"seen {at}"

    model = ScriptedModel([[function_call("look", {"at": "map"}, call_id="c1")], [assistant_message("North.")]])
    agent = Agent(name="Scout", model=model, tools=[look])
    await Runner.run(agent, "Where?", session=talk(one), run_config=QUIET)
    told = [part.type for line in await one.messages("talk") for part in line.parts]
    assert told == ["text", "tool_call", "tool_response", "text"]


async def test_people_see_what_there_are_no_words_for(one: Store) -> None:
    await talk(one).add_items([ITEMS[2], ITEMS[7], ITEMS[10]])
    kept = await one.messages("talk")
    assert [(line.text, line.words) for line in kept] == [
        ("(reasoning: Maps.)", ""),
        ("(input_image)", ""),
        ("(computer_call)", ""),
    ]
