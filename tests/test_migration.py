"""Moving in: whatever a reader gives is taken once, whole, counted and compared, however often it is begun."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.amendments import Deleted, Edited
from storage.backend import Store
from storage.blobs import Blobs
from storage.copying import contents
from storage.forgetting import forget
from storage.legacy import Persona, Refused, Spot, Taken, Terms
from storage.legacy.cutting import cut
from storage.legacy.source import Source
from storage.migration import migrate
from storage.migration_reading import BrokenOff
from storage.migration_report import Report, write
from storage.model import Attachment, Channel, Message, Receipt, Sender, Session, Text, message_id
from storage.naming import Naming, Person, Room
from storage.place import open_place
from storage.records import Memory, Profile, Tombstone
from tests.contracts.conftest import LASTING, opener

NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)
ANN, BEN = (Sender(type="user", id=id, name=id) for id in ("1", "2"))
SAGE = Sender(type="persona", id="sage", name="Sage")
ROOM = Channel(front="discord", id="100", kind="channel", name="100")
PRIVATE = Channel(front="discord", id="200", kind="dm", name="200", parent_id="1")
Item = Taken | Refused


class Told:
    """A reader of what it is given; it may break off, as a program that is killed does."""

    __name__ = "storage.legacy.told"

    def __init__(self, *items: Item, stop: int | None = None) -> None:
        self.items, self.stop = items, stop

    def recognise(self, source: Source) -> bool:
        return True

    def read(self, source: Source, terms: Terms) -> Iterator[Item]:
        yield from self.items[: self.stop]
        if self.stop is not None:
            raise KeyError("response_to")


class House:
    """A store, its blobs, and old data beside them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store = store
        self.blobs = Blobs(open_place(str(folder / "attachments")), folder)
        self.source = folder / "old"
        self.scratch = folder / "scratch"
        for made in (self.source, self.scratch):
            made.mkdir(parents=True)
        (self.source / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    async def take(self, *items: Item, stop: int | None = None, since: datetime | None = None, **more: Any) -> Report:
        terms = Terms("sage", UTC, timedelta(minutes=5), NOON, self.scratch, since)
        with Source(self.source) as source:
            return await migrate(source, Told(*items, stop=stop), self.store, self.blobs, terms, **more)

    async def said(self) -> list[str]:
        return [message.text for message in (await self.store.read(deleted=True)).items]


@asynccontextmanager
async def house_of(backend: Any, folder: Path) -> AsyncIterator[House]:
    store = await opener(backend, folder / "sage")()
    yield House(folder, store)
    await store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_of("sqlite in memory", tmp_path) as house:
        yield house


def line(number: int, sender: Sender = ANN, text: str = "", channel: Channel = ROOM, **more: Any) -> Taken:
    at = NOON + timedelta(minutes=number)
    parts = (Text(text=text or f"line {number}"), *more.pop("beside", ()))
    files = {part.url: part.url for part in parts if isinstance(part, Attachment)}
    message = Message(
        id=message_id(at, number),
        session_id="",
        role="assistant" if sender is SAGE else "user",
        sender=sender,
        parts=parts,
        at=at,
        **{"origin": f"discord:{channel.id}:{number}", "metadata": {"from": "told"}, **more},
    )
    return Taken(message, Spot("old.jsonl", number + 1), files)


def talk(lines: list[Taken], channel: Channel = ROOM) -> list[Item]:
    return list(cut(channel, lines, timedelta(minutes=5), "told"))


PICTURE = Attachment(type="file", name="cat.png", url="cat.png")
LOST = Attachment(type="image", name="dog.png", url="dog.png")


def everything() -> list[Item]:
    """Two channels, three sessions, a picture, a lost file, something torn, a memory and a voice."""
    answer = line(1, SAGE, reply_to=message_id(NOON, 0))
    return [
        Refused(Spot("old.jsonl", 99), "The line is torn."),
        *talk([line(0), answer, line(2, BEN, beside=(PICTURE, LOST)), line(60, BEN)]),
        *talk([line(200, channel=PRIVATE), line(201, SAGE, channel=PRIVATE)], PRIVATE),
        Taken(Memory(id="m", at=NOON, type="semantic", audience="user:1", subject="user:1", text="tea"), Spot("m")),
        Taken(Profile(id="1", at=NOON, name="Ann"), Spot("p")),
        Taken(Persona("wit", "Wit"), Spot("wit.json")),
    ]


async def test_everything_goes_in_and_is_accounted_for(house: House, tmp_path: Path) -> None:
    report = await house.take(*everything(), persona=lambda persona: "")
    assert await house.said() == ["line 0", "line 1", "line 2", "line 60", "line 200", "line 201"]
    assert (report.messages.found, report.messages.taken, report.verified) == (6, 6, 6)
    assert (report.sessions.taken, report.channels.taken, report.records.taken, report.personas.taken) == (3, 2, 2, 1)
    assert (report.files.taken, report.files.bytes, report.files.missing, report.refused) == (1, 108, 1, 1)
    assert report.notes == ("old.jsonl:3: the file dog.png is not there; its name is kept",)
    kept = await house.store.find("discord:100:2")
    assert kept
    picture, lost = kept.attachments
    assert (picture.type, picture.media_type, picture.size) == ("image", "image/png", 108)
    assert await house.blobs.sound(picture.blob or "")
    assert lost == LOST
    assert all("migration" not in session.metadata for session in await house.store.sessions())
    assert report.unmapped == ("1", "2")
    write(report, house.scratch, tmp_path / "out" / "migration-report.json")
    told = json.loads((tmp_path / "out" / "migration-report.json").read_text("utf-8"))
    assert told["messages"]["taken"] == 6
    assert told["refused_items"] == [{"file": "old.jsonl", "line": 99, "item": "", "reason": "The line is torn."}]


async def test_a_second_run_adds_nothing(house: House) -> None:
    await house.take(*everything(), persona=lambda persona: "")
    before = await contents(house.store)
    again = await house.take(*everything(), persona=lambda persona: None)
    assert await contents(house.store) == before
    assert (again.messages.taken, again.messages.known, again.sessions.known, again.records.known) == (0, 6, 3, 2)
    assert (again.channels.known, again.personas.known, again.files.taken) == (2, 1, 0)
    assert again.sha256 == "0" * 64


@pytest.mark.parametrize("backend", LASTING)
async def test_one_that_was_killed_goes_on_to_the_same_store(backend: str, tmp_path: Path) -> None:
    async with house_of(backend, tmp_path / "whole") as house:
        await house.take(*everything())
        wanted = (await contents(house.store)).digest
    for stop in range(1, len(everything()) + 1):
        async with house_of(backend, tmp_path / str(stop)) as house:
            with pytest.raises(BrokenOff):
                await house.take(*everything(), stop=stop)
            report = await house.take(*everything())
            assert (await contents(house.store)).digest == wanted, stop
            assert report.messages.taken + report.messages.known == 6


async def test_a_dry_run_counts_the_same_and_writes_nothing(house: House, tmp_path: Path) -> None:
    repeated = [*everything(), *talk([line(0), line(200, channel=PRIVATE)])]
    before = await contents(house.store)
    dry = await house.take(*repeated, dry_run=True)
    assert await contents(house.store) == before
    assert not (tmp_path / "attachments").exists()
    assert [path.name for path in house.scratch.iterdir()] == ["refused.jsonl"]
    real = await house.take(*repeated)
    same = {"dry_run": False, "sha256": real.sha256}
    assert dry.model_copy(update=same) == real
    assert (await house.take(*repeated, dry_run=True)).messages.known == 8


async def test_what_people_changed_since_stays(house: House) -> None:
    await house.take(*everything())
    (session, *_) = reversed(await house.store.sessions("discord:100"))
    theirs = session.model_copy(update={"title": "Tea", "starred": True, "tags": ("drinks",)})
    await house.store.save_session(theirs)
    first = await house.store.find("discord:100:0")
    assert first
    await house.store.amend(first.id, Edited(parts=(Text(text="changed"),), at=NOON))
    await house.store.amend(first.id, Deleted(at=NOON))
    report = await house.take(*everything())
    assert await house.store.session(session.id) == theirs
    assert (report.messages.known, report.refused) == (6, 1)


async def test_what_people_changed_between_a_kill_and_the_next_run_stays(house: House) -> None:
    items = everything()
    with pytest.raises(BrokenOff):
        await house.take(*items, stop=3)
    (session,) = await house.store.sessions()
    await house.store.save_session(session.model_copy(update={"title": "Tea", "starred": True}))
    await house.take(*items)
    there = await house.store.session(session.id)
    assert there
    assert (there.title, there.starred, there.closed_at, there.metadata) == (
        "Tea",
        True,
        NOON + timedelta(minutes=2),
        {"from": "told"},
    )


async def test_a_source_that_has_grown_adds_what_is_new(house: House) -> None:
    await house.take(*talk([line(0), line(1, SAGE)]))
    report = await house.take(*talk([line(0), line(1, SAGE), line(3, BEN), line(30)]))
    assert (report.messages.taken, report.messages.known, report.sessions.taken, report.sessions.known) == (2, 2, 1, 1)
    assert await house.said() == ["line 0", "line 1", "line 3", "line 30"]
    last, first = await house.store.sessions()
    assert [each.id for each in first.participants] == ["1", "2"]
    assert first.closed_at == NOON + timedelta(minutes=3)
    assert last.follows == first.id


async def test_what_the_bot_has_heard_itself_is_not_taken_again(house: House) -> None:
    live = Session(id="live", channel=ROOM.model_copy(update={"name": "tea-room"}), opened_at=NOON, last_at=NOON)
    heard = line(0).item
    assert isinstance(heard, Message)
    await house.store.append(live, heard.model_copy(update={"id": "heard", "session_id": "live"}))
    given = heard.model_copy(update={"id": "given", "session_id": "live", "role": "assistant", "origin": None})
    await house.store.append(live, given)
    await house.store.keep_receipts("given", (Receipt(origin=f"discord:{ROOM.id}:1", page=0),))
    report = await house.take(*talk([line(0), line(1, SAGE)]))
    assert (report.messages.known, report.sessions.known) == (2, 1)
    assert len((await house.store.read()).items) == 2
    assert [each.id for each in await house.store.sessions()] == ["live"]


async def test_the_name_of_a_channel_stays_unless_it_was_only_its_id(house: House) -> None:
    await house.store.keep_channel(ROOM)
    await house.take(Taken(ROOM.model_copy(update={"name": "tea-room"}), Spot("")))
    assert (await house.store.channels())[0].name == "tea-room"
    await house.take(Taken(ROOM.model_copy(update={"name": "old-room"}), Spot("")))
    assert (await house.store.channels())[0].name == "tea-room"


async def test_what_stands_in_the_way_is_refused_with_the_reason(house: House) -> None:
    first, *_ = items = talk([line(0)])
    assert isinstance(first.item if isinstance(first, Taken) else None, Session)
    await house.take(*items)
    elsewhere = ROOM.model_copy(update={"id": "300", "name": "300"})
    moved = [
        replace(each, item=each.item.model_copy(update={"channel": elsewhere}))
        if isinstance(each, Taken) and isinstance(each.item, Session)
        else each
        for each in items
    ]
    report = await house.take(*moved)
    assert next(each.reason for each in report.refused_items).endswith(
        "is kept in 100_100 already, and here stands in 300_300: nothing of it is taken."
    )
    assert (report.sessions.refused, report.messages.refused) == (1, 1)
    other = await house.take(*talk([line(0, text="something else", origin=None)]))
    assert other.refused_items[0].reason.endswith("is kept already and says something else.")
    assert (other.refused_items[0].line, other.messages.refused) == (1, 1)
    lonely = await house.take(line(5))
    assert lonely.refused_items[0].reason == "It belongs to the session , which is not here."


async def test_since_leaves_out_what_is_older(house: House) -> None:
    items = [*talk([line(0), line(60), line(61)]), *talk([line(1, channel=PRIVATE)], PRIVATE)]
    report = await house.take(*items, since=NOON + timedelta(minutes=30))
    assert await house.said() == ["line 60", "line 61"]
    assert (report.messages.left_out, report.sessions.left_out, report.channels.found) == (2, 2, 1)
    (session,) = await house.store.sessions()
    assert session.follows is None


async def test_who_asked_to_be_forgotten_stays_so(house: House) -> None:
    await house.take(*everything())
    await forget(house.store, "1", NOON + timedelta(days=1), blobs=house.blobs)
    before = await contents(house.store)
    report = await house.take(*everything())
    assert await contents(house.store) == before
    assert (report.forgotten, report.messages.left_out, report.records.left_out) == (6, 4, 2)
    await house.take(*talk([line(2000), line(2001, SAGE)]))
    assert await house.said() == ["line 2", "line 60", "line 2000", "line 2001"]


async def test_an_answer_that_names_no_question_is_forgotten_with_the_line_before_it(house: House) -> None:
    await house.store.keep(Tombstone(id="1", at=NOON + timedelta(days=1)))
    await house.take(*talk([line(0), line(1, SAGE), line(2, BEN), line(3, SAGE)]))
    assert await house.said() == ["line 2", "line 3"]
    (session,) = await house.store.sessions()
    assert [each.id for each in session.participants] == ["2"]


async def test_people_and_channels_get_the_names_that_are_told_or_found_out(house: House) -> None:
    asked: list[tuple[list[str], list[str]]] = []

    async def look_up(people: Collection[str], channels: Collection[str]) -> Naming:
        asked.append(([*people], [*channels]))
        return Naming({"2": Person("2", "Ben")}, {"100": Room("tea-room", guild_id="7", guild_name="Home")})

    naming = Naming({"1": Person("12345", "Ann")})
    report = await house.take(*everything(), naming=naming, look_up=look_up)
    assert asked == [(["2"], ["100", "200"])]
    senders = {(m.sender.id, m.sender.name) for m in (await house.store.read()).items if m.role == "user"}
    assert senders == {("12345", "Ann"), ("2", "Ben")}
    private, room = sorted(await house.store.channels(), key=lambda each: each.kind != "dm")
    assert (private.name, private.parent_id) == ("Ann", "12345")
    assert (room.name, room.guild_id, room.guild_name) == ("tea-room", "7", "Home")
    memory = await house.store.record(Memory, "m")
    profile = await house.store.record(Profile, "12345")
    assert memory
    assert profile
    assert (memory.subject, memory.audience, profile.name) == ("user:12345", "user:12345", "Ann")
    assert report.unmapped == ()


async def test_a_session_without_messages_is_kept(house: House) -> None:
    empty = Session(id="empty", channel=ROOM, title="Plans", opened_at=NOON, last_at=NOON)
    report = await house.take(Taken(empty, Spot("s")), Taken(empty, Spot("s")), Taken(empty, Spot("s")))
    assert (report.sessions.found, report.sessions.taken) == (1, 1)
    assert await house.store.session("empty") == empty
    assert (await house.take(Taken(empty, Spot("s")), since=NOON + timedelta(1))).sessions.known == 1


async def test_many_refused_items_wait_on_the_disk(house: House, tmp_path: Path) -> None:
    report = await house.take(*(Refused(Spot("f", number), "torn") for number in range(3000)))
    assert (report.refused, len(report.refused_items)) == (3000, 1000)
    write(report, house.scratch, tmp_path / "r.json")
    assert len(json.loads((tmp_path / "r.json").read_text())["refused_items"]) == 3000


async def test_a_session_that_is_given_again_in_another_channel_stays_where_it_was(house: House) -> None:
    items = talk([line(0)])
    last = items[-1]
    assert isinstance(last, Taken)
    assert isinstance(last.item, Session)
    elsewhere = replace(last, item=last.item.model_copy(update={"channel": PRIVATE, "title": "moved"}))
    report = await house.take(*items[:-1], elsewhere)
    assert report.refused_items[0].reason.endswith(
        "was given in 100_100 already, and here stands in 200_1: it stays as it was."
    )
    assert (report.refused, report.sessions.found, report.sessions.taken, report.messages.taken) == (1, 1, 1, 1)
    (session,) = await house.store.sessions()
    assert (session.channel.key, session.title, session.metadata) == (ROOM.key, "", {"from": "told"})


async def test_where_a_reader_breaks_off_what_came_before_stays_and_it_is_said_what_to_do(house: House) -> None:
    items = everything()
    with pytest.raises(BrokenOff) as tried:
        await house.take(*items, stop=5, dry_run=True)
    assert "Nothing was written." in str(tried.value)
    with pytest.raises(BrokenOff) as stopped:
        await house.take(*items, stop=5)
    assert str(stopped.value) == (
        "The source cannot be read as told further than old.jsonl:3 (KeyError: 'response_to'). 3 new messages were "
        "taken until there and stay. What comes next is damaged, or of a kind that nobody has thought of: mend it or "
        "put it elsewhere, or report this sentence, and then do the same again: it goes on from there."
    )
    assert await house.said() == ["line 0", "line 1", "line 2"]


async def test_names_that_lead_out_of_the_source_are_listed_as_refused(house: House, tmp_path: Path) -> None:
    (house.source / "passwords.json").symlink_to("/etc/passwd")
    report = await house.take(*talk([line(0)]))
    assert [(each.file, each.reason[:29]) for each in report.refused_items] == [
        ("passwords.json", "It leads out of the source, o")
    ]
    assert report.messages.taken == 1


async def test_somebody_who_waits_hears_that_it_is_read_and_written(house: House) -> None:
    heard: list[tuple[str, int, int]] = []
    await house.take(*everything(), tell=lambda *said: heard.append(said))
    steps = [said[:2] for said in heard]
    assert steps[0] == ("reading, items so far", 0)
    assert ("writing, messages so far", 0) in steps
