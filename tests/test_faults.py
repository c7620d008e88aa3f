"""What storage must survive: kills, crashes, two writers, a clock that jumps back, a root from a backup."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.amendments import Edited
from storage.backend import OLDEST, Store
from storage.manifest import Destination
from storage.model import Text, message_id
from storage.restore import restore
from tests.contracts.conftest import LASTING, Backend, Door, opener
from tests.contracts.samples import NOON, later, message, session
from tests.soak import talk
from tests.soak.checker import check_all, check_round
from tests.soak.ledger import Ledger
from tests.soak.talk import Name, Place
from tests.test_backup import Keeper
from tests.world import ANA, settings, world

HOUSE = Path(__file__).parent.parent


def soak(*arguments: str) -> str:
    """What a soak says in the end. It forks, so it has a process of its own, without threads."""
    command = [sys.executable, "-m", "tests.soak", *arguments]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(params=LASTING)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Door:
    """Opens the same store as often as one likes."""
    return opener(request.param, tmp_path / "sage")


@pytest.fixture
async def store(door: Door) -> AsyncIterator[Store]:
    opened = await door()
    yield opened
    await opened.close()


# Kills and crashes


@pytest.mark.parametrize(("backend", "rounds"), [("sqlite", 12), ("file", 12), ("postgres", 7)])
def test_whoever_is_killed_at_any_moment_has_lost_doubled_and_muddled_nothing(
    backend: Backend, rounds: int, tmp_path: Path
) -> None:
    said = soak("--backend", backend, "--rounds", str(rounds), "--seed", "11", "--root", str(tmp_path))
    assert f"{backend}, seed 11: {rounds} rounds, " in said
    assert ", 0 messages acknowledged" not in said


def test_two_processes_on_one_file_keep_each_message_once(tmp_path: Path) -> None:
    said = soak("--fault", "pair", "--rounds", "2", "--root", str(tmp_path))
    assert ": 2 rounds, 1200 messages acknowledged, 0 findings" in said


async def test_a_soak_sees_what_is_wrong(tmp_path: Path) -> None:
    place, ledger, findings = Place("sqlite", tmp_path), Ledger(), list[str]()
    names = [Name(1, "a", number) for number in range(1, 9)]
    store = await place.open()
    for number in (1, 2, 5, 4, 6, 8):
        assert await store.append(talk.session(names[number - 1]), talk.message(names[number - 1]))
    other = talk.message(names[6]).model_copy(update={"parts": (Text(text="something else"),)})
    assert await store.append(talk.session(names[6]), other)
    await store.amend("1-a-1", Edited(parts=(Text(text="never asked for"),), at=NOON))
    await store.append(talk.session(names[5]), talk.passing(names[5]))
    await store.close()
    ledger.hear([*(f"kept {name}" for name in names), "removed 1-a-6", "titled 1-a-16", "changed 1-a-2", "Traceback"])

    def tell(*words: object) -> None:
        findings.append(" ".join(map(str, words)))

    await check_round(place, 1, ledger, 5, tell)
    await check_all(place, {1: ledger}, tell)
    assert ledger.troubles == ["Traceback"]
    for finding in (
        "1-a-3 was acknowledged and is not there",
        "1-a-4 comes after number 5",
        "1-a-7 is not what was told",
        "1-a-1 is not what was told",
        "1-a-2 is not what was told",
        "passing-1-a-6 was removed and is there",
        "the session 1-a has the title '0', and 16 was acknowledged",
        "the store counts 9 messages, and 14 were read",
        "the search for 1-a-7 finds []",
    ):
        assert [each for each in findings if each.startswith(finding)], (finding, findings)


# A clock that jumps back


async def test_messages_from_before_the_clock_jumped_back_keep_their_order(store: Store, door: Door) -> None:
    times = [0, 10, 20, -3600, -3590, 30, -3600]
    for number, at in enumerate(times):
        assert await store.append(session(last_at=later(at)), message(number, at=later(at)))
    expected = [f"m{number}" for number in range(len(times))]
    assert [one.id for one in await store.messages("s1")] == expected
    assert [one.id for one in (await store.read(cursor=OLDEST)).items] == expected
    assert [one.at for one in await store.messages("s1")] == [later(at) for at in times]
    assert [one.id for one in await store.messages("s1", 2)] == expected[-2:]
    assert {each.message.id for each in await store.search("line")} == set(expected)


async def test_a_session_opened_after_the_clock_jumped_back_is_listed_by_its_own_time(store: Store) -> None:
    for number, (name, at) in enumerate([("before", 0), ("after", -3600), ("later", 60)]):
        assert await store.append(session(name, opened_at=later(at), last_at=later(at)), message(number, name))
    assert [each.id for each in await store.sessions()] == ["later", "before", "after"]
    assert [each.id for each in (await store.browse(limit=2)).items] == ["later", "before"]
    assert [each.id for each in await store.idle_sessions(later(-1))] == ["after"]


async def test_the_same_moment_lived_twice_gives_ids_of_its_own(store: Store) -> None:
    first = [message(number, id=message_id(later(number), number)) for number in range(20)]
    again = [message(100 + number, id=message_id(later(number), 100 + number)) for number in range(20)]
    for each in (*first, *again):
        assert await store.append(session(), each)
    assert [one.id for one in await store.messages("s1")] == [each.id for each in (*first, *again)]


async def test_people_talk_on_while_the_clock_jumps_back(tmp_path: Path) -> None:
    async with world(root=tmp_path) as here:
        room = here.room()
        lines = ["My cat is called Mog.", "She is seven years old.", "What is my cat called?"]
        for line, jump in zip(lines, (-3600.0, -86_400.0, 90_000.0), strict=True):
            heard = await room.say(ANA, line)
            here.clock.advance(jump)
        assert "Mog" in heard.shown
        (only,) = await room.sessions()
        assert only.message_count == 6
        assert [line for line in await room.transcript() if line.startswith("Ana: ")] == [
            f"Ana: {each}" for each in lines
        ]


# Yesterday's backup


async def test_a_bot_on_yesterdays_backup_hears_today_again_and_keeps_it_once(tmp_path: Path) -> None:
    old, new = tmp_path / "sage", tmp_path / "sage2"
    async with world(root=old) as before:
        await before.room().say(ANA, "Yesterday I planted a fig tree.", origin="discord:1:1")
        keeper = Keeper(old, before.store, Destination.at(str(old / "backups"), spool=old))
        yesterday = await keeper.made_and_proven()
        before.clock.advance(86_400)
        await before.room().say(ANA, "Today I planted a plum tree.", origin="discord:1:2")
    await restore(keeper.to, yesterday, new, bot="sage")
    async with world(settings(new), root=new) as after:
        after.clock.advance(86_400 + 60)
        for _ in range(2):
            for line, origin in (("Yesterday I planted a fig tree.", "1"), ("Today I planted a plum tree.", "2")):
                await after.room().say(ANA, line, origin=f"discord:1:{origin}")
        told = [one.text for one in (await after.store.read(cursor=OLDEST)).items if one.role == "user"]
        assert told == ["Yesterday I planted a fig tree.", "Today I planted a plum tree."]
        assert (await after.store.counts()).messages == 4
        assert len({one.id for one in (await after.store.read(cursor=OLDEST)).items}) == 4
