"""`troupe config`: checks what people wrote in `config/`, and tells editors its shape."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import config_folder

if TYPE_CHECKING:
    from .settings import BotSettings, ModelSettings


@click.group()
def config() -> None:
    """Check the settings in config/, or print their JSON Schema.

    \b
    Example:
      troupe config check
    """


@config.command()
@config_folder
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def check(folder: Path, as_json: bool) -> None:
    """Read every file in config/ and say what is wrong, or what each bot has.

    Nothing is started and nothing is changed. The exit code is 0 when all is well and 1 when something is not.

    \b
    Examples:
      troupe config check
      troupe config check --config /etc/troupe/config --json
    """
    from .errors import ConfigError
    from .loading import load

    findings: list[str] = []
    bots: list[dict[str, Any]] = []
    try:
        bots = [_account(bot) for bot in load(folder, os.environ).bots]
    except ConfigError as error:
        findings = error.findings
    if as_json:
        click.echo(json.dumps({"ok": not findings, "findings": findings, "bots": bots}, indent=2))
    else:
        for line in findings or map(_line, bots):
            click.echo(line, err=bool(findings))
    if findings and not as_json:
        click.echo(f"{len(findings)} to put right; nothing was started or changed.", err=True)
    raise SystemExit(1 if findings else 0)


@config.command()
@click.argument("kind", type=click.Choice(["troupe", "bot", "persona"]), default="bot")
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of file (bot, unless named), for an editor to check and complete it by.

    \b
    Example, with the first line of a bot's file pointing an editor to it:
      troupe config schema bot > config/bot.schema.json
      # yaml-language-server: $schema=../bot.schema.json
    """
    from .loading import schema as schemas

    click.echo(json.dumps(schemas()[kind], indent=2))


def _account(bot: BotSettings) -> dict[str, Any]:
    """What a bot has, and which variables would give it more."""
    token = bot.discord.token
    return {
        "name": bot.name,
        "display": bot.display,
        "personas": [persona.name for persona in bot.personas],
        "storage": {"type": bot.storage.type, "root": str(bot.root), "enabled": bot.storage.enabled, **_moved(bot)},
        "models": [_model(model) for model in bot.models],
        "discord": {"on": bool(token), "set": None if token is None or token else token.variable},
    }


def _moved(bot: BotSettings) -> dict[str, str]:
    from .moved import told

    return {"moved": sentence} if (sentence := told(bot)) else {}


def _model(model: ModelSettings) -> dict[str, Any]:
    missing = None if model.ready or model.api_key is None else model.api_key.variable
    return {"provider": model.provider, "model": model.model, "on": model.ready, "set": missing}


def _line(bot: dict[str, Any]) -> str:
    storage = f"{bot['storage']['type']} in {bot['storage']['root']}" if bot["storage"]["enabled"] else "in memory only"
    storage += f" ({moved})" if (moved := bot["storage"].get("moved", "").rstrip(".")) else ""
    return f"{bot['name']}: " + "; ".join(
        [
            f"personas {', '.join(bot['personas'])}",
            f"storage {storage}",
            f"models {', '.join(_models(bot['models']))}",
            f"Discord {_switch(bot['discord'], 'discord.token')}",
        ]
    )


def _models(models: list[dict[str, Any]]) -> Iterator[str]:
    for model in models:
        name = f"{model['provider']} {model['model']}".strip()
        yield name if model["on"] else f"{name} {_switch(model, 'api_key')}"


def _switch(part: dict[str, Any], key: str) -> str:
    if part["on"]:
        return "on"
    return f"off (set {part['set']})" if part["set"] else f"off (write {key}: ${{VARIABLE:-}})"
