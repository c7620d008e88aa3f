"""The `troupe` command. Every command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_bots import bot_named, config_folder, read_settings, utc_now

if TYPE_CHECKING:
    from .settings import Troupe
    from .status import BotStatus
    from .supervisor import Supervisor

BOARD_AFTER = 15.0
"""Seconds after which `up` shows what there is, even if a bot is still starting."""
SETTLED = ("ready", "backing off", "fatal", "stopped")
ELSEWHERE = {
    "config": ("bots.cli_config", "config", "Check the configuration, and explain what may be written."),
    "backup": ("bots.cli_backup", "backup", "Back bots up, and look after their backups."),
    "restore": ("bots.cli_backup", "restore", "Restore a backup into a new root."),
    "cleanup": ("bots.cli_cleanup", "cleanup", "Remove what retention says is due, archived first."),
    "export": ("bots.cli_export", "export", "Write what a bot keeps, or a part of it, into a file."),
    "import": ("bots.cli_cleanup", "import_", "Bring an export back, or an archive of a cleanup."),
    "migrate": ("bots.cli_migrate", "migrate", "Take the talk of another program into a bot's storage."),
    "transfer": ("bots.cli_transfer", "transfer", "Move a bot's talk to another type of storage, and back."),
    "stop": ("bots.cli_stop", "stop", "Stop one bot, and leave the others running."),
    "start": ("bots.cli_stop", "start", "Start one bot again that was stopped."),
    "sessions": ("bots.cli_sessions", "sessions", "Find sessions; name, tag, branch, merge and compare them."),
    "route": ("bots.cli_route", "route", "Tell which persona would answer a line and why, and find the threshold."),
    "memory": ("bots.cli_memory", "memory", "See and change what a bot remembers."),
    "token": ("bots.cli_token", "token", "Let people and programs into the console and the API."),
    "doctor": ("bots.cli_doctor", "doctor", "Look over all that bots need, and mend what can be mended."),
}
"""Commands of other modules: where, under which name, and their line in `troupe --help`."""


class Commands(click.Group):
    """A group that imports the commands of other modules only to run them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            return click.Command(cmd_name, help=ELSEWHERE[cmd_name][2])
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in ELSEWHERE:
            module, name, _ = ELSEWHERE[args[0]]
            return args[0], getattr(importlib.import_module(module), name), args[1:]
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="troupe")
def main() -> None:
    """A fleet of chat bots for Discord: one process per bot.

    \b
    Example:
      troupe up              start every bot
      troupe chat sage       talk to one, in another terminal
    """


@main.command()
@click.option("--json-logs", is_flag=True, help="Log one JSON object a line, even on a terminal.")
@config_folder
def up(folder: Path, json_logs: bool) -> None:
    """Start every bot and keep them running; Ctrl-C stops them.

    A bot that crashes, hangs or grows too big is started again. A second Ctrl-C does not wait.

    \b
    Example:
      troupe up
      troupe up --config /etc/troupe --json-logs
    """
    import asyncio

    from . import logs, status
    from .errors import TroupeError
    from .supervisor import Supervisor

    settings = read_settings(folder)
    if held := status.all_held(settings):
        click.echo(f"Troupe already runs here ({held}): talk to it with `make chat`, or stop it first.", err=True)
        sys.exit(1)
    try:
        claimed = status.claim(settings)
    except TroupeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    tty = False if json_logs else None
    logs.configure("troupe", settings.fleet.log_level, secrets=logs.secrets(settings), tty=tty)
    try:
        code = asyncio.run(_fleet(settings, Supervisor(settings, folder=folder, tty=tty)))
    finally:
        for lock in claimed:
            lock.release()
    sys.exit(code)


@main.command()
@click.argument("name")
@click.option("--json-logs", is_flag=True, help="Log one JSON object a line, even on a terminal.")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
@config_folder
def bot(folder: Path, name: str, json_logs: bool, with_parent: bool) -> None:
    """Run one bot alone, in this process.

    For a container or a service of its own; nobody restarts it here. It exits with 78 when a person has to change
    something first.

    \b
    Example:
      troupe bot sage
    """
    # structlog would import rich, and with it pygments, only to colour tracebacks: 3 MB in every bot.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from . import process

    settings = read_settings(folder)
    fleet = settings.fleet
    tty = False if json_logs else None
    launch = process.Launch(
        heartbeat=fleet.heartbeat, log_level=fleet.log_level, tty=tty, folder=folder, with_parent=with_parent
    )
    process.main(bot_named(settings, name), None, launch)


@main.command()
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.option("--healthy", metavar="BOT", help="Say whether this bot is well, by one line and the exit code.")
@config_folder
def status(folder: Path, name: str | None, as_json: bool, healthy: str | None) -> None:
    """Show what every bot is doing, or one.

    Where the configuration is wrong, it says so, shows the bots that have left a status in data/, and ends with 1.

    \b
    Example:
      troupe status
      troupe status sage
      troupe status --json
      troupe status --healthy sage || echo "sage needs help"
    """
    from . import status as statuses

    found, wrong = _found(folder)
    if name is not None or healthy is not None:
        wanted = healthy or name
        one = [each for each in found if each.bot == wanted]
        if not one and not wrong:
            names = ", ".join(each.bot for each in found)
            raise click.ClickException(f"no bot is called {wanted!r}; there are: {names}")
        found = one
    if healthy is not None and found:
        well, why = statuses.healthy(found[0])
        click.echo(why)
        sys.exit(0 if well else 1)
    if as_json:
        click.echo(f"[{','.join(each.model_dump_json() for each in found)}]")
    elif found:
        from rich.console import Console

        from .board import show_statuses

        show_statuses(Console(), found, utc_now())
    sys.exit(1 if wrong else 0)


def _found(folder: Path) -> tuple[list[BotStatus], bool]:
    """Every bot's status, and whether the configuration is wrong: then its findings are told, and the statuses are
    those that bots have left."""
    import os

    from . import status as statuses
    from .errors import ConfigError
    from .loading import load

    try:
        settings = load(folder, os.environ)
    except ConfigError as error:
        for finding in error.findings:
            click.echo(finding, err=True)
        return statuses.read_without_config(folder), True
    pairs = zip(settings.bots, statuses.read(settings), strict=True)
    return [statuses.alarmed(*pair, utc_now()) for pair in pairs], False


@main.command()
@click.argument("name", metavar="[BOT]", required=False)
@config_folder
def chat(folder: Path, name: str | None) -> None:
    """Talk to a bot in this terminal; the first one of the config unless you name another.

    \b
    Example:
      troupe chat
      troupe chat sage
    """
    from . import console
    from .errors import TroupeError

    settings = read_settings(folder)
    try:
        console.chat(bot_named(settings, name) if name else settings.bots[0], folder)
    except TroupeError as error:
        raise click.ClickException(str(error)) from error


async def _fleet(settings: Troupe, supervisor: Supervisor) -> int:
    import asyncio

    tasks = {asyncio.create_task(_show(settings, supervisor)), asyncio.create_task(_stopping(supervisor))}
    try:
        code = await supervisor.run()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if code == 0:
        click.echo("All bots have stopped.")
    return code


async def _stopping(supervisor: Supervisor) -> None:
    await supervisor.asked_to_stop()
    click.echo("Stopping …")


def _settled(bot: BotStatus) -> bool:
    return bot.state in SETTLED and not (bot.state == "ready" and bot.discord in ("connecting", "reconnecting"))


async def _show(settings: Troupe, supervisor: Supervisor) -> None:
    """Prints the board once: when every bot is up or down, after a while, or at an early end."""
    import asyncio

    from rich.console import Console

    from .board import show_fleet

    try:
        async with asyncio.timeout(BOARD_AFTER):
            await supervisor.until(lambda bots: all(map(_settled, bots)))
    except TimeoutError:
        pass
    finally:
        show_fleet(Console(), settings, supervisor.statuses)
