"""A changed configuration under a running bot: taken on, refused whole, or kept for the next start."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bots.errors import ConfigError, TroupeError
from bots.loading import load
from bots.reloading import Reloaded, Reloading
from bots.settings import BotSettings
from bots.wiring import build

from .wire.discord_accounts import Face
from .wire.discord_client import pointed_at
from .wire.discord_server import DiscordServer

BOT = """\
personas: [sage]
storage: {path: ./data/sage}
discord:
  token: ${TOKEN:-}
  edit_interval: 1.5
"""
PERSONA = "display: Sage\ndescription: Wise.\nprompt: You are wise.\n"


@dataclass
class House:
    folder: Path
    applied: list[BotSettings] = field(default_factory=list)
    told: dict[str, object] = field(default_factory=dict)

    def write(self, bot: str = BOT, persona: str = PERSONA) -> None:
        for path, text in {"bots/sage.yaml": bot, "personas/sage.yaml": persona}.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)

    def reloading(self, *, stale: bool = False) -> Reloading:
        running = load(self.folder, {}).bot("sage")
        assert running is not None
        return Reloading(self.folder, running, self.applied.append, report=self.told.update, stale=stale, environ={})


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path / "config")
    house.write()
    return house


async def test_a_change_is_applied_by_key_and_once(house: House) -> None:
    reloading = house.reloading()
    house.write(BOT.replace("1.5", "2.5"), PERSONA.replace("wise.", "very wise."))
    done = await reloading.reload()
    assert done == Reloaded(changed=("personas", "discord.edit_interval"))
    assert str(done) == "In force now: personas, discord.edit_interval."
    assert house.applied[0].discord.edit_interval == 2.5
    assert str(await reloading.reload()) == "Nothing has changed."
    assert len(house.applied) == 1


async def test_what_a_bot_is_built_upon_stays_as_it_runs_and_is_said_to_wait(house: House) -> None:
    reloading = house.reloading()
    (house.folder.parent / ".env").write_text("TOKEN=another\n")
    house.write(BOT.replace("./data/sage", "./elsewhere").replace("1.5", "2.5"))
    done = await reloading.reload()
    assert done == Reloaded(("discord.edit_interval",), ("storage.path", "discord.token"))
    (new,) = house.applied
    assert (new.root, bool(new.discord.token)) == (house.folder.parent / "data/sage", False)
    assert str(await reloading.reload()) == (
        "Waiting for a restart: storage.path, discord.token. Nothing else has changed."
    )


async def test_where_the_console_listens_waits_for_a_restart(house: House) -> None:
    reloading = house.reloading()
    house.write(f"{BOT.rstrip()}\nweb: {{port: 9999, host: '::1', requests: 20}}\n")
    assert await reloading.reload() == Reloaded(("web.requests",), ("web.host", "web.port"))


async def test_a_wrong_configuration_is_refused_whole_with_the_reason(house: House) -> None:
    reloading = house.reloading()
    house.write(BOT.replace("1.5", "99"), PERSONA.replace("wise.", "very wise."))
    with pytest.raises(ConfigError, match=r"bots/sage\.yaml:5: discord\.edit_interval: found 99; allowed: a number"):
        await reloading.reload()
    assert house.applied == []
    assert "discord.edit_interval: found 99" in str(house.told["config_trouble"])
    house.write()
    await reloading.reload()
    assert house.told["config_trouble"] == ""


async def test_a_bot_that_is_no_longer_in_the_configuration_goes_on_as_it_was(house: House) -> None:
    reloading = house.reloading()
    (house.folder / "bots/sage.yaml").rename(house.folder / "bots/other.yaml")
    with pytest.raises(TroupeError, match="found no bot 'sage' any more"):
        await reloading.reload()
    assert house.applied == []


async def test_a_changed_file_is_read_once_nobody_writes_to_it_any_more(house: House) -> None:
    reloading = house.reloading()
    assert await reloading.tick() is None
    house.write(BOT.replace("1.5", "2.55"))
    assert await reloading.tick() is None
    house.write(BOT.replace("1.5", "2.555"))
    assert await reloading.tick() is None
    assert await reloading.tick() == Reloaded(("discord.edit_interval",))
    assert house.applied[0].discord.edit_interval == 2.555
    assert await reloading.tick() is None


async def test_a_look_at_a_wrong_configuration_is_reported_and_not_repeated(house: House) -> None:
    reloading = house.reloading()
    await reloading.tick()
    house.write(BOT.replace("edit_interval", "edit_intervall"))
    await reloading.tick()
    assert await reloading.tick() is None
    assert "edit_intervall: found an unknown key" in str(house.told["config_trouble"])
    house.told.clear()
    assert await reloading.tick() is None
    assert house.told == {}


async def test_a_new_file_and_a_variable_are_noticed(house: House) -> None:
    reloading = house.reloading()
    await reloading.tick()
    (house.folder / "personas/poet.yaml").write_text(PERSONA.replace("Sage", "Poet"))
    await reloading.tick()
    assert await reloading.tick() == Reloaded()
    (house.folder.parent / ".env").write_text("TOKEN=t\n")
    await reloading.tick()
    assert await reloading.tick() == Reloaded(waiting=("discord.token",))


async def test_a_bot_that_was_started_again_reads_what_changed_before(house: House) -> None:
    again = house.reloading(stale=True)
    house.write(BOT.replace("1.5", "2.5"))
    assert await again.tick() is None
    assert await again.tick() == Reloaded(("discord.edit_interval",))


LIVING = """\
personas: [sage]
storage: {{path: ./data/sage}}
discord:
  token: ${{TOKEN:-}}
  api_url: {api}
  gateway_url: {gateway}
  channels: {{always: [general]}}
"""


async def test_a_bot_at_work_goes_by_its_changed_files_at_once_and_names_what_waits(tmp_path: Path) -> None:
    async with DiscordServer(rate_limits=False) as server, AsyncExitStack() as stack:
        account, guild = server.add_bot("token-1", "sage"), server.add_guild("Home")
        general, help = guild.add_channel("general"), guild.add_channel("help")
        ana = server.add_person("ana")
        stack.enter_context(pointed_at(server))
        house = House(tmp_path / "config")
        (tmp_path / ".env").write_text("TOKEN=token-1\n")
        living = LIVING.format(api=server.api_url, gateway=server.gateway_url)
        house.write(living)
        running = load(house.folder, {}).bot("sage")
        assert running is not None
        at_work = await stack.enter_async_context(build(running, folder=house.folder))
        working = asyncio.ensure_future(at_work.run(house.told.update))
        try:
            await server.until_ready(account)
            await server.answer_to(await server.say(ana, general, "what is 6 * 7?"))
            (house.folder / "personas/marcus.yaml").write_text(PERSONA.replace("Sage", "Marcus"))
            changed = living.replace("[sage]", "[sage, marcus]").replace("[general]", "[help]")
            house.write(changed.replace("./data/sage", "./elsewhere") + "  dms: {policy: 'off'}\n")
            told = await at_work.reloading(house.told.update).reload()
            assert set(told.changed) == {"personas", "discord.channels.always", "discord.dms.policy"}
            assert told.waiting == ("storage.path",)
            private = server.dm(ana, account)
            for unheard in (general, private):
                await server.say(ana, unheard, "what is 6 * 7?")
            question = await server.say(ana, help, "Marcus, what is 6 * 7?")
            answer = await server.said_after(question)
            assert isinstance(answer.author, Face)
            assert answer.author.name == "Marcus"
            assert [m.author.bot for m in server.messages(general)] == [False, True, False]
            assert [m.author.bot for m in server.messages(private)] == [False]
        finally:
            working.cancel()
            await asyncio.wait((working,))
