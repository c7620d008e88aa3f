"""A talk in many scripts, with everything that Markdown has, as exports are given it."""

from __future__ import annotations

import io
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from storage.blobs import Blobs
from storage.model import Attachment, Channel, Message, Part, Sender, Session, Text
from storage.place import Folder

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
ANA = Sender(type="user", id="1", name="Ana")
ALI = Sender(type="user", id="2", name="علي")
SAGE = Sender(type="persona", id="sage", name="Sage")
PLACE = Channel(front="discord", id="100", kind="channel", name="général", guild_id="1", guild_name="Troupers")
SCRIPTS = ("こんにちは世界", "你好世界", "안녕하세요", "नमस्ते", "สวัสดี", "Ελληνικά", "кириллица", "👩‍👩‍👧", "❤️")
HOSTILE = "#panic(1) $x^2$ @ref \\u{41} #sys.inputs /* x */ -- ... <b>&amp;</b> ]] })"
MARKDOWN = """# Above
Some **bold** words, `code`, ~~struck~~ and a [link](https://example.com/a?b=c).

- one
  1. within
- two

> quoted

| Name | Value |
|------|------:|
| 你好 | 1 234 |

```python
print("hello")  # and what is much longer than the page is wide, so that it has to go on in the line below
```
"""
_NUMBERS = itertools.count(1)


def said(who: Sender, *parts: str | Part, session: str = "s1") -> Message:
    """A message of somebody, a minute after the one before."""
    number = next(_NUMBERS)
    return Message(
        id=f"m{number}",
        session_id=session,
        role="assistant" if who is SAGE else "user",
        sender=who,
        persona="sage" if who is SAGE else None,
        parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts),
        at=NOON + timedelta(minutes=1),
    )


def session(id: str = "s1", title: str = "A talk") -> Session:
    """A session of Ana, Ali and Sage."""
    return Session(
        id=id, channel=PLACE, title=title, participants=(ANA, ALI, SAGE), opened_at=NOON, last_at=NOON, tags=("news",)
    )


async def transcript(
    *talks: tuple[Session, Sequence[Message]], page: int = 100
) -> AsyncIterator[tuple[Session, AsyncIterator[list[Message]]]]:
    """The talks, as a store gives them."""
    for each, messages in talks:
        yield each, _pages(messages, page)


async def _pages(messages: Sequence[Message], page: int) -> AsyncIterator[list[Message]]:
    for start in range(0, len(messages), page):
        yield list(messages[start : start + page])


async def picture(blobs: Blobs, name: str, data: bytes | None = None) -> Attachment:
    """A picture that is kept, red unless it has other bytes."""
    if data is None:
        file = io.BytesIO()
        Image.new("RGB", (300, 200), "#ff0000").save(file, "WEBP")
        data = file.getvalue()
    blob = await blobs.keep(_once(data), limit=1 << 20)
    return Attachment(type="image", name=name, url=f"https://cdn.example/{name}", blob=blob.hash, size=blob.size)


def kept_in(folder: Path) -> Blobs:
    """Blobs in a folder."""
    return Blobs(Folder(folder / "blobs"), folder)


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    """All of a file."""
    return b"".join([piece async for piece in pieces])


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
