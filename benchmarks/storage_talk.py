"""Talk to keep: seeded words of natural frequency, people and a bot in turn; a million of it, built once."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from storage import words
from storage.backends.sqlite import SqliteStore
from storage.backends.sqlite_file import SCHEMA
from storage.model import Channel, Message, Sender, Session, Text, Usage, message_id, session_id

LENGTH = 150
VOCABULARY = 60_000
START = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
SAGE = Sender(type="persona", id="sage", name="Sage")
TOGETHER, EACH = 5, 200
"""In the big store so many sessions go on at once, each with so many messages."""
RARE, EMOJI, CJK, CODE = "quixotry", "🦀", "京都", "parseHttpUrl"
ODD = {
    1_000: f"nobody here expected so much {RARE} on a monday",
    7_001: f"明日は{CJK}へ行きます。お茶を飲みましょう。",
    12_002: f"the crab is back {EMOJI} and it brought a friend",
    17_003: f"why does {CODE}(req.headers) break when retries > 3?",
    23_004: f"more {RARE} than anybody could want",
}
"""Messages of the big store that a search shall find, by their number."""

Line = tuple[Session, Message]


class Talk:
    """Sessions and lines, the same for the same seed."""

    def __init__(self, seed: int, start: datetime = START) -> None:
        self._chance = random.Random(seed)
        self._start = start
        self._number = 0
        self.vocabulary = _vocabulary()
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(1, VOCABULARY + 1)))
        self._drawn: list[str] = []

    def text(self) -> str:
        """150 characters."""
        if len(self._drawn) < 200:
            self._drawn = self._chance.choices(self.vocabulary, cum_weights=self._weights, k=50_000)
        said: list[str] = []
        room = LENGTH
        while room > 0:
            said.append(self._drawn.pop())
            room -= len(said[-1]) + 1
        return " ".join(said)[:LENGTH].ljust(LENGTH, ".")

    def session(self, number: int) -> Session:
        at = self._now()
        channel = Channel(front="discord", id=str(10**17 + number % 500), kind="channel", name=f"room-{number % 500}")
        return Session(id=session_id(at, self._chance.getrandbits(20)), channel=channel, opened_at=at, last_at=at)

    def lines(self, session: Session, many: int) -> Iterator[Line]:
        """A person's line, which moves `last_at`, and the bot's answer, in turn, with the session as it is then."""
        asked = ""
        people = self._chance.sample(range(300), 3)
        for number in range(many):
            at = self._now()
            name = message_id(at, self._chance.getrandbits(50))
            if number % 2 == 0:
                session = session.model_copy(update={"last_at": at})
                message, asked = self._asked(session, name, at, self._chance.choice(people)), name
            else:
                message = self._answered(session, name, at, asked)
            yield session, message

    def turns(self, sessions: int, many: int) -> list[list[Line]]:
        """The lines of so many sessions, so many in each, ready to be kept."""
        return [list(self.lines(self.session(number), many)) for number in range(sessions)]

    def big(self, many: int) -> Iterator[Line]:
        """The talk of the big store: a few sessions at once, and a few more after them."""
        kept = 0
        for block in itertools.count():
            talks = [self.lines(self.session(block * TOGETHER + n), EACH) for n in range(TOGETHER)]
            for session, message in itertools.chain.from_iterable(zip(*talks, strict=True)):
                if kept in ODD:
                    message = message.model_copy(update={"parts": (Text(text=ODD[kept]),)})
                yield session, message
                kept += 1
                if kept == many:
                    return

    def _asked(self, session: Session, name: str, at: datetime, person: int) -> Message:
        return Message(
            id=name,
            origin=f"{session.channel.key}:{self._snowflake(at)}",
            session_id=session.id,
            role="user",
            sender=Sender(type="user", id=str(10**17 + person), name=f"person {person}"),
            parts=(Text(text=self.text()),),
            at=at,
        )

    def _answered(self, session: Session, name: str, at: datetime, asked: str) -> Message:
        usage = Usage(
            provider="openai", model="gpt-5-mini", tokens_in=812, tokens_out=41, cost_micros=285, seconds=1.25
        )
        return Message(
            id=name,
            session_id=session.id,
            role="assistant",
            sender=SAGE,
            persona="sage",
            parts=(Text(text=self.text()),),
            at=at,
            reply_to=asked,
            usage=usage,
        )

    def _snowflake(self, at: datetime) -> int:
        """As Discord makes them: milliseconds since 2015 in the higher bits."""
        return (int(at.timestamp() * 1000) - 1_420_070_400_000) << 22 | self._chance.getrandbits(22)

    def _now(self) -> datetime:
        self._number += 1
        return self._start + timedelta(seconds=self._number)


async def big_store(root: Path, many: int) -> Path:
    """The folder of a store of so many messages: from an earlier run, or built now. It is not to be written to."""
    made_by = b"".join(path.read_bytes() for path in (*sorted(SCHEMA.glob("*.sql")), Path(__file__)))
    folder = root / f"big-{many}-{hashlib.sha256(made_by + str(words.LEXER).encode()).hexdigest()[:8]}"
    if folder.exists():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    started = time.perf_counter()
    store = await SqliteStore.open(partial, "sage")
    lines = Talk(1).big(many)
    for kept in range(0, many, 1000):
        await asyncio.gather(*(store.append(*line) for line in itertools.islice(lines, 1000)))
        if kept % 100_000 == 0:
            print(f"  building {many:,} messages: {kept:,} after {time.perf_counter() - started:.0f} s", flush=True)
    await store.search(RARE)  # waits until the index knows everything
    await store.close()
    partial.rename(folder)
    print(f"  built in {time.perf_counter() - started:.0f} s, the making of their texts included", flush=True)
    return folder


@cache
def _vocabulary() -> list[str]:
    """Made-up words, the frequent ones short."""
    chance = random.Random(7)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "on", "st")]
    known: dict[str, None] = {}
    while len(known) < VOCABULARY:
        longest = 1 if len(known) < 60 else 2 if len(known) < 3_000 else 4
        known["".join(chance.choices(syllables, k=chance.randint(max(1, longest - 1), longest)))] = None
    return list(known)
