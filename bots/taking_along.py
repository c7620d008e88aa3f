"""A session as a file that somebody at a front takes along: of bounded size, and one at a time for each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from storage.backend import Store
from storage.blobs import Blobs
from storage.exports import Export, Form, Noted, Options
from storage.exports.exported import exported
from storage.exports.zip import zip_of
from storage.sought import Sought

from .errors import TroupeError

_BYTES = 64 * 1_048_576


@dataclass(frozen=True, slots=True)
class Taken:
    """A file to be handed over."""

    data: bytes
    messages: int
    """Those in it."""


class TakingAlong:
    """The exports of one bot that are under way."""

    def __init__(self, store: Store, blobs: Blobs | None, now: Callable[[], datetime]) -> None:
        self._store, self._blobs, self._now = store, blobs, now
        self._askers: set[str] = set()

    async def file(
        self, session_id: str, form: Form, *, bot: str, zipped: bool, options: Options, noted: Noted, asker: str
    ) -> Taken:
        """The session as a file, or as a zip of it and the files beside its messages. Raises `TroupeError` where it is
        too long, or another one is being made for that asker."""
        if asker in self._askers:
            raise TroupeError("The export that you asked for before is still being made: wait until it is there.")
        self._askers.add(asker)
        try:
            sought = Sought(session_ids=(session_id,))
            made = Export(self._store, self._blobs, form, bot, self._now(), sought=sought, options=options, noted=noted)
            taken, size = list[bytes](), 0
            async with aclosing(zip_of(made) if zipped else exported(made)) as pieces:
                async for piece in pieces:
                    taken.append(piece)
                    size += len(piece)
                    if size > _BYTES:
                        raise TroupeError("This session is too long to be exported here: ask whoever runs this bot.")
            return Taken(b"".join(taken), made.tally.messages)
        finally:
            self._askers.discard(asker)
