"""Personas with faces of their own: webhooks where they can be, names in bold where they cannot, and what is worn."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import discord
import pytest

from bots.discord.faces import Faces
from bots.discord.posting import Posting, Sheet
from bots.values import Secret

from .account import front_of
from .speaking import PICTURE, Says, Speaker, awake, speaking, two_faces
from .wire.discord_accounts import Face
from .wire.discord_client import pointed_at
from .wire.discord_model import Message
from .wire.discord_server import DiscordServer
from .world import persona, settings, world

ASKED = "Marcus, are you there?"


def face(message: Message) -> tuple[str, str | None]:
    assert isinstance(message.author, Face), message.author.name
    return message.author.name, message.author.avatar_url


async def follow_up(server: DiscordServer, question: Message) -> Message:
    """The next message in a question's channel."""
    await server.until(lambda: server.messages(question.channel)[-1].id > question.id)
    return server.messages(question.channel)[-1]


async def test_a_persona_speaks_with_its_own_name_and_picture(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        (answer,) = await place.answers(place.channel, ASKED)
        assert face(answer) == ("Marcus", PICTURE)
        assert answer.content == "I am."
        assert answer.allowed_mentions == {"parse": []}
        assert place.speaker.receipts == [(f"discord:{place.channel.id}:{answer.id}",)]


async def test_the_first_persona_is_the_account_itself(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        (answer,) = await place.answers(place.channel, "Sage, are you there?")
        assert answer.author is place.account
        assert answer.reference_id is not None
        assert place.asked("webhooks") == 0


@pytest.mark.parametrize("kind", ["text", "forum"])
async def test_threads_and_forum_posts_use_the_webhook_of_their_channel(tmp_path: Path, kind: str) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        home = place.guild.add_channel("home", kind)
        thread = place.server.add_thread(home, "a talk")
        (answer,) = await place.answers(thread, ASKED)
        assert face(answer)[0] == "Marcus"
        assert answer.channel is thread
        assert [hook.channel for hook in place.server.webhooks.values()] == [home]


async def test_one_webhook_serves_a_channel_and_is_found_again_after_a_restart(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        place.server.add_webhook(place.channel, "somebody's")
        await place.answers(place.channel, ASKED)
        await place.answers(place.channel, ASKED)
        await place.speaker.close()
        again = Speaker(place.speaker.bot, tmp_path, place.server.note)
        async with awake(place.server, place.account, again):
            place.speaker = again
            answers = await place.answers(place.channel, ASKED)
        assert [face(answer)[0] for answer in answers] == ["Marcus"] * 3
        assert place.asked("POST /channels/.*/webhooks") == 1


async def test_two_answers_at_once_make_one_webhook(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        ben, thread = place.server.add_person("ben"), place.server.add_thread(place.channel, "a talk")
        await place.server.say(place.ana, place.channel, ASKED)
        await place.server.say(ben, thread, ASKED)
        await place.server.until(lambda: len(place.speaker.receipts) == 2)
        assert len(place.server.webhooks) == 1


async def test_without_manage_webhooks_the_name_stands_in_bold(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        await place.server.deny(place.account, place.channel, "manage_webhooks")
        (answer,) = await place.answers(place.channel, ASKED)
        assert answer.author is place.account
        assert answer.content == "**Marcus**\nI am."
        assert place.asked("webhooks") == 0


async def test_in_a_private_talk_the_name_stands_in_bold(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        (answer,) = await place.answers(place.server.dm(place.ana, place.account), ASKED)
        assert answer.content == "**Marcus**\nI am."


async def test_with_faces_turned_off_the_name_stands_in_bold(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am."), two_faces(faces=False)) as place:
        (answer,) = await place.answers(place.channel, ASKED)
        assert (answer.author, answer.content) == (place.account, "**Marcus**\nI am.")


async def test_a_channel_full_of_webhooks_is_not_asked_for_another_with_every_answer(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        for number in range(15):
            place.server.add_webhook(place.channel, f"hook {number}")
        answers = [await place.answers(place.channel, ASKED) for _ in range(3)][-1]
        assert [answer.content for answer in answers] == ["**Marcus**\nI am."] * 3
        assert place.asked("POST /channels/.*/webhooks") == 1


async def test_a_right_lost_in_between_leaves_the_name_in_bold(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        place.server.fail("GET /channels/.*/webhooks", 403, code=50013)
        (answer,) = await place.answers(place.channel, ASKED)
        assert answer.content == "**Marcus**\nI am."


async def test_a_webhook_deleted_in_mid_answer_is_made_anew_and_nothing_stands_twice(tmp_path: Path) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, ASKED)
        model.words.put_nowait("one ")
        await place.server.until(place.pages)
        (hook,) = place.server.webhooks.values()
        place.server.drop_webhook(hook)
        for word in ("two", None):
            model.words.put_nowait(word)
        await place.server.until(lambda: place.speaker.receipts)
        (answer,) = place.pages()
        assert (face(answer)[0], answer.content) == ("Marcus", "one two")
        (other,) = place.server.webhooks.values()
        assert other is not hook
        assert place.asked(f"/webhooks/{hook.id}/.*") <= 3, "a webhook that is gone is left alone"


@pytest.mark.parametrize("code", [0, 50027])
async def test_a_webhook_with_another_token_in_mid_answer_is_found_again_and_nothing_stands_twice(
    tmp_path: Path, code: int
) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, ASKED)
        model.words.put_nowait("one ")
        await place.server.until(place.pages)
        (hook,) = place.server.webhooks.values()
        for method in ("PATCH", "DELETE"):
            place.server.fail(f"{method} /webhooks/{hook.id}/", 401, code=code)
        for word in ("two", None):
            model.words.put_nowait(word)
        await place.server.until(lambda: place.speaker.receipts)
        (answer,) = place.pages()
        assert (face(answer)[0], answer.content) == ("Marcus", "one two")
        assert list(place.server.webhooks.values()) == [hook]


async def test_a_webhook_that_cannot_be_made_anew_leaves_the_account_to_say_it(tmp_path: Path) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, ASKED)
        model.words.put_nowait("one ")
        await place.server.until(place.pages)
        place.server.drop_webhook(next(iter(place.server.webhooks.values())))
        place.server.fail("POST /channels/.*/webhooks", 400, code=30007)
        for word in ("two", None):
            model.words.put_nowait(word)
        await place.server.until(lambda: place.speaker.receipts)
        (answer,) = place.pages()
        assert (answer.author, answer.content) == (place.account, "**Marcus**\none two")


async def test_what_came_through_our_webhooks_is_known_as_ours_also_after_a_restart(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        (answer,) = await place.answers(place.channel, ASKED)
        theirs = place.server.add_webhook(place.channel, "somebody's")
        place.server.post(place.channel, Face(theirs.id, "somebody", None), "hello", webhook_id=theirs.id)
        await place.server.until(lambda: len(place.speaker.heard) == 3)
        fresh = Faces(place.speaker, place.speaker.bot, worn=tmp_path / "worn", ticks=time.monotonic)
        for faces in (place.speaker.faces, fresh):
            assert [faces.own(event) for event in place.speaker.heard] == [False, True, False]
        assert place.speaker.heard[1].id == answer.id


async def test_a_reply_to_a_personas_message_comes_back_to_that_persona(tmp_path: Path) -> None:
    token = Secret(variable="TOKEN", value="token-1")
    async with (
        DiscordServer(rate_limits=False) as server,
        world(two_faces(tmp_path, token=token), root=tmp_path, provider=Says("I am.")) as w,
    ):
        account = server.add_bot("token-1", "sage")
        channel, ana = server.add_guild("Home").add_channel("general"), server.add_person("ana")
        with pointed_at(server):
            serving = asyncio.ensure_future(front_of(w, tmp_path).serve())
            await server.until_ready(account)
            first = await follow_up(server, await server.say(ana, channel, ASKED))
            second = await follow_up(server, await server.say(ana, channel, "and what else?", reply_to=first))
            assert [face(answer)[0] for answer in (first, second)] == ["Marcus", "Marcus"]
            serving.cancel()
            await asyncio.wait((serving,))
        assert server.violations == []


async def test_a_single_persona_wears_its_name_and_picture_in_every_guild_once(tmp_path: Path) -> None:
    config = settings(personas=[persona("marcus", display="Marcus Aurelius", avatar=PICTURE)])
    async with speaking(tmp_path, Says("I am."), config) as place:
        guild = place.speaker.guilds[0]
        await place.speaker.faces.dress(guild)
        await place.server.until(lambda: guild.me.nick == "Marcus Aurelius")
        assert guild.me.guild_avatar is not None
        for faces in (place.speaker.faces, Speaker(place.speaker.bot, tmp_path, place.server.note).faces):
            await faces.dress(guild)
        assert place.asked("PATCH /guilds/.*/members/@me") == 1


async def test_an_account_that_may_not_change_its_nickname_stays_as_it_is(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am."), settings(personas=[persona("marcus")])) as place:
        await place.server.deny(place.account, place.guild, "change_nickname")
        guild = place.speaker.guilds[0]
        await place.server.until(lambda: not guild.me.guild_permissions.change_nickname)
        await place.speaker.faces.dress(guild)
        assert place.asked("PATCH /guilds/.*/members/@me") == 0


async def test_a_bot_of_several_personas_keeps_its_own_look(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        await place.speaker.faces.dress(place.speaker.guilds[0])
        assert place.asked("PATCH /guilds/.*/members/@me") == 0


async def test_a_page_whose_arrival_nobody_confirmed_does_not_stand_twice(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("I am.")) as place:
        await place.answers(place.channel, ASKED)  # the same words stand there rightly
        channel: Any = place.speaker.get_channel(place.channel.id)
        question = await channel.send("well?")
        hook = await place.speaker.faces.webhook(channel)
        posting = Posting(question, place.speaker.faces, lambda _row: None)
        marcus = place.speaker.faces.face("marcus")
        place.server.fail(f"POST /webhooks/{hook.id}/", 400)
        with pytest.raises(discord.HTTPException):
            await posting.send(Sheet("It is so."), marcus, nonce="1", first=True)
        # That answer was lost on its way back: the page stands there.
        arrived = await hook.send("It is so.", wait=True, username="Marcus")
        posted = await posting.send(Sheet("It is so."), marcus, nonce="1", first=True)
        assert posted.message.id == arrived.id
        assert [page.content for page in place.pages()] == ["I am.", "well?", "It is so."]
