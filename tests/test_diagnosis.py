"""Why the bot is silent: each reason found, weighed and given something to do; and `troupe doctor` over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
from aiohttp import web
from click.testing import CliRunner

from bots.checkup import Check, clock, place, process, providers
from bots.cli_doctor import doctor
from bots.discord import sync
from bots.discord.checkup import Account
from bots.discord.diagnosis import Facts, Person, findings, lacking, told
from bots.guilds import Ruling
from bots.operations import ModelState, model_states
from bots.settings import BotSettings
from bots.status import BotStatus
from bots.values import Secret
from tests.stage import Stage
from tests.wire.discord_accounts import Intents
from tests.wire.discord_model import Guild
from tests.wire.discord_rest import PREFIX
from tests.wire.discord_server import DiscordServer
from tests.wire.provider_server import ProviderServer
from tests.world import persona, settings

ALL = discord.Permissions.all()
WELL = Facts(
    place="#general",
    kind="text",
    permissions=ALL,
    ruling=Ruling("always", "`*` in the list `always` of `/admin config` names it"),
    calls="@Sage",
    faces=True,
    content_wanted=True,
    content_granted=True,
    bot_turns=3,
    dm_policy="everyone",
    models=(ModelState("openai gpt", "ready"),),
)
ANA = Person(name="Ana", bot=False, permissions=ALL, allowed=True)


def without(*names: str) -> discord.Permissions:
    return discord.Permissions(ALL.value & ~discord.Permissions(**dict.fromkeys(names, True)).value)


def test_where_all_is_well_the_screen_says_so() -> None:
    text = told(replace(WELL, person=ANA))
    assert text.startswith("**#general** and Ana\n✅")
    assert all(line.startswith("✅") for line in text.splitlines()[1:-1])
    assert text.endswith("Nothing is broken: `@Sage, hello` should get an answer.")


@pytest.mark.parametrize(
    ("changed", "weight", "said"),
    [
        ({"permissions": discord.Permissions.none()}, "blocks", "Without View Channel nothing there can be seen."),
        ({"permissions": without("send_messages")}, "blocks", "Without Send Messages no answer can be written"),
        ({"permissions": without("read_message_history")}, "blocks", "Without Read Message History lines can neither"),
        ({"permissions": without("send_messages_in_threads"), "kind": "thread"}, "blocks", "Send Messages in Threads"),
        ({"permissions": without("manage_webhooks")}, "hampers", "Without Manage Webhooks personas have no name"),
        ({"permissions": without("add_reactions")}, "hampers", "Without Add Reactions a word of thanks gets no"),
        ({"ruling": Ruling("mention", "no list names it")}, "limits", "only lines that address me: no list names it."),
        ({"ruling": Ruling("listen", "`x` does")}, "limits", "I read along, and answer only lines that address me"),
        ({"content_wanted": False}, "limits", "though `*` in the list `always` of `/admin config` names it"),
        ({"content_granted": False}, "blocks", "Discord does not grant me the Message Content intent."),
        ({"locked": True, "permissions": without("manage_threads")}, "blocks", "The thread is locked"),
        ({"kind": "forum"}, "limits", "A forum has no talk of its own."),
        ({"kind": "category"}, "limits", "A category holds no talk."),
        ({"webhooks": 15}, "hampers", "All 15 webhooks of the channel are in use"),
        ({"storage_trouble": True}, "blocks", "I do not answer what I cannot keep."),
        ({"refusals": 8_000}, "blocks", "Discord refused 8,000 requests in ten minutes, so I keep quiet"),
        ({"refusals": 1_500}, "hampers", "Discord refused 1,500 requests in ten minutes; from 8,000 on"),
        ({"models": (ModelState("openai gpt", "resting"),)}, "hampers", "openai gpt has failed several times"),
        (
            {"models": (ModelState("openai gpt", "off", "KEY"),)},
            "hampers",
            "gpt has no key. → Whoever runs me: set KEY.",
        ),
        (
            {"models": (ModelState("openai gpt", "failing", why="the provider does not accept the key in KEY"),)},
            "hampers",
            "openai gpt does not answer: the provider does not accept the key in KEY; offline answers. → Whoever runs",
        ),
        ({"commands_synced": False}, "hampers", "My commands are not all known to Discord yet."),
        ({"used_up": ("Used up: 5 of 5.",)}, "limits", "Used up: 5 of 5. → `/admin budget` shows who used what"),
        ({"latency": float("nan")}, "fine", "I am connected to Discord."),
        ({"slowmode": 30}, "fine", "Slow mode lets each person write once in 30 s. It does not bind me."),
        ({"person": replace(ANA, bot=True)}, "limits", "Ana is a program: I answer it only when it addresses me, 3"),
        ({"person": replace(ANA, allowed=False, why="rule 2")}, "limits", "answer Ana here (rule 2)."),
        ({"person": replace(ANA, dms=False)}, "limits", "Privately I do not answer Ana"),
        ({"person": replace(ANA, permissions=without("use_application_commands"))}, "limits", "lacks Use Application"),
    ],
)
def test_every_reason_is_named_with_its_weight(changed: dict[str, Any], weight: str, said: str) -> None:
    found = [each for each in findings(replace(WELL, **changed)) if said in str(each)]
    assert [each.weight for each in found] == [weight]
    assert weight == "fine" or found[0].remedy


def test_a_second_model_without_a_key_is_a_matter_of_taste() -> None:
    models = (ModelState("openai gpt", "ready"), ModelState("anthropic claude", "off", "KEY"))
    assert "KEY" not in " ".join(map(str, findings(replace(WELL, models=models))))


def test_the_weightiest_reason_stands_first_and_a_broken_place_is_not_called_fine() -> None:
    facts = replace(WELL, permissions=without("send_messages", "attach_files"), kind="forum", storage_trouble=True)
    weights = [each.weight for each in findings(replace(facts, kind="text"))]
    assert weights == sorted(weights, key=["blocks", "limits", "hampers", "fine"].index)
    assert "Nothing is broken" not in told(replace(facts, kind="text"))


def test_a_member_of_a_thread_answers_every_line_and_needs_no_right_to_write_in_the_channel() -> None:
    facts = replace(WELL, kind="thread", joined=True, permissions=without("send_messages"))
    facts = replace(facts, ruling=Ruling("mention", "no list names it"))
    assert [each for each in findings(facts) if each.weight in ("blocks", "limits")] == []


def test_what_cannot_be_seen_lacks_nothing_else() -> None:
    assert [need.name for need in lacking(discord.Permissions.none(), "text", faces=True)] == ["View Channel"]
    assert lacking(without("manage_webhooks"), "text", faces=False) == []
    mute = without("send_messages", "attach_files", "add_reactions", "manage_webhooks")
    assert [need.name for need in lacking(mute, "text", faces=True)] == ["Send Messages"]
    assert lacking(without("embed_links"), "text", faces=True) == []


@pytest.mark.parametrize("changed", [{"kind": "forum"}, {"used_up": ("Used up.",)}, {"denied": "rule 1"}])
def test_what_keeps_the_bot_silent_on_purpose_is_not_called_well_either(changed: dict[str, Any]) -> None:
    assert "Nothing is broken" not in told(replace(WELL, **changed))


def test_models_are_told_as_they_stand() -> None:
    class Resting:
        name, model, resting = "openai", "gpt", True

    key = Secret.model_validate({"variable": "KEY"})
    bot = settings(
        models=[
            {"provider": "openai", "model": "gpt", "base_url": "http://127.0.0.1:1"},
            {"provider": "anthropic", "model": "claude", "api_key": key},
            {"provider": "offline"},
        ]
    )
    assert model_states(bot, [Resting()]) == (  # type: ignore[list-item]
        ModelState("openai gpt", "resting"),
        ModelState("anthropic claude", "off", "KEY"),
        ModelState("offline", "ready"),
    )


class Discord(DiscordServer):
    """A wire-level Discord that also lists a bot's guilds."""

    def __init__(self) -> None:
        super().__init__(rate_limits=False)
        app = web.Application()
        listed = partial(self.rest._answer, lambda call: [each.as_json() for each in self.guilds.values()])
        app.router.add_get(f"{PREFIX}/users/@me/guilds", listed)
        self.rest.mount(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)


@asynccontextmanager
async def account(**more: Any) -> AsyncIterator[tuple[Discord, BotSettings, Guild]]:
    async with Discord() as server:
        server.add_bot("token-1", "sage", **more)
        yield server, bot_of(server), server.add_guild("Home")


def bot_of(server: DiscordServer, token: str = "token-1", **more: Any) -> BotSettings:
    secret = {"variable": "SAGE_TOKEN", "value": token}
    channels = {"always": ["advice-*"]}
    front = {"token": secret, "api_url": server.api_url, "channels": channels, **more}
    return settings(personas=[persona("sage"), persona("marcus")], discord=front)


async def looked(bot: BotSettings, now: datetime | None = None) -> dict[str, Check]:
    """What was found of each kind; of a kind that came twice, the worse."""
    async with aiohttp.ClientSession() as session:
        checks = [each async for each in Account(bot, session, now=lambda: now or datetime.now(UTC)).checks()]
    found: dict[str, Check] = {}
    for each in checks:
        if each.what not in found or each.state == "wrong":
            found[each.what] = each
    return found


async def test_an_account_in_order_is_found_in_order(tmp_path: Path) -> None:
    async with account() as (server, bot, guild):
        guild.add_channel("general")
        found = await looked(bot)
        assert {what: each.state for what, each in found.items()} == {
            "token": "ok",
            "clock": "ok",
            "intents": "ok",
            "commands": "note",
            "starts": "ok",
            "permissions": "ok",
        }
        assert found["token"].sentence.startswith("It is that of sage (")
        assert server.unknown_routes == []


async def test_a_token_that_is_not_accepted_is_said_with_what_to_do_and_tried_once() -> None:
    async with account() as (server, _, _):
        found = await looked(bot_of(server, "another"))
        assert list(found) == ["token"]
        assert found["token"].sentence == "Discord does not accept the token in SAGE_TOKEN."
        assert len(server.requests) == 1


async def test_without_a_token_discord_is_off_and_out_of_reach_it_is_wrong() -> None:
    nothing = {"variable": "SAGE_TOKEN"}
    found = await looked(settings(discord={"token": nothing}))
    assert (found["token"].state, found["token"].remedy) == ("off", "Set SAGE_TOKEN.")
    token = {"variable": "SAGE_TOKEN", "value": "t"}
    found = await looked(settings(discord={"token": token, "api_url": "http://127.0.0.1:1"}))
    assert (found["token"].state, found["token"].sentence) == (
        "wrong",
        "Discord cannot be asked (ClientConnectorError).",
    )


async def test_an_intent_that_is_wanted_and_not_granted_is_wrong() -> None:
    async with account(intents_allowed=Intents.GUILDS | Intents.GUILD_MESSAGES) as (server, bot, _):
        assert (await looked(bot))["intents"].sentence == "It is wanted and not granted."
        assert (await looked(bot_of(server, message_content=False)))["intents"].state == "ok"


async def test_a_right_that_is_missing_is_named_once_with_its_channels() -> None:
    async with account() as (server, bot, guild):
        (sage,) = server.bots.values()
        for name in ("general", "advice-life", "help"):
            channel = guild.add_channel(name)
            if name != "help":
                await server.deny(sage, channel, "send_messages")
        found = await looked(bot)
        assert (found["permissions"].state, found["permissions"].where) == ("wrong", "Home: #general, #advice-life")
        assert found["permissions"].remedy == "Give its role Send Messages there (Edit Channel, Permissions)."


async def test_a_channel_out_of_sight_is_wrong_only_where_the_file_names_it() -> None:
    async with account() as (server, bot, guild):
        (sage,) = server.bots.values()
        await server.deny(sage, guild.add_channel("staff"), "view_channel")
        assert (await looked(bot))["permissions"].state == "ok"
        await server.deny(sage, guild.add_channel("advice-life"), "view_channel")
        assert (await looked(bot))["permissions"].where == "Home: #advice-life"


async def test_a_sync_that_discord_forgot_is_wrong(tmp_path: Path) -> None:
    async with account() as (server, bot, _):
        (sage,) = server.bots.values()
        bot = bot.model_copy(update={"storage": bot.storage.model_copy(update={"path": str(tmp_path)})})
        kept = {"application": str(sage.id), "fingerprint": "f", "commands": [[1, "chat"], [1, "help"]]}
        (tmp_path / sync.FILE).write_text(json.dumps(kept))
        assert (await looked(bot))["commands"].sentence == "Discord does not have chat, help."
        sage.commands[None] = [{"name": name, "type": 1} for name in ("chat", "help")]
        assert (await looked(bot))["commands"].sentence == "Discord has all 2 of them."


def test_a_clock_that_is_off_is_wrong() -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    date = "Mon, 02 Mar 2026 09:00:00 GMT"
    assert clock(date, at + timedelta(seconds=4)).state == "ok"
    assert clock(date, at + timedelta(seconds=60)).sentence == "It is 60 seconds ahead of Discord's."
    assert clock(date, at - timedelta(seconds=6)).sentence == "It is 6 seconds behind Discord's."
    assert clock(None, at).state == "note"


async def test_a_provider_is_asked_for_its_models_and_its_word_on_the_key_is_told() -> None:
    answers = {"good": (200, {"data": [{"id": "gpt-5"}]}), "bad": (401, {}), "broken": (500, {})}

    async def models(request: web.Request) -> web.Response:
        key = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        status, body = answers[key]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]

    def model(provider: str, key: str, name: str = "gpt-5") -> dict[str, Any]:
        base = f"http://{host}:{port}" + ("/v1" if provider == "openai" else "")
        return {"provider": provider, "model": name, "base_url": base, "api_key": {"variable": "KEY", "value": key}}

    asked = [model(kind, key) for kind in ("openai", "anthropic") for key in answers]
    bot = settings(models=[*asked, model("openai", "good", "gpt-6"), {"provider": "offline"}])
    async with aiohttp.ClientSession() as session:
        found = [each async for each in providers(bot, session)]
    await runner.cleanup()
    assert [each.state for each in found] == ["ok", "wrong", "wrong", "ok", "wrong", "wrong", "note", "ok"]
    assert found[1].sentence == "It does not accept the key in KEY (HTTP 401)."
    assert found[6].sentence == "It accepts the key, and does not list this model."


async def test_a_provider_out_of_reach_is_wrong_and_one_without_a_key_is_off() -> None:
    gone = {"provider": "openai", "model": "gpt", "base_url": "http://127.0.0.1:1"}
    bare = {"provider": "anthropic", "model": "claude", "api_key": {"variable": "KEY"}}
    async with aiohttp.ClientSession() as session:
        found = [each async for each in providers(settings(models=[gone, bare]), session)]
    assert [(each.state, each.sentence) for each in found] == [
        ("wrong", "It cannot be reached (ClientConnectorError)."),
        ("off", "It has no key."),
    ]


def test_a_root_that_is_not_there_yet_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    (found,) = place(settings(tmp_path / "data" / "sage"))
    assert (found.what, found.where) == ("disk", str(tmp_path))
    assert not (tmp_path / "data").exists()


def test_what_a_bot_says_of_itself_is_told_and_its_troubles_are_wrong() -> None:
    died = BotStatus(bot="sage", state="died", last_error="no memory", backup_alarm="no proven backup for 2 days")
    assert [(each.state, each.sentence) for each in process(settings(), died)] == [
        ("wrong", "It is not running (died: no memory)."),
        ("wrong", "no proven backup for 2 days"),
    ]
    (once,) = process(settings(), BotStatus(bot="sage", state="fatal", last_error="no token"), known=True)
    assert once.state == "note"
    failing = BotStatus(bot="sage", state="ready", pid=7, model_trouble="gpt: it cannot be reached")
    assert [each.state for each in process(settings(), failing)] == ["ok", "note"]
    (well,) = process(settings(), BotStatus(bot="sage", state="ready", pid=7))
    assert (well.state, well.sentence) == ("ok", "It is ready as process 7.")
    (asleep,) = process(settings(), BotStatus(bot="sage"))
    assert (asleep.state, asleep.remedy) == ("note", "`troupe up` starts it.")


async def test_troupe_doctor_looks_every_bot_over_and_ends_with_1_when_something_is_wrong(tmp_path: Path) -> None:
    async with Discord() as server, ProviderServer() as provider:
        server.add_bot("token-sage", "sage")
        server.add_guild("Home").add_channel("general")
        stage = Stage(server, provider, tmp_path)
        environment = stage.write({"sage": {}, "spark": {}})

        def run(*more: str) -> Any:
            return CliRunner().invoke(doctor, [*more, "--config", str(tmp_path / "config")], env=environment)

        whole = await asyncio.to_thread(run)
        one = await asyncio.to_thread(run, "sage", "--json")
        nobody = await asyncio.to_thread(run, "merlin")
    assert whole.exit_code == 1
    assert (
        "spark: WRONG: token (SPARK_TOKEN): Discord does not accept the token in SPARK_TOKEN. Make a new one"
        in whole.stdout
    )
    assert "sage: ok: permissions (Home): It can answer wherever it can read: 1 channel." in whole.stdout
    assert "0 messages in 0 sessions: all whole." in whole.stdout
    assert "no bot is called 'merlin'; there are: sage, spark" in nobody.stderr
    assert "token-s" not in whole.stdout
    assert one.exit_code == 0
    told_of = json.loads(one.stdout)
    assert (told_of["bot"], told_of["healthy"]) == ("sage", True)
    assert set(told_of["checks"][0]) == {"state", "what", "where", "sentence", "remedy"}
