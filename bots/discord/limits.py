"""Discord's limits as its own headers tell them, and one count of refused requests for every bot of a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import structlog

from ..errors import Fatal

log = structlog.get_logger()

_MESSAGES = re.compile(r"/(?:channels/(\d+)/messages|webhooks/(\d+)/[^/]+(?:/messages(?=/))?)(/\d+)?$")


class Pace:
    """How soon a channel, or a webhook, takes another message or edit, from the headers of what it took before."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._free_at: dict[tuple[int, bool], float] = {}

    def note(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Takes in the rate-limit headers of one answer."""
        found = _MESSAGES.search(path)
        if found is None or method not in ("POST", "PATCH"):
            return
        key = (int(found[1] or found[2]), found[3] is not None)
        try:
            spare, reset = int(headers["X-RateLimit-Remaining"]), float(headers["X-RateLimit-Reset-After"])
        except (KeyError, ValueError):
            return
        if spare <= 1:
            self._free_at[key] = self._ticks() + reset
        else:
            self._free_at.pop(key, None)

    def wait(self, place_id: int) -> float:
        """Seconds to hold back a passing edit in a channel or through a webhook, so that one call is always left for
        the final one."""
        now = self._ticks()
        return max(0.0, *(self._free_at.get((place_id, edit), now) - now for edit in (False, True)))


def host_file() -> Path:
    """Where all bots of this user on this host count refusals together, wherever each keeps its data."""
    folder = Path(tempfile.gettempdir()) / f"troupe-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Fatal(
            f"{folder} does not belong to this user alone, so that this bot cannot count there how often Discord "
            "refused this host. Remove it, or give it to this user with mode 0700."
        )
    return folder / "discord-refusals"


class Refusals:
    """The count of 401, 403 and 429 answers in the last ten minutes, shared by every bot with the same file, in
    earnest that of `host_file`: at 10,000 Discord bans the host's address for a while, whichever bot caused them
    (https://discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans).

    A small file of 60 ten-second buckets under an exclusive lock; it is touched only when a request is refused."""

    LIMIT = 8_000
    _SLOT = struct.Struct("<QI")
    _SLOTS = 60
    _SECONDS = 10

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self.count = 0
        """As of the last look."""

    def add(self) -> int:
        """Counts one refusal and returns the count of the last ten minutes."""
        return self._look(1)

    @property
    def exhausted(self) -> bool:
        """Whether the host must keep quiet for now. Looks at the file only when the last look was alarming."""
        return self.count >= self.LIMIT and self._look(0) >= self.LIMIT

    def _look(self, more: int) -> int:
        try:
            self.count = self._counted(more)
        except OSError as error:  # a full disk must not fail the request; this process then counts for itself
            log.warning("discord.refusals_unkept", error=str(error))
            self.count += more
        return self.count

    def _counted(self, more: int) -> int:
        now = int(self._clock()) // self._SECONDS
        self._path.parent.mkdir(mode=0o700, exist_ok=True)  # folders for passing files are swept now and then
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            raw = os.pread(handle, self._SLOT.size * self._SLOTS, 0).ljust(self._SLOT.size * self._SLOTS, b"\0")
            slots = list(self._SLOT.iter_unpack(raw))
            when, counted = slots[now % self._SLOTS]
            slots[now % self._SLOTS] = (now, (counted if when == now else 0) + more)
            if more:
                os.pwrite(handle, b"".join(self._SLOT.pack(*slot) for slot in slots), 0)
        finally:
            os.close(handle)
        return sum(counted for when, counted in slots if now - self._SLOTS < when <= now)


class Identifies:
    """When this account has identified at the gateway, kept in its root so that no restart forgets it: at 1,000 in
    24 hours Discord resets the token, and two of them are at least five seconds apart
    (https://discord.com/developers/docs/events/gateway#session-start-limit-object)."""

    LIMIT = 900
    _DAY = 86_400.0
    _APART = 5.0

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock

    def book(self) -> float:
        """Seconds to wait before the identify that is hereby booked. Raises `Fatal` when the day's are used up."""
        now = self._clock()
        today = [at for at in self._known() if now - self._DAY < at <= now + self._APART]
        if len(today) >= self.LIMIT:
            raise Fatal(
                f"This bot has connected {len(today)} times within 24 hours, and Discord resets the token of an "
                "account that does so 1,000 times. Find out why the connection keeps ending, wait, and start it again."
            )
        at = max(now, today[-1] + self._APART) if today else now
        with contextlib.suppress(OSError):  # a full disk may forget one, and must not keep the bot away
            draft = self._path.with_suffix(".new")
            draft.write_text("\n".join(f"{each:.3f}" for each in [*today, at]))
            draft.replace(self._path)
        return at - now

    def _known(self) -> list[float]:
        try:
            return [float(at) for at in self._path.read_text().split()]
        except (OSError, ValueError):  # none yet, or damaged: the day's count begins anew
            return []


def trace(pace: Pace, refusals: Refusals, told: Callable[[int], None]) -> aiohttp.TraceConfig:
    """Listens in on discord.py's requests for both; `told` hears the count whenever it grows."""

    async def ended(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        pace.note(end.method, end.url.path, end.response.headers)
        shared = end.response.headers.get("X-RateLimit-Scope") == "shared"
        if end.response.status in (401, 403) or (end.response.status == 429 and not shared):
            told(refusals.add())

    config = aiohttp.TraceConfig()
    config.on_request_end.append(ended)
    return config
