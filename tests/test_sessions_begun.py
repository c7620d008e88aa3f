"""Where several sessions are open, `/new`, `/clear` and `/session resume` hold for who asked and their talk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from storage.model import Session

from .test_sessions_structural import CODE, PASTA, line, two_talks
from .world import ANA, BEN, CAI, Person, Room, World, world

CATS = "which cat food is good for a kitten?"


async def said_by(room: Room, who: Person, text: str, name: str) -> str:
    await room.say(who, text, origin=f"{room.channel.key}:{name}")
    room.world.clock.advance(5)
    return (await line(room, name)).session_id


async def standing(w: World, session_id: str) -> Session:
    session = await w.store.session(session_id)
    assert session is not None
    return session


async def test_new_closes_the_session_of_who_asked_and_the_others_go_on_after_a_restart_too(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        anas, bens = await two_talks(room)
        begun = await w.bot.begin(room.channel, ANA.sender.id)
        assert begun.follows == anas, "the talk that she was in"
        assert ANA.sender.id not in str(begun.metadata)
        assert (await standing(w, anas)).closed_at is not None
        assert (await standing(w, bens)).closed_at is None
        at = w.clock.at + timedelta(seconds=5)
    async with world(root=tmp_path) as w:
        w.clock.at, room = at, w.room()
        assert await said_by(room, BEN, "how long should it simmer now?", "ben") == bens
        assert await said_by(room, ANA, "how long should it simmer now?", "ana") == begun.id
        assert await said_by(room, BEN, "and the tomatoes?", "ben on") == bens
        assert await said_by(room, ANA, "so be it", "ana on") == begun.id


async def test_new_holds_for_whoever_was_in_that_session_too() -> None:
    async with world() as w:
        room = w.room()
        first = await said_by(room, ANA, "how do plums grow?", "ana")
        assert await said_by(room, BEN, "and pears?", "ben") == first
        begun = await w.bot.begin(room.channel, ANA.sender.id)
        assert await said_by(room, BEN, "how do I bake bread without yeast?", "ben on") == begun.id
        assert await said_by(room, ANA, "with soda", "ana on") == begun.id


async def test_new_by_somebody_who_has_said_nothing_ends_nobodys_talk() -> None:
    async with world() as w:
        room = w.room()
        anas, bens = await two_talks(room)
        begun = await w.bot.begin(room.channel, CAI.sender.id)
        assert (await said_by(room, ANA, CODE, "ana"), await said_by(room, BEN, PASTA, "ben")) == (anas, bens)
        assert await said_by(room, CAI, CATS, "cai") == begun.id


async def test_clear_takes_away_the_session_of_who_asked_alone() -> None:
    async with world() as w:
        room = w.room()
        anas, bens = await two_talks(room)
        cais = await said_by(room, CAI, CATS, "cai")
        assert (await w.bot.conversations.clear(room.channel, CAI.sender.id)).id == cais
        assert (await said_by(room, ANA, CODE, "ana"), await said_by(room, BEN, PASTA, "ben")) == (anas, bens)
        assert await said_by(room, CAI, "is wet food better?", "cai on") not in (anas, bens, cais)


async def test_a_session_that_somebody_takes_up_again_is_where_their_next_line_goes(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        old = await said_by(room, CAI, CATS, "cai")
        w.clock.advance(90_000)
        await w.bot.upkeep()
        anas, bens = await two_talks(room)
        await w.bot.conversations.resume(room.channel, old, CAI.sender.id)
        at = w.clock.at + timedelta(seconds=5)
    async with world(root=tmp_path) as w:
        w.clock.at, room = at, w.room()
        assert (await said_by(room, ANA, CODE, "ana"), await said_by(room, BEN, PASTA, "ben")) == (anas, bens)
        assert await said_by(room, Person("Dee"), "what is a good book on ancient Rome?", "dee") != old
        assert await said_by(room, CAI, "is wet food better?", "cai on") == old
