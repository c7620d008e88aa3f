"""Sessions made of others: everything that was said is there, in order, once, whatever its length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bots.carrying import copies, said
from bots.conversations import Conversations
from bots.errors import TroupeError
from storage.amendments import Amendment, Noted, Pinned, Reacted
from storage.backend import OLDEST
from storage.model import Annotation, Channel, Message, Reaction, Sender, Session, SessionContext, Text

from .world import ANA, BEN, World, by_clock, world


@pytest.fixture
async def clocked() -> AsyncIterator[World]:
    """A world whose sessions silence alone cuts."""
    async with world(by_clock()) as w:
        yield w


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


def talk(w: World) -> Conversations:
    return w.bot.conversations


async def lines(w: World, session: Session) -> list[Message]:
    found: list[Message] = []
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await w.store.read(session.id, cursor=cursor)
        found += page.items
        cursor = page.newer if page.items else None
    return found


async def words(w: World, session: Session) -> list[str]:
    return [line.words for line in await lines(w, session) if line.role != "system"]


async def told(w: World, name: str, channel: Channel, *ats: datetime) -> Session:
    """A session with a line at each of these times."""
    session = Session(id=name, channel=channel, opened_at=ats[0], last_at=max(ats), closed_at=max(ats))
    kept = [line(w, session, number, at) for number, at in enumerate(ats)]
    await asyncio.gather(*(w.store.append(session, each) for each in kept))
    return session


def line(w: World, session: Session, number: int, at: datetime) -> Message:
    who = Sender(type="user", id=f"u{number % 3}", name=f"User {number % 3}")
    id = f"{session.id}-{number}"
    return Message(id=id, session_id=session.id, role="user", sender=who, parts=(Text(text=id),), at=at)


def after(w: World, *seconds: float) -> list[datetime]:
    return [w.clock.at + timedelta(seconds=each) for each in seconds]


async def test_a_branch_knows_all_of_a_long_session(w: World) -> None:
    room = w.room()
    source = await told(w, "long", room.channel, *after(w, *range(1500)))
    branch = await talk(w).branch(source.id, "long-1300", room.channel)
    assert await words(w, branch) == [f"long-{number}" for number in range(1301)]
    assert (branch.parent_id, branch.branched_at) == ("long", "long-1300")
    assert {each.id for each in branch.participants} == {"u0", "u1", "u2"}
    whole = await talk(w).branch(source.id, None, room.channel)
    assert (whole.branched_at, len(await words(w, whole))) == ("long-1499", 1500)


async def test_an_answer_far_behind_its_question_still_answers_the_copy_of_it(w: World) -> None:
    room = w.room()
    source = await told(w, "long", room.channel, *after(w, *range(2300)))
    late = line(w, source, 2300, after(w, 2300)[0])
    await w.store.append(source, late.model_copy(update={"role": "assistant", "reply_to": "long-5"}))
    branch = await talk(w).branch(source.id, None, room.channel)
    copied = await lines(w, branch)
    assert copied[-1].reply_to == copied[5].id


async def test_a_copy_stands_beside_its_session_and_takes_nothing_over(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    source = await room.session()
    await talk(w).tag(source.id, ["tea"])
    await talk(w).star(source.id, True)
    copy = await talk(w).duplicate(source.id)
    assert (copy.title, copy.tags, copy.starred) == ("Copy of my tea is Lapsang", ("tea",), False)
    assert copy.closed_at is not None
    assert await words(w, copy) == await words(w, source)
    assert (await room.session()).id == source.id
    await room.say(ANA, "and my cake is plum")
    assert (await room.session()).id == source.id
    assert len(await words(w, copy)) == 2
    assert (await talk(w).duplicate(copy.id)).title == "Copy 2 of my tea is Lapsang"
    await talk(w).rename(source.id, "Tea")
    assert (await talk(w).duplicate(source.id)).title == "Copy 3 of Tea"
    resumed = await talk(w).resume(room.channel, copy.id)
    assert "Lapsang" in (await room.say(ANA, "what did I say about tea?")).shown
    assert (await room.session()).id == resumed.id


@pytest.mark.parametrize("how", ["branch", "duplicate"])
async def test_somebodys_first_words_are_no_title_of_what_is_made_and_can_be_taken_back(w: World, how: str) -> None:
    room, origin = w.room(), "discord:id-general:tea"
    await room.say(ANA, "my code is PLUGH", origin=origin, answer=False)
    await room.say(ANA, "my cake is plum", answer=False)
    source = await room.session()
    made = await (talk(w).branch(source.id, None, room.channel) if how == "branch" else talk(w).duplicate(source.id))
    assert made.title.endswith(" of my code is PLUGH")
    await w.bot.afterwards.deleted(origin, w.clock.now())
    assert "PLUGH" not in (await w.store.session(made.id) or made).title
    assert (await talk(w).show(made.id, None)).title.endswith(" of my cake is plum")


async def test_a_copy_and_what_two_sessions_become_are_of_their_kind_with_pins_and_notes(w: World) -> None:
    room = w.room()
    said = await told(w, "first", room.channel, *after(w, 0))
    await w.store.save_session(said.model_copy(update={"type": "interview"}))
    (first,) = await lines(w, said)
    insight = Annotation(id="i", kind="insight", text="likes tea", sender=BEN.sender, at=w.clock.at)
    thumb = insight.model_copy(update={"id": "t", "kind": "thumb"})
    reaction = Reaction(emoji="👍", sender=BEN.sender, at=w.clock.at)
    changes: tuple[Amendment, ...] = (
        Pinned(pinned=True),
        Noted(annotation=insight),
        Noted(annotation=thumb),
        Reacted(reaction=reaction),
    )
    for change in changes:
        await w.store.amend(first.id, change)
    copy = await talk(w).duplicate(said.id)
    await told(w, "second", room.channel, *after(w, 9))
    await talk(w).rename("second", "Cake")
    merged = (await talk(w).merge_two("first", "second")).session
    assert merged.title == "Cake", "the first has none"
    for made in (copy, merged):
        assert made.type == "interview"
        (line, *_) = [each for each in await lines(w, made) if each.role == "user"]
        assert (line.pinned, line.annotations, line.reactions) == (True, (insight,), ()), "votes are counted once"


async def test_there_is_no_copy_of_nothing(w: World) -> None:
    room = w.room()
    await w.bot.begin(room.channel)
    with pytest.raises(TroupeError, match="nothing in that session"):
        await talk(w).duplicate((await room.session()).id)


async def test_two_talks_at_once_become_one_in_the_order_of_time(w: World) -> None:
    room = w.room()
    first = await told(w, "first", room.channel, *after(w, 0, 2, 4))
    second = await told(w, "second", room.channel, *after(w, 1, 3, 9))
    assert await talk(w).would_merge(first.id, second.id) == (6, 3)
    merged = await talk(w).merge_two(first.id, second.id)
    assert (merged.lines, merged.came) == (6, 3)
    assert await words(w, merged.session) == ["first-0", "second-0", "first-1", "second-1", "first-2", "second-2"]
    for each in (first, second):
        kept = await w.store.session(each.id)
        assert kept is not None
        assert (kept.archived, len(await lines(w, kept))) == (True, 3)
        with pytest.raises(TroupeError, match="part of this one already"):
            await talk(w).merge_two(merged.session.id, each.id)
    with pytest.raises(TroupeError, match="same session twice"):
        await talk(w).merge_two(first.id, first.id)


async def test_what_two_sessions_are_is_what_they_become(w: World) -> None:
    room = w.room()
    first = await told(w, "first", room.channel, *after(w, 5))
    second = await told(w, "second", room.channel, *after(w, 0))
    await told(w, "current", room.channel, *after(w, 99))
    goals = SessionContext(goals=("a plan",), summary="not this")
    await w.store.save_session(first.model_copy(update={"title": "Plan", "tags": ("a", "b"), "context": goals}))
    await w.store.save_session(second.model_copy(update={"tags": ("c", "a"), "starred": True, "follows": "before"}))
    merged = (await talk(w).merge_two("first", "second")).session
    assert (merged.title, set(merged.tags), merged.starred, merged.follows) == ("Plan", {"a", "b", "c"}, True, "before")
    assert merged.context == SessionContext(goals=("a plan",))
    assert (merged.opened_at, merged.last_at) == (second.opened_at, first.last_at)
    assert merged.closed_at is not None, "neither was under way"
    assert {each.id for each in merged.participants} == {"u0"}


async def test_a_branch_and_what_it_was_made_of_share_each_line_once(w: World) -> None:
    room = w.room()
    source = await told(w, "source", room.channel, *after(w, *range(5)))
    branch = await talk(w).branch(source.id, "source-2", room.channel)
    await room.say(BEN, "my cake is plum")
    assert await talk(w).would_merge(source.id, branch.id) == (7, 2)
    merged = await talk(w).merge_two(source.id, branch.id)
    assert (merged.lines, merged.came) == (7, 2)
    kept = await lines(w, merged.session)
    assert len({said(each) for each in kept}) == len(kept)


async def test_a_reply_to_a_line_goes_on_where_its_lines_are_now_however_often_they_moved(clocked: World) -> None:
    room = clocked.room()
    for text in ("one", "two", "three"):
        await room.say(ANA, text, origin=f"{room.channel.key}:{text}")
        clocked.clock.advance(1000)
    third, second, first = await room.sessions()
    half = await talk(clocked).merge_two(first.id, second.id)
    assert (await room.session()).id == third.id, "neither was the current one"
    whole = await talk(clocked).merge(room.channel, half.session.id)
    await room.say(BEN, "go on", reply_to=f"{room.channel.key}:one")
    assert (await room.session()).id == whole.session.id
    assert [text for text in await words(clocked, whole.session) if text in ("one", "two", "three")] == [
        "one",
        "two",
        "three",
    ]


async def test_nothing_is_merged_while_an_answer_is_on_its_way(clocked: World) -> None:
    room = clocked.room()
    await room.say(ANA, "one")
    old = await room.session()
    clocked.clock.advance(1000)
    pieces = clocked.bot.receive(room.line(ANA, "tell me"))
    await anext(pieces)
    with pytest.raises(TroupeError, match="still answering"):
        await talk(clocked).merge(room.channel, old.id, busy=clocked.bot.at_work)
    async for _ in pieces:
        pass
    assert (await talk(clocked).merge(room.channel, old.id, busy=clocked.bot.at_work)).lines == 4


async def test_what_becomes_of_a_line_reaches_what_its_sessions_became(w: World) -> None:
    room = w.room()
    first = await told(w, "first", room.channel, *after(w, 0))
    await told(w, "second", room.channel, *after(w, 1))
    merged = await talk(w).merge_two("first", "second")
    (kept,) = await lines(w, first)
    assert [each.session_id for each in await copies(w.store, kept)] == [merged.session.id]


async def test_sessions_of_two_places_stay_apart(w: World) -> None:
    await told(w, "first", w.room().channel, *after(w, 0))
    await told(w, "second", w.room("other").channel, *after(w, 1))
    with pytest.raises(TroupeError, match="of one place"):
        await talk(w).merge_two("first", "second")


async def test_tags_are_few_short_and_each_there_once(w: World) -> None:
    room = w.room()
    await room.say(ANA, "hello")
    session = await room.session()
    assert (await talk(w).tag(session.id, [" to\u202e  read ", "News", "news"])).tags == ("to read", "news")
    assert (await talk(w).tag(session.id, ["x"], ["NEWS"])).tags == ("to read", "x")
    assert (await talk(w).tag(session.id, ["X"])).tags == ("to read", "x"), "it stays as it was written first"
    for wrong in ("", " ", "x" * 41, "a,b", "\u200d"):
        with pytest.raises(TroupeError, match="between 1 and 40 letters"):
            await talk(w).tag(session.id, [wrong])
    with pytest.raises(TroupeError, match="at most 20 tags"):
        await talk(w).tag(session.id, [f"t{number}" for number in range(19)])
    assert (await room.session()).tags == ("to read", "x")


_TIMES = st.lists(st.integers(0, 20), min_size=1, max_size=12).map(sorted)


@settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_TIMES, second=_TIMES, cut=st.integers(0, 11))
async def test_merging_any_two_talks_loses_and_doubles_nothing(first: list[int], second: list[int], cut: int) -> None:
    async with world() as w:
        room = w.room()
        one = await told(w, "first", room.channel, *after(w, *first))
        await told(w, "second", room.channel, *after(w, *second))
        branch = await talk(w).branch(one.id, f"first-{min(cut, len(first) - 1)}", room.channel)
        merged = await talk(w).merge_two("first", "second")
        kept = [each for each in await lines(w, merged.session) if each.role == "user"]
        assert [each.at for each in kept] == sorted(each.at for each in kept)
        expected = {f"first-{n}" for n in range(len(first))} | {f"second-{n}" for n in range(len(second))}
        assert sorted(each.words for each in kept) == sorted(expected)
        again = await talk(w).merge_two(merged.session.id, branch.id)
        kept = [each for each in await lines(w, again.session) if each.role == "user"]
        assert sorted(each.words for each in kept) == sorted(expected)
