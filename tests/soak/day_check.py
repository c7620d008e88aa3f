"""Whether a bot's store is what Discord shows at the end of a day, and whether everybody got an answer, once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import storage
from storage.backend import OLDEST, Store
from storage.model import Message, Session
from tests.wire import discord_model
from tests.wire.discord_server import DiscordServer

from .day_ledger import Ledger
from .day_people import Said, shown_name

_SHOWN = 40
"""Findings that are told; the rest is counted."""
_MISSED = "I was away and missed"
_LEFT_OUT = re.compile(r"\s+")


async def checked(ledger: Ledger, root: Path, seed: int) -> list[str]:
    """What is wrong, with the seed, the place and the lines around. The bot has stopped."""
    store = await storage.connect("sage", root)
    try:
        check = Check(ledger, await _everything(store), await _sessions(store), seed)
    finally:
        await store.close()
    return check.all()


class Check:
    """One comparison of Discord with what is kept."""

    def __init__(self, ledger: Ledger, kept: list[Message], sessions: dict[str, Session], seed: int) -> None:
        self._ledger = ledger
        self._town = ledger.town
        self._seed = seed
        # Copies that a branch took along were not said there.
        self._kept = [one for one in kept if "copied_from" not in one.metadata]
        self._sessions = sessions
        self._by_origin = {one.origin: one for one in self._kept if one.origin}
        self._answers: dict[str, list[Message]] = defaultdict(list)
        self._taken_back: set[str] = set()
        """Lines with an answer that is there no more."""
        for one in self._kept:
            for line in one.metadata.get("lines", one.reply_to or "").split() if one.role == "assistant" else ():
                if one.deleted_at is None:
                    self._answers[line].append(one)
                else:
                    self._taken_back.add(line)
        self._findings: list[str] = []

    def all(self) -> list[str]:
        """Looks at everything."""
        for said in self._town.said:
            self._line(said)
        self._order()
        for answer in self._kept:
            if answer.role == "assistant" and answer.deleted_at is None:
                self._answer(answer)
        self._posted()
        self._interactions()
        self._reactions()
        self._findings += requests(self._town.server, self._ledger)
        more = len(self._findings) - _SHOWN
        return self._findings[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])

    # -- lines

    def _line(self, said: Said) -> None:
        line, keep, answer = said.message, said.keep, said.answer
        if line.reference is not None and (line.reference.deleted or line.reference.reference is not None):
            keep, answer = ("may", "may") if line.reference.deleted else (keep, answer)
        row = self._by_origin.get(_origin(line))
        if row is None:
            if keep == "must" and not line.deleted and not self._unknown_dm(line):
                self._found(line, "is not kept")
            return
        if keep == "never":
            self._found(line, "is kept, and was none of the bot's business")
        for problem in self._differences(line, row):
            self._found(line, problem)
        given = self._answers.get(row.id, [])
        if len(given) > 1:
            self._found(line, f"was answered {len(given)} times: {[one.id for one in given]}")
        if answer == "never" and given:
            self._found(line, f"was answered, and none was wanted: {given[0].text[:80]!r}")
        given_once = bool(given) or row.id in self._taken_back
        if answer == "must" and not given_once and not line.deleted and not self._excused(line, row):
            self._found(line, "was never answered")

    def _unknown_dm(self, line: discord_model.Message) -> bool:
        """Whether a bot that breaks down just then cannot know of the private conversation at all: what is not kept
        before anything else was."""
        channel = line.channel
        before = (one for one in channel.messages if one < line.id and f"discord:{channel.id}:{one}" in self._by_origin)
        return channel.is_dm and self._ledger.near_a_fault(line.at) and next(before, None) is None

    def _differences(self, line: discord_model.Message, row: Message) -> Iterator[str]:
        words = self._town.words(line)
        if line.deleted != (row.deleted_at is not None):
            yield f"is {'deleted' if line.deleted else 'there'}, and in the store it is not"
        if not line.deleted and row.words != words:
            yield f"is {words!r}, and kept as {row.words!r}"
        if (row.sender.id, row.sender.name) != (str(line.author.id), shown_name(line.author)):
            yield f"is kept as said by {row.sender}"
        if row.sender.type != ("bot" if line.author.bot else "user") or row.role != "user":
            yield f"is kept as said by a {row.sender.type} ({row.role})"
        if self._sessions[row.session_id].channel.id != str(line.channel.id):
            yield f"is kept in {self._sessions[row.session_id].channel}"
        files = [(file.name, file.size, bool(file.blob)) for file in row.attachments]
        fetched = line.author is not self._town.barred  # whose files stay where they are
        if files != [(file["filename"], file["size"], fetched) for file in line.attachments]:
            yield f"has the files {files} in the store"

    def _excused(self, line: discord_model.Message, row: Message) -> bool:
        """Whether it is known that nobody answers it: it was stopped, declined, or came while the bot was away."""
        if not any(note.kind == "dropped" for note in row.annotations):
            return False
        told = (page for page in self._ledger.pages.values() if page.channel is line.channel and page.id > line.id)
        missed = any(_MISSED in page.content for page in told)
        return missed or line.channel.id in self._ledger.stops or self._town.rationed(line.channel)

    def _order(self) -> None:
        """Lines stand in the store as they stand on Discord."""
        said = {_origin(one.message): one.message for one in self._town.said}
        last: dict[int, discord_model.Message] = {}
        for row in self._kept:
            line = said.get(row.origin or "")
            if line is None or line.deleted:  # one taken back while the gap is read is in sight nowhere
                continue
            before = last.get(line.channel.id)
            if before is not None and before.id > line.id and not self._unknown_dm(line):
                self._found(line, f"is kept after {before.id}, which was said later")
            else:
                last[line.channel.id] = line

    # -- answers, and all else that the bot posts

    def _answer(self, answer: Message) -> None:
        """An answer stands on Discord as it is kept."""
        pages = [self._page(one.origin) for one in sorted(answer.receipts, key=lambda one: one.page)]
        there = [page for page in pages if page is not None]
        if not there:
            self._findings.append(f"seed {self._seed}: the answer {answer.id} stands nowhere: {answer.text[:80]!r}")
            return
        gone = [page for page in there if page.deleted]
        if any(page.id in self._ledger.moderated for page in there):
            return
        shown = _LEFT_OUT.sub("", "".join(page.content for page in there))
        kept = _LEFT_OUT.sub("", answer.text)
        if gone:
            self._found(gone[0], f"is a page of the answer {answer.id}, and is gone")
        elif not shown.endswith(kept) or not re.fullmatch(r"(\*\*\w+\*\*)?", shown[: len(shown) - len(kept)]):
            self._found(there[0], f"is not as the answer {answer.id} is kept: {answer.text!r}")

    def _page(self, origin: str) -> discord_model.Message | None:
        return self._ledger.pages.get(int(origin.rpartition(":")[2]))

    def _posted(self) -> None:
        """Whatever the bot has said, it knows of."""
        known = {receipt.origin for one in self._kept for receipt in one.receipts if one.deleted_at is None}
        known |= set(self._by_origin)
        for page in self._ledger.pages.values():
            if page.deleted or _origin(page) in known or page.id in self._ledger.moderated:
                continue
            # Nobody waits any longer for the answer to a command.
            cut_off = page.interaction is not None and self._ledger.near_a_fault(page.at)
            if not cut_off and not self._beside_moderated(page):
                self._found(page, "stands there, and the store knows nothing of it")

    def _beside_moderated(self, page: discord_model.Message) -> bool:
        """Whether it is a later page of an answer that people have deleted."""
        answer = next((one for one in self._kept if any(r.origin == _origin(page) for r in one.receipts)), None)
        places = answer.receipts if answer else ()
        return any(int(one.origin.rpartition(":")[2]) in self._ledger.moderated for one in places)

    def _interactions(self) -> None:
        for one, name in self._ledger.interactions:
            where = f"seed {self._seed}, #{one.channel.name}: /{name} of {one.person.name}"
            if self._ledger.near_a_fault(one.at):
                continue
            if not one.finished:
                self._findings.append(f"{where} was never finished")
            elif "Something went wrong on my side" in one.text:
                self._findings.append(f"{where} broke: {one.text}")
            elif name == "chat":
                row = self._by_origin.get(_origin(one.posted[0]))
                given = len(self._answers.get(row.id, [])) if row else 0
                stopped = row is not None and any(note.kind == "dropped" for note in row.annotations)
                if given > 1 or (not given and not stopped):
                    self._found(one.posted[0], f"is a /chat, kept as {row}, and has {given} answers")

    def _reactions(self) -> None:
        for at, line, emoji, who in self._ledger.reactions:
            row = self._by_origin.get(_origin(line))
            if row is None or line.deleted or self._ledger.near_a_fault(at):  # nobody tells of an emoji twice
                continue
            if not any(one.emoji == emoji and one.sender.id == str(who.id) for one in row.reactions):
                self._found(line, f"has {emoji} of {who.name}, and the store has {len(row.reactions)} others")

    def _found(self, line: discord_model.Message, problem: str) -> None:
        place = f"#{line.channel.name}" if line.channel.guild else f"the DM of {line.channel.recipients[0].name}"
        heard = next((one.heard for one in self._town.said if one.message is line), True)
        when = "" if heard else ", said while the bot was down,"
        around = self._ledger.around(line.channel, line.id)
        self._findings.append(f"seed {self._seed}, {place}: {line.id}{when} {problem}\n{around}")


def requests(server: DiscordServer, ledger: Ledger) -> Iterator[str]:
    """What the bot should not have asked of Discord."""
    yield from (f"a malformed body: {one.where}: {one.problem}" for one in server.violations)
    yield from (f"an unknown route: {one}" for one in server.unknown_routes)
    limited = 0
    for request in server.requests:
        limited += request.status == 429
        on_message = re.search(r"/messages/|/reactions/|/webhooks/|/interactions/", request.path)
        raced = request.status == 404 and on_message is not None
        if request.status >= 400 and request.status != 429 and not raced:
            yield f"a refused request: {request}"
    if limited > ledger.storms:
        yield f"{limited} requests were refused with 429, of which {ledger.storms} were ordered"


def _origin(message: discord_model.Message) -> str:
    return f"discord:{message.channel.id}:{message.id}"


async def _everything(store: Store) -> list[Message]:
    """All messages in the order in which they were kept."""
    found: list[Message] = []
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.read(cursor=cursor, limit=500, deleted=True)
        found += page.items
        cursor = page.newer
    return found


async def _sessions(store: Store) -> dict[str, Session]:
    found: dict[str, Session] = {}
    cursor: str | None = None
    while True:
        page = await store.browse(cursor=cursor, limit=500, deleted=True)
        found.update((one.id, one) for one in page.items)
        cursor = page.older
        if cursor is None:
            return found
