"""A long public chat replayed through the pipeline: every line is kept once, in order, in the right session.

The chat is made here from a seed: people who come and go in four channels, pauses of all lengths, bursts, replies
to old lines, other bots' chatter, and events that Discord delivers twice."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bots.incoming import Incoming
from storage.model import Channel, Sender

from .world import World, by_clock, world

LINES = 1200
GAP = 300.0
START = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
OPENINGS = ("has anyone tried", "I still think that", "what about", "no way,", "remember", "btw", "lol,", "so is")
THINGS = ("the new map", "sourdough", "that patch", "Oslo", "the second act", "regex", "my cat", "数独", "🎲 night")


@dataclass(frozen=True)
class Said:
    incoming: Incoming
    session: int
    """Which session of its channel it belongs to, by a plain reading of the rules."""


def chat(seed: int) -> dict[str, list[Said]]:
    """The lines by channel, in order; each channel with a pace of its own."""
    chance = random.Random(seed)
    told = {}
    for number, pace in enumerate((8.0, 40.0, 150.0, 400.0)):
        channel = Channel(front="discord", id=f"c{number}", kind="channel", name=f"room-{number}", guild_id="g")
        told[channel.id] = _channel(chance, channel, pace)
    return told


def _channel(chance: random.Random, channel: Channel, pace: float) -> list[Said]:
    people = [Sender(type="user", id=f"u{n}", name=f"Person {n}") for n in range(12)]
    other = Sender(type="bot", id="b1", name="OtherBot")
    said: list[Said] = []
    at, current, last_spoken = START, 0, {0: START}
    for number in range(LINES // 4):
        at += timedelta(seconds=round(chance.expovariate(1 / pace), 3))
        sender = other if chance.random() < 0.05 and number else chance.choice(people)
        replied = chance.choice(said) if said and chance.random() < 0.04 else None
        if replied is not None:
            current = replied.session
        elif number and sender.type == "user" and (at - last_spoken[current]).total_seconds() > GAP:
            current = len(last_spoken)
        if sender.type == "user":
            last_spoken[current] = at
        text = f"{chance.choice(OPENINGS)} {chance.choice(THINGS)} #{number}"
        origin = f"discord:{channel.id}:{number}"
        reply_to = replied.incoming.origin if replied else None
        line = Incoming(origin, channel, sender, text, at, reply_to=reply_to, answer=chance.random() < 0.1)
        said.append(Said(line, current))
    return said


async def replay(w: World, lines: list[Said]) -> None:
    for line in lines:
        async for _ in w.bot.receive(line.incoming):
            pass
        if line.incoming.origin.endswith("7"):
            async for _ in w.bot.receive(line.incoming):
                raise AssertionError("a redelivered line was answered again")


async def test_every_line_is_kept_once_in_order_and_in_the_right_session(tmp_path: Path) -> None:
    told = chat(seed=2026)
    async with world(by_clock(), root=tmp_path) as w:
        await asyncio.gather(*(replay(w, lines) for lines in told.values()))
        for channel, lines in told.items():
            expected: dict[int, list[str]] = defaultdict(list)
            for line in lines:
                expected[line.session].append(line.incoming.origin)
            kept = {}
            for session in await w.store.sessions(f"discord:{channel}", limit=10_000):
                messages = await w.store.messages(session.id, limit=100_000)
                kept[session.id] = [m.origin for m in messages if m.role == "user"]
                assert session.message_count == len(messages)
            assert sorted(kept.values()) == sorted(expected.values())
        answered = sum(line.incoming.answer for lines in told.values() for line in lines)
        assert (await w.store.counts()).messages == LINES + answered


async def test_where_several_sessions_are_open_at_once_every_line_is_kept_once_and_in_order(tmp_path: Path) -> None:
    told = chat(seed=2027)
    async with world(root=tmp_path) as w:
        await asyncio.gather(*(replay(w, lines) for lines in told.values()))
        for channel, lines in told.items():
            kept: list[str | None] = []
            for session in await w.store.sessions(f"discord:{channel}", limit=10_000):
                messages = await w.store.messages(session.id, limit=100_000)
                heard = [m for m in messages if m.role == "user"]
                assert [m.at for m in heard] == sorted(m.at for m in heard)
                kept += [m.origin for m in heard]
            assert sorted(map(str, kept)) == sorted(line.incoming.origin for line in lines)
