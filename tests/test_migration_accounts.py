"""A migration accounts for everything: what came in, what did not, what was not looked at, and where it was cut off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from storage.copying import contents
from storage.errors import Unavailable
from storage.legacy import Refused, Spot
from storage.migration_reading import BrokenOff
from storage.migration_report import Report, Tally
from storage.model import Sender
from storage.naming import Naming, Person
from tests.test_migration import ANN, BEN, House, everything, house_of, line, talk

TALKS = [{"id": "t", "mapping": {"a": {"id": "a", "children": []}}}]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_of("sqlite in memory", tmp_path) as house:
        yield house


def accounted(report: Report) -> bool:
    kinds = (report.messages, report.sessions, report.channels, report.records, report.personas, report.others)
    files = report.files
    sums = [each.found == each.taken + each.known + each.left_out + each.refused for each in kinds]
    sums.append(files.found == files.taken + files.known + files.left_out + files.refused + files.missing)
    return all(sums) and report.refused == sum(each.refused for each in (*kinds, files))


async def test_what_was_found_is_the_sum_of_what_became_of_it(house: House) -> None:
    lonely = line(5)
    first = await house.take(*everything(), lonely, persona=lambda persona: "")
    assert accounted(first)
    assert (first.others.found, first.others.refused, first.messages.refused, first.refused) == (1, 1, 1, 2)
    assert accounted(await house.take(*everything(), lonely, persona=lambda persona: "It is too long."))
    assert accounted(await house.take(*everything(), lonely, dry_run=True))


async def test_an_end_that_was_cut_off_while_it_was_written_is_there_after_the_next_run(house: House) -> None:
    items = everything()
    await house.take(*items)
    wanted = (await contents(house.store)).digest
    for session in await house.store.sessions():
        await house.store.save_session(session.model_copy(update={"last_at": session.opened_at}))
    assert (await contents(house.store)).digest != wanted
    await house.take(*items)
    assert (await contents(house.store)).digest == wanted


async def test_a_run_that_breaks_off_has_a_report_of_what_came_before(house: House) -> None:
    tally = Tally(house.scratch)
    with pytest.raises(BrokenOff):
        await house.take(*everything(), stop=5, tally=tally)
    assert tally.of["messages"]["taken"] == 3
    assert tally.refused == 1


async def test_formats_that_were_not_read_are_named_with_their_place(house: House) -> None:
    with ZipFile(house.source / "chatgpt-export.zip", "w") as export:
        export.writestr("conversations.json", json.dumps(TALKS))
    (house.source / "claude").mkdir()
    talk = {"uuid": "t", "chat_messages": []}
    (house.source / "claude" / "conversations.json").write_text(json.dumps([talk]))
    (house.source / "holiday").mkdir()
    (house.source / "holiday" / "sun.txt").write_text("sun")
    (house.source / "damaged.zip").write_bytes(b"PK")
    report = await house.take(*everything())
    assert report.beside == (
        "chatgpt-export.zip looks like chatgpt, and was not read: migrate it by itself.",
        "claude looks like claude, and was not read: migrate it by itself.",
    )


async def test_a_second_format_among_the_same_files_is_named_with_its_option(house: House) -> None:
    (house.source / "conversations.json").write_text(json.dumps(TALKS))
    report = await house.take(*everything())
    assert report.beside == ("old looks like chatgpt as well: migrate it again with `--format chatgpt`.",)


async def test_two_accounts_of_one_person_take_part_once(house: House) -> None:
    naming = Naming({"1": Person("99", "Ann"), "2": Person("99", "Ann")})
    await house.take(*talk([line(0, ANN), line(1, BEN)]), naming=naming)
    (session,) = await house.store.sessions()
    assert session.participants == (Sender(type="user", id="99", name="Ann"),)


async def test_a_list_of_what_was_refused_that_cannot_be_written_is_a_sentence(house: House) -> None:
    tally = Tally(house.scratch)
    house.scratch.rmdir()
    house.scratch.write_text("in the way")
    tally.refuse(Refused(Spot("old.jsonl", 1), "torn"))
    with pytest.raises(Unavailable) as full:
        tally.flush()
    assert str(full.value).startswith(f"What was refused is listed in {house.scratch}, which cannot be written to (")
