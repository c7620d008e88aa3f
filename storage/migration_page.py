"""One page of a migration after the other: named, weighed, written, read back and compared."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from .backends.json_text import json_text
from .errors import StorageError
from .legacy import Persona, Refused, Spot, Taken, Terms
from .migration_files import Files
from .migration_forgotten import Forgotten
from .migration_records import at_odds, joined
from .migration_rehearsal import Target
from .migration_report import Tally
from .migration_sessions import Talk
from .model import Channel, Message, Session
from .naming import Naming
from .records import Record

LookUp = Callable[[Collection[str], Collection[str]], Awaitable[Naming]]
"""Told ids of people and of Discord channels whose names are not known; returns what can be found out."""
Welcome = Callable[[Persona], str | None]
"""Puts a persona where personas are: returns nothing when it is there now, None when it was, or why it cannot be."""

ENDED = 1_000
"""Sessions that are remembered after they were complete."""


class Differs(StorageError):
    """A store does not give back what it was given."""


class Names:
    """What is said of people and channels, and what is found out on the way, each id being asked for once."""

    def __init__(self, naming: Naming, look_up: LookUp) -> None:
        self.naming = naming
        self._look_up = look_up
        self._asked: set[str] = set()

    async def learn(self, page: list[Taken]) -> None:
        """Finds out the names that a page lacks."""
        people: dict[str, None] = {}
        channels: dict[str, None] = {}
        for taken in page:
            match taken.item:
                case Message(sender=sender) if sender.type == "user" and sender.name in ("", sender.id):
                    people[sender.id] = None
                case Session(channel=channel) | (Channel() as channel) if _is_nameless(channel):
                    channels[channel.id] = None
        wanted = people.keys() - self.naming.people.keys() - self._asked
        places = channels.keys() - self.naming.channels.keys() - self._asked
        if wanted or places:
            self._asked |= wanted | places
            self.naming = self.naming.over(await self._look_up(sorted(wanted), sorted(places)))


@dataclass(slots=True)
class _Page:
    """What a page asks to be written, in its order."""

    channels: list[Channel] = field(default_factory=list)
    lines: list[tuple[Talk, Taken, Message]] = field(default_factory=list)
    records: list[tuple[Record, Spot]] = field(default_factory=list)
    ended: dict[str, Talk] = field(default_factory=dict)


class Writing:
    """Writes pages into a store."""

    def __init__(
        self, store: Target, files: Files | None, terms: Terms, tally: Tally, names: Names, persona: Welcome | None
    ) -> None:
        """`files` is None where a reader gives none."""
        self._store, self._files, self._terms, self._tally = store, files, terms, tally
        self._names, self._persona = names, persona
        self._forgotten = Forgotten()
        self._talks: dict[str, Talk] = {}
        """Sessions that are not complete."""
        self._ended: dict[str, Talk] = {}
        """The last of those that are, for they may come again."""
        self._left_out: dict[str, str] = {}
        """By channel: the last session of which nothing was taken, which none can follow."""
        self._channels: set[str] = set()
        self._unwanted: set[str] = set()
        """Channels of people who asked to be forgotten, unless something of them is taken after all."""

    async def begin(self) -> None:
        """Learns who asked to be forgotten."""
        self._forgotten = await Forgotten.known_to(self._store)

    async def take(self, items: list[Taken | Refused]) -> None:
        """Writes a page, and returns once all of it would survive a power cut."""
        for each in items:
            if isinstance(each, Refused) and each.again:
                self._tally.note(each.spot, each.reason)
            elif isinstance(each, Refused):
                self._tally.refuse(each)
        page = [each for each in items if isinstance(each, Taken)]
        await self._names.learn(page)
        await self._meet([each.item for each in page if isinstance(each.item, Session)])
        asked = _Page()
        for each in page:
            match each.item:
                case Channel() as channel:
                    self._place(self._names.naming.channel(channel), asked)
                case Session() as session:
                    self._hear(session, each.spot, asked)
                case Message() as message:
                    self._weigh(message, each, asked)
                case Record() as record:
                    asked.records.append((self._names.naming.record(record), each.spot))
                case Persona() as persona:
                    self._greet(persona, each.spot)
        await self._keep_channels(asked.channels)
        await self._keep_lines(asked.lines)
        await self._keep_records(asked.records)
        await self._end(asked.ended)

    async def end(self) -> None:
        """Completes the sessions that were given only once."""
        await self._end(self._talks)
        for what in ("found", "left_out"):
            self._tally.count("channels", what, len(self._unwanted - self._channels))

    async def _meet(self, sessions: list[Session]) -> None:
        """Looks up the sessions that are new to this migration."""
        new: dict[str, Session] = {}
        for session in sessions:
            if self._talk(session.id) is None:
                new.setdefault(session.id, session)
        kept = await gather(*map(self._store.session, new))
        for session, there in zip(new.values(), kept, strict=True):
            first = self._named(session)
            self._forgotten.meet(first)
            self._talks[session.id] = talk = Talk(first, there)
            self._tally.count("sessions", "found")
            if there is not None and there.channel.key != first.channel.key:
                talk.refused = f"{_elsewhere(session.id, 'is kept', there, first)}: nothing of it is taken."

    def _place(self, channel: Channel, asked: _Page) -> None:
        if self._forgotten.is_theirs(channel):
            self._unwanted.add(channel.key)
        else:
            asked.channels.append(channel)

    def _talk(self, id: str) -> Talk | None:
        return self._talks.get(id) or self._ended.get(id)

    def _named(self, session: Session) -> Session:
        return self._forgotten.without(self._names.naming.session(session))

    def _hear(self, session: Session, spot: Spot, asked: _Page) -> None:
        talk = self._talks.get(session.id) or self._ended[session.id]
        if talk.heard:
            final = self._named(session)
            if final.channel.key == talk.first.channel.key:
                talk.final = final
                asked.ended[session.id] = talk
            elif not talk.refused:
                self._tally.refuse(
                    Refused(spot, f"{_elsewhere(session.id, 'was given', talk.first, final)}: it stays as it was.")
                )
        elif talk.refused:
            self._tally.refuse(Refused(spot, talk.refused), "sessions")
        talk.heard = True

    def _weigh(self, message: Message, taken: Taken, asked: _Page) -> None:
        """Whether a message is wanted."""
        self._tally.count("messages", "found")
        talk = self._talk(message.session_id)
        if talk is None or talk.refused:
            why = talk.refused if talk else f"It belongs to the session {_said(message.session_id)}, which is not here."
            self._tally.refuse(Refused(taken.spot, why), "messages")
            return
        talk.found += 1
        if message.session_id in self._ended:
            asked.ended[message.session_id] = talk
        named = self._names.naming.message(message)
        if self._forgotten.said(named, talk.first.channel, after=talk.quiet):
            talk.silence()
            talk.left_out += 1
            self._forgotten.note(named)
            self._tally.count("messages", "left_out")
            self._tally.forgotten += 1
            return
        talk.quiet = False
        if self._terms.since is not None and message.at < self._terms.since:
            talk.left_out += 1
            self._tally.count("messages", "left_out")
        else:
            self._tally.name(named.sender)
            asked.lines.append((talk, taken, self._forgotten.unmarked(named)))

    async def _keep_channels(self, channels: list[Channel]) -> None:
        """A channel that is there keeps its name, unless that was only its id."""
        for channel in channels:
            if channel.key in self._channels:
                continue
            self._channels.add(channel.key)
            self._tally.count("channels", "found")
            there = await self._store.channel(channel.key)
            if there is None:
                await self._store.keep_channel(channel)
                self._tally.take("channels", channel)
                continue
            self._tally.count("channels", "known")
            if _is_nameless(there) and not _is_nameless(channel):
                await self._store.keep_channel(channel)
                self._tally.renamed += 1

    async def _keep_lines(self, lines: list[tuple[Talk, Taken, Message]]) -> None:
        await self._keep_channels([talk.first.channel for talk, _, _ in lines])
        lines = await self._without_known_answers(lines)
        ready = [(talk, taken.spot, await self._whole(taken, message)) for talk, taken, message in lines]
        fresh = await self._append(ready)
        written = [(talk, message) for (talk, _, message), new in zip(ready, fresh, strict=True) if new]
        await self._verify([message for _, message in written])
        for talk, message in written:
            talk.taken += 1
            self._tally.take("messages", message)
        others = [each for each, new in zip(ready, fresh, strict=True) if not new]
        kept = await gather(*(self._store.message(message.id) for _, _, message in others))
        for (_, spot, message), there in zip(others, kept, strict=True):
            self._recognise(message, there, spot)

    async def _without_known_answers(
        self, lines: list[tuple[Talk, Taken, Message]]
    ) -> list[tuple[Talk, Taken, Message]]:
        """An answer that this bot gave itself is kept once, whatever pages it stands on."""
        answers = [each for each in lines if each[2].role == "assistant" and each[2].origin]
        found = await gather(*(self._store.find(message.origin or "") for _, _, message in answers))
        known = {id(each) for each, there in zip(answers, found, strict=True) if there and there.id != each[2].id}
        self._tally.count("messages", "known", len(known))
        return [each for each in lines if id(each) not in known]

    async def _whole(self, taken: Taken, message: Message) -> Message:
        """The message with its files, unless it is kept already."""
        if self._files is None or not taken.files or await self._store.message(message.id):
            return message
        if message.origin and await self._store.find(message.origin):
            return message
        return await self._files.kept_with(message, taken.files, taken.spot)

    async def _append(self, lines: list[tuple[Talk, Spot, Message]]) -> list[bool]:
        return list(await gather(*(self._store.append(talk.current(), message) for talk, _, message in lines)))

    async def _verify(self, messages: list[Message]) -> None:
        """Reads back what was written. Raises `Differs`."""
        if not messages:
            return
        newest = await self._store.read(limit=len(messages), deleted=True)
        kept = {message.id: message for message in newest.items}
        for message in messages:
            there = kept.get(message.id) or await self._store.message(message.id)
            if there != message and there != Message.model_validate_json(json_text(message)):
                raise Differs(
                    f"The message {_said(message.id)} was just written and cannot be read back as it was: a disk is "
                    "failing, or another program writes to this storage. Look at it with `troupe doctor`, then do the "
                    "same again: it goes on from there."
                )
        self._tally.verified += len(messages)

    def _recognise(self, message: Message, there: Message | None, spot: Spot) -> None:
        """One that was not new: kept under its origin, or under its id, edited since perhaps."""
        wordings = () if there is None else (there.parts, *(edit.parts for edit in there.edits))
        if there is None or any(there.model_copy(update={"parts": each}).words == message.words for each in wordings):
            self._tally.count("messages", "known")
        else:
            why = f"A message with the id {_said(message.id)} is kept already and says something else."
            self._tally.refuse(Refused(spot, why), "messages")

    async def _keep_records(self, records: list[tuple[Record, Spot]]) -> None:
        wanted: dict[tuple[str, str], tuple[Record, Spot]] = {}
        for record, spot in records:
            self._tally.count("records", "found")
            if self._forgotten.about(record):
                self._tally.forgotten += 1
                self._tally.count("records", "left_out")
            elif first := wanted.get((record.kind, record.id)):
                wanted[record.kind, record.id] = self._joined(first[0], record, spot), first[1]
                self._tally.count("records", "known")
            else:
                wanted[record.kind, record.id] = record, spot
        kept = await gather(*(self._store.record(type(record), record.id) for record, _ in wanted.values()))
        new = [
            record if there is None else self._joined(there, record, spot)
            for (record, spot), there in zip(wanted.values(), kept, strict=True)
        ]
        new = [record for record, there in zip(new, kept, strict=True) if record != there]
        if new:
            await self._store.keep(*new)
        self._tally.count("records", "known", len(kept) - len(new))
        for record in new:
            self._tally.take("records", record)

    def _joined(self, first: Record, more: Record, spot: Spot) -> Record:
        if odds := at_odds(first, more):
            keys = ", ".join(map(_said, odds))
            self._tally.note(spot, f"the profile of {_said(first.id)} says something else already, which stays: {keys}")
        return joined(first, more)

    def _greet(self, persona: Persona, spot: Spot) -> None:
        self._tally.count("personas", "found")
        if self._persona is None:
            self._tally.count("personas", "left_out")
        elif (came := self._persona(persona)) is None:
            self._tally.count("personas", "known")
        elif came:
            self._tally.refuse(Refused(spot, came), "personas")
        else:
            self._tally.count("personas", "taken")

    async def _end(self, talks: Mapping[str, Talk]) -> None:
        """Saves sessions that are complete, and lets go of them."""
        due: list[Session] = []
        for id, talk in list(talks.items()):
            self._talks.pop(id, None)
            self._ended[id] = talk
            if not talk.refused and (whole := self._whole_session(talk)):
                due.append(whole)
        for id in list(self._ended)[: max(0, len(self._ended) - ENDED)]:
            del self._ended[id]
        await self._keep_channels([session.channel for session in due])
        await gather(*map(self._store.save_session, due))

    def _whole_session(self, talk: Talk) -> Session | None:
        """What a session is saved as; it is counted once."""
        whole = talk.finished()
        if whole is not None and whole.follows and self._left_out.get(whole.channel.key) == whole.follows:
            whole = whole.model_copy(update={"follows": None})
        if whole is not None and not talk.found and talk.kept is None and self._is_unwanted(whole):
            whole, talk.left_out = None, 1
        if talk.counted:
            return whole
        talk.counted = True
        if talk.kept is None and whole is not None:
            self._tally.take("sessions", whole)
        elif talk.kept is None and talk.left_out and talk.left_out >= talk.found:
            self._left_out[talk.first.channel.key] = talk.first.id
            self._tally.count("sessions", "left_out")
        else:
            self._tally.count("sessions", "known")
        return whole

    def _is_unwanted(self, empty: Session) -> bool:
        """Whether a session without messages is too old, or somebody's who asked to be forgotten."""
        too_old = self._terms.since is not None and empty.last_at < self._terms.since
        return too_old or self._forgotten.owns(empty.channel, empty.last_at)


def _is_nameless(channel: Channel) -> bool:
    return channel.front == "discord" and channel.name in ("", channel.id, channel.parent_id)


def _elsewhere(id: str, how: str, there: Session, here: Session) -> str:
    return (
        f"The session {_said(id)} {how} in {there.channel.safe_name} already, and here stands in "
        f"{here.channel.safe_name}"
    )


def _said(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:80]
