"""What a crash left open on Discord: answers that stand there unknown, or that never arrived, and half answers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .away import Home, home
from .stage import eventually
from .wire.discord_model import Message

AGAIN = {"type": 2, "style": 2, "label": "Regenerate"}
LONG = "A sentence that says a little. " * 150


def undone(root: Path, query: str) -> None:
    """Takes out of the database what a crash would not have let in."""
    with closing(sqlite3.connect(root / "conversations.db")) as database, database:
        database.execute(query)


def rows(root: Path, query: str) -> list[Any]:
    """What the database has."""
    with closing(sqlite3.connect(root / "conversations.db")) as database:
        return database.execute(query).fetchall()


def standing(here: Home) -> list[Message]:
    return [one for channel in here.server.channels.values() for one in here.server.messages(channel) if one.author.bot]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("where", "text", "says", "more"),
    [
        ("channel", "hello", None, {}),
        ("channel", "marcus, hello", None, {}),
        ("channel", "marcus, hello", LONG, {}),
        ("channel", "marcus, hello", LONG, {"faces": False}),
        ("dm", "marcus, hello", None, {}),
        ("channel", "hello", LONG, {}),
        ("channel", "hello", LONG * 4, {}),
        ("channel", "hello", LONG, {"buttons": False}),
        ("dm", "marcus, hello", LONG, {"buttons": False}),
    ],
)
async def test_an_answer_that_stands_there_is_not_given_again(
    tmp_path: Path, where: str, text: str, says: str | None, more: dict[str, Any], kept: bool
) -> None:
    if not kept and "buttons" in more:
        pytest.skip("without buttons nobody can see that an answer is whole")
    async with home(tmp_path) as here:
        channel = here.channel if where == "channel" else here.server.dm(here.ana, here.account)
        async with here.awake(says=says, **more) as sage:
            await here.say(text, channel=channel)
            await eventually(lambda: bool(sage.model.asked))
        pages = [one.content for one in standing(here)]
        undone(tmp_path, "DELETE FROM pages")
        if not kept:
            undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant'")
        for _ in range(2):
            async with here.awake(**more) as sage:
                assert sage.model.asked == []
                answer = (await sage.kept())[-1]
                assert answer.role == "assistant"
                assert len(answer.receipts) == len(pages)
                assert answer.persona == ("marcus" if "marcus" in text else "sage")
                assert not answer.words.startswith("**")
        assert [one.content for one in standing(here)] == pages


async def test_of_two_who_wait_in_one_channel_each_has_their_own_answer_after_a_crash(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            sage.model.held = asyncio.Event()
            await here.say("marcus, hello")
            await here.say("marcus, good evening", who=here.ben)
            await eventually(lambda: len(rows(tmp_path, "SELECT 1 FROM messages WHERE role = 'user'")) == 2)
            sage.model.held.set()
            await eventually(lambda: len(here.said()) == 2)
        first = next(one for one in standing(here) if "Ana" in one.content)
        here.server.erase(next(one for one in standing(here) if "Ben" in one.content))
        undone(tmp_path, "DELETE FROM pages")
        undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant' AND content LIKE '%Ben%'")
        async with here.awake() as sage:
            await eventually(lambda: len(here.said()) == 2)
            assert sage.model.asked == ["Ben: marcus, good evening"]
            answers = {one.text: one for one in await sage.kept() if one.role == "assistant"}
        assert first in standing(here)
        assert here.said() == ["heard Ana: marcus, hello", "heard Ben: marcus, good evening"]
        assert all(len(one.receipts) == 1 for one in answers.values())
        assert list(answers) == here.said()


@pytest.mark.parametrize("says", [None, LONG])
async def test_two_whole_answers_that_were_not_kept_are_found_as_two(tmp_path: Path, says: str | None) -> None:
    async with home(tmp_path) as here:
        async with here.awake(says=says) as sage:
            sage.model.held = asyncio.Event()
            await here.say("marcus, hello")
            await here.say("marcus, good evening", who=here.ben)
            await eventually(lambda: len(rows(tmp_path, "SELECT 1 FROM messages WHERE role = 'user'")) == 2)
            sage.model.held.set()
            await eventually(lambda: len(rows(tmp_path, "SELECT 1 FROM messages WHERE role = 'assistant'")) == 2)
            before = [(one.text, len(one.receipts)) for one in await sage.kept() if one.role == "assistant"]
        stood = standing(here)
        undone(tmp_path, "DELETE FROM pages")
        undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant'")
        async with here.awake() as sage:
            assert sage.model.asked == []
            kept = {one.id: one for one in await sage.kept()}
            answers = [one for one in kept.values() if one.role == "assistant"]
        assert standing(here) == stood
        assert [len(one.receipts) for one in answers] == [count for _, count in before]
        assert [kept[one.reply_to or ""].sender.name for one in answers] == ["Ana", "Ben"]
        assert says is not None or [one.text for one in answers] == [text for text, _ in before]


async def test_an_answer_that_was_kept_and_never_arrived_is_brought_once(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            question = await here.say("hello")
            lost = await here.server.answer_to(question)
        here.server.erase(lost)
        undone(tmp_path, "DELETE FROM pages")
        for _ in range(2):
            async with here.awake() as sage:
                assert sage.model.asked == []
        (answer,) = standing(here)
        assert answer.content == "heard Ana: hello"
        assert answer.reference_id == question.id


async def test_a_half_answer_that_is_too_old_to_go_on_with_is_marked_and_can_be_given_anew(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            await here.say("marcus, hello")
            await eventually(lambda: len(here.said()) == 1)
        (half,) = standing(here)
        half.components = []
        undone(tmp_path, "DELETE FROM pages")
        undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant'")
        for _ in range(2):
            async with here.awake(later=1000) as sage:
                assert half.content == "heard Ana: marcus, hello\n\n-# I was interrupted here."
                assert [text.startswith("-# I was away") for text in here.said()] == [False, True]
                (answer,) = [message for message in await sage.kept() if message.role == "assistant"]
                assert (answer.persona, answer.outcome) == ("marcus", "cut")
        async with here.awake(says="a whole answer"):
            await here.server.click(here.ana, half, "Regenerate")
            await eventually(lambda: here.said()[-1] == "a whole answer" and half.deleted)


@pytest.mark.parametrize("half", ["word " * 397 + "so far", "```python\n" + "x = 1\n" * 330 + "```", "🎻" * 999])
async def test_a_half_answer_that_fills_its_page_is_kept_as_it_stands_there(tmp_path: Path, half: str) -> None:
    async with home(tmp_path) as here:
        async with here.awake(says=half):
            await here.say("hello")
            await eventually(lambda: len(here.said()) == 1)
        (page,) = standing(here)
        page.components = []
        undone(tmp_path, "DELETE FROM pages")
        undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant'")
        async with here.awake(later=1000) as sage:
            (answer,) = [message for message in await sage.kept() if message.role == "assistant"]
            assert answer.text == page.content
            assert len(page.content.encode("utf-16-le")) // 2 <= 2000
            assert page.content.count("```") % 2 == 0
            assert page.content.endswith("\n\n-# I was interrupted here.")
            assert len(answer.words) > 900


async def test_a_half_answer_through_a_webhook_that_is_gone_is_answered_all_the_same(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            await here.say("marcus, hello")
            await eventually(lambda: len(here.said()) == 1)
        (half,) = standing(here)
        half.components = []
        undone(tmp_path, "DELETE FROM pages")
        undone(tmp_path, "DELETE FROM messages WHERE role = 'assistant'")
        (hook,) = here.server.webhooks.values()
        await here.server.remove_webhook(hook)
        async with here.awake(says="a whole answer"):
            assert here.said() == ["a whole answer"]
        async with here.awake() as sage:
            assert sage.model.asked == []


async def test_copies_of_answers_in_other_sessions_are_brought_to_nobody(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            await here.server.answer_to(await here.say("hello"))
        async with here.awake() as sage:
            (session,) = await sage.world.store.sessions()
            await sage.world.bot.conversations.branch(session.id, None, session.channel)
        async with here.awake() as sage:
            assert sage.model.asked == []
            assert len(await sage.kept()) == 4
        assert len(here.said()) == 1


async def test_an_answer_to_a_line_that_was_deleted_meanwhile_is_brought_to_nobody(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            question = await here.say("hello")
            lost = await here.server.answer_to(question)
        here.server.erase(lost)
        here.server.erase(question)
        undone(tmp_path, "DELETE FROM pages")
        async with here.awake() as sage:
            assert await sage.kept() == []
        assert here.said() == []


async def test_an_answer_that_discord_would_not_take_is_brought_as_soon_as_it_does(tmp_path: Path) -> None:
    async with home(tmp_path) as here, here.awake() as sage:
        here.patience.clear()
        here.server.fail("POST .*/messages", 403, code=50013)
        await here.say("hello")
        await eventually(lambda: bool(here.waits) and not sage.world.bot._showing)
        assert here.said() == []
        here.patience.set()
        await eventually(lambda: len(here.said()) == 1)
        assert sage.model.asked == ["Ana: hello"]


@pytest.mark.parametrize("text", ["hello", "marcus, hello"])
async def test_half_an_answer_that_discord_would_not_take_to_its_end_is_finished_later(
    tmp_path: Path, text: str
) -> None:
    async with home(tmp_path) as here, here.awake() as sage:
        here.patience.clear()
        sage.model.held = asyncio.Event()
        await here.say(text)
        await eventually(lambda: len(here.said()) == 1)
        here.server.fail("PATCH .*/messages", 400, times=9)
        sage.model.held.set()
        await eventually(lambda: bool(here.waits) and not sage.world.bot._showing)
        assert here.said() == [f"heard Ana: {text}"[:-1]]
        assert (await sage.kept())[-1].receipts == ()
        here.server.rest.faults.failures.clear()
        here.patience.set()
        await eventually(lambda: here.said() == [f"heard Ana: {text}"])
        assert sage.model.asked == [f"Ana: {text}"]
        await eventually(lambda: bool(rows(tmp_path, "SELECT 1 FROM pages")))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stoppable", [False, True])
async def test_half_of_a_second_answer_goes_and_the_first_one_stays(
    tmp_path: Path, masked: bool, stoppable: bool
) -> None:
    async with home(tmp_path) as here:
        async with here.awake(says=LONG):
            question = await here.say("marcus, hello" if masked else "hello")
            await eventually(lambda: len(here.said()) == 3)
        first = standing(here)
        stop = {"type": 2, "style": 2, "label": "Stop", "custom_id": f"t:stop:01abc:{here.ana.id}"}
        rows = [[], [{"type": 1, "components": [stop]}] if stoppable else []]
        for number, row in enumerate(rows):
            below = None if masked or number else question
            half = here.server.post(here.channel, first[0].author, "half of another", reference=below, components=row)
            half.webhook_id, half.application = first[0].webhook_id, first[0].application
        async with here.awake() as sage:
            assert standing(here) == first
            assert sage.model.asked == []


async def test_an_answer_that_another_one_has_replaced_does_not_stand_there_any_more(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            await here.say("hello")
            await eventually(lambda: bool(rows(tmp_path, "SELECT 1 FROM pages")))
            answer = (await sage.kept())[-1]
            await sage.world.bot.afterwards.remove(answer, answer.at)
        assert len(standing(here)) == 1
        async with here.awake():
            assert standing(here) == []


async def test_an_answer_given_anew_that_was_not_kept_goes_and_the_one_before_stays(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            await here.say("hello")
            await eventually(lambda: bool(rows(tmp_path, "SELECT 1 FROM pages")))
            (first,) = standing(here)
        again = here.server.post(
            here.channel,
            first.author,
            "another answer",
            reference=first.reference,
            components=[{"type": 1, "components": [{**AGAIN, "custom_id": "t:again:01abc"}]}],
        )
        again.application = first.application
        async with here.awake() as sage:
            assert standing(here) == [first]
            assert sage.model.asked == []


@pytest.mark.parametrize("text", ["hello", "marcus, hello"])
async def test_after_a_crash_the_answer_given_anew_is_the_only_one(tmp_path: Path, text: str) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            await here.say(text)
            await eventually(lambda: bool(rows(tmp_path, "SELECT 1 FROM pages")))
            (first,) = standing(here)
        async with here.awake(says="another answer"):
            await here.server.click(here.ana, first, "Regenerate")
            await eventually(lambda: first.deleted)
        (second,) = standing(here)
        first.deleted = False
        here.channel.messages[first.id] = first
        undone(tmp_path, "UPDATE messages SET deleted_at = NULL")
        async with here.awake() as sage:
            assert standing(here) == [second]
            assert [one.text for one in await sage.kept()] == [text, "another answer"]
            assert sage.model.asked == []
