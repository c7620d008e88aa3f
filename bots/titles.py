"""What sessions are called: by what people named them, or by the first words said in them."""

from __future__ import annotations

import asyncio
import re
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
_LOOKED_AT = 300
"""Characters of a text in which its first words are looked for."""
_NO_PROSE = re.compile(r"^[ \t>]*(?:\|(?!\|)|:?-{3,}:?[ \t]*\||~~~)|```|\$\$|\\\[", re.MULTILINE)
"""Where a table, code or a formula begins."""
_BEFORE = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]|-#[ \t]|>[ \t]?|[-*+][ \t]+(?:\[[ xX]\][ \t])?|\d{1,4}[.)][ \t])+[ \t]*", re.MULTILINE
)
_SIGNS = re.compile(r"```[\w+#.-]*(?=\n)|[|`$]+|:?-{3,}:?")
_AROUND = re.compile(r"(?<!\w)(\*{1,3}|~~|`+)(?=\S)([^\n]+?)(?<=\S)\1(?!\w)")
_LINK = re.compile(r"!?\[([^\]\n]+)\]\(<?(?:https?://|mailto:)[^)\s]*\)")


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
    words = short(_plain(first), _FROM_WORDS) or _NO_WORDS
    return session.model_copy(update={"title": f"{session.metadata.get(MADE_AS, '')} {words}".lstrip()})


async def all_titled(store: Store, sessions: Iterable[Session]) -> list[Session]:
    """The same for several, looked up at once."""
    told = list(sessions)
    looked_up = iter(await asyncio.gather(*(titled(store, each) for each in told if not each.title)))
    return [each if each.title else next(looked_up) for each in told]


def _plain(text: str) -> str:
    """The first words on one line without the marks of Markdown, up to a table, code or a formula."""
    text = text[:_LOOKED_AT].strip()
    stop = _NO_PROSE.search(text)
    prose = text[: stop.start()].rstrip(" \n:") if stop else text
    prose = _LINK.sub(r"\1", _BEFORE.sub("", prose))
    words = on_one_line(_AROUND.sub(r"\2", _AROUND.sub(r"\2", prose)))
    return words or on_one_line(_SIGNS.sub(" ", text)) or on_one_line(text)


def on_one_line(text: str) -> str:
    """The text without signs that cannot be seen, of which some turn around what is written after them."""
    seen = (c for c in text if c.isspace() or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join("".join(seen).split())
