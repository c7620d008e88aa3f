"""What happens in a bot is told to whoever listens, in order, and nobody who listens holds anything up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from bots.errors import TroupeError
from bots.events import Anew, Began, Behind, Changed, Ended, Event, Listening, More, Said, SessionChanged
from bots.saying import OPERATOR
from storage.model import Channel, Message, Reaction, Receipt, Sender

from .speaking import Says
from .world import ANA, BEN, settings, world

OPERATOR_HERE = Sender(type="user", id="op", name="Olga")


async def some(listening: Listening) -> list[Event]:
    async with asyncio.timeout(20):
        return await listening.some()


def kinds(events: list[Event]) -> list[str]:
    """What came, words that came right after one another as one."""
    names = [type(event).__name__ for event in events]
    return [name for before, name in zip(["", *names], names, strict=False) if name != "More" or before != "More"]


async def test_a_line_and_its_answer_are_told_from_the_first_word_to_the_last() -> None:
    async with world() as w:
        room = w.room()
        with w.bot.events.listen() as listening:
            said = await room.say(ANA, "what is 6 * 7?")
            events = await some(listening)
        assert kinds(events) == ["SessionChanged", "Said", "Began", "More", "Said", "Ended"]
        line, answer = [event.message for event in events if isinstance(event, Said)]
        began = next(event for event in events if isinstance(event, Began))
        assert (line.text, answer.id, began.asked) == ("what is 6 * 7?", began.answer_id, (line.id,))
        assert "".join(event.text for event in events if isinstance(event, More)) == said.shown == answer.words
        assert list(w.bot.under_way) == []


async def test_what_becomes_of_messages_and_sessions_is_told() -> None:
    async with world() as w:
        room = w.room()
        await room.say(ANA, "what is 6 * 7?", origin="discord:id-general:1")
        with w.bot.events.listen() as listening:
            reaction = Reaction(emoji="👍", sender=BEN.sender, at=w.clock.now())
            await w.bot.afterwards.reacted("discord:id-general:1", reaction)
            await w.bot.afterwards.edited("discord:id-general:1", "what is 6 * 8?", (), w.clock.now())
            await w.bot.conversations.rename((await room.session()).id, "Sums")
            events = await some(listening)
        changed = [event.message for event in events if isinstance(event, Changed)]
        assert [(each.text, len(each.reactions)) for each in changed] == [("what is 6 * 7?", 1), ("what is 6 * 8?", 1)]
        assert [event.session.title for event in events if isinstance(event, SessionChanged)] == ["Sums"]


async def test_an_answer_that_starts_again_tells_so_and_how_far_it_is_can_be_asked() -> None:
    model = Says()
    async with world(settings(sessions={"burst": 5}), provider=model) as w:
        room = w.room()
        with w.bot.events.listen() as listening:
            first = asyncio.ensure_future(room.say(ANA, "tell me"))
            model.words.put_nowait("half an ")
            while "More" not in kinds(await some(listening)):
                pass
            ((began, so_far),) = w.bot.under_way.standing(lambda event: True).answers
            assert (began.persona, so_far) == ("sage", "half an ")
            await room.say(ANA, "and briefly")
            for word in ("all ", "of it", None):
                model.words.put_nowait(word)
            assert (await first).shown == "all of it"
            events = await some(listening)
        anew = next(number for number, event in enumerate(events) if isinstance(event, Anew))
        assert "".join(event.text for event in events[anew:] if isinstance(event, More)) == "all of it"
        assert sum(isinstance(event, Ended) for event in events) == 1


async def test_who_listens_at_one_place_hears_nothing_of_another() -> None:
    async with world() as w:
        here, there = w.room("here"), w.room("there")
        with w.bot.events.listen(at=[here.channel.key]) as listening:
            await there.say(ANA, "what is 6 * 7?")
            await here.say(BEN, "what is 6 * 8?")
            events = await some(listening)
        assert {event.session.channel.key for event in events if isinstance(event, Said)} == {here.channel.key}
        assert not w.bot.events.listened


async def test_a_listener_that_does_not_read_is_dropped_and_no_turn_waits_for_it() -> None:
    async with world() as w:
        with w.bot.events.listen(room=3) as listening:
            assert (await w.room().say(ANA, "what is 6 * 7?")).answer is not None
            with pytest.raises(Behind):
                await some(listening)


async def test_a_quiet_channel_is_listened_to_and_answered_again_in_time(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        await room.say(ANA, "hello")
        with w.bot.events.listen() as listening:
            await w.bot.quiet.keep(room.channel, w.clock.now() + timedelta(minutes=30), OPERATOR_HERE)
            assert (await room.say(ANA, "what is 6 * 7?")).answer is None
            told = kinds(await some(listening))
            assert (told[0], told[-1], "Began" in told) == ("Quieted", "Said", False)
        assert "Ana: what is 6 * 7?" in await room.transcript()
        assert (await w.room("other").say(ANA, "what is 6 * 7?")).answer is not None
        thread = Channel(front="discord", id="t", kind="thread", name="t", guild_id="g1", parent_id=room.channel.id)
        assert w.bot.quiet.until(thread) == w.bot.quiet.until(room.channel)
        left = await w.bot.afterwards.unfinished(w.clock.now() - timedelta(days=1), front="discord")
        assert left.lines == ()
        w.clock.advance(31 * 60)
        assert (await room.say(ANA, "what is 6 * 8?")).answer is not None


async def test_what_an_operator_says_is_shown_first_and_is_then_the_bots_own(tmp_path: Path) -> None:
    async def posted(channel: Channel, message: Message) -> tuple[Receipt, ...]:
        if channel.name == "closed":
            raise TroupeError("Nobody saw it.")
        return (Receipt(origin=f"{channel.key}:77", page=0),)

    async with world(root=tmp_path) as w:
        open, closed = w.room(), w.room("closed")
        for room in (open, closed):
            await room.say(ANA, "hello")
        w.bot.saying.front("discord", posted)
        spoken = await w.bot.saying.through(open.channel, "A person here.", OPERATOR_HERE)
        with pytest.raises(TroupeError, match="Nobody saw it"):
            await w.bot.saying.through(closed.channel, "A person here.", OPERATOR_HERE)
        session = await open.session()
        assert (spoken.role, spoken.metadata[OPERATOR], spoken.session_id) == ("assistant", "Olga", session.id)
        assert (await w.store.find("discord:id-general:77")) == spoken
        assert len(await closed.transcript()) == 2


async def test_quiet_survives_a_restart_and_ends_when_it_is_ended(tmp_path: Path) -> None:
    async with world(settings(tmp_path), root=tmp_path) as w:
        await w.room().say(ANA, "hello")
        await w.bot.quiet.keep(w.room().channel, w.clock.now() + timedelta(minutes=30), OPERATOR_HERE)
    async with world(settings(tmp_path), root=tmp_path) as w:
        room = w.room()
        assert (await room.say(ANA, "what is 6 * 7?")).answer is None
        assert (await room.say(ANA, "stop")).answer is None
        await w.bot.quiet.keep(room.channel, None, OPERATOR_HERE)
        assert (await room.say(ANA, "what is 6 * 8?")).answer is not None
