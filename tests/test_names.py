"""Names that old data lacks, asked of a loopback Discord over REST."""

from __future__ import annotations

from typing import Any

from bots.discord.names import names
from bots.settings import DiscordSettings
from bots.values import Filled
from storage.naming import Person, Room
from tests.wire.discord_client import Room as Discord


def settings(token: str) -> DiscordSettings:
    return DiscordSettings.model_validate({"token": Filled(token, "${TOKEN}")})


async def test_channels_threads_private_talk_and_people_get_their_names(room: Discord) -> None:
    thread = room.server.add_thread(room.channel, "tea", owner=room.ann)
    private = room.server.dm(room.ann, room.bot)
    asked = [str(each.id) for each in (room.channel, thread, private)]
    async with names(settings(room.bot.token)) as asking:
        assert asking
        found = await asking.look_up([str(room.ann.id)], asked)
    home: dict[str, Any] = {"guild_id": str(room.guild.id), "guild_name": "Home"}
    assert found.people == {str(room.ann.id): Person(str(room.ann.id), "Ann")}
    assert found.channels == {
        asked[0]: Room("general", "channel", **home),
        asked[1]: Room("tea", "thread", **home, parent_id=asked[0]),
        asked[2]: Room("ann", "dm", parent_id=str(room.ann.id)),
    }


async def test_what_discord_does_not_know_keeps_its_id(room: Discord) -> None:
    async with names(settings(room.bot.token)) as asking:
        assert asking
        found = await asking.look_up(["999999999999999999", "user_001"], ["888888888888888888"])
        assert (asking.asked, asking.found) == (2, 0)
    assert (found.people, found.channels) == ({}, {})


async def test_a_token_that_is_refused_asks_nothing(room: Discord) -> None:
    async with names(settings("no-such-token")) as asking:
        assert asking is None


async def test_questions_are_bounded(room: Discord) -> None:
    async with names(settings(room.bot.token)) as asking:
        assert asking
        asking.asked = 499
        found = await asking.look_up([str(room.ann.id)], [str(room.channel.id)])
    assert list(found.channels) == [str(room.channel.id)]
    assert (found.people, asking.unasked) == ({}, 2)
