"""The way to a PostgreSQL database: connections, patience while it is away, and its troubles as sentences."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]

from ..errors import StorageError, Unavailable

Result = TypeVar("Result")
Work = Callable[[Any], Awaitable[Result]]
"""What is done on an asyncpg connection. It may be done again from its start when the connection breaks."""

READERS = 3
WRITERS = 2
"""One for batches, one for what reads before it writes."""
CONNECTING = 10.0
"""Seconds for one attempt to reach the server."""
MARGIN = 5.0
"""Seconds after which a server that should have stopped a statement itself is taken for lost."""
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts; the last one goes on."""


class Way(Protocol):
    """How statements reach the database."""

    async def read(self, work: Work[Result]) -> Result:
        """Reads; raises `Unavailable`."""

    async def write(self, work: Work[Result]) -> Result:
        """Writes; raises `Unavailable`, or `StorageError` for what the database refuses."""

    async def close(self) -> None:
        """Lets go of the connections."""


class Link:
    """A few connections to one server. While it is away, work is tried again for some seconds."""

    def __init__(self, url: str, bot_name: str, statement_timeout: float, patience: float) -> None:
        self.place = _place(url)
        self._statement_timeout = statement_timeout
        self._patience = patience
        self._away_since: float | None = None
        self._under_way = 0
        self._closed = False
        self._idle: asyncio.Event | None = None
        milliseconds = int(statement_timeout * 1000)
        self._settings = {
            "application_name": f"troupe {bot_name}",
            "statement_timeout": str(milliseconds),
            "timezone": "UTC",
        }
        self._options = {"dsn": url, "timeout": CONNECTING, "command_timeout": statement_timeout + MARGIN}
        # Somebody who amends holds a message for a moment, and no longer.
        amending = {**self._settings, "idle_in_transaction_session_timeout": str(milliseconds)}
        # `reset`: asyncpg would ask the server to forget session settings after each use, and there are none.
        pool = {**self._options, "server_settings": amending, "min_size": 0, "reset": _nothing}
        self._readers = asyncpg.create_pool(**pool, max_size=READERS)
        self._writers = asyncpg.create_pool(**pool, max_size=WRITERS)

    async def start(self) -> None:
        """Makes the link ready; the first work connects it."""
        await self._readers
        await self._writers

    async def read(self, work: Work[Result]) -> Result:
        return await self._lasting(self._readers, work)

    async def write(self, work: Work[Result]) -> Result:
        return await self._lasting(self._writers, work)

    @contextlib.asynccontextmanager
    async def moment(self) -> AsyncIterator[Way]:
        """A way on which everything is seen as it stands at one moment."""
        connection = None
        try:
            connection = await asyncpg.connect(**self._options, server_settings=self._settings)
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
            await connection.execute("SELECT")  # a transaction's moment is that of its first statement
        except _ERRORS as error:
            if connection is not None:
                connection.terminate()
            raise self.explained(error) from error
        try:
            yield Moment(self, connection)
        finally:
            await _farewell(connection)

    async def close(self) -> None:
        await asyncio.sleep(0)  # whoever waits for another's turn is under way a moment later
        while self._under_way:
            self._idle = asyncio.Event()
            await self._idle.wait()
            await asyncio.sleep(0)
        self._closed = True
        for pool in (self._readers, self._writers):
            try:
                async with asyncio.timeout(CONNECTING):
                    await pool.close()
            except _ERRORS:
                pool.terminate()

    def explained(self, error: BaseException) -> StorageError:
        """The error as a sentence, of the database's own message only its first line: details hold people's words."""
        why = _message(error)
        if _is_passing(error):
            return Unavailable(
                f"{self.place} cannot be used right now ({why}): check that it runs, takes writes and can be reached. "
                "The store goes on by itself then, and nothing acknowledged is lost."
            )
        code = getattr(error, "sqlstate", None) or ""
        if code == "57014":
            return Unavailable(
                f"{self.place} was stopped after working for {self._statement_timeout:g} seconds on one request: it is "
                "overloaded, or something holds a lock on its tables. Nothing acknowledged is lost; try again."
            )
        remedy = _REMEDIES.get(code) or _REMEDIES.get(code[:2])
        if remedy or isinstance(error, OSError | asyncpg.ClientConfigurationError):
            remedy = remedy or "check the storage URL, and the certificates it names"
            return Unavailable(f"{self.place} cannot be used ({why}): {remedy}.")
        return StorageError(f"{self.place} refused what was asked of it: {why}.")

    async def _lasting(self, pool: Any, work: Work[Result]) -> Result:
        if self._closed:
            raise Unavailable(f"The way to {self.place} is closed: open the store again.")
        self._under_way += 1
        try:
            return await self._patiently(pool, work)
        finally:
            self._under_way -= 1
            if self._idle is not None and not self._under_way:
                self._idle.set()

    async def _patiently(self, pool: Any, work: Work[Result]) -> Result:
        pauses = iter(PAUSES)
        while True:
            try:
                async with pool.acquire() as connection:
                    result = await _done(work, connection)
            except _ERRORS as error:
                if not _is_passing(error) or self._is_lost():
                    raise self.explained(error) from error
                await asyncio.sleep(next(pauses, PAUSES[-1]))
            else:
                self._away_since = None
                return result

    def _is_lost(self) -> bool:
        """Whether the server has been away for so long that callers should hear of it."""
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        return now - self._away_since >= self._patience


class Moment:
    """One connection that is held to one moment, used by one caller at a time."""

    def __init__(self, link: Link, connection: Any) -> None:
        self._link = link
        self._connection = connection
        self._turn = asyncio.Lock()

    async def read(self, work: Work[Result]) -> Result:
        async with self._turn:
            try:
                return await work(self._connection)
            except _ERRORS as error:
                raise self._link.explained(error) from error

    async def write(self, work: Work[Result]) -> Result:
        raise StorageError("This store shows one moment and takes no changes: write to the store it came from.")

    async def close(self) -> None:
        """Nothing: the connection belongs to whoever asked for the moment."""


async def _done(work: Work[Result], connection: Any) -> Result:
    try:
        return await work(connection)
    except _ERRORS as error:
        if _is_passing(error):
            connection.terminate()  # whatever state asyncpg thinks it is in
        raise


async def _nothing(connection: Any) -> None:
    return None


async def _farewell(connection: Any) -> None:
    try:
        await connection.close(timeout=CONNECTING)
    except _ERRORS:
        connection.terminate()


_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises; a timeout is an OSError."""
_PASSING = {
    "57P01",  # told to stop
    "57P02",  # a crash elsewhere
    "57P03",  # starting up
    "57P05",  # idle for too long
    "25P03",  # idle in a transaction for too long
    "25006",  # a standby that may soon be the primary
    "53300",  # too many connections
    "40001",
    "40P01",  # deadlock
}
_POOLER = "let the pooler in between follow prepared statements (PgBouncer: max_prepared_statements = 200)"
_REMEDIES = {
    "28": "check the user and the password in the storage URL, and what the server lets in",
    "3D000": "create the database, or mend its name in the storage URL",
    "3F000": "its tables were dropped; restore the latest backup",
    "42P01": "its tables were dropped; restore the latest backup",
    "26": _POOLER,
    "42P05": _POOLER,
    "42501": "grant the user CREATE on the database, and everything on the bot's own schema",
    "53": "give the server more room; the store goes on by itself then, and nothing acknowledged is lost",
    "58": "check that the server's disk is healthy",
    "XX": "check that the server's disk is healthy, or restore the latest backup",
}
"""What to do about trouble with the server, by SQLSTATE or its class; anything else is wrong with what was asked."""


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, asyncpg.InvalidCachedStatementError):  # another program upgraded the schema
        return True
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in _PASSING or str(error.sqlstate).startswith("08")
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # those are about what was given, the others about the connection
    if isinstance(error, asyncpg.InternalClientError):  # what asyncpg may stumble over when a connection breaks
        return True
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


def _message(error: BaseException) -> str:
    said = str(getattr(error, "message", "") or error).strip().partition("\n")[0]
    return said.rstrip(".") or type(error).__name__


def _place(url: str) -> str:
    """What an error may call the database: never with user or password. Raises `Unavailable` for no usable URL."""
    try:
        parts = urlsplit(url)
        host, port, name = parts.hostname, parts.port, parts.path.strip("/")
    except ValueError:
        parts, host, port, name = urlsplit(""), None, None, ""
    # An `@` behind the host means that the password was cut in two, and its end is taken for a name.
    if parts.scheme not in ("postgresql", "postgres") or "@" in parts.path + parts.query + parts.fragment:
        raise Unavailable(
            "The storage URL cannot be read: it must look like postgresql://user:password@host:5432/database, with "
            "the special characters of user and password percent-encoded (`@` as %40, `/` as %2F, `#` as %23)."
        ) from None
    at = f" at {host}:{port}" if host and port else f" at {host}" if host else ""
    return f"The PostgreSQL database {name}{at}" if name else f"PostgreSQL{at}"
