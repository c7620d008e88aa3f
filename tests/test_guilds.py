"""What a guild's admins may set over the bot's file: understood, refused, kept, shown, undone, and told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import storage
from bots.errors import ConfigError, TroupeError
from bots.guilds import Guilds, Ruling
from bots.sessions import UNSET
from bots.settings import BotSettings
from storage.backend import Store
from storage.model import Channel, Sender
from storage.records import AuditEntry, Setting
from tests.world import Clock, persona, settings

ANA = Sender(type="user", id="1", name="Ana")
BEN = Sender(type="user", id="2", name="Ben")


def config(**more: Any) -> BotSettings:
    return settings(
        personas=[persona("sage"), persona("compass")],
        discord={"channels": {"always": ["advice-*"], "listen": ["news"]}},
        models=[{"provider": "openai", "model": "gpt-tiny", "base_url": "http://127.0.0.1:1"}],
        **{"budgets": [{"per": "bot", "messages": 200}], **more},
    )


@dataclass
class House:
    guilds: Guilds
    store: Store
    clock: Clock

    async def values(self) -> dict[str, str]:
        return {each.key: each.value for each in await self.guilds.shown("7")}

    async def origin(self, key: str) -> str:
        return next(each.origin for each in await self.guilds.shown("7") if each.key == key)


@asynccontextmanager
async def house(root: Path | None = None, bot: BotSettings | None = None) -> AsyncIterator[House]:
    clock = Clock()
    store = await storage.connect("sage", root or Path("unused"), enabled=root is not None)
    guilds = Guilds(bot or config(), store, now=clock.now)
    await guilds.start()
    try:
        yield House(guilds, store, clock)
    finally:
        await store.close()


async def test_without_a_word_from_anybody_the_bots_file_counts() -> None:
    async with house() as h:
        assert await h.values() == {
            "session_gap": "5 minutes",
            "persona": "sage",
            "always": "advice-*",
            "mention": "none",
            "listen": "news",
            "budgets": "per=bot window=day messages=200",
        }
        assert {each.origin for each in await h.guilds.shown("7")} == {"the bot's file"}
        assert h.guilds.own_gap("7") is UNSET


@pytest.mark.parametrize(
    ("key", "typed", "shown"),
    [
        ("session_gap", "10m", "10 minutes"),
        ("session_gap", "10 Minutes", "10 minutes"),
        ("session_gap", "2y", "2 years"),
        ("session_gap", "90", "90 seconds"),
        ("session_gap", "off", "off"),
        ("persona", "compass", "compass"),
        ("always", "#help, <#123> tips-*", "help, 123, tips-*"),
        ("listen", "none", "none"),
        ("budgets", "per=user messages=50", "per=user messages=50"),
        ("budgets", "per=guild usd=2.5 window=month; per=user tokens=100 role='Book Club'", None),
    ],
)
async def test_what_is_typed_is_understood_and_shown_with_who_set_it(key: str, typed: str, shown: str | None) -> None:
    async with house() as h:
        await h.guilds.set("7", key, typed, ANA)
        assert (await h.values())[key] == (
            shown or "per=guild window=month usd=2.5; per=user window=day tokens=100 role=Book Club"
        ).replace("per=user messages", "per=user window=day messages")
        assert await h.origin(key) == "set here by Ana on 2026-03-02 09:00 UTC"


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("session_gap", "soon", "session_gap: found 'soon' (text); allowed: a span of time: 90s, 30m, 12h, 7d, 4w"),
        ("session_gap", "0", "session_gap: found '0' (text); allowed: a span of time"),
        (
            "session_gap",
            "11y",
            "found '11y' (text); allowed: a span of time: 90s, 30m, 12h, 7d, 4w or 2y, '10 minutes'",
        ),
        (
            "persona",
            "compas",
            "persona: found 'compas' (text), which is no persona of this bot; did you mean 'compass'?",
        ),
        ("gap", "1", "'gap' is no setting of a guild;"),
        ("budgets", "per=bot messages=5", "budgets[0].per: found 'bot' (text); allowed: user, channel or guild"),
        ("budgets", "per=user mesages=5", "budgets[0].mesages: found an unknown key; did you mean 'messages'?"),
        ("budgets", "per=user", "budgets[0]: a budget limits at least one of messages, tokens and usd"),
        ("budgets", "per=user messages=0", "budgets[0].messages: found 0; allowed: a whole number of 1 or more"),
        ("budgets", "fifty a day", "budgets[0]: found 'fifty' without a value; allowed: words such as per=user"),
        ("budgets", "per='user", "budgets[0]: found a quote that is never closed"),
        ("budgets", "per=user messages=500", "found 500, more than the whole bot has in a day; allowed: 200 or less"),
        ("budgets", "per=user usd=1 cheaper=gpt", "budgets[0].cheaper: found 'gpt' (text), which is no model of this"),
        ("budgets", "per=user usd=1 guild=8", "a budget set here is for this guild: leave it out"),
    ],
)
async def test_what_cannot_be_is_refused_in_the_words_of_a_config_finding(key: str, typed: str, sentence: str) -> None:
    async with house() as h:
        with pytest.raises(ConfigError) as refused:
            await h.guilds.set("7", key, typed, ANA)
        assert sentence in str(refused.value)
        assert await h.store.record(Setting, "guild:7") is None


async def test_a_change_counts_in_its_guild_alone_and_after_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.guilds.set("7", "session_gap", "off", ANA)
        await h.guilds.set("7", "budgets", "per=user messages=5", ANA)
    async with house(tmp_path) as h:
        assert [h.guilds.own_gap(guild) for guild in ("7", "8", None)] == [None, UNSET, UNSET]
        here = Channel(front="discord", id="c", kind="channel", name="help", guild_id="7")
        assert [(each.per, each.guild) for each in h.guilds.budgets(here)] == [("bot", None), ("user", "7")]
        elsewhere = here.model_copy(update={"guild_id": "8"})
        assert [each.per for each in h.guilds.budgets(elsewhere)] == ["bot"]


async def test_a_list_set_in_the_guild_stands_in_place_of_the_files_and_always_comes_first() -> None:
    async with house() as h:
        assert h.guilds.ruling("7", "Advice-Life").mode == "always"
        await h.guilds.set("7", "mention", "advice-*, news", ANA)
        await h.guilds.set("7", "listen", "<#42>", ANA)
        assert h.guilds.ruling("7", "Advice-Life").mode == "always"
        assert h.guilds.ruling("7", "anything", "42").mode == "listen"
        ruling = h.guilds.ruling("7", "news")
        assert (ruling.mode, ruling.why) == ("mention", "`news` in the list `mention` of `/admin config` names it")
        assert h.guilds.ruling("8", "advice-life").why.endswith("of discord.channels in the bot's file names it")
        assert h.guilds.ruling("7", "general").why == "no list of channels names it"


@pytest.mark.parametrize("typed", ["none", "help"])
async def test_a_channel_that_a_guild_strikes_off_its_list_is_off_it(typed: str) -> None:
    async with house() as h:
        await h.guilds.set("7", "always", typed, ANA)
        assert (await h.values())["always"] == typed
        assert h.guilds.ruling("7", "advice-life") == Ruling("mention", "no list of channels names it")
        assert h.guilds.ruling("8", "advice-life").mode == "always"


async def test_one_step_takes_the_last_change_back_and_another_makes_it_again() -> None:
    async with house() as h:
        await h.guilds.set("7", "persona", "compass", ANA)
        await h.guilds.set("7", "session_gap", "10m", ANA)
        await h.guilds.set("7", "session_gap", "10m", BEN)  # changes nothing, and does not stand in the way
        await h.guilds.undo("7", BEN)
        assert (h.guilds.own_gap("7"), h.guilds.of("7").persona) == (UNSET, "compass")
        await h.guilds.undo("7", BEN)
        assert h.guilds.own_gap("7") == 600
        assert await h.origin("session_gap") == "set here by Ben on 2026-03-02 09:00 UTC"


async def test_default_goes_back_to_the_file_and_nothing_to_undo_is_said() -> None:
    async with house() as h:
        with pytest.raises(TroupeError, match="Nothing was changed here"):
            await h.guilds.undo("7", ANA)
        await h.guilds.set("7", "always", "help", ANA)
        h.clock.advance(60)
        await h.guilds.set("7", "always", "Default", ANA)
        assert (await h.values())["always"] == "advice-*"
        assert await h.origin("always") == "the bot's file"


async def test_every_change_is_in_the_audit_of_its_guild() -> None:
    async with house() as h:
        await h.guilds.set("7", "session_gap", "10m", ANA)
        h.clock.advance(1)
        await h.guilds.undo("7", BEN)
        page = await h.store.records(AuditEntry, about="guild:7")
        assert [(each.actor.name, each.action, each.details) for each in page.items] == [
            ("Ben", "config undo", {"keys": ["session_gap"], "changes": {"session_gap": [600.0, "default"]}}),
            ("Ana", "config set", {"key": "session_gap", "from": "default", "to": 600.0}),
        ]


async def test_what_no_longer_fits_the_file_is_ignored_and_shown_as_such() -> None:
    async with house() as h:
        await h.guilds.set("7", "persona", "compass", ANA)
        await h.guilds.set("7", "session_gap", "10m", ANA)
        h.guilds.adopt(settings(personas=[persona("sage")]))
        assert (h.guilds.of("7").persona, h.guilds.own_gap("7")) == (None, 600)
        shown = next(each for each in await h.guilds.shown("7") if each.key == "persona")
        assert (shown.value, shown.origin) == ("sage", "the bot's file")
        assert shown.trouble.startswith("Ignored: persona: found 'compass' (text), which is no persona of this bot")
        h.guilds.adopt(config())
        assert h.guilds.of("7").persona == "compass"
