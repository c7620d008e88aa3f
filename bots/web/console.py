"""The console's own files: pages, styles and scripts, told apart by what is in them so that nobody loads one twice."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from .problems import NotThere

router = APIRouter(include_in_schema=False)

_STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@router.get("/")
async def console(request: Request) -> Response:
    """The one page; what it shows stands behind the `#` of its address."""
    return _file("index.html", request)


@router.get("/static/{name}")
async def static_file(name: str, request: Request) -> Response:
    """One of its files."""
    return _file(name, request)


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """What browsers ask for by themselves."""
    return _file("icon.svg", request)


def _file(name: str, request: Request) -> Response:
    if name not in _names():
        raise NotThere(f"The console has no file '{name[:60]}'.")
    path = _STATIC / name
    data, tag = _read(path, path.stat().st_mtime_ns)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in (each.strip() for each in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=_KINDS[path.suffix])


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """Every name there is: nothing that is asked for becomes part of a path."""
    return frozenset(each.name for each in _STATIC.iterdir() if each.suffix in _KINDS)


@lru_cache(maxsize=128)
def _read(path: Path, changed: int) -> tuple[bytes, str]:
    data = path.read_bytes()
    return data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
