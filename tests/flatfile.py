"""Files as the flat-file chat programs write them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def write(root: Path, name: str, *values: Any) -> None:
    """A file of lines, or a document where its name says so."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".jsonl"):
        path.write_text("".join(v if isinstance(v, str) else json.dumps(v) + "\n" for v in values), "utf-8")
    elif isinstance(values[0], bytes | str):
        path.write_bytes(values[0] if isinstance(values[0], bytes) else values[0].encode())
    else:
        path.write_text(json.dumps(values[0], indent=2, sort_keys=True), "utf-8")


def line(id: str, role: str, content: str, second: int, key: str = "message_id", **more: Any) -> dict[str, Any]:
    at = f"2025-08-05T21:57:{second:02d}.838931"
    told = {"role": role, "content": content, key: id, "timestamp": at, "attachments": [], "metadata": {}}
    return {**told, **more}


def npy(rows: list[list[float]], code: str = "f", version: int = 1) -> bytes:
    """As `numpy.save` writes it."""
    width = len(rows[0])
    kind = {"f": "<f4", "d": "<f8"}[code]
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({len(rows)}, {width}), }}".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    data = b"".join(struct.pack(f"<{width}{code}", *row) for row in rows)
    return b"\x93NUMPY" + bytes((version, 0)) + length + header + b"\n" + data


def chunk(number: int, document: str, session: str) -> dict[str, Any]:
    return {
        "chunk_id": f"{document}_chunk_{number}",
        "vector_index": number,
        "document_id": document,
        "session_id": session,
        "chunk_text": f"piece {number}",
        "chunk_metadata": {"position": number, "total_chunks": 2},
        "embedding_metadata": {
            "provider": "nomic-ai",
            "model": "nomic-embed-text-v1.5",
            "dimensions": 3,
            "timestamp": "2025-08-05T21:57:18.900948",
        },
    }
