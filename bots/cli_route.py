"""`troupe route`: why a persona would answer a line, how well a bot's routing does, and finding its threshold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, config_folder, progress, read_settings

if TYPE_CHECKING:
    from storage.progress import Tell

    from .calibrating import Example, Weighed
    from .cli_route_tried import Trying
    from .settings import BotSettings

_TALK = 600
"""Lines of ordinary talk that calibrating tries."""

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_bot = click.option("--bot", metavar="NAME", help="Which bot; needed where there are several.")


class _Route(click.Group):
    """A group in which what is no command is a line to explain."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        said = args and args[0] not in self.commands and args[0] not in ctx.help_option_names
        return super().parse_args(ctx, ["explain", *args] if said else args)


@click.group(cls=_Route)
def route() -> None:
    """Tell which persona would answer a line and why, and make that better.

    A line said in a place without rules is weighed by the words of the personas' cards (keywords, domains,
    description), by their examples, and by meaning where an embedder is there. Nothing is sent to a model.

    \b
    Example:
      troupe route "what rhymes with orange?" --bot spark
      troupe route eval lines.jsonl --bot spark
      troupe route calibrate spark --examples lines.jsonl --dry-run
    """


@route.command("explain")
@click.argument("text", nargs=-1, required=True)
@_bot
@_as_json
@config_folder
def explain(folder: Path, text: tuple[str, ...], bot: str | None, as_json: bool) -> None:
    """Tell who would answer TEXT, and what speaks for each persona. `explain` may be left out, and so may quotation
    marks.

    \b
    Example:
      troupe route "should I quit my job?" --bot sage
      troupe route explain "should I quit my job?" --bot sage --json
    """
    from .cli_route_shown import decision_lines
    from .understanding import understood

    line = " ".join(text).strip()
    if not line:
        raise click.UsageError("TEXT is empty: it is what somebody says, as in: troupe route what rhymes with orange")
    chosen = _meant(folder, bot)

    async def work(tell: Tell) -> Iterator[str]:
        from .cli_route_tried import trying

        async with trying(chosen, await _known(chosen), by_words=True) as tried:
            _say_if_without(tried)
            decision, verdict = await tried.explained(line)
            threshold = tried.router.classifier.threshold
        known = understood(line)
        if as_json:
            weighed = [{"persona": name, "likely": p, "signals": verdict.signals[name]} for name, p in verdict.ranked]
            told = json.loads(decision.as_json) | {"threshold": threshold, "sure": verdict.sure, "weighed": weighed}
            return iter([json.dumps(told | {"understood": asdict(known)}, ensure_ascii=False)])
        return decision_lines(decision, verdict, threshold, known)

    _run(work, quiet=as_json)


@route.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@_bot
@_as_json
@config_folder
def evaluate(folder: Path, file: Path, bot: str | None, as_json: bool) -> None:
    """Try the lines of FILE, and tell how many the right persona would answer.

    FILE holds a JSON object on each line: {"text": "what somebody says", "persona": "sage"}, with null for a line that
    nobody should answer.

    \b
    Example:
      troupe route eval lines.jsonl --bot sage
      troupe route eval lines.jsonl --bot sage --json
    """
    from .calibrating import confusion, scored
    from .cli_route_shown import confusion_lines, score_line, wrong_lines

    chosen = _meant(folder, bot)
    examples = _examples(chosen, file)

    async def work(tell: Tell) -> Iterator[str]:
        from .cli_route_tried import trying

        async with trying(chosen, await _known(chosen), by_words=True) as tried:
            _say_if_without(tried)
            lines = await tried.weighed(examples, tell)
            threshold = tried.router.classifier.threshold
        score, counts = scored(lines, (), threshold), confusion(lines, threshold)
        unanswered = sum(each.answered(threshold) is None for each in lines) / len(lines)
        if as_json:
            named = {name or "": {other or "": n for other, n in row.items()} for name, row in counts.items()}
            told = {"threshold": threshold, **asdict(score), "unanswered": unanswered, "confusion": named}
            wrong = [_told(each, threshold) for each in lines if not each.right(threshold)]
            return iter([json.dumps(told | {"wrong": wrong}, ensure_ascii=False)])
        first = f"{len(lines)} lines at the threshold {threshold:.3g}: {score_line(score)}"
        second = f"{unanswered:.1%} of all lines are answered by nobody for their words."
        table = confusion_lines(counts, [each.name for each in chosen.personas])
        return chain((first, second, ""), table, wrong_lines(lines, (), threshold))

    _run(work, quiet=as_json)


@route.command("calibrate")
@click.argument("bot")
@click.option("--examples", "file", type=click.Path(path_type=Path), help="Lines and whom they are for, as for `eval`.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@click.option("--reset", is_flag=True, help="Go back to the built-in threshold, whatever was found before.")
@_as_json
@config_folder
def calibrate(folder: Path, bot: str, file: Path | None, dry_run: bool, reset: bool, as_json: bool) -> None:
    """Find how sure BOT must be before a persona answers for its words, and go by it from now on.

    It tries the lines of the examples, or else the personas' own examples as if they were new, and what people said in
    the bot's channels to nobody: the threshold is one that answers most lines rightly and grabs little talk. It also
    shows what is still wrong: an example more in a persona's card is the usual remedy.

    \b
    Example:
      troupe route calibrate sage --examples lines.jsonl --dry-run
      troupe route calibrate sage
      troupe route calibrate sage --reset
    """
    chosen = bot_named(read_settings(folder), bot)
    if len(chosen.personas) < 2:
        raise click.ClickException(f"{bot} has one persona, which answers whatever is said: there is nothing to find.")
    if reset:
        if file or dry_run:
            raise click.UsageError("--reset goes with none of --examples and --dry-run")
        _run(lambda tell: _reset(chosen, as_json=as_json), quiet=as_json)
        return
    examples = _examples(chosen, file) if file else []

    async def work(tell: Tell) -> Iterator[str]:
        from .cli_route_tried import ordered, trying

        known = await ordered(chosen, "talk", {"limit": _TALK})
        async with trying(chosen, known["found"]) as tried:
            lines, talk = await _tried(tried, examples, known["talk"], tell)
            before, embedder = tried.router.classifier.threshold, tried.router.classifier.embedder_id
        return await _settled(chosen, lines, talk, before, embedder, dry_run=dry_run, as_json=as_json)

    _run(work, quiet=as_json)


async def _tried(
    tried: Trying, examples: list[Example], talk: list[str], tell: Tell
) -> tuple[list[Weighed], list[Weighed]]:
    """Lines that calibrating goes by, and talk; a line that is an example of a card already tells nothing new."""
    from .calibrating import Example

    learned = {text for card in tried.bot.personas for text in card.examples}
    new = [each for each in examples if each.text not in learned]
    lines = await tried.weighed(new, tell) if examples else tried.own()
    if not any(each.persona for each in lines):
        raise click.ClickException(
            "There is no line for a persona to go by: give some with --examples that are not in the personas' cards, "
            "or write `examples` into the personas."
        )
    known = {each.text for each in examples} | learned
    return lines, await tried.weighed([Example(text, None, 0) for text in talk if text not in known], tell)


async def _settled(
    bot: BotSettings,
    lines: list[Weighed],
    talk: list[Weighed],
    before: float,
    embedder: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> Iterator[str]:
    from .calibrating import found, scored
    from .cli_route_shown import score_line, wrong_lines
    from .cli_route_tried import ordered

    after = found(lines, talk, before)
    was, then = scored(lines, talk, before), scored(lines, talk, after)
    if not dry_run:
        await ordered(bot, "keep", {"threshold": after, "embedder": embedder})
    overruled = bot.routing.threshold is not None
    if as_json:
        told: dict[str, Any] = {"before": before, "after": after, "kept": not dry_run, "overruled": overruled}
        told |= {"lines": len(lines), "talk": len(talk), "was": asdict(was), "then": asdict(then)}
        wrong = [_told(each, after) for each in lines if not each.right(after)]
        grabbed = [_told(each, after) for each in talk if each.answered(after)]
        return iter([json.dumps(told | {"wrong": wrong, "grabbed": grabbed}, ensure_ascii=False)])
    first = [
        f"Tried {len(lines)} lines, and {len(talk)} lines of ordinary talk.",
        f"Threshold {before:.3g}: {score_line(was)}",
        f"Threshold {after:.3g}: {score_line(then)}",
    ]
    if not talk and all(each.persona for each in lines):
        first.append("Nothing was tried that nobody should answer, so that the threshold stays: add lines with null.")
    if dry_run:
        first.append("Nothing was changed (--dry-run).")
    elif overruled:
        first.append(f"It is kept, but the bot goes by `routing.threshold: {bot.routing.threshold:g}` of its config.")
    else:
        first.append(f"{bot.name} goes by {after:.3g} from now on.")
    return chain(first, wrong_lines(lines, talk, after))


async def _reset(bot: BotSettings, *, as_json: bool) -> Iterator[str]:
    from .classifier import THRESHOLD
    from .cli_route_tried import ordered

    before = (await ordered(bot, "keep", {}))["before"].get("threshold")
    after = THRESHOLD if bot.routing.threshold is None else bot.routing.threshold
    if as_json:
        return iter([json.dumps({"before": before, "after": after})])
    whose = "the built-in one" if bot.routing.threshold is None else "that of its config"
    return iter([f"{bot.name} goes by the threshold {after:g} from now on, {whose}."])


def _meant(folder: Path, name: str | None) -> BotSettings:
    settings = read_settings(folder)
    if name is None and len(settings.bots) > 1:
        names = ", ".join(bot.name for bot in settings.bots)
        raise click.UsageError(f"say which bot with --bot; there are: {names}")
    return bot_named(settings, name or settings.bots[0].name)


def _examples(bot: BotSettings, file: Path) -> list[Example]:
    from .calibrating import read
    from .errors import TroupeError

    if file.exists() and not (file.is_file() or file.is_dir()):
        raise click.ClickException(f"{file} is no file of lines, but a device or pipe.")
    try:
        with file.open(encoding="utf-8-sig") as lines:
            return read(lines, str(file), [persona.name for persona in bot.personas])
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is no text in UTF-8: save it as such, then try again.") from error
    except TroupeError as error:
        raise click.ClickException(str(error)) from error


async def _known(bot: BotSettings) -> dict[str, Any]:
    """What calibrating has found, as far as there is anything to look into."""
    from storage.errors import StorageError

    from .cli_route_tried import ordered
    from .errors import TroupeError

    if not bot.storage.enabled or not bot.root.exists():
        return {}
    try:
        return dict((await ordered(bot, "known", {}))["found"])
    except (StorageError, TroupeError) as error:
        click.echo(f"What calibrating has found is not known, and left aside: {error}", err=True)
        return {}


def _told(each: Weighed, threshold: float) -> dict[str, Any]:
    told = {"text": each.text, "persona": each.persona, "answered": each.answered(threshold), "best": each.best}
    return told | {"likely": each.likely, "line": each.line or None}


def _say_if_without(tried: Trying) -> None:
    if tried.without:
        click.echo(f"The embedder cannot be asked, so that words alone are weighed: {tried.without}", err=True)


def _run(work: Callable[[Tell], Coroutine[Any, Any, Iterator[str]]], *, quiet: bool) -> None:
    """Does it, and prints what it tells."""
    from storage.errors import StorageError
    from storage.progress import silent

    from .errors import TroupeError

    try:
        with nullcontext(silent) if quiet else progress("Weighing") as tell:
            told = asyncio.run(work(tell))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error
    for line in told:
        click.echo(line)
