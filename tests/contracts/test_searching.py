"""Finding messages by their words, asked of every backend. What a query means is told in `tests/test_words.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import words as lexicon
from storage.amendments import Deleted, Edited, Noted, Pinned, Restored
from storage.backend import Store
from storage.model import Note
from tests.contracts.conftest import Door
from tests.contracts.samples import (
    GENERAL,
    PRIVATE,
    annotation,
    answer,
    later,
    message,
    picture,
    said,
    session,
    tell,
    words,
)


async def found(store: Store, query: str, **options: Any) -> list[str]:
    return [each.message.id for each in await store.search(query, **options)]


async def test_a_word_finds_the_message_as_it_is_kept(store: Store) -> None:
    told = answer(2, 1, parts=(*words("The kettle is on."), picture("b1")))
    await tell(store, said(1, "Is it tea time?"), told, said(3, "Tea!"))
    (only,) = await store.search("kettle")
    assert only.message == told
    assert await found(store, "coffee") == []


HOLDS = [
    ("tea", "Tea time", "teatime"),
    ("TEA", "some tea, please", "a teapot"),
    ("tea kettle", "the kettle for the tea", "the kettle"),
    ('"black tea"', "a cup of Black Tea.", "tea, black"),
    ('"black tea" kettle', "kettle for black tea", "black kettle for tea"),
    ("tea*", "the teapot", "a steam engine"),
    ("tea -milk", "tea with lemon", "tea with milk"),
    ('tea -"black tea"', "black or green tea", "my black tea"),
    ("tea -mil*", "tea with lemon", "tea with milk"),
    ("cafe", "im Café", "in a cave"),
    ("Café", "CAFE", "caff"),
    ("CAFÉ", "cafe\u0301", "cafes"),
    ("strasse", "Straße", "strass"),
    ("йод", "Йод", "йога"),
    ("猫", "うちの猫は黒い", "うちの犬は黒い"),
    ("北京", "我在北京大学", "我在南京大学"),
    ("東京タワー", "昨日東京タワーに行った", "昨日京都タワーに行った"),
    ("한국어", "저는 한국어를 배워요", "저는 영어를 배워요"),
    ("กาแฟ", "ฉันชอบดื่มกาแฟเย็น", "ฉันชอบดื่มชาเย็น"),
    ("नमस्ते", "नमस्ते दुनिया", "नमक"),
    ("👍", "so be it 👍🏽", "so be it 👎"),
    ("👍🏽", "so be it 👍", "so be it"),
    ("👨‍👩‍👧", "the 👨‍👩‍👧 came", "the 👨 came"),
    ("parse_http_url", "call parse_http_url()", "parse the http of a url"),
    ("parse_http_url", "call parseHttpUrl()", "parse http"),
    ("parseHttpUrl", "def parse_http_url(text):", "parse the url"),
    ("url", "call parseHttpUrl()", "curl"),
    ("C++", "I write C++ daily", "I write C daily"),
    ("C#", "a C# sharp mind", "key of C"),
    ("node.js", "on node.js 22", "js on a node"),
    ("v1.2.3", "since v1.2.3", "since v1.2.4"),
    ("don't", "I don't know", "I do know"),
    ("ann@example.org", "write to ann@example.org", "ann at example.com"),
]


@pytest.mark.parametrize(("query", "hit", "miss"), HOLDS, ids=[query for query, _, _ in HOLDS])
async def test_what_a_query_finds_and_what_not(store: Store, query: str, hit: str, miss: str) -> None:
    await tell(store, said(1, hit), said(2, miss), said(3, f"first: {hit} – and so on"))
    assert set(await found(store, query)) == {"m1", "m3"}


async def test_the_store_finds_just_what_the_words_of_each_message_say(store: Store) -> None:
    texts = [text for _, hit, miss in HOLDS for text in (hit, miss)]
    told = [said(number, text) for number, text in enumerate(texts)]
    await tell(store, *told)
    for query in {query for query, _, _ in HOLDS} | {"a", "the c", "-tea", "i*", "黒 い", "url http", '"the tea"'}:
        asked = lexicon.parse(query)
        expected = {each.id for each in told if asked.matches(each.text)}
        assert set(await found(store, query, limit=1000)) == expected, query


NOTHING = ["", " ", "-", "--", "*", '"', '""', '"" ""', "-tea", "-*", "…", "!?", ".", "\0", "\ud800", "_", "°", "()"]
TYPED = [
    "tea OR",
    "NEAR(tea, 2)",
    "AND tea",
    "NOT",
    "words:tea",
    "search : tea",
    "^tea",
    "tea)",
    "((tea",
    '"tea',
    'tea"',
    "te'a",
    "'; DROP TABLE messages; --",
    "tea & | ! <-> :*",
    "tea:*",
    "%tea_",
    "\\tea\\",
    "tea\0kettle",
    "tea\ud83d",
    "x" * 20_000,
    "tea " * 2_000,
    "猫" * 3_000,
    '"' * 999,
    "{tea} [tea] $1 ?1 :a @b",
]


@pytest.mark.parametrize("query", NOTHING)
async def test_a_query_that_asks_for_nothing_finds_nothing(store: Store, query: str) -> None:
    await tell(store, said(1, "tea"), said(2, ""), said(3, '" * - … ()'))
    assert await found(store, query) == []


async def test_whatever_is_typed_is_no_error(store: Store) -> None:
    await tell(store, said(1, "tea"), said(2, "'; DROP TABLE messages; --"))
    for query in TYPED:
        assert set(await found(store, query)) <= {"m1", "m2"}
    assert await found(store, "drop table") == ["m2"]


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    query=st.text(alphabet=st.sampled_from("ab AB\"*-_'.+#:&|!()<>%é猫か北한กा👍🏽\u200d\u0301\0\ud800"), max_size=12),
)
async def test_any_text_is_found_by_what_it_says(store: Store, text: str, query: str) -> None:
    await store.remove_sessions(["s1"])
    await tell(store, said(1, text), said(2, query))
    (first, second) = [each.text for each in await store.messages("s1")]
    for asked in (text, query):
        wanted = lexicon.parse(asked)
        expected = {id for id, kept in (("m1", first), ("m2", second)) if wanted.matches(kept)}
        assert set(await found(store, asked)) == expected


# Which comes first


async def test_what_is_about_a_word_comes_before_what_mentions_it(store: Store) -> None:
    aside = "We talked about the weather, the garden and the neighbours, had some tea, and then went for a long walk."
    await tell(store, said(1, "Tea? Tea!"), said(2, aside), said(3, "No, thanks."))
    assert await found(store, "tea") == ["m1", "m2"]
    await tell(store, said(4, aside), said(5, "Tea, tea, tea"))
    assert await found(store, "tea") == ["m5", "m1", "m4", "m2"]


async def test_among_equals_the_newest_comes_first(store: Store) -> None:
    await tell(store, *(said(number, "good morning") for number in range(12)))
    assert await found(store, "morning") == [f"m{number}" for number in reversed(range(12))]


async def test_scores_fall_and_do_not_depend_on_the_page(store: Store) -> None:
    await tell(store, *(said(number, "tea " * (number % 4 + 1) + "and cake " * (number % 3)) for number in range(30)))
    whole = await store.search("tea", limit=30)
    scores = [each.score for each in whole]
    assert scores == sorted(scores, reverse=True)
    pages = [await store.search("tea", skip=skip, limit=7) for skip in range(0, 35, 7)]
    assert [each for page in pages for each in page] == whole
    assert await store.search("tea", limit=0) == []
    assert await store.search("tea", skip=30) == []
    assert len(await store.search("tea")) == 20


# What is shown


async def test_hits_point_at_the_words_in_the_snippet(store: Store) -> None:
    long = "Lorem ipsum dolor sit amet. " * 40
    await tell(store, said(1, f"{long}Then the Black Tea came, and more tea. {long}"), said(2, "tea"))
    by_id = {each.message.id: each for each in await store.search("tea")}
    assert (by_id["m2"].snippet, by_id["m2"].hits) == ("tea", ((0, 3),))
    shown = by_id["m1"]
    assert len(shown.snippet) < 300
    assert shown.snippet.strip("…") in shown.message.text
    assert [shown.snippet[start:end] for start, end in shown.hits] == ["Tea", "tea"]


@pytest.mark.parametrize(
    ("query", "text", "hits"),
    [
        ("cafe", "im Cafe\u0301 😀 Café", ["Cafe\u0301", "Café"]),
        ("猫", "うちの猫は", ["猫"]),
        ("東京タワー", "昨日東京タワーに行った", ["東京タワー"]),
        ("tea*", "teapots", ["tea"]),
        ('"black tea" cup', "cup of black tea", ["cup", "black tea"]),
        ("http", "call parseHttpUrl()", ["Http"]),
        ("👍", "ok 👍🏽!", ["👍🏽"]),
        ("tea -milk", "tea, no more", ["tea"]),
    ],
)
async def test_hits_are_the_words_as_they_were_written(store: Store, query: str, text: str, hits: list[str]) -> None:
    await tell(store, said(1, text))
    (shown,) = await store.search(query)
    marked = [shown.snippet[start:end] for start, end in shown.hits]
    assert "".join(marked) == "".join(hits)


# Where and what is looked at


async def test_only_the_given_channels_are_searched(store: Store) -> None:
    await store.append(session(), said(1, "tea"))
    await store.append(session("s2", channel=PRIVATE), said(2, "tea", session_id="s2"))
    assert await found(store, "tea", channel_keys=[GENERAL.key]) == ["m1"]
    assert await found(store, "tea", channel_keys={PRIVATE.key, "web:none"}) == ["m2"]
    assert await found(store, "tea", channel_keys=(GENERAL.key, PRIVATE.key)) == ["m2", "m1"]
    assert await found(store, "tea", channel_keys=["web:none", "'", "\0"]) == []
    assert await found(store, "tea", channel_keys=[]) == []


async def test_everything_people_see_of_a_message_is_searched_and_no_more(store: Store) -> None:
    told = said(1, parts=(*words("half a w", "ord, "), Note(text="shortened"), picture("b1", name="kettle.png")))
    await tell(store, told)
    for query in ("word", "shortened", "half"):
        assert await found(store, query) == ["m1"]
    for query in ("kettle", "cat", "ann", "example", "b1", "general", "discord", "user", "w"):
        assert await found(store, query) == []


async def test_search_keeps_in_step_with_what_becomes_of_messages(store: Store) -> None:
    await tell(store, said(1, "tea"), said(2, "tea"))
    await store.amend("m1", Edited(parts=words("coffee"), at=later(10)))
    assert (await found(store, "tea"), await found(store, "coffee")) == (["m2"], ["m1"])
    await store.amend("m1", Edited(parts=words("tea"), at=later(20)))
    assert (await found(store, "tea"), await found(store, "coffee")) == (["m2", "m1"], [])
    await store.amend("m2", Deleted(at=later(30)))
    assert await found(store, "tea") == ["m1"]
    await store.amend("m2", Edited(parts=words("cocoa"), at=later(40)))
    assert await found(store, "cocoa") == []
    await store.amend("m2", Restored())
    assert await found(store, "cocoa") == ["m2"]
    await store.amend("m1", Noted(annotation=annotation("a1", "biscuit")))
    await store.amend("m1", Pinned())
    assert (await found(store, "biscuit"), await found(store, "tea")) == ([], ["m1"])
    assert await store.remove_messages(["m1"]) == 1
    assert await found(store, "tea") == []
    await tell(store, said(1, "water"))
    assert (await found(store, "tea"), await found(store, "water")) == ([], ["m1"])


async def test_search_follows_a_session_out_of_sight_and_back(store: Store) -> None:
    await tell(store, said(1, "tea"))
    await store.save_session(session(deleted_at=later(1)))
    assert await found(store, "tea") == []
    await store.save_session(session())
    assert await found(store, "tea") == ["m1"]
    assert await store.remove_sessions(["s1"]) == 1
    assert await found(store, "tea") == []


async def test_search_knows_after_reopening_what_it_knew(door: Door) -> None:
    first = await door()
    await tell(first, said(1, "tea"), said(2, "tea"), said(3, "tea"))
    await first.amend("m1", Edited(parts=words("coffee"), at=later(9)))
    assert await found(first, "coffee") == ["m1"]
    await first.remove_messages(["m2"])
    await tell(first, said(4, "tea"))
    await first.close()
    second = await door()
    assert (await found(second, "tea"), await found(second, "coffee")) == (["m4", "m3"], ["m1"])
    await second.remove_messages(["m4"])
    assert await found(second, "tea") == ["m3"]


async def test_two_thousand_at_once_are_found_right_away(store: Store) -> None:
    told = [said(number, f"word{number} of group{number // 100}") for number in range(2000)]
    await asyncio.gather(*(store.append(session(), each) for each in told))
    for group in range(20):
        expected = {f"m{number}" for number in range(group * 100, group * 100 + 100)}
        assert set(await found(store, f"group{group}", limit=200)) == expected
    for number in (0, 499, 500, 1234, 1999):
        assert await found(store, f"word{number}") == [f"m{number}"]


async def test_of_many_matches_the_newest_thousand_are_weighed(store: Store) -> None:
    told = [message(0, parts=words("tea"))] + [said(number, "some tea") for number in range(1, 1101)]
    await asyncio.gather(*(store.append(session(), each) for each in told))
    newest = await found(store, "tea", limit=5000)
    assert newest == [f"m{number}" for number in range(1100, 100, -1)]
    await store.remove_messages([f"m{number}" for number in range(1, 102)])
    assert (await found(store, "tea", limit=1)) == ["m0"]
