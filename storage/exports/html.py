"""Sessions as one web page that needs nothing else: it looks like a chat, by day and by night, and can do nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from html import escape
from pathlib import Path

from ..blobs import Blobs, Damaged
from ..durable import in_thread
from ..model import Attachment, Session
from ..place import Missing
from ..sniff import media_type
from . import Beside, Options, Transcript
from .html_messages import HUES, Chat
from .text import flat
from .transcript import branch_of

_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}
_ONE, _ALL = 8 << 20, 64 << 20
"""Bytes of a picture, and of all of them, that go into a page; the others are named."""
_SCRIPT = """
(function () {
  var root = document.documentElement, button = document.getElementById("theme");
  var dark = matchMedia("(prefers-color-scheme: dark)");
  function shown() { return root.dataset.theme || (dark.matches ? "dark" : "light"); }
  function tell() { button.textContent = shown() === "dark" ? "\\u2600\\ufe0e Light" : "\\u263e\\ufe0e Dark"; }
  button.onclick = function () { root.dataset.theme = shown() === "dark" ? "light" : "dark"; tell(); };
  dark.onchange = tell; button.hidden = false; tell();
})();
"""


async def html(
    sessions: Transcript,
    blobs: Blobs | None,
    options: Options,
    *,
    title: str,
    at: datetime,
    contents: AsyncIterator[Session] | None = None,
    beside: Beside = lambda file: "",
) -> AsyncGenerator[bytes, None]:
    """The page, piece by piece. `contents` are the same sessions once more, for a table of contents where there are
    several. Pictures are within the page as far as there is room, or with `options.images` "link" at their addresses.
    """
    many = contents is not None
    yield _head(title, at, options, many).encode()
    if contents is not None:
        yield b'<nav class="toc" aria-label="Conversations"><h2>Conversations</h2><ol>\n'
        async for session in contents:
            yield _entry(session, options).encode()
        yield b"</ol></nav>\n"
    count = 0
    pictures = _Pictures(blobs)
    hues: dict[str, int] = {}
    async for session, pages in sessions:
        count += 1
        chat = Chat(options, beside, hues)
        yield _opening(session, options, many).encode()
        async for page in pages:
            for piece in await in_thread(chat.told, page):
                if isinstance(piece, str):
                    yield piece.encode()
                    continue
                async with aclosing(pictures.shown(piece, chat.named(piece))) as chunks:
                    async for chunk in chunks:
                        yield chunk
        yield b"</section>\n" if chat.said else b'<p class="end">Nothing has been said here.</p></section>\n'
    nothing = "" if count else '<p class="end">There is nothing here.</p>\n'
    yield f"{nothing}</main>\n</body>\n</html>\n".encode()


def _head(title: str, at: datetime, options: Options, many: bool) -> str:
    style = _style()
    wide = " many" if many else ""
    sources = "data:" if options.images == "embed" else "data: https: http:"
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(_SCRIPT)}'; "
        f"img-src {sources}; base-uri 'none'; form-action 'none'"
    )
    when = f" on {_moment(at, options)}" if options.timestamps else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" '
        f'content="no-referrer">\n<meta name="generator" content="Troupe">\n<title>{escape(flat(title))}</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<header class="top{wide}"><div><h1 dir="auto" id="title">'
        f'{escape(flat(title))}</h1><p class="about">Exported{when}</p></div>\n'
        f'<button id="theme" type="button" hidden>Theme</button></header>\n<script>{_SCRIPT}</script>\n'
        f'<main class="sheet{wide}">\n'
    )


def _style() -> str:
    hues = "".join(f".h{number} {{ --hue: {hue}; }}\n" for number, hue in enumerate(HUES))
    return "\n" + Path(__file__).with_name("chat.css").read_text(encoding="utf-8") + hues


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _entry(session: Session, options: Options) -> str:
    when = f"<small>{session.opened_at.astimezone(options.zone):%Y-%m-%d}</small>" if options.timestamps else ""
    return f'<li><a href="#{_anchor(session)}"><span dir="auto">{_title(session)}</span>{when}</a></li>\n'


def _opening(session: Session, options: Options, many: bool) -> str:
    parent = flat(branch_of(session)) if options.metadata else ""
    about = [f'Branch of <i dir="auto">{escape(parent)}</i>'] if parent else []
    about += [f'<span dir="auto">{escape(flat(session.channel.name))}</span>'] if options.metadata else []
    if options.timestamps:
        about.append(f"{_moment(session.opened_at, options)} to {_moment(session.last_at, options)}")
    if options.metadata and session.participants:
        people = ", ".join(
            f'<bdi dir="auto">{escape(flat(each.name) or each.id)}</bdi>' for each in session.participants
        )
        about.append(f"with {people}")
    tags = "".join(f'<li dir="auto">{escape(flat(tag))}</li>' for tag in session.tags) if options.metadata else ""
    heading = f'<h2 dir="auto" id="{_anchor(session)}">{_title(session)}</h2>' if many else ""
    return (
        f'<section class="session" aria-labelledby="{_anchor(session) if many else "title"}">{heading}'
        + (f'<p class="about">{" · ".join(about)}</p>' if about else "")
        + (f'<ul class="tags" aria-label="Tags">{tags}</ul>' if tags else "")
        + "\n"
    )


def _title(session: Session) -> str:
    return escape(flat(session.title) or session.id)


def _anchor(session: Session) -> str:
    return "s-" + hashlib.sha256(session.id.encode()).hexdigest()[:16]


def _moment(at: datetime, options: Options) -> str:
    shown = at.astimezone(options.zone)
    return f'<time datetime="{shown.isoformat()}">{shown:%Y-%m-%d %H:%M} {escape(shown.tzname() or "")}</time>'


class _Pictures:
    """Puts pictures into a page for as long as there is room."""

    def __init__(self, blobs: Blobs | None) -> None:
        self._blobs = blobs
        self._left = _ALL

    async def shown(self, file: Attachment, named: str) -> AsyncGenerator[bytes, None]:
        """The picture, or what stands for it where it cannot be shown."""
        size = await self._blobs.size(file.blob) if self._blobs is not None and file.blob else None
        if self._blobs is None or not file.blob or size is None or not 0 < size <= min(_ONE, self._left):
            yield named.encode()
            return
        self._left -= size
        held, begun = b"", False
        try:
            async with aclosing(self._blobs.read(file.blob)) as chunks:
                async for chunk in chunks:
                    held += chunk
                    if not begun and (kind := media_type(held)) not in _PICTURES:
                        break
                    if not begun:
                        yield f'<img src="data:{kind};base64,'.encode()
                        begun = True
                    even = len(held) - len(held) % 3
                    piece, held = held[:even], held[even:]
                    yield base64.b64encode(piece)
        except (Damaged, Missing):
            held = b""
        told = escape(flat(file.description or file.name))
        yield base64.b64encode(held) + f'" alt="{told}" title="{told}">'.encode() if begun else named.encode()
