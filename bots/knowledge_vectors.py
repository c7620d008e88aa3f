"""The vectors of passages, kept in a file beside the bot's data, so that a start does not embed them again.

Derived, and without a word in it: it can be deleted at any time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

FILE = "knowledge_vectors.bin"
KEY = 16
"""Bytes of what a text is known by."""


def key(text: str) -> bytes:
    """What a text is known by."""
    return blake2b(text.encode(), digest_size=KEY).digest()


def read(path: Path, embedder: str) -> dict[bytes, bytes]:
    """The vectors of this embedder by the keys of their texts; none where the file is not whole, or another's."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        told = json.loads(head)
        if told["embedder"] != embedder or told["digest"] != _digest(body):
            return {}
        size = KEY + int(told["bytes"])
        return {body[at : at + KEY]: body[at + KEY : at + size] for at in range(0, len(body), size)}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return {}


def write(path: Path, embedder: str, vectors: Mapping[bytes, bytes]) -> None:
    """Keeps vectors of one length, in one step; where that cannot be, the next start embeds once more."""
    body = b"".join(part for pair in vectors.items() for part in pair)
    size = len(body) // max(1, len(vectors)) - KEY
    head = json.dumps({"embedder": embedder, "bytes": size, "digest": _digest(body)})
    draft = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        draft.write_bytes(head.encode() + b"\n" + body)
        draft.replace(path)


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
