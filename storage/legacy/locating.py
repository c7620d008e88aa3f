"""On which lines the members of a JSON array or object begin, looked up when something in it is refused."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator

from .decoding import Decoded

_PIECE = 1 << 20
_LONGEST = 1 << 26
"""The most bytes of one text within a document."""
_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:\n]|[^\s"{}\[\],:]+|"', re.DOTALL)


def starts(file: Decoded, path: str) -> array[int]:
    """The line, counted from one, of each member of one array or object, as far as the document can be read: of the
    document itself (`item`), or of what stands under a key of it (`messages.item`)."""
    key = path.removesuffix("item").removesuffix(".")
    wanted = (b'"%s"' % key.encode(),) if key else ()
    found = array("L")
    under: list[bytes] = []
    """The keys of what is open, from the outside in."""
    last = b""
    line, inside, due = 1, False, False
    for token in _tokens(file):
        if token == b"\n":
            line += 1
            continue
        if due and token not in (b"]", b"}"):
            found.append(line)
            due = False
        if token in (b"{", b"["):
            under.append(last)
            inside = len(under) == len(wanted) + 1 and tuple(under[1:]) == wanted
            due = inside
        elif token in (b"}", b"]"):
            if under:
                under.pop()
            due = False
            inside = len(under) == len(wanted) + 1 and tuple(under[1:]) == wanted
        elif token == b"," and inside:
            due = True
        elif token.startswith(b'"'):
            line += token.count(b"\n")
            last = token
    return found


def _tokens(file: Decoded) -> Iterator[bytes]:
    """Everything that tells how a document is built; a text that never ends ends it."""
    data = file.read(_PIECE)
    while data:
        rest = b""
        for match in _TOKEN.finditer(data):
            token = match.group()
            if token == b'"':  # its end is further on
                text, rest = _to_its_end(data[match.start() :], file)
                if not text:
                    return
                yield text
                break
            yield token
        data = rest or file.read(_PIECE)


def _to_its_end(begun: bytes, file: Decoded) -> tuple[bytes, bytes]:
    """A text of which only the beginning was read, and what was read behind it; nothing for one that never ends."""
    pieces, size, piece = [b'"'], 0, begun[1:]
    while size <= _LONGEST:
        if end := _END.match(piece):
            return b"".join([*pieces, end.group()]), piece[end.end() :]
        kept = len(piece) - (len(piece) - len(piece.rstrip(b"\\"))) % 2  # what a last backslash belongs to comes next
        pieces.append(piece[:kept])
        size += kept
        more = file.read(_PIECE)
        if not more:
            break
        piece = piece[kept:] + more
    return b"", b""
