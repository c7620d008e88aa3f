"""The buttons below answers: what a click does, for whom, and that it still does it after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.community_settings import AccessRule
from storage.model import Annotation, Message

from .speaking import Place, Says, Speaker, awake, speaking, two_faces
from .test_delivery import buttons
from .wire.discord_interactions import components
from .wire.discord_model import Message as Shown


async def kept(place: Place) -> list[Message]:
    """What is in sight of the newest session."""
    store = place.speaker.bot.store
    (session,) = await store.sessions(limit=1)
    return [message for message in await store.messages(session.id) if message.deleted_at is None]


async def thumbs(place: Place) -> list[Annotation]:
    return [note for message in await kept(place) for note in message.annotations]


async def test_a_thumb_is_noted_changed_and_taken_back_also_after_a_restart(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("Here I am.")) as place:
        (answer,) = await place.answers(place.channel, "are you there?")
        ben = place.server.add_person("ben")
        first = await place.server.click(ben, answer, "👍")
        await place.server.until(lambda: first.messages)
        assert first.private
        assert [(note.kind, note.text, note.sender.name) for note in await thumbs(place)] == [("thumb", "up", "Ben")]
        await place.speaker.close()
        again = Speaker(place.speaker.bot, tmp_path, place.server.note)
        async with awake(place.server, place.account, again):
            changed = await place.server.click(ben, answer, "👎")
            await place.server.until(lambda: changed.messages)
            assert [note.text for note in await thumbs(place)] == ["down"]
            back = await place.server.click(ben, answer, "👎")
            await place.server.until(lambda: back.messages)
            assert await thumbs(place) == []


@pytest.mark.parametrize("name", ["Sage", "Marcus"])
async def test_regenerate_answers_the_same_line_anew_and_the_old_answer_goes(tmp_path: Path, name: str) -> None:
    model = Says("one answer")
    async with speaking(tmp_path, model) as place:
        (old,) = await place.answers(place.channel, f"{name}, well?")
        model.always = ("another answer",)
        await place.server.click(place.ana, old, "Regenerate")
        await place.server.until(lambda: old.deleted)
        (new,) = place.pages()
        assert new.content == "another answer"
        assert new.author.name == ("Marcus" if name == "Marcus" else "sage")
        assert [message.words for message in await kept(place)] == [f"{name}, well?", "another answer"]
        assert new.reference_id == (old.reference_id if name == "Sage" else None)


async def test_an_old_answer_goes_even_when_the_webhook_it_came_through_is_gone(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("an answer")) as place:
        (old,) = await place.answers(place.channel, "Marcus, well?")
        place.server.drop_webhook(next(iter(place.server.webhooks.values())))
        await place.server.click(place.ana, old, "Regenerate")
        await place.server.until(lambda: old.deleted)
        assert [(page.author.name, page.content) for page in place.pages()] == [("Marcus", "an answer")]


async def test_strangers_cannot_have_an_answer_written_anew_but_moderators_can(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("one answer")) as place:
        (answer,) = await place.answers(place.channel, "well?")
        ben = place.server.add_person("ben")
        click = await place.server.click(ben, answer, "Regenerate")
        await place.server.until(lambda: click.messages)
        assert click.private
        assert "Only who asked" in click.text
        assert place.pages() == [answer]
        await place.server.give(ben, place.guild, await place.server.add_role(place.guild, "mods", "manage_messages"))
        await place.server.click(ben, answer, "Regenerate")
        await place.server.until(lambda: answer.deleted)


async def test_stop_ends_an_answer_for_its_asker_alone_and_continue_goes_on(tmp_path: Path) -> None:
    model = Says()
    async with speaking(tmp_path, model) as place:
        await place.server.say(place.ana, place.channel, "Marcus, tell me")
        model.words.put_nowait("once upon a time ")
        await place.server.until(lambda: place.pages() and buttons(place.pages()[0]) == ["stop"])
        (answer,) = place.pages()
        denied = await place.server.click(place.server.add_person("ben"), answer, "Stop")
        await place.server.until(lambda: denied.messages)
        assert "Only who asked" in denied.text
        await place.server.click(place.ana, answer, "Stop")
        await place.server.until(lambda: place.speaker.receipts)
        assert answer.content == "once upon a time \n\n-# Stopped."
        assert buttons(answer) == ["again", "go", "up", "down"]
        await place.server.click(place.ana, answer, "Continue")
        for word in ("there was", None):
            model.words.put_nowait(word)
        await place.server.until(lambda: len(place.speaker.receipts) == 2)
        more = place.pages()[-1]
        assert (more.author.name, more.content) == ("Marcus", "there was")
        asked = [message for message in await kept(place) if message.role == "user"][-1]
        assert asked.reply_to == f"discord:{place.channel.id}:{answer.id}"


@pytest.mark.parametrize("button", ["Regenerate", "Continue", "👍"])
async def test_who_is_not_answered_there_any_more_gets_no_button_either(tmp_path: Path, button: str) -> None:
    model = Says("words")
    model.full = True
    async with speaking(tmp_path, model) as place:
        (answer,) = await place.answers(place.channel, "well?")
        rules = [AccessRule(user=str(place.ana.id), allow=False)]
        bot = place.speaker.bot
        bot.adopt(bot.settings.model_copy(update={"access": rules}), model)
        click = await place.server.click(place.ana, answer, button)
        await place.server.until(lambda: click.messages)
        assert click.private
        assert "may not answer you" in click.text
        assert await thumbs(place) == []
        assert place.pages() == [answer]


async def test_an_answer_of_another_channel_is_not_given_anew_here(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("one answer")) as place:
        (answer,) = await place.answers(place.channel, "well?")
        other = place.guild.add_channel("other")
        copied = place.server.post(other, answer.author, answer.content, components=answer.components)
        click = await place.server.click(place.ana, copied, "Regenerate")
        await place.server.until(lambda: click.messages)
        assert "not one of this channel" in click.text
        assert place.pages() == [answer]


@pytest.mark.parametrize("button", ["Regenerate", "Continue"])
async def test_a_button_of_an_answer_whose_question_was_deleted_says_so(tmp_path: Path, button: str) -> None:
    model = Says("one answer")
    model.full = True
    async with speaking(tmp_path, model) as place:
        (answer,) = await place.answers(place.channel, "well?")
        bot, (question, _) = place.speaker.bot, await kept(place)
        await bot.afterwards.deleted(question.origin or "", question.at)
        click = await place.server.click(place.ana, answer, button)
        await place.server.until(lambda: click.messages)
        assert "question to that answer was deleted" in click.text


@pytest.mark.parametrize("full", [False, True])
async def test_continue_is_offered_when_the_model_had_no_more_room(tmp_path: Path, full: bool) -> None:
    model = Says("so many words")
    model.full = full
    async with speaking(tmp_path, model) as place:
        (answer,) = await place.answers(place.channel, "well?")
        assert buttons(answer) == (["again", "go", "up", "down"] if full else ["again", "up", "down"])
        assert (await kept(place))[-1].outcome == "whole"


async def test_a_button_of_an_answer_that_is_gone_says_so(tmp_path: Path) -> None:
    async with speaking(tmp_path, Says("one answer")) as place:
        (answer,) = await place.answers(place.channel, "well?")
        message = (await kept(place))[-1]
        await place.speaker.bot.store.remove_messages([message.id])
        for button in ("Regenerate", "👍"):
            click = await place.server.click(place.ana, answer, button)
            await place.server.until(lambda click=click: click.messages)  # type: ignore[misc]
            assert click.private
            assert "no longer have" in click.text


@pytest.mark.parametrize("name", ["Sage", "Marcus"])
async def test_an_edited_question_is_offered_a_new_answer(tmp_path: Path, name: str) -> None:
    async with speaking(tmp_path, Says("one answer")) as place:
        (answer,) = await place.answers(place.channel, f"{name}, well?")
        row = place.speaker.rows.edited((await kept(place))[-1])
        channel = place.speaker.get_channel(place.channel.id)
        await place.speaker.faces.change_row(channel, answer.id, row)
        assert first_label(answer) == "Answer the edit"
        assert buttons(answer) == ["again", "up", "down"]
        assert answer.content == "one answer"


async def test_in_a_private_talk_the_buttons_work_as_well(tmp_path: Path) -> None:
    model = Says("one answer")
    async with speaking(tmp_path, model, two_faces()) as place:
        private = place.server.dm(place.ana, place.account)
        (answer,) = await place.answers(private, "well?")
        model.always = ("another answer",)
        await place.server.click(place.ana, answer, "Regenerate")
        await place.server.until(lambda: answer.deleted)
        assert [page.content for page in place.pages(private)] == ["another answer"]


def first_label(message: Shown) -> str:
    return next(str(one["label"]) for one in components(message.components) if "custom_id" in one)
