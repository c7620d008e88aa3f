"""An export as somebody asked for it: read from a request, made of a store at rest, or by the bot that runs."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import asdict, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from storage.backend import Store
from storage.blobs import Blobs
from storage.exports import Export, Form, Noted, Options, ignored
from storage.exports.exported import exported, is_empty
from storage.exports.transcript import Wanted, transcript
from storage.exports.zip import zip_of
from storage.place import gathered
from storage.progress import Tell, silent
from storage.sought import Sought

from . import seeking
from .errors import TroupeError
from .sessions import short
from .terminal import Answer, Order, Say

_PIECE = 192 * 1024
"""Bytes; in base64 a quarter of what a line at the door may have."""
_SHOWN = 20


class Request(BaseModel):
    """What somebody wants to take along; nothing said means everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    form: Form = "md"
    sessions: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    """Names, ids or keys."""
    user: str | None = None
    """A name or an id."""
    persona: str | None = None
    tags: tuple[str, ...] = ()
    starred: bool = False
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    files: bool = False
    zipped: bool = False
    complete: bool = False
    metadata: bool = True
    timestamps: bool = True
    header_level: int = Field(default=1, ge=1, le=5)
    code_language: str = Field(default="", pattern=r"^[\w.+#-]{0,40}$")
    zone: str = "UTC"
    images: Literal["embed", "link"] = "embed"

    @property
    def as_zip(self) -> bool:
        """Whether the file is a zip of documents."""
        return self.form != "v3" and (self.zipped or self.files)

    @property
    def end(self) -> str:
        """What the file's name ends with."""
        return "zip" if self.as_zip or self.form == "v3" else self.form

    def options(self) -> Options:
        """How it is to look. Raises `TroupeError` for a zone that is not known."""
        return Options(
            metadata=self.metadata,
            timestamps=self.timestamps,
            header_level=self.header_level,
            code_language=self.code_language,
            zone=zone(self.zone),
            images=self.images,
            complete=self.complete,
        )

    async def sought(self, store: Store, bot: str) -> Sought:
        """What is meant, in this bot's store. Raises `TroupeError` for a session or channel that is not there."""
        for id in self.sessions:
            if await store.session(id) is None:
                told = f"There is no session '{short(id, 40)}'"
                raise TroupeError(f"{told}: `troupe sessions list {bot}` shows those that there are.")
        found = await seeking.sought(
            store,
            (),
            channels=self.channels,
            sessions=self.sessions,
            tags=self.tags,
            starred=True if self.starred else None,
        )
        return replace(found, persona=self.persona, since=self.since, until=self.until)

    async def person(self, store: Store) -> str | None:
        """The id of the one person who is meant. Raises `TroupeError` where nobody is called that, or several are."""
        if self.user is None:
            return None
        first, *more = sorted(await seeking.people(store, self.user))
        if more:
            told = f"Several people are called '{short(self.user, 40)}'"
            raise TroupeError(f"{told}: give the id of one: {', '.join([first, *more][:_SHOWN])}.")
        return first


def zone(name: str) -> tzinfo:
    """The time zone of that name. Raises `TroupeError`."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise TroupeError(f"There is no time zone {name[:60]!r}: say Europe/Berlin, say, or UTC.") from error


async def export_of(
    request: Request,
    store: Store,
    blobs: Blobs,
    bot: str,
    at: datetime,
    tell: Tell = silent,
    noted: Noted = ignored,
    *,
    within: Collection[str] | None = None,
) -> Export:
    """The export that is asked for, of the channels `within` only, or of all. Raises `TroupeError`, also where it would
    hold nothing, and `Unavailable`."""
    export = Export(
        store,
        blobs if request.files or not request.as_zip else None,
        request.form,
        bot,
        at,
        sought=(await request.sought(store, bot)).within(within),
        person=await request.person(store),
        options=request.options(),
        tell=tell,
        noted=noted,
    )
    if await is_empty(export):
        raise TroupeError(
            f"Nothing that {bot} keeps matches all that was asked for: ask for less, and see with --dry-run how much "
            "there is."
            if export.sought != Sought() or export.person is not None
            else f"{bot} keeps no sessions yet: there is nothing to export."
        )
    return export


async def made(request: Request, export: Export) -> AsyncGenerator[bytes, None]:
    """The file, in pieces of sensible size. Raises `TroupeError` and `StorageError`."""
    told = zip_of(export) if request.as_zip else exported(export)
    try:
        async with aclosing(gathered(told, _PIECE)) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), _PIECE):
                    yield piece[start : start + _PIECE]
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise TroupeError(f"The export could not be made: {error.strerror or error}{where}.") from error


async def counted(request: Request, store: Store, bot: str, within: Collection[str] | None = None) -> dict[str, int]:
    """How many sessions and messages would be in it. Raises `TroupeError`."""
    complete = request.complete and request.form in ("json", "v3")
    wanted = Wanted((await request.sought(store, bot)).within(within), await request.person(store), complete=complete)
    sessions = messages = 0
    async with aclosing(transcript(store, wanted, titled=False)) as found:
        async for _, pages in found:
            sessions += 1
            async for page in pages:
                messages += len(page)
    return {"sessions": sessions, "messages": messages}


def order(store: Store, blobs: Blobs, bot: str, now: Callable[[], datetime]) -> Order:
    """What a running bot does when it is told to export: tells `{"piece": base64}` again and again, in between
    `{"done": many, "of": many}`, then a `{"note": sentence}` for each thing that the file lacks, and last
    `{"told": {"sessions": many, "messages": many, "files": many}}`; asked with `"dry": "yes"` only
    `{"sessions": many, "messages": many}`."""

    async def export(asked: Answer, say: Say) -> None:
        try:
            request = Request.model_validate_json(asked.get("request", "{}"))
        except ValidationError as error:
            raise TroupeError("That is no export that can be made: use `troupe export`.") from error
        if asked.get("dry") == "yes":
            await say(json.dumps(await counted(request, store, bot)))
            return
        heard: list[dict[str, int]] = []

        def tell(step: str, done: int, of: int) -> None:
            heard[:] = [{"done": done, "of": of}]

        notes: list[str] = []
        meant = await export_of(request, store, blobs, bot, now(), tell, notes.append)
        async with aclosing(made(request, meant)) as pieces:
            async for piece in pieces:
                told: dict[str, Any] = heard.pop() if heard else {}
                await say(json.dumps({"piece": base64.b64encode(piece).decode(), **told}))
        for note in dict.fromkeys(notes):
            await say(json.dumps({"note": note}))
        await say(json.dumps({"told": asdict(meant.tally)}))

    return export
