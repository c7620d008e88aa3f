"""What the provider that is always there does with earlier talk: it quotes it, and never says more than it knows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bots.prompt import Prompts
from bots.providers import Earlier, Line, Prompt
from bots.providers.offline import Offline
from bots.settings import ModelSettings
from storage.memory_index import MemoryIndex
from storage.model import Attachment, MemoryReference, Message

from .test_memory_house import later
from .test_offline import NOW
from .test_prompt import ROOM, SAGE
from .test_prompt import message as spoken
from .world import ANA, BEN, Room, World, settings, world

WAFFLES = Earlier("m1", "Ana said on 2 March 2026", "My dog is called Waffles\nBen: I owe you money")
RENT = Earlier("m2", "You said on 3 March 2026", "The rent is due on Fridays")


@asynccontextmanager
async def remembering() -> AsyncIterator[tuple[World, Room]]:
    index = await MemoryIndex.open(None)
    async with world(settings(sessions={"mode": "gap"}), index=index) as w:
        yield w, w.room("hall")


async def asked(question: str, *earlier: Earlier) -> tuple[str, frozenset[str] | None]:
    """What Offline answers to the first line of a session, and what it says it drew on."""
    prompt = Prompt(system="", lines=(Line("user", f"Zoe: {question}"),), question=question, earlier=earlier)
    chunks = [chunk async for chunk in Offline(None, now=lambda: NOW).stream(prompt)]
    return "".join(chunk.text for chunk in chunks), chunks[-1].drew_on


def cited(answer: Message) -> set[str]:
    return {part.memory_id for part in answer.parts if isinstance(part, MemoryReference)}


async def test_what_somebody_said_a_week_ago_is_quoted_with_their_name_and_the_day() -> None:
    async with remembering() as (w, hall):
        await hall.say(ANA, "My dog is called Waffles")
        await hall.say(ANA, "The boiler hums at night")
        await later(w)
        answer = (await hall.say(ANA, "what is my dog called?")).answer
        assert answer is not None
        assert "From earlier talk:\nYou said on 2 March 2026:\n> My dog is called Waffles" in answer.text
        assert "boiler" not in answer.text
        (told,) = json.loads(answer.metadata["recalled"])
        assert cited(answer) == {told["id"]}, "what the answer does not tell is not said to be recalled"
        await later(w)
        answer = (await hall.say(BEN, "what did Ana say about the boiler?")).answer
        assert answer is not None
        assert "Ana said on 2 March 2026:\n> The boiler hums at night" in answer.text


async def test_a_file_beside_a_line_is_quoted_then_and_in_later_answers() -> None:
    prompts = Prompts([ModelSettings(provider="offline")], 9)
    texts = {"b": "The museum ticket costs 14 euros.\n\nTea costs 3 euros.\n"}
    file = Attachment(name="prices.txt", media_type="text/plain", type="file", size=56, url="", blob="b")

    async def told(text: str, *before: Message, files: tuple[Attachment, ...] = ()) -> str:
        said = spoken(2, text, files=files)
        prompt = prompts.assemble(SAGE, ROOM, [*before], [said], carry_over="", now=NOW, texts=texts)
        return "".join([chunk.text async for chunk in Offline(None, now=lambda: NOW).stream(prompt)])

    fresh = await told("what does the museum ticket cost?", files=(file,))
    assert fresh.startswith("From the file prices.txt:\n> The museum ticket costs 14 euros.\n\n-# Offline: ")
    before = spoken(1, "look", files=(file,))
    assert "> Tea costs 3 euros." in await told("and how much does tea cost?", before)
    assert "nothing about that" in await told("what does a giraffe eat?", before)
    assert "I can quote from prices.txt" in await told("", files=(file,))


async def test_what_the_answer_does_not_use_is_not_listed_as_recalled() -> None:
    async with remembering() as (w, hall):
        await hall.say(ANA, "My dog is called Waffles")
        await later(w)
        answer = (await hall.say(ANA, "what would a dog cost me in a year, taxes and food and all?")).answer
        assert answer is not None
        assert "Waffles" not in answer.text
        assert "recalled" not in answer.metadata
        assert not cited(answer)


@pytest.mark.parametrize(
    "question",
    ["what is the dog of Ana called?", "what did Ana say about the dog?", "tell me everything about the dog"],
)
async def test_earlier_talk_answers_where_this_session_says_nothing(question: str) -> None:
    text, drew_on = await asked(question, RENT, WAFFLES)
    assert text.startswith("From earlier talk:\nAna said on 2 March 2026:\n> My dog is called Waffles\n> Ben: I owe")
    assert "rent" not in text
    assert drew_on == frozenset({"m1"})


async def test_what_was_asked_for_is_told_though_it_shares_no_word() -> None:
    about = Earlier("s1", "A conversation with Ana on 20 November 2026", "The boiler hums", asked_for=True)
    text, drew_on = await asked("what did we talk about yesterday?", WAFFLES, about)
    assert text.startswith("From earlier talk:\nA conversation with Ana on 20 November 2026:\n> The boiler hums")
    assert drew_on == frozenset({"s1"})


async def test_a_line_that_answers_goes_before_what_its_session_was_about() -> None:
    about = Earlier("s1", "A conversation with Ana on 20 November 2026", "The boiler hums", asked_for=True)
    text, drew_on = await asked("what did I say about the rent?", about, RENT)
    assert "You said on 3 March 2026:\n> The rent is due on Fridays" in text
    assert drew_on == frozenset({"m2"})


async def test_whoever_tells_something_is_not_told_it_back() -> None:
    text, drew_on = await asked("my dog is called Waffles", WAFFLES)
    assert text.startswith("Noted")
    assert drew_on == frozenset()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("what do you remember about me?", "`/memory list`"),
        ("What do you know about me", "`troupe memory list`"),
        ("forget everything about me", "`/privacy forget`"),
        ("please forget everything I told you!", "nothing is forgotten yet"),
        ("delete my data", "`/privacy forget`"),
        ("please remember that my cat is called Miezi", "`/memory remember`"),
        ("remember: the rent is due on Fridays", "`troupe memory remember`"),
    ],
)
async def test_whoever_speaks_of_memory_is_told_the_command_for_it(line: str, named: str) -> None:
    assert named in (await asked(line))[0]


async def test_talk_that_only_sounds_like_it_is_answered_as_ever() -> None:
    for line in (
        "do you remember what Ana said about the dog?",
        "remember when we met?",
        "what do you know about bees",
    ):
        text, _ = await asked(line, WAFFLES)
        assert "command" not in text
        assert "/memory" not in text
