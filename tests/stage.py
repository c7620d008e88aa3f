"""A stage for whole processes: loopback Discord and provider, a fleet's configuration, and `troupe` run on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.wire.discord_server import DiscordServer
from tests.wire.provider_server import ProviderServer


@dataclass
class Stage:
    """The two loopback servers, and a folder for configuration and data."""

    discord: DiscordServer
    provider: ProviderServer
    folder: Path

    def write(self, bots: dict[str, dict[str, Any]], **fleet: Any) -> dict[str, str]:
        """Writes `config/` for bots by name, each over the loopback servers. Returns the environment with their
        tokens (`token-<name>`)."""
        environment = {}
        for name, more in bots.items():
            variable = f"{name.upper()}_TOKEN"
            environment[variable] = f"token-{name}"
            account = {"token": f"${{{variable}}}", **more.pop("discord", {})}
            _dump(self.folder / "config" / "bots" / f"{name}.yaml", {"personas": [name], **more, "discord": account})
            persona = {"display": name.capitalize(), "description": "For tests.", "prompt": f"You are {name}."}
            _dump(self.folder / "config" / "personas" / f"{name}.yaml", persona)
        model = {"provider": "openai", "model": "loopback", "base_url": self.provider.openai_url}
        urls = {"api_url": self.discord.api_url, "gateway_url": self.discord.gateway_url}
        defaults = {
            "embedder": {"provider": "none"},
            "web": {"enabled": False},
            "models": [{**model, "retries": {"attempts": 2}}],
            "discord": urls,
        }
        _dump(self.folder / "config" / "troupe.yaml", {"fleet": {"stagger": 0, **fleet}, "defaults": defaults})
        return environment

    @contextmanager
    def troupe(self, *command: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """`troupe …` over the stage's configuration; its output goes to `troupe.log`."""
        arguments = ["-m", "bots", *command, "--config", str(self.folder / "config")]
        with running(arguments, self.folder / "troupe.log", environment) as process:
            yield process

    def status(self, bot: str) -> dict[str, Any]:
        """What the bot's own status file says."""
        told: dict[str, Any] = json.loads((self.folder / "data" / bot / "status.json").read_text())
        return told

    def rows(self, bot: str, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in a bot's database, read beside the running bot."""
        path = self.folder / "data" / bot / "conversations.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    @property
    def log(self) -> str:
        return (self.folder / "troupe.log").read_text(errors="replace")


@asynccontextmanager
async def stage(folder: Path, *, strict: bool = True) -> AsyncIterator[Stage]:
    """Both servers; `strict` checks every request against Discord's own description."""
    async with DiscordServer(validate=strict, rate_limits=False) as discord, ProviderServer() as provider:
        yield Stage(discord, provider, folder)


@contextmanager
def running(arguments: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of its own, stopped in the end."""
    command = [sys.executable, *arguments]
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, env={**os.environ, "TMPDIR": str(log.parent), **environment}
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def eventually(look: Callable[[], bool], timeout: float = 40.0) -> None:
    """Waits until another process has written what `look` looks for. Files tell nobody that they change, so this
    looks again and again; a file that is not there yet counts as no."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        while True:
            with suppress(OSError, json.JSONDecodeError, sqlite3.OperationalError):
                if look():
                    return
            again = loop.create_future()
            loop.call_later(0.02, again.set_result, None)
            await again


def free_port() -> int:
    """A port of this machine at which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def gone(pid: int, timeout: float = 40.0) -> None:
    """Waits until a process that is not this one's child has ended."""
    handle = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(timeout):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
