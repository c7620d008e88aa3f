"""Bots that are killed at the worst moments, as whole processes: what people see once they are back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from .stage import Stage, eventually, stage
from .wire.discord_accounts import BotAccount
from .wire.discord_model import Channel, Message

LONG = "A sentence that says a little. " * 250
_WORDS = LONG.count(" ")


def prepared(here: Stage) -> dict[str, str]:
    """A bot of two personas that answers every line; returns its environment."""
    persona = {"display": "Marcus", "description": "For tests.", "prompt": "You are Marcus."}
    (here.folder / "config" / "personas").mkdir(parents=True)
    (here.folder / "config" / "personas" / "marcus.yaml").write_text(yaml.safe_dump(persona))
    more: dict[str, Any] = {"channels": {"always": ["*"]}, "edit_interval": 0.5}
    here.provider.default = lambda ask: f"whole {ask.question.rsplit(': ', 1)[-1]}"
    return here.write({"sage": {"personas": ["sage", "marcus"], "discord": more}})


async def killed(here: Stage, process: subprocess.Popen[bytes], bot: BotAccount) -> None:
    """Ends the bot without giving it time for anything; it may come back at once."""
    process.kill()
    process.wait()
    await here.discord.until(lambda: not here.discord.connected(bot))
    (here.folder / "data" / "sage" / "identifies").unlink()


def pages(here: Stage, channel: Channel) -> list[Message]:
    return [one for one in here.discord.messages(channel) if one.author.bot]


async def test_whatever_was_under_way_when_the_bot_was_killed_is_finished_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        server, sage = here.discord, here.discord.add_bot("token-sage", "sage")
        ana, guild = server.add_person("ana"), server.add_guild("Home")
        heard, page, three, face, stopped, missed = map(
            guild.add_channel, ("heard", "page", "three", "face", "stopped", "missed")
        )
        thread, dm = server.add_thread(page, "aside"), server.dm(ana, sage)
        environment = prepared(here)
        with here.troupe("bot", "sage", environment=environment) as process:
            await eventually(lambda: (tmp_path / "data" / "sage" / "heard").exists())
            for channel, text, after, shown in (
                (heard, "one", 0, 0),
                (page, "two", 5, 1),
                (three, "three", _WORDS - 20, 3),
                (face, "marcus, four", _WORDS - 20, 3),
                (thread, "five", 5, 1),
                (dm, "marcus, six", 5, 1),
            ):
                asks = len(here.provider.asks)
                here.provider.hold(after, LONG)
                await server.say(ana, channel, text)
                await here.provider.until(lambda provider, asks=asks: len(provider.asks) > asks)  # type: ignore[misc]
                await server.until(lambda channel=channel, shown=shown: len(pages(here, channel)) >= shown)  # type: ignore[misc]
            here.provider.hold(0)
            await server.say(ana, stopped, "seven")
            await here.provider.until(lambda provider: len(provider.asks) == 7)
            await server.say(ana, stopped, "stop")
            dropped = "SELECT 1 FROM messages WHERE annotations LIKE '%dropped%'"
            await eventually(lambda: bool(here.rows("sage", dropped)))
            await killed(here, process, sage)
        await server.say(ana, missed, "eight")
        for _ in range(2):
            with here.troupe("bot", "sage", environment=environment) as process:
                started = (tmp_path / "data" / "sage" / "heard").stat().st_mtime_ns
                await eventually(lambda: (tmp_path / "data" / "sage" / "heard").stat().st_mtime_ns > started)  # noqa: B023
                await killed(here, process, sage)
        assert [one.content for one in pages(here, heard)] == ["whole one"]
        assert [one.content for one in pages(here, page)] == ["whole two"]
        assert [one.content for one in pages(here, three)] == ["whole three"]
        assert [one.content for one in pages(here, face)] == ["whole marcus, four"]
        assert [one.content for one in pages(here, thread)] == ["whole five"]
        assert [one.content for one in pages(here, dm)] == ["**Marcus**\nwhole marcus, six"]
        assert [one.content for one in pages(here, missed)] == ["whole eight"]
        assert pages(here, stopped) == []
        assert len(here.provider.asks) == 14


async def test_a_bot_killed_when_its_answer_was_just_whole_does_not_say_it_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        server, sage = here.discord, here.discord.add_bot("token-sage", "sage")
        ana, guild = server.add_person("ana"), server.add_guild("Home")
        channel, environment = guild.add_channel("general"), prepared(here)
        with here.troupe("bot", "sage", environment=environment) as process:
            await server.until_ready(sage)

            def at_the_last_page(what: str, facts: dict[str, Any]) -> None:
                if what in ("message", "edit") and "t:again:" in str(facts["message"].components):
                    process.kill()

            server.observers.append(at_the_last_page)
            question = await server.say(ana, channel, "hello")
            await server.until(lambda: not server.connected(sage))
            await killed(here, process, sage)
        server.observers.clear()
        (answer,) = pages(here, channel)
        with here.troupe("bot", "sage", environment=environment):
            await eventually(lambda: bool(here.rows("sage", "SELECT 1 FROM pages")))
            again = await server.say(ana, channel, "and now?", reply_to=answer)
            await server.answer_to(again)
        assert [one.content for one in pages(here, channel)] == ["whole hello", "whole and now?"]
        assert answer.reference_id == question.id
        assert len(here.provider.asks) == 2
