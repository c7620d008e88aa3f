"""Files beside Discord's messages: fetched from Discord alone, with a fresh link where one is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bots.discord.files import Files
from bots.discord.translate import origin
from bots.media import MediaError
from bots.settings import DiscordSettings
from storage.model import Attachment
from tests.wire.discord_client import Client, Room
from tests.wire.discord_model import Message


@pytest.fixture
async def files(room: Room, client: Client) -> AsyncIterator[Files]:
    files = Files(DiscordSettings(api_url=room.server.api_url), client)
    yield files
    await files.close()


async def posted(room: Room, *names: str) -> Message:
    """A message of Ann's with files of these names, each of which holds its name many times."""
    attachments = [(name, name.encode() * 50_000, "text/plain") for name in names]
    return await room.server.say(room.ann, room.channel, "look", attachments=attachments)


def attachment(message: Message, number: int = 0) -> Attachment:
    """A file as the message's event told of it."""
    told = message.attachments[number]
    return Attachment(type="file", name=told["filename"], url=told["url"], size=told["size"])


def at(message: Message) -> str:
    return origin(message.channel.id, message.id)


async def read(files: Files, attachment: Attachment, origin: str | None) -> bytes:
    return b"".join([piece async for piece in files.fetch(attachment, origin)])


async def test_a_file_comes_in_pieces_and_its_message_is_not_asked_for(room: Room, files: Files) -> None:
    message = await posted(room, "a.txt")
    pieces = [piece async for piece in files.fetch(attachment(message), at(message))]
    assert b"".join(pieces) == b"a.txt" * 50_000
    assert len(pieces) > 1
    assert room.server.count(r"^GET .*/messages/") == 0


async def test_an_expired_link_is_renewed_by_its_message(room: Room, files: Files) -> None:
    message = await posted(room, "a.txt", "a.txt", "b.txt")
    old = [attachment(message, number) for number in range(3)]
    room.server.expire_links()
    assert await read(files, old[2], at(message)) == b"b.txt" * 50_000
    assert await read(files, old[1], at(message)) == b"a.txt" * 50_000
    assert room.server.count(rf"^GET .*/messages/{message.id}$") == 2


async def test_a_file_that_is_gone_with_its_message_is_told_as_gone(room: Room, files: Files) -> None:
    message = await posted(room, "a.txt")
    old = attachment(message)
    room.server.expire_links()
    await room.server.delete(message)
    with pytest.raises(MediaError, match="its message is gone"):
        await read(files, old, at(message))


async def test_a_file_that_its_message_no_longer_has_is_told_as_gone(room: Room, files: Files) -> None:
    message, other = await posted(room, "a.txt"), await posted(room, "a.txt")
    old = attachment(message)
    room.server.expire_links()
    with pytest.raises(MediaError, match="no longer has it"):
        await read(files, old, at(other))


@pytest.mark.parametrize("where", [None, "terminal:1:2", "discord:1", "discord:x:2", "discord:1:2:3"])
async def test_an_expired_link_without_its_message_cannot_be_renewed(
    room: Room, files: Files, where: str | None
) -> None:
    message = await posted(room, "a.txt")
    old = attachment(message)
    room.server.expire_links()
    with pytest.raises(MediaError, match="is not known"):
        await read(files, old, where)


ELSEWHERE = [
    "http://cdn.discordapp.com/attachments/1/2/a.png",
    "https://cdn.discordapp.com:8443/attachments/1/2/a.png",
    "https://cdn.discordapp.com.evil.invalid/attachments/1/2/a.png",
    "https://cdn.discordapp.com@127.0.0.1/attachments/1/2/a.png",
    "https://evil@cdn.discordapp.com/attachments/1/2/a.png",
    "https://127.0.0.1/attachments/1/2/a.png",
    "https://[::1]/attachments/1/2/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "https://cdn.discordapp.com/oauth2/authorize",
    "https://cdn.discordapp.com/attachments/../api/v10/users/@me",
    "https://evil.invalid\\@cdn.discordapp.com/attachments/1/2/a.png",
    "https://cdn.discordapp.com./attachments/1/2/a.png",
    "file:///etc/passwd",
    "ftp://cdn.discordapp.com/attachments/1/2/a.png",
    "//cdn.discordapp.com/attachments/1/2/a.png",
    "attachments/1/2/a.png",
    "https://",
    "https://cdn.discordapp.com:x/attachments/1",
    "",
    "\0",
]


@pytest.mark.parametrize("url", ELSEWHERE)
async def test_no_link_leads_anywhere_but_to_discords_files(url: str) -> None:
    files = Files(DiscordSettings(), Client())
    with pytest.raises(MediaError, match="Its address is"):
        await read(files, Attachment(type="file", name="a.png", url=url), "discord:1:2")
    await files.close()


async def test_the_loopback_server_is_no_discord_unless_it_is_set(room: Room, client: Client) -> None:
    message = await posted(room, "a.txt")
    files = Files(DiscordSettings(), client)
    with pytest.raises(MediaError, match="not one of Discord's"):
        await read(files, attachment(message), at(message))
    await files.close()


@asynccontextmanager
async def answering(response: web.Response) -> AsyncIterator[str]:
    """A server that gives one answer to everything; its origin."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return response

    seen: list[str] = []
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
    assert seen == ["/attachments/1/2/a.txt"], "one request, and no other"


@pytest.mark.parametrize(
    "response",
    [
        web.Response(status=302, headers={"Location": "/attachments/internal"}),
        web.Response(status=500, text="oh"),
        web.Response(status=206, text="half"),
    ],
    ids=["a redirect", "a failure", "a half"],
)
async def test_only_a_whole_file_counts_and_no_redirect_is_followed(response: web.Response) -> None:
    async with answering(response) as server:
        files = Files(DiscordSettings(api_url=f"{server}/api/v10"), Client())
        with pytest.raises(MediaError, match=f"answered with {response.status}"):
            await read(files, Attachment(type="file", name="a", url=f"{server}/attachments/1/2/a.txt"), None)
        await files.close()


async def test_a_server_out_of_reach_is_told_in_a_sentence(room: Room) -> None:
    async with answering(web.Response(status=500)) as server:
        files = Files(DiscordSettings(api_url=f"{server}/api/v10"), Client())
        file = Attachment(type="file", name="a", url=f"{server}/attachments/1/2/a.txt")
        with pytest.raises(MediaError):
            await read(files, file, None)
    with pytest.raises(MediaError, match="Discord did not give it: "):
        await read(files, file, None)
    await files.close()
