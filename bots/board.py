"""The tables people see: what came up with `troupe up`, and what every bot is doing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .embedding import chosen
from .memory_settings import WORDS_ALONE
from .settings import BotSettings, ModelSettings, Troupe
from .status import BotStatus

_WIDE = 110
"""Columns from which on a hint stands on one line."""
STYLES = {
    "ready": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backing off": "yellow",
    "not started": "dim",
    "stopped": "dim",
}


def show_fleet(console: Console, settings: Troupe, statuses: list[BotStatus]) -> None:
    """What runs, where it keeps things, which models answer, and what to set to turn on what is off."""
    table = _table(console, "bot", "process", "storage", "model", "Discord")
    gap = " " if console.width >= _WIDE else "\n"
    for bot, status in zip(settings.bots, statuses, strict=True):
        models = _models(bot, gap).append(f"\nrecall: {_recall(bot, status)}", style="dim")
        table.add_row(bot.name, _process(status), _storage(bot), models, _discord(bot, status, gap))
    _print(console, table, [*_troubles(statuses), *_consoles(settings, statuses), *_next_steps(settings, statuses)])


def show_statuses(console: Console, statuses: list[BotStatus], at: datetime) -> None:
    """What every bot is doing at this moment."""
    table = _table(console, "bot", "state", "pid", "up", "restarts", "memory", "Discord", "sessions")
    for status in statuses:
        up = _span(at - status.started) if status.running and status.started else "-"
        memory = f"{status.memory_bytes / 2**20:.0f} MiB" if status.memory_bytes else "-"
        pid = str(status.pid) if status.running else "-"
        told = [status.discord or "-", str(status.live_sessions)] if status.running else ["-", "-"]
        table.add_row(status.bot, _state(status), pid, up, str(status.restarts), memory, *map(Text, told))
    remembered = [Text(f"{each.bot} memory: {each.memory}", style="dim") for each in statuses if each.memory]
    _print(console, table, [*_troubles(statuses), *remembered])


def _table(console: Console, *columns: str) -> Table:
    style = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=style, pad_edge=False, show_edge=False, padding=(0, 1 if console.is_terminal else 2, 0, 0))
    for column in columns:
        narrow = column not in ("storage", "model")  # the name of a variable must stay in one piece
        right = column in ("pid", "restarts", "memory", "sessions")
        table.add_column(column, overflow="fold", no_wrap=narrow, justify="right" if right else "left")
    return table


def _print(console: Console, table: Table, lines: Iterable[Text]) -> None:
    console.print()
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=not console.is_terminal)
    console.print()


def _process(status: BotStatus) -> Text:
    if status.state == "ready":
        return Text(str(status.pid), style="green")
    return _state(status)


def _state(status: BotStatus) -> Text:
    return Text(status.state, style=STYLES.get(status.state, "red"))


def _storage(bot: BotSettings) -> Text:
    if not bot.storage.enabled:
        return Text("memory only")
    near = os.path.relpath(bot.root)
    return Text(f"{bot.storage.type} {bot.root if near.startswith('..') else near}")


def _models(bot: BotSettings, gap: str) -> Text:
    """The first that can be asked, and what would turn on the others."""
    first = next((model for model in bot.models if model.ready), None)
    text = Text(_model(first) if first else "offline")
    works = first is not None and first.provider != "offline"
    for model in bot.models:
        if not model.ready:
            indented = gap.replace("\n", "\n  ")
            text.append(f"\noff: {_model(model)},{indented}{_cure(model)}", style="dim" if works else "yellow")
    return text


def _recall(bot: BotSettings, status: BotStatus) -> str:
    """What earlier talk is found by; a bot that has just begun has not said it yet."""
    if not bot.memory.enabled:
        return "off"
    kind = chosen(bot.embedder).kind
    return status.embedder or (WORDS_ALONE if kind in ("none", "hashed") else kind)


def _model(model: ModelSettings) -> str:
    return model.model or model.provider


def _cure(model: ModelSettings) -> str:
    return f"set {model.api_key.variable}" if model.api_key is not None else "give it an api_key"


def _discord(bot: BotSettings, status: BotStatus, gap: str) -> Text:
    token = bot.discord.token
    if token is None:
        return Text(f"off: give it a{gap}discord.token", style="yellow")
    if not token:
        return Text(f"off: set{gap}{token.variable}", style="yellow")
    if not status.running:
        return Text("off", style="red" if status.state == "fatal" else "yellow")
    return Text(status.discord or "on", style="green" if status.discord in ("ready", "connected", "") else "yellow")


def _troubles(statuses: list[BotStatus]) -> list[Text]:
    troubles = (
        (status.bot, name, text, style)
        for status in statuses
        for name, text, style in (
            (status.state, status.last_error, STYLES.get(status.state, "red")),
            ("model", status.model_trouble, "red"),
            ("config", status.config_trouble, "red"),
            ("upkeep", status.job_trouble, "red"),
            ("backup", status.backup_alarm, "red"),
            ("storage", status.transfer_trouble, "red"),
            ("storage", status.left_behind, "yellow"),
            ("console", status.web_trouble, "yellow"),
        )
    )
    return [
        Text.assemble((f"{bot} ", "bold"), (f"{name}: ", style), text) for bot, name, text, style in troubles if text
    ]


def _consoles(settings: Troupe, statuses: list[BotStatus]) -> list[Text]:
    """The links that people open to talk to a bot and to look after it."""
    pairs = zip(settings.bots, statuses, strict=True)
    shown = [bot for bot, each in pairs if bot.web.enabled and each.running and not each.web_trouble]
    links = [Text.assemble((f"{bot.name} ", "bold"), "in the browser: ", (bot.web.address, "cyan")) for bot in shown]
    if any(bot.web.guarded for bot in shown):
        links.append(Text(f"Everybody needs a token there: {_troupe()} token create NAME --scope admin"))
    return links


def _next_steps(settings: Troupe, statuses: list[BotStatus]) -> list[Text]:
    up = next((status.bot for status in statuses if status.running), None)
    if up is None:
        return []
    stop = Text("Variables are set in .env, beside config/. Ctrl-C stops them all.", style="dim")
    if any(status.state == "fatal" for status in statuses):
        stop.append(" A bot that is fatal starts again once you have changed config/ or .env.")
    if any(bot.discord.token for bot in settings.bots):
        return [stop]
    talk = Text.assemble(
        "\nNo bot is on Discord yet. Open a link above, or say in another terminal: ",
        ("make chat", "bold"),
        " (or ",
        (f"{_troupe()} chat {up}", "bold"),
        ")",
    )
    return [talk, stop]


def _troupe() -> str:
    """The command as it can be typed here."""
    if shutil.which("troupe"):
        return "troupe"
    beside = Path(sys.executable).with_name("troupe")
    if not beside.exists():
        return "troupe"
    near = os.path.relpath(beside)
    return str(beside) if near.startswith("..") else near


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    for size, unit, part, parts in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {parts}"
    return f"{seconds} s"
