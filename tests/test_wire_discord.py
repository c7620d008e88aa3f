"""The loopback Discord's world and REST wire, driven by the real, unpatched discord.py client."""

from __future__ import annotations

import io

import aiohttp
import discord
import pytest

from tests.wire.discord_accounts import ALL_INTENTS, Intents
from tests.wire.discord_client import Client, Room, place, running

UNPRIVILEGED = discord.Intents.default()


async def test_a_client_connects_and_knows_its_guild(room: Room, client: Client) -> None:
    assert client.user is not None
    assert (client.user.id, client.user.name) == (room.bot.id, "echo")
    guild = client.get_guild(room.guild.id)
    assert guild is not None
    assert guild.name == "Home"
    assert [channel.name for channel in guild.text_channels] == ["general"]
    assert {member.name for member in guild.members} >= {"ann", "echo"}
    assert guild.me.guild_permissions.administrator
    ann = guild.get_member(room.ann.id)
    assert ann is not None
    assert not ann.guild_permissions.administrator
    assert room.server.identifies[room.bot] == 1


async def test_what_a_person_says_reaches_the_client_whole(room: Room, client: Client) -> None:
    first = await room.server.say(room.ann, room.channel, "hello")
    said = await room.server.say(
        room.ann,
        room.channel,
        "look",
        reply_to=first,
        mentions=[room.bot],
        attachments=[("a.txt", b"abc", "text/plain")],
    )
    assert (await client.next("message")).content == "hello"
    heard = await client.next("message")
    assert (heard.id, heard.content) == (said.id, f"<@{room.bot.id}> look")
    assert heard.author.name == "ann"
    assert isinstance(heard.author, discord.Member)
    assert heard.guild.id == room.guild.id
    assert client.user in heard.mentions
    assert heard.reference.resolved.content == "hello"
    assert heard.type is discord.MessageType.reply
    assert await heard.attachments[0].read() == b"abc"


async def test_a_send_with_the_same_nonce_posts_once(room: Room, client: Client) -> None:
    channel = place(client, room.channel)
    one = await channel.send("hi", nonce="n-1")
    two = await channel.send("hi", nonce="n-1")
    other = await channel.send("hi", nonce="n-2")
    assert one.id == two.id != other.id
    assert [message.nonce for message in room.server.messages(room.channel)] == ["n-1", "n-2"]
    assert (await client.next("message")).nonce == "n-1"
    assert (await client.next("message")).nonce == "n-2"


async def test_a_reply_is_found_as_the_answer(room: Room, client: Client) -> None:
    question = await room.server.say(room.ann, room.channel, "why?")
    heard = await client.next("message")
    sent = await heard.reply("because", allowed_mentions=discord.AllowedMentions.none())
    answer = await room.server.answer_to(question)
    assert (answer.id, answer.content, answer.author) == (sent.id, "because", room.bot)
    assert answer.mentions == []
    assert answer.allowed_mentions == {"parse": []}
    await room.server.delete(question)
    with pytest.raises(discord.HTTPException, match="Unknown message"):
        await heard.reply("too late")
    late = await place(client, room.channel).send("anyway", reference=heard.to_reference(fail_if_not_exists=False))
    assert late.reference is None


async def test_edits_and_deletes_travel_both_ways(room: Room, client: Client) -> None:
    sent = await place(client, room.channel).send("one")
    await sent.edit(content="one two")
    await sent.edit(content="one two three")
    (message,) = room.server.messages(room.channel)
    assert [version.content for version in message.versions] == ["one", "one two", "one two three"]
    times = [version.at for version in message.versions]
    assert times == sorted(times)
    said = await room.server.say(room.ann, room.channel, "typo")
    await room.server.edit(said, "fixed")
    edit = await client.next("edit")
    while edit.message_id != said.id:
        edit = await client.next("edit")
    assert edit.message.content == "fixed"
    await room.server.delete(said)
    assert (await client.next("delete")).message_id == said.id
    await sent.delete()
    assert room.server.messages(room.channel) == []
    with pytest.raises(discord.NotFound):
        await sent.edit(content="gone")


async def test_a_dm_is_opened_by_either_side(room: Room, client: Client) -> None:
    dm = room.server.dm(room.ann, room.bot)
    await room.server.say(room.ann, dm, "psst")
    heard = await client.next("message")
    assert heard.guild is None
    assert heard.content == "psst"
    await heard.channel.send("yes?")
    ann = await client.fetch_user(room.ann.id)
    await ann.send("and again")
    assert [message.content for message in room.server.messages(dm)] == ["psst", "yes?", "and again"]


async def test_threads_and_renames_are_told(room: Room, client: Client) -> None:
    thread = room.server.add_thread(room.channel, "plans", owner=room.ann)
    assert (await client.next("thread")).name == "plans"
    await room.server.say(room.ann, thread, "inside")
    heard = await client.next("message")
    assert isinstance(heard.channel, discord.Thread)
    assert heard.channel.parent_id == room.channel.id
    sent = await place(client, room.channel).send("starter")
    started = await sent.create_thread(name="from here")
    assert started.id == sent.id
    await started.send("in the new one")
    assert [one.content for one in room.server.messages(room.server.channels[started.id])] == ["in the new one"]
    await room.server.rename(room.channel, "lobby")
    assert (await client.next("rename")).name == "lobby"
    await room.server.rename(room.guild, "House")
    assert (await client.next("guild rename")).name == "House"
    await room.server.remove(room.channel)
    assert (await client.next("channel gone")).name == "lobby"
    room.server.leave(room.bot, room.guild)
    assert (await client.next("guild gone")).id == room.guild.id


async def test_a_forum_post_has_its_starter_message(room: Room, client: Client) -> None:
    forum = room.guild.add_channel("ideas", "forum")
    with pytest.raises(discord.HTTPException) as refused:
        await client.http.send_message(forum.id, params=discord.http.handle_message_parameters("no"))
    assert refused.value.code == 50008
    found = client.get_channel(forum.id)
    assert isinstance(found, discord.ForumChannel)
    post = await found.create_thread(name="a bridge", content="over the river")
    assert post.thread.id == post.message.id
    assert (await client.next("message")).content == "over the river"


async def test_history_files_and_reactions(room: Room, client: Client) -> None:
    said = [await room.server.say(room.ann, room.channel, f"m{number}") for number in range(5)]
    channel = place(client, room.channel)
    assert [one.content async for one in channel.history(limit=2)] == ["m4", "m3"]
    assert [one.content async for one in channel.history(after=discord.Object(said[2].id))] == ["m3", "m4"]
    assert [one.content async for one in channel.history(before=discord.Object(said[2].id))] == ["m1", "m0"]
    around = channel.history(around=discord.Object(said[2].id), limit=3)
    assert {one.content async for one in around} == {"m1", "m2", "m3"}
    sent = await channel.send("see", file=discord.File(io.BytesIO(b"12345"), "notes.txt"))
    assert await sent.attachments[0].read() == b"12345"
    upload = room.server.requests[-1]
    assert upload.files == [("notes.txt", 5)]
    async with channel.typing():
        await sent.add_reaction("👍")
    assert (await client.next("reaction")).emoji.name == "👍"
    assert (await channel.fetch_message(sent.id)).reactions[0].count == 1
    await sent.remove_reaction("👍", discord.Object(room.bot.id))
    assert (await channel.fetch_message(sent.id)).reactions == []


async def test_commands_are_kept_as_they_were_put(room: Room, client: Client) -> None:
    tree = discord.app_commands.CommandTree(client)

    @tree.command(name="why", description="why this persona")
    async def why(interaction: discord.Interaction[Client]) -> None:
        """Never called here."""

    (synced,) = await tree.sync()
    (again,) = await tree.sync()
    assert synced.id == again.id == (await tree.fetch_commands())[0].id
    assert await tree.sync(guild=discord.Object(room.guild.id)) == []


async def test_without_the_intent_content_is_blank_unless_meant_for_the_bot(room: Room) -> None:
    room.bot.intents_allowed = (
        ALL_INTENTS & ~Intents.MESSAGE_CONTENT & ~Intents.GUILD_PRESENCES & ~Intents.GUILD_MEMBERS
    )
    async with running(room, UNPRIVILEGED) as client:
        await room.server.say(room.ann, room.channel, "secret", attachments=[("a.txt", b"abc")])
        heard = await client.next("message")
        assert (heard.content, heard.attachments) == ("", [])
        fetched = await place(client, room.channel).fetch_message(heard.id)
        assert fetched.content == ""
        own = await place(client, room.channel).send("mine")
        assert (await client.next("message")).content == "mine"
        await room.server.say(room.ann, room.channel, f"hey {room.bot.mention}")
        assert (await client.next("message")).content == f"hey {room.bot.mention}"
        sent = room.server.messages(room.channel)[1]
        await room.server.say(room.ann, room.channel, "pinged", reply_to=sent)
        assert (await client.next("message")).content == "pinged"
        await room.server.say(room.ann, room.channel, "not pinged", reply_to=sent, ping=False)
        quiet = await client.next("message")
        assert (quiet.content, quiet.reference.resolved.id) == ("", own.id)
        await room.server.say(room.ann, room.server.dm(room.ann, room.bot), "private")
        assert (await client.next("message")).content == "private"


async def test_a_storm_of_429_is_ridden_out(room: Room, client: Client) -> None:
    room.server.storm(2, retry_after=0.01)
    await place(client, room.channel).send("at last")
    assert [message.content for message in room.server.messages(room.channel)] == ["at last"]
    assert [one.status for one in room.server.requests if one.method == "POST"] == [429, 429, 200]
    assert room.server.invalid_requests[room.bot] == 2
    room.server.storm(1, retry_after=0.01, scope="shared")
    await place(client, room.channel).send("shared")
    assert room.server.invalid_requests[room.bot] == 2


async def test_buckets_are_announced_and_enforced(room: Room, client: Client) -> None:
    room.server.rest.limits.limit, room.server.rest.limits.window = 2, 0.1
    for number in range(5):
        await place(client, room.channel).send(str(number))
    # discord.py reads the headers and so never runs into the limit.
    assert room.server.invalid_requests[room.bot] == 0
    room.server.rest.limits.window = 60
    url = f"{room.server.api_url}/channels/{room.channel.id}/messages"
    headers = {"Authorization": f"Bot {room.bot.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        while True:
            async with http.post(url, json={"content": "x"}) as answer:
                if answer.status == 429:
                    break
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert answer.headers["X-RateLimit-Limit"] == "2"
        assert 0 < float(answer.headers["X-RateLimit-Reset-After"]) <= 60
        assert int(answer.headers["Retry-After"]) >= 1


async def test_a_request_made_to_fail_does(room: Room, client: Client) -> None:
    room.server.fail("POST .*/messages", 503)
    with pytest.raises(discord.DiscordServerError):
        await place(client, room.channel).send("x")
    room.server.fail("POST .*/messages", 403, code=50013, message="Missing Permissions")
    with pytest.raises(discord.Forbidden) as refused:
        await place(client, room.channel).send("x")
    assert refused.value.code == 50013
    await place(client, room.channel).send("y")
    assert [message.content for message in room.server.messages(room.channel)] == ["y"]


async def test_bodies_are_held_against_discords_description(room: Room, client: Client) -> None:
    channel = place(client, room.channel)
    with pytest.raises(discord.HTTPException, match="2000 or fewer") as refused:
        await channel.send("x" * 2001)
    assert refused.value.code == 50035
    with pytest.raises(discord.HTTPException):
        await channel.send("🙂" * 1001)
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send(" ")
    assert refused.value.code == 50006
    assert len(room.server.violations) == 2
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send(embed=discord.Embed(title="t" * 257))
    assert refused.value.code == 50035
    with pytest.raises(discord.HTTPException):
        await channel.send("x", nonce="n" * 26)
    sent = await channel.send("x" * 2000, embed=discord.Embed(title="t"), view=discord.ui.View(timeout=1))
    with pytest.raises(discord.HTTPException):
        await sent.edit(content="y" * 2001)
    assert [one.where.split()[0] for one in room.server.violations] == ["POST"] * 4 + ["PATCH"]
    assert room.server.messages(room.channel)[0].content == "x" * 2000


async def test_an_unknown_route_fails_loudly(room: Room, client: Client) -> None:
    with pytest.raises(discord.NotFound):
        await client.http.get_invite("nowhere")
    assert room.server.unknown_routes == ["GET /invites/nowhere"]
    room.server.unknown_routes.clear()


async def test_waiting_in_vain_shows_the_last_state(room: Room, client: Client) -> None:
    await place(client, room.channel).send("only this")
    seen: list[str] = []
    room.server.observers.append(lambda what, facts: seen.append(f"{what} {facts['at'] > 0}"))
    with pytest.raises(AssertionError, match="only this"):
        await room.server.until(lambda: len(room.server.messages(room.channel)) > 1, timeout=0.01)
    await place(client, room.channel).send("and this")
    assert seen == ["message True", "request True"]
