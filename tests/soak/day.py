"""A day in a busy server, simulated: a real bot over the loopback Discord, killed, cut off and talked to all the time.

The command: `python -m tests.soak.day --hours 24 --seed 7`."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
import yaml

from tests.stage import Stage, stage
from tests.wire.discord_accounts import Json
from tests.wire.discord_model import Message

from .day_check import checked
from .day_ledger import Ledger
from .day_moves import MOVES, Moves
from .day_people import VOICES, Size, Town, answer_to, phrase
from .telling import tell

_WINDOW = 12
"""Lines that may wait for an answer before anybody says more."""
_WAITS = 6.0
"""Seconds after which nobody waits for an answer any more; whether it came is seen in the end."""
_QUIET = 3.0
"""Seconds in which nothing happens once everything is said and done."""
_AWAY = 20
"""Events while the bot is down."""
_AT_ONCE = 6
"""Changes of mind as soon as the bot is back."""
_SETTLED_WITHIN = 60.0


@dataclass
class Figures:
    """What a day was like."""

    events: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, int]] = field(default_factory=list)
    """MiB of each life of the bot, when it was ready and in the end."""
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lives = ", ".join(f"{born}-{last}" for born, last in self.memory)
        return f"{self.events} events, {len(self.findings)} findings, {self.seconds:.0f} s, MiB of each life: {lives}"


class Day:
    """One day over one stage."""

    def __init__(self, here: Stage, hours: float, seed: int) -> None:
        self._here = here
        self._seed = seed
        self.size = Size.of(hours)
        self.town = Town(here.discord, self.size)
        self.ledger = Ledger(self.town)
        self._moves = Moves(self.town, self.ledger)
        self._environment = self._configured()
        self._life: ExitStack | None = None
        self._pid = 0
        self._born = 0
        self._waiting: dict[int, deque[tuple[float, Message]]] = {}
        self.figures = Figures()
        here.discord.observers.append(self._seen)
        here.discord.patience = 30.0
        here.provider.default = lambda ask: answer_to(ask.question)

    async def run(self) -> Figures:
        """Lives through it, and looks what is left."""
        start = time.monotonic()
        try:
            await self._born_again()
            for number, move in enumerate(self._plan()):
                await self._one(number, move)
            await self._settled()
        finally:
            await self._end()
        self.figures.seconds = time.monotonic() - start
        self.figures.findings = await checked(self.ledger, self._here.folder / "data" / "sage", self._seed)
        return self.figures

    def _plan(self) -> Iterator[str]:
        """The moves of the day in their order; crashes and cut lines come spread over it."""
        size, rng = self.size, Random(self._seed)
        moves = [move for move in MOVES for _ in range(getattr(size, move))]
        rng.shuffle(moves)
        breaks = ["crash"] * size.crashes + ["reconnect"] * size.reconnects
        rng.shuffle(breaks)
        for number, fault in enumerate(breaks, start=1):
            moves.insert(number * len(moves) // (len(breaks) + 1), fault)
        return iter(moves)

    async def _one(self, number: int, move: str) -> None:
        """One event. Each has chance of its own, so that what it meets changes none that come later."""
        rng = Random(f"{self._seed}-{number}")
        self.figures.events += 1
        if move == "crash":
            await self._crash(rng, number)
        elif move == "reconnect":
            await self._cut_off(rng)
        else:
            if move == "lines":
                self._mood(rng)
            for said in await self._moves.do(move, rng, number):
                if said.answer == "must":
                    waiting = self._waiting.setdefault(said.message.channel.id, deque())
                    waiting.append((time.monotonic(), said.message))
            await self._room()

    def _mood(self, rng: Random) -> None:
        """Sometimes the model takes its time, or fails."""
        provider = self._here.provider
        match rng.choices(("well", "slow", "refusing", "breaking off"), (93, 5, 1, 1))[0]:
            case "slow":
                provider.answer(pace=0.05)
            case "refusing":
                provider.fail(500)
            case "breaking off":
                provider.break_off(after_pieces=2)

    async def _room(self) -> None:
        """Waits until people have had about as many answers as they wait for."""
        while True:
            edge = time.monotonic() - _WAITS
            for waiting in self._waiting.values():
                while waiting and (waiting[0][0] < edge or waiting[0][1].deleted):
                    waiting.popleft()
            if sum(map(len, self._waiting.values())) < _WINDOW or not self.ledger.up:
                await asyncio.sleep(0)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._here.discord.changed()

    def _seen(self, what: str, facts: Json) -> None:
        """Follows what becomes visible on Discord."""
        message = facts.get("message")
        if what != "message" or message is None:
            return
        self.ledger.seen(message)
        waiting = self._waiting.get(message.channel.id)
        if not waiting or self.town.bot not in (message.author, message.application):
            return
        if message.reference_id is None:
            waiting.popleft()
            return
        asker = message.reference.author if message.reference else None
        left = [one for one in waiting if one[1].author is not asker or one[1].id > message.reference_id]
        self._waiting[message.channel.id] = deque(left)

    async def _crash(self, rng: Random, number: int) -> None:
        """Kills the bot in the middle of things; people go on without it, then it is back."""
        await self._in_the_middle(rng, number)
        self.ledger.fault()
        self.ledger.up = False
        await self._end(kill=True)
        for n in range(_AWAY):
            away = Random(f"{self._seed}-{number}-{n}")
            self.figures.events += 1
            await self._moves.do(
                away.choices(("lines", "edits", "deletes"), (8, 1, 1))[0], away, 10**6 + number * 100 + n
            )
        if rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(0, 5))
        await self._born_again()
        for n in range(_AT_ONCE):  # while the bot still reads what it has missed
            again = Random(f"{self._seed}-{number}-again-{n}")
            await self._moves.do(again.choice(("edits", "deletes")), again, number * 10 + 1)

    async def _in_the_middle(self, rng: Random, number: int) -> None:
        """Waits until some of an answer is to be seen, most often."""
        server, place = self._here.discord, rng.choice(self.town.places)
        self._here.provider.answer(pace=0.2)
        text = phrase(rng, number)
        line = self.town.note(await server.say(self.town.people[0], place, text, mentions=[self.town.bot]), True)
        if rng.random() < 0.7:
            with suppress(AssertionError):
                await server.said_after(line.message, timeout=2.0, by=self.town.bot)

    async def _cut_off(self, rng: Random) -> None:
        server, bot = self._here.discord, self.town.bot
        self.ledger.fault()
        kind = rng.choice(("drop", "reconnect", "resumable", "invalid", "closed"))
        if kind == "drop":
            await server.drop(bot)
        elif kind == "reconnect":
            await server.reconnect(bot)
        elif kind == "closed":
            await server.close(bot, 4000)
        else:
            await server.invalidate(bot, resumable=kind == "resumable")

    async def _born_again(self) -> None:
        server = self._here.discord
        self._life = ExitStack()
        process = self._life.enter_context(self._here.troupe("bot", "sage", environment=self._environment))
        self._pid = process.pid
        bot, before = self.town.bot, server.identifies[self.town.bot]
        greeted = server.until(lambda: server.identifies[bot] > before and server.connected(bot), timeout=40)
        there = asyncio.ensure_future(greeted)
        while not there.done():
            await asyncio.wait((there,), timeout=0.2)
            assert process.poll() is None, f"the bot has ended:\n{self._here.log[-3000:]}"
        await there
        await server.until(lambda: bool(bot.commands))
        self._born = self._memory()
        self.ledger.back()

    async def _end(self, *, kill: bool = False) -> None:
        if self._life is None:
            return
        with suppress(psutil.Error):
            self.figures.memory.append((self._born, self._memory()))
        if kill:
            with suppress(psutil.Error):
                psutil.Process(self._pid).kill()
        life, self._life = self._life, None
        await asyncio.to_thread(life.close)  # the bot says goodbye to servers that live in this thread

    def _memory(self) -> int:
        return int(psutil.Process(self._pid).memory_info().rss >> 20)

    async def _settled(self) -> None:
        """Returns when nothing moves any more and the store is waiting for nobody."""
        await self._moves.over()
        until = time.monotonic() + _SETTLED_WITHIN
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(_QUIET):
                    await self._here.discord.changed()
            except TimeoutError:
                if self._here.discord.connected(self.town.bot):
                    return

    def _configured(self) -> dict[str, str]:
        environment = self._here.write({"sage": self.town.settings(), "spark": {}})
        for name in VOICES[1:]:
            persona: dict[str, Any] = {"display": name.capitalize(), "description": "For tests.", "prompt": "Answer."}
            persona["keywords"] = {"muse": ["poem", "rhyme"], "coder": ["python", "bug", "compiler"]}[name]
            path = self._here.folder / "config" / "personas" / f"{name}.yaml"
            path.write_text(yaml.safe_dump(persona))
        return environment


async def lived(folder: Path, hours: float, seed: int) -> Figures:
    """A day, or some hours of one, in an empty folder."""
    async with stage(folder) as here:
        return await Day(here, hours, seed).run()


def main() -> None:
    """As `tell` says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.day", description="Lives a day in a busy server.")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same events, as far as can be")
    asked = parser.parse_args()
    tell("day", f"{asked.hours:g} hours, seed {asked.seed}", lambda folder: lived(folder, asked.hours, asked.seed))


if __name__ == "__main__":
    main()
