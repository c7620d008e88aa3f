"""Files of the web front: taken in as they come, told by their bytes, and handed out so that they can do nothing."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, StringConstraints
from starlette.requests import ClientDisconnect

from storage.blobs import Blob, TooBig
from storage.durable import in_thread
from storage.model import Attachment, Message, storable
from storage.place import Missing
from storage.sniff import HEAD, UNKNOWN, media_type
from storage.sought import Sought

from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .multipart import Body, Malformed
from .problems import Conflict, NoRoom, NotThere, TooLarge, WebError

router = APIRouter(prefix="/api/chat/attachments", tags=["chat"])

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""The SHA-256 of a file."""
_UNSAID = 50
"""Files that one person has sent and not said yet,"""
_TIMES = 4
"""and how many of the largest that is in bytes."""
_FRESH = timedelta(hours=1)
"""How long such a file keeps its room from others."""
_FREE = 1 << 30
"""Bytes that a disk is to have left, or a twentieth of it where that is less."""
_LOOKED_AT = 1_000
"""Messages with files that are looked through for one, the newest."""
_NAME = 200
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "application/pdf")
"""Kinds that a browser may show, beside sound, moving pictures and plain text."""
_MARKUP = ("text/html", "image/svg+xml", "application/xml")
_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


class Taken(BaseModel):
    """A file that was taken in: say it with a line by its hash."""

    hash: str
    name: str
    media_type: str
    """As its bytes tell."""
    size: int
    type: Literal["image", "audio", "video", "file"]


class Uploads:
    """Who has sent which file, until it is said or forgotten."""

    def __init__(self) -> None:
        self._sent: dict[str, dict[str, tuple[Attachment, datetime]]] = {}
        self._coming: dict[str, list[int]] = {}

    @contextmanager
    def coming(self, person_id: str, size: int, most: int, now: datetime) -> Iterator[None]:
        """A file of so many bytes on its way in; of one person there are `most` bytes that were neither said nor
        forgotten. What is older makes room. Raises `Conflict`."""
        sent, coming = self._sent.setdefault(person_id, {}), self._coming.setdefault(person_id, [])
        for hash in [hash for hash, (_, at) in sent.items() if at < now - _FRESH]:
            if self._fits(sent, coming, size, most):
                break
            del sent[hash]
        if not self._fits(sent, coming, size, most):
            told = f"at most {_UNSAID} files or {most >> 20} MiB"
            raise Conflict(f"You have sent {told} that you have not said yet: say them first, or wait for an hour.")
        coming.append(size)
        try:
            yield
        finally:
            coming.remove(size)

    def sent(self, person_id: str, file: Attachment, now: datetime) -> None:
        """Remembers a file that somebody has sent."""
        theirs = self._sent.setdefault(person_id, {})
        theirs.pop(file.blob or "", None)
        theirs[file.blob or ""] = file, now

    def said(self, person_id: str, hashes: Iterable[str]) -> None:
        """Forgets files that stand beside a message now."""
        for hash in hashes:
            self._sent.get(person_id, {}).pop(hash, None)

    def of(self, person_id: str, hash: str) -> Attachment | None:
        """The file of that hash, if that person has sent it."""
        file, _ = self._sent.get(person_id, {}).get(hash, (None, None))
        return file

    @staticmethod
    def _fits(sent: Mapping[str, tuple[Attachment, datetime]], coming: Sequence[int], size: int, most: int) -> bool:
        there = sum(file.size for file, _ in sent.values()) + sum(coming)
        return len(sent) + len(coming) < _UNSAID and there + size <= most


async def beside(request: Request, desk: Desk, caller: Caller, hashes: Sequence[str]) -> list[Attachment]:
    """The files of these hashes, as they are to be said: what the caller has sent, or may see. Raises `NotThere`."""
    found = await _files(request, desk, caller, tuple(dict.fromkeys(hashes)))
    for hash, file in found.items():
        if await desk.blobs.size(hash) is None:
            raise NotThere(f"The file {file.name} is no longer kept: send it again.")
    return [each.model_copy(update={"description": ""}) for each in found.values()]


@router.post("", openapi_extra=_UPLOAD, status_code=201, responses={507: {"description": "The disk is almost full."}})
async def send(desk: At, caller: Chatter, request: Request) -> Taken:
    """Takes in one file, as the part `file` of a form. What it is its bytes tell, whatever its name says."""
    limit, uploads = desk.settings.web.upload_limit, uploads_of(request)
    size = min(limit, int(request.headers.get("content-length", limit)))
    await in_thread(_refuse_full, desk.settings.root, size)
    with uploads.coming(caller.person.id, size, _TIMES * limit, desk.now()):
        blob, name = await _taken(desk, request, limit)
    kind = _type(blob.media_type)
    file = Attachment(
        type=kind,
        name=name,
        url=f"/api/chat/attachments/{blob.hash}",
        media_type=blob.media_type,
        size=blob.size,
        blob=blob.hash,
    )
    uploads.sent(caller.person.id, file, desk.now())
    return Taken(hash=blob.hash, name=name, media_type=blob.media_type, size=blob.size, type=kind)


@router.get(
    "/{hash}",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Its bytes.", "content": _BYTES},
        206: {"description": "A part of them.", "content": _BYTES},
        304: {"description": "It is what you have already."},
        416: {"description": "It has no such part."},
    },
)
async def read(
    hash: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    desk: At,
    caller: Reader,
    request: Request,
    message: Annotated[str | None, Query(max_length=200, description="The message it stands beside: quicker.")] = None,
    download: Annotated[bool, Query(description="Have the browser keep it rather than show it.")] = False,
    range: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
    known: Annotated[str | None, Header(alias="If-None-Match", max_length=1_000)] = None,
) -> Response:
    """A file beside a message that the caller may see, or that the caller has sent."""
    file = (await _files(request, desk, caller, [hash], message))[hash]
    size = await desk.blobs.size(hash)
    if size is None:
        raise NotThere("That file is no longer kept.")
    headers = {"ETag": f'"{hash}"', "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    headers |= {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    headers |= {"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "SAMEORIGIN"}
    if known is not None and f'"{hash}"' in known:
        return Response(status_code=304, headers=headers)
    kind = media_type(await _head(desk, hash)) if size else UNKNOWN
    shown, live = _shown(kind)
    if shown != "application/pdf":  # whose viewer does not work in a sandbox
        headers["Content-Security-Policy"] += "; sandbox"
    way = "attachment" if live or download or shown == UNKNOWN else "inline"
    headers["Content-Disposition"] = f"{way}; filename*=utf-8''{quote(safe_name(file.name), safe='')}"
    part = _part(range, size)
    if part is None:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, last = part
    headers["Content-Length"] = str(last - first + 1)
    whole = (first, last) == (0, size - 1)
    if not whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    told = _bytes(desk, hash, first, last)
    return StreamingResponse(told, 200 if whole else 206, headers, media_type=shown)


def safe_name(name: str) -> str:
    """A file's name without a path, and without signs that cannot be seen, of which some turn around what follows."""
    last = storable(name).replace("\\", "/").rpartition("/")[2]
    seen = "".join(c for c in last if unicodedata.category(c)[0] != "C" and unicodedata.category(c) not in ("Zl", "Zp"))
    cut = seen.strip().strip(".")
    if len(cut) > _NAME:
        stem, dot, end = cut.rpartition(".")
        cut = f"{stem[: _NAME - len(end) - 1]}{dot}{end}" if dot and len(end) < 20 else cut[:_NAME]
    return cut or "file"


async def _taken(desk: Desk, request: Request, limit: int) -> tuple[Blob, str]:
    """The file in a form, kept, and its name. Raises `WebError`."""
    try:
        body = Body(request.headers.get("content-type", ""), request.stream())
        await body.begin()
        if body.name is None:
            raise WebError("There is no file in the form: send one, as its part 'file'.")
        name = safe_name(body.name)
        try:
            return await desk.blobs.keep(_judged(desk, body), limit=limit, name=name), name
        except TooBig as error:
            raise TooLarge(str(error)) from None
    except Malformed as error:
        raise WebError(str(error)) from None
    except ClientDisconnect:
        raise WebError("The file did not come to its end.") from None


def _refuse_full(root: FilePath, size: int) -> None:
    """Raises `NoRoom`."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    disk = shutil.disk_usage(there)
    if is_full(disk.free - size, disk.total):
        raise NoRoom(f"My disk has {disk.free >> 20} MiB left: I take files again once it has more.")


def is_full(free: int, total: int) -> bool:
    """Whether a disk of that many bytes has too few left."""
    return free < min(_FREE, total // 20)


async def _judged(desk: Desk, body: Body) -> AsyncGenerator[bytes, None]:
    """The bytes of a file, once its beginning has told that it is taken."""
    head, judged = b"", False
    async with aclosing(body.chunks()) as chunks:
        async for chunk in chunks:
            head = head if judged else head + chunk
            if not judged and len(head) >= HEAD:
                _judge(desk, head, body.declared)
                judged = True
                yield head
            elif judged:
                yield chunk
    if not judged:
        _judge(desk, head, body.declared)
        yield head


def _judge(desk: Desk, head: bytes, declared: str) -> None:
    if not head:
        raise WebError("That file is empty.")
    kind = media_type(head[:HEAD])
    if any(fnmatchcase(kind, pattern.lower()) for pattern in desk.settings.media.refuse):
        raise WebError(f"Its bytes are {kind}, which is not taken here.")
    family, said = kind.partition("/")[0], declared.partition("/")[0]
    moving = ("audio", "video")
    if said not in ("image", *moving) or kind == UNKNOWN or said == family or (said in moving and family in moving):
        return
    raise WebError(f"It is said to be {declared[:60]}, and its bytes are {kind}: send it under its own name.")


async def _files(
    request: Request, desk: Desk, caller: Caller, hashes: Collection[str], message_id: str | None = None
) -> dict[str, Attachment]:
    """The files as they are known to the caller, by their hashes. Raises `NotThere`: nobody learns what others hold."""
    sent = {hash: file for hash in hashes if (file := uploads_of(request).of(caller.person.id, hash)) is not None}
    if sought := set(hashes) - sent.keys():
        for message in await _referring(desk, caller, sought, message_id):
            sent.update({file.blob: file for file in message.attachments if file.blob in sought - sent.keys()})
    if not sent.keys() >= sought:
        raise NotThere("There is no such file that you may see.")
    return {hash: sent[hash] for hash in hashes}


async def _referring(desk: Desk, caller: Caller, hashes: Collection[str], message_id: str | None) -> list[Message]:
    """Messages that the caller may see, and that may refer to these files: that one, or any."""
    if message_id is None:
        used = await desk.store.references(sorted(hashes))
        if not all(used.get(hash) for hash in hashes):
            return []
        looked_at = Sought(files=True)
        found = await desk.store.search("", channel_keys=caller.keys, sought=looked_at, limit=_LOOKED_AT)
        return [each.message for each in found]
    try:
        message, _ = await caller.message(desk, message_id)
    except (Conflict, NotThere):
        return []
    return [message]


def uploads_of(request: Request) -> Uploads:
    """What was sent to this web front and is not said yet."""
    found: Uploads = request.app.state.uploads
    return found


def _type(kind: str) -> Literal["image", "audio", "video", "file"]:
    family = kind.partition("/")[0]
    known: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
    return "file" if kind in _MARKUP else known.get(family, "file")


def _shown(kind: str) -> tuple[str, bool]:
    """As what a browser is told to take a file, and whether it could do something if it were shown."""
    if kind in _MARKUP:
        return "text/plain; charset=utf-8", True
    if kind in _SHOWN or kind.partition("/")[0] in ("audio", "video"):
        return kind, False
    return ("text/plain; charset=utf-8", False) if kind in ("text/plain", "application/json") else (UNKNOWN, False)


def _part(range: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are wanted, of several parts all of it; None where there are no such bytes."""
    unit, _, wanted = (range or "").partition("=")
    first, dash, last = wanted.strip().partition("-")
    given = [each for each in (first, last) if each]
    if unit.strip() != "bytes" or not dash or not given or not all(_is_number(each) for each in given):
        return 0, size - 1
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) and size else None
    if int(first) >= size or (last and int(last) < int(first)):
        return None
    return int(first), min(int(last), size - 1) if last else size - 1


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


async def _head(desk: Desk, hash: str) -> bytes:
    head = b""
    try:
        async with aclosing(desk.blobs.read(hash)) as chunks:
            async for chunk in chunks:
                head += chunk
                if len(head) >= HEAD:
                    break
    except Missing:
        raise NotThere("That file is no longer kept.") from None
    return head[:HEAD]


async def _bytes(desk: Desk, hash: str, first: int, last: int) -> AsyncGenerator[bytes, None]:
    """A part of a file. Where storage fails meanwhile, it breaks off: nobody takes a half for the whole."""
    left = last + 1 - first
    async with aclosing(desk.blobs.read(hash, first=first)) as chunks:
        async for chunk in chunks:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                break
