"""What `troupe status` and `troupe up` say of a fleet that is not quite well."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bots import upkeep
from bots.board import show_fleet, show_statuses
from bots.checkup import process
from bots.cli import _settled, main
from bots.loading import load
from bots.settings import Troupe
from bots.status import FLEET, BotStatus, State, claim, read, write
from storage.rootlock import RootLock

from .stage import eventually
from .world import settings as world_settings
from .world import world

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BOT = """
personas: [sage]
models:
  - {provider: openai, model: large, api_key: "${OPENAI_API_KEY:-}"}
  - {provider: anthropic, model: small, api_key: "${ANTHROPIC_API_KEY:-}"}
discord: {token: "${SAGE_DISCORD_TOKEN:-}"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    for name in ("bots", "personas"):
        (folder / name).mkdir(parents=True)
    (folder / "personas" / "sage.yaml").write_text("{display: Sage, description: wise, prompt: You are Sage.}")
    (folder / "bots" / "sage.yaml").write_text(BOT)
    (folder / "bots" / "spark.yaml").write_text("personas: [sage]")
    return folder


def run(config: Path, *args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [*args, "--config", str(config)])
    return result.exit_code, result.stdout, result.stderr


def board(settings: Troupe, *statuses: BotStatus) -> str:
    out = StringIO()
    show_fleet(Console(file=out, width=160), settings, list(statuses))
    return out.getvalue()


def test_a_typing_error_in_the_config_does_not_hide_the_bots_that_run(config: Path) -> None:
    write(config.parent / "data" / "sage", BotStatus(bot="sage", state="fatal", last_error="no token"))
    (config / "bots" / "spark.yaml").write_text("personas: [sage]\ncolour: red\n")
    code, out, err = run(config, "status")
    assert code == 1
    assert "colour" in err
    assert "sage fatal: no token" in out
    code, out, _ = run(config, "status", "--json")
    assert (code, [each["bot"] for each in json.loads(out)]) == (1, ["sage"])
    assert run(config, "status", "--healthy", "sage")[1] == "sage is not healthy: fatal: no token\n"


def test_one_bot_is_shown_where_it_is_named(config: Path) -> None:
    code, out, _ = run(config, "status", "spark", "--json")
    assert (code, [each["bot"] for each in json.loads(out)]) == (0, ["spark"])
    assert run(config, "status", "merlin") == (1, "", "Error: no bot is called 'merlin'; there are: sage, spark\n")


def test_a_second_fleet_is_refused_even_while_bots_of_the_first_are_down(config: Path) -> None:
    settings = load(config, {})
    claimed = claim(settings)
    code, out, err = run(config, "up")
    assert (code, out) == (1, "")
    assert err.startswith(f"Troupe already runs here (process {os.getpid()}): ")
    for lock in claimed:
        lock.release()
    for lock in claim(settings):
        lock.release()


def test_a_bot_that_a_running_fleet_does_not_know_says_how_it_gets_in(config: Path) -> None:
    settings = load(config, {})
    assert [each.last_error for each in read(settings)] == ["", ""]
    lock = RootLock.take(config.parent / "data" / "sage", FLEET)
    sage, spark = read(settings)
    lock.release()
    assert sage.last_error == ""
    assert spark.last_error.startswith("it was added since `troupe up` began")


@pytest.mark.parametrize(("state", "discord"), [("fatal", "connecting"), ("backing off", "reconnecting")])
def test_a_bot_that_is_down_is_not_shown_on_its_way_to_discord(config: Path, state: State, discord: str) -> None:
    settings = load(config, {"SAGE_DISCORD_TOKEN": "t"})
    text = board(settings, BotStatus(bot="sage", state=state, discord=discord), BotStatus(bot="spark", state="ready"))
    assert discord not in text
    assert ("starts again once you have changed" in text) == (state == "fatal")


def test_the_board_waits_for_a_bot_that_is_still_on_its_way() -> None:
    assert not _settled(BotStatus(bot="sage", state="ready", discord="reconnecting"))
    assert _settled(BotStatus(bot="sage", state="ready", discord="ready"))


def test_where_variables_go_is_said_and_a_second_model_is_a_matter_of_taste(config: Path) -> None:
    settings = load(config, {"OPENAI_API_KEY": "k"})
    text = board(settings, BotStatus(bot="sage", state="ready", pid=1), BotStatus(bot="spark", state="ready", pid=2))
    assert "off: small, set ANTHROPIC_API_KEY" in text
    assert "Variables are set in .env" in text


def test_what_is_wrong_with_models_and_with_a_changed_file_is_told() -> None:
    out = StringIO()
    status = BotStatus(bot="sage", state="ready", pid=1, model_trouble="gpt: no key", config_trouble="refused: x")
    show_statuses(Console(file=out, width=120), [status], AT)
    assert "sage model: gpt: no key" in out.getvalue()
    assert "sage config: refused: x" in out.getvalue()


def test_what_earlier_talk_is_found_by_is_told_beside_the_model(config: Path) -> None:
    (config / "bots" / "sage.yaml").write_text("personas: [sage]\nembedder: {provider: none}\n")
    (config / "bots" / "spark.yaml").write_text("personas: [sage]\nmemory: {enabled: false}\n")
    begun = [BotStatus(bot="sage", state="ready"), BotStatus(bot="spark", state="ready")]
    told = board(load(config, {}), *begun)
    assert "recall: words alone" in told
    assert "recall: off" in told
    assert "recall: minilm-l6-v2" in board(
        load(config, {}), BotStatus(bot="sage", state="ready", embedder="minilm-l6-v2"), begun[1]
    )


async def test_a_bot_without_a_memory_says_so_in_its_status_and_to_the_doctor(config: Path) -> None:
    (config / "bots" / "spark.yaml").write_text("personas: [sage]\nmemory: {enabled: false}\n")
    bot = load(config, {}).bots[1]
    (check,) = (each for each in process(bot, BotStatus(bot="spark", state="ready")) if each.what == "memory")
    assert (check.state, check.sentence[:40]) == ("off", "It is off, for `memory.enabled` is false")
    told: list[dict[str, object]] = []
    async with world(world_settings(memory={"enabled": False})) as w:
        looking = asyncio.ensure_future(upkeep.look_after(w.bot, w.store, told.append, hears=lambda: None, failing=str))
        await eventually(lambda: len(told) > 1)
        looking.cancel()
        await asyncio.wait((looking,))
    assert str(told[0]["memory"]).startswith("off, for `memory.enabled` is false")
    assert told[0]["embedder"] == "words alone"
