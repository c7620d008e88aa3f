"""A day at the console, simulated: a real bot on the loopback, talked to in many windows, and killed all the time.

The command: `python -m tests.soak.web --lives 100 --seed 7`."""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx2

from bots.web.tokens import Tokens, new_token
from storage.model import Sender
from tests.stage import Stage, eventually, free_port, stage
from tests.wire.provider_server import Ask

from .day_people import answer_to
from .telling import tell
from .web_check import checked
from .web_ledger import Ledger
from .web_people import Window

_PEOPLE, _SESSIONS, _WINDOWS = ("ann", "ben", "cleo"), 2, 2
_LIFE = 2.0
"""Seconds within which the bot is killed."""
_SETTLED_WITHIN = 60.0


@dataclass
class Figures:
    """What a day was like."""

    lines: int = 0
    cut: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.lines} lines, {self.cut} streams cut, {len(self.findings)} findings, {self.seconds:.0f} s"


class WebDay:
    """So many lives of a bot that people talk to at its console."""

    def __init__(self, here: Stage, lives: int, seed: int) -> None:
        self._here = here
        self._lives = lives
        self._seed = seed
        self._ledger = Ledger()
        self._port = free_port()
        web = {"enabled": True, "port": self._port, "requests": 10**6}
        self._environment = here.write({"sage": {"web": web, "discord": {"token": None}}})
        here.provider.default = _answer
        self._client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}",
            timeout=30,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def run(self) -> Figures:
        """Lives through it, and looks what is left."""
        start = time.monotonic()
        async with self._client:
            await self._lived()
        seconds = time.monotonic() - start
        return Figures(len(self._ledger.lines), self._ledger.cut, seconds, await self.looked())

    async def looked(self) -> list[str]:
        """What is wrong with what is kept."""
        return await checked(self._ledger, self._here.folder / "data" / "sage")

    async def _lived(self) -> None:
        over, talk = asyncio.Event(), list[asyncio.Task[None]]()
        for life in range(self._lives + 1):
            rng = Random(f"{self._seed}-{life}")
            with self._here.troupe("bot", "sage", environment=self._environment) as process:
                await self._up(process)
                talk = talk or [asyncio.create_task(each.live(self._seed, over)) for each in await self._opened()]
                await asyncio.wait(talk, timeout=rng.uniform(0.2, _LIFE), return_when=asyncio.FIRST_EXCEPTION)
                if life < self._lives:
                    (process.kill if rng.random() < 0.75 else process.terminate)()
                    await asyncio.to_thread(process.wait, 20)
                    continue
                over.set()
                await asyncio.gather(*talk)
                await self._settled()

    async def _up(self, process: subprocess.Popen[bytes]) -> None:
        """Waits until the bot serves its console."""

        def serves() -> bool:
            assert process.poll() is None, f"the bot has ended:\n{self._here.log[-3000:]}"
            status = self._here.status("sage")
            return status.get("pid") == process.pid and bool(status.get("web"))

        await eventually(serves, timeout=_SETTLED_WITHIN)

    async def _opened(self) -> list[Window]:
        """Windows of some people, each person's over the same sessions."""
        tokens = Tokens(self._here.folder / "data" / "sage")
        windows: list[Window] = []
        for name in _PEOPLE:
            token = new_token()
            tokens.keep(token, name, "chat", Sender(type="user", id=name, name=name), datetime.now(UTC))
            who = {"Authorization": f"Bearer {token}"}
            made = [await self._client.post("/api/chat/sessions", json={}, headers=who) for _ in range(_SESSIONS)]
            sessions = [each.json()["id"] for each in made]
            self._ledger.sessions.update(dict.fromkeys(sessions, token))
            windows += [Window(self._client, token, sessions, self._ledger, f"{name}-{n}") for n in range(_WINDOWS)]
        return windows

    async def _settled(self) -> None:
        """Returns when nothing is being said any more."""
        until = time.monotonic() + _SETTLED_WITHIN
        for session, token in self._ledger.sessions.items():
            who = {"Authorization": f"Bearer {token}"}
            while time.monotonic() < until:
                response = await self._client.get(f"/api/chat/sessions/{session}/stream", headers=who)
                if response.status_code == 204:
                    break


def _answer(ask: Ask) -> str:
    """What the model says: which lines it was asked, and then something that follows from them."""
    asked = re.findall(r"\bq\d+ ", ask.question)[-6:]
    return f"to {''.join(asked)}: {answer_to(ask.question)}"


async def lived(folder: Path, lives: int, seed: int) -> Figures:
    """So many lives of a bot, and a last one, in an empty folder."""
    async with stage(folder) as here:
        return await WebDay(here, lives, seed).run()


def main() -> None:
    """As `tell` says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.web", description="Lives a day at a busy console.")
    parser.add_argument("--lives", type=int, default=100, help="how often the bot is killed")
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same moves, as far as can be")
    asked = parser.parse_args()
    tell("web", f"{asked.lives} lives, seed {asked.seed}", lambda folder: lived(folder, asked.lives, asked.seed))


if __name__ == "__main__":
    main()
