"""What of a store has to do with one person, and that it can all be taken out of it, of every backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.amendments import Edited, Fetched, Noted, Reacted, Unannotated, Unreacted
from storage.backend import OLDEST, Page, Store
from storage.model import Channel, Message, Sender, Session
from storage.records import Setting, Tombstone
from tests.contracts.conftest import Door, opener
from tests.contracts.samples import (
    ANN,
    BEN,
    GENERAL,
    PRIVATE,
    SAGE,
    annotation,
    answer,
    ids,
    later,
    message,
    picture,
    reaction,
    said,
    session,
    tell,
    words,
)

MARK = "xyzzyplugh"


def names(page: Page[Message] | Page[Session]) -> list[str]:
    return [each.id for each in page.items]


async def test_what_somebody_said_is_found_with_the_answers_to_it(store: Store) -> None:
    await tell(
        store, message(1), answer(2, 1), message(3, sender=BEN), answer(4, 3), message(5, "s2", deleted_at=later(9))
    )
    await tell(
        store, answer(6, 5, within="s2", usage=None), message(7, "s2", sender=Sender(type="bot", id="7", name=""))
    )
    await tell(store, message(8, reply_to="m1", sender=BEN))
    assert names(await store.talk_of("7")) == ["m1", "m2", "m5", "m6", "m7"]
    assert names(await store.talk_of("8")) == ["m3", "m4", "m8"]
    assert names(await store.talk_of("sage")) == names(await store.talk_of("9")) == []
    await store.remove_messages(["m3"])
    assert names(await store.talk_of("8")) == ["m4", "m8"]


async def test_what_somebody_said_comes_in_pages_from_either_end(store: Store) -> None:
    await tell(store, *(message(number, sender=(ANN, BEN)[number % 2]) for number in range(9)))
    newest = await store.talk_of("7", limit=2)
    assert names(newest) == ["m6", "m8"]
    assert newest.newer is None
    await store.remove_messages(["m6", "m8"])
    assert names(await store.talk_of("7", cursor=newest.older, limit=2)) == ["m2", "m4"]
    first = await store.talk_of("7", cursor=OLDEST, limit=2)
    assert names(first) == ["m0", "m2"]
    assert names(await store.talk_of("7", cursor=first.newer)) == ["m4"]
    with pytest.raises(ValueError, match="not a cursor"):
        await store.talk_of("7", cursor="mine")


async def test_messages_are_found_by_who_marked_them(store: Store) -> None:
    await tell(store, *map(message, range(4)))
    await store.amend("m1", Reacted(reaction=reaction(sender=BEN)))
    await store.amend("m2", Noted(annotation=annotation()))
    await store.amend("m3", Reacted(reaction=reaction(sender=ANN)))
    assert names(await store.marked_by("8")) == ["m1", "m2"]
    assert names(await store.marked_by("7")) == ["m3"]
    await store.amend("m1", Unreacted(emoji="👍", sender_id="8"))
    await store.amend("m2", Unannotated(id="a1"))
    assert names(await store.marked_by("8")) == []


async def test_sessions_are_found_by_who_was_there(store: Store) -> None:
    await tell(store, message(1, "spoke"), message(2, "not", sender=BEN), answer(3, 1, within="not"))
    await store.save_session(session("there", participants=(SAGE, ANN), last_at=later(2), deleted_at=later(3)))
    await store.save_session(session("alone", channel=PRIVATE, last_at=later(4)))
    await store.save_session(session("voice", participants=(Sender(type="persona", id="7", name="Seven"),)))
    assert names(await store.sessions_with("7")) == ["alone", "there", "spoke"]
    assert names(await store.sessions_with("8")) == ["not"]
    first = await store.sessions_with("7", limit=2)
    assert names(await store.sessions_with("7", cursor=first.older)) == ["spoke"]


async def test_a_channel_goes_once_nobody_talks_in_it_any_more(store: Store) -> None:
    await tell(store, message(1))
    await store.keep_channel(PRIVATE)
    assert await store.remove_channels([PRIVATE.key, GENERAL.key, "discord:9", "\0"]) == 1
    assert await store.channel(PRIVATE.key) is None
    assert [each.key for each in await store.channels()] == [GENERAL.key]
    assert await store.remove_channels([PRIVATE.key]) == 0
    await store.remove_sessions(["s1"])
    assert await store.remove_channels([GENERAL.key]) == 1
    assert (await store.counts()).channels == 0


async def test_a_channel_that_was_removed_can_come_back(door: Door) -> None:
    first = await door()
    await first.keep_channel(PRIVATE)
    await first.keep_channel(PRIVATE.model_copy(update={"name": "anna"}))
    await first.remove_channels([PRIVATE.key])
    again = Channel(front="discord", id="200", kind="dm", name="ann the second", parent_id="7")
    assert await first.append(session("s9", channel=again), message(9, "s9"))
    await first.close()
    second = await door()
    assert await second.channel(PRIVATE.key) == again
    assert await ids(second, "s9") == ["m9"]


async def test_a_file_that_was_fetched_is_known_as_the_messages(door: Door) -> None:
    first = await door()
    await tell(first, message(1, parts=(*words("look"), picture(None))))
    change = Fetched(url="https://example.org/cat.png", blob="b" * 64, media_type="text/plain", size=12)
    kept = await first.amend("m1", change)
    assert kept
    file = kept.attachments[0]
    assert (file.type, file.blob, file.media_type, file.size) == ("file", "b" * 64, "text/plain", 12)
    assert await first.references(["b" * 64]) == {"b" * 64: 1}
    assert await first.amend("m1", change) == kept
    await first.amend("m1", Edited(parts=words("never mind"), at=later(5)))
    assert await first.references(["b" * 64]) == {"b" * 64: 1}
    await first.close()
    second = await door()
    assert await second.message("m1") == kept.model_copy(
        update={"parts": words("never mind"), "edits": (await second.message("m1") or kept).edits}
    )
    assert await second.references(["b" * 64]) == {"b" * 64: 1}
    await second.remove_messages(["m1"])
    assert await second.references(["b" * 64]) == {}


@pytest.mark.parametrize("backend", ["sqlite", "file"])
async def test_nothing_on_the_disk_tells_of_what_was_scrubbed(backend: str, tmp_path: Path) -> None:
    store = await opener(backend, tmp_path)()  # type: ignore[arg-type]
    them = Sender(type="user", id="77", name=f"{MARK}name")
    dm = Channel(front="discord", id="300", kind="dm", name=f"{MARK}dm", parent_id="77")
    await tell(store, *(said(number, f"{MARK}{number} " * 300, sender=them) for number in range(200)))
    await tell(store, *(said(number, f"ordinary {number}", sender=BEN) for number in range(200, 800)))
    await store.append(session("s3", channel=dm, title=MARK), said(900, MARK, within="s3", sender=them))
    await store.search(MARK)
    await store.amend("m201", Noted(annotation=annotation(text=MARK, sender=them)))
    await store.amend("m202", Edited(parts=words(MARK), at=later(5)))
    await store.keep(Tombstone(id="77", at=later(1)), Setting(id="guild:1", at=later(1), by=them))
    assert found(tmp_path)
    await store.remove_messages([f"m{number}" for number in range(200)])
    await store.amend("m201", Unannotated(id="a1"))
    await store.remove_messages(["m202"])
    await store.remove_sessions(["s3"])
    await store.remove_channels([dm.key])
    await store.keep(Setting(id="guild:1", at=later(1), by=BEN))
    await store.scrub()
    assert found(tmp_path) == []
    assert len(await store.search("ordinary", limit=1000)) == 599
    assert await store.search(MARK) == []
    assert await store.append(session(), said(901, "again", sender=them))
    await store.close()
    again = await opener(backend, tmp_path)()  # type: ignore[arg-type]
    assert await again.message("m901") == said(901, "again", sender=them)
    assert (await again.counts()).messages == 600
    await again.close()


async def test_scrubbing_changes_nothing_that_anybody_sees(store: Store) -> None:
    await tell(store, message(1), answer(2, 1), message(3, sender=BEN))
    await store.amend("m3", Reacted(reaction=reaction()))
    before = [await store.read(deleted=True), await store.browse(deleted=True), await store.counts()]
    await store.scrub()
    assert [await store.read(deleted=True), await store.browse(deleted=True), await store.counts()] == before


def found(root: Path) -> list[str]:
    """The files under a root, and the names of files, that tell of it."""
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if MARK in path.name or (path.is_file() and MARK.encode() in path.read_bytes())
    ]
