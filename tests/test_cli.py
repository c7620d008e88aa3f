"""The `troupe` command as people and containers use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from bots.board import show_fleet, show_statuses
from bots.cli import main
from bots.loading import load
from bots.status import BotStatus, write
from storage.rootlock import RootLock

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BOT = """
personas: [sage]
models:
  - {provider: openai, model: gpt-5-mini, api_key: "${OPENAI_API_KEY:-}"}
discord: {token: "${NAME_DISCORD_TOKEN:-}"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    for name in ("bots", "personas"):
        (folder / name).mkdir(parents=True)
    (folder / "personas" / "sage.yaml").write_text("{display: Sage, description: wise, prompt: You are Sage.}")
    for name in ("sage", "spark"):
        (folder / "bots" / f"{name}.yaml").write_text(BOT.replace("NAME", name.upper()))
    return folder


def run(config: Path, *args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [*args, "--config", str(config)])
    return result.exit_code, result.stdout, result.stderr


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            _, found, _ = group.resolve_command(context, [name])
            if found is not None:
                yield from commands(found, (*path, name))


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert f"  troupe {' '.join(path)}".rstrip() in result.output.partition("Example")[2]


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from bots.cli import main; main(['--help'], standalone_mode=False); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"discord", "openai", "anthropic", "aiohttp", "pydantic", "rich", "structlog", "asyncio"}


@pytest.mark.parametrize("command", [["up"], ["bot", "sage"], ["status"], ["chat"]])
def test_what_is_wrong_with_the_config_is_said_plainly(config: Path, command: list[str]) -> None:
    (config / "bots" / "sage.yaml").write_text("personas: [sage]\ncolour: red\nstorage: {max_history: 0}\n")
    code, out, err = run(config, *command)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 2
    assert all("sage.yaml" in line for line in err.splitlines())
    assert "colour" in err


def test_the_folder_may_be_named_by_a_variable(config: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--json"], env={"TROUPE_CONFIG": str(config)})
    assert [bot["bot"] for bot in json.loads(result.stdout)] == ["sage", "spark"]


def test_a_bot_nobody_knows(config: Path) -> None:
    code, _, err = run(config, "bot", "merlin")
    assert (code, err) == (1, "Error: no bot is called 'merlin'; there are: sage, spark\n")


def test_status_as_json(config: Path) -> None:
    root = config.parent / "data" / "sage"
    write(root, BotStatus(bot="sage", state="fatal", last_error="Discord does not accept this token."))
    code, out, _ = run(config, "status", "--json")
    sage, spark = json.loads(out)
    assert code == 0
    assert (sage["state"], sage["last_error"]) == ("fatal", "Discord does not accept this token.")
    assert spark["state"] == "not started"


def test_status_for_people(config: Path) -> None:
    write(config.parent / "data" / "sage", BotStatus(bot="sage", state="fatal", last_error="[the] token"))
    code, out, _ = run(config, "status")
    assert code == 0
    assert "not started" in out
    assert "sage fatal: [the] token" in out


def test_a_second_fleet_is_not_started(config: Path) -> None:
    locks = [RootLock.take(config.parent / "data" / name) for name in ("sage", "spark")]
    code, out, err = run(config, "up")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert f"already runs here (sage: process {os.getpid()}, spark: process {os.getpid()})" in err
    for lock in locks:
        lock.release()


def test_health_is_one_line_and_an_exit_code(config: Path) -> None:
    assert run(config, "status", "--healthy", "sage") == (1, "sage is not healthy: not started\n", "")


def test_the_board_says_what_to_set_and_how_to_talk_now(config: Path) -> None:
    settings = load(config, {})
    for width in (80, 120):
        text = board(config, {}, width)
        assert max(map(len, text.splitlines())) <= max(width, 120)
        assert text.isascii(), "plain when it is not a terminal"
        for word in ("SAGE_DISCORD_TOKEN", "SPARK_DISCORD_TOKEN", "OPENAI_API_KEY", "4711", "make chat"):
            assert word in text
        assert f"troupe chat {settings.bots[0].name}" in text
        assert ("set SAGE_DISCORD_TOKEN" in text) == (width == 120)


def test_the_board_of_a_fleet_on_discord(config: Path) -> None:
    text = board(config, {"SAGE_DISCORD_TOKEN": "a-token", "OPENAI_API_KEY": "a-key"}, 120)
    assert "a-token" not in text
    assert "a-key" not in text
    assert "make chat" not in text
    assert "SAGE_DISCORD_TOKEN" not in text
    assert "SPARK_DISCORD_TOKEN" in text


def test_statuses_show_how_long_and_how_much() -> None:
    out = StringIO()
    started = AT - timedelta(hours=2, minutes=5)
    ready = BotStatus(bot="sage", pid=4711, state="ready", started=started, memory_bytes=50 << 20, live_sessions=3)
    show_statuses(Console(file=out, width=80), [ready], AT)
    assert out.getvalue().split()[8:] == ["sage", "ready", "4711", "2", "h", "5", "min", "0", "50", "MiB", "-", "3"]


def test_python_m_bots_is_troupe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bots", "--help"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.startswith("Usage: troupe ")


def board(config: Path, environ: dict[str, str], width: int) -> str:
    settings = load(config, environ)
    out = StringIO()
    first = BotStatus(bot="sage", pid=4711, state="ready", discord="ready")
    show_fleet(Console(file=out, width=width), settings, [first, BotStatus(bot="spark", state="starting")])
    return out.getvalue()
