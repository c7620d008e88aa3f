"""Commands on Discord follow the bot's own: what differs is sent, nothing else, and nothing of anybody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bots.discord import sync
from bots.discord.sync import Synced

from .account import front_of
from .wire.discord_accounts import BotAccount
from .wire.discord_client import pointed_at
from .wire.discord_server import DiscordServer
from .world import settings, world


@dataclass
class App:
    """An application logged in to a loopback Discord, and its bot's root."""

    server: DiscordServer
    account: BotAccount
    client: discord.Client
    root: Path
    rests: list[float] = field(default_factory=list)

    async def sync(self, tree: app_commands.CommandTree[Any]) -> Synced:
        async def wait(seconds: float) -> None:
            self.rests.append(seconds)

        return await sync.sync(tree, self.root, self.account.id, self.client.http, wait)

    async def there(self) -> dict[str, Any]:
        """The commands as Discord has them, by name."""
        return {each["name"]: each for each in await self.client.http.get_global_commands(self.account.id)}

    def asked(self) -> int:
        """How many requests for commands came in so far."""
        return sum("/commands" in request.path for request in self.server.requests)


@asynccontextmanager
async def app(root: Path) -> AsyncIterator[App]:
    async with DiscordServer(rate_limits=False) as server:
        account = server.add_bot("token-1", "sage")
        with pointed_at(server):
            client = discord.Client(intents=discord.Intents.none())
            await client.login("token-1")
            try:
                yield App(server, account, client, root)
            finally:
                await client.close()


def tree(client: discord.Client, *names: str, description: str = "What it does") -> app_commands.CommandTree[Any]:
    """A tree with a command of each name, which takes a word and a number."""

    async def callback(interaction: discord.Interaction[Any], word: str, number: int = 1) -> None:
        """Never called here."""

    client._connection._command_tree = None
    made = app_commands.CommandTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True),
        allowed_installs=app_commands.AppInstallationType(guild=True),
    )
    for name in names:
        made.add_command(app_commands.Command(name=name, description=description, callback=callback))
    return made


async def test_commands_are_created_once_and_then_nothing_is_asked_for(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        mine = tree(it.client, "chat", "new")
        assert (await it.sync(mine)).created == ["chat", "new"]
        assert list(await it.there()) == ["chat", "new"]
        before = it.asked()
        assert (await it.sync(mine)).unchanged == ["chat", "new"]
        assert it.asked() == before


async def test_only_what_differs_is_sent_and_commands_keep_their_ids(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        await it.sync(tree(it.client, "chat", "new", "old"))
        ids = {name: each["id"] for name, each in (await it.there()).items()}
        changed = tree(it.client, "new", "extra")
        changed.add_command(tree(it.client, "chat", description="Said anew").get_command("chat"))  # type: ignore[arg-type]
        done = await it.sync(changed)
        assert (done.created, done.changed, done.deleted, done.unchanged) == (["extra"], ["chat"], ["old"], ["new"])
        there = await it.there()
        assert there["chat"]["description"] == "Said anew"
        assert {name: there[name]["id"] for name in ("chat", "new")} == {name: ids[name] for name in ("chat", "new")}
        assert "old" not in there


async def test_a_lost_fingerprint_costs_a_look_and_no_change(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        mine = tree(it.client, "chat", "new")
        await it.sync(mine)
        (tmp_path / sync.FILE).write_text("{torn")
        before = it.asked()
        done = await it.sync(mine)
        assert (done.created, done.changed, done.unchanged) == ([], [], ["chat", "new"])
        assert it.asked() == before + 1


async def test_another_programs_commands_are_left_alone(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        other = {"name": "weather", "type": 1, "description": "Another program's"}
        await it.client.http.upsert_global_command(it.account.id, other)  # type: ignore[arg-type]
        done = await it.sync(tree(it.client, "chat"))
        assert done.deleted == []
        assert sorted(await it.there()) == ["chat", "weather"]


async def test_many_changes_are_paced(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        await it.sync(tree(it.client, "chat"))
        assert it.rests == []
        await it.sync(tree(it.client, "chat", *(f"command-{number:02}" for number in range(12))))
        assert it.rests == [20.0, 20.0]


async def test_a_days_limit_is_told_and_the_rest_follows_at_the_next_start(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        await it.sync(tree(it.client, "chat"))
        mine = tree(it.client, "chat", "new", "stop")
        it.server.fail("POST .*/commands", 400, code=30034, message="Max number of daily application command creates")
        done = await it.sync(mine)
        assert "no more new commands" in done.problem
        assert done.created == []
        again = await it.sync(mine)
        assert (again.created, again.problem) == (["new", "stop"], "")


async def test_what_was_created_before_a_failure_is_known_to_be_ours(tmp_path: Path) -> None:
    async with app(tmp_path) as it:
        await it.sync(tree(it.client, "chat"))
        it.server.fail("POST .*/commands", 400, code=50035, message="Invalid Form Body")
        done = await it.sync(tree(it.client, "new"))
        assert done.deleted == ["chat"]
        assert "refused" in done.problem
        kept = json.loads((tmp_path / sync.FILE).read_text())
        assert (kept["fingerprint"], kept["commands"]) == ("", [])


async def test_what_discord_would_refuse_is_never_sent(tmp_path: Path) -> None:
    @app_commands.command(description="Has far too much to choose from")
    @app_commands.choices(word=[app_commands.Choice(name="n" * 100, value=f"{n:0100}") for n in range(25)])
    @app_commands.choices(other=[app_commands.Choice(name="n" * 100, value=f"{n:0100}") for n in range(25)])
    async def wide(interaction: discord.Interaction[Any], word: str, other: str) -> None:
        """Never called here."""

    async with app(tmp_path) as it:
        mine = tree(it.client)
        mine.add_command(wide)
        before = it.asked()
        done = await it.sync(mine)
        assert "wide has 10046 characters, where 8000 are allowed" in done.problem
        assert it.asked() == before


async def test_the_bots_own_commands_reach_discord_whole_and_once(tmp_path: Path) -> None:
    async with DiscordServer(rate_limits=False) as server, world(settings(tmp_path)) as w:
        account = server.add_bot("token-1", "sage")
        front = front_of(w, tmp_path)
        with pointed_at(server):
            await front.login("token-1")
            it = App(server, account, front, tmp_path)
            first = await it.sync(front.tree)
            assert (first.problem, len(first.created)) == ("", len(front.tree.get_commands(type=None)))
            (tmp_path / sync.FILE).unlink()
            again = await it.sync(front.tree)
            assert (again.created, again.changed, again.deleted) == ([], [], [])
            await front.close()


def test_what_discord_tells_of_a_command_counts_as_what_it_was_told() -> None:
    told: dict[str, Any] = {
        "id": "1",
        "application_id": "2",
        "version": "3",
        "default_member_permissions": "32",
        "type": 1,
        "name": "admin",
        "name_localizations": None,
        "description": "For admins",
        "description_localizations": None,
        "dm_permission": False,
        "contexts": [1, 0],
        "integration_types": [0],
        "options": [
            {
                "type": 3,
                "name": "key",
                "description": "Which",
                "required": True,
                "autocomplete": True,
                "choices": [{"name": "none", "value": 0, "name_localizations": None}],
            },
            {"type": 3, "name": "value", "description": "What"},
        ],
        "nsfw": False,
    }
    ours = {
        "name": "admin",
        "type": 1,
        "description": "For admins",
        "default_member_permissions": 32,
        "contexts": [0, 1],
        "integration_types": [0],
        "nsfw": False,
        "options": [
            {**told["options"][0], "choices": [{"name": "none", "value": 0}]},
            {"type": 3, "name": "value", "description": "What", "required": False, "autocomplete": False},
        ],
    }
    assert sync.plain(told) == sync.plain(ours)
    assert sync.plain(told) != sync.plain({**ours, "default_member_permissions": None})


def test_limits_are_named_with_what_breaks_them() -> None:
    choices = [{"name": "c" * 90, "value": "v" * 90} for _ in range(26)]
    options = [{"name": f"o{number}", "type": 3, "description": "d", "choices": choices} for number in range(2)]
    found = sync.faults([{"name": "wide", "type": 1, "description": "d" * 101, "options": options}])
    assert found == [
        "the description of wide has 101 characters, where 1 to 100 are allowed",
        "wide o0 has 26 choices, where 25 are allowed",
        "wide o1 has 26 choices, where 25 are allowed",
        "wide has 9471 characters, where 8000 are allowed",
    ]
