"""One log for a process: whose line it is, which turn it belongs to, and never a secret.

The rule for callers: what people or models say is never logged at info or above, and at debug only as a length or
an id. Names of keys are fine; values of keys are taken out here, whoever logs them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO
from urllib.parse import quote, quote_plus
from zlib import crc32

import structlog
from pydantic import BaseModel
from structlog import dev
from structlog.typing import EventDict, Processor, WrappedLogger

from .values import Secret

MASK = "[secret]"
SHORTEST = 4
"""Shorter values are left alone: masking them would garble every line and hide nothing."""
QUIET = dict.fromkeys(("httpx2", "httpcore2", "httpx", "aiohttp.access", "apscheduler"), "WARNING")
"""Loggers that write a line for every request or for every move they make."""
GUARDED = ("discord", "openai", "anthropic", "asyncio", "aiohttp")
"""Loggers that are never heard below info: at debug they write out what people say."""
BRIEF = ("discord.client",)
"""Loggers whose errors are the network's: a whole traceback at every try to reconnect would bury all else."""
_COLOURS = (dev.CYAN, dev.MAGENTA, dev.BLUE, dev.GREEN, dev.YELLOW)


def configure(
    bot: str, level: str, *, secrets: Iterable[str] = (), stream: TextIO | None = None, tty: bool | None = None
) -> None:
    """Sends structlog and the standard library's logging to `stream` (standard error): for reading on a terminal,
    as one JSON object a line elsewhere. Every line carries `bot`, and `turn` where structlog.contextvars has one.
    """
    stream = stream or sys.stderr
    readable = stream.isatty() if tty is None else tty
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _name(bot),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
        structlog.processors.StackInfoRenderer(),
        _briefly,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    out = logging.StreamHandler(stream)
    out.setFormatter(_formatter(before, secrets, readable, colours=readable and stream.isatty()))
    _route(out, level.upper())


def redact(secrets: Iterable[str]) -> Processor:
    """A processor that takes these values, also percent-encoded, out of everything in an event: keys, values,
    nested ones, what objects look like when printed, and exceptions already made text."""
    hide = mask(secrets)

    def clean(value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, dict):
            return {clean(key): clean(each) for key, each in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [clean(each) for each in value]
        return hide(str(value) if isinstance(value, (str, BaseException)) else repr(value))

    def process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {str(clean(key)): clean(value) for key, value in event.items()}

    return process


def mask(secrets: Iterable[str]) -> Callable[[str], str]:
    """The same for a text that goes elsewhere, such as a bot's last error."""
    forms = sorted({form for value in secrets if len(value) >= SHORTEST for form in _forms(value)}, key=len)

    def hide(text: str) -> str:
        for form in reversed(forms):
            text = text.replace(form, MASK)
        return text

    return hide


def secrets(settings: BaseModel) -> Iterator[str]:
    """The values of all secrets anywhere in these settings, for `redact`."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Secret):
                yield each.value
            elif isinstance(each, BaseModel):
                yield from secrets(each)


def _name(bot: str) -> Processor:
    def process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("bot", bot)
        return event

    return process


def _briefly(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What discord.py reports as it reconnects, in one line; anything else keeps its traceback."""
    raised = event.get("exc_info")
    error = raised[1] if isinstance(raised, tuple) else raised
    if event.get("logger") in BRIEF and isinstance(error, BaseException):
        del event["exc_info"]
        event["error"] = f"{type(error).__name__}: {error}"
    return event


def _formatter(before: list[Processor], secrets: Iterable[str], readable: bool, *, colours: bool) -> logging.Formatter:
    renderer: Processor = _console(colours) if readable else structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact(secrets), _in_order, renderer],
    )


def _in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    first = {key: event[key] for key in ("timestamp", "level", "bot", "event") if key in event}
    return {**first, **event}


def _forms(value: str) -> set[str]:
    return {value, quote(value), quote(value, safe=""), quote_plus(value)}


def _console(colours: bool) -> Processor:
    """`14:30:01 sage     info    event  key=value`, the name in its own colour."""
    reset, dim, bright = (dev.RESET_ALL, dev.DIM, dev.BRIGHT) if colours else ("", "", "")
    levels = dev.ConsoleRenderer.get_default_level_styles(colours)

    def plain(key: str, value: object) -> str:
        return f"{dim}{value}{reset}"

    def name(key: str, value: object) -> str:
        colour = _COLOURS[crc32(str(value).encode()) % len(_COLOURS)] if colours else ""
        return f"{colour}{value!s:<10}{reset}"

    def level(key: str, value: object) -> str:
        return f"{levels.get(str(value), '')}{value!s:<8}{reset}"

    def event(key: str, value: object) -> str:
        return f"{bright}{_one_line(value)}{reset}"

    def pair(key: str, value: object) -> str:
        plain = key == "run" or (key == "logger" and str(value).startswith("bots"))
        return "" if plain else f"{dim}{key}={reset}{_one_line(value)}"

    columns = [dev.Column("", pair), dev.Column("timestamp", plain), dev.Column("bot", name)]
    return dev.ConsoleRenderer(columns=[*columns, dev.Column("level", level), dev.Column("event", event)])


def _one_line(value: object) -> str:
    """Names come from strangers: no line of theirs may pass for one of ours, nor steer the terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _route(out: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    for name in GUARDED:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    logging.captureWarnings(True)
    # A line that cannot be formatted would be printed raw, past the redaction.
    logging.raiseExceptions = False
