"""Sessions: silence cuts, people move the clock, nothing is lost at a boundary."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import storage
from bots import wiring
from bots.errors import TroupeError
from bots.sessions import UNSET, Sessions, Unset
from storage.amendments import Deleted
from storage.errors import Unavailable
from storage.model import Channel, ChannelKind, Message, Session, Text
from tests.postgres import fresh_name, postgres_url

from .test_trouble import pages
from .world import ANA, BEN, CAI, TESTER, Clock, World, by_clock, persona, settings, world


async def test_lines_within_the_gap_share_a_session_and_a_longer_silence_opens_one_that_follows_it() -> None:
    async with world(by_clock()) as w:
        room = w.room()
        await room.say(ANA, "hello there")
        w.clock.advance(299)
        await room.say(BEN, "and hello from me")
        w.clock.advance(301)
        await room.say(ANA, "back again")
        new, old = await room.sessions()
        assert old.message_count == 4
        assert old.closed_at is not None
        assert new.follows == old.id
        assert new.closed_at is None
        first = (await w.store.messages(new.id))[0]
        assert first.words == "back again", "the line that crosses the gap opens the new session"


async def test_only_people_move_the_clock() -> None:
    async with world(by_clock()) as w:
        room = w.room()
        await room.say(ANA, "hello")
        for _ in range(4):
            w.clock.advance(100)
            await room.say(TESTER, "a bot's chatter", answer=False)
        await room.say(ANA, "anyone here?")
        assert len(await room.sessions()) == 2


async def test_a_reply_reopens_the_session_of_the_message_it_replies_to() -> None:
    async with world() as w:
        room = w.room()
        await room.say(ANA, "what is 2 + 2?", origin="discord:id-general:first")
        w.clock.advance(1000)
        await room.say(BEN, "something else")
        w.clock.advance(10)
        await room.say(ANA, "and 3 + 3?", reply_to="discord:id-general:first")
        session = await room.session()
        said = [m.words for m in await w.store.messages(session.id) if m.role == "user"]
        assert said == ["what is 2 + 2?", "and 3 + 3?"]
        assert session.closed_at is None


async def test_a_reply_to_a_page_of_an_answer_is_understood_too() -> None:
    async with world() as w:
        room = w.room()
        heard = await room.say(ANA, "what is 2 + 2?")
        assert heard.answer is not None
        page = next(r.origin for m in await w.store.messages((await room.session()).id) for r in m.receipts)
        w.clock.advance(4000)
        await w.bot.upkeep()
        again = await room.say(ANA, "thanks", reply_to=page)
        assert again.answer is not None
        assert again.answer.session_id == heard.answer.session_id


async def test_a_thread_is_one_session_even_after_the_timeout_closed_it() -> None:
    async with world() as w:
        thread = w.room("plans", "thread")
        await thread.say(ANA, "first")
        w.clock.advance(5000)
        await w.bot.upkeep()
        assert (await thread.session()).closed_at is not None
        await thread.say(ANA, "a day later")
        (session,) = await thread.sessions()
        assert session.closed_at is None
        assert session.message_count == 4


async def test_gaps_differ_by_the_kind_of_place_and_may_be_off() -> None:
    config = settings(storage={"session_gap": "off", "path": "unused"}, sessions={"dm_gap": 60})
    async with world(config) as w:
        room, dm = w.room(), w.room("ana", "dm")
        for place in (room, dm):
            await place.say(ANA, "one")
        w.clock.advance(3000)
        for place in (room, dm):
            await place.say(ANA, "two")
        assert len(await room.sessions()) == 1
        assert len(await dm.sessions()) == 2


async def test_the_timeout_closes_with_a_summary_and_the_duration_in_the_name() -> None:
    async with world(by_clock()) as w:
        room = w.room()
        await room.say(ANA, "my name is Ana and I like chess")
        w.clock.advance(120)
        await room.say(BEN, "what is 6 * 7?")
        w.clock.advance(3601)
        await w.bot.upkeep()
        session = await room.session()
        assert session.closed_at == w.clock.now()
        assert session.full_name == f"{session.id}_120s"
        assert "what is 6 * 7?" in session.context.summary
        assert "Ana, Ben" in session.context.summary


async def test_new_starts_a_session_at_once_and_keeps_the_old_one() -> None:
    async with world() as w:
        room = w.room()
        await room.say(ANA, "what is 1 + 1?")
        await w.bot.begin(room.channel)
        await room.say(ANA, "what is 5 + 5?")
        sessions = await room.sessions()
        assert len(sessions) == 2
        assert {s.message_count for s in sessions} == {2}


async def test_a_new_session_is_free_of_the_last_ones_persona() -> None:
    config = settings(personas=[persona("sage"), persona("ada", keywords=["python", "code"])])
    async with world(config) as w:
        room = w.room()
        await room.say(ANA, "python code?")
        await w.bot.begin(room.channel)
        heard = await room.say(ANA, "good morning")
        assert heard.answer is not None
        assert heard.answer.persona == "sage"
        assert "default" in await w.bot.explaining.told(room.channel, w.bot.settings)


async def test_an_answer_that_ends_late_changes_nothing_about_its_session_but_its_own_line() -> None:
    async with world(by_clock()) as w:
        room = w.room()
        line = room.line(ANA, "tell me")
        pieces = w.bot.receive(line)
        await anext(pieces)
        w.clock.advance(10)
        await room.say(CAI, "listening in", answer=False)
        w.clock.advance(400)
        await room.say(BEN, "something new", answer=False)
        async for _ in pieces:
            pass
        old = (await room.sessions())[1]
        assert old.closed_at is not None
        assert {p.name for p in old.participants} == {"Ana", "Cai"}
        assert (old.last_at - old.opened_at).total_seconds() == 10
        assert old.message_count == 3


async def test_first_lines_of_many_people_at_once_open_one_session() -> None:
    async with world() as w:
        room = w.room()
        await asyncio.gather(*(room.say(who, "hello") for who in (ANA, BEN, CAI)))
        sessions = await room.sessions()
        assert len(sessions) == 1
        assert {p.name for p in sessions[0].participants} == {"Ana", "Ben", "Cai"}


async def test_a_restart_goes_on_where_the_talk_was(tmp_path: object) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    before: Session
    async with world(root=root) as w:
        await w.room().say(ANA, "hello")
        before = await w.room().session()
    async with world(root=root) as w:
        w.clock.advance(60)
        await w.room().say(ANA, "still me")
        after = await w.room().session()
    assert after.id == before.id
    assert after.message_count == 4


@pytest.mark.parametrize("kind", ["thread", "channel"])
@pytest.mark.parametrize("type", ["sqlite", "file"])
async def test_what_retention_removed_is_shown_to_the_model_no_more(
    tmp_path: Path, type: str, kind: ChannelKind
) -> None:
    clock = Clock()
    kept = {"path": str(tmp_path / "sage"), "type": type, "retention": {kind: {"age": "30d"}}}
    chances = itertools.count()
    async with wiring.build(
        settings(storage=kept), now=clock.now, ticks=clock.ticks, chance=lambda: next(chances)
    ) as house:
        w = World(house.bot, house.store, clock)
        room = w.room("plans", kind)
        await room.say(ANA, "my favourite tea is Lapsang")
        clock.advance(60)
        assert "Lapsang" in (await room.say(ANA, "what did I say about tea?")).shown
        clock.advance(5000)
        await w.bot.upkeep()
        clock.advance(timedelta(days=31).total_seconds())
        assert (await house.cleaner.clean_up()).totals["session"].items == 1
        assert "Lapsang" not in (await room.say(ANA, "what did I say about tea?")).shown


async def test_a_deleted_line_is_shown_to_the_model_no_more_once_it_is_removed(tmp_path: Path) -> None:
    clock = Clock()
    chances = itertools.count()
    config = settings(storage={"path": str(tmp_path / "sage"), "retention": {"deleted": "1s"}})
    async with wiring.build(config, now=clock.now, ticks=clock.ticks, chance=lambda: next(chances)) as house:
        w = World(house.bot, house.store, clock)
        room = w.room("plans", "thread")
        await room.say(ANA, "my favourite tea is Lapsang")
        for message in await w.store.messages((await room.session()).id):
            await w.store.amend(message.id, Deleted(at=clock.now()))
        clock.advance(60)
        await house.cleaner.clean_up()
        assert "Lapsang" not in (await room.say(ANA, "what did I say about tea?")).shown


async def test_a_reply_does_not_bring_a_deleted_session_back() -> None:
    async with world(by_clock()) as w:
        room = w.room()
        await room.say(ANA, "what is 2 + 2?", origin="discord:id-general:first")
        gone = await room.session()
        w.clock.advance(1000)
        await room.say(BEN, "something else")
        await w.store.save_session(
            (await w.store.session(gone.id) or gone).model_copy(update={"deleted_at": gone.last_at})
        )
        await room.say(ANA, "and 3 + 3?", reply_to="discord:id-general:first")
        (session,) = await room.sessions()
        said = [message.words for message in await w.store.messages(session.id) if message.role == "user"]
        assert said == ["something else", "and 3 + 3?"]


async def test_what_a_store_could_not_take_in_is_logged_at_the_start_of_a_bot(tmp_path: Path) -> None:
    config = settings(storage={"path": str(tmp_path / "sage"), "type": "file"})
    clock = Clock()
    async with wiring.build(config, now=clock.now) as house:
        room = World(house.bot, house.store, clock).room()
        await room.say(ANA, "hello")
    (lines,) = (tmp_path / "sage").rglob("messages.jsonl")
    for number in range(23):
        spoilt = lines.parent.with_name(f"spoilt{number}")
        spoilt.mkdir()
        (spoilt / "messages.jsonl").write_text("{\n")
    with capture_logs() as logged:
        async with wiring.build(config, now=clock.now):
            pass
    problems = [each for each in logged if each["event"] == "storage.problem"]
    assert len(problems) == 20
    assert "spoilt" in problems[0]["problem"]
    assert [each["more"] for each in logged if each["event"] == "storage.problems"] == [3]


async def test_a_bot_that_cannot_reach_its_attachments_opens_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nowhere")
    config = settings(storage={"path": str(tmp_path / "sage"), "attachments": "s3://cats/sage"})
    with pytest.raises(TroupeError, match=r"storage\.attachments"):
        async with wiring.build(config):
            pass
    assert not (tmp_path / "sage").exists()


async def test_a_change_is_not_lost_to_an_answer_under_way_where_several_processes_write(tmp_path: Path) -> None:
    store = await storage.connect(fresh_name(), tmp_path, type="postgres", url=postgres_url())
    sessions = Sessions(store, settings(), chance=itertools.count().__next__)
    channel, at = Channel(front="discord", id="1", kind="channel", name="general"), Clock().now()
    try:
        line = Message(id="asked", session_id="", role="user", sender=ANA.sender, parts=(Text(text="asked"),), at=at)
        placed = await sessions.place(channel, line, None)
        asked = placed.session
        await store.append(asked, placed.line)
        await sessions.change(asked.id, lambda now: now.model_copy(update={"title": "A title"}))
        await store.append(sessions.latest(asked), _line(asked, "answered"))
        kept = await store.session(asked.id)
        assert kept is not None
        assert kept.title == "A title"
        await store.save_session(kept.model_copy(update={"title": "Another process's"}))
        kept = await store.session(asked.id)
        assert kept is not None
        assert sessions.latest(kept).title == "Another process's"
    finally:
        await store.close()


async def test_a_change_that_storage_refuses_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        await room.say(ANA, "hello")
        session = await room.session()
        await pages(w, 1)
        with pytest.raises(Unavailable):
            await w.bot.sessions.change(session.id, lambda now: now.model_copy(update={"title": "too long " * 9999}))
        await pages(w, 1_000_000)
        await room.say(ANA, "still there?")
        assert (await room.session()).title == ""


async def test_a_guilds_gap_is_about_its_channels_and_new_settings_are_taken_at_once() -> None:
    async with world() as w:
        gaps: dict[str | None, float | Unset | None] = {"g1": 900, "g3": None}
        sessions = Sessions(w.store, settings(), chance=lambda: 1, guild_gap=lambda guild: gaps.get(guild, UNSET))
        room, thread = w.room().channel, w.room("plans", "thread").channel
        assert sessions.gap(room) == (900, "guild")
        assert sessions.gap(thread) == (None, "settings")
        assert sessions.gap(w.room(guild="g2").channel) == (300, "settings")
        assert sessions.gap(w.room(guild="g3").channel) == (None, "guild")
        sessions.rule(room.key, 60)
        assert sessions.gap(room) == (60, "channel")
        sessions.adopt(settings(storage={"path": "unused", "session_gap": 10}))
        assert sessions.gap(w.room("other", guild="g2").channel) == (10, "settings")


def _line(session: Session, name: str) -> Message:
    parts = (Text(text=name),)
    return Message(id=name, session_id=session.id, role="user", sender=ANA.sender, parts=parts, at=session.last_at)
