"""Pages of the bot's own that stand in a channel and that no answer in storage knows of: what a crash left behind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import discord
import structlog

from storage.model import Message, Note, Receipt, Sender, Text

from ..afterwards import answering
from .faces import NOBODY, inside
from .text import LIMIT, pages
from .translate import origin

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

_CUT = "\n\n-# I was interrupted here."
_BUTTON = re.compile(r"t:(?P<act>[a-z]+):(?P<id>[0-9a-z]{1,40})(?::(?P<asker>\d{1,20}))?")


class Begun:
    """The unknown pages of one channel, by the message they seem to answer. It is told of everything that stands
    there, oldest first; `open` are the messages whose answers are awaited."""

    def __init__(self, front: Front, channel: Any, open: Collection[int]) -> None:
        self._front = front
        self._channel = channel
        self._open = open
        self._pages: dict[int, list[discord.Message]] = {}
        self._asked_by: dict[int, int] = {}
        """The last open question of each person."""
        self._asked: int | None = None
        self._guessed: set[int] = set()
        """Pages that nothing says the question of."""
        self._under: int | None = None
        """What the page before answers, while more pages of its answer may follow."""
        self._standing: dict[str, list[discord.Message]] = {}
        """The pages of answers that reached nobody as far as storage knows, by their ids."""
        self._stale: list[discord.Message] = []
        """Pages of answers that storage has with other pages, or has no more."""

    def heard(self, message_id: int, author_id: int) -> None:
        """Takes in a line."""
        if message_id in self._open:
            self._asked = self._asked_by[author_id] = message_id

    def known(self) -> None:
        """Takes in a page of an answer that is in storage."""
        self._under = None

    def page(self, page: discord.Message) -> None:
        """Takes in a page that nobody knows of. A persona's replies to nothing, and of an account's only the first
        does: such a page belongs to the one before it, to whoever may stop it, or to the last open question. Where
        none is open, a persona's page is what was begun of another answer than the one given: it stands for itself."""
        button = _button(page)
        asker = button["asker"] if button else None
        if page.reference is not None and page.reference.message_id is not None:
            question: int | None = page.reference.message_id
        elif self._under is not None:
            question = self._under
        else:
            question = self._asked_by.get(int(asker), self._asked) if asker else self._asked
            if asker is None:
                self._guessed.add(page.id)
        if question is None and page.webhook_id is not None:
            question = page.id
        if question is not None:
            self._pages.setdefault(question, []).append(page)
        self._under = None if button and button["act"] != "stop" else question

    async def sort(self, debts: Sequence[tuple[Message, Collection[int]]]) -> None:
        """Takes out the pages of answers that are in storage, whichever question they seemed to stand below: those of
        answers without receipts (`debts`, with their questions) are what `standing` finds; others are nobody's. Whole
        answers of which nothing says whose they are go to those who wait, one after the other, as they were asked.
        Raises `StorageError`."""
        answers = [answer for answer, _ in debts]
        for answer in answers:
            if found := self._showing(answer):
                self._standing[answer.id] = found
                self._take(found)
        for run in [run for found in self._pages.values() for run in _runs(found)]:
            id = _finished(run)
            kept = await self._front.bot.store.message(id) if id is not None else None
            if id is None or kept is None:
                continue
            self._take(run)
            if any(answer.id == id for answer in answers):
                self._standing.setdefault(id, run)
            else:
                known = {receipt.origin for receipt in kept.receipts}
                self._stale += [page for page in run if origin(self._channel.id, page.id) not in known]
        wait = sorted(set(self._open).difference(*(numbers for _, numbers in debts)))
        for question, found in list(self._pages.items()):
            for run in [run for run in _runs(found) if _finished(run) and run[0].id in self._guessed]:
                self._take(run)
                free = (each for each in wait if each < run[0].id and (each == question or each not in self._pages))
                self._pages.setdefault(next(free, question), []).extend(run)

    def standing(self, answer: Message) -> tuple[Receipt, ...]:
        """The receipts of an answer whose pages all stand there; nothing otherwise."""
        return self._receipts(self._standing.pop(answer.id, ()))

    def whole(self, question: int, lines: Sequence[Message]) -> Message | None:
        """The answer that stands there to its end and was not kept, as it is to be kept: to the first of a person's
        lines, and to those that were said before it ended. None when there is none."""
        found = self._pages.get(question, [])
        id = _finished(found)
        if id is None:
            return None
        ended = found[-1].edited_at or found[-1].created_at
        del self._pages[question]
        shown = [page.content for page in found]
        return self._answer(id, found, shown, [line for line in lines if line.at <= ended] or lines[:1])

    async def clear(self, questions: Iterable[int]) -> None:
        """Removes what was begun of an answer that is now given whole."""
        for question in self._of(questions):
            await self._remove(self._pages.pop(question))

    async def cut(self, question: int, line: Message) -> Message | None:
        """Leaves what was begun of an answer, marked as cut; returns it as it is to be kept, so that it can be given
        anew. None when nothing was begun."""
        found = self._pages.pop(question, None)
        if found is None:
            return None
        last = found[-1]
        # What the mark leaves no room for goes from the page and from what is kept alike.
        fitting = pages(last.content, LIMIT - len(_CUT))
        left = fitting[0].shown if len(fitting) > 1 else last.content
        shown = [*(page.content for page in found[:-1]), left]
        answer = self._answer(self._front.bot.new_id(), found, shown, [line])
        answer = answer.model_copy(update={"parts": (*answer.parts, Note(text=_CUT)), "outcome": "cut"})
        text, row = left + _CUT, self._front.talks.row(answer)
        try:
            if last.webhook_id is None:
                await last.edit(content=text, view=row, allowed_mentions=NOBODY)
            else:
                hook = await self._front.faces.webhook(self._channel)
                where = inside(self._channel)
                await hook.edit_message(last.id, content=text, view=row, allowed_mentions=NOBODY, **where)
        except discord.HTTPException as error:  # the webhook is gone, say: it stays as it was
            log.warning("discord.page_unmarked", channel=self._channel.id, error=str(error))
        return answer

    async def sweep(self, under_way: Collection[int]) -> None:
        """Removes what was begun for nobody: the question is gone, or has an answer already and half of another."""
        for question, found in list(self._pages.items()):
            unwanted = question in self._open and question not in under_way
            if unwanted or await self._half(found) or await self._second(question, found):
                await self._remove(self._pages.pop(question))
        await self._remove(self._stale)

    async def _half(self, found: Sequence[discord.Message]) -> bool:
        """Whether these pages break off and nobody goes on with them: a stop button comes after a while, and others
        when the answer is whole."""
        button = next(filter(None, map(_button, reversed(found))), None)
        if button is not None:
            return button["act"] == "stop" and not self._front.bot.at_work(button["id"])
        if not self._front.bot.settings.discord.buttons or self._front.talks.busy(self._channel.id):
            return False
        return await self._front.bot.store.find(origin(self._channel.id, found[0].id)) is None

    async def _second(self, question: int, found: Sequence[discord.Message]) -> bool:
        """Whether these pages are an answer that was given anew and never kept: the one before is the answer still."""
        if _finished(found) is None or self._front.talks.busy(self._channel.id):
            return False
        line = await self._front.bot.store.find(origin(self._channel.id, question))
        return line is not None and await self._front.bot.afterwards.answer_to(line) is not None

    def _of(self, questions: Iterable[int]) -> Iterator[int]:
        return (question for question in tuple(questions) if question in self._pages)

    def _showing(self, answer: Message) -> list[discord.Message]:
        """The pages that show all of an answer, with its persona's name before it or not; none of another answer's."""
        face = self._front.faces.face(answer.persona)
        there = sorted((page for found in self._pages.values() for page in found), key=lambda page: page.id)
        for name in ("", face.bold) if face else ("",):
            rest = iter(there)
            wanted = [page.shown for page in pages(name + answer.text)]
            found = [next((page for page in rest if page.content == text), None) for text in wanted]
            whole = [page for page in found if page is not None]
            if len(whole) == len(wanted) and _finished(whole) in (None, answer.id):
                return whole
        return []

    def _take(self, found: Sequence[discord.Message]) -> None:
        """Pages are nobody's question's any more."""
        taken = {page.id for page in found}
        left = {at: [page for page in each if page.id not in taken] for at, each in self._pages.items()}
        self._pages = {at: each for at, each in left.items() if each}

    def _answer(
        self, id: str, found: Sequence[discord.Message], contents: Sequence[str], lines: Sequence[Message]
    ) -> Message:
        settings, shown = self._front.bot.settings, "\n".join(contents)
        persona = settings.personas[0]
        for each in settings.personas:
            bold = f"**{each.display}**\n"
            if shown.startswith(bold) or (found[0].webhook_id and found[0].author.name == each.display):
                shown, persona = shown.removeprefix(bold), each
        return Message(
            id=id,
            session_id=lines[-1].session_id,
            role="assistant",
            sender=Sender(type="persona", id=settings.name, name=persona.display),
            persona=persona.name,
            parts=(Text(text=shown),),
            at=found[0].created_at,
            reply_to=lines[-1].id,
            metadata=answering(lines),
            receipts=self._receipts(found),
        )

    def _receipts(self, found: Sequence[discord.Message]) -> tuple[Receipt, ...]:
        origins = (origin(self._channel.id, page.id) for page in found)
        return tuple(Receipt(origin=where, page=number) for number, where in enumerate(origins))

    async def _remove(self, found: Sequence[discord.Message]) -> None:
        for masked in (False, True):
            ids = [page.id for page in found if (page.webhook_id is not None) is masked]
            if ids:
                await self._front.faces.take_away(self._channel, ids, masked=masked)


def _button(page: discord.Message) -> re.Match[str] | None:
    """What the first button below a page says of its answer."""
    for row in page.components:
        for item in getattr(row, "children", ()):
            found = _BUTTON.fullmatch(getattr(item, "custom_id", None) or "")
            if found:
                return found
    return None


def _runs(found: Sequence[discord.Message]) -> Iterator[list[discord.Message]]:
    """The pages below one question, each answer's by itself."""
    run: list[discord.Message] = []
    for page in found:
        run.append(page)
        if _finished(run) is not None:
            yield run
            run = []
    if run:
        yield run


def _finished(found: Sequence[discord.Message]) -> str | None:
    """The id of the answer that these pages show to its end: the last one carries what is offered below a whole
    answer."""
    button = _button(found[-1]) if found else None
    return button["id"] if button and button["act"] != "stop" else None
