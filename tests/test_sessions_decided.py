"""What people decide over sessions that run beside each other: kept, copied, merged, begun; and what comes late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bots.open_sessions import Talking
from bots.session_marks import PLACED
from storage.model import Message, Sender, Text

from .test_sessions_structural import line, two_talks
from .world import ANA, BEN, CAI, World, world


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


@pytest.mark.parametrize("policy", [None, "off"])
async def test_after_a_restart_a_duplicate_is_still_no_talk_of_anybody(tmp_path: Path, policy: str | None) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        if policy == "off":
            await w.bot.conversations.policy(room.channel, "off", ANA.sender)
        anas, bens = await two_talks(room)
        await w.bot.conversations.duplicate(anas)
        at = w.clock.at
    async with world(root=tmp_path) as w:
        w.clock.at, room = at + timedelta(seconds=5), w.room()
        for who, session in ((ANA, anas), (BEN, bens)):
            current = await w.bot.sessions.current(room.channel, who.sender.id)
            assert current is not None
            assert current.id == session
        await room.say(ANA, "and the closure still complains", origin=f"{room.channel.key}:after")
        assert (await line(room, "after")).session_id == anas


async def test_a_kept_session_is_taken_up_again_even_where_others_have_begun_to_talk(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    await w.bot.conversations.keep(room.channel, ANA.sender.id)
    w.clock.advance(3 * 3600)
    await w.bot.upkeep()
    await room.say(CAI, "does anybody know a good bicycle shop in this town?", origin=f"{room.channel.key}:cai")
    assert (await line(room, "cai")).session_id not in (anas, bens)
    w.clock.advance(10)
    await room.say(ANA, "so, where were we with that?", origin=f"{room.channel.key}:kept")
    kept = await line(room, "kept")
    assert (kept.session_id, kept.metadata[PLACED]) == (anas, "kept")


async def test_who_is_in_another_session_is_not_drawn_into_the_one_that_somebody_keeps(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    await w.bot.conversations.keep(room.channel, BEN.sender.id)
    await room.say(ANA, "it compiles now", origin=f"{room.channel.key}:ana")
    assert (await line(room, "ana")).session_id == anas
    session = await w.store.session(bens)
    assert session is not None
    assert session.metadata.get("keep") == "yes"


@pytest.mark.parametrize("restart", [False, True])
async def test_in_two_open_sessions_that_become_one_their_people_go_on(tmp_path: Path, restart: bool) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        anas, bens = await two_talks(room)
        await room.say(
            CAI,
            "does anybody know a good bicycle shop in Amsterdam that sells used parts and bells?",
            origin=f"{room.channel.key}:cai",
        )
        assert (await line(room, "cai")).session_id not in (anas, bens)
        merged = (await w.bot.conversations.merge_two(anas, bens)).session
        w.clock.advance(4)
        at = w.clock.at
        if not restart:
            await _go_on(w, merged.id)
    if restart:
        async with world(root=tmp_path) as w:
            w.clock.at = at
            await _go_on(w, merged.id)


async def _go_on(w: World, session_id: str) -> None:
    room = w.room()
    for who, text in ((ANA, "that closure of mine still complains"), (BEN, "the sauce is still thin")):
        current = await w.bot.sessions.current(room.channel, who.sender.id)
        assert current is not None
        assert current.id == session_id
        await room.say(who, text, origin=f"{room.channel.key}:{who.name}-on")
        assert (await line(room, f"{who.name}-on")).session_id == session_id


async def test_a_line_said_before_new_that_comes_after_it_goes_where_it_would_have_gone(w: World) -> None:
    room = w.room()
    anas, _ = await two_talks(room)
    w.clock.advance(3)
    missed = room.line(ANA, "and that closure again?", origin=f"{room.channel.key}:missed", answer=False)
    w.clock.advance(3)
    begun = await w.bot.begin(room.channel, ANA.sender.id)
    w.clock.advance(2)
    async for _ in w.bot.receive(missed):
        pass
    assert (await line(room, "missed")).session_id == anas
    await room.say(ANA, "hi again", origin=f"{room.channel.key}:next")
    assert (await line(room, "next")).session_id == begun.id


@pytest.mark.parametrize(
    ("text", "pinged"),
    [
        ("@Annabel what do you think?", ["Annabel"]),
        ("@Ann, what do you think?", ["Ann"]),
        ("ask @Ann Marie or @Annabel", ["Ann Marie", "Annabel"]),
        ("@田中さん、どう思いますか", ["田中"]),
        ("mail me at ann@example.com", []),
        ("@Anna?", []),
    ],
)
def test_a_ping_is_of_the_longest_name_that_stands_there_and_of_no_part_of_one(text: str, pinged: list[str]) -> None:
    talking = Talking(300.0)
    for number, name in enumerate(("Ann", "Annabel", "Ann Marie", "田中")):
        talking.heard(said(name, "hello", number))
    assert talking._heard(said("Cai", text, 9)).mentions == tuple(f"id-{name}" for name in pinged)


def test_a_reply_to_a_person_is_heard_as_one() -> None:
    talking = Talking(300.0)
    talking.heard(said("Ana", "hello", 0))
    assert talking._heard(said("Ben", "hello, too", 1, reply_to="x:y:0")).replied == "line 0"


def said(who: str, text: str, number: int, reply_to: str | None = None) -> Message:
    return Message(
        id=f"line {number}",
        origin=f"x:y:{number}",
        session_id="s",
        role="user",
        sender=Sender(type="user", id=f"id-{who}", name=who),
        parts=(Text(text=text),),
        at=datetime(2026, 3, 2, 9, 0, number, tzinfo=UTC),
        reply_to=reply_to,
    )
