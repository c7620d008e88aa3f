"""What new sessions begin with: written in the configuration or saved from a session, and nobody's words for long."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bots.errors import TroupeError
from bots.providers import Chunk, Prompt
from bots.templates import Templates
from storage.forgetting import forget, records_of
from storage.model import Sender, SessionContext
from storage.records import RECORDS, Run, Template
from storage.retention import LEFT, Due, Rules
from storage.sweeping import sweep
from tests.contracts.conftest import opener

from .speaking import Says
from .world import ANA, BEN, World, persona, settings, world

PRESET: dict[str, Any] = {
    "name": "Interview",
    "persona": "ada",
    "tags": ["interview"],
    "goals": ["know the candidate"],
    "constraints": ["one question at a time"],
    "knowledge": ["the job is in Oslo"],
    "opening": [{"role": "assistant", "text": "Who are you?"}, {"role": "user", "text": "A baker."}],
}
BY = Sender(type="system", id="operator", name="whoever runs the bot")


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world(settings(personas=[persona("sage"), persona("ada")], templates=[PRESET])) as w:
        yield w


def kept(w: World) -> Templates:
    return w.bot.conversations.templates


async def begun(w: World, template: Template) -> list[str]:
    """What people have said in a session that begins with a template."""
    session = await kept(w).begin(w.bot.settings, w.room().channel, template)
    said = await w.store.messages(session.id)
    return [f"{each.sender.name}: {each.words}" for each in said if each.role == "user"]


async def test_a_session_begins_as_its_template_says(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    template = await kept(w).named(w.bot.settings, room.channel, " interview ")
    session = await kept(w).begin(w.bot.settings, room.channel, template)
    assert (session.title, session.persona, session.tags, session.follows) == ("Interview", "ada", ("interview",), None)
    assert session.context.goals == ("know the candidate",)
    said = [(each.role, each.sender.name, each.words) for each in await w.store.messages(session.id)]
    assert said == [
        ("assistant", "Ada", "Who are you?"),
        ("user", "Template", "A baker."),
    ]
    heard = await room.say(ANA, "and what did I say about Oslo?")
    assert heard.answer is not None
    assert (heard.answer.persona, heard.answer.session_id) == ("ada", session.id)


async def test_a_template_saved_from_a_session_holds_what_the_session_is(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang", origin="discord:id-general:tea")
    await room.say(BEN, "my cake is plum", reply_to="discord:id-general:tea")
    session = await room.session()
    named = session.model_copy(update={"title": "Tea", "tags": ("t",), "context": SessionContext(goals=("drink",))})
    saved = await kept(w).save(w.bot.settings, named, "Tea time", ANA.sender, lines=4)
    assert (saved.audience, saved.title, saved.tags, saved.goals) == (room.channel.key, "Tea", ("t",), ("drink",))
    assert [each.role for each in saved.opening] == ["user", "assistant"]
    assert await begun(w, saved) == ["Ana: my tea is Lapsang"], "what others said is not taken"
    everything = await kept(w).save(w.bot.settings, named, "All", BY, lines=3, everywhere=True)
    assert await begun(w, everything) == ["Ana: my tea is Lapsang", "Ben: my cake is plum"]
    assert {each.name for each in await kept(w).offered(w.bot.settings, room.channel)} == {
        "Interview",
        "Tea time",
        "All",
    }
    other = w.room("other").channel
    assert {each.name for each in await kept(w).offered(w.bot.settings, other)} == {"Interview", "All"}
    with pytest.raises(TroupeError, match="There are: 'Interview', 'All'"):
        await kept(w).named(w.bot.settings, other, "Tea time")


async def test_a_template_is_replaced_and_removed_by_whoever_made_it(w: World) -> None:
    room = w.room()
    await room.say(ANA, "hello")
    session = await room.session()
    first = await kept(w).save(w.bot.settings, session, "Mine", ANA.sender)
    await kept(w).save(w.bot.settings, session, "MINE", ANA.sender)
    (only,) = (await w.store.records(Template)).items
    assert only.name == "MINE"
    for name in ("mine", "Interview"):
        with pytest.raises(TroupeError, match="already, by somebody else"):
            await kept(w).save(w.bot.settings, session, name, BEN.sender)
    assert not kept(w).may_change(only, BEN.sender)
    await kept(w).remove(first)
    assert not (await w.store.records(Template)).items
    with pytest.raises(TroupeError, match="stands in the configuration"):
        await kept(w).remove(await kept(w).named(w.bot.settings, room.channel, "Interview"))
    for wrong in ("", " \u200b\n", "x" * 61):
        with pytest.raises(TroupeError, match="between 1 and 60 letters"):
            await kept(w).save(w.bot.settings, session, wrong, ANA.sender)


async def test_whoever_is_forgotten_is_in_no_template_any_more(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang", origin="discord:id-general:tea")
    await room.say(BEN, "my cake is plum", reply_to="discord:id-general:tea")
    session = await room.session()
    await kept(w).save(w.bot.settings, session, "by Ana", ANA.sender)
    await kept(w).save(w.bot.settings, session, "of both", BY, lines=4)
    lone = session.model_copy(update={"participants": (BEN.sender,)})
    await kept(w).save(w.bot.settings, lone, "by Ben", BEN.sender)
    named = [each.id async for found in records_of(w.store, ANA.sender.id) for each in found]
    assert named == [f"{room.channel.key} by ana"]
    await forget(w.store, ANA.sender.id, w.clock.at + timedelta(seconds=1))
    assert [each.name for each in (await w.store.records(Template)).items] == ["by Ben"]


async def test_what_becomes_of_a_line_is_true_in_templates_and_in_what_began_with_them(w: World) -> None:
    room, ana, ben = w.room(), "discord:id-general:ana", "discord:id-general:ben"
    await room.say(ANA, "my code is PLUGH", origin=ana)
    await room.say(BEN, "my cake is plum", origin=ben, reply_to=ana, answer=False)
    session = await room.session()
    template = await kept(w).save(w.bot.settings, session, "Both", BY, lines=3)
    assert "PLUGH" not in template.model_dump_json()
    before = await kept(w).begin(w.bot.settings, room.channel, template)
    assert {each.id for each in before.participants} == {ANA.sender.id, BEN.sender.id}
    await w.bot.afterwards.edited(ben, "my cake is apple", (), w.clock.now())
    await w.bot.afterwards.deleted(ana, w.clock.now())
    assert [each.words for each in await w.store.messages(before.id) if each.role == "user"] == ["my cake is apple"]
    assert await begun(w, template) == ["Ben: my cake is apple"]
    await forget(w.store, BEN.sender.id, w.clock.at + timedelta(seconds=1))
    assert await begun(w, template) == []
    assert not any(each.role == "user" for each in await w.store.messages(before.id))


async def test_somebody_quoted_in_a_template_is_found_among_however_many(w: World) -> None:
    room = w.room()
    await room.say(ANA, "my tea is Lapsang")
    crowd = tuple(BEN.sender.model_copy(update={"id": f"u{number}"}) for number in range(50))
    session = (await room.session()).model_copy(update={"participants": crowd})
    saved = await kept(w).save(w.bot.settings, session, "Tea", BY, lines=2)
    assert saved.people == (*(each.id for each in crowd), ANA.sender.id)
    await forget(w.store, ANA.sender.id, w.clock.at + timedelta(seconds=1))
    assert not (await w.store.records(Template)).items


async def test_ones_own_template_is_replaced_where_there_is_room_for_no_more(w: World) -> None:
    room = w.room()
    await room.say(ANA, "hello")
    session = await room.session()
    for number in range(49):
        await kept(w).save(w.bot.settings, session, f"t{number}", ANA.sender)
    with pytest.raises(TroupeError, match="50 templates here already"):
        await kept(w).save(w.bot.settings, session, "one more", ANA.sender)
    await kept(w).save(w.bot.settings, session, "T7", ANA.sender)
    assert "T7" in [each.name for each in (await w.store.records(Template)).items]


async def test_what_a_template_is_for_stays_in_view_however_long_the_talk() -> None:
    asked: list[Prompt] = []

    class Hears(Says):
        async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
            asked.append(prompt)
            yield Chunk("Go on.")

    config = settings(templates=[{**PRESET, "persona": None}], storage={"path": "unused", "max_history": 10})
    async with world(config, provider=Hears()) as w:
        room = w.room()
        template = await kept(w).named(config, room.channel, "Interview")
        await kept(w).begin(config, room.channel, template)
        for number in range(20):
            await room.say(ANA, f"line {number}")
        first = asked[-1].lines[0]
        assert first == asked[0].lines[0], "the beginning stays the same"
        assert first.role == "user"
        assert "    Goal: know the candidate\n    Keep to: one question at a time\n    Known: the job" in first.text
        assert "candidate" not in asked[-1].system
        told = (await w.bot.conversations.context(room.channel)).told()
        for line in ("Goal: know the candidate", "Constraint: one question at a time", "Known: the job is in Oslo"):
            assert line in told
        w.clock.advance(1000)
        assert "candidate" not in (await w.bot.conversations.context(room.channel)).told(), "a new session begins"


async def test_templates_of_a_guild_that_the_bot_left_go_with_it(w: World) -> None:
    room, abroad = w.room(), w.room("abroad", guild="g2")
    for place in (room, abroad):
        await place.say(ANA, "hello")
        await kept(w).save(w.bot.settings, await place.session(), "Mine", BY)
    left = Run(id="left guild:g1", at=w.clock.at, type=LEFT, state="waiting", data={"guild_id": "g1"})
    await w.store.keep(left)
    gone: list[tuple[str, str]] = []

    async def tell(due: Due) -> None:
        gone.append((due.kind, due.id))

    async def nothing() -> None:
        return None

    rules = Rules(left_guild=timedelta(days=1))
    await sweep(w.store, rules, w.clock.at + timedelta(days=2), tell=tell, pause=nothing)
    assert ("template", f"{room.channel.key} mine") in gone
    assert [each.audience for each in (await w.store.records(Template)).items] == [abroad.channel.key]


@pytest.mark.parametrize("backend", ["sqlite", "file", "postgres"])
async def test_templates_are_there_after_reopening(tmp_path: Path, backend: Any) -> None:
    door = opener(backend, tmp_path / "sage")
    store = await door()
    async with world() as w:
        template = Template(id="t", at=w.clock.at, name="Tea", audience="bot", by=BY, goals=("drink",))
    await store.keep(template)
    await store.close()
    store = await door()
    assert await store.record(Template, "t") == template
    assert (await store.records(Template, about="bot")).items == (template,)
    await store.remove_records(Template, ["t"])
    assert await store.record(Template, "t") is None
    await store.close()
    assert Template in RECORDS


def test_what_a_template_in_the_configuration_may_not_be_is_said() -> None:
    with pytest.raises(ValidationError, match=r"found persona 'marcus' in the template 'x'; allowed: .* sage"):
        settings(templates=[{"name": "x", "persona": "marcus"}])
    with pytest.raises(ValidationError, match="two templates called 'X'"):
        settings(templates=[{"name": "x"}, {"name": "X"}])
