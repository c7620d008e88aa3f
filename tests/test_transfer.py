"""Talk brought from one store into another: nothing lost, nothing doubled, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

import storage
from storage.amendments import Deleted, Edited, Fetched, Noted, Pinned, Reacted, Unreacted
from storage.backend import Store, Watched
from storage.backends.changes import Amend, Append, Change, KeepReceipts, RemoveMessages
from storage.copying import CopyDiffers, contents
from storage.errors import Unavailable
from storage.matching import match
from storage.model import Annotation, Attachment, Channel, Message, Reaction, Receipt, Session, Text, Usage
from storage.records import Profile, Setting
from storage.transfer import Transfer, copied, survey
from tests.generating import NOON, PLACES, SENDERS, Generated, fill, generated
from tests.postgres import fresh_name, postgres_url

WAYS = list(itertools.permutations(("sqlite", "file", "postgres"), 2))
FEW = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@asynccontextmanager
async def pair(one: str, other: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two empty stores of these types."""
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory()))
        stores = []
        for place, type in enumerate((one, other)):
            name = fresh_name() if type == "postgres" else "sage"
            url = postgres_url() if type == "postgres" else ""
            store = await storage.connect(name, folder / str(place), type=type, url=url)  # type: ignore[arg-type]
            held.push_async_callback(store.close)
            stores.append(store)
        yield stores[0], stores[1]


@asynccontextmanager
async def small() -> AsyncIterator[tuple[Store, Store]]:
    async with pair("sqlite", "sqlite") as stores:
        yield stores


def session(number: int = 0, channel: Channel = PLACES[0]) -> Session:
    return Session(id=f"s{number}", channel=channel, opened_at=NOON, last_at=NOON)


def message(number: int, of: int = 0, **more: object) -> Message:
    told = {"sender": SENDERS[0], "role": "user", "parts": (Text(text=f"line {number}"),)}
    place = {"id": f"m{number:05d}", "session_id": f"s{of}", "at": NOON + timedelta(seconds=number)}
    return Message.model_validate({**told, **place, **more})


async def say(store: Store, *messages: Message) -> None:
    for each in messages:
        assert await store.append(session(int(each.session_id[1:])), each)


def followed(store: Store) -> list[Change]:
    """What is written to a store from now on."""
    changes: list[Change] = []

    @contextmanager
    def watch(change: Change) -> Iterator[None]:
        changes.append(change)
        yield

    assert isinstance(store, Watched)
    store.writing.watch = watch
    return changes


async def assert_alike(source: Store, target: Store) -> None:
    assert await contents(source) == await contents(target)


@pytest.mark.parametrize(("one", "other"), WAYS)
@FEW
@given(first=generated(), then=generated())
def test_a_store_goes_over_whole_and_what_it_found_there_goes(
    one: str, other: str, first: Generated, then: Generated
) -> None:
    async def go() -> None:
        async with pair(one, other) as (source, target):
            await fill(target, then)
            await fill(source, first)
            assert (await copied(source, target)) == await contents(source)
            changes = followed(target)
            await match(source, target)
            assert changes == []

    asyncio.run(go())


async def test_a_transfer_cut_off_half_way_goes_on_where_it_was() -> None:
    async with small() as (source, target):
        await say(source, *(message(number) for number in range(1200)))
        steps: list[int] = []

        def give_up(step: str, done: int, of: int) -> None:
            steps.append(done)
            if step == "messages":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await match(source, target, tell=give_up)
        assert 0 < (await target.counts()).messages < 1200
        changes = followed(target)
        await match(source, target)
        assert {type(change) for change in changes} == {Append}
        assert len(changes) == 700
        await assert_alike(source, target)


async def test_only_what_differs_is_written_and_what_can_be_amended_is() -> None:
    file = Attachment(type="image", name="a.png", url="https://x/a", media_type="image/png", size=3)
    async with pair("sqlite", "file") as (source, target):
        await say(source, *(message(number, usage=Usage(provider="p", model="m")) for number in range(600)))
        await say(source, message(600, parts=(Text(text="look"), file)))
        await copied(source, target)
        await source.amend("m00001", Edited(parts=(Text(text="once"),), at=NOON))
        await source.amend("m00001", Edited(parts=(Text(text="twice"),), at=NOON))
        await source.amend("m00002", Reacted(reaction=Reaction(emoji="👍", sender=SENDERS[0], at=NOON)))
        await source.amend("m00002", Noted(annotation=Annotation(id="n", kind="remark", sender=SENDERS[1], at=NOON)))
        await source.amend("m00003", Deleted(at=NOON))
        await source.amend("m00004", Pinned())
        await source.amend("m00600", Fetched(url=file.url, blob="ab" * 32, media_type="image/png", size=4))
        await source.keep_receipts("m00005", (Receipt(origin="discord:100:77", page=0),))
        await source.remove_messages(["m00000", "m00300"])
        await say(source, message(601))
        changes = followed(target)
        await match(source, target)
        assert [change.message.id for change in changes if isinstance(change, Append)] == ["m00601"]
        assert [change.ids for change in changes if isinstance(change, RemoveMessages)] == [("m00000", "m00300")]
        amended = {change.message_id for change in changes if isinstance(change, Amend | KeepReceipts)}
        assert amended == {f"m{number:05d}" for number in (1, 2, 3, 4, 5, 600)}
        await assert_alike(source, target)
        await source.amend("m00002", Unreacted(emoji="👍", sender_id="7"))
        changes.clear()
        await match(source, target)
        assert changes == [Amend("m00002", Unreacted(emoji="👍", sender_id="7"))]
        await assert_alike(source, target)


async def test_channels_that_were_renamed_more_than_once_keep_every_name() -> None:
    async with pair("file", "sqlite") as (source, target):
        place = PLACES[0]
        await source.keep_channel(place)
        await copied(source, target)
        for name, guild in (("second", "Troupers"), ("third", "Players"), ("fourth", "Actors")):
            await source.keep_channel(place.model_copy(update={"name": name, "guild_name": guild}))
        await copied(source, target)
        kept = await target.channel(place.key)
        assert kept is not None
        assert kept.past_names == ("général", "second", "third")
        await source.remove_channels([place.key])
        await source.keep_channel(place.model_copy(update={"name": "quite another"}))
        await copied(source, target)


async def test_what_is_found_in_another_order_is_put_right() -> None:
    async with small() as (source, target):
        await say(source, *(message(number) for number in range(5)))
        await say(target, *(message(number) for number in (0, 3, 1, 2, 4)))
        await copied(source, target)


async def test_an_answer_that_stands_before_its_question_is_put_right_too() -> None:
    answer = message(0, role="assistant", sender=SENDERS[2], reply_to="m00003", usage=Usage(provider="p", model="m"))
    async with small() as (source, target):
        await say(source, answer, *(message(number) for number in (1, 2, 3)))
        await say(target, answer, *(message(number) for number in (3, 1, 2)))
        await copied(source, target)
        assert (await target.message("m00000")) == answer


@pytest.mark.parametrize(("one", "other"), [("sqlite", "postgres"), ("postgres", "file"), ("file", "sqlite")])
async def test_a_busy_bot_loses_and_doubles_nothing(one: str, other: str, tmp_path: Path) -> None:
    async with pair(one, other) as (source, target):
        await say(source, *(message(number) for number in range(550)))
        transfer = Transfer("sage", tmp_path, source, target)
        stop, said = asyncio.Event(), itertools.count(1000)

        async def talk(place: int) -> int:
            kept = 0
            while not stop.is_set():
                number = next(said)
                own = session(place).model_copy(update={"last_at": NOON + timedelta(seconds=number)})
                try:
                    await source.append(own, message(number, place, origin=f"discord:1:{number}"))
                    kept += 1
                    await source.amend(f"m{number - 3:05d}", Pinned())
                    await source.keep(Setting(id=f"{place}", at=NOON, values={"n": number}, by=SENDERS[0]))
                    if number % 7 == 0:
                        kept -= await source.remove_messages([f"m{number:05d}"])
                    if number % 50 == 0:
                        await source.amend(f"m{number % 550:05d}", Edited(parts=(Text(text="!"),), at=NOON))
                        await source.save_session(own.model_copy(update={"title": f"{number}"}))
                except Unavailable:
                    break
            return kept

        talkers = [asyncio.ensure_future(talk(place)) for place in (1, 2, 3)]
        await transfer.begin()
        await transfer.catch_up()
        counts = await transfer.finish()
        stop.set()
        kept = sum(await asyncio.gather(*talkers))
        assert kept > 0
        assert counts.messages == 550 + kept
        await assert_alike(source, target)
        with pytest.raises(Unavailable, match="moves to another store"):
            await say(source, message(1))


async def test_things_removed_and_said_again_meanwhile_stand_where_they_do_in_the_source(tmp_path: Path) -> None:
    async with small() as (source, target):
        await say(source, *(message(number, number % 2) for number in range(20)))
        await say(source, message(20, reply_to="m00004", role="assistant", usage=Usage(provider="p", model="m")))
        transfer = Transfer("sage", tmp_path, source, target)
        await transfer.begin()
        await source.remove_messages(["m00004"])
        await say(source, message(4))
        await source.remove_sessions(["s1"])
        await say(source, message(1, 1, usage=Usage(provider="p", model="m")))
        await source.keep(Profile(id="7", at=NOON, name="Ann"))
        await transfer.catch_up()
        await source.remove_sessions(["s1"])
        await source.remove_records(Profile, ["7"])
        await source.keep_channel(PLACES[1])
        await source.remove_channels([PLACES[1].key])
        await transfer.finish()
        await assert_alike(source, target)


async def test_more_than_can_be_remembered_is_compared_again(tmp_path: Path) -> None:
    async with small() as (source, target):
        transfer = Transfer("sage", tmp_path, source, target)
        await transfer.begin()
        await say(source, *(message(number) for number in range(3)))
        for start in range(0, 60_000, 20_000):
            await source.remove_messages([f"none-{number}" for number in range(start, start + 20_000)])
        await transfer.finish()
        await assert_alike(source, target)


async def test_a_copy_that_somebody_else_wrote_to_is_not_gone_over_to(tmp_path: Path) -> None:
    async with small() as (source, target):
        await say(source, *(message(number) for number in range(10)))
        transfer = Transfer("sage", tmp_path, source, target)
        await transfer.begin()
        await target.remove_messages(["m00003"])
        await source.amend("m00005", Pinned())
        with pytest.raises(CopyDiffers, match="in another order"):
            await transfer.finish()
        await say(source, message(10))
        assert (await source.counts()).messages == 11


async def test_what_is_in_the_way_is_told_from_an_earlier_copy() -> None:
    async with small() as (source, target):
        await say(source, *(message(number) for number in range(3)))
        found = await survey(source, target)
        assert (found.known, found.ahead) == (True, False)
        await copied(source, target)
        await say(source, message(3))
        found = await survey(source, target)
        assert (found.known, found.ahead, found.counts.messages) == (True, False, 3)
        await say(target, message(9))
        assert (await survey(source, target)).ahead
        await target.remove_messages([f"m{number:05d}" for number in range(3)])
        assert not (await survey(source, target)).known


@pytest.mark.parametrize("later", [1, 1100])
async def test_whatever_would_be_lost_in_a_target_that_went_its_own_way_is_told(later: int) -> None:
    async with small() as (source, target):
        await say(source, *(message(number) for number in range(1100)))
        await source.keep(Setting(id="a", at=NOON, by=SENDERS[0]))
        await copied(source, target)
        await say(source, message(9000))
        assert not (await survey(source, target)).ahead
        await say(target, message(5000), *(message(number) for number in range(6000, 6000 + later)))
        await say(source, *(message(number) for number in range(6000, 6000 + later)))
        assert (await survey(source, target)).ahead
        await target.remove_messages(["m05000"])
        assert not (await survey(source, target)).ahead
        await target.save_session(session(9))
        assert (await survey(source, target)).ahead
        await target.remove_sessions(["s9"])
        await target.keep(Setting(id="a", at=NOON + timedelta(seconds=1), by=SENDERS[0]))
        assert (await survey(source, target)).ahead
        await source.keep(Setting(id="a", at=NOON + timedelta(seconds=2), by=SENDERS[0]))
        assert not (await survey(source, target)).ahead
