"""Finding messages and sessions by what is true of them, asked of every backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import words as lexicon
from storage.amendments import Deleted
from storage.backend import OLDEST, Store
from storage.model import Message, Session
from storage.sought import EVERYTHING, Sought
from tests.contracts.samples import (
    ANN,
    BEN,
    GENERAL,
    NAIVE,
    PRIVATE,
    answer,
    later,
    picture,
    said,
    session,
    tell,
    words,
)
from tests.generating import PLACES, SENDERS, Generated, fill, generated


async def found(store: Store, query: str = "", **sought: Any) -> list[str]:
    return [each.message.id for each in await store.search(query, sought=Sought(**sought))]


async def browsed(store: Store, **sought: Any) -> list[str]:
    return [each.id for each in (await store.browse(sought=Sought(**sought))).items]


async def test_what_one_person_said_about_something_is_found(store: Store) -> None:
    await tell(store, said(1, "tea?"), said(2, "tea!", sender=BEN), answer(3, 1, parts=words("tea.")))
    assert await found(store, "tea", people=["8"]) == ["m2"]
    assert await found(store, "tea", people=["7", "8"]) == ["m2", "m1"]
    assert await found(store, "tea", people=[]) == []
    assert await found(store, "tea", persona="sage") == ["m3"]
    assert await found(store, "coffee", people=["8"]) == []


async def test_a_date_holds_from_its_beginning_to_before_its_end(store: Store) -> None:
    await tell(store, *(said(number, "tea") for number in range(5)))
    assert await found(store, "tea", since=later(1), until=later(3)) == ["m2", "m1"]
    assert await found(store, since=later(3)) == ["m4", "m3"]
    with pytest.raises(ValueError, match="timezone"):
        await found(store, since=NAIVE)


async def test_messages_with_a_file_beside_them_are_found(store: Store) -> None:
    await tell(store, said(1, "look"), said(2, parts=(*words("look"), picture("b1"))), said(3, parts=(picture(None),)))
    assert await found(store, files=True) == ["m3", "m2"]
    assert await found(store, files=False) == ["m1"]
    assert await found(store, "look", files=True) == ["m2"]


async def test_what_was_said_in_sessions_with_a_tag_a_star_or_put_away_is_found(store: Store) -> None:
    kept = {
        "s1": session("s1", tags=("news", "été"), starred=True),
        "s2": session("s2", tags=("news",), archived=True),
        "s3": session("s3", channel=PRIVATE),
    }
    for number, (name, each) in enumerate(kept.items(), 1):
        await store.append(each, said(number, "tea", session_id=name))
    assert await found(store, tags=["news"]) == ["m2", "m1"]
    assert await found(store, "tea", tags=["été", "news"]) == ["m1"]
    assert await found(store, tags=["new"]) == []
    assert await found(store, starred=True) == ["m1"]
    assert await found(store, archived=False) == ["m3", "m1"]
    assert await found(store, session_ids=["s2", "s3", "none"]) == ["m3", "m2"]
    assert await found(store, channel_keys=[PRIVATE.key]) == ["m3"]


async def test_only_what_is_in_both_lists_of_channels_is_found(store: Store) -> None:
    await store.append(session(), said(1, "tea"))
    await store.append(session("s2", channel=PRIVATE), said(2, "tea", session_id="s2"))
    both = Sought(channel_keys=[GENERAL.key, PRIVATE.key])
    for query in ("tea", ""):
        (only,) = await store.search(query, channel_keys=[GENERAL.key], sought=both)
        assert only.message.id == "m1"
        assert await store.search(query, channel_keys=[], sought=both) == []


async def test_without_words_the_newest_come_first_shown_by_their_beginning(store: Store) -> None:
    await tell(store, *(said(number, f"{number} and so on " * 30) for number in range(7)))
    ann = Sought(people=[ANN.id])
    shown = (await store.search(" ", sought=ann, limit=1))[0]
    assert (shown.snippet[:12], shown.hits, shown.score) == ("6 and so on ", (), 0.0)
    assert len(shown.snippet) <= 160
    pages = [await store.search("", sought=ann, limit=3, skip=skip) for skip in (0, 3, 6, 9)]
    assert [each.message.id for page in pages for each in page] == [f"m{number}" for number in reversed(range(7))]
    assert await store.search("", sought=EVERYTHING) == []
    assert await store.search("", sought=ann, limit=0) == []
    assert await store.search("-tea", sought=ann) == [], "what is only to be left out asks for nothing"


async def test_what_was_moved_in_later_stands_where_its_time_is(store: Store) -> None:
    await tell(store, said(5, "tea"), said(9, "tea"), said(1, "tea"), said(7, "tea"))
    for query in ("", "tea"):
        assert await found(store, query, people=[ANN.id]) == ["m9", "m7", "m5", "m1"]


async def test_a_tag_is_found_in_capitals_or_not(store: Store) -> None:
    await store.append(session(tags=("News", "Été")), said(1, "tea"))
    await store.append(session("s2", tags=("news",)), said(2, "tea", session_id="s2"))
    for tag in ("news", "NEWS"):
        assert await found(store, "tea", tags=[tag]) == ["m2", "m1"]
        assert await browsed(store, tags=[tag, "ÉTÉ"]) == ["s1"]
        assert Sought(tags=[tag]).has_session(session(tags=("News",)))


async def test_what_is_out_of_sight_is_not_found(store: Store) -> None:
    await store.append(session(tags=("news",)), said(1, "tea"))
    await store.append(session("s2", tags=("news",), deleted_at=later(1)), said(2, "tea", session_id="s2"))
    await tell(store, said(3, "tea"))
    await store.amend("m3", Deleted(at=later(9)))
    assert await found(store, tags=["news"]) == []  # `tell` saved the session without its tag
    assert await found(store, people=[ANN.id]) == ["m1"]
    assert await browsed(store, tags=["news"]) == []


async def test_sessions_are_listed_by_what_is_true_of_them_and_of_what_was_said_in_them(store: Store) -> None:
    await store.append(session("s1", tags=("news",)), said(1, session_id="s1"))
    await store.append(session("s2", last_at=later(9)), said(2, session_id="s2", sender=BEN, parts=(picture("b"),)))
    await store.save_session(session("s3", last_at=later(10), starred=True))
    assert await browsed(store) == ["s3", "s2", "s1"]
    assert await browsed(store, tags=["news"]) == ["s1"]
    assert await browsed(store, starred=False) == ["s2", "s1"]
    assert await browsed(store, people=["8"]) == ["s2"]
    assert await browsed(store, people=["7"], files=True) == [], "one message must be all that is meant"
    assert await browsed(store, since=later(2)) == ["s2"]
    await store.amend("m2", Deleted(at=later(20)))
    assert await browsed(store, people=["8"]) == []


async def test_pages_of_what_is_sought_lead_on_through_all_of_it(store: Store) -> None:
    for number in range(9):
        tags = ("news",) if number % 2 else ()
        await store.save_session(session(f"s{number}", last_at=later(number), tags=tags))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.browse(GENERAL.key, sought=Sought(tags=["news"]), cursor=cursor, limit=2)
        seen += [each.id for each in page.items]
        if (cursor := page.older) is None:
            break
    assert seen == ["s7", "s5", "s3", "s1"]


TYPED = ["'", '"', "\0", "\ud800", "%", "s1' OR 1=1 --", "$1", ":keys", ""]


async def test_whatever_is_typed_is_sought_as_it_is(store: Store) -> None:
    await tell(store, said(1, "tea"))
    for typed in TYPED:
        assert await found(store, tags=[typed]) == []
        for field in ("people", "session_ids", "channel_keys"):
            assert await found(store, "tea", **{field: [typed]}) == []
        assert await found(store, persona=typed) == []


_TIMES = st.none() | st.integers(0, 10**9).map(lambda n: later(n / 1000))
_SOUGHT = st.builds(
    Sought,
    channel_keys=st.none() | st.lists(st.sampled_from([place.key for place in PLACES]), max_size=3),
    session_ids=st.none() | st.lists(st.integers(0, 4).map(lambda n: f"2024-01-08_12-00-00_{n:04d}"), max_size=3),
    tags=st.sampled_from([(), ("news",), ("NEWS", "news"), ("ÉTÉ", "News"), ("none",)]),
    starred=st.sampled_from([None, True, False]),
    archived=st.sampled_from([None, True, False]),
    people=st.none() | st.lists(st.sampled_from([sender.id for sender in SENDERS]), max_size=3),
    persona=st.sampled_from([None, "sage", "none"]),
    since=_TIMES,
    until=_TIMES,
    files=st.sampled_from([None, True, False]),
)
_ONE_AT_A_TIME = st.sampled_from(list(Sought.__dataclass_fields__)).flatmap(
    lambda name: _SOUGHT.map(lambda sought: replace(EVERYTHING, **{name: getattr(sought, name)}))
)


@settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=generated(), soughts=st.lists(_ONE_AT_A_TIME | _SOUGHT, min_size=4, max_size=8))
async def test_every_store_finds_just_what_is_meant(store: Store, kept: Generated, soughts: list[Sought]) -> None:
    await _empty(store)
    await fill(store, kept)
    sessions = {each.id: each for each in (await store.browse(deleted=True, limit=1000)).items}
    messages = (await store.read(deleted=True, limit=1000)).items
    for sought in soughts:
        meant = [each for each in messages if _meant(sought, sessions, each)]
        if sought != EVERYTHING:
            shown = await store.search("", sought=sought, limit=1000)
            meant_first = sorted(meant, key=lambda each: each.at)[::-1]
            assert [each.message for each in shown] == meant_first
        a = lexicon.parse("a")
        shown = await store.search("a", sought=sought, limit=1000)
        assert {each.message.id for each in shown} == {each.id for each in meant if a.matches(each.text)}
        held = {each.session_id for each in messages if each.deleted_at is None and sought.has_message(each)}
        there = {
            each.id
            for each in sessions.values()
            if sought.has_session(each) and (not sought.of_messages or each.id in held)
        }
        assert {each.id for each in (await store.browse(deleted=True, limit=1000, sought=sought)).items} == there


def _meant(sought: Sought, sessions: dict[str, Session], message: Message) -> bool:
    within = sessions[message.session_id]
    in_sight = message.deleted_at is None and within.deleted_at is None
    return in_sight and sought.has_session(within) and sought.has_message(message)


async def _empty(store: Store) -> None:
    while page := (await store.browse(deleted=True, cursor=OLDEST)).items:
        await store.remove_sessions([each.id for each in page])
