"""What sessions are called: by what people named them, or by the first words said in them."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterable

from storage.backend import OLDEST, Store
from storage.model import Session

from .sessions import short
from .surgery import MADE_AS

JOINERS = "\u200c\u200d"
"""What holds emoji, and letters of some scripts, together."""
_FROM_WORDS = 60
_NO_WORDS = "(no words yet)"


async def titled(store: Store, session: Session) -> Session:
    """The session with a title: its own, or the first words said in it. Raises `StorageError`."""
    if session.title:
        return session
    first = ""
    for limit in (1, 5):  # nearly always it is the first line of all
        page = await store.read(session.id, cursor=OLDEST, limit=limit, deleted=session.deleted_at is not None)
        said = (line.words for line in page.items if line.role == "user" and line.deleted_at is None)
        first = next((words for words in said if words.strip()), "")
        if first or page.newer is None:
            break
    words = short(on_one_line(first), _FROM_WORDS) or _NO_WORDS
    return session.model_copy(update={"title": f"{session.metadata.get(MADE_AS, '')} {words}".lstrip()})


async def all_titled(store: Store, sessions: Iterable[Session]) -> list[Session]:
    """The same for several, looked up at once."""
    told = list(sessions)
    looked_up = iter(await asyncio.gather(*(titled(store, each) for each in told if not each.title)))
    return [each if each.title else next(looked_up) for each in told]


def on_one_line(text: str) -> str:
    """The text without signs that cannot be seen, of which some turn around what is written after them."""
    seen = (c for c in text if c.isspace() or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join("".join(seen).split())
