"""Talk that the multi-bot program left beside a bot: it is told of at start-up, and read when somebody speaks again."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import structlog

from storage.backend import Store
from storage.durable import in_thread
from storage.legacy import Refused, Taken, Terms, multi_bot_json
from storage.legacy.multi_bot_files import FOLDER, candidates
from storage.legacy.source import Source
from storage.migration import nobody
from storage.migration_page import Names, Writing
from storage.migration_report import Tally
from storage.model import Channel, Message, Session
from storage.naming import Naming
from storage.records import Run

from .settings import BotSettings

log = structlog.get_logger()

_FILE = re.compile(r"(?:channel_)?([0-9]+)_(?:user_)?[0-9]+\.json")
_LOOKED_AT = 50
"""Files of which the first line is looked up at start-up."""
_BYTES, _SECONDS = 16 << 20, 5.0
"""The most that is read for one channel while somebody waits for an answer."""
_AT_ONCE = 200
_TAKEN = "old-data"


class TooMuch(Exception):
    """More than can be read while somebody waits."""


class OldData:
    """The old files of one bot: those of its own folder and shared ones in `multi_bot_conversations/` beside its root,
    and those of the program's first life in the root itself. They are never changed."""

    def __init__(
        self,
        settings: BotSettings,
        store: Store,
        *,
        zone: tzinfo,
        now: Callable[[], datetime],
        ticks: Callable[[], float],
    ) -> None:
        """`zone` is that of the times in the files, `ticks` tells monotonic seconds."""
        self._bot, self._store, self._zone = settings.name, store, zone
        self._gap = settings.storage.session_gap
        self._now, self._ticks = now, ticks
        self._root = settings.root
        self._done: set[str] = set()
        self._there = settings.storage.enabled and any(True for _ in self._paths())

    async def found(self) -> str | None:
        """A warning that names the command, where there is talk of this bot's that the store does not have. Raises
        `StorageError`."""
        if not self._there:
            return None
        for path, first in await asyncio.to_thread(self._first_lines):
            known = await self._store.message(first.id) or (first.origin and await self._store.find(first.origin))
            if not known:
                key = str(self._zone)  # a zone without a name is called "local", and is what that command takes anyway
                zone = "" if key == "local" else f" --timezone {key}"
                return (
                    f"{path} holds talk of {self._bot} from before, which its storage does not have: take it in with "
                    f"`troupe migrate {path} --to {self._bot}{zone}`. Until then the talk of a channel is read when "
                    "somebody speaks there for the first time."
                )
        return None

    async def bring(self, channel: Channel) -> None:
        """Takes in the old talk of a channel in which nobody has spoken since, before its first new line is placed:
        with the ids that `troupe migrate` gives, so that neither adds anything twice. What is too much to read now,
        or cannot be read, is left to that command; nothing is raised."""
        if not self._there or channel.key in self._done or channel.front != "discord":
            return
        self._done.add(channel.key)
        until = self._ticks() + _SECONDS
        try:
            mark = Run(id=f"{_TAKEN} {channel.key}", at=self._now(), type=_TAKEN, state="taken")
            latest = next(iter((await self._store.browse(channel.key, limit=1, deleted=True)).items), None)
            if latest is not None and latest.metadata.get("from") != multi_bot_json.NAME:
                return
            if await self._store.record(Run, mark.id) is not None:
                return
            kept = await self._take(channel, until)
            await self._store.keep(mark)
            if kept:
                log.info("old_data.taken", channel=channel.key, messages=kept)
        except Exception as error:  # whatever is in the files: somebody waits for an answer
            log.warning("old_data.left", channel=channel.key, reason=str(error))

    def _paths(self) -> Iterator[Path]:
        beside = self._root.parent / FOLDER
        if beside.is_dir():
            yield beside
        if self._root.is_dir():
            yield from sorted(path for path in self._root.iterdir() if _FILE.fullmatch(path.name) and path.is_file())

    def _first_lines(self) -> list[tuple[Path, Message]]:
        found: list[tuple[Path, Message]] = []
        with tempfile.TemporaryDirectory(prefix="troupe-") as scratch:
            for path in self._paths():
                with Source(path) as source:
                    most = _LOOKED_AT - len(found)
                    lines = multi_bot_json.first_lines(source, self._terms(scratch), most)
                    found += [(path if path.is_dir() else self._root, line) for line in lines]
        return found

    async def _take(self, channel: Channel, until: float) -> int:
        """Takes it in as `troupe migrate` does; returns how many messages were new. Raises `TooMuch` with some of it
        taken."""
        scratch = await in_thread(tempfile.mkdtemp, "", "troupe-")
        try:
            tally = Tally(Path(scratch))
            writing = Writing(self._store, None, self._terms(scratch), tally, Names(Naming(), nobody), None)
            await writing.begin()
            found = await in_thread(self._talk, channel, until, scratch)
            for start in range(0, len(found), _AT_ONCE):
                self._hurry(until)
                await writing.take(found[start : start + _AT_ONCE])
            await writing.end()
        finally:
            await in_thread(shutil.rmtree, scratch, True)
        for each in tally.items:
            log.warning("old_data.refused", file=each.file, line=each.line, reason=each.reason)
        return tally.of["messages"]["taken"]

    def _talk(self, channel: Channel, until: float, scratch: str) -> list[Taken | Refused]:
        """What stands in the files of a channel, in the channel as it is known now. Raises `TooMuch`."""
        found: list[Taken | Refused] = []
        with ExitStack() as held:
            for path in self._paths():
                named = _FILE.fullmatch(path.name)
                if named and named[1] != channel.id:
                    continue
                source = held.enter_context(Source(path))
                names = candidates(source, self._bot, channel.id)
                if sum(source.size(name) for name, _ in names) > _BYTES:
                    raise TooMuch(f"There is more of it than {_BYTES >> 20} MiB.")
                for each in multi_bot_json.read(source, self._terms(scratch), channel.id):
                    self._hurry(until)
                    if isinstance(each, Refused) and each.again:
                        continue
                    if isinstance(each, Taken) and isinstance(each.item, Session):
                        each = replace(each, item=each.item.model_copy(update={"channel": channel}))
                    found.append(each)
        return found

    def _terms(self, scratch: str) -> Terms:
        gap = None if self._gap is None else timedelta(seconds=self._gap)
        return Terms(bot=self._bot, zone=self._zone, gap=gap, at=self._now(), scratch=Path(scratch))

    def _hurry(self, until: float) -> None:
        if self._ticks() > until:
            raise TooMuch(f"It takes more than {_SECONDS:.0f} seconds.")
