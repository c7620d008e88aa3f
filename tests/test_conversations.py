"""What people do with sessions: nothing is lost, nothing leaks into another place, and every mistake has a sentence."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots.carrying import copies
from bots.conversations import Conversations
from bots.errors import TroupeError
from storage.backend import Page
from storage.model import Session
from storage.records import AuditEntry

from .world import ANA, BEN, World, by_clock, world

_NUMBERS = itertools.count(1)


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
    return Conversations(
        w.store,
        w.bot.sessions,
        now=w.clock.now,
        chance=lambda: next(_NUMBERS) + 2**40,
        changed=w.bot._recent.forget,
        remembering=w.bot.remembering,
    )


async def said(w: World, session: Session) -> list[str]:
    return [m.words for m in await w.store.messages(session.id) if m.role == "user"]


def titles(page: Page[Session]) -> list[str]:
    return [session.title for session in page.items]


async def test_an_older_session_is_taken_up_again_whatever_the_gap_and_after_a_restart_too(tmp_path: Path) -> None:
    async with world(by_clock(), root=tmp_path) as w:
        room = w.room()
        await room.say(ANA, "my tea is Lapsang")
        old = await room.session()
        w.clock.advance(1000)
        await room.say(BEN, "something else")
        resumed = await talk(w).resume(room.channel, old.id)
        assert (resumed.id, resumed.closed_at) == (old.id, None)
        assert next(s for s in await room.sessions() if s.id != old.id).closed_at is not None
        w.clock.advance(4000)
        await w.bot.upkeep()
        later = w.clock.at
    async with world(by_clock(), root=tmp_path) as w:
        w.clock.at = later
        w.clock.advance(4000)
        room = w.room()
        assert "Lapsang" in (await room.say(ANA, "what did I say about tea?")).shown
        assert (await room.session()).id == old.id
        w.clock.advance(301)
        await room.say(ANA, "and now?")
        assert (await room.session()).id != old.id, "it is kept for one line, not for ever"


async def test_kept_once_the_session_goes_on_after_any_silence_and_a_bots_line_does_not_use_that_up(
    clocked: World,
) -> None:
    room = clocked.room()
    await room.say(ANA, "hello")
    await talk(clocked).keep(room.channel)
    clocked.clock.advance(9000)
    await clocked.bot.upkeep()
    other = ANA.sender.model_copy(update={"id": "b", "type": "bot"})
    await room.say(other, "beep", answer=False)
    await room.say(ANA, "still here")
    assert len(await room.sessions()) == 1
    clocked.clock.advance(301)
    await room.say(ANA, "gone again")
    assert len(await room.sessions()) == 2


async def test_a_channels_own_gap_is_in_force_at_once_and_after_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    async with world(by_clock(), root=tmp_path) as w:
        room, other = w.room(), w.room("other")
        for place in (room, other):
            await place.say(ANA, "one")
        await talk(w).policy(room.channel, "off", ANA.sender)
        w.clock.advance(3000)
        for place in (room, other):
            await place.say(ANA, "two")
        assert [len(await place.sessions()) for place in (room, other)] == [1, 2]
        await talk(w).policy(room.channel, 600, BEN.sender)
        changes = (await w.store.records(AuditEntry)).items
        assert [(e.actor.name, e.details["before"]) for e in changes] == [("Ben", "off"), ("Ana", None)]
        later = w.clock.at
    async with world(by_clock(), root=tmp_path) as w:
        w.clock.at = later
        room = w.room()
        assert w.bot.sessions.gap(room.channel) == (600, "channel")
        w.clock.advance(599)
        await room.say(ANA, "three")
        assert len(await room.sessions()) == 1
        await talk(w).policy(room.channel, None, ANA.sender)
        w.clock.advance(301)
        await room.say(ANA, "four")
        assert len(await room.sessions()) == 2


async def test_a_branch_knows_what_was_said_up_to_a_message_and_leaves_the_rest_alone(w: World) -> None:
    room = w.room()
    for line in ("my tea is Lapsang", "my cake is plum", "my hat is red"):
        await room.say(ANA, line)
    source = await room.session()
    after = [m for m in await w.store.messages(source.id) if m.role == "assistant"][1]
    branch = await talk(w).branch(source.id, after.id, room.channel)
    assert (branch.parent_id, branch.branched_at) == (source.id, after.id)
    assert branch.title == "Branch of my tea is Lapsang"
    assert await said(w, branch) == ["my tea is Lapsang", "my cake is plum"]
    before = await w.store.spending("day", w.clock.at.replace(hour=0), w.clock.at.replace(hour=23))
    assert before[0].answers == 3, "a copied answer was paid once"
    w.clock.advance(5000)
    assert "Lapsang" in (await room.say(ANA, "what did I say about tea?")).shown
    assert (await room.session()).id == branch.id
    assert len(await said(w, source)) == 3
    lines = await w.store.messages(branch.id)
    assert lines[1].reply_to == lines[0].id
    assert (await talk(w).branch(branch.id, None, room.channel)).title == "Branch of my tea is Lapsang"


async def test_a_branch_goes_on_in_a_thread_of_the_same_server_and_nowhere_else(w: World) -> None:
    room, thread, dm = w.room(), w.room("plans", "thread"), w.room("ana", "dm")
    await room.say(ANA, "my tea is Lapsang")
    source = await room.session()
    branch = await talk(w).branch(source.id, None, thread.channel)
    assert "Lapsang" in (await thread.say(BEN, "what did Ana say about tea?")).shown
    assert (await thread.session()).id == branch.id
    for place in (dm, w.room("abroad", guild="g2")):
        with pytest.raises(TroupeError, match="stays there"):
            await talk(w).branch(source.id, None, place.channel)
    await dm.say(ANA, "my secret is blue")
    with pytest.raises(TroupeError, match="stays there"):
        await talk(w).branch((await dm.session()).id, None, room.channel)


async def test_merging_brings_each_line_once_and_puts_the_other_session_away(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang", origin="discord:id-general:tea")
    old = await room.session()
    w.clock.advance(1000)
    await room.say(BEN, "my cake is plum")
    under_way = await room.session()
    merged = await talk(w).merge(room.channel, old.id)
    into = merged.session
    assert (merged.came, merged.lines, (await room.session()).id) == (2, 4, into.id)
    assert [m.words for m in await w.store.messages(into.id) if m.role == "user"] == [
        "my tea is Lapsang",
        "my cake is plum",
    ]
    notes = [m.text for m in await w.store.messages(into.id) if m.role == "system"]
    assert notes == ["From the session of 2026-03-02 09:00 UTC:", "From the session of 2026-03-02 09:16 UTC:"]
    assert "Lapsang" in (await room.say(BEN, "what did Ana say about tea?")).shown
    for id in (old.id, under_way.id):
        assert (await talk(w).show(id, {room.channel.key})).archived
    with pytest.raises(TroupeError, match="already"):
        await talk(w).merge(room.channel, old.id)
    with pytest.raises(TroupeError, match="under way here"):
        await talk(w).merge(room.channel, into.id)
    w.clock.advance(10)
    await room.say(ANA, "and my hat?", reply_to="discord:id-general:tea")
    assert (await room.session()).id == into.id, "a reply to a merged line goes on where it is now"


async def test_a_branch_merged_back_brings_only_what_is_new(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    source = await room.session()
    branch = await talk(w).branch(source.id, None, room.channel)
    await room.say(ANA, "my cake is plum")
    await talk(w).resume(room.channel, source.id)
    merged = await talk(w).merge(room.channel, branch.id)
    assert merged.came == 2
    assert await said(w, merged.session) == ["my tea is Lapsang", "my cake is plum"]
    await talk(w).resume(room.channel, branch.id)
    await room.say(ANA, "my hat is red")
    await talk(w).resume(room.channel, merged.session.id)
    again = await talk(w).merge(room.channel, branch.id)
    assert again.came == 2
    assert await said(w, again.session) == ["my tea is Lapsang", "my cake is plum", "my hat is red"]


async def test_what_becomes_of_a_line_can_reach_its_copies_and_their_copies(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    source = await room.session()
    branch = await talk(w).branch(source.id, None, room.channel)
    second = await talk(w).branch(branch.id, None, room.channel)
    line = (await w.store.messages(source.id))[0]
    assert [(m.session_id, m.words) for m in await copies(w.store, line)] == [
        (branch.id, line.words),
        (second.id, line.words),
    ]


async def test_a_session_of_another_place_is_not_merged(w: World) -> None:
    room, hidden, dm = w.room(), w.room("hidden"), w.room("ana", "dm")
    for place, line in ((room, "hello"), (hidden, "a plan"), (dm, "a secret")):
        await place.say(ANA, line)
    for place in (hidden, dm):
        with pytest.raises(TroupeError, match="There is no session"):
            await talk(w).merge(room.channel, (await place.session()).id)


async def test_cleared_talk_is_out_of_sight_until_it_is_taken_up_again(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    gone = await talk(w).clear(room.channel)
    with pytest.raises(TroupeError, match="take it up again first"):
        await talk(w).branch(gone.id, None, room.channel)
    with pytest.raises(TroupeError, match="take it up again first"):
        await talk(w).merge(room.channel, gone.id)
    assert not await talk(w).search("Lapsang", {room.channel.key})
    assert "Lapsang" not in (await room.say(ANA, "what did I say about tea?")).shown
    assert gone.id not in [s.id for s in (await talk(w).listing(room.channel.key)).items]
    assert "my tea is Lapsang" in titles(await talk(w).listing(room.channel.key, archived=True))
    await talk(w).resume(room.channel, gone.id)
    assert "Lapsang" in (await room.say(ANA, "what did I say about tea?")).shown
    assert len(await talk(w).search("Lapsang", {room.channel.key})) > 0


async def test_a_session_deleted_by_others_is_not_brought_back(w: World) -> None:
    room = w.room()
    await room.say(ANA, "hello")
    session = await room.session()
    await w.store.save_session(session.model_copy(update={"deleted_at": w.clock.now()}))
    with pytest.raises(TroupeError, match="There is no session"):
        await talk(w).resume(room.channel, session.id)


async def test_a_session_is_seen_and_resumed_only_from_its_own_place(w: World) -> None:
    room, dm = w.room(), w.room("ana", "dm")
    await dm.say(ANA, "my secret is blue")
    session = await dm.session()
    assert not (await talk(w).listing(room.channel.key)).items
    assert not await talk(w).search("secret", {room.channel.key})
    assert not await talk(w).search("secret", set())
    for id in (session.id, "no such one"):
        with pytest.raises(TroupeError, match=f"There is no session '{id}' here"):
            await talk(w).resume(room.channel, id)
        with pytest.raises(TroupeError, match="There is no session"):
            await talk(w).show(id, {room.channel.key})


async def test_sessions_are_listed_by_title_or_first_words_page_by_page_and_found_by_them(clocked: World) -> None:
    room = clocked.room()
    for number in range(60):
        await room.say(ANA, f"question number {number}", answer=False)
        clocked.clock.advance(400)
    first = await talk(clocked).listing(room.channel.key)
    assert titles(first)[:2] == ["question number 59", "question number 58"]
    assert first.older, "there are more"
    walked, cursor = list[str](), None
    for _ in range(9):
        page = await talk(clocked).listing(room.channel.key, cursor=cursor, limit=7)
        walked, cursor = walked + titles(page), page.older
    assert walked == [f"question number {number}" for number in reversed(range(60))]
    assert cursor is None
    assert titles(await talk(clocked).listing(room.channel.key, text="number 7")) == ["question number 7"]
    named = await talk(clocked).rename(first.items[3].id, "  The\nplan ")
    assert titles(await talk(clocked).listing(room.channel.key, text="PLAN")) == ["The plan"]
    await talk(clocked).archive(named.id, True)
    assert not titles(await talk(clocked).listing(room.channel.key, text="plan"))
    assert titles(await talk(clocked).listing(room.channel.key, text="plan", archived=True)) == ["The plan"]


async def test_a_title_shows_what_it_says_and_nothing_that_cannot_be_seen(w: World) -> None:
    room = w.room()
    await w.bot.begin(room.channel)
    assert titles(await talk(w).listing(room.channel.key)) == ["(no words yet)"]
    await room.say(ANA, "\u202eme\u2028ssage \u200b👩\u200d🌾", answer=False)
    assert titles(await talk(w).listing(room.channel.key)) == ["me ssage 👩\u200d🌾"]
    session = await room.session()
    assert (await talk(w).rename(session.id, "\u202e a\r\nb\x1b\u2066 ")).title == "a b"
    with pytest.raises(TroupeError, match="between 1 and 100 letters"):
        await talk(w).rename(session.id, "\u202e\u200d")


async def test_after_an_archived_session_a_new_one_begins_in_a_thread_too(w: World) -> None:
    thread = w.room("plans", "thread")
    await thread.say(ANA, "one")
    session = await thread.session()
    await talk(w).archive(session.id, True)
    await thread.say(ANA, "two")
    assert len(await thread.sessions()) == 2
    await talk(w).archive(session.id, False)
    assert not (await talk(w).show(session.id, {thread.channel.key})).archived


async def test_a_title_or_star_given_while_an_answer_is_written_is_not_lost(w: World) -> None:
    room = w.room()
    pieces = w.bot.receive(room.line(ANA, "tell me"))
    await anext(pieces)
    session = await room.session()
    await talk(w).rename(session.id, "Kept")
    await talk(w).star(session.id, True)
    async for _ in pieces:
        pass
    after = await room.session()
    assert (after.title, after.starred, after.message_count) == ("Kept", True, 2)


async def test_a_persona_chosen_for_a_place_is_its_sessions_until_it_is_left_open_again(w: World) -> None:
    room, talk = w.room(), w.bot.conversations
    await talk.speak_as(room.channel, "sage", ANA.sender)
    assert await room.sessions() == []
    await room.say(ANA, "hello")
    assert (talk.personas.of(room.channel), (await room.session()).persona) == ("sage", "sage")
    assert await talk.personas.told(room.channel) == "chosen by Ana on 2026-03-02 09:00 UTC"
    await talk.speak_as(room.channel, None, ANA.sender)
    assert (talk.personas.of(room.channel), (await room.session()).persona) == (None, None)


async def test_every_mistake_is_answered_with_a_sentence(w: World) -> None:
    room = w.room()
    for act in (talk(w).keep, talk(w).clear, talk(w).context):
        with pytest.raises(TroupeError, match="Nothing has been said to me here yet"):
            await act(room.channel)
    await w.bot.begin(room.channel)
    empty = await room.session()
    with pytest.raises(TroupeError, match="nothing in that session"):
        await talk(w).branch(empty.id, None, room.channel)
    await room.say(ANA, "hello", answer=False)
    with pytest.raises(TroupeError, match="not part of the session"):
        await talk(w).branch(empty.id, "no such message", room.channel)
    for title in ("  ", "x" * 101):
        with pytest.raises(TroupeError, match="between 1 and 100 letters"):
            await talk(w).rename(empty.id, title)
    for gap in (0, -1, float("nan"), float("inf"), 10.0**300):
        with pytest.raises(TroupeError, match="between 10 seconds and 10 years"):
            await talk(w).policy(room.channel, gap, ANA.sender)
    with pytest.raises(TroupeError, match="which words"):
        await talk(w).search(" ", {room.channel.key})
    for missing in (talk(w).summary("nowhere"), talk(w).star("nowhere", True), talk(w).branch("", None, room.channel)):
        with pytest.raises(TroupeError, match="There is no session"):
            await missing
