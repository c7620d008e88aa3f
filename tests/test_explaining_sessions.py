"""What people are told about the session that their line went into."""

from __future__ import annotations

from typing import get_args

from bots.disentangling import Rule
from bots.explaining_sessions import BECAUSE, SessionsExplained

from .test_sessions_structural import CODE, two_talks
from .world import ANA, CAI, World, world


def explained(w: World) -> SessionsExplained:
    return SessionsExplained(w.store, w.bot.conversations, w.bot.sessions)


async def test_people_are_told_where_their_line_went_and_why_and_what_came_next() -> None:
    async with world() as w:
        room = w.room()
        anas, bens = await two_talks(room)
        why = explained(w)
        told = await why.of_last_line(room.channel, ANA.sender.id)
        assert f"Your last line is part of the session **{CODE}** (`{anas}`)" in told
        assert ", because " in told
        assert "reply to a message of the right session" in told
        await room.say(ANA, "tomatoes", reply_to=f"{room.channel.key}:Ben0")
        told = await why.of_last_line(room.channel, ANA.sender.id)
        assert f"(`{bens}`), because it replies to a message of that session" in told
        assert await why.of_last_line(room.channel, "somebody else") == "You have not said anything to me here yet."


async def test_every_rule_has_a_sentence_and_it_is_true_where_one_talk_alone_is_going_on() -> None:
    assert {*get_args(Rule), "kept"} == set(BECAUSE)
    async with world() as w:
        room = w.room()
        said = (
            (ANA, "shall we eat out tonight?", "it goes on with nothing that was being said here"),
            (CAI, "sounds good", "that was the only talk going on here just then"),
            (CAI, "at eight", "its author was speaking there"),
        )
        for who, text, because in said:
            await room.say(who, text, answer=False)
            assert because in await explained(w).of_last_line(room.channel, who.sender.id)
            w.clock.advance(20)
        await w.bot.begin(room.channel, ANA.sender.id)
        await room.say(CAI, "and now?", answer=False)
        told = await explained(w).of_last_line(room.channel, CAI.sender.id)
        assert "because people had just begun that session, or taken it up again" in told


async def test_the_next_best_session_is_named_and_one_that_was_cleared_is_not() -> None:
    async with world() as w:
        room = w.room()
        anas, bens = await two_talks(room)
        session = await w.bot.conversations.rename(bens, "Pasta *and* basil")
        line = (await w.store.messages(anas))[0].model_copy(update={"metadata": {"placed": f"own {bens}"}})
        told = await explained(w).of(line, inert=lambda text: text.replace("*", "\\*"))
        assert f"The next best was **Pasta \\*and\\* basil** (`{session.id}`)." in told
        await w.bot.conversations.clear(room.channel, ANA.sender.id)
        await w.store.remove_sessions([bens])
        await w.bot.conversations.resume(room.channel, anas)
        assert "next best" not in await explained(w).of(line)


async def test_where_the_clock_decides_people_are_told_of_the_silence() -> None:
    async with world() as w:
        dm, thread = w.room("ana", "dm"), w.room("plans", "thread")
        for room in (dm, thread):
            await room.say(ANA, "hello")
        told = await explained(w).of_last_line(dm.channel, ANA.sender.id)
        assert told.endswith("because it began that session: here a silence of 1 hour ends one.")
        w.clock.advance(60)
        await dm.say(ANA, "still here")
        told = await explained(w).of_last_line(dm.channel, ANA.sender.id)
        assert "until nobody has spoken for 1 hour" in told
        told = await explained(w).of_last_line(thread.channel, ANA.sender.id)
        assert told.endswith("because no silence ends a session here.")
        assert await explained(w).of_last_line(dm.channel, CAI.sender.id) == (
            "You have not said anything to me here yet."
        )
