"""The loopback Discord's gateway: sessions that drop, resume, expire or are refused, and bots in other processes."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import discord
import pytest

from tests.wire.discord_accounts import ALL_INTENTS, Intents
from tests.wire.discord_client import Client, Room

CHILD = """
import sys, discord, yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = sys.argv[1], yarl.URL(sys.argv[2])
client = discord.Client(intents=discord.Intents.all())

@client.event
async def on_message(message):
    if not message.author.bot:
        await message.reply(client.user.name + " heard " + message.content)

client.run(sys.argv[3], log_handler=None)
"""


async def test_a_dropped_socket_resumes_without_losing_an_event(room: Room, client: Client) -> None:
    await room.server.say(room.ann, room.channel, "before")
    await room.server.drop(room.bot)
    assert not room.server.connected(room.bot)
    for number in range(3):
        await room.server.say(room.ann, room.channel, f"meanwhile {number}")
    await room.server.until_ready(room.bot)
    await room.server.say(room.ann, room.channel, "after")
    heard = [(await client.next("message")).content for _ in range(5)]
    assert heard == ["before", "meanwhile 0", "meanwhile 1", "meanwhile 2", "after"]
    assert room.server.resumes[room.bot] == 1
    assert room.server.identifies[room.bot] == 1


async def test_the_reconnect_opcode_resumes_too(room: Room, client: Client) -> None:
    await room.server.reconnect(room.bot)
    await room.server.say(room.ann, room.channel, "between")
    assert (await client.next("message")).content == "between"
    assert (room.server.resumes[room.bot], room.server.identifies[room.bot]) == (1, 1)


async def test_an_invalid_session_identifies_anew(room: Room, client: Client) -> None:
    await room.server.invalidate(room.bot)
    await room.server.say(room.ann, room.channel, "lost")
    await room.server.until_ready(room.bot)
    await room.server.say(room.ann, room.channel, "kept")
    assert (await client.next("message")).content == "kept"
    assert (room.server.resumes[room.bot], room.server.identifies[room.bot]) == (0, 2)
    await room.server.invalidate(room.bot, resumable=True)
    await room.server.until_ready(room.bot)
    assert (room.server.resumes[room.bot], room.server.identifies[room.bot]) == (1, 2)


async def test_a_session_that_missed_too_much_is_invalid(room: Room, client: Client) -> None:
    (session,) = room.server.gateway.of(room.bot)
    await room.server.drop(room.bot)
    for number in range(room.server.gateway.buffer_size + 1):
        await room.server.say(room.ann, room.channel, str(number))
    await room.server.until_ready(room.bot)
    assert session not in room.server.gateway.of(room.bot)
    assert (room.server.resumes[room.bot], room.server.identifies[room.bot]) == (0, 2)


async def test_a_bad_token_is_refused_at_both_doors(room: Room) -> None:
    async with Client() as stranger:
        with pytest.raises(discord.LoginFailure):
            await stranger.start("nobody's token")
    assert room.server.invalid_requests[None] == 1
    async with aiohttp.ClientSession() as http, http.ws_connect(room.server.gateway_url) as socket:
        assert (await socket.receive_json())["op"] == 10
        identify = {"token": "nobody's token", "intents": 0, "properties": {}}
        await socket.send_json({"op": 2, "d": identify})
        await socket.receive()
        assert socket.close_code == 4004


async def test_a_revoked_token_ends_the_client_with_4004(room: Room) -> None:
    client = Client()
    task = asyncio.create_task(client.start(room.bot.token))
    await room.server.until_ready(room.bot)
    await client.wait_until_ready()
    await room.server.revoke(room.bot)
    with pytest.raises(discord.ConnectionClosed) as closed:
        await task
    assert closed.value.code == 4004
    headers = {"Authorization": f"Bot {room.bot.token}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{room.server.api_url}/users/@me") as answer:
        assert answer.status == 401


async def test_intents_that_were_not_granted_are_refused(room: Room) -> None:
    room.bot.intents_allowed = ALL_INTENTS & ~Intents.MESSAGE_CONTENT
    async with Client() as client:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await client.start(room.bot.token)
    assert room.server.gateway.closures[room.bot, 4014] == 1


async def test_bots_in_processes_of_their_own_answer_and_may_be_killed(room: Room) -> None:
    other = room.server.add_bot("token-2", "second")
    both = [room.bot, other]
    argv = [sys.executable, "-W", "ignore", "-c", CHILD, room.server.api_url, room.server.gateway_url]
    children = [await asyncio.create_subprocess_exec(*argv, bot.token) for bot in both]
    try:
        for bot in both:
            await room.server.until_ready(bot)
        said = await room.server.say(room.ann, room.channel, "all")
        answers = [await room.server.answer_to(said, by=bot) for bot in both]
        assert [one.content for one in answers] == ["echo heard all", "second heard all"]
    finally:
        for child in children:
            child.kill()
            await child.wait()
    await room.server.until(lambda: not any(map(room.server.connected, both)))


async def test_a_client_may_do_without_compression_and_be_sharded(room: Room) -> None:
    shards = [room.guild.id >> 22 & 1, 2]
    async with aiohttp.ClientSession() as http, http.ws_connect(room.server.gateway_url) as socket:
        await socket.receive()
        identify = {"token": room.bot.token, "intents": 1 << 9, "properties": {}, "shard": shards}
        await socket.send_json({"op": 2, "d": identify})
        ready = await socket.receive_json()
        assert ready["d"]["shard"] == shards
        assert [one["id"] for one in ready["d"]["guilds"]] == [str(room.guild.id)]
        await socket.send_json({"op": 3, "d": {}})
        await socket.send_json({"op": 1, "d": ready["s"]})
        assert (await socket.receive_json())["op"] == 11
        await room.server.say(room.ann, room.channel, "typed")
        event = json.loads((await socket.receive()).data)
        assert (event["t"], event["d"]["content"], event["s"]) == ("MESSAGE_CREATE", "", 2)
        await socket.send_str("{")
        await socket.receive()
        assert socket.close_code == 4002
