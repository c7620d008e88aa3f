"""What `troupe doctor` looks at beside Discord: providers and their keys, the root, the disk, the clock."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp

from storage.retention import amount
from storage.rootlock import holder

from .embedding import Choice
from .errors import ProviderError
from .library import Library
from .memory_settings import OFF, WORDS_ALONE
from .providers import Embedder
from .settings import BotSettings, ModelSettings
from .status import FLEET, BotStatus

State = Literal["ok", "note", "off", "wrong"]
Answer = tuple[int | str, Any]
"""A provider's HTTP status and what it told, or the name of the error that kept it from answering."""

_HOMES = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
_LEAST_FREE, _LITTLE_FREE = 256 << 20, 2 << 30
"""Bytes of a disk below which something is wrong, or worth a note."""
_WITHIN = 15.0
"""Seconds that an embedder may take."""
_NAMED = 3
"""Files left out that are named."""
_SKEW = 5.0
"""Seconds by which a clock may be off: Discord's ids tell times that sessions are cut by."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    state: State
    """`off` is what nobody has set up; only `wrong` needs somebody."""
    what: str
    """A short name of its kind, for programs."""
    where: str
    sentence: str
    remedy: str = ""
    """What to do, where there is something to do."""


async def providers(settings: BotSettings, session: aiohttp.ClientSession) -> AsyncIterator[Check]:
    """Asks every provider once for its list of models: whether it is there, takes the key and knows the models."""
    known: dict[tuple[str, str], Answer] = {}
    for model in settings.models:
        where = f"{model.provider} {model.model}".strip()
        if model.provider == "offline":
            yield Check("ok", "provider", where, "It needs neither key nor network.")
        elif not model.ready:
            remedy = (
                f"Set {model.api_key.variable} in .env."
                if model.api_key is not None
                else "Write `api_key: ${VARIABLE:-}`."
            )
            yield Check("off", "provider", where, "It has no key.", remedy)
        else:
            key = (model.provider + (model.base_url or ""), model.api_key.value if model.api_key else "")
            if key not in known:
                known[key] = await _asked(model, session)
            yield _judged(model, where, *known[key])


async def embedder(choice: Choice, made: Embedder | None, said: BotStatus) -> Check:
    """Has a text embedded, where anything is there to do it. A bot that runs goes by what was there at its start, and
    has said what that was."""
    by = made.id if made and made.semantic else WORDS_ALONE
    stale = said.running and bool(said.embedder) and said.embedder != by
    still = f" The bot that runs goes by {said.embedder} still." if stale else ""
    restart = f"`troupe stop {said.bot}` and `troupe start {said.bot}` have it go by this."
    if made is None:
        state: State = "wrong" if choice.wrong else "note" if stale else "off"
        remedy = " ".join(filter(None, (choice.remedy, restart if stale else "")))
        return Check(state, "embedder", choice.kind, f"{choice.sentence}{still}", remedy)
    try:
        async with asyncio.timeout(_WITHIN):
            [vector] = await made.embed(["Is anybody there?"])
    except (ProviderError, TimeoutError) as error:
        why = error.detail if isinstance(error, ProviderError) else f"no answer in {_WITHIN:g} s"
        remedy = "Install it again (`make embed`)." if choice.folder else "Check its key, `model` and `base_url`."
        return Check("wrong", "embedder", choice.kind, f"{choice.sentence} It fails ({why}).", remedy)
    sentence = f"{choice.sentence} A text gets {len(vector)} numbers.{still}"
    return Check("note" if stale else "ok", "embedder", choice.kind, sentence, restart if stale else "")


def knowledge(settings: BotSettings) -> Iterator[Check]:
    """Reads what the personas may quote from."""
    library = Library.of_bot(settings)
    for whose in ("", *(persona.name for persona in settings.personas if persona.knowledge)):
        contents = library.of(whose).contents()
        if not contents.passages and not contents.skipped:
            continue
        sentence = f"Passages that can be quoted: {len(contents.passages):,}."
        if left := contents.skipped:
            sentence += (
                f" Left out: {'; '.join(left[:_NAMED])}{f' and {len(left) - _NAMED} more' * (len(left) > _NAMED)}."
            )
        yield Check("note" if left else "ok", "knowledge", whose or settings.name, sentence)


def place(settings: BotSettings) -> Iterator[Check]:
    """The bot's root and the disk it is on."""
    root = settings.root
    there = next(path for path in (root, *root.parents) if path.exists())
    if not settings.storage.enabled:
        yield Check("off", "storage", str(root), "Nothing is kept: `storage.enabled` is false.")
        return
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0")
        free = shutil.disk_usage(there).free
    except OSError as error:
        remedy = f"Give this account (user {os.getuid()}) the right to write there, and the disk room."
        yield Check("wrong", "storage", str(there), f"It cannot be written to ({error.strerror}).", remedy)
        return
    state: State = "wrong" if free < _LEAST_FREE else "note" if free < _LITTLE_FREE else "ok"
    remedy = "Make room: `troupe cleanup --dry-run` says what retention would remove." if state != "ok" else ""
    yield Check(state, "disk", str(there), f"{amount(free)} are free.", remedy)


def clock(date: str | None, now: datetime) -> Check:
    """This machine's clock beside the `Date` that Discord's answer carries, a whole second."""
    try:
        skew = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (TypeError, ValueError):
        return Check("note", "clock", "this machine", "Discord did not say what time it is.")
    if abs(skew) > _SKEW:
        sentence = f"It is {abs(skew):,.0f} seconds {'ahead of' if skew > 0 else 'behind'} Discord's."
        remedy = "Turn time synchronisation on (`timedatectl set-ntp true`): sessions are cut by these times."
        return Check("wrong", "clock", "this machine", sentence, remedy)
    return Check("ok", "clock", "this machine", "It agrees with Discord's.")


def process(settings: BotSettings, status: BotStatus, *, known: bool = False) -> Iterator[Check]:
    """What the bot says of itself, or said last. `known` is whether the reason of a bot that is down was told already:
    one fault counts once."""
    name = settings.name
    troubles = {
        "jobs": status.job_trouble,
        "configuration": status.config_trouble,
        "backups": status.backup_alarm,
        "transfer": status.transfer_trouble,
    }
    if status.running:
        yield Check("ok", "process", name, f"It is {status.state} as process {status.pid}.")
        if status.last_error:
            yield Check("wrong", "process", name, status.last_error)
    else:
        state: State = "wrong" if status.state in ("fatal", "died") and not known else "note"
        why = f": {status.last_error.rstrip('.')}" if status.last_error else ""
        yield Check(state, "process", name, f"It is not running ({status.state}{why}).", _start(settings, status))
    for what, trouble in troubles.items():
        if trouble:
            yield Check("wrong", what, name, trouble)
    if status.model_trouble:
        yield Check("note", "models", name, f"When last asked: {status.model_trouble}.")
    if not settings.memory.enabled:
        yield Check("off", "memory", name, f"It is {OFF}.")
    elif status.memory:
        yield Check("ok", "memory", name, f"About a minute ago: {status.memory}.")
    if status.left_behind:
        yield Check("note", "storage", name, status.left_behind)


def _start(settings: BotSettings, status: BotStatus) -> str:
    """What starts a bot that is down."""
    if status.state == "not started" and status.last_error:
        return ""
    fleet = holder(settings.root, FLEET)
    if fleet is None:
        return "`troupe up` starts it."
    if status.state == "fatal":
        return f"`troupe up` (process {fleet}) starts it again once config/ or .env has changed."
    return f"`troupe up` (process {fleet}) starts it again by itself."


async def _asked(model: ModelSettings, session: aiohttp.ClientSession) -> Answer:
    home = (model.base_url or _HOMES[model.provider]).rstrip("/")
    key = model.api_key.value if model.api_key else ""
    if model.provider == "anthropic":
        url, headers = f"{home}/v1/models?limit=1000", {"anthropic-version": "2023-06-01", "x-api-key": key}
    else:
        url, headers = f"{home}/models", {"Authorization": f"Bearer {key}"} if key else {}
    try:
        # A redirect would take the key somewhere else.
        async with session.get(url, headers=headers, allow_redirects=False) as reply:
            return reply.status, await reply.json(content_type=None) if reply.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return type(error).__name__, None


def _judged(model: ModelSettings, where: str, status: int | str, told: Any) -> Check:
    if isinstance(status, str):
        remedy = "Check the network, a firewall, and `base_url` if one is set."
        return Check("wrong", "provider", where, f"It cannot be reached ({status}).", remedy)
    if status in (401, 403):
        variable = model.api_key.variable if model.api_key is not None else "its key"
        sentence = f"It does not accept the key in {variable} (HTTP {status})."
        return Check("wrong", "provider", where, sentence, f"Make a new key there, and put it into {variable}.")
    if status in (404, 405):
        return Check("note", "provider", where, "It is there; it lists no models, so that the key is unproven.")
    if status != 200:
        sentence = f"It answers with HTTP {status}."
        return Check("note" if status == 429 else "wrong", "provider", where, sentence, "Try again in a minute.")
    listed = told.get("data") if isinstance(told, dict) else None
    names = [each.get("id") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if names and model.model not in names and not told.get("has_more"):
        remedy = "Check its name; an alias may work though it is not listed."
        return Check("note", "provider", where, "It accepts the key, and does not list this model.", remedy)
    return Check("ok", "provider", where, "It accepts the key.")
