"""The bytes of old files as UTF-8, whatever they begin with; what is no text in them can be told afterwards."""

from __future__ import annotations

import codecs
import json
import re
from typing import IO, Any

_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_STRAY = re.compile("[\ufdd0-\ufddf][\ufde0-\ufdef]")
"""Two characters that no text has stand for the halves of a byte that is no text."""


class Decoded:
    """A file that is read as UTF-8. Bytes that are none do not end the reading: `stray` finds where they stood."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: codecs.IncrementalDecoder | None = None
        self.hurt = False
        """Whether anything read so far was not text."""

    def read(self, size: int = -1) -> bytes:
        """So many bytes of the file, as UTF-8; nothing at its end."""
        while size:
            data = self._file.read(size)
            text = self._text(data)
            if text or not data:
                return text.encode("utf-8", "replace")
        return b""

    def _text(self, data: bytes) -> str:
        if self._decoder is None:
            data += self._file.read(3) if len(data) < 3 else b""
            encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
            self._decoder = codecs.getincrementaldecoder(encoding)()
        try:
            return self._decoder.decode(data, not data)
        except UnicodeDecodeError:  # what the decoder holds back it holds still
            self.hurt = True
            self._decoder.errors = _stray_bytes.__name__
            return self._decoder.decode(data, not data)


def stray(value: Any) -> bool:
    """Whether something that was read from a hurt file holds bytes that are no text."""
    return _STRAY.search(json.dumps(value, ensure_ascii=False)) is not None


def _stray_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(chr(0xFDD0 + (byte >> 4)) + chr(0xFDE0 + (byte & 15)) for byte in found), error.end


codecs.register_error(_stray_bytes.__name__, _stray_bytes)
