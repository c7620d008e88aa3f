"""What every bot is doing: a small JSON file in each bot's root, checked against the living processes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.errors import RootInUse, Unavailable
from storage.rootlock import RootLock, holder

from .errors import ConfigError, TroupeError
from .moved import forgotten_since, left_there, told
from .settings import BotSettings, Troupe
from .storage_settings import Type

State = Literal["not started", "starting", "ready", "stopping", "backing off", "stopped", "fatal", "died"]
RUNNING: tuple[State, ...] = ("starting", "ready", "stopping")
FILE = "status.json"
FLEET = "fleet.lock"
"""Held in every root by the `troupe up` that looks after it."""
_LATE = "it was added since `troupe up` began: stop that with Ctrl-C, and start it anew"


Report = Callable[[dict[str, object]], None]
"""Takes facts for the bot's status, by the names of `BotStatus`."""


class BotStatus(BaseModel):
    """One bot at one moment; its JSON is `status.json`."""

    model_config = ConfigDict(frozen=True)
    bot: str
    pid: int | None = None
    state: State = "not started"
    since: datetime | None = None
    """When it entered this state."""
    started: datetime | None = None
    """When this process was started."""
    first_started: datetime | None = None
    """When the bot was first started in this root."""
    restarts: int = 0
    memory_bytes: int = 0
    """Memory of this process alone, without what it shares with the other bots."""
    discord: str = ""
    live_sessions: int = 0
    invalid_requests: int = 0
    """Requests Discord refused (401, 403, 429) in the last ten minutes, as far as this process knows."""
    last_error: str = ""
    job_trouble: str = ""
    """Why the last scheduled backup or cleanup failed."""
    config_trouble: str = ""
    """Why a change of the configuration was refused."""
    model_trouble: str = ""
    """Which models fail, how, and since when."""
    last_backup: datetime | None = None
    """When the newest proven backup was made."""
    backup_alarm: str = ""
    """Why somebody should look after the backups: worked out when the status is read."""
    left_behind: str = ""
    """What another type of storage keeps in the root, or where the talk lives if not where it is written: worked out
    when the status is read."""
    storage: str = ""
    """The type of storage that it talks into, or has talked into last."""
    transfer_trouble: str = ""
    """Why the last move to another type of storage was not made, or why nobody can say where the talk lives."""
    memory: str = ""
    """How much it remembers and what of it was ever recalled, as it was a minute or so ago."""
    embedder: str = ""
    """What it finds earlier talk by: its embedder, or words alone; empty while it has not said."""
    web: str = ""
    """Where its console is."""
    web_trouble: str = ""
    """Why it has none, though it is to have one."""
    version: str = ""
    models: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        return self.state in RUNNING


def read(settings: Troupe) -> list[BotStatus]:
    """Every bot of the config, in its order; never fails on a missing or damaged file."""
    found = [of(bot) for bot in settings.bots]
    kept = [holder(bot.root, FLEET) is not None for bot in settings.bots]
    late = [any(kept) and not mine and each.state == "not started" for each, mine in zip(found, kept, strict=True)]
    return [
        each.model_copy(update={"last_error": _LATE}) if out else each for each, out in zip(found, late, strict=True)
    ]


def read_without_config(folder: Path) -> list[BotStatus]:
    """Every bot that has left its status where roots usually are: in `data/` beside the folder of the config. For
    when nobody can say what the config says."""
    roots = sorted(path.parent for path in (folder.absolute().parent / "data").glob(f"*/{FILE}"))
    return [at_root(root, said.bot) for root in roots if (said := _filed(root)) is not None]


def left_behind(bot: BotSettings) -> str:
    """What to know where the talk lives elsewhere than is written, where the root also holds what another type of
    storage kept, of which the bot does not know, and where a server that the talk has left may tell of people who were
    forgotten. Raises `ConfigError` where nobody can say where the talk lives."""
    return " ".join(filter(None, (told(bot) or _beside(bot), forgotten_since(bot)))) if bot.storage.enabled else ""


def _beside(bot: BotSettings) -> str:
    root, type = bot.root, bot.storage.type
    others: dict[Type, tuple[Path, ...]]
    others = {"sqlite": (root / "conversations.db",), "file": (root / "channels", root / "dms")}
    for other, paths in others.items():
        found = [path.name for path in paths if path.exists() and (path.is_dir() or path.stat().st_size)]
        if other != type and found:
            return left_there(bot, other) or (
                f"{root} also holds what storage of the type {other} kept ({', '.join(found)}), and {bot.name} does "
                f"not read it: set storage.type back to {other}, and take it along with `troupe transfer {bot.name} "
                f"--to {type}`, or move it away."
            )
    return ""


def alarmed(bot: BotSettings, status: BotStatus, at: datetime) -> BotStatus:
    """The status with an alarm, when the newest proven backup is older than the settings allow, and with what was left
    behind."""
    try:
        status = status.model_copy(update={"left_behind": left_behind(bot)})
    except ConfigError as error:
        status = status.model_copy(update={"transfer_trouble": str(error)})
    settings = bot.storage.backup
    since = status.last_backup or status.first_started or status.started
    if not (settings.enabled and bot.storage.enabled) or since is None:
        return status
    hours = (at - since).total_seconds() / 3600
    if hours * 3600 <= settings.alarm_after:
        return status
    age = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    what = f"the newest proven backup is {age} old" if status.last_backup else f"no proven backup for {age}"
    alarm = f"{what}: `troupe backup {bot.name}` makes one, and says what is in the way."
    return status.model_copy(update={"backup_alarm": alarm})


def healthy(status: BotStatus) -> tuple[bool, str]:
    """Whether a container should keep this bot, and one line saying why."""
    reason = f": {status.last_error}" if status.last_error else ""
    if status.state == "ready" and not status.last_error:
        return True, f"{status.bot} is ready (process {status.pid}, Discord {status.discord or 'off'})"
    return False, f"{status.bot} is not healthy: {status.state}{reason}"


def write(root: Path, status: BotStatus) -> None:
    """Replaces the root's status file in one step. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".{FILE}"
    draft.write_text(status.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(root / FILE)


def write_unless_held(root: Path, status: BotStatus) -> None:
    """The supervisor's word on a bot that is not running. A process that holds the root speaks for itself: it may
    be one that somebody started by hand."""
    if holder(root) is None:
        write(root, carried(root, status))


def carried(root: Path, status: BotStatus) -> BotStatus:
    """The status with what outlives a process, where it does not say that itself: out of the root's status file."""
    said = _filed(root)
    if said is None:
        return status
    kept = ("first_started", "last_backup", "storage")
    return status.model_copy(update={name: getattr(status, name) or getattr(said, name) for name in kept})


def claim(settings: Troupe) -> list[RootLock]:
    """Takes all roots for one `troupe up`, until the locks are released. Raises `TroupeError` where another has one of
    them; a root that cannot be used is its own bot's trouble."""
    locks: list[RootLock] = []
    for bot in settings.bots:
        try:
            locks.append(RootLock.take(bot.root, FLEET))
        except RootInUse as error:
            for lock in locks:
                lock.release()
            raise TroupeError(
                f"Troupe already runs here (process {error.pid}): talk to it with `make chat`, or stop it first."
            ) from error
        except Unavailable:
            continue
    return locks


def all_held(settings: Troupe) -> str:
    """Who holds the roots, for a person, when every one of them is held; otherwise nothing."""
    holders = [(bot.name, holder(bot.root)) for bot in settings.bots]
    if not all(pid for _, pid in holders):
        return ""
    return ", ".join(f"{name}: process {pid}" for name, pid in holders)


def models(bot: BotSettings) -> tuple[str, ...]:
    """The models it asks, in order; `offline` stands behind the last in any case."""
    named = [f"{model.provider} {model.model}".strip() for model in bot.models if model.ready]
    return tuple(dict.fromkeys([*named, "offline"]))


def memory(pid: int) -> int:
    """Bytes of memory this process has for itself; 0 when it is gone. What forked bots share is not counted, since
    restarting one of them would not free it."""
    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().uss)
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def of(bot: BotSettings) -> BotStatus:
    """What the file says, unless the process it speaks of is gone or is another one by now."""
    return at_root(bot.root, bot.name)


def at_root(root: Path, name: str) -> BotStatus:
    """The same of whoever keeps everything there."""
    # The root may have been copied from another bot's.
    status = (_filed(root) or BotStatus(bot=name)).model_copy(update={"bot": name})
    owner = holder(root)
    if owner is not None and (owner != status.pid or not status.running):
        return carried(root, BotStatus(bot=name, pid=owner, state="starting"))
    if status.running and owner is None:
        why = status.last_error or f"process {status.pid} ended without a word"
        return status.model_copy(update={"state": "died", "pid": None, "memory_bytes": 0, "last_error": why})
    return status


def _filed(root: Path) -> BotStatus | None:
    try:
        return BotStatus.model_validate_json((root / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
