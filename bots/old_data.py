"""Talk that the multi-bot program left beside a bot: it is told of at start-up, and read when somebody speaks again."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import structlog

from storage.backend import ManyWriters, Store
from storage.legacy import Refused, Taken, Terms, multi_bot_json
from storage.legacy.multi_bot_files import FOLDER, candidates
from storage.legacy.source import Source
from storage.model import Channel, Message, Session
from storage.records import Run, Tombstone

from .settings import BotSettings

log = structlog.get_logger()

_FILE = re.compile(r"(?:channel_)?(\d+)_(?:user_)?\d+\.json")
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
                return (
                    f"{path} holds talk of {self._bot} from before, which its storage does not have: take it in with "
                    f"`troupe migrate {path} --to {self._bot}`. Until then the talk of a channel is read when somebody "
                    "speaks there for the first time."
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
            found = await asyncio.to_thread(self._talk, channel.id, until)
            kept = await self._keep(found, channel, until)
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

    def _talk(self, channel_id: str, until: float) -> list[Session | Message]:
        """What is kept in files of a channel. Raises `TooMuch`."""
        found: list[Session | Message] = []
        with ExitStack() as held:
            scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="troupe-"))
            for path in self._paths():
                named = _FILE.fullmatch(path.name)
                if named and named[1] != channel_id:
                    continue
                source = held.enter_context(Source(path))
                names = candidates(source, self._bot, channel_id)
                if sum(source.size(name) for name, _ in names) > _BYTES:
                    raise TooMuch(f"There is more of it than {_BYTES >> 20} MiB.")
                for each in multi_bot_json.read(source, self._terms(scratch), channel_id):
                    self._hurry(until)
                    if isinstance(each, Taken) and isinstance(each.item, Session | Message):
                        found.append(each.item)
                    elif isinstance(each, Refused):
                        log.warning("old_data.refused", file=each.spot.file, line=each.spot.line, reason=each.reason)
        return found

    def _terms(self, scratch: str) -> Terms:
        gap = None if self._gap is None else timedelta(seconds=self._gap)
        return Terms(bot=self._bot, zone=self._zone, gap=gap, at=self._now(), scratch=Path(scratch))

    async def _keep(self, found: list[Session | Message], channel: Channel, until: float) -> int:
        """Keeps what is not kept yet, and of nobody who asked to be forgotten since; returns how many messages. Raises
        `TooMuch` with some of it kept."""
        lines = [each for each in found if isinstance(each, Message)]
        people = {each.sender.id for each in lines if each.sender.type == "user"}
        graves = {id: grave.at for id in people if (grave := await self._store.record(Tombstone, id)) is not None}
        gone = {each.id for each in lines if each.sender.id in graves and each.at <= graves[each.sender.id]}
        left = [each for each in lines if each.id not in gone and each.reply_to not in gone]
        sessions = {each.id: _in(channel, each, graves) for each in found if isinstance(each, Session)}
        kept = 0
        at_once = 1 if isinstance(self._store, ManyWriters) else _AT_ONCE
        for start in range(0, len(left), at_once):
            self._hurry(until)
            some = left[start : start + at_once]
            kept += sum(await asyncio.gather(*(self._store.append(sessions[each.session_id], each) for each in some)))
        return kept

    def _hurry(self, until: float) -> None:
        if self._ticks() > until:
            raise TooMuch(f"It takes more than {_SECONDS:.0f} seconds.")


def _in(channel: Channel, session: Session, forgotten: Collection[str]) -> Session:
    """A session in the channel as it is known now, without people who are forgotten."""
    people = tuple(each for each in session.participants if each.id not in forgotten)
    return session.model_copy(update={"channel": channel, "participants": people})
