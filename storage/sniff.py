"""What kind of file some bytes are, told from the bytes themselves: a name can lie."""

from __future__ import annotations

import json
import re
import struct

HEAD = 1 << 16
"""How many of a file's first bytes are looked at."""

UNKNOWN = "application/octet-stream"


def media_type(head: bytes) -> str:
    """The media type of a file that starts with `head`: its first `HEAD` bytes, or all when it has fewer.

    What it does not know is text when it is UTF-8 without control characters, else `application/octet-stream`."""
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    for look in (_pictures, _boxes, _zip, _matroska, _ogg, _programs, _mp3):
        if kind := look(head):
            return kind
    return _text(head) or UNKNOWN


_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
)


def _pictures(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(head[8:12])
    if head[:2] == b"BM" and head[14:18] in {struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124)}:
        return "image/bmp"
    if head[:4] == b"\0\0\1\0" and len(head) >= 22 and head[4:6] != b"\0\0" and head[9] == 0:
        return "image/vnd.microsoft.icon"
    return None


def _boxes(head: bytes) -> str | None:
    """The ISO container of MP4 and its kin: its first box lists the brands that it keeps to."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size, 4))]
    if {b"avif", b"avis"} & set(brands):
        return "image/avif"
    if brands[0] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        return "image/heic"
    return {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime"}.get(brands[0], "video/mp4")


_ENTRY = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_OFFICE = {b"word/": "wordprocessingml.document", b"xl/": "spreadsheetml.sheet", b"ppt/": "presentationml.presentation"}
_DECLARED = re.compile(rb"application/(?:vnd\.oasis\.opendocument\.[a-z-]{1,40}|epub\+zip)")


def _zip(head: bytes) -> str | None:
    """An office file is a zip whose entries have telling names, or whose first one declares a type."""
    if head[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
        return None
    names = [head[at.end() : at.end() + int.from_bytes(at[1], "little")] for at in _ENTRY.finditer(head)]
    if names[:1] == [b"mimetype"] and (declared := _DECLARED.match(head, 38)):
        return declared[0].decode()
    if {b"[Content_Types].xml", b"_rels/.rels"} & set(names):
        for folder, kind in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return f"application/vnd.openxmlformats-officedocument.{kind}"
    return "application/zip"


def _matroska(head: bytes) -> str | None:
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    return "video/webm" if b"webm" in head[:64] else "video/x-matroska"


def _ogg(head: bytes) -> str | None:
    if head[:4] != b"OggS":
        return None
    return "video/ogg" if b"\x80theora" in head[:64] else "audio/ogg"


def _programs(head: bytes) -> str | None:
    at = int.from_bytes(head[60:64], "little")
    if head[:2] == b"MZ" and head[at : at + 4] == b"PE\0\0":
        return "application/vnd.microsoft.portable-executable"
    return None


def _mp3(head: bytes) -> str | None:
    """A frame of MPEG layer III, whose bit rate and sampling rate exist."""
    frame = len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return "audio/mpeg" if frame and head[2] >> 4 not in (0, 15) and head[2] & 0x0C != 0x0C else None


_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # ESC colours a terminal's log, FF parts old pages
_BEFORE_THE_ROOT = r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*"
_SVG = re.compile(_BEFORE_THE_ROOT + r"(?:<!DOCTYPE\s+svg[^>]*>\s*)?(?:<!--.*?-->\s*)*<svg[\s>]", re.DOTALL)
_HTML = re.compile(_BEFORE_THE_ROOT + r"<(?:!doctype\s+html|html|head|body|script|iframe)\b", re.DOTALL | re.IGNORECASE)
_JSON = re.compile(r'\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:|\[\s*\{\s*")')


def _text(head: bytes) -> str | None:
    if not head:
        return None
    cut = 3 if len(head) >= HEAD else 0
    text = next((text for end in range(cut + 1) if (text := _decoded(head[: len(head) - end])) is not None), None)
    if text is None or _CONTROLS.search(text):
        return None
    if _SVG.match(text):
        return "image/svg+xml"
    if _HTML.match(text):
        return "text/html"
    if text.lstrip().startswith("<?xml"):
        return "application/xml"
    return "application/json" if _is_json(text, whole=not cut) else "text/plain"


def _decoded(head: bytes) -> str | None:
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _is_json(text: str, whole: bool) -> bool:
    """A lone number or word is text to people; of a long file only the beginning can be judged."""
    if not whole:
        return bool(_JSON.match(text))
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
