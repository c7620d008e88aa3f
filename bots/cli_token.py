"""`troupe token`: who may come to a bot's console and API from elsewhere, and take that back."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import answer_of, bot_named, config_folder, opened, read_settings, utc_now
from .cli_sessions_shown import plain

if TYPE_CHECKING:
    from datetime import datetime

    from .settings import BotSettings, Troupe
    from .web.tokens import Scope, Token

_bots = click.option("--bot", "names", multiple=True, metavar="BOT", help="Only at this bot; may be given again.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")


@click.group()
def token() -> None:
    """Let people and programs into the console and the API, and take that back.

    Whoever is at this machine needs no token unless the bot's file says `web: {open: never}`.

    \b
    Example:
      troupe token create anna
      troupe token list
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(("read", "chat", "admin")),
    default="chat",
    show_default=True,
    help="read: see one's own talk; chat: and talk; admin: see and do everything.",
)
@click.option("--user", metavar="ID", help="Whose it is, by their Discord id, say; left out, NAME.")
@click.option("--expires", metavar="SPAN", help="For how long it is good: 12h, 30d or 1y; left out, until revoked.")
@_bots
@_as_json
@config_folder
def create(folder: Path, name: str, scope: Scope, user: str | None, expires: str | None, **given: Any) -> None:
    """Make a token for NAME, and show it this once: only its hash is kept.

    All tokens of one user see the same talk. With the id of a Discord account the bot remembers them as it does there.

    \b
    Example:
      troupe token create anna
      troupe token create anna --user 123456789012345678 --expires 90d
      troupe token create grafana --scope read --bot sage
    """
    from storage.model import Sender

    from .web.tokens import Tokens, new_token

    settings = read_settings(folder)
    label, person = _named(name, "NAME"), _named(user or name, "--user")
    now = utc_now()
    until = _until(expires, now) if expires else None
    made, shown = new_token(), []
    whose = Sender(type="user", id=person, name=label)
    for bot in _meant(settings, given["names"]):
        kept = _done(partial(Tokens(bot.root).keep, made, label, scope, whose, now, expires=until))
        _noted(bot, "create", kept)
        shown.append({"bot": bot.name, "url": bot.web.address, "id": kept.id, "token": made})
    if given["as_json"]:
        click.echo(json.dumps(shown))
        return
    click.echo(made)
    for each in shown:
        url, id = each["url"], each["id"]
        click.echo(f"Opens {each['bot']} at {url}. To take it back: troupe token revoke {id}", err=True)
    click.echo("It is not shown again: `troupe token create` makes another.", err=True)


@token.command("list")
@_bots
@_as_json
@config_folder
def list_(folder: Path, names: tuple[str, ...], as_json: bool) -> None:
    """List the tokens there are, and the browsers that are signed in.

    \b
    Example:
      troupe token list
      troupe token list --bot sage --json
    """
    from .web.tokens import Tokens

    found = [(bot, each) for bot in _meant(read_settings(folder), names) for each in _done(Tokens(bot.root).all)]
    if as_json:
        told = [{"bot": bot.name, **each.model_dump(mode="json", exclude={"hash"})} for bot, each in found]
        click.echo(json.dumps(told))
        return
    now = utc_now()
    for bot, each in found:
        ends = "" if each.expires is None else f", until {each.expires:%Y-%m-%d}"
        ends = ", expired" if each.expires is not None and each.expires <= now else ends
        how = f", a browser signed in by {each.sign_in}" if each.sign_in else ""
        whose = "" if each.person_id == each.label else f" ({plain(each.person_name)} {plain(each.person_id)})"
        used = f"used {each.used}" if each.used else "not used"
        click.echo(f"{each.id}  {bot.name}  {each.scope:<5}  {plain(each.label)}{whose}: {used}{ends}{how}")
    if not found:
        click.echo("There are no tokens.")


@token.command()
@click.argument("name")
@_bots
@_as_json
@config_folder
def revoke(folder: Path, name: str, names: tuple[str, ...], as_json: bool) -> None:
    """Take tokens back, by their id or by the NAME they were made for; browsers signed in with them are signed out.

    \b
    Example:
      troupe token revoke anna
      troupe token revoke 3f9c01aa --bot sage
    """
    from .web.tokens import Tokens

    gone = []
    for bot in _meant(read_settings(folder), names):
        tokens = Tokens(bot.root)
        meant = [each.id for each in _done(tokens.all) if name in (each.id, each.label)]
        if meant:
            taken = _done(partial(tokens.revoke, *meant))
            gone += [(bot.name, each) for each in taken]
            for each in taken:
                _noted(bot, "revoke", each)
    if not gone:
        raise click.ClickException(f"there is no token {name!r}: `troupe token list` shows those there are")
    if as_json:
        click.echo(json.dumps([{"bot": bot, "id": each.id, "label": each.label} for bot, each in gone]))
        return
    for bot_name, each in gone:
        click.echo(f"{each.id} ({plain(each.label)}) is not good at {bot_name} any more.")


def _meant(settings: Troupe, names: tuple[str, ...]) -> list[BotSettings]:
    """Those named, or all with a console."""
    return [bot_named(settings, name) for name in names] or [bot for bot in settings.bots if bot.web.enabled]


def _named(text: str, what: str) -> str:
    if not text.strip() or len(text) > 80 or not text.isprintable():
        raise click.ClickException(f"{what}: found {text[:80]!r}; allowed: 1 to 80 characters that can be seen")
    return text.strip()


def _until(span: str, now: datetime) -> datetime:
    from datetime import timedelta

    from pydantic import TypeAdapter, ValidationError

    from .values import Span

    try:
        return now + timedelta(seconds=TypeAdapter(Span).validate_python(span))
    except ValidationError:
        raise click.ClickException(
            f"--expires: found {span!r}; allowed: a span of time such as 12h, 30d or 1y"
        ) from None


def _noted(bot: BotSettings, verb: str, token: Token) -> None:
    """Has it in the bot's audit; where that cannot be, it is done all the same, and said."""
    import asyncio

    from storage.errors import StorageError

    from .errors import TroupeError

    if not bot.storage.enabled:
        return
    try:
        asyncio.run(_note(bot, verb, token))
    except (StorageError, TroupeError) as error:
        click.echo(f"The audit of {bot.name} does not tell of it: {error}", err=True)


async def _note(bot: BotSettings, verb: str, token: Token) -> None:
    import secrets

    from .token_notes import ORDER, note

    given = {"id": token.id, "label": token.label, "scope": token.scope, "person": token.person_id}
    if await answer_of(bot, ORDER, verb, given) is None:
        async with opened(bot) as store:
            await note(store, verb, given, utc_now(), lambda: secrets.randbits(50))


def _done(work: Any) -> Any:
    from .errors import TroupeError

    try:
        return work()
    except TroupeError as error:
        raise click.ClickException(str(error)) from error
