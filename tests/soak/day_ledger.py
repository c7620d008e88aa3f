"""What happened on a simulated day, as everybody on Discord saw it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.wire.discord_accounts import Account
from tests.wire.discord_interactions import Interaction
from tests.wire.discord_model import LOADING, Channel, Message

if TYPE_CHECKING:
    from .day_people import Town

_BEFORE, _AFTER = 15.0, 10.0
"""Seconds around a fault in which a command may fail: its asker sees that, and asks again."""


@dataclass(eq=False)
class Ledger:
    """Written by whoever moves, read by the check in the end."""

    town: Town
    up: bool = False
    """Whether the bot is there."""
    pages: dict[int, Message] = field(default_factory=dict)
    """Everything that the bot has posted for all to see."""
    interactions: list[tuple[Interaction, str]] = field(default_factory=list)
    moderated: set[int] = field(default_factory=set)
    """Messages of the bot that people have deleted."""
    stops: set[int] = field(default_factory=set)
    """Places in which somebody has said stop."""
    reactions: list[tuple[float, Message, str, Account]] = field(default_factory=list)
    storms: int = 0
    """Refusals that were ordered."""
    _faults: list[tuple[float, float]] = field(default_factory=list)

    def seen(self, message: Message) -> None:
        """Takes down what the bot posts."""
        bot = self.town.bot
        if bot in (message.author, message.application) and message.private_to is None:
            self.pages[message.id] = message
            if not message.flags & LOADING:
                self.town.latest[message.channel.id] = message

    def react(self, message: Message, emoji: str, who: Account) -> None:
        """Somebody has put an emoji on a message."""
        self.reactions.append((time.monotonic(), message, emoji, who))

    def fault(self) -> None:
        """Something breaks now."""
        now = time.monotonic()
        self._faults.append((now, now))

    def back(self) -> None:
        """The bot is there, for the first time or again."""
        self.up = True
        if self._faults:
            self._faults[-1] = (self._faults[-1][0], time.monotonic())

    def near_a_fault(self, at: float) -> bool:
        """Whether something broke around a moment, on the monotonic clock."""
        return any(start - _BEFORE < at < end + _AFTER for start, end in self._faults)

    def around(self, channel: Channel, number: int) -> str:
        """The lines of a place before and after a message, deleted ones too."""
        said = [one.message for one in self.town.said if one.message.channel is channel]
        posted = [page for page in self.pages.values() if page.channel is channel]
        there = sorted({one.id: one for one in (*said, *posted)}.values(), key=lambda one: one.id)
        at = next((n for n, one in enumerate(there) if one.id >= number), len(there))
        return "\n".join(f"    {_shown(one, one.id == number)}" for one in there[max(0, at - 4) : at + 5])


def _shown(message: Message, marked: bool) -> str:
    facts = ["deleted"] if message.deleted else []
    facts += [f"{len(message.edits)} edits"] if message.edits else []
    facts += [f"replies to {message.reference_id}"] if message.reference_id else []
    what = f"{message.content[:90]!r}{f' ({chr(44).join(facts)})' if facts else ''}"
    return f"{'>' if marked else ' '} {message.id} {message.sent_at:%H:%M:%S.%f} {message.author.name}: {what}"
