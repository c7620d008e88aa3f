"""What is recalled for a question: the right lines, by the right people, within a budget; what decides near ties."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality_recall import scored
from benchmarks.recall_chats import read
from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.embedding import embedder
from bots.recall_times import spoken_of
from bots.recalling import recalled
from storage.memory_index import Entry, MemoryIndex

CHAT = Path(__file__).parent / "golden" / "recall_chat.json"
NOON = datetime(2024, 6, 12, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
HERE = "discord:1"


class Once:
    """An embedder that is asked for a text once."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._known: dict[str, tuple[float, ...]] = {}
        self.id, self.dimensions, self.semantic = inner.id, inner.dimensions, inner.semantic

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, await self._inner.embed(new), strict=True))
        return [self._known[text] for text in texts]

    async def close(self) -> None:
        await self._inner.close()


def turn(id: str, speaker: str, text: str, *, minute: int = 0, days: int = 0, audience: str = HERE) -> Entry:
    at = NOON - timedelta(days=days) + timedelta(minutes=minute)
    return Entry(id, audience, "turn", "s1", speaker, "", at, text)


def fact(id: str, text: str, *, source: str | None = None, importance: float = 0.5, touched: datetime | None = None,
         count: int = 0) -> Entry:  # fmt: skip
    return Entry(id, HERE, "fact", None, "", "user:1", NOON - MONTH, text, importance, source, touched, count)


async def ids(entries: list[Entry], question: str, **wishes: object) -> list[str]:
    index = await MemoryIndex.open(None)
    try:
        await index.put(entries)
        found = await recalled(index, question, {HERE}, now=NOON, half_life=MONTH, **wishes)  # type: ignore[arg-type]
        return [each.entry.id for each in found]
    finally:
        await index.close()


async def test_in_a_long_chat_most_of_what_answers_a_question_is_in_the_first_ten() -> None:
    chats = read(CHAT)
    assert (await scored(chats)).share > 62
    assert (await scored(chats, facts=True)).share > 86


async def test_an_embedder_finds_more_and_never_less() -> None:
    model = embedder(EmbedderSettings())
    assert model is not None, "the local model is not installed: `make embed` installs it"
    chats, once = read(CHAT), Once(model)
    for facts in (True, False):
        by_words = (await scored(chats, facts=facts)).share
        assert (await scored(chats, facts=facts, embedder=once)).share >= by_words
    await model.close()


async def test_the_line_beside_the_question_in_the_talk_is_found() -> None:
    talk = [
        turn("m1", "Ann", "Did you ever learn to ride a horse?"),
        turn("m2", "Ben", "Yes, at my uncle's farm, when I was nine.", minute=1),
        turn("m3", "Ann", "Lovely weather, isn't it.", minute=2),
    ]
    assert set((await ids(talk, "Where did Ben learn horse riding?"))[:2]) == {"m1", "m2"}


async def test_what_the_named_person_said_comes_first() -> None:
    talk = [turn("m1", "Ann", "I love chess."), turn("m2", "Ben", "I love chess.", minute=500)]
    assert (await ids(talk, "Does Ben play chess?"))[0] == "m2"
    assert (await ids(talk, "Does Ann play chess?"))[0] == "m1"
    assert (await ids(talk, "Do I play chess?", asker="Ben"))[0] == "m2"


async def test_lines_that_only_greet_the_named_person_come_behind_what_was_said() -> None:
    talk = [turn(f"g{n}", "Ann", text, minute=n) for n, text in enumerate(("Hey Ben!", "Thanks, Ben.", "Bye Ben!"))]
    talk += [turn(f"x{n}", "Ann", "Lovely weather.", minute=10 + n) for n in range(3)]
    talk += [turn("m1", "Ben", "My new job is at the harbour, where I weigh lorries.", minute=20)]
    talk += [turn(f"w{n}", "Ann", f"Another job, number {n}.", minute=30 + n) for n in range(9)]
    assert (await ids(talk, "What is Ben's job?"))[0] == "m1"
    assert (await ids(talk, "Who is Ben?"))[0] in ("g0", "g1", "g2"), "where nothing else is asked, the name is"


async def test_a_time_in_the_question_counts() -> None:
    talk = [turn(f"m{days}", "Ann", "We went hiking.", days=days) for days in (2, 100, 200)]
    assert (await ids(talk, "Where did Ann hike in March 2024?"))[0] == "m100"
    assert (await ids(talk, "Where did Ann hike last week?"))[0] == "m2"


@pytest.mark.parametrize("question", ["", "and what about it?", "who are you", "?!", "the"])
async def test_a_question_without_content_recalls_nothing(question: str) -> None:
    assert await ids([turn("m1", "Ann", "What about it? Who are you? The the.")], question) == []


async def test_a_line_and_what_was_drawn_from_it_count_once() -> None:
    talk = [turn("m1", "Ann", "I finally bought the blue canoe!"), fact("f1", "Ann owns a canoe.", source="m1")]
    assert await ids(talk, "Which canoe does Ann own?") == ["m1"]
    assert await ids(talk, "Which canoe does Ann own?", without=["m1"]) == []


async def test_what_is_recalled_stays_within_the_budget() -> None:
    talk = [turn(f"m{n}", "Ann", f"{'canoe ' * 40} {n}", minute=n) for n in range(20)]
    assert len(await ids(talk, "canoe?", budget=300)) == 3
    assert await ids(talk, "canoe?", budget=0) == []


async def test_strength_does_not_lift_what_fits_less() -> None:
    strong = fact("strong", "Ann has a boat.", importance=1.0, touched=NOON, count=500)
    weak = fact("weak", "Ann has a boat in Lisbon.", importance=0.0)
    assert (await ids([strong, weak], "Does Ann have a boat in Lisbon?"))[0] == "weak"


@settings(max_examples=40, deadline=None)
@given(
    importance=st.floats(0, 1),
    count=st.integers(0, 10**6),
    more=st.integers(0, 10**6),
    idle=st.integers(0, 10**8),
    sooner=st.integers(0, 10**8),
    first=st.booleans(),
)
def test_a_reinforced_memory_never_ranks_below_its_unreinforced_twin(
    importance: float, count: int, more: int, idle: int, sooner: int, first: bool
) -> None:
    touched = NOON - timedelta(seconds=idle)
    plain = fact("plain", "Ann has a canoe.", importance=importance, touched=touched, count=count)
    later = min(NOON, touched + timedelta(seconds=1 + sooner)) if idle else touched
    used = fact("used", "Ann has a canoe.", importance=importance, touched=later, count=count + 1 + more)
    found = asyncio.run(ids([used, plain] if first else [plain, used], "Whose canoe is it?"))
    assert found == ["used"], "and what says the same is told once"


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What happened on 8 May, 2023?", "2023-05-07", "2023-05-16"),
        ("What happened in December 2023?", "2023-11-30", "2024-01-08"),
        ("What did I say on June 3rd?", "2024-06-02", "2024-06-11"),
        ("What did we do in July?", "2023-06-30", "2023-08-08"),
        ("What did I say yesterday?", "2024-06-10", "2024-06-19"),
        ("What did I tell you two weeks ago?", "2024-05-25", "2024-06-09"),
        ("Anything from 2024-02?", "2024-01-31", "2024-03-08"),
    ],
)
def test_the_time_a_question_speaks_of(question: str, first: str, last: str) -> None:
    stretch = spoken_of(question, NOON)
    assert stretch is not None
    assert [f"{at:%Y-%m-%d}" for at in stretch] == [first, last]


@pytest.mark.parametrize(
    "question", ["What may I do?", "Who marches?", "On 31 June 2023?", "500 days", "year 9999 ago"]
)
def test_no_time_where_none_is_named(question: str) -> None:
    assert spoken_of(question, NOON) is None
