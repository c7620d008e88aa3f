"""What people may write about a bot's storage: where it is kept, its backups, and what may go."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from .schedules import Schedule
from .values import Address, Gap, Secret, Section, SizeOrOff, Span, SpanOrOff

Type = Literal["sqlite", "file", "postgres"]


class TierSettings(Section):
    """How many backups stay: the newest of each of so many days, weeks and months."""

    daily: Annotated[int, Field(ge=1, le=366)] = 7
    """Days of which the newest backup stays."""
    weekly: Annotated[int, Field(ge=0, le=520)] = 4
    """Weeks of which the newest backup stays."""
    monthly: Annotated[int, Field(ge=0, le=120)] = 6
    """Months of which the newest backup stays."""


class BackupSettings(Section):
    """When a bot backs itself up, and where to. Every backup is proven by a restore into a scratch folder."""

    enabled: bool = True
    """False makes none by itself; `troupe backup` still does."""
    schedule: Schedule = "0 4 * * *"
    """A cron line (minute, hour, day, month, weekday, in UTC) or a span such as `every 6h`."""
    jitter: Span = 600
    """A random delay of up to this long, so that not every bot starts at once."""
    to: Address = None
    """A folder (relative to the project's), or `s3://bucket/prefix`; left out: backups/ in the bot's root.
    Credentials and endpoint of S3 come from the usual AWS_… variables."""
    keep: TierSettings = TierSettings()
    """How many stay."""
    alarm_after: Span = 129_600
    """The age of the newest proven backup at which `troupe status` raises the alarm."""


class LimitSettings(Section):
    """How much of the talk in one kind of place is kept. The oldest sessions go first, each as a whole; those that
    are open or starred, or hold a pinned message, never go."""

    age: SpanOrOff = None
    """Sessions in which nobody has spoken for this long go."""
    messages: Annotated[int, Field(ge=1)] | None = None
    """The most messages that stay in one channel."""
    size: SizeOrOff = None
    """The most bytes of words that stay in one channel."""


class RetentionSettings(Section):
    """What may go, and when. With nothing set, talk is kept for ever; only what people have deleted goes."""

    schedule: Schedule = "30 4 * * *"
    """When it goes: a cron line in UTC or a span such as `every 12h`."""
    jitter: Span = 600
    """A random delay of up to this long."""
    action: Literal["archive", "delete"] = "archive"
    """Whether sessions are first put into a zip in archives/ of the bot's root."""
    deleted: SpanOrOff = 2_592_000
    """What people have deleted goes for good after this long; it is never archived."""
    channel: LimitSettings = LimitSettings()
    """Guild channels."""
    thread: LimitSettings = LimitSettings()
    """Threads."""
    dm: LimitSettings = LimitSettings()
    """Private conversations."""
    web: LimitSettings = LimitSettings()
    """Rooms in the browser."""
    terminal: LimitSettings = LimitSettings()
    """Terminals."""
    left_guild: SpanOrOff = 2_592_000
    """What was said in a guild goes for good this long after the bot left it, unless it comes back."""
    attachments: SpanOrOff = 604_800
    """Stored files that no message refers to go after this long."""
    memories: SpanOrOff = None
    """Memories older than this go."""
    runs: SpanOrOff = None
    """The state of panels and workflows older than this goes."""
    audit: SpanOrOff = None
    """Audit entries older than this go."""


class StorageSettings(Section):
    """Where and how a bot keeps what is said."""

    enabled: bool = True
    """False keeps everything in memory only: gone when the bot stops."""
    type: Type = "sqlite"
    """What keeps it: one SQLite file, folders of files that people can read, or a PostgreSQL server."""
    url: Secret | None = None
    """The server's address, for postgres: `postgresql://user:password@host/database`."""
    path: Annotated[str, Field(pattern=r"^[^\x00]+$")] = "./data/{bot_name}"
    """The bot's own root; `{bot_name}` is replaced by its name."""
    max_history: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many messages of a session a prompt may hold."""
    session_timeout: Annotated[float, Field(gt=0)] = 3600
    """Seconds after which a session nobody came back to is closed."""
    session_gap: Gap = 300
    """Seconds of silence between people that start a new session in a channel."""
    attachments: Address = None
    """Where files from messages are kept: a folder, or `s3://bucket/prefix`; left out: attachments/ in the root."""
    backup: BackupSettings = BackupSettings()
    """When it is backed up, and where to."""
    retention: RetentionSettings = RetentionSettings()
    """What may go, and when."""

    _written: Type | None = PrivateAttr(None)

    @property
    def address(self) -> str:
        """The database's, or nothing."""
        return self.url.value if self.url else ""

    @property
    def written(self) -> Type:
        """The type that people have written, which is another than `type` where the talk has been moved since."""
        return self._written or self.type

    def living(self, type: Type, url: Secret | None) -> StorageSettings:
        """The same, with the talk somewhere else than it is written."""
        there = self.model_copy(update={"type": type, "url": url})
        there._written = self.written
        return there

    @model_validator(mode="after")
    def _in_reach(self) -> StorageSettings:
        for name, place in (("attachments", self.attachments), ("backup.to", self.backup.to)):
            if place and place.startswith("s3:") and not re.match(r"s3://[^/]", place):
                raise ValueError(f"found {name} {place!r}; allowed: a folder, or s3://bucket/prefix")
        if self.type == "postgres" and self.url and not re.match(r"postgres(ql)?://", self.address):
            raise ValueError(
                f"{self.url} holds no address of a PostgreSQL server: postgresql://user:password@host/name"
            )
        return self

    @model_validator(mode="after")
    def _addressed(self) -> StorageSettings:
        if self.type == "postgres" and self.enabled and not self.url:
            raise ValueError(
                "type postgres needs the server's address: set the variable that url names, such as "
                "TROUPE_DATABASE_URL=postgresql://user:password@host/database"
            )
        return self
