"""A session as a file: readable, complete, and nobody's words pose as another's line."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bots.conversations import Conversations
from bots.taking_along import Taken
from storage.amendments import Deleted, Edited
from storage.exports import Export, Form, Options
from storage.exports.exported import exported as pieces_of
from storage.exports.exported import file_name
from storage.model import Attachment, Message, Session, Text

from .generating import NOON, SENDERS
from .test_export_json import SESSION, line, talk
from .world import ANA, Person, World, world

_NUMBERS = itertools.count(1)
MALLORY = Person("# Ben** <@1>\n")


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


def conversations(w: World) -> Conversations:
    return Conversations(
        w.store,
        w.bot.sessions,
        now=w.clock.now,
        chance=lambda: next(_NUMBERS),
        changed=w.bot._recent.forget,
        remembering=w.bot.remembering,
    )


async def exported(w: World, form: Form, **options: Any) -> str:
    session = await w.room().session()
    taken = await conversations(w).export(session.id, form, bot="sage", asker="1", options=Options(**options))
    return taken.data.decode()


async def test_markdown_has_names_and_times_and_nobody_poses_as_another(w: World) -> None:
    room = w.room()
    picture = Attachment(type="image", name="cat](x).png", url="https://cdn.example/cat?sig=1")
    await room.say(ANA, "what is 6 * 7?", attachments=(picture,))
    await room.say(MALLORY, "yes\n\n**Ben** (2026-03-02 09:00:00)\n\n> I agree", answer=False)
    told = await exported(w, "md")
    assert told.startswith("# what is 6 \\* 7?\n")
    assert "**Ana** (2026-03-02 09:00:00)\n\n> what is 6 * 7?\n> \\[image: cat\\]\\(x\\).png\\]\n" in told
    assert "42" in told
    assert "sig=1" not in told
    spoken = [line for line in told.splitlines() if line.startswith("**")]
    assert [line.split("** (")[0] for line in spoken] == ["**Ana", "**Sage", "**\\# Ben\\*\\* \\<@1\\>"]


async def test_plain_text_indents_what_was_said(w: World) -> None:
    await w.room().say(ANA, "hello\n[2026-03-02 09:00:00] Ben:\n    I agree", answer=False)
    told = await exported(w, "txt")
    assert "\n[2026-03-02 09:00:00] Ana:\n    hello\n    [2026-03-02 09:00:00] Ben:\n        I agree\n" in told


async def test_json_is_the_model_itself_without_what_was_taken_back(w: World) -> None:
    room = w.room()
    for said in ("my tea is Lapsang", "my tea is Assam", "forget this"):
        await room.say(ANA, said, answer=False)
    first, _, last = await w.store.messages((await room.session()).id)
    await w.store.amend(first.id, Edited(parts=(Text(text="my tea is green"),), at=w.clock.now()))
    await w.store.amend(last.id, Deleted(at=w.clock.now()))
    told = json.loads(await exported(w, "json"))
    assert Session.model_validate(told["sessions"][0]).id == (await room.session()).id
    words = [Message.model_validate(each).words for each in told["messages"]]
    assert words == ["my tea is green", "my tea is Assam"]
    assert "Lapsang" not in json.dumps(told["messages"])


async def test_an_empty_session_is_a_whole_file_in_every_form(w: World) -> None:
    await w.bot.begin(w.room().channel)
    assert json.loads(await exported(w, "json"))["messages"] == []
    assert "Nothing has been said here" in await exported(w, "html")
    assert "With nobody yet." in await exported(w, "md")
    assert "With nobody yet." in await exported(w, "txt")


async def test_a_long_session_comes_whole_and_in_order(w: World) -> None:
    for number in range(230):
        await w.room().say(ANA, f"line {number}", answer=False)
    told = json.loads(await exported(w, "json"))
    assert [m["parts"][0]["text"] for m in told["messages"]] == [f"line {number}" for number in range(230)]


async def test_what_is_not_wanted_is_left_out(w: World) -> None:
    await w.room().say(ANA, "look:\n```\nx = 1\n```")
    told = await exported(w, "md", metadata=False, timestamps=False, header_level=3, code_language="python")
    assert told.startswith("### look:\n\n**Ana**\n\n> look:\n> ```python\n> x = 1\n> ```\n")
    assert "2026" not in told
    assert "general" not in told


async def test_times_are_shown_in_the_zone_that_is_asked_for(w: World) -> None:
    await w.room().say(ANA, "hello", answer=False)
    tokyo = ZoneInfo("Asia/Tokyo")
    assert "**Ana** (2026-03-02 18:00:00)" in await exported(w, "md", zone=tokyo)
    assert "18:00 JST" in await exported(w, "txt", zone=tokyo)


async def test_what_the_file_lacks_is_told(w: World) -> None:
    notes: list[str] = []
    await w.room().say(ANA, "a letter of mine: \U000f1234", answer=False)
    session = await w.room().session()
    taken = await conversations(w).export(session.id, "pdf", bot="sage", asker="1", noted=notes.append)
    assert taken.data.startswith(b"%PDF")
    assert "U+F1234" in notes[0]


async def test_one_person_has_one_export_made_at_a_time_and_hears_what_is_in_it(w: World) -> None:
    room = w.room()
    for words in ("one", "two"):
        await room.say(ANA, words, answer=False)
    session, kept = await room.session(), conversations(w)
    await w.store.amend((await w.store.messages(session.id))[0].id, Deleted(at=w.clock.now()))
    going = [asyncio.create_task(kept.export(session.id, "json", bot="sage", asker=asker)) for asker in ("1", "1", "2")]
    first, second, other = await asyncio.gather(*going, return_exceptions=True)
    assert isinstance(first, Taken)
    assert (first.messages, str(second)) == (
        1,
        "The export that you asked for before is still being made: wait until it is there.",
    )
    assert isinstance(other, Taken)
    assert await kept.export(session.id, "md", bot="sage", asker="1")


async def test_a_branch_says_of_what_and_stands_behind_it(w: World) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    await talk(w.store, line(1))
    branch = SESSION.model_copy(update={"id": "b", "parent_id": "s1", "title": "Twig", "opened_at": start})
    twig = branch.model_copy(update={"id": "c", "parent_id": "b", "title": "Leaf *x*"})
    for each in (twig, branch):
        early = each.model_copy(update={"last_at": start})
        await w.store.append(early, line(2 + len(each.title), session_id=each.id, at=start))
    told = {form: await everything(w, form) for form in ("md", "txt", "html")}
    assert [row for row in told["md"].splitlines() if row.startswith("# ")] == ["# line 1", "# Twig", "# Leaf \\*x\\*"]
    assert "\nBranch of *line 1*  \n" in told["md"]
    assert "\nBranch of line 1\n" in told["txt"]
    assert 'Branch of <i dir="auto">Twig</i>' in told["html"]


async def everything(w: World, form: Form) -> str:
    return b"".join([piece async for piece in pieces_of(Export(w.store, None, form, "sage", NOON))]).decode()


async def test_somebody_without_a_name_is_told_by_their_id(w: World) -> None:
    await talk(w.store, line(1, sender=SENDERS[0].model_copy(update={"name": ""})))
    assert "**7** (" in await everything(w, "md")
    assert " 7:\n" in await everything(w, "txt")


async def test_the_files_name_is_safe_anywhere(w: World) -> None:
    room = w.room("../../etc/passwd\0")
    await room.say(ANA, "hello", answer=False)
    session = await room.session()
    name = file_name(session.model_copy(update={"id": "../x"}), "md")
    assert "/" not in name
    assert ".." not in name
    assert name.endswith(".md")
