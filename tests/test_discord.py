"""The Discord front's behaviour, in SimCord: when the bot speaks, when it is silent, and what it shows and keeps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from discord.gateway import DiscordWebSocket
from yarl import URL

from bots.providers import Chunk, Prompt
from bots.settings import BotSettings
from bots.values import Secret

from .account import account as logged_in
from .account import front_of
from .wire.discord_accounts import BotAccount
from .wire.discord_client import pointed_at
from .wire.discord_limits import Refusal
from .wire.discord_model import Channel, Message
from .wire.discord_server import DiscordServer
from .world import World, persona, settings, world

PATTERNS = {"always": ["advice-*"], "listen": ["news"], "mention": ["quiet"]}


@asynccontextmanager
async def account(
    tmp_path: Path, config: BotSettings | None = None, **discord_settings: Any
) -> AsyncIterator[tuple[World, simcord.Env]]:
    async with logged_in(tmp_path, config, channels=PATTERNS, **discord_settings) as found:
        yield found


def me(env: simcord.Env) -> discord.ClientUser:
    assert env.bot.user is not None
    return env.bot.user


def answers(channel: Any) -> list[discord.Message]:
    return [message for message in channel.history() if message.author.bot]


@pytest.mark.parametrize(
    ("channel_name", "text", "answered", "kept"),
    [
        ("general", "what is 6 * 7?", False, False),
        ("general", "{me} what is 6 * 7?", True, True),
        ("general", "hey sage, what is 6 * 7?", True, True),
        ("advice-life", "what is 6 * 7?", True, True),
        ("advice-life", "{ben} what is 6 * 7?", False, True),
        ("advice-life", "Logic, what is 6 * 7?", False, False),
        ("news", "the meeting is at noon", False, True),
        ("news", "{me} what is 6 * 7?", True, True),
        ("quiet", "what is 6 * 7?", False, False),
    ],
)
async def test_who_is_answered_where(tmp_path: Path, channel_name: str, text: str, answered: bool, kept: bool) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel(channel_name)
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        await ana.send(channel, text.format(me=me(env).mention, ben=ben.mention))
        assert bool(answers(channel)) is answered
        assert ((await w.store.counts()).messages > 0) is kept


async def test_an_answer_replies_to_its_question_pings_nobody_and_equals_what_is_kept(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        question = await ana.send(channel, "what is 6 * 7? @everyone")
        (answer,) = answers(channel)
        assert answer.reference is not None
        assert answer.reference.message_id == question.id
        assert not answer.mention_everyone
        assert not answer.mentions
        (session,) = await w.store.sessions()
        kept = (await w.store.messages(session.id))[-1]
        assert answer.content == kept.text
        assert [receipt.origin for receipt in kept.receipts] == [f"discord:{channel.id}:{answer.id}"]


async def test_a_reply_to_the_bot_needs_no_mention(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, f"{me(env).mention} what is 2 + 2?")
        await ana.send(channel, "and what is 3 + 4?", reply_to=answers(channel)[0])
        assert "7" in answers(channel)[-1].content


@pytest.mark.parametrize(
    ("dms", "answered"),
    [
        ({"policy": "everyone"}, True),
        ({"policy": "off"}, False),
        ({"policy": "allowlist", "allow": ["1"]}, False),
    ],
)
async def test_the_policy_says_who_may_write_privately(tmp_path: Path, dms: dict[str, Any], answered: bool) -> None:
    async with account(tmp_path, dms=dms) as (w, env):
        ana = env.create_user("ana")
        await ana.send_dm("what is 6 * 7?")
        assert ((await w.store.counts()).messages > 0) is answered
        if answered:
            (session,) = await w.store.sessions()
            assert session.channel.kind == "dm"
            assert session.channel.safe_name == f"ana_{ana.id}"


async def test_people_with_unusual_names_in_unusual_channels_lose_nothing(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("🎭🎉")
        for name in ("\u200b\u200b", "\u202eevil", "שלום", "🦊"):
            await guild.add_member(env.create_user(name)).send(channel, f"{me(env).mention} what is 1 + 1?")
        assert len(answers(channel)) == 4
        session = (await w.store.sessions())[0]
        assert session.channel.name == "🎭🎉"
        assert session.channel.safe_name.endswith(str(channel.id))
        assert all(p.name.isprintable() and p.name.strip() for p in session.participants)


async def test_a_bare_mention_is_answered(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, me(env).mention)
        assert len(answers(channel)) == 1


async def test_other_bots_are_answered_when_they_ask_and_only_a_few_times_in_a_row(tmp_path: Path) -> None:
    async with account(tmp_path, bot_turns=2) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        other = guild.add_member(env.create_user("other", bot=True))
        await other.send(channel, f"{me(env).mention} what is 1 + 1?")
        assert [m.author.id for m in answers(channel)] == [other.id], "no person has spoken yet"
        await ana.send(channel, "what is 1 + 2?")
        for _ in range(4):
            await other.send(channel, f"{me(env).mention} what is 1 + 1?")
        mine = [m for m in answers(channel) if m.author.id == me(env).id]
        assert len(mine) == 3
        await ana.send(channel, "what is 2 + 2?")
        await other.send(channel, f"{me(env).mention} what is 1 + 1?")
        mine = [m for m in answers(channel) if m.author.id == me(env).id]
        assert len(mine) == 5


async def test_webhooks_and_system_messages_are_not_people(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        await guild.create_webhook(channel).send("what is 6 * 7?")
        (session,) = await w.store.sessions()
        (line,) = await w.store.messages(session.id)
        assert (line.sender.type, line.text) == ("bot", "what is 6 * 7?")


async def test_a_missing_permission_is_survived(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        env.inject_error("POST", f"/channels/{channel.id}/messages", status=403, code=50013)
        await ana.send(channel, "what is 6 * 7?")
        await ana.send(channel, "what is 6 * 8?")
        assert "48" in answers(channel)[-1].content
        (session,) = await w.store.sessions()
        assert session.message_count == 4, "what could not be shown is still kept"


async def test_attachments_are_kept_as_references(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        files = [(f"cat{n}.png", b"\x89PNG") for n in range(10)]
        await ana.send(channel, "", attachments=files)
        (session,) = await w.store.sessions()
        line = (await w.store.messages(session.id))[0]
        assert [part.name for part in line.attachments] == [name for name, _ in files]


async def test_personas_are_called_by_name(tmp_path: Path) -> None:
    config = settings(personas=[persona("sage"), persona("marcus")])
    async with account(tmp_path, config) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "Marcus, what is 6 * 7?")
        assert answers(channel)[0].content.startswith("**Marcus**\n")


# On the loopback wire


class Says:
    """A model that says its words when they come, and ends when told to."""

    name, model = "loopback", "loopback"

    def __init__(self, *words: str) -> None:
        self.words: asyncio.Queue[str | None] = asyncio.Queue()
        self.always = words

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        for word in self.always:
            yield Chunk(word)
        while not self.always and (next_word := await self.words.get()) is not None:
            yield Chunk(next_word)

    async def close(self) -> None:
        """Holds nothing open."""


@asynccontextmanager
async def fronted(
    server: DiscordServer, bot: BotAccount, root: Path, model: Says, **more: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """A bot's front on a loopback Discord; yields the task that serves it."""
    token = Secret(variable="TOKEN", value=bot.token)
    config = settings(name=bot.name, root=root, discord={"token": token, "edit_interval": 0.5})
    async with world(config, root=root, provider=model) as w:
        front = front_of(w, root, **more)
        with pointed_at(server):
            serving = asyncio.ensure_future(front.serve())
            try:
                yield serving
            finally:
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving


@asynccontextmanager
async def wire(root: Path, model: Says) -> AsyncIterator[tuple[DiscordServer, BotAccount, Channel]]:
    """One bot, ready, and a channel on a loopback Discord."""
    async with DiscordServer(rate_limits=False) as server:
        bot = server.add_bot("token-1", "sage")
        channel = server.add_guild("Home").add_channel("general")
        async with fronted(server, bot, root, model):
            await server.until_ready(bot)
            yield server, bot, channel


def posts(server: DiscordServer, channel: Channel) -> list[str]:
    """The contents posted to a channel, also those whose answer was lost."""
    path = f"/channels/{channel.id}/messages"
    return [r.body["content"] for r in server.requests if (r.method, r.path) == ("POST", path)]


async def shows(server: DiscordServer, question: Message, text: str) -> Message:
    answer = await server.answer_to(question)
    await server.until(lambda: answer.content == text)
    return answer


async def test_a_post_whose_answer_was_lost_ends_up_as_the_final_text(tmp_path: Path) -> None:
    model = Says()
    async with wire(tmp_path, model) as (server, bot, channel):
        route = server.rest.routes
        written: Callable[..., Any] = route._write
        lost = itertools.count()

        def write_and_fail(*args: Any, **kwargs: Any) -> Any:
            message = written(*args, **kwargs)
            if next(lost) == 0:
                route._nonces[bot.id, str(message.nonce)] = message
                raise Refusal(503, 0, "made to fail")
            return message

        route._write = write_and_fail  # type: ignore[method-assign]
        question = await server.say(server.add_person("ana"), channel, "well?", mentions=[bot])
        model.words.put_nowait("one ")
        await server.answer_to(question)
        for word in ("two ", "three", None):
            model.words.put_nowait(word)
        await shows(server, question, "one two three")
        assert posts(server, channel) == ["one", "one two three"]
        assert len([m for m in server.messages(channel) if m.author is bot]) == 1


async def test_what_discord_refuses_for_good_is_not_tried_again(tmp_path: Path) -> None:
    model = Says("forbidden words")
    async with wire(tmp_path, model) as (server, bot, channel):
        ana = server.add_person("ana")
        server.fail("POST .*/messages", 400, code=200000, message="Message was blocked by automatic moderation")
        await server.say(ana, channel, "one", mentions=[bot])
        await server.until(lambda: len(posts(server, channel)) == 1)
        second = await server.say(ana, channel, "two", mentions=[bot])
        await shows(server, second, "forbidden words")
        assert len(posts(server, channel)) == 2


async def test_an_answer_that_may_not_reply_stands_alone(tmp_path: Path) -> None:
    async with wire(tmp_path, Says("anyway")) as (server, bot, channel):
        server.fail("POST .*/messages", 400, code=160002, message="Cannot reply without permission to read history")
        await server.say(server.add_person("ana"), channel, "well?", mentions=[bot])
        await server.until(lambda: server.messages(channel)[-1].content == "anyway")
        assert server.messages(channel)[-1].reference_id is None


async def test_a_line_of_four_thousand_characters_is_answered(tmp_path: Path) -> None:
    async with wire(tmp_path, Says("read")) as (server, bot, channel):
        question = await server.say(server.add_person("ana"), channel, "x" * 3950, mentions=[bot])
        await shows(server, question, "read")


async def test_discord_out_of_reach_at_the_start_is_waited_for(tmp_path: Path) -> None:
    waits: list[float] = []
    told: list[object] = []
    async with DiscordServer(rate_limits=False) as server:
        bot = server.add_bot("token-1", "sage")
        channel = server.add_guild("Home").add_channel("general")
        server.fail("GET /users/@me", 503, times=7)
        server.fail("GET /oauth2/applications/@me", 503)

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 9:
                DiscordWebSocket.DEFAULT_GATEWAY = URL(server.gateway_url)

        def report(facts: dict[str, object]) -> None:
            told.append(facts.get("discord"))

        async with fronted(server, bot, tmp_path, Says("here"), wait=wait, chance=lambda: 1.0, report=report):
            DiscordWebSocket.DEFAULT_GATEWAY = URL("ws://127.0.0.1:1")
            await server.until_ready(bot)
            await shows(server, await server.say(server.add_person("ana"), channel, "well?", mentions=[bot]), "here")
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [each for each in told if each != "reconnecting"][:10] == ["unreachable"] * 9 + ["connected"]


async def test_an_answer_under_way_reaches_its_channel_before_the_bot_goes_offline(tmp_path: Path) -> None:
    model = Says()
    async with DiscordServer(rate_limits=False) as server:
        bot = server.add_bot("token-1", "sage")
        channel = server.add_guild("Home").add_channel("general")
        async with fronted(server, bot, tmp_path, model) as serving:
            await server.until_ready(bot)
            question = await server.say(server.add_person("ana"), channel, "well?", mentions=[bot])
            model.words.put_nowait("half an ")
            answer = await server.answer_to(question)
            serving.cancel()
            await asyncio.wait((serving,))
            assert answer.content.startswith("half an")
            assert "restarted" in answer.content
            assert not server.connected(bot)


async def test_two_of_our_bots_that_answer_each_other_come_to_an_end(tmp_path: Path) -> None:
    async with DiscordServer(rate_limits=False) as server:
        one, two = server.add_bot("token-1", "one"), server.add_bot("token-2", "two")
        channel = server.add_guild("Home").add_channel("general")
        async with (
            fronted(server, one, tmp_path / "one", Says("says one")),
            fronted(server, two, tmp_path / "two", Says("says two")),
        ):
            await server.until_ready(one)
            await server.until_ready(two)
            await server.say(server.add_person("ben"), channel, "talk to each other")
            await server.say(two, channel, "hello", mentions=[one])
            # Each answers three lines of the other, since every answer replies to the line before.
            await server.until(lambda: len(server.messages(channel)) == 8)
            last = server.messages(channel)[-1]
            again = await server.say(server.add_person("ana"), channel, "and I?", mentions=[last.author])
            await server.answer_to(again)
            assert server.messages(channel)[8] is again
