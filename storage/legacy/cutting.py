"""A channel's messages cut into sessions where the people were silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from ..model import Channel, Message, Sender, Session, session_id
from . import Spot, Taken
from .reading import chance

PARTICIPANTS = 50
"""The most who are listed as taking part in a session: the latest."""


def cut(channel: Channel, lines: Iterable[Taken], gap: timedelta | None, program: str) -> Iterator[Taken]:
    """The sessions of a channel, each before its messages and again, complete, behind them. `lines` are messages in the
    order of time, whose `session_id` is not known yet. Only people's messages move the clock, as in `bots/sessions.py`:
    one that comes more than `gap` after the last of them begins a new session. `program` goes into the metadata."""
    now: _Growing | None = None
    before: str | None = None
    for line in lines:
        message = _message(line)
        spoke = message.role == "user" and message.sender.type != "bot"
        if now is None or (spoke and gap is not None and message.at - now.last_at > gap):
            if now is not None:
                yield Taken(now.whole(), now.spot)
                before = now.id
            now = _Growing(channel, message.at, before, program, line.spot)
            yield Taken(now.so_far(), line.spot)
        now.hear(message, spoke, line.spot)
        yield Taken(message.model_copy(update={"session_id": now.id}), line.spot, line.files)
    if now is not None:
        yield Taken(now.whole(), now.spot)


def _message(line: Taken) -> Message:
    if not isinstance(line.item, Message):
        raise TypeError("Only messages are cut into sessions.")
    return line.item


class _Growing:
    def __init__(self, channel: Channel, at: datetime, follows: str | None, program: str, spot: Spot) -> None:
        luck = chance(program, channel.key, at.isoformat())
        # Twice the usual tail: among years of talk many sessions begin within the same second of other channels.
        self.id = session_id(at, luck) + session_id(at, luck >> 20)[-4:]
        self.last_at, self.spot = at, spot
        self._channel, self._opened_at, self._ended_at = channel, at, at
        self._follows = follows
        self._people: dict[str, Sender] = {}
        self._metadata = {"from": program}

    def hear(self, message: Message, spoke: bool, spot: Spot) -> None:
        self.spot = spot
        self._ended_at = max(self._ended_at, message.at)
        if spoke:
            self.last_at = message.at
            self._people.pop(message.sender.id, None)
            self._people[message.sender.id] = message.sender
            if len(self._people) > PARTICIPANTS:
                del self._people[next(iter(self._people))]

    def so_far(self) -> Session:
        return Session(
            id=self.id,
            channel=self._channel,
            participants=tuple(self._people.values()),
            opened_at=self._opened_at,
            last_at=self.last_at,
            follows=self._follows,
            metadata=self._metadata,
        )

    def whole(self) -> Session:
        return self.so_far().model_copy(update={"closed_at": self._ended_at})
