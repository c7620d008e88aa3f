"""Sessions on their way into a PDF or Word document: put into a folder, where a process of its own sets them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from ..blobs import Blobs, Damaged
from ..durable import in_thread
from ..errors import StorageError
from ..model import Message, Session, Value
from ..place import PIECE, Missing
from . import Noted, Options, Transcript
from .apart import apart

MOST = 5_000
"""Messages of one document: a longer one takes minutes to make, and nobody opens it."""
_CHARACTERS = 4_000_000
"""What they may say together: some thousand pages."""
_SECONDS = 300
_PICTURE = 32 << 20
"""Bytes of a picture that is shown; a larger one is named."""
_PICTURES = 256 << 20
"""Bytes of all that are shown."""

Timed = TypeVar("Timed", Session, Message)


class Head(Value):
    """What is said of all of it."""

    title: str
    at: datetime
    """When it was made."""
    zone: str
    metadata: bool
    timestamps: bool
    header_level: int
    code_language: str


async def typeset(
    form: Literal["pdf", "docx"],
    sessions: Transcript,
    blobs: Blobs | None,
    options: Options,
    head: Head,
    noted: Noted,
) -> AsyncIterator[bytes]:
    """The document that `main` of the module named after the form makes, in pieces."""
    if importlib.util.find_spec({"pdf": "typst", "docx": "docx"}[form]) is None:
        raise StorageError(
            f"A {form.upper()} file takes a library that is not installed: run `pip install 'troupe[{form}]'`, or take "
            "html instead."
        )
    held = await in_thread(lambda: tempfile.TemporaryDirectory(prefix="troupe-"))
    try:
        folder = Path(held.name)
        try:
            await _pack(folder, sessions, blobs if options.images == "embed" else None, options, head)
        except OSError as error:
            raise StorageError(
                f"The document is made in {folder.parent}, where nothing more can be written ({error.strerror}): make "
                "room there, or name another folder with TMPDIR."
            ) from error
        for note in await apart(form, folder, seconds=_SECONDS):
            noted(note)
        with (folder / f"made.{form}").open("rb") as made:
            while piece := await in_thread(made.read, PIECE):
                yield piece
    finally:
        await in_thread(held.cleanup)


def headed(title: str, at: datetime, options: Options) -> Head:
    """The head of a document with these options."""
    return Head(
        title=title,
        at=at.astimezone(options.zone),
        zone=str(options.zone),
        metadata=options.metadata,
        timestamps=options.timestamps,
        header_level=options.header_level,
        code_language=options.code_language,
    )


async def _pack(folder: Path, sessions: Transcript, blobs: Blobs | None, options: Options, head: Head) -> None:
    count = characters = taken = 0
    with (folder / "transcript").open("w", encoding="utf-8") as file:
        file.write(head.model_dump_json() + "\n")
        async for session, pages in sessions:
            file.write(_line("session", _in_zone(session, options, "opened_at", "last_at")))
            async for page in pages:
                lines = [_line("message", _in_zone(message, options, "at")) for message in page]
                count, characters = count + len(page), characters + sum(len(message.text) for message in page)
                _refuse_what_is_too_long(count, characters)
                await in_thread(file.writelines, lines)
                taken += await _pictured(folder, page, blobs, _PICTURES - taken) if blobs else 0


def _refuse_what_is_too_long(count: int, characters: int) -> None:
    if count > MOST or characters > _CHARACTERS:
        found = f"{MOST:,} messages" if count > MOST else f"{_CHARACTERS:,} characters"
        raise StorageError(
            f"One document of more than {found} cannot be made: take a zip (a file for each session), fewer "
            "sessions or days, or html, which may be as long as it likes."
        )


async def _pictured(folder: Path, page: Sequence[Message], blobs: Blobs, room: int) -> int:
    """Puts the pictures beside messages into the folder, each under its hash; how many bytes they have."""
    taken = 0
    for picture in (file for message in page for file in message.attachments if file.type == "image"):
        target = folder / (picture.blob or "")
        if picture.blob is None or target.exists():
            continue
        size = await blobs.size(picture.blob)
        if size is None or size > min(_PICTURE, room - taken):
            continue
        try:
            with target.open("wb") as file:
                async with aclosing(blobs.read(picture.blob)) as chunks:
                    async for chunk in chunks:
                        await in_thread(file.write, chunk)
            taken += size
        except (Missing, Damaged):
            target.unlink()
    return taken


def _in_zone(value: Timed, options: Options, *times: str) -> Timed:
    with contextlib.suppress(OverflowError):  # on the first or last day that there is
        return value.model_copy(update={name: getattr(value, name).astimezone(options.zone) for name in times})
    return value


def _line(kind: str, value: Session | Message) -> str:
    return f'{{"{kind}": {value.model_dump_json(exclude={"edits", "receipts", "context"})}}}\n'


def head_of(folder: Path) -> Head:
    """What was said of the sessions in a folder."""
    with (folder / "transcript").open(encoding="utf-8") as file:
        return Head.model_validate_json(file.readline())


def packed(folder: Path) -> Iterator[Session | Message]:
    """Each session in a folder, followed by its messages."""
    with (folder / "transcript").open(encoding="utf-8") as file:
        file.readline()
        for line in file:
            for kind, value in json.loads(line).items():
                yield (Session if kind == "session" else Message).model_validate(value)
