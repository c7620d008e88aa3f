"""Where a bot's talk lives since it was moved: the marker in its root, and what it means for the settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage import durable
from storage.forgotten_list import LIST
from storage.model import Counts

from .errors import ConfigError
from .settings import BotSettings
from .storage_settings import Type
from .values import Secret

FILE = "moved.json"
LEFT = "left.lock"
"""Held in a root by whoever writes to a place that the talk does not live in: one at a time."""
_RECORDS = ("settings.jsonl", "templates.jsonl", "tombstones.jsonl")
_ENTRIES: dict[Type, tuple[str, ...]] = {
    "sqlite": ("conversations.db*",),
    "file": ("channels*", "dms", "users", "session_index.json", "index.db*", *_RECORDS),
    "postgres": (),
}
"""What each type of storage keeps of the talk in a root, and no other part of the program uses."""


class Unreadable(ConfigError):
    """A marker that nobody can read: where that one bot's talk lives is not known."""


class Moved(BaseModel):
    """A move of a bot's talk from one type of storage to another; its JSON is `moved.json`."""

    model_config = ConfigDict(frozen=True)
    type: Type
    """Where it lives since."""
    url_from: str | None = None
    """For postgres the variable that holds the server's address."""
    left: tuple[Type, ...]
    """Where it lived before, the last one last; what these keep is as it was when the talk left."""
    at: datetime
    counts: Counts
    digest: str
    """Of everything, as it stood when both stores were compared as wholes."""


def read(root: Path) -> Moved | None:
    """The marker of a root. Raises `Unreadable` for one that nobody can read: guessing could split the talk."""
    try:
        return Moved.model_validate_json((root / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise Unreadable(
            [
                f"{root / FILE}: it says where this bot's talk lives, and cannot be read ({type(error).__name__}); "
                "stop the bot, write the type of storage that the talk lives in into the settings as storage.type "
                '(status.json beside the file names it as "storage" if the bot has run there since), remove the file, '
                "and start the bot"
            ]
        ) from error


def note(bot: BotSettings, there: BotSettings, at: datetime, counts: Counts, digest: str) -> None:
    """Says, durably, that the talk of `bot` lives where the settings `there` say from now on. Raises `OSError`."""
    kept, root = bot.storage, bot.root
    before = read(root)
    earlier = before.left if before is not None and kept.written != kept.type else ()
    left = tuple(dict.fromkeys(each for each in (*earlier, kept.type) if each != there.storage.type))
    url = there.storage.url if there.storage.type == "postgres" else None
    variable = url.variable if url else None
    marker = Moved(type=there.storage.type, url_from=variable, left=left, at=at, counts=counts, digest=digest)
    file = durable.Partial(root)
    try:
        file.open()
        file.write(marker.model_dump_json(indent=2).encode() + b"\n")
        file.become(root / FILE)
    finally:
        file.close()


def settled(bot: BotSettings, variables: Mapping[str, str]) -> BotSettings:
    """The settings with storage where the talk lives, whatever the files of the configuration say by now. Raises
    `ConfigError` where they name a third place."""
    marker, kept = read(bot.root), bot.storage
    if marker is None or not kept.enabled:
        return bot
    address = variables.get(marker.url_from or "", "")
    if marker.type == kept.type and (not address or kept.address in ("", address)):
        return bot
    since = f"{bot.name}'s talk was moved to {marker.type} at {_shown(marker.at)}"
    if kept.type not in marker.left:
        raise ConfigError(
            [
                f"config/bots/{bot.name}.yaml: storage.type: found {kept.type}"
                f"{', at another address' if kept.type == marker.type else ''}, but {since}; allowed: {marker.type}, "
                f"{'by ' + marker.url_from + ', ' if marker.url_from else ''}and `troupe transfer {bot.name} --to` "
                "takes it further"
            ]
        )
    if marker.url_from and not address:
        raise ConfigError([f"{since}, and the variable {marker.url_from}, which holds its address, is not set"])
    url = Secret(variable=marker.url_from, value=address) if marker.url_from else kept.url
    return bot.model_copy(update={"storage": kept.living(marker.type, url)})


def again(bot: BotSettings, environ: Mapping[str, str]) -> BotSettings:
    """`settled` for settings that were read before the root was held: the talk may have been moved since."""
    url = bot.storage.url
    return settled(bot, {**environ, **({url.variable: url.value} if url else {})})


def told(bot: BotSettings) -> str:
    """A sentence where the files of the configuration still name the place that the talk has left."""
    kept = bot.storage
    if kept.written == kept.type:
        return ""
    marker = read(bot.root)
    since = f" since {_shown(marker.at)}" if marker else ""
    return (
        f"{bot.name}'s talk lives in {kept.type}{since}, and the configuration still says {kept.written}: write "
        f"`storage: {{type: {kept.type}}}` in config/bots/{bot.name}.yaml (or change TROUPE_STORAGE_TYPE where that "
        "is set)."
    )


def left_there(bot: BotSettings, type: Type) -> str:
    """A sentence on what a type of storage keeps in the root since the talk left it; nothing where it did not."""
    marker = read(bot.root)
    if marker is None or type not in marker.left:
        return ""
    return (
        f"{bot.root} still holds the talk as {type} kept it until {_shown(marker.at)}, in {_entries(bot.root, type)}: "
        f"`troupe transfer {bot.name} --back` goes back to it with all that was said since. Once nobody wants to, move "
        "these away, and nothing else: the attachments, the backups and the rest are in use."
    )


def forgotten_since(bot: BotSettings) -> str:
    """A sentence where people were forgotten since the talk left a server, which still tells of them."""
    marker, kept = read(bot.root), bot.root / LIST
    if marker is None or "postgres" not in marker.left or not kept.exists():
        return ""
    if kept.stat().st_mtime < marker.at.timestamp():
        return ""
    return (
        f"People were forgotten since {bot.name}'s talk left PostgreSQL at {_shown(marker.at)}, and what the server "
        "still keeps may tell of them: have whoever runs it drop this bot's schema there, and its old backups."
    )


def _entries(root: Path, type: Type) -> str:
    found = sorted(path for pattern in _ENTRIES[type] for path in root.glob(pattern))
    return ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in found)


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
