"""Three bot processes under `troupe up`, on real wires: the conversations people have, and what goes wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tests.wire.discord_accounts import BotAccount, Person
from tests.wire.discord_model import Channel, Guild, Message

from .stage import Stage, eventually, gone, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("sage", "spark", "logic")
SAID = "SELECT content FROM conversations ORDER BY id"


class Fleet:
    """The running fleet and the people around it."""

    def __init__(self, here: Stage) -> None:
        self.here = here
        self.discord, self.provider = here.discord, here.provider
        self.bots = {name: self.discord.add_bot(f"token-{name}", name) for name in NAMES}
        self.home: Guild = self.discord.add_guild("Home")
        self.ana: Person = self.discord.add_person("ana")
        self._numbers: Iterator[int] = count(1)

    def room(self, name: str = "") -> Channel:
        return self.home.add_channel(name or f"room-{next(self._numbers)}")

    async def ask(self, bot: str, channel: Channel, text: str, who: Person | None = None) -> Message:
        account = self.bots[bot]
        return await self.discord.say(who or self.ana, channel, text, mentions=[account])

    async def answer(self, question: Message, by: str, ending: str = "") -> Message:
        """The settled answer to a question."""
        answer = await self.discord.answer_to(question, by=self.bots[by])
        await self.discord.until(lambda: answer.content.endswith(ending))
        return answer

    async def kept(self, bot: str, there: Callable[[list[str]], bool]) -> list[str]:
        """The contents of a bot's database once they are as wanted."""

        def look() -> list[str]:
            return [str(row[0]) for row in self.here.rows(bot, SAID)]

        await eventually(lambda: there(look()))
        return look()

    def account(self, bot: str) -> BotAccount:
        return self.bots[bot]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with stage(tmp_path_factory.mktemp("fleet")) as here:
        found = Fleet(here)
        environment = here.write({name: {} for name in NAMES}, heartbeat=0.2)
        with here.troupe("up", environment=environment):
            for account in found.bots.values():
                await here.discord.until_ready(account)
            yield found
        assert here.discord.violations == []
        assert here.discord.unknown_routes == []
        assert "Traceback" not in here.log


async def test_people_talk_in_channels_threads_and_dms_with_each_bot(fleet: Fleet) -> None:
    fleet.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
    room = fleet.room()
    places = [room, fleet.discord.add_thread(room, "plans", owner=fleet.ana)]
    for name in NAMES:
        for place in (*places, fleet.discord.dm(fleet.ana, fleet.account(name))):
            question = await fleet.ask(name, place, f"hello {name}")
            answer = await fleet.answer(question, name, f"heard hello {name}")
            assert answer.content == f"heard hello {name}"
            assert answer.allowed_mentions is not None
            assert not answer.allowed_mentions.get("parse")
            assert answer.nonce


async def test_a_reply_goes_on_without_a_mention(fleet: Fleet) -> None:
    room = fleet.room()
    fleet.provider.answer("first answer")
    first = await fleet.answer(await fleet.ask("sage", room, "one"), "sage", "first answer")
    fleet.provider.answer("second answer")
    reply = await fleet.discord.say(fleet.ana, room, "two", reply_to=first)
    assert (await fleet.answer(reply, "sage", "second answer")).content == "second answer"
    prompt = [line.text for line in fleet.provider.asks[-1].lines]
    assert "first answer" in prompt


async def test_a_long_answer_with_nested_fences_comes_in_whole_pages(fleet: Fleet) -> None:
    room = fleet.room()
    inner = "".join(f"def step_{n}():\n    return {n!r} * 2  # one more line of code\n\n" for n in range(60))
    document = f"A document with code:\n\n```python\n{inner}```\n\n{'words ' * 800}"
    text = f"Here it is:\n\n````markdown\n{document}\n````\n\nThat is all."
    assert len(text) > 8000
    fleet.provider.answer(text, piece_size=40, pace=0.002)
    question = await fleet.ask("logic", room, "long please")
    await fleet.discord.until(
        lambda: (
            bool(fleet.discord.messages(room)) and fleet.discord.messages(room)[-1].content.endswith("That is all.")
        ),
        timeout=30,
    )
    shown = [message for message in fleet.discord.messages(room) if message.author.id == fleet.account("logic").id]
    assert len(shown) >= 4
    assert all(len(message.content) <= 2000 for message in shown)
    assert shown[0].reference_id == question.id
    assert all(message.content.count("````") % 2 == 0 for message in shown)
    await fleet.kept("logic", lambda contents: text in contents)
    query = "SELECT count(*) FROM pages JOIN conversations ON conversations.id = message WHERE length(content) > 6000"
    await eventually(lambda: fleet.here.rows("logic", query) == [(len(shown),)])


async def test_five_people_at_once_get_five_whole_answers_in_one_session(fleet: Fleet) -> None:
    room = fleet.room()
    long = "word " * 900
    fleet.provider.default = lambda ask: f"{ask.question.rsplit(': ', 1)[-1]} {long}end"
    people = [fleet.discord.add_person(f"person-{n}") for n in range(5)]
    for n, person in enumerate(people):
        await fleet.ask("spark", room, f"question-{n}", person)

    def answers() -> list[Message]:
        return [m for m in fleet.discord.messages(room) if m.author.id == fleet.account("spark").id]

    await fleet.discord.until(lambda: len(answers()) == 15 and answers()[-1].content.endswith("end"))
    pages = [next((n for n in range(5) if m.content.startswith(f"question-{n}")), None) for m in answers()]
    assert [n for n in pages if n is not None] == [0, 1, 2, 3, 4]
    assert [page is None for page in pages] == [False, True, True] * 5, "pages of one answer stand together"
    sessions = fleet.here.rows("spark", f"SELECT DISTINCT session_id FROM conversations WHERE channel_id = '{room.id}'")
    assert len(sessions) == 1


async def test_a_provider_failing_in_mid_stream_leaves_what_was_said(fleet: Fleet) -> None:
    room = fleet.room()
    fleet.provider.break_off(after_pieces=3, text="one two three four five six")
    answer = await fleet.answer(await fleet.ask("sage", room, "count"), "sage", "in a minute.")
    assert answer.content.startswith("one two")
    assert "broke off" in answer.content
    assert answer.content in await fleet.kept("sage", lambda contents: answer.content in contents)


async def test_a_storm_of_429_delays_and_loses_nothing(fleet: Fleet) -> None:
    room = fleet.room()
    fleet.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
    fleet.discord.storm(6, retry_after=0.05)
    questions = [await fleet.ask(name, room, f"storm {name}") for name in NAMES]
    for name, question in zip(NAMES, questions, strict=True):
        await fleet.answer(question, name, f"heard storm {name}")
    mine = [m.content for m in fleet.discord.messages(room) if m.author.id != fleet.ana.id]
    assert sorted(mine) == sorted(f"heard storm {name}" for name in NAMES)


async def test_a_dropped_socket_resumes_and_what_was_said_meanwhile_is_answered_once(fleet: Fleet) -> None:
    room, sage = fleet.room(), fleet.account("sage")
    fleet.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
    identifies = fleet.discord.identifies[sage]
    resumes = fleet.discord.resumes[sage]
    await fleet.discord.drop(sage)
    question = await fleet.ask("sage", room, "said while you were away")
    await fleet.answer(question, "sage", "heard said while you were away")
    await fleet.discord.reconnect(sage)
    await fleet.discord.until(lambda: fleet.discord.resumes[sage] == resumes + 2)
    again = await fleet.ask("sage", room, "and after a polite reconnect")
    await fleet.answer(again, "sage", "polite reconnect")
    assert fleet.discord.identifies[sage] == identifies
    answers = [m for m in fleet.discord.messages(room) if m.author.id == sage.id]
    assert len(answers) == 2


async def test_two_bots_in_one_channel_are_asked_by_name_and_keep_only_their_own(fleet: Fleet) -> None:
    room = fleet.room()
    fleet.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
    for name in ("sage", "logic"):
        question = await fleet.discord.say(fleet.ana, room, f"{name}, are you {name} of the duet?")
        await fleet.answer(question, name, "of the duet?")
    for name, other in (("sage", "logic"), ("logic", "sage")):
        contents = await fleet.kept(name, lambda contents: len(contents) >= 2 and "of the duet?" in contents[-1])
        assert not [content for content in contents if f"are you {other} of the duet" in content]
    assert len(fleet.discord.messages(room)) == 4


async def test_killing_one_bot_leaves_the_others_and_it_comes_back_with_its_history(fleet: Fleet) -> None:
    room = fleet.room()
    fleet.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
    await fleet.answer(await fleet.ask("logic", room, "before the fall"), "logic", "before the fall")
    before = await fleet.kept("logic", lambda contents: "heard before the fall" in contents)
    logic, identifies = fleet.account("logic"), dict(fleet.discord.identifies)
    pid = fleet.here.status("logic")["pid"]
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    await fleet.answer(await fleet.ask("sage", room, "still there?"), "sage", "still there?")
    await fleet.discord.until(lambda: fleet.discord.identifies[logic] == identifies[logic] + 1)
    await fleet.discord.until_ready(logic)
    await fleet.answer(await fleet.ask("logic", room, "after the fall"), "logic", "after the fall")
    after = await fleet.kept("logic", lambda contents: "heard after the fall" in contents)
    assert after[: len(before)] == before
    assert "before the fall" in " ".join(line.text for line in fleet.provider.asks[-1].lines)
    assert fleet.here.status("logic")["restarts"] == 1
    assert fleet.discord.identifies[fleet.account("sage")] == identifies[fleet.account("sage")]


async def test_a_worthless_token_stops_that_bot_with_its_reason_and_no_other(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        good = here.discord.add_bot("token-good", "good")
        guild, ana = here.discord.add_guild("Home"), here.discord.add_person("ana")
        environment = here.write({"good": {}, "bad": {}, "shy": {}}, heartbeat=0.2)
        shy = here.discord.add_bot("token-shy", "shy", intents_allowed=1 << 0 | 1 << 9 | 1 << 12)
        with here.troupe("up", environment=environment):
            await here.discord.until_ready(good)
            room = guild.add_channel("general")
            question = await here.discord.say(ana, room, "hello", mentions=[good])
            await here.discord.answer_to(question, by=good)
            for name in ("bad", "shy"):
                await eventually(lambda name=name: here.status(name)["state"] == "fatal")  # type: ignore[misc]
            assert "BAD_TOKEN" in here.status("bad")["last_error"]
            assert "Message Content" in here.status("shy")["last_error"]
            assert here.status("good")["state"] == "ready"
            # A close frame can get lost with its socket: then it is asked for once more.
            assert 1 <= here.discord.gateway.closures[shy, 4014] <= 2
        assert "token-" not in here.log
