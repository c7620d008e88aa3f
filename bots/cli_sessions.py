"""`troupe sessions`: found, looked at, named, tagged, branched, merged and compared, in a bot that runs or rests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .cli_bots import config_folder
from .cli_sessions_asked import asked, changed, printed
from .cli_sessions_shown import columns, counted, found_line, session_line, shown_lines, template_line

Command = TypeVar("Command", bound=Callable[..., Any])

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_bot = click.argument("bot")
_session = click.argument("session")


@click.group()
def sessions() -> None:
    """Look after the sessions of a bot, whether it runs or not.

    A session is named by its id, as `list` shows it. What is shown is in UTC.

    \b
    Example:
      troupe sessions list sage --tag news
      troupe sessions search sage "black tea" --person Ann --since 2026-03-01
      troupe sessions compare sage 2026-03-02_09-00-00_k3f9 2026-03-02_10-00-00_m2p1
    """


def _filters(command: Command) -> Command:
    for option in reversed(
        (
            click.option("--channel", default="", metavar="NAME", help="Only in this channel: its name, id or key."),
            click.option("--person", default="", metavar="NAME", help="Only what this person said: a name or id."),
            click.option("--persona", default="", metavar="NAME", help="Only what this persona said."),
            click.option(
                "--tag", "tags", multiple=True, metavar="TAG", help="Only sessions with this tag; repeatable."
            ),
            click.option("--since", default="", metavar="DAY", help="Said on this day or later: 2026-03-01."),
            click.option("--until", default="", metavar="DAY", help="Said on this day, the whole of it, or before."),
            click.option("--has-files", "files", flag_value=True, default=None, help="Only with a file beside it."),
            click.option("--starred", flag_value=True, default=None, help="Only starred sessions."),
            click.option("--archived", flag_value=True, default=None, help="Only archived sessions."),
            click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True, help="How many."),
        )
    ):
        command = option(command)
    return command


@sessions.command("list")
@_bot
@click.argument("text", required=False, default="")
@_filters
@click.option("--cursor", help="Go on where an earlier list with --json ended: its `older`.")
@_as_json
@config_folder
def list_(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """List sessions, the one a person spoke in last first; with TEXT those whose title or id holds it.

    Archived ones are not listed, only counted, unless --archived asks for them. What is said of messages (--person,
    --persona, --since, --until, --has-files) must be true of one message in it.

    \b
    Example:
      troupe sessions list sage
      troupe sessions list sage plan --tag news --since 2026-03-01
    """
    told = asked(folder, bot, "list", given)
    if printed(told, as_json):
        return
    for each in told["sessions"]:
        click.echo(session_line(each))
    if not told["sessions"]:
        click.echo("There are no such sessions.")
    if told["older"]:
        click.echo("There are older ones: raise --limit.", err=True)
    if hidden := told["archived_not_shown"]:
        click.echo(f"{hidden:,} archived not shown: --archived lists what is archived.", err=True)


@sessions.command()
@_bot
@click.argument("text", required=False, default="")
@_filters
@_as_json
@config_folder
def search(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Search what was said; without TEXT the newest that the options ask for.

    TEXT: words; "a phrase" in quotation marks, -word to leave out, begin* for beginnings.

    \b
    Example:
      troupe sessions search sage '"black tea" -milk'
      troupe sessions search sage --person Ann --has-files
    """
    told = asked(folder, bot, "search", given)
    if printed(told, as_json):
        return
    for each in told["found"]:
        click.echo(found_line(each))
    if not told["found"]:
        click.echo("Nothing that was said is like that.")


@sessions.command()
@_bot
@_session
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many lines.")
@_as_json
@config_folder
def show(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Show a session: what it is, and its newest lines with their ids.

    \b
    Example:
      troupe sessions show sage 2026-03-02_09-00-00_k3f9
    """
    told = asked(folder, bot, "show", given)
    if not printed(told, as_json):
        click.echo("\n".join(shown_lines(told)))


@sessions.command()
@_bot
@_session
@click.argument("title")
@_as_json
@config_folder
def rename(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Give a session a title.

    \b
    Example:
      troupe sessions rename sage 2026-03-02_09-00-00_k3f9 "The plan"
    """
    changed(folder, bot, "rename", given, as_json, "Renamed")


def _plainly(name: str, done: str, what: str) -> None:
    """Adds a command that needs nothing but the session."""

    def act(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
        changed(folder, bot, name, given, as_json, done)

    act.__doc__ = f"{what}\n\n\b\nExample:\n  troupe sessions {name} sage 2026-03-02_09-00-00_k3f9\n"
    for wrap in (config_folder, _as_json, _session, _bot):
        act = wrap(act)
    sessions.command(name)(act)


_plainly("star", "Starred", "Star a session: it is kept whatever retention says.")
_plainly("unstar", "No longer starred", "Take the star of a session back.")
_plainly("archive", "Archived", "Put a session out of people's way; it is still found, and `resume` takes it up again.")
_plainly("unarchive", "Back among the others", "Put a session back among the others.")
_plainly("resume", "Taken up again", "Take up an earlier session of its channel: the next line there continues it.")
_plainly("duplicate", "Duplicated", "Make a closed copy of a session, beside it, with all that was said, and its tags.")


@sessions.command()
@_bot
@_session
@click.argument("tags", nargs=-1, required=True)
@_as_json
@config_folder
def tag(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Give a session tags.

    \b
    Example:
      troupe sessions tag sage 2026-03-02_09-00-00_k3f9 news "to read"
    """
    changed(folder, bot, "tag", given, as_json, "Tagged")


@sessions.command()
@_bot
@_session
@click.argument("tags", nargs=-1, required=True)
@_as_json
@config_folder
def untag(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Take tags away from a session.

    \b
    Example:
      troupe sessions untag sage 2026-03-02_09-00-00_k3f9 news
    """
    changed(folder, bot, "untag", given, as_json, "Untagged")


@sessions.command()
@_bot
@_session
@click.option("--after", "message", metavar="MESSAGE", help="The id of the last message it knows; else the newest.")
@_as_json
@config_folder
def branch(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Go on from a message in a session of its own, which becomes the current one of its channel.

    The session it is made from stays as it is.

    \b
    Example:
      troupe sessions show sage 2026-03-02_09-00-00_k3f9
      troupe sessions branch sage 2026-03-02_09-00-00_k3f9 --after 01hr2t5k8x0c9d4e7f2g
    """
    changed(folder, bot, "branch", given, as_json, "Branched into")


@sessions.command()
@_bot
@_session
@click.argument("other")
@click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
@_as_json
@config_folder
def merge(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Make one session of two of one channel, by time, no message twice.

    Both are archived, point to the new one, and stay as they are. It becomes the current one of the channel if one of
    them was.

    \b
    Example:
      troupe sessions merge sage 2026-03-02_09-00-00_k3f9 2026-03-02_10-00-00_m2p1 --dry-run
    """
    told = asked(folder, bot, "merge", given)
    if printed(told, as_json):
        return
    if given["dry_run"]:
        lines = counted(told["lines"], "line")
        click.echo(f"A session of {lines} would be made, {told['came']:,} of them only in the second.")
        click.echo("Both would be archived. Nothing was changed.")
    else:
        notes = counted(told["session"]["messages"] - told["lines"], "note")
        lines = counted(told["lines"], "line")
        click.echo(f"Merged, {lines} and {notes} of where they come from: {session_line(told['session'])}")


@sessions.command()
@_bot
@_session
@click.argument("other")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to this file.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@_as_json
@config_folder
def compare(folder: Path, bot: str, as_json: bool, page: Path | None, force: bool, **given: Any) -> None:
    """Show two sessions, or two branches of one, side by side.

    \b
    Example:
      troupe sessions compare sage 2026-03-02_09-00-00_k3f9 2026-03-02_10-00-00_m2p1
      troupe sessions compare sage 2026-03-02_09-00-00_k3f9 2026-03-02_10-00-00_m2p1 --html both.html
    """
    there = "{} is there already: choose another name, or write over it with --force."
    if page is not None and page.exists() and not force:
        raise click.ClickException(there.format(page))
    told = asked(folder, bot, "compare", {**given, "html": page is not None})
    if page is not None:
        try:
            with page.open("w" if force else "x", encoding="utf-8") as file:
                file.write(told.pop("html"))
        except FileExistsError:
            raise click.ClickException(there.format(page)) from None
        except OSError as error:
            raise click.ClickException(f"{page} could not be written: {error.strerror}.") from error
        click.echo(f"Written to {page}.", err=True)
    if not printed(told, as_json) and page is None:
        click.echo(columns(told, shutil.get_terminal_size((120, 24)).columns))


@sessions.group(invoke_without_command=True)
@click.pass_context
def templates(context: click.Context) -> None:
    """Templates: what new sessions begin with.

    \b
    Example:
      troupe sessions templates list sage
      troupe sessions templates save sage 2026-03-02_09-00-00_k3f9 interview --lines 2
      troupe sessions templates new sage general interview
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@templates.command("list")
@_bot
@_as_json
@config_folder
def templates_list(folder: Path, bot: str, as_json: bool) -> None:
    """List the templates: those of the configuration, and those that people saved.

    \b
    Example:
      troupe sessions templates list sage
    """
    told = asked(folder, bot, "templates", {})
    if not printed(told, as_json):
        lines = [template_line(each) for each in told["templates"]]
        click.echo("\n".join(lines) or "There are no templates.")


@templates.command("save")
@_bot
@_session
@click.argument("name")
@click.option(
    "--lines", type=click.IntRange(0, 20), default=0, show_default=True, help="How many first lines it holds."
)
@click.option("--everywhere", is_flag=True, help="Offer it in every channel, also to those who cannot read that one.")
@_as_json
@config_folder
def templates_save(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Save what a session is as a template for its channel: title, persona, tags, goals, first lines.

    \b
    Example:
      troupe sessions templates save sage 2026-03-02_09-00-00_k3f9 interview --lines 2
    """
    told = asked(folder, bot, "save_template", given)
    if not printed(told, as_json):
        click.echo(f"Saved: {template_line(told)}")


@templates.command("remove")
@_bot
@click.argument("name")
@click.option("--channel", default="", metavar="NAME", help="Whose template, where several have the name.")
@_as_json
@config_folder
def templates_remove(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Remove a template that was saved.

    \b
    Example:
      troupe sessions templates remove sage interview --channel general
    """
    told = asked(folder, bot, "remove_template", given)
    if not printed(told, as_json):
        click.echo(f"Removed: {template_line(told)}")


@templates.command("new")
@_bot
@click.argument("channel")
@click.argument("name")
@_as_json
@config_folder
def templates_new(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Begin a new session in a channel with a template.

    \b
    Example:
      troupe sessions templates new sage general interview
    """
    changed(folder, bot, "new", given, as_json, "Begun")
