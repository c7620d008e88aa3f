"""A form with one file in it, read as it comes: no more of it is held than a piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import TroupeError

_PARTS = 20
_BESIDE = 65_536
"""Bytes of a form that are not the file's."""


class Malformed(TroupeError):
    """What was sent is not a form with one file."""


class Body:
    """One file on its way in."""

    def __init__(self, content_type: str, stream: AsyncGenerator[bytes, None]) -> None:
        """Raises `Malformed` where that is no form."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 200:
            raise Malformed("Send the file as a form: multipart/form-data, with a boundary.")
        self.name: str | None = None
        """As the sender calls it; None until its part has come, and where there is none."""
        self.declared = ""
        """What the sender says that it is."""
        self._stream = stream
        self._ready: list[bytes] = []
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._in_file = False
        self._over = False
        self._parts = self._beside = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._take,
                "on_end": self._end,
            },
        )

    async def begin(self) -> None:
        """Reads on to where the file begins, or to the end of the form."""
        while self.name is None and await self._more():
            pass

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file. Raises `Malformed` where the form breaks off, or holds two."""
        while True:
            ready, self._ready = self._ready, []
            if ready:
                yield b"".join(ready)
            elif not await self._more():
                break
        if not self._over:
            raise Malformed("The form breaks off in the middle: send the file again.")

    async def _more(self) -> bool:
        piece = await anext(self._stream, None)
        if piece is None:
            return False
        try:
            self._parser.write(piece)
        except FormParserError:
            raise Malformed("The form cannot be read: send the file again.") from None
        return True

    def _begin_part(self) -> None:
        self._headers, self._in_file = {}, False
        self._parts += 1
        self._count(0)

    def _add(self, which: int, data: bytes) -> None:
        self._header[which] += data

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in options:
            return
        if (part := options.get(b"name", b"").decode("utf-8", "replace")) != "file":
            raise Malformed(f"Send the file as the part 'file' of the form; this one is '{part[:60]}'.")
        if self.name is not None:
            raise Malformed("There are two files in the form: send one at a time.")
        self.name, self._in_file = options[b"filename"].decode("utf-8", "replace"), True
        declared, _ = parse_options_header(self._headers.get(b"content-type", b""))
        self.declared = declared.decode("latin-1").casefold()

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._ready.append(data[start:end])
        else:
            self._count(end - start)

    def _count(self, more: int) -> None:
        """Refuses a form that is much work for nothing."""
        self._beside += more
        if self._parts > _PARTS or self._beside > _BESIDE:
            raise Malformed("There is too much else in the form: send only the file.")

    def _end(self) -> None:
        self._over = True
