"""What people do in a busy server: lines of every kind, changes of mind, commands, emoji and buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

from tests.wire.discord_accounts import Account
from tests.wire.discord_interactions import Interaction
from tests.wire.discord_model import Channel, Message

from .day_ledger import Ledger
from .day_people import SIBLING, STOP, THANKS, VOICES, Said, Town, phrase

MOVES = ("lines", "edits", "deletes", "commands", "reactions", "clicks", "storms")
_LINES = {
    "plain": 34,
    "mention": 18,
    "named": 8,
    "reply": 10,
    "aside": 5,
    "reply to another": 5,
    "sibling": 2,
    "other bot": 4,
    "other bot asks": 1,
    "file": 4,
    "burst": 3,
    "thanks": 2,
    "dm": 9,
    "new thread": 2,
    "new post": 2,
    "stop": 1,
}
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000001649444154789c63fccfc0c0c0c0c0"
    "c4c0c0c0c0c000000d1d01036ac29be90000000049454e44ae426082"
)
_COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("why", {}),
    ("context", {}),
    ("session list", {}),
    ("session show", {}),
    ("search", {"words": "river"}),
    ("search", {"words": "winter", "everywhere": True}),
    ("usage", {}),
    ("new", {}),
    ("stop", {}),
    ("help", {}),
    ("persona", {}),
    ("persona", {"name": "muse"}),
    ("summary", {}),
    ("privacy show", {}),
    ("chat", {}),
    ("chat", {"persona": "coder"}),
    ("session keep", {}),
    ("session rename", {"title": "Something else"}),
    ("session star", {}),
    ("session policy", {"gap": "15 seconds"}),
    ("export", {"format": "md"}),
    ("branch", {"into": "here"}),
    ("clear", {}),
    ("Ask about this", {}),
    ("Remember this", {}),
)
_OLD_ENOUGH = 40
"""Lines after which one is surely known to the bot."""


class Moves:
    """The people's hands. Lines, edits and deletions happen at once; commands and clicks go on by themselves."""

    def __init__(self, town: Town, ledger: Ledger) -> None:
        self._town = town
        self._server = town.server
        self._ledger = ledger
        self._asking: set[asyncio.Task[None]] = set()

    async def do(self, move: str, rng: Random, number: int) -> list[Said]:
        """One move. Returns the lines that were said."""
        if move == "lines":
            return await self._say(rng, number)
        if not self._ledger.up and move not in ("edits", "deletes"):
            return []
        deeds: dict[str, Callable[[Random, int], Awaitable[None]]] = {
            "edits": self._edit,
            "deletes": self._delete,
            "commands": self._command,
            "reactions": self._react,
            "clicks": self._click,
            "storms": self._storm,
        }
        await deeds[move](rng, number)
        return []

    async def over(self) -> None:
        """Waits until every command and click was answered."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=40)

    # -- lines

    async def _say(self, rng: Random, number: int) -> list[Said]:
        town, server = self._town, self._server
        kind = rng.choices(list(_LINES), list(_LINES.values()))[0]
        who: Account = rng.choice(town.people)
        place = rng.choice(town.places)
        text, more = phrase(rng, number), dict[str, Any]()
        another = rng.choice(town.people)
        file = rng.choice([("notes.txt", b"some notes", "text/plain"), ("dot.png", _PNG, "image/png")])
        match kind:
            case "mention":
                more["mentions"] = [town.bot]
            case "named":
                text = f"{rng.choice(VOICES).capitalize()}, {text}"
            case "reply":
                more = {"reply_to": self._answer(place), "ping": rng.random() < 0.5}
            case "aside":
                more["mentions"] = [another]
            case "reply to another":
                before = next((one for one in reversed(server.messages(place)) if not one.author.bot), None)
                more["reply_to"] = before
            case "sibling":
                text = f"{SIBLING.capitalize()}, {text}"
            case "other bot" | "other bot asks":
                who = town.other
                more["mentions"] = [town.bot] if kind == "other bot asks" else []
            case "file":
                more["attachments"] = [file]
            case "thanks":
                text = rng.choice(THANKS)
            case "stop":
                text, more["mentions"] = STOP, [town.bot]
            case "dm":
                place = server.dm(who, town.bot)
                if not self._ledger.up and not place.messages:
                    return []  # nobody can tell a bot about a conversation that it has never seen
            case "new thread":
                home = rng.choice([one for one in town.places if not one.is_thread])
                place = server.add_thread(home, f"thread {number}", owner=who)
                town.places.append(place)
            case "new post":
                post = await server.open_post(who, rng.choice(town.forums), f"post {number}", text)
                town.places.append(post)
                return [town.note(post.messages[post.id], self._ledger.up)]
        if kind == "stop":
            self._ledger.stops.add(place.id)
        lines = [(text, more)]
        if kind == "burst":
            lines = [(f"{text} {n}", {"mentions": [town.bot]}) for n in range(3)]
        return [town.note(await server.say(who, place, *args, **kw), self._ledger.up) for *args, kw in lines]

    def _answer(self, place: Channel) -> Message | None:
        """The bot's latest page in a place, if it still stands there."""
        latest = self._town.latest.get(place.id)
        return None if latest is None or latest.deleted else latest

    # -- changes of mind

    def _earlier(self, rng: Random) -> Said | None:
        """A line said before, most often a fresh one."""
        said = self._town.said
        if not said:
            return None
        back = rng.randrange(5) if rng.random() < 0.4 else rng.randrange(min(len(said), 300))
        return said[-1 - min(back, len(said) - 1)]

    async def _edit(self, rng: Random, _number: int) -> None:
        found = self._earlier(rng)
        line = found.message if found else None
        if line is None or line.deleted or self._town.words(line) in (*THANKS, STOP):
            return
        await self._server.edit(line, f"{line.content} or rather {phrase(rng, len(line.versions))}")

    async def _delete(self, rng: Random, number: int) -> None:
        line: Message | None
        if number % 10 == 0:
            line = self._answer(rng.choice(self._town.places))
        else:
            found = self._earlier(rng)
            line = found.message if found else None
        if line is not None and not line.deleted:
            if line.id in self._ledger.pages:
                self._ledger.moderated.add(line.id)
            await self._server.delete(line)

    # -- emoji, commands, buttons

    async def _react(self, rng: Random, _number: int) -> None:
        said = self._town.said[-400:-_OLD_ENOUGH]
        if not said:
            return
        line, who = rng.choice(said).message, rng.choice(self._town.people)
        if not line.deleted:
            emoji = rng.choice("👍🎉🤔")
            await self._server.add_reaction(who, line, emoji)
            self._ledger.react(line, emoji, who)

    async def _command(self, rng: Random, number: int) -> None:
        town, server = self._town, self._server
        name, options = rng.choice(_COMMANDS)
        who, place = rng.choice(town.people[:-1]), rng.choice(town.places)
        more: dict[str, Any] = {"options": dict(options)}
        if name == "chat":
            more["options"]["text"] = phrase(rng, number)
        if name[0].isupper():
            messages = [one for one in server.messages(place) if one.content]
            if not messages:
                return
            more = {"target": messages[-1 - rng.randrange(min(5, len(messages)))]}
        if name == STOP:
            self._ledger.stops.add(place.id)
        with suppress(LookupError):
            self._follow(await server.invoke(who, place, town.bot, name, wait=False, **more), name)

    async def _click(self, rng: Random, _number: int) -> None:
        channel = rng.choice(self._town.places)
        page = next((one for one in reversed(_pages(channel)) if one.components), None)
        if page is None:
            return
        label = rng.choice(("Regenerate", "Regenerate", "Continue", "👍", "👎"))
        asker = page.reference.author if page.reference and not page.reference.author.bot else self._town.people[0]
        with suppress(LookupError):
            self._follow(await self._server.click(asker, page, label, wait=False), label)

    def _follow(self, interaction: Interaction, name: str) -> None:
        self._ledger.interactions.append((interaction, name))
        task = asyncio.ensure_future(self._answered(interaction))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answered(self, interaction: Interaction) -> None:
        with suppress(AssertionError):  # which the ledger sees, too
            await self._server.until_finished(interaction, timeout=30)

    async def _storm(self, rng: Random, _number: int) -> None:
        count = rng.randint(1, 5)
        self._ledger.storms += count
        self._server.storm(count, retry_after=0.05, scope=rng.choice(("user", "shared")))


def _pages(channel: Channel) -> list[Message]:
    """The bots' messages in a place, oldest first."""
    return [one for one in channel.messages.values() if one.author.bot]
