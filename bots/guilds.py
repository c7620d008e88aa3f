"""What the people of a guild have set over the configuration: kept, shown with its origin, undone in one step."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import Field, JsonValue, ValidationError

from storage.backend import Store
from storage.model import Channel, Sender
from storage.records import AuditEntry, Setting

from .access import means
from .community_settings import Budget
from .errors import ConfigError, TroupeError
from .findings import findings, unknown
from .sessions import UNSET, Unset
from .settings import BotSettings
from .spans import SPELLED, silence, span
from .values import Name, Patterns, Section, SpanOrOff
from .written import Entry

log = structlog.get_logger()

Mode = Literal["always", "mention", "listen"]
MODES: tuple[Mode, ...] = ("always", "mention", "listen")
DEFAULT = "default"
"""Typed as a value, it takes a setting back to what the bot's file says."""
_LIMITS = ("messages", "tokens", "usd")
_PAGE = 500


class GuildBudget(Budget):
    """How much may be used in this guild in a span of time."""

    per: Literal["user", "channel", "guild"]
    """Whether each user, each channel, or the whole guild has this much."""


class Overrides(Section):
    """What a guild may set over a bot's file. Only what is in `model_fields_set` was set."""

    session_gap: SpanOrOff = None
    """How long a silence in a channel starts a new session."""
    persona: Name | None = None
    """The persona that answers where nothing more particular says who."""
    always: Patterns = ()
    """Channels in which every line is answered."""
    mention: Patterns = ()
    """Channels in which only lines that address the bot are kept and answered."""
    listen: Patterns = ()
    """Channels in which every line is kept and those that address the bot are answered."""
    budgets: Annotated[tuple[GuildBudget, ...], Field(max_length=20)] = ()
    """How much may be used here, beside what the bot's own budgets say."""


KEYS = tuple(Overrides.model_fields)
EXAMPLES: dict[str, tuple[str, ...]] = {
    "session_gap": ("5 minutes", "30 minutes", "2 hours", "off"),
    "persona": (),
    "always": ("advice-*, help", "none"),
    "mention": ("general, off-topic", "none"),
    "listen": ("news", "none"),
    "budgets": ("per=user messages=50 window=day", "per=guild usd=10 window=month", "none"),
}
"""What may be typed, for completing it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as it stands in a guild."""

    key: str
    value: str
    origin: str
    """Where it comes from, as a person would say it."""
    trouble: str = ""
    """Why what was set here does not count any more."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How the bot takes part in a channel, and what decided it."""

    mode: Mode
    why: str


class Guilds:
    """The settings of every guild of one bot. `now` tells the time."""

    def __init__(self, settings: BotSettings, store: Store, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._known: dict[str, Setting] = {}
        self._fit: dict[str, tuple[Overrides, dict[str, str]]] = {}
        """What counts of each guild's, and by key why the rest does not."""
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Reads what was set before. Raises `StorageError`."""
        cursor = None
        while True:
            page = await self._store.records(Setting, cursor=cursor, limit=_PAGE)
            self._known |= {each.id: each for each in page.items if each.id.startswith("guild:")}
            if page.older is None:
                break
            cursor = page.older
        self.adopt(self._settings)

    def adopt(self, settings: BotSettings) -> None:
        """The bot's file says something else now."""
        self._settings = settings
        self._fit = {id: self._fitting(setting) for id, setting in self._known.items()}
        for id, (_, troubles) in self._fit.items():
            for trouble in troubles.values():
                log.warning("guild.setting_ignored", guild=id, reason=trouble)

    def of(self, guild_id: str | None) -> Overrides:
        """What counts of what was set in a guild."""
        return self._fit.get(f"guild:{guild_id}", _NOTHING)[0]

    def own_gap(self, guild_id: str | None) -> float | Unset | None:
        """Seconds of silence that start a new session in a guild's channels, None for off, where that was set there."""
        set_here = self.of(guild_id)
        return set_here.session_gap if "session_gap" in set_here.model_fields_set else UNSET

    def budgets(self, channel: Channel) -> Sequence[Budget]:
        """Every budget of the bot's file, and those set in the channel's guild."""
        here = (each.model_copy(update={"guild": channel.guild_id}) for each in self.of(channel.guild_id).budgets)
        return (*self._settings.budgets, *here)

    def ruling(self, guild_id: str | None, name: str, channel_id: str = "") -> Ruling:
        """How the bot takes part in a guild's channel. A list that was set in the guild stands in place of the one of
        that name in the bot's file; the first of `always`, `mention` and `listen` that names the channel counts."""
        set_here, written = self.of(guild_id), self._settings.discord.channels
        for mode in MODES:
            here = mode in set_here.model_fields_set
            patterns: Patterns = getattr(set_here if here else written, mode)
            where = "of `/admin config`" if here else "of discord.channels in the bot's file"
            for pattern in patterns:
                if means(pattern, name, channel_id):
                    return Ruling(mode, f"`{pattern}` in the list `{mode}` {where} names it")
        return Ruling("mention", "no list of channels names it")

    async def set(self, guild_id: str, key: str, text: str, by: Sender) -> None:
        """Sets one key to what somebody typed. Raises `ConfigError` with what is wrong with it, and `StorageError`
        when it could not be kept; then nothing has changed."""
        if key not in KEYS:
            raise ConfigError([f"{key!r} is no setting of a guild; {unknown(key, KEYS)}"])
        back = text.strip().casefold() == DEFAULT
        value = None if back else self._checked(key, text)
        async with self._changing:
            before = await self._setting(guild_id)
            values = {name: kept for name, kept in before.items() if name != key}
            if not back:
                values[key] = value
            if values == before:
                return
            details = {"key": key, "from": before.get(key, DEFAULT), "to": values.get(key, DEFAULT)}
            await self._keep(guild_id, values, before, by, "config set", details)

    async def undo(self, guild_id: str, by: Sender) -> dict[str, JsonValue]:
        """Takes the last change back; a second time, it is made again. Returns what changed, as the audit has it.
        Raises `TroupeError` where there is nothing to take back."""
        async with self._changing:
            last = await self._store.record(Setting, f"guild:{guild_id}")
            if last is None or last.values == last.before:
                raise TroupeError("Nothing was changed here that could be undone.")
            from_, to = last.values, last.before
            keys = sorted(key for key in {*from_, *to} if from_.get(key, DEFAULT) != to.get(key, DEFAULT))
            changes: dict[str, JsonValue] = {key: [from_.get(key, DEFAULT), to.get(key, DEFAULT)] for key in keys}
            details: dict[str, JsonValue] = {"keys": list(keys), "changes": changes}
            await self._keep(guild_id, last.before, last.values, by, "config undo", details)
            return details

    async def shown(self, guild_id: str) -> list[Shown]:
        """Every setting a guild may change, as it stands, and where it comes from."""
        set_here, troubles = self._fit.get(f"guild:{guild_id}", _NOTHING)
        origins = await self._origins(guild_id)
        found = []
        for key in KEYS:
            if key in troubles:
                found.append(Shown(key, self._written(key), "the bot's file", f"Ignored: {troubles[key]}"))
            elif key in set_here.model_fields_set:
                found.append(Shown(key, _told(key, getattr(set_here, key)), origins.get(key, "set here")))
            else:
                found.append(Shown(key, self._written(key), "the bot's file"))
        return found

    async def _origins(self, guild_id: str) -> dict[str, str]:
        """Who set each key last, as the audit has it."""
        page = await self._store.records(AuditEntry, about=f"guild:{guild_id}", limit=_PAGE)
        found: dict[str, str] = {}
        for entry in page.items:
            for key in (entry.details.get("key"), *_list(entry.details.get("keys"))):
                if entry.action in ("config set", "config undo") and isinstance(key, str):
                    found.setdefault(key, f"set here by {entry.actor.name} on {entry.at:%Y-%m-%d %H:%M} UTC")
        return found

    async def _setting(self, guild_id: str) -> dict[str, JsonValue]:
        """As stored: another process of this bot may have changed it."""
        kept = await self._store.record(Setting, f"guild:{guild_id}")
        return dict(kept.values) if kept else {}

    async def _keep(
        self,
        guild_id: str,
        values: dict[str, JsonValue],
        before: dict[str, JsonValue],
        by: Sender,
        action: str,
        details: Mapping[str, JsonValue],
    ) -> None:
        at, id = self._now(), f"guild:{guild_id}"
        setting = Setting(id=id, at=at, values=values, before=before, by=by)
        entry = AuditEntry(
            id=f"{action} {id} {at.isoformat()}", at=at, actor=by, action=action, target=id, details=dict(details)
        )
        await self._store.keep(setting, entry)
        self._known[id] = setting
        self._fit[id] = self._fitting(setting)

    def _fitting(self, setting: Setting) -> tuple[Overrides, dict[str, str]]:
        """What still fits the bot's file, and by key why the rest does not."""
        good: dict[str, Any] = {}
        troubles: dict[str, str] = {}
        for key, value in setting.values.items():
            try:
                self._judged(key, value, _entry(key, value))
            except ConfigError as error:
                troubles[key] = str(error)
            else:
                good[key] = value
        return Overrides.model_validate(good), troubles

    def _checked(self, key: str, text: str) -> JsonValue:
        """What somebody typed, as it is stored. Raises `ConfigError`."""
        typed = _typed(key, text)
        found: JsonValue = self._judged(key, typed, _entry(key, typed)).model_dump(mode="json", exclude_unset=True)[key]
        return found

    def _judged(self, key: str, value: Any, entry: Entry) -> Overrides:
        """The value as an override. Raises `ConfigError` with every finding."""
        try:
            overrides = Overrides.model_validate({key: value})
        except ValidationError as error:
            raise ConfigError(list(findings(error, entry, Overrides.model_json_schema()))) from None
        found = [*self._strangers(overrides), *self._too_generous(overrides)]
        if found:
            raise ConfigError(found)
        return overrides

    def _strangers(self, overrides: Overrides) -> list[str]:
        """Personas and models that the bot does not have."""
        personas = [persona.name for persona in self._settings.personas]
        models = [*(model.model for model in self._settings.models if model.model), "offline"]
        found = []
        if overrides.persona is not None and overrides.persona not in personas:
            nearest = unknown(overrides.persona, personas)
            found.append(f"persona: found {overrides.persona!r} (text), which is no persona of this bot; {nearest}")
        for number, budget in enumerate(overrides.budgets):
            if budget.cheaper is not None and budget.cheaper not in models:
                nearest = unknown(budget.cheaper, models)
                found.append(
                    f"budgets[{number}].cheaper: found {budget.cheaper!r} (text), which is no model of this bot; "
                    f"{nearest}"
                )
            if budget.guild is not None:
                found.append(
                    f"budgets[{number}].guild: found a guild; a budget set here is for this guild: leave it out"
                )
        return found

    def _too_generous(self, overrides: Overrides) -> list[str]:
        """Budgets that allow more than the whole bot has, and so would mean nothing."""
        found = []
        for number, budget in enumerate(overrides.budgets):
            for own in self._settings.budgets:
                if own.per != "bot" or own.window != budget.window or own.guild or own.channel or own.role or own.user:
                    continue
                for limit in _LIMITS:
                    most, wanted = getattr(own, limit), getattr(budget, limit)
                    if most is not None and wanted is not None and wanted > most:
                        found.append(
                            f"budgets[{number}].{limit}: found {wanted:g}, more than the whole bot has in a "
                            f"{budget.window}; allowed: {most:g} or less"
                        )
        return found

    def _written(self, key: str) -> str:
        """What the bot's file says."""
        if key == "session_gap":
            return _told(key, self._settings.storage.session_gap)
        if key == "persona":
            return self._settings.personas[0].name
        if key == "budgets":
            return _told(key, self._settings.budgets)
        return _told(key, getattr(self._settings.discord.channels, key))


def _typed(key: str, text: str) -> Any:
    """What a person typed, as YAML would have given it: words, a list of words, or a list of blocks."""
    text = text.strip()
    nothing = text.casefold() in ("", "none", "[]")
    if key == "session_gap":
        seconds = silence(text)
        if seconds is None:
            raise ConfigError([f"session_gap: found {text!r} (text); allowed: a span of time: {SPELLED}"])
        return seconds
    if key in MODES:
        return [] if nothing else [_channel(each) for each in re.split(r"[,\s]+", text.strip("[], "))]
    if key == "budgets":
        return [] if nothing else [_block(each, number) for number, each in enumerate(re.split(r"[;\n]", text))]
    return text


def _channel(word: str) -> str:
    """A channel as people point to one: its mention's id, its name or a pattern."""
    mention = re.fullmatch(r"<#(\d+)>", word)
    return mention[1] if mention else word.removeprefix("#")


def _block(text: str, number: int) -> dict[str, str]:
    """`per=user messages=50 window=day` as a block. Raises `ConfigError`."""
    allowed = "allowed: words such as per=user messages=50 window=day"
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        raise ConfigError([f"budgets[{number}]: found a quote that is never closed; {allowed}"]) from None
    for key, equals, _ in pairs:
        if not equals:
            raise ConfigError([f"budgets[{number}]: found {key!r} without a value; {allowed}"])
    return {key: value for key, _, value in pairs}


def _entry(key: str, value: Any) -> Entry:
    """The value as findings want it: each knows the key it stands under, and no file."""
    return Entry("", 0, "", {key: _named(key, value)})


def _named(place: str, value: Any) -> Entry:
    if isinstance(value, dict):
        return Entry(place, 0, "", {key: _named(f"{place}.{key}", each) for key, each in value.items()})
    if isinstance(value, list):
        return Entry(place, 0, "", [_named(f"{place}[{number}]", each) for number, each in enumerate(value)])
    return Entry(place, 0, "", value if value is None else str(value))


def _told(key: str, value: Any) -> str:
    if key == "session_gap":
        return "off" if value is None else span(value)
    if key == "budgets":
        return "; ".join(_spelled(each) for each in value) or "none"
    return ", ".join(value) if isinstance(value, tuple) and value else str(value or "none")


def _spelled(budget: Budget) -> str:
    return " ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in budget
        if value is not None
    )


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


_NOTHING: tuple[Overrides, dict[str, str]] = (Overrides(), {})
