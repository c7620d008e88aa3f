"""Who has a token for a bot's console and API: a file in its root, which holds no token itself."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from storage.model import Sender

from ..errors import TroupeError

FILE = "web_tokens.json"
MARK = "troupe_"
"""How every token begins, so that one that got lost somewhere can be searched for."""
Scope = Literal["read", "chat", "admin"]
"""`read` sees one's own talk, `chat` also talks and changes it, `admin` sees and does everything. Each has those
before it."""
How = Literal["", "token", "discord"]
_SIGN_INS = 20
"""How many browsers one person may be signed in with at once; the oldest one goes."""


def new_token() -> str:
    """One that nobody can guess."""
    return MARK + secrets.token_urlsafe(32)


class Token(BaseModel):
    """One token, as it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    hash: str
    """SHA-256 of it: of 256 random bits, which nobody can guess their way back to."""
    label: str
    scope: Scope
    person_id: str
    person_name: str
    created: AwareDatetime
    used: date | None = None
    """The day it was used last."""
    expires: AwareDatetime | None = None
    sign_in: How = ""
    """How somebody signed in at the console, where it is one of a browser."""
    of: str = ""
    """The token that they signed in with: with that one this one goes. By Discord, the guild they had to be in."""

    @property
    def person(self) -> Sender:
        return Sender(type="user", id=self.person_id, name=self.person_name)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    tokens: Annotated[tuple[Token, ...], Field(max_length=100_000)] = ()


class Tokens:
    """The tokens of one bot, read again whenever the file has changed. Small, and on the bot's own disk: it is read
    where it is asked for. What changes it waits for the disk, and may be called in any thread."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}
        self._trouble = ""
        self._noted: dict[str, date] = {}

    def find(self, token: str, now: datetime) -> Token | None:
        """Whose token it is; None where nobody's, or not any more. Found by its hash, so that how long it takes tells
        nothing of the tokens there are. Raises `TroupeError` where the file cannot be read."""
        self._look()
        if self._trouble:
            raise TroupeError(self._trouble)
        found = self._known.get(_hash(token))
        if found is None or (found.expires is not None and found.expires <= now):
            return None
        return found

    def good(self, id: str, now: datetime) -> Token | None:
        """The token of that id, as long as it is accepted."""
        self._look()
        found = next((each for each in self._known.values() if each.id == id), None)
        return None if found is None or (found.expires is not None and found.expires <= now) else found

    def all(self) -> list[Token]:
        """All of them, the oldest first. Raises `TroupeError`."""
        self._look()
        if self._trouble:
            raise TroupeError(self._trouble)
        return list(self._known.values())

    def keep(
        self,
        token: str,
        label: str,
        scope: Scope,
        person: Sender,
        now: datetime,
        *,
        expires: datetime | None = None,
        sign_in: How = "",
        of: str = "",
    ) -> Token:
        """Lets a `new_token` in from now on; what is kept of it. Raises `TroupeError`."""
        made = Token(
            id=secrets.token_hex(4),
            hash=_hash(token),
            label=label,
            scope=scope,
            person_id=person.id,
            person_name=person.name,
            created=now,
            expires=expires,
            sign_in=sign_in,
            of=of,
        )
        with self._changing() as kept:
            stay = [each for each in kept if not (each.sign_in and each.expires and each.expires <= now)]
            if sign_in:
                theirs = [each.id for each in stay if each.sign_in and each.person_id == person.id]
                surplus = theirs[: max(0, len(theirs) - _SIGN_INS + 1)]
                stay = [each for each in stay if each.id not in surplus]
            kept[:] = [*stay, made]
        return made

    def revoke(self, *named: str) -> list[Token]:
        """Takes back those of these ids, and the browsers that were signed in with them; says which. Raises
        `TroupeError`."""
        with self._changing() as kept:
            gone = [each for each in kept if each.id in named or (each.sign_in == "token" and each.of in named)]
            kept[:] = [each for each in kept if each not in gone]
        return gone

    def used(self, token: Token, day: date) -> None:
        """Notes the day on which it was used last; where that cannot be kept, it is not tried again that day. Raises
        `TroupeError`."""
        if day in (token.used, self._noted.get(token.id)):
            return
        self._noted[token.id] = day
        with self._changing() as kept:
            kept[:] = [each.model_copy(update={"used": day}) if each.id == token.id else each for each in kept]

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._known, self._trouble = None, {}, ""
            return
        except OSError as error:
            self._known, self._trouble = {}, f"{self._path} cannot be read: {error.strerror}."
            return
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen:
            return
        self._seen, self._known, self._trouble = seen, {}, ""
        try:
            kept = _File.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            self._trouble = f"{self._path} cannot be read: no token is accepted until it is mended or removed."
            return
        self._known = {each.hash: each for each in kept.tokens}

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens as they are now, for nobody else to change meanwhile; kept at the end in one step."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TroupeError(f"{self._path} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            kept = Tokens(self._path.parent).all()
            yield kept
            self._write(_File(tokens=tuple(kept)).model_dump_json(indent=1).encode())
            os.fsync(folder)
        except OSError as error:
            raise TroupeError(f"{self._path} cannot be written: {error.strerror}.") from error
        finally:
            os.close(folder)

    def _write(self, data: bytes) -> None:
        draft = self._path.with_name(f".{FILE}.new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
