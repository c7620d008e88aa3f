"""What a log line says and what it never says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import structlog

from bots import logs
from bots.settings import BotSettings, DiscordSettings, ModelSettings, PersonaSettings
from bots.values import Secret

TOKEN = "MTk4.Cl2FMQ.ZnCjm1 /+?&"
KEY = "sk-ant-0123456789"
PERSONA = PersonaSettings(name="one", display="One", description="one", prompt="one")
BOT = BotSettings(
    name="sage",
    personas=(PERSONA,),
    discord=DiscordSettings(token=Secret(variable="TOKEN", value=TOKEN)),
    models=(ModelSettings(provider="anthropic", model="m", api_key=Secret(variable="KEY", value=KEY)),),
)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    for name in (*logs.QUIET, *logs.GUARDED):
        logging.getLogger(name).setLevel(logging.NOTSET)


def log_to(stream: StringIO, level: str = "info") -> Any:
    logs.configure("sage", level, secrets=logs.secrets(BOT), stream=stream)
    return structlog.get_logger("bots.test")


def lines(out: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_every_line_is_json_with_bot_and_turn() -> None:
    out = StringIO()
    log = log_to(out)
    with structlog.contextvars.bound_contextvars(turn="t-7"):
        log.info("answered", seconds=1.5)
        logging.getLogger("discord.gateway").info("connected to %s", "a gateway")
    log.info("idle")
    first, second, third = lines(out)
    assert list(first)[:4] == ["timestamp", "level", "bot", "event"]
    assert (first["event"], first["seconds"], first["level"]) == ("answered", 1.5, "info")
    assert (second["event"], second["logger"]) == ("connected to a gateway", "discord.gateway")
    assert [line["bot"] for line in (first, second, third)] == ["sage"] * 3
    assert [line.get("turn") for line in (first, second, third)] == ["t-7", "t-7", None]


def test_on_a_terminal_names_are_aligned_and_coloured() -> None:
    out = Terminal()
    log_to(out).warning("slow", seconds=3)
    assert "\x1b[" in out.getvalue()
    plain = StringIO()
    logs.configure("sage", "info", stream=plain, tty=True)
    structlog.get_logger("bots.test").warning("slow", seconds=3)
    assert plain.getvalue()[9:] == "sage       warning  slow seconds=3\n"


@pytest.mark.parametrize("secret", [TOKEN, KEY, quote(TOKEN), quote(TOKEN, safe=""), quote_plus(TOKEN)])
@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_secrets_are_taken_out_wherever_they_stand(stream: type[StringIO], secret: str) -> None:
    out = stream()
    log = log_to(out)
    std = logging.getLogger("somebody.elses")
    log.info(f"in the event {secret}", value=secret, **{f"key {secret}": 1})
    log.info("nested", deep={"a": [secret, (secret, {secret})]}, raw=secret.encode(), error=ValueError(secret))
    log.info("an argument %s", secret)
    std.warning("an argument %s", secret)
    for logger in (log, std):
        try:
            raise ValueError(f"refused: {secret}") from KeyError(secret)
        except ValueError:
            logger.exception("failed")
    std.warning("not %d a number", secret)
    assert secret not in out.getvalue()
    assert out.getvalue().count(logs.MASK) >= 12


def test_short_values_are_not_taken_for_secrets() -> None:
    assert logs.mask(["a", ""])("banana") == "banana"


def test_secrets_are_found_anywhere_in_the_settings() -> None:
    assert set(logs.secrets(BOT)) == {TOKEN, KEY}


def test_what_strangers_write_cannot_pass_for_a_line_or_steer_the_terminal() -> None:
    out = Terminal()
    log_to(out).info("joined", name="eve\n00:00:00 sage info all is well \x1b[2J")
    assert out.getvalue().count("\n") == 1
    assert "\x1b[2J" not in out.getvalue()


def test_other_peoples_loggers_are_tamed_and_never_at_debug() -> None:
    out = StringIO()
    log = log_to(out, "debug")
    log.debug("ours")
    for name in ("discord.http", "openai._base_client", "anthropic._base_client", "httpx2", "aiohttp.access"):
        logging.getLogger(name).debug("what people say")
    logging.getLogger("httpx2").info("HTTP Request: POST")
    logging.getLogger("discord.gateway").info("connected")
    assert [line["event"] for line in lines(out)] == ["ours", "connected"]


def test_the_level_holds() -> None:
    out = StringIO()
    log = log_to(out, "warning")
    log.info("quiet")
    logging.getLogger("discord.gateway").info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_a_lost_connection_to_discord_is_one_line_and_other_failures_keep_their_traceback() -> None:
    out = StringIO()
    log_to(out)
    for name in ("discord.client", "discord.http"):
        try:
            raise OSError(f"cannot connect {KEY}")
        except OSError:
            logging.getLogger(name).exception("Attempting a reconnect in %.2fs", 1.5)
    brief, whole = lines(out)
    assert (brief["event"], brief["error"]) == (
        "Attempting a reconnect in 1.50s",
        f"OSError: cannot connect {logs.MASK}",
    )
    assert "exc_info" not in brief
    assert "exception" not in brief
    assert "Traceback" in whole["exception"]
