"""Whose each line of a shared conversation is: an answer its bot's, a person's line its that answered it."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Collection

_LATELY = 10_000
"""How many lines back an answer may name what it answers."""
_MINE, _ANSWERED, _NEXT, _NOBODY = 1, 2, 4, 8


class Owners:
    """Told the lines of a conversation in their order, it knows which of them are one bot's.

    A person's line is the bot's if the bot says that it answered it. Where no bot says so it is every bot's that
    answers next, before a person speaks again; behind the last answer it is theirs that gave that one; and where
    nobody ever answers, theirs that take part. An answer that names no bot is nobody's."""

    def __init__(self, bot: str) -> None:
        self._bot = bot.casefold()
        self._marks = bytearray()
        self._asked: OrderedDict[str, list[int]] = OrderedDict()
        self._waiting: dict[str, array[int]] = {}
        """By conversation the lines that no answer is behind, or only answers are."""
        self._answering: dict[str, set[str]] = {}
        """By conversation the bots that have answered since a person spoke."""
        self._last: dict[str, str] = {}
        """By conversation the bot that answered last."""
        self.names: set[str] = set()
        """Every bot that answers, as it is called."""

    def heard(self, conversation: str, message_id: str) -> None:
        """A line that is no answer; the id is what answers to it name, and may be empty."""
        if self._answering.get(conversation):
            self._close(conversation)
        if message_id:
            self._asked.setdefault(message_id, []).append(len(self._marks))
            if len(self._asked) > _LATELY:
                self._asked.popitem(last=False)
        self._waiting.setdefault(conversation, array("L")).append(len(self._marks))
        self._marks.append(0)

    def answered(self, conversation: str, name: str, message_id: str) -> None:
        """An answer of a bot, and the id of what it answers, which may be empty."""
        mine = name.casefold() == self._bot
        self._marks.append(_MINE if mine else 0 if name else _NOBODY)
        if not name:
            return
        self.names.add(name)
        for number in self._asked.get(message_id, ()) if message_id else ():
            self._marks[number] |= _ANSWERED | (_MINE if mine else 0)
        self._last[conversation] = name.casefold()
        self._answering.setdefault(conversation, set()).add(name.casefold())

    def skipped(self) -> None:
        """A line that could not be read."""
        self._marks.append(0)

    def end(self, participants: Collection[str]) -> None:
        """Everything was told."""
        there = {name.casefold() for name in participants}
        for conversation, numbers in self._waiting.items():
            last = self._answering.get(conversation) or {*filter(None, [self._last.get(conversation)])} or there
            mark = _NEXT if self._bot in last else 0 if last else _NOBODY
            for number in numbers:
                self._marks[number] |= mark

    def mine(self, number: int) -> bool | None:
        """Whether a line is the bot's; None where nobody can tell whose it is. One that was not told is nobody's."""
        if number >= len(self._marks):
            return False
        mark = self._marks[number]
        if mark & _NOBODY and not mark & _ANSWERED:
            return None
        return bool(mark & _MINE or (mark & _NEXT and not mark & _ANSWERED))

    def _close(self, conversation: str) -> None:
        if self._bot in self._answering[conversation]:
            for number in self._waiting.get(conversation, ()):
                self._marks[number] |= _NEXT
        self._waiting[conversation] = array("L")
        del self._answering[conversation]
